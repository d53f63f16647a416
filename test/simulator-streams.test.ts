/** The simulated market-data streams of both vendors and the clock behind them, through `ws`, msgpack and Alpaca's package. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { instrument } from "../src/market/instrument.ts";
import type { Bars } from "../src/market/bars.ts";
import type { Market } from "../src/simulator/book.ts";
import { EXCHANGE_FAULTS, exchangeFaultsOf, faultsOn, type ExchangeFault } from "../src/simulator/exchange-faults.ts";
import type { ExchangeServer } from "../src/simulator/exchange-server.ts";
import { dailyMarket } from "./conformance/market.ts";
import { alpacaAt, alpacaLine, control, FROM, Heard, KEYS, line, MARKET, massiveLine, serve,
  type Line } from "./exchange-client.ts";

const MINUTE = 60_000;
const headers = { "apca-api-key-id": KEYS.alpaca.keyId, "apca-api-secret-key": KEYS.alpaca.secretKey };
const subscribed = (one: Line) => one.heard.until((all) => all.some(({ T }) => T === "subscription"), "subscription");
const bars = (one: Line) => one.heard.all.filter(({ T }) => T === "b");
/** Rows of a symbol that close after FROM, as [start, close]. */
const truth = (symbol: string, count: number): [number, number][] => {
  const { time, columns } = MARKET.get(symbol)?.bars ?? EMPTY, first = time.findIndex((at) => at > FROM);
  return Array.from({ length: count }, (_, k) => [time[first + k] - MINUTE, columns.close?.[first + k] ?? NaN]);
};

