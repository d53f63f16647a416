/**
 * What several members say, as one decision: the only place where that is computed, for the backtest's
 * `ensemble:` (ensemble.ts) and for the live aggregator and meta-learner (live/actors).
 *
 *   member m at row b:  position p_m, confidence c_m, weight w_m (of the mixture, sum 1)
 *
 *   position = sum of u_m p_m     u_m = w_m                  all members are there: as the mixture says
 *                                 u_m = w_m / sum            one is missing: the others share its part
 *                                 u_m = w_m c_m / sum        weighted by confidence
 *
 * and volatility and confidence likewise. Sums run in the order of the members, so that equal answers give
 * equal bits.
 */
import { updateMixture } from "../../models/meta.ts";
import type { Decision } from "./strategy.ts";

/** What the mixture learns from: the return of a bar and the volatility by which positions are sized. */
export const MIXTURE_FEATURES = { earned: "ret_1d", volatility: "daily_vol" } as const;
/**
 * Of the exponentiated gradient, on captured returns in deviations of one bar: of two members at 15 % a
 * year, a lead of 5 % shifts the odds by e in a year of days. And the share dealt out anew at each date:
 * what a member has lost is forgotten over about a year.
 */
const RATE = 0.2;
const SHARE = 1 / 252;

export interface CombineOptions {
  /** Weights are multiplied by each member's own confidence at the row. */
  readonly isConfidenceWeighted?: boolean;
}

/**
 * (B) what members say together. `said` (M): null for a member that is missing or not to be trusted.
 * `weightsOf` (M): the mixture at a row, sum 1. A row of which nobody is sure is flat (position 0), with the
 * first member's volatility. At least one member is there.
 */
export function combineDecisions(said: readonly (Decision | null)[],
  weightsOf: (b: number) => readonly number[],
  { isConfidenceWeighted = false }: CombineOptions = {}): Decision {
  const here = said.flatMap((one, m) => one === null ? [] : [{ one, m }]);
  const B = here[0].one.position.length, isWhole = here.length === said.length && !isConfidenceWeighted;
  const position = new Float32Array(B), volatility = new Float32Array(B), confidence = new Float32Array(B);
  const share = new Float64Array(here.length);
  for (let b = 0; b < B; b++) {
    const weights = weightsOf(b);
    let total = 0;
    for (let k = 0; k < here.length; k++) {
      const { one, m } = here[k];
      share[k] = isConfidenceWeighted ? weights[m] * confidenceOf(one, b) : weights[m];
      total += share[k];
    }
    if (!(total > 0)) {
      volatility[b] = here[0].one.volatility[b];
      continue;
    }
    let p = 0, v = 0, c = 0;
    for (let k = 0; k < here.length; k++) {
      const { one } = here[k], own = isWhole ? share[k] : share[k] / total;
      p += own * one.position[b];
      v += own * one.volatility[b];
      c += own * confidenceOf(one, b);
    }
    position[b] = p;
    volatility[b] = v;
    confidence[b] = c;
  }
  return { position, volatility, confidence };
}

/** A strategy of the user's may have none. */
const confidenceOf = (one: Partial<Decision>, b: number): number => one.confidence?.[b] ?? 1;

/** What members said of an instrument's last row, which is known by its volatility. */
interface Held {
  /** (M) */
  readonly positions: Float64Array;
  volatility: number;
}

/**
 * The weights of M members over a run: a fixed-share mixture, which starts equal and follows what each
 * member's own positions captured. At each date, in this order:
 *
 *     earn(...) for each instrument decided on     what its last bar brought to the positions held
 *     learn()                                      -> the weights of this date
 *     hold(...) for each instrument decided on     what is held from here
 */
export class AdaptiveMixture {
  /** (M) sum 1. */
  weights: readonly number[];
  readonly #start: readonly number[];
  readonly #held = new Map<string | number, Held>();
  readonly #captured: Float64Array;
  #count = 0;

  /** `start` (M): weights to go on from; equal ones unless given. */
  constructor(M: number, start: readonly number[] = Array.from({ length: M }, () => 1 / M)) {
    this.#start = start;
    this.weights = start;
    this.#captured = new Float64Array(M);
  }

  /** Begins a new run. */
  restart(): void {
    this.weights = this.#start;
    this.#held.clear();
    this.#captured.fill(0);
    this.#count = 0;
  }

  /**
   * The last bar of an instrument: its return, and the volatility of the row before it. The last row held may
   * not be the row before: after a hole in the data it is not, and nothing is learned.
   */
  earn(instrument: string | number, earned: number, volatilityBefore: number): void {
    const last = this.#held.get(instrument);
    if (last === undefined || last.volatility !== volatilityBefore || volatilityBefore === 0) return;
    const score = earned / volatilityBefore;
    for (let m = 0; m < this.#captured.length; m++) this.#captured[m] += last.positions[m] * score;
    this.#count++;
  }

  /** One step on what was earned since the last one; the weights (M). */
  learn(): readonly number[] {
    const count = this.#count;
    if (count > 0) {
      const means = Array.from(this.#captured, (sum) => sum / count);
      this.weights = updateMixture(this.weights, means, { rate: RATE, share: SHARE });
      this.#captured.fill(0);
      this.#count = 0;
    }
    return this.weights;
  }

  /** What each member holds of an instrument from this row on, which has this volatility. */
  hold(instrument: string | number, positionOf: (m: number) => number, volatility: number): void {
    let held = this.#held.get(instrument);
    if (held === undefined) {
      held = { positions: new Float64Array(this.#captured.length), volatility };
      this.#held.set(instrument, held);
    }
    held.volatility = volatility;
    for (let m = 0; m < held.positions.length; m++) held.positions[m] = positionOf(m);
  }
}
