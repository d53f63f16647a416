/**
 * Change-point severity and location of the returns (Wood, Roberts, Zohren, "Slow Momentum with
 * Fast Reversion", Journal of Financial Data Science 4, 2022; arXiv 2105.13727).
 *
 * The last l+1 returns, standardised over that window, are fitted twice by maximum marginal
 * likelihood: by one Matern 3/2 process, and by one that turns into another around a moment c
 * (matern.ts). With m the negative log likelihoods,
 *
 *   change_point_severity_l   1 - 1 / (1 + exp(m_plain - m_change))   0..1
 *   change_point_location_l   (c - (t - l)) / l                       0..1   (1 is now)
 *
 * The change kernel has the plain one as a limit and four parameters more, so that the severity
 * begins at 1/2, lies around 0.8 for white noise, and is 1 to many digits where something changed:
 * a ranking, not a probability.
 *
 *   window   | y[t-l] ............ c ............ y[t] |       x = 0 .. l, c in (0, l)
 *
 * The fit is a non-convex problem; ours is deterministic: each kernel from two starts (the change
 * kernel from the plain fit and from a fixed guess, each with its most likely moment of nine). Fits
 * see their own window only, so a row's bits depend on no earlier row. It is expensive
 * (milliseconds a bar at l = 126), hence no part of the `technical` recipe. Convention: returns
 * that are all equal have severity 0.5 at location 0.5.
 */
import { z } from "zod";
import { family, windowList } from "./family.ts";
import type { Feature } from "./feature.ts";
import { technical } from "./inputs.ts";
import { MaternLikelihood, PLAIN_PARAMETERS } from "./matern.ts";
import { Minimiser } from "./minimise.ts";
import { FLAT, scratch } from "./rolling.ts";

/** Gain of an iteration, in nats, below which a fit is over; and the most iterations. */
const TOLERANCE = 1e-5, ITERATIONS_MAX = 60;
/** Moments at which a change is tried before the search, as shares of the window. */
const MOMENTS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/** Boxes of the parameters' logarithms, for returns of variance 1 and rows as the unit of x. */
const LENGTH_LOW = Math.log(0.1), SIZE_LOW = Math.log(1e-3), SIZE_HIGH = Math.log(10);
const STEEPNESS_LOW = Math.log(0.1), STEEPNESS_HIGH = Math.log(20);

export interface ChangePoint {
  /** 0..1. */
  readonly severity: number;
  /** 0..1 of the window. */
  readonly location: number;
  /** Negative log marginal likelihoods of the two fits, nats. */
  readonly plain: number;
  readonly change: number;
}

/** Returns that are all equal. */
const NO_CHANGE = { severity: 0.5, location: 0.5 };

/**
 * Fits windows of up to `rowsMax` standardised returns. Holds its scratch, no memory between calls.
 */
export class ChangePointFit {
  readonly #plain: MaternLikelihood;
  readonly #change: MaternLikelihood;
  readonly #plainSearch: Minimiser;
  readonly #changeSearch: Minimiser;
  readonly #rows: number;

