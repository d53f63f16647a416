/**
 * BFGS with a backtracking line search (Nocedal, Wright, "Numerical Optimization", 2nd ed.,
 * algorithms 3.1 and 6.1), for a handful of variables. Variables live in a box through x = low +
 * (high - low) / (1 + e^-u); the search is over u, so that it can neither leave the box nor stop on
 * its wall. Deterministic; allocates nothing after construction.
 */
export type Objective = (x: Float64Array, gradient: Float64Array) => number;

/** Sufficient decrease, and the halvings tried before a direction is given up. */
const ARMIJO = 1e-4, HALVINGS_MAX = 12;
/** No step changes a variable of the search by more than this. */
const STEP_MAX = 2;
/** Starts this near to a wall (as a share of the box) are moved inside, where there is a slope. */
const WALL = 1e-3;

export class Minimiser {
  readonly #low: Float64Array;
  readonly #high: Float64Array;
  readonly #inverse: Float64Array;
  readonly #u: Float64Array;
  readonly #trial: Float64Array;
  readonly #slope: Float64Array;
  readonly #newSlope: Float64Array;
  readonly #direction: Float64Array;
  readonly #product: Float64Array;
  readonly #gradient: Float64Array;

  constructor(low: readonly number[], high: readonly number[]) {
    const n = low.length, vector = (): Float64Array => new Float64Array(n);
    this.#low = Float64Array.from(low);
    this.#high = Float64Array.from(high);
    this.#inverse = new Float64Array(n * n);
    this.#u = vector(); this.#trial = vector(); this.#slope = vector(); this.#newSlope = vector();
    this.#direction = vector(); this.#product = vector(); this.#gradient = vector();
  }

  /**
   * Lowers `objective` from `x` (changed to the best point found) until an iteration gains less
   * than `tolerance` or `iterationsMax` are over. Returns the objective there.
   */
  minimise(objective: Objective, x: Float64Array, tolerance: number,
    iterationsMax: number): number {
    const n = x.length;
    for (let i = 0; i < n; i++) {
      const share = (x[i] - this.#low[i]) / (this.#high[i] - this.#low[i]),
        inside = Math.max(WALL, Math.min(1 - WALL, share));
      this.#u[i] = Math.log(inside / (1 - inside));
    }
    let value = this.#value(objective, this.#u, x, this.#slope);
    this.#reset(n);
    for (let iteration = 0; iteration < iterationsMax; iteration++) {
      const descent = this.#aim(n);
      const next = this.#search(objective, x, value, descent);
      if (Number.isNaN(next)) break;
      this.#learn(n);
      const gain = value - next;
      value = next;
      if (gain < tolerance) break;
    }
    this.#place(this.#u, x);
    return value;
  }

  #place(u: Float64Array, x: Float64Array): void {
    for (let i = 0; i < u.length; i++) x[i] = this.#low[i]
      + (this.#high[i] - this.#low[i]) / (1 + Math.exp(-u[i]));
  }

  /** The objective at u, and its slope in u. */
  #value(objective: Objective, u: Float64Array, x: Float64Array, slope: Float64Array): number {
    this.#place(u, x);
    const value = objective(x, this.#gradient);
    for (let i = 0; i < u.length; i++) {
      slope[i] = this.#gradient[i] * (x[i] - this.#low[i])
        * (this.#high[i] - x[i]) / (this.#high[i] - this.#low[i]);
    }
    return value;
  }

  #reset(n: number): void {
    this.#inverse.fill(0);
    for (let i = 0; i < n; i++) this.#inverse[i * n + i] = 1;
  }

  /** direction = -H slope; returns its descent. A direction that does not descend starts H anew. */
  #aim(n: number): number {
    for (let attempt = 0; ; attempt++) {
      let descent = 0;
      for (let i = 0; i < n; i++) {
        let sum = 0;
        for (let j = 0; j < n; j++) sum -= this.#inverse[i * n + j] * this.#slope[j];
        this.#direction[i] = sum;
        descent += sum * this.#slope[i];
      }
      if (descent < 0 || attempt === 1) return descent;
      this.#reset(n);
    }
  }

  /** Moves u along the direction to a sufficient decrease; NaN when there is none. */
  #search(objective: Objective, x: Float64Array, value: number, descent: number): number {
    const n = x.length;
    let longest = 0;
    for (let i = 0; i < n; i++) longest = Math.max(longest, Math.abs(this.#direction[i]));
    let step = longest > STEP_MAX ? STEP_MAX / longest : 1;
    for (let halving = 0; halving < HALVINGS_MAX; halving++, step /= 2) {
      for (let i = 0; i < n; i++) this.#trial[i] = this.#u[i] + step * this.#direction[i];
      const next = this.#value(objective, this.#trial, x, this.#newSlope);
      if (!(next <= value + ARMIJO * step * descent)) continue;
      for (let i = 0; i < n; i++) this.#direction[i] *= step;
      this.#u.set(this.#trial);
      return next;
    }
    return NaN;
  }

  /** The BFGS update of the inverse Hessian from the step (direction) and the change of slope. */
  #learn(n: number): void {
    const step = this.#direction, product = this.#product, inverse = this.#inverse;
    let curvature = 0;
    for (let i = 0; i < n; i++) {
      const old = this.#slope[i];
      this.#slope[i] = this.#newSlope[i];
      this.#newSlope[i] -= old;
      curvature += step[i] * this.#newSlope[i];
    }
    if (!(curvature > 1e-12)) return;
    let scale = 0;
    for (let i = 0; i < n; i++) {
      let sum = 0;
      for (let j = 0; j < n; j++) sum += inverse[i * n + j] * this.#newSlope[j];
      product[i] = sum;
      scale += sum * this.#newSlope[i];
    }
    const factor = (1 + scale / curvature) / curvature;
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        inverse[i * n + j] += factor * step[i] * step[j]
          - (step[i] * product[j] + product[i] * step[j]) / curvature;
      }
    }
  }
}
