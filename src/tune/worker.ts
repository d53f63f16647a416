/** The worker's side of a study: takes trials, runs them, tells. (Types; the process is below.) */
import type { Point } from "./space.ts";

/** One attempt of a trial, as the objective is given it. */
export interface TrialWork {
  readonly number: number;
  /** From 0. */
  readonly attempt: number;
  readonly point: Point;
  /** Trial whose end this one begins from, or null. */
  readonly parent: number | null;
  readonly seed: number;
  /** Aborts when the worker is to stop: write a checkpoint within 3 s and throw the signal's reason. */
  readonly signal: AbortSignal;
  /** Values (M) as people say them, NaN for what is not known yet. False: stop here, it is pruned. */
  report(step: number, values: ArrayLike<number>): Promise<boolean>;
}
export interface Outcome {
  /** (M) as people say them; NaN: undefined for this trial (a Sharpe without variance). */
  readonly values: ArrayLike<number>;
  /** Constraints that are not held, by name and by how much (> 0). */
  readonly violations: Readonly<Record<string, number>>;
  readonly statistics: Readonly<Record<string, number>>;
}
/**
 * Answers with the outcome, of a pruned trial as far as it came. Throws UserError for what fails again on
 * every machine; anything else that it throws fails the trial, once it has come twice.
 */
export type RunTrial = (work: TrialWork) => Promise<Outcome>;
