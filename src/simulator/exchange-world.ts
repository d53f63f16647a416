/**
 * The simulated world as one thing without sockets: a market that passes step by step, an exchange that
 * trades on it, and what is said of both, spoilt where the schedule wants it. Its clock never goes back and
 * never passes the next step before that has happened, so that nobody can look ahead.
 *
 *   step() ──> actions, bars, quotes, trades ──> exchange ──> updates ──> listener.updates
 *                         └──> StepSpoiler ─────────────────> frames ───> listener.said
 */
import { random, type Random } from "../base/random.ts";
import { MS_PER_HOUR } from "../base/units.ts";
import type { Timeframe } from "../market/bars.ts";
import type { CalendarName } from "../market/calendar.ts";
import type { Market } from "./book.ts";
import { FaultCounter, noExchangeFaults, type ExchangeFault,
  type ExchangeSchedule } from "./exchange-faults.ts";
import type { ExchangeBar } from "./exchange-match.ts";
import { Exchange, type ExchangeEvent, type ExchangeOptions, type ExchangeQuote, type Terms,
} from "./exchange.ts";
import { Replay, type Step } from "./replay.ts";
import { StepSpoiler, type Said, type Status } from "./step-faults.ts";

export interface WorldOptions {
  /** The first one's bars are what REST serves; further ones (quotes, ticks) are only streamed. */
  readonly markets: readonly Market[];
  /** Bars that close by then have happened before the simulation starts; -Infinity: none. */
  readonly from?: number;
  readonly to?: number;
  readonly capital?: number;
  readonly terms?: Terms;
  readonly seed?: number;
  readonly calendar?: CalendarName;
  readonly assets?: ExchangeOptions["assets"];
  readonly faults?: ExchangeSchedule;
}

export interface WorldListener {
  updates(events: readonly ExchangeEvent[]): void;
  said(frames: readonly Said[]): void;
  /** Connections are cut, silenced or told off. */
  streams(fault: "stream-cut" | "stream-mute" | "updates-cut" | "slow-client"): void;
}

/** Steps that a passing trouble lasts. */
const TROUBLE_STEPS = 3;
const FILLS_KEPT = 10_000;
/** What is due within this time of a step happens before the next one even if nobody moves the clock. */
const REACH_MS = 5_000;

export class World {
  readonly exchange: Exchange;
  readonly faults: FaultCounter;
  readonly #replay: Replay;
  readonly #seed: number;
  readonly #listener: WorldListener;
  readonly #spoiler = new StepSpoiler();
  readonly #quotes = new Map<string, ExchangeQuote>();
  /** What ends by itself, and at which step. */
  readonly #ending: { readonly step: number; readonly end: () => void }[] = [];
  readonly #statuses: Status[] = [];
  readonly #fills: ExchangeEvent[] = [];
  #now: number;
  #step = 0;
  #trades = 0;
  #clockOffMs = 0;

  constructor(options: WorldOptions, listener: WorldListener) {
    const { markets, from = -Infinity, to = Infinity, capital = 100_000, seed = 0 } = options;
    const symbols = [...new Set(markets.flatMap((market) => [...market.keys()]))];
    this.exchange = new Exchange({ symbols, capital, seed, ...options.terms && { terms: options.terms },
      ...options.calendar && { calendar: options.calendar },
      ...options.assets && { assets: options.assets } });
    this.faults = new FaultCounter(options.faults ?? noExchangeFaults);
    this.#replay = new Replay(markets, from, to);
    this.#seed = seed;
    this.#listener = listener;
    const first = this.#replay.nextAt;
    this.#now = Number.isFinite(from) ? from : Number.isFinite(first) ? first - 1 : 0;
    this.#showLast(markets, from);
  }

