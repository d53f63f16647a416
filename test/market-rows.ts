/** Rows for tests of the market folder, from a seed or by hand. */
import assert from "node:assert/strict";
import { random } from "../src/base/random.ts";
import { day, parseDay, type Day } from "../src/base/units.ts";
import type { Bars, ColumnName } from "../src/market/bars.ts";
import { calendar, type CalendarName } from "../src/market/calendar.ts";
import { instrument } from "../src/market/instrument.ts";

export function dayOfText(text: string): Day {
  const found = parseDay(text);
  assert.ok(found !== null, text);
  return found;
}

/** Closing times of the first `count` sessions from a day on. */
export function closesFrom(text: string, count: number, name: CalendarName = "us-equity"): Float64Array {
  const from = dayOfText(text);
  return Float64Array.from(calendar(name).sessions(from, day(from + 2 * count + 30)).slice(0, count),
    (one) => one.close);
}

/** Daily bars of the given times and columns. */
export function barsOf(
  symbol: string, time: ArrayLike<number>, columns: Partial<Record<ColumnName, ArrayLike<number>>>,
  shape: Partial<Pick<Bars, "kind" | "timeframe">> = {},
): Bars {
  const arrays = Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, Float64Array.from(values)]));
  return { instrument: instrument(symbol, { assetClass: "equity", halfSpreadBps: 1.5 }), kind: "bars", timeframe: "1d",
    ...shape, time: Float64Array.from(time), columns: arrays };
}

/** A clean market: Student-t(8) returns of 1.2 % a day, consistent OHLC, volume that changes every day. */
export function cleanBars(seed: number, rows: number, symbol = "CLEAN"): Bars {
  const draw = random(seed, "clean", symbol), time = closesFrom("2005-01-03", rows);
  const open: number[] = [], high: number[] = [], low: number[] = [], close: number[] = [], volume: number[] = [];
  let price = 100;
  for (let i = 0; i < rows; i++) {
    const start = price * (1 + 0.002 * draw.normal());
    price *= Math.exp(0.012 * draw.studentT(8));
    open.push(start);
    close.push(price);
    high.push(Math.max(start, price) * (1 + 0.004 * draw.uniform()));
    low.push(Math.min(start, price) * (1 - 0.004 * draw.uniform()));
    volume.push(1e6 + i + draw.below(1_000) * 10_000);
  }
  return barsOf(symbol, time, { open, high, low, close, volume });
}

/** A random column: full-range doubles, NaN, -0, subnormals. Closes stay positive. */
export function randomColumn(seed: number, name: string, rows: number, isPositive: boolean): Float64Array {
  const draw = random(seed, "column", name), odd = isPositive ? [5e-324, 1e308] : [NaN, -0, 5e-324, -1e308, 0];
  return Float64Array.from({ length: rows }, () => {
    if (draw.below(20) === 0) return odd[draw.below(odd.length)];
    const size = Math.exp(20 * draw.normal());
    return isPositive ? size : draw.normal() * size;
  });
}
