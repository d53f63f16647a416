/**
 * Survival of NSGA-III (Deb & Jain 2014, part I; infeasible points as in Jain & Deb 2014, part II).
 *
 *   f2 |\    / w1          Fronts survive whole until one does not fit. Of that one, members are chosen so
 *      | \  o              that each reference direction w has about equally many: losses are normalised by
 *      |  \/  .  / w2      the ideal point z and the intercepts a of the plane through the extreme points,
 *      |  /\   .o          each row joins the direction it is nearest to, and the emptiest direction takes
 *      | /  \ /            first: its nearest row if it has none yet, otherwise any.
 *      |/  / \
 *      z______a__ f1
 *
 * What one survival knows is not enough: z is the least loss of all time, extreme points are kept from one
 * survival to the next, and no intercept lies beyond the worst loss of all time. With many objectives two
 * axes often share an extreme point; there is no plane then, and the worst losses of front 0 stand in.
 *
 * Everything is measured in ranges of front 0 or, where a row far out must not matter, in those of the last
 * survival: units of losses do not count.
 */
import { assert } from "../base/assert.ts";
import type { Random } from "../base/random.ts";
import { frontRanks } from "./rank.ts";
import { Directions } from "./reference.ts";
import type { Joined } from "./reference.ts";

/** Weight of a foreign axis when the extreme point of an axis is looked for. */
const OFF_AXIS = 1e6;
/**
 * Of the ranges: losses this near to the ideal count as ideal where extreme points are looked for, ranges
 * this small as none. Both are those of pymoo 0.6.1.5, which has them in losses' own units.
 */
const NEAR = 1e-3, NONE = 1e-6;
/** Finite ranges beyond the worst (best) finite loss at which an infinite one is put. */
const BEYOND = 3;

/**
 * Puts infinite losses of (N, M) three finite ranges beyond the column's finite ones; a column without any
 * finite becomes 0. In place; answers whether there were any.
 */
export function boundInfinite(losses: Float64Array, M: number): boolean {
  let isBounded = false;
  for (let m = 0; m < M; m++) {
    let low = Infinity, high = -Infinity, isAll = true;
    for (let i = m; i < losses.length; i += M) {
      const loss = losses[i];
      if (!Number.isFinite(loss)) { isAll = false; continue; }
      if (loss < low) low = loss;
      if (loss > high) high = loss;
    }
    if (isAll) continue;
    isBounded = true;
    const range = low <= high ? BEYOND * (high - low) : 0;
    for (let i = m; i < losses.length; i += M) {
      if (Number.isFinite(losses[i])) continue;
      losses[i] = low > high ? 0 : losses[i] > 0 ? high + range : low - range;
    }
  }
  return isBounded;
}

/**
 * x of A x = 1 for a square matrix, by elimination with the largest pivots; null where there is none that
 * solves it to 1e-8. Overwrites nothing.
 */
export function solveOnes(matrix: Float64Array, M: number): Float64Array | null {
  const a = matrix.slice(), x = new Float64Array(M).fill(1);
  for (let k = 0; k < M; k++) {
    let pivot = k;
    for (let i = k + 1; i < M; i++) if (Math.abs(a[i * M + k]) > Math.abs(a[pivot * M + k])) pivot = i;
    if (a[pivot * M + k] === 0) return null;
    if (pivot !== k) {
      for (let j = k; j < M; j++) [a[k * M + j], a[pivot * M + j]] = [a[pivot * M + j], a[k * M + j]];
      [x[k], x[pivot]] = [x[pivot], x[k]];
    }
    for (let i = k + 1; i < M; i++) {
      const factor = a[i * M + k] / a[k * M + k];
      if (factor === 0) continue;
      for (let j = k; j < M; j++) a[i * M + j] -= factor * a[k * M + j];
      x[i] -= factor * x[k];
    }
  }
  for (let k = M - 1; k >= 0; k--) {
    for (let j = k + 1; j < M; j++) x[k] -= a[k * M + j] * x[j];
    x[k] /= a[k * M + k];
  }
  for (let i = 0; i < M; i++) {
    let sum = 0;
    for (let j = 0; j < M; j++) sum += matrix[i * M + j] * x[j];
    if (!(Math.abs(sum - 1) <= 1e-8)) return null;
  }
  return x;
}

