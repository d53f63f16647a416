import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { random } from "../src/base/random.ts";
import { sharpeDifference } from "../src/metrics/sharpe-difference.ts";

describe("the test of two Sharpe ratios", () => {
  test("on independent normal returns its standard error is Memmel's (2003): (2 - 2 rho + ...) / n", () => {
    const stream = random(3, "sharpe difference"), n = 200_000, rho = 0.6;
    const a = new Float64Array(n), b = new Float64Array(n);
    for (let t = 0; t < n; t++) {
      const shared = stream.normal();
      a[t] = 0.1 + shared;
      b[t] = 0.05 + rho * shared + Math.sqrt(1 - rho * rho) * stream.normal();
    }
    const { difference, standardError } = sharpeDifference(a, b);
    const memmel = Math.sqrt((2 - 2 * rho + (0.1 ** 2 + 0.05 ** 2 - 2 * 0.1 * 0.05 * rho ** 2) / 2) / n);
    assert.ok(Math.abs(standardError / memmel - 1) < 0.02, `${standardError} against ${memmel}`);
    assert.ok(Math.abs(difference - 0.05) < 4 * memmel);
  });

  test("p-values of equal Sharpe ratios are uniform: one in twenty is below 0.05", () => {
    let below = 0;
    const runs = 2000, n = 300;
    for (let run = 0; run < runs; run++) {
      const stream = random(run, "null"), draw = (): number => 0.05 + stream.studentT(5);
      const a = Float64Array.from({ length: n }, draw), b = Float64Array.from({ length: n }, draw);
      if (sharpeDifference(a, b).pValue < 0.05) below++;
    }
    assert.ok(Math.abs(below / runs - 0.05) < 0.02, `${below / runs}`);
  });

  test("a swap of the two turns the difference and the p-value around; equal series have no answer", () => {
    const stream = random(5, "swap");
    const a = Float64Array.from({ length: 400 }, () => 0.1 + stream.normal());
    const b = Float64Array.from({ length: 400 }, () => stream.normal());
    const one = sharpeDifference(a, b), other = sharpeDifference(b, a);
    assert.ok(Math.abs(one.difference + other.difference) < 1e-15);
    assert.ok(Math.abs(one.pValue + other.pValue - 1) < 1e-12);
    assert.ok(Number.isNaN(sharpeDifference(a, new Float64Array(400)).pValue));
  });
});
