/**
 * Real clients of the simulated exchange: Alpaca's own package, `ws` and msgpack. Whoever waits waits for an event, with a
 * deadline.
 */
import { once } from "node:events";
import { Alpaca, type trading } from "@alpacahq/alpaca-trade-api";
import { decode, encode } from "@msgpack/msgpack";
import { WebSocket } from "ws";
import { startExchangeServer, type ExchangeServer, type ExchangeServerOptions } from "../src/simulator/exchange-server.ts";
import { FRICTIONLESS } from "../src/simulator/exchange.ts";
import { SIMULATOR_KEYS } from "../src/simulator/simulator.ts";
import { intradayMarket } from "./conformance/market.ts";

export const KEYS = SIMULATOR_KEYS;
/** The replay begins after 10:00 in New York on 2024-03-07. */
export const FROM = Date.UTC(2024, 2, 7, 15);
export const MARKET = intradayMarket("1m");
const DEADLINE_MS = 8_000;

export const serve = (options: Partial<ExchangeServerOptions> = {}): Promise<ExchangeServer> =>
  startExchangeServer({ market: MARKET, from: FROM, pace: { kind: "stepped" }, terms: FRICTIONLESS, seed: 1, ...options });

/** What was heard, in order; `until` resolves when enough of it is there. */
export class Heard<Thing> {
  readonly all: Thing[] = [];
  readonly #waiting = new Set<() => void>();

  push(thing: Thing): void {
    this.all.push(thing);
    for (const look of this.#waiting) look();
  }

  async until(isThere: (all: readonly Thing[]) => boolean, what: string): Promise<readonly Thing[]> {
    if (isThere(this.all)) return this.all;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => { reject(new Error(`never: ${what}; heard ${JSON.stringify(this.all).slice(0, 500)}`)); },
      DEADLINE_MS);
    const look = (): void => { if (isThere(this.all)) resolve(); };
    this.#waiting.add(look);
    try { await promise; } finally { clearTimeout(timer); this.#waiting.delete(look); }
    return this.all;
  }
}

/** Every host of the vendor is the simulator; its own retries and limits are off. */
export function alpacaAt(server: ExchangeServer): Alpaca {
  const only: typeof fetch = (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    if (!["paper-api.alpaca.markets", "data.alpaca.markets"].includes(url.host)) throw new Error(`host not allowed: ${url.host}`);
    return fetch(new URL(url.pathname + url.search, server.url), init);
  };
  return new Alpaca({ keyId: KEYS.alpaca.keyId, secret: KEYS.alpaca.secretKey, paper: true, fetchApi: only,
    retry: { maxRetries: 0 }, rateLimit: false, timeoutMs: 2_000 });
}

export interface Update {
  readonly event: string;
  readonly id: string;
  readonly executionId: string;
  readonly qty: string;
  readonly status: string;
}
export interface Trader extends AsyncDisposable {
  readonly alpaca: Alpaca;
  readonly updates: Heard<Update>;
  readonly states: Heard<string>;
}

/** The package's client and its stream of updates, listening. */
export async function traderAt(server: ExchangeServer, isAwaited = true): Promise<Trader> {
  const alpaca = alpacaAt(server), updates = new Heard<Update>(), states = new Heard<string>();
  const stream = alpaca.trading.stream({ url: server.streams.trading, maxReconnectAttempts: -1, initialReconnectMs: 20,
    maxReconnectMs: 50 });
  const listening = new Heard<unknown>();
  stream.onTradeUpdate((update) => {
    updates.push({ event: update.event, id: String(update.order.clientOrderId), executionId: String(update.executionId),
      qty: update.qty ?? "", status: String(update.order.status) });
  });
  stream.onStateChange((state) => { states.push(state); });
  stream.on("subscription", (streams: unknown) => { listening.push(streams); });
  stream.subscribeTradeUpdates();
  stream.connect();
  if (isAwaited) await listening.until((all) => all.length > 0, "listening");
  return { alpaca, updates, states, [Symbol.asyncDispose]: () => { stream.disconnect(); return Promise.resolve(); } };
}

export const market =
  (trader: { alpaca: Alpaca }, clientOrderId: string, qty = 10, side: "buy" | "sell" = "buy"): Promise<trading.Order> =>
  trader.alpaca.trading.orders.market({ symbol: "AAA", side, qty, timeInForce: "day", clientOrderId });

/** A socket as a client could open it: text, or msgpack when `isPacked`. */
export interface Line extends AsyncDisposable {
  readonly socket: WebSocket;
  /** Messages, one by one, out of their arrays. */
  readonly heard: Heard<Record<string, unknown>>;
  /** One entry for each frame: the messages in it. */
  readonly frames: Heard<readonly Record<string, unknown>[]>;
  readonly closed: Promise<unknown>;
  say(message: object): void;
}

export async function line(url: string, isPacked = false): Promise<Line> {
  const socket = new WebSocket(url, isPacked ? { headers: { "Content-Type": "application/msgpack" } } : {});
  const heard = new Heard<Record<string, unknown>>(), frames = new Heard<readonly Record<string, unknown>[]>();
  socket.on("message", (bytes: Buffer) => {
    const said = (isPacked ? decode(bytes) : JSON.parse(bytes.toString())) as Record<string, unknown> | Record<string, unknown>[];
    frames.push([said].flat());
    for (const message of [said].flat()) heard.push(message);
  });
  const closed = once(socket, "close");
  await once(socket, "open");
  return { socket, heard, frames, closed,
    say: (message) => { socket.send(isPacked ? encode(message) : JSON.stringify(message)); },
    [Symbol.asyncDispose]: async () => { socket.terminate(); if (socket.readyState !== socket.CLOSED) await closed; } };
}

/** Authenticated at Alpaca's data stream and subscribed. */
export async function alpacaLine(server: ExchangeServer, channels: Record<string, readonly string[]>,
  isPacked = false): Promise<Line> {
  const one = await line(server.streams.alpaca, isPacked);
  one.say({ action: "auth", key: KEYS.alpaca.keyId, secret: KEYS.alpaca.secretKey });
  await one.heard.until((all) => all.some(({ msg, T }) => msg === "authenticated" || T === "error"), "an answer to the key");
  if (one.heard.all.every(({ T }) => T !== "error")) one.say({ action: "subscribe", ...channels });
  return one;
}

/** Authenticated at Massive's stream and subscribed. */
export async function massiveLine(server: ExchangeServer, params: string, key = KEYS.massive): Promise<Line> {
  const one = await line(server.streams.massive);
  one.say({ action: "auth", params: key });
  await one.heard.until((all) => all.length > 1, "an answer to the key");
  if (one.heard.all[1]["status"] === "auth_success") {
    one.say({ action: "subscribe", params });
    await one.heard.until((all) => all.length > 2, "an answer to the subscription");
  }
  return one;
}

export const control = async (server: ExchangeServer, name: string, body: object = {}): Promise<Record<string, unknown>> =>
  await (await fetch(`${server.url}/simulator/${name}`, { method: "POST", body: JSON.stringify(body) })).json() as Record<string,
    unknown>;
