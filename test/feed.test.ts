/** The feed's actor: steps whole and once, gaps filled before anybody trades, bad bars left out, silence noticed. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { random } from "../src/base/random.ts";
import { dayOf, MS_PER_DAY } from "../src/base/units.ts";
import { featuresActor } from "../src/live/actors/features.ts";
import { feedActor, type FeedOptions } from "../src/live/actors/feed.ts";
import { BarStore } from "../src/live/feeds/bar-store.ts";
import { barCloses } from "../src/live/feeds/bar-builder.ts";
import { overdueAt } from "../src/live/feeds/staleness.ts";
import type { FeedEffect, FeedOutcome, Heard, Listing } from "../src/live/feeds/feed.ts";
import { BAR_FLAGS, type AlertFact, type FeaturesFact, type MarketFact, type NoticeFact, type Spoken,
  type Tick } from "../src/live/message.ts";
import { calendar } from "../src/market/calendar.ts";
import { computeFeatures } from "../src/features/panel.ts";
import { NO_SHARED, shared } from "./shared.ts";
import { barsOfRows, MINUTE, OPEN, panelOf, session, steps, walk, WIDTH, type Row } from "./live-market.ts";

type Said = Spoken | FeedEffect;
const at = (step: number): number => OPEN + step * MINUTE;

/** The trades of a recorded day, in order of time. */
function recordedTrades() {
  const place = shared("data/equities-minute-dev/ticks-20131008.csv.gz");
  if (place === null) return null;
  const symbols: string[] = [], rows: { time: number; instrument: number; price: number; size: number }[] = [];
  for (const line of gunzipSync(fs.readFileSync(place)).toString().split("\n")) {
    if (!line.includes(",trade,")) continue;
    const [stamp, symbol, , price, size] = line.split(",");
    if (!symbols.includes(symbol)) symbols.push(symbol);
    rows.push({ time: Date.parse(stamp), instrument: symbols.indexOf(symbol), price: Number(price), size: Number(size) });
  }
  return { symbols, rows: rows.sort((a, b) => a.time - b.time) };
}
const ticks = recordedTrades();

function feed(given: Parameters<typeof session>[0] = {}, options: Partial<FeedOptions> = {}) {
  const actor = feedActor({ session: session(given), ...options });
  return (message: Spoken | Tick | FeedOutcome, now: number): Said[] => [...actor.handle(message, now) as readonly Said[]];
}
const heard = (rows: readonly Row[], how: Heard["how"] = "fresh", isWhole = false): Heard => ({ kind: "heard", how, isWhole,
  time: Float64Array.from(rows, (row) => row.at), instrument: Int32Array.from(rows, ({ instrument }) => instrument),
  bars: Float64Array.from(rows.flatMap(({ values }) => values)) });
const listing = (rows: readonly Row[], i: number, given: Partial<Listing> = {}): FeedOutcome =>
  ({ kind: "listing", instrument: i, listing: { bars: barsOfRows(rows, i), actions: [], adjustment: "raw", ...given } });
const markets = (said: readonly Said[]): MarketFact[] => said.filter((one): one is MarketFact => one.kind === "market");
const codes = (said: readonly Said[]): string[] => said.flatMap((one) => one.kind === "alert" ? [one.code] : []);
/** Closes in minutes from the open, instruments and flags of what was said. */
const brief = (said: readonly Said[]) =>
  markets(said).map((one) => [(one.at - OPEN) / MINUTE, [...one.instrument], [...one.flags]]);
const { fresh, revised, backfilled, history } = BAR_FLAGS;

