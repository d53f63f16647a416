/** The rules that simulated sessions are held to: each finds its own breach in a record that was tampered with. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { after, before, describe, test } from "node:test";
import type { AccountFact, ControlCommand, MarketFact, OrderStateFact, TradingStateFact } from "../src/live/message.ts";
import { RULES, violationsOf, type RuleName, type SimulationRecord } from "../src/workflow/live/invariants.ts";
import type { Entry } from "../src/workflow/live/memory-process.ts";
import { NO_FAULTS } from "../src/workflow/live/simulation.ts";
import { makeToy, play, STEP_MS, type Toy } from "./live-toy.ts";

let toy: Toy, whole: SimulationRecord;
before(async () => {
  toy = await makeToy({ risk: { staleMs: 90_000 } });
  whole = await play(toy, 1, { faults: { ...NO_FAULTS, mischief: [{ atMs: 4.5 * STEP_MS, what: "control", action: "halt" },
    { atMs: 5.5 * STEP_MS, what: "kill", process: "execution" }, { atMs: 6.5 * STEP_MS, what: "control", action: "resume" }],
  calmFromMs: 8 * STEP_MS } });
});
after(() => { fs.rmSync(toy.root, { recursive: true, force: true }); });

type Tamper = (record: SimulationRecord) => Partial<SimulationRecord>;
const first = (record: SimulationRecord, is: (entry: Entry) => boolean): number => record.entries.findIndex(is);
const says = (kind: string) => ({ what, message }: Entry): boolean => what === "said" && message?.kind === kind;
/** The same entries, one of them with another message. */
function said<Fact>(record: SimulationRecord, at: number, change: (fact: Fact) => Fact): Partial<SimulationRecord> {
  return { entries: record.entries.map((entry, k) => k === at
    ? { ...entry, message: change(entry.message as Fact) as never } : entry) };
}
const submitAt = (record: SimulationRecord): number => record.venue.findIndex(({ what }) => what === "submit");
const venue = (record: SimulationRecord, change: Partial<SimulationRecord["venue"][number]>): Partial<SimulationRecord> =>
  ({ venue: record.venue.map((entry, k) => k === submitAt(record) ? { ...entry, ...change } : entry) });

const TAMPERS = {
  "one order per intent": (record) => ({ venue: [...record.venue, record.venue[submitAt(record)]] }),
  "every intent is on the disk before its order leaves": (record) => ({ journal: record.journal.slice(1) }),
  "no order goes past its target": (record) => venue(record, { held: record.venue[submitAt(record)].quantity * 2 }),
  "every order has a cause": (record) => venue(record, { id: "toy-AAA-0-0" }),
  "no order while the stream of updates is unproven": (record) =>
    ({ venue: record.venue.filter(({ what }) => what !== "stream-up") }),
  "no order before the books are reconciled": (record) =>
    ({ entries: record.entries.filter((entry) => !says("account")(entry)) }),
  "nothing but cancels leaves while HALTED": (record) => {
    const at = first(record, ({ what, message }) => what === "effect" && message?.kind === "submit");
    const state: TradingStateFact = { kind: "trading-state", at: 0, state: "HALTED", reason: "", by: "user" };
    const halted: Entry = { ...record.entries[at], what: "said", message: state };
    return { entries: [...record.entries.slice(0, at), halted, ...record.entries.slice(at)] };
  },
  "only a person's word ends HALTED, also over a restart": () =>
    ({ commands: [] as { elapsedMs: number; command: ControlCommand }[] }),
  "no order on stale prices": (record) => ({ entries: record.entries.filter((entry) => !says("market")(entry)) }),
  "no bar that cannot be is told": (record) => said<MarketFact>(record, first(record, says("market")), (fact) =>
    ({ ...fact, bars: fact.bars.map((value) => value * 10) })),
  "no gap stays open": (record) => ({ entries: [...record.entries,
    { elapsedMs: 1e6, process: "features", what: "gap", message: null, text: "feed 12" }] }),
  "no process dies by its own fault": (record) => ({ entries: [...record.entries,
    { elapsedMs: 1e6, process: "features", what: "crashed", message: null, text: "no" }] }),
  "in the end, books = broker": (record) => {
    const at = record.entries.findLastIndex(says("account"));
    return said<AccountFact>(record, at, (fact) => ({ ...fact, units: fact.units.map((units) => units + 1) }));
  },
  "in the end, nothing is in the air": (record) => {
    const at = record.entries.findLastIndex(says("order-state"));
    return said<OrderStateFact>(record, at, (fact) => ({ ...fact, order: { ...fact.order, state: "submitted" } }));
  },
} as const satisfies Record<RuleName, Tamper>;

describe("each rule finds its breach", () => {
  test("and none in the record as it is, which has halted, been killed and resumed", () => {
    assert.deepEqual(violationsOf(whole), []);
    assert.ok(whole.venue.filter(({ what }) => what === "submit").length > 20);
  });
  for (const rule of Object.keys(RULES) as RuleName[]) {
    test(rule, () => {
      const found = RULES[rule]({ ...whole, ...TAMPERS[rule](whole) });
      assert.ok(found.length > 0);
    });
  }
});
