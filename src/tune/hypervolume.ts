/**
 * The hypervolume: how much of the space below a reference point a front dominates. Of losses: less is
 * better, and every point lies below the reference.
 *
 *   loss 2 +---------R  reference     M = 1    one subtraction
 *          |    |####|                M = 2    a sweep over the staircase               O(n log n)
 *          |    a####|                M = 3    slices of staircases (dimension sweep)   O(n^2)
 *          |      |##|                M >= 4   WFG, as long as it stays within its budget
 *          |      b##|                else     Monte Carlo, with its standard error
 *          +---------+ loss 1
 *
 * WFG: While, Bradstreet, Barone, "A fast way of calculating exact hypervolumes", IEEE TEC 2012. Its budget
 * counts operations, not time, so the same front has the same answer on every machine. Monte Carlo draws
 * from the smaller of two covers: the front's bounding box, or its points' boxes one by one, which cannot
 * miss a small front in a large box (Bringmann, Friedrich, "Approximating the volume of unions and
 * intersections of high-dimensional geometric objects", 2010).
 */
import { assert } from "../base/assert.ts";
import { UserError } from "../base/error.ts";
import { random } from "../base/random.ts";
import { Exact } from "./hypervolume-exact.ts";
import { compareAt } from "./pareto.ts";

export interface Volume {
  readonly value: number;
  /** 0: exact. */
  readonly standardError: number;
}
export interface Contributions {
  /** (n) volume that only this point dominates; of a duplicate 0. */
  readonly values: Float64Array;
  /** (n) 0: exact. */
  readonly standardErrors: Float64Array;
}
export interface VolumeOptions {
  /** Comparisons of coordinates that an exact answer may cost; beyond them it is sampled. */
  readonly operationsMax?: number;
  /** Points of a sampled answer. */
  readonly samples?: number;
  readonly seed?: number;
}
/** About 0.1 s; 10 to 20 points at M = 11, some hundreds at M = 5. */
const OPERATIONS_MAX = 3e7;
/** A relative standard error of about 0.2 % at M = 11. */
const SAMPLES = 100_000;

/**
 * The volume that n points of (M) losses dominate below `reference` (M). An infinitely good point has an
 * infinite volume, no points have none. Throws UserError for a reference that is not finite or that a point
 * exceeds.
 */
export function hypervolume(points: readonly ArrayLike<number>[], reference: ArrayLike<number>,
  options: VolumeOptions = {}): Volume {
  const front = frontBelow(points, reference);
  if (front.count === 0) return { value: 0, standardError: 0 };
  if (isUnbounded(front)) return { value: Infinity, standardError: 0 };
  const value = exactVolume(front, options.operationsMax ?? OPERATIONS_MAX);
  return Number.isNaN(value) ? sampled(front, options).total : { value, standardError: 0 };
}

/**
 * The volume that each of n points of (M) losses dominates alone; NaN where one is infinitely good. Throws
 * as `hypervolume` does.
 */
export function contributions(points: readonly ArrayLike<number>[], reference: ArrayLike<number>,
  options: VolumeOptions = {}): Contributions {
  const front = frontBelow(points, reference);
  const values = new Float64Array(points.length), standardErrors = new Float64Array(points.length);
  if (isUnbounded(front)) return { values: values.fill(NaN), standardErrors };
  const answer = exactContributions(front, options.operationsMax ?? OPERATIONS_MAX)
    ?? sampled(front, options);
  for (let i = 0; i < front.count; i++) {
    if (front.copies[i] > 1) continue;
    values[front.rows[i]] = answer.values[i];
    standardErrors[front.rows[i]] = answer.standardErrors[i];
  }
  return { values, standardErrors };
}

/**
 * A reference point for n points of (M) losses: the worst of each loss and a tenth of its range (Ishibuchi
 * et al. 2011); where there is no range, a tenth of the loss itself, or of 1. Fix it when a study begins:
 * volumes below different references do not compare.
 */
export function referencePoint(points: readonly ArrayLike<number>[]): Float64Array {
  assert(points.length > 0, "a reference point of no points");
  return Float64Array.from(points[0], (_, m) => {
    let best = Infinity, worst = -Infinity;
    for (const point of points) {
      if (!Number.isFinite(point[m])) continue;
      best = Math.min(best, point[m]);
      worst = Math.max(worst, point[m]);
    }
    if (worst === -Infinity) return 0;
    return worst + 0.1 * (worst > best ? worst - best : Math.abs(worst) || 1);
  });
}

/** Whether a point's (M) losses are all below the reference: whether it has a volume at all. */
export function isBelow(point: ArrayLike<number>, reference: ArrayLike<number>): boolean {
  for (let m = 0; m < reference.length; m++) if (!(point[m] < reference[m])) return false;
  return true;
}

/** Points that are not dominated, each once, and their reference. */
interface Front {
  readonly width: number;
  readonly count: number;
  /** (count, width) */
  readonly losses: Float64Array;
  /** (width) */
  readonly reference: Float64Array;
  /** (count) index among the points asked about. */
  readonly rows: Int32Array;
  /** (count) how many of them are equal. */
  readonly copies: Int32Array;
}