describe("assembling steps", () => {
  test("bars of one close that come one by one are one message, said with the last of them", () => {
    const handle = feed(), [first, second] = steps(walk(1, 3, 2));
    handle({ kind: "ready" }, at(1));
    assert.deepEqual(brief(handle(heard([first[2]]), at(1) + 10)), []);
    assert.deepEqual(brief(handle(heard([first[0]]), at(1) + 20)), []);
    const said = handle(heard([first[1]]), at(1) + 30);
    assert.deepEqual(brief(said), [[1, [0, 1, 2], [fresh, fresh, fresh]]]);
    assert.deepEqual([...markets(said)[0].bars], first.flatMap(({ values }) => values));
    assert.deepEqual(brief(handle(heard(second), at(2) + 5)), [[2, [0, 1, 2], [fresh, fresh, fresh]]]);
  });

  test("a minute without trades has no bar: the step is said after assemblyMs, for which the rim is asked to wake it", () => {
    const handle = feed({}, { assemblyMs: 200 }), [first] = steps(walk(1, 3, 1));
    handle({ kind: "ready" }, at(1));
    assert.deepEqual(handle(heard(first.slice(0, 2)), at(1) + 10), [{ kind: "wake", afterMs: 200 }]);
    assert.deepEqual(handle({ kind: "woken" }, at(1) + 209), []);
    assert.deepEqual(brief(handle({ kind: "woken" }, at(1) + 210)), [[1, [0, 1], [fresh, fresh]]]);
  });

  test("a bar that comes after its step was said is late; one that comes again is nothing, or a revision", () => {
    const handle = feed({}, { assemblyMs: 200 }), [first, second] = steps(walk(1, 3, 2));
    handle({ kind: "ready" }, at(1));
    handle(heard(first.slice(0, 2)), at(1));
    handle({ kind: "tick", at: at(1) + 300 }, at(1) + 300);
    assert.deepEqual(brief(handle(heard([first[2]]), at(1) + 400)), [[1, [2], [backfilled]]]);
    assert.deepEqual(brief(handle(heard([first[2], first[0]]), at(1) + 500)), []);
    handle(heard(second), at(2));
    const changed: Row = { ...first[1], values: first[1].values.map((value, j) => j === 4 ? value + 500 : value) };
    const said = handle(heard([changed], "revised"), at(2) + 30_000);
    assert.deepEqual(brief(said), [[1, [1], [revised]]]);
    assert.deepEqual([...markets(said)[0].bars], [...changed.values]);
    assert.deepEqual(brief(handle(heard([changed]), at(2) + 31_000)), []);
  });

  test("a frame that is said to be whole is a step at once; a later close ends the step before it", () => {
    const [first, second] = steps(walk(1, 3, 2)), handle = feed(), other = feed();
    for (const one of [handle, other]) one({ kind: "ready" }, at(1));
    assert.deepEqual(brief(handle(heard(first.slice(0, 1), "fresh", true), at(1))), [[1, [0], [fresh]]]);
    other(heard(first.slice(0, 1)), at(1));
    assert.deepEqual(brief(other(heard(second.slice(1, 2)), at(1) + 100)), [[1, [0], [fresh]]]);
  });

  test("150 seeds of late, doubled and shuffled messages: every bar is said, once, with its last values", () => {
    for (let seed = 1; seed <= 150; seed++) {
      const draw = random(seed, "shuffle"), rows = walk(seed, 3, 12, 0.2), last = new Map<string, string>(),
        told = new Map<string, string>();
      const handle = feed(), key = (row: { at: number; instrument: number }): string => `${row.at} ${row.instrument}`;
      handle({ kind: "ready" }, at(0));
      const messages = rows.map((row) => ({ row, when: row.at + 50 + draw.below(draw.uniform() < 0.1 ? 150_000 : 400) }));
      for (const { row, when } of messages.slice()) {
        if (draw.uniform() < 0.1) messages.push({ when: when + 1 + draw.below(200_000),
          row: { ...row, values: row.values.with(4, 1 + draw.below(1e5)) } });
        if (draw.uniform() < 0.1) messages.push({ row, when });
      }
      messages.sort((a, b) => a.when - b.when);
      const said = messages.flatMap(({ row, when }) => {
        last.set(key(row), row.values.join());
        return [...handle({ kind: "tick", at: when }, when), ...handle(heard([row]), when)];
      });
      const facts = markets([...said, ...handle({ kind: "tick", at: at(20) }, at(20))]), seen = new Set<string>();
      for (const fact of facts) {
        fact.instrument.forEach((instrument, k) => {
          const id = key({ at: fact.at, instrument });
          assert.equal(seen.has(id), fact.flags[k] === revised, `seed ${seed}: ${id} flag ${fact.flags[k]}`);
          seen.add(id);
          told.set(id, fact.bars.subarray(k * WIDTH, (k + 1) * WIDTH).join());
        });
      }
      assert.deepEqual(told, last, `seed ${seed}`);
      const newOnes = facts.filter(({ flags }) => flags.includes(fresh)).map((one) => one.at);
      assert.deepEqual(newOnes, [...newOnes].sort((a, b) => a - b), "fresh steps are in order");
    }
  });
});

