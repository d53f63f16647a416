/** Sequences for training: hand-counted cuts, and the property that nothing of the test is ever seen. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { UserError } from "../src/base/error.ts";
import { random } from "../src/base/random.ts";
import { day, MS_PER_DAY, parseDay } from "../src/base/units.ts";
import { cutFold, cutSequences, foldRows, SCALE_MAX, type SequenceSource } from "../src/dataset/sequence.ts";
import type { Features } from "../src/features/feature.ts";
import { foldsOf, stridedWindows } from "../src/train/walk-forward.ts";

const NAMES = ["a", "b", "daily_vol", "target_vol_scaled_next_return"];

/** Row r of day `first + r`: a = r, b = -r, volatility 1 %, target r / 1000; rows in `holes` lack a. */
function panel(rows: number, { first = 0, holes = [] as number[], volatility = 0.01 } = {}): Features {
  const values = new Float32Array(rows * 4);
  for (let r = 0; r < rows; r++) values.set([holes.includes(r) ? NaN : r, -r, volatility, r / 1000], r * 4);
  // As in a real panel, the last row's next return does not exist.
  values[rows * 4 - 1] = NaN;
  return { names: NAMES, time: Float64Array.from({ length: rows }, (_, r) => (first + r) * MS_PER_DAY + 72e6), values,
    warmup: 0 };
}
const sourceOf = (...panels: Features[]): SequenceSource =>
  ({ symbols: panels.map((_, i) => `S${i}`), panels, names: ["b", "a"] });
const all = (source: SequenceSource): { from: number; to: number }[] =>
  source.panels.map(({ time }) => ({ from: 0, to: time.length }));

describe("cutting sequences", () => {
  test("12 rows with row 7 missing and no last target: [0-2] [3-5] [6,-,-] [8-10], columns in the order asked for", () => {
    const source = sourceOf(panel(12, { holes: [7] }));
    const set = cutSequences(source, all(source), { lookback: 3 });
    const a = [...set.features].filter((_, k) => k % 2 === 1);
    assert.deepEqual(a, [0, 1, 2, 3, 4, 5, 6, 0, 0, 8, 9, 10]);
    assert.deepEqual([...set.features].filter((_, k) => k % 2 === 0).map((b) => 0 - b), a);
    assert.deepEqual([...set.weight], [1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1]);
    assert.deepEqual([...set.target].map((x) => Math.round(x * 1000)), [0, 1, 2, 3, 4, 5, 6, 0, 0, 8, 9, 10]);
    assert.deepEqual([...set.time].map((t) => Math.floor(t / MS_PER_DAY)), [0, 1, 2, 3, 4, 5, 6, NaN, NaN, 8, 9, 10]);
  });

  test("7 rows, T = 3, stride 2: starts at 0, 2 and 4, none beyond the end", () => {
    const source = sourceOf(panel(8));
    const { features, count } = cutSequences(source, all(source), { lookback: 3, stride: 2 });
    assert.deepEqual([count, ...Array.from({ length: count }, (_, s) => features[s * 6 + 1])], [3, 0, 2, 4]);
  });

  test("1 % a day is 15.87 % a year, so a position of 1 holds a weight of 0.945; a dead market holds the cap", () => {
    const source = sourceOf(panel(5), panel(5, { volatility: 0 }));
    const { scale, instrument } = cutSequences(source, all(source), { lookback: 4 });
    assert.deepEqual([...instrument], [0, 1]);
    assert.ok(Math.abs(scale[0] - 0.9449111825) < 1e-7, String(scale[0]));
    assert.equal(scale[4], SCALE_MAX);
  });
});

