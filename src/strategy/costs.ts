/**
 * What trading and holding cost. One place for both engines and for live, so that they cannot
 * differ.
 *
 *     trading   |notional traded| x (costBps [+ the instrument's half-spread])   from the first trade
 *     borrow    short exposure x borrowBps a year                                every period held
 *     financing exposure above the equity x financingBps a year                  every period held
 *
 * Exposures are fractions of equity (gross = sum of |weight| / N), so the results are fractions of
 * equity too.
 */
import { BPS } from "../base/units.ts";

export interface Costs {
  /** Cost of trading, basis points of the notional traded. */
  readonly costBps: number;
  /** Adds each instrument's own half-spread to `costBps`, where it is known. */
  readonly isHalfSpreadCharged: boolean;
  /** Basis points a year of short exposure. */
  readonly borrowBps: number;
  /** Basis points a year of gross exposure above the equity. */
  readonly financingBps: number;
}

export const NO_COSTS: Costs =
  { costBps: 0, isHalfSpreadCharged: false, borrowBps: 0, financingBps: 0 };

/**
 * Cost of trading one instrument as a fraction of the notional. `halfSpreadBps` NaN: unknown, not
 * charged.
 */
export function tradingRate(costs: Costs, halfSpreadBps: number): number {
  const spreadBps = costs.isHalfSpreadCharged && !Number.isNaN(halfSpreadBps) ? halfSpreadBps : 0;
  return (costs.costBps + spreadBps) * BPS;
}

/** Fee of one fill, in money: `rate` (tradingRate) of |quantity| x price. */
export function percentageFee(quantity: number, price: number, rate: number): number {
  return Math.abs(quantity) * price * rate;
}

/**
 * Cost of holding for one period: `short` and `gross` exposure as fractions of equity (both >= 0)
 * or in money.
 */
export function holdingCost(short: number, gross: number, equity: number, costs: Costs,
  periodsPerYear: number): number {
  const borrowed = gross > equity ? gross - equity : 0;
  return (short * costs.borrowBps + borrowed * costs.financingBps) * BPS / periodsPerYear;
}
