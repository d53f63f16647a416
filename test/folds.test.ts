import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { UserError } from "../src/base/error.ts";
import { random } from "../src/base/random.ts";
import { formatDay, parseDay, type Day } from "../src/base/units.ts";
import { chooseWindows, type WindowChoice } from "../src/backtest/windows.ts";
import { splitValidation, walkForward, type Fold } from "../src/dataset/fold.ts";

const rowsOf = (folds: readonly Fold[]): string => folds.map(({ train, test: tested }) =>
  `[${train.from}-${train.to - 1}] [${tested.from}-${tested.to - 1}]`).join("; ");

describe("purged walk-forward", () => {
  // skfolio's documented example, as quoted in the research protocol, section 5.
  const options = { test: 4, train: 1, purge: 1, hasShortLast: true };
  test("12 rows, test 4, train 1, purge 1, expanding: [0] [2-5]; [0-4] [6-9]; [0-8] [10-11]", () => {
    assert.equal(rowsOf(walkForward(12, options)), "[0-0] [2-5]; [0-4] [6-9]; [0-8] [10-11]");
  });
  test("the same sliding: [0] [2-5]; [4] [6-9]; [8] [10-11]", () => {
    assert.equal(rowsOf(walkForward(12, { ...options, isExpanding: false })), "[0-0] [2-5]; [4-4] [6-9]; [8-8] [10-11]");
  });
  test("without a short last test there are 2 folds", () => {
    assert.equal(walkForward(12, { ...options, hasShortLast: false }).length, 2);
  });

  test("for 200 random shapes: purge + embargo rows lie between train and test, and tests neither overlap nor skip", () => {
    for (let seed = 0; seed < 200; seed++) {
      const draw = random(seed, "folds");
      const shape = { test: 1 + draw.below(9), train: 1 + draw.below(9), purge: draw.below(4), embargo: draw.below(4),
        isExpanding: draw.below(2) === 1, hasShortLast: draw.below(2) === 1 };
      const folds = walkForward(60 + draw.below(40), shape);
      folds.forEach(({ train, test: tested }, k) => {
        assert.equal(tested.from - train.to, shape.purge + shape.embargo, `seed ${seed}`);
        assert.ok(train.from >= 0 && train.to > train.from, `seed ${seed}`);
        assert.equal(train.to - train.from, shape.isExpanding ? folds[0].train.to + k * shape.test : shape.train, `seed ${seed}`);
        if (k > 0) assert.equal(tested.from, folds[k - 1].test.to, `seed ${seed}`);
      });
    }
  });

  test("too few rows are refused with their number", () => {
    assert.throws(() => walkForward(3, { test: 4, train: 1 }), /3 rows are too few for 1 to train on, a gap of 0 and 4/);
    assert.throws(() => walkForward(2, options), /2 rows are too few for 1 to train on, a gap of 1/);
  });

  test("the last 10 % of 100, 9 and 2 rows are for validation: from row 90, 8 and 1", () => {
    assert.deepEqual([100, 9, 2].map((rows) => splitValidation(rows).validation.from), [90, 8, 1]);
    assert.deepEqual(splitValidation(100), { train: { from: 0, to: 90 }, validation: { from: 90, to: 100 } });
  });
});

describe("windows", () => {
  const FIRST = parseDay("1988-01-04")!, LAST = parseDay("2019-12-31")!;
  const choose = (choice: Partial<WindowChoice>): string => chooseWindows(
    { years: [], windowYears: null, from: null, to: null, ...choice }, "futures", FIRST, LAST)
    .map(({ from, to }) => `${formatDay(from)}..${formatDay(to)}`).join(" ");
  const refused = (choice: Partial<WindowChoice>, pattern: RegExp): void => {
    assert.throws(() => choose(choice), (error: unknown) => error instanceof UserError && pattern.test(error.message));
  };
  const on = (text: string): Day => parseDay(text)!;

  test("1995,2000,2005,2010,2015 of 5 years are the protocol's five windows, without saying 5", () => {
    const expected = "1995-01-01..1999-12-31 2000-01-01..2004-12-31 2005-01-01..2009-12-31 2010-01-01..2014-12-31 "
      + "2015-01-01..2019-12-31";
    assert.equal(choose({ years: [1995, 2000, 2005, 2010, 2015], windowYears: 5 }), expected);
    assert.equal(choose({ years: [1995, 2000, 2005, 2010, 2015] }), expected);
  });
  test("no years: one window, from --from to --to, cut to the data", () => {
    assert.equal(choose({}), "1988-01-04..2019-12-31");
    assert.equal(choose({ from: on("1990-02-01"), to: on("2040-01-01") }), "1990-02-01..2019-12-31");
  });
  test("2030 has no bars and says when the dataset ends", () => {
    refused({ years: [2030], windowYears: 5 }, /2030 has no bars; futures ends 2019-12-31/);
    refused({ years: [1980], windowYears: 5 }, /1980 have no bars; futures starts 1988-01-04/);
  });
  test("overlapping and repeated windows, an empty range and a range outside of the data are refused", () => {
    refused({ years: [1995, 1998], windowYears: 5 }, /windows of 5 years from 1995 and 1998 overlap/);
    refused({ years: [1995, 1995] }, /overlap/);
    refused({ from: on("2010-01-01"), to: on("2009-01-01") }, /is empty/);
    refused({ from: on("2021-01-01") }, /no bar after 2021-01-01: futures has bars from 1988-01-04 to 2019-12-31/);
    refused({ to: on("1980-01-01") }, /no bar before 1980-01-01/);
    refused({ years: [1995, 2000], from: on("2001-01-01"), windowYears: 5 }, /the window from 1995 lies outside/);
    assert.equal(choose({ years: [2000], windowYears: 5, from: on("2001-01-01") }), "2001-01-01..2004-12-31");
  });
});
