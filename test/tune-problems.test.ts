/** The problems that samplers are measured on have the fronts and optima of their papers. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { random } from "../src/base/random.ts";
import { BRANIN, dtlz, dtlzTarget, evaluateAt, HARTMANN6, igd, maf, spaceOf, zdt, ZDT3_REGIONS } from "./tune-problems.ts";
import type { Problem } from "./tune-problems.ts";

const PROBLEMS: readonly Problem[] = [
  ...([1, 2, 3, 4] as const).flatMap((number) => [3, 5, 11].map((M) => dtlz(number, M))),
  ...([1, 2, 3, 4] as const).map(zdt), ...([1, 3, 5, 6, 7] as const).flatMap((number) => [3, 10].map((M) => maf(number, M))),
];

test("optimal variables give points on the front's equation, and moving the distances leaves it", () => {
  for (const problem of PROBLEMS) {
    const draws = random(1, problem.name);
    for (let trial = 0; trial < 20; trial++) {
      const x = problem.optimum(Array.from({ length: problem.objectives - 1 }, () => draws.uniform()));
      assert.ok(Math.abs(problem.residual(problem.evaluate(x))) < 1e-9, problem.name);
      const worse = x.map((value, d) => d < problem.objectives - 1 ? value : Math.min(problem.high[d], value + 0.03));
      assert.ok(problem.residual(problem.evaluate(worse)) > 1e-3, problem.name);
    }
  }
});

test("Branin and Hartmann6 have their published optima", () => {
  for (const problem of [BRANIN, HARTMANN6]) {
    assert.ok(Math.abs(problem.residual(problem.evaluate(problem.optimum([])))) < 1e-9, problem.name);
    assert.ok(Math.abs(problem.best - problem.evaluate(problem.optimum([]))[0]) < 1e-9);
  }
  assert.ok(Math.abs(BRANIN.evaluate([-Math.PI, 12.275])[0] - BRANIN.best) < 1e-9);
});

test("ZDT3's regions end where a front point stops being dominated", () => {
  const problem = zdt(3), f2 = (f1: number): number => problem.evaluate(problem.optimum([f1]))[1];
  // Each region begins at the height at which the one before ended.
  for (let k = 1; k < ZDT3_REGIONS.length; k++) {
    assert.ok(Math.abs(f2(ZDT3_REGIONS[k][0]) - f2(ZDT3_REGIONS[k - 1][1])) < 1e-8);
  }
});

test("targets are where reference rays meet the front; IGD of the page's example is 5.242", () => {
  assert.deepEqual(dtlzTarget(1, [0.5, 0.25, 0.25]), [0.25, 0.125, 0.125]);
  assert.ok(Math.abs(dtlz(3, 3).residual(dtlzTarget(3, [1, 2, 3]))) < 1e-12);
  assert.equal(igd([[1, 0], [0, 10]], [[2, 5]]).toFixed(3), "5.242");
  const problem = dtlz(2, 3);
  const point = Object.fromEntries(Object.keys(spaceOf(problem)).map((name) => [name, 0.5]));
  assert.deepEqual([...evaluateAt(problem, point)].map((f) => f.toFixed(6)), ["0.500000", "0.500000", "0.707107"]);
});
