/** A model worker: the same batches as the backtest, never late, never a number that may not be. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { UserError } from "../src/base/error.ts";
import { infer, modelRim } from "../src/live/actors/model-rim.ts";
import { modelActor, type Infer, type ModelActor, type ModelEffect, type ModelOptions,
  type ModelOutcome } from "../src/live/actors/model.ts";
import { WindowRows } from "../src/live/actors/windows.ts";
import { BAR_FLAGS, type AlertFact, type FeaturesFact, type PredictionFact, type Spoken } from "../src/live/message.ts";
import type { Batch } from "../src/dataset/batch.ts";
import type { Strategy } from "../src/strategy/strategy.ts";
import { MINUTE, OPEN, session } from "./live-market.ts";

const NAMES = ["x", "y", "daily_vol"];
const at = (step: number): number => OPEN + step * MINUTE;

/** Rows of a step: x = 100 step + instrument, y = -x, unless said. */
function row(step: number, instruments: readonly number[], flag: number = BAR_FLAGS.fresh, x = (i: number) => 100 * step
  + i): FeaturesFact {
  return { kind: "features", at: at(step), instrument: Int32Array.from(instruments),
    rows: Float32Array.from(instruments.flatMap((i) => [x(i), -x(i), 0.01])),
      flags: new Uint8Array(instruments.length).fill(flag) };
}

const toy = (given: Partial<Strategy> = {}): Strategy =>
  ({ name: "toy", description: "toy", recipe: "dmn", features: ["y", "x"], lookback: 3,
  decide: ({ time }) => Promise.resolve({ position: new Float32Array(time.length).fill(0.5),
    volatility: new Float32Array(time.length).fill(0.01), confidence: new Float32Array(time.length).fill(1) }), ...given });

function worker(given: Partial<ModelOptions> = {}): ModelActor {
  return modelActor({ session: session(), worker: "lstm-1", strategy: toy(), version: "11111111", names: NAMES, ...given });
}
const handle = (actor: ModelActor, message: Spoken | ModelOutcome): (Spoken | ModelEffect)[] =>
  [...actor.handle(message, 0) as readonly (Spoken | ModelEffect)[]];
const question = (said: readonly { kind: string }[]): Infer => {
  const found = said.find((one): one is Infer => one.kind === "infer");
  assert.ok(found !== undefined, `no question in ${JSON.stringify(said)}`);
  return found;
};
const texts = (said: readonly { kind: string }[]): string[] =>
  said.filter((one): one is AlertFact => one.kind === "alert").map(({ code, text }) => `${code}: ${text}`);
const batchOf = ({ batch }: { batch: Batch }) =>
  ({ instrument: [...batch.instrument], time: [...batch.time], features: [...batch.features] });