describe("the rows of a fold", () => {
  test("40 rows, test from day 30, embargo 2: the last label is known on day 27, validation is the last 10 % of 27", () => {
    const { training, validation } = foldRows(sourceOf(panel(40)), { testFrom: 30 * MS_PER_DAY, embargo: 2 });
    // Rows 0..26 have labels known by day 27; 24 for training less one purged, 3 for validation.
    assert.deepEqual([training, validation], [[{ from: 0, to: 23 }], [{ from: 24, to: 27 }]]);
  });

  test("for 200 random markets no label of training or validation is known at the test's start, nor crosses validation's",
    () => {
    for (let seed = 0; seed < 200; seed++) {
      const draw = random(seed, "sequences");
      const panels = Array.from({ length: 1 + draw.below(4) }, () => panel(60 + draw.below(60),
        { first: draw.below(40), holes: Array.from({ length: draw.below(6) }, () => draw.below(60)) }));
      const source = sourceOf(...panels), testFrom = (75 + draw.below(60)) * MS_PER_DAY;
      const choice = { testFrom, embargo: draw.below(4), share: 0.05 + 0.3 * draw.uniform() };
      const cut = { lookback: 2 + draw.below(6) };
      const { training, validation } = cutFold(source, choice, cut);
      const firstValidation = panels.map((_, i) =>
        Math.min(...[...validation.time].filter((_, at) => validation.instrument[Math.floor(at / cut.lookback)] === i
          && validation.weight[at] === 1)));
      for (const set of [training, validation]) {
        set.time.forEach((time, at) => {
          if (set.weight[at] === 0) { assert.ok(Number.isNaN(time)); return; }
          const i = set.instrument[Math.floor(at / cut.lookback)], closes = panels[i].time, row = closes.indexOf(time);
          assert.ok(closes[row + 1 + choice.embargo] < testFrom, `seed ${seed}: row ${row}`);
          if (set === training) assert.ok(closes[row + 1] < firstValidation[i], `seed ${seed}: purge at validation`);
        });
      }
      // What happens from the test's start on changes nothing (rule 5).
      const changed = panels.map((one) => {
        const first = one.time.findIndex((time) => time >= testFrom), values = one.values.slice();
        if (first >= 0) values.fill(7, first * 4);
        // The label of the row before reads the test's first close.
        if (first > 0) values[first * 4 - 1] = 7;
        return { ...one, values };
      });
      const again = cutFold(sourceOf(...changed), choice, cut);
      assert.deepEqual([again.training, again.validation], [training, validation], `seed ${seed}`);
    }
  });

  test("an instrument without a whole sequence is left out and said; when all are, one sentence with the numbers", () => {
    const source = sourceOf(panel(60), panel(9)), choice = { testFrom: Infinity };
    const fold = cutFold(source, choice, { lookback: 20 });
    assert.deepEqual(fold.leftOut, ["S1"]);
    assert.deepEqual([...new Set(fold.training.instrument)], [0]);
    assert.deepEqual(fold.training.symbols, ["S0", "S1"]);
    assert.throws(() => cutFold(source, choice, { lookback: 63 }), (error: unknown) => error instanceof UserError
      && error.problem === "too few bars for one sequence of 63: the longest complete stretch to train on has 52 (S0)"
      && error.hint.endsWith("or --set lookback=52 at most"));
    const warming = sourceOf(panel(60, { holes: Array.from({ length: 60 }, (_, r) => r) }));
    assert.throws(() => cutFold(warming, choice, { lookback: 20 }), (error: unknown) => error instanceof UserError
      && error.problem === "too few bars for one sequence of 20: no row to train on has all inputs, which warm up first");
  });

  test("a stride that leaves rows out is refused", () => {
    const source = sourceOf(panel(9));
    const cut = (): unknown => cutSequences(source, all(source), { lookback: 3, stride: 4 });
    assert.throws(cut, (error: unknown) => error instanceof UserError
      && error.problem === "a stride of 4 leaves out rows between sequences of 3");
  });

  test("a panel without the target is refused with the recipe that has it", () => {
    const source = { ...sourceOf(panel(9)), target: "next" };
    assert.throws(() => cutSequences(source, all(source), { lookback: 3 }), /S0 has no column "next" to train on/);
  });
});

describe("folds of windows", () => {
  const closes = Float64Array.from({ length: 3000 }, (_, k) => parseDay("1990-01-01")! * MS_PER_DAY + k * MS_PER_DAY + 72e6);
  test("two windows of three years from 1993, data to 1998-03-19, embargo 5: trained to 5 days before the day before", () => {
    const last = day(parseDay("1990-01-01")! + 2999);
    const folds = foldsOf(stridedWindows(1993, 3, last), closes, 5);
    assert.deepEqual(folds, [
      { name: "1993", trainTo: parseDay("1992-12-26"), testFrom: parseDay("1993-01-01"), testTo: parseDay("1995-12-31") },
      { name: "1996", trainTo: parseDay("1995-12-26"), testFrom: parseDay("1996-01-01"), testTo: parseDay("1998-03-19") },
    ]);
  });
  test("a window before which there is nothing, and windows that overlap, are refused", () => {
    assert.throws(() => foldsOf(stridedWindows(1990, 5, day(9000)), closes), /nothing to train on before 1990-01-01/);
    const twice = stridedWindows(1993, 3, day(9000))[0];
    assert.throws(() => foldsOf([twice, twice], closes), /overlaps the one before/);
  });
});
