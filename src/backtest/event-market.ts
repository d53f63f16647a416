/**
 * The prices an account trades at. Two worlds of the same bars:
 *
 *     raw        prices as they were quoted; splits and dividends happen to the account
 *     adjusted   prices with splits, dividends and rolls folded in; a "share" is a fractional claim
 *
 * Raw is used when the dataset is raw; all else (ratio back-adjusted futures, total-return prices)
 * has only the other.
 */
import { firstRowOfExDate } from "../market/adjust.ts";
import type { CorporateAction } from "../market/bars.ts";
import type { Calendar } from "../market/calendar.ts";
import type { InstrumentInput } from "./input.ts";

/** One instrument's prices, (T) each. */
export interface PriceRows {
  readonly time: Float64Array;
  readonly close: Float64Array;
  readonly open: Float64Array | null;
  /** In the units of the prices; null when unknown. */
  readonly volume: Float64Array | null;
  readonly actions: readonly CorporateAction[];
  /** Row at which each action takes effect: the first bar of its ex-date, as the store adjusts. */
  readonly actionRow: Int32Array;
}

export function rawPrices(one: InstrumentInput, sessions: Calendar): PriceRows {
  const { time, columns } = one.bars;
  const close = columns.close ?? one.adjustedClose;
  return {
    time, close, open: columns.open ?? null, volume: columns.volume ?? null, actions: one.actions,
    actionRow: Int32Array.from(one.actions, ({ exTime }) => firstRowOfExDate(time, exTime, sessions)),
  };
}

export function adjustedPrices(one: InstrumentInput): PriceRows {
  const { time, columns } = one.bars;
  const close = one.adjustedClose;
  const rawClose = columns.close;
  const scaled = (values: Float64Array | undefined, power: 1 | -1): Float64Array | null => {
    if (values === undefined) return null;
    if (rawClose === undefined) return values;
    return values.map((value, row) => value * (close[row] / rawClose[row]) ** power);
  };
  return {
    time, close, open: scaled(columns.open, 1), volume: scaled(columns.volume, -1),
    actions: [], actionRow: new Int32Array(0),
  };
}