describe("a model worker", () => {
  test("asks about instruments of the step with a whole window, in order, columns and rows as the strategy reads them", () => {
    const actor = worker();
    for (const step of [1, 2]) assert.equal(handle(actor, row(step, [0, 2], BAR_FLAGS.history)).length, 0);
    handle(actor, row(2, [1], BAR_FLAGS.history));
    const asked = question(handle(actor, row(3, [2, 1, 0])));
    assert.deepEqual(batchOf(asked), { instrument: [0, 2], time: [at(3), at(3)],
      features: [-100, 100, -200, 200, -300, 300, -102, 102, -202, 202, -302, 302] });
    assert.deepEqual([asked.batch.names, asked.batch.lookback, asked.batch.symbols[2]], [["y", "x"], 3, "CCC"]);
  });

  test("a step of which nobody has a whole window is answered with no rows, so that nobody waits", () => {
    const [said] = handle(worker(), row(1, [0, 1])) as PredictionFact[];
    assert.deepEqual([said.kind, said.at, said.model, said.version, said.instrument.length],
      ["prediction", at(1), "lstm-1", "11111111", 0]);
  });

  test("history, late and revised rows are taken in and never decided on; what they change is in the next window", () => {
    const actor = worker();
    for (const step of [1, 2, 4]) handle(actor, row(step, [0], BAR_FLAGS.history));
    assert.deepEqual(handle(actor, row(3, [0], BAR_FLAGS.backfilled)), []);
    assert.deepEqual(handle(actor, row(4, [0], BAR_FLAGS.revised, () => 7)), []);
    assert.deepEqual(batchOf(question(handle(actor, row(5, [0])))).features, [-300, 300, -7, 7, -500, 500]);
  });

  test("a row with a NaN ends the window until enough whole rows have followed", async () => {
    const actor = worker(), counts: number[] = [];
    for (let step = 1; step <= 8; step++) {
      const said = handle(actor, row(step, [0], BAR_FLAGS.fresh, () => step === 4 ? NaN : step));
      const asked = said.find((one): one is Infer => one.kind === "infer");
      counts.push(asked?.batch.time.length ?? 0);
      if (asked !== undefined) handle(actor, await infer(asked));
    }
    assert.deepEqual(counts, [0, 0, 1, 0, 0, 0, 1, 1]);
  });

  test("while it answers, steps pass: it goes on with the newest and counts the others; windows miss nothing", async () => {
    const actor = worker(), alerts: string[] = [];
    for (const step of [1, 2]) handle(actor, row(step, [0], BAR_FLAGS.history));
    const first = question(handle(actor, row(3, [0])));
    for (const step of [4, 5, 6, 7]) alerts.push(...texts(handle(actor, row(step, [0]))));
    assert.equal(actor.skipped, 3);
    assert.deepEqual(alerts.map((text) => text.replace(/, because.*/, "")),
      ["model-slow: lstm-1 has skipped 1 steps", "model-slow: lstm-1 has skipped 2 steps"]);
    const said = handle(actor, await infer(first));
    assert.deepEqual((said[0] as PredictionFact).at, at(3));
    assert.deepEqual(batchOf(question(said)).features, [-500, 500, -600, 600, -700, 700]);
    // The row of a step that is still incomplete elsewhere is not in the window of the step before.
    assert.equal(question(said).at, at(7));
  });

  test("with two shards a step is whole when both have spoken, also with nothing to say", () => {
    const actor = worker({ shards: 2 });
    for (const step of [1, 2]) handle(actor, row(step, [0, 1], BAR_FLAGS.history));
    assert.deepEqual(handle(actor, row(3, [1])), []);
    assert.deepEqual(batchOf(question(handle(actor, row(3, [0])))).instrument, [0, 1]);
    const quiet = worker({ shards: 2 });
    for (const step of [1, 2]) handle(quiet, row(step, [0, 1], BAR_FLAGS.history));
    handle(quiet, row(3, []));
    assert.deepEqual(batchOf(question(handle(quiet, row(3, [0])))).instrument, [0]);
  });

  const bad: readonly (readonly [string, Strategy["decide"], RegExp])[] = [
    ["NaN", async () => ({ position: Float32Array.of(NaN), volatility: Float32Array.of(1), confidence: Float32Array.of(1) }),
      /gave the position NaN for AAA/],
    ["2", async () => ({ position: Float32Array.of(2), volatility: Float32Array.of(1), confidence: Float32Array.of(1) }),
      /gave the position 2 for AAA/],
    ["too little", async () => ({ position: new Float32Array(0), volatility: Float32Array.of(1),
      confidence: Float32Array.of(1) }), /gave 0 values of position for 1 rows/],
    ["a confidence of 3", async () => ({ position: Float32Array.of(0), volatility: Float32Array.of(1),
      confidence: Float32Array.of(3) }), /gave the confidence 3/],
    ["nothing, but throws", () => Promise.reject(new Error("no memory")), /strategy toy failed .*: no memory/],
  ];
  for (const [what, decide, expected] of bad) {
    test(`a model that says ${what} says nothing to others, and an alert says so; it is asked again at the next step`,
      async () => {
      const actor = worker({ strategy: toy({ decide }) });
      for (const step of [1, 2]) handle(actor, row(step, [0], BAR_FLAGS.history));
      const said = handle(actor, await infer(question(handle(actor, row(3, [0])))));
      assert.equal(said.length, 1);
      assert.match(texts(said)[0], expected);
      assert.equal(question(handle(actor, row(4, [0]))).at, at(4));
    });
  }

  test("a strategy without an opinion of its accuracy is sure of itself; one that has seen the day says nothing", async () => {
    const decide = () => Promise.resolve({ position: Float32Array.of(-1), volatility: Float32Array.of(0.01) } as never);
    const sure = worker({ strategy: toy({ decide, lookback: 1 }) });
    const [said] = handle(sure, await infer(question(handle(sure, row(1, [0]))))) as PredictionFact[];
    assert.deepEqual([...said.confidence], [1]);
    const early = worker({ strategy: toy({ lookback: 1, decidesFrom: at(2) }) });
    assert.equal((handle(early, row(1, [0])) as PredictionFact[])[0].instrument.length, 0);
    assert.equal(question(handle(early, row(2, [0]))).at, at(2));
  });
});

