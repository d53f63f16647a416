/**
 * What the dashboard shows, as state: facts go in, sections come out (view.ts). Pure and bounded; nothing
 * here knows of a browser. A section that changed is marked, so that a client is sent that one only.
 */
import { TIMEFRAMES } from "../../market/bars.ts";
import { MS_PER_DAY } from "../../base/units.ts";
import { BAR_FIELDS, isTerminal, type AccountFact, type AlertFact, type FillFact, type MarketFact,
  type OrderFacts,
  type PerformanceFact, type Spoken, type TargetCommand, type TradingStateFact } from "../message.ts";
import type { EquityPoint } from "../recorder/database.ts";
import type { Session } from "../session.ts";

/** Newest orders, fills and alerts that are kept. */
export const LISTED_MAX = 100;
/** Points of the equity curve; at the bound every second one goes, and new ones come half as often. */
export const CURVE_MAX = 2000;

/** Time that goes back further than this is another clock's. */
const CLOCK_JUMP_MS = 3_600_000;

export const SECTIONS = ["session", "trading", "account", "curve", "points", "positions", "orders", "fills",
  "risk",
  "models", "hops", "processes", "alerts", "now"] as const;
export type Section = (typeof SECTIONS)[number];

export interface ListedOrder { readonly at: number; readonly order: OrderFacts }
/** The same alert of the same process again is one entry, counted. */
export interface ListedAlert extends Pick<AlertFact, "severity" | "code" | "text" | "process"> {
  readonly at: number;
  readonly count: number;
}
/** The newest prediction of a member. */
export interface Voice { readonly at: number; readonly version: string; readonly confidence: number }

export interface Board {
  readonly session: Session;
  readonly changed: Set<Section>;
  now: number;
  trading: TradingStateFact | null;
  account: AccountFact | null;
  performance: PerformanceFact | null;
  target: TargetCommand | null;
  /** Equity at the first account and at the last one of the UTC day before (or the first of today). */
  startEquity: number;
  dayEquity: number;
  /** (n) moments and equities, ascending; `pending` are those since the last flush. */
  curve: { at: number[]; equity: number[]; spacingMs: number };
  pending: [number, number][];
  /** (N) */
  readonly price: Float64Array;
  readonly units: Float64Array;
  /** (N) money that the fills of this session cost, and what was held at its start was worth. */
  readonly spent: Float64Array;
  /** Newest first. */
  readonly orders: Map<string, ListedOrder>;
  fills: FillFact[];
  alerts: ListedAlert[];
  readonly voices: Map<string, Voice>;
  readonly mixture: Map<string, number>;
  readonly actions: Map<string, { readonly at: number; readonly count: number; readonly after: number }>;
}

/** `recorded`: equities of this session so far, oldest first. */
export function startBoard(session: Session, recorded: readonly EquityPoint[] = []): Board {
  const count = session.symbols.length;
  const board: Board = {
    session, changed: new Set(SECTIONS), now: NaN, trading: null, account: null, performance: null,
      target: null,
    startEquity: NaN, dayEquity: NaN,
    curve: { at: [], equity: [], spacingMs: Math.min(Math.max(TIMEFRAMES[session.timeframe], 1000), 60_000) },
    pending: [], price: new Float64Array(count).fill(NaN), units: new Float64Array(count),
    spent: new Float64Array(count), orders: new Map(), fills: [], alerts: [], voices: new Map(),
      mixture: new Map(),
    actions: new Map(),
  };
  for (const { at, equity } of recorded) addPoint(board, at, equity);
  const [first] = board.curve.equity, today = Math.floor((recorded.at(-1)?.at ?? NaN) / MS_PER_DAY);
  board.startEquity = first ?? NaN;
  board.dayEquity = recorded.findLast(({ at }) => Math.floor(at / MS_PER_DAY) < today)?.equity
    ?? board.startEquity;
  return board;
}

/**
 * Takes one message in, heard at `now` by the session's clock; kinds that nothing is shown of change
 * nothing.
 */
export function showOn(board: Board, message: Spoken, now: number): void {
  board.now = now;
  mark(board, "now");
  switch (message.kind) {
    case "market": showMarket(board, message); break;
    case "account": showAccount(board, message); break;
    case "target": showTarget(board, message); break;
    case "order-state": showOrder(board, message.at, message.order); break;
    case "fill": showFill(board, message); break;
    case "alert": showAlert(board, message); break;
    case "trading-state": board.trading = message; mark(board, "trading"); break;
    case "performance": board.performance = message; mark(board, "account", "models"); break;
    case "prediction":
      board.voices.set(message.model, { at: message.at, version: message.version,
        confidence: meanOf(message.confidence) });
      mark(board, "models");
      break;
    case "mixture":
      message.models.forEach((model, k) => { board.mixture.set(model, message.weights[k]); });
      mark(board, "models");
      break;
    case "heartbeat": mark(board, "processes"); break;
    case "meter": mark(board, "hops"); break;
    default:
  }
}

