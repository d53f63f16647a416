/**
 * What an order can get: pure functions of one order and what the market showed.
 *
 *   a bar, and a buy limit L:      open <= L   at the open (if it was there by then)
 *                                  low  <  L   at L: the price went through it
 *                                  low  == L   at L, after those ahead of it in the queue
 *
 * Nobody knows the path inside a bar; an order that arrived within it sees its range, not its open.
 */
import { BPS } from "../base/units.ts";
import { signOf, type LiveOrder } from "./exchange-order.ts";
import type { Terms } from "./exchange-terms.ts";

/** A bar, or with start = at a trade. Absent numbers are NaN. */
export interface ExchangeBar {
  readonly symbol: string;
  /** First moment, UTC ms (daily bars: the session's open). */
  readonly start: number;
  /** Close, UTC ms. */
  readonly at: number;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
}
export interface ExchangeQuote {
  readonly symbol: string;
  readonly at: number;
  readonly bid: number;
  readonly bidSize: number;
  readonly ask: number;
  readonly askSize: number;
}
/** What the market shows of one instrument. */
export interface MarketState {
  symbol: string;
  last: number;
  /** When, UTC ms; -Infinity before the first. */
  lastAt: number;
  bid: number;
  ask: number;
  /** Shares still to be had from the last bar or quote. */
  toBuy: number;
  toSell: number;
  /** Volume of the last bar or displayed sizes: what queues are measured by. */
  depth: number;
  isHalted: boolean;
  isDelisted: boolean;
}

export interface Match {
  readonly price: number;
  /** Volume that traded at the limit, for those in the queue first; Infinity: no queue. */
  readonly touched: number;
}

/**
 * A market order's price, worse than `reference` by the slippage (and, where only bars are known, half a
 * spread), in hundredths of a cent.
 */
export function paid(reference: number, sign: 1 | -1, bps: number): number {
  return bps === 0 ? reference : Math.round(reference * (1 + sign * bps * BPS) * 1e4) / 1e4;
}

/** Against the quote of the moment; null: no match. */
export function matchNow(order: LiveOrder, market: MarketState, terms: Terms): Match | null {
  const sign = signOf(order.side), quote = sign > 0 ? market.ask : market.bid;
  if (!(quote > 0)) return null;
  if (!order.isTriggered) {
    if (!(sign * (market.last - order.stopPrice) >= 0)) return null;
    order.isTriggered = true;
  }
  const price = paid(quote, sign, terms.slippageBps);
  if (isMarket(order)) return { price, touched: Infinity };
  if (sign * (quote - order.limitPrice) > 0) return null;
  return { price: sign * (price - order.limitPrice) > 0 ? order.limitPrice : price, touched: Infinity };
}

/** Against a bar; null: no match. */
export function matchBar(order: LiveOrder, bar: ExchangeBar, terms: Terms): Match | null {
  const sign = signOf(order.side), sawOpen = order.liveAt <= bar.start && bar.open > 0;
  const cost = terms.slippageBps + terms.halfSpreadBps;
  const low = bar.low > 0 ? bar.low : bar.close, high = bar.high > 0 ? bar.high : bar.close;
  const best = sign > 0 ? low : high, worst = sign > 0 ? high : low;
  if (!order.isTriggered) {
    if (!(sign * (worst - order.stopPrice) >= 0)) return null;
    order.isTriggered = true;
    const reached = sawOpen && sign * (bar.open - order.stopPrice) >= 0 ? bar.open : order.stopPrice;
    if (order.type === "stop") return { price: paid(reached, sign, cost), touched: Infinity };
    return sign * (bar.close - order.limitPrice) <= 0 ? { price: order.limitPrice, touched: Infinity } : null;
  }
  if (isMarket(order)) {
    const isAtOpen = sawOpen && terms.marketFillsAt !== "next-close";
    return { price: paid(isAtOpen ? bar.open : bar.close, sign, cost), touched: Infinity };
  }
  const limit = order.limitPrice;
  if (sawOpen && sign * (bar.open - limit) <= 0) return { price: bar.open, touched: Infinity };
  if (sign * (best - limit) > 0) return null;
  // Without a volume nobody can be ahead.
  const touched = best === limit && bar.volume >= 0 ? bar.volume * terms.touchShare : Infinity;
  return { price: limit, touched };
}

export const isMarket = (order: LiveOrder): boolean => order.type === "market" || order.type === "stop";
