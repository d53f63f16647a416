import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { readConfig } from "../src/base/config.ts";
import type { Context } from "../src/base/context.ts";
import { systemClock } from "../src/base/clock.ts";
import { openLog } from "../src/base/log.ts";
import { silentProgress } from "../src/base/progress.ts";
import { parseDay } from "../src/base/units.ts";
import { column, type Bars } from "../src/market/bars.ts";
import { calendar } from "../src/market/calendar.ts";
import { noPages } from "../src/market/page-cache.ts";
import type { FetchRequest } from "../src/market/sources/source.ts";
import { SYNTHETIC_SEED, syntheticSource } from "../src/market/sources/synthetic.ts";
import { demo } from "../src/workflow/demo.ts";

const contextOf = (root: string): Context => ({ root, config: readConfig(root, {}),
  log: openLog("silent"),
  progress: silentProgress, clock: systemClock, signal: new AbortController().signal });
const requestOf = (more: Partial<FetchRequest>): FetchRequest => ({ dataset: "x", symbols: [],
  from: null, to: null,
  timeframe: null, seed: SYNTHETIC_SEED, path: null, ...more });

async function market(more: Partial<FetchRequest> = {}): Promise<ReadonlyMap<string, Bars>> {
  const bars = new Map<string, Bars>();
  for await (const delivery of syntheticSource.fetch(requestOf(more), contextOf(os.tmpdir()),
    new Set(), noPages)) {
    bars.set(delivery.bars.instrument.symbol, delivery.bars);
  }
  return bars;
}

const wholeMarket = await market();
const bitsOf = (values: Float64Array | undefined): Buffer =>
  Buffer.from((values ?? new Float64Array()).slice().buffer);

test("of 28 instruments, one asked for alone has the same bits as among the others", async () => {
  for (const symbol of ["EQ1", "BD6", "AG4"]) {
    const alone = (await market({ symbols: [symbol] })).get(symbol) as Bars,
      among = wholeMarket.get(symbol) as Bars;
    assert.deepEqual(bitsOf(alone.time), bitsOf(among.time));
    for (const name of ["open", "high", "low", "close", "volume"] as const) {
      assert.deepEqual(bitsOf(alone.columns[name]), bitsOf(among.columns[name]),
        `${symbol} ${name}`);
    }
  }
});

test("a market until 2024 begins with the bits of the one until 2019; --from only cuts", async () => {
  const longer = await market({ symbols: ["EQ1", "FX5"], to: parseDay("2024-12-31") });
  const later = await market({ symbols: ["EQ1", "FX5"], from: parseDay("2010-01-01") });
  for (const symbol of ["EQ1", "FX5"]) {
    const base = column(wholeMarket.get(symbol) as Bars, "close"),
      long = column(longer.get(symbol) as Bars, "close");
    const late = column(later.get(symbol) as Bars, "close");
    assert.ok(long.length > base.length + 1_200);
    assert.deepEqual(bitsOf(long.subarray(0, base.length)), bitsOf(base));
    assert.deepEqual(bitsOf(late), bitsOf(base.subarray(base.length - late.length)));
  }
});

test("another seed is another market: closes of seeds 17 and 18 differ on every day", async () => {
  const other = column((await market({ symbols: ["EQ1"], seed: 18 })).get("EQ1") as Bars, "close");
  const one = column(wholeMarket.get("EQ1") as Bars, "close");
  assert.equal(one.subarray(0, 1000).filter((close, t) => close === other[t]).length, 0);
});

