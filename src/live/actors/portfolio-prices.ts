/**
 * Last prices and the returns of the step that is arriving: what the event engine reads from adjusted closes,
 * kept bar by bar.
 *
 *     market of step t ──take──> close      next step, or a decision ──settle──> returns of t; base = close
 *     split 2:1        close and base halved      dividend d      base - d       (market/adjust.ts, forward)
 *
 * A step's returns are settled late, so that a revision of its bars still counts.
 */
import { BAR_FIELDS, type MarketFact, type NoticeFact } from "../message.ts";

const CLOSE = BAR_FIELDS.indexOf("close"), WIDTH = BAR_FIELDS.length;

export class StepPrices {
  /** (N) last close as traded; NaN before the first. */
  readonly close: Float64Array;
  /** (N) when it was; -Infinity before the first. */
  readonly at: Float64Array;
  /** Newest step, UTC ms. */
  step = -Infinity;
  /** (N) what the step's return starts from. */
  readonly #base: Float64Array;
  readonly #returns: Float64Array;
  #isSettled = true;

  constructor(instruments: number) {
    this.close = new Float64Array(instruments).fill(NaN);
    this.at = new Float64Array(instruments).fill(-Infinity);
    this.#base = new Float64Array(instruments).fill(NaN);
    this.#returns = new Float64Array(instruments);
  }

  /** Bars of one close time; of a new step only after `settle`. Earlier ones count if they are the last. */
  take({ at, instrument, bars }: MarketFact): void {
    if (at > this.step) { this.step = at; this.#isSettled = false; }
    for (let k = 0; k < instrument.length; k++) {
      const i = instrument[k], close = bars[k * WIDTH + CLOSE];
      if (!(close > 0) || at < this.at[i]) continue;
      this.close[i] = close;
      this.at[i] = at;
      // A revision after its return was settled: the next return starts from it.
      if (this.#isSettled || at < this.step) this.#base[i] = close;
    }
  }

  /** A split or dividend that is ex before the next bar. */
  adjust({ instrument: i, what, value }: NoticeFact): void {
    if (!(value > 0)) return;
    if (what === "dividend" && value < this.#base[i]) this.#base[i] -= value;
    if (what !== "split") return;
    this.close[i] /= value;
    this.#base[i] /= value;
  }

  /**
   * (N) returns of the newest step, once; null when they were given already, or when all that have a bar had
   * none before. Reused: copy to keep.
   */
  settle(): Float64Array | null {
    if (this.#isSettled) return null;
    this.#isSettled = true;
    let isKnown = false;
    for (let i = 0; i < this.close.length; i++) {
      const isNew = this.at[i] === this.step, hasBase = isNew && this.#base[i] > 0;
      this.#returns[i] = hasBase ? this.close[i] / this.#base[i] - 1 : 0;
      if (isNew) this.#base[i] = this.close[i];
      isKnown ||= hasBase;
    }
    return isKnown ? this.#returns : null;
  }
}
