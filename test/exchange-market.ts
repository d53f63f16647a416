/** An exchange and small bars for tests of the simulator. Prices are invented, sessions are New York's. */
import { Exchange, FRICTIONLESS, type ExchangeBar, type ExchangeOptions, type ExchangeOrder, type ExchangeRequest, type Terms,
} from "../src/simulator/exchange.ts";
import { AssertionError } from "../src/base/assert.ts";

/** Thursday 2024-03-07, 10:00 in New York (EST, 15:00 UTC). */
export const TEN = Date.UTC(2024, 2, 7, 15);
export const MINUTE = 60_000;

/** The minute that closes at `at`; `[open, high, low, close]`. */
export const minute = (at: number, [open, high, low, close]: readonly number[], volume = 1_000, symbol = "AAA"): ExchangeBar =>
  ({ symbol, start: at - MINUTE, at, open, high, low, close, volume });
export const flat = (at: number, price: number, volume = 1_000, symbol = "AAA"): ExchangeBar =>
  minute(at, [price, price, price, price], volume, symbol);

export const buy = (quantity: number, more: Partial<ExchangeRequest> = {}): ExchangeRequest =>
  ({ clientOrderId: null, symbol: "AAA",
  side: "buy", type: "market", timeInForce: "day", quantity, notional: NaN, limitPrice: NaN, stopPrice: NaN,
  isExtendedHours: false, ...more });
export const sell =
  (quantity: number, more: Partial<ExchangeRequest> = {}): ExchangeRequest => buy(quantity, { side: "sell", ...more });
export const limit = (limitPrice: number): Partial<ExchangeRequest> => ({ type: "limit", limitPrice });

/** Open by the calendar, no latency, no costs, no limits, unless said otherwise. */
export const PLAIN: Terms = { ...FRICTIONLESS, isAlwaysOpen: false };

export function open(terms: Partial<Terms> = {}, options: Partial<ExchangeOptions> = {}): Exchange {
  return new Exchange({ symbols: ["AAA", "BBB"], capital: 100_000, seed: 1, ...options, terms: { ...PLAIN, ...terms } });
}

/** The order as it stands after a submit that must have been accepted. */
export function place(exchange: Exchange, request: ExchangeRequest, now: number): ExchangeOrder {
  const reply = exchange.submit(request, now);
  if (!reply.ok) throw new AssertionError(`refused: ${reply.refusal.message}`);
  return exchange.order(reply.order.id) ?? reply.order;
}

/** What a refusal says: "403 insufficient buying power"; "accepted" for none. */
export function answer(exchange: Exchange, request: ExchangeRequest, now: number): string {
  const reply = exchange.submit(request, now);
  return reply.ok ? "accepted" : `${reply.refusal.status} ${reply.refusal.message}`;
}

/** "new", "fill 10 @ 100": the events since the last look. */
export const words = (exchange: Exchange): string[] => exchange.takeEvents().map(({ event, quantity, price }) =>
  Number.isNaN(quantity) ? event : `${event} ${quantity} @ ${price}`);
