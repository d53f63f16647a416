import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { UserError } from "../src/base/error.ts";
import { random } from "../src/base/random.ts";
import { contributions, hypervolume, isBelow, referencePoint } from "../src/tune/hypervolume.ts";
import { dtlz, zdt, ZDT3_REGIONS, type Problem } from "./tune-problems.ts";
// Made by hypervolume.py beside it: Optuna's WFG.
import expected from "./fixtures/hypervolume.json" with { type: "json" };

type Rows = readonly (readonly number[])[];
const EXACT = { operationsMax: 1e9 }, SAMPLED = { operationsMax: 0, seed: 6 };
const filled = (length: number, value: number): number[] => Array.from({ length }, () => value);
const negative = (rows: Rows): number[][] => rows.map((row) => row.map((value) => -value));
const near = (found: number, hoped: number, tolerance: number, what = ""): void =>
  assert.ok(Math.abs(found - hoped) <= tolerance, `${what} ${found} instead of ${hoped}`);

/** Points of the positive part of the unit sphere. */
function sphere(N: number, M: number, seed: number): number[][] {
  const draw = random(seed, "sphere", N, M);
  return Array.from({ length: N }, () => {
    const point = Array.from({ length: M }, () => Math.abs(draw.normal())), length = Math.hypot(...point);
    return point.map((value) => value / length);
  });
}

/** By inclusion and exclusion over all subsets: another algorithm, of 2^N terms. */
function volumeOfSubsets(points: Rows, reference: readonly number[]): number {
  let volume = 0;
  for (let subset = 1; subset < 2 ** points.length; subset++) {
    const chosen = points.filter((_, i) => (subset >> i) % 2 === 1);
    const box = reference.reduce((product, limit, m) => product * (limit - Math.max(...chosen.map((p) => p[m]))), 1);
    volume += chosen.length % 2 === 1 ? box : -box;
  }
  return volume;
}