  /** `rows`: returns in a window, l + 1. */
  constructor(rows: number) {
    const lengthHigh = Math.log(10 * (rows - 1));
    this.#rows = rows;
    this.#plain = new MaternLikelihood("plain", rows);
    this.#change = new MaternLikelihood("change", rows);
    this.#plainSearch = new Minimiser([LENGTH_LOW, SIZE_LOW, SIZE_LOW],
      [lengthHigh, SIZE_HIGH, SIZE_HIGH]);
    this.#changeSearch = new Minimiser(
      [LENGTH_LOW, SIZE_LOW, LENGTH_LOW, SIZE_LOW, SIZE_LOW, 0, STEEPNESS_LOW],
      [lengthHigh, SIZE_HIGH, lengthHigh, SIZE_HIGH, SIZE_HIGH, rows - 1, STEEPNESS_HIGH]);
  }

  /** y: standardised returns, oldest first. */
  fit(y: Float64Array): ChangePoint {
    const best = new Float64Array(PLAIN_PARAMETERS);
    const plain = this.#fitPlain(y, best);
    const [change, moment] = this.#fitChange(y, best);
    return {
      severity: 1 - 1 / (1 + Math.exp(plain - change)),
      location: moment / (this.#rows - 1),
      plain,
      change,
    };
  }

  /**
   * The plain kernel, from the paper's start (all parameters 1) and from a slow process in noise.
   */
  #fitPlain(y: Float64Array, best: Float64Array): number {
    const objective = (x: Float64Array, gradient: Float64Array): number =>
      this.#plain.evaluate(y, this.#rows, x, gradient);
    let lowest = Infinity;
    for (const start of [[0, 0, 0], [Math.log(this.#rows / 4), -0.5, -0.2]]) {
      const x = Float64Array.from(start);
      const value = this.#plainSearch.minimise(objective, x, TOLERANCE, ITERATIONS_MAX);
      if (value < lowest) {
        lowest = value;
        best.set(x);
      }
    }
    return lowest;
  }

  /** The change kernel: likelihood and moment. */
  #fitChange(y: Float64Array, plain: Float64Array): [value: number, moment: number] {
    const objective = (x: Float64Array, gradient: Float64Array | null): number =>
      this.#change.evaluate(y, this.#rows, x, gradient);
    const starts = [
      [plain[0], plain[1], plain[0], plain[1], plain[2], 0, 0],
      [1.5, 0, 1.5, 0, -0.5, 0, 0],
    ].map((start) => {
      const atMoments = MOMENTS.map((share) =>
        Float64Array.from(start.with(5, share * (this.#rows - 1))));
      const values = atMoments.map((x) => objective(x, null));
      return atMoments[values.indexOf(Math.min(...values))];
    });
    let lowest = Infinity, moment = 0;
    for (const x of starts) {
      const value = this.#changeSearch.minimise(objective, x, TOLERANCE, ITERATIONS_MAX);
      if (value < lowest) {
        lowest = value;
        moment = x[5];
      }
    }
    return [lowest, moment];
  }
}

/** Mean 0 and variance 1 (ddof 0), in place; false where all are equal. */
function standardise(y: Float64Array): boolean {
  let mean = 0, variance = 0;
  for (const value of y) mean += value / y.length;
  for (const value of y) variance += (value - mean) * (value - mean) / y.length;
  if (!(variance > FLAT)) return false;
  const scale = 1 / Math.sqrt(variance);
  for (let i = 0; i < y.length; i++) y[i] = (y[i] - mean) * scale;
  return true;
}

/** State: [rows seen, last close, place in the ring, ring of the last returns]. */
const LAST = 1, PLACE = 2, RING = 3;

/** Evaluations of a fit, about, and operations of one a row. */
const EVALUATIONS = 100, FLOPS_PER_ROW = 1000;

function changePoint(windows: readonly number[]): Feature {
  const kept = Math.max(...windows) + 1;
  const fits = windows.map((window) => new ChangePointFit(window + 1));
  const cuts = windows.map((window) => new Float64Array(window + 1));
  const severities = windows.map(scratch), locations = windows.map(scratch);
  return technical({
    family: "change_point",
    columns: windows.flatMap((window) => [
      { name: `change_point_severity_${window}`, unit: "0..1", warmup: window + 1 },
      { name: `change_point_location_${window}`, unit: "0..1", warmup: window + 1 },
    ]),
    inputs: ["close"],
    flopsPerBar: EVALUATIONS * FLOPS_PER_ROW * cuts.reduce((sum, cut) => sum + cut.length, 0),
    stateLength: RING + kept,
    block(rows, state) {
      for (let i = 0; i < rows.n; i++) {
        const close = rows.close[i], at = state[PLACE];
        state[RING + at] = rows.seen + i === 0 ? 0 : close / state[LAST] - 1;
        state[LAST] = close;
        state[PLACE] = (at + 1) % kept;
        for (let k = 0; k < windows.length; k++) {
          const cut = cuts[k], length = cut.length;
          if (rows.seen + i < length) continue;
          for (let j = 0; j < length; j++) {
            cut[j] = state[RING + (at + 1 + j + kept - length) % kept];
          }
          const { severity, location } = standardise(cut) ? fits[k].fit(cut) : NO_CHANGE;
          severities[k][i] = severity;
          locations[k][i] = location;
        }
      }
      for (let k = 0; k < windows.length; k++) {
        rows.put(2 * k, severities[k]);
        rows.put(2 * k + 1, locations[k]);
      }
    },
  });
}

export const CHANGE_POINT_FAMILIES = {
  change_point: family({
    summary: "severity and location of a change in the returns (Gaussian processes; expensive)",
    version: 1,
    parameters: z.strictObject({
      windows: windowList(21, 126)
        .refine((windows) => windows.every((window) => window >= 5 && window <= 1000),
          "from 5 to 1000 bars"),
    }),
    inputs: ["close"],
    make: ({ windows }) => changePoint(windows),
  }),
};
