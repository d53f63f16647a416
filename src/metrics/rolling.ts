/**
 * Series derived from a series of period returns: what a tearsheet draws over time.
 *
 *   returns (D) --growth-->  product of 1 + r     --drawdown--> growth / highest so far - 1
 *               --rolling--> Sharpe, volatility of the last `window` periods (NaN before)
 *               --calendar-> compounded by UTC month and year
 *               --counting-> histogram
 *
 * Rolling moments add and never subtract, so nothing that has left a window lingers in it: time is
 * cut in blocks of `window` rows, and a window is the end of one block joined to the start of the
 * next.
 *
 *   block  |. . . . a a a|b b b b . . .|      moments(a) made once a block, walking backwards
 *   window         [a a a b b b b]            moments(b) grow by a row at each step (Welford 1962)
 *
 * The two are joined by Chan, Golub and LeVeque 1979. Equal returns have a deviation of exactly 0.
 */

/**
 * (D) growth of 1 with compounding: product of 1 + r up to and with period t. What is lost stays
 * lost: it never falls below 0.
 */
export function growth(returns: Float64Array): Float64Array {
  const out = new Float64Array(returns.length);
  let value = 1;
  for (let t = 0; t < returns.length; t++) out[t] = value *= Math.max(0, 1 + returns[t]);
  return out;
}

/** (D) distance below the highest growth so far, <= 0. The start (growth 1) counts as a high. */
export function drawdown(returns: Float64Array): Float64Array {
  const out = growth(returns);
  let peak = 1;
  for (let t = 0; t < out.length; t++) {
    if (out[t] > peak) peak = out[t];
    out[t] = out[t] / peak - 1;
  }
  return out;
}

export interface Moments {
  /** (D) each; NaN where the last `window` returns are not all numbers. */
  readonly mean: Float64Array;
  /** Sample standard deviation (ddof 1). */
  readonly deviation: Float64Array;
}

/** Mean and deviation of the last `window` returns, the current one included. `window` >= 2. */
export function rollingMoments(returns: Float64Array, window: number): Moments {
  const D = returns.length;
  const mean = new Float64Array(D).fill(NaN);
  const deviation = new Float64Array(D).fill(NaN);
  // [k]: mean and sum of squared distances of the last k returns of the block before.
  const endMean = new Float64Array(window + 1);
  const endSquares = new Float64Array(window + 1);
  let startMean = 0;
  let startSquares = 0;
  for (let t = 0; t < D; t++) {
    const b = (t % window) + 1;
    if (b === 1) {
      startMean = startSquares = 0;
      for (let k = 1; k <= window && k <= t; k++) {
        const distance = returns[t - k] - endMean[k - 1];
        endMean[k] = endMean[k - 1] + distance / k;
        endSquares[k] = endSquares[k - 1] + distance * (returns[t - k] - endMean[k]);
      }
    }
    const distance = returns[t] - startMean;
    startMean += distance / b;
    startSquares += distance * (returns[t] - startMean);
    if (t < window - 1) continue;
    const a = window - b;
    const apart = a === 0 ? 0 : startMean - endMean[a];
    mean[t] = a === 0 ? startMean : endMean[a] + (apart * b) / window;
    const squares = startSquares + (a === 0 ? 0 : endSquares[a]) + (apart * apart * a * b) / window;
    deviation[t] = Math.sqrt(squares / (window - 1));
  }
  return { mean, deviation };
}

/**
 * (D) mean / standard deviation (ddof 1) * sqrt(periodsPerYear) of the last `window` returns; NaN
 * at zero deviation.
 */
export function rollingSharpe(
  returns: Float64Array,
  window: number,
  periodsPerYear: number,
): Float64Array {
  const { mean, deviation } = rollingMoments(returns, window);
  const scale = Math.sqrt(periodsPerYear);
  return mean.map((value, t) => (deviation[t] > 0 ? (value / deviation[t]) * scale : NaN));
}

/** (D) standard deviation (ddof 1) of the last `window` returns, annualised. */
export function rollingVolatility(
  returns: Float64Array,
  window: number,
  periodsPerYear: number,
): Float64Array {
  const scale = Math.sqrt(periodsPerYear);
  return rollingMoments(returns, window).deviation.map((value) => value * scale);
}

export interface YearRow {
  readonly year: number;
  /** (12) January first; NaN where the run has no period in that month. */
  readonly months: Float64Array;
  readonly total: number;
}

/**
 * Compounded by the UTC month of `time` (D, ms, ascending or not), years ascending, years without a
 * period left out.
 */
export function monthlyReturns(time: Float64Array, returns: Float64Array): YearRow[] {
  const rows = new Map<number, { months: Float64Array; total: number }>();
  for (let t = 0; t < time.length; t++) {
    const date = new Date(time[t]);
    const year = date.getUTCFullYear();
    let row = rows.get(year);
    if (row === undefined)
      rows.set(year, (row = { months: new Float64Array(12).fill(NaN), total: 1 }));
    const month = date.getUTCMonth();
    const before = Number.isNaN(row.months[month]) ? 0 : row.months[month];
    row.months[month] = (1 + before) * (1 + returns[t]) - 1;
    row.total *= 1 + returns[t];
  }
  return [...rows]
    .sort(([a], [b]) => a - b)
    .map(([year, row]) => ({ year, months: row.months, total: row.total - 1 }));
}

export interface Drawdown {
  /**
   * Rows: last high (-1 is the start, before the first period), lowest point, first new high (-1:
   * not yet).
   */
  readonly peak: number;
  readonly trough: number;
  readonly recovery: number;
  /** Positive fraction. */
  readonly depth: number;
}

/**
 * The deepest falls from a high to the next high, deepest first, at most `count`. Takes what
 * `drawdown` gives.
 */
export function worstDrawdowns(underwater: Float64Array, count: number): Drawdown[] {
  const falls: Drawdown[] = [];
  let start = -1; // first row of the fall we are in
  let trough = -1;
  for (let t = 0; t <= underwater.length; t++) {
    const isUnder = t < underwater.length && underwater[t] < 0;
    if (isUnder && start < 0) start = trough = t;
    if (isUnder && underwater[t] < underwater[trough]) trough = t;
    if (isUnder || start < 0) continue;
    const recovery = t < underwater.length ? t : -1;
    falls.push({ peak: start - 1, trough, recovery, depth: -underwater[trough] });
    start = -1;
  }
  return falls.sort((a, b) => b.depth - a.depth || a.peak - b.peak).slice(0, count);
}

export interface Histogram {
  /**
   * (bins + 1) edges, ascending, evenly spaced. A bin holds its lower edge; the last holds both.
   */
  readonly edges: Float64Array;
  /** (bins) */
  readonly counts: Float64Array;
}

/**
 * Counts finite values in `bins` even bins from the least to the greatest; equal values share one
 * bin of width 0.
 */
export function histogram(values: Float64Array, bins: number): Histogram {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) return { edges: new Float64Array(0), counts: new Float64Array(0) };
  const size = low === high ? 1 : bins;
  const edges = Float64Array.from({ length: size + 1 }, (_, k) => low + ((high - low) * k) / size);
  const counts = new Float64Array(size);
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    const bin = high === low ? 0 : Math.floor(((value - low) / (high - low)) * size);
    counts[Math.min(bin, size - 1)]++;
  }
  return { edges, counts };
}
