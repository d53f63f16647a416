/** Faults 1 to 16 of live trading (orders, fills, account), over the in-memory graph; each with what must come of it. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { after, before, describe, test } from "node:test";
import type { OrderStateFact, TradingStateFact } from "../src/live/message.ts";
import type { Session } from "../src/live/session.ts";
import type { VenueEntry } from "../src/workflow/live/memory-broker.ts";
import type { SimulationRecord } from "../src/workflow/live/invariants.ts";
import type { FaultPlan, SimulationOptions } from "../src/workflow/live/simulation.ts";
import { alerts, faultPlan as plan, FROM, HISTORY, LIVE, makeToy, playByTheRules, said, settledAt, STEP_MS, submits,
  toyMarket, type Toy } from "./live-toy.ts";

let toy: Toy;
before(async () => { toy = await makeToy(); });
after(() => { fs.rmSync(toy.root, { recursive: true, force: true }); });

const run = (seed: number, faults: FaultPlan, session: Partial<Session> = {}, more: Partial<SimulationOptions> = {}):
Promise<SimulationRecord> => playByTheRules(toy, seed, faults, session, more);

const accepted = (record: SimulationRecord): VenueEntry[] => submits(record).filter(({ answer }) => answer === "accepted");
const effects = (record: SimulationRecord, kind: string): number =>
  record.entries.filter(({ what, message }) => what === "effect" && message?.kind === kind).length;
const lastStates = (record: SimulationRecord): Map<string, OrderStateFact["order"]> =>
  new Map(said<OrderStateFact>(record, "order-state").map(({ order }) => [order.id, order]));
/** ms after the first live bar -> ms since the start of the run. */
const FIRST_MS = STEP_MS / 2;

