/**
 * Sessions of a market: when it trades, in UTC.
 *
 *   us-equity   New York 09:30 .. 16:00 (13:00 on half days)             nyse.ts, new-york.ts
 *   24x5        every weekday D: D-1 23:00 UTC .. D 23:00 UTC (Sunday evening opens Monday)
 *
 *   Fri 23:00 |  weekend  | Sun 23:00  Monday's session  Mon 23:00 | Tuesday's session ...
 *
 * A moment on a boundary belongs to the session it closes, because a bar is stamped with its close.
 */
import {
  day, MS_PER_DAY, MS_PER_HOUR, timeMs, TRADING_DAYS_PER_YEAR, type Day, type TimeMs,
} from "../base/units.ts";
import { TIMEFRAMES, type Timeframe } from "./bars.ts";
import { newYorkOffsetMs, newYorkTime, weekday } from "./new-york.ts";
import { NYSE_CLOSE_MINUTE, NYSE_OPEN_MINUTE, nyseCloseMinute } from "./nyse.ts";

export const CALENDARS = ["us-equity", "24x5"] as const;
export type CalendarName = (typeof CALENDARS)[number];

export interface Session {
  readonly day: Day;
  readonly open: TimeMs;
  readonly close: TimeMs;
  readonly isHalfDay: boolean;
}

export interface Calendar {
  readonly name: CalendarName;
  /** The regular session of a day, null when closed. The UTC date of its `close` is the day. */
  session(day: Day): Session | null;
  /** Sessions of from..to, both inclusive, ascending. */
  sessions(from: Day, to: Day): readonly Session[];
  /** The day a moment belongs to; pre-market and after-hours moments belong to their local date. */
  sessionDay(time: number): Day;
  /** Bars of this length in a full session, a last, shorter one too. NaN for "tick". */
  barsPerSession(timeframe: Timeframe): number;
  /** 252 x barsPerSession: the annualisation of bars of this length. NaN for "tick". */
  periodsPerYear(timeframe: Timeframe): number;
}

/** One object per name, so that what it has worked out is shared. */
export function calendar(name: CalendarName): Calendar {
  return CALENDAR_OF[name];
}

const ALWAYS_CLOSE_MS = 23 * MS_PER_HOUR;
/** Days 0 .. CACHED_DAYS - 1 (1970 to 2105) are remembered. */
const CACHED_DAYS = 49_500;
/** Closing minute of each; 0: not worked out yet, -1: closed. */
const closeMinutes = new Int16Array(CACHED_DAYS);

function usEquityCloseMinute(value: Day): number {
  if (value < 0 || value >= CACHED_DAYS) return nyseCloseMinute(value) ?? -1;
  if (closeMinutes[value] === 0) closeMinutes[value] = nyseCloseMinute(value) ?? -1;
  return closeMinutes[value];
}

function usEquitySession(value: Day): Session | null {
  const minute = usEquityCloseMinute(value);
  if (minute < 0) return null;
  return {
    day: value,
    open: timeMs(newYorkTime(value, NYSE_OPEN_MINUTE)),
    close: timeMs(newYorkTime(value, minute)),
    isHalfDay: minute < NYSE_CLOSE_MINUTE,
  };
}

function weekdaySession(value: Day): Session | null {
  const name = weekday(value);
  if (name === 0 || name === 6) return null;
  const close = value * MS_PER_DAY + ALWAYS_CLOSE_MS;
  return { day: value, open: timeMs(close - MS_PER_DAY), close: timeMs(close), isHalfDay: false };
}

function build(
  name: CalendarName, sessionMs: number,
  session: Calendar["session"], sessionDay: Calendar["sessionDay"],
): Calendar {
  const barsPerSession = (timeframe: Timeframe): number =>
    timeframe === "tick" ? NaN : timeframe === "1d" ? 1
      : Math.ceil(sessionMs / TIMEFRAMES[timeframe]);
  return {
    name, session, sessionDay, barsPerSession,
    sessions(from, to) {
      const found: Session[] = [];
      for (let value: number = from; value <= to; value++) {
        const one = session(day(value));
        if (one !== null) found.push(one);
      }
      return found;
    },
    periodsPerYear: (timeframe) => TRADING_DAYS_PER_YEAR * barsPerSession(timeframe),
  };
}

const CALENDAR_OF: Readonly<Record<CalendarName, Calendar>> = {
  "us-equity": build("us-equity", (NYSE_CLOSE_MINUTE - NYSE_OPEN_MINUTE) * 60_000, usEquitySession,
    (time) => day(Math.floor((time + newYorkOffsetMs(time)) / MS_PER_DAY))),
  "24x5": build("24x5", MS_PER_DAY, weekdaySession,
    (time) => day(Math.ceil((time - ALWAYS_CLOSE_MS) / MS_PER_DAY))),
};
