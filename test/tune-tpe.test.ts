import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { random } from "../src/base/random.ts";
import type { Settings } from "../src/tune/choice.ts";
import { erf, inverseErf, logMass, truncatedNormal } from "../src/tune/samplers/normal.ts";
import { axesOf, Observations, Parzen, placeOf, weighByAge } from "../src/tune/samplers/parzen.ts";
import { makeSampler } from "../src/tune/samplers/samplers.ts";
import type { Sampler } from "../src/tune/samplers/sampler.ts";
import { countGood, LossSplit } from "../src/tune/samplers/split.ts";
import { activeNames, checkPoint, drawPoint, type Parameter, type Point, type Space } from "../src/tune/space.ts";
import { signed, type Finished, type Objective } from "../src/tune/trial.ts";
import { askPython, NO_PYTHON, python } from "./python.ts";
import { BRANIN, evaluateAt, HARTMANN6, spaceOf, type Problem } from "./tune-problems.ts";

const near = (found: number, hoped: number, tolerance: number, what = ""): void =>
  assert.ok(Math.abs(found - hoped) <= tolerance, `${what} ${found} instead of ${hoped}`);
const relative = (found: number, hoped: number, what: string): void =>
  near(found, hoped, 2e-14 * Math.abs(hoped), what);
const told = (number: number, point: Point, losses: readonly number[], more: Partial<Finished> = {}): Finished =>
  ({ number, point, state: "complete", losses: Float64Array.from(losses), violation: 0, step: 0, parent: null, ...more });
const tpe = (space: Space, seed: number, objectives = 1, settings: Settings = {}): Sampler =>
  makeSampler({ name: "tpe", settings }, { space, objectives, seed });

/** An estimator of points over a space, all weights by age. */
function fitted(space: Space, points: readonly Point[]): { parzen: Parzen; at: (point: Point) => number } {
  const axes = axesOf(Object.entries(space)), seen = new Observations(axes), parzen = new Parzen(axes);
  for (const point of points) seen.push(point);
  parzen.fit(seen, new Uint8Array(points.length), 0, true);
  return { parzen, at: (point) => parzen.logDensity(Float64Array.from(axes, (axis) => placeOf(axis, point[axis.name]))) };
}

describe("normal distribution: numbers of mpmath at 150 digits", () => {
  for (const [x, hoped] of [[-3, -0.9999779095030014], [0.1, 0.11246291601828488], [0.46875, 0.49261347321793797],
    [1, 0.8427007929497149], [4.1, 0.9999999932999724]] as const) {
    test(`erf(${x})`, () => relative(erf(x), hoped, ""));
  }
  for (const [x, hoped] of [[2 ** -10 - 1, -2.331467773621948], [0.1, 0.08885599049425769], [0.3, 0.2724627147267543],
    [0.99, 1.82138636771845]] as const) {
    test(`its inverse at ${x}`, () => near(inverseErf(x), hoped, 2e-12));
  }
  for (const [a, b, hoped] of [[30, 31, -454.3212439563433], [-31, -30, -454.3212439563433], [0, 1, -1.074862326862071],
    [1, 1.25, -2.937359969556651], [8.75, 9, -41.49372297512538], [-0.1, 0.2, -2.127896369665222],
    [50, 50.01, -1255.763728294576], [-100, -99, -4906.014160387732]] as const) {
    test(`log mass of [${a}, ${b}]`, () => relative(logMass(a, b), hoped, ""));
  }
  test("a truncated normal stays inside its bounds, ends included", () => {
    for (const u of [0, 1e-300, 0.5, 1 - 2 ** -53]) {
      for (const [a, b] of [[-30, 30], [0, 1e-9], [-1e9, 0]]) {
        const x = truncatedNormal(a, b, u);
        assert.ok(x >= a && x <= b, `${x} outside [${a}, ${b}]`);
      }
    }
  });
});

