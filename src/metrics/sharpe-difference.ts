/**
 * Is one Sharpe ratio really above another? Ledoit and Wolf, "Robust performance hypothesis testing with
 * the Sharpe ratio" (Journal of Empirical Finance 2008), section 3.1: the delta method on means and second
 * moments, with a long-run variance that allows for autocorrelated returns (Newey and West 1987).
 */
import { assert } from "../base/assert.ts";
import { normalCdf } from "./normal.ts";

export interface SharpeDifference {
  /** Of one period, a's minus b's. */
  readonly difference: number;
  readonly standardError: number;
  /** Probability of a difference this large when a's true Sharpe ratio is no better than b's. */
  readonly pValue: number;
}

interface Moments {
  readonly mean: number;
  /** Mean of squares. */
  readonly second: number;
  /** second - mean^2 */
  readonly variance: number;
}

function momentsOf(returns: ArrayLike<number>): Moments {
  let sum = 0, squares = 0;
  for (let t = 0; t < returns.length; t++) {
    sum += returns[t];
    squares += returns[t] ** 2;
  }
  const mean = sum / returns.length, second = squares / returns.length;
  return { mean, second, variance: second - mean * mean };
}

/** Of paired returns of the same periods; NaN where either never moves or there are fewer than three. */
export function sharpeDifference(a: ArrayLike<number>, b: ArrayLike<number>): SharpeDifference {
  assert(a.length === b.length, `returns of ${a.length} and ${b.length} periods are no pairs`);
  const n = a.length, ofA = momentsOf(a), ofB = momentsOf(b);
  if (n < 3 || !(ofA.variance > 0) || !(ofB.variance > 0)) {
    return { difference: NaN, standardError: NaN, pValue: NaN };
  }
  const difference = ofA.mean / Math.sqrt(ofA.variance) - ofB.mean / Math.sqrt(ofB.variance);
  // d Sharpe / d mean = second / variance^1.5, d Sharpe / d second = -mean / (2 variance^1.5)
  const influence = (r: number, { mean, second, variance }: Moments): number =>
    (second * (r - mean) - mean * (r * r - second) / 2) / variance ** 1.5;
  const z = Float64Array.from({ length: n }, (_, t) => influence(a[t], ofA) - influence(b[t], ofB));
  const standardError = Math.sqrt(longRunVariance(z) / n);
  return { difference, standardError,
    pValue: standardError > 0 ? 1 - normalCdf(difference / standardError) : NaN };
}

/** Of a series with mean zero: autocovariances under Bartlett's weights up to lag 4 (n / 100)^(2/9). */
function longRunVariance(z: Float64Array): number {
  const n = z.length, lags = Math.min(n - 1, Math.floor(4 * (n / 100) ** (2 / 9)));
  let total = 0;
  for (let lag = 0; lag <= lags; lag++) {
    let covariance = 0;
    for (let t = lag; t < n; t++) covariance += z[t] * z[t - lag];
    total += (lag === 0 ? 1 : 2 * (1 - lag / (lags + 1))) * covariance / n;
  }
  return Math.max(total, 0);
}