describe("history and gaps", () => {
  test("history is said step by step, flagged; of what was streamed meanwhile only the newest step is fresh", () => {
    const handle = feed(), rows = walk(2, 3, 6), all = steps(rows), past = rows.filter((row) => row.at <= at(3));
    for (const step of all.slice(3)) assert.deepEqual(handle(heard(step), at(6)), []);
    for (const i of [0, 1, 2]) assert.deepEqual(handle(listing(past, i), at(6)), []);
    assert.deepEqual(brief(handle({ kind: "ready" }, at(6))), [1, 2, 3, 4, 5, 6].map((step) =>
      [step, [0, 1, 2], Array(3).fill(step <= 3 ? history : step < 6 ? backfilled : fresh)]));
    assert.deepEqual(brief(handle({ kind: "ready" }, at(6))), []);
  });

  test("a lost stream: nothing is said until the gap is filled; then the newest is fresh, the gap is backfilled", () => {
    const handle = feed(), all = steps(walk(3, 3, 6));
    handle({ kind: "ready" }, at(1));
    handle(heard(all[0]), at(1));
    assert.deepEqual(codes(handle({ kind: "lost", reason: "closed" }, at(2))), ["feed-lost"]);
    assert.deepEqual(codes(handle({ kind: "lost", reason: "closed again" }, at(3))), []);
    handle(heard(all[5]), at(6));
    handle(heard([all[0], all[1], all[2]].flat(), "backfilled"), at(6) + 500);
    assert.deepEqual(brief(handle({ kind: "tick", at: at(6) + 900 }, at(6) + 900)), []);
    handle(heard([all[3], all[4]].flat(), "backfilled"), at(6) + 950);
    const said = handle({ kind: "caught-up" }, at(6) + 1_000);
    assert.deepEqual(brief(said), [2, 3, 4, 5, 6].map((step) => [step, [0, 1, 2], Array(3).fill(step < 6 ? backfilled : fresh)]));
    assert.deepEqual(codes(said), ["feed-back"]);
  });

  test("on the wall clock a bar that comes later than the next was due is no news", () => {
    const handle = feed(), [first] = steps(walk(3, 3, 1));
    handle({ kind: "ready" }, at(1));
    assert.deepEqual(brief(handle(heard(first), at(3))), [[1, [0, 1, 2], Array(3).fill(backfilled)]]);
  });
});

