/**
 * Parzen estimators: a density over some parameters together, one kernel per observed point and one wide
 * prior kernel, as TPE needs them (Bergstra et al. 2011; kernels and constants of Optuna 5).
 *
 *      .-.        .-.                  real     normal, cut off at the bounds; as wide as the larger gap to
 *     /   \  .-. /   \                          its neighbours, within [range / min(100, kernels + 1), range]
 *   _/_____\/___\_____\____ prior      grid     the same, its mass on the value's interval
 *   low  x    x   x      high          choice   the observed one more often, every one sometimes
 *
 *   density(point) = sum over kernels k of weight(k) * product over parameters d of kernel(k, d)
 *
 * Kept between fits: each parameter's values in their order. A fit is then linear in the observations.
 * A density looks at a kernel parameter by parameter and leaves it as soon as it cannot matter any more:
 * the order of kinds (choice, real, grid) is the order of costs.
 */
import type { Random } from "../../base/random.ts";
import type { Parameter } from "../space.ts";
import { boundsOf, countValues, fromReal, stepOf, toReal } from "../transform.ts";
import type { Numerical } from "../transform.ts";
import { logMass, massAroundZero, truncatedNormal } from "./normal.ts";

/** One parameter as kernels see it: a choice by its place among the choices, all else as a real. */
export interface Axis {
  readonly name: string;
  readonly one: Parameter;
  readonly kind: "choice" | "real" | "grid";
  /** Bounds of the reals. */
  readonly low: number;
  readonly high: number;
  /** Number of choices; 0 of a numerical one. */
  readonly choices: number;
}

const COSTS = { choice: 0, real: 1, grid: 2 };

/** The parameters that have something to decide, by cost. */
export function axesOf(parameters: readonly (readonly [string, Parameter])[]): Axis[] {
  const axes = parameters.filter(([, one]) => countValues(one) > 1).map(([name, one]): Axis => {
    if (one.kind === "choice") {
      return { name, one, kind: "choice", low: 0, high: 0, choices: one.choices.length };
    }
    const [low, high] = boundsOf(one);
    return { name, one, kind: stepOf(one) > 0 ? "grid" : "real", low, high, choices: 0 };
  });
  return axes.sort((a, b) => COSTS[a.kind] - COSTS[b.kind]);
}

export function placeOf({ one }: Axis, value: number | string): number {
  return one.kind === "choice" ? one.choices.indexOf(value) : toReal(one, value as number);
}

export function valueAt({ one }: Axis, place: number): number | string {
  return one.kind === "choice" ? one.choices[place] : fromReal(one, place);
}

/** Points in the order in which they came, and each axis' values in ascending order. */
export class Observations {
  readonly axes: readonly Axis[];
  count = 0;
  /** [axis](row) */
  readonly places: Float64Array[];
  /** [axis](count) rows by ascending place, equal ones by row; of choices not kept. */
  readonly orders: Int32Array[];

  constructor(axes: readonly Axis[]) {
    this.axes = axes;
    this.places = axes.map(() => new Float64Array(64));
    this.orders = axes.map(() => new Int32Array(64));
  }

  push(point: Readonly<Record<string, number | string>>): void {
    this.#grow();
    const row = this.count++;
    this.axes.forEach((axis, d) => {
      const places = this.places[d], order = this.orders[d], place = placeOf(axis, point[axis.name]);
      places[row] = place;
      if (axis.kind === "choice") return;
      let from = 0, to = row;
      while (from < to) {
        const middle = (from + to) >>> 1;
        if (places[order[middle]] <= place) from = middle + 1;
        else to = middle;
      }
      order.copyWithin(from + 1, from, row);
      order[from] = row;
    });
  }

  /** Forgets the last ones, down to `count`. */
  cut(count: number): void {
    for (const [d, axis] of this.axes.entries()) {
      if (axis.kind === "choice" || count === this.count) continue;
      const order = this.orders[d];
      for (let s = 0, kept = 0; s < this.count; s++) if (order[s] < count) order[kept++] = order[s];
    }
    this.count = count;
  }

  #grow(): void {
    if (this.axes.length === 0 || this.count < this.places[0].length) return;
    this.axes.forEach((_, d) => {
      const places = new Float64Array(this.count * 2), order = new Int32Array(this.count * 2);
      places.set(this.places[d]);
      order.set(this.orders[d]);
      this.places[d] = places;
      this.orders[d] = order;
    });
  }
}