function mark(board: Board, ...sections: readonly Section[]): void {
  for (const section of sections) board.changed.add(section);
}
const CLOSE = BAR_FIELDS.indexOf("close");

function showMarket(board: Board, { instrument, bars }: MarketFact): void {
  instrument.forEach((i, k) => {
    const close = bars[k * BAR_FIELDS.length + CLOSE];
    if (i < board.price.length && close > 0) board.price[i] = close;
  });
  mark(board, "positions", "risk");
}

function showAccount(board: Board, account: AccountFact): void {
  const before = board.account, { at, equity } = account;
  if (Number.isNaN(board.startEquity)) board.startEquity = board.dayEquity = equity;
  if (before === null) {
    account.units.forEach((units, i) => {
      if (units !== 0) board.spent[i] = units * board.price[i];
    });
  }
  if (before !== null && Math.floor(at / MS_PER_DAY) !== Math.floor(before.at / MS_PER_DAY)) {
    board.dayEquity = before.equity;
  }
  board.account = account;
  board.units.set(account.units.subarray(0, board.units.length));
  if (Number.isFinite(equity)) addPoint(board, at, equity);
  mark(board, "account", "positions", "risk");
}

/** The newest point moves along until it is a spacing away from the one before. */
function addPoint(board: Board, at: number, equity: number): void {
  const { curve } = board, last = curve.at.length - 1;
  if (last >= 0 && at < curve.at[last]) {
    if (curve.at[last] - at < CLOCK_JUMP_MS) return;
    // Stamped by the machine before the market's time was known: the curve begins with the market's.
    board.curve = { at: [at], equity: [equity], spacingMs: curve.spacingMs };
    board.pending = [];
    mark(board, "curve");
    return;
  }
  if (last >= 1 && at - curve.at[last - 1] < curve.spacingMs) {
    curve.at[last] = at;
    curve.equity[last] = equity;
  } else {
    curve.at.push(at);
    curve.equity.push(equity);
  }
  board.pending.push([at, equity]);
  if (curve.at.length > CURVE_MAX) {
    const keep = (_: number, k: number): boolean => k % 2 === 0 || k === curve.at.length - 1;
    board.curve = { at: curve.at.filter(keep), equity: curve.equity.filter(keep),
      spacingMs: 2 * curve.spacingMs };
    mark(board, "curve");
  }
  mark(board, "points");
}

function showTarget(board: Board, target: TargetCommand): void {
  if (board.target !== null && target.at < board.target.at) return;
  board.target = target;
  for (const { reason, after } of target.actions) {
    const count = (board.actions.get(reason)?.count ?? 0) + 1;
    board.actions.set(reason, { at: target.at, count, after });
  }
  mark(board, "positions", "risk");
}

function showOrder(board: Board, at: number, order: OrderFacts): void {
  board.orders.delete(order.id);
  board.orders.set(order.id, { at, order });
  if (board.orders.size > LISTED_MAX) {
    const all = [...board.orders], [oldest] = all.find(([, one]) => isTerminal(one.order.state)) ?? all[0];
    board.orders.delete(oldest);
  }
  mark(board, "orders");
}

function showFill(board: Board, fill: FillFact): void {
  if (board.fills.some(({ executionId }) => executionId === fill.executionId)) return;
  board.fills = [fill, ...board.fills].slice(0, LISTED_MAX);
  const { instrument, quantity, price, fee, position } = fill;
  if (instrument >= 0 && instrument < board.units.length) {
    board.spent[instrument] += quantity * price + fee;
    board.units[instrument] = position;
    if (Number.isNaN(board.price[instrument])) board.price[instrument] = price;
  }
  mark(board, "fills", "positions", "risk");
}

function showAlert(board: Board, { at, severity, code, text, process }: AlertFact): void {
  const same = board.alerts.find((one) => one.code === code && one.process === process);
  const rest = board.alerts.filter((one) => one !== same);
  board.alerts = [{ at, severity, code, text, process, count: (same?.count ?? 0) + 1 }, ...rest]
    .slice(0, LISTED_MAX);
  mark(board, "alerts");
}

function meanOf(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return values.length === 0 ? NaN : sum / values.length;
}
