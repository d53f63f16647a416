/** A pruner stops trials early, by what they and others report at steps (epochs) on the way. */
import type { Finished } from "../trial.ts";

export interface Report {
  readonly number: number;
  /** From 1, ascending within a trial. */
  readonly step: number;
  /** (M) minimised; NaN: not known yet. */
  readonly losses: Float64Array;
  /** Sum of violated constraints so far; 0: feasible. */
  readonly violation: number;
}
export interface Pruner {
  /**
   * Takes the report in and answers whether the trial goes on. `isSeen`: which other trials count in this
   * decision (all that have reported; in a deterministic study those that were finished before it began).
   * The same step again, after its worker was lost, gets the same answer and counts once.
   */
  report(report: Report, isSeen: (number: number) => boolean): boolean;
  /** Each finished trial once: some compare with trials that ran to their end only. */
  tell(trial: Finished): void;
}
export interface PrunerOptions {
  /** M */
  readonly objectives: number;
  /** Steps of a trial that is not stopped. */
  readonly stepsMax: number;
  readonly seed: number;
  /** The study's name: Hyperband deals its brackets by it. */
  readonly study: string;
}
