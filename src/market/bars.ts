/**
 * Columns of one instrument's rows, oldest first. The noun that flows out of `market/`.
 *
 * A **bar** is one period of prices; `time` is its *close* in UTC ms (sources whose stamps are starts
 * convert). The same shape carries quote bars and ticks, told apart by `kind`. Daily bars close at their
 * session's close, and the UTC date of that moment is the session's date for every calendar we have
 * (calendar.ts).
 */
import { UserError } from "../base/error.ts";
import { MS_PER_DAY, MS_PER_HOUR, MS_PER_MINUTE, MS_PER_SECOND } from "../base/units.ts";
import type { Instrument } from "./instrument.ts";

export const KINDS = ["bars", "quotes", "ticks"] as const;
export type Kind = (typeof KINDS)[number];

/**
 * Every column that can be stored: which kinds have it and its unit. One row per column, nothing elsewhere.
 */
export const COLUMNS = {
  open: { kind: "bars", unit: "price" },
  high: { kind: "bars", unit: "price" },
  low: { kind: "bars", unit: "price" },
  close: { kind: "bars", unit: "price" },
  volume: { kind: "bars", unit: "shares or contracts" },
  vwap: { kind: "bars", unit: "price" },
  trades: { kind: "bars", unit: "count" },
  /** Simple return from the previous bar, where the source states it apart from `close` (futures). */
  return: { kind: "bars", unit: "fraction" },
  /** Unadjusted price of the contract held (futures). */
  price: { kind: "bars", unit: "price" },
  /** Difference back-adjusted price; may be <= 0, never take percentage returns of it (futures). */
  panama: { kind: "bars", unit: "price" },
  /** 1 when the contract held differs from the previous row (futures). */
  roll: { kind: "bars", unit: "flag" },
  bid: { kind: "quotes", unit: "price" },
  bidSize: { kind: "quotes", unit: "shares" },
  ask: { kind: "quotes", unit: "price" },
  askSize: { kind: "quotes", unit: "shares" },
  /** TICK_SIDES code. */
  side: { kind: "ticks", unit: "code" },
  tickPrice: { kind: "ticks", unit: "price" },
  size: { kind: "ticks", unit: "shares" },
  /** Char code of the venue's letter. */
  exchange: { kind: "ticks", unit: "code" },
} as const satisfies Record<string, { kind: Kind; unit: string }>;
export type ColumnName = keyof typeof COLUMNS;

/** Codes of the `side` column of ticks. */
export const TICK_SIDES = ["trade", "bid", "ask"] as const;

export const TIMEFRAMES = {
  "1d": MS_PER_DAY, "1h": MS_PER_HOUR, "30m": 30 * MS_PER_MINUTE, "15m": 15 * MS_PER_MINUTE,
  "5m": 5 * MS_PER_MINUTE, "1m": MS_PER_MINUTE, "1s": MS_PER_SECOND, "tick": 0,
} as const;
/** Length of a bar. `tick`: one row per event. */
export type Timeframe = keyof typeof TIMEFRAMES;

export interface Bars {
  readonly instrument: Instrument;
  readonly kind: Kind;
  readonly timeframe: Timeframe;
  /** (T) close of each row, UTC ms; strictly ascending, except ticks, which may share a stamp. */
  readonly time: Float64Array;
  /** (T) each. NaN means absent. `close` of bars is never NaN and never <= 0. */
  readonly columns: Readonly<Partial<Record<ColumnName, Float64Array>>>;
}

/** A split (ratio 2 = two for one) or cash dividend, known before the open of its ex-date. */
export interface CorporateAction {
  readonly kind: "split" | "dividend";
  /** First moment at which the price no longer carries it: the open of the ex-date, UTC ms. */
  readonly exTime: number;
  /** Split: new shares per old share. Dividend: cash per share, in the instrument's currency, unadjusted. */
  readonly value: number;
}

/** One column that must be there. */
export function column(bars: Bars, name: ColumnName): Float64Array {
  const values = bars.columns[name];
  if (values === undefined) {
    const present = Object.keys(bars.columns).join(", ");
    throw new UserError(`${bars.instrument.symbol} has no column "${name}" (it has ${present})`,
      "fetch the dataset from a source that has it, or choose features that do not need it");
  }
  return values;
}

/** Rows [from, to) as views: nothing is copied. */
export function sliceBars(bars: Bars, from: number, to: number): Bars {
  const columns: Partial<Record<ColumnName, Float64Array>> = {};
  for (const [name, values] of Object.entries(bars.columns)) {
    columns[name as ColumnName] = values.subarray(from, to);
  }
  return { ...bars, time: bars.time.subarray(from, to), columns };
}

/** First row whose time is >= `time`: where a range starts (binary search). */
export function firstRowAt(times: Float64Array, time: number): number {
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (times[middle] < time) low = middle + 1; else high = middle;
  }
  return low;
}