describe("bars that cannot be", () => {
  const bad: readonly (readonly [string, (values: readonly number[]) => number[]])[] = [
    ["a close of 0", (values) => values.with(3, 0)], ["a negative close", (values) => values.with(3, -5)],
    ["a close that is no number", (values) => values.with(3, NaN)], ["a high below its low", (values) => values.with(1, 1)],
    ["a low above its close", (values) => values.with(2, 1e6)], ["a negative volume", (values) => values.with(4, -1)],
    ["an open of 0", (values) => values.with(0, 0)],
    ["ten times its price", (values) => values.map((value, j) => j < 4 ? value * 10 : value)],
    ["a tenth of its price", (values) => values.map((value, j) => j < 4 ? value / 10 : value)],
  ];
  for (const [what, spoil] of bad) {
    test(`${what}: left out with an alert; the next bar is taken`, () => {
      const handle = feed({ symbols: ["A"] }), [first, second, third] = walk(4, 1, 3);
      handle({ kind: "ready" }, at(1));
      handle(heard([first]), at(1));
      const said = handle(heard([{ ...second, values: spoil(second.values) }]), at(2));
      assert.deepEqual([brief(said), codes(said)], [[], ["bad-tick"]]);
      assert.deepEqual(brief(handle(heard([third]), at(3))), [[3, [0], [fresh]]]);
    });
  }

  test("a leap that the next bar confirms was real: both are said, the first as late", () => {
    const handle = feed({ symbols: ["A"] }), rows = walk(4, 1, 4).map((row, k) =>
      k < 2 ? row : { ...row, values: row.values.map((value, j) => j < 4 ? value / 2 : value) });
    handle({ kind: "ready" }, at(1));
    for (const row of rows.slice(0, 2)) handle(heard([row]), row.at);
    assert.deepEqual(codes(handle(heard([rows[2]]), at(3))), ["bad-tick"]);
    assert.deepEqual(brief(handle(heard([rows[3]]), at(4))), [[3, [0], [backfilled]], [4, [0], [fresh]]]);
  });

  test("crossed, negative and empty quotes are left out, the others are passed on", () => {
    const handle = feed();
    const said = handle({ kind: "quoted", at: at(1), instrument: Int32Array.of(0, 1, 2),
      quotes: Float64Array.of(10, 1, 10.1, 1, 10.2, 1, 10.1, 1, 0, 0, 10, 5) }, at(1));
    assert.deepEqual(said.map((one) => one.kind === "quote" && [[...one.instrument], [...one.quotes]]),
      [[[0, 2], [10, 1, 10.1, 1, 0, 0, 10, 5]]]);
    assert.deepEqual(handle({ kind: "quoted", at: at(1), instrument: Int32Array.of(0), quotes: Float64Array.of(-1, 1, 2, 1) },
      at(1)), []);
  });
});

describe("silence", () => {
  const us = calendar("us-equity"), newYork = (text: string): number => Date.parse(`${text}-05:00`);
  const cases: readonly (readonly [string, "1m" | "1d" | "1s", string, string])[] = [
    ["inside the session, after the next bar and 30 s", "1m", "2024-03-04T10:00:00", "2024-03-04T10:01:30"],
    ["after the close, 90 s after the next open", "1m", "2024-03-04T16:00:00", "2024-03-05T09:31:30"],
    ["before the open, 90 s after it", "1m", "2024-03-04T08:00:00", "2024-03-04T09:31:30"],
    ["over a weekend", "1m", "2024-03-01T16:00:00", "2024-03-04T09:31:30"],
    ["after a half day (Black Friday closes at 13:00)", "1m", "2023-11-24T13:00:00", "2023-11-27T09:31:30"],
    ["of seconds, after 31 s", "1s", "2024-03-04T10:00:00", "2024-03-04T10:00:31"],
    ["of days, an hour after the next close", "1d", "2024-03-01T16:00:00", "2024-03-04T17:00:00"],
  ];
  for (const [what, timeframe, newest, due] of cases) {
    test(`is suspicious ${what}`, () => { assert.equal(overdueAt(newYork(newest), timeframe, us), newYork(due)); });
  }

  test("a mute stream: every symbol is announced stale once, it is connected anew, and fresh with the next bar", () => {
    const handle = feed(), [first, second] = steps(walk(1, 3, 2));
    handle({ kind: "ready" }, at(1));
    handle(heard(first), at(1));
    assert.deepEqual(handle({ kind: "tick", at: at(2) }, at(2) + 30_000), []);
    const said = handle({ kind: "tick", at: at(2) }, at(2) + 30_001);
    assert.deepEqual(said.map((one) => one.kind === "notice" ? one.what : one.kind),
      ["stale", "stale", "stale", "alert", "reconnect"]);
    assert.deepEqual(handle({ kind: "tick", at: at(3) }, at(3) + 30_000), []);
    assert.deepEqual(handle({ kind: "tick", at: at(3) }, at(3) + 30_002).map(({ kind }) => kind), ["reconnect"]);
    const back = handle(heard(second.map((row) => ({ ...row, at: at(4) }))), at(4));
    assert.deepEqual(back.map((one) => one.kind === "notice" ? one.what : one.kind), ["fresh", "fresh", "fresh", "market"]);
  });
});

