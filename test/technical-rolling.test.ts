/** The rolling kernels in double precision against one window at a time, after a million rows and a price gone mad. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { random } from "../src/base/random.ts";
import { covarianceLength, rollingCorrelation, rollingShape, shapeLength } from "../src/features/rolling-moments.ts";
import { BLOCK, exponentialAverage, extremesLength, lagged, lagLength, momentsLength, rollingExtremes, rollingMoments,
  rollingSum, rollingWeighted, sumLength, weightedLength } from "../src/features/rolling.ts";

const ROWS = 1_000_000, SEED = 20240301;

/** A random walk of positive prices that stands a million times too high for ten rows at 400,000 and at 999,700. */
function prices(): Float64Array {
  const stream = random(SEED, "rolling"), x = new Float64Array(ROWS);
  let level = 100;
  for (let t = 0; t < ROWS; t++) {
    level = 100 + 0.999 * (level - 100) + 0.1 * stream.normal();
    const isMad = (t >= 400_000 && t < 400_010) || (t >= 999_700 && t < 999_710);
    x[t] = isMad ? level * 1e6 : level;
  }
  return x;
}
const X = prices();

/** Rows compared: the ends of the series, around both jumps, and every 9,973rd. */
const SAMPLE = [...new Set([...Array.from({ length: 101 }, (_, k) => k * 9_973),
  ...Array.from({ length: 60 }, (_, k) => 399_990 + 6 * k), ...Array.from({ length: 60 }, (_, k) => 999_699 + 5 * k),
  ROWS - 1])].filter((t) => t < ROWS);

type Kernel = (x: Float64Array, n: number, state: Float64Array, out: readonly Float64Array[]) => void;

/** Feeds X in blocks of varying length; returns the outputs at the sampled rows. */
function run(kernel: Kernel, stateLength: number, outputs: number): Map<number, number[]> {
  const stream = random(SEED, "blocks"), state = new Float64Array(stateLength), wanted = new Set(SAMPLE);
  const x = new Float64Array(BLOCK), out = Array.from({ length: outputs }, () => new Float64Array(BLOCK));
  const results = new Map<number, number[]>();
  for (let from = 0; from < ROWS;) {
    const n = Math.min(1 + stream.below(BLOCK), ROWS - from);
    x.set(X.subarray(from, from + n));
    kernel(x, n, state, out);
    for (let i = 0; i < n; i++) if (wanted.has(from + i)) results.set(from + i, out.map((values) => values[i]));
    from += n;
  }
  return results;
}

/** Compares with `naive` of each whole window to 1e-9, relative (and `absolute` of the window's own scale). */
function check(kernel: Kernel, stateLength: number, window: number, naive: (cut: Float64Array, t: number) => number[],
  absolute = 0): void {
  const outputs = naive(X.subarray(0, window), window - 1).length;
  let compared = 0;
  for (const [t, values] of run(kernel, stateLength, outputs)) {
    if (t < window - 1) continue;
    const expected = naive(X.subarray(t - window + 1, t + 1), t);
    for (const [k, value] of values.entries()) {
      const error = Math.abs(value - expected[k]);
      assert.ok(error <= 1e-9 * Math.abs(expected[k]) + absolute,
        `seed ${SEED}, window ${window}, row ${t}, output ${k}: ${value}, not ${expected[k]}`);
      compared++;
    }
  }
  assert.ok(compared > 150 * outputs);
}

/** Central moments by two passes: the mean first, corrected by the mean of what it leaves. */
function moments(cut: Float64Array, upTo: number): number[] {
  let mean = cut.reduce((sum, value) => sum + value, 0) / cut.length;
  mean += cut.reduce((sum, value) => sum + (value - mean), 0) / cut.length;
  const powers = Array.from({ length: upTo - 1 }, (_, k) =>
    cut.reduce((sum, value) => sum + (value - mean) ** (k + 2), 0) / cut.length);
  return [mean, ...powers];
}

