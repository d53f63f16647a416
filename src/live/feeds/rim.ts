/**
 * The feed's rim: history, stream, gaps, and the simulator's pace, told to the feed's actor as they come.
 *
 *   start    history of each ─┬─> gap between the two, by REST ──> ready
 *            stream up ───────┘
 *   lost     ... stream up again ──> gap of each, by REST, until it is whole ──> caught-up
 *
 * Whatever the vendor does is an outcome; only what a person must mend before there is anything to trade on
 * (no dataset, no key) is thrown by `start`.
 */
import type { Clock } from "../../base/clock.ts";
import type { Config } from "../../base/config.ts";
import { messageOf, UserError } from "../../base/error.ts";
import type { Log } from "../../base/log.ts";
import { silentProgress } from "../../base/progress.ts";
import { random, type Random } from "../../base/random.ts";
import { MS_PER_HOUR } from "../../base/units.ts";
import { TIMEFRAMES, type Bars } from "../../market/bars.ts";
import { calendar } from "../../market/calendar.ts";
import { closes } from "../../market/sources/bar-series.ts";
import type { AlpacaKeys, MassiveKeys } from "../../market/sources/keys.ts";
import { backoffMs } from "../../wire/backoff.ts";
import type { Rim } from "../actor.ts";
import { BAR_FIELDS } from "../message.ts";
import type { Session } from "../session.ts";
import { alpacaDialect } from "./alpaca-dialect.ts";
import type { Dialect, StreamLimits } from "./connection.ts";
import type { FeedEffect, FeedOutcome, Heard, Listing } from "./feed.ts";
import { Frame } from "./frame.ts";
import { simulatorUrl, streamUrl } from "./hosts.ts";
import { massiveDialect } from "./massive-dialect.ts";
import { datasetHistory, vendorPast, type Past } from "./past.ts";
import { FeedStream } from "./stream.ts";

/** Bars before the gap that are asked for again: they may have been revised while nobody listened. */
const OVERLAP_BARS = 5;
/** Failed tries after which it is more than a warning. */
const FAILURES_LOUD = 10;
const STEP_TIMEOUT_MS = 10_000;
/** Splits and dividends are asked for so often. */
const ACTIONS_EVERY_MS = 6 * MS_PER_HOUR;
/** A minute: nobody's plan. */
const SIMULATED_CALLS = 100_000;

export interface FeedRimOptions {
  readonly session: Session;
  readonly root: string;
  readonly config: Config;
  /** The session's. */
  readonly clock: Clock;
  readonly log: Log;
  readonly keys: AlpacaKeys | MassiveKeys;
  /** Rows of history when it comes from the vendor: warm-up of the recipe and the longest lookback. */
  readonly historyRows?: number;
  readonly hasQuotes?: boolean;
  /** Bars are made of trades: a replay of ticks. */
  readonly hasTrades?: boolean;
  /** Address of the stream; default: hosts.ts. */
  readonly url?: string;
  readonly limits?: Partial<StreamLimits>;
  /** For tests: the default asks the store and the vendor. */
  readonly history?: () => Promise<readonly Listing[]>;
  readonly past?: Past;
}

export type OpenFeed = Rim<FeedEffect, FeedOutcome> & { readonly stream: FeedStream };

export function openFeedRim(options: FeedRimOptions): OpenFeed {
  return new FeedRim(options);
}

class FeedRim implements Rim<FeedEffect, FeedOutcome> {
  readonly stream: FeedStream;
  readonly #options: FeedRimOptions;
  readonly #stop = new AbortController();
  readonly #random: Random;
  readonly #config: Config;
  #push: (outcome: FeedOutcome) => void = () => {};
  #past: Promise<Past> | null;
  #isUp = false;
  #isReady = false;
  /** Close of the newest bar of each instrument, from wherever. */
  readonly #newest: Float64Array;
  /** Trades that the simulator had said by its last step. */
  #played = 0;
  /** Ends the filling of a gap that has become another one. */
  #filling: AbortController | null = null;
  #running: Promise<void> = Promise.resolve();

