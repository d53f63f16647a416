/**
 * From stamps in a file to closes of bars.
 *
 *   dates       -> the close of that day's session
 *   starts      -> start + timeframe: a bar stamped 09:30 is known at 09:31, not before
 *   closes      -> as they are (--stamps close)
 *   ticks       -> as they are
 */
import { assert } from "../../base/assert.ts";
import { UserError } from "../../base/error.ts";
import { day, dayOf, formatDay, type Day, MS_PER_DAY, MS_PER_MINUTE,
  MS_PER_SECOND } from "../../base/units.ts";
import { TIMEFRAMES, type Timeframe } from "../bars.ts";
import { calendar, type Calendar, type CalendarName } from "../calendar.ts";
import type { CsvContent } from "./csv-file.ts";
import type { SymbolRows } from "./csv-table.ts";

/** Rows of an instrument that are looked at to find the spacing. */
const ROWS_LOOKED_AT = 1_000;
/**
 * A file of dates is on the 24x5 calendar when it has rows on at least this share of the days US
 * equities rest.
 */
const RESTING_SHARE = 0.2;
const LEAVE_OUT = "leave --timeframe out";
const WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/** The commonest distance between neighbouring rows; NaN when no instrument has two. */
function spacing(content: CsvContent): number {
  const counts = new Map<number, number>();
  for (const rows of content.table.symbols) {
    for (let row = 1; row < Math.min(rows.rows, ROWS_LOOKED_AT); row++) {
      const distance = rows.time[row] - rows.time[row - 1];
      counts.set(distance, (counts.get(distance) ?? 0) + 1);
    }
  }
  let best = NaN, bestCount = 0;
  for (const [distance, count] of counts) if (count > bestCount) { best = distance; bestCount =
    count; }
  return best;
}

/**
 * The length of a bar: as said, else from the spacing. Throws UserError when neither is a timeframe
 * of ours.
 */
export function timeframeOf(file: string, content: CsvContent, said: Timeframe | null): Timeframe {
  if (content.layout.kind === "ticks") {
    if (said === null || said === "tick") return "tick";
    throw new UserError(`${file} holds ticks, which have no timeframe ${said}`, LEAVE_OUT);
  }
  const distance = spacing(content);
  if (isDaily(content)) {
    if (said !== null && said !== "1d") {
      throw new UserError(`${file} has dates without times, so its bars are not ${said}`, LEAVE_OUT);
    }
    if (distance > 4 * MS_PER_DAY) {
      throw new UserError(`rows of ${file} are mostly ${distance / MS_PER_DAY} days apart`,
        "give daily or shorter bars");
    }
    return "1d";
  }
  if (said === "tick") {
    throw new UserError(`${file} holds ${content.layout.kind}, not ticks`, LEAVE_OUT);
  }
  const names = (Object.keys(TIMEFRAMES) as Timeframe[]).filter((name) => name !== "tick");
  const timeframe = said ?? names.find((name) => TIMEFRAMES[name] === distance);
  if (timeframe === undefined) {
    throw new UserError(
      `rows of ${file} are mostly ${span(distance)} apart, which is no timeframe dmn knows`,
      `say the length of a bar: --timeframe ${names.join("|")}`);
  }
  refuseOverlap(file, content, timeframe);
  return timeframe;
}

/** Bars closer together than their length would be known before they end. */
function refuseOverlap(file: string, content: CsvContent, timeframe: Timeframe): void {
  for (const rows of content.table.symbols) {
    for (let row = 1; row < rows.rows; row++) {
      const distance = rows.time[row] - rows.time[row - 1];
      if (distance >= TIMEFRAMES[timeframe]) continue;
      const when = new Date(rows.time[row]).toISOString();
      throw new UserError(`${file}: ${rows.symbol} has bars ${span(distance)} apart at ${when}, `
        + `closer than the timeframe ${timeframe}`,
        "say the length of a bar with --timeframe, or mend the file");
    }
  }
}

const span = (ms: number): string => Number.isNaN(ms) ? "an unknown time"
  : ms < MS_PER_MINUTE ? `${ms / MS_PER_SECOND} seconds` : `${ms / MS_PER_MINUTE} minutes`;

