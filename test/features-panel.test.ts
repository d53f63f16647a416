/** The panel: batch = stream = restart to the bit, over whole recipes, with many instruments and states. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { UserError } from "../src/base/error.ts";
import { random } from "../src/base/random.ts";
import { bind, computeFeatures, type BarRow, type FeatureStream, type Panel } from "../src/features/panel.ts";
import { readRecipe } from "../src/features/recipe.ts";
import { RECIPES } from "../src/features/recipes.ts";
import type { Bars, ColumnName } from "../src/market/bars.ts";
import { calendar } from "../src/market/calendar.ts";
import { assertSameBits } from "./features-data.ts";
import { cleanBars } from "./market-rows.ts";

const MARKET = { calendar: calendar("us-equity"), timeframe: "1d" } as const;
const bound = async (name: string): Promise<Panel> => bind(await readRecipe("/nowhere", name), MARKET);
const rowOf = (bars: Bars, t: number): BarRow => ({
  time: bars.time[t],
  ...Object.fromEntries(Object.entries(bars.columns).map(([name, values]) => [name, values[t]])) as Record<ColumnName,
    number>,
});

/** The batch's rows as a stream must give them: a target is never in a streamed row. */
function streamed(panel: Panel, values: Float32Array): Float32Array {
  const F = panel.columns.length, expected = values.slice();
  for (const [k, column] of panel.columns.entries()) {
    if (column.role === "target") for (let at = k; at < expected.length; at += F) expected[at] = NaN;
  }
  return expected;
}

for (const name of ["dmn", "technical"]) {
  describe(`recipe ${name}`, async () => {
    const panel = await bound(name), bars = cleanBars(3, 700), F = panel.columns.length;
    const whole = computeFeatures(panel, bars);

    test("700 bars pushed one by one give the batch's bits (targets apart), in one and the same array", () => {
      const stream = panel.start(), rows = new Float32Array(700 * F), first = stream.push(rowOf(bars, 0));
      rows.set(first);
      for (let t = 1; t < 700; t++) {
        const row = stream.push(rowOf(bars, t));
        assert.equal(row, first);
        rows.set(row, t * F);
      }
      assertSameBits(rows, streamed(panel, whole.values));
    });

    test("10 random cuttings into chunks, each with a restart from saved bytes, give the batch's bits, targets included",
      () => {
      for (let seed = 1; seed <= 10; seed++) {
        const draw = random(seed, "chunks"), out = new Float32Array(700 * F);
        let stream: FeatureStream = panel.start();
        for (let from = 0; from < 700;) {
          const to = Math.min(700, from + 1 + draw.below(120));
          stream.update(bars, from, to, out, from);
          from = to;
          const saved = stream.save();
          stream = panel.start();
          stream.restore(saved);
        }
        assertSameBits(out, whole.values, `seed ${seed}`);
      }
    });

    test("two instruments fed in turns keep apart: the bits of each alone", () => {
      const other = cleanBars(4, 700, "OTHER"), a = panel.start(), b = panel.start();
      for (let t = 0; t < 700; t++) {
        const row = a.push(rowOf(bars, t)).slice();
        b.push(rowOf(other, t));
        if (t === 699) assertSameBits(row, streamed(panel, whole.values).slice(-F));
      }
      assertSameBits(b.push(rowOf(cleanBars(4, 701, "OTHER"), 700)),
        streamed(panel, computeFeatures(panel, cleanBars(4, 701, "OTHER")).values).slice(-F));
    });

    test("another future after row 400 leaves rows 0..399 as they were, to the bit", () => {
      const other = cleanBars(9, 700), columns: Partial<Record<ColumnName, Float64Array>> = {};
      for (const [column, values] of Object.entries(bars.columns)) {
        columns[column as ColumnName] = Float64Array.from(values, (value, t) => t < 400 ? value
          : other.columns[column as ColumnName]![t]);
      }
      const changed = computeFeatures(panel, { ...bars, columns });
      const past = (values: Float32Array): Float32Array => streamed(panel, values).slice(0, 400 * F);
      assertSameBits(past(changed.values), past(whole.values));
    });

    test("each column's first value is in the row it declares as its warm-up", () => {
      for (const [k, column] of panel.columns.entries()) {
        let first = 0;
        while (Number.isNaN(whole.values[first * F + k])) first++;
        assert.equal(first, column.warmup, column.name);
      }
    });
  });
}

describe("every recipe of the product binds", () => {
  test("and `technical` has about 200 columns (190 to 230), of which none is a target", async () => {
    for (const name of Object.keys(RECIPES)) assert.ok((await bound(name)).columns.length > 0, name);
    const { columns } = await bound("technical");
    assert.ok(columns.length >= 190 && columns.length <= 230, String(columns.length));
    assert.ok(columns.every((column) => column.role === "input"));
  });

  test("the six indicators of the seed's search space are names: rsi, macd, bollinger, vwap, momentum, all_indicators",
    () => {
    for (const name of ["rsi", "macd", "bollinger", "vwap", "momentum", "all_indicators"]) assert.ok(name in RECIPES, name);
  });
});

describe("a saved state", () => {
  const says = (words: string) => (error: unknown): boolean => error instanceof UserError && error.problem.includes(words);

  test("of another recipe, another timeframe or another calendar is refused", async () => {
    const saved = (await bound("dmn")).start().save(), recipe = await readRecipe("/nowhere", "dmn");
    const others = [await bound("return"), bind(recipe, { ...MARKET, timeframe: "1h" }),
      bind(recipe, { ...MARKET, calendar: calendar("24x5") })];
    for (const other of others) assert.throws(() => { other.start().restore(saved); }, says("was not made by"));
  });

  test("with any one of 300 random bits flipped, or cut at 20 places, is refused (seed 5)", async () => {
    const panel = await bound("dmn"), stream = panel.start(), bars = cleanBars(2, 90), draw = random(5, "bits");
    for (let t = 0; t < 90; t++) stream.push(rowOf(bars, t));
    const saved = stream.save();
    for (let k = 0; k < 300; k++) {
      const bad = saved.slice(), at = draw.below(bad.length);
      bad[at] ^= 1 << draw.below(8);
      assert.throws(() => { panel.start().restore(bad); }, UserError, `byte ${at}`);
    }
    for (let k = 0; k < 20; k++) {
      assert.throws(() => { panel.start().restore(saved.subarray(0, draw.below(saved.length))); }, UserError);
    }
  });

  test("carries the last bar's time, and an older bar is refused", async () => {
    const panel = await bound("dmn"), stream = panel.start(), bars = cleanBars(2, 3), next = panel.start();
    stream.push(rowOf(bars, 1));
    next.restore(stream.save());
    assert.equal(next.time, bars.time[1]);
    assert.throws(() => next.push(rowOf(bars, 0)), /order of time/);
  });
});
