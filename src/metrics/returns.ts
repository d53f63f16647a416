/**
 * Series of simple period returns -> numbers. `periods` is periods a year (252 for daily bars). Empty -> NaN.
 * A NaN is a period without a return: it adds nothing, and counts when growth is annualised. Formulas:
 * metrics.ts.
 */
import { deviation, mean, present, quantile, standardMoment } from "./moments.ts";

type Series = ArrayLike<number>;

export function cumulativeReturn(returns: Series): number {
  if (returns.length === 0) return NaN;
  let wealth = 1;
  for (let t = 0; t < returns.length; t++) if (!Number.isNaN(returns[t])) wealth *= 1 + returns[t];
  return wealth - 1;
}

/** Compound growth a year (CAGR); -1 when everything was lost. */
export function annualReturn(returns: Series, periods: number): number {
  if (returns.length === 0) return NaN;
  return Math.max(0, 1 + cumulativeReturn(returns)) ** (periods / returns.length) - 1;
}

export function volatility(returns: Series, periods: number): number {
  return deviation(returns) * Math.sqrt(periods);
}

/** Arithmetic mean over standard deviation, annualised; NaN for a series without variation. */
export function sharpe(returns: Series, periods: number): number {
  const scale = deviation(returns);
  return scale > 0 ? mean(returns) / scale * Math.sqrt(periods) : NaN;
}

/** Root mean square of the losses over *all* periods, annualised. */
export function downsideRisk(returns: Series, periods: number): number {
  let sum = 0, n = 0;
  for (let t = 0; t < returns.length; t++) {
    if (Number.isNaN(returns[t])) continue;
    sum += Math.min(returns[t], 0) ** 2;
    n++;
  }
  return n === 0 ? NaN : Math.sqrt(sum / n) * Math.sqrt(periods);
}

/** Infinite for gains without a loss, NaN for nothing at all. */
export function sortino(returns: Series, periods: number): number {
  return mean(returns) * periods / downsideRisk(returns, periods);
}

/** Largest fall from a peak of the compounded curve, which starts at 1: a positive fraction. */
export function maxDrawdown(returns: Series): number {
  if (returns.length === 0) return NaN;
  let wealth = 1, peak = 1, worst = 0;
  for (let t = 0; t < returns.length; t++) {
    if (Number.isNaN(returns[t])) continue;
    wealth *= 1 + returns[t];
    peak = Math.max(peak, wealth);
    worst = Math.max(worst, 1 - wealth / peak);
  }
  return worst;
}

/** NaN without a drawdown. */
export function calmar(returns: Series, periods: number): number {
  const fall = maxDrawdown(returns);
  return fall > 0 ? annualReturn(returns, periods) / fall : NaN;
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

export function positiveShare(returns: Series): number {
  let positive = 0, n = 0;
  for (let t = 0; t < returns.length; t++) {
    if (Number.isNaN(returns[t])) continue;
    if (returns[t] > 0) positive++;
    n++;
  }
  return n === 0 ? NaN : positive / n;
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
  return sharpe(active, periods);
}
