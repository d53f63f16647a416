import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { random, type Random } from "../src/base/random.ts";
import { hypervolume, referencePoint } from "../src/tune/hypervolume.ts";
import { dominates } from "../src/tune/pareto.ts";
import { HypervolumeSplit } from "../src/tune/samplers/many-tpe.ts";
import { makeSampler } from "../src/tune/samplers/samplers.ts";
import type { Finished } from "../src/tune/trial.ts";
import { dtlz, evaluateAt, spaceOf } from "./tune-problems.ts";

const told = (number: number, losses: ArrayLike<number>, more: Partial<Finished> = {}): Finished =>
  ({ number, point: {}, state: "complete", losses: Float64Array.from(losses), violation: 0, step: 0, parent: null, ...more });

/** Rows that are good. */
function good(trials: readonly Finished[], objectives: number, seed = 1): number[] {
  const split = new HypervolumeSplit(objectives, seed), isGood = new Uint8Array(trials.length);
  for (const trial of trials) split.tell(trial);
  split.mark(isGood);
  return [...isGood.keys()].filter((row) => isGood[row] === 1);
}
const cloud = (n: number, M: number, draws: Random): number[][] =>
  Array.from({ length: n }, () => Array.from({ length: M }, () => draws.normal()));
/** Points of a sphere's concave front. */
const front = (n: number, M: number, draws: Random): number[][] => cloud(n, M, draws)
  .map((point) => point.map((value) => 1 - Math.abs(value) / Math.hypot(...point)));

/** The greedy hypervolume subset by exact hypervolumes, as Optuna's MOTPE takes it. */
function greedySubset(points: readonly (readonly number[])[], count: number, reference: ArrayLike<number>): number[] {
  const chosen: number[] = [];
  while (chosen.length < count) {
    const left = [...points.keys()].filter((k) => !chosen.includes(k));
    const volumes = left.map((k) => hypervolume([...chosen, k].map((one) => points[one]), reference).value);
    chosen.push(left[volumes.indexOf(Math.max(...volumes))]);
  }
  return chosen;
}

describe("many-objective TPE: which trials are good", () => {
  for (const M of [2, 3, 5, 11]) {
    test(`a tenth of 200 trials, and who dominates one of them is among them too, M = ${M}`, () => {
      const losses = cloud(200, M, random(1, "cloud", M)), rows = good(losses.map((row, k) => told(k, row)), M);
      assert.equal(rows.length, 20);
      for (const k of rows) {
        const better = losses.findIndex((other, j) => dominates(other, losses[k]) && !rows.includes(j));
        assert.equal(better, -1, `${k} is good, ${better} is better and is not`);
      }
    });
  }

  for (const M of [2, 3]) {
    test(`6 of 60 points of a front cover within 2 % of what the exact greedy subset does, M = ${M}, 5 fronts`, () => {
      const ratios = [1, 2, 3, 4, 5].map((seed) => {
        const points = front(60, M, random(seed, "front", M)), reference = referencePoint(points);
        const volume = (rows: readonly number[]): number => hypervolume(rows.map((k) => points[k]), reference).value;
        return volume(good(points.map((row, k) => told(k, row)), M, seed)) / volume(greedySubset(points, 6, reference));
      });
      const mean = ratios.reduce((sum, ratio) => sum + ratio) / ratios.length;
      assert.ok(mean >= 0.98, `${mean}: ${ratios.join(" ")}`);
    });
  }

  test("units do not matter: each loss in another one, with another zero, gives the same trials", () => {
    const losses = cloud(150, 5, random(2, "units")), units = [1, 1024, 1 / 4096, 2 ** 40, 1], zeros = [0, 64, 0, 0, -8];
    const scaled = losses.map((row) => row.map((loss, m) => loss * units[m] + zeros[m]));
    assert.deepEqual(good(scaled.map((row, k) => told(k, row)), 5), good(losses.map((row, k) => told(k, row)), 5));
  });

  test("two ruined trials (1e300, Infinity, NaN) of 100 leave the good ones as they were, and are not good", () => {
    const losses = cloud(100, 4, random(3, "ruined"));
    const kept = good(losses.map((row, k) => told(k, row)), 4);
    const ruined = [...losses, [1e300, Infinity, 1, 1e300], [NaN, NaN, NaN, NaN]];
    const rows = good(ruined.map((row, k) => told(k, row)), 4);
    assert.ok(rows.every((k) => k < 100));
    assert.ok(kept.filter((k) => rows.includes(k)).length >= 9, `${kept.join(" ")} and ${rows.join(" ")}`);
  });

  test("ranges that doubles cannot divide by, tiny or huge, count as none: the other objective decides", () => {
    for (const [low, high] of [[0, 1e-310], [-1e308, 1e308]]) {
      const trials = Array.from({ length: 30 }, (_, k) => told(k, [k % 2 === 0 ? low : high, k]));
      assert.ok(good(trials, 2).includes(0), `${low} .. ${high}: ${good(trials, 2).join(" ")}`);
      assert.equal(good(trials, 2).length, 3);
    }
  });

  test("what is marked depends on what was told, not on when it was asked", () => {
    const losses = cloud(300, 3, random(4, "asked")), often = new HypervolumeSplit(3, 1), once = new HypervolumeSplit(3, 1);
    const one = new Uint8Array(300), other = new Uint8Array(300);
    losses.forEach((row, k) => {
      often.tell(told(k, row));
      once.tell(told(k, row));
      if (k % 3 === 0) often.mark(one);
    });
    often.mark(one);
    once.mark(other);
    assert.deepEqual(one, other);
  });

  test("equal trials, and fewer complete ones than are wanted: pruned ones follow, longest-lived first", () => {
    assert.deepEqual(good(Array.from({ length: 30 }, (_, k) => told(k, [1, 1])), 2).length, 3);
    const trials = [told(0, [1, 1]), told(1, [0, 0], { state: "pruned", step: 2 }), told(2, [9, 9], { state: "pruned", step: 5 }),
      ...Array.from({ length: 10 }, (_, k) => told(3 + k, [0, 0], { state: "infeasible", violation: 1 }))];
    assert.deepEqual(good(trials, 2), [0, 2]);
  });
});

describe("many-objective TPE: suggestions", () => {
  // 5 objectives: 0.74 of the box by random points, 0.88 by these (200 trials, test/long-tune-tpe.ts).
  for (const { M, hoped } of [{ M: 3, hoped: 0.08 }, { M: 11, hoped: 0.08 }]) {
    test(`DTLZ2, M = ${M}: 100 trials fill ${hoped} more of the box to 2 than random ones, mean of 3 seeds`, () => {
      const problem = dtlz(2, M), space = spaceOf(problem), reference = Array.from({ length: M }, () => 2);
      const filled = (name: string, seed: number): number => {
        const sampler = makeSampler({ name, settings: {} }, { space, objectives: M, seed });
        const found: Float64Array[] = [];
        for (let k = 0; k < 100; k++) {
          const { point } = sampler.suggest(k, [])!, losses = evaluateAt(problem, point);
          sampler.tell({ ...told(k, losses), point });
          if (losses.every((loss) => loss < 2)) found.push(losses);
        }
        return hypervolume(found, reference, { seed: 1, samples: 5000, operationsMax: 1e6 }).value / 2 ** M;
      };
      const gains = [1, 2, 3].map((seed) => filled("tpe", seed) - filled("random", seed));
      const mean = gains.reduce((sum, gain) => sum + gain) / 3;
      assert.ok(mean >= hoped, `${mean}: ${gains.join(" ")}`);
    });
  }
});
