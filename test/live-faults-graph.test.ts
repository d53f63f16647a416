/** Faults 17 to 36 of live trading (streams, data, processes, clocks, models), over the in-memory graph. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { after, before, describe, test } from "node:test";
import { BAR_FLAGS, type DecisionFact, type FeaturesFact, type MarketFact, type NoticeFact,
  type TradingStateFact } from "../src/live/message.ts";
import type { Session } from "../src/live/session.ts";
import type { Strategy } from "../src/strategy/strategy.ts";
import { HONEST, type BrokerFaults, type VenueEntry } from "../src/workflow/live/memory-broker.ts";
import { CALM, type MemoryProcess } from "../src/workflow/live/memory-process.ts";
import type { SimulatedMarket } from "../src/workflow/live/memory-feed.ts";
import { violationsOf, type SimulationRecord } from "../src/workflow/live/invariants.ts";
import type { FaultPlan, Mischief, SimulationOptions } from "../src/workflow/live/simulation.ts";
import { alerts, faultPlan, FROM, HISTORY, LIVE, makeToy, play, playByTheRules, PROCESSES, said, settledAt, STEP_MS,
  submits, SYMBOLS, toyMarket, type Toy } from "./live-toy.ts";

let toy: Toy;
before(async () => { toy = await makeToy(); });
after(() => { fs.rmSync(toy.root, { recursive: true, force: true }); });

const FIRST_MS = STEP_MS / 2;
const END = FROM + (HISTORY + LIVE) * STEP_MS;
const plan = (mischief: readonly Mischief[] = [], more: Partial<FaultPlan> = {}, broker: Partial<BrokerFaults> = {}): FaultPlan =>
  ({ ...faultPlan(broker, mischief), ...more });
const run = (seed: number, faults: FaultPlan, more: Partial<SimulationOptions> = {}, session: Partial<Session> = {}):
Promise<SimulationRecord> => playByTheRules(toy, seed, faults, session, more);

const between = (entries: readonly VenueEntry[], fromMs: number, toMs: number): VenueEntry[] =>
  entries.filter(({ elapsedMs }) => elapsedMs > FIRST_MS + fromMs && elapsedMs < FIRST_MS + toMs);
/** Last features of each instrument and close that models decided on. */
function features(record: SimulationRecord): Map<string, string> {
  const out = new Map<string, string>();
  for (const { at, instrument, rows } of said<FeaturesFact>(record, "features")) {
    instrument.forEach((i, k) => { out.set(`${at} ${i}`, rows.slice(2 * k, 2 * k + 2).join()); });
  }
  return out;
}

const sorted = (rows: Map<string, string>): string[] => [...rows].map(([key, row]) => `${key}: ${row}`)
  .sort((a, b) => a.localeCompare(b));

