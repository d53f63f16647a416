/**
 * Which parameters decide an objective: functional analysis of variance of a random forest (Hutter, Hoos,
 * Leyton-Brown, "An efficient approach for assessing hyperparameter importance", ICML 2014).
 *
 *   trials -> forest f(learningRate, dropout, ...) -> Var f over the whole space, drawn uniformly
 *
 *   learningRate  ##########        0.52    Var of E[f | learningRate]  /  Var f
 *   dropout       ###               0.17
 *   together      ######            0.31    what only combinations decide
 *
 * Every parameter lies on a grid of at most 32 cells of equal probability, so a box of the space is one
 * 32-bit mask a parameter and its volume a count of bits: all of this is exact for the forest, but Var f,
 * which is taken over a Latin hypercube. A parameter under a condition counts where it is active: its share
 * is the variance that it explains there, times how often that is. Trees see a random value where it is not.
 */
import { random, type Random } from "../base/random.ts";
import type { Parameter, Point, Space } from "./space.ts";
import { boundsOf, countValues, toReal } from "./transform.ts";
import type { Finished } from "./trial.ts";

export interface Importance {
  /** (D) in the space's order, each in [0, 1]; with `together` they add up to 1. */
  readonly shares: Float64Array;
  readonly together: number;
  /** R squared on trials that a tree was not made from; below about 0.3 the shares mean little. */
  readonly explained: number;
  /** Trials learned from, and finished ones left out: not complete, infeasible, or without this value. */
  readonly used: number;
  readonly leftOut: number;
}

const CELLS_MAX = 32;
const TREES = 64;
/** Of each tree, drawn with replacement: more trials than that are not slower. */
const ROWS_MAX = 2000;
const LEAF_MIN = 2;
const DEPTH_MAX = 24;
const SAMPLES = 4096;
/** With fewer there is nothing to learn. */
const TRIALS_MIN = 8;
const INACTIVE = 255;

/** Shares of objective m (from 0); null with fewer than 8 usable trials, or when all are worth the same. */
export function importance(space: Space, finished: Iterable<Finished>, m: number, seed: number):
  Importance | null {
  const all = [...finished];
  const rows = all.filter((one) =>
    one.state === "complete" && one.violation === 0 && Number.isFinite(one.losses[m]));
  const y = Float64Array.from(rows, (one) => one.losses[m]);
  const scale = standardise(y);
  if (rows.length < TRIALS_MIN || !(scale > 0)) return null;
  const grids = Object.values(space).map(gridOf);
  const cells = cellTable(space, rows.map((one) => one.point), grids);
  const forest = Array.from({ length: TREES }, (_, t) =>
    grow(cells, y, grids, random(seed, "importance", m, t)));
  const total = varianceOf(sampled(forest, grids, random(seed, "importance", m, "total")));
  const own = ownVariances(forest, grids, conditionMasks(space, grids));
  const sum = own.reduce((a, b) => a + b, 0), whole = Math.max(total, sum);
  if (!(whole > 0)) return null;
  return { shares: own.map((value) => value / whole), together: 1 - sum / whole,
    explained: explainedBy(forest, y, grids.length), used: rows.length, leftOut: all.length - rows.length };
}

/** To mean 0 and variance 1, in place; answers with the deviation, 0 where all are equal. */
function standardise(y: Float64Array): number {
  const mean = y.reduce((a, b) => a + b, 0) / y.length, deviation = Math.sqrt(varianceOf(y));
  // Equal but for rounding is equal.
  if (!(deviation > 1e-12 * Math.abs(mean))) return 0;
  for (let i = 0; i < y.length; i++) y[i] = (y[i] - mean) / deviation;
  return deviation;
}

function varianceOf(values: ArrayLike<number>): number {
  let mean = 0, sum = 0;
  for (let i = 0; i < values.length; i++) mean += values[i] / values.length;
  for (let i = 0; i < values.length; i++) sum += (values[i] - mean) ** 2;
  return sum / values.length;
}

/** Cells of a parameter. A choice's have no order. */
interface Grid {
  readonly size: number;
  readonly isOrdered: boolean;
}

/** Of a short grid every value has a cell; what has more values has 32 (the last choices share one). */
function gridOf(one: Parameter): Grid {
  if (one.kind === "choice") return { size: Math.min(CELLS_MAX, one.choices.length), isOrdered: false };
  const size = one.low === one.high ? 1
    : one.isLog === true ? CELLS_MAX : Math.min(CELLS_MAX, countValues(one));
  return { size, isOrdered: true };
}

