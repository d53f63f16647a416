/** Fronts, reference directions and niching by their known answers (tune.md 2.1: Optuna's, pymoo's and papers'). */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { random } from "../src/base/random.ts";
import { boundInfinite, Niching, solveOnes } from "../src/tune/niche.ts";
import { addToFronts, dominates, frontRanks } from "../src/tune/rank.ts";
import { countLattice, defaultDivisions, Directions, lattice, layers, shells } from "../src/tune/reference.ts";
import type { Joined } from "../src/tune/reference.ts";

const INF = Infinity;
const flat = (rows: readonly (readonly number[])[]): Float64Array => Float64Array.from(rows.flat());
const near = (found: ArrayLike<number>, expected: readonly number[], what: string): void => {
  assert.equal(found.length, expected.length, what);
  expected.forEach((value, k) => assert.ok(Math.abs(found[k] - value) < 1e-8, `${what}: ${Array.from(found).join(" ")}`));
};

describe("fronts", () => {
  const cases: readonly (readonly [readonly (readonly number[])[], readonly number[]])[] = [
    [[[10, 30], [10, 10], [20, 20], [30, 10], [15, 15]], [1, 0, 2, 1, 1]],
    [[[5, 5, 4], [5, 5, 5], [9, 9, 0], [5, 7, 5], [0, 0, 9], [0, 9, 9]], [0, 1, 0, 2, 0, 1]],
    [[[1, 1], [1, INF], [INF, 1], [INF, INF]], [0, 1, 1, 2]],
    [[[1, 1], [1, -INF], [-INF, 1], [-INF, -INF]], [2, 1, 1, 0]],
    [[[1, 1], [1, 1], [1, 2], [2, 1], [0, 1.5], [1.5, 0], [0, 1.5]], [0, 0, 1, 1, 0, 0, 0]],
    [[[3], [1], [2], [1]], [2, 0, 1, 0]],
  ];
  test("known answers, with infinities and duplicates", () => {
    for (const [rows, ranks] of cases) assert.deepEqual([...frontRanks(flat(rows), rows[0].length)], ranks);
  });

  test("are those of peeling by definition, for 60 random sets with ties, M = 1 .. 11", () => {
    for (let trial = 0; trial < 60; trial++) {
      const draws = random(trial, "fronts"), M = 1 + trial % 11, N = 1 + draws.below(60);
      const losses = Float64Array.from({ length: N * M }, () => draws.below(M > 3 ? 3 : 6));
      const peeled = Array.from({ length: N }, () => -1);
      for (let front = 0, left = Array.from({ length: N }, (_, n) => n); left.length > 0; front++) {
        const best = left.filter((n) => !left.some((other) => dominates(losses, M, other, n)));
        for (const n of best) peeled[n] = front;
        left = left.filter((n) => !best.includes(n));
      }
      assert.deepEqual([...frontRanks(losses, M)], peeled);
    }
  });

  test("are the same when rows come one by one", () => {
    for (const M of [1, 2, 3, 5]) {
      const draws = random(M, "one by one"), losses = Float64Array.from({ length: 80 * M }, () => draws.below(6));
      const ranks = new Int32Array(80);
      for (let count = 1; count <= 80; count++) {
        addToFronts(losses, M, ranks, count);
        assert.deepEqual(ranks.subarray(0, count), frontRanks(losses.subarray(0, count * M), M));
      }
    }
  });

  test("a new best of a chain of 9,000 raises them all", () => {
    const n = 9_000, ranks = Int32Array.from({ length: n }, (_, k) => Math.max(0, n - 2 - k));
    addToFronts(Float64Array.from({ length: n }, (_, k) => n - k), 1, ranks, n);
    assert.deepEqual([ranks[n - 1], ranks[n - 2], ranks[0]], [0, 1, n - 1]);
  });

  test("what is infeasible comes after all that is feasible, by violation alone, NaN or not", () => {
    const losses = flat([[9, 9], [0, 0], [NaN, 0], [1, 1], [5, NaN]]);
    assert.deepEqual([...frontRanks(losses, 2, [0, 0.5, 2, 0, 0.5])], [1, 2, 3, 0, 2]);
  });

  test("of 100 random points in 11 dimensions about 97 % are on front 0", () => {
    let share = 0;
    for (let k = 0; k < 50; k++) {
      const draws = random(k, "many");
      const ranks = frontRanks(Float64Array.from({ length: 1100 }, () => draws.uniform()), 11);
      share += ranks.filter((rank) => rank === 0).length / 100 / 50;
    }
    assert.ok(Math.abs(share - 0.97) < 0.01, `${share}`);
  });
});

