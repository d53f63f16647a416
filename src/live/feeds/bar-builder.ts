/**
 * Trades, or shorter bars, to the session's bars.
 *
 *   trade  10:00:00.000 ... 10:00:59.999 | 10:01:00.000         a trade on the boundary opens the next bar
 *   bar    [ open first, high, low, close last, volume, vwap, trades ]  closes 10:01, said when a later
 *                                                                part of any instrument has come, or in time
 *
 * A part is a row of BAR_FIELDS; a trade is one whose four prices are the same. A bar has a part at least.
 */
import { TIMEFRAMES, type Timeframe } from "../../market/bars.ts";
import type { Calendar } from "../../market/calendar.ts";
import { BAR_FIELDS } from "../message.ts";

const WIDTH = BAR_FIELDS.length;
const [, HIGH, LOW, CLOSE, VOLUME, VWAP, TRADES] = BAR_FIELDS.map((_, j) => j);

/** From a moment to the close of its bar; NaN: it has none (daily bars are of the regular session). */
export function barCloses(timeframe: Timeframe, calendar: Calendar): (time: number) => number {
  const length = TIMEFRAMES[timeframe];
  if (timeframe !== "1d") return (time) => (Math.floor(time / length) + 1) * length;
  return (time) => {
    const session = calendar.session(calendar.sessionDay(time));
    return session !== null && time >= session.open && time < session.close ? session.close : NaN;
  };
}

export class BarBuilder {
  /** Parts of bars that were made already. */
  late = 0;
  readonly #closeOf: (time: number) => number;
  /** (N, WIDTH), `vwap` the sum of price x size so far; (N) close of the bar being made, NaN: none. */
  readonly #rows: Float64Array;
  readonly #close: Float64Array;
  #madeAt = -Infinity;
  /** Newest close that has a part. */
  #current = -Infinity;

  constructor(instruments: number, closeOf: (time: number) => number) {
    this.#closeOf = closeOf;
    this.#rows = new Float64Array(instruments * WIDTH);
    this.#close = new Float64Array(instruments).fill(NaN);
  }

  /** Takes in a part of a moment; bars that are finished by it are made first. */
  take(time: number, instrument: number, part: Float64Array, from: number, make: Make): void {
    const close = this.#closeOf(time);
    if (Number.isNaN(close)) return;
    if (close <= this.#madeAt || close < this.#current) { this.late++; return; }
    if (close > this.#current) {
      this.finish(close - 1, make);
      this.#current = close;
    }
    const own = this.#rows.subarray(instrument * WIDTH, (instrument + 1) * WIDTH), size = part[from + VOLUME];
    const weighted = (Number.isNaN(part[from + VWAP]) ? part[from + CLOSE] : part[from + VWAP]) * size;
    if (this.#close[instrument] !== close) {
      this.#close[instrument] = close;
      own.set(part.subarray(from, from + WIDTH));
      own[VWAP] = weighted;
      return;
    }
    own[HIGH] = Math.max(own[HIGH], part[from + HIGH]);
    own[LOW] = Math.min(own[LOW], part[from + LOW]);
    own[CLOSE] = part[from + CLOSE];
    own[VOLUME] += size;
    own[VWAP] += weighted;
    own[TRADES] += part[from + TRADES];
  }

  /** Makes all bars that close up to `upTo`, by close, then instrument. */
  finish(upTo: number, make: Make): void {
    for (;;) {
      let next = Infinity;
      for (const close of this.#close) if (close < next) next = close;
      if (next === Infinity || next > upTo) return;
      this.#madeAt = next;
      this.#close.forEach((close, i) => {
        if (close !== next) return;
        const from = i * WIDTH, volume = this.#rows[from + VOLUME];
        this.#rows[from + VWAP] = volume > 0 ? this.#rows[from + VWAP] / volume : this.#rows[from + CLOSE];
        this.#close[i] = NaN;
        make(next, i, this.#rows, from);
      });
    }
  }

  /** Forgets bars that are being made, up to this close: some of their parts were not heard. */
  abandon(upTo: number): void {
    this.#close.fill(NaN);
    this.#madeAt = Math.max(this.#madeAt, this.#current, upTo);
  }
}
/** Told of each bar that is made; the row is valid during the call. */
export type Make = (close: number, instrument: number, rows: Float64Array, from: number) => void;

