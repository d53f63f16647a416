/** The four promises of pruning by several objectives, as properties of random rungs, and what is infeasible or unknown. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { random, type Random } from "../src/base/random.ts";
import { coveringOrder, keepsCovering, spreadDirections } from "../src/tune/pruners/directions.ts";
import type { Pruner, Report } from "../src/tune/pruners/pruner.ts";
import { signed } from "../src/tune/trial.ts";
import { everyone, make, report } from "./tune-pruners.ts";

describe("pruning by several objectives", () => {
  const MS = [1, 2, 3, 5, 11], covering = keepsCovering();
  const keep = (n: number, eta: number): number => Math.max(1, Math.floor(n / eta));
  /** n vectors; on a grid (ties, equal vectors), normal, or normal with infinities. */
  const draw = (stream: Random, n: number, M: number): Float64Array[] => {
    const kind = stream.below(3);
    return Array.from({ length: n }, () => Float64Array.from({ length: M }, () =>
      kind === 0 ? stream.below(4) : kind === 2 && stream.uniform() < 0.1 ? Infinity : stream.normal()));
  };
  const asReports = (rows: readonly Float64Array[]): Report[] => rows.map((row, k) => report(k + 1, 1, row));
  const each = (name: string, check: (stream: Random, M: number, n: number, eta: number) => void): void => {
    for (const M of MS) {
      for (let k = 0; k < 150; k++) {
        const stream = random(11, name, M, k);
        check(stream, M, stream.below(50), 2 + stream.below(4));
      }
    }
  };

  test("directions: the even one first, then the corners, farthest from it", () => {
    for (const M of MS) {
      const spread = spreadDirections(M);
      assert.ok(spread[0].every((weight) => weight === 1 / M));
      if (M > 2) assert.deepEqual(spread.slice(1, M + 1).map((one) => Math.max(...one)), Array(M).fill(1), `${M}`);
      assert.ok(spread.every((one) => Math.abs(one.reduce((sum, w) => sum + w, 0) - 1) < 1e-12));
      assert.ok(spread.length <= 101 && new Set(spread.map((one) => one.join())).size === spread.length);
    }
  });

  test("a newcomer that dominates all is never stopped", () => {
    each("best", (stream, M, n, eta) => {
      const others = draw(stream, n, M);
      const best = Float64Array.from({ length: M }, (_, m) => Math.min(9, ...others.map((row) => row[m])));
      const better = stream.below(M);
      const newcomer = best.map((loss, m) => m === better || stream.uniform() < 0.3 ? loss - 10 ** (stream.below(7) - 5) : loss);
      assert.ok(covering(report(0, 1, newcomer), asReports(others), keep(n + 1, eta)));
    });
  });

  test("a newcomer that all dominate is stopped once there are eta", () => {
    each("worst", (stream, M, n, eta) => {
      if (n + 1 < eta) return;
      const others = draw(stream, n, M).map((row) => row.map((loss) => Math.min(loss, 9)));
      const worst = Float64Array.from({ length: M }, (_, m) => Math.max(...others.map((row) => row[m])));
      const worse = stream.below(M);
      const newcomer = worst.map((loss, m) => m === worse || stream.uniform() < 0.3 ? loss + 10 ** (stream.below(7) - 5) : loss);
      assert.equal(covering(report(0, 1, newcomer), asReports(others), keep(n + 1, eta)), false);
    });
  });

  /** Decisions of 120 trials that report losses at steps 1..9. */
  const decisions = (pruner: Pruner, rows: (k: number, step: number) => Float64Array): boolean[] =>
    [...Array(120).keys()].flatMap((k) => {
      const said: boolean[] = [];
      for (let step = 1; step <= 9 && said.at(-1) !== false; step++) {
        said.push(pruner.report(report(k, step, rows(k, step)), everyone));
      }
      return said;
    });

  test("maximising f and minimising -f decide alike, in any mixture", () => {
    for (const M of MS) {
      const of = (direction: (m: number) => "minimise" | "maximise", sign: (m: number) => number): boolean[] =>
        decisions(make("directions", {}, M), (k, step) => {
          const stream = random(3, "mixed", k, step);
          return signed(Array.from({ length: M }, (_, m) => ({ name: `${m}`, direction: direction(m) })),
            Array.from({ length: M }, (_, m) => sign(m) * stream.normal()));
        });
      const minimised = of(() => "minimise", () => 1);
      assert.deepEqual(of((m) => m % 2 === 0 ? "maximise" : "minimise", (m) => m % 2 === 0 ? -1 : 1), minimised);
      assert.ok(minimised.includes(false) && minimised.lastIndexOf(true) > 100);
    }
  });

  test("units do not count: other scales and origins of each objective decide alike", () => {
    for (const M of MS) {
      const stream = random(5, "affine", M);
      const scale = Array.from({ length: M }, () => 10 ** (6 * stream.uniform() - 3));
      const origin = Array.from({ length: M }, () => 100 * stream.normal());
      const of = (map: (loss: number, m: number) => number): boolean[] => decisions(make("directions", {}, M), (k, step) => {
        const draws = random(5, "affine", M, k, step);
        return Float64Array.from({ length: M }, (_, m) => map(draws.normal(), m));
      });
      assert.deepEqual(of((loss, m) => scale[m] * loss + origin[m]), of((loss) => loss));
    }
  });

  test("with one objective it is ASHA: ties, infeasible ones and missing numbers included", () => {
    for (let k = 0; k < 40; k++) {
      const stream = random(9, "one", k);
      const settings = { eta: 2 + stream.below(3), minSteps: 1 + stream.below(2), skip: stream.below(2),
        bootstrap: stream.below(3) };
      const asha = make("halving", settings), ours = make("directions", settings);
      const seen = (limit: number) => (number: number): boolean => number < limit;
      let stopped = 0;
      for (let number = 0; number < 150; number++) {
        const isSeen = k % 2 === 0 ? everyone : seen(number - 5);
        for (let step = 1; step <= 9; step += 1 + stream.below(3)) {
          const loss = stream.uniform() < 0.05 ? NaN : stream.below(30), violation = stream.uniform() < 0.2 ? stream.below(3) : 0;
          const goesOn = asha.report(report(number, step, loss, violation), isSeen);
          const said = ours.report(report(number, step, loss, violation), isSeen);
          assert.equal(said, goesOn, `study ${k}, trial ${number}, step ${step}`);
          if (!goesOn) { stopped++; break; }
        }
      }
      assert.ok(stopped > 50);
    }
  });

  test("the order in which others came does not count", () => {
    each("order", (stream, M, n, eta) => {
      const others = asReports(draw(stream, n, M)), newcomer = report(0, 1, draw(stream, 1, M)[0]);
      const count = keep(n + 1, eta);
      assert.equal(covering(newcomer, stream.shuffle([...others]), count), covering(newcomer, others, count));
    });
  });

  test("of 12 on a straight front with eta 3 four go on: the middle, both ends, and one half-way", () => {
    const rows = Array.from({ length: 12 }, (_, k) => Float64Array.of(k, 11 - k));
    const kept = rows.filter((row, k) => covering(report(k, 1, row), asReports(rows.filter((_, other) => other !== k)), 4));
    assert.ok(kept.length >= 4 && kept.length <= 5, `${kept.length}`);
    const first = kept.map(([loss]) => loss);
    assert.ok(first.includes(0) && first.includes(11) && (first.includes(5) || first.includes(6)), first.join());
  });

  test("both ends of 41 go on, not one of the 5 % next to them; of equal ends the one with the least sum", () => {
    const rows = Array.from({ length: 41 }, (_, k) => Float64Array.of(k, 40 - k));
    const isKept = (k: number): boolean =>
      covering(report(0, 1, rows[k]), asReports(rows.filter((_, other) => other !== k)), 3);
    assert.deepEqual([0, 1, 2, 38, 39, 40].filter(isKept), [0, 40]);
    const ends = [[0, 1, 9], [0, 2, 3], [5, 5, 5], [9, 0, 9], [9, 9, 0]].map((row) => Float64Array.from(row));
    assert.equal(coveringOrder(ends, [Float64Array.of(1, 0, 0)], 1)[0], 1);
  });

  test("one result far out, or one that alone differs, does not change how the others are compared", () => {
    const even = [Float64Array.of(0.5, 0.5)];
    const orderWith = (odd: number, usual: (k: number) => number, directions = spreadDirections(2)): number[] => coveringOrder(
      Array.from({ length: 41 }, (_, k) => Float64Array.of(k === 20 ? odd : usual(k), (7 * k) % 41)), directions, 41);
    for (const usual of [(k: number) => k, () => 0]) {
      for (const odd of [1e3, 1e12]) assert.deepEqual(orderWith(odd, usual), orderWith(1e6, usual));
    }
    assert.deepEqual(orderWith(1e-6, () => 0, even), orderWith(1, () => 0, even));
  });

  test("an objective that nobody knows yet does not count, nor does one lost to a few", () => {
    const others = [1, 2, 3, 4, 5, 6, 7, 8].map((loss) => report(loss, 1, [loss, NaN]));
    assert.ok(covering(report(0, 1, [2.5, NaN]), others, 3));
    assert.equal(covering(report(0, 1, [3.5, NaN]), others, 3), false);
    const most = [1, 2, 3, 4, 5, 6, 7, 8].map((loss) => report(loss, 1, [loss, loss === 1 ? NaN : loss]));
    assert.ok(covering(report(0, 1, [2.5, 2.5]), most, 2), "the one without it is behind all that have it");
    assert.equal(covering(report(0, 1, [0, NaN]), most.slice(1), 2), false);
    const few = [1, 2, 3, 4, 5, 6, 7, 8].map((loss) => report(loss, 1, [loss, loss === 8 ? 0 : NaN]));
    assert.ok(covering(report(0, 1, [2.5, NaN]), few, 3), "one that a single trial has does not count");
  });

  test("where each knows something that too few others know, all are equal and go on", () => {
    const others = [0, 1, 2, 0, 1, 2].map((m, k) => report(k + 1, 1, [0, 1, 2].map((one) => one === m ? k : NaN)));
    assert.ok(covering(report(0, 1, [9, NaN, NaN]), others, 1));
  });

  test("infeasible ones come last, by their violation", () => {
    const others = [0, 0, 0.5, 2].map((violation, k) => report(k + 1, 1, [k, k], violation));
    assert.ok(covering(report(0, 1, [9, 9], 0), others, 3));
    assert.ok(covering(report(0, 1, [-9, -9], 0.4), others, 3));
    assert.equal(covering(report(0, 1, [-9, -9], 0.6), others, 3), false);
    assert.ok(covering(report(0, 1, [1, 1], 0.5), others, 3), "the better of two with the same violation");
    assert.equal(covering(report(0, 1, [3, 3], 0.5), others, 3), false, "the other one");
  });
});
