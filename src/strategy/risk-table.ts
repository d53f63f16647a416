/** What may be limited, and what is said when a limit acts: one table for backtests, targets and orders. */

/** Weights are fractions of equity. Every limit is off (Infinity) by default. */
export interface RiskLimits {
  /** Largest |weight| of one instrument, fraction of equity. */
  readonly positionMax: number;
  /** Sum of |weight|. */
  readonly grossMax: number;
  /** |sum of weights|. */
  readonly netMax: number;
  /** Gross exposure, wanted or held: when what is *held* has drifted above it, nothing may grow. */
  readonly leverageMax: number;
  /** Sum of |weight| of one asset class. */
  readonly classMax: number;
  /** Fall from the highest equity, fraction: reached, everything is closed for good. */
  readonly drawdownMax: number;
  /** Loss since the last equity of the session before, fraction: reached, nothing may grow until the next. */
  readonly dailyLossMax: number;
  /** One-period 95 % value at risk from the history of returns, fraction of equity. */
  readonly varHistoricalMax: number;
  /** The same, 1.645 standard deviations of that history. */
  readonly varParametricMax: number;
  /** Sum of |change of weight| at one decision; trades that reduce count, and are never held back. */
  readonly turnoverMax: number;
  /** Share of the buying power that what is opened at one decision may use. */
  readonly marginMax: number;
  /** Largest distance of an order's price from the last price, basis points. */
  readonly collarBps: number;
  /** Largest |quantity| x price of one order, money. */
  readonly orderNotionalMax: number;
  /** Oldest last price an order may rely on, milliseconds. */
  readonly staleMs: number;
  /** Orders in any 60 seconds. */
  readonly ordersPerMinuteMax: number;
}

export const NO_LIMITS: RiskLimits = {
  positionMax: Infinity, grossMax: Infinity, netMax: Infinity, leverageMax: Infinity,
  classMax: Infinity, drawdownMax: Infinity, dailyLossMax: Infinity, varHistoricalMax: Infinity,
  varParametricMax: Infinity, turnoverMax: Infinity, marginMax: Infinity, collarBps: Infinity,
  orderNotionalMax: Infinity, staleMs: Infinity, ordersPerMinuteMax: Infinity,
};

/** As settings say them: one that is off is null there, Infinity here. */
export function limitsOf(said: Readonly<Record<string, number | null>>): RiskLimits {
  const on = Object.entries(said).filter(([, value]) => value !== null);
  return { ...NO_LIMITS, ...Object.fromEntries(on) };
}

/** Why a weight was changed or an order refused. */
export const RISK_REASONS = {
  "not-finite": "the weight or order was not a finite number, so it is 0",
  "drawdown-limit": "equity has fallen from its highest by the drawdown limit: everything is closed",
  "daily-loss": "the session's loss has reached its limit: nothing may grow until the next one",
  "reduce-only": "trading may only reduce: nothing may grow",
  "held-leverage": "what is held has drifted above the leverage limit: nothing may grow",
  "position-limit": "the weight of one instrument was above its limit",
  "class-limit": "the exposure to one asset class was above its limit",
  "gross-limit": "the gross exposure was above its limit",
  "leverage-limit": "the gross exposure was above the leverage limit",
  "net-limit": "the net exposure was above its limit; the larger side was reduced",
  "var-historical": "the historical value at risk was above its limit",
  "var-parametric": "the parametric value at risk was above its limit",
  "turnover-cap": "more would have been traded than the turnover cap allows; openings were reduced",
  "intraday-margin": "what would be opened costs more than the buying power allows; openings were reduced",
  "short-history": "there are too few returns to take correlations from; weights were not optimised",
  "no-solution": "the optimiser found no portfolio; weights were not optimised",
  "limits-conflict": "the limits pull against each other: nothing may grow at this decision",
  "quorum-lost": "too few models answered: everything is closed",
  "kill-switch": "trading is halted",
  "halted-symbol": "trading in the symbol is halted",
  "stale-data": "the last price is older than allowed",
  "price-collar": "the order's price is too far from the last price",
  "order-notional": "the order is larger than allowed",
  "order-rate": "more orders would go out in a minute than allowed",
  "duplicate-order": "the same order is open already",
  "self-cross": "an open order of our own is on the other side and would meet it",
} as const satisfies Record<string, string>;
export type RiskReason = keyof typeof RISK_REASONS;

export interface RiskAction {
  readonly reason: RiskReason;
  /** Index of the instrument, or -1 when all or a group were changed. */
  readonly instrument: number;
  /** The quantity that was limited, before and after (exposure, weight, value at risk or turnover). */
  readonly before: number;
  readonly after: number;
}