  get timeframe(): Timeframe { return this.#replay.timeframe; }
  /** Simulated time, UTC ms. */
  now(): number { return this.#now; }
  /** What the broker's clock shows. */
  brokerTime(): number { return this.#now + this.#clockOffMs; }
  steps(): number { return this.#step; }
  /** Trades said on the streams so far. */
  trades(): number { return this.#trades; }
  /** Time of the next step; Infinity: the market is at its end. */
  nextAt(): number { return this.#replay.nextAt; }

  /** Time passes to `time`, at most to just before the next step. */
  pass(time: number): void {
    const to = Math.min(time, this.nextAt() - 1);
    if (to <= this.#now) return;
    this.#now = to;
    this.exchange.advance(to);
    this.tell();
  }

  /** What the exchange will do in the next seconds, if nothing else happens before: latencies run out. */
  settle(): void {
    for (let due = this.exchange.nextDue(); due < this.nextAt() && due <= this.#now + REACH_MS;
      due = this.exchange.nextDue()) this.pass(Math.max(due, this.#now + 1));
  }

  /** One step; false at the end. */
  step(): boolean {
    const step = this.#replay.next();
    if (step === null) return false;
    this.#now = step.at;
    this.#step++;
    this.#trades += step.trades.length;
    for (const { symbol, kind, value } of step.actions) {
      if (kind === "split") this.exchange.split(symbol, value, step.at);
      else this.exchange.dividend(symbol, value);
    }
    const quotes = step.quotes.map((quote) => this.#whole(quote)).filter((quote) => quote !== null);
    this.#trade(step, quotes);
    const { fault, number } = this.faults.next("step");
    const draw = random(this.#seed, "step-fault", number);
    for (const ending of this.#ending.splice(0)) {
      if (ending.step <= this.#step) ending.end(); else this.#ending.push(ending);
    }
    if (fault !== null) this.#befall(fault, step, draw);
    this.tell();
    this.#listener.said(this.#spoiler.said({ ...step, quotes }, this.#statuses.splice(0), fault, draw));
    return true;
  }

  /** Passes on what the exchange has said. */
  tell(): void {
    const events = this.exchange.takeEvents();
    if (events.length === 0) return;
    for (const event of events) if (!Number.isNaN(event.quantity)) this.#fills.push(event);
    if (this.#fills.length > 2 * FILLS_KEPT) this.#fills.splice(0, FILLS_KEPT);
    this.#listener.updates(events);
  }

  /** The last ones, oldest first. */
  fills(): readonly ExchangeEvent[] { return this.#fills; }

  halt(symbol: string, isHalted: boolean): void {
    if (isHalted) this.exchange.halt(symbol); else this.exchange.resume(symbol);
    this.#statuses.push({ symbol, at: this.#now, isHalted });
  }

  #trade(step: Step, quotes: readonly ExchangeQuote[]): void {
    if (step.bars.length > 0) this.exchange.onBars(step.bars, step.at);
    for (const { symbol, price, size } of step.trades) this.exchange.onTrade(symbol, price, size, step.at);
    for (const quote of quotes) this.exchange.onQuote(quote, step.at);
    this.exchange.advance(step.at);
  }

  /** Faults of a step that are not merely said on the data streams. */
  #befall(fault: ExchangeFault, step: Step, draw: Random): void {
    const assets = this.exchange.assets(), { symbol } = assets[draw.below(assets.length)];
    const later = (end: () => void): void => {
      this.#ending.push({ step: this.#step + TROUBLE_STEPS, end });
    };
    switch (fault) {
      case "stream-cut": case "stream-mute": case "updates-cut": case "slow-client":
        this.#listener.streams(fault);
        return;
      case "halt":
        this.halt(symbol, true);
        later(() => { this.halt(symbol, false); });
        return;
      case "delist": this.exchange.delist(symbol, step.at); return;
      case "margin-call":
        this.exchange.callMargin(true);
        later(() => { this.exchange.callMargin(false); });
        return;
      case "clock-off":
        this.#clockOffMs = MS_PER_HOUR;
        later(() => { this.#clockOffMs = 0; });
        return;
      case "manual-trade":
        if (this.#priceOf(symbol) > 0) this.exchange.trade(symbol, draw.below(2) * 20 - 10, NaN, step.at);
        return;
      case "manual-order": this.#leaveOrder(symbol, step.at); return;
      default:
    }
  }

  /** A bid far below the market that is not the client's. */
  #leaveOrder(symbol: string, at: number): void {
    const price = this.#priceOf(symbol);
    if (!(price > 0)) return;
    this.exchange.submit({ clientOrderId: `manual-order-${this.#step}`, symbol, side: "buy", type: "limit",
      timeInForce: "day", quantity: 1, notional: NaN, stopPrice: NaN, isExtendedHours: false,
      limitPrice: Math.max(0.01, Math.floor(price * 50) / 100) }, at);
  }

  #priceOf(symbol: string): number { return this.exchange.market(symbol)?.last ?? NaN; }

  /** Ticks carry one side; the other one is the last known. Null: it is not known yet. */
  #whole(quote: ExchangeQuote): ExchangeQuote | null {
    const last = this.#quotes.get(quote.symbol);
    const hasBid = !Number.isNaN(quote.bid), hasAsk = !Number.isNaN(quote.ask);
    const whole = { symbol: quote.symbol, at: quote.at,
      bid: hasBid ? quote.bid : last?.bid ?? NaN, bidSize: hasBid ? quote.bidSize : last?.bidSize ?? NaN,
      ask: hasAsk ? quote.ask : last?.ask ?? NaN, askSize: hasAsk ? quote.askSize : last?.askSize ?? NaN };
    this.#quotes.set(quote.symbol, whole);
    return whole.bid > 0 && whole.ask > 0 ? whole : null;
  }

  /** The last prices before the start are known. */
  #showLast(markets: readonly Market[], from: number): void {
    if (!Number.isFinite(from)) return;
    for (const { bars, at } of lastBars(markets, from)) this.exchange.onBars(bars, at);
    this.exchange.takeEvents();
  }
}

/** The last bar of each symbol by `from`, those of one moment together, in order. */
function lastBars(markets: readonly Market[], from: number) {
  const shown = new Map<number, ExchangeBar[]>();
  for (const [symbol, { bars }] of markets.flatMap((market) => [...market])) {
    const row = bars.kind === "bars" ? bars.time.findLastIndex((time) => time <= from) : -1;
    const close = bars.columns.close?.[row];
    if (row < 0 || close === undefined) continue;
    const at = bars.time[row];
    const bar = { symbol, start: at, at, open: close, high: close, low: close, close, volume: NaN };
    shown.set(at, [...shown.get(at) ?? [], bar]);
  }
  return [...shown].sort(([a], [b]) => a - b).map(([at, bars]) => ({ at, bars }));
}
