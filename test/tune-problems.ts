/**
 * Problems with known answers for tests and benches of src/tune; everything is minimised.
 *
 *   DTLZ1-4   Deb, Thiele, Laumanns, Zitzler, "Scalable test problems", 2005; k = 5 for DTLZ1, 10 for the others
 *   ZDT1-4    Zitzler, Deb, Thiele, 2000; 30 variables, ZDT4 10
 *   MaF1 3 5 6 7   Cheng et al., "A benchmark test suite", 2017: inverted, convex, scaled, degenerate, disconnected
 *   Branin, Hartmann6   one objective; optima 0.397887357729738 and -3.322368011415515
 */
import type { Point, Space } from "../src/tune/space.ts";

export interface Problem {
  readonly name: string;
  /** M */
  readonly objectives: number;
  /** (D) bounds */
  readonly low: readonly number[];
  readonly high: readonly number[];
  /** (D) variables to (M) objectives. */
  evaluate(x: ArrayLike<number>): Float64Array;
  /** An optimal x from positions u in [0, 1): M - 1 of them. */
  optimum(u: ArrayLike<number>): number[];
  /** Left side minus right side of the front's equation: 0 on the front, or where its surface goes on. */
  residual(f: ArrayLike<number>): number;
}

const square = (x: number): number => x * x;
const sum = (values: Iterable<number>, of: (value: number, k: number) => number = (value) => value): number => {
  let total = 0, k = 0;
  for (const value of values) total += of(value, k++);
  return total;
};
const filled = (length: number, value: number): number[] => Array.from({ length }, () => value);
const rest = (x: ArrayLike<number>, from: number): number[] => Array.from(x).slice(from);

/** g of DTLZ1, DTLZ3 and MaF3: 11^k - 1 local fronts. */
const rastrigin = (x: readonly number[]): number =>
  100 * (x.length + sum(x, (v) => square(v - 0.5) - Math.cos(20 * Math.PI * (v - 0.5))));
const spherical = (x: readonly number[]): number => sum(x, (v) => square(v - 0.5));

/** Point of the unit sphere's first orthant at M - 1 angles in [0, 1]. */
function onSphere(t: readonly number[]): number[] {
  const M = t.length + 1;
  return Array.from({ length: M }, (_, m) => {
    let f = 1;
    for (let i = 0; i < M - 1 - m; i++) f *= Math.cos(t[i] * Math.PI / 2);
    return m === 0 ? f : f * Math.sin(t[M - 1 - m] * Math.PI / 2);
  });
}
/** Point of the unit simplex at M - 1 positions in [0, 1]. */
function onSimplex(t: readonly number[]): number[] {
  const M = t.length + 1;
  return Array.from({ length: M }, (_, m) => {
    let f = 1;
    for (let i = 0; i < M - 1 - m; i++) f *= t[i];
    return m === 0 ? f : f * (1 - t[M - 1 - m]);
  });
}

type Shape = Pick<Problem, "evaluate" | "residual"> & { readonly best: number };
/** A problem of M - 1 positions and k distances in [0, 1], which are `best` on the front. */
function scalable(name: string, M: number, k: number,
  { evaluate, residual, best }: Shape): Problem {
  const D = M - 1 + k;
  return { name: `${name} M=${M}`, objectives: M, low: filled(D, 0), high: filled(D, 1),
    evaluate, residual, optimum: (u) => [...Array.from(u).slice(0, M - 1), ...filled(k, best)] };
}

export function dtlz(number: 1 | 2 | 3 | 4, M: number): Problem {
  const k = number === 1 ? 5 : 10;
  const g = number === 1 || number === 3 ? rastrigin : spherical;
  const power = number === 4 ? 100 : 1;
  const shape = number === 1 ? onSimplex : onSphere;
  return scalable(`DTLZ${number}`, M, k, {
    best: 0.5,
    evaluate: (x) => {
      const factor = (1 + g(rest(x, M - 1))) * (number === 1 ? 0.5 : 1);
      return Float64Array.from(shape(Array.from({ length: M - 1 }, (_, i) => x[i] ** power)), (f) => f * factor);
    },
    residual: (f) => number === 1 ? sum(Array.from(f)) - 0.5 : sum(Array.from(f), square) - 1,
  });
}

/** Where the ray of a reference direction meets the front of DTLZ1-4: what Deb & Jain measure the distance to. */
export function dtlzTarget(number: 1 | 2 | 3 | 4, direction: ArrayLike<number>): number[] {
  const z = Array.from(direction);
  const length = number === 1 ? 2 * sum(z) : Math.sqrt(sum(z, square));
  return z.map((value) => value / length);
}

export function zdt(number: 1 | 2 | 3 | 4): Problem {
  const D = number === 4 ? 10 : 30;
  const front = (f1: number, g: number): number => number === 2 ? 1 - square(f1 / g)
    : 1 - Math.sqrt(f1 / g) - (number === 3 ? f1 / g * Math.sin(10 * Math.PI * f1) : 0);
  const g = (x: readonly number[]): number => number === 4
    ? 1 + 10 * x.length + sum(x, (v) => v * v - 10 * Math.cos(4 * Math.PI * v)) : 1 + 9 * sum(x) / x.length;
  const bound = (first: number, others: number): number[] => [first, ...filled(D - 1, others)];
  return {
    name: `ZDT${number}`, objectives: 2,
    low: bound(0, number === 4 ? -5 : 0), high: bound(1, number === 4 ? 5 : 1),
    evaluate: (x) => {
      const factor = g(rest(x, 1));
      return Float64Array.of(x[0], factor * front(x[0], factor));
    },
    optimum: (u) => bound(u[0], 0),
    residual: (f) => f[1] - front(f[0], 1),
  };
}