test("in 206,561 bars low <= open, close <= high; 0.3 % of the sessions are missing", () => {
  let rows = 0, expected = 0;
  const sessions = calendar("24x5");
  for (const bars of wholeMarket.values()) {
    const [open, high, low, close] = (["open", "high", "low", "close"] as const).map((name) =>
      column(bars, name));
    for (let t = 0; t < bars.time.length; t++) {
      assert.ok(low[t] > 0 && low[t] <= Math.min(open[t], close[t]) && high[t] >= Math.max(open[t],
        close[t]),
        `${bars.instrument.symbol} row ${t}`);
    }
    rows += bars.time.length;
    expected += sessions.sessions(sessions.sessionDay(bars.time[0]),
      sessions.sessionDay(bars.time[bars.time.length - 1])).length;
  }
  assert.equal(rows, 206_561);
  assert.ok(Math.abs(1 - rows / expected - 0.003) < 0.0006, `${1 - rows / expected} missing`);
});

const returnsOf = (bars: Bars): Float64Array =>
  column(bars, "close").slice(1).map((close, t) => close / column(bars, "close")[t] - 1);
const meanOf = (values: Float64Array): number => values.reduce((sum, value) => sum + value,
  0) / values.length;

test("volatilities are 0.9 % (BD6, as SHATZ) to 30 % (EN3) a year, and shocks have fat tails",
  () => {
  const yearly = (symbol: string): number => {
    const returns = returnsOf(wholeMarket.get(symbol) as Bars), mean = meanOf(returns);
    return Math.sqrt(meanOf(returns.map((value) => (value - mean) ** 2)) * 252);
  };
  assert.ok(Math.abs(yearly("BD6") - 0.009) < 0.0015, String(yearly("BD6")));
  assert.ok(Math.abs(yearly("EN3") - 0.30) < 0.05, String(yearly("EN3")));
  const returns = returnsOf(wholeMarket.get("EQ1") as Bars),
    variance = meanOf(returns.map((value) => value ** 2));
  const kurtosis = meanOf(returns.map((value) => value ** 4)) / variance ** 2;
  assert.ok(kurtosis > 4, `kurtosis ${kurtosis}; 3 is normal`);
});

/** Correlation of the returns of days that both have. */
function correlation(a: string, b: string): number {
  const first = wholeMarket.get(a) as Bars, second = wholeMarket.get(b) as Bars;
  const other = new Map([...returnsOf(second)].map((value, t) => [second.time[t + 1], value]));
  const pairs = [...returnsOf(first)].flatMap((value, t) => other.has(first.time[t + 1])
    ? [[value, other.get(first.time[t + 1]) as number]] : []);
  const x = Float64Array.from(pairs, ([value]) => value), y = Float64Array.from(pairs,
    ([, value]) => value);
  const mx = meanOf(x), my = meanOf(y);
  const covariance = meanOf(x.map((value, t) => (value - mx) * (y[t] - my)));
  return covariance / Math.sqrt(meanOf(x.map((value) => (value - mx) ** 2)) * meanOf(
    y.map((value) => (value - my) ** 2)));
}

test("instruments of a class correlate at 0.3 to 0.5, those of different classes at less than 0.1",
  () => {
  for (const [a, b] of [["EQ1", "EQ2"], ["BD1", "BD2"], ["FX1", "FX2"], ["AG1", "AG2"]]) {
    const value = correlation(a, b);
    assert.ok(value > 0.3 && value < 0.5, `${a} ${b}: ${value}`);
  }
  for (const [a, b] of [["EQ1", "BD1"], ["FX1", "AG2"]]) assert.ok(Math.abs(correlation(a,
    b)) < 0.1, `${a} ${b}`);
});

// pandas (the script that reproduces the anchors of the futures panel) on these closes: 0.67, 0.98,
// 0.94.
test("seed 17 pays as futures did, in 5 windows: long only 0.67, TSMOM 0.98, MACD 0.94", async (t) => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-synthetic-"));
  t.after(() => { fs.rmSync(root, { recursive: true, force: true }); });
  const { strategies, report } = await demo(contextOf(root));
  const sharpe = Object.fromEntries(strategies.map(({ strategy, average }) => [strategy,
    average.sharpe]));
  for (const [strategy, expected] of [["long-only", 0.67], ["tsmom", 0.98],
    ["macd", 0.94]] as const) {
    assert.ok(Math.abs(sharpe[strategy] - expected) < 0.006, `${strategy}: ${sharpe[strategy]}`);
  }
  const page = fs.readFileSync(report, "utf8");
  assert.match(page, /synthetic/i, "the page says that the market is invented");
});

