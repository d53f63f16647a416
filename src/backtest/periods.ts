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

export interface Clock {
  readonly timeframe: Timeframe;
  readonly calendar: CalendarName;
}

/** Periods of a year of bars at these ascending times, as many a session as there are on average. */
export function periodsOf(time: Float64Array, clock: Clock): number {
  if (clock.timeframe === "1d" || time.length === 0) return TRADING_DAYS_PER_YEAR;
  const sessions = calendar(clock.calendar);
  let count = 0, last = NaN;
  for (const moment of time) {
    const day = sessions.sessionDay(moment);
    if (day !== last) count++;
    last = day;
  }
  return TRADING_DAYS_PER_YEAR * time.length / count;
}
