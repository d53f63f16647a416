/**
 * Bars as they arrive in pages, joined into one series that is proven to ascend.
 *
 *   held    ... 09:58 09:59 10:00 |
 *   page                    10:00 10:01     10:00 again: same values = duplicate, dropped; other
 *                                           values = a revision, which replaces (re-broadcast bars)
 *   page          09:57               10:03 09:57 was never sent: out of order, the page is refused
 *   page    09:58 09:59 10:00                     nothing new at all: a repeated page, refused
 *
 * Stamps are starts here, as vendors write them; toBars turns them into closes.
 */
import { formatTime, type Day } from "../../base/units.ts";
import { firstRowAt, TIMEFRAMES, type Bars, type Timeframe } from "../bars.ts";
import type { Calendar } from "../calendar.ts";
import type { Instrument } from "../instrument.ts";

/** [start ms, open, high, low, close, volume, vwap, trades]; null where the vendor has none. */
export type Row = readonly [
  start: number, open: number, high: number, low: number, close: number,
  volume: number | null, vwap: number | null, trades: number | null,
];

const FIELDS = ["start", "open", "high", "low", "close", "volume", "vwap", "trades"] as const;
const CLOSE = 4;

/** What to make of a series: sessions from..to, bars whose close is not after `now` (UTC ms). */
export interface Cut {
  readonly instrument: Instrument;
  readonly timeframe: Timeframe;
  readonly calendar: Calendar;
  readonly from: Day;
  readonly to: Day;
  readonly now: number;
}

export class BarSeries {
  length = 0;
  /** Bars that came again with other values; the later ones were kept. */
  revised = 0;
  /** Bars that came again unchanged; dropped. */
  duplicates = 0;
  /** One array per field, grown by doubling. */
  #fields: Float64Array[] = FIELDS.map(() => new Float64Array(1024));

  /** Start of the newest bar, ms; -Infinity while there is none. */
  get last(): number { return this.length === 0 ? -Infinity : this.#fields[0][this.length - 1]; }

  /**
   * Why this page cannot be right, or null. The first page of an answer may repeat what is held.
   * Changes nothing.
   */
  check(rows: readonly Row[], isFirst = false): string | null {
    let last = this.last, old = 0;
    for (const row of rows) {
      const problem = checkRow(row);
      if (problem !== null) return problem;
      if (row[0] > last) { last = row[0]; continue; }
      if (this.#find(row[0]) >= 0) { old++; continue; }
      if (row[0] !== last) return `bars out of order at ${formatTime(row[0])}`;
    }
    const isRepeated = !isFirst && rows.length > 0 && old === rows.length;
    return isRepeated ? `a page again that ends at ${formatTime(last)}` : null;
  }

  /** Joins a page that `check` found nothing wrong with. */
  add(rows: readonly Row[]): void {
    for (const row of rows) {
      const at = row[0] > this.last ? -1 : this.#find(row[0]);
      if (at < 0) this.#write(this.length++, row);
      else if (this.#isSame(at, row)) this.duplicates++;
      else { this.#write(at, row); this.revised++; }
    }
  }

  /**
   * Rows whose session is in from..to and whose close is not after `now` (an unfinished bar is not
   * a bar yet), stamped with their closes.
   */
  toBars({ instrument, timeframe, calendar, from, to, now }: Cut): Bars {
    const closeOf = closes(timeframe, calendar);
    const isLate = (start: number): boolean =>
      calendar.sessionDay(start) > to || closeOf(start) > now;
    const time = this.#fields[0].slice(0, this.length);
    let first = 0, end = time.length;
    while (first < end && calendar.sessionDay(time[first]) < from) first++;
    while (end > first && isLate(time[end - 1])) end--;
    const [, open, high, low, close, volume, vwap, trades] =
      this.#fields.map((values) => values.slice(first, end));
    return {
      instrument, kind: "bars", timeframe, time: time.subarray(first, end).map(closeOf),
      columns: { open, high, low, close, volume, vwap, trades },
    };
  }

  /** Row of a start, or -1. */
  #find(start: number): number {
    if (start > this.last) return -1;
    const at = firstRowAt(this.#fields[0].subarray(0, this.length), start);
    return at < this.length && this.#fields[0][at] === start ? at : -1;
  }

  #isSame(at: number, row: Row): boolean {
    return this.#fields.every((values, j) => Object.is(values[at], row[j] ?? NaN));
  }

  #write(at: number, row: Row): void {
    if (at >= this.#fields[0].length) {
      this.#fields = this.#fields.map((values) => {
        const larger = new Float64Array(values.length * 2);
        larger.set(values);
        return larger;
      });
    }
    for (let j = 0; j < FIELDS.length; j++) this.#fields[j][at] = row[j] ?? NaN;
  }
}

/** From a bar's start to its close: its end; of daily bars (New York midnight) the session's. */
export function closes(timeframe: Timeframe, calendar: Calendar): (start: number) => number {
  if (timeframe !== "1d") return (start) => start + TIMEFRAMES[timeframe];
  // A bar on a day that the calendar holds closed is kept, at the usual closing hour, for the
  // quality report to name.
  return (start) => calendar.session(calendar.sessionDay(start))?.close
    ?? start + USUAL_CLOSE_AFTER_MIDNIGHT_MS;
}
const USUAL_CLOSE_AFTER_MIDNIGHT_MS = 16 * 3_600_000;

function checkRow(row: Row): string | null {
  for (let j = 0; j <= CLOSE; j++) {
    if (!Number.isFinite(row[j])) {
      const where = j > 0 ? ` at ${formatTime(row[0])}` : "";
      return `a bar${where} whose ${FIELDS[j]} is ${String(row[j])}`;
    }
  }
  return row[CLOSE] > 0 ? null : `a bar at ${formatTime(row[0])} whose close is ${row[CLOSE]}`;
}
