/**
 * New York's clock, by arithmetic (no time zone database, no Intl in the hot path).
 *
 *   standard time UTC-5;  daylight time UTC-4 between two Sundays at 02:00 local:
 *   1967..1986  last Sunday of April    .. last Sunday of October    (Uniform Time Act 1966;
 *                                                                    1974 and 1975 began early)
 *   1987..2006  first Sunday of April   .. last Sunday of October
 *   2007..      second Sunday of March  .. first Sunday of November  (Energy Policy Act 2005)
 *
 * test/calendar.test.ts compares every change with Intl.DateTimeFormat.
 */
import { day, MS_PER_DAY, MS_PER_HOUR, type Day } from "../base/units.ts";

const STANDARD_OFFSET_MS = -5 * MS_PER_HOUR;
const DAYLIGHT_OFFSET_MS = -4 * MS_PER_HOUR;
const FIRST_YEAR = 1967, LAST_YEAR = 2200;
const MEAN_YEAR_MS = 365.2425 * MS_PER_DAY;

/** Start and end of each year's daylight time, UTC ms; 0: not worked out yet. */
const changes = new Float64Array(2 * (LAST_YEAR - FIRST_YEAR + 1));

/** A day of the civil calendar. `month` 1..12. */
export function dayAt(year: number, month: number, date: number): Day {
  return day(Math.round(Date.UTC(year, month - 1, date) / MS_PER_DAY));
}

/** 0 Sunday .. 6 Saturday. 1970-01-01 was a Thursday. */
export const weekday = (value: number): number => (((value + 4) % 7) + 7) % 7;

/** The n-th weekday of a month: nthWeekday(2026, 11, 4, 4) is Thanksgiving. */
export function nthWeekday(year: number, month: number, which: number, n: number): Day {
  const first = dayAt(year, month, 1);
  return day(first + ((which - weekday(first) + 7) % 7) + 7 * (n - 1));
}

export function lastWeekday(year: number, month: number, which: number): Day {
  const last = day(dayAt(year, month + 1, 1) - 1);
  return day(last - ((weekday(last) - which + 7) % 7));
}

/** What to add to UTC to get New York's wall clock, ms. */
export function newYorkOffsetMs(time: number): number {
  // The mean calendar's year is off by a day or two at most, near New Year: winter either way.
  const year = 1970 + Math.floor(time / MEAN_YEAR_MS);
  if (year < FIRST_YEAR || year > LAST_YEAR) return STANDARD_OFFSET_MS;
  const at = 2 * (year - FIRST_YEAR);
  if (changes[at] === 0) fillChanges(year, at);
  return time >= changes[at] && time < changes[at + 1] ? DAYLIGHT_OFFSET_MS : STANDARD_OFFSET_MS;
}

/** UTC ms of a minute of a New York day; not for the hour that is skipped or repeated (02:00). */
export function newYorkTime(value: number, minuteOfDay: number): number {
  const wall = value * MS_PER_DAY + minuteOfDay * 60_000;
  return wall - newYorkOffsetMs(wall - STANDARD_OFFSET_MS);
}

function fillChanges(year: number, at: number): void {
  const two = 2 * MS_PER_HOUR;
  changes[at] = firstDaylightDay(year) * MS_PER_DAY + two - STANDARD_OFFSET_MS;
  const last = year >= 2007 ? nthWeekday(year, 11, 0, 1) : lastWeekday(year, 10, 0);
  changes[at + 1] = last * MS_PER_DAY + two - DAYLIGHT_OFFSET_MS;
}

function firstDaylightDay(year: number): Day {
  if (year >= 2007) return nthWeekday(year, 3, 0, 2);
  if (year >= 1987) return nthWeekday(year, 4, 0, 1);
  if (year === 1974) return dayAt(1974, 1, 6);
  if (year === 1975) return dayAt(1975, 2, 23);
  return lastWeekday(year, 4, 0);
}
