/**
 * Exponentially weighted moments, one observation at a time, weights 1, d, d^2, ... from the newest
 * back, normalised by their sum (pandas: `ewm(adjust=True)`). The spread is updated around the
 * moving mean (West, "Updating mean and variance estimates: an improved method", CACM 22 (1979) 9,
 * with the old sums scaled by d), so nothing is subtracted that is large.
 *
 *   state of a mean       | W = sum of weights | mean |
 *   state of a deviation  | W | S = sum of squared weights | mean | M = weighted sum of squared distances |
 */

export const EWM_MEAN_LENGTH = 2;
export const EWM_DEVIATION_LENGTH = 4;

/** Decay d of a half-life in observations. */
export const decayOfHalfLife = (halfLife: number): number => 0.5 ** (1 / halfLife);
/**
 * Decay d of a span: the exponential average whose centre of mass equals that of a simple one of
 * `span`.
 */
export const decayOfSpan = (span: number): number => 1 - 2 / (span + 1);

/** Takes in x and returns the weighted mean. */
export function ewmMean(state: Float64Array, at: number, decay: number, x: number): number {
  const weights = decay * state[at] + 1;
  state[at] = weights;
  return state[at + 1] += (x - state[at + 1]) / weights;
}

/**
 * Takes in x and returns the unbiased standard deviation (pandas: bias=False), NaN after a single
 * observation. The mean is at `state[at + 2]` afterwards.
 */
export function ewmDeviation(state: Float64Array, at: number, decay: number, x: number): number {
  const weights = decay * state[at] + 1;
  const squares = decay * decay * state[at + 1] + 1;
  const distance = x - state[at + 2];
  const mean = state[at + 2] + distance / weights;
  const spread = decay * state[at + 3] + distance * (x - mean);
  state[at] = weights; state[at + 1] = squares; state[at + 2] = mean; state[at + 3] = spread;
  return Math.sqrt(spread / (weights - squares / weights));
}