describe("a stepped replay", () => {
  const stepped = { clock: { kind: "market", isStepped: true, barsPerSecond: null } } as const;
  const asks = (said: readonly Said[]): number => said.filter(({ kind }) => kind === "step").length;
  const advance = { kind: "control", at: 0, action: "advance", by: "supervisor", subject: "", value: "" } as const;
  test("it begins when it is told to, and is ready: in whichever order", () => {
    const [first, second, paced] = [feed(stepped), feed(stepped), feed({ clock: { ...stepped.clock, isStepped: false } })];
    assert.equal(asks(first({ kind: "ready" }, at(0))), 0);
    assert.equal(asks(first(advance, at(0))), 1);
    assert.equal(asks(first(advance, at(0))), 0);
    assert.equal(asks(second(advance, at(0))), 0);
    assert.equal(asks(second({ kind: "ready" }, at(0))), 1);
    paced({ kind: "ready" }, at(0));
    assert.deepEqual(paced(advance, at(0)), [{ kind: "resume" }]);
    assert.deepEqual(feed({ feed: "alpaca" })({ kind: "ready" }, at(0)), []);
  });

  test("the next step is asked for when all has come to rest, again after 10 s of nothing, and not after the end", () => {
    const handle = feed(stepped), [first, second] = steps(walk(1, 3, 2));
    handle(advance, at(0));
    assert.equal(asks(handle({ kind: "ready" }, at(0))), 1);
    assert.equal(asks(handle(heard(first, "fresh", true), at(1))), 0);
    assert.equal(asks(handle({ kind: "settled", at: at(0), orders: 0 }, at(1))), 0);
    assert.equal(asks(handle({ kind: "settled", at: at(1), orders: 2 }, at(1))), 1);
    assert.equal(asks(handle({ kind: "tick", at: at(1) }, at(1) + 10_000)), 0);
    assert.equal(asks(handle({ kind: "tick", at: at(1) }, at(1) + 10_001)), 1);
    handle(heard(second, "fresh", true), at(2));
    assert.deepEqual(codes(handle({ kind: "ended" }, at(2))), ["replay-ended"]);
    assert.equal(asks(handle({ kind: "settled", at: at(2), orders: 0 }, at(2))), 0);
  });
});