describe("swapping a model", () => {
  test("the new one is loaded beside the old, takes over between two steps, and its answers carry its version", async () => {
    const actor = worker(), other = toy({ name: "other", features: ["x"], lookback: 2 });
    for (const step of [1, 2]) handle(actor, row(step, [0], BAR_FLAGS.history));
    const [prepare] = handle(actor,
      { kind: "control", at: 0, action: "swap-model", by: "user", subject: "lstm-1", value: "model:other" });
    assert.deepEqual(prepare, { kind: "prepare", name: "model:other" });
    const first = question(handle(actor, row(3, [0])));
    assert.match(texts(handle(actor, { kind: "prepared", strategy: other, version: "22222222" }))[0],
      /^model-swapped: lstm-1 goes on with other \(22222222\)/);
    const [said] = handle(actor, await infer(first)) as PredictionFact[];
    assert.equal(said.version, "11111111");
    const next = question(handle(actor, row(4, [0])));
    assert.deepEqual([next.strategy.name, [...next.batch.features]], ["other", [300, 400]]);
    assert.equal((handle(actor, await infer(next)) as PredictionFact[])[0].version, "22222222");
  });

  test("a model is freed when it has answered its last question, one that never came to answer as well", async () => {
    const freed: string[] = [], rim = modelRim(), actor = worker({ strategy: closing("first") });
    function closing(name: string, given: Partial<Strategy> = {}): Strategy {
      return toy({ name, ...given, close: () => { freed.push(name); return Promise.reject(new Error("it is lost anyway")); } });
    }
    const tell = (said: readonly (Spoken | ModelEffect)[]): (Spoken | ModelEffect)[] => {
      for (const one of said) if (one.kind === "release") rim.carryOut(one);
      return [...said];
    };
    const prepared = (strategy: Strategy): void => { tell(handle(actor, { kind: "prepared", strategy, version: "2" })); };
    prepared(closing("misfit", { recipe: "mine" }));
    assert.deepEqual(freed.splice(0), ["misfit"]);
    for (const step of [1, 2]) handle(actor, row(step, [0], BAR_FLAGS.history));
    const asked = question(handle(actor, row(3, [0])));
    prepared(closing("passed over"));
    prepared(closing("second"));
    assert.deepEqual(freed.splice(0), ["passed over"]);
    tell(handle(actor, await infer(asked)));
    assert.deepEqual(freed.splice(0), ["first"]);
    prepared(toy({ name: "third" }));
    assert.deepEqual(freed.splice(0), ["second"]);
    prepared(toy({ name: "fourth" }));
    assert.deepEqual(freed, []);
  });

  test("a command for another worker is not heeded; a model that cannot be loaded changes nothing", async () => {
    const actor = worker(), control = { kind: "control", at: 0, action: "swap-model", by: "user", value: "model:gone" } as const;
    assert.deepEqual(handle(actor, { ...control, subject: "lstm-2" }), []);
    const outcomes: ModelOutcome[] = [],
      rim = modelRim({ find: () => Promise.reject(new UserError('there is no model "gone"', "see: dmn train")) });
    const arrived = Promise.withResolvers<void>();
    await rim.start((outcome) => { outcomes.push(outcome); arrived.resolve(); });
    for (const effect of handle(actor, { ...control, subject: "lstm-1" })) rim.carryOut(effect as ModelEffect);
    await arrived.promise;
    assert.deepEqual(texts(handle(actor, outcomes[0])), ['swap-refused: lstm-1 keeps its model: there is no model "gone"']);
  });

  const misfits: readonly (readonly [Partial<Strategy>, string])[] = [
    [{ recipe: "mine" }, "new reads recipe mine, the session's is dmn"],
    [{ recipeHash: "fedcba9876543210" },
      "new was trained on another version of recipe dmn (fedcba98, the session's is 01234567)"],
    [{ features: ["x", "z"] }, 'new reads the feature "z", which the session does not make'],
    [{ lookback: 400 }, "new looks back 400 rows, 256 are kept"],
  ];
  for (const [given, problem] of misfits) {
    test(`refused: ${problem}`, () => {
      const strategy = toy({ name: "new", ...given }), actor = worker();
      assert.deepEqual(texts(handle(actor, { kind: "prepared", strategy, version: "2" })),
        [`swap-refused: lstm-1 keeps its model: ${problem}`]);
      assert.equal(actor.swap(toy({ name: "new", recipeHash: "0123456789abcdef" }), "2"), null);
      if (given.lookback === undefined) assert.throws(() => worker({ strategy }),
        (error: UserError) => error.problem === problem);
    });
  }
});

describe("windows", () => {
  test("4,000 rows in random order: the newest rows, in order of time, and how many of them are whole", () => {
    const window = new WindowRows(1, Int32Array.of(0), 10), all = new Map<number, number>();
    for (let k = 0; k < 4_000; k++) {
      // A shuffle that is never off by more than 20 places; every 17th value is absent.
      const time = k + (k * 7919) % 20, value = k % 17 === 0 ? NaN : k;
      window.take(time, Float32Array.of(value), 0);
      all.set(time, value);
      const newest = [...all.keys()].sort((a, b) => a - b).slice(-10), last = newest.at(-1)!;
      let run = 0;
      for (const one of newest) run = Number.isNaN(all.get(one)) ? 0 : run + 1;
      if (newest.length < 10) continue;
      assert.equal(window.time, last);
      assert.ok(run < 10 ? window.runAt(last) === run : window.runAt(last) >= 10);
      const out = new Float32Array(10);
      window.copy(last, 10, Int32Array.of(0), out, 0);
      assert.deepEqual([...out], newest.map((one) => all.get(one)));
    }
  });
});
