/**
 * Execution: the one that owns the truth about orders, holdings and whether we trade. A pure state
 * machine; its rim (execution/rim.ts) writes the journal and talks to the broker.
 *
 *     recovering ──journal──> reconciling ──broker's truth──> running ──stop──> stopping
 *
 *     target ─> goal ─> intent ─persist─> (on the disk) ─> submit ─> accepted ─> fills ─> settled
 *                                              │                         \─> unknown ─> look-up
 *                                              └─ never before
 *
 * An order leaves only when the books are reconciled, the update stream is proven, the state is ACTIVE or
 * REDUCING, its price is fresh, the risk gate lets it, no other order of ours is open in its instrument, and
 * its intent is on the disk. Cancels always leave.
 */
import { TIMEFRAMES } from "../../market/bars.ts";
import type { RiskLimits } from "../../strategy/risk.ts";
import { gateLiveOrder } from "../../strategy/risk-order.ts";
import type { Actor, Said } from "../actor.ts";
import type { MarketFact, NoticeFact, QuoteFact, Spoken, Tick } from "../message.ts";
import type { Session } from "../session.ts";
import { askTruth } from "../execution/ask.ts";
import { apply, endErrand, takeAllCancelled, takeControl } from "../execution/command.ts";
import { converge, doubtRest, leave, nextSlice, sendRecovered, takeStanding, takeTarget,
  timeOut }
  from "../execution/converge.ts";
import {
  alarm, isAhead, openDesk, say, sayTrading, STRICT, takeSaid, touchAll, wake, type Desk, type Permits,
  type Purpose, type Terms,
} from "../execution/desk.ts";
import type { ExecutionEffect, ExecutionOutcome } from "../execution/effect.ts";
import { cancelAgain, giveUp, submit, takeCancelled, takeLookedUp, takeSubmitted, takeUpdate, watchCancel }
  from "../execution/news.ts";
import { recover, takeSplit, takeStream, takeTruth } from "../execution/reconcile.ts";

export interface ExecutionOptions {
  readonly session: Session;
  /** Order gates: collar, notional, staleness, rates. */
  readonly limits: RiskLimits;
  /** What the venue allows beyond Alpaca's rules; default: nothing (STRICT). */
  readonly permits?: Permits;
  readonly isExtendedHours?: boolean;
  readonly thenMarket?: boolean;
  readonly gate?: typeof gateLiveOrder;
  readonly reconcileMs?: number;
  readonly watchMs?: number;
  readonly lookUpMs?: number;
  readonly lookUpsMax?: number;
}

/** Between two tries to write the trading state on a disk that did not take it. */
const SAVE_MS = 1_000;
const DAY_MS = 86_400_000;

/** See above. Never throws for what a broker, a disk or another process may do. */
export function executionActor(options: ExecutionOptions): Actor<ExecutionEffect, ExecutionOutcome> {
  const desk = openDesk(termsOf(options));
  return {
    name: "execution",
    hears: ["target", "control", "market", "quote", "notice"],
    handle(message, now): Said<ExecutionEffect> {
      desk.now = now;
      hear(desk, message);
      converge(desk);
      if (desk.isSettled) endErrand(desk);
      return takeSaid(desk);
    },
  };
}

function termsOf(options: ExecutionOptions): Terms {
  const { session, limits } = options;
  const barMs = session.timeframe === "tick" ? 60_000 : TIMEFRAMES[session.timeframe];
  // A daily price is good over a long week-end, any other for three bars or two minutes.
  const usualMs = session.timeframe === "1d" ? 5 * DAY_MS : Math.max(3 * barMs, 120_000);
  const staleMs = Number.isFinite(limits.staleMs) ? limits.staleMs : usualMs;
  return {
    session, limits: { ...limits, staleMs }, permits: options.permits ?? STRICT,
    isExtendedHours: options.isExtendedHours ?? false,
    thenMarket: options.thenMarket ?? true, gate: options.gate ?? gateLiveOrder,
    reconcileMs: options.reconcileMs ?? 15_000, watchMs: options.watchMs ?? 2_000,
    lookUpMs: options.lookUpMs ?? 250, lookUpsMax: options.lookUpsMax ?? 6,
  };
}

function hear(desk: Desk, message: Spoken | Tick | ExecutionOutcome): void {
  if (desk.stage === "recovering" && (message.kind === "target" || message.kind === "control")) {
    // Of targets the newest counts, of commands every one: people give few.
    const isTarget = message.kind === "target";
    desk.early = [...desk.early.filter(({ kind }) => !isTarget || kind === "control"), message];
    return;
  }
  switch (message.kind) {
    case "target": return takeTarget(desk, message);
    case "control": return takeControl(desk, message);
    case "market": return takeMarket(desk, message);
    case "quote": return takeQuotes(desk, message);
    case "notice": return takeNotice(desk, message);
    case "recovered":
      recover(desk, message.records, message.tornBytes);
      sayTrading(desk);
      askTruth(desk);
      for (const early of desk.early.splice(0)) hear(desk, early);
      return;
    case "persisted": return takePersisted(desk, message.ticket, message.trouble);
    case "submitted": case "replaced": return takeSubmitted(desk, message.id, message.outcome);
    case "cancelled": return takeCancelled(desk, message.id, message.outcome);
    case "all-cancelled": return takeAllCancelled(desk, message);
    case "looked-up": {
      const lost = takeLookedUp(desk, message);
      if (lost !== null && !sendRecovered(desk, lost)) giveUp(desk, lost);
      return;
    }
    case "asset": return takeAsset(desk, message);
    case "standing": return takeStanding(desk, message);
    case "truth": return takeTruth(desk, message);
    case "update": return takeUpdate(desk, message.update);
    case "stream": return takeStream(desk, message.isProven, message.reason);
    case "woken": return takeWoken(desk, message.ticket);
    default:
  }
}