describe("orders and the account", () => {
  test("without faults every step is decided, traded and settled", async () => {
    const record = await run(1, plan({}));
    assert.equal(said(record, "decision").length, LIVE);
    assert.equal(settledAt(record), FROM + (HISTORY + LIVE) * STEP_MS);
    assert.ok(accepted(record).length >= LIVE, `${accepted(record).length} orders`);
    assert.deepEqual(alerts(record), []);
  });

  test("1: an answer lost after the order was accepted is looked up by id, never sent again: one order per intent", async () => {
    const record = await run(2, plan({ lostAnswerShare: 0.4, lostUpdateShare: 1 }));
    const times = Map.groupBy(submits(record), ({ id }) => id);
    assert.ok([...times.values()].every((sent) => sent.length === 1));
    assert.ok(effects(record, "look-up") > 5);
    assert.ok([...lastStates(record).values()].every(({ state }) => state !== "unknown"));
  });

  test("1: a call that never arrives ends as an unknown order that is given up, not as two orders", async () => {
    const record = await run(3, plan({ lostCallShare: 0.3 }));
    assert.ok(new Set(accepted(record).map(({ id }) => id)).size === accepted(record).length);
    assert.ok(alerts(record).includes("order-lost"), alerts(record).join());
  });

  test("2 and 3: killed at any moment around a submit, after the restart there is one order and position = broker", async () => {
    // Over the first 800 ms after a bar: decision, intent, POST, response, fill, book-keeping.
    let beforePost = 0, beforeResponse = 0;
    for (let k = 0; k < 40; k++) {
      const record = await run(4,
        { ...plan({ delayMs: [20, 150] }, [{ atMs: 2 * STEP_MS + 20 * k, what: "kill", process: "execution" }]),
        calmFromMs: 3 * STEP_MS }, {}, { market: toyMarket(4, 6) });
      const killedMs = record.entries.find(({ what }) => what === "killed")!.elapsedMs;
      const sent = submits(record).filter(({ elapsedMs }) => elapsedMs <= killedMs).map(({ id }) => id);
      const answered = new Set(record.entries.filter(({ what, message, elapsedMs }) => what === "outcome"
        && message?.kind === "submitted" && elapsedMs <= killedMs)
          .map(({ message }) => (message as unknown as { id: string }).id));
      if (sent.some((id) => !answered.has(id))) beforeResponse++;
      if (record.journal.some(({ record: line, elapsedMs }) => line.t === "intent" && elapsedMs <= killedMs
        && !sent.includes(line.request.id))) beforePost++;
      assert.equal(new Set(accepted(record).map(({ id }) => id)).size, accepted(record).length, `kill ${k}`);
    }
    assert.ok(beforePost > 2 && beforeResponse > 2, `${beforePost} kills before the POST, ${beforeResponse} before its response`);
  });

  test("4 and 10: partial fills of fractional orders add up: nothing is filled beyond the order, books = broker to 1e-9",
    async () => {
    const record = await run(5, plan({ partialShare: 1 }));
    const states = [...lastStates(record).values()];
    assert.ok(states.some(({ quantity }) => quantity % 1 !== 0));
    assert.ok(said<OrderStateFact>(record, "order-state").some(({ order }) => order.state === "partially-filled"));
    for (const { filled, quantity } of states) assert.ok(Math.abs(filled) <= Math.abs(quantity) + 1e-9);
  });

  for (const [name, broker] of [["cancels are beaten by fills", { beatenCancelShare: 1 }],
    ["cancels stay pending", { stuckCancelShare: 1 }]] as const) {
    test(`5: limit orders that time out while ${name}: no second order on top`, async () => {
      const record = await run(6, plan({ ...broker, partialShare: 0.5 }), { execution: { ...toy.session.execution,
        style: "limit-at-touch", timeoutMs: 3_000 } });
      assert.ok(accepted(record).length > 0);
    });
  }

  for (const [name, broker] of [["missing", { lostUpdateShare: 0.5 }], ["told twice", { twiceUpdateShare: 1 }],
    ["late and out of order", { lateUpdateShare: 0.5, lateMs: 3_000 }],
      ["of an unknown word", { strangeWordShare: 0.5 }]] as const) {
    test(`6: updates ${name}: polled and de-duplicated, each fill counts once`, async () => {
      const record = await run(7, plan(broker));
      assert.equal(settledAt(record), FROM + (HISTORY + LIVE) * STEP_MS);
      assert.ok(accepted(record).length >= LIVE);
    });
  }

  test("7: accepted, then rejected: said, and not asked for again until the next target", async () => {
    const record = await run(8, plan({ rejectedShare: 0.3 }));
    const rejected = [...lastStates(record).values()].filter(({ state }) => state === "rejected");
    assert.ok(rejected.length > 3);
    assert.ok(alerts(record).includes("order-rejected"), alerts(record).join());
  });

  test("8: an order that would trade with somebody's on the same account is refused, once, and is said", async () => {
    // A stranger's sell far above the market, and one far below it is not possible: a buy far below.
    const record = await run(9, plan({}, [0, 1, 2].flatMap((instrument) => [
      { atMs: 0.5 * STEP_MS, what: "order" as const, instrument, quantity: 5, factor: 0.9 },
      { atMs: 0.5 * STEP_MS + 1, what: "order" as const, instrument, quantity: -5, factor: 1.1 }])));
    assert.ok(alerts(record).includes("external-order"), alerts(record).join());
    assert.ok([...Map.groupBy(submits(record), ({ id }) => id).values()].every((all) => all.length === 1));
  });

  test("9: 429 on a third of all calls: later, not more often; every step still settles", async () => {
    const record = await run(10, plan({ limitedShare: 0.3 }));
    assert.equal(settledAt(record), FROM + (HISTORY + LIVE) * STEP_MS);
    assert.ok(accepted(record).length >= LIVE / 2);
  });

  test("12: nothing is sent in a halted instrument, the others trade on, and it comes back", async () => {
    const from = 4 * STEP_MS + 30_000, to = 9 * STEP_MS + 30_000;
    const record = await run(11,
      plan({}, [{ atMs: from, what: "halt", instrument: 1 }, { atMs: to, what: "resume", instrument: 1 }]));
    const during = submits(record).filter(({ elapsedMs }) => elapsedMs > FIRST_MS + from && elapsedMs < FIRST_MS + to);
    assert.deepEqual(during.filter(({ symbol }) => symbol === "BBB"), []);
    assert.ok(during.length > 3);
    assert.ok(submits(record).some(({ symbol, elapsedMs }) => symbol === "BBB" && elapsedMs > FIRST_MS + to));
  });

  test("13: a word that nobody knows on every update: it trades, warns, and asks instead of believing", async () => {
    const record = await run(12, plan({ strangeWordShare: 1 }));
    assert.equal(settledAt(record), FROM + (HISTORY + LIVE) * STEP_MS);
    assert.ok(alerts(record).length > 0 && effects(record, "look-up") + effects(record, "reconcile") > 10, alerts(record).join());
  });

  test("14: REDUCING by a person: from then on no position grows", async () => {
    const atMs = 6 * STEP_MS + 30_000;
    const record = await run(13, plan({}, [{ atMs, what: "control", action: "reduce" }]));
    const later = submits(record).filter(({ elapsedMs }) => elapsedMs > FIRST_MS + atMs);
    for (const { held, quantity, id } of later) {
      assert.ok(Math.sign(held) === -Math.sign(quantity) && Math.abs(quantity) <= Math.abs(held) + 1e-9, id);
    }
    assert.equal(said<TradingStateFact>(record, "trading-state").at(-1)!.state, "REDUCING");
  });

  test("16: a trade by hand is adopted and said, and not undone before the next decision", async () => {
    const atMs = 5 * STEP_MS + 30_000;
    const record = await run(14, plan({}, [{ atMs, what: "trade", instrument: 0, quantity: 11 }]));
    assert.ok(alerts(record).some((code) => code.startsWith("external")), alerts(record).join());
    const next = submits(record).find(({ symbol, elapsedMs }) => symbol === "AAA" && elapsedMs > FIRST_MS + atMs)!;
    assert.ok(next.elapsedMs >= FIRST_MS + 6 * STEP_MS, `an order ${next.elapsedMs - FIRST_MS - atMs} ms later`);
  });
});

