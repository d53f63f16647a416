/**
 * Successive halving for several objectives: each reference direction keeps its best.
 *
 *   loss 2 |  o          a rung's results, each objective scaled by its 5-95 % quantiles;
 *          |   \  o      in turns each direction takes, of what is left, the result with the least
 *          |  o \ /      weighted Tchebycheff distance max w[m] f[m]; the first floor(n / eta) so taken
 *          |    /\ o     go on. The even direction takes first, then those farthest from all before.
 *          +----------- loss 1
 *
 * For one objective this is ASHA. A newcomer that dominates all others is taken by the first direction; one
 * that all others dominate is last in every direction. Only the order of each objective's values and their
 * proportions count, so units do not.
 */
import { assert } from "../../base/assert.ts";
import { quantile } from "../quantile.ts";
import { countLattice, lattice } from "../reference.ts";
import type { Keeps } from "./halving.ts";

/** Scaled losses are counted in whole billionths, so that equal ones are equal whatever their units were. */
const BILLION = 1e9;
/** Beyond this they are equal; it keeps infinities comparable and sums exact. */
const FAR = 5e5;
/** At most so many directions for M objectives. */
const DIRECTIONS_MAX = 100;

/**
 * Objectives that fewer than half of the results know do not count. A result that lacks one that counts is
 * infeasible by 1 for each; infeasible ones come last, by their violation.
 */
export function keepsCovering(): Keeps {
  const cache = new Map<number, readonly Float64Array[]>();
  return (newcomer, others, count) => {
    const all = [newcomer, ...others];
    const counting = [...newcomer.losses.keys()].filter((m) =>
      2 * all.filter(({ losses }) => !Number.isNaN(losses[m])).length >= all.length);
    const violations = all.map(({ violation, losses }) =>
      violation + counting.filter((m) => Number.isNaN(losses[m])).length);
    const better = violations.filter((violation) => violation < violations[0]).length;
    const equals = all.filter((_, k) => violations[k] === violations[0]);
    const known = counting.filter((m) => equals.every(({ losses }) => !Number.isNaN(losses[m])));
    if (equals.length <= count - better) return true;
    if (better >= count) return false;
    // Nothing that enough of them know: all are equal, and ties go on.
    if (known.length === 0) return true;
    if (!cache.has(known.length)) cache.set(known.length, spreadDirections(known.length));
    const isWhole = known.length === newcomer.losses.length;
    const losses = equals.map((one) =>
      isWhole ? one.losses : Float64Array.from(known, (m) => one.losses[m]));
    return coveringOrder(losses, cache.get(known.length)!, count - better).includes(0);
  };
}

/**
 * The `count` first of losses (n, M) in covering order, as indices. Of equal vectors the first comes first.
 */
export function coveringOrder(losses: readonly Float64Array[], directions: readonly Float64Array[],
  count: number): number[] {
  const scaled = scaleByQuantiles(losses), n = losses.length;
  const sums = sumOf(scaled, n);
  const distances = directions.slice(0, count).map((weights) => distancesOf(scaled, n, weights));
  const left = Uint32Array.from(losses.keys()), wanted = Math.min(count, n), taken: number[] = [];
  for (let size = n; taken.length < wanted; size--) {
    const distance = distances[taken.length % directions.length];
    let at = 0, best = left[0];
    for (let k = 1; k < size; k++) {
      const one = left[k];
      if (distance[one] > distance[best]) continue;
      const more = distance[one] - distance[best] || sums[one] - sums[best]
        || lexical(losses[one], losses[best]) || one - best;
      if (more < 0) { at = k; best = one; }
    }
    taken.push(best);
    left[at] = left[size - 1];
  }
  return taken;
}

/** (n) weighted Tchebycheff distances of scaled losses (M, n); an objective of weight 0 does not count. */
function distancesOf(scaled: readonly Float64Array[], n: number, weights: Float64Array): Float64Array {
  const distances = new Float64Array(n).fill(-Infinity);
  scaled.forEach((column, m) => {
    const weight = weights[m];
    if (weight === 0) return;
    for (let k = 0; k < n; k++) {
      const distance = weight * column[k];
      if (distance > distances[k]) distances[k] = distance;
    }
  });
  return distances;
}

function sumOf(columns: readonly Float64Array[], n: number): Float64Array {
  const sums = new Float64Array(n);
  for (const column of columns) for (let k = 0; k < n; k++) sums[k] += column[k];
  return sums;
}

/** By the first objective that differs. */
function lexical(a: Float64Array, b: Float64Array): number {
  for (let m = 0; m < a.length; m++) if (a[m] !== b[m]) return a[m] < b[m] ? -1 : 1;
  return 0;
}

/** (M, n) of losses (n, M) less their 5 % quantile, in billionths of the range up to the 95 % quantile. */
function scaleByQuantiles(losses: readonly Float64Array[]): Float64Array[] {
  return [...losses[0].keys()].map((m) => {
    const column = new Float64Array(losses.length);
    for (let k = 0; k < column.length; k++) column[k] = losses[k][m];
    const sorted = column.filter(Number.isFinite).sort(), last = sorted.length - 1;
    const low = last < 0 ? 0 : quantile(sorted, 0.05);
    const width = last < 0 ? 1 : quantile(sorted, 0.95) - low;
    const unit = width > 0 ? width : sorted[last] - sorted[0] || 1;
    for (let k = 0; k < column.length; k++) {
      column[k] = Math.round(Math.min(FAR, Math.max(-FAR, (column[k] - low) / unit)) * BILLION);
    }
    return column;
  });
}

/** Weights (H, M) on the simplex: the even one, then each farthest from those before it. */
export function spreadDirections(objectives: number): Float64Array[] {
  assert(objectives >= 1, "directions of no objectives");
  if (objectives === 1) return [Float64Array.of(1)];
  let divisions = 1;
  while (countLattice(objectives, divisions + 1) <= DIRECTIONS_MAX) divisions++;
  const flat = lattice(objectives, divisions), left: Float64Array[] = [];
  for (let at = 0; at < flat.length; at += objectives) left.push(flat.subarray(at, at + objectives));
  const spread: Float64Array[] = [new Float64Array(objectives).fill(1 / objectives)];
  const nearest = left.map((one) => distanceOf(one, spread[0]));
  for (;;) {
    const farthest = nearest.indexOf(Math.max(...nearest));
    if (nearest[farthest] < 1e-9) return spread;
    spread.push(left[farthest]);
    left.forEach((one, k) => { nearest[k] = Math.min(nearest[k], distanceOf(one, left[farthest])); });
  }
}

const distanceOf = (a: Float64Array, b: Float64Array): number =>
  Math.hypot(...a.map((value, m) => value - b[m]));
