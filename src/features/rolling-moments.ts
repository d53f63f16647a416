/**
 * Rolling third and fourth moments, and rolling covariance: the kernels of rolling.ts (read its
 * header) whose aggregates are merged by Pebay's formulas ("Formulas for robust, one-pass parallel
 * computation of covariances and arbitrary-order statistical moments", SAND2008-6212, equations
 * 2.1, 3.1 and 3.24).
 *
 *     slots (one a row of the window):   mean  M2  M3  M4    or   mean x  mean y  Mxx  Myy  Cxy
 */
export const shapeLength = (window: number): number => 1 + 4 + 4 * window;

/** Adds one value to the aggregate at `at` (mean, M2, M3, M4), which then holds `count` values. */
function include(aggregate: Float64Array, at: number, value: number, count: number): void {
  const m2 = aggregate[at + 1], m3 = aggregate[at + 2];
  const distance = value - aggregate[at], step = distance / count,
    term = distance * step * (count - 1);
  aggregate[at] += step;
  aggregate[at + 3] += term * step * step * (count * count - 3 * count + 3) + 6 * step * step * m2
    - 4 * step * m3;
  aggregate[at + 2] = m3 + term * step * (count - 2) - 3 * step * m2;
  aggregate[at + 1] = m2 + term;
}

/**
 * Variance (ddof 0), third and fourth central moment of the last W values.
 * State: [j, prefix (mean, M2, M3, M4), slots (W x 4)].
 */
export function rollingShape(x: Float64Array, n: number, window: number, state: Float64Array,
  at: number, second: Float64Array, third: Float64Array, fourth: Float64Array): void {
  const prefix = at + 1, slots = at + 5, last = window - 1;
  let j = state[at] | 0;
  for (let i = 0; i < n; i++) {
    include(state, prefix, x[i], j + 1);
    state[slots + 4 * j] = x[i];
    if (j < last) {
      const old = slots + 4 * (j + 1), a = last - j, b = j + 1;
      const gap = state[prefix] - state[old], step = gap / window, cross = gap * step * a * b;
      const a2 = state[old + 1], b2 = state[prefix + 1];
      second[i] = (a2 + b2 + cross) / window;
      third[i] = (state[old + 2] + state[prefix + 2] + cross * step * (a - b)
        + 3 * step * (a * b2 - b * a2)) / window;
      fourth[i] = (state[old + 3] + state[prefix + 3] + cross * step * step
        * (a * a - a * b + b * b)
        + 6 * step * step * (a * a * b2 + b * b * a2)
        + 4 * step * (a * state[prefix + 2] - b * state[old + 2])) / window;
      j++;
      continue;
    }
    second[i] = state[prefix + 1] / window;
    third[i] = state[prefix + 2] / window;
    fourth[i] = state[prefix + 3] / window;
    for (let k = 0; k < 4; k++) state[prefix + k] = 0;
    for (let k = last; k > 0; k--) {
      include(state, prefix, state[slots + 4 * k], window - k);
      for (let part = 0; part < 4; part++) state[slots + 4 * k + part] = state[prefix + part];
    }
    for (let k = 0; k < 4; k++) state[prefix + k] = 0;
    j = 0;
  }
  state[at] = j;
}

export const covarianceLength = (window: number): number => 1 + 5 + 5 * window;

/**
 * Adds one pair to the aggregate at `at` (mean x, mean y, Mxx, Myy, Cxy), which then holds `count`
 * pairs.
 */
function includePair(aggregate: Float64Array, at: number, x: number, y: number,
  count: number): void {
  const dx = x - aggregate[at], dy = y - aggregate[at + 1];
  aggregate[at] += dx / count;
  aggregate[at + 1] += dy / count;
  const rest = y - aggregate[at + 1];
  aggregate[at + 2] += dx * (x - aggregate[at]);
  aggregate[at + 3] += dy * rest;
  aggregate[at + 4] += dx * rest;
}

/**
 * Pearson correlation of the last W pairs (x, y), 0 where either does not move.
 * State: [j, prefix (5), slots (W x 5)].
 */
export function rollingCorrelation(x: Float64Array, y: Float64Array, n: number, window: number,
  state: Float64Array, at: number, out: Float64Array): void {
  const prefix = at + 1, slots = at + 6, last = window - 1;
  let j = state[at] | 0;
  for (let i = 0; i < n; i++) {
    includePair(state, prefix, x[i], y[i], j + 1);
    state[slots + 5 * j] = x[i];
    state[slots + 5 * j + 1] = y[i];
    let xx = state[prefix + 2], yy = state[prefix + 3], xy = state[prefix + 4];
    if (j < last) {
      const old = slots + 5 * (j + 1), share = (last - j) * (j + 1) / window;
      const dx = state[prefix] - state[old], dy = state[prefix + 1] - state[old + 1];
      xx += state[old + 2] + dx * dx * share;
      yy += state[old + 3] + dy * dy * share;
      xy += state[old + 4] + dx * dy * share;
      j++;
    } else {
      endPairs(state, prefix, slots, window);
      j = 0;
    }
    out[i] = correlation(xx, yy, xy);
  }
  state[at] = j;
}

/** The block is full: its pairs become suffix aggregates, and the prefix starts anew. */
function endPairs(state: Float64Array, prefix: number, slots: number, window: number): void {
  for (let part = 0; part < 5; part++) state[prefix + part] = 0;
  for (let k = window - 1; k > 0; k--) {
    const slot = slots + 5 * k;
    includePair(state, prefix, state[slot], state[slot + 1], window - k);
    for (let part = 0; part < 5; part++) state[slot + part] = state[prefix + part];
  }
  for (let part = 0; part < 5; part++) state[prefix + part] = 0;
}

/** Below this the sum of squared deviations is rounding noise of equal returns: nothing moved. */
const STILL = 1e-28;

function correlation(xx: number, yy: number, xy: number): number {
  if (!(xx > STILL && yy > STILL)) return 0;
  return Math.max(-1, Math.min(1, xy / Math.sqrt(xx * yy)));
}
