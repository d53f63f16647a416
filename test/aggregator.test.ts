/** What members say together: as the backtest's ensemble, and flat when they cannot be believed. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { random } from "../src/base/random.ts";
import type { Batch } from "../src/dataset/batch.ts";
import { cutWindows } from "../src/dataset/window.ts";
import { computeFeatures } from "../src/features/panel.ts";
import { aggregatorActor } from "../src/live/actors/aggregator.ts";
import { featuresActor } from "../src/live/actors/features.ts";
import { eligibilityOf } from "../src/live/actors/windows.ts";
import { BAR_FLAGS, type DecisionFact, type PredictionFact, type Spoken } from "../src/live/message.ts";
import { combineDecisions } from "../src/strategy/combine.ts";
import { ensembleStrategy } from "../src/strategy/ensemble.ts";
import type { Decision, Strategy } from "../src/strategy/strategy.ts";
import { Chain } from "./live-chain.ts";
import { barsOfRows, market, MINUTE, OPEN, panelOf, session, steps, walk } from "./live-market.ts";

/** A strategy whose answer depends on every number of its window. */
function toy(name: string, features: readonly string[], lookback: number, gain: number): Strategy {
  return { name, description: name, recipe: "dmn", features, lookback,
    decide: (batch) => {
      const width = lookback * features.length, B = batch.time.length;
      const sums = Array.from({ length: B }, (_, b) =>
        batch.features.subarray(b * width, (b + 1) * width).reduce((sum, value, k) => sum + value * Math.sin(k + gain), 0));
      return Promise.resolve({ position: Float32Array.from(sums, (sum) => Math.tanh(gain * sum)),
        volatility: Float32Array.from(sums, (sum) => 0.01 + Math.abs(sum) / 1e3),
        confidence: Float32Array.from(sums, (sum) => 0.5 + Math.tanh(sum) / 2) });
    } };
}

const FEATURES = ["norm_1", "norm_21", "macd_8_24", "daily_vol"] as const;
const TOYS = [toy("a", FEATURES, 10, 0.3), toy("b", [...FEATURES].reverse(), 3, -0.7),
  toy("c", ["ret_1d", "norm_5"].slice(0, 1), 1, 40)];
const MODELS = TOYS.map(({ name }) => ({ worker: `w-${name}`, strategy: `toy:${name}` }));

/** Windows of all rows that the backtest would decide on from a moment on, by time, then instrument. */
function windows(panels: readonly ReturnType<typeof computeFeatures>[], from: number, strategy: Strategy): Batch {
  const found: { i: number; row: number; at: number }[] = [];
  panels.forEach(({ time, values, names }, i) => {
    let run = 0;
    time.forEach((at, row) => {
      run = strategy.features.every((name) => !Number.isNaN(values[row * names.length + names.indexOf(name)])) ? run + 1 : 0;
      if (run >= strategy.lookback && at >= from) found.push({ i, row, at });
    });
  });
  found.sort((a, b) => a.at - b.at || a.i - b.i);
  const columns = panels.map(({ names }) => Int32Array.from(strategy.features, (name) => names.indexOf(name)));
  return cutWindows({ names: strategy.features, symbols: panels.map((_, i) => `S${i}`), panels, columns,
    lookback: strategy.lookback },
    Int32Array.from(found, ({ i }) => i), Int32Array.from(found, ({ row }) => row), Int32Array.from(found, (_, k) => k));
}