describe("hypervolume: exact", () => {
  for (const n of [1, 2, 7, 40]) {
    test(`a lattice of two losses and the next one in, n = ${n}: n^2 - n(n-1)/2`, () => {
      const points = [0, 1].flatMap((next) =>
        Array.from({ length: n - 1 + next + 1 }, (_, i) => [i, n - 1 + next - i]));
      assert.equal(hypervolume(points, [n, n]).value, n ** 2 - n * (n - 1) / 2);
    });
    test(`a lattice of three losses, n = ${n}: n^3 - (n-1)n(n+1)/6`, () => {
      const points: number[][] = [];
      for (let x = 0; x < n; x++) for (let y = 0; x + y < n; y++) points.push([x, y, n - 1 - x - y]);
      assert.equal(hypervolume(points, [n, n, n]).value, n ** 3 - (n - 1) * n * (n + 1) / 6);
    });
  }

  for (let M = 2; M <= 9; M++) {
    test(`identity rows before anything in [1, 10), M = ${M}: 10^M - 1`, () => {
      const draw = random(1, "identity", M);
      const points = [...Array.from({ length: 20 }, () => Array.from({ length: M }, () => 1 + 9 * draw.uniform())),
        ...Array.from({ length: M }, (_, i) => Array.from({ length: M }, (__, m) => i === m ? 1 : 0))];
      const { value, standardError } = hypervolume(points, filled(M, 10));
      assert.equal(standardError, 0);
      near(value, 10 ** M - 1, 1e-12 * 10 ** M);
    });
  }

  // Maximised in BoTorch's test_hypervolume.py.
  const dtlz2 = [[-0.42890000759972685, -0.1446377658556118, -0.10335085850913295, -0.49502106785623134, -0.7344368200145969],
    [-0.5124511265981003, -0.5332028064973291, -0.36775794432917486, -0.5261970836251835, -0.20238412378158688],
    [-0.5960106882406603, -0.32491865590163566, -0.5815435820797972, -0.08375675085018466, -0.44044408882261904],
    [-0.6135323874039154, -0.5658986040644925, -0.39684098121151284, -0.3798488823307603, -0.03960860698719982],
    [-0.3957157311550265, -0.4045394517331393, -0.07282417302694655, -0.5699496614967537, -0.5912790502720109],
    [-0.06392539039575441, -0.17204800894814581, -0.6620860391018546, -0.7241037454151875, -0.06024010111083461]];
  const five = [[8.5, 3], [8.5, 3.5], [5, 5], [9, 1], [4, 5]];
  const units = (M: number): number[][] =>
    Array.from({ length: M }, (_, i) => Array.from({ length: M }, (__, m) => i === m ? -1 : 0));
  for (const [name, rows, reference, volume] of [
    ["five points", five, [0, 0], 37.75], ["five points, another reference", five, [1, 0.5], 28.75],
    ["three unit points", units(3), [-2.1, -2.5, -2.3], 11.075],
    ["four unit points", units(4), [-2.1, -2.5, -2.3, -2], 23.15],
    ["six of DTLZ2 with five objectives", dtlz2, filled(5, -1.1), 0.42127855991587],
  ] as const) {
    test(`BoTorch: ${name}: ${volume}`, () => {
      near(hypervolume(negative(rows), reference.map((value) => -value)).value, volume, 1e-12);
    });
  }

  for (const { points, reference, volume } of expected) {
    const M = points[0].length;
    test(`Optuna's WFG on ${points.length} points of a sphere with ${M} objectives: ${volume.toFixed(6)}`, () => {
      const found = hypervolume(points, filled(M, reference), EXACT);
      near(found.value, volume, 1e-12);
      assert.equal(found.standardError, 0);
    });
  }

  test("any order, duplicates and dominated points change nothing", () => {
    const points = sphere(12, 4, 3), reference = filled(4, 1.1), draw = random(5, "order");
    const volume = volumeOfSubsets(points, reference);
    const more = draw.shuffle([...points, ...points.slice(0, 5), ...points.map((point) => point.map((v) => v * 1.05))]);
    near(hypervolume(more.filter((point) => isBelow(point, reference)), reference).value, volume, 1e-12);
  });

  test("one objective: the distance from the best; none: nothing; an infinitely good one: infinitely much", () => {
    assert.equal(hypervolume([[3], [1], [2]], [5]).value, 4);
    assert.equal(hypervolume([], [5, 5]).value, 0);
    assert.equal(hypervolume([[1, -Infinity], [0, 2]], [5, 5]).value, Infinity);
    // On the reference's edge it dominates nothing, however good it is elsewhere.
    assert.equal(hypervolume([[5, -Infinity], [0, 2]], [5, 5]).value, 15);
  });
});

describe("hypervolume: contributions", () => {
  for (const M of [2, 3, 4, 6, 11]) {
    test(`what is lost without each of nine points, by all subsets, M = ${M}`, () => {
      const points = sphere(9, M, 8), reference = filled(M, 1.1), whole = volumeOfSubsets(points, reference);
      const { values } = contributions(points, reference);
      points.forEach((_, i) => near(values[i], whole - volumeOfSubsets(points.filter((__, j) => j !== i), reference), 1e-12));
    });
  }
  test("of a duplicate and of a dominated point: 0", () => {
    const of = (rows: Rows): number[] => Array.from(contributions(rows, [5, 5]).values);
    assert.deepEqual(Array.from(contributions([[1, 2], [2, 1], [1, 2], [2, 2]], [3, 3]).values), [0, 1, 0, 0]);
    // A dominated one that came first gives its place to who comes behind it.
    assert.deepEqual(of([[3, 3], [1, 4], [2, 2]]), [0, 1, 6]);
    assert.deepEqual(of([[3, 3], [1, 4], [1, 4], [2, 2]]), [0, 0, 0, 6]);
  });
  test("sampled ones lie within four standard errors and their errors are told", () => {
    const points = sphere(14, 8, 2), reference = filled(8, 1.1);
    const exact = contributions(points, reference, EXACT), rough = contributions(points, reference, SAMPLED);
    exact.values.forEach((value, i) => {
      assert.equal(exact.standardErrors[i], 0);
      assert.ok(rough.standardErrors[i] > 0);
      near(rough.values[i], value, 4 * rough.standardErrors[i]);
    });
  });
});

