/**
 * Risk calculations per second, in process. One of them is what one order costs: the book as it would be with
 * the order is checked against all limits (position, class, gross, net, leverage, both values at risk over
 * 250 past returns, turnover, margin, drawdown, daily loss), then the order against all gates.
 *
 *     orders   each changes one weight of 30 by a fifth, on average: a market where things happen one by one
 *     books    each has nothing to do with the last: the value at risk is measured from scratch every time
 */
import { random } from "../../base/random.ts";
import { applyLimits, gateLiveOrder, NO_LIMITS, observeReturns, startRisk, type AccountView, type MarketView }
  from "../../strategy/risk.ts";

export const RISK_LOADS = ["orders", "books"] as const;
export type RiskLoad = (typeof RISK_LOADS)[number];

const INSTRUMENTS = 30, BOOKS = 4_096, HISTORY = 300;
/** All on, and wide: a limit that acts ends the day, it is not the usual case. */
const LIMITS = {
  ...NO_LIMITS, positionMax: 0.5, grossMax: 5, netMax: 4, leverageMax: 5, classMax: 5, drawdownMax: 0.5,
  dailyLossMax: 0.3, varHistoricalMax: 0.05, varParametricMax: 0.05, turnoverMax: 10, marginMax: 1,
  collarBps: 100, orderNotionalMax: 1e6, staleMs: 10_000, ordersPerMinuteMax: 200,
};

/** A function that makes `count` calculations and returns how many books or orders were stopped: 0. */
export function riskCalculations(load: RiskLoad): (count: number) => number {
  const draw = random(1, "risk bench");
  const state = startRisk(Array.from({ length: INSTRUMENTS }, () => "equity"), 1e6);
  const some = (scale: number): Float64Array =>
    Float64Array.from({ length: INSTRUMENTS }, () => scale * draw.normal());
  for (let day = 0; day < HISTORY; day++) observeReturns(state, some(0.01));
  const start = some(0.1), latest = start.slice();
  state.buyingPower = 50;
  const books = Array.from({ length: BOOKS }, () => {
    const i = draw.below(INSTRUMENTS);
    latest[i] = start[i] * (1 + 0.2 * draw.normal());
    return load === "orders" ? latest.slice() : some(0.1);
  });
  const view: MarketView & AccountView = { lastPrice: 100, lastTimeMs: 0, nowMs: 5, isHalted: false,
    tradingState: "ACTIVE", held: 3, limitPrice: NaN, open: [], sentLastMinute: 2, buyingPower: 1e6 };
  const order = { quantity: 10, price: 100 }, weights = new Float64Array(INSTRUMENTS);
  let next = 0;
  return (count) => {
    let stopped = 0;
    for (let k = 0; k < count; k++) {
      const book = books[next];
      next = (next + 1) % BOOKS;
      weights.set(book);
      if (applyLimits(weights, start, state, LIMITS).length > 0) stopped++;
      if (gateLiveOrder(order, view, LIMITS) !== null) stopped++;
    }
    return stopped;
  };
}