describe("live decisions are the backtest's", () => {
  for (const isAdaptive of [false, true]) {
    test(`ensemble:a,b,c${isAdaptive ? "+adaptive" : ""} on the same rows: the same bits`, async () => {
      const N = 4, symbols = Array.from({ length: N }, (_, i) => `S${i}`), T = 500, live = 400;
      const panel = await panelOf("dmn"), rows = walk(11, N, T, 0.15), from = OPEN + live * MINUTE;
      const own = session({ symbols, models: MODELS, mixture: isAdaptive ? "adaptive" : "equal", quorum: 3 });
      const chain = new Chain({ session: own, strategies: TOYS, names: panel.names });
      const features = featuresActor({ session: own, panel });
      for (const step of steps(rows)) {
        const message = market(step, step[0].at < from ? BAR_FLAGS.history : BAR_FLAGS.fresh);
        await chain.tell(message, message.at);
        for (const said of features.handle(message, message.at) as Spoken[]) await chain.tell(said, message.at);
      }
      const ensemble = ensembleStrategy(TOYS, { isAdaptive });
      const batch = windows(symbols.map((_, i) => computeFeatures(panel, barsOfRows(rows, i))), from, ensemble);
      const whole = await ensemble.decide(batch), said = chain.decisions.flatMap((one) =>
        [...one.instrument].map((i, k) => [one.at, i, one.position[k], one.volatility[k], one.confidence[k]]));
      assert.deepEqual(said, Array.from(batch.time, (at, b) =>
        [at, batch.instrument[b], whole.position[b], whole.volatility[b], whole.confidence[b]]));
      assert.ok(said.length > 200, `${said.length} decisions`);
      assert.equal(chain.decisions.length, new Set(rows.filter(({ at }) => at >= from).map(({ at }) => at)).size);
      assert.deepEqual(chain.alerts, []);
      if (isAdaptive) assert.ok(chain.mixtures.at(-1)!.weights.some((weight) => Math.abs(weight - 1 / 3) > 0.01));
    });
  }

  test("what a member needs, all are held to: features and the longest lookback", () => {
    assert.deepEqual(eligibilityOf(TOYS, true), { features: [...FEATURES, "ret_1d"], lookback: 10 });
    assert.deepEqual(eligibilityOf([TOYS[2]], true), { features: ["ret_1d", "daily_vol"], lookback: 2 });
  });
});

const decision = (...rows: readonly (readonly [number, number, number])[]): Decision => ({
  position: Float32Array.from(rows, ([position]) => position),
    volatility: Float32Array.from(rows, ([, volatility]) => volatility),
  confidence: Float32Array.from(rows, ([, , confidence]) => confidence) });

describe("combining", () => {
  test("equal weights: the mean; a missing member's part goes to the others", () => {
    const said = [decision([1, 0.1, 1]), decision([-0.5, 0.2, 0.5]), decision([0.2, 0.3, 0])];
    const { position, volatility } = combineDecisions(said, () => [0.25, 0.25, 0.5]);
    assert.equal(position[0], Math.fround(0.25 - 0.125 + 0.5 * Math.fround(0.2)));
    assert.ok(Math.abs(volatility[0] - 0.225) < 1e-7);
    const two = combineDecisions([said[0], null, said[2]], () => [0.25, 0.25, 0.5]);
    assert.ok(Math.abs(two.position[0] - (1 / 3 + 0.2 * 2 / 3)) < 1e-7);
  });

  test("weighted by confidence: 1 at 0.8 and -1 at 0.2 is 0.6; of whom nobody is sure is flat", () => {
    const sure = (a: number, b: number): Decision[] => [decision([1, 0.1, a]), decision([-1, 0.3, b])];
    const options = { isConfidenceWeighted: true };
    assert.ok(Math.abs(combineDecisions(sure(0.8, 0.2), () => [0.5, 0.5], options).position[0] - 0.6) < 1e-7);
    assert.ok(Math.abs(combineDecisions(sure(0.8, 0.2), () => [0.2, 0.8], options).position[0]) < 1e-7);
    const none = combineDecisions(sure(0, 0), () => [0.5, 0.5], options);
    assert.deepEqual([none.position[0], none.volatility[0], none.confidence[0]], [0, Math.fround(0.1), 0]);
  });
});

/** Two members and three instruments; `say` gives a prediction of a step. */
function two(given: Parameters<typeof session>[0] = {}, constantSteps = 30) {
  const own = session({ quorum: 2, ...given }), actor = aggregatorActor({ session: own, constantSteps });
  const at = (step: number): number => OPEN + step * MINUTE;
  const draw = random(1, "positions");
  const say = (step: number, model: string, change: Partial<PredictionFact> = {}): PredictionFact => ({
    kind: "prediction", at: at(step), model, version: model, instrument: Int32Array.of(0, 2),
    position: Float32Array.of(draw.uniform(), 0.5), volatility: Float32Array.of(0.01, 0.02), confidence: Float32Array.of(1, 1),
      ...change });
  const handle = (message: Spoken, now: number): Spoken[] => actor.handle(message, now) as Spoken[];
  const open = (step: number, now = at(step)): Spoken[] =>
    handle(market(walk(1, 3, step).filter((row) => row.at === at(step))), now);
  const tick = (now: number): Spoken[] => actor.handle({ kind: "tick", at: now }, now) as Spoken[];
  return { at, say, handle, open, tick };
}
const decisions = (said: readonly Spoken[]): DecisionFact[] => said.filter((one) => one.kind === "decision");
const codes = (said: readonly Spoken[]): string[] => said.flatMap((one) => one.kind === "alert" ? [one.code] : []);