describe("after a million rows, with jumps of a million times and back, within 1e-9 of each window alone", () => {
  for (const window of [1, 2, 20, 252]) {
    test(`sum of ${window}`, () => {
      check((x, n, state, [y]) => rollingSum(x, n, window, state, 0, y), sumLength(window), window,
        (cut) => [cut.reduce((sum, value) => sum + value, 0)]);
    });

    test(`mean and variance of ${window}`, () => {
      check((x, n, state, [m, v]) => rollingMoments(x, n, window, state, 0, m, v), momentsLength(window), window,
        (cut) => moments(cut, 2));
    });

    test(`largest and smallest of ${window}`, () => {
      check((x, n, state, [a, b]) => rollingExtremes(x, x, n, window, state, 0, a, b), extremesLength(window), window,
        (cut) => [cut.reduce((a, b) => Math.max(a, b)), cut.reduce((a, b) => Math.min(a, b))]);
    });

    test(`sum with weights 1..${window}`, () => {
      check((x, n, state, [s, w]) => rollingWeighted(x, n, window, state, 0, s, w), weightedLength(window), window,
        (cut) => [cut.reduce((sum, value) => sum + value, 0), cut.reduce((sum, value, k) => sum + (k + 1) * value, 0)]);
    });

    test(`the value ${window} rows ago`, () => {
      check((x, n, state, [y]) => lagged(x, n, window, state, 0, y), lagLength(window), window + 1,
        (_, t) => [X[t - window]]);
    });
  }

  for (const window of [4, 63]) {
    test(`second, third and fourth moment of ${window}, scaled by the deviation`, () => {
      check((x, n, state, [a, b, c]) => {
        rollingShape(x, n, window, state, 0, a, b, c);
        for (let i = 0; i < n; i++) {
          b[i] /= a[i] ** 1.5;
          c[i] /= a[i] ** 2;
        }
      }, shapeLength(window), window, (cut) => {
        const [, m2, m3, m4] = moments(cut, 4);
        return [m2, m3 / m2 ** 1.5, m4 / m2 ** 2];
      }, 1e-9);
    });

    test(`correlation of ${window} pairs`, () => {
      const clock = new Float64Array(BLOCK);
      let seen = 0;
      check((x, n, state, [y]) => {
        for (let i = 0; i < n; i++) clock[i] = (seen + i) % 11;
        seen += n;
        rollingCorrelation(x, clock, n, window, state, 0, y);
      }, covarianceLength(window), window, (cut, t) => {
        const other = Float64Array.from(cut, (_, k) => (t - window + 1 + k) % 11);
        const [mx, vx] = moments(cut, 2), [my, vy] = moments(other, 2);
        const both = cut.reduce((sum, value, k) => sum + (value - mx) * (other[k] - my), 0) / window;
        return [both / Math.sqrt(vx * vy)];
      }, 1e-9);
    });
  }
});

describe("kernels by hand", () => {
  test("the variance of equal numbers is exactly 0, also of 0.1 in windows of 7", () => {
    const state = new Float64Array(momentsLength(7)), x = new Float64Array(100).fill(0.1);
    const mean = new Float64Array(100), variance = new Float64Array(100);
    rollingMoments(x, 100, 7, state, 0, mean, variance);
    assert.ok(variance.subarray(6).every((value) => value === 0));
    assert.ok(mean.subarray(6).every((value) => value === 0.1));
  });

  test("an average of 3 with alpha 1/2 that skips one value: 9 | 1, 2, 3 -> 2, then 6 -> 4 (by hand)", () => {
    const y = new Float64Array(5);
    exponentialAverage(Float64Array.of(9, 1, 2, 3, 6), 5, 3, 0.5, 1, new Float64Array(2), 0, y);
    assert.deepEqual([...y.subarray(3)], [2, 4]);
  });
});
