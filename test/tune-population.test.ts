/** Populations: Ray's facts of population-based training where they are right, and what Ray gets wrong. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { random } from "../src/base/random.ts";
import { spreadDirections } from "../src/tune/pruners/directions.ts";
import { explore, keptCheckpoints, populationOrder, quantileCount, type Interval, type PopulationSettings }
  from "../src/tune/samplers/population.ts";
import type { Sampler, Suggestion } from "../src/tune/samplers/sampler.ts";
import { makeSampler } from "../src/tune/samplers/samplers.ts";
import { checkPoint, type Parameter, type Point, type Space } from "../src/tune/space.ts";
import type { Finished, FinishedState } from "../src/tune/trial.ts";

const SPACE: Space = { rate: { kind: "float", low: 1e-4, high: 1e-1, isLog: true },
  batch: { kind: "choice", choices: [32, 64, 128] } };
const DEFAULTS: PopulationSettings = { population: 5, quantile: 0.25, resample: 0.25, up: 1.2, down: 0.8, burnIn: 0 };

const make = (settings: Record<string, number>, objectives = 1, seed = 1, space = SPACE): Sampler =>
  makeSampler({ name: "population", settings }, { space, objectives, seed });
const told = (number: number, losses: readonly number[], point: Point, state: FinishedState = "complete",
  violation = 0): Finished => ({ number, point, state, losses: Float64Array.from(losses), violation, step: 1, parent: null });
const ascending = (a: number, b: number): number => a - b;

/** Generation 0 with these losses; the answers for the members of generation 1. */
function second(losses: readonly (readonly number[])[], settings: Record<string, number> = {}, seed = 1,
  states: Record<number, FinishedState> = {}): { points: Point[]; answers: Suggestion[] } {
  const P = losses.length, sampler = make({ population: P, ...settings }, losses[0].length, seed);
  const points = losses.map((_, k) => sampler.suggest(k, [])!.point);
  losses.forEach((loss, k) => { sampler.tell(told(k, loss, points[k], states[k])); });
  return { points, answers: losses.map((_, k) => sampler.suggest(P + k, [])!) };
}
const parents = ({ answers }: { answers: Suggestion[] }): (number | null)[] => answers.map(({ parent }) => parent);
const scores = (...values: number[]): number[][] => values.map((value) => [-value]);

describe("who copies whom", () => {
  test("quantiles: of 1 none, of 2 one, of 3 one (also at one half), of 5 two, of 8 two", () => {
    assert.deepEqual([1, 2, 3, 5, 8].map((n) => quantileCount(n, 0.25)), [0, 1, 1, 2, 2]);
    assert.equal(quantileCount(3, 0.5), 1);
  });

  test("scores -100 50 100 150 200: the first two go on from one of the last two, the others from themselves", () => {
    const seen = new Set<number | null>();
    for (let seed = 0; seed < 40; seed++) {
      const [first, secondOne, ...rest] = parents(second(scores(-100, 50, 100, 150, 200), {}, seed));
      assert.ok([3, 4].includes(first!) && [3, 4].includes(secondOne!));
      assert.deepEqual(rest, [2, 3, 4]);
      seen.add(first);
    }
    assert.deepEqual([...seen].toSorted((a, b) => a! - b!), [3, 4], "either is copied");
  });

  test("scores 200 50 100 150 200: the first goes on with its own settings", () => {
    const { points, answers } = second(scores(200, 50, 100, 150, 200));
    assert.equal(answers[0].parent, 0);
    assert.deepEqual(answers[0].point, points[0]);
  });

  test("scores 0 -10 -20 -30 -100: the last two go on from trials 0 or 1", () => {
    const found = parents(second(scores(0, -10, -20, -30, -100)));
    assert.deepEqual(found.slice(0, 3), [0, 1, 2]);
    assert.ok([0, 1].includes(found[3]!) && [0, 1].includes(found[4]!));
  });

  test("until a member's interval is finished there is no suggestion; others' may be missing", () => {
    const sampler = make({ population: 4 });
    assert.equal(sampler.suggest(4, []), null);
    sampler.tell(told(0, [5], { rate: 0.01, batch: 32 }));
    assert.deepEqual(sampler.suggest(4, []), { point: { rate: 0.01, batch: 32 }, parent: 0 }, "alone it copies nobody");
    sampler.tell(told(1, [1], { rate: 0.02, batch: 64 }));
    assert.equal(sampler.suggest(4, [])!.parent, 1, "now it is the worse of two");
    assert.equal(sampler.suggest(6, []), null);
  });

  test("nobody copies in the burn-in", () => {
    assert.deepEqual(parents(second(scores(1, 2, 3, 4), { burnIn: 1 })), [0, 1, 2, 3]);
    assert.notDeepEqual(parents(second(scores(1, 2, 3, 4))), [0, 1, 2, 3]);
  });

  test("a score that is not a number is the worst; who failed has nothing to go on from, and is copied by nobody", () => {
    const [first] = parents(second(scores(NaN, 50, 100, 150, 200)));
    assert.ok([3, 4].includes(first!));
    const failed = parents(second(scores(0, 50, 100, 150, 200), {}, 1, { 4: "failed" }));
    assert.ok([2, 3].includes(failed[4]!), "of the best two that ran to their end");
    assert.ok(!failed.includes(4));
    const all = second(scores(1, 2, 3), {}, 1, { 0: "failed", 1: "failed", 2: "failed" });
    assert.deepEqual(parents(all), [null, null, null], "from the beginning");
  });

  test("the same trials told, the same suggestion, whatever was asked before", () => {
    const one = second(scores(1, 2, 3, 4, 5)), again = second(scores(1, 2, 3, 4, 5));
    assert.deepEqual(one, again);
    assert.notDeepEqual(second(scores(1, 2, 3, 4, 5), {}, 2), one);
  });
});