describe("alpaca's stream", () => {
  test("bars of one minute come in one frame, stamped with their start, the same numbers as in the market", async () => {
    await using server = await serve();
    await using one = await alpacaLine(server, { bars: ["AAA", "BRK.B"] });
    await subscribed(one);
    server.step(5);
    await one.heard.until(() => bars(one).filter(({ S }) => S === "AAA").length >= 4, "4 bars");
    const heard = bars(one).filter(({ S }) => S === "AAA").map(({ t, c }) => [Date.parse(String(t)), c]);
    assert.deepEqual(heard.slice(0, 4), truth("AAA", 4));
    for (const frame of one.frames.all.slice(3)) assert.equal(new Set(frame.map(({ t }) => t)).size, 1);
    assert.ok(one.frames.all.some((frame) => frame.length === 2));
  });

  test("msgpack and the package: the same bars, times as msgpack timestamps", async () => {
    await using server = await serve();
    const stream = alpacaAt(server).marketData.stockStream({ url: server.streams.alpaca });
    const heard = new Heard<[number, number]>(), ready = new Heard<unknown>();
    stream.onBar((bar) => { if (bar.symbol === "AAA") heard.push([bar.timestamp.getTime(), bar.close]); });
    stream.on("subscription", (channels: unknown) => { ready.push(channels); });
    stream.onConnect(() => { stream.subscribeForBars(["AAA"]); });
    stream.connect();
    await ready.until((all) => all.length > 0, "subscription");
    server.step(6);
    await heard.until((all) => all.length >= 4, "4 bars");
    stream.disconnect();
    assert.deepEqual(heard.all.slice(0, 4), truth("AAA", 4));
  });

  test("only what was asked for: a wildcard hears both symbols, one symbol one, nothing after unsubscribe", async () => {
    await using server = await serve({ limits: { connectionsMax: 3 } });
    await using all = await alpacaLine(server, { bars: ["*"] });
    await using some = await alpacaLine(server, { bars: ["BRK.B"] });
    await Promise.all([subscribed(all), subscribed(some)]);
    server.step(4);
    await all.heard.until(() => new Set(bars(all).map(({ S }) => S)).size === 2, "both");
    assert.ok(bars(some).every(({ S }) => S === "BRK.B"));
    some.say({ action: "unsubscribe", bars: ["BRK.B"] });
    await some.heard.until((heard) => heard.filter(({ T }) => T === "subscription").length === 2, "unsubscribed");
    const [before, there] = [bars(some).length, bars(all).length];
    server.step(4);
    await all.heard.until(() => bars(all).length >= there + 4, "more for the other");
    assert.equal(bars(some).length, before);
  });

  const CODES: readonly (readonly [number, (one: Line) => void])[] = [
    [400, (one) => { one.socket.send("{"); }],
    [401, (one) => { one.say({ action: "subscribe", bars: ["AAA"] }); }],
    [402, (one) => { one.say({ action: "auth", key: KEYS.alpaca.keyId, secret: "wrong" }); }],
    [403, (one) => { const auth =
      { action: "auth", key: KEYS.alpaca.keyId, secret: KEYS.alpaca.secretKey }; one.say(auth); one.say(auth); }],
    [404, () => undefined],
  ];
  for (const [code, what] of CODES) {
    test(`answers with ${code} what deserves it`, async () => {
      await using server = await serve({ limits: { authTimeoutMs: code === 404 ? 50 : 5_000 } });
      await using one = await line(server.streams.alpaca);
      what(one);
      await one.heard.until((all) => all.some(({ T }) => T === "error"), String(code));
      assert.equal(one.heard.all.find(({ T }) => T === "error")?.["code"], code);
    });
  }

  test("a second connection with the same key is told 406 and closed; symbol 3 of 2 allowed 405", async () => {
    await using server = await serve({ symbolsMax: 2 });
    await using first = await alpacaLine(server, { bars: ["AAA", "BRK.B"] });
    await using second = await alpacaLine(server, { bars: ["AAA"] });
    await second.closed;
    assert.equal(second.heard.all.at(-1)?.["code"], 406);
    await subscribed(first);
    first.say({ action: "subscribe", bars: ["CCC"] });
    await first.heard.until((all) => all.some(({ code }) => code === 405), "405");
  });

  test("a client that does not read is cut off at 20,000 waiting bytes; the other one hears on", async () => {
    const wide: Market =
      new Map(Array.from({ length: 400 }, (_, k) => [`S${k}`, MARKET.get("AAA") ?? { bars: EMPTY, actions: [] }]));
    await using server = await serve({ market: wide, limits: { waitingBytesMax: 20_000, connectionsMax: 2 } });
    await using stuck = await alpacaLine(server, { bars: ["*"] });
    await using well = await alpacaLine(server, { bars: ["S7"] });
    await Promise.all([subscribed(stuck), subscribed(well)]);
    stuck.socket.pause();
    // 40 KB a step: the kernel takes some megabytes before bytes wait here.
    for (let k = 0; k < 1_000 && server.state().clients.alpaca === 2; k++) {
      server.step(1);
      await setImmediate();
    }
    assert.equal(server.state().clients.alpaca, 1);
    const before = bars(well).length;
    server.step(2);
    await well.heard.until(() => bars(well).length >= before + 2, "two more");
  });
});

const EMPTY: Bars = { instrument: instrument("NONE"), kind: "bars", timeframe: "1m", time: new Float64Array(0), columns: {} };

