/**
 * Learning-rate schedules: pure functions of the step, whose value is fed. So a resumed run needs
 * no memory of where it was, and a search may change the base rate at any step.
 *
 *   constant ────────      cosine  /‾‾\_      step ‾‾|__|__
 */
import { assert } from "../base/assert.ts";

export interface ScheduleShape {
  /** Steps of the whole run, for the cosine. */
  readonly steps: number;
  /** Steps of linear growth from 0 before anything else. */
  readonly warmupSteps?: number;
  /** Steps between two drops, for the step decay. */
  readonly dropEvery?: number;
  /** What a drop multiplies by. */
  readonly dropFactor?: number;
}

/**
 * The share of the base rate that the 0-based step uses, after the warm-up's steps have been taken
 * off.
 */
type Shape = (step: number, shape: Required<ScheduleShape>) => number;

const SCHEDULES = {
  constant: () => 1,
  /** Half a cosine from 1 to 0 (Loshchilov and Hutter 2017, one cycle), 0 from the last step on. */
  cosine: (step, { steps, warmupSteps }) =>
    0.5 * (1 + Math.cos(Math.PI * Math.min(1, step / Math.max(1, steps - warmupSteps)))),
  step: (step, { dropEvery, dropFactor }) => dropFactor ** Math.floor(step / dropEvery),
} as const satisfies Record<string, Shape>;
export type ScheduleName = keyof typeof SCHEDULES;
export const SCHEDULE_NAMES = Object.keys(SCHEDULES) as readonly ScheduleName[];

/**
 * The learning rate of a 0-based step: base rate x warm-up x schedule. During the warm-up the k-th
 * step has (k + 1) / warmupSteps of the base rate, so that no step is wasted at 0.
 */
export function rateAt(name: ScheduleName, baseRate: number, step: number,
  shape: ScheduleShape): number {
  const full = { warmupSteps: 0, dropEvery: Math.max(1, shape.steps), dropFactor: 0.1, ...shape };
  assert(step >= 0 && full.dropEvery > 0, `step ${step} of a schedule`);
  if (step < full.warmupSteps) return baseRate * (step + 1) / full.warmupSteps;
  return baseRate * SCHEDULES[name](step - full.warmupSteps, full);
}
