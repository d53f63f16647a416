/**
 * The market as it passes: rows of many listings merged by the time at which they are known, all rows of one
 * moment in one *step*. Listings are bars, quotes or ticks of any length; each is walked by a cursor.
 *
 *   AAA 1m  . . 14:31 14:32 ------ 14:34          step 14:31: AAA, BBB
 *   BBB 1m  . . 14:31 ------ 14:33 14:34          step 14:32: AAA ...
 */
import { day, dayOf } from "../base/units.ts";
import { firstRowAt, TICK_SIDES, TIMEFRAMES, type Bars, type ColumnName, type CorporateAction, type Timeframe,
} from "../market/bars.ts";
import { calendar } from "../market/calendar.ts";
import { newYorkMidnight, type Market } from "./book.ts";
import type { ExchangeBar, ExchangeQuote } from "./exchange-match.ts";

/** A bar as vendors have it: stamped with its start. */
export interface StepBar extends ExchangeBar {
  /** Vendor's stamp, UTC ms: daily bars have New York's midnight. */
  readonly stamp: number;
  readonly vwap: number;
  readonly trades: number;
}
export interface StepTrade {
  readonly symbol: string;
  readonly at: number;
  readonly price: number;
  readonly size: number;
  readonly exchange: string;
}
export interface StepAction extends CorporateAction { readonly symbol: string }
/** Everything that is known at one moment. */
export interface Step {
  readonly at: number;
  readonly bars: readonly StepBar[];
  readonly quotes: readonly ExchangeQuote[];
  readonly trades: readonly StepTrade[];
  /** Splits and dividends since the step before. */
  readonly actions: readonly StepAction[];
}

interface Cursor { readonly symbol: string; readonly bars: Bars; row: number }

export class Replay {
  /** Of the bars; "tick" when there are none. */
  readonly timeframe: Timeframe;
  readonly #cursors: readonly Cursor[];
  readonly #actions: readonly StepAction[];
  readonly #to: number;
  #nextAction = 0;

  /** Rows with from < time <= to. */
  constructor(markets: readonly Market[], from: number, to: number) {
    const listings = markets.flatMap((market) => [...market]);
    this.timeframe = listings.find(([, { bars }]) => bars.kind === "bars")?.[1].bars.timeframe ?? "tick";
    this.#to = to;
    this.#cursors = listings.map(([symbol, { bars }]) =>
      ({ symbol, bars, row: from === -Infinity ? 0 : firstRowAt(bars.time, from + 1e-3) }));
    this.#actions = (markets[0] === undefined ? [] : [...markets[0]])
      .flatMap(([symbol, { actions }]) => actions.map((action) => ({ ...action, symbol })))
      .filter(({ exTime }) => exTime > from).sort((a, b) => a.exTime - b.exTime);
  }

  /** Time of the next step; Infinity at the end. */
  get nextAt(): number {
    let next = Infinity;
    for (const { bars, row } of this.#cursors) {
      if (row < bars.time.length && bars.time[row] < next) next = bars.time[row];
    }
    return next <= this.#to ? next : Infinity;
  }

  next(): Step | null {
    const at = this.nextAt;
    if (at === Infinity) return null;
    const bars: StepBar[] = [], quotes: ExchangeQuote[] = [], trades: StepTrade[] = [];
    const actions: StepAction[] = [];
    while (this.#nextAction < this.#actions.length && this.#actions[this.#nextAction].exTime <= at) {
      actions.push(this.#actions[this.#nextAction++]);
    }
    for (const cursor of this.#cursors) {
      while (cursor.row < cursor.bars.time.length && cursor.bars.time[cursor.row] === at) {
        const row = cursor.row++;
        if (cursor.bars.kind === "bars") bars.push(barOf(cursor, row));
        else if (cursor.bars.kind === "quotes") quotes.push(quoteOf(cursor, row));
        else addTick(cursor, row, quotes, trades);
      }
    }
    return { at, bars, quotes, trades, actions };
  }
}

const value = ({ bars }: Cursor, name: ColumnName, row: number): number => bars.columns[name]?.[row] ?? NaN;

function barOf(cursor: Cursor, row: number): StepBar {
  const { timeframe, time } = cursor.bars, at = time[row], length = TIMEFRAMES[timeframe];
  const isDaily = timeframe === "1d";
  return {
    symbol: cursor.symbol, at, stamp: isDaily ? newYorkMidnight(dayOf(at)) : at - length,
    start: isDaily ? SESSIONS.session(day(dayOf(at)))?.open ?? at - length : at - length,
    open: value(cursor, "open", row), high: value(cursor, "high", row), low: value(cursor, "low", row),
    close: value(cursor, "close", row), volume: value(cursor, "volume", row),
    vwap: value(cursor, "vwap", row), trades: value(cursor, "trades", row),
  };
}

const SESSIONS = calendar("us-equity");

function quoteOf(cursor: Cursor, row: number): ExchangeQuote {
  return { symbol: cursor.symbol, at: cursor.bars.time[row], bid: value(cursor, "bid", row),
    bidSize: value(cursor, "bidSize", row), ask: value(cursor, "ask", row),
      askSize: value(cursor, "askSize", row) };
}

/** A tick is a trade or one side of a quote; the other side is NaN: unchanged. */
function addTick(cursor: Cursor, row: number, quotes: ExchangeQuote[], trades: StepTrade[]): void {
  const side = TICK_SIDES[value(cursor, "side", row)], price = value(cursor, "tickPrice", row);
  const size = value(cursor, "size", row), at = cursor.bars.time[row], { symbol } = cursor;
  if (side === "trade") {
    const exchange = String.fromCharCode(value(cursor, "exchange", row) || 86);
    trades.push({ symbol, at, price, size, exchange });
  } else if (side === "bid") quotes.push({ symbol, at, bid: price, bidSize: size, ask: NaN, askSize: NaN });
  else quotes.push({ symbol, at, bid: NaN, bidSize: NaN, ask: price, askSize: size });
}
