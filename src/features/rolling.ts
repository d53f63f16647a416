/**
 * Rolling kernels shared by the technical families: each consumes a block of n numbers, keeps its
 * memory in the flat state and writes n results. They know no bars and no columns; results before
 * the window is full mean nothing, and the caller masks them.
 *
 * A sliding sum that subtracts what leaves drifts: one price 1e6 times too large leaves its
 * rounding behind for ever. These kernels never subtract. Time is cut into blocks of one window;
 * the part of the window in the last block is an aggregate of its *suffix*, made once when that
 * block ended, the part in this block a running *prefix*:
 *
 *        last block                 this block
 *        | . . . j+1 ======== W-1 | 0 ======= j  . . . |        window = suffix[j+1] + prefix
 *                  suffix[j+1]        prefix
 *
 * One slot array of W serves both: slots 0..j hold this block's raw values, slots j+1..W-1 the last
 * block's suffixes. Any aggregate that can be merged works: sum, extremes, (mean, M2) without
 * cancellation. Amortised O(1) a row, the rounding error is that of one window, and a row's bits
 * depend on its position only, never on the chunks. Rows are taken in runs that end with a block or
 * with the chunk, so that the inner loop asks nothing.
 *
 * van Herk, "A fast algorithm for local minimum and maximum filters on rectangular and octagonal
 * kernels", Pattern Recognition Letters 13 (1992); merging of moments: Chan, Golub, LeVeque 1979;
 * Pebay, SAND2008-6212.
 */

/**
 * Rows handled at a time: derived series live in scratch arrays of this length, and a block's
 * output stays in the cache from one feature to the next.
 */
export const BLOCK = 256;

/** 1/k for k up to the longest window. */
const RECIPROCAL = Float64Array.from({ length: 10_001 }, (_, k) => 1 / k);

/** A variance at or below this times the squared level is rounding noise of equal numbers: flat. */
export const FLAT = 1e-30;

export const scratch = (): Float64Array => new Float64Array(BLOCK);

export const sumLength = (window: number): number => window + 2;

/** y[i] = sum of the last `window` values. State: [j, prefix, slots (W)]. */
export function rollingSum(x: Float64Array, n: number, window: number, state: Float64Array,
  at: number, y: Float64Array): void {
  const first = at + 2, last = window - 1;
  let j = state[at] | 0, prefix = state[at + 1];
  for (let i = 0; i < n;) {
    const end = Math.min(n, i + last - j);
    let slot = first + j;
    j += end - i;
    for (; i < end; i++, slot++) {
      const value = x[i];
      prefix += value;
      state[slot] = value;
      y[i] = state[slot + 1] + prefix;
    }
    if (i === n) break;
    let sum = x[i];
    y[i++] = prefix + sum;
    state[slot] = sum;
    while (--slot > first) state[slot] = sum += state[slot];
    j = 0;
    prefix = 0;
  }
  state[at] = j;
  state[at + 1] = prefix;
}

export const weightedLength = (window: number): number => 2 * window + 3;

/**
 * Sum, and sum with weights 1 (oldest) to W (newest), of the last W values.
 * State: [j, prefix sum, prefix weighted, (sum, weighted) slots (W)].
 */
export function rollingWeighted(x: Float64Array, n: number, window: number, state: Float64Array,
  at: number, sums: Float64Array, weighted: Float64Array): void {
  const slots = at + 3, last = window - 1;
  let j = state[at] | 0, sum = state[at + 1], rising = state[at + 2];
  for (let i = 0; i < n; i++) {
    const value = x[i], slot = slots + 2 * j;
    sum += value;
    rising += (j + 1) * value;
    state[slot] = value;
    if (j < last) {
      sums[i] = state[slot + 2] + sum;
      weighted[i] = state[slot + 3] + rising + (last - j) * sum;
      j++;
      continue;
    }
    sums[i] = sum;
    weighted[i] = rising;
    let suffix = 0, suffixRising = 0;
    for (let k = slots + 2 * last; k > slots; k -= 2) {
      suffix += state[k];
      suffixRising += suffix;
      state[k] = suffix;
      state[k + 1] = suffixRising;
    }
    j = 0;
    sum = 0;
    rising = 0;
  }
  state[at] = j;
  state[at + 1] = sum;
  state[at + 2] = rising;
}

export const extremesLength = (window: number): number => 2 * window + 3;

/**
 * top[i] = largest of the last W values of `x`, bottom[i] = smallest of the last W of `z`.
 * State: [j, prefix max, prefix min, (max, min) slots (W)].
 */
