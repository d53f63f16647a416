/**
 * Markets out of nothing, for a simulator without stored data, and what may befall a market before it is
 * replayed. Prices are walks by seed inside New York's sessions; a symbol's bars do not depend on which
 * others there are.
 */
import { random } from "../base/random.ts";
import { BPS, dayOf } from "../base/units.ts";
import { TIMEFRAMES, type Bars, type CorporateAction, type Timeframe } from "../market/bars.ts";
import { calendar } from "../market/calendar.ts";
import { instrument } from "../market/instrument.ts";
import type { Listing, Market } from "./book.ts";

export interface SyntheticMarketOptions {
  readonly symbols: readonly string[];
  readonly timeframe: Timeframe;
  /** UTC ms. */
  readonly from: number;
  readonly to: number;
  readonly seed: number;
  /** Standard deviation of a bar's return, basis points; 5 unless said. */
  readonly moveBps?: number;
  /** Share of intraday bars without a trade, which are not there. */
  readonly quietShare?: number;
}

/** Bars that close in (from, to]: open, high, low, close to the cent, volume in shares. */
export function syntheticMarket(options: SyntheticMarketOptions): Market {
  const times = closesOf(options.timeframe, options.from, options.to);
  return new Map(options.symbols.map((symbol) => [symbol, walk(symbol, times, options)]));
}

function closesOf(timeframe: Timeframe, from: number, to: number): number[] {
  const sessions = calendar("us-equity").sessions(dayOf(from), dayOf(to)), length = TIMEFRAMES[timeframe];
  return sessions.flatMap(({ open, close }) => timeframe === "1d" ? [Number(close)]
    : Array.from({ length: Math.floor((close - open) / length) }, (_, k) => open + (k + 1) * length))
    .filter((time) => time > from && time <= to);
}

function walk(symbol: string, times: readonly number[], options: SyntheticMarketOptions): Listing {
  const { timeframe, seed, moveBps = 5, quietShare = 0 } = options;
  const draw = random(seed, "synthetic-market", symbol), hole = random(seed, "synthetic-quiet", symbol);
  const kept = times.filter(() => hole.uniform() >= quietShare);
  const names = ["open", "high", "low", "close", "volume"] as const;
  const columns = Object.fromEntries(names.map((name) => [name, new Float64Array(kept.length)]));
  let price = 20 + draw.below(18_000) / 100;
  kept.forEach((_, t) => {
    const open = price, move = (): number => Math.exp(moveBps * BPS * draw.normal());
    const close = Math.max(0.01, cents(open * move()));
    const reach = [cents(open * move()), cents(close * move()), open, close];
    columns["open"][t] = open;
    columns["close"][t] = price = close;
    columns["high"][t] = Math.max(...reach);
    columns["low"][t] = Math.max(0.01, Math.min(...reach));
    columns["volume"][t] = 100 * (1 + draw.below(2_000));
  });
  const bars: Bars = { instrument: instrument(symbol, { assetClass: "equity" }), kind: "bars", timeframe,
    time: Float64Array.from(kept), columns };
  return { bars, actions: [] };
}

const cents = (value: number): number => Math.round(value * 100) / 100;

/** The same market, had `symbol` been split at `exTime`: raw prices fall and volumes rise from there on. */
export function withSplit(market: Market, symbol: string, exTime: number, ratio: number): Market {
  const listing = market.get(symbol);
  if (listing === undefined) return market;
  const { bars } = listing, factorOf = { price: 1 / ratio, volume: ratio };
  const scaled = (values: Float64Array, factor: number): Float64Array =>
    values.map((value, t) => bars.time[t] > exTime ? value * factor : value);
  const columns = Object.fromEntries(Object.entries(bars.columns).map(([name, values]) => [name,
    ["open", "high", "low", "close", "vwap"].includes(name) ? scaled(values, factorOf.price)
      : name === "volume" ? scaled(values, factorOf.volume) : values]));
  const action: CorporateAction = { kind: "split", exTime, value: ratio };
  const actions = [...listing.actions, action].sort((a, b) => a.exTime - b.exTime);
  return new Map(market).set(symbol, { bars: { ...bars, columns }, actions });
}
