/**
 * Alpaca's stream of order updates: JSON in binary frames, as the paper host sends it.
 *
 *   client {"action":"authenticate","data":{"key_id","secret_key"}}   server {"stream":"authorization", ...}
 *   client {"action":"listen","data":{"streams":["trade_updates"]}}   server {"stream":"listening", ...}
 *                                                                server {"stream":"trade_updates", ...} ...
 */
import type { WebSocket } from "ws";
import type { ExchangeEvent } from "./exchange.ts";
import type { FaultCounter } from "./exchange-faults.ts";
import type { SimulatorKeys } from "./simulator.ts";
import { asObject, objectOf, StreamSocket, type StreamLimits } from "./stream-socket.ts";
import { updateJson } from "./trading-json.ts";

export class TradingStream {
  readonly #keys: SimulatorKeys["alpaca"];
  readonly #faults: FaultCounter;
  readonly #limits: StreamLimits;
  /** Connections, and whether each listens to trade_updates. */
  readonly #sockets = new Map<StreamSocket, { isListening: boolean }>();
  /** An update that is sent after the next one. */
  #held: Record<string, unknown> | null = null;

  constructor(keys: SimulatorKeys["alpaca"], faults: FaultCounter, limits: StreamLimits) {
    this.#keys = keys;
    this.#faults = faults;
    this.#limits = limits;
  }

  get clients(): number { return this.#sockets.size; }

  accept(webSocket: WebSocket): void {
    const socket = new StreamSocket(webSocket, this.#limits, {
      heard: (text) => { this.#hear(socket, objectOf(text.toString())); },
      closed: () => { this.#sockets.delete(socket); },
      late: () => undefined, slow: () => undefined,
    });
    this.#sockets.set(socket, { isListening: false });
  }

  send(events: readonly ExchangeEvent[]): void {
    for (const event of events) for (const update of this.#spoilt(updateJson(event))) this.#broadcast(update);
  }

  cut(): void { for (const socket of this.#sockets.keys()) socket.cut(); }

  /** What is sent in the place of one update. */
  #spoilt(update: Record<string, unknown>): readonly Record<string, unknown>[] {
    const { fault } = this.#faults.next("update"), held = this.#held === null ? [] : [this.#held];
    this.#held = null;
    switch (fault) {
      case "update-missing": return held;
      case "update-twice": return [update, update, ...held];
      case "update-swapped":
        this.#held = update;
        return held;
      case "update-unknown":
        return [{ ...update, event: "held_for_review",
          order: { ...asObject(update["order"]), status: "in_review" } },
          ...held];
      default: return [update, ...held];
    }
  }

  #broadcast(data: Record<string, unknown>): void {
    const frame = Buffer.from(JSON.stringify({ stream: "trade_updates", data }));
    for (const [socket, { isListening }] of this.#sockets) {
      if (isListening && !socket.isMute) socket.send(frame);
    }
  }

  #hear(socket: StreamSocket, message: Record<string, unknown> | null): void {
    const data = asObject(message?.["data"]);
    switch (message?.["action"]) {
      case "authenticate": case "auth": this.#authenticate(socket, data ?? message); return;
      case "listen": this.#listen(socket, data?.["streams"]); return;
      default: say(socket, { action: "error", data: { error_message: "invalid message" } });
    }
  }

  #authenticate(socket: StreamSocket, given: Record<string, unknown>): void {
    const keyId = given["key_id"] ?? given["key"], secret = given["secret_key"] ?? given["secret"];
    const isKnown = keyId === this.#keys.keyId && secret === this.#keys.secretKey;
    const { fault } = isKnown ? this.#faults.next("connection") : { fault: null };
    if (fault === "connection-unanswered") return;
    if (fault === "connection-limit") { socket.close(1008); return; }
    socket.isMute = fault === "connection-mute";
    socket.isDeaf = fault === "connection-deaf";
    if (isKnown) socket.authenticated();
    say(socket, { stream: "authorization",
      data: { status: isKnown ? "authorized" : "unauthorized", action: "authenticate" } });
    if (!isKnown) socket.close();
  }

  #listen(socket: StreamSocket, streams: unknown): void {
    if (!socket.isAuthenticated) {
      say(socket, { stream: "listening", data: { error: "required stream authentication" } });
      return;
    }
    if (socket.isDeaf) return;
    const known = Array.isArray(streams) && streams.includes("trade_updates") ? ["trade_updates"] : [];
    const state = this.#sockets.get(socket);
    if (state !== undefined) state.isListening = known.length > 0;
    say(socket, { stream: "listening", data: { streams: known } });
  }
}

function say(socket: StreamSocket, message: object): void {
  socket.send(Buffer.from(JSON.stringify(message)));
}