describe("how copied settings change", () => {
  /** All results of 400 explorations of one parameter. */
  const results = (one: Parameter, value: number | string, settings: Partial<PopulationSettings> = {}): (number | string)[] => {
    const found = new Set<number | string>();
    for (let k = 0; k < 400; k++) {
      found.add(explore({ p: one }, { p: value }, random(1, "explore", k), { ...DEFAULTS, resample: 0, ...settings }).p);
    }
    return [...found].sort((a, b) => Number(a) - Number(b));
  };
  const list: Parameter = { kind: "choice", choices: [3, 4, 8, 10] };

  test("of 3 4 8 10: 4 goes to a neighbour, the ends stay or move in; what is none of them, or drawn anew, to all", () => {
    assert.deepEqual([results(list, 4), results(list, 3), results(list, 10)], [[3, 8], [3, 4], [8, 10]]);
    assert.deepEqual([results(list, 7), results(list, 4, { resample: 1 })], [[3, 4, 8, 10], [3, 4, 8, 10]]);
  });

  test("texts have no neighbours: they stay, or are drawn anew", () => {
    const words: Parameter = { kind: "choice", choices: ["adam", "sgd"] };
    assert.deepEqual(results(words, "sgd"), ["sgd"]);
    assert.equal(results(words, "sgd", { resample: 0.5 }).length, 2);
  });

  test("100 goes to 80 or 120, 10 to 8 or 12, and whole numbers stay whole; 2.0 goes to 1.6 or 2.4", () => {
    const whole: Parameter = { kind: "integer", low: 0, high: 1000 };
    assert.deepEqual([results(whole, 100), results(whole, 10)], [[80, 120], [8, 12]]);
    assert.deepEqual(results({ kind: "float", low: 0, high: 10 }, 2), [1.6, 2.4]);
    assert.deepEqual(results({ kind: "float", low: 0.1, high: 10, isLog: true }, 2), [1.6, 2.4]);
  });

  test("where Ray leaves the range, it ends there; where Ray turns 1 into 0, it stays 1, and grows to 2", () => {
    assert.deepEqual(results({ kind: "float", low: 1e-4, high: 0.1, isLog: true }, 0.09), [0.072, 0.1]);
    assert.deepEqual(results({ kind: "integer", low: 0, high: 9 }, 1), [1, 2]);
    assert.deepEqual(results({ kind: "integer", low: 1, high: 9 }, 2), [1, 3]);
    assert.deepEqual(results({ kind: "integer", low: 1, high: 9, isLog: true }, 9), [7, 9]);
    const quarters: Parameter = { kind: "float", low: 0, high: 1, step: 0.25 };
    assert.deepEqual(results(quarters, 0.5), [0.25, 0.75], "a step where the factor is lost");
  });

  test("a thousand copies of copies stay in a space with conditions", () => {
    const space: Space = {
      width: { kind: "choice", choices: [20, 40, 80] },
      heads: { kind: "choice", choices: [1, 2, 4], when: { parameter: "width", is: [40, 80] } },
      rate: { kind: "float", low: 1e-5, high: 1, isLog: true }, layers: { kind: "integer", low: 1, high: 4 },
      dropout: { kind: "float", low: 0, high: 0.6, step: 0.1 },
    };
    let point: Point = { width: 20, rate: 1e-3, layers: 1, dropout: 0.3 };
    const widths = new Set();
    for (let k = 0; k < 1000; k++) {
      point = explore(space, point, random(2, "walk", k), DEFAULTS);
      checkPoint(space, point);
      widths.add(point.width);
    }
    assert.equal(widths.size, 3);
  });
});