describe("TPE: constants of Optuna 5", () => {
  test("good ones of 1, 10, 11, 100, 250, 1000 trials: 1 1 2 10 25 25", () => {
    assert.deepEqual([1, 10, 11, 100, 250, 1000].map(countGood), [1, 1, 2, 10, 25, 25]);
  });

  test("weights of 30: 1/30 .275 .516667 .758333 1 1 ...; of 24 all 1; of 26 1/26 and ones", () => {
    const weights = new Float64Array(30);
    weighByAge(30, weights);
    [1 / 30, 0.275, 0.51666667, 0.75833333, 1, 1].forEach((hoped, k) => near(weights[k], hoped, 1e-8));
    weighByAge(26, weights);
    near(weights[0], 1 / 26, 1e-15);
    assert.deepEqual([...weights.subarray(1, 26)], Array.from({ length: 25 }, () => 1));
    weighByAge(24, weights);
    assert.deepEqual([...weights.subarray(0, 24)], Array.from({ length: 24 }, () => 1));
  });

  const cases: readonly [string, Parameter, readonly (number | string)[], readonly (readonly [number | string, number])[]][] = [
    ["float [0, 1]", { kind: "float", low: 0, high: 1 }, [0.1, 0.5, 0.9],
      [[0.1, -0.088983496], [0.3, 0.046409373], [0.75, 0.022060115]]],
    ["log float", { kind: "float", low: 1e-5, high: 0.1, isLog: true }, [1e-4, 1e-3],
      [[1e-4, -1.951946523], [3e-3, -2.166931323]]],
    ["integer [1, 10]", { kind: "integer", low: 1, high: 10 }, [3, 7],
      [[3, -2.231153498], [5, -2.163172022], [10, -2.59356579]]],
    ["log integer [1, 100]", { kind: "integer", low: 1, high: 100, isLog: true }, [3, 50],
      [[3, -2.742223139], [10, -3.877095679], [50, -5.557350253]]],
    ["step .25", { kind: "float", low: 0, high: 1, step: 0.25 }, [0.25],
      [[0, -1.591754588], [0.25, -1.542082117], [1, -1.749938126]]],
    ["3 choices", { kind: "choice", choices: ["a", "b", "c"] }, ["a", "c", "c"],
      [["a", -1.098612289], ["b", -1.658228077], ["c", -0.741937345]]],
  ];
  for (const [name, x, observed, asked] of cases) {
    test(`log density of ${name} as Optuna computes it`, () => {
      const { at } = fitted({ x }, observed.map((value) => ({ x: value })));
      for (const [value, hoped] of asked) near(at({ x: value }), hoped, 2e-9, `at ${value}:`);
    });
  }
});

const MIXED: Space = {
  rate: { kind: "float", low: 1e-5, high: 0.1, isLog: true }, share: { kind: "float", low: -1, high: 2 },
  width: { kind: "integer", low: 1, high: 100_000 }, units: { kind: "integer", low: 50, high: 1e5, isLog: true },
  kind: { kind: "choice", choices: ["x", "y", "z"] },
};
// Widths of kernels at the same place depend on which of equals comes first; these ranges have no equals.
const ORACLE = `
import json, sys, numpy as np
from optuna.distributions import FloatDistribution as F, IntDistribution as I, CategoricalDistribution as C
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
from optuna.samplers._tpe.sampler import default_weights
S = dict(rate=F(1e-5, .1, log=True), share=F(-1, 2), width=I(1, 100000), units=I(50, 100000, log=True), kind=C(["x", "y", "z"]))
def ask(case):
    space = {name: S[name] for name in case["names"]}
    reals = lambda points: {n: np.array([d.to_internal_repr(p[n]) for p in points], dtype=float) for n, d in space.items()}
    parzen = _ParzenEstimator(reals(case["points"]), space, _ParzenEstimatorParameters(1.0, True, False, default_weights, True))
    return parzen.log_pdf(reals(case["asked"])).tolist()
print(json.dumps([ask(case) for case in json.load(sys.stdin)]))`;
const hasOptuna = python() !== null && (() => {
  try { return askPython("import optuna\nprint(1)", null) === 1; } catch { return false; }
})();