describe("streams and data", () => {
  test("17 and 19: the vendor's stream breaks every few minutes: gaps are filled, nothing is traded on them, then it goes on",
    async () => {
    const breaks = [3, 7, 11].map((step): Mischief => ({ atMs: step * STEP_MS + 30_000, what: "break-feed", ms: 100_000 }));
    const record = await run(1, plan(breaks)), whole = await run(1, plan());
    for (const { atMs } of breaks) assert.deepEqual(between(submits(record), atMs, atMs + 100_000), []);
    assert.ok(alerts(record).includes("feed-lost") && alerts(record).includes("feed-back"));
    assert.equal(said<MarketFact>(record, "market").filter(({ flags }) => flags.includes(BAR_FLAGS.backfilled)).length > 0, true);
    assert.deepEqual(sorted(features(record)), sorted(features(whole)));
    assert.equal(settledAt(record), END);
  });

  test("18: connected but mute: said to be stale, connected anew, nothing traded on what is old", async () => {
    const record = await run(2, plan([{ atMs: 5 * STEP_MS + 30_000, what: "mute-feed", ms: 4 * STEP_MS }]));
    assert.ok(alerts(record).includes("feed-stale"), alerts(record).join());
    assert.ok(said<NoticeFact>(record, "notice").some(({ what }) => what === "stale")
      && said<NoticeFact>(record, "notice").some(({ what }) => what === "fresh"));
    assert.deepEqual(between(submits(record), 6 * STEP_MS, 9 * STEP_MS), []);
    assert.equal(settledAt(record), END);
  });

  test("20 and 21: updates stop on a stream that looks healthy: the account is compared, and trading goes on", async () => {
    const record = await run(3, plan([{ atMs: 4 * STEP_MS + 30_000, what: "mute-stream", ms: 5 * STEP_MS }]));
    assert.equal(settledAt(record), END);
  });

  test("the stream of updates breaks: no order until it is proven again", async () => {
    const atMs = 4 * STEP_MS + 30_000, ms = 3 * STEP_MS;
    const record = await run(4, plan([{ atMs, what: "break-stream", ms }]));
    assert.deepEqual(between(submits(record), atMs + 100, atMs + ms), []);
    assert.ok(between(submits(record), atMs + ms, LIVE * STEP_MS).length > 3);
  });

  test("22: a bar that is revised later: features end as in a batch over the right bars, and no past step is traded again",
    async () => {
    const spoilt = [3, 6, 9].map((k) => ({ step: HISTORY + k, instrument: k % 3, what: "revised" as const, factor: 1.002 }));
    const record = await run(5, plan([], { spoilt })), whole = await run(5, plan());
    assert.deepEqual(sorted(features(record)), sorted(features(whole)));
    assert.equal(said(record, "decision").length, LIVE);
    assert.ok(said<FeaturesFact>(record, "features").some(({ flags }) => flags.includes(BAR_FLAGS.revised)));
  });

  test("23: a minute without trades: the others are decided on, the missing one keeps what it holds", async () => {
    const market = toyMarket(6), bars = market.bars.slice(), step = HISTORY + 8;
    bars.fill(NaN, (step * SYMBOLS.length + 1) * 7, (step * SYMBOLS.length + 2) * 7);
    const record = await run(6, plan(), { market: { ...market, bars } });
    const decision = said<DecisionFact>(record, "decision").find(({ at }) => at === market.time[step])!;
    assert.deepEqual([...decision.instrument], [0, 2]);
    const during = between(submits(record), 8 * STEP_MS, 9 * STEP_MS);
    assert.deepEqual(during.filter(({ symbol }) => symbol === "BBB"), []);
    assert.equal(settledAt(record), END);
  });

  test("a bar that comes seconds after its step is taken in and not traded on", async () => {
    const record = await run(7, plan([], { spoilt: [{ step: HISTORY + 4, instrument: 2, what: "late" }] })),
      whole = await run(7, plan());
    assert.deepEqual(sorted(features(record)), sorted(features(whole)));
  });

  test("25: a split overnight: history is told again, features do not leap, holdings are split and not traded for it",
    async () => {
    const step = HISTORY + 8, market = overnight(toyMarket(8), step), [i, ratio] = [1, 2];
    const bars = market.bars.slice();
    for (let s = step; s < market.time.length; s++) for (const f of [0, 1, 2, 3, 5]) bars[(s * SYMBOLS.length + i) * 7
      + f] /= ratio;
    const openMs = market.time[step] - STEP_MS - market.time[HISTORY];
    const record = await play(toy, 8,
      { tickMs: 5_000, market: { ...market, bars }, faults: { ...plan([{ atMs: openMs, what: "split", instrument: i, ratio }]),
      calmFromMs: openMs } });
    assert.deepEqual(violationsOf(record).filter(({ rule }) => rule !== "no bar that cannot be is told"), []);
    const returns = said<FeaturesFact>(record, "features").flatMap(({ at, instrument, rows }) =>
      at === market.time[step] && instrument.includes(i) ? [rows[2 * instrument.indexOf(i)]] : []);
    assert.ok(returns.length > 0 && returns.every((value) => Math.abs(value) < 0.05), returns.join());
    assert.equal(settledAt(record), market.time.at(-1));
  });

  test("33: bars at ten times the price, zero, negative or without a close are left out and said", async () => {
    for (const [k, factor] of [10, 0.1, 0, -1, NaN].entries()) {
      const spoilt = [{ step: HISTORY + 6, instrument: k % 3, what: "revised" as const, factor }];
      const record = await run(9, plan([], { spoilt }));
      assert.ok(alerts(record).includes("bad-tick"), `x ${factor}: ${alerts(record).join()}`);
      const heldBack = said<DecisionFact>(record, "decision").find(({ at }) => at === toyMarket(9).time[HISTORY + 6])!;
      assert.ok(!heldBack.instrument.includes(k % 3), `x ${factor}`);
    }
  });
});

/** The steps from one on are the next session's first, `open` its open; those before lead up to `last`. */
const overnight = (market: SimulatedMarket, step: number, open = Date.UTC(2024, 0, 4, 14, 30),
  last = market.time[step - 1]): SimulatedMarket => ({ ...market, time: market.time.map((_, s) =>
  s < step ? last + (s - step + 1) * STEP_MS : open + (s - step + 1) * STEP_MS) });

