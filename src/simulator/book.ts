/**
 * What a simulated vendor knows: the rows of each instrument, stamped with their starts as vendors
 * stamp them, cut into pages. Written for the simulator alone: it shares no arithmetic with the
 * clients it tests.
 */
import type { Random } from "../base/random.ts";
import { day, dayOf, MS_PER_DAY, MS_PER_HOUR, type Day } from "../base/units.ts";
import {
  firstRowAt, TIMEFRAMES, type Bars, type ColumnName, type CorporateAction, type Timeframe,
} from "../market/bars.ts";
import { calendar } from "../market/calendar.ts";
import { spoil, type FaultName, type Slice } from "./faults.ts";

/** One instrument of the market that is handed in: bars stamped with closes, raw prices. */
export interface Listing {
  readonly bars: Bars;
  readonly actions: readonly CorporateAction[];
}
export type Market = ReadonlyMap<string, Listing>;

export interface WireRow {
  readonly start: number;
  readonly open: number;
  readonly high: number;
  readonly low: number;
  readonly close: number;
  readonly volume: number;
  readonly vwap: number;
  readonly trades: number;
}

/** A page asked for: rows `at..` of a series whose starts lie in from..to (ms). */
export interface PageRequest {
  readonly symbol: string;
  readonly timeframe: Timeframe;
  readonly from: number;
  readonly to: number;
  readonly at: number;
  readonly limit: number;
}

const SESSIONS = calendar("us-equity");

export class Book {
  readonly market: Market;
  readonly #now: () => number;
  readonly #rows = new Map<string, readonly WireRow[]>();
  /** Starts of bars that were sent preliminary and are owed a correction, by series. */
  readonly #owed = new Map<string, Set<number>>();

  /** Bars that close after `now()` have not happened yet. */
  constructor(market: Market, now: () => number = () => Infinity) {
    this.market = market;
    this.#now = now;
  }

  /** One page, spoilt if so scheduled. */
  page(request: PageRequest, fault: FaultName | null, draw: Random): Slice<WireRow> {
    const rows = this.#series(request.symbol, request.timeframe)
      .filter((row) => row.start >= request.from && row.start <= request.to);
    const here = rows.slice(request.at, request.at + request.limit);
    const before = rows.slice(Math.max(0, request.at - request.limit), request.at);
    const hasNext = request.at + request.limit < rows.length;
    const owed = this.#owed.get(request.symbol) ?? new Set<number>();
    this.#owed.set(request.symbol, owed);
    const last = before.at(-1);
    const sent = last !== undefined && owed.has(last.start) ? [last, ...here] : here;
    if (fault === "revised-bar" && hasNext && here.length > 1) {
      const true_ = here[here.length - 1];
      owed.add(true_.start);
      const preliminary = { ...true_, close: true_.close + 0.25, volume: true_.volume + 100 };
      return { rows: [...sent.slice(0, -1), preliminary], stated: sent.length, hasNext };
    }
    return spoil({ rows: sent, stated: sent.length, hasNext }, before, fault, draw);
  }

  #series(symbol: string, timeframe: Timeframe): readonly WireRow[] {
    const listing = this.market.get(symbol);
    if (listing === undefined || listing.bars.timeframe !== timeframe) return [];
    const known = this.#rows.get(symbol) ?? rowsOf(listing.bars);
    this.#rows.set(symbol, known);
    const now = this.#now();
    return now === Infinity ? known : known.slice(0, firstRowAt(listing.bars.time, now + 1));
  }
}

function rowsOf(bars: Bars): WireRow[] {
  const value = (name: ColumnName, t: number): number => bars.columns[name]?.[t] ?? NaN;
  const startOf = (close: number): number =>
    bars.timeframe === "1d" ? newYorkMidnight(dayOf(close)) : close - TIMEFRAMES[bars.timeframe];
  return Array.from(bars.time, (close, t) => ({
    start: startOf(close),
    open: value("open", t), high: value("high", t), low: value("low", t), close: value("close", t),
    volume: value("volume", t), vwap: value("vwap", t), trades: value("trades", t),
  }));
}

const HOUR = new Intl.DateTimeFormat("en-US",
  { timeZone: "America/New_York", hour: "2-digit", hourCycle: "h23" });

/** UTC ms of 00:00 in New York, by the runtime's time zone database. */
export function newYorkMidnight(value: Day | number): number {
  const summer = value * MS_PER_DAY + 4 * MS_PER_HOUR;
  return HOUR.format(summer) === "00" ? summer : summer + MS_PER_HOUR;
}

/** The ex-date of an action. */
export const exDay = (action: CorporateAction): Day => SESSIONS.sessionDay(action.exTime);

/** Last ms of a New York day. */
export const endOfDay = (value: Day | number): number => newYorkMidnight(day(value + 1)) - 1;
