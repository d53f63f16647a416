/**
 * Alpaca's market-data stream: arrays of messages, as msgpack when the client's Content-Type says so, else
 * JSON.
 *
 *   server [{"T":"success","msg":"connected"}]
 *   client {"action":"auth","key","secret"}             server [{"T":"success","msg":"authenticated"}]
 *   client {"action":"subscribe","bars":["AAA"], ...}   server [{"T":"subscription","bars":["AAA"], ...}]
 *                                                       server [{"T":"b","S":"AAA","o",...,"t"}, ...]
 */
import { decode, encode } from "@msgpack/msgpack";
import type { WebSocket } from "ws";
import type { FaultCounter } from "./exchange-faults.ts";
import type { SimulatorKeys } from "./simulator.ts";
import type { ExchangeQuote } from "./exchange.ts";
import type { StepBar, StepTrade } from "./replay.ts";
import type { Said, Status } from "./step-faults.ts";
import { asObject, objectOf, StreamSocket, type StreamLimits } from "./stream-socket.ts";

const CHANNELS = ["trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds"] as const;
type Channel = (typeof CHANNELS)[number];
const ERRORS = {
  400: "invalid syntax", 401: "not authenticated", 402: "auth failed", 403: "already authenticated",
  404: "auth timeout", 405: "symbol limit exceeded", 406: "connection limit exceeded", 407: "slow client",
  409: "insufficient subscription",
} as const;

interface Client {
  readonly isPacked: boolean;
  readonly subscribed: Record<Channel, Set<string>>;
}
interface Message {
  readonly channel: Channel;
  readonly symbol: string;
  readonly body: Record<string, unknown>;
}

export interface AlpacaStreamOptions {
  readonly keys: SimulatorKeys["alpaca"];
  readonly faults: FaultCounter;
  readonly limits: StreamLimits;
  readonly isDaily: boolean;
  /** Symbols that one connection may ask for on a channel; 405 beyond. */
  readonly symbolsMax: number;
}

export class AlpacaStream {
  readonly #options: AlpacaStreamOptions;
  readonly #clients = new Map<StreamSocket, Client>();

