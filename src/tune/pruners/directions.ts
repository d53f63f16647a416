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
import type { Keeps } from "./halving.ts";

/** Beyond this scaled losses are equal to Tchebycheff; it keeps infinities comparable. */
const FAR = 1e9;
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
    if (!cache.has(known.length)) cache.set(known.length, spreadDirections(known.length));
    const losses = equals.map((one) => Float64Array.from(known, (m) => one.losses[m]));
    return coveringOrder(losses, cache.get(known.length)!, count - better).includes(0);
  };
}

/**
 * The `count` first of losses (n, M) in covering order, as indices. Of equal vectors the first comes first.
 */
export function coveringOrder(losses: readonly Float64Array[], directions: readonly Float64Array[],
  count: number): number[] {
  const scaled = scaleByQuantiles(losses);
  const sums = scaled.map((row) => row.reduce((sum, value) => sum + value, 0));
  const queues = directions.map((): { order: number[]; at: number } | null => null);
  const isTaken = new Uint8Array(losses.length), taken: number[] = [];
  const wanted = Math.min(count, losses.length);
  for (let turn = 0; taken.length < wanted; turn++) {
    const d = turn % directions.length;
    const queue = queues[d] ??= { order: orderBy(directions[d], scaled, sums, losses), at: 0 };
    while (isTaken[queue.order[queue.at]] === 1) queue.at++;
    isTaken[queue.order[queue.at]] = 1;
    taken.push(queue.order[queue.at]);
  }
  return taken;
}

/** By Tchebycheff distance; of equals by sum, then by the first objective that differs. */
function orderBy(weights: Float64Array, scaled: readonly Float64Array[], sums: readonly number[],
  losses: readonly Float64Array[]): number[] {
  const distance = Float64Array.from(scaled, (row) => {
    let most = -Infinity;
    for (let m = 0; m < row.length; m++) {
      if (weights[m] > 0) most = Math.max(most, weights[m] * row[m]);
    }
    return most;
  });
  return [...losses.keys()].sort((a, b) => distance[a] - distance[b] || sums[a] - sums[b]
    || lexical(losses[a], losses[b]) || a - b);
}

function lexical(a: Float64Array, b: Float64Array): number {
  const m = a.findIndex((value, k) => value !== b[k]);
  return m < 0 ? 0 : a[m] < b[m] ? -1 : 1;
}

/** (n, M) losses less their 5 % quantile, over the range up to the 95 % quantile; 0 where all are equal. */
function scaleByQuantiles(losses: readonly Float64Array[]): Float64Array[] {
  const ranges = Array.from(losses[0], (_, m) => {
    const sorted = Float64Array.from(losses, (row) => row[m]).filter(Number.isFinite).sort();
    if (sorted.length === 0) return { low: 0, width: 1 };
    const low = quantile(sorted, 0.05), width = quantile(sorted, 0.95) - low;
    return { low, width: width > 0 ? width : sorted.at(-1)! - sorted[0] || 1 };
  });
  return losses.map((row) => row.map((value, m) =>
    Math.min(FAR, Math.max(-FAR, (value - ranges[m].low) / ranges[m].width))));
}

function quantile(sorted: Float64Array, q: number): number {
  const at = q * (sorted.length - 1), low = Math.floor(at), next = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (at - low) * (sorted[next] - sorted[low]);
}

/** Weights (H, M) on the simplex: the even one, then each farthest from those before it. */
export function spreadDirections(objectives: number): Float64Array[] {
  let parts = 1;
  while (parts < DIRECTIONS_MAX && choose(objectives + parts, parts + 1) < DIRECTIONS_MAX) parts++;
  const left = lattice(objectives, parts);
  const spread: Float64Array[] = [new Float64Array(objectives).fill(1 / objectives)];
  const nearest = left.map((one) => distanceOf(one, spread[0]));
  for (;;) {
    const farthest = nearest.indexOf(Math.max(...nearest));
    if (farthest < 0 || nearest[farthest] < 1e-9) return spread;
    spread.push(left[farthest]);
    left.forEach((one, k) => { nearest[k] = Math.min(nearest[k], distanceOf(one, left[farthest])); });
  }
}

const distanceOf = (a: Float64Array, b: Float64Array): number =>
  Math.hypot(...a.map((value, m) => value - b[m]));

/** C(n, k) */
function choose(n: number, k: number): number {
  let product = 1;
  for (let i = 1; i <= k; i++) product = product * (n - k + i) / i;
  return product;
}

/** Das-Dennis: all (M) of multiples of 1 / parts with sum 1. */
function lattice(objectives: number, parts: number): Float64Array[] {
  if (objectives === 0) return [];
  const rows = (size: number, left: number): number[][] => size === 1 ? [[left]]
    : [...Array(left + 1).keys()].flatMap((first) =>
      rows(size - 1, left - first).map((rest) => [first, ...rest]));
  return rows(objectives, parts).map((row) => Float64Array.from(row, (value) => value / parts));
}