function cellOf(one: Parameter, value: number | string, size: number): number {
  if (one.kind === "choice") return Math.min(size - 1, one.choices.indexOf(value));
  if (size === 1) return 0;
  const [low, high] = boundsOf(one);
  const share = (toReal(one, Number(value)) - low) / (high - low);
  return Math.max(0, Math.min(size - 1, Math.floor(share * size)));
}

/** (n, D) */
function cellTable(space: Space, points: readonly Point[], grids: readonly Grid[]): Uint8Array {
  const names = Object.keys(space), D = names.length, out = new Uint8Array(points.length * D).fill(INACTIVE);
  points.forEach((point, i) => names.forEach((name, j) => {
    if (Object.hasOwn(point, name)) out[i * D + j] = cellOf(space[name], point[name], grids[j].size);
  }));
  return out;
}

const fullMask = (size: number): number => (size === 32 ? 0xffffffff : 2 ** size - 1);

/** Of each parameter, by place: cells of those that its condition (and theirs) name where it is active. */
function conditionMasks(space: Space, grids: readonly Grid[]): ReadonlyMap<number, number>[] {
  const names = Object.keys(space), out: Map<number, number>[] = [];
  for (const name of names) {
    const { when } = space[name];
    if (when === undefined) { out.push(new Map()); continue; }
    const above = names.indexOf(when.parameter);
    const mask = when.is.reduce<number>((bits, value) =>
      (bits | (1 << cellOf(space[when.parameter], value, grids[above].size))) >>> 0, 0);
    out.push(new Map([...out[above], [above, mask]]));
  }
  return out;
}

/** Nodes in arrays; `parameter` -1 is a leaf. A row whose cell's bit is in `left` goes to `first`. */
interface Tree {
  readonly parameter: number[];
  readonly left: number[];
  readonly first: number[];
  readonly second: number[];
  readonly value: number[];
  /** Leaves: node, and (D) masks of its box. */
  readonly leaves: { readonly node: number; readonly box: Uint32Array }[];
  /** (n, D) cells with random ones where inactive, and which rows the tree was made from. */
  readonly cells: Uint8Array;
  readonly isSeen: Uint8Array;
}

function grow(table: Uint8Array, y: Float64Array, grids: readonly Grid[], draw: Random): Tree {
  const D = grids.length, n = y.length, cells = table.slice(), isSeen = new Uint8Array(n);
  for (let k = 0; k < cells.length; k++) if (cells[k] === INACTIVE) cells[k] = draw.below(grids[k % D].size);
  const rows = Int32Array.from({ length: Math.min(n, ROWS_MAX) }, () => draw.below(n));
  for (const row of rows) isSeen[row] = 1;
  const tree: Tree = { parameter: [], left: [], first: [], second: [], value: [], leaves: [], cells, isSeen };
  const split = (from: number, to: number, box: Uint32Array, depth: number): number => {
    const node = tree.parameter.length;
    let sum = 0;
    for (let i = from; i < to; i++) sum += y[rows[i]];
    tree.value.push(sum / (to - from)); tree.first.push(-1); tree.second.push(-1);
    const isLarge = depth < DEPTH_MAX && to - from >= 2 * LEAF_MIN;
    const cut = isLarge ? bestCut(cells, y, rows, from, to, grids) : null;
    tree.parameter.push(cut?.parameter ?? -1); tree.left.push(cut?.left ?? 0);
    if (cut === null) { tree.leaves.push({ node, box }); return node; }
    const { parameter, left } = cut, middle = partition(rows, from, to, (row) =>
      (left >>> cells[row * D + parameter] & 1) === 1);
    const one = box.slice(), other = box.slice();
    one[parameter] = (box[parameter] & left) >>> 0;
    other[parameter] = (box[parameter] & ~left) >>> 0;
    tree.first[node] = split(from, middle, one, depth + 1);
    tree.second[node] = split(middle, to, other, depth + 1);
    return node;
  };
  split(0, rows.length, Uint32Array.from(grids, ({ size }) => fullMask(size)), 0);
  return tree;
}

function partition(rows: Int32Array, from: number, to: number, isFirst: (row: number) => boolean): number {
  let middle = from;
  for (let i = from; i < to; i++) {
    if (!isFirst(rows[i])) continue;
    const row = rows[i];
    rows[i] = rows[middle];
    rows[middle++] = row;
  }
  return middle;
}

const SUMS = new Float64Array(CELLS_MAX), COUNTS = new Int32Array(CELLS_MAX);

/**
 * The cut that takes most squared error away: cells below one place, between cells without rows the middle
 * of them. Of a choice it is a set: the best one is a beginning of the list by mean value (Breiman).
 */
