/**
 * Reference directions: points spread evenly over the simplex of M weights that sum to one.
 *
 *          2             one layer, p = 2: all multiples of 1/p (Das & Dennis 1998), C(M+p-1, p) of them.
 *        o   o           With p < M all of them lie on the simplex's edge; then a second, inner layer shrunk
 *      2   o   2         halfway to the centre stands for the middle (Deb & Jain 2014).
 */
import { assert } from "../base/assert.ts";

/** Directions of one lattice: C(M + p - 1, p). */
export function countLattice(M: number, divisions: number): number {
  let count = 1;
  for (let k = 1; k <= divisions; k++) count = count * (M - 1 + k) / k;
  return Math.round(count);
}

/** (H, M) lattice in lexicographic order. */
export function lattice(M: number, divisions: number): Float64Array {
  const rows: number[] = [], row = Array.from({ length: M }, () => 0);
  const fill = (m: number, left: number): void => {
    if (m === M - 1) {
      row[m] = left;
      rows.push(...row);
      return;
    }
    for (row[m] = 0; row[m] <= left; row[m]++) fill(m + 1, left - row[m]);
  };
  fill(0, divisions);
  return Float64Array.from(rows, (k) => divisions === 0 ? 1 / M : k / divisions);
}

/** (H, M): an outer layer and, where `inner` > 0, one shrunk by half to the centre; nothing twice. */
export function layers(M: number, outer: number, inner: number): Float64Array {
  assert(outer >= 1, "a layer has at least one division");
  const edge = lattice(M, outer);
  if (inner === 0 || M === 1) return edge;
  const rowKey = (rows: Float64Array, h: number): string =>
    Array.from(rows.subarray(h * M, (h + 1) * M), (value) => value.toFixed(9)).join();
  const known = new Set(Array.from({ length: edge.length / M }, (_, h) => rowKey(edge, h)));
  const middle = lattice(M, inner).map((value) => 0.5 * value + 0.5 / M);
  const rows = [...edge];
  for (let h = 0; h * M < middle.length; h++) {
    if (!known.has(rowKey(middle, h))) rows.push(...middle.subarray(h * M, (h + 1) * M));
  }
  return Float64Array.from(rows);
}

/**
 * Edges of simplices with 0, 1, ... p divisions around one centre: grows without moving what is there
 * (Takagi, Takadama, Sato 2020). M = 3: 1 4 10 19 31 ... directions.
 */
export function shells(M: number, divisions: number): Float64Array {
  const rows: number[] = [];
  for (let p = 0; p <= divisions; p++) {
    const points = lattice(M, p), scale = divisions === 0 ? 0 : p / divisions;
    for (let h = 0; h < points.length; h += M) {
      const row = points.subarray(h, h + M);
      if (p === 0 || row.includes(0)) rows.push(...row.map((value) => scale * value + (1 - scale) / M));
    }
  }
  return Float64Array.from(rows);
}

/**
 * [outer, inner] divisions that M objectives and so many trials are worth: about eleven trials for each
 * direction, but no fewer than 7 M directions and no more than 96 or 12 M, so that a suggestion stays cheap.
 * M = 11: (2, 1) = 77, (2, 2) = 132 from 1452 trials on; M = 3: 91 from 1001 on.
 */
export function defaultDivisions(M: number, trials: number): readonly [number, number] {
  const most = Math.min(Math.max(96, 12 * M), Math.max(7 * M, trials / 11));
  let best: readonly [number, number] = [1, 0], bestCount = 0;
  if (M === 1) return best;
  for (let outer = 1; countLattice(M, outer) <= most; outer++) {
    // One layer has directions in the middle only where each objective gets a share.
    for (let inner = outer >= M ? 0 : 1; inner <= (outer >= M ? 0 : outer); inner++) {
      const count = countLattice(M, outer) + (inner === 0 ? 0 : countLattice(M, inner));
      if (count <= most && count > bestCount) [best, bestCount] = [[outer, inner], count];
    }
  }
  return best;
}

export interface Joined {
  /** (N) nearest direction. */
  readonly direction: Int32Array;
  /** (N) d1 + theta d2 to its ray, or d2. */
  readonly distance: Float64Array;
}

/**
 * Directions as what they have in common on all axes plus a few entries: of a lattice with p divisions at
 * most p, whatever M is, and of its shrunk copy no more.
 */
export class Directions {
  readonly count: number;
  readonly #theta: number;
  readonly #M: number;
  readonly #common: Float64Array;
  readonly #start: Int32Array;
  readonly #axis: Int32Array;
  readonly #extra: Float64Array;
  /** 1 / |w| */
  readonly #inverse: Float64Array;

  constructor(points: Float64Array, M: number, theta = Infinity) {
    this.#theta = theta;
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

  /** Row k of (rows, M) normalised losses to the nearest ray: d^2 = |f|^2 - (f w)^2 / |w|^2. */
  join(normal: Float64Array, k: number, joined: Joined, to: number): void {
    const M = this.#M, H = this.count, i = k * M, inverse = this.#inverse;
    const common = this.#common, start = this.#start, axis = this.#axis, extra = this.#extra;
    let sum = 0, squares = 0;
    for (let m = 0; m < M; m++) {
      sum += normal[i + m];
      squares += normal[i + m] ** 2;
    }
    let best = 0, along = -Infinity;
    for (let h = 0, e = 0; h < H; h++) {
      let product = common[h] * sum;
      for (const end = start[h + 1]; e < end; e++) product += extra[e] * normal[i + axis[e]];
      product *= inverse[h];
      if (product > along) { along = product; best = h; }
    }
    joined.direction[to] = best;
    const away = Math.sqrt(Math.max(0, squares - along * along));
    joined.distance[to] = this.#theta === Infinity ? away : along + this.#theta * away;
  }
}