describe("reference directions", () => {
  test("the lattice of 3 objectives and 2 divisions, in order", () => {
    assert.deepEqual([...lattice(3, 2)].map((value) => 2 * value).join(""), "002011020101110200");
  });

  test("the paper's counts, and those for 11 objectives", () => {
    const cases = [[3, 12, 0, 91], [5, 6, 0, 210], [8, 3, 2, 156], [10, 3, 2, 275], [15, 2, 1, 135], [11, 2, 1, 77],
      [11, 2, 2, 132], [11, 3, 1, 297], [11, 3, 2, 352], [11, 3, 0, 286], [11, 4, 0, 1001]];
    for (const [M, outer, inner, count] of cases) assert.equal(layers(M, outer, inner).length / M, count, `M = ${M}`);
    assert.equal(countLattice(11, 4), 1001);
    // The centre is in both layers: 3 + 3, and 10 + 10 - 1.
    assert.equal(layers(3, 1, 1).length / 3, 6);
    assert.equal(layers(3, 3, 3).length / 3, 19);
  });

  test("shells grow like pymoo's incremental lattice", () => {
    assert.deepEqual(Array.from({ length: 10 }, (_, p) => shells(3, p).length / 3), [1, 4, 10, 19, 31, 46, 64, 85, 109, 136]);
    assert.deepEqual(Array.from({ length: 8 }, (_, p) => shells(7, p).length / 7), [1, 8, 36, 120, 330, 792, 1716, 3431]);
  });

  test("all sum to one, none is negative, none is there twice", () => {
    for (const [M, points] of [[11, layers(11, 2, 2)], [8, layers(8, 3, 2)], [4, shells(4, 4)]] as const) {
      const keys = new Set<string>();
      for (let i = 0; i < points.length; i += M) {
        const row = [...points.subarray(i, i + M)];
        assert.ok(Math.abs(row.reduce((sum, value) => sum + value, 0) - 1) < 1e-12 && row.every((value) => value >= 0));
        keys.add(row.map((value) => value.toFixed(9)).join());
      }
      assert.equal(keys.size, points.length / M);
    }
  });

  test("defaults: 77 for 11 objectives, 132 from 1452 trials on, 91 for 3 from 1001 on, never fewer later", () => {
    const count = (M: number, trials: number): number => layers(M, ...defaultDivisions(M, trials)).length / M;
    assert.deepEqual([0, 1451, 1452, 100_000].map((trials) => count(11, trials)), [77, 77, 132, 132]);
    assert.deepEqual([0, 1000, 1001].map((trials) => count(3, trials)), [21, 78, 91]);
    assert.deepEqual(defaultDivisions(1, 500), [1, 0]);
    for (let M = 2; M <= 15; M++) {
      for (let trials = 0, before = 0; trials < 6000; trials += 50) {
        assert.ok(count(M, trials) >= before);
        before = count(M, trials);
      }
    }
  });
});

