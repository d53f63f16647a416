/** A small market for tests of sources: invented prices, real New York sessions, a split and dividends. */
import { random, type Random } from "../../src/base/random.ts";
import { day, MS_PER_HOUR, parseDay, type Day } from "../../src/base/units.ts";
import { TIMEFRAMES, type Bars, type CorporateAction, type Timeframe } from "../../src/market/bars.ts";
import { calendar } from "../../src/market/calendar.ts";
import { instrument } from "../../src/market/instrument.ts";

/** What both a simulator and a file can be made of. Times are closes. */
export interface Listing { readonly bars: Bars; readonly actions: readonly CorporateAction[] }
export type Market = ReadonlyMap<string, Listing>;

export const dayOfText = (text: string): Day => parseDay(text) ?? day(NaN);
const SESSIONS = calendar("us-equity");

/** AAA whole, BBB listed late, BRK.B delisted early. 2023-11-24 is a half day, the clocks change on 2024-03-10. */
export const DAILY_SPAN = { from: dayOfText("2023-11-13"), to: dayOfText("2024-03-28") };
export const INTRADAY_SPAN = { from: dayOfText("2024-03-07"), to: dayOfText("2024-03-12") };
/** A moment after every bar of the two spans. */
export const AFTERWARDS = Date.UTC(2024, 5, 1);

export function dailyMarket(seed = 1): Market {
  const sessions = SESSIONS.sessions(DAILY_SPAN.from, DAILY_SPAN.to);
  const times = sessions.map((session) => session.close);
  const open = (text: string): number => SESSIONS.session(dayOfText(text))?.open ?? NaN;
  return new Map([
    ["AAA", listing("AAA", "1d", times, seed, [
      { kind: "dividend", exTime: open("2023-12-05"), value: 0.24 },
      { kind: "split", exTime: open("2024-01-16"), value: 4 },
      { kind: "dividend", exTime: open("2024-03-11"), value: 0.0625 },
    ])],
    ["BBB", listing("BBB", "1d", times.slice(40), seed, [{ kind: "split", exTime: open("2024-02-20"), value: 0.1 }])],
    ["BRK.B", listing("BRK.B", "1d", times.slice(0, 55), seed, [])],
  ]);
}

/** Bars from before the open to after the close, some missing (nobody traded). */
export function intradayMarket(timeframe: Timeframe, seed = 1): Market {
  const length = TIMEFRAMES[timeframe];
  const times = (symbol: string): number[] => {
    const draw = random(seed, "holes", symbol);
    return SESSIONS.sessions(INTRADAY_SPAN.from, INTRADAY_SPAN.to).flatMap((session) => {
      const start = session.open - 1.5 * MS_PER_HOUR, bars = Math.floor((9 * MS_PER_HOUR) / length);
      return Array.from({ length: bars }, (_, k) => start + (k + 1) * length).filter(() => draw.uniform() > 0.1);
    });
  };
  return new Map(["AAA", "BRK.B"].map((symbol) => [symbol, listing(symbol, timeframe, times(symbol), seed, [])]));
}

function listing(symbol: string, timeframe: Timeframe, times: readonly number[], seed: number,
  actions: readonly CorporateAction[]): Listing {
  const draw = random(seed, "market", symbol, timeframe);
  const rows = walk(draw, times.length);
  const field = (pick: (row: PriceRow) => number): Float64Array => Float64Array.from(rows, pick);
  return {
    actions,
    bars: {
      instrument: instrument(symbol, { assetClass: "equity" }), kind: "bars", timeframe, time: Float64Array.from(times),
      columns: {
        open: field((row) => row.open), high: field((row) => row.high), low: field((row) => row.low),
        close: field((row) => row.close), volume: field((row) => row.volume), vwap: field((row) => row.vwap),
        trades: field((row) => row.trades),
      },
    },
  };
}

interface PriceRow { open: number; high: number; low: number; close: number; volume: number; vwap: number; trades: number }

/** Volumes from hundreds to millions: vendors write the large ones as 1.029e+06. */
function walk(draw: Random, count: number): PriceRow[] {
  const cents = (value: number): number => Math.round(value * 100) / 100;
  let level = 50 + 100 * draw.uniform();
  return Array.from({ length: count }, () => {
    const open = cents(level);
    level *= Math.exp(0.02 * draw.normal());
    const close = cents(level);
    return {
      open, close, high: cents(Math.max(open, close) + draw.uniform()), low: cents(Math.min(open, close) * 0.99),
      volume: draw.below(2) === 0 ? 1_000 * (1 + draw.below(5_000)) : 1 + draw.below(5_000_000),
      vwap: (open + close) / 2 + draw.uniform() / 7, trades: 1 + draw.below(9_999),
    };
  });
}