function bestCut(cells: Uint8Array, y: Float64Array, rows: Int32Array, from: number, to: number,
  grids: readonly Grid[]): { parameter: number; left: number } | null {
  const D = grids.length, n = to - from;
  let best = 1e-10, parameter = -1, left = 0;
  for (let j = 0; j < D; j++) {
    SUMS.fill(0); COUNTS.fill(0);
    let sum = 0;
    for (let i = from; i < to; i++) {
      const cell = cells[rows[i] * D + j], value = y[rows[i]];
      SUMS[cell] += value; COUNTS[cell]++; sum += value;
    }
    const order: number[] = [];
    for (let b = 0; b < grids[j].size; b++) if (COUNTS[b] > 0) order.push(b);
    if (!grids[j].isOrdered) order.sort((a, b) => SUMS[a] / COUNTS[a] - SUMS[b] / COUNTS[b] || a - b);
    let before = 0, count = 0, taken = 0;
    for (let k = 0; k + 1 < order.length; k++) {
      const b = order[k];
      before += SUMS[b]; count += COUNTS[b]; taken = (taken | (1 << b)) >>> 0;
      if (count < LEAF_MIN || n - count < LEAF_MIN) continue;
      const gain = before * before / count + (sum - before) ** 2 / (n - count) - sum * sum / n;
      if (gain <= best) continue;
      best = gain; parameter = j;
      left = grids[j].isOrdered ? fullMask((b + 1 + order[k + 1]) >> 1) : taken;
    }
  }
  return parameter < 0 ? null : { parameter, left };
}

function predict(tree: Tree, cells: Uint8Array, row: number, D: number): number {
  let node = 0;
  while (tree.parameter[node] >= 0) {
    const isFirst = (tree.left[node] >>> cells[row * D + tree.parameter[node]] & 1) === 1;
    node = isFirst ? tree.first[node] : tree.second[node];
  }
  return tree.value[node];
}

/** What the forest says at points of a Latin hypercube: of each parameter every cell equally often. */
function sampled(forest: readonly Tree[], grids: readonly Grid[], draw: Random): Float64Array {
  const D = grids.length, cells = new Uint8Array(SAMPLES * D), out = new Float64Array(SAMPLES);
  grids.forEach(({ size }, j) => {
    const column = draw.shuffle(Array.from({ length: SAMPLES }, (_, i) => i % size));
    for (let i = 0; i < SAMPLES; i++) cells[i * D + j] = column[i];
  });
  for (const tree of forest) {
    for (let i = 0; i < SAMPLES; i++) out[i] += predict(tree, cells, i, D) / forest.length;
  }
  return out;
}

function countBits(mask: number): number {
  let bits = mask - (mask >>> 1 & 0x55555555);
  bits = (bits & 0x33333333) + (bits >>> 2 & 0x33333333);
  return Math.imul(bits + (bits >>> 4) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** (D) Variance of E[f | parameter] where it is active, times the probability of that. */
function ownVariances(forest: readonly Tree[], grids: readonly Grid[],
  conditions: readonly ReadonlyMap<number, number>[]): Float64Array {
  const means = grids.map(({ size }) => new Float64Array(size));
  for (const tree of forest) {
    for (const { node, box } of tree.leaves) {
      const shares = grids.map(({ size }, j) => countBits(box[j]) / size);
      const volume = shares.reduce((a, b) => a * b, tree.value[node] / forest.length);
      grids.forEach(({ size }, j) => {
        let others = volume / shares[j];
        for (const [above, mask] of conditions[j]) {
          others *= countBits((box[above] & mask) >>> 0) / countBits(mask) / shares[above];
        }
        for (let b = 0; b < size; b++) if ((box[j] >>> b & 1) === 1) means[j][b] += others;
      });
    }
  }
  return Float64Array.from(grids, (_, j) => {
    const active = [...conditions[j]]
      .reduce((product, [above, mask]) => product * countBits(mask) / grids[above].size, 1);
    return active * varianceOf(means[j]);
  });
}

/** R squared, each trial predicted by the trees that were not made from it: about a third of them. */
function explainedBy(forest: readonly Tree[], y: Float64Array, D: number): number {
  let error = 0, whole = 0;
  const every = Math.ceil(y.length / ROWS_MAX);
  for (let i = 0; i < y.length; i += every) {
    const others = forest.filter((tree) => tree.isSeen[i] === 0);
    const said = others.reduce((sum, tree) => sum + predict(tree, tree.cells, i, D), 0) / others.length;
    error += (y[i] - said) ** 2;
    whole += y[i] ** 2;
  }
  return 1 - error / whole;
}