function frontBelow(points: readonly ArrayLike<number>[], given: ArrayLike<number>): Front {
  const reference = Float64Array.from(given), width = reference.length;
  if (!reference.every(Number.isFinite)) {
    throw new UserError(`the reference point (${reference.join(", ")}) is not finite`,
      "give every objective a finite reference that is worse than all trials to be counted");
  }
  const losses = new Float64Array(points.length * width);
  const rows = new Int32Array(points.length), copies = new Int32Array(points.length);
  let count = 0;
  for (const [row, point] of points.entries()) {
    assert(point.length === width, `a point of ${point.length} losses beside a reference of ${width}`);
    const outside = reference.findIndex((limit, m) => !(point[m] <= limit));
    if (outside >= 0) {
      throw new UserError(`point ${row} is outside the reference point in objective ${outside + 1}: `
        + `${point[outside]} is worse than ${reference[outside]}`,
        "choose a reference that is worse than every point, or leave that point out");
    }
    if (isBelow(point, reference)) count = insert(point, row);
  }
  return { width, count, losses, reference, rows, copies };

  function insert(point: ArrayLike<number>, row: number): number {
    let kept = 0;
    for (let i = 0; i < count; i++) {
      const order = compareAt(losses, i * width, point);
      // Dominated or a copy: everything that was kept so far stays where it is.
      if (order === "equal") copies[i]++;
      if (order === "equal" || order === "better") return count;
      if (order === "worse") continue;
      if (kept < i) move(i, kept);
      kept++;
    }
    losses.set(Float64Array.from(point), kept * width);
    rows[kept] = row;
    copies[kept] = 1;
    return kept + 1;
  }
  function move(from: number, to: number): void {
    losses.copyWithin(to * width, from * width, (from + 1) * width);
    rows[to] = rows[from];
    copies[to] = copies[from];
  }
}

const isUnbounded = ({ losses, count, width }: Front): boolean =>
  losses.subarray(0, count * width).includes(-Infinity);

/** NaN where it would cost more than the budget. */
function exactVolume({ width, count, losses, reference }: Front, operationsMax: number): number {
  return new Exact(width, count, reference, operationsMax).volume(losses, count, width);
}

/** Null where it would cost more than the budget. */
function exactContributions({ width, count, losses, reference }: Front, operationsMax: number):
  Contributions | null {
  const exact = new Exact(width, count, reference, operationsMax);
  const scratch = new Float64Array(count * width), values = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    values[i] = exact.contribution(losses, count, i, scratch);
    if (Number.isNaN(values[i])) return null;
  }
  return { values, standardErrors: new Float64Array(count) };
}

/**
 * Volume and contributions from one set of random points. The bounding box counts the points that something
 * covers; the boxes one by one draw a box by its volume and a point in it, which c boxes cover: their sum
 * over c. Either way a front of n points is hit at least every n-th time.
 */
function sampled({ width, count, losses, reference }: Front,
  { samples = SAMPLES, seed = 0 }: VolumeOptions): Contributions & { readonly total: Volume } {
  const draw = random(seed, "hypervolume"), point = new Float64Array(width);
  const ends = new Float64Array(count), ideal = reference.slice();
  let sum = 0;
  for (let i = 0; i < count; i++) {
    let box = 1;
    for (let m = 0; m < width; m++) {
      const loss = losses[i * width + m];
      box *= reference[m] - loss;
      if (loss < ideal[m]) ideal[m] = loss;
    }
    ends[i] = sum += box;
  }
  const around = ideal.reduce((product, loss, m) => product * (reference[m] - loss), 1);
  const isBox = around <= sum, cover = Math.min(around, sum), low = isBox ? ideal : point.slice();
  const alone = new Float64Array(count);
  let first = 0, second = 0;
  for (let k = 0; k < samples; k++) {
    if (!isBox) {
      const chosen = firstAbove(ends, draw.uniform() * sum) * width;
      for (let m = 0; m < width; m++) low[m] = losses[chosen + m];
    }
    for (let m = 0; m < width; m++) {
      point[m] = low[m] + (reference[m] - low[m]) * ((draw.word() + 0.5) / 2 ** 32);
    }
    let covering = 0, only = 0;
    for (let i = 0, at = 0; i < count; i++, at += width) {
      let m = 0;
      while (m < width && losses[at + m] <= point[m]) m++;
      if (m === width) { covering++; only = i; }
    }
    if (covering === 0) continue;
    const share = isBox ? 1 : 1 / covering;
    first += share;
    second += share * share;
    if (covering === 1) alone[only]++;
  }
  const error = (mean: number, square: number): number =>
    cover * Math.sqrt(Math.max(square - mean * mean, 1 / samples) / samples);
  return {
    total: { value: cover * first / samples, standardError: error(first / samples, second / samples) },
    values: alone.map((hits) => cover * hits / samples),
    standardErrors: alone.map((hits) => error(hits / samples, hits / samples)),
  };
}

/** Place of the first of ascending values that is above a number; of sums: whose share it falls in. */
export function firstAbove(ascending: Float64Array, number: number): number {
  let low = 0, high = ascending.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle] > number) high = middle; else low = middle + 1;
  }
  return low;
}