describe("sessions", () => {
  for (const [name, close, open] of [
    ["a half day before a holiday", Date.UTC(2024, 6, 3, 17), Date.UTC(2024, 6, 5, 13, 30)],
    ["a Friday before clocks change", Date.UTC(2024, 2, 8, 21), Date.UTC(2024, 2, 11, 13, 30)]] as const) {
    test(`11, 12 and 31: over the close of ${name} no order is sent for a session that is over; it goes on at the next open`,
      async () => {
      const step = HISTORY + 9, market = overnight(toyMarket(10), step, open, close);
      const record = await run(10, { ...plan(), calmFromMs: 0 }, { market, tickMs: 5_000, execution: { reconcileMs: 600_000 } });
      const at = ({ elapsedMs }: VenueEntry): number => record.start + elapsedMs;
      const closed = submits(record).filter((entry) => at(entry) > close && at(entry) < open && entry.answer === "accepted");
      // Orders for the opening auction are taken the evening before.
      assert.ok(closed.every((entry) => at(entry) > open - 16 * 3_600_000), JSON.stringify(closed));
      assert.ok(submits(record).some((entry) => at(entry) < close)
        && submits(record).some((entry) => at(entry) > open + STEP_MS));
      assert.equal(settledAt(record), market.time.at(-1));
    });
  }
});

describe("processes", () => {
  for (const name of PROCESSES) {
    test(`28: ${name} killed at any moment of a step comes back; one order per intent, and the day goes on`, async () => {
      for (let k = 0; k < 8; k++) {
        const record = await run(20, plan([{ atMs: 3 * STEP_MS + 40 * k, what: "kill", process: name }]));
        assert.equal(settledAt(record), END, `kill ${k}`);
      }
    });
    test(`28: ${name} frozen for seconds (SIGSTOP): the same`, async () => {
      for (const ms of [300, 3_000, 70_000]) {
        const record = await run(21, plan([{ atMs: 3 * STEP_MS + 10, what: "freeze", process: name, ms }]));
        assert.equal(settledAt(record), END, `${ms} ms`);
      }
    });
  }

  test("28: all killed at once, mid-order, again and again", async () => {
    for (let k = 0; k < 10; k++) {
      const kills = [3, 6, 9].map((step): Mischief => ({ atMs: step * STEP_MS + 23 * k, what: "kill-all" }));
      const record = await run(22, plan(kills));
      assert.equal(settledAt(record), END, `kill ${k}`);
    }
  });

  test("28 and 32: a member that is gone for good: its quorum decides without it, and says so", async () => {
    const record = await run(23, plan([{ atMs: 3 * STEP_MS + 30_000, what: "kill-for-good", process: "lstm-2" }]));
    assert.ok(alerts(record).includes("member-lost"), alerts(record).join());
    assert.deepEqual(said<DecisionFact>(record, "decision").at(-1)!.members, ["lstm-1"]);
    assert.ok(between(submits(record), 10 * STEP_MS, LIVE * STEP_MS).length > 3);
  });

  test("29: a fifth of all facts is lost on every edge: asked for and brought, and each step is traded", async () => {
    const record = await run(24, plan([], { weather: { delayMs: [0, 30], lostShare: 0.2, twiceShare: 0.1 } }));
    assert.ok(record.entries.filter(({ what }) => what === "refilled").length > 20);
    assert.equal(said(record, "decision").length, LIVE);
    assert.equal(settledAt(record), END);
  });

  test("30: the disk is full: no order leaves, HALTED, said; with room again a person resumes", async () => {
    const atMs = 4 * STEP_MS + 30_000, ms = 3 * STEP_MS, resumeMs = 10 * STEP_MS + 30_000;
    const record = await run(25,
      plan([{ atMs, what: "disk-full", ms }, { atMs: 9 * STEP_MS + 30_000, what: "kill", process: "execution" },
      { atMs: resumeMs, what: "control", action: "resume" }]));
    assert.ok(alerts(record).includes("journal-broken"), alerts(record).join());
    assert.deepEqual(between(submits(record), atMs, resumeMs), []);
    assert.ok(between(submits(record), resumeMs, LIVE * STEP_MS).length > 3);
    assert.ok(said<TradingStateFact>(record, "trading-state").some(({ state }) => state === "HALTED"));
  });

  test("31: clocks step by seconds in either direction: no order twice, no order lost", async () => {
    for (const process of PROCESSES) {
      for (const ms of [-5_000, 5_000]) {
        const record = await run(26, plan([{ atMs: 4 * STEP_MS + 30_000, what: "step-clock", process, ms }]));
        assert.equal(settledAt(record), END, `${process} ${ms}`);
      }
    }
  });

  test("34 and 36: a slow disk, and a recorder that stands still: trading is what it is without them", async () => {
    const recorder: MemoryProcess = { name: "recorder", start: () => [{ rim: null, actor: { name: "recorder",
      hears: ["market", "features", "prediction", "decision", "target", "fill", "order-state", "account", "alert"],
        handle: () => [] } }] };
    const still = await run(27, plan([{ atMs: 10, what: "freeze", process: "recorder", ms: LIVE * STEP_MS }]),
      { others: [recorder] });
    const alone = await run(27, plan());
    assert.deepEqual(submits(still).map(({ id, quantity }) => `${id} ${quantity}`),
      submits(alone).map(({ id, quantity }) => `${id} ${quantity}`));
    const slow = await run(27, plan([{ atMs: 10, what: "slow-disk", delayMs: 400, ms: 10 * STEP_MS }]));
    assert.equal(settledAt(slow), END);
  });
});