describe("a split overnight", () => {
  const FACTOR = 3, DAYS = 4, PER_DAY = 390;
  /** Four sessions of one instrument; from the third on a share is a third. */
  function market(): { rows: Row[]; exTime: number } {
    const sessions = calendar("us-equity").sessions(dayOf(OPEN), dayOf(OPEN + 9 * MS_PER_DAY)).slice(0, DAYS);
    const rows = walk(9, 1, DAYS * PER_DAY).map((row, t): Row => {
      const own = sessions[Math.floor(t / PER_DAY)], isAfter = t >= 2 * PER_DAY;
      return { ...row, at: own.open + (t % PER_DAY + 1) * MINUTE,
        values: isAfter ? row.values.map((value, j) => j < 4 || j === 5 ? value / FACTOR : j === 4 ? value * FACTOR : value)
          : row.values };
    });
    return { rows, exTime: sessions[2].open };
  }

  test("features are the batch's on adjusted prices, to the bit, before and after; prices are said as traded", async () => {
    const { rows, exTime } = market(), panel = await panelOf("technical"), known = new Map<number, Float32Array>();
    const actor = featuresActor({ session: session({ symbols: ["A"] }), panel }), handle = feed({ symbols: ["A"] }),
      closes: number[] = [];
    const tell = (said: readonly Said[]): void => {
      for (const one of markets(said)) {
        if (one.flags[0] === fresh) closes.push(one.bars[3]);
        for (const fact of actor.handle(one, one.at) as FeaturesFact[]) known.set(fact.at, fact.rows);
      }
      assert.deepEqual(codes(said).filter((code) => code === "bad-tick"), []);
    };
    tell(handle(listing(rows.filter((_, t) => t < PER_DAY), 0), rows[PER_DAY].at - 1));
    tell(handle({ kind: "ready" }, rows[PER_DAY].at - 1));
    const notice: NoticeFact = { kind: "notice", at: exTime, instrument: 0, what: "split", value: FACTOR };
    rows.forEach((row, t) => {
      if (t < PER_DAY) return;
      // It is told the evening before, and again by a vendor that says things twice.
      if (t === PER_DAY + 380 || t === PER_DAY + 385) assert.deepEqual(handle({ kind: "noticed", notice }, row.at), []);
      const said = handle(heard([row]), row.at);
      assert.deepEqual(said.filter(({ kind }) => kind === "notice"), t === 2 * PER_DAY ? [notice] : []);
      tell(said);
    });
    assert.deepEqual(closes, rows.slice(PER_DAY).map(({ values }) => values[3]));
    // As the store reads it: before the ex-date prices times 1 / ratio, volumes times ratio.
    const adjusted = rows.map((row) => row.at >= exTime ? row : { ...row, values: row.values.map((value, j) =>
      j < 4 || j === 5 ? value * (1 / FACTOR) : j === 4 ? value * FACTOR : value) });
    const batch = computeFeatures(panel, barsOfRows(adjusted, 0));
    const F = panel.names.length, inputs = panel.columns.flatMap(({ role }, f) => role === "input" ? [f] : []);
    batch.time.forEach((time, t) => {
      if (t < panel.warmup) return;
      for (const f of inputs) assert.ok(Object.is(known.get(time)![f], batch.values[t * F + f]), `${panel.names[f]} at row ${t}`);
    });
  });

  test("of a split that nobody told, the first bar waits for the second, and an alert says so", () => {
    const { rows } = market(), handle = feed({ symbols: ["A"] }), alerts: AlertFact[] = [];
    handle({ kind: "ready" }, rows[0].at - 1);
    const said = rows.slice(0, 2 * PER_DAY + 3).flatMap((row) => handle(heard([row]), row.at));
    alerts.push(...said.filter((one): one is AlertFact => one.kind === "alert"));
    assert.deepEqual(alerts.map(({ code }) => code), ["bad-tick"]);
    assert.match(alerts[0].text, /^A leapt from \d.* held back until the next bar confirms it/);
    assert.equal(markets(said).length, 2 * PER_DAY + 3);
  });
});

