/** Sessions of a market: when it trades, in UTC. (contract; see below for the two calendars) */
import type { Day, TimeMs } from "../base/units.ts";
import type { Timeframe } from "./bars.ts";

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
  /** The regular session of a day, or null when the market is closed. The UTC date of `close` is always `day`. */
  session(day: Day): Session | null;
  /** Sessions of from..to, both inclusive, ascending. */
  sessions(from: Day, to: Day): readonly Session[];
  /** The day a moment belongs to; pre-market and after-hours moments belong to their local date. */
  sessionDay(time: number): Day;
  /** Bars of this length in a full session ("1d": 1). */
  barsPerSession(timeframe: Timeframe): number;
  /** 252 x barsPerSession: the annualisation of bars of this length. */
  periodsPerYear(timeframe: Timeframe): number;
}

export declare function calendar(name: CalendarName): Calendar;
