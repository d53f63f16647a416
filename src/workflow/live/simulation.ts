/**
 * `simulate`: one session of the whole graph over memory, from a market, a seed and a plan of what goes
 * wrong, to a record of everything that was said and done. Equal arguments give equal records.
 *
 *     market ──bars──> feed ─> ... ─> execution ─> MemoryVenue (exchange)
 *        \──────────────bars────────────────────────────^
 *     plan ──at its moments──> kills, freezes, full disks, broken streams, trades by hand, commands,
   spoilt bars
 */
import { assert } from "../../base/assert.ts";
import { random } from "../../base/random.ts";
import type { Panel } from "../../features/panel.ts";
import { feedActor } from "../../live/actors/feed.ts";
import { BAR_FIELDS, type ControlCommand } from "../../live/message.ts";
import { PORTS, type Session } from "../../live/session.ts";
import { TIMEFRAMES } from "../../market/bars.ts";
import type { Instrument } from "../../market/instrument.ts";
import { Exchange, REALISTIC, type Terms } from "../../simulator/exchange.ts";
import type { RiskLimits } from "../../strategy/risk.ts";
import type { SimulationRecord } from "./invariants.ts";
import { HONEST, MemoryVenue, type BrokerFaults } from "./memory-broker.ts";
import { MemoryBus } from "./memory-bus.ts";
import { CALM, type Entry, type MemoryProcess, type Weather } from "./memory-process.ts";
import { barOf, MemoryVendor, type SimulatedMarket, type SpoiltStep } from "./memory-feed.ts";
import { featuresProcess, memoryGraph, type GraphOptions } from "./memory-graph.ts";
import { MemoryDisk } from "./memory-rims.ts";
import { VirtualTime } from "./virtual-time.ts";

/** Something that happens once, at a moment after the first live bar's. */
export type Mischief = { readonly atMs: number } & (
  | { readonly what: "kill" | "kill-for-good"; readonly process: string }
  | { readonly what: "kill-all" }
  | { readonly what: "freeze" | "step-clock"; readonly process: string; readonly ms: number }
  | { readonly what: "disk-full" | "break-stream" | "mute-stream" | "break-feed" | "mute-feed";
    readonly ms: number }
  | { readonly what: "slow-disk"; readonly delayMs: number; readonly ms: number }
  | { readonly what: "trade"; readonly instrument: number; readonly quantity: number }
  /** An order at the exchange that somebody else placed, at `factor` x the last price. */
  | { readonly what: "order"; readonly instrument: number; readonly quantity: number;
    readonly factor: number }
  /** The exchange splits what is held; the market's bars from then on are at the new price. */
  | { readonly what: "split"; readonly instrument: number; readonly ratio: number }
  | { readonly what: "halt" | "resume"; readonly instrument: number }
  | { readonly what: "control"; readonly action: ControlCommand["action"]; readonly subject?: string;
    readonly value?: string });

export interface FaultPlan {
  readonly weather: Weather;
  readonly broker: BrokerFaults;
  readonly mischief: readonly Mischief[];
  readonly spoilt: readonly SpoiltStep[];
  /** From here on (ms after the first live bar) nothing goes wrong any more. */
  readonly calmFromMs: number;
}
export const NO_FAULTS: FaultPlan =
  { weather: CALM, broker: HONEST, mischief: [], spoilt: [], calmFromMs: 0 };

export interface SimulationOptions {
  readonly session: Session;
  readonly market: SimulatedMarket;
  readonly panel: Panel;
  readonly instruments: readonly Instrument[];
  readonly periodsPerYear: number;
  readonly limits: RiskLimits;
  readonly strategies: GraphOptions["strategies"];
  readonly seed: number;
  readonly faults?: FaultPlan;
  readonly terms?: Terms;
  readonly inferMs?: number;
  /** How often actors are told the time, ms; default 500. */
  readonly tickMs?: number;
  readonly execution?: GraphOptions["execution"];
  /** Instead of the product's own, or besides: for tests of single actors. */
  readonly others?: readonly MemoryProcess[];
}

const TICK_MS = 500, RESTART_MS = 400;

/** Runs one session to the end of its market and a little longer, so that what is in the air can land. */
export async function simulate(options: SimulationOptions): Promise<SimulationRecord> {
  const run = new Simulation(options);
  return await run.play();
}

class Simulation {
  readonly #options: SimulationOptions;
  readonly #faults: FaultPlan;
  readonly #time: VirtualTime;
  readonly #entries: Entry[] = [];
  readonly #bus: MemoryBus;
  readonly #disk: MemoryDisk;
  readonly #venue: MemoryVenue;
  readonly #commands: SimulationRecord["commands"][number][] = [];
  readonly #touched = new Set<string>();
  readonly #vendor: MemoryVendor;
  readonly #firstMs: number;

