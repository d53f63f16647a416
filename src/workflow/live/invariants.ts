/**
 * What must hold whatever goes wrong, checked on the record of a run: what processes said, what reached the
 * exchange, what was on the disk. Each rule is a function from a record to sentences; an empty list is a
 * pass.
 */
import { formatTime } from "../../base/units.ts";
import { isTerminal, type AccountFact, type ControlCommand, type MarketFact, type OrderStateFact,
  type Spoken, type TargetCommand, type TradingStateFact } from "../../live/message.ts";
import { readOrderId } from "../../live/execution/order-id.ts";
import type { Session } from "../../live/session.ts";
import type { VenueEntry } from "./memory-broker.ts";
import type { Entry } from "./memory-process.ts";
import type { MemoryDisk } from "./memory-rims.ts";

/** Everything said and done in one run. */
export interface SimulationRecord {
  readonly session: Session;
  readonly seed: number;
  /** UTC ms at elapsed 0. */
  readonly start: number;
  readonly entries: readonly Entry[];
  readonly venue: readonly VenueEntry[];
  readonly journal: MemoryDisk["log"];
  /** At the exchange, at the end: signed units by symbol, and ids of open orders. */
  readonly held: ReadonlyMap<string, number>;
  readonly openIds: readonly string[];
  /** Whether the run ended in a long calm: then everything must have come to rest. */
  readonly endsCalm: boolean;
  /** Commands given from outside. */
  readonly commands: readonly { readonly elapsedMs: number; readonly command: ControlCommand }[];
  /** Orders and trades that somebody else made on the account: symbols. */
  readonly touched: ReadonlySet<string>;
}

/** By so much plans set a process's clock back: it cannot know that prices are older than they look. */
const CLOCK_SLACK_MS = 5_000;
/** Units are equal up to rounding. */
const TINY = 1e-6;

type Rule = (record: SimulationRecord) => string[];

const submits = ({ venue }: SimulationRecord): VenueEntry[] => venue.filter(({ what }) => what === "submit");
const said = (record: SimulationRecord, kind: Spoken["kind"]): Entry[] =>
  record.entries.filter(({ what, message }) => what === "said" && message?.kind === kind);
const when = ({ start }: SimulationRecord, elapsedMs: number): string => formatTime(start + elapsedMs);

const submitAt = (record: SimulationRecord, { elapsedMs }: Moment): string =>
  `a submit at ${when(record, elapsedMs)}`;

