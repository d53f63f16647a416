/** How near a set of losses is to a front; and what trials of given losses look like. */
import type { Finished } from "../src/tune/trial.ts";

type Rows = readonly ArrayLike<number>[];

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const distance = (from: ArrayLike<number>, to: ArrayLike<number>): number =>
  Math.hypot(...Array.from(from, (value, m) => value - to[m]));
/** By how much a point is worse than a target: what is better does not count. */
const excess = (point: ArrayLike<number>, target: ArrayLike<number>): number =>
  Math.hypot(...Array.from(point, (value, m) => Math.max(0, value - target[m])));
const least = (rows: Rows, of: (row: ArrayLike<number>) => number): number => Math.min(...Array.from(rows, of));

/** Generational distance: mean over the points of the distance to the nearest target. */
export const gd = (targets: Rows, points: Rows): number =>
  mean(points.map((point) => least(targets, (target) => distance(point, target))));
/** The same by excess alone (Ishibuchi et al., EMO 2015). */
export const gdPlus = (targets: Rows, points: Rows): number =>
  mean(points.map((point) => least(targets, (target) => excess(point, target))));
export const igdPlus = (targets: Rows, points: Rows): number =>
  mean(targets.map((target) => least(points, (point) => excess(point, target))));

/** Trial `number` as complete and feasible, or as told otherwise. */
export function finishedTrial(number: number, losses: ArrayLike<number>, told: Partial<Finished> = {}): Finished {
  return { number, point: {}, state: "complete", losses: Float64Array.from(losses), violation: 0, step: 0,
    parent: null, ...told };
}