  constructor(options: SimulationOptions) {
    const { session, market, seed, faults = NO_FAULTS, terms = REALISTIC } = options;
    assert(market.live > 0 && market.live < market.time.length, "a market has history and live steps");
    this.#options = options;
    this.#faults = faults;
    const barMs = session.timeframe === "tick" ? 0 : TIMEFRAMES[session.timeframe];
    this.#time = new VirtualTime(market.time[market.live - 1] + barMs / 2);
    this.#firstMs = market.time[market.live] - this.#time.start;
    this.#disk = new MemoryDisk(this.#time);
    const exchange = new Exchange({ symbols: market.symbols, capital: session.sizing.capital, seed, terms,
      calendar: session.calendar });
    this.#venue = new MemoryVenue(exchange, this.#time, seed, faults.broker,
      () => this.#entries.length);
    this.#bus = new MemoryBus({ time: this.#time, seed, weather: faults.weather,
      tickMs: options.tickMs ?? TICK_MS,
      isRetaining: true, restartMs: RESTART_MS, onEntry: (entry) => { this.#entries.push(entry); } });
    this.#vendor = new MemoryVendor(market, session.timeframe, faults.spoilt, () => this.#time.now());
  }

  async play(): Promise<SimulationRecord> {
    const { market } = this.#options, { calmFromMs, mischief } = this.#faults;
    this.#addProcesses();
    for (let step = 0; step < market.time.length; step++) this.#trade(step);
    for (const one of mischief) this.#time.at(this.#firstMs + one.atMs, () => { this.#make(one); });
    this.#time.at(this.#firstMs + calmFromMs, () => {
      this.#bus.weather = { ...this.#faults.weather, lostShare: 0, twiceShare: 0 };
      this.#venue.faults = { ...HONEST, delayMs: this.#faults.broker.delayMs };
      this.#vendor.mend();
      this.#disk.isFull = false;
      this.#disk.onDurable = () => {};
    });
    const last = market.time.at(-1)! - this.#time.start;
    await this.#time.run(last + 60_000);
    return this.#record(last - this.#firstMs > calmFromMs + 60_000);
  }

  #addProcesses(): void {
    const { session, panel, others = [] } = this.#options;
    const graph = memoryGraph({ ...this.#options, time: this.#time, disk: this.#disk,
      connect: (host) => this.#venue.connect(host) });
    const feed: MemoryProcess = { name: "feed", start: (host) => [{ actor: feedActor({ session }),
      rim: this.#vendor.connect(host) }] };
    const replaced = new Set(others.map(({ name }) => name));
    for (const one of [...graph, featuresProcess(session, panel), feed]) {
      if (!replaced.has(one.name)) this.#bus.add(one);
    }
    for (const one of others) this.#bus.add(one);
  }

  /** The exchange sees each bar as it is, at its close. */
  #trade(step: number): void {
    const { market, session } = this.#options, at = market.time[step];
    const barMs = session.timeframe === "tick" ? 0 : TIMEFRAMES[session.timeframe];
    const bars = market.symbols.flatMap((symbol, i) => {
      const [open, high, low, close, volume] = barOf(market, step, i);
      return Number.isNaN(close) ? [] : [{ symbol, start: at - barMs, at, open, high, low, close, volume }];
    });
    const deal = (): void => { this.#venue.onBars(bars); };
    // Before the session began, only its last history is known to the exchange.
    if (at <= this.#time.start) { if (step === market.live - 1) this.#time.at(0, deal); return; }
    this.#time.at(at - this.#time.start, deal);
  }

  #make(one: Mischief): void {
    const bus = this.#bus, { session, market } = this.#options;
    switch (one.what) {
      case "kill": bus.kill(one.process); return;
      case "kill-for-good": bus.kill(one.process, false); return;
      case "kill-all": for (const name of bus.names()) bus.kill(name); return;
      case "freeze": bus.freeze(one.process, one.ms); return;
      case "step-clock": bus.stepClock(one.process, one.ms); return;
      case "disk-full":
        this.#disk.isFull = true;
        this.#time.after(one.ms, () => { this.#disk.isFull = false; });
        return;
      case "slow-disk":
        this.#disk.onDurable = () => { bus.freeze("execution", one.delayMs); };
        this.#time.after(one.ms, () => { this.#disk.onDurable = () => {}; });
        return;
      case "break-feed": case "mute-feed":
        this.#vendor.fail(one.what === "mute-feed");
        this.#time.after(one.ms, () => { this.#vendor.mend(); });
        return;
      case "break-stream": this.#venue.breakStream(one.ms, false); return;
      case "mute-stream": this.#venue.breakStream(one.ms, true); return;
      case "trade": {
        const symbol = session.symbols[one.instrument];
        this.#touched.add(symbol);
        this.#venue.trade(symbol, one.quantity, this.#lastClose(one.instrument));
        return;
      }
      case "order": {
        const symbol = session.symbols[one.instrument], price = this.#lastClose(one.instrument) * one.factor;
        this.#touched.add(symbol);
        this.#venue.order(symbol, one.quantity, Math.round(price * 100) / 100);
        return;
      }
      case "split":
        this.#touched.add(session.symbols[one.instrument]);
        this.#venue.split(session.symbols[one.instrument], one.ratio);
        this.#vendor.notice({ kind: "notice", at: this.#time.now(), instrument: one.instrument, what: "split",
          value: one.ratio });
        return;
      case "halt": case "resume":
        this.#venue.halt(market.symbols[one.instrument], one.what === "halt");
        this.#vendor.notice({ kind: "notice", at: this.#time.now(), instrument: one.instrument,
          what: one.what, value: 0 });
        return;
      case "control": this.#control(one.action, one.subject ?? "", one.value ?? ""); return;
      default:
    }
  }

  #control(action: ControlCommand["action"], subject: string, value: string): void {
    const command: ControlCommand =
      { kind: "control", at: this.#time.now(), action, by: "user", subject, value };
    this.#commands.push({ elapsedMs: this.#time.elapsedMs, command });
    this.#bus.hand(command);
  }

  #lastClose(instrument: number): number {
    const { market } = this.#options;
    for (let step = market.time.length - 1; step >= 0; step--) {
      const [, , , close] = barOf(market, step, instrument);
      if (market.time[step] <= this.#time.now() && close > 0) return close;
    }
    return NaN;
  }

  #record(endsCalm: boolean): SimulationRecord {
    const { session, seed } = this.#options, { exchange } = this.#venue;
    return { session, seed, start: this.#time.start, entries: this.#entries, venue: this.#venue.log,
      journal: this.#disk.log, endsCalm, commands: this.#commands, touched: this.#touched,
      held: new Map(exchange.positions().map(({ symbol, quantity }) => [symbol, quantity])),
      openIds: exchange.orders("open").map(({ clientOrderId }) => clientOrderId) };
  }
}