describe("massive's stream", () => {
  test("AM events with start, end and the market's numbers, all of a minute in one frame", async () => {
    await using server = await serve();
    await using one = await massiveLine(server, "AM.AAA,AM.BRK.B");
    assert.deepEqual(one.heard.all.slice(0, 4).map(({ status, message }) => [status, message]),
      [["connected", "Connected Successfully"],
      ["auth_success", "authenticated"], ["success", "subscribed to: AM.AAA"], ["success", "subscribed to: AM.BRK.B"]]);
    server.step(5);
    const aaa = () => one.heard.all.filter(({ ev, sym }) => ev === "AM" && sym === "AAA");
    await one.heard.until(() => aaa().length >= 4, "4 bars");
    assert.deepEqual(aaa().slice(0, 4).map(({ s, c }) => [s, c]), truth("AAA", 4));
    assert.ok(aaa().every(({ s, e }) => Number(e) - Number(s) === MINUTE));
    assert.ok(one.frames.all.some((frame) => frame.length === 2 && frame.every(({ ev }) => ev === "AM")));
  });

  test("a wrong key is auth_failed, a second connection max_connections, a strange channel an error, all before any bar",
    async () => {
    await using server = await serve();
    await using wrong = await massiveLine(server, "AM.*", "wrong");
    await wrong.closed;
    assert.equal(wrong.heard.all.at(-1)?.["status"], "auth_failed");
    await using first = await massiveLine(server, "XX.AAA");
    assert.equal(first.heard.all[2]["status"], "error");
    await using second = await massiveLine(server, "AM.*");
    await second.closed;
    assert.equal(second.heard.all.at(-1)?.["status"], "max_connections");
  });

  test("quotes and ticks: T and Q events; a tick of one side keeps the other", async () => {
    const ticks: Market = new Map([["AAA", { actions: [], bars: { instrument: instrument("AAA"), kind: "ticks", timeframe: "tick",
      time: Float64Array.of(FROM + 1, FROM + 2, FROM + 2, FROM + 3), columns: { side: Float64Array.of(1, 2, 0, 1),
        tickPrice: Float64Array.of(99, 101, 100.5, 99.5), size: Float64Array.of(300, 200, 50, 100),
          exchange: Float64Array.of(78, 78, 78, 78) } } }]]);
    await using server = await serve({ market: ticks });
    await using one = await massiveLine(server, "T.*,Q.*");
    server.step(3);
    await one.heard.until((all) => all.filter(({ ev }) => ev === "Q").length === 2, "2 quotes");
    assert.deepEqual(one.heard.all.filter(({ ev }) => ev === "T" || ev === "Q").map(({ ev, t, p, bp, bs, ap, as }) =>
      ev === "T" ? [ev, Number(t) - FROM, p] : [ev, Number(t) - FROM, bp, bs, ap, as]),
    [["T", 2, 100.5], ["Q", 2, 99, 300, 101, 200], ["Q", 3, 99.5, 100, 101, 200]]);
    assert.deepEqual([server.exchange.market("AAA")?.bid, server.exchange.market("AAA")?.last], [99.5, 100.5]);
  });
});