/** Weights of n observations by age: the newest 25 count fully, the older ones less the older. In `out`. */
export function weighByAge(n: number, out: Float64Array): void {
  const ramp = n < 25 ? 0 : n - 25;
  for (let k = 0; k < n; k++) {
    out[k] = k >= ramp ? 1 : ramp === 1 ? 1 / n : 1 / n + (1 - 1 / n) * k / (ramp - 1);
  }
}

const LOG_SQRT_2PI = Math.log(2 * Math.PI) / 2;
/** A kernel this many e-folds below the greatest is 4e-18 of it: 10,000 such change the sum by 4e-14. */
const NEGLIGIBLE = 40;

/** A mixture of product kernels. Its arrays are kept from fit to fit. */
export class Parzen {
  readonly axes: readonly Axis[];
  /** Of observations (on a single axis of distinct ones); the prior is kernel number `count`. */
  count = 0;
  /** Of all observations, and the prior. */
  #kernels = 1;
  /** (count + 1) adding up to 1 */
  weights = new Float64Array(0);
  /**
   * (count + 1) log of the weight and of all factors of a kernel that do not depend on where it is asked; of
   * a single axis of reals not the log, but the height itself.
   */
  #constants = new Float64Array(0);
  /** (count + 1, D) centre of a real, shape of a grid axis, place of a choice: read in this order. */
  #centres = new Float64Array(0);
  /** (count + 1, D) 1 / sigma of a real axis */
  #inverses = new Float64Array(0);
  /** Of a grid axis: the distinct kernels, as (centre, 1 / sigma) pairs, and their masses where asked. */
  readonly #shapes: { pairs: Float64Array; masses: Float64Array; count: number }[];
  /** (D, 3) of a choice: log of another than the observed, of the observed, and of any by the prior */
  readonly #logs: Float64Array;
  /** (D, 2) of a grid axis: the interval of the value asked for */
  readonly #cells: Float64Array;
  /** Axes from here on are reals, from here on grids; before them choices. */
  readonly #reals: number;
  readonly #grids: number;
  /** (count + 1) logs of kernels that may matter */
  #terms = new Float64Array(0);
  /** (row) kernel number or -1 */
  #kernelOf = new Int32Array(0);

  constructor(axes: readonly Axis[]) {
    this.axes = axes;
    this.#logs = new Float64Array(3 * axes.length);
    this.#cells = new Float64Array(2 * axes.length);
    this.#reals = axes.filter(({ kind }) => kind === "choice").length;
    this.#grids = axes.filter(({ kind }) => kind !== "grid").length;
    this.#shapes = axes.map(() => ({ pairs: new Float64Array(0), masses: new Float64Array(0), count: 0 }));
  }

  /** Takes the rows of `of` whose `side` is `wanted`. `isAged`: older observations weigh less. */
  fit(of: Observations, side: Uint8Array, wanted: number, isAged: boolean): void {
    this.#reserve(of.count);
    let count = 0;
    for (let row = 0; row < of.count; row++) this.#kernelOf[row] = side[row] === wanted ? count++ : -1;
    this.count = count;
    this.#kernels = count + 1;
    if (isAged) weighByAge(count, this.weights);
    else this.weights.fill(1, 0, count);
    this.weights[count] = 1;
    let sum = 0;
    for (let k = 0; k <= count; k++) sum += this.weights[k];
    for (let k = 0; k <= count; k++) {
      this.weights[k] /= sum;
      this.#constants[k] = Math.log(this.weights[k]);
    }
    this.axes.forEach((axis, d) => {
      if (axis.kind === "choice") this.#fitChoice(of.places[d], of.count, d);
      else this.#fitNormals(axis, of.places[d], of.orders[d], of.count, d);
    });
    if (this.axes.length > 1) return;
    if (this.axes[0].kind !== "real") this.#merge(this.axes[0].choices);
    else for (let k = 0; k <= count; k++) this.#constants[k] = Math.exp(this.#constants[k]);
  }

  #reserve(rows: number): void {
    if (this.#kernelOf.length > rows) return;
    const size = Math.max(64, 2 * rows, ...this.axes.map(({ choices }) => choices));
    const cells = (size + 1) * this.axes.length;
    this.#kernelOf = new Int32Array(size);
    this.weights = new Float64Array(size + 1);
    this.#constants = new Float64Array(size + 1);
    this.#terms = new Float64Array(size + 1);
    this.#centres = new Float64Array(cells);
    this.#inverses = new Float64Array(cells);
    this.axes.forEach(({ kind }, d) => {
      const shapes = kind === "grid" ? size + 1 : 0;
      this.#shapes[d] = { pairs: new Float64Array(2 * shapes), masses: new Float64Array(shapes), count: 0 };
    });
  }