  constructor(options: AlpacaStreamOptions) { this.#options = options; }

  get clients(): number { return this.#clients.size; }
  /** Most bytes that wait for any client. */
  get waitingBytes(): number {
    return Math.max(0, ...[...this.#clients.keys()].map((socket) => socket.waitingBytes));
  }

  /** `isEntitled` false: the account may not have this feed (409). */
  accept(webSocket: WebSocket, isPacked: boolean, isEntitled: boolean): void {
    const socket = new StreamSocket(webSocket, this.#options.limits, {
      heard: (data) => { this.#hear(socket, data, isEntitled); },
      closed: () => { this.#clients.delete(socket); },
      late: () => { this.#fail(socket, 404); },
      slow: () => { this.#fail(socket, 407); },
    });
    const subscribed = Object.fromEntries(CHANNELS.map((channel) => [channel, new Set<string>()]));
    this.#clients.set(socket, { isPacked, subscribed: subscribed as Record<Channel, Set<string>> });
    this.#say(socket, [{ T: "success", msg: "connected" }]);
  }

  send(frames: readonly Said[]): void {
    for (const said of frames) this.#broadcast(messagesOf(said, this.#options.isDaily));
  }

  cut(): void { for (const socket of this.#clients.keys()) socket.cut(); }
  mute(): void { for (const socket of this.#clients.keys()) socket.isMute = true; }
  tellSlow(): void {
    for (const socket of this.#clients.keys()) {
      this.#fail(socket, 407);
      socket.close();
    }
  }

  #broadcast(messages: readonly Message[]): void {
    // Clients with the same wishes share one encoding.
    const encoded = new Map<string, string | Uint8Array>();
    for (const [socket, { isPacked, subscribed }] of this.#clients) {
      if (!socket.isAuthenticated || socket.isMute) continue;
      const wanted = messages.filter(({ channel, symbol }) =>
        subscribed[channel].has(symbol) || subscribed[channel].has("*"));
      if (wanted.length === 0) continue;
      const key = wanted.length === messages.length ? `all ${isPacked}` : "";
      const frame = encoded.get(key) ?? frameOf(wanted.map(({ body }) => body), isPacked);
      if (key !== "") encoded.set(key, frame);
      socket.send(frame);
    }
  }

  #hear(socket: StreamSocket, data: Buffer, isEntitled: boolean): void {
    const message = this.#read(socket, data);
    switch (message?.["action"]) {
      case "auth": this.#authenticate(socket, message, isEntitled); return;
      case "subscribe": case "unsubscribe":
        if (!socket.isAuthenticated) this.#fail(socket, 401);
        else if (!socket.isDeaf) this.#subscribe(socket, message, message["action"] === "subscribe");
        return;
      default: this.#fail(socket, 400);
    }
  }

  #read(socket: StreamSocket, data: Buffer): Record<string, unknown> | null {
    if (this.#clients.get(socket)?.isPacked !== true) return objectOf(data.toString());
    try { return asObject(decode(data)); } catch { return null; }
  }

  #authenticate(socket: StreamSocket, message: Record<string, unknown>, isEntitled: boolean): void {
    const { keys, faults, limits } = this.#options;
    if (socket.isAuthenticated) { this.#fail(socket, 403); return; }
    const isKnown = message["key"] === keys.keyId && message["secret"] === keys.secretKey;
    if (!isKnown) { this.#refuse(socket, 402); return; }
    if (!isEntitled) { this.#refuse(socket, 409); return; }
    const { fault } = faults.next("connection");
    const others = [...this.#clients.keys()].filter((other) => other.isAuthenticated).length;
    const isOneTooMany = others >= limits.connectionsMax || fault === "connection-limit";
    if (isOneTooMany) { this.#refuse(socket, 406); return; }
    if (fault === "connection-unanswered") { this.#refuse(socket, 404); return; }
    socket.isMute = fault === "connection-mute";
    socket.isDeaf = fault === "connection-deaf";
    socket.authenticated();
    this.#say(socket, [{ T: "success", msg: "authenticated" }]);
  }

  #subscribe(socket: StreamSocket, message: Record<string, unknown>, isOn: boolean): void {
    const client = this.#clients.get(socket);
    if (client === undefined) return;
    for (const channel of CHANNELS) {
      const symbols: unknown = message[channel];
      if (symbols === undefined) continue;
      if (!Array.isArray(symbols) || !symbols.every((symbol) => typeof symbol === "string")) {
        this.#fail(socket, 400);
        return;
      }
      const after = new Set(client.subscribed[channel]);
      for (const symbol of symbols) if (isOn) after.add(symbol); else after.delete(symbol);
      if (after.size > this.#options.symbolsMax) { this.#fail(socket, 405); return; }
      client.subscribed[channel] = after;
    }
    const asked = Object.fromEntries(CHANNELS.map((channel) => [channel, [...client.subscribed[channel]]]));
    this.#say(socket, [{ T: "subscription", ...asked, corrections: asked["trades"],
      cancelErrors: asked["trades"] }]);
  }

  #refuse(socket: StreamSocket, code: keyof typeof ERRORS): void {
    this.#fail(socket, code);
    socket.close();
  }

  #fail(socket: StreamSocket, code: keyof typeof ERRORS): void {
    this.#say(socket, [{ T: "error", code, msg: ERRORS[code] }]);
  }

  #say(socket: StreamSocket, messages: readonly object[]): void {
    socket.send(frameOf(messages, this.#clients.get(socket)?.isPacked === true));
  }
}

const frameOf = (messages: readonly object[], isPacked: boolean): string | Uint8Array =>
  isPacked ? encode(packed(messages)) : JSON.stringify(messages);

/** Times are msgpack timestamps (dates). */
function packed(messages: readonly object[]): object[] {
  return messages.map((message) => "t" in message ? { ...message, t: new Date(String(message.t)) } : message);
}

const stamp = (time: number): string => new Date(time).toISOString().replace(".000Z", "Z");

function messagesOf(said: Said, isDaily: boolean): Message[] {
  return [
    ...said.statuses.map(statusMessage),
    ...said.revised.map((bar) => barMessage("updatedBars", "u", bar)),
    ...said.bars.map((bar) => barMessage("bars", "b", bar)),
    ...isDaily ? said.bars.map((bar) => barMessage("dailyBars", "d", bar)) : [],
    ...said.trades.map(tradeMessage),
    ...said.quotes.map(quoteMessage),
  ];
}

/** Absent numbers are left out. */
function barMessage(channel: Channel, T: string, bar: StepBar): Message {
  const { symbol, open, high, low, close, volume, vwap, trades } = bar;
  const body: Message["body"] = { T, S: symbol, o: open, h: high, l: low, c: close, t: stamp(bar.stamp) };
  for (const [name, value] of [["v", volume], ["n", trades], ["vw", vwap]] as const) {
    if (!Number.isNaN(value)) body[name] = value;
  }
  return { channel, symbol, body };
}

function statusMessage({ symbol, at, isHalted }: Status): Message {
  const words = isHalted ? { sc: "H", sm: "Trading Halt", rc: "T12", rm: "" }
    : { sc: "T", sm: "Trading Resumption", rc: "", rm: "" };
  return { channel: "statuses", symbol, body: { T: "s", S: symbol, ...words, t: stamp(at), z: "C" } };
}

function tradeMessage({ symbol, at, price, size, exchange }: StepTrade): Message {
  return { channel: "trades", symbol, body: { T: "t", S: symbol, i: at % 1e9, x: exchange, p: price, s: size,
    t: stamp(at), c: ["@"], z: "C" } };
}

function quoteMessage({ symbol, at, bid, bidSize, ask, askSize }: ExchangeQuote): Message {
  return { channel: "quotes", symbol, body: { T: "q", S: symbol, bx: "V", bp: bid, bs: bidSize, ax: "V",
    ap: ask, as: askSize, t: stamp(at), c: ["R"], z: "C" } };
}