describe("faults of a step", () => {
  /** What is heard of AAA after each of 3 steps, when the fault meets the first; as [minute, close / true close]. */
  async function heardUnder(fault: ExchangeFault): Promise<{ b: (readonly [number, number])[]; u: (readonly [number,
    number])[]; quotes: number }> {
    const market: Market = new Map([["AAA", every("AAA")]]);
    await using server = await serve({ market, faults: exchangeFaultsOf(`${fault}@1`, 1) });
    await using one = await alpacaLine(server, { bars: ["AAA"], updatedBars: ["AAA"], quotes: ["AAA"], statuses: ["AAA"] });
    await subscribed(one);
    server.step(4);
    const last = (minutes: number) =>
      one.heard.all.some(({ T, t }) => T === "b" && Date.parse(String(t)) === FROM + minutes * MINUTE);
    await one.heard.until(() => last(3), "the fourth minute");
    const rows = (word: string) => one.heard.all.filter(({ T }) => T === word).map(({ t, c }) => {
      const minute = (Date.parse(String(t)) - FROM) / MINUTE;
      return [minute, Number(c) / (100 + minute)] as const;
    });
    return { b: rows("b"), u: rows("u"),
      quotes: one.heard.all.filter(({ T, bp, ap }) => T === "q" && Number(bp) > Number(ap)).length };
  }
  /** A minute bar each minute, closing at 100, 101, 102, ... */
  function every(symbol: string): { bars: Bars; actions: [] } {
    const closes = Float64Array.from({ length: 30 }, (_, k) => 100 + k);
    return { actions: [], bars: { instrument: instrument(symbol), kind: "bars", timeframe: "1m",
      time: closes.map((_, k) => FROM + (k + 1) * MINUTE),
        columns: { open: closes, high: closes, low: closes, close: closes } } };
  }

  const BARS: Partial<Record<ExchangeFault, readonly (readonly [number, number])[]>> = {
    "frame-dropped": [[1, 1], [2, 1], [3, 1]], "bar-missing": [[1, 1], [2, 1], [3, 1]],
    "bar-revised": [[0, 1.01], [1, 1], [2, 1], [3, 1]], "bar-twice": [[0, 1], [0, 1], [1, 1], [2, 1], [3, 1]],
    "bar-late": [[1, 1], [0, 1], [2, 1], [3, 1]], "tick-times-ten": [[0, 10], [1, 1], [2, 1], [3, 1]],
    "tick-zero": [[0, 0], [1, 1], [2, 1], [3, 1]], "tick-negative": [[0, -1], [1, 1], [2, 1], [3, 1]],
    "quote-crossed": [[0, 1], [1, 1], [2, 1], [3, 1]],
  };
  for (const [fault, expected] of Object.entries(BARS) as [ExchangeFault, readonly (readonly [number, number])[]][]) {
    test(`${fault}: ${EXCHANGE_FAULTS[fault].says}`, async () => {
      const heard = await heardUnder(fault);
      assert.deepEqual(heard.b, expected);
      assert.deepEqual(heard.u, fault === "bar-revised" ? [[0, 1]] : []);
      assert.equal(heard.quotes, fault === "quote-crossed" ? 1 : 0);
    });
  }

  test("a revised bar is the same start again at Massive's: 101, then 100 with the next step", async () => {
    await using server = await serve({ market: new Map([["AAA", every("AAA")]]), faults: exchangeFaultsOf("bar-revised@1", 1) });
    await using one = await massiveLine(server, "AM.*");
    server.step(2);
    const aggregates = () => one.heard.all.filter(({ ev }) => ev === "AM").map(({ s, c }) => [(Number(s) - FROM) / MINUTE, c]);
    await one.heard.until(() => aggregates().length === 3, "3 events");
    assert.deepEqual(aggregates(), [[0, 101], [0, 100], [1, 101]]);
  });

  test("stream-cut and slow-client: closed, the latter with 407 first; what was missed is in REST", async () => {
    await using server =
      await serve({ market: new Map([["AAA", every("AAA")]]), faults: exchangeFaultsOf("slow-client@1,stream-cut@2", 1) });
    await using first = await alpacaLine(server, { bars: ["*"] });
    await subscribed(first);
    server.step(1);
    await first.closed;
    assert.deepEqual(first.heard.all.filter(({ T }) => T === "error").map(({ code }) => code), [407]);
    await using second = await alpacaLine(server, { bars: ["*"] });
    await subscribed(second);
    server.step(1);
    await second.closed;
    assert.equal(bars(second).length, 0);
    assert.deepEqual((await restBars(server)).map(({ c }) => c), [100, 101]);
  });

  test("stream-mute: silent until it connects again", async () => {
    await using server = await serve({ market: new Map([["AAA", every("AAA")]]), faults: exchangeFaultsOf("stream-mute@1", 1),
      limits: { connectionsMax: 2 } });
    await using muted = await alpacaLine(server, { bars: ["*"] });
    await subscribed(muted);
    server.step(1);
    await using again = await alpacaLine(server, { bars: ["*"] });
    await subscribed(again);
    server.step(2);
    await again.heard.until(() => bars(again).length === 2, "2 bars");
    assert.deepEqual([bars(muted).length, muted.socket.readyState], [0, muted.socket.OPEN]);
  });

  test("halt: told on the statuses channel, over after 3 steps", async () => {
    await using server = await serve({ market: new Map([["AAA", every("AAA")]]), faults: exchangeFaultsOf("halt@1", 1) });
    await using one = await alpacaLine(server, { statuses: ["AAA"] });
    await subscribed(one);
    server.step(1);
    assert.equal(server.exchange.market("AAA")?.isHalted, true);
    server.step(3);
    await one.heard.until((all) => all.filter(({ T }) => T === "s").length === 2, "halt and resumption");
    assert.deepEqual(one.heard.all.filter(({ T }) => T === "s").map(({ sc }) => sc), ["H", "T"]);
    assert.equal(server.exchange.market("AAA")?.isHalted, false);
  });

  test("every fault of a step is tested here or with the broker", () => {
    const elsewhere: ExchangeFault[] = ["updates-cut", "margin-call", "manual-trade", "manual-order", "clock-off", "delist"];
    const here: ExchangeFault[] = ["stream-cut", "slow-client", "stream-mute", "halt"];
    assert.deepEqual(faultsOn("step").filter((name) => !(name in BARS) && !elsewhere.includes(name) && !here.includes(name)), []);
  });
});