  constructor(options: FeedRimOptions) {
    const { session, clock, limits, url } = options;
    if (session.feed === "alpaca" && session.timeframe === "1s") {
      throw new UserError("alpaca streams no bars of seconds",
        "choose --timeframe 1m, or the feed of massive");
    }
    this.#options = options;
    this.#config = configOf(session, options.config);
    this.#past = options.past === undefined ? null : Promise.resolve(options.past);
    this.#random = random(session.seed, "feed", "gaps");
    this.#newest = new Float64Array(session.symbols.length).fill(-Infinity);
    const { alpaca, massive } = this.#config;
    const rest = session.wire === "alpaca" ? alpaca.dataUrl : massive.baseUrl;
    const shape = { indexOf: new Map(session.symbols.map((symbol, i) => [symbol, i])),
      closeOf: closes(session.timeframe, calendar(session.calendar)),
      isWhole: session.clock.kind === "market",
      // Vendors stream minutes (Massive: seconds too); the simulator whatever it replays.
      isPart: session.feed !== "simulator" && !["1m", "1s"].includes(session.timeframe) };
    this.stream = new FeedStream({
      url: streamUrl(session, rest, alpaca.feed, url), dialect: dialectOf(options),
      makeFrame: () => new Frame(shape), clock, random: random(session.seed, "feed", "back-off"),
      ...(limits === undefined ? {} : { limits }),
      up: () => { this.#up(); },
      down: (end, waitMs, failures) => { this.#down(end.is, end.reason, waitMs, failures); },
      heard: (frame) => { for (const outcome of frame.outcomes()) this.#tell(outcome); },
    });
  }

  async start(push: (outcome: FeedOutcome) => void): Promise<void> {
    this.#push = push;
    const { session } = this.#options;
    if (session.history !== null || this.#options.history !== undefined) await this.#tellStored();
    this.#running = this.stream.run(this.#stop.signal);
    if (session.feed !== "simulator") void this.#watchActions(this.#stop.signal);
  }

  carryOut(effect: FeedEffect): void {
    switch (effect.kind) {
      case "wake":
        this.#options.clock.sleep(effect.afterMs, this.#stop.signal)
          .then(() => { this.#push({ kind: "woken" }); }, () => {});
        return;
      case "reconnect": this.stream.drop(effect.reason); return;
      case "step": case "resume": void this.#control(effect.kind); return;
      default: effect satisfies never;
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#filling?.abort();
    await this.#running;
  }

  #tell(outcome: FeedOutcome): void {
    if (outcome.kind === "heard") {
      outcome.instrument.forEach((i, k) => { this.#newest[i] = Math.max(this.#newest[i], outcome.time[k]); });
    }
    this.#push(outcome);
  }

  async #tellStored(): Promise<void> {
    const { session, root, history = () => datasetHistory(root, session) } = this.#options;
    (await history()).forEach((listing, i) => { this.#list(i, listing); });
  }

  #list(instrument: number, listing: Listing): void {
    this.#newest[instrument] = listing.bars.time.at(-1) ?? -Infinity;
    this.#push({ kind: "listing", instrument, listing });
  }

  #up(): void {
    this.#isUp = true;
    this.#filling?.abort();
    this.#filling = new AbortController();
    void this.#fill(AbortSignal.any([this.#filling.signal, this.#stop.signal]));
  }

  #down(is: "refused" | "limited" | "failed", reason: string, waitMs: number, failures: number): void {
    const text = `${reason}; again in ${(waitMs / 1000).toFixed(1)} s`;
    if (this.#isUp) this.#push({ kind: "lost", reason: text });
    this.#isUp = false;
    this.#filling?.abort();
    const isLoud = is === "refused" || failures % FAILURES_LOUD === 0;
    if (is === "failed" && !isLoud) return;
    this.#push({ kind: "trouble", severity: isLoud ? "critical" : "warning", text,
      code: is === "limited" ? "connection-limit" : is === "refused" ? "feed-refused" : "feed-unreachable" });
  }

  /** What came before the stream, or while it was away; asked again until all of it is there. */
  async #fill(signal: AbortSignal): Promise<void> {
    const { clock, session } = this.#options;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        // A replay that has not begun has no gap behind its history from the store.
        const isWhole = !this.#isReady && session.feed === "simulator"
          && await this.#isUnplayed();
        if (!isWhole) {
          const to = await this.#knownTo();
          for (const i of session.symbols.keys()) await this.#fillOne(i, to, signal);
        }
        if (signal.aborted) return;
        if (this.#isReady) this.#push({ kind: "caught-up" });
        else {
          this.#isReady = true;
          this.#push({ kind: "ready" });
        }
        return;
      } catch (error) {
        if (signal.aborted) return;
        this.#push({ kind: "trouble", severity: "warning", code: "feed-gap",
          text: `the gap is not filled yet: ${messageOf(error).split("\n")[0]}` });
        await clock.sleep(backoffMs(failures, this.#random.uniform()), signal).catch(() => {});
      }
    }
  }

  /** A replay's clock stands still while its feed hears nothing: how far the market is, it tells. UTC ms. */
  async #knownTo(): Promise<number> {
    const newest = Math.max(...this.#newest);
    if (this.#options.session.feed !== "simulator") return newest;
    const state = await this.#control("state");
    if (state === null) throw new Error("the simulator does not answer");
    return Math.max(newest, Number(state.now));
  }

  async #fillOne(i: number, to: number, signal: AbortSignal): Promise<void> {
    const { session, historyRows = 512 } = this.#options, symbol = session.symbols[i];
    const past = await (this.#past ??= this.#openPast());
    if (this.#newest[i] === -Infinity) {
      this.#list(i, await past.listing(symbol, historyRows, signal));
      return;
    }
    const since = this.#newest[i] - OVERLAP_BARS * TIMEFRAMES[session.timeframe];
    const heard = heardOf(i, await past.bars(symbol, since, Math.max(to, ...this.#newest), signal));
    if (heard.time.length > 0 && !signal.aborted) this.#tell(heard);
  }

  /** Asks for splits and dividends to come, some times a day: a replay knows its own from the store. */
  async #watchActions(signal: AbortSignal): Promise<void> {
    const { session: { symbols }, clock } = this.#options;
    while (!signal.aborted) {
      try {
        const past = await (this.#past ??= this.#openPast());
        for (const [instrument, symbol] of symbols.entries()) {
          for (const { kind, exTime, value } of await past.actions(symbol, signal)) {
            const notice = { kind: "notice", at: exTime, instrument, what: kind, value } as const;
            this.#push({ kind: "noticed", notice });
          }
        }
      } catch (error) {
        if (!signal.aborted) this.#push({ kind: "trouble", severity: "warning", code: "actions-unknown",
          text: `splits and dividends to come are not known: ${messageOf(error).split("\n")[0]}` });
      }
      await clock.sleep(ACTIONS_EVERY_MS, signal).catch(() => {});
    }
  }

  async #isUnplayed(): Promise<boolean> {
    const state = await this.#control("state");
    this.#played = Number(state?.trades ?? 0);
    return state?.step === 0;
  }

  /** The vendor's REST interface; loaded when it is first needed. */
  #openPast(): Promise<Past> {
    const { session, root, clock, log, keys } = this.#options;
    return vendorPast(session, { root, clock, log, config: this.#config, progress: silentProgress,
      signal: this.#stop.signal }, keys);
  }

  /** Trades of a step come on the stream, its end comes here: all of them must be heard before it counts. */
  #tellPlayed({ now, trades }: SimulatorState): void {
    const barMs = TIMEFRAMES[this.#options.session.timeframe], said = Number(trades);
    const close = Math.ceil(Number(now) / barMs) * barMs;
    this.#push({ kind: "played", close, trades: said - this.#played });
    this.#played = said;
  }

  /** The simulator's own door: how far it is, that it plays a step, or goes on by itself. Null: no answer. */
  async #control(what: "state" | "step" | "resume"): Promise<SimulatorState | null> {
    const { session, log, hasTrades = false } = this.#options, barMs = TIMEFRAMES[session.timeframe];
    try {
      const answer = await fetch(`${simulatorUrl(session)}/simulator/${what}`, { redirect: "error",
        method: what === "state" ? "GET" : "POST",
        ...(what === "step" && hasTrades ? { body: JSON.stringify({ barMs }) } : {}),
        signal: AbortSignal.any([this.#stop.signal, AbortSignal.timeout(STEP_TIMEOUT_MS)]) });
      const state = await answer.json() as SimulatorState;
      if (what === "step" && hasTrades) this.#tellPlayed(state);
      if (what === "step" && state.isDone === true) this.#push({ kind: "ended" });
      return state;
    } catch (error) {
      const isStopped = this.#stop.signal.aborted;
      if (!isStopped) log.warn({ what, reason: messageOf(error) }, "the simulator does not answer");
      return null;
    }
  }
}

interface SimulatorState {
  readonly step?: unknown; readonly isDone?: unknown; readonly now?: unknown; readonly trades?: unknown;
}

/** The simulator is the vendor's address for a session that it plays. */
function configOf(session: Session, config: Config): Config {
  if (session.feed !== "simulator") return config;
  const url = simulatorUrl(session);
  return { ...config, alpaca: { ...config.alpaca, dataUrl: url },
    massive: { ...config.massive, baseUrl: url, callsPerMinute: SIMULATED_CALLS } };
}

function dialectOf({ session, keys, ...wanted }: FeedRimOptions): Dialect {
  return "apiKey" in keys ? massiveDialect(session.symbols, keys, session.timeframe, wanted)
    : alpacaDialect(session.symbols, keys, wanted);
}

function heardOf(i: number, { time, columns }: Bars): Heard {
  const width = BAR_FIELDS.length, bars = new Float64Array(time.length * width);
  BAR_FIELDS.forEach((name, j) => {
    for (let t = 0; t < time.length; t++) bars[t * width + j] = columns[name]?.[t] ?? NaN;
  });
  return { kind: "heard", how: "backfilled", isWhole: false, time,
    instrument: new Int32Array(time.length).fill(i), bars };
}