export const RULES = {
  /** The exchange refuses a second order of one id; here, none even reaches it while the first is known. */
  "one order per intent": (record) => {
    const accepted = new Map<string, number>();
    for (const { id, answer } of submits(record)) {
      if (answer === "accepted") accepted.set(id, (accepted.get(id) ?? 0) + 1);
    }
    return [...accepted].filter(([, count]) => count > 1).map(([id, count]) => `${id}: ${count} orders`);
  },

  "every intent is on the disk before its order leaves": (record) => {
    const written = new Map<string, number>();
    for (const { elapsedMs, record: one } of record.journal) {
      if (one.t === "intent" && !written.has(one.request.id)) written.set(one.request.id, elapsedMs);
    }
    return submits(record).filter(({ id, elapsedMs }) => !((written.get(id) ?? Infinity) <= elapsedMs))
      .map(({ id, elapsedMs }) =>
        `${id} reached the exchange at ${when(record, elapsedMs)}, not in the journal`);
  },

  "no order goes past its target": (record) => {
    const targets = targetsOf(record);
    return submits(record).flatMap((entry) => {
      if (entry.answer !== "accepted" || record.touched.has(entry.symbol)) return [];
      const wanted = wantedBy(record, targets, entry);
      if (wanted === null) return [];
      // All that is held, all that other open orders can still add in this direction, and this order.
      const side = Math.sign(entry.quantity), after = entry.held + entry.quantity
        + (Math.sign(entry.open) === side ? entry.open : 0);
      // A short is whole: what is bought back may be up to the next whole unit.
      const most = wanted < 0 ? Math.trunc(wanted) : wanted;
      const isPast = side > 0 ? after > Math.max(wanted, most) + TINY : after < wanted - TINY;
      return isPast ? [`${entry.id} of ${entry.quantity} ${entry.symbol}, ${when(record, entry.elapsedMs)}: `
        + `held ${entry.held}, open ${entry.open}, wanted ${wanted}`] : [];
    });
  },

  "every order has a cause": (record) => {
    const targets = targetsOf(record);
    return submits(record)
      .filter((entry) => wantedBy(record, targets, entry) === null && !isFlattening(record, entry))
      .map(({ id }) => `${id} was asked for by no target`);
  },

  "no order while the stream of updates is unproven": (record) => {
    const faults: string[] = [];
    let isProven = false;
    for (const entry of timeline(record)) {
      if (entry.isStart) isProven = false;
      else if (entry.venue?.what === "stream-up") isProven = true;
      else if (entry.venue?.what === "stream-down") isProven = false;
      else if (entry.effect === "submit" && !isProven && hasArrived(record, entry)) {
        faults.push(submitAt(record, entry));
      }
    }
    return faults;
  },

  "no order before the books are reconciled": (record) => {
    const faults: string[] = [];
    let isReconciled = false;
    for (const entry of timeline(record)) {
      if (entry.isStart) isReconciled = false;
      else if (entry.account !== null) isReconciled = entry.account.isReconciled;
      else if (entry.effect === "submit" && !isReconciled) faults.push(submitAt(record, entry));
    }
    return faults;
  },

  "nothing but cancels leaves while HALTED": (record) => {
    const faults: string[] = [];
    let isHalted = false;
    for (const entry of timeline(record)) {
      if (entry.state !== null) isHalted = entry.state.state === "HALTED";
      else if (entry.effect !== null && isHalted && ["submit", "replace"].includes(entry.effect)) {
        faults.push(`${entry.effect} at ${when(record, entry.elapsedMs)}`);
      }
    }
    return faults;
  },

  "only a person's word ends HALTED, also over a restart": (record) => {
    const faults: string[] = [];
    let isHalted = false, haltedMs = 0;
    for (const { message, what, elapsedMs, process } of record.entries) {
      // What no disk would take cannot outlive its process.
      if (what === "started" && process === "execution") isHalted &&= isWritten(record, haltedMs, elapsedMs);
      if (what !== "said" || message?.kind !== "trading-state") continue;
      const { state } = message as TradingStateFact;
      const isAsked = record.commands.some(({ command, elapsedMs: asked }) => asked <= elapsedMs
        && (["resume", "reduce", "flatten"].includes(command.action) && asked >= haltedMs
          || isFlatStop(command) && asked >= haltedMs - STOPPED_MS));
      if (isHalted && state !== "HALTED" && !isAsked) faults.push(`${state} at ${when(record, elapsedMs)}`);
      if (state === "HALTED" && !isHalted) haltedMs = elapsedMs;
      isHalted = state === "HALTED";
    }
    return faults;
  },

  "no order on stale prices": (record) => {
    const limit = record.session.risk.staleMs ?? null,
      index = new Map(record.session.symbols.map((one, i) => [one, i]));
    if (limit === null) return [];
    const lastAt = new Float64Array(record.session.symbols.length).fill(-Infinity), faults: string[] = [];
    for (const { what, message, elapsedMs } of record.entries) {
      if (what === "said" && message?.kind === "market") {
        const fact = message as MarketFact;
        for (const i of fact.instrument) lastAt[i] = Math.max(lastAt[i], fact.at);
      } else if (what === "effect" && message?.kind === "submit") {
        const { order } = message as unknown as { order: { id: string; symbol: string } };
        const ageMs = record.start + elapsedMs - lastAt[index.get(order.symbol)!];
        if (ageMs > limit + CLOCK_SLACK_MS) faults.push(`${order.id} on a price ${ageMs} ms old`);
      }
    }
    return faults;
  },

  /**
   * Prices that cannot be, or leap, are left out by the feed: this market moves by less than a tenth in a
   * bar.
   */
  "no bar that cannot be is told": (record) => {
    const last = new Map<number, number>(), faults: string[] = [];
    for (const { message, elapsedMs } of said(record, "market")) {
      const { bars, instrument } = message as MarketFact, width = bars.length / instrument.length;
      instrument.forEach((i, k) => {
        const close = bars[k * width + 3], before = last.get(i) ?? close;
        const isLikely = Math.abs(Math.log(close / before)) < 0.1;
        if (!isLikely) faults.push(`${close} after ${before} at ${when(record, elapsedMs)}`);
        last.set(i, close);
      });
    }
    return faults;
  },

  "no gap stays open": (record) => {
    const open = new Map<string, Entry>();
    for (const entry of record.entries) {
      const key = `${entry.process} ${entry.text.split(" ")[0]}`;
      if (entry.what === "gap") open.set(key, entry);
      else if (entry.what === "refilled") open.delete(key);
      // Who starts again is told everything again, and tells everything again.
      else if (entry.what === "started") {
        for (const one of open.keys()) if (one.split(" ").includes(entry.process)) open.delete(one);
      }
    }
    return record.endsCalm ? [...open.values()].map((one) => `${one.process} <- ${one.text}`) : [];
  },

  "no process dies by its own fault": (record) =>
    record.entries.filter(({ what }) => what === "crashed").map(({ process, text, elapsedMs }) =>
      `${process} at ${when(record, elapsedMs)}: ${text}`),

  "in the end, books = broker": (record) => {
    const last = said(record, "account").at(-1)?.message as AccountFact | undefined;
    if (!record.endsCalm) return [];
    if (last === undefined) return ["nothing was said of the account"];
    const faults = last.isReconciled ? [] : ["the books are not reconciled"];
    record.session.symbols.forEach((symbol, i) => {
      const held = record.held.get(symbol) ?? 0;
      const booked = last.units[i];
      if (Math.abs(held - booked) > TINY) faults.push(`${symbol}: books ${booked}, broker ${held}`);
    });
    return faults;
  },

  "in the end, nothing is in the air": (record) => {
    if (!record.endsCalm) return [];
    const state = new Map<string, OrderStateFact>();
    for (const { message } of said(record, "order-state")) {
      const fact = message as OrderStateFact;
      state.set(fact.order.id, fact);
    }
    const known = new Set(record.openIds);
    return [...state.values()].filter(({ order }) => !isTerminal(order.state) && !known.has(order.id))
      .map(({ order }) => `${order.id} is still ${order.state}`);
  },
} as const satisfies Record<string, Rule>;
/** Halts and then sells: the selling begins when all is cancelled. */
const isFlatStop = ({ action, value }: ControlCommand): boolean =>
  action === "emergency-stop" && value === "flatten";
