/**
 * The gates that an order passes before it may go out: one table, asked from the top; the first refusal
 * counts.
 *
 *     order + market + account ──> found <= limit ?  next gate : refused (reason, found, limit)
 *
 * The event engine asks about price and size; execution about all, before it journals an intent. Cancels are
 * never asked about. What reduces a position passes wherever a limit is about growing.
 */
import { BPS } from "../base/units.ts";
import type { RiskLimits, RiskReason } from "./risk-table.ts";

/** An order as the gates see it. */
export interface GatedOrder {
  /** Signed. */
  readonly quantity: number;
  /** Limit price, or the price a market order is expected to get. */
  readonly price: number;
}

export interface MarketView {
  readonly lastPrice: number;
  /** Of the last price. */
  readonly lastTimeMs: number;
  readonly nowMs: number;
  readonly isHalted: boolean;
}

/** Own open orders of the same instrument. */
export interface OpenOrder {
  /** Signed, what is left of it. */
  readonly quantity: number;
  /** NaN: a market order. */
  readonly limitPrice: number;
}

/** What execution knows besides. */
export interface AccountView {
  readonly tradingState: "ACTIVE" | "REDUCING" | "HALTED";
  /** Signed units held. */
  readonly held: number;
  /** This order's own limit; NaN: a market order. */
  readonly limitPrice: number;
  readonly open: readonly OpenOrder[];
  /** Orders that went out in the last 60 s. */
  readonly sentLastMinute: number;
  /** Money. */
  readonly buyingPower: number;
}

export interface Refusal {
  readonly reason: RiskReason;
  readonly found: number;
  readonly limit: number;
}

interface Gate<View> {
  readonly reason: RiskReason;
  readonly found: (order: GatedOrder, view: View) => number;
  readonly limit: (limits: RiskLimits, view: View) => number;
}

const notional = ({ quantity, price }: GatedOrder): number => Math.abs(quantity) * price;

const MARKET_GATES: readonly Gate<MarketView>[] = [
  { reason: "not-finite", found: notional, limit: () => Number.MAX_VALUE },
  { reason: "halted-symbol", found: (_, { isHalted }) => Number(isHalted), limit: () => 0 },
  { reason: "stale-data", found: (_, { nowMs, lastTimeMs }) => nowMs - lastTimeMs,
    limit: ({ staleMs }) => staleMs },
  { reason: "price-collar", found: ({ price }, { lastPrice }) => Math.abs(price / lastPrice - 1) / BPS,
    limit: ({ collarBps }) => collarBps },
  { reason: "order-notional", found: notional, limit: ({ orderNotionalMax }) => orderNotionalMax },
];

const ACCOUNT_GATES: readonly Gate<AccountView>[] = [
  { reason: "kill-switch", found: (_, { tradingState }) => Number(tradingState === "HALTED"),
    limit: () => 0 },
  { reason: "reduce-only", found: opened,
    limit: (_, { tradingState }) => tradingState === "REDUCING" ? 0 : Infinity },
  { reason: "order-rate", found: (_, { sentLastMinute }) => sentLastMinute + 1,
    limit: ({ ordersPerMinuteMax }) => ordersPerMinuteMax },
  { reason: "duplicate-order", found: (order, view) => count(view, (open) => isSame(order, view, open)),
    limit: () => 0 },
  { reason: "self-cross", found: (order, view) => count(view, (open) => isCrossing(order, view, open)),
    limit: () => 0 },
  { reason: "intraday-margin", found: (order, view) => opened(order, view) * margined(order),
    limit: ({ marginMax }, { buyingPower }) => marginMax === Infinity ? Infinity : marginMax * buyingPower },
];

/** Units by which the position grows, once all that is open on this side has filled. */
function opened({ quantity }: GatedOrder, { held, open }: AccountView): number {
  let before = held;
  for (const one of open) if (one.quantity > 0 === quantity > 0) before += one.quantity;
  if (before === 0 || before > 0 === quantity > 0) return Math.abs(quantity);
  return Math.max(0, Math.abs(quantity) - Math.abs(before));
}

/** Brokers value a short at 3 % above the price. */
export const SHORT_MARGIN = 1.03;
const margined = ({ quantity, price }: GatedOrder): number => quantity > 0 ? price : price * SHORT_MARGIN;

function count({ open }: AccountView, is: (open: OpenOrder) => boolean): number {
  let found = 0;
  for (const one of open) if (is(one)) found++;
  return found;
}

const isSame = ({ quantity }: GatedOrder, { limitPrice }: AccountView, open: OpenOrder): boolean =>
  open.quantity === quantity && Object.is(open.limitPrice, limitPrice);

/** The two would meet: one of them takes any price, or the buyer pays what the seller asks. */
function isCrossing({ quantity }: GatedOrder, { limitPrice }: AccountView, open: OpenOrder): boolean {
  if (open.quantity > 0 === quantity > 0) return false;
  const [bid, ask] = quantity > 0 ? [limitPrice, open.limitPrice] : [open.limitPrice, limitPrice];
  return !(bid < ask);
}

/** Whether one order may go out as far as its market goes: null, or the first reason why not. */
export function gateOrder(order: GatedOrder, market: MarketView, limits: RiskLimits): Refusal | null {
  return ask(MARKET_GATES, order, market, limits);
}

/** Whether one order may go out: null, or the first reason why not. */
export function gateLiveOrder(order: GatedOrder, view: MarketView & AccountView,
  limits: RiskLimits): Refusal | null {
  return ask(ACCOUNT_GATES, order, view, limits) ?? ask(MARKET_GATES, order, view, limits);
}

function ask<View>(gates: readonly Gate<View>[], order: GatedOrder, view: View,
  limits: RiskLimits): Refusal | null {
  for (const gate of gates) {
    const found = gate.found(order, view), limit = gate.limit(limits, view);
    // NaN is refused.
    if (!(found <= limit)) return { reason: gate.reason, found, limit };
  }
  return null;
}
