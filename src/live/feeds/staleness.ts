/**
 * When silence is suspicious: inside the regular session, once the next bar is overdue. Outside it, and in
 * the first bar of the day, silence is normal.
 *
 *   newest bar  10:00 ──────── due 10:01 ── + grace ──> stale          (1m)
 *   newest bar  Friday's close ...... due Monday 09:31 ── + grace ──> stale
 */
import { day, MS_PER_HOUR, MS_PER_SECOND } from "../../base/units.ts";
import { TIMEFRAMES, type Timeframe } from "../../market/bars.ts";
import type { Calendar } from "../../market/calendar.ts";

const GRACE_LEAST_MS = 30 * MS_PER_SECOND;
const GRACE_DAILY_MS = MS_PER_HOUR;
/** No exchange rests longer. */
const SEARCH_DAYS = 14;

/** The latest moment, UTC ms, by which a bar after `newest` must have been heard. */
export function overdueAt(newest: number, timeframe: Timeframe, calendar: Calendar): number {
  const length = TIMEFRAMES[timeframe], isDaily = timeframe === "1d";
  const grace = isDaily ? GRACE_DAILY_MS : Math.max(GRACE_LEAST_MS, length / 2);
  const today = calendar.sessionDay(newest);
  for (let k = 0; k < SEARCH_DAYS; k++) {
    const session = calendar.session(day(today + k));
    if (session === null || newest >= session.close) continue;
    const due = isDaily ? session.close : Math.max(newest, session.open) + length;
    return Math.min(due, session.close) + grace;
  }
  return Infinity;
}
