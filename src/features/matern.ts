/**
 * Negative log marginal likelihood of n equally spaced observations under a Gaussian process, and
 * its gradient.
 *
 *   plain     k(x, x') = s^2 (1 + l) exp(-l),  l = sqrt 3 |x - x'| / length         (Matern 3/2)
 *   change    k_1 (1 - w(x)) (1 - w(x')) + k_2 w(x) w(x'),  w(x) = 1 / (1 + e^(-steepness (x - c)))
 *
 * plus noise^2 on the diagonal (Saatci, Turner, Rasmussen, ICML 2010; Wood, Roberts, Zohren 2021).
 *
 * No matrix of n x n is made. A Matern 3/2 process on a line is a two-dimensional Markov process
 * (f, f'), and the change kernel is the covariance of (1 - w) f_1 + w f_2 with f_1, f_2
 * independent, so that a Kalman filter over four numbers gives the same likelihood in O(n) instead
 * of O(n^3) (Hartikainen, Sarkka, MLSP 2010):
 *
 *        z = (f_1, f_1', f_2, f_2')    z[k] = A z[k-1] + q,  q ~ N(0, Q)    y[k] = h[k] z[k] + noise
 *        h = (1 - w, 0, w, 0)           A, Q: one 2 x 2 block a kernel
 *
 * The gradient is the same recursion backwards (the adjoint of each line of `forward`, marked by
 * its number). The oracle is the dense likelihood by Cholesky in numpy
 * (test/fixtures/change-point.py), and finite differences.
 *
 * Parameters: plain (ln length, ln s, ln noise); change (ln length_1, ln s_1, ln length_2, ln s_2,
 * ln noise, c, ln steepness), with x = 0..n-1 and c in the same unit.
 */
import { assert } from "../base/assert.ts";

export const PLAIN_PARAMETERS = 3, CHANGE_PARAMETERS = 7;

/**
 * Numbers kept of one row for the way back: z (4), P (16) after and before the observation, v (4),
 * S, e, w.
 */
const Z = 0, P = 4, PRIOR_Z = 20, PRIOR_P = 24, V = 40, S = 44, E = 45, W = 46, KEPT = 47;

const SQRT3 = Math.sqrt(3), LOG_2PI = Math.log(2 * Math.PI);

/**
 * One kernel's transition over a step of 1: a = e^-l, A = a [[1+l, 1], [-l^2, 1-l]], Q = P0 - A P0
 * A'.
 */
interface Step { l: number; s2: number; a: number; A: Float64Array; Q: Float64Array }

export class MaternLikelihood {
  /** Kernels: 1 plain, 2 change; numbers of z. */
  readonly #kernels: 1 | 2;
  readonly #size: number;
  readonly #kept: Float64Array;
  readonly #steps: Step[];
  readonly #zBar = new Float64Array(4);
  readonly #pBar = new Float64Array(16);
  readonly #next = new Float64Array(16);
  readonly #left = new Float64Array(16);
  readonly #h = new Float64Array(4);
  readonly #vBar = new Float64Array(4);
  /** Adjoints of A and Q, one 2 x 2 block a kernel. */
  readonly #aBar = new Float64Array(8);
  readonly #qBar = new Float64Array(8);