describe("the state of trading", () => {
  test("35: halted with orders in flight, pressed twice, killed while HALTED: nothing leaves until a person says so",
    async () => {
    const atMs = 5 * STEP_MS + 40, resumeMs = 12 * STEP_MS + 30_000;
    const record = await run(15, plan({ delayMs: [50, 400] }, [
      { atMs, what: "control", action: "halt", value: "test" },
        { atMs: atMs + 20, what: "control", action: "halt", value: "test" },
      { atMs: 8 * STEP_MS + 30_000, what: "kill", process: "execution" }, { atMs: 10 * STEP_MS + 30_000, what: "kill-all" },
      { atMs: resumeMs, what: "control", action: "resume" }]));
    const states = said<TradingStateFact>(record, "trading-state").map(({ state }) => state);
    assert.ok(states.filter((state) => state === "HALTED").length >= 3, states.join());
    assert.equal(states.at(-1), "ACTIVE");
    const halted = record.entries.find(({ message }) => message?.kind === "trading-state"
      && (message as TradingStateFact).state === "HALTED")!;
    assert.deepEqual(record.entries.filter(({ what, message, elapsedMs }) => what === "effect" && message?.kind === "submit"
      && elapsedMs > halted.elapsedMs && elapsedMs < FIRST_MS + resumeMs), []);
    assert.ok(submits(record).some(({ elapsedMs }) => elapsedMs > FIRST_MS + resumeMs));
  });

  test("35: emergency stop cancels what is open and refuses the rest, also after a restart", async () => {
    const record = await run(16,
      plan({ partialShare: 1 }, [{ atMs: 5 * STEP_MS + 120, what: "control", action: "emergency-stop" },
      { atMs: 7 * STEP_MS + 30_000, what: "kill-all" }]), { execution: { ...toy.session.execution, style: "limit-at-touch",
      timeoutMs: 30_000 } });
    assert.equal(said<TradingStateFact>(record, "trading-state").at(-1)!.state, "HALTED");
    assert.deepEqual(record.openIds, []);
    assert.ok(record.venue.some(({ what }) => what === "cancel-all"));
  });

  test("flatten ends with nothing held", async () => {
    const record = await run(17, plan({}, [{ atMs: 6 * STEP_MS + 20_000, what: "control", action: "flatten" }]));
    assert.ok([...record.held.values()].every((units) => units === 0), JSON.stringify([...record.held]));
    assert.equal(said<TradingStateFact>(record, "trading-state").at(-1)!.state, "HALTED");
  });
});
