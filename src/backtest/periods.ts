/**
 * How many periods a year has: 252 sessions, each of as many bars as it really had.
 *
 *     us-equity, 1m   the calendar's session 390 bars   with early and late hours up to 960   quiet: fewer
 *
 * What is reported is annualised by the bars that are there; what is decided is sized by the calendar's
 * number, because a decision cannot know how many bars will come.
 */
import { TRADING_DAYS_PER_YEAR } from "../base/units.ts";
import { calendar, type CalendarName } from "../market/calendar.ts";
import type { Timeframe } from "../market/bars.ts";

interface Clock {
  readonly timeframe: Timeframe;
  readonly calendar: CalendarName;
}

/** (T) a number for each time's session, the same for the same session; null where each bar is one. */
export function sessionsOf(time: Float64Array, clock: Clock): Int32Array | null {
  if (clock.timeframe === "1d") return null;
  const sessions = calendar(clock.calendar);
  return Int32Array.from(time, (moment) => sessions.sessionDay(moment));
}

/** Of ascending `sessions`, one entry for each period of a series. */
export function countedPeriods(sessions: ArrayLike<number>): number {
  let count = 0;
  for (let t = 0; t < sessions.length; t++) if (t === 0 || sessions[t] !== sessions[t - 1]) count++;
  return TRADING_DAYS_PER_YEAR * sessions.length / count;
}

/** Periods of a year of bars at these times. */
export function periodsOf(time: Float64Array, clock: Clock): number {
  const sessions = sessionsOf(time, clock);
  return sessions === null ? TRADING_DAYS_PER_YEAR : countedPeriods(sessions);
}