/** Bare dates, or times that are all midnight UTC. */
function isDaily(content: CsvContent): boolean {
  const isMidnight = (time: number): boolean => time % MS_PER_DAY === 0;
  return content.isDated
    || content.table.symbols.every((rows) => rows.time.subarray(0, rows.rows).every(isMidnight));
}

/** The calendar: as said, else what the layout or the days of the file show. */
export function calendarOf(content: CsvContent, said: CalendarName | null): Calendar {
  if (said !== null) return calendar(said);
  if (content.layout.isFutures) return calendar("24x5");
  return calendar(isDaily(content) && tradesWhenEquitiesRest(content) ? "24x5" : "us-equity");
}

function tradesWhenEquitiesRest(content: CsvContent): boolean {
  const equities = calendar("us-equity"), seen = new Set<number>();
  for (const { time, rows } of content.table.symbols) {
    for (let row = 0; row < rows; row++) seen.add(dayOf(time[row]));
  }
  const days = [...seen];
  const from = days.reduce((least, value) => Math.min(least, value), Infinity);
  const to = days.reduce((most, value) => Math.max(most, value), -Infinity);
  let resting = 0, traded = 0;
  for (let value = from; value <= to; value++) {
    if (isWeekend(value) || equities.session(day(value)) !== null) continue;
    resting++;
    if (seen.has(value)) traded++;
  }
  return resting > 0 && traded >= Math.max(2, RESTING_SHARE * resting);
}

/** 1970-01-01 was a Thursday. */
const weekdayOf = (value: number): number => (((value + 4) % 7) + 7) % 7;
const isWeekend = (value: number): boolean => weekdayOf(value) === 0 || weekdayOf(value) === 6;

/** Days 0 .. DAYS_KEPT - 1 (1970 to 2106) have a place in a table; others are asked anew. */
const DAYS_KEPT = 50_000;

/** Closes of sessions by day, asked of the calendar once a day, not once a row. */
export class SessionCloses {
  readonly #calendar: Calendar;
  /** NaN: not asked yet. */
  readonly #closes = new Float64Array(DAYS_KEPT).fill(NaN);
  readonly #file: string;
  constructor(file: string, sessions: Calendar) { this.#file = file; this.#calendar = sessions; }

  /** The close of each stamp's day. */
  of(symbol: string, stamps: Float64Array): Float64Array {
    const found = new Float64Array(stamps.length), closes = this.#closes;
    for (let row = 0; row < stamps.length; row++) {
      const value = Math.floor(stamps[row] / MS_PER_DAY);
      const close = value >= 0 && value < DAYS_KEPT ? closes[value] : NaN;
      found[row] = Number.isNaN(close) ? this.#ask(symbol, day(value)) : close;
    }
    return found;
  }

  #ask(symbol: string, value: Day): number {
    const session = this.#calendar.session(value);
    if (session === null) throw this.#closed(symbol, value);
    if (value >= 0 && value < DAYS_KEPT) this.#closes[value] = session.close;
    return session.close;
  }

  #closed(symbol: string, value: Day): UserError {
    const weekday = WEEKDAYS[weekdayOf(value)];
    const other = this.#calendar.name === "us-equity" && !isWeekend(value);
    return new UserError(`${this.#file}: ${symbol} has a row on ${weekday} ${formatDay(value)}, `
      + `when the ${this.#calendar.name} calendar is closed`,
      other ? "if this is not a US equity, say so with --calendar 24x5; otherwise remove the row"
        : "remove the row");
  }
}

/** Times of the closes of an instrument's rows, in place of its stamps. */
export function closesOf(rows: SymbolRows, timeframe: Timeframe, stamps: "start" | "close",
  closes: SessionCloses): Float64Array {
  const time = rows.time.subarray(0, rows.rows);
  if (timeframe === "1d") return closes.of(rows.symbol, time);
  if (timeframe === "tick" || stamps === "close") return time;
  const length = TIMEFRAMES[timeframe];
  assert(length > 0, "a bar has a length");
  return time.map((stamp) => stamp + length);
}