describe("bars made of trades", () => {
  type Trade = { readonly time: number; readonly instrument: number; readonly price: number; readonly size: number };
  const parts = (trades: readonly Trade[]): FeedOutcome => ({ kind: "parts", time: Float64Array.from(trades, ({ time }) => time),
    instrument: Int32Array.from(trades, ({ instrument }) => instrument),
    bars: Float64Array.from(trades.flatMap(({ price, size }) => [price, price, price, price, size, price, 1])) });

  /** By hand, looking at all trades of a bar at once. */
  function expected(trades: readonly Trade[], lengthMs: number): Map<string, number[]> {
    const groups = Map.groupBy(trades, ({ time, instrument }) => `${(Math.floor(time / lengthMs) + 1) * lengthMs} ${instrument}`);
    return new Map([...groups].map(([key, own]) => {
      const prices = own.map(({ price }) => price), volume = own.reduce((sum, { size }) => sum + size, 0);
      return [key, [prices[0], Math.max(...prices), Math.min(...prices), prices.at(-1)!, volume,
        own.reduce((sum, { price, size }) => sum + price * size, 0) / volume, own.length]];
    }));
  }

  /** Market clock: trades as fast as possible, in messages of up to 50. */
  function bars(trades: readonly Trade[], symbols: readonly string[], timeframe: "1m" | "1s"): MarketFact[] {
    const handle = feed({ symbols: [...symbols], timeframe, clock: { kind: "market", isStepped: false, barsPerSecond: null } }),
      said: Said[] = [];
    said.push(...handle({ kind: "ready" }, 0));
    for (let k = 0; k < trades.length; k += 50) said.push(...handle(parts(trades.slice(k, k + 50)), trades[k].time));
    said.push(...handle({ kind: "ended" }, trades.at(-1)!.time));
    assert.deepEqual(codes(said), ["replay-ended"]);
    return markets(said);
  }
  const rowsOf = (facts: readonly MarketFact[]): Map<string,
    number[]> => new Map(facts.flatMap(({ at: close, instrument, bars: values }) =>
    [...instrument].map((i, k): [string, number[]] => [`${close} ${i}`, [...values.subarray(k * WIDTH, (k + 1) * WIDTH)]])));

  test("a recorded day of ticks: every second and minute as computed from all its trades at once",
    { skip: ticks === null ? NO_SHARED : false }, () => {
    const trades = ticks!.rows.map(({ time, instrument, price, size }) => ({ time, instrument, price, size }));
    for (const [timeframe, length] of [["1s", 1_000], ["1m", MINUTE]] as const) {
      const facts = bars(trades, ticks!.symbols, timeframe), right = expected(trades, length), found = rowsOf(facts);
      assert.deepEqual([...found.keys()].sort(), [...right.keys()].sort());
      for (const [key, row] of right) assert.deepEqual(found.get(key), row, key);
      assert.ok(found.size > 1_000, `${found.size} bars`);
      const closes = facts.map((one) => one.at);
      assert.deepEqual(closes, [...closes].sort((a, b) => a - b));
    }
  });

  test("a trade at ten times the price is in no bar; one on the boundary opens the next; a bar that was broken off is not made",
    () => {
    const handle = feed({ symbols: ["A"] }),
      trade = (time: number, price: number): Trade => ({ time, instrument: 0, price, size: 100 });
    handle({ kind: "ready" }, OPEN);
    assert.deepEqual(codes(handle(parts([trade(OPEN, 10), trade(OPEN + 5_000, 101), trade(OPEN + 9_000, 10.1),
      trade(at(1), 10.2)]), at(1))), ["bad-tick"]);
    const [made] = markets(handle({ kind: "tick", at: at(1) + 500 }, at(1) + 500));
    assert.equal(made, undefined, "it was said with the trade after it");
    const said = handle({ kind: "tick", at: at(2) + 500 }, at(2) + 500);
    assert.deepEqual(markets(said).map(({ at: close, bars: row }) => [close, [...row]]),
      [[at(2), [10.2, 10.2, 10.2, 10.2, 100, 10.2, 1]]]);
    handle(parts([trade(at(2) + 1_000, 10.3)]), at(2) + 1_000);
    handle({ kind: "lost", reason: "cut" }, at(2) + 2_000);
    handle({ kind: "caught-up" }, at(2) + 4_000);
    handle(parts([trade(at(2) + 5_000, 10.4), trade(at(3) + 1_000, 10.5)]), at(3) + 1_000);
    assert.deepEqual(brief(handle({ kind: "tick", at: at(4) + 500 }, at(4) + 500)), [[4, [0], [fresh]]]);
  });

  test("daily bars are of the regular session: 09:30 to 16:00 in New York", () => {
    const closeOf = barCloses("1d", calendar("us-equity")),
      newYork = (text: string): number => Date.parse(`2024-03-04T${text}-05:00`);
    assert.deepEqual(["09:29:59", "09:30:00", "15:59:59", "16:00:00"].map((text) => closeOf(newYork(text))),
      [NaN, newYork("16:00:00"), newYork("16:00:00"), NaN]);
  });
});

describe("what is kept of bars", () => {
  test("up to the bound all of them, behind it the newest half and what follows", () => {
    const store = new BarStore({ symbol: "A", timeframe: "1m", calendar: calendar("us-equity"), rowsMax: 1_000 });
    const rows = walk(6, 1, 1_200);
    const firsts = rows.map((row) => { store.put(row.at, Float64Array.from(row.values), 0); return store.history().time[0]; });
    assert.deepEqual([firsts[0], firsts[999], firsts[1_000], firsts[1_199]], [at(1), at(1), at(501), at(501)]);
    assert.deepEqual([...store.history().rows.subarray(-WIDTH)], rows.at(-1)!.values);
  });
});
