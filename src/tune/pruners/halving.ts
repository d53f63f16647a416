/**
 * Asynchronous successive halving, the stopping variant (Li et al., "A system for massively parallel
 * hyperparameter tuning", MLSys 2020; rules and numbers of Optuna's SuccessiveHalvingPruner).
 *
 *   step   1        4              16
 *   rung   0        1              2          rung k is at step minSteps * eta^(skip + k)
 *          ooooooooo
 *              +--> oo                        of n trials that reached a rung the best floor(n / eta) go on,
 *                    +-----------> o          at least one; whoever comes is judged at once, nobody waits
 */
import type { Finished } from "../trial.ts";
import type { Pruner, Report } from "./pruner.ts";

/**
 * Whether a newcomer at a rung is among the `count` best of itself and the others. Of equals it is the
 * first: ties go on.
 */
export type Keeps = (newcomer: Report, others: readonly Report[], count: number) => boolean;

export interface HalvingSettings {
  /** Step of the first rung of a bracket that skips none. */
  readonly minSteps: number;
  readonly eta: number;
  /** Rungs left out at the beginning. */
  readonly skip: number;
  /** At a rung with no more results than this, the newcomer's among them, a trial stops. */
  readonly bootstrap: number;
}

export function halving({ minSteps, eta, skip, bootstrap }: HalvingSettings, keeps: Keeps): Pruner {
  const rungs: Report[][] = [];
  /** Rungs that a trial that runs has passed. */
  const passed = new Map<number, number>();
  return {
    report(report, isSeen) {
      const { number, step } = report;
      for (let rung = passed.get(number) ?? 0; ; rung++) {
        passed.set(number, rung);
        if (step < minSteps * eta ** (skip + rung)) return true;
        // Not a number is worse than anything: it never counts, and it never goes on.
        if (report.losses.every(Number.isNaN)) return false;
        const reached = rungs[rung] ??= [];
        const others = reached.filter((other) => isSeen(other.number));
        reached.push(report);
        const n = others.length + 1;
        if (n <= bootstrap || !keeps(report, others, Math.max(1, Math.floor(n / eta)))) return false;
      }
    },
    tell({ number }: Finished) { passed.delete(number); },
  };
}

/** One objective: fewer than `count` others are better. Feasible before infeasible. */
export const keepsLeast: Keeps = (newcomer, others, count) => {
  let better = 0;
  for (const { violation, losses } of others) {
    const isBetter = violation === newcomer.violation ? losses[0] < newcomer.losses[0]
      : violation < newcomer.violation;
    if (isBetter) better++;
  }
  return better < count;
};
