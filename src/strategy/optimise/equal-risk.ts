/**
 * Risk budgeting: amounts z > 0 whose shares of the portfolio's risk are the budgets.
 *
 *     z_i (Cz)_i = b_i          <=>   minimise z'Cz / 2 - sum b_i ln z_i     (one solution: C is definite)
 *
 * One coordinate at a time: z_i is the positive root of C_ii z^2 + (sum of C_ij z_j, j != i) z = b_i
 * (Griveau-Billion, Richard, Roncalli, "A Fast Algorithm for Computing High-dimensional Risk Parity
 * Portfolios", 2013).
 */
const CYCLES_MAX = 2_000;
const TOLERANCE = 1e-13;

/** (N) amounts, the portfolio's variance being the sum of the budgets; null when it does not settle. */
export function equalRisk(covariance: Float64Array, budgets: Float64Array): Float64Array | null {
  const N = budgets.length;
  const z = budgets.map((budget, i) => Math.sqrt(budget / covariance[i * N + i]));
  for (let cycle = 0; cycle < CYCLES_MAX; cycle++) {
    let moved = 0;
    for (let i = 0; i < N; i++) {
      const own = covariance[i * N + i];
      let rest = 0;
      for (let j = 0; j < N; j++) if (j !== i) rest += covariance[i * N + j] * z[j];
      const next = (Math.sqrt(rest * rest + 4 * own * budgets[i]) - rest) / (2 * own);
      moved = Math.max(moved, Math.abs(next / z[i] - 1));
      z[i] = next;
    }
    if (!Number.isFinite(moved)) return null;
    if (moved < TOLERANCE) return z;
  }
  return null;
}
