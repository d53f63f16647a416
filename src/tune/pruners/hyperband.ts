/**
 * Hyperband (Li et al., JMLR 2018): brackets of successive halving that begin to stop later and later, for
 * when early values mislead. A trial's bracket is dealt by its study's name and its number alone:
 *
 *   crc32("name_7") mod sum of budgets, walked through budgets 27 12 6 4 (eta 3, 27 steps)
 *
 * Each bracket compares its own trials only.
 */
import { crc32 } from "node:zlib";
import { halving, type Keeps } from "./halving.ts";
import type { Pruner } from "./pruner.ts";

export interface HyperbandSettings {
  readonly minSteps: number;
  readonly stepsMax: number;
  readonly eta: number;
  readonly bootstrap: number;
  /** The study's name. */
  readonly study: string;
}

export function hyperband(settings: HyperbandSettings, keeps: Keeps): Pruner {
  const { minSteps, stepsMax, eta, bootstrap, study } = settings;
  const budgets = bracketBudgets(minSteps, stepsMax, eta);
  const brackets = budgets.map((_, skip) => halving({ minSteps, eta, skip, bootstrap }, keeps));
  const of = (number: number): Pruner => brackets[bracketOf(study, number, budgets)];
  return {
    report: (report, isSeen) => of(report.number).report(report, isSeen),
    tell: (trial) => of(trial.number).tell(trial),
  };
}

/** Shares of the trials, of the bracket that begins to stop first to the one that never does. */
export function bracketBudgets(minSteps: number, stepsMax: number, eta: number): number[] {
  // Counted, because log(243) / log(3) is less than 5 in floats.
  let brackets = 1;
  for (let steps = minSteps * eta; steps <= stepsMax; steps *= eta) brackets++;
  return Array.from({ length: brackets }, (_, skip) => {
    const s = brackets - 1 - skip;
    return Math.ceil(brackets * eta ** s / (s + 1));
  });
}

export function bracketOf(study: string, number: number, budgets: readonly number[]): number {
  let left = crc32(`${study}_${number}`) % budgets.reduce((sum, budget) => sum + budget, 0);
  return budgets.findIndex((budget) => (left -= budget) < 0);
}
