/**
 * The whole state of execution and what every part of it does with it: say, alarm, wait. Nothing here
 * decides; converge.ts, news.ts, reconcile.ts and command.ts do.
 *
 *     target ─> goals ──converge──> intents ─persist─> orders ─submit─> broker
 *                  ^                                      │
 *                  └──────── books <── fills <── news ────┘     reconcile: books = broker, or HALTED
 */
import { calendar, type Calendar } from "../../market/calendar.ts";
import type { RiskLimits } from "../../strategy/risk.ts";
import type { gateLiveOrder } from "../../strategy/risk-order.ts";
import type { Said } from "../actor.ts";
import type { BrokerAsset } from "../brokers/broker.ts";
import type { AlertFact, ControlCommand, Spoken, TargetCommand, TradingState } from "../message.ts";
import type { Session } from "../session.ts";
import { equityOf, openBooks, type Books } from "./books.ts";
import type { ExecutionEffect, JournalRecord } from "./effect.ts";
import { factsOf, isOpen, type Order } from "./order.ts";

/** What a venue allows beyond the strictest: Alpaca allows none of these, a frictionless simulator all. */
export interface Permits {
  /** One order may cross from long to short. */
  readonly flips: boolean;
  readonly fractionalShorts: boolean;
  /** Orders of less than a dollar. */
  readonly dust: boolean;
  /** Orders beyond what the account says it can buy. */
  readonly anyBuyingPower: boolean;
  /** Orders at any hour. */
  readonly anyHour: boolean;
}
export const STRICT: Permits =
  { flips: false, fractionalShorts: false, dust: false, anyBuyingPower: false, anyHour: false };
export const FREE: Permits =
  { flips: true, fractionalShorts: true, dust: true, anyBuyingPower: true, anyHour: true };

export interface Terms {
  readonly session: Session;
  readonly limits: RiskLimits;
  readonly permits: Permits;
  /** Limit orders before the open and after the close. */
  readonly isExtendedHours: boolean;
  /** After a limit order's time-out the rest goes to the market; false: it is left. */
  readonly thenMarket: boolean;
  readonly gate: typeof gateLiveOrder;
  /** Between two looks at the broker's account when nothing is amiss, ms. */
  readonly reconcileMs: number;
  /** First look at an order that nobody has told of, ms; doubles up to a minute. */
  readonly watchMs: number;
  /** First look-up of an order whose submission ended in the dark, ms; doubles up to 4 s. */
  readonly lookUpMs: number;
  /** Look-ups in vain after which such an order is given up for lost. */
  readonly lookUpsMax: number;
}

/** Units wanted of one instrument. */
export interface Goal {
  readonly decidedAt: number;
  readonly units: number;
  /** What was held when nothing of older decisions was open any more: TWAP goes from here. NaN before. */
  from: number;
  /** TWAP slices that may be traded by now, of `slices`. */
  slice: number;
  readonly slices: number;
  /** A limit order has had its time. */
  isUrgent: boolean;
  legs: number;
  /** Reached, or given up with a reason. */
  isAtRest: boolean;
  /** How often buying power was asked for anew on its behalf. */
  powerAsked: number;
}

export type Purpose =
  | { readonly what: "look-up" | "time-out" | "cancel-watch" | "cancel-again" | "submit-again";
    readonly id: string }
  | { readonly what: "pursue" | "slice"; readonly instrument: number; readonly decidedAt: number }
  | { readonly what: "reconcile" | "asset" | "save" }
  /** Has the stream told of these since `news`? */
  | { readonly what: "rest"; readonly at: number; readonly news: number; readonly late: readonly string[] };

/** What a write to the journal is for. */
export interface Writing {
  readonly orders: readonly string[];
  readonly trading: { readonly state: TradingState; readonly reason: string; readonly by: string } | null;
}