const CLOSE = 3;
function takeMarket(desk: Desk, { at, instrument, bars }: MarketFact): void {
  if (isAhead(desk, at)) return;
  const width = bars.length / Math.max(1, instrument.length);
  for (let k = 0; k < instrument.length; k++) {
    const i = instrument[k], close = bars[k * width + CLOSE];
    if (i >= desk.price.length || !(close > 0) || at < desk.priceAt[i]) continue;
    desk.price[i] = close;
    desk.priceAt[i] = at;
  }
}

function takeQuotes(desk: Desk, { at, instrument, quotes }: QuoteFact): void {
  for (let k = 0; k < instrument.length; k++) {
    const i = instrument[k], bid = quotes[k * 4], ask = quotes[k * 4 + 2];
    if (i >= desk.price.length) continue;
    // A crossed or empty quote is no touch.
    const isSane = bid > 0 && ask >= bid;
    desk.bid[i] = isSane ? bid : NaN;
    desk.ask[i] = isSane ? ask : NaN;
    desk.quoteAt[i] = at;
  }
}

function takeNotice(desk: Desk, { instrument, what, value }: NoticeFact): void {
  if (instrument < 0 || instrument >= desk.isHalted.length) return;
  if (what === "halt" || what === "delisted") desk.isHalted[instrument] = 1;
  if (what === "resume") { desk.isHalted[instrument] = 0; desk.dirty.add(instrument); }
  if (what === "split") takeSplit(desk, instrument, value);
}

function takePersisted(desk: Desk, ticket: number, trouble: string | null): void {
  const writing = desk.writes.get(ticket);
  if (writing === undefined) return;
  desk.writes.delete(ticket);
  if (trouble !== null) {
    const isNew = !desk.isJournalBroken;
    desk.isJournalBroken = true;
    if (isNew) {
      alarm(desk, "critical", "journal-broken", `no orders: the journal cannot be written (${trouble})`);
      if (desk.trading.state !== "HALTED") {
        const reason = `the journal cannot be written: ${trouble}`;
        apply(desk, { state: "HALTED", reason, by: "execution" });
      }
    }
    touchAll(desk);
    // What is in memory only would be forgotten by a restart: try until the disk takes it.
    desk.saveTicket = 0;
    if (writing.orders.length === 0 || isNew) wake(desk, SAVE_MS, { what: "save" });
  } else if (ticket === desk.saveTicket) {
    desk.saveTicket = 0;
    desk.isJournalBroken = false;
    alarm(desk, "info", "journal-mended",
      "the journal can be written again; trading stays HALTED until it is resumed");
  } else if (writing.trading !== null) apply(desk, writing.trading);
  leave(desk, writing.orders, trouble);
}

function takeAsset(desk: Desk, { symbol, asset, trouble }: ExecutionOutcome & { kind: "asset" }): void {
  desk.assetsAsked.delete(symbol);
  if (trouble !== null) { wake(desk, 1_000, { what: "asset" }); return; }
  desk.assets.set(symbol, asset);
  const instrument = desk.instrumentOf.get(symbol);
  if (instrument !== undefined) desk.dirty.add(instrument);
}

function takeWoken(desk: Desk, ticket: number): void {
  const purpose = desk.wakes.get(ticket);
  if (purpose === undefined) return;
  desk.wakes.delete(ticket);
  WAKES[purpose.what](desk, purpose as never);
}

type WakeTable = {
  readonly [What in Purpose["what"]]:
    (desk: Desk, purpose: Extract<Purpose, { readonly what: What }>) => void;
};
const lookUp = (desk: Desk, { id }: { readonly id: string }): void => {
  const order = desk.orders.get(id);
  if (order === undefined) return;
  order.isWatched = false;
  if (desk.open.has(order)) say(desk, { kind: "look-up", id });
};
const WAKES: WakeTable = {
  "look-up": lookUp,
  "time-out": (desk, { id }) => timeOut(desk, id),
  "cancel-watch": (desk, { id }) => watchCancel(desk, id),
  "cancel-again": (desk, { id }) => cancelAgain(desk, id),
  "submit-again": (desk, { id }) => {
    const order = desk.orders.get(id);
    if (order !== undefined) submit(desk, order);
  },
  pursue: (desk, { instrument }) => { desk.dirty.add(instrument); },
  slice: (desk, { instrument, decidedAt }) => nextSlice(desk, instrument, decidedAt),
  reconcile: (desk) => askTruth(desk),
  asset: (desk) => touchAll(desk),
  rest: (desk, { at, news, late }) => doubtRest(desk, at, news, late),
  save: (desk) => {
    if (!desk.isJournalBroken || desk.saveTicket !== 0) return;
    desk.saveTicket = ++desk.ticket;
    desk.writes.set(desk.saveTicket, { orders: [], trading: null });
    say(desk, { kind: "persist", ticket: desk.saveTicket,
      records: [{ t: "state", at: desk.now, ...desk.trading }] });
  },
};
