/**
 * Value at risk of a book of weights over observed returns, 95 %, one period.
 *
 *     history (rows, N) x weights (N) -> scenario returns (rows) -> the loss that 5 % of them exceed
 */
const TAIL = 0.05;
/** 95 % quantile of the standard normal. */
const Z = 1.6448536269514722;

export interface ValueAtRisk {
  /** Minus the 5 % quantile of the scenarios, linear between order statistics; at least 0. */
  historical: number;
  /** 1.645 sample standard deviations of the scenarios, mean 0. */
  parametric: number;
}

/** `history`: at least `rows` >= 2 rows of weights.length returns. Results are fractions of equity. */
export function valueAtRiskOf(weights: Float64Array, history: Float64Array, rows: number): ValueAtRisk {
  const count = weights.length;
  const at = TAIL * (rows - 1), low = Math.floor(at);
  // Only the worst scenarios matter: they are kept in order, the rest is forgotten.
  const worst = new Float64Array(low + 2).fill(Infinity);
  let mean = 0, moment = 0;
  for (let row = 0, from = 0; row < rows; row++, from += count) {
    let sum = 0;
    for (let i = 0; i < count; i++) sum += weights[i] * history[from + i];
    const delta = sum - mean;
    mean += delta / (row + 1);
    moment += delta * (sum - mean);
    if (sum >= worst[low + 1]) continue;
    let place = low + 1;
    for (; place > 0 && worst[place - 1] > sum; place--) worst[place] = worst[place - 1];
    worst[place] = sum;
  }
  const quantile = worst[low] + (at - low) * (worst[low + 1] - worst[low]);
  return { historical: Math.max(0, -quantile), parametric: Z * Math.sqrt(moment / (rows - 1)) };
}