describe("the aggregator", () => {
  test("decides when the last member has answered, at once and only once", () => {
    const { say, handle, open, tick, at } = two();
    assert.deepEqual(open(1), []);
    assert.deepEqual(handle(say(1, "lstm-1"), at(1)), []);
    const said = handle(say(1, "lstm-2", { position: Float32Array.of(0, -0.5) }), at(1));
    assert.deepEqual([said.length, decisions(said)[0].members, [...decisions(said)[0].instrument]],
      [1, ["lstm-1", "lstm-2"], [0, 2]]);
    assert.deepEqual(decisions(said)[0].position[1], 0);
    assert.deepEqual([...open(1), ...tick(at(1) + 1_000),
      ...handle(say(1, "lstm-1"), at(1) + 1).filter(({ kind }) => kind === "decision")], []);
  });

  test("waits deadlineMs for a member and no longer; the late one is counted, after three misses it is not waited for", () => {
    const { say, handle, open, tick, at } = two({ quorum: 1 });
    for (let step = 1; step <= 3; step++) {
      open(step);
      assert.deepEqual(decisions(handle(say(step, "lstm-1"), at(step) + 5)), []);
      assert.deepEqual(decisions(tick(at(step) + 99)), []);
      assert.deepEqual(decisions(tick(at(step) + 100))[0].members, ["lstm-1"]);
      assert.deepEqual(codes(handle(say(step, "lstm-2"), at(step) + 101)), step < 3 ? ["member-late"] : []);
    }
    open(4);
    assert.deepEqual(decisions(handle(say(4, "lstm-1"), at(4) + 5)).length, 1);
    // It is back: the next step is shared again.
    open(5);
    handle(say(5, "lstm-2"), at(5));
    assert.deepEqual(decisions(handle(say(5, "lstm-1"), at(5)))[0].members, ["lstm-1", "lstm-2"]);
  });

  test("without quorum every instrument that was decided on goes to 0, once said to be lost, and comes back", () => {
    const { say, handle, open, tick, at } = two();
    open(1);
    handle(say(1, "lstm-1"), at(1));
    handle(say(1, "lstm-2"), at(1));
    open(2);
    handle(say(2, "lstm-1"), at(2));
    const said = tick(at(2) + 100), [flat] = decisions(said);
    assert.deepEqual([flat.hasQuorum, [...flat.instrument], [...flat.position], codes(said)],
      [false, [0, 2], [0, 0], ["quorum-lost"]]);
    assert.ok(Math.abs(flat.volatility[1] - 0.02) < 1e-7);
    open(3);
    assert.deepEqual(codes(tick(at(3) + 100)), []);
    open(4);
    handle(say(4, "lstm-1"), at(4));
    assert.deepEqual(codes(handle(say(4, "lstm-2"), at(4))), ["quorum-back"]);
  });

  test("a restarted aggregator closes nothing at its first silent steps; after three it closes all that has a price", () => {
    const { open, tick, at } = two();
    const instruments = [1, 2, 3, 4].map((step) => { open(step); return [...decisions(tick(at(step) + 100))[0].instrument]; });
    assert.deepEqual(instruments, [[], [], [0, 1, 2], [0, 1, 2]]);
  });

  const insane: readonly (readonly [string, Partial<PredictionFact>, RegExp])[] = [
    ["NaN", { position: Float32Array.of(NaN, 0) }, /gave the position NaN for AAA/],
    ["beyond 1", { position: Float32Array.of(0, 1.01) }, /gave the position 1\.0099\d* for CCC/],
    ["a negative volatility", { volatility: Float32Array.of(0.1, -0.1) }, /the volatility -0\.1\d* for CCC/],
    ["an infinite volatility", { volatility: Float32Array.of(0.1, Infinity) }, /the volatility Infinity for CCC/],
    ["a confidence of 2", { confidence: Float32Array.of(2, 1) }, /the confidence 2 for AAA/],
    ["an unknown instrument", { instrument: Int32Array.of(0, 3) }, /named instrument 3/],
    ["instruments out of order", { instrument: Int32Array.of(2, 0) }, /out of order/],
    ["too few values", { position: Float32Array.of(0) }, /gave not 2 of each value/],
    ["another model", { version: "other" }, /speaks as version other instead of lstm-1, and nobody swapped it/],
  ];
  for (const [what, change, expected] of insane) {
    test(`a member that says ${what} has weight 0 while it does, and an alert says so once`, () => {
      const { say, handle, open, at } = two({ quorum: 1 });
      const round = (step: number, own: Partial<PredictionFact>): Spoken[] => {
        open(step);
        return [...handle(say(step, "lstm-1", own), at(step)),
          ...handle(say(step, "lstm-2", { position: Float32Array.of(-0.25, 0.25) }), at(step))];
      };
      round(1, {});
      const said = round(2, change), alert = said.find((one) => one.kind === "alert")!;
      assert.match(alert.text, expected);
      assert.deepEqual([decisions(said)[0].members, [...decisions(said)[0].position]], [["lstm-2"], [-0.25, 0.25]]);
      assert.deepEqual(codes(round(3, change)), []);
      assert.deepEqual(codes(round(4, {})), ["member-sane"]);
    });
  }

  test("a network that says the same for 5 steps is not believed until it changes; a sign may stand still", () => {
    for (const strategy of ["model:a", "tsmom"]) {
      const { say, handle, open,
        at } = two({ quorum: 1, models: [{ worker: "lstm-1", strategy }, { worker: "lstm-2", strategy: "tsmom" }] }, 5);
      const members = Array.from({ length: 8 }, (_, step) => {
        open(step + 1);
        handle(say(step + 1, "lstm-1", { position: Float32Array.of(step < 7 ? 0.5 : 0.6, 0.5) }), at(step + 1));
        return decisions(handle(say(step + 1, "lstm-2"), at(step + 1)))[0].members.length;
      });
      assert.deepEqual(members, strategy === "tsmom" ? Array(8).fill(2) : [2, 2, 2, 2, 2, 1, 1, 2]);
    }
  });

  test("a swap that was commanded may change the version", () => {
    const { say, handle, open, at } = two({ quorum: 2 });
    open(1);
    handle(say(1, "lstm-1"), at(1));
    handle(say(1, "lstm-2"), at(1));
    handle({ kind: "control", at: at(1), action: "swap-model", by: "user", subject: "lstm-1", value: "model:new" }, at(1));
    open(2);
    handle(say(2, "lstm-1", { version: "new" }), at(2));
    assert.equal(decisions(handle(say(2, "lstm-2"), at(2)))[0].hasQuorum, true);
  });

  test("an instrument that one member could not answer for is not decided on", () => {
    const { say, handle, open, at } = two();
    open(1);
    handle(say(1, "lstm-1"), at(1));
    const one = { instrument: Int32Array.of(2), position: Float32Array.of(0.5), volatility: Float32Array.of(0.02),
      confidence: Float32Array.of(1) };
    const [said] = decisions(handle(say(1, "lstm-2", one), at(1)));
    assert.deepEqual([[...said.instrument], [...said.position]], [[2], [0.5]]);
  });

  test("steps are decided in order of time, though the younger is whole first", () => {
    const { say, handle, open, tick, at } = two();
    open(1);
    open(2, at(1) + 40);
    handle(say(2, "lstm-1"), at(1) + 50);
    assert.deepEqual(decisions(handle(say(2, "lstm-2"), at(1) + 50)), []);
    assert.deepEqual(decisions(tick(at(2) + 100)).map((one) => [one.at, one.hasQuorum]), [[at(1), false], [at(2), true]]);
  });

  test("history, late and revised bars open no step", () => {
    const { handle, tick, at } = two();
    for (const flag of [BAR_FLAGS.history, BAR_FLAGS.backfilled, BAR_FLAGS.revised]) {
      handle(market(walk(1, 3, 1), flag), at(1));
    }
    assert.deepEqual(tick(at(9)), []);
  });

  test("members that leave because all is stopped are not lost: no position is closed for it", () => {
    const { say, handle, open, tick, at } = two();
    open(1);
    handle(say(1, "lstm-1"), at(1));
    handle(say(1, "lstm-2"), at(1));
    open(2);
    assert.deepEqual(handle({ kind: "control", at: at(2), action: "stop", by: "supervisor", subject: "", value: "" }, at(2)), []);
    assert.deepEqual(tick(at(3)), []);
  });
});