test("minutes: 4 stocks over 21 sessions, the half day of 2019-12-24 ends at 13:00, volume is a U",
  async () => {
  const minutes = await market({ timeframe: "1m" });
  assert.deepEqual([...minutes.keys()], ["SYNA", "SYNB", "SYNC", "SYND"]);
  const sessions = calendar("us-equity");
  for (const bars of minutes.values()) {
    const days = new Set([...bars.time].map((time) => sessions.sessionDay(time)));
    assert.equal(days.size, 21);
    const lastOfHalfDay = [...bars.time].filter((time) => sessions.sessionDay(time) === parseDay(
      "2019-12-24")).at(-1);
    assert.equal(new Date(lastOfHalfDay ?? 0).toISOString(), "2019-12-24T18:00:00.000Z");
    const volume = column(bars, "volume");
    const mean = (fromHour: number, toHour: number): number => {
      const picked = [...bars.time].flatMap((time, t) => (time / 3_600_000) % 24 > fromHour
        && (time / 3_600_000) % 24 <= toHour ? [volume[t]] : []);
      return picked.reduce((sum, value) => sum + value, 0) / picked.length;
    };
    assert.ok(mean(14.5, 15) > 2 * mean(17.5, 18) && mean(20.5, 21) > 2 * mean(17.5, 18),
      bars.instrument.symbol);
  }
  const longer = await market({ timeframe: "1m", symbols: ["SYNB"], to: parseDay("2020-02-28") });
  const base = column(minutes.get("SYNB") as Bars, "close");
  assert.deepEqual(bitsOf(column(longer.get("SYNB") as Bars, "close").subarray(0, base.length)),
    bitsOf(base));
});

test("SYN:3 is SYN0001, SYN0002, SYN0003 from 2010-01-01, each the same alone", async () => {
  const three = await market({ symbols: ["SYN:3"], to: parseDay("2010-12-31") });
  assert.deepEqual([...three.keys()], ["SYN0001", "SYN0002", "SYN0003"]);
  const alone = await market({ symbols: ["SYN0002"], to: parseDay("2010-12-31") });
  assert.deepEqual(alone.get("SYN0002")?.columns, three.get("SYN0002")?.columns);
});

const REFUSED: readonly (readonly [Partial<FetchRequest>, RegExp])[] = [
  [{ symbols: ["EQ11"] }, /daily market has no symbol "EQ11"\ndid you mean "EQ1"/],
  [{ symbols: ["SYN:0"] }, /asks for 0 synthetic instruments/],
  [{ symbols: ["SYN:100001"] }, /asks for 100001 synthetic instruments/],
  [{ symbols: ["EQ1"], timeframe: "1m" }, /minute market has no symbol "EQ1"/],
  [{ timeframe: "5m" }, /has no 5m bars\nask for --timeframe 1d/],
  [{ from: parseDay("1985-01-01") }, /1d market lives from 1990-01-01 to 2099-12-31/],
  [{ from: parseDay("2015-01-03"), to: parseDay("2015-01-04") },
    /no session from 2015-01-03 to 2015-01-04/],
  [{ path: "prices.csv" }, /reads no file/],
  [{ calendar: "us-equity" }, /synthetic 1d bars are on the 24x5 calendar/],
];

test(`${REFUSED.length} requests that the generator cannot make are refused with a hint`,
  async () => {
  for (const [more, expected] of REFUSED) {
    await assert.rejects(async () => await syntheticSource.describe(requestOf(more),
      contextOf(os.tmpdir())), expected);
  }
  await assert.rejects(market({ symbols: ["SYN:2"], to: parseDay("2009-12-31") }),
    /no synthetic instrument has a bar/);
});