export interface Survivors {
  /** (keep) rows, those of lower fronts first. */
  readonly rows: Int32Array;
  /** (N) fronts of all rows. */
  readonly ranks: Int32Array;
}

export class Niching {
  readonly #M: number;
  readonly #theta: number;
  #directions: Directions;
  /** (M) of all feasible rows ever. */
  readonly #ideal: Float64Array;
  readonly #worst: Float64Array;
  /** (M) of the last survival. One row far out widens those of front 0, but not these. */
  readonly #ranges: Float64Array;
  /** (M, M) losses, a row per axis; NaN: none yet. */
  readonly #extremes: Float64Array;
  /** Joins of the rows of the last survival; rows that are still in their place need no other. */
  readonly #known: Known;

  /**
   * `theta`: of several rows for an empty direction the one with the least d1 + theta d2 is the nearest, d1
   * being how far from the ideal point along the ray, d2 from the ray (theta-dominance; Yuan et al. 2016).
   * Infinite: d2 alone, as published.
   */
  constructor(M: number, theta = Infinity) {
    this.#M = M;
    this.#theta = theta;
    this.#directions = new Directions(new Float64Array(M).fill(1 / M), M, theta);
    this.#known = { direction: new Int32Array(), distance: new Float64Array(), losses: new Float64Array(),
      frame: new Float64Array(2 * M).fill(NaN) };
    this.#ideal = new Float64Array(M).fill(Infinity);
    this.#worst = new Float64Array(M).fill(-Infinity);
    this.#ranges = new Float64Array(M).fill(Infinity);
    this.#extremes = new Float64Array(M * M).fill(NaN);
  }

  /** Directions from now on: (H, M) on the simplex. What was learnt of losses stays. */
  turnTo(points: Float64Array): void {
    assert(points.length > 0 && points.length % this.#M === 0, "directions are (H, M)");
    this.#directions = new Directions(points, this.#M, this.#theta);
    this.#known.frame.fill(NaN);
  }

  /**
   * `keep` of (count, M) losses with (count) violations, 0: feasible. What several would do equally well is
   * drawn. `ranks`: their fronts, where they are known.
   */
  select(losses: Float64Array, violations: Float64Array, count: number, keep: number,
    random: Random, ranks = frontRanks(losses, this.#M, violations, count)): Survivors {
    assert(keep >= 0 && keep <= count, "no more survive than there are");
    const byRank = sortByRank(ranks, count);
    let feasible = 0;
    while (feasible < count && violations[byRank[feasible]] === 0) feasible++;
    this.#remember(losses, byRank, feasible);
    const splitting = keep > 0 ? ranks[byRank[keep - 1]] : -1;
    let first = keep, last = keep;
    while (first > 0 && ranks[byRank[first - 1]] === splitting) first--;
    while (last < count && ranks[byRank[last]] === splitting) last++;
    const rows = byRank.slice(0, keep);
    if (last === keep) return { rows, ranks };
    if (first >= feasible) {
      rows.set(random.shuffle([...byRank.subarray(first, last)]).slice(0, keep - first), first);
      return { rows, ranks };
    }
    const considered = byRank.subarray(0, last);
    const normal = this.normalise(losses, considered, ranks);
    this.#fill(rows, byRank, first, last, this.#join(losses, considered, normal), random);
    return { rows, ranks };
  }

  /** Nearest directions, by row; only of rows that are not as they were, unless the frame is another. */
  #join(losses: Float64Array, rows: Int32Array, { normal, frame, isBounded }: Normal): Joined {
    const M = this.#M, known = this.#known;
    if (known.losses.length < losses.length) {
      known.losses = new Float64Array(losses.length);
      known.direction = new Int32Array(losses.length / M);
      known.distance = new Float64Array(losses.length / M);
      known.frame.fill(NaN);
    }
    if (isBounded || known.frame.some((value, m) => value !== frame[m])) {
      known.frame.set(frame);
      known.losses.fill(NaN);
    }
    for (let k = 0; k < rows.length; k++) {
      const i = rows[k] * M;
      let m = 0;
      while (m < M && known.losses[i + m] === losses[i + m]) m++;
      if (m === M) continue;
      this.#directions.join(normal, k, known, rows[k]);
      for (; m < M; m++) known.losses[i + m] = losses[i + m];
    }
    // Where infinite losses were put depends on all rows.
    if (isBounded) known.frame.fill(NaN);
    return known;
  }

  /** Widens what is known of all time by the first `feasible` rows; an infinite loss is no measure. */
  #remember(losses: Float64Array, rows: Int32Array, feasible: number): void {
    const M = this.#M, ideal = this.#ideal, worst = this.#worst;
    for (let k = 0; k < feasible; k++) {
      for (let m = 0, i = rows[k] * M; m < M; m++, i++) {
        const loss = losses[i];
        if (loss < ideal[m] && loss !== -Infinity) ideal[m] = loss;
        if (loss > worst[m] && loss !== Infinity) worst[m] = loss;
      }
    }
  }

  /**
   * (rows, M) normalised losses of feasible rows, front 0 first: 0 at the ideal point, 1 at the nadir that
   * the extreme points span.
   */
  normalise(losses: Float64Array, rows: Int32Array, ranks: Int32Array): Normal {
    const M = this.#M, count = rows.length;
    const normal = new Float64Array(count * M);
    for (let k = 0; k < count; k++) {
      for (let m = 0; m < M; m++) normal[k * M + m] = losses[rows[k] * M + m];
    }
    const isBounded = boundInfinite(normal, M);
    let front = 1;
    while (front < count && ranks[rows[front]] === 0) front++;

    const ideal = columns(normal, M, count, Math.min, this.#ideal);
    const frontWorst = columns(normal, M, front, Math.max), allWorst = columns(normal, M, count, Math.max);
    const scale = frontWorst.map((high, m) => high > ideal[m] ? high - ideal[m] : 1);
    this.#findExtremes(normal, front, ideal, scale.map((range, m) => Math.min(range, this.#ranges[m])));
    const intercepts = this.#intercepts(ideal, scale) ?? new Float64Array(M).fill(1);
    for (let m = 0; m < M; m++) {
      const isNone = frontWorst[m] <= ideal[m] || intercepts[m] <= NONE;
      const range = isNone ? allWorst[m] - ideal[m] : intercepts[m] * scale[m];
      scale[m] = range > 0 ? range : 1;
      this.#ranges[m] = range > 0 ? range : Infinity;
    }
    for (let i = 0; i < normal.length; i += M) {
      for (let m = 0; m < M; m++) normal[i + m] = (normal[i + m] - ideal[m]) / scale[m];
    }
    const frame = new Float64Array(2 * M);
    frame.set(ideal);
    frame.set(scale, M);
    return { normal, frame, isBounded };
  }

  /** Replaces the extreme points of axes for which a row of front 0 is better now. */
  #findExtremes(rows: Float64Array, front: number, ideal: Float64Array, scale: Float64Array): void {
    const M = this.#M, extremes = this.#extremes, reach = new Float64Array(M);
    const best = new Float64Array(M), chosen = new Int32Array(M).fill(-1);
    for (let axis = 0; axis < M; axis++) {
      this.#reach(extremes, axis * M, ideal, scale, reach);
      best[axis] = Number.isNaN(extremes[axis * M]) ? Infinity : reach[axis];
    }
    for (let k = 0; k < front; k++) {
      this.#reach(rows, k * M, ideal, scale, reach);
      for (let axis = 0; axis < M; axis++) {
        if (reach[axis] < best[axis]) { best[axis] = reach[axis]; chosen[axis] = k; }
      }
    }
    chosen.forEach((k, axis) => {
      if (k >= 0) extremes.set(rows.subarray(k * M, k * M + M), axis * M);
    });
  }

  /** (M) how far the losses at `i` are from each axis (achievement scalarising function), in `reach`. */
  #reach(losses: Float64Array, i: number, ideal: Float64Array, scale: Float64Array,
    reach: Float64Array): void {
    const M = this.#M;
    // Of an axis the largest other distance counts: it is the largest or the second of all.
    let first = 0, second = 0, at = -1;
    for (let m = 0; m < M; m++) {
      const distance = (losses[i + m] - ideal[m]) / scale[m];
      reach[m] = distance < NEAR ? 0 : distance;
      if (reach[m] > first) {
        second = first;
        first = reach[m];
        at = m;
      } else if (reach[m] > second) second = reach[m];
    }
    for (let m = 0; m < M; m++) reach[m] = Math.max(reach[m], OFF_AXIS * (m === at ? second : first));
  }

  /** (M) where the plane through the extreme points meets the axes, in scales; null without such a plane. */
  #intercepts(ideal: Float64Array, scale: Float64Array): Float64Array | null {
    const M = this.#M;
    const plane = solveOnes(this.#extremes.map((loss, i) => (loss - ideal[i % M]) / scale[i % M]), M);
    if (plane === null || !plane.every((x) => x > 0 && 1 / x > NONE)) return null;
    return plane.map((x, m) => Math.min(1 / x, Math.max((this.#worst[m] - ideal[m]) / scale[m], NONE)));
  }

  /** Sets rows[first..] to members of the front byRank[first..last) by the emptiest direction. */
  #fill(rows: Int32Array, byRank: Int32Array, first: number, last: number, joined: Joined,
    random: Random): void {
    const H = this.#directions.count;
    const taken = new Int32Array(H), left = new Int32Array(H), start = new Int32Array(H + 1);
    for (let k = 0; k < first; k++) taken[joined.direction[byRank[k]]]++;
    for (let k = first; k < last; k++) left[joined.direction[byRank[k]]]++;
    for (let h = 0; h < H; h++) start[h + 1] = start[h] + left[h];
    // Candidates of direction h: members[start[h]] ... left[h] of them.
    const members = new Int32Array(last - first), filled = start.slice();
    for (let k = first; k < last; k++) members[filled[joined.direction[byRank[k]]]++] = byRank[k];
    const open: number[] = [];
    for (let to = first; to < rows.length;) {
      let least = Infinity;
      for (let h = 0; h < H; h++) if (left[h] > 0 && taken[h] < least) least = taken[h];
      open.length = 0;
      for (let h = 0; h < H; h++) if (left[h] > 0 && taken[h] === least) open.push(h);
      random.shuffle(open);
      for (let o = 0; o < open.length && to < rows.length; o++) {
        const h = open[o];
        let pick = start[h];
        if (least > 0) pick += random.below(left[h]);
        else {
          for (let c = start[h] + 1; c < start[h] + left[h]; c++) {
            if (joined.distance[members[c]] < joined.distance[members[pick]]) pick = c;
          }
        }
        rows[to++] = members[pick];
        members[pick] = members[start[h] + --left[h]];
        taken[h]++;
      }
    }
  }
}

function columns(rows: Float64Array, M: number, count: number, better: (a: number, b: number) => number,
  from?: Float64Array): Float64Array {
  const best = from?.slice() ?? rows.slice(0, M);
  for (let k = 0; k < count; k++) {
    for (let m = 0; m < M; m++) best[m] = better(best[m], rows[k * M + m]);
  }
  return best;
}

/** (N) rows, those of front 0 first, in their order within a front. */
function sortByRank(ranks: Int32Array, count: number): Int32Array {
  const start: number[] = [0];
  for (let n = 0; n < count; n++) {
    while (start.length < ranks[n] + 2) start.push(0);
    start[ranks[n] + 1]++;
  }
  for (let front = 1; front < start.length; front++) start[front] += start[front - 1];
  const rows = new Int32Array(count);
  for (let n = 0; n < count; n++) rows[start[ranks[n]]++] = n;
  return rows;
}

interface Normal {
  /** (rows, M) */
  readonly normal: Float64Array;
  /** Ideal point and ranges that were used. */
  readonly frame: Float64Array;
  /** Whether infinite losses had to be bounded. */
  readonly isBounded: boolean;
}
interface Known {
  direction: Int32Array;
  distance: Float64Array;
  /** Of which all are; NaN: none is known. */
  readonly frame: Float64Array;
  /** (N, M) that were joined; NaN: were not. */
  losses: Float64Array;
}
