/**
 * Bars of one instrument as traded, in order of time, and the splits and dividends that adjust them when they
 * are said as history: with the factors and by the code of the batch (market/adjust.ts).
 *
 *   rows   | ... history ... | ... streamed ... | free        at the bound the oldest half goes
 *   owed   actions whose ex-date no row has reached yet: they change nothing so far
 */
import { actionFactors, adjustBars, owedActions } from "../../market/adjust.ts";
import type { Bars, CorporateAction, Timeframe } from "../../market/bars.ts";
import type { Calendar } from "../../market/calendar.ts";
import { instrument } from "../../market/instrument.ts";
import type { Adjustment } from "../../market/sources/source.ts";
import { BAR_FIELDS } from "../message.ts";

export const WIDTH = BAR_FIELDS.length;
const CLOSE = BAR_FIELDS.indexOf("close");

export interface BarStoreOptions {
  readonly symbol: string;
  readonly timeframe: Timeframe;
  readonly calendar: Calendar;
  /** Rows kept at most, >= 64. */
  readonly rowsMax: number;
}

export class BarStore {
  readonly #options: BarStoreOptions;
  #time = new Float64Array(64);
  #rows = new Float64Array(64 * WIDTH);
  #count = 0;
  #actions: CorporateAction[] = [];
  #owed: CorporateAction[] = [];
  #adjustment: Adjustment = "raw";

  constructor(options: BarStoreOptions) { this.#options = options; }

  /** Close of the newest row; -Infinity before the first. */
  get time(): number { return this.#count === 0 ? -Infinity : this.#time[this.#count - 1]; }

  /** The newest close price before a bar of this close, per share of then; NaN: there is none. */
  closeBefore(at: number): number {
    if (!(this.time < at)) return NaN;
    const { calendar } = this.#options, close = this.#rows[(this.#count - 1) * WIDTH + CLOSE];
    if (this.#owed.length === 0) return close;
    const today = calendar.sessionDay(at);
    return this.#owed.reduce((price, { kind, exTime, value }) =>
      kind === "split" && calendar.sessionDay(exTime) <= today ? price / value : price, close);
  }

  /** Takes in the history of an instrument, before anything else. */
  load(bars: Bars, actions: readonly CorporateAction[], adjustment: Adjustment): void {
    const columns = BAR_FIELDS.map((name) => bars.columns[name]), row = new Float64Array(WIDTH);
    this.#adjustment = adjustment;
    for (let t = Math.max(0, bars.time.length - this.#options.rowsMax); t < bars.time.length; t++) {
      for (let j = 0; j < WIDTH; j++) row[j] = columns[j]?.[t] ?? NaN;
      this.put(bars.time[t], row, 0);
    }
    for (const action of owedActions(adjustment, actions)) this.owe(action);
    this.applyDue(this.time);
  }

  /** Adds a row, or replaces the one of this close. What one of them does not say (NaN) is no difference. */
  put(at: number, rows: Float64Array, from: number): "added" | "known" | "replaced" {
    let place = this.#count;
    while (place > 0 && this.#time[place - 1] > at) place--;
    const values = rows.subarray(from, from + WIDTH);
    if (place > 0 && this.#time[place - 1] === at) {
      const here = this.#rows.subarray((place - 1) * WIDTH, place * WIDTH);
      const isSame = here.every((value, j) =>
        value === values[j] || Number.isNaN(value) || Number.isNaN(values[j]));
      if (isSame) return "known";
      here.set(values);
      return "replaced";
    }
    if (this.#count === this.#time.length) place = this.#makeRoom(place);
    this.#time.copyWithin(place + 1, place, this.#count);
    this.#rows.copyWithin((place + 1) * WIDTH, place * WIDTH, this.#count * WIDTH);
    this.#time[place] = at;
    this.#rows.set(values, place * WIDTH);
    this.#count++;
    return "added";
  }

  /** A split or dividend: it counts from the first row of its ex-date on. */
  owe(action: CorporateAction): void {
    const isKnown = [...this.#actions, ...this.#owed].some((one) =>
      one.kind === action.kind && one.exTime === action.exTime && one.value === action.value);
    if (!isKnown) this.#owed.push(action);
  }

  /** Moves those that a row of this close has reached and tells them: history reads otherwise now. */
  applyDue(at: number): readonly CorporateAction[] {
    if (this.#owed.length === 0) return this.#owed;
    const { calendar } = this.#options, today = calendar.sessionDay(at);
    const isDue = (action: CorporateAction): boolean => calendar.sessionDay(action.exTime) <= today;
    const due = this.#owed.filter(isDue);
    this.#owed = this.#owed.filter((action) => !isDue(action));
    this.#actions = [...this.#actions, ...due].sort((a, b) => a.exTime - b.exTime);
    return due;
  }

  /** All rows, adjusted. UserError for a dividend that is not below the price it is paid from. */
  history(): { readonly time: Float64Array; readonly rows: Float64Array } {
    const { symbol, timeframe, calendar } = this.#options, T = this.#count;
    const columns = Object.fromEntries(BAR_FIELDS.map((name, j) =>
      [name, Float64Array.from({ length: T }, (_, t) => this.#rows[t * WIDTH + j])]));
    const bars: Bars = { instrument: instrument(symbol), kind: "bars", timeframe, columns,
      time: this.#time.slice(0, T) };
    const factors = actionFactors(bars, this.#actions, this.#adjustment, calendar);
    const adjusted = adjustBars(bars, this.#actions, factors,
      { mode: "total", adjustment: this.#adjustment, calendar });
    const rows = new Float64Array(T * WIDTH);
    BAR_FIELDS.forEach((name, j) => {
      const values = adjusted.columns[name]!;
      for (let t = 0; t < T; t++) rows[t * WIDTH + j] = values[t];
    });
    return { time: bars.time, rows };
  }

  /** Twice the space, up to the bound; there the oldest half goes. Returns where `place` is now. */
  #makeRoom(place: number): number {
    const { rowsMax } = this.#options, size = this.#time.length;
    const space = Math.max(size, Math.min(size * 2, rowsMax)), gone = space === size ? size >> 1 : 0;
    const time = new Float64Array(space), rows = new Float64Array(space * WIDTH);
    time.set(this.#time.subarray(gone));
    rows.set(this.#rows.subarray(gone * WIDTH));
    this.#time = time;
    this.#rows = rows;
    this.#count -= gone;
    return Math.max(0, place - gone);
  }
}
