/**
 * Objectives that say the same.
 *
 *   sharpe  sortino  latency           rank correlation of losses over the trials
 *     1      0.97     -0.12            sortino follows sharpe: a front without it is the same front, and
 *     .       1       -0.10            every objective less makes dominance say more
 *
 * Rank correlation (Spearman), because dominance reads ranks too. Opposed objectives (-1) are a conflict: the
 * very thing a front shows. An objective is proposed to be left out beside one that was named before it, so
 * the order of `--objectives` says which one of a group stays.
 */
import { isEligible, paretoFront } from "./pareto.ts";
import type { Finished, Objective } from "./trial.ts";

export interface Redundant {
  readonly objective: string;
  /** The one that stays and says the same. */
  readonly by: string;
  readonly correlation: number;
}
export interface Redundancy {
  /** Trials that it was computed from. */
  readonly count: number;
  /** (M)(M) rank correlations; NaN beside an objective without variation. */
  readonly correlations: readonly Float64Array[];
  readonly redundant: readonly Redundant[];
  /** Members of the front, of the front without the redundant objectives, and of both. */
  readonly front: number;
  readonly frontWithout: number;
  readonly frontBoth: number;
}

/** Correlations are noise below this. */
const TRIALS_MIN = 10;

/** Proposes objectives to leave out: those correlated by `threshold` or more with one that stays. */
export function redundancy(trials: Iterable<Finished>, objectives: readonly Objective[], threshold = 0.9):
  Redundancy {
  const eligible = Array.from(trials).filter(isEligible);
  const ranks = objectives.map((_, m) => rank(Float64Array.from(eligible, ({ losses }) => losses[m])));
  const correlations = ranks.map((a) => Float64Array.from(ranks, (b) => correlation(a, b)));
  const kept: number[] = [], redundant: Redundant[] = [];
  for (const [m, { name: objective }] of objectives.entries()) {
    const by = eligible.length < TRIALS_MIN ? undefined
      : kept.filter((k) => correlations[m][k] >= threshold)
        .sort((a, b) => correlations[m][b] - correlations[m][a]).at(0);
    if (by === undefined) kept.push(m);
    else redundant.push({ objective, by: objectives[by].name, correlation: correlations[m][by] });
  }
  const front = paretoFront(eligible);
  const without = paretoFront(eligible.map((trial) =>
    ({ ...trial, losses: Float64Array.from(kept, (m) => trial.losses[m]) })));
  const numbers = new Set(front.map(({ number }) => number));
  return { count: eligible.length, correlations, redundant, front: front.length,
    frontWithout: without.length, frontBoth: without.filter(({ number }) => numbers.has(number)).length };
}

/** (n) ranks from 0; of equal values their mean. */
function rank(values: Float64Array): Float64Array {
  const order = Array.from(values.keys()).sort((a, b) => values[a] - values[b]);
  const ranks = new Float64Array(values.length);
  for (let from = 0, to = 0; from < order.length; from = to) {
    while (to < order.length && values[order[to]] === values[order[from]]) to++;
    for (let k = from; k < to; k++) ranks[order[k]] = (from + to - 1) / 2;
  }
  return ranks;
}

function correlation(a: Float64Array, b: Float64Array): number {
  const middle = (a.length - 1) / 2;
  let ab = 0, aa = 0, bb = 0;
  for (let i = 0; i < a.length; i++) {
    ab += (a[i] - middle) * (b[i] - middle);
    aa += (a[i] - middle) ** 2;
    bb += (b[i] - middle) ** 2;
  }
  return ab / Math.sqrt(aa * bb);
}
