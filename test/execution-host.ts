/** Execution as a process has it: actor, rim, journal on the disk, the product's Alpaca client, our exchange on loopback. */
import { systemClock } from "../src/base/clock.ts";
import { openLog } from "../src/base/log.ts";
import type { Bars } from "../src/market/bars.ts";
import { executionActor, type ExecutionOptions } from "../src/live/actors/execution.ts";
import { hostOf } from "../src/live/brokers/alpaca-hosts.ts";
import { openAlpacaBroker } from "../src/live/brokers/alpaca.ts";
import type { Broker } from "../src/live/brokers/broker.ts";
import { FREE } from "../src/live/execution/desk.ts";
import type { ExecutionEffect, ExecutionOutcome } from "../src/live/execution/effect.ts";
import { openExecutionRim, type ExecutionRim } from "../src/live/execution/rim.ts";
import { isSpoken, type Spoken, type TargetCommand } from "../src/live/message.ts";
import { startExchangeServer, type ExchangeServer, type ExchangeServerOptions } from "../src/simulator/exchange-server.ts";
import { FRICTIONLESS } from "../src/simulator/exchange-terms.ts";
import { SIMULATOR_KEYS, type Market } from "../src/simulator/simulator.ts";
import { NO_LIMITS } from "../src/strategy/risk.ts";
import { sessionOf } from "./execution-world.ts";

export const OPEN = Date.UTC(2024, 0, 3, 14, 30);
const ROWS = 300;

/** Minutes at 100 each, whose volume is ample. */
export function flatMarket(symbols: readonly string[]): Market {
  const column = (value: number): Float64Array => new Float64Array(ROWS).fill(value);
  return new Map(symbols.map((symbol) => [symbol, { actions: [], bars: {
    instrument: { symbol }, kind: "bars", timeframe: "1m",
    time: Float64Array.from({ length: ROWS }, (_, k) => OPEN + (k + 1) * 60_000),
    columns: { open: column(100), high: column(100), low: column(100), close: column(100), volume: column(1e7) },
  } as unknown as Bars }]));
}

export async function startVenue(symbols: readonly string[],
  options: Partial<ExchangeServerOptions> = {}): Promise<ExchangeServer> {
  const server = await startExchangeServer({ market: flatMarket(symbols), from: OPEN, to: OPEN + ROWS * 60_000,
    terms: FRICTIONLESS,
    capital: 1e9, pace: { kind: "stepped" }, callsPerMinute: Infinity, ...options });
  server.step(1);
  return server;
}

/** `log` gets every line of the product's log. */
export const openClient = (url: string, timeoutMs = 5_000, log: (line: string) => void = () => {}): Promise<Broker> =>
  openAlpacaBroker({ host: hostOf("simulator", url), keys: SIMULATOR_KEYS.alpaca, clock: systemClock, log: openLog("warn", log),
    timeoutMs });

export type HostOptions = Partial<ExecutionOptions> & { readonly timeoutMs?: number; readonly now?: () => number };

export class Host implements AsyncDisposable {
  readonly said: Spoken[] = [];
  readonly micros: number[] = [];
  readonly symbols: readonly string[];
  readonly #rim: ExecutionRim;
  readonly #actor: ReturnType<typeof executionActor>;
  readonly #now: () => number;
  #waiting: { is: () => boolean; resolve: () => void }[] = [];
  #isStopped = false;

  private constructor(symbols: readonly string[], folder: string, broker: Broker, options: HostOptions) {
    this.symbols = symbols;
    this.#now = options.now ?? Date.now;
    const session = options.session ?? sessionOf(symbols);
    this.#rim = openExecutionRim({ session, folder, broker, clock: systemClock, log: openLog("silent"),
      onSubmitted: (micros) => this.micros.push(micros) });
    this.#actor = executionActor({ limits: NO_LIMITS, permits: FREE, lookUpMs: 20, watchMs: 100, reconcileMs: 200, ...options,
      session });
  }

  /** Resolves once the stream is proven and the books are reconciled. */
  static async start(symbols: readonly string[], folder: string, url: string, options: HostOptions = {}): Promise<Host> {
    const host = new Host(symbols, folder, await openClient(url, options.timeoutMs), options);
    await host.#rim.start((outcome) => host.hand(outcome));
    await host.until(() => host.last("account")?.isReconciled === true);
    return host;
  }

  hand(message: Spoken | ExecutionOutcome): void {
    if (this.#isStopped) return;
    for (const one of this.#actor.handle(message, this.#now()) as readonly (Spoken | ExecutionEffect)[]) {
      if (isSpoken(one)) this.said.push(one); else this.#rim.carryOut(one);
    }
    this.#waiting = this.#waiting.filter(({ is, resolve }) => {
      if (is()) resolve();
      return !is();
    });
  }

  /** Resolves when it holds; rejects after five seconds. */
  until(is: () => boolean): Promise<void> {
    if (is()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`never came; said: ${this.said.slice(-12).map((one) =>
        one.kind === "alert" ? one.text : one.kind === "order-state" ? `${one.order.id} ${one.order.state}`
          : one.kind).join("; ")}`)), 5_000);
      this.#waiting.push({ is, resolve: () => { clearTimeout(timer); resolve(); } });
    });
  }

  target(units: readonly number[], at = this.#now()): TargetCommand {
    return { kind: "target", at, instrument: Int32Array.from(this.symbols.keys()), weight: new Float64Array(units.length),
      units: Float64Array.from(units), price: new Float64Array(units.length).fill(100), equity: 1e9, actions: [] };
  }

  /** Hands a target over and waits until it has settled. */
  async trade(units: readonly number[]): Promise<TargetCommand> {
    const target = this.target(units);
    this.hand(target);
    await this.until(() => this.last("settled")?.at === target.at);
    return target;
  }

  last<Kind extends Spoken["kind"]>(kind: Kind): Extract<Spoken, { kind: Kind }> | undefined {
    return this.said.findLast((one): one is Extract<Spoken, { kind: Kind }> => one.kind === kind);
  }
  alerts(code: string): number { return this.said.filter((one) => one.kind === "alert" && one.code === code).length; }

  [Symbol.asyncDispose](): Promise<void> { return this.kill(); }

  /** As kill -9 has it: nothing more is heard or sent. */
  async kill(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    await this.#rim.stop();
  }
}