interface RestBar { readonly t: string; readonly c: number }
async function restBars(server: ExchangeServer): Promise<RestBar[]> {
  const query = "symbols=AAA&timeframe=1Min&start=2024-03-07T15:00:00Z&end=2024-12-31T00:00:00Z&adjustment=raw&sort=asc&feed=iex";
  const answer = await (await fetch(`${server.url}/v2/stocks/bars?${query}`, { headers }))
    .json() as { bars: Record<string, RestBar[]> };
  return answer.bars["AAA"] ?? [];
}

describe("time", () => {
  test("REST knows a bar when it has closed and not before: after each step the last one ends now", async () => {
    await using server = await serve();
    assert.deepEqual(await restBars(server), []);
    const massive = async (): Promise<{ resultsCount: number }> => await (await fetch(
      `${server.url}/v2/aggs/ticker/AAA/range/1/minute/${FROM}/${FROM + 1e9}?adjusted=false&sort=asc&limit=50000`,
      { headers: { authorization: `Bearer ${KEYS.massive}` } })).json() as { resultsCount: number };
    for (let k = 0; k < 20; k++) {
      server.step(1);
      const rows = await restBars(server), { now } = server.state();
      assert.ok(rows.every(({ t }) => Date.parse(t) + MINUTE <= now));
      assert.equal((await massive()).resultsCount, rows.length);
    }
    assert.ok((await restBars(server)).length >= 15);
  });

  test("as fast as possible: each of the market's minutes after 10:00 is heard once, in order, and the end is told", async () => {
    await using server = await serve({ pace: { kind: "fast" }, isPaused: true });
    await using one = await alpacaLine(server, { bars: ["AAA"] });
    await subscribed(one);
    await control(server, "resume");
    const all = (MARKET.get("AAA")?.bars.time ?? new Float64Array()).filter((at) => at > FROM).length;
    await one.heard.until(() => bars(one).length >= all, `${all} bars`);
    assert.deepEqual(bars(one).map(({ t, c }) => [Date.parse(String(t)), c]), truth("AAA", all));
    assert.equal(server.state().isDone, true);
  });

  test("paced: 200 bars a second, time between two steps never reaches the next one, paused it stands", async () => {
    await using server = await serve({ pace: { kind: "paced", barsPerSecond: 200 }, isPaused: true });
    await using one = await alpacaLine(server, { bars: ["*"] });
    await subscribed(one);
    await control(server, "resume");
    await one.heard.until(() => bars(one).length >= 30, "30 bars");
    for (let k = 0; k < 20; k++) {
      const { now, nextAt } = await (await fetch(`${server.url}/simulator/state`)).json() as { now: number; nextAt: number };
      assert.ok(now < nextAt);
    }
    const paused = await control(server, "pause");
    const { step } = await (await fetch(`${server.url}/simulator/state`)).json() as { step: number };
    assert.equal(step, paused["step"]);
    assert.equal((await control(server, "step", { count: 2 }))["done"], 2);
    assert.equal((await control(server, "pace", { kind: "recorded", speed: 6_000 }))["step"], step + 2);
    await control(server, "resume");
    const before = bars(one).length;
    await one.heard.until(() => bars(one).length >= before + 20, "20 more at 6,000 times the recorded pace");
  });

  test("daily bars: stamped New York's midnight on bars and dailyBars, splits are done at their day", async () => {
    const daily = dailyMarket(), from = Date.UTC(2024, 0, 12, 22);
    await using server = await serve({ market: daily, from });
    server.exchange.trade("AAA", 10, 100, from);
    await using one = await alpacaLine(server, { bars: ["AAA"], dailyBars: ["AAA"] });
    await subscribed(one);
    // 2024-01-16 is the next session, and AAA's 4:1 split.
    server.step(1);
    await one.heard.until((all) => all.some(({ T }) => T === "d"), "a daily bar");
    assert.deepEqual(one.heard.all.filter(({ T }) => T === "b" || T === "d").map(({ T, t }) => [T, t]),
      [["b", "2024-01-16T05:00:00Z"], ["d", "2024-01-16T05:00:00Z"]]);
    assert.equal(server.exchange.positions()[0].quantity, 40);
  });
});
