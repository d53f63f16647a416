/**
 * Series of simple period returns -> numbers. `periods` is periods a year (252 for daily bars). Empty -> NaN.
 * A NaN is a period without a return: it adds nothing, and counts when growth is annualised. Formulas:
 * metrics.ts.
 */
import { deviation, mean, present, quantile, standardMoment } from "./moments.ts";

type Series = ArrayLike<number>;

/** The numbers that need no other series, made together because they are made of the same sums. */
export interface ReturnNumbers {
  readonly cumulativeReturn: number;
  /** Compound growth a year (CAGR); -1 when everything was lost. */
  readonly annualReturn: number;
  readonly volatility: number;
  /** Arithmetic mean over standard deviation, annualised; NaN for a series without variation. */
  readonly sharpe: number;
  /** Root mean square of the losses over *all* periods, annualised. */
  readonly downsideRisk: number;
  /** Infinite for gains without a loss, NaN for nothing at all. */
  readonly sortino: number;
  /** Largest fall from a peak of the compounded curve, which starts at 1: a positive fraction. */
  readonly maxDrawdown: number;
  /** NaN without a drawdown. */
  readonly calmar: number;
  readonly positiveShare: number;
}

export function returnNumbers(returns: Series, periods: number): ReturnNumbers {
  const { length } = returns, root = Math.sqrt(periods);
  let n = 0, positive = 0, squares = 0, wealth = 1, peak = 1, fall = 0;
  for (let t = 0; t < length; t++) {
    const value = returns[t];
    if (Number.isNaN(value)) continue;
    n++;
    if (value > 0) positive++;
    else squares += value * value;
    // What is lost stays lost: two losses of more than everything are not a gain.
    wealth *= value > -1 ? 1 + value : 0;
    if (wealth > peak) peak = wealth;
    else if (1 - wealth / peak > fall) fall = 1 - wealth / peak;
  }
  const centre = mean(returns), scale = deviation(returns, 1, centre);
  const downsideRisk = n === 0 ? NaN : Math.sqrt(squares / n) * root;
  const annualReturn = length === 0 ? NaN : wealth ** (periods / length) - 1;
  return {
    cumulativeReturn: length === 0 ? NaN : wealth - 1, annualReturn, volatility: scale * root,
    sharpe: scale > 0 ? centre / scale * root : NaN, downsideRisk,
    sortino: centre * periods / downsideRisk, maxDrawdown: length === 0 ? NaN : fall,
    calmar: fall > 0 ? annualReturn / fall : NaN, positiveShare: n === 0 ? NaN : positive / n,
  };
}

/** Gains over losses around `threshold`; NaN without a loss. */
export function omega(returns: Series, threshold = 0): number {
  let gains = 0, losses = 0;
  for (let t = 0; t < returns.length; t++) {
    const excess = returns[t] - threshold;
    if (excess > 0) gains += excess;
    else if (excess < 0) losses -= excess;
  }
  return losses > 0 ? gains / losses : NaN;
}

export function tailRatio(returns: Series): number {
  return Math.abs(quantile(returns, 0.95)) / Math.abs(quantile(returns, 0.05));
}

/** Loss that one period exceeds with probability 1 - `level`, from the sample itself; positive is a loss. */
export function valueAtRisk(returns: Series, level = 0.95): number {
  return -quantile(returns, 1 - level);
}

/** Mean loss of the periods at or beyond the value at risk; positive is a loss. */
export function conditionalValueAtRisk(returns: Series, level = 0.95): number {
  const sorted = present(returns).sort();
  // Of the order statistics, those at or below the quantile; the tiny slack absorbs 1 - 0.95 not being 0.05.
  const worst = Math.floor((sorted.length - 1) * (1 - level) + 1e-9) + 1;
  return sorted.length === 0 ? NaN : -mean(sorted.subarray(0, worst));
}

export function skewness(returns: Series): number { return standardMoment(returns, 3); }

export function kurtosis(returns: Series): number { return standardMoment(returns, 4); }

/** Annualised mean over deviation of the difference to a benchmark, period by period. */
export function informationRatio(returns: Series, benchmark: Series, periods: number): number {
  const active = new Float64Array(Math.min(returns.length, benchmark.length));
  for (let t = 0; t < active.length; t++) active[t] = returns[t] - benchmark[t];
  return returnNumbers(active, periods).sharpe;
}
