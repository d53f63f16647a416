/** Calendars against published ones, against Intl's time zones, and against the days on which prices exist. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, test } from "node:test";
import * as zlib from "node:zlib";
import { random } from "../src/base/random.ts";
import { day, formatDay, MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, parseDay, type Day } from "../src/base/units.ts";
import { calendar } from "../src/market/calendar.ts";
import { newYorkOffsetMs, newYorkTime, weekday } from "../src/market/new-york.ts";
import { easter } from "../src/market/nyse.ts";
import { NO_SHARED, shared } from "./shared.ts";

const us = calendar("us-equity"), always = calendar("24x5");
const dayOfText = (text: string): Day => {
  const found = parseDay(text);
  assert.ok(found !== null, text);
  return found;
};
const newYork = new Intl.DateTimeFormat("en-GB", {
  timeZone: "America/New_York", year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit",
  hourCycle: "h23",
});
/** "2013-10-08 09:30" by Intl. */
const wallClock = (time: number): string => {
  const part = Object.fromEntries(newYork.formatToParts(time).map((one) => [one.type, one.value]));
  return `${part["year"]}-${part["month"]}-${part["day"]} ${part["hour"]}:${part["minute"]}`;
};

interface Published { readonly closed: Record<string, string>; readonly earlyClose: Record<string, string> }
const published = JSON.parse(
  fs.readFileSync(path.join(import.meta.dirname, "fixtures", "nyse-calendar.json"), "utf8")) as Published;

describe("us-equity", () => {
  const first = dayOfText("1985-01-01"), last = dayOfText("2035-12-31");

  test("all 13,305 weekdays of 1985-2035 are open, closed or short as pandas_market_calendars has them", () => {
    const closed = new Set<string>(Object.entries(published.closed)
      .flatMap(([year, days]) => days.split(" ").map((one) => `${year}-${one}`)));
    const early = new Map<string, string>(Object.entries(published.earlyClose)
      .flatMap(([year, days]) => days.split(", ").map((one) => [`${year}-${one.slice(0, 5)}`, one.slice(6)] as const)));
    const faults: string[] = [];
    let weekdays = 0;
    for (let value: number = first; value <= last; value++) {
      const text = formatDay(value), session = us.session(day(value));
      if (weekday(value) === 0 || weekday(value) === 6) { assert.equal(session, null, text); continue; }
      weekdays++;
      const expected = closed.has(text) ? "closed" : early.get(text) ?? "16:00";
      const found = session === null ? "closed" : wallClock(session.close).slice(11);
      if (found !== expected
        || (session?.isHalfDay ?? false) !== early.has(text)) faults.push(`${text} ${found} ${expected}`);
      if (session !== null && wallClock(session.open) !== `${text} 09:30`) faults.push(`${text} opens elsewhere`);
    }
    assert.deepEqual(faults, []);
    assert.equal(weekdays, 13_305);
  });

  test("2001 had 248 sessions, 2012 250, 2013 252 and 2020 253 (counted in pandas_market_calendars)", () => {
    const count = (year: number): number =>
      us.sessions(dayOfText(`${year}-01-01`), dayOfText(`${year}-12-31`)).length;
    assert.deepEqual([2001, 2012, 2013, 2020].map(count), [248, 250, 252, 253]);
  });

  test("special closings: Gloria, Nixon, 2001, Reagan, Ford, Sandy, Bush and Carter are 12 days without a session",
    () => {
    for (const text of ["1985-09-27", "1994-04-27", "2001-09-11", "2001-09-12", "2001-09-13", "2001-09-14",
      "2004-06-11",
      "2007-01-02", "2012-10-29", "2012-10-30", "2018-12-05", "2025-01-09"]) {
      assert.equal(us.session(dayOfText(text)), null, text);
    }
  });

  test("New Year's Saturday is not kept: 2010-12-31 and 2021-12-31 have sessions, and Sunday's is: 2012-01-02 has none", () => {
    assert.ok(us.session(dayOfText("2010-12-31")));
    assert.ok(us.session(dayOfText("2021-12-31")));
    assert.equal(us.session(dayOfText("2012-01-02")), null);
  });

  test("the UTC date of every close is the session's day, from 1970 to 2100", () => {
    for (const { day: value, close } of us.sessions(day(0), dayOfText("2100-12-31"))) {
      assert.equal(Math.floor(close / MS_PER_DAY), value);
    }
  });

  test("2013-07-03 closes at 17:00 UTC and 2013-11-29 at 18:00 UTC (13:00 in New York, by hand)", () => {
    assert.equal(us.session(dayOfText("2013-07-03"))?.close, Date.UTC(2013, 6, 3, 17));
    assert.equal(us.session(dayOfText("2013-11-29"))?.close, Date.UTC(2013, 10, 29, 18));
  });

  test("04:00 and 19:59 in New York belong to their local date, also where the UTC date is the next (2013-01-10)",
    () => {
    const value = dayOfText("2013-01-10");
    assert.equal(us.sessionDay(newYorkTime(value, 4 * 60)), value);
    assert.equal(us.sessionDay(Date.UTC(2013, 0, 11, 0, 59)), value);
    assert.equal(us.sessionDay(Date.UTC(2013, 0, 11, 5, 0)), value + 1);
  });

  test("bars per session: 390 minutes, 26 quarters, 7 hours (the last one short), 1 day; 252 sessions a year", () => {
    assert.deepEqual((["1m", "15m", "1h", "1d"] as const).map((length) => us.barsPerSession(length)), [390, 26, 7, 1]);
    assert.deepEqual([us.periodsPerYear("1d"), us.periodsPerYear("1m")], [252, 98_280]);
    assert.ok(Number.isNaN(us.periodsPerYear("tick")));
  });
});