describe("hypervolume: sampled", () => {
  for (const { points, reference, volume } of expected) {
    const M = points[0].length;
    test(`${points.length} points, M = ${M}: within four standard errors, which are below 1 %`, () => {
      const { value, standardError } = hypervolume(points, filled(M, reference), { ...SAMPLED, samples: 20_000 });
      assert.ok(standardError > 0 && standardError < 0.01 * volume, `error ${standardError}`);
      near(value, volume, 4 * standardError);
    });
  }
  test("thirty boxes that are a 10^-19th of the space around them are found", () => {
    const points = Array.from({ length: 30 }, (_, i) => Array.from({ length: 11 }, (__, m) => m === i % 11 ? 0.001 * i : 0.99));
    const { value, standardError } = hypervolume(points, filled(11, 1), SAMPLED);
    const exact = hypervolume(points, filled(11, 1), EXACT).value;
    assert.ok(exact < 1e-18);
    near(value, exact, 4 * standardError);
    assert.ok(standardError < 0.02 * exact);
  });
  test("a box that no sample can miss has an error all the same, and a front beyond its budget is sampled", () => {
    assert.deepEqual(hypervolume([[1, 1, 1, 1]], [2, 2, 2, 2], SAMPLED), { value: 1, standardError: 1e-5 });
    // Comparisons count: 30 points at M = 9 are many more than 1e6 of them, and fewer than 1e6 numbers to begin with.
    assert.ok(hypervolume(sphere(30, 9, 1), filled(9, 1.1), { operationsMax: 1e6, samples: 100 }).standardError > 0);
  });
  test("the same seed gives the same answer, another seed another one", () => {
    const points = sphere(30, 6, 4), at = (seed: number): number =>
      hypervolume(points, filled(6, 1.1), { operationsMax: 0, samples: 1_000, seed }).value;
    assert.equal(at(1), at(1));
    assert.notEqual(at(1), at(2));
  });
  test("200 seeds: the errors are as large as they say", () => {
    const points = sphere(10, 5, 9), volume = volumeOfSubsets(points, filled(5, 1.1));
    const scores = Array.from({ length: 200 }, (_, seed) => {
      const { value, standardError } = hypervolume(points, filled(5, 1.1), { operationsMax: 0, samples: 500, seed });
      return ((value - volume) / standardError) ** 2;
    });
    // A mean of 200 squared standard normals: 1, give or take four times 0.1.
    near(scores.reduce((sum, score) => sum + score, 0) / 200, 1, 0.4);
  });
});

describe("hypervolume: fronts in closed form", () => {
  const frontOf = (problem: Problem, places: readonly number[]): Float64Array[] =>
    places.map((place) => problem.evaluate(problem.optimum([place])));
  const line = (from: number, to: number, count: number): number[] =>
    Array.from({ length: count }, (_, i) => from + (to - from) * i / (count - 1));
  const below = (found: number, supremum: number, gap: number): void =>
    assert.ok(found <= supremum + 1e-9 && found > supremum - gap, `${found} below ${supremum}`);

  for (const [number, reference, volume] of [[1, 11, 120 + 2 / 3], [2, 11, 120 + 1 / 3], [4, 11, 120 + 2 / 3],
    [1, 1.1, 0.876667], [2, 1.1, 0.543333]] as const) {
    test(`ZDT${number}, reference ${reference}: ${volume.toFixed(6)}`, () => {
      // Denser where the front is steep.
      const points = frontOf(zdt(number), line(0, 1, 20_000).map((place) => place ** 2));
      below(hypervolume(points, [reference, reference]).value, volume + 5e-7, 2e-4);
    });
  }
  test("ZDT3, reference 11: 128.778116", () => {
    const points = ZDT3_REGIONS.flatMap(([from, to]) => frontOf(zdt(3), line(from, to, 5_000)));
    below(hypervolume(points, [11, 11]).value, 128.77811613069076, 2e-3);
  });
  test("DTLZ1 at three objectives, reference 1: 1 - 0.5^3 / 6 = 0.979167", () => {
    const n = 60, points: number[][] = [];
    for (let i = 0; i <= n; i++) for (let j = 0; i + j <= n; j++) points.push([i, j, n - i - j].map((v) => 0.5 * v / n));
    below(hypervolume(points, [1, 1, 1]).value, 1 - 0.5 ** 3 / 6, 4e-3);
  });
  test("DTLZ2 at three objectives, reference 1.1: 0.807401", () => {
    const problem = dtlz(2, 3), steps = line(0, 1, 80);
    const points = steps.flatMap((u) => steps.map((v) => problem.evaluate(problem.optimum([u, v]))));
    below(hypervolume(points, [1.1, 1.1, 1.1]).value, 1.1 ** 3 - Math.PI / 6, 0.015);
    near(1.1 ** 3 - Math.PI / 6, 0.807401, 5e-7);
  });
});