export interface Desk {
  readonly terms: Terms;
  readonly calendar: Calendar;
  readonly instrumentOf: ReadonlyMap<string, number>;
  said: (Spoken | ExecutionEffect)[];
  now: number;
  /** Commands, and the newest target, that came before the journal was read; they are taken then. */
  early: (TargetCommand | ControlCommand)[];
  stage: "recovering" | "reconciling" | "running" | "stopping";
  trading: { state: TradingState; reason: string; by: string };
  /** The books cannot be written: no order may count. */
  isJournalBroken: boolean;
  /** The write that tries whether it can be written again; 0: none. */
  saveTicket: number;
  isProven: boolean;
  isReconciled: boolean;
  /** "cancelling" and "flattening" after an emergency stop or flatten. */
  errand: "none" | "cancelling" | "flattening";
  errandAt: number;
  /** The emergency stop, or what was going on before a restart, is to flatten as well. */
  wantsFlat: boolean;
  readonly books: Books;
  buyingPower: number;
  isBlocked: boolean;
  /** Pieces of news of orders so far. */
  news: number;
  /** Applied fills so far: a look at the broker that overlaps one proves nothing. */
  fills: number;
  readonly orders: Map<string, Order>;
  /** Those of them that have not come to rest. */
  readonly open: Set<Order>;
  readonly idOf: Map<string, string>;
  readonly goals: (Goal | null)[];
  targetAt: number;
  /** The newest target is known from the journal only: should it come again, it is taken. */
  isRepeatable: boolean;
  /** Of the newest decision that there is an order of. */
  orderedAt: number;
  isSettled: boolean;
  /**
   * Stepped: whether the broker is being asked if all has come to rest (0: it is not), as of which `news`,
   * and whether it told other than we know. The news when the last target had settled.
   */
  rest: { ticket: number; news: number; isDoubted: boolean; settledNews: number };
  /** Orders made for the newest target. */
  targetOrders: number;
  /** (N) last price, its time, bid, ask, their time; NaN. */
  readonly price: Float64Array;
  readonly priceAt: Float64Array;
  readonly bid: Float64Array;
  readonly ask: Float64Array;
  readonly quoteAt: Float64Array;
  readonly isHalted: Uint8Array;
  readonly assets: Map<string, BrokerAsset | null>;
  readonly assetsAsked: Set<string>;
  /** When orders left in the last minute, for the rate limit. */
  sent: number[];
  /** Instruments to be looked at before this message is done. */
  readonly dirty: Set<number>;
  /** Instruments that wait for others' orders to come to rest. */
  readonly waiting: Set<number>;
  intents: Order[];
  ticket: number;
  readonly wakes: Map<number, Purpose>;
  readonly writes: Map<number, Writing>;
  reconcile: { ticket: number; fillsBefore: number; isSoon: boolean; since: number };
  readonly strikes: Uint8Array;
  /** (N) when a split was told: the broker's holdings may differ from our books for some days. */
  readonly splitAt: Float64Array;
  lastTruthAt: number;
  /** Since the journal was last compacted. */
  records: number;
  readonly alarmed: Set<string>;
  isAccountDue: boolean;
}

/**
 * Terminal orders kept for late news; the oldest go first. What the broker lists at the next look must be
 * known then, or its fills would be booked once more: of a broker that does not answer, so many are kept.
 */
const ORDERS_MAX = 5_000, UNSEEN_MAX = 100_000;
const ALARMS_MAX = 1_000;

const NO_REST: Desk["rest"] = { ticket: 0, news: 0, isDoubted: false, settledNews: 0 };

export function openDesk(terms: Terms): Desk {
  const { symbols, calendar: name } = terms.session, count = symbols.length;
  const numbers = (): Float64Array => new Float64Array(count).fill(NaN);
  return {
    terms, calendar: calendar(name), instrumentOf: new Map(symbols.map((symbol, i) => [symbol, i])),
    said: [], now: 0, early: [], stage: "recovering",
    trading: { state: "ACTIVE", reason: "start", by: "execution" }, isJournalBroken: false, saveTicket: 0,
    isProven: false, isReconciled: false, errand: "none", errandAt: 0, wantsFlat: false,
      books: openBooks(count),
    buyingPower: 0, isBlocked: false, news: 0, fills: 0, orders: new Map(), open: new Set(),
    idOf: new Map(),
    goals: Array.from({ length: count }, () => null), targetAt: -Infinity, isRepeatable: false,
      orderedAt: -Infinity, isSettled: true, rest: { ...NO_REST },
    targetOrders: 0,
    price: numbers(), priceAt: numbers(), bid: numbers(), ask: numbers(),
    quoteAt: numbers(), isHalted: new Uint8Array(count),
    assets: new Map(), assetsAsked: new Set(), sent: [], dirty: new Set(), waiting: new Set(), intents: [],
      ticket: 0, wakes: new Map(),
    writes: new Map(), reconcile: { ticket: 0, fillsBefore: 0, isSoon: false, since: -Infinity },
    strikes: new Uint8Array(count), splitAt: numbers(), lastTruthAt: -Infinity, records: 0,
      alarmed: new Set(),
    isAccountDue: false,
  };
}