/** From the command to HALTED at most, ms: who executes it may have been frozen. */
const STOPPED_MS = 20_000;
/** Whether a journal took the word HALTED between two moments. */
const isWritten = ({ journal }: SimulationRecord, fromMs: number, toMs: number): boolean =>
  journal.some(({ record: line, elapsedMs }) => line.t === "state" && line.state === "HALTED"
    && elapsedMs >= fromMs && elapsedMs <= toMs);
export type RuleName = keyof typeof RULES;

export interface Violation { readonly rule: RuleName; readonly text: string }

/** Everything that should not have happened in a run. */
export function violationsOf(record: SimulationRecord): Violation[] {
  return (Object.keys(RULES) as RuleName[]).flatMap((rule) =>
    RULES[rule](record).map((text) => ({ rule, text })));
}

interface Moment {
  /** Line of the record. */
  readonly at: number;
  readonly elapsedMs: number;
  readonly isStart: boolean;
  readonly venue: VenueEntry | null;
  /** Kind of an effect of execution. */
  readonly effect: string | null;
  readonly account: AccountFact | null;
  readonly state: TradingStateFact | null;
}

/** Execution's life in order: what it said and asked for, and what the stream of updates did. */
function timeline(record: SimulationRecord): Moment[] {
  const none = { isStart: false, venue: null, effect: null, account: null, state: null };
  const own = record.entries.flatMap(({ process, elapsedMs, what, message }, at): Moment[] =>
    process !== "execution" ? [] : [({ ...none, at, elapsedMs, isStart: what === "started",
      effect: what === "effect" ? message!.kind : null,
      account: what === "said" && message?.kind === "account" ? message as AccountFact : null,
      state: what === "said" && message?.kind === "trading-state" ? message as TradingStateFact : null })]);
  const stream = record.venue.filter(({ what }) => what.startsWith("stream"))
    .map((venue): Moment => ({ ...none, at: venue.after - 0.5, elapsedMs: venue.elapsedMs, venue }));
  return [...stream, ...own].sort((a, b) => a.at - b.at);
}

/** Did the order of this effect reach the exchange later? The rim may have held it back. */
function hasArrived({ entries, venue }: SimulationRecord, { at }: Moment): boolean {
  const { order } = entries[at].message as unknown as { readonly order: { readonly id: string } };
  return venue.some(({ what, id, after }) => what === "submit" && id === order.id && after >= at);
}

/** Targets by the moment decided on; a decision process that died may have said one twice. */
function targetsOf(record: SimulationRecord): Map<number, TargetCommand[]> {
  return Map.groupBy(said(record, "target").map(({ message }) => message as TargetCommand), ({ at }) => at);
}

/** Units that the target of an order's id wanted, or null. Of several, the one that allows the order most. */
function wantedBy(record: SimulationRecord, targets: Map<number, TargetCommand[]>,
  entry: VenueEntry): number | null {
  const { session } = record;
  const decidedAt = readOrderId(entry.id, session.strategyName, entry.symbol)?.decidedAt;
  const i = session.symbols.indexOf(entry.symbol);
  const wanted = (decidedAt === undefined ? [] : targets.get(decidedAt) ?? [])
    .flatMap(({ instrument, units }) => {
    const at = instrument.indexOf(i);
    return at < 0 ? [] : [units[at]];
  });
  if (wanted.length === 0) return null;
  return entry.quantity > 0 ? Math.max(...wanted) : Math.min(...wanted);
}

/** Asked for by a person or by risk, not by a target. */
const isFlattening = (record: SimulationRecord, entry: VenueEntry): boolean => [...record.commands,
  ...said(record, "control")
    .map(({ elapsedMs, message }) => ({ elapsedMs, command: message as ControlCommand }))]
  .some(({ command, elapsedMs }) => elapsedMs <= entry.elapsedMs && (command.action === "flatten"
    || (command.action === "emergency-stop" && command.value === "flatten")));
