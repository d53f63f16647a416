/**
 * Series derived from a series of period returns: what a tearsheet draws over time.
 *
 *   returns (D) --growth-->  product of 1 + r     --drawdown--> growth / highest so far - 1
 *               --rolling--> Sharpe, volatility of the last `window` periods (NaN until there are that many)
 *               --calendar-> compounded by UTC month and year
 *               --counting-> histogram
 *
 * Rolling moments slide: each step adds one return and drops one. The sums hold distances from a reference
 * return and are made anew every `window` steps, so rounding cannot pile up and the cost stays two additions
 * a step. A window of equal returns is found by counting, not by subtraction: its deviation is exactly 0.
 */

/** (D) growth of 1 with compounding: product of 1 + r up to and with period t. */
export function growth(returns: Float64Array): Float64Array {
  const out = new Float64Array(returns.length);
  let value = 1;
  for (let t = 0; t < returns.length; t++) out[t] = value *= 1 + returns[t];
  return out;
}

/** (D) distance below the highest growth so far, <= 0. The start (growth 1) counts as a high. */
export function drawdown(returns: Float64Array): Float64Array {
  const out = new Float64Array(returns.length);
  let value = 1;
  let peak = 1;
  for (let t = 0; t < returns.length; t++) {
    value *= 1 + returns[t];
    if (value > peak) peak = value;
    out[t] = value / peak - 1;
  }
  return out;
}

export interface Moments {
  /** (D) each; NaN where the last `window` returns are not all numbers. */
  readonly mean: Float64Array;
  /** Sample standard deviation (ddof 1). */
  readonly deviation: Float64Array;
}

/** Mean and standard deviation of the last `window` returns, the current one included. `window` >= 2. */
export function rollingMoments(returns: Float64Array, window: number): Moments {
  const D = returns.length;
  const mean = new Float64Array(D).fill(NaN);
  const deviation = new Float64Array(D).fill(NaN);
  let reference = 0;
  let sum = 0;
  let squares = 0;
  let missing = 0;
  let equal = 0; // how many returns in a row, up to t, are the same number
  const add = (value: number, sign: 1 | -1): void => {
    if (Number.isNaN(value)) missing += sign;
    else {
      sum += sign * (value - reference);
      squares += sign * (value - reference) ** 2;
    }
  };
  for (let t = 0; t < D; t++) {
    equal = t > 0 && returns[t] === returns[t - 1] ? equal + 1 : 1;
    if (t >= window && t % window === 0) {
      sum = squares = missing = 0;
      reference = Number.isNaN(returns[t]) ? 0 : returns[t];
      for (let k = t - window + 1; k <= t; k++) add(returns[k], 1);
    } else {
      add(returns[t], 1);
      if (t >= window) add(returns[t - window], -1);
    }
    if (t < window - 1 || missing > 0) continue;
    mean[t] = equal >= window ? returns[t] : reference + sum / window;
    const variance = (squares - (sum * sum) / window) / (window - 1);
    deviation[t] = equal >= window ? 0 : Math.sqrt(Math.max(variance, 0));
  }
  return { mean, deviation };
}

/** (D) mean / standard deviation (ddof 1) * sqrt(periodsPerYear) of the last `window` returns; NaN at zero deviation. */
export function rollingSharpe(returns: Float64Array, window: number, periodsPerYear: number): Float64Array {
  const { mean, deviation } = rollingMoments(returns, window);
  const scale = Math.sqrt(periodsPerYear);
  return mean.map((value, t) => deviation[t] > 0 ? (value / deviation[t]) * scale : NaN);
}

/** (D) standard deviation (ddof 1) of the last `window` returns, annualised. */
export function rollingVolatility(returns: Float64Array, window: number, periodsPerYear: number): Float64Array {
  const scale = Math.sqrt(periodsPerYear);
  return rollingMoments(returns, window).deviation.map(value => value * scale);
}

export interface YearRow {
  readonly year: number;
  /** (12) January first; NaN where the run has no period in that month. */
  readonly months: Float64Array;
  readonly total: number;
}

/** Compounded by the UTC month of `time` (D, ms, ascending or not), years ascending, years without a period left out. */
export function monthlyReturns(time: Float64Array, returns: Float64Array): YearRow[] {
  const rows = new Map<number, { months: Float64Array; total: number }>();
  for (let t = 0; t < time.length; t++) {
    const date = new Date(time[t]);
    const year = date.getUTCFullYear();
    let row = rows.get(year);
    if (row === undefined) rows.set(year, row = { months: new Float64Array(12).fill(NaN), total: 1 });
    const month = date.getUTCMonth();
    const before = Number.isNaN(row.months[month]) ? 0 : row.months[month];
    row.months[month] = (1 + before) * (1 + returns[t]) - 1;
    row.total *= 1 + returns[t];
  }
  return [...rows].sort(([a], [b]) => a - b)
    .map(([year, row]) => ({ year, months: row.months, total: row.total - 1 }));
}

export interface Drawdown {
  /** Rows: last high (-1 is the start, before the first period), lowest point, first new high (-1: not yet). */
  readonly peak: number;
  readonly trough: number;
  readonly recovery: number;
  /** Positive fraction. */
  readonly depth: number;
}

/** The deepest falls from a high to the next high, deepest first, at most `count`. Takes what `drawdown` gives. */
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
  /** (bins + 1) edges, ascending, evenly spaced. A bin holds its lower edge; the last holds both. */
  readonly edges: Float64Array;
  /** (bins) */
  readonly counts: Float64Array;
}

/** Counts finite values in `bins` even bins from the least to the greatest; equal values share one bin of width 0. */
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