  constructor(kind: "plain" | "change", rowsMax: number) {
    this.#kernels = kind === "plain" ? 1 : 2;
    this.#size = 2 * this.#kernels;
    this.#kept = new Float64Array(rowsMax * KEPT);
    this.#steps = Array.from({ length: this.#kernels }, () =>
      ({ l: 0, s2: 0, a: 0, A: new Float64Array(4), Q: new Float64Array(4) }));
  }

  /**
   * The negative log likelihood of y[0..n-1] at `parameters`, in nats; writes its gradient unless
   * that is null.
   */
  evaluate(y: Float64Array, n: number, parameters: Float64Array,
    gradient: Float64Array | null): number {
    assert(n * KEPT <= this.#kept.length, "more rows than this likelihood was made for");
    const noise2 = Math.exp(2 * parameters[2 * this.#kernels]);
    this.#prepare(parameters);
    const value = this.#forward(y, n, noise2, parameters);
    if (gradient !== null) this.#backward(n, noise2, parameters, gradient);
    return value;
  }

  #prepare(parameters: Float64Array): void {
    for (let b = 0; b < this.#kernels; b++) {
      const step = this.#steps[b], { A, Q } = step;
      const l = SQRT3 * Math.exp(-parameters[2 * b]), s2 = Math.exp(2 * parameters[2 * b + 1]),
        a = Math.exp(-l);
      step.l = l; step.s2 = s2; step.a = a;
      A[0] = a * (1 + l); A[1] = a; A[2] = -a * l * l; A[3] = a * (1 - l);
      Q[0] = s2 * (1 - a * a * (1 + 2 * l + 2 * l * l));
      Q[1] = Q[2] = 2 * s2 * a * a * l * l * l;
      Q[3] = s2 * l * l * (1 - a * a * (1 - 2 * l + 2 * l * l));
    }
  }

  /** h of row k, from the weight w of the later kernel. */
  #observe(w: number): void {
    this.#h[0] = this.#kernels === 1 ? 1 : 1 - w;
    this.#h[2] = w;
  }

  #forward(y: Float64Array, n: number, noise2: number, parameters: Float64Array): number {
    const kept = this.#kept, D = this.#size, h = this.#h;
    const c = parameters[5], steepness = this.#kernels === 2 ? Math.exp(parameters[6]) : 0;
    let total = 0;
    for (let k = 0; k < n; k++) {
      const at = k * KEPT, w = this.#kernels === 2 ? 1 / (1 + Math.exp(-steepness * (k - c))) : 0;
      this.#observe(w);
      if (k === 0) this.#begin(); else this.#predict(at); // (1) prior z, P
      let seen = 0, variance = noise2;
      for (let i = 0; i < D; i++) {
        const v = kept[at + PRIOR_P + i * D] * h[0]
          + (D === 4 ? kept[at + PRIOR_P + i * D + 2] * h[2] : 0);
        kept[at + V + i] = v; // (2) v = P h
        seen += h[i] * kept[at + PRIOR_Z + i];
        variance += h[i] * v; // (3) S = h v + noise^2
      }
      const error = y[k] - seen; // (4) e = y - h z
      for (let i = 0; i < D; i++) {
        const gain = kept[at + V + i] / variance;
        kept[at + Z + i] = kept[at + PRIOR_Z + i] + gain * error; // (5) z + v e / S
        for (let j = 0; j < D; j++) {
          const cell = i * D + j;
          kept[at + P + cell] = kept[at + PRIOR_P + cell] - gain * kept[at + V + j]; // (6) P - v v' / S
        }
      }
      kept[at + S] = variance;
      kept[at + E] = error;
      kept[at + W] = w;
      total += 0.5 * (Math.log(variance) + error * error / variance + LOG_2PI); // (7)
    }
    return total;
  }

  /** The prior of row 0: the process at rest, P0 = s^2 diag(1, l^2). */
  #begin(): void {
    const kept = this.#kept, D = this.#size;
    kept.fill(0, PRIOR_Z, PRIOR_P + D * D);
    for (let b = 0; b < this.#kernels; b++) {
      const { l, s2 } = this.#steps[b], diagonal = PRIOR_P + 2 * b * (D + 1);
      kept[diagonal] = s2;
      kept[diagonal + D + 1] = s2 * l * l;
    }
  }

  /** Prior z = A z, P = A P A' + Q, from the row before. */
  #predict(at: number): void {
    const kept = this.#kept, D = this.#size, left = this.#left, from = at - KEPT;
    for (let b = 0; b < this.#kernels; b++) {
      const { A } = this.#steps[b], i = 2 * b;
      const f = kept[from + Z + i], g = kept[from + Z + i + 1];
      kept[at + PRIOR_Z + i] = A[0] * f + A[1] * g;
      kept[at + PRIOR_Z + i + 1] = A[2] * f + A[3] * g;
      for (let j = 0; j < D; j++) {
        const upper = kept[from + P + i * D + j], lower = kept[from + P + (i + 1) * D + j];
        left[i * D + j] = A[0] * upper + A[1] * lower;
        left[(i + 1) * D + j] = A[2] * upper + A[3] * lower;
      }
    }
    for (let b = 0; b < this.#kernels; b++) {
      const { A, Q } = this.#steps[b], j = 2 * b;
      for (let i = 0; i < D; i++) {
        const f = left[i * D + j], g = left[i * D + j + 1];
        kept[at + PRIOR_P + i * D + j] = f * A[0] + g * A[1];
        kept[at + PRIOR_P + i * D + j + 1] = f * A[2] + g * A[3];
      }
      const diagonal = at + PRIOR_P + j * (D + 1);
      kept[diagonal] += Q[0];
      kept[diagonal + 1] += Q[1];
      kept[diagonal + D] += Q[2];
      kept[diagonal + D + 1] += Q[3];
    }
  }

  #backward(n: number, noise2: number, parameters: Float64Array, gradient: Float64Array): void {
    const kept = this.#kept, D = this.#size, h = this.#h, zBar = this.#zBar, pBar = this.#pBar,
      vBar = this.#vBar;
    const isChange = this.#kernels === 2, noise = 2 * this.#kernels;
    zBar.fill(0); pBar.fill(0); this.#aBar.fill(0); this.#qBar.fill(0); gradient.fill(0);
    for (let k = n - 1; k >= 0; k--) {
      const at = k * KEPT, s = kept[at + S], e = kept[at + E], w = kept[at + W];
      this.#observe(w);
      let zv = 0, vpv = 0;
      for (let i = 0; i < D; i++) {
        let u = 0;
        for (let j = 0; j < D; j++) u += pBar[i * D + j] * kept[at + V + j];
        zv += zBar[i] * kept[at + V + i];
        vpv += u * kept[at + V + i];
        vBar[i] = (zBar[i] * e - 2 * u) / s; // (5), (6)
      }
      const eBar = (zv + e) / s; // (5), (7)
      const sBar = (vpv - zv * e - 0.5 * e * e) / (s * s) + 0.5 / s; // (5), (6), (7)
      gradient[noise] += 2 * noise2 * sBar; // (3)
      for (let i = 0; i < D; i++) vBar[i] += sBar * h[i]; // (3)
      if (isChange) {
        const slope = w * (1 - w) * (this.#hBar(at, 2, eBar, sBar) - this.#hBar(at, 0, eBar, sBar));
        const steepness = Math.exp(parameters[6]);
        gradient[5] -= slope * steepness;
        gradient[6] += slope * steepness * (k - parameters[5]);
      }
      for (let i = 0; i < D; i++) {
        zBar[i] -= eBar * h[i]; // (4)
        for (let j = 0; j < D; j++) pBar[i * D + j] += 0.5
          * (vBar[i] * h[j] + h[i] * vBar[j]); // (2)
      }
      if (k > 0) this.#unpredict(at - KEPT); // (1)
    }
    this.#collect(gradient);
  }

  /** Adjoint of h[i]: of (2), (3) and (4). */
  #hBar(at: number, i: number, eBar: number, sBar: number): number {
    const kept = this.#kept, D = this.#size;
    let sum = sBar * kept[at + V + i] - eBar * kept[at + PRIOR_Z + i];
    for (let j = 0; j < D; j++) sum += kept[at + PRIOR_P + i * D + j] * this.#vBar[j];
    return sum;
  }

  /**
   * Adjoint of #predict: from z, P before row k (at `from`) and the adjoints of its prior to those
   * of z, P, A, Q.
   */
  #unpredict(from: number): void {
    const kept = this.#kept, D = this.#size, zBar = this.#zBar, pBar = this.#pBar,
      next = this.#next;
    for (let b = 0; b < this.#kernels; b++) {
      const { A } = this.#steps[b], j = 2 * b;
      for (let i = 0; i < D; i++) { // next = pBar A
        const f = pBar[i * D + j], g = pBar[i * D + j + 1];
        next[i * D + j] = f * A[0] + g * A[2];
        next[i * D + j + 1] = f * A[1] + g * A[3];
      }
    }
    for (let b = 0; b < this.#kernels; b++) {
      for (let r = 0; r < 2; r++) {
        const i = 2 * b + r;
        for (let q = 0; q < 2; q++) {
          const j = 2 * b + q, cell = 4 * b + 2 * r + q;
          let sum = zBar[i] * kept[from + Z + j];
          for (let m = 0; m < D; m++) sum += 2 * next[i * D + m] * kept[from + P + m * D + j];
          this.#aBar[cell] += sum;
          this.#qBar[cell] += pBar[i * D + j];
        }
      }
    }
    for (let b = 0; b < this.#kernels; b++) {
      const { A } = this.#steps[b], i = 2 * b, f = zBar[i], g = zBar[i + 1];
      zBar[i] = A[0] * f + A[2] * g;
      zBar[i + 1] = A[1] * f + A[3] * g;
      for (let j = 0; j < D; j++) { // pBar = A' next
        const upper = next[i * D + j], lower = next[(i + 1) * D + j];
        pBar[i * D + j] = A[0] * upper + A[2] * lower;
        pBar[(i + 1) * D + j] = A[1] * upper + A[3] * lower;
      }
    }
  }

  /**
   * From the adjoints of A, Q and P0 (which pBar now holds) to ln length and ln s of each kernel.
   */
  #collect(gradient: Float64Array): void {
    const D = this.#size, aBar = this.#aBar, qBar = this.#qBar;
    for (let b = 0; b < this.#kernels; b++) {
      const { l, s2, a, Q } = this.#steps[b], c = 4 * b, corner = 2 * b * (D + 1);
      const rest0 = this.#pBar[corner], rest1 = this.#pBar[corner + D + 1], a2 = a * a;
      const byL = a * (-l * aBar[c] - aBar[c + 1] + l * (l - 2) * aBar[c + 2] + (l - 2)
        * aBar[c + 3])
        + 4 * s2 * a2 * l * l * qBar[c] + 2 * s2 * a2 * l * l * (3 - 2 * l)
          * (qBar[c + 1] + qBar[c + 2])
        + (2 * Q[3] / l + 4 * s2 * a2 * l * l * (1 - l) * (1 - l)) * qBar[c + 3] + 2 * l * s2
          * rest1;
      gradient[2 * b] = -l * byL;
      gradient[2 * b + 1] = 2 * (Q[0] * qBar[c] + Q[1] * (qBar[c + 1] + qBar[c + 2]) + Q[3]
        * qBar[c + 3]
        + s2 * rest0 + s2 * l * l * rest1);
    }
  }
}
