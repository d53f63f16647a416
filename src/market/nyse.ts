/**
 * When the New York Stock Exchange trades: rules where there is a rule, a table for what no rule
 * can know.
 *
 * Exact from 1985-01-01 (test/calendar.test.ts compares 51 years with published calendars); the
 * rules are applied to earlier years too, but their own holidays (election days, Saturdays, the
 * 1968 paper crisis) are not here. Late opens are not sessions of their own: a session that opened
 * at 11:00 has its first bars missing. Source of the rules: NYSE Rule 7.2 "Holidays" and the
 * exchange's published list of special closings.
 */
import { day, formatDay, type Day } from "../base/units.ts";
import { dayAt, lastWeekday, nthWeekday, weekday } from "./new-york.ts";

/** Minutes of New York's day. */
export const NYSE_OPEN_MINUTE = 9 * 60 + 30;
export const NYSE_CLOSE_MINUTE = 16 * 60;
const ONE_PM = 13 * 60, TWO_PM = 14 * 60;
const SUNDAY = 0, MONDAY = 1, THURSDAY = 4, FRIDAY = 5, SATURDAY = 6;

/** Days on which the exchange stayed closed for no rule of the calendar. */
const SPECIAL_CLOSINGS: ReadonlyMap<string, string> = new Map([
  ["1985-09-27", "hurricane Gloria"],
  ["1994-04-27", "funeral of Richard Nixon"],
  ["2001-09-11", "attack on the World Trade Center"], ["2001-09-12", "the same"],
  ["2001-09-13", "the same"], ["2001-09-14", "the same"],
  ["2004-06-11", "funeral of Ronald Reagan"],
  ["2007-01-02", "mourning for Gerald Ford"],
  ["2012-10-29", "hurricane Sandy"], ["2012-10-30", "the same"],
  ["2018-12-05", "mourning for George H. W. Bush"],
  ["2025-01-09", "mourning for Jimmy Carter"],
]);

/** Sessions cut short for no rule of the calendar: minute of the close. */
const SPECIAL_CLOSES: ReadonlyMap<string, number> = new Map([
  // Paperwork after the crash of 1987-10-19.
  ...["10-23", "10-26", "10-27", "10-28", "10-29", "10-30"]
    .map((d) => [`1987-${d}`, TWO_PM] as const),
  ...["11-02", "11-03", "11-04"].map((d) => [`1987-${d}`, TWO_PM + 30] as const),
  ...["11-05", "11-06"].map((d) => [`1987-${d}`, 15 * 60] as const),
  ...["11-09", "11-10", "11-11"].map((d) => [`1987-${d}`, 15 * 60 + 30] as const),
  ["1994-02-11", TWO_PM + 30], // snow
  ["1996-01-08", TWO_PM], // snow, opened at 11:00
  ["1997-10-27", 15 * 60 + 30], // circuit breakers
  ["1997-12-26", ONE_PM], ["2003-12-26", ONE_PM], // the Friday after Christmas
  ["1999-12-31", ONE_PM], // the year 2000 change
  ["2005-06-01", 15 * 60 + 56], // systems
]);

/** Minute of New York's day at which a day's session ends; null when there is none. */
export function nyseCloseMinute(value: Day): number | null {
  const name = weekday(value);
  if (name === SUNDAY || name === SATURDAY) return null;
  const text = formatDay(value), year = Number(text.slice(0, 4));
  if (SPECIAL_CLOSINGS.has(text) || holidays(year).includes(value)) return null;
  return SPECIAL_CLOSES.get(text) ?? plannedEarlyClose(value, year) ?? NYSE_CLOSE_MINUTE;
}

/** The exchange's holidays of a year, on the days they are kept. */
function holidays(year: number): readonly Day[] {
  const kept: (Day | null)[] = [
    // A Saturday's New Year is not kept on the Friday before, which ends the year's accounts: that
    // Friday is of another year, so it is never found among that year's holidays.
    observed(dayAt(year, 1, 1)),
    year >= 1998 ? nthWeekday(year, 1, MONDAY, 3) : null,
    nthWeekday(year, 2, MONDAY, 3),
    day(easter(year) - 2),
    lastWeekday(year, 5, MONDAY),
    year >= 2022 ? observed(dayAt(year, 6, 19)) : null,
    observed(dayAt(year, 7, 4)),
    nthWeekday(year, 9, MONDAY, 1),
    thanksgiving(year),
    observed(dayAt(year, 12, 25)),
  ];
  return kept.filter((one) => one !== null);
}

/** Sunday's holiday is kept on Monday, Saturday's on Friday. */
function observed(value: Day): Day {
  const name = weekday(value);
  return name === SUNDAY ? day(value + 1) : name === SATURDAY ? day(value - 1) : value;
}

const thanksgiving = (year: number): Day => nthWeekday(year, 11, THURSDAY, 4);

/** Half days by rule: after Thanksgiving, Christmas Eve, the eve of Independence Day. */
function plannedEarlyClose(value: Day, year: number): number | null {
  if (value === thanksgiving(year) + 1 && year >= 1992) return year === 1992 ? TWO_PM : ONE_PM;
  const christmasEve = dayAt(year, 12, 24);
  if (value === christmasEve && year >= 1990) return year <= 1992 ? TWO_PM : ONE_PM;
  if (year < 1995) return null;
  const fourth = dayAt(year, 7, 4), name = weekday(fourth);
  // The eve, where the 4th is Tuesday to Friday. Until 2012 a Thursday's 4th shortened the Friday
  // after instead.
  if (name === THURSDAY && year < 2013) return value === fourth + 1 ? ONE_PM : null;
  const isEveASession = name >= MONDAY + 1 && name <= FRIDAY;
  return isEveASession && value === fourth - 1 ? ONE_PM : null;
}

/** Easter Sunday ("anonymous" Gregorian computus, Nature 13, 1876, p. 487; Meeus, chapter 8). */
export function easter(year: number): Day {
  const a = year % 19, b = Math.floor(year / 100), c = year % 100;
  const d = Math.floor(b / 4), e = b % 4, f = Math.floor((b + 8) / 25),
    g = Math.floor((b - f + 1) / 3);
  const h = (19 * a + b - d - g + 15) % 30;
  const i = Math.floor(c / 4), k = c % 4;
  const l = (32 + 2 * e + 2 * i - h - k) % 7;
  const m = Math.floor((a + 11 * h + 22 * l) / 451);
  const n = h + l - 7 * m + 114;
  return dayAt(year, Math.floor(n / 31), (n % 31) + 1);
}