describe("TPE: the estimator", () => {
  test("densities together and alone, of 0 to 60 points of mixed kinds, are Optuna's to 1e-8",
    { skip: hasOptuna ? false : `${NO_PYTHON} (Optuna)` }, () => {
      const draws = random(1, "oracle");
      const cases = [Object.keys(MIXED), ...Object.keys(MIXED).map((name) => [name])].flatMap((names) =>
        [0, 1, 2, 7, 24, 26, 60].map((n) => {
          const space = Object.fromEntries(names.map((name) => [name, MIXED[name]]));
          return { names, space, points: Array.from({ length: n }, () => drawPoint(space, draws)),
            asked: Array.from({ length: 8 }, () => drawPoint(space, draws)) };
        }));
      const hoped = askPython(ORACLE, cases) as number[][];
      cases.forEach(({ space, points, asked, names }, k) => {
        const { at } = fitted(space, points);
        asked.forEach((point, j) => near(at(point), hoped[k][j], 1e-8, `${names.join("+")} n=${points.length}:`));
      });
    });

  for (const [name, one] of Object.entries({ ...MIXED, coarse: { kind: "integer", low: 1, high: 9 } as Parameter })) {
    test(`4,000 draws of ${name} are distributed as the density says`, () => {
      const space = { x: one }, draws = random(3, "draws", name);
      const { parzen } = fitted(space, Array.from({ length: 12 }, () => drawPoint(space, draws)));
      const out = new Float64Array(1), found: number[] = [];
      for (let k = 0; k < 4000; k++) {
        parzen.draw(draws, out);
        found.push(out[0]);
      }
      found.sort((a, b) => a - b);
      const [{ kind, low, high }] = axesOf([["x", one]]);
      const cumulative = cumulate(parzen, kind === "real" ? [low, high] : null, one);
      // Kolmogorov's distance: over 1.63 / sqrt(n) in one of 100 cases; of values on a grid less.
      let most = 0;
      for (const [place, below] of cumulative) {
        const rank = found.findLastIndex((value) => value <= place + 1e-9) + 1;
        most = Math.max(most, Math.abs(rank / found.length - below));
      }
      assert.ok(most < 0.0257, `${most}`);
    });
  }
});

/** (place, mass up to it) by adding the density up: of a real at 500 midpoints, of a grid at its first 3000 values. */
function cumulate(parzen: Parzen, bounds: readonly [number, number] | null, one: Parameter): [number, number][] {
  const at = (place: number): number => Math.exp(parzen.logDensity(Float64Array.of(place)));
  let sum = 0;
  if (bounds !== null) {
    const width = (bounds[1] - bounds[0]) / 500;
    return Array.from({ length: 500 }, (_, k) => {
      sum += at(bounds[0] + (k + 0.5) * width) * width;
      return [bounds[0] + (k + 1) * width, sum];
    });
  }
  if (one.kind === "choice") return one.choices.map((_, k) => [k, sum += at(k)]);
  const values = Math.min(one.high, 3000);
  return Array.from({ length: values }, (_, k) => {
    const place = one.isLog === true ? Math.log(k + one.low) : k + one.low;
    return [place, sum += at(place)];
  });
}

describe("TPE: which trials are good", () => {
  const good = (trials: readonly Finished[]): number[] => {
    const split = new LossSplit(), isGood = new Uint8Array(trials.length);
    for (const trial of trials) split.tell(trial);
    split.mark(isGood);
    return [...isGood.keys()].filter((row) => isGood[row] === 1);
  };
  const NONE: Point = {};

  test("complete ones by loss, NaN last; the older of equals first", () => {
    const losses = [5, NaN, 3, 3, 9, 1, 8, 7, 6, 4, 2];
    assert.deepEqual(good(losses.map((loss, k) => told(k, NONE, [loss]))), [5, 10]);
    assert.deepEqual(good([3, 3, 3].map((loss, k) => told(k, NONE, [loss]))), [0]);
  });

  test("then pruned ones, longest-lived first, then by loss; then infeasible ones by violation", () => {
    const rest = [
      told(0, NONE, [0], { violation: 2 }), told(1, NONE, [9], { state: "pruned", step: 3 }),
      told(2, NONE, [1], { state: "pruned", step: 1 }), told(3, NONE, [NaN], { state: "pruned", step: 3 }),
      told(4, NONE, [0], { state: "infeasible", violation: 1 }), told(5, NONE, [7])];
    const many = (count: number): Finished[] => [...rest,
      ...Array.from({ length: count }, (_, k) => told(6 + k, NONE, [0], { violation: 5 }))];
    assert.deepEqual(good(many(0)), [5]);
    assert.deepEqual(good(many(10)), [1, 5]);
    assert.deepEqual(good(many(20)), [1, 3, 5]);
    assert.deepEqual(good(many(30)), [1, 2, 3, 5]);
    assert.deepEqual(good(many(40)), [1, 2, 3, 4, 5]);
    assert.deepEqual(good(many(50)), [0, 1, 2, 3, 4, 5]);
  });
});