describe("New York's clock", () => {
  test("every change of the clock from 1985 to 2035 is Intl's, to the minute on both sides (102 changes)", () => {
    let changes = 0;
    let before = newYorkOffsetMs(Date.UTC(1985, 0, 1));
    for (let time = Date.UTC(1985, 0, 1); time < Date.UTC(2036, 0, 1); time += MS_PER_HOUR) {
      const offset = newYorkOffsetMs(time);
      if (offset === before) continue;
      before = offset;
      changes++;
      for (const at of [time - MS_PER_MINUTE, time]) {
        assert.equal(new Date(at + newYorkOffsetMs(at)).toISOString().slice(0, 16).replace("T", " "), wallClock(at));
      }
    }
    assert.equal(changes, 102);
  });

  test("3,000 random moments of 1970-2037 have Intl's wall clock", () => {
    const seed = 20_261, draw = random(seed, "clock");
    for (let k = 0; k < 3_000; k++) {
      const time = Math.floor(draw.uniform() * Date.UTC(2037, 0, 1) / MS_PER_MINUTE) * MS_PER_MINUTE;
      const found = new Date(time + newYorkOffsetMs(time)).toISOString().slice(0, 16).replace("T", " ");
      assert.equal(found, wallClock(time), `seed ${seed} time ${time}`);
    }
  });

  test("Easter: 1818-03-22 and 2285-03-22 are the earliest, 1943-04-25 and 2038-04-25 the latest, 2024-03-31", () => {
    const found = [1818, 2285, 1943, 2038, 2024].map((year) => formatDay(easter(year)));
    assert.deepEqual(found, ["1818-03-22", "2285-03-22", "1943-04-25", "2038-04-25", "2024-03-31"]);
  });
});

describe("24x5", () => {
  test("Monday 2024-01-08 opens on Sunday 23:00 UTC and closes at 23:00; Saturday and Sunday have no session", () => {
    const session = always.session(dayOfText("2024-01-08"));
    assert.deepEqual(session, { day: dayOfText("2024-01-08"), open: Date.UTC(2024, 0, 7, 23),
      close: Date.UTC(2024, 0, 8, 23), isHalfDay: false });
    assert.equal(always.session(dayOfText("2024-01-06")), null);
    assert.equal(always.session(dayOfText("2024-01-07")), null);
    assert.equal(always.sessions(dayOfText("2024-01-01"), dayOfText("2024-12-31")).length, 262);
  });

  test("a moment on 23:00 belongs to the session it closes, one millisecond later to the next", () => {
    const friday = dayOfText("2024-01-05");
    assert.equal(always.sessionDay(Date.UTC(2024, 0, 5, 23)), friday);
    assert.equal(always.sessionDay(Date.UTC(2024, 0, 5, 23) + 1), friday + 1);
    assert.equal(always.sessionDay(Date.UTC(2024, 0, 7, 23) + 1), dayOfText("2024-01-08"));
    assert.equal(always.barsPerSession("1m"), 1_440);
  });
});

describe("days on which prices exist", () => {
  const panel = shared("data/equities-daily-dev/ohlcv.csv.gz");
  const long = shared("data/equities-daily-dev/ohlcv-etf-total-return.csv.gz");
  const close = shared("data/equities-daily-dev/adjusted-close.csv.gz");
  const daysOf = (place: string, symbol: string): string[] => zlib.gunzipSync(fs.readFileSync(place)).toString()
    .split("\n").map((line) => line.split(",")).filter((cells) => cells[1] === symbol).map((cells) => cells[0]);
  const expected = (days: readonly string[]): string[] =>
    us.sessions(dayOfText(days[0]), dayOfText(days[days.length - 1])).map((one) => formatDay(one.day));

  test("SPY traded on each of the 4,529 sessions of 1998-2015 and on no other day",
    { skip: long === null && NO_SHARED }, () => {
    const days = daysOf(long as string, "SPY");
    assert.equal(days.length, 4_529);
    assert.deepEqual(days, expected(days));
  });

  test("AAPL traded on each of the 6,553 sessions of 1990-2015 and on no other day",
    { skip: close === null && NO_SHARED }, () => {
    const days = daysOf(close as string, "AAPL");
    assert.equal(days.length, 6_553);
    assert.deepEqual(days, expected(days));
  });

  // A hole of that file in its four Nasdaq stocks: the other sixteen, and AAPL in the file above, have the day.
  test("AAPL of the DJIA file lacks one session of 2006-2015: 2010-04-01", { skip: panel === null && NO_SHARED },
    () => {
    const days = daysOf(panel as string, "AAPL"), sessions = expected(days);
    assert.deepEqual(sessions.filter((one) => !days.includes(one)), ["2010-04-01"]);
    assert.deepEqual(days.filter((one) => !sessions.includes(one)), []);
  });
});