  /** Kernels on one axis that are equal become one: there are as many as distinct values, not as points. */
  #merge(choices: number): void {
    const { count } = this, shapes = choices || this.#shapes[0].count - 1;
    const centres = this.#centres, weights = this.weights, constants = this.#constants;
    const sums = new Float64Array(shapes + 1), factors = new Float64Array(shapes + 1);
    for (let k = 0; k <= count; k++) {
      const shape = k === count ? shapes : centres[k];
      sums[shape] += weights[k];
      factors[shape] = constants[k] - Math.log(weights[k]);
    }
    const prior = centres[count];
    for (let shape = 0; shape <= shapes; shape++) {
      centres[shape] = shape === shapes ? prior : shape;
      weights[shape] = sums[shape];
      constants[shape] = factors[shape] + Math.log(sums[shape]);
    }
    this.count = shapes;
  }

  #fitChoice(places: Float64Array, rows: number, d: number): void {
    const D = this.axes.length;
    for (let row = 0; row < rows; row++) {
      const kernel = this.#kernelOf[row];
      if (kernel >= 0) this.#centres[kernel * D + d] = places[row];
    }
    this.#centres[this.count * D + d] = -1;
    const kernels = this.#kernels, { choices } = this.axes[d];
    this.#logs[3 * d] = -Math.log(kernels + choices);
    this.#logs[3 * d + 1] = Math.log(kernels + 1) - Math.log(kernels + choices);
    this.#logs[3 * d + 2] = -Math.log(choices);
  }

  /** Widths are the larger gap to a neighbour; the outermost two look inwards only. */
  #fitNormals(axis: Axis, places: Float64Array, order: Int32Array, rows: number, d: number): void {
    const { low, high } = axis, { count } = this, kernelOf = this.#kernelOf, range = high - low;
    this.#shapes[d].count = 0;
    const narrowest = range / Math.min(100, count + 2);
    let kernel = -1, centre = low, gapBefore = 0;
    for (let s = 0; s < rows; s++) {
      const next = kernelOf[order[s]];
      if (next < 0) continue;
      const place = places[order[s]], gap = place - centre;
      if (kernel >= 0) {
        this.#setNormal(axis, d, kernel, centre, Math.max(narrowest, gapBefore, gap));
        gapBefore = gap;
      } else {
        gapBefore = count > 1 ? 0 : gap;
      }
      kernel = next;
      centre = place;
    }
    if (kernel >= 0) {
      const gap = count > 1 ? 0 : high - centre;
      this.#setNormal(axis, d, kernel, centre, Math.max(narrowest, gapBefore, gap));
    }
    this.#setNormal(axis, d, count, (low + high) / 2, range);
  }

  #setNormal({ kind, low, high }: Axis, d: number, kernel: number, centre: number, sigma: number): void {
    const at = kernel * this.axes.length + d, inverse = 1 / sigma;
    // Beyond 8.3 sigma there is nothing that a double can tell.
    const isWhole = (centre - low) * inverse > 8.3 && (high - centre) * inverse > 8.3;
    const mass = isWhole ? 1 : massAroundZero((low - centre) * inverse, (high - centre) * inverse);
    if (kind === "real") {
      this.#centres[at] = centre;
      this.#inverses[at] = inverse;
      this.#constants[kernel] -= Math.log(sigma * mass) + LOG_SQRT_2PI;
      return;
    }
    // Values of a grid come often: equal kernels, one after the other here, are one shape.
    const shapes = this.#shapes[d], last = 2 * (shapes.count - 1);
    if (shapes.count === 0 || shapes.pairs[last] !== centre || shapes.pairs[last + 1] !== inverse) {
      shapes.pairs[last + 2] = centre;
      shapes.pairs[last + 3] = inverse;
      shapes.count++;
    }
    this.#centres[at] = shapes.count - 1;
    this.#constants[kernel] -= Math.log(mass);
  }

  /** A point's places (D), drawn from the mixture, in `out`. */
  draw(random: Random, out: Float64Array): void {
    const D = this.axes.length, { count } = this;
    let kernel = 0;
    for (let u = random.uniform(); kernel < count; kernel++) if ((u -= this.weights[kernel]) < 0) break;
    this.axes.forEach((axis, d) => {
      const at = kernel * D + d, u = random.uniform();
      if (axis.one.kind === "choice") {
        out[d] = this.#drawChoice(axis.choices, this.#centres[at], u);
        return;
      }
      const isReal = axis.kind === "real", { pairs } = this.#shapes[d], shape = 2 * this.#centres[at];
      const centre = isReal ? this.#centres[at] : pairs[shape];
      const inverse = isReal ? this.#inverses[at] : pairs[shape + 1];
      const place = centre
        + truncatedNormal((axis.low - centre) * inverse, (axis.high - centre) * inverse, u) / inverse;
      out[d] = snap(axis.one, place);
    });
  }

  #drawChoice(choices: number, observed: number, u: number): number {
    if (observed < 0) return Math.floor(u * choices);
    const share = u * (choices + this.#kernels);
    return share < choices ? Math.floor(share) : observed;
  }

  /** Logarithm of the density (of a grid: the mass) at places (D). */
  logDensity(places: Float64Array): number {
    if (this.axes.length === 1 && this.axes[0].kind === "real") return this.#logDensityAt(places[0]);
    const constants = this.#constants, terms = this.#terms;
    this.#prepareGrids(places);
    let greatest = this.#logKernel(this.count, places, -Infinity), found = 0;
    terms[found++] = greatest;
    for (let kernel = 0; kernel < this.count; kernel++) {
      const bound = greatest - NEGLIGIBLE;
      if (constants[kernel] < bound) continue;
      const term = this.#logKernel(kernel, places, bound);
      if (term < bound) continue;
      terms[found++] = term;
      if (term > greatest) greatest = term;
    }
    let sum = 0;
    for (let k = 0; k < found; k++) sum += Math.exp(terms[k] - greatest);
    return greatest + Math.log(sum);
  }

  /** The same on a single axis of reals, where kernels are near enough in height to be added as they are. */
  #logDensityAt(place: number): number {
    const centres = this.#centres, inverses = this.#inverses, heights = this.#constants;
    let sum = 0;
    for (let k = 0; k <= this.count; k++) {
      const z = (place - centres[k]) * inverses[k], halfSquare = z * z / 2;
      if (halfSquare < NEGLIGIBLE) sum += heights[k] * Math.exp(-halfSquare);
    }
    return Math.log(sum);
  }

  /** Log of a kernel's part. Factors only make it less, so below `bound` it may stop early. */
  #logKernel(kernel: number, places: Float64Array, bound: number): number {
    const D = this.axes.length, centres = this.#centres, logs = this.#logs, start = kernel * D;
    let log = this.#constants[kernel], d = 0;
    for (; d < this.#reals; d++) {
      const observed = centres[start + d];
      log += observed === places[d] ? logs[3 * d + 1] : observed < 0 ? logs[3 * d + 2] : logs[3 * d];
    }
    for (; d < this.#grids && log >= bound; d++) {
      const z = (places[d] - centres[start + d]) * this.#inverses[start + d];
      log -= z * z / 2;
    }
    for (; d < D && log >= bound; d++) log += this.#logCell(d, centres[start + d]);
    return log;
  }

  #prepareGrids(places: Float64Array): void {
    for (let d = this.#grids; d < this.axes.length; d++) {
      const { masses, count } = this.#shapes[d], one = this.axes[d].one as Numerical;
      masses.fill(NaN, 0, count);
      cellOf(one, places[d], this.#cells, 2 * d);
    }
  }

  /** Log mass of one shape on the interval of the value asked for; worked out once per point. */
  #logCell(d: number, shape: number): number {
    const { pairs, masses } = this.#shapes[d], cells = this.#cells;
    if (Number.isNaN(masses[shape])) {
      const centre = pairs[2 * shape], inverse = pairs[2 * shape + 1];
      masses[shape] = logMass((cells[2 * d] - centre) * inverse, (cells[2 * d + 1] - centre) * inverse);
    }
    return masses[shape];
  }
}

function snap(one: Numerical, place: number): number {
  return toReal(one, fromReal(one, place));
}

/** The interval of reals that stands for one value of a grid, in out[at], out[at + 1]. */
function cellOf(one: Numerical, place: number, out: Float64Array, at: number): void {
  const half = stepOf(one) / 2, isLog = one.isLog === true;
  const value = isLog ? fromReal(one, place) : place;
  out[at] = isLog ? Math.log(value - half) : value - half;
  out[at + 1] = isLog ? Math.log(value + half) : value + half;
}
