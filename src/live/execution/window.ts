/**
 * When orders may be sent, by New York's day (any other calendar: while its session is on):
 *
 *     ... 04:00 ── early ── 09:30 ══ open ══ 16:00 ── late ── 20:00 ...
 *            19:00 the evening before ── opg ── 09:28        cls until 15:50
 *
 * A moment on a boundary belongs to the session it closes.
 */
import { MS_PER_HOUR, MS_PER_MINUTE, day } from "../../base/units.ts";
import type { Calendar, Session } from "../../market/calendar.ts";

export type Window =
  | { readonly kind: "open" | "extended" }
  /** `opensAt`: of the next session; orders for its opening auction are taken between the other two. */
  | { readonly kind: "closed"; readonly opensAt: number; readonly auctionFrom: number;
    readonly auctionTo: number };

/** Longest run of days without a session that is looked across. */
const DAYS_AHEAD = 12;
const EARLY_MS = 5.5 * MS_PER_HOUR;
const LATE_MS = 4 * MS_PER_HOUR;

export function windowAt(calendar: Calendar, now: number): Window {
  const today = calendar.sessionDay(now), session = calendar.session(today);
  if (session !== null && now >= session.open && now <= session.close) return { kind: "open" };
  if (calendar.name === "us-equity" && session !== null
    && now >= session.open - EARLY_MS && now < session.close + LATE_MS) return { kind: "extended" };
  const next = nextSession(calendar, now);
  return {
    kind: "closed", opensAt: next.open,
    // 19:00 of the evening before, and 09:28.
    auctionFrom: next.open - 14.5 * MS_PER_HOUR, auctionTo: next.open - 2 * MS_PER_MINUTE,
  };
}

export function nextSession(calendar: Calendar, now: number): Pick<Session, "open"> {
  const today = calendar.sessionDay(now);
  for (let ahead = 0; ahead <= DAYS_AHEAD; ahead++) {
    const session = calendar.session(day(today + ahead));
    if (session !== null && session.open > now) return session;
  }
  return { open: (now + DAYS_AHEAD * 24 * MS_PER_HOUR) as Session["open"] };
}
