/**
 * The portfolios that a solver finds, in amounts z >= 0 of risk (|weight| x volatility, the sign taken off):
 *
 *     minimum variance   min z'Rz / 2                        sum z_i / sigma_i = gross
 *     mean-variance      max gain'z - z'Rz / 2
 *     CVaR               min a + sum u_t / (5 % of T)        gain'z >= gain,  u_t >= -(q_t'z) - a,  u_t >= 0
 *                        (Rockafellar, Uryasev, "Optimization of Conditional Value-at-Risk", 2000)
 *
 * in all of them z <= cap and, where trading costs something, + cost x sum |change of weight|: variables t
 * with t >= +-(weight - held). R are the correlations of what is held (signs taken in), q_t their scenarios.
 */
import type { Program, ProgramRow } from "./solver.ts";

/** Share of the worst scenarios, as of the value at risk. */
const TAIL = 0.05;

/** What all three have in common; M instruments. */
export interface Terms {
  /** (M) volatility of one period. */
  readonly volatility: Float64Array;
  /** (M) largest amount; Infinity for none. */
  readonly cap: Float64Array;
  /** (M) weights held, in the direction now wanted: negative where it has turned. */
  readonly held: Float64Array;
  /** Of one unit of |change of weight|, in the objective's unit. */
  readonly cost: number;
}

/** `gross`: sum of weights. The first M variables are the amounts. */
export function minimumVariance(correlation: Float64Array, gross: number, terms: Terms): Program {
  const weights = Array.from(terms.volatility, (sigma) => 1 / sigma);
  return assemble(terms, new Float64Array(weights.length), correlation,
    [{ indices: [...weights.keys()], values: weights, lower: gross, upper: gross }], []);
}

/** `gain`: (M) expected gain per unit of amount. */
export function meanVariance(correlation: Float64Array, gain: Float64Array, terms: Terms): Program {
  return assemble(terms, gain.map((value) => -value), correlation, [], []);
}

/** `scenarios`: M columns of T gains per unit of amount; `least`: gain'z that must be reached. */
export function leastTailRisk(scenarios: readonly Float64Array[], gain: Float64Array, least: number,
  terms: Terms): Program {
  const M = gain.length, T = scenarios[0].length, threshold = M, first = M + 1;
  const amounts = [...gain.keys()];
  const rows: ProgramRow[] = [{ indices: amounts, values: [...gain], lower: least, upper: Infinity }];
  for (let t = 0; t < T; t++) {
    rows.push({ indices: [...amounts, threshold, first + t], values: [...scenarios.map((q) => q[t]), 1, 1],
      lower: 0, upper: Infinity });
  }
  const excess = Array.from({ length: T }, () => ({ cost: 1 / (TAIL * T), lower: 0 }));
  return assemble(terms, new Float64Array(M), null, rows, [{ cost: 1, lower: -Infinity }, ...excess]);
}

/** Mean of the worst 5 % of gains, as a loss: what `leastTailRisk` minimises, of given amounts. */
export function tailRiskOf(scenarios: readonly Float64Array[], amounts: Float64Array): number {
  const T = scenarios[0].length, losses = new Float64Array(T);
  amounts.forEach((amount, i) => { for (let t = 0; t < T; t++) losses[t] -= amount * scenarios[i][t]; });
  losses.sort().reverse();
  let left = TAIL * T, sum = 0;
  for (let t = 0; left > 0; t++, left--) sum += losses[t] * Math.min(1, left);
  return sum / (TAIL * T);
}

/** Amounts, then `more` variables without an upper bound, then the changes that cost. */
function assemble({ volatility, cap, held, cost }: Terms, gain: Float64Array, quadratic: Float64Array | null,
  rows: readonly ProgramRow[], more: readonly { readonly cost: number; readonly lower: number }[]): Program {
  const M = gain.length, changes = cost > 0 ? M : 0, first = M + more.length;
  const costs = new Float64Array(first + changes).fill(cost), lower = new Float64Array(costs.length);
  const upper = new Float64Array(costs.length).fill(Infinity);
  costs.set(gain);
  upper.set(cap);
  more.forEach((one, k) => { costs[M + k] = one.cost; lower[M + k] = one.lower; });
  const priced = Array.from({ length: changes }, (_, i) => [1, -1].map((side): ProgramRow => ({
    indices: [i, first + i], values: [-side / volatility[i], 1], lower: -side * held[i], upper: Infinity })));
  return { cost: costs, lower, upper, rows: [...rows, ...priced.flat()],
    quadratic: quadratic === null ? null : { values: quadratic, size: M } };
}