/** Best loss less the optimum after each trial. */
function regrets(problem: Problem & { readonly best: number }, seed: number, trials: number): number[] {
  const sampler = tpe(spaceOf(problem), seed);
  let best = Infinity;
  return Array.from({ length: trials }, (_, k) => {
    const { point } = sampler.suggest(k, [])!, losses = evaluateAt(problem, point);
    sampler.tell(told(k, point, [...losses]));
    return (best = Math.min(best, losses[0])) - problem.best;
  });
}
const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b), middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};

describe("TPE: suggestions", () => {
  // Medians of Optuna 5.0.0 over 120 seeds (1000 to 1119, test/peers/tune_regret.py). Few seeds say little here: Hartmann6
  // has a second optimum at 0.119, where 37 % of Optuna's runs and 33 % of 480 of ours still are after 200 trials.
  for (const [problem, hoped] of [[BRANIN, [0.0284, 0.0032]], [HARTMANN6, [0.1537, 0.0369]]] as const) {
    test(`${problem.name}: median regret after 100 and 200 trials is within 1.5 x Optuna's ${hoped.join(", ")}`, () => {
      const runs = Array.from({ length: 60 }, (_, seed) => regrets(problem, seed, 200));
      [100, 200].forEach((trials, k) => {
        const found = median(runs.map((run) => run[trials - 1]));
        assert.ok(found <= 1.5 * hoped[k], `${found} after ${trials}`);
      });
    });
  }

  for (const M of [1, 3]) {
    test(`minimising f and maximising -f suggest the same points, bit for bit, M = ${M}`, () => {
      const objectives = (direction: Objective["direction"]): Objective[] =>
        Array.from({ length: M }, (_, m) => ({ name: `f${m}`, direction: m === 1 ? "minimise" : direction }));
      const run = (direction: Objective["direction"]): Point[] => {
        const sampler = tpe(MIXED, 5, M), sign = direction === "maximise" ? -1 : 1;
        return Array.from({ length: 60 }, (_, k) => {
          const { point } = sampler.suggest(k, [])!;
          const f = [Math.abs(Number(point.share)), Math.log(Number(point.rate)) ** 2, Number(point.width) / 1e6].slice(0, M);
          sampler.tell(told(k, point, [...signed(objectives(direction), f.map((v, m) => m === 1 ? v : sign * v))]));
          return point;
        });
      };
      assert.deepEqual(run("maximise"), run("minimise"));
    });
  }

  test("a suggestion is a function of seed, number, what was told and what runs", () => {
    const space = spaceOf(BRANIN), one = tpe(space, 1), two = tpe(space, 1), other = tpe(space, 2);
    for (let k = 0; k < 30; k++) {
      const { point } = one.suggest(k, [])!, trial = told(k, point, [...evaluateAt(BRANIN, point)]);
      for (const sampler of [one, two, other]) sampler.tell(trial);
    }
    const running: Point[] = Array.from({ length: 20 }, () => one.suggest(31, [])!.point);
    assert.deepEqual(one.suggest(31, running), two.suggest(31, running));
    assert.deepEqual(one.suggest(31, running), two.suggest(31, running), "asked again");
    assert.notDeepEqual(one.suggest(31, running), one.suggest(31, []), "what runs");
    assert.notDeepEqual(one.suggest(31, running), one.suggest(32, running), "number");
    assert.notDeepEqual(one.suggest(31, running), other.suggest(31, running), "seed");
  });

  test("failed and cancelled trials teach nothing, one objective or two", () => {
    for (const M of [1, 2]) {
      const space = spaceOf(BRANIN), one = tpe(space, 1, M), other = tpe(space, 1, M);
      for (let k = 0; k < 24; k++) {
        const { point } = one.suggest(k, [])!;
        assert.deepEqual(other.suggest(k, []), { point, parent: null }, `${k}`);
        const [loss] = evaluateAt(BRANIN, point), trial = told(k, point, [loss, -loss].slice(0, M));
        one.tell(trial);
        other.tell({ ...trial, state: k % 2 === 0 ? "failed" : "cancelled", losses: trial.losses.map(() => NaN) });
        other.tell(trial);
      }
    }
  });

  test("what runs is avoided: of 40 suggestions 10 lie near the best place, once 20 run there none", () => {
    const space: Space = { x: { kind: "float", low: 0, high: 1 } };
    const sampler = tpe(space, 7);
    for (let k = 0; k < 60; k++) {
      const { point } = sampler.suggest(k, [])!;
      sampler.tell(told(k, point, [(Number(point.x) - 0.3) ** 2]));
    }
    const near = (running: readonly Point[]): number => Array.from({ length: 40 }, (_, k) =>
      Math.abs(Number(sampler.suggest(60 + k, running)!.point.x) - 0.3)).filter((far) => far < 0.03).length;
    const free = near([]), taken = near(Array.from({ length: 20 }, () => ({ x: 0.3 })));
    assert.ok(free >= 8 && taken <= 1, `${free} and ${taken}`);
  });

  test("equal values keep the order in which they came: widths of kernels depend on it", () => {
    const seen = new Observations(axesOf([["x", { kind: "float", low: 0, high: 1 }]]));
    for (const x of [0.5, 0.2, 0.5, 0.7, 0.5]) seen.push({ x });
    assert.deepEqual([...seen.orders[0].subarray(0, 5)], [1, 0, 2, 4, 3]);
    seen.cut(3);
    assert.deepEqual([...seen.orders[0].subarray(0, 3)], [1, 0, 2]);
  });

  test("conditional parameters: points of the space, and each branch is learnt from its own trials", () => {
    const space: Space = {
      model: { kind: "choice", choices: ["lstm", "tree"] },
      rate: { kind: "float", low: 1e-4, high: 1, isLog: true, when: { parameter: "model", is: ["lstm"] } },
      fixed: { kind: "integer", low: 3, high: 3, when: { parameter: "model", is: ["lstm"] } },
      depth: { kind: "integer", low: 1, high: 30, when: { parameter: "model", is: ["tree"] } },
    };
    const sampler = tpe(space, 3), seen: Point[] = [];
    for (let k = 0; k < 120; k++) {
      const { point } = sampler.suggest(k, [])!;
      checkPoint(space, point);
      assert.deepEqual(Object.keys(point), activeNames(space, point));
      seen.push(point);
      // Trees are best, at depth 20; networks at a rate of 0.01.
      const loss = point.model === "tree" ? Math.abs(Number(point.depth) - 20) / 30
        : 0.5 + Math.abs(Math.log10(Number(point.rate)) + 2);
      sampler.tell(told(k, point, [loss]));
    }
    const late = seen.slice(80), trees = late.filter(({ model }) => model === "tree");
    assert.ok(trees.length >= 30, `${trees.length} of 40 are trees`);
    assert.ok(median(trees.map(({ depth }) => Math.abs(Number(depth) - 20))) <= 2);
  });

  test("200 choices and 12 trials: each choice has its share, and the shares add up to 1", () => {
    const space: Space = { x: { kind: "choice", choices: Array.from({ length: 200 }, (_, k) => k) } };
    const { at } = fitted(space, Array.from({ length: 12 }, (_, k) => ({ x: k % 3 })));
    const shares = Array.from({ length: 200 }, (_, k) => Math.exp(at({ x: k })));
    near(shares.reduce((sum, share) => sum + share), 1, 1e-12);
    // 4 of 12 kernels saw it: each gives it (13 + 1) / (13 + 200), the others 1 / 213, the prior 1 / 200.
    near(shares[0], (4 * 14 / 213 + 8 / 213 + 1 / 200) / 13, 1e-12);
    near(shares[199], (12 / 213 + 1 / 200) / 13, 1e-12);
  });

  test("nothing but failures, infinities and NaN is survived", () => {
    for (const M of [1, 4]) {
      const space = spaceOf(BRANIN), sampler = tpe(space, 1, M);
      const odd = [NaN, Infinity, -Infinity, 1e308, -1e308, 0];
      for (let k = 0; k < 80; k++) {
        const { point } = sampler.suggest(k, [])!;
        checkPoint(space, point);
        sampler.tell(told(k, point, Array.from({ length: M }, (_, m) => odd[(k * (m + 1)) % odd.length]),
          { state: k % 7 === 0 ? "failed" : "complete" }));
      }
    }
  });
});