describe("models", () => {
  const lying = (change: (position: Float32Array) => void): ReadonlyMap<string, () => Strategy> => {
    const [one, two] = [toy.strategies.get("lstm-1")!, toy.strategies.get("lstm-2")!];
    let asked = 0;
    return new Map([["lstm-1", () => one], ["lstm-2", () => ({ ...two, async decide(batch) {
      const decision = await two.decide(batch);
      if (++asked > 3) change(decision.position);
      return decision;
    } })]]);
  };
  for (const [name, value] of [["NaN", NaN], ["2, out of range", 2], ["infinite", Infinity]] as const) {
    test(`32: a model that says ${name} has weight 0; the other goes on alone`, async () => {
      const record = await run(30, plan(), { strategies: lying((position) => { position.fill(value); }) });
      assert.deepEqual(said<DecisionFact>(record, "decision").at(-1)!.members, ["lstm-1"]);
      assert.ok(alerts(record).some((code) => code === "model-failed" || code === "member-insane"), alerts(record).join());
      assert.ok(between(submits(record), 10 * STEP_MS, LIVE * STEP_MS).length > 3);
    });
  }

  test("32: both models fail: without a quorum all positions go to zero, and the alert says so", async () => {
    const broken: Strategy = { ...toy.strategies.get("lstm-1")!, decide: () => Promise.reject(new Error("no")) };
    let asked = 0;
    const failing = (): Strategy => ({ ...broken, decide: (batch) => ++asked <= 8 ? toy.strategies.get("lstm-1")!.decide(batch)
      : Promise.reject(new Error("no")) });
    const record = await run(31, plan(), { strategies: new Map([["lstm-1", failing], ["lstm-2", failing]]) });
    assert.ok(alerts(record).includes("quorum-lost"));
    assert.ok([...record.held.values()].every((units) => units === 0), JSON.stringify([...record.held]));
  });

  test("32: a model slower than the deadline is not waited for; its late answers change nothing", async () => {
    const slow = await run(32, plan(), { inferMs: 1_500 }, { deadlineMs: 1_000 });
    assert.ok(alerts(slow).includes("member-late") || alerts(slow).includes("quorum-lost"), alerts(slow).join());
    assert.equal(said(slow, "decision").length, LIVE);
  });

  test("a model is swapped between two steps; an unknown one is refused and the old one stays", async () => {
    const record = await run(33, plan([
      { atMs: 3 * STEP_MS + 30_000, what: "control", action: "swap-model", subject: "lstm-1", value: "lstm-2" },
      { atMs: 6 * STEP_MS + 30_000, what: "control", action: "swap-model", subject: "lstm-2", value: "nobody" }]));
    assert.ok(alerts(record).includes("model-swapped") && alerts(record).includes("swap-refused"), alerts(record).join());
    assert.equal(settledAt(record), END);
  });
});

test("calm weather costs nothing: a run without delays, losses or faults says no alert at all", async () => {
  const record = await run(40, { ...plan(), weather: CALM, broker: HONEST });
  assert.deepEqual(alerts(record), []);
  assert.ok(record.entries.every(({ what }) => ["said", "effect", "outcome", "started"].includes(what)));
  assert.ok(record.entries.some(({ message }) => message?.kind === "fill"));
});