describe("several objectives", () => {
  test("fronts come first, then infeasible ones by violation, then failed ones; within a front the middle, then the ends", () => {
    const trials = [told(0, [9, 9], {}), told(1, [0, 0], {}, "infeasible", 2), told(2, [0, 0], {}, "infeasible", 1),
      told(3, [1, 5], {}), told(4, [5, 1], {}), told(5, [2.9, 3], {}), told(6, [NaN, 0], {}, "failed"),
      told(7, [-5, -5], {}, "infeasible", 1)];
    const order = populationOrder(trials, spreadDirections(2));
    assert.deepEqual([order[0], order.slice(1, 3).toSorted(ascending), order.slice(3)], [5, [3, 4], [0, 2, 7, 1, 6]]);
  });

  test("the worst copy the best of their own direction: a bad short one the good short one", () => {
    // Two rays from the origin, three on each; the best two and the worst two are one of each ray.
    const losses = [[1, 4], [2, 8], [4, 16], [4, 1], [8, 2], [16, 4]];
    for (let seed = 0; seed < 20; seed++) {
      // Where zero is and what a unit is do not matter: directions are seen from the best of all.
      const found = parents(second(seed % 2 === 0 ? losses : losses.map(([a, b]) => [a, 10 * b + 1000]), {}, seed));
      assert.equal(found[2], 0, "(4, 16) from (1, 4)");
      assert.equal(found[5], 3, "(16, 4) from (4, 1)");
      assert.equal(found.filter((parent, k) => parent === k).length, 4);
    }
  });

  test("a population of 12 on a front of two objectives keeps its spread over 60 generations, and comes closer", () => {
    // Losses (x + d, 1 - x + d): x is where on the front, and goes where its setting says; d is what training reduces,
    // fastest at rate 0.01.
    const space: Space = { ...SPACE, place: { kind: "float", low: 0.01, high: 1 } };
    const P = 12, sampler = make({ population: P }, 2, 3, space), state = new Map<number, { x: number; d: number }>();
    let copies = 0;
    for (let k = 0; k < P * 60; k++) {
      const { point, parent } = sampler.suggest(k, [])!;
      if (parent !== null && parent !== k - P) copies++;
      const from = parent === null ? { x: 0.5, d: 0.5 } : state.get(parent)!;
      const speed = Math.exp(-Math.abs(Math.log10(Number(point.rate)) + 2));
      const next = { x: from.x + 0.3 * (Number(point.place) - from.x), d: from.d * (1 - 0.1 * speed) };
      state.set(k, next);
      sampler.tell(told(k, [next.x + next.d, 1 - next.x + next.d], point));
    }
    const last = [...state.values()].slice(-P), places = last.map(({ x }) => x).sort((a, b) => a - b);
    assert.ok(copies > 60, `${copies} copies`);
    assert.ok(places[0] < 0.2 && places.at(-1)! > 0.8, places.map((x) => x.toFixed(2)).join(" "));
    assert.ok(last.every(({ d }) => d < 0.05), `${Math.max(...last.map(({ d }) => d))}`);
  });
});

describe("checkpoints that somebody may still go on from", () => {
  const interval = (number: number, state: Interval["state"], parent: number | null = null): Interval =>
    ({ number, state, parent });

  test("each member's newest and the parents of what runs; what failed has none", () => {
    const trials = [interval(0, "complete"), interval(1, "complete"), interval(2, "complete"), interval(3, "failed"),
      interval(4, "complete", 0), interval(5, "running", 0), interval(6, "infeasible", 1)];
    // 0 for trial 5, 1 as its member's newest; 3 has none.
    assert.deepEqual([...keptCheckpoints(trials, 4)].toSorted(ascending), [0, 1, 4, 6]);
    assert.deepEqual([...keptCheckpoints(trials.slice(0, 3), 4)].toSorted(ascending), [0, 1, 2]);
  });

  test("no donor is ever missing in 200 random studies of intervals that end in any order, with and without a lag", () => {
    for (let k = 0; k < 200; k++) {
      const stream = random(4, "kept", k), P = 2 + stream.below(6), lag = k % 2 === 0 ? null : 1 + stream.below(P);
      const sampler = make({ population: P }, 1, k), trials: Interval[] = [], done = new Map<number, Finished>();
      let kept = new Set<number>(), next = 0, seen = 0;
      for (let turn = 0; turn < 200; turn++) {
        const number = trials.length;
        const seenTo = lag === null ? -1 : number - lag;
        while (seen <= seenTo && done.has(seen)) sampler.tell(done.get(seen++)!);
        const isReady = seen > seenTo;
        const answer = isReady ? sampler.suggest(number, []) : null;
        if (answer !== null && stream.uniform() < 0.7) {
          const isThere = answer.parent === null || kept.has(answer.parent);
          assert.ok(isThere, `study ${k}: ${answer.parent} of trial ${number} was deleted`);
          trials.push(interval(number, "running", answer.parent));
        } else {
          const running = trials.filter(({ state }) => state === "running");
          if (running.length === 0) continue;
          const { number: ended, parent } = running[stream.below(running.length)];
          const state = stream.uniform() < 0.1 ? "failed" : "complete";
          trials[ended] = interval(ended, state, parent);
          const result = told(ended, [stream.normal()], { rate: 0.01, batch: 32 }, state);
          done.set(ended, result);
          if (lag === null) sampler.tell(result);
          // What was deleted does not come back; what has just ended is there.
          kept = new Set([...keptCheckpoints(trials, P, lag)].filter((one) => one === ended || kept.has(one)));
          assert.ok(kept.size <= 3 * P + (lag ?? 0));
          next++;
        }
      }
      assert.ok(next > 50);
    }
  });
});
