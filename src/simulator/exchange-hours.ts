/**
 * When the exchange trades. Moments on a boundary belong to what begins, because an order that arrives at the
 * close is late; bars, which are stamped with their close, ask with `phaseOfBar`.
 *
 *      04:00        09:30           16:00         20:00   New York (a half day: 13:00, 17:00)
 *   closed |   pre    |     open      |    after    | closed
 */
import { AssertionError } from "../base/assert.ts";
import { day, MS_PER_HOUR, MS_PER_MINUTE, type Day } from "../base/units.ts";
import { calendar, type Calendar, type CalendarName, type Session } from "../market/calendar.ts";

export type Phase = "pre" | "open" | "after" | "closed";

const PRE_MS = 5.5 * MS_PER_HOUR, AFTER_MS = 4 * MS_PER_HOUR;
/**
 * Orders for the opening auction: up to 2 minutes before it; for the closing one: 10. New ones from 19:00.
 */
const OPG_MS = 2 * MS_PER_MINUTE, CLS_MS = 10 * MS_PER_MINUTE, EVENING_MS = 3 * MS_PER_HOUR;
/** No market is closed for longer, days. */
const LONGEST_CLOSURE = 30;

export class Hours {
  readonly #calendar: Calendar;
  readonly #isAlwaysOpen: boolean;
  readonly #hasExtended: boolean;

  constructor(name: CalendarName, isAlwaysOpen: boolean) {
    this.#calendar = calendar(name);
    this.#isAlwaysOpen = isAlwaysOpen;
    this.#hasExtended = name === "us-equity";
  }

  phase(now: number): Phase {
    if (this.#isAlwaysOpen) return "open";
    const session = this.#of(now);
    if (session === null || now < this.preOpen(session) || now >= this.afterClose(session)) return "closed";
    return now < session.open ? "pre" : now < session.close ? "open" : "after";
  }

  /** Phase of a bar that closes at this time. */
  phaseOfBar(at: number): Phase { return this.phase(at - 1); }

  preOpen(session: Session): number { return session.open - (this.#hasExtended ? PRE_MS : 0); }
  afterClose(session: Session): number { return session.close + (this.#hasExtended ? AFTER_MS : 0); }

  /** The session now or next: the first whose close lies after `now`. */
  sessionFrom(now: number): Session { return this.#first(now, (session) => session.close > now); }
  /** The next session that has not begun. */
  nextSession(now: number): Session { return this.#first(now, (session) => session.open > now); }
  /** The same, counting the hours after the close. */
  extendedFrom(now: number): Session { return this.#first(now, (session) => this.afterClose(session) > now); }

  /** Since when today's prices count. */
  freshSince(now: number): number {
    if (this.#isAlwaysOpen) return -Infinity;
    const session = this.#of(now);
    return session === null ? Infinity : now < session.open ? this.preOpen(session) : session.open;
  }

  /** May orders for the opening (or closing) auction be sent now? */
  takesAuction(now: number, auction: "opg" | "cls"): boolean {
    const session = this.#of(now);
    if (session === null || this.#isAlwaysOpen) return true;
    const until = auction === "opg" ? session.open - OPG_MS : session.close - CLS_MS;
    return now < until || now >= session.close + EVENING_MS;
  }

  sessions(from: Day, to: Day): readonly Session[] { return this.#calendar.sessions(from, to); }

  /** The session of the day that `now` begins or lies in: the calendar gives a boundary to what it ends. */
  #of(now: number): Session | null { return this.#calendar.session(this.#calendar.sessionDay(now + 1)); }

  #first(now: number, isWanted: (session: Session) => boolean): Session {
    const today = this.#calendar.sessionDay(now);
    for (let later = 0; later <= LONGEST_CLOSURE; later++) {
      const session = this.#calendar.session(day(today + later));
      if (session !== null && isWanted(session)) return session;
    }
    throw new AssertionError(`no session within ${LONGEST_CLOSURE} days of ${now}`);
  }
}
