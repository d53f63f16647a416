/**
 * Sums of a series. A NaN is "no number on that day": it is skipped here, and counts as a period only where
 * growth is annualised (metrics.ts). An empty series gives NaN.
 */

/** The numbers of a series that are there. */
export function present(values: ArrayLike<number>): Float64Array {
  const out = new Float64Array(values.length);
  let n = 0;
  for (let t = 0; t < values.length; t++) if (!Number.isNaN(values[t])) out[n++] = values[t];
  return out.subarray(0, n);
}

/** Exact where all numbers are equal, so that they have a deviation of exactly 0. */
export function mean(values: ArrayLike<number>): number {
  let origin = NaN, sum = 0, n = 0;
  for (let t = 0; t < values.length; t++) {
    const value = values[t];
    if (Number.isNaN(value)) continue;
    if (n++ === 0) origin = value;
    sum += value - origin;
  }
  return n === 0 ? NaN : origin + sum / n;
}

/** Sample standard deviation: divides by n - `ddof`; NaN when that is not positive. */
export function deviation(values: ArrayLike<number>, ddof = 1, centre = mean(values)): number {
  let sum = 0, n = 0;
  for (let t = 0; t < values.length; t++) {
    if (Number.isNaN(values[t])) continue;
    sum += (values[t] - centre) ** 2;
    n++;
  }
  return n <= ddof ? NaN : Math.sqrt(sum / (n - ddof));
}

/** Mean of ((x - mean) / deviation)^order, population moments: 3 is skewness, 4 kurtosis (3 for a normal). */
export function standardMoment(values: ArrayLike<number>, order: number): number {
  const centre = mean(values), scale = deviation(values, 0);
  let sum = 0, n = 0;
  for (let t = 0; t < values.length; t++) {
    if (Number.isNaN(values[t])) continue;
    sum += (values[t] - centre) ** order;
    n++;
  }
  return n === 0 || !(scale > 0) ? NaN : sum / n / scale ** order;
}

/** Quantile in [0, 1], linear between order statistics (Hyndman-Fan type 7, what numpy's default does). */
export function quantile(values: ArrayLike<number>, share: number): number {
  const sorted = present(values).sort();
  if (sorted.length === 0) return NaN;
  const at = share * (sorted.length - 1);
  const low = Math.floor(at), high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
}
