/**
 * Massive's stream: arrays of events in JSON text. A revised bar is the same event with the same start again.
 *
 *   server [{"ev":"status","status":"connected", ...}]
 *   client {"action":"auth","params":KEY}         server [{"ev":"status","status":"auth_success", ...}]
 *   client {"action":"subscribe",                 server [{"ev":"status","status":"success",
 *           "params":"AM.AAA,Q.*"}                         "message":"subscribed to: AM.AAA"}, ...]
 *                                                 server [{"ev":"AM","sym":"AAA","o",...,"s","e"}, ...]
 */
import type { WebSocket } from "ws";
import type { Timeframe } from "../market/bars.ts";
import type { FaultCounter } from "./exchange-faults.ts";
import type { Said } from "./step-faults.ts";
import { objectOf, StreamSocket, type StreamLimits } from "./stream-socket.ts";

const CHANNELS = ["AM", "A", "T", "Q"] as const;
type Channel = (typeof CHANNELS)[number];
interface Message { readonly channel: Channel; readonly symbol: string; readonly body: object }

export interface MassiveStreamOptions {
  readonly apiKey: string;
  readonly faults: FaultCounter;
  readonly limits: StreamLimits;
  readonly timeframe: Timeframe;
}

export class MassiveStream {
  readonly #options: MassiveStreamOptions;
  /** Connections, and what each subscribes to: "AM.AAA", "Q.*", "*". */
  readonly #clients = new Map<StreamSocket, Set<string>>();
  #sequence = 0;

  constructor(options: MassiveStreamOptions) { this.#options = options; }

  get clients(): number { return this.#clients.size; }
  get waitingBytes(): number {
    return Math.max(0, ...[...this.#clients.keys()].map((socket) => socket.waitingBytes));
  }

  accept(webSocket: WebSocket): void {
    const socket = new StreamSocket(webSocket, this.#options.limits, {
      heard: (data) => { this.#hear(socket, objectOf(data.toString())); },
      closed: () => { this.#clients.delete(socket); },
      late: () => { say(socket, "auth_timeout", "Authentication timed out"); },
      // The vendor closes without a word.
      slow: () => undefined,
    });
    this.#clients.set(socket, new Set());
    say(socket, "connected", "Connected Successfully");
  }

  send(frames: readonly Said[]): void {
    for (const said of frames) this.#broadcast(this.#messagesOf(said));
  }

  cut(): void { for (const socket of this.#clients.keys()) socket.cut(); }
  mute(): void { for (const socket of this.#clients.keys()) socket.isMute = true; }

  #broadcast(messages: readonly Message[]): void {
    let all: string | null = null;
    for (const [socket, asked] of this.#clients) {
      if (!socket.isAuthenticated || socket.isMute || asked.size === 0) continue;
      const wanted = messages.filter(({ channel, symbol }) =>
        asked.has(`${channel}.${symbol}`) || asked.has(`${channel}.*`) || asked.has("*"));
      if (wanted.length === messages.length && wanted.length > 0) {
        all ??= JSON.stringify(messages.map(({ body }) => body));
        socket.send(all);
      } else if (wanted.length > 0) socket.send(JSON.stringify(wanted.map(({ body }) => body)));
    }
  }

  #hear(socket: StreamSocket, message: Record<string, unknown> | null): void {
    const given = message?.["params"], params = typeof given === "string" ? given : "";
    switch (message?.["action"]) {
      case "auth": this.#authenticate(socket, params); return;
      case "subscribe": case "unsubscribe":
        if (!socket.isAuthenticated) say(socket, "auth_required", "Authentication required");
        else if (!socket.isDeaf) this.#subscribe(socket, params, message["action"]);
        return;
      default: say(socket, "error", "Could not parse message");
    }
  }

  #authenticate(socket: StreamSocket, key: string): void {
    const { apiKey, faults, limits } = this.#options;
    if (key !== apiKey) { refuse(socket, "auth_failed", "authentication failed"); return; }
    const { fault } = faults.next("connection");
    const others = [...this.#clients.keys()]
      .filter((other) => other !== socket && other.isAuthenticated).length;
    if (others >= limits.connectionsMax || fault === "connection-limit") {
      refuse(socket, "max_connections", "Maximum number of websocket connections exceeded");
      return;
    }
    if (fault === "connection-unanswered") {
      refuse(socket, "auth_timeout", "Authentication timed out");
      return;
    }
    socket.isMute = fault === "connection-mute";
    socket.isDeaf = fault === "connection-deaf";
    socket.authenticated();
    say(socket, "auth_success", "authenticated");
  }

  #subscribe(socket: StreamSocket, params: string, action: "subscribe" | "unsubscribe"): void {
    const asked = this.#clients.get(socket);
    const answers = params.split(",").map((part) => part.trim()).filter((part) => part !== "").map((part) => {
      const isKnown = part === "*"
        || CHANNELS.some((channel) => part.startsWith(`${channel}.`) && part.length > channel.length + 1);
      if (!isKnown) return statusOf("error", `${part}: not authorized or unknown`);
      if (action === "subscribe") asked?.add(part); else asked?.delete(part);
      return statusOf("success", `${action}d to: ${part}`);
    });
    socket.send(JSON.stringify(answers));
  }

  #messagesOf(said: Said): Message[] {
    const channel = this.#options.timeframe === "1s" ? "A" : "AM";
    const bar = (one: Said["bars"][number]): Message => ({ channel, symbol: one.symbol, body: {
      ev: channel, sym: one.symbol, v: absent(one.volume), vw: absent(one.vwap), o: one.open, c: one.close,
      h: one.high, l: one.low, a: absent(one.vwap), z: absent(one.trades), s: one.stamp, e: one.at } });
    return [
      ...said.revised.map(bar), ...said.bars.map(bar),
      ...said.trades.map(({ symbol, at, price, size }): Message =>
        ({ channel: "T", symbol, body: { ev: "T", sym: symbol,
        x: 4, i: String(++this.#sequence), z: 3, p: price, s: size, c: [0], t: at, q: this.#sequence } })),
      ...said.quotes.map((quote): Message =>
        ({ channel: "Q", symbol: quote.symbol, body: { ev: "Q", sym: quote.symbol,
        bx: 4, bp: quote.bid, bs: quote.bidSize, ax: 4, ap: quote.ask, as: quote.askSize, c: 0, t: quote.at,
        q: ++this.#sequence, z: 3 } })),
    ];
  }
}

/** JSON.stringify leaves undefined out. */
const absent = (value: number): number | undefined => Number.isNaN(value) ? undefined : value;
const statusOf = (status: string, message: string): object => ({ ev: "status", status, message });

function say(socket: StreamSocket, status: string, message: string): void {
  socket.send(JSON.stringify([statusOf(status, message)]));
}

function refuse(socket: StreamSocket, status: string, message: string): void {
  say(socket, status, message);
  socket.close(1008);
}