/** Whether orders may leave at all. */
export function mayTrade(desk: Desk): boolean {
  return desk.stage === "running" && desk.trading.state !== "HALTED" && desk.isProven && desk.isReconciled
    && !desk.isJournalBroken && !desk.isBlocked && desk.errand !== "cancelling";
}

/**
 * Of a time that by the machine's clock is far from having come: taken, it would make everything that follows
 * old, and never grow old itself.
 */
export const isAhead = (desk: Desk, at: number): boolean =>
  desk.terms.session.clock.kind === "wall" && at > desk.now + desk.terms.limits.staleMs;

export function say(desk: Desk, ...messages: Said<ExecutionEffect>): void { desk.said.push(...messages); }

export function takeSaid(desk: Desk): Said<ExecutionEffect> {
  const { said } = desk;
  desk.said = [];
  return said;
}

/** Says it; with `once`, only the first time that this text is said. */
export function alarm(desk: Desk, severity: AlertFact["severity"], code: string, text: string,
  once = false): void {
  if (once) {
    if (desk.alarmed.has(text)) return;
    if (desk.alarmed.size >= ALARMS_MAX) desk.alarmed.clear();
    desk.alarmed.add(text);
  }
  say(desk, { kind: "alert", at: desk.now, severity, code, text, process: "execution" });
}

export function wake(desk: Desk, afterMs: number, purpose: Purpose): void {
  const ticket = ++desk.ticket;
  desk.wakes.set(ticket, purpose);
  say(desk, { kind: "wake", ticket, afterMs });
}

export function note(desk: Desk, record: JournalRecord): void {
  desk.records++;
  say(desk, { kind: "note", records: [record] });
}

export function sayOrder(desk: Desk, order: Order): void {
  say(desk, { kind: "order-state", at: desk.now, order: factsOf(order) });
}

export function sayAccount(desk: Desk): void {
  desk.isAccountDue = false;
  // Before the broker has been asked there is no account to speak of.
  if (!Number.isFinite(desk.lastTruthAt)) return;
  say(desk, {
    kind: "account", at: desk.now, equity: equityOf(desk.books, desk.price), cash: desk.books.cash,
    buyingPower: desk.buyingPower, units: desk.books.units.slice(), isReconciled: desk.isReconciled,
  });
}

export function sayTrading(desk: Desk): void {
  say(desk, { kind: "trading-state", at: desk.now, ...desk.trading });
}

/** Keeps an order where news of it will look for it. */
export function keepOrder(desk: Desk, order: Order): void {
  desk.orders.set(order.id, order);
  if (isOpen(order)) desk.open.add(order);
  if (order.decidedAt > desk.orderedAt) desk.orderedAt = order.decidedAt;
  if (order.brokerId !== null) desk.idOf.set(order.brokerId, order.id);
  // A number that was given once, even before a restart, is not given again.
  const goal = desk.goals[order.instrument] ?? null;
  if (goal !== null && goal.decidedAt === order.decidedAt) goal.legs = Math.max(goal.legs, order.leg + 1);
  if (desk.orders.size <= ORDERS_MAX) return;
  for (const old of desk.orders.values()) {
    if (isOpen(old)) continue;
    if (old.submittedAt >= desk.reconcile.since && desk.orders.size <= UNSEEN_MAX) return;
    desk.orders.delete(old.id);
    if (old.brokerId !== null) desk.idOf.delete(old.brokerId);
    return;
  }
}

/** What has not come to rest of one instrument, ours and others'. */
export const openOf = (desk: Desk, instrument: number): Order[] =>
  [...desk.open].filter((order) => order.instrument === instrument);

/** Has every goal that is not at rest looked at again: something changed that may concern all. */
export function touchAll(desk: Desk): void {
  desk.goals.forEach((goal, i) => { if (goal !== null && !goal.isAtRest) desk.dirty.add(i); });
}

export const symbolOf = (desk: Desk, instrument: number): string => desk.terms.session.symbols[instrument];
