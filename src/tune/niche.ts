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
 * Everything is measured in ranges of front 0, so that units of losses do not matter.
 */
import { assert } from "../base/assert.ts";
import type { Random } from "../base/random.ts";
import { frontRanks } from "./rank.ts";

/** Weight of a foreign axis when the extreme point of an axis is looked for. */
const OFF_AXIS = 1e6;
/** Of front 0's range: losses this near to the ideal count as ideal there, ranges this small as none. */
const NEAR = 3e-4, NONE = 1e-6;
/** Finite ranges beyond the worst (best) finite loss at which an infinite one is put. */
const BEYOND = 3;

/**
 * Puts infinite losses of the given rows of (N, M) three finite ranges beyond the column's finite ones; a
 * column without any finite becomes 0. In place.
 */
export function boundInfinite(losses: Float64Array, M: number, rows: ArrayLike<number>): void {
  for (let m = 0; m < M; m++) {
    let low = Infinity, high = -Infinity, isAll = true;
    for (let k = 0; k < rows.length; k++) {
      const loss = losses[rows[k] * M + m];
      if (!Number.isFinite(loss)) { isAll = false; continue; }
      if (loss < low) low = loss;
      if (loss > high) high = loss;
    }
    if (isAll) continue;
    const range = low <= high ? BEYOND * (high - low) : 0;
    for (let k = 0; k < rows.length; k++) {
      const i = rows[k] * M + m, loss = losses[i];
      if (!Number.isFinite(loss)) losses[i] = low > high ? 0 : loss > 0 ? high + range : low - range;
    }
  }
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
  #directions: Directions;
  /** (M) of all feasible rows ever. */
  readonly #ideal: Float64Array;
  readonly #worst: Float64Array;
  /** (M, M) losses, a row per axis; NaN: none yet. */
  readonly #extremes: Float64Array;

  constructor(M: number) {
    this.#M = M;
    this.#directions = new Directions(new Float64Array(M).fill(1 / M), M);
    this.#ideal = new Float64Array(M).fill(Infinity);
    this.#worst = new Float64Array(M).fill(-Infinity);
    this.#extremes = new Float64Array(M * M).fill(NaN);
  }

  /** Directions from now on: (H, M) on the simplex. What was learnt of losses stays. */
  turnTo(points: Float64Array): void {
    assert(points.length > 0 && points.length % this.#M === 0, "directions are (H, M)");
    this.#directions = new Directions(points, this.#M);
  }

  /**
   * `keep` of (count, M) losses with (count) violations, 0: feasible. What several would do equally well is
   * drawn.
   */
  select(losses: Float64Array, violations: Float64Array, count: number, keep: number,
    random: Random): Survivors {
    assert(keep >= 0 && keep <= count, "no more survive than there are");
    const M = this.#M, ranks = frontRanks(losses, M, violations, count);
    const byRank = Array.from({ length: count }, (_, n) => n).sort((a, b) => ranks[a] - ranks[b] || a - b);
    let feasible = 0;
    while (feasible < count && violations[byRank[feasible]] === 0) feasible++;
    this.#remember(losses, byRank, feasible);
    const splitting = keep > 0 ? ranks[byRank[keep - 1]] : -1;
    let first = keep, last = keep;
    while (first > 0 && ranks[byRank[first - 1]] === splitting) first--;
    while (last < count && ranks[byRank[last]] === splitting) last++;
    const rows = Int32Array.from(byRank.slice(0, keep));
    if (last === keep) return { rows, ranks };
    if (first >= feasible) {
      rows.set(random.shuffle(byRank.slice(first, last)).slice(0, keep - first), first);
      return { rows, ranks };
    }
    const normal = this.normalise(losses, byRank.slice(0, last), ranks);
    const joined = this.#directions.join(normal, last);
    this.#fill(rows, byRank, first, last, joined, random);
    return { rows, ranks };
  }

  /** Widens what is known of all time by the first `feasible` rows; an infinite loss is no measure. */
  #remember(losses: Float64Array, rows: readonly number[], feasible: number): void {
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
  normalise(losses: Float64Array, rows: readonly number[], ranks: Int32Array): Float64Array {
    const M = this.#M, count = rows.length;
    const normal = new Float64Array(count * M);
    for (let k = 0; k < count; k++) {
      for (let m = 0; m < M; m++) normal[k * M + m] = losses[rows[k] * M + m];
    }
    boundInfinite(normal, M, rows.map((_, k) => k));
    let front = 1;
    while (front < count && ranks[rows[front]] === 0) front++;

    const ideal = columns(normal, M, count, Math.min, this.#ideal);
    const frontWorst = columns(normal, M, front, Math.max), allWorst = columns(normal, M, count, Math.max);
    const scale = frontWorst.map((high, m) => high > ideal[m] ? high - ideal[m] : 1);
    this.#findExtremes(normal, front, ideal, scale);
    const intercepts = this.#intercepts(ideal, scale) ?? new Float64Array(M).fill(1);
    for (let m = 0; m < M; m++) {
      const isNone = frontWorst[m] <= ideal[m] || intercepts[m] <= NONE;
      const range = isNone ? allWorst[m] - ideal[m] : intercepts[m] * scale[m];
      scale[m] = range > 0 ? range : 1;
    }
    for (let i = 0; i < normal.length; i += M) {
      for (let m = 0; m < M; m++) normal[i + m] = (normal[i + m] - ideal[m]) / scale[m];
    }
    return normal;
  }

  /** Replaces the extreme points of axes for which a row of front 0 is better now. */
  #findExtremes(rows: Float64Array, front: number, ideal: Float64Array, scale: Float64Array): void {
    const M = this.#M, extremes = this.#extremes;
    for (let axis = 0; axis < M; axis++) {
      const isKnown = !Number.isNaN(extremes[axis * M]);
      let best = isKnown ? this.#reach(extremes, axis * M, axis, ideal, scale) : Infinity, chosen = -1;
      for (let k = 0; k < front; k++) {
        const reach = this.#reach(rows, k * M, axis, ideal, scale);
        if (reach < best) { best = reach; chosen = k; }
      }
      if (chosen >= 0) extremes.set(rows.subarray(chosen * M, chosen * M + M), axis * M);
    }
  }

  /** How far the losses at `i` are from the axis (achievement scalarising function). */
  #reach(losses: Float64Array, i: number, axis: number, ideal: Float64Array, scale: Float64Array): number {
    let most = 0;
    for (let m = 0; m < this.#M; m++) {
      const distance = (losses[i + m] - ideal[m]) / scale[m];
      const weighted = distance < NEAR ? 0 : m === axis ? distance : distance * OFF_AXIS;
      if (weighted > most) most = weighted;
    }
    return most;
  }

  /** (M) where the plane through the extreme points meets the axes, in scales; null without such a plane. */
  #intercepts(ideal: Float64Array, scale: Float64Array): Float64Array | null {
    const M = this.#M;
    const plane = solveOnes(this.#extremes.map((loss, i) => (loss - ideal[i % M]) / scale[i % M]), M);
    if (plane === null || !plane.every((x) => x > 0 && 1 / x > NONE)) return null;
    return plane.map((x, m) => Math.min(1 / x, Math.max((this.#worst[m] - ideal[m]) / scale[m], NONE)));
  }

  /** Sets rows[first..] to members of the front byRank[first..last) by the emptiest direction. */
  #fill(rows: Int32Array, byRank: readonly number[], first: number, last: number, joined: Joined,
    random: Random): void {
    const H = this.#directions.count;
    const taken = new Int32Array(H), left = new Int32Array(H), start = new Int32Array(H + 1);
    for (let k = 0; k < first; k++) taken[joined.direction[k]]++;
    for (let k = first; k < last; k++) left[joined.direction[k]]++;
    for (let h = 0; h < H; h++) start[h + 1] = start[h] + left[h];
    // Candidates of direction h: members[start[h]] ... left[h] of them.
    const members = new Int32Array(last - first), filled = start.slice();
    for (let k = first; k < last; k++) members[filled[joined.direction[k]]++] = k;
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
        rows[to++] = byRank[members[pick]];
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

interface Joined {
  /** (rows) nearest direction. */
  readonly direction: Int32Array;
  /** (rows) square of the distance to its ray. */
  readonly distance: Float64Array;
}

/**
 * Directions as what they have in common on all axes plus a few entries: of a lattice with p divisions at
 * most p, whatever M is, and of its shrunk copy no more.
 */
export class Directions {
  readonly count: number;
  readonly #M: number;
  readonly #common: Float64Array;
  readonly #start: Int32Array;
  readonly #axis: Int32Array;
  readonly #extra: Float64Array;
  /** 1 / |w| */
  readonly #inverse: Float64Array;

  constructor(points: Float64Array, M: number) {
    const H = points.length / M, axis: number[] = [], extra: number[] = [], start = [0];
    this.count = H;
    this.#M = M;
    this.#common = new Float64Array(H);
    this.#inverse = new Float64Array(H);
    for (let h = 0; h < H; h++) {
      const row = points.subarray(h * M, h * M + M), common = Math.min(...row);
      this.#common[h] = common;
      this.#inverse[h] = 1 / Math.hypot(...row);
      row.forEach((value, m) => {
        if (value === common) return;
        axis.push(m);
        extra.push(value - common);
      });
      start.push(axis.length);
    }
    this.#start = Int32Array.from(start);
    this.#axis = Int32Array.from(axis);
    this.#extra = Float64Array.from(extra);
  }

  /** The nearest ray of each of (count, M) normalised losses: d^2 = |f|^2 - (f w)^2 / |w|^2. */
  join(normal: Float64Array, count: number): Joined {
    const M = this.#M, H = this.count;
    const common = this.#common, start = this.#start, axis = this.#axis, extra = this.#extra;
    const direction = new Int32Array(count), distance = new Float64Array(count);
    for (let k = 0; k < count; k++) {
      const i = k * M;
      let sum = 0, squares = 0;
      for (let m = 0; m < M; m++) {
        sum += normal[i + m];
        squares += normal[i + m] ** 2;
      }
      let best = 0, along = -Infinity;
      for (let h = 0, e = 0; h < H; h++) {
        let product = common[h] * sum;
        for (const end = start[h + 1]; e < end; e++) product += extra[e] * normal[i + axis[e]];
        product *= this.#inverse[h];
        if (product > along) { along = product; best = h; }
      }
      direction[k] = best;
      distance[k] = Math.max(0, squares - along * along);
    }
    return { direction, distance };
  }
}
