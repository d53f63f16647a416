/** The samplers' table, operators by their known answers (tune.md 2.1: Optuna's), and points drawn without learning. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { UserError } from "../src/base/error.ts";
import { random } from "../src/base/random.ts";
import { Breeder } from "../src/tune/samplers/breed.ts";
import { CROSSOVERS, mutate, sbx } from "../src/tune/samplers/operators.ts";
import type { Crossover } from "../src/tune/samplers/operators.ts";
import { sobol, SOBOL_DIMENSIONS } from "../src/tune/samplers/quasi-random.ts";
import { makeSampler, SAMPLERS } from "../src/tune/samplers/samplers.ts";
import { Tried } from "../src/tune/samplers/tried.ts";
import { checkPoint } from "../src/tune/space.ts";
import type { Parameter, Point, Space } from "../src/tune/space.ts";

const near = (found: ArrayLike<number>, expected: readonly number[], what: string): void => {
  assert.equal(found.length, expected.length, what);
  expected.forEach((value, k) => assert.ok(Math.abs(found[k] - value) < 1e-8, `${what}: ${Array.from(found).join(" ")}`));
};

describe("operators", () => {
  test("polynomial mutation, eta 1 on [0, 10]", () => {
    const cases = [[5, 0, 0], [5, 0.25, 5 + (Math.sqrt(0.625) - 1) * 10], [5, 0.5, 5], [5, 0.75, 5 + (1 - Math.sqrt(0.625)) * 10],
      [5, 1, 10], [2, 0.25, 2 + (Math.sqrt(0.82) - 1) * 10], [2, 0.75, 2 + (1 - Math.sqrt(0.52)) * 10]];
    for (const [value, u, expected] of cases) near([mutate(value, 0, 10, 1, u)], [expected], `${value}, u = ${u}`);
  });

  test("crossovers of (1, 2) (3, 4) (5, 6) with one u, or one z, for all draws", () => {
    const parents = [[1, 2], [3, 4], [5, 6]].map((row) => Float64Array.from(row));
    const box = { low: Float64Array.of(-1e9, -1e9), high: Float64Array.of(1e9, 1e9) };
    const child = (crossover: Crossover, u: number, z = 0): Float64Array =>
      crossover.cross(parents.slice(0, crossover.parents), box, { uniform: () => u, normal: () => z }, 2);
    near(child(CROSSOVERS.blend, 0), [0, 1], "blend 0");
    near(child(CROSSOVERS.blend, 0.5), [2, 3], "blend .5");
    near(child(CROSSOVERS.blend, 1), [4, 5], "blend 1");
    near(child(CROSSOVERS.sbx, 0), [2, 3], "sbx 0");
    near(child(CROSSOVERS.simplex, 0.5), [2.75735931, 3.75735931], "simplex .5");
    // Along by half of the parents' difference: sigma is 1/2, so z is 1. The third parent is on their line.
    near(child(CROSSOVERS.undx, 0.5, 1), [1, 2], "undx .5");
    near(child(CROSSOVERS.uniform, 0.2), [1, 2], "uniform");
    near(child(CROSSOVERS.uniform, 0.7), [3, 4], "uniform");
    near([sbx(1, 3, -1e9, 1e9, 2, 0.5, false), sbx(2, 4, -1e9, 1e9, 2, 0.5, true)], [1, 4], "sbx .5: the parents themselves");
  });

  test("parents swapped and the same draws make the other child: the two have the parents' sum, variable by variable", () => {
    const [a, b] = [[1, 2, 7, 0.5], [3, 1, 7, 0.7]].map((row) => Float64Array.from(row));
    const box = { low: a.map(() => -1e9), high: a.map(() => 1e9) };
    let changed = 0;
    for (const crossover of [CROSSOVERS.sbx, CROSSOVERS.uniform, CROSSOVERS.blend] as readonly Crossover[]) {
      for (let seed = 0; seed < 50; seed++) {
        const [one, other] = [[a, b], [b, a]].map((parents) => crossover.cross(parents, box, random(seed, "pair"), 30));
        near(one.map((value, d) => value + other[d]), [4, 3, 14, 1.2], "sum");
        if (one.some((value, d) => value !== a[d])) changed++;
      }
    }
    assert.ok(changed > 120, `${changed} of 150 are not the first parent`);
  });

  test("sbx and mutation stay within bounds, for 10,000 draws at them", () => {
    const draws = random(1, "bounds");
    for (let k = 0; k < 10_000; k++) {
      const a = draws.uniform() < 0.2 ? 0 : draws.uniform(), b = draws.uniform() < 0.2 ? 1 : draws.uniform();
      const child = sbx(a, b, 0, 1, 30 * draws.uniform(), draws.uniform(), draws.uniform() < 0.5);
      assert.ok(child >= -1e-12 && child <= 1 + 1e-12, `${a} ${b}: ${child}`);
      const mutant = mutate(a, 0, 1, 20, draws.uniform());
      assert.ok(mutant >= -1e-12 && mutant <= 1 + 1e-12, `${a}: ${mutant}`);
    }
  });

  test("undx keeps the variance across the parents' line: 0.35^2 of the third one's distance over the axes", () => {
    const parents = [[0, 0, 0], [2, 0, 0], [1, 3, 0]].map((row) => Float64Array.from(row)), draws = random(2, "undx");
    const sums = [0, 0, 0], n = 20_000;
    for (let k = 0; k < n; k++) {
      const child = CROSSOVERS.undx.cross(parents, { low: parents[0], high: parents[0] }, draws);
      [child[0] - 1, child[1], child[2]].forEach((value, d) => { sums[d] += value ** 2 / n; });
    }
    // Along: (0.5 x 2)^2 = 1; across: (3 x 0.35)^2 / 3 = 0.3675 on both other axes; 5 % is five standard errors.
    [1, 0.3675, 0.3675].forEach((variance, d) => assert.ok(Math.abs(sums[d] / variance - 1) < 0.05, `${d}: ${sums[d]}`));
  });
});

test("of the parameters that are active one is mutated on average, choices too", () => {
  const pair: Parameter = { kind: "choice", choices: [1, 2] };
  const space: Space = { a: pair, b: pair, ...Object.fromEntries(Array.from({ length: 8 }, (_, k) =>
    [`c${k}`, { ...pair, when: { parameter: "a", is: [3] } }])) };
  const breeder = new Breeder(space, { crossover: CROSSOVERS.sbx, etaCrossover: 30, etaMutation: 20 });
  const parent: Point = { a: 1, b: 1 }, draws = random(3, "mutants");
  let changed = 0;
  for (let k = 0; k < 4000; k++) if (breeder.child([parent, parent], draws)["b"] === 2) changed++;
  // One of two parameters, drawn anew from two values: a quarter; four standard errors are 0.027.
  assert.ok(Math.abs(changed / 4000 - 0.25) < 0.03, `${changed / 4000}`);
});

describe("quasi-random", () => {
  test("points 0 .. 4, and points 101 and 255 in 256ths as scipy 1.17.1 has them: qmc.Sobol(21, scramble=False)", () => {
    const row = (k: number, parts: number, D = SOBOL_DIMENSIONS): number[] =>
      Array.from({ length: D }, (_d, d) => sobol(k, d) / 2 ** 32 * parts);
    assert.deepEqual([0, 1, 2, 3, 4].map((k) => row(k, 8, 4)),
      [[0, 0, 0, 0], [4, 4, 4, 4], [6, 2, 2, 2], [2, 6, 6, 6], [3, 3, 5, 7]]);
    assert.deepEqual(row(101, 256),
      [234, 194, 70, 58, 98, 62, 134, 250, 34, 50, 246, 46, 250, 90, 210, 254, 46, 62, 86, 214, 66]);
    assert.deepEqual(row(255, 256),
      [1, 255, 197, 147, 157, 251, 227, 45, 113, 91, 35, 43, 51, 163, 157, 133, 103, 109, 187, 65, 81]);
  });

  test("each half, quarter ... sixty-fourth of every parameter's range has one of 64 trials; a seed moves them", () => {
    const space: Space = Object.fromEntries(Array.from({ length: 10 }, (_, d) => [`x${d}`, { kind: "float", low: 0, high: 1 }]));
    const points = [1, 2].map((seed) => {
      const sampler = makeSampler({ name: "quasi-random", settings: {} }, { space, objectives: 1, seed });
      return Array.from({ length: 64 }, (_, k) => sampler.suggest(k, [])!.point);
    });
    for (const name of Object.keys(space)) {
      const cells = points.map((study) => study.map((point) => Math.floor(64 * Number(point[name]))));
      for (const study of cells) assert.deepEqual(study.toSorted((a, b) => a - b), Array.from({ length: 64 }, (_, k) => k));
      assert.notDeepEqual(cells[0], cells[1]);
    }
  });
});

describe("the table", () => {
  const space: Space = { rate: { kind: "float", low: 1e-4, high: 1, isLog: true }, width: { kind: "choice", choices: [20, 40] },
    heads: { kind: "choice", choices: [1, 2, 4], when: { parameter: "width", is: [40] } } };
  const options = { space, objectives: 2, seed: 5, trials: 100 };

  test("every sampler suggests points of the space, the same ones again from the same seed and what it was told", () => {
    for (const name of Object.keys(SAMPLERS)) {
      const run = (): Point[] => {
        const sampler = makeSampler({ name, settings: {} }, options), points: Point[] = [];
        for (let number = 0; number < 60; number++) {
          const suggestion = sampler.suggest(number, []);
          assert.ok(suggestion !== null, `${name}: ${number}`);
          checkPoint(space, suggestion.point);
          points.push(suggestion.point);
          const x = Math.log10(Number(suggestion.point["rate"]));
          sampler.tell({ number, point: suggestion.point, state: number % 7 === 3 ? "failed" : "complete",
            losses: number % 7 === 3 ? Float64Array.of(NaN, NaN) : Float64Array.of(x * x, (x + 2) ** 2), violation: 0, step: 1,
            parent: suggestion.parent });
        }
        return points;
      };
      assert.deepEqual(run(), run(), name);
    }
  });

  test("unknown names and settings are refused in a sentence", () => {
    const refuse = (name: string, settings: Record<string, number | string>, expected: RegExp): void =>
      assert.throws(() => makeSampler({ name, settings }, options),
        (error) => error instanceof UserError && expected.test(error.message));
    refuse("nsga4", {}, /there is no sampler "nsga4"\ndid you mean "nsga3"\?/);
    refuse("nsga3", { populatoin: 3 }, /sampler nsga3 has no setting "populatoin"\ndid you mean "population"\?/);
    refuse("nsga3", { population: 1.5 }, /population is 1.5; it is a whole number from 0 to 10000/);
    refuse("nsga3", { crossover: "sbxx" }, /crossover is sbxx\ndid you mean "sbx"\?/);
    const many = { ...options, objectives: 11 };
    assert.throws(() => makeSampler({ name: "nsga3", settings: { divisions: 100 } }, many), (error) => error instanceof UserError
      && /divisions 100 would be \d+ directions of 11 objectives/.test(error.problem)
      && error.hint === "set divisions to 6 or less: 8008 directions");
    refuse("nsga3", { mode: "generations" }, /generations cannot grow with the study\nset divisions as well/);
    assert.ok(makeSampler({ name: "nsga3", settings: { population: "24" } }, options) !== null);
  });

  test("a point that was tried or runs is not fresh; where all are, the last draw is taken", () => {
    const tried = new Tried(space);
    const points: readonly Point[] = [{ rate: 0.1, width: 20 }, { rate: 0.2, width: 20 }, { rate: 0.3, width: 20 }];
    tried.add(points[0]);
    assert.deepEqual(tried.fresh([points[1]], 10, (attempt) => points[attempt]), points[2]);
    assert.deepEqual(tried.fresh([points[1]], 2, (attempt) => points[attempt]), points[1]);
  });
});