export function rollingExtremes(x: Float64Array, z: Float64Array, n: number, window: number,
  state: Float64Array, at: number, top: Float64Array, bottom: Float64Array): void {
  const first = at + 3, last = window - 1;
  let j = state[at] | 0, high = state[at + 1], low = state[at + 2];
  for (let i = 0; i < n;) {
    if (j === 0) { high = -Infinity; low = Infinity; }
    const end = Math.min(n, i + last - j);
    let slot = first + 2 * j;
    j += end - i;
    for (; i < end; i++, slot += 2) {
      const a = x[i], b = z[i], oldHigh = state[slot + 2], oldLow = state[slot + 3];
      if (a > high) high = a;
      if (b < low) low = b;
      state[slot] = a;
      state[slot + 1] = b;
      top[i] = oldHigh > high ? oldHigh : high;
      bottom[i] = oldLow < low ? oldLow : low;
    }
    if (i === n) break;
    let suffixHigh = x[i], suffixLow = z[i];
    top[i] = suffixHigh > high ? suffixHigh : high;
    bottom[i] = suffixLow < low ? suffixLow : low;
    i++;
    state[slot] = suffixHigh;
    state[slot + 1] = suffixLow;
    for (slot -= 2; slot > first; slot -= 2) {
      if (state[slot] > suffixHigh) suffixHigh = state[slot]; else state[slot] = suffixHigh;
      if (state[slot + 1] < suffixLow) suffixLow = state[slot + 1];
      else state[slot + 1] = suffixLow;
    }
    j = 0;
  }
  state[at] = j;
  state[at + 1] = high;
  state[at + 2] = low;
}

export const momentsLength = (window: number): number => 2 * window + 3;

/**
 * Mean and variance (over W, ddof 0) of the last W values. Equal values give variance 0 exactly.
 * State: [j, prefix mean, prefix M2, (mean, M2) slots (W)].
 */
export function rollingMoments(x: Float64Array, n: number, window: number, state: Float64Array,
  at: number, means: Float64Array, variances: Float64Array): void {
  const first = at + 3, last = window - 1, share = RECIPROCAL[window];
  let j = state[at] | 0, mean = state[at + 1], m2 = state[at + 2];
  for (let i = 0; i < n;) {
    const end = Math.min(n, i + last - j);
    let slot = first + 2 * j;
    for (; i < end; i++, slot += 2) {
      const value = x[i], distance = value - mean, old = state[slot + 2];
      mean += distance * RECIPROCAL[++j];
      m2 += distance * (value - mean);
      state[slot] = value;
      const gap = mean - old, part = gap * j * share;
      means[i] = old + part;
      variances[i] = (state[slot + 3] + m2 + gap * part * (window - j)) * share;
    }
    if (i === n) break;
    const distance = x[i] - mean;
    mean += distance * share;
    means[i] = mean;
    variances[i] = (m2 + distance * (x[i] - mean)) * share;
    state[slot] = x[i++];
    mean = 0;
    m2 = 0;
    for (j = 0; slot > first; slot -= 2) {
      const value = state[slot], step = value - mean;
      mean += step * RECIPROCAL[++j];
      m2 += step * (value - mean);
      state[slot] = mean;
      state[slot + 1] = m2;
    }
    j = 0;
    mean = 0;
    m2 = 0;
  }
  state[at] = j;
  state[at + 1] = mean;
  state[at + 2] = m2;
}

/**
 * Exponential average a <- a + alpha (x - a), seeded with the plain mean of `window` values after
 * the first `skip` are passed over. Wilder's average is alpha = 1 / window.
 * State: [values seen, sum until the seed is made and a from then on].
 */
export const averageLength = 2;
export function exponentialAverage(x: Float64Array, n: number, window: number, alpha: number,
  skip: number, state: Float64Array, at: number, y: Float64Array): void {
  let seen = state[at], average = state[at + 1], i = 0;
  const seeded = skip + window;
  for (; i < n && seen < seeded; i++) {
    seen++;
    if (seen > skip) average += x[i];
    if (seen === seeded) average /= window;
    y[i] = average;
  }
  for (; i < n; i++) {
    average += alpha * (x[i] - average);
    y[i] = average;
  }
  state[at] = seen;
  state[at + 1] = average;
}

export const lagLength = (lag: number): number => lag + 1;

/** y[i] = the value `lag` rows ago (0 until there is one). State: [j, ring (lag)]. */
export function lagged(x: Float64Array, n: number, lag: number, state: Float64Array, at: number,
  y: Float64Array): void {
  const ring = at + 1;
  let j = state[at] | 0;
  for (let i = 0; i < n; i++) {
    y[i] = state[ring + j];
    state[ring + j] = x[i];
    if (++j === lag) j = 0;
  }
  state[at] = j;
}