describe("niching", () => {
  const joinAll = (directions: Directions, rows: Float64Array, count: number): Joined => {
    const joined: Joined = { direction: new Int32Array(count), distance: new Float64Array(count) };
    for (let k = 0; k < count; k++) directions.join(rows, k, joined, k);
    return joined;
  };
  const normalised = (rows: readonly (readonly number[])[]): number[] => {
    const M = rows[0].length, losses = flat(rows), ranks = frontRanks(losses, M), niching = new Niching(M);
    const order = Int32Array.from(rows, (_, n) => n).sort((a, b) => ranks[a] - ranks[b] || a - b);
    // A survival of everything lets it know the worst of all time.
    niching.select(losses, new Float64Array(rows.length), rows.length, rows.length, random(1));
    const { normal } = niching.normalise(losses, order, ranks), back: number[] = [];
    order.forEach((n, k) => { for (let m = 0; m < M; m++) back[n * M + m] = normal[k * M + m]; });
    return back;
  };
  test("normalised losses: extreme points, one objective, and too few points for a plane", () => {
    const rows = normalised([[1, 2, 3], [3, 1, 2], [2, 3, 1], [2, 2, 2], [4, 5, 6], [6, 4, 5], [5, 6, 4], [4, 4, 4]]);
    near(rows.slice(0, 3), [0, 1 / 3, 2 / 3], "row 1");
    near(rows.slice(9, 12), [1 / 3, 1 / 3, 1 / 3], "row 4");
    near(rows.slice(12, 15), [1, 4 / 3, 5 / 3], "row 5");
    near(rows.slice(21), [1, 1, 1], "row 8");
    near(normalised([[2.71], [1.41], [3.14]]), [1.3 / 1.73, 0, 1], "one objective");
    near(normalised([[1, 2, 3], [3, 1, 2]]), [0, 1, 1, 1, 0, 0], "no plane");
    near(normalised([[7, 7], [7, 7]]), [0, 0, 0, 0], "no range");
  });

  test("nearest directions and distances on the lattice of 2 divisions", () => {
    const directions = new Directions(lattice(3, 2), 3);
    const cases: readonly (readonly [readonly number[], number])[] = [[[1, 2, 3], 1.22474487], [[4, 5, 6], 4.0620192],
      [[2, 2, 2], 2], [[4, 4, 4], 4], [[0, 1, 10], 1]];
    const { distance, direction } = joinAll(directions, flat(cases.map(([row]) => row)), cases.length);
    near(distance, cases.map(([, expected]) => expected), "distances");
    assert.equal(direction[0], 1, "(1, 2, 3) is nearest to (0, 1, 1)");
    assert.equal(direction[4], 0, "(0, 1, 10) is nearest to (0, 0, 2)");
    // d1 + 5 d2 of (1, 2, 3) from (0, 1, 1): 5 / sqrt 2 and 5 times 1.2247.
    near(joinAll(new Directions(lattice(3, 2), 3, 5), Float64Array.of(1, 2, 3), 1).distance, [9.65925826], "theta 5");
  });

  test("sparse directions join like a full product does, for the two layers of 11 objectives", () => {
    const M = 11, points = layers(M, 2, 2), draws = random(5, "join");
    const rows = Float64Array.from({ length: 40 * M }, () => draws.uniform());
    const { direction, distance } = joinAll(new Directions(points, M), rows, 40);
    for (let k = 0; k < 40; k++) {
      const distances = Array.from({ length: points.length / M }, (_, h) => {
        let product = 0, length = 0, all = 0;
        for (let m = 0; m < M; m++) {
          product += rows[k * M + m] * points[h * M + m];
          length += points[h * M + m] ** 2;
          all += rows[k * M + m] ** 2;
        }
        return Math.sqrt(all - product ** 2 / length);
      });
      assert.ok(Math.abs(Math.min(...distances) - distance[k]) < 1e-12);
      assert.ok(Math.abs(distances[direction[k]] - distance[k]) < 1e-12);
    }
  });

  test("infinite losses go three ranges beyond the finite ones; a column of nothing else is constant", () => {
    const losses = flat([[1, INF], [3, 1], [2, 3], [INF, 0.5]]);
    assert.equal(boundInfinite(losses, 2), true);
    near(losses, [1, 3 + 3 * 2.5, 3, 1, 2, 3, 3 + 3 * 2, 0.5], "inf");
    const odd = flat([[-INF, INF], [4, INF], [8, INF]]);
    assert.equal(boundInfinite(odd, 2), true);
    assert.equal(boundInfinite(odd, 2), false);
    near(odd, [-8, 0, 4, 0, 8, 0], "-inf and all inf");
  });

  test("planes are solved with pivots; no plane, no answer", () => {
    near(solveOnes(flat([[0, 2, 0], [4, 0, 0], [0, 0, 5]]), 3)!, [0.25, 0.5, 0.2], "axes");
    assert.equal(solveOnes(flat([[1, 2], [1, 2]]), 2), null);
    assert.equal(solveOnes(flat([[1, 1], [2, 2]]), 2), null);
    assert.equal(solveOnes(flat([[NaN, 1], [2, 2]]), 2), null);
  });

  test("fronts that fit survive whole, the emptiest direction takes first, and its nearest", () => {
    // Directions (0,1) (.5,.5) (1,0); the corners of front 0 hold two of them, so the middle goes next.
    const rows = [[0, 10], [10, 0], [4.5, 5.4], [1, 9.1], [4, 6.2], [9, 1.2]];
    const niching = new Niching(2);
    niching.turnTo(lattice(2, 2));
    const { rows: kept, ranks } = niching.select(flat(rows), new Float64Array(6), 6, 3, random(2));
    assert.deepEqual([...ranks], [0, 0, 0, 0, 0, 0]);
    assert.deepEqual([...kept].sort((a, b) => a - b), [0, 1, 2]);
    const all = niching.select(flat(rows), new Float64Array(6), 6, 6, random(2));
    assert.deepEqual([...all.rows], [0, 1, 2, 3, 4, 5]);
  });

  /** What survives of front 0 (two rows) and others, in 60 draws: directions (0,1) (.5,.5) (1,0). */
  const survivals = (rows: readonly (readonly number[])[], keep: number): { always: number[]; ever: number[] } => {
    const kept = Array.from({ length: 60 }, (_, seed) => {
      const niching = new Niching(2);
      niching.turnTo(lattice(2, 2));
      return [...niching.select(flat(rows), new Float64Array(rows.length), rows.length, keep, random(seed, "kept")).rows];
    });
    const all = rows.map((_, n) => n);
    return { always: all.filter((n) => kept.every((one) => one.includes(n))),
      ever: all.filter((n) => kept.some((one) => one.includes(n))) };
  };
  test("an empty direction takes its nearest row, not its first", () => {
    assert.deepEqual(survivals([[0.5, 9.4], [4, 6.2], [4.6, 5.3], [0, 10], [10, 0]], 3).ever, [2, 3, 4]);
  });
  test("rows of fronts before count for their directions; one that has a row takes any", () => {
    // Front 0 lies on both axes: the middle is empty, whatever is nearer to an axis.
    const ends = [[0, 10], [5, 5]];
    assert.deepEqual(survivals([...ends, [0.2, 10.5], [5.5, 10.2]], 3).ever, [0, 1, 3]);
    assert.deepEqual(survivals([...ends, [0.2, 10.5], [0.1, 12]], 3), { always: [0, 1], ever: [0, 1, 2, 3] });
    // Once the middle has one, it has as many as the axis: either goes on.
    assert.deepEqual(survivals([...ends, [5.5, 10.5], [5.4, 10.9], [0.2, 11]], 4), { always: [0, 1, 2], ever: [0, 1, 2, 3, 4] });
  });

  test("of infeasible rows with the same violation any survives, whatever their losses say", () => {
    // Niching would leave the middle to row 0.
    const losses = flat([[5, 5], [6, 0.1], [2, 2.1], [NaN, 2]]), found = new Set<number>();
    for (let seed = 0; seed < 40; seed++) {
      const niching = new Niching(2);
      niching.turnTo(lattice(2, 2));
      const { rows } = niching.select(losses, Float64Array.of(0, 3, 3, 3), 4, 2, random(seed, "infeasible"));
      assert.equal(rows[0], 0);
      found.add(rows[1]);
    }
    assert.deepEqual([...found].sort((a, b) => a - b), [1, 2, 3]);
  });

  /** Normalised losses of a front of its own, of a niching that has seen another one. */
  const normalisedAfter = (before: readonly (readonly number[])[], rows: readonly (readonly number[])[]): Float64Array => {
    const M = rows[0].length, niching = new Niching(M), order = Int32Array.from(rows.keys());
    for (const one of [before, rows]) {
      niching.select(flat(one), new Float64Array(one.length), one.length, one.length, random(1));
      if (one === before) niching.normalise(flat(one), Int32Array.from(one.keys()), new Int32Array(one.length));
    }
    return niching.normalise(flat(rows), order, new Int32Array(rows.length)).normal;
  };
  test("no intercept is beyond the worst loss of all time; infinite losses are neither worst nor ideal", () => {
    // The plane through these three meets the axes at 1.4, and nothing is worse than 1.
    const rows = [[1, 0.4, 0], [0, 1, 0.4], [0.4, 0, 1]];
    near(normalised(rows), rows.flat(), "clipped");
    near(normalisedAfter([[Infinity, Infinity, Infinity], ...rows], rows), rows.flat(), "after an infinitely bad one");
    assert.ok(normalisedAfter([[-Infinity, 2, 2], ...rows], rows).every(Number.isFinite), "after an infinitely good one");
  });
  test("what is all but ideal counts as ideal when extreme points are looked for", () => {
    // (0.5, 0.0002) is the first axis' end, not (1, 0): the plane meets that axis at 0.5 / 0.9998.
    near(normalised([[0, 1], [0.5, 2e-4], [1, 0]]), [0, 1, 0.9998, 2e-4, 1.9996, 0], "near");
  });
  test("one row far out makes nothing else near: the first axis keeps its end", () => {
    // Of 200 of the second loss a thousandth is more than the last row's 0.1; without it that row is nearer than the first.
    const rows = [[1, 0, 0.05], [0.05, 1, 0], [0, 0.05, 1], [0.5, 0.1, 0.04]];
    near(normalisedAfter(rows, [...rows, [0, 200, 0]]).subarray(0, 3), [1, 0, 0.05], "far out");
  });
  test("extreme points are kept: a front that has lost one is measured by it", () => {
    const rows = [[0, 1], [0.6, 0.1]];
    near(normalised(rows), [0, 1, 1, 0], "alone");
    near(normalisedAfter([[0, 1], [1, 0]], rows), rows.flat(), "after (1, 0)");
  });

  test("what is remembered of rows that stay in place changes nothing: 300 survivals with and without", () => {
    const M = 4, points = layers(M, 3, 2), N = points.length / M, draws = random(1, "kept");
    const keeping = new Niching(M, 5), forgetful = new Niching(M, 5);
    keeping.turnTo(points);
    const losses = Float64Array.from({ length: (N + 1) * M }, () => draws.uniform());
    for (let turn = 0; turn < 300; turn++) {
      // Smaller and smaller, so that scales change now and then; every fiftieth with an infinite loss.
      for (let m = 0; m < M; m++) losses[N * M + m] = 20 / (20 + turn) * draws.uniform();
      if (turn % 50 === 49) losses[N * M + 1] = Infinity;
      forgetful.turnTo(points);
      const [one, two] = [keeping, forgetful].map((niching) =>
        niching.select(losses, new Float64Array(N + 1), N + 1, N, random(turn, "draw")).rows);
      assert.deepEqual(one, two, `turn ${turn}`);
      const gone = Array.from({ length: N + 1 }, (_, row) => row).find((row) => !one.includes(row))!;
      losses.copyWithin(gone * M, N * M);
    }
  });

  test("infeasible rows survive only when there is room, the smaller violation first", () => {
    const niching = new Niching(2), losses = flat([[5, 5], [0, 0], [NaN, 1], [1, 1]]);
    const kept = (keep: number): number[] => [...niching.select(losses, Float64Array.of(0, 3, 1, 3), 4, keep, random(1)).rows];
    assert.deepEqual(kept(1), [0]);
    assert.deepEqual(kept(2), [0, 2]);
    assert.ok([1, 3].includes(kept(3)[2]));
  });

  test("units of losses do not matter: scaled by powers of two and shifted, the same rows survive", () => {
    for (const M of [2, 3, 11]) {
      const plain = new Niching(M), scaled = new Niching(M);
      for (const niching of [plain, scaled]) niching.turnTo(layers(M, 2, 1));
      for (let turn = 0; turn < 10; turn++) {
        const draws = random(turn, "units", M);
        // Eighths, so that shifts are exact.
        const losses = Float64Array.from({ length: 60 * M }, () => draws.below(4096) / 8);
        const other = losses.map((loss, i) => loss * 2 ** (3 * (i % M) - 12) + 2 ** -9 * (i % M));
        const [a, b] = [plain.select(losses, new Float64Array(60), 60, 30, random(turn, "draw")),
          scaled.select(other, new Float64Array(60), 60, 30, random(turn, "draw"))];
        assert.deepEqual(a.rows, b.rows);
      }
    }
  });
});