describe("hypervolume: subsets", () => {
  for (const M of [2, 3]) {
    test(`taking the largest gain four times out of eight: above 1 - 1/e of the best four, M = ${M}`, () => {
      for (let seed = 0; seed < 20; seed++) {
        const points = sphere(8, M, seed), reference = filled(M, 1.1);
        const volumeOf = (subset: number): number =>
          hypervolume(points.filter((_, i) => (subset >> i) % 2 === 1), reference).value;
        const sizeOf = (subset: number): number => points.filter((_, i) => (subset >> i) % 2 === 1).length;
        const best = Math.max(...Array.from({ length: 256 }, (_, s) => s).filter((s) => sizeOf(s) === 4).map(volumeOf));
        let greedy = 0;
        for (let k = 0; k < 4; k++) {
          greedy = Array.from({ length: 8 }, (_, i) => greedy | 1 << i).filter((s) => s !== greedy)
            .reduce((a, b) => volumeOf(b) > volumeOf(a) ? b : a);
        }
        assert.equal(sizeOf(greedy), 4);
        const ratio = volumeOf(greedy) / best;
        assert.ok(ratio > 1 - 1 / Math.E && ratio <= 1, `${ratio} at seed ${seed}`);
      }
    });
  }
});

describe("hypervolume: the reference point", () => {
  // BoTorch's test_infer_reference_point, where all is maximised.
  const rows = [[-13.9599, -24.0326], [-19.6755, -11.4721], [-18.7742, -11.9193], [-16.6614, -12.3283],
    [-17.7663, -11.9941], [-17.4367, -12.2948], [-19.4244, -11.9158], [-14.0806, -22.0004]];
  test("the worst and a tenth of the range: 20.24706, 25.28865", () => {
    const [first, second] = referencePoint(negative(rows));
    near(first, 19.6755 + 0.1 * (19.6755 - 13.9599), 1e-12);
    near(second, 24.0326 + 0.1 * (24.0326 - 11.4721), 1e-12);
  });
  test("without a range a tenth of the loss itself, of 1 where it is 0; infinite losses do not count", () => {
    assert.deepEqual(Array.from(referencePoint([[-20, 0]])), [-18, 0.1]);
    assert.deepEqual(Array.from(referencePoint([[1, 1], [-Infinity, 2], [3, Infinity]])), [3.2, 2.1]);
  });
  test("a point outside and a reference that is not finite are refused in a sentence", () => {
    assert.throws(() => hypervolume([[1, 1], [2, 6]], [5, 5]), (error) => error instanceof UserError
      && error.problem === "point 1 is outside the reference point in objective 2: 6 is worse than 5");
    assert.throws(() => hypervolume([[1, 1]], [5, Infinity]), (error) => error instanceof UserError
      && error.problem === "the reference point (5, Infinity) is not finite");
    assert.throws(() => hypervolume([[NaN, 1]], [5, 5]), UserError);
  });
});