/** Parts of [0, 1] where ZDT3's front is. */
export const ZDT3_REGIONS = [[0, 0.0830015349], [0.182228728, 0.2577623634], [0.4093136748, 0.4538821041],
  [0.6183967944, 0.6525117038], [0.8233317983, 0.8518328654]] as const;

export function maf(number: 1 | 3 | 5 | 6 | 7, M: number): Problem {
  const k = number === 7 ? 20 : 10;
  return scalable(`MaF${number}`, M, k, MAF[number](M));
}
const MAF: Readonly<Record<1 | 3 | 5 | 6 | 7, (M: number) => Shape>> = {
  1: (M) => ({
    best: 0.5,
    evaluate: (x) => Float64Array.from(onSimplex(Array.from(x).slice(0, M - 1)),
      (f) => (1 - f) * (1 + spherical(rest(x, M - 1)))),
    residual: (f) => sum(Array.from(f)) - (M - 1),
  }),
  3: (M) => ({
    best: 0.5,
    evaluate: (x) => Float64Array.from(onSphere(Array.from(x).slice(0, M - 1)),
      (f, m) => (f * (1 + rastrigin(rest(x, M - 1)))) ** (m === M - 1 ? 2 : 4)),
    residual: (f) => sum(Array.from(f), (v, m) => m === M - 1 ? v : Math.sqrt(v)) - 1,
  }),
  5: (M) => ({
    best: 0.5,
    evaluate: (x) => Float64Array.from(onSphere(Array.from({ length: M - 1 }, (_, i) => x[i] ** 100)),
      (f, m) => f * (1 + spherical(rest(x, M - 1))) * 2 ** (M - m)),
    residual: (f) => sum(Array.from(f), (v, m) => square(v / 2 ** (M - m))) - 1,
  }),
  6: (M) => ({
    best: 0.5,
    evaluate: (x) => {
      const g = spherical(rest(x, M - 1));
      const angles = Array.from({ length: M - 1 }, (_, i) => i === 0 ? x[0] : (1 + 2 * g * x[i]) / (2 * (1 + g)));
      return Float64Array.from(onSphere(angles), (f) => f * (1 + 100 * g));
    },
    // A curve: all but the last two angles are fixed, so the last objective and the others' length make a circle.
    residual: (f) => sum(Array.from(f), square) - 1,
  }),
  7: (M) => ({
    best: 0,
    evaluate: (x) => {
      const g = 2 + 9 / (x.length - M + 1) * sum(rest(x, M - 1));
      const first = Array.from(x).slice(0, M - 1);
      return Float64Array.of(...first, g * M - sum(first, (f) => f * (1 + Math.sin(3 * Math.PI * f))));
    },
    residual: (f) => f[M - 1] - (2 * M - sum(Array.from(f).slice(0, M - 1), (v) => v * (1 + Math.sin(3 * Math.PI * v)))),
  }),
};

export const BRANIN: Problem & { readonly best: number } = {
  name: "Branin", objectives: 1, low: [-5, 0], high: [10, 15], best: 0.397887357729738,
  evaluate: ([x, y]: ArrayLike<number> & Iterable<number>) => Float64Array.of(
    square(y - 5.1 / (4 * Math.PI ** 2) * x * x + 5 / Math.PI * x - 6) + 10 * (1 - 1 / (8 * Math.PI)) * Math.cos(x) + 10),
  optimum: () => [Math.PI, 2.275],
  residual: (f) => f[0] - 0.397887357729738,
};

const HARTMANN_ALPHA = [1, 1.2, 3, 3.2];
const HARTMANN_A = [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8],
  [17, 8, 0.05, 10, 0.1, 14]];
const HARTMANN_P = [[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991],
  [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]];
export const HARTMANN6: Problem & { readonly best: number } = {
  name: "Hartmann6", objectives: 1, low: filled(6, 0), high: filled(6, 1),
  best: -3.322368011415515,
  evaluate: (x) => Float64Array.of(-sum(HARTMANN_ALPHA, (alpha, i) =>
    alpha * Math.exp(-sum(HARTMANN_A[i], (a, j) => a * square(x[j] - HARTMANN_P[i][j] * 1e-4))))),
  optimum: () => [0.20168951, 0.15001069, 0.47687398, 0.27533243, 0.31165162, 0.65730053],
  residual: (f) => f[0] + 3.322368011415515,
};

/** A float parameter x0, x1, ... for each variable. */
export function spaceOf({ low, high }: Problem): Space {
  return Object.fromEntries(low.map((bound, d) => [`x${d}`, { kind: "float", low: bound, high: high[d] } as const]));
}
/** (M) objectives at a point of that space. */
export function evaluateAt(problem: Problem, point: Point): Float64Array {
  return problem.evaluate(problem.low.map((_, d) => Number(point[`x${d}`])));
}

/** Inverted generational distance: mean over the targets of the distance to the nearest point. */
export function igd(targets: readonly ArrayLike<number>[], points: readonly ArrayLike<number>[]): number {
  return targets.reduce((total, target) => total + Math.min(...points.map((point) =>
    Math.hypot(...Array.from(target, (value, m) => value - point[m])))), 0) / targets.length;
}