const WIDTH = BAR_FIELDS.length;

export interface MarketShape {
  readonly symbols: readonly string[];
  /** Open of the first bar, UTC ms. */
  readonly from: number;
  readonly stepMs: number;
  readonly history: number;
  readonly live: number;
  /** Of a bar's log return. */
  readonly deviation?: number;
}

/** A seeded random walk of N instruments at common closes, `stepMs` apart. */
export function randomMarket(seed: number, shape: MarketShape): SimulatedMarket {
  const { symbols, from, stepMs, history, live, deviation = 0.002 } = shape;
  const S = history + live, N = symbols.length;
  const bars = new Float64Array(S * N * WIDTH), price = new Float64Array(N);
  const draws = symbols.map((symbol) => random(seed, "simulated market", symbol));
  price.forEach((_, i) => { price[i] = 40 + 60 * draws[i].uniform(); });
  for (let step = 0; step < S; step++) {
    for (let i = 0; i < N; i++) {
      const open = price[i], close = price[i] = round(open * Math.exp(deviation * draws[i].normal()));
      const high = round(Math.max(open, close) * (1 + deviation * draws[i].uniform() / 2));
      const low = round(Math.min(open, close) * (1 - deviation * draws[i].uniform() / 2));
      bars.set([open, high, low, close, 1_000 + draws[i].below(100_000), (open + close) / 2,
        10 + draws[i].below(90)],
        (step * N + i) * WIDTH);
    }
  }
  return { symbols, bars, live: history,
    time: Float64Array.from({ length: S }, (_, step) => from + stepMs * (step + 1)) };
}

const round = (price: number): number => Math.round(price * 100) / 100;

/** A session of simulated equities by the minute; a test changes what it is about. */
export function simulatedSession(given: Partial<Session> & Pick<Session, "symbols" | "models">,
  panel: Pick<Panel, "recipe" | "hash">): Session {
  return {
    id: "simulation", venue: "simulator", feed: "simulator", wire: "alpaca", strategyName: "toy",
      timeframe: "1m",
    calendar: "us-equity", recipe: panel.recipe, recipeHash: panel.hash, history: null,
    clock: { kind: "wall", isStepped: false, barsPerSecond: null }, quorum: 1, deadlineMs: 1_000,
      mixture: "equal",
    isConfidenceWeighted: false, risk: {},
    sizing: { volatilityTarget: 0.15, weightMax: null, portfolioTarget: null, method: "volatility",
      isFractional: true, capital: 100_000 },
    execution: { style: "market", slices: 1, timeoutMs: 10_000, callsPerMinute: 200 }, ports: { ...PORTS },
    host: "127.0.0.1", seed: 1, faults: "none", simulatorUrl: null, ...given,
  };
}
