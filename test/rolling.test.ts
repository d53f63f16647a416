import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Random } from "../src/base/random.ts";
import {
  drawdown,
  growth,
  histogram,
  monthlyReturns,
  rollingMoments,
  rollingSharpe,
  rollingVolatility,
  worstDrawdowns,
} from "../src/metrics/rolling.ts";
import { NO_PYTHON, askPython, python } from "./python.ts";

const RETURNS = Float64Array.of(0.01, -0.02, 0.03, 0.005, -0.01, 0.02);
const DAYS = ["2019-12-30", "2019-12-31", "2020-01-02", "2020-01-03", "2020-02-03", "2020-04-01"];
const TIME = Float64Array.from(DAYS, (date) => Date.parse(`${date}T23:00Z`));

function near(
  actual: Iterable<number>,
  expected: readonly number[],
  tolerance: number,
  label = "",
): void {
  const found = [...actual];
  assert.equal(found.length, expected.length, label);
  found.forEach((value, k) => {
    const isSame =
      Object.is(value, expected[k]) ||
      Math.abs(value - expected[k]) <= tolerance * Math.max(1, Math.abs(expected[k]));
    assert.ok(isSame, `${label} [${k}] is ${value}, expected ${expected[k]}`);
  });
}

describe("series derived from returns", () => {
  test("growth of 1 over six returns ends at 1.034632466406 (pandas cumprod)", () => {
    near(
      growth(RETURNS),
      [1.01, 0.9898, 1.019494, 1.02459147, 1.0143455553, 1.034632466406],
      1e-14,
    );
  });

  test("drawdown falls to -2% and -1% and returns to 0 at each high (pandas cummax)", () => {
    near(drawdown(RETURNS), [0, -0.02, 0, 0, -0.01, 0], 1e-14);
  });

  test("a first return of -10% is a drawdown of 10%: the start counts as a high", () => {
    near(drawdown(Float64Array.of(-0.1, 0.05)), [-0.1, -0.055], 1e-14);
  });

  test("rolling Sharpe over 3 returns is 4.2053, 3.1749, 6.5465, 5.2915 (pandas rolling)", () => {
    near(
      rollingSharpe(RETURNS, 3, 252),
      [NaN, NaN, 4.205259864302774, 3.174901573277508, 6.5465367070797695, 5.29150262212918],
      1e-13,
    );
  });

  test("rolling volatility over 3 returns is 39.95%, 39.69%, 32.08%, 23.81% a year (pandas rolling)", () => {
    near(
      rollingVolatility(RETURNS, 3, 252),
      [NaN, NaN, 0.3994996871087636, 0.39686269665968865, 0.32078029864690893, 0.23811761799581327],
      1e-13,
    );
  });

  test("252 equal returns have a deviation of exactly 0 and no Sharpe, also after a wild return", () => {
    const returns = new Float64Array(600).fill(0.001);
    returns[100] = 0.9;
    const { deviation } = rollingMoments(returns, 252);
    assert.equal(deviation[352], 0);
    assert.equal(deviation[599], 0);
    assert.ok(deviation[351] > 0.05);
    assert.ok(Number.isNaN(rollingSharpe(returns, 252, 252)[400]));
  });

  test("one missing return empties the 3 windows that hold it and no other", () => {
    const returns = Float64Array.of(1, 2, 4, NaN, 3, 5, 8, 1);
    const empty = [...rollingMoments(returns, 3).mean].map(Number.isNaN);
    assert.deepEqual(empty, [true, true, false, true, true, true, false, false]);
  });

  test("5,000 random returns with a jump of scale agree with two passes over each window to 1e-11", () => {
    const random = new Random(11, ["rolling"]);
    const returns = Float64Array.from(
      { length: 5000 },
      (_, t) => random.normal() * (t < 2000 ? 1 : 1e-4) + 0.3,
    );
    const { mean, deviation } = rollingMoments(returns, 252);
    for (const t of [251, 252, 1999, 2251, 2300, 4999]) {
      const window = returns.slice(t - 251, t + 1);
      const average = window.reduce((sum, r) => sum + r, 0) / 252;
      const spread = Math.sqrt(window.reduce((sum, r) => sum + (r - average) ** 2, 0) / 251);
      near([mean[t], deviation[t] / spread], [average, 1], 1e-11, `seed 11, row ${t}`);
    }
  });

  test("months compound to -1.02%, 3.515%, -1%, 2% and years to -1.02%, 4.5294% (pandas groupby); March stays empty", () => {
    const rows = monthlyReturns(TIME, RETURNS);
    assert.deepEqual(
      rows.map((row) => row.year),
      [2019, 2020],
    );
    near(rows[1].months.slice(0, 4), [0.03515, -0.01, NaN, 0.02], 1e-14);
    near(
      [rows[0].months[11], rows[0].total, rows[1].total],
      [-0.0102, -0.0102, 0.04529446999999998],
      1e-14,
    );
  });

  test("the two falls of a series are found, deepest first, the open one without recovery (by hand)", () => {
    const falls = worstDrawdowns(Float64Array.of(-0.01, 0, -0.1, -0.2, -0.05, 0, 0, -0.3), 2);
    assert.deepEqual(falls, [
      { peak: 6, trough: 7, recovery: -1, depth: 0.3 },
      { peak: 1, trough: 3, recovery: 5, depth: 0.2 },
    ]);
  });

  test("7 bins of six returns hold 1, 1, 0, 1, 1, 1, 1 (numpy.histogram); equal values share one bin", () => {
    const { edges, counts } = histogram(RETURNS, 7);
    near(edges.slice(0, 3), [-0.02, -0.012857142857142857, -0.005714285714285714], 1e-14);
    assert.deepEqual([...counts], [1, 1, 0, 1, 1, 1, 1]);
    assert.deepEqual([...histogram(Float64Array.of(0, 0, NaN), 9).counts], [2]);
    assert.equal(histogram(new Float64Array(0), 9).counts.length, 0);
  });

  test(
    "3,000 random returns with gaps give pandas' rolling 60 mean and deviation to 1e-10",
    { skip: python() === null && NO_PYTHON },
    () => {
      const random = new Random(3, ["pandas"]);
      const returns = Float64Array.from({ length: 3000 }, () =>
        random.uniform() < 0.002 ? NaN : 0.0003 + 0.01 * random.normal(),
      );
      const script =
        "import sys,json,pandas as pd\nr=pd.Series(json.load(sys.stdin),dtype=float).rolling(60)\n" +
        "print(json.dumps([[None if x!=x else x for x in s] for s in (r.mean(),r.std())]))";
      const [mean, deviation] = askPython(
        script,
        [...returns].map((r) => (Number.isNaN(r) ? null : r)),
      ) as (number | null)[][];
      const ours = rollingMoments(returns, 60);
      near(
        ours.mean,
        mean.map((x) => x ?? NaN),
        1e-10,
        "mean, seed 3",
      );
      near(
        ours.deviation,
        deviation.map((x) => x ?? NaN),
        1e-10,
        "deviation, seed 3",
      );
    },
  );
});
