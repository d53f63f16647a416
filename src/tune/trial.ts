/**
 * A trial: one point of the space and what it was worth.
 *
 *   waiting -> running -> complete | pruned | infeasible | failed | cancelled
 *      ^__________|  its worker was lost: another attempt
 *
 * Inside src/tune everything is minimised: a maximised objective's loss is its value with the sign changed,
 * once, here. No algorithm knows directions: minimising f and maximising -f are the same study, bit for bit.
 */
import type { Point } from "./space.ts";

export interface Objective {
  readonly name: string;
  readonly direction: "minimise" | "maximise";
}

export const FINISHED_STATES = ["complete", "pruned", "infeasible", "failed", "cancelled"] as const;
export type FinishedState = (typeof FINISHED_STATES)[number];
export type TrialState = "waiting" | "running" | FinishedState;

/** What samplers learn of a trial. */
export interface Finished {
  readonly number: number;
  readonly point: Point;
  readonly state: FinishedState;
  /** (M) minimised; of a pruned trial as last reported; NaN where unknown or undefined. */
  readonly losses: Float64Array;
  /** Sum of its violated constraints and undefined objectives; 0: feasible. */
  readonly violation: number;
  /** Last step reported; 0: none. */
  readonly step: number;
  /** Whose checkpoint it went on from. */
  readonly parent: number | null;
}

/** (M) values as people say them to losses, and back: it is its own inverse. */
export function signed(objectives: readonly Objective[], values: ArrayLike<number>): Float64Array {
  return Float64Array.from(objectives, ({ direction }, m) =>
    direction === "maximise" ? -values[m] : values[m]);
}
