/**
 * The whole outside world on loopback: Alpaca's trading REST and stream of updates, both vendors' data REST
 * and streams, over one simulated world. The product's own clients connect to it unchanged.
 *
 *   POST /v2/orders ... ─> rate bucket ─> key ─> fault? ─> trading-wire ─┐
 *   GET /v2/stocks/bars, /v2/aggs ... ───────────────────> data wires    ├─ World (exchange, replay, clock)
 *   ws /stream · /v2/iex, /v2/sip · /stocks <────────────── streams <────┤     ^
 *   /simulator/* ────────────────────────────────────────> control-wire ─┘   Pacer
 */
import * as http from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocketServer } from "ws";
import { systemClock, type Clock } from "../base/clock.ts";
import { AlpacaStream } from "./alpaca-stream.ts";
import type { Market } from "./book.ts";
import { answerControl, type Controls, type SimulatorState } from "./control-wire.ts";
import { World, type WorldOptions } from "./exchange-world.ts";
import type { Exchange } from "./exchange.ts";
import type { FaultSchedule } from "./faults.ts";
import { MassiveStream } from "./massive-stream.ts";
import { Pacer, type Pace } from "./pacer.ts";
import { dataDesk, SIMULATOR_KEYS, type SimulatorKeys } from "./simulator.ts";
import { objectOf, STREAM_LIMITS, type StreamLimits } from "./stream-socket.ts";
import { TradingDesk, type TradingEntry } from "./trading-desk.ts";
import { TradingStream } from "./trading-stream.ts";
import { isTradingPath } from "./trading-wire.ts";

export interface ExchangeServerOptions extends Omit<WorldOptions, "markets"> {
  readonly market: Market | readonly Market[];
  readonly pace: Pace;
  readonly isPaused?: boolean;
  /** 0: one that is free. */
  readonly port?: number;
  readonly keys?: SimulatorKeys;
  /** Of the trading API; Infinity: no limit. */
  readonly callsPerMinute?: number;
  /** Of the data REST wire. */
  readonly dataFaults?: FaultSchedule;
  readonly pageRows?: number;
  readonly limits?: Partial<StreamLimits>;
  readonly symbolsMax?: number;
  /** Alpaca's feeds that the account may have; 409 for others. */
  readonly feeds?: readonly ("iex" | "sip" | "delayed_sip" | "test")[];
  /** For the rate bucket. */
  readonly clock?: Clock;
  /** Called for each request of the trading API, when what came of it is known. */
  readonly onRequest?: (entry: TradingEntry) => void;
}

export interface ExchangeServer extends AsyncDisposable {
  /** For both vendors' REST: http://127.0.0.1:PORT */
  readonly url: string;
  readonly port: number;
  readonly streams: { readonly trading: string; readonly alpaca: string; readonly massive: string };
  readonly world: World;
  readonly exchange: Exchange;
  state(): SimulatorState;
  /** Steps by hand; how many there were. */
  step(count?: number): number;
  setPace(pace: Pace): void;
  /** Resolves when nothing listens and no connection is left. */
  close(): Promise<void>;
}

/** A fast replay waits while more than this waits for any client, bytes. */
const CONGESTED_BYTES = 1 << 20;
const BODY_BYTES_MAX = 1 << 20;

/** Listens on 127.0.0.1 and no other address. Rejects when the port is taken. */
export async function startExchangeServer(options: ExchangeServerOptions): Promise<ExchangeServer> {
  const markets = Array.isArray(options.market) ? options.market as readonly Market[]
    : [options.market as Market];
  const keys = options.keys ?? SIMULATOR_KEYS, limits = { ...STREAM_LIMITS, ...options.limits };
  const streams: { all: Streams | null } = { all: null };
  const world = new World({ ...options, markets }, {
    updates: (events) => { streams.all?.trading.send(events); },
    said: (frames) => { streams.all?.alpaca.send(frames); streams.all?.massive.send(frames); },
    streams: (fault) => { befall(streams.all, fault); },
  });
  const all = streams.all = openStreams(world, keys, limits, options.symbolsMax ?? 10_000);
  const pacer = new Pacer(world, options.pace, options.isPaused ?? false, () => performance.now(),
    () => Math.max(all.alpaca.waitingBytes, all.massive.waitingBytes) > CONGESTED_BYTES);
  const trading = new TradingDesk({ world, pacer, keys: keys.alpaca, clock: options.clock ?? systemClock,
    callsPerMinute: options.callsPerMinute ?? 200, onRequest: options.onRequest ?? (() => undefined) });
  const data = dataDesk({ market: markets[0] ?? new Map(), keys, knownUntil: () => world.now(),
    seed: options.seed ?? 0, ...options.dataFaults && { faults: options.dataFaults },
    ...options.pageRows && { pageRows: options.pageRows } });
  const controls: Controls = { world, pacer, data, state: () => stateOf(world, pacer, all, data.count()),
    cut: (which) => { cut(all, which); } };
  const server = http.createServer((request, response) => {
    const path = (request.url ?? "/").split("?")[0];
    if (!isAddress(request.url)) { send(response, 400, { message: "no such address" }); return; }
    if (!isTradingPath(path) && !path.startsWith("/simulator/")) {
      pacer.catchUp();
      data.serve(request, response);
      return;
    }
    void bodyOf(request).then((text) => {
      if (isTradingPath(path)) { trading.serve(request, response, text); return; }
      const answer = text === null ? null
        : answerControl(controls, request.method ?? "GET", path, objectOf(text) ?? {});
      world.tell();
      pacer.touched();
      send(response, answer?.status ?? 404, answer?.body ?? { message: "no such control" });
    });
  });
  const sockets = acceptStreams(server, all, options.feeds ?? ["iex", "sip", "delayed_sip", "test"]);
  await listen(server, options.port ?? 0);
  pacer.start();
  return handleOf(server, sockets, { world, pacer, controls });
}

interface Streams {
  readonly trading: TradingStream;
  readonly alpaca: AlpacaStream;
  readonly massive: MassiveStream;
}

function openStreams(world: World, keys: SimulatorKeys, limits: StreamLimits, symbolsMax: number): Streams {
  const { faults, timeframe } = world;
  return {
    trading: new TradingStream(keys.alpaca, faults, limits),
    alpaca: new AlpacaStream({ keys: keys.alpaca, faults, limits, isDaily: timeframe === "1d", symbolsMax }),
    massive: new MassiveStream({ apiKey: keys.massive, faults, limits, timeframe }),
  };
}

/** Path by path, as the vendors have them. */
function acceptStreams(server: http.Server, { trading, alpaca, massive }: Streams,
  feeds: readonly string[]): WebSocketServer {
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false,
    maxPayload: BODY_BYTES_MAX });
  server.on("upgrade", (request, socket, head) => {
    const path = (request.url ?? "/").split("?")[0];
    const feed = /^\/v2\/(iex|sip|delayed_sip|test)$/.exec(path)?.[1];
    if (path !== "/stream" && path !== "/stocks" && feed === undefined) {
      socket.end("HTTP/1.1 404 Not Found\r\n\r\n");
      return;
    }
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      if (path === "/stream") trading.accept(webSocket);
      else if (path === "/stocks") massive.accept(webSocket);
      else {
        const isPacked = /msgpack/.test(request.headers["content-type"] ?? "");
        alpaca.accept(webSocket, isPacked, feeds.includes(feed ?? ""));
      }
    });
  });
  return sockets;
}

function befall(streams: Streams | null,
  fault: "stream-cut" | "stream-mute" | "updates-cut" | "slow-client"): void {
  switch (fault) {
    case "stream-cut": streams?.alpaca.cut(); streams?.massive.cut(); return;
    case "stream-mute": streams?.alpaca.mute(); streams?.massive.mute(); return;
    case "updates-cut": streams?.trading.cut(); return;
    case "slow-client": streams?.alpaca.tellSlow(); streams?.massive.cut();
  }
}

function cut(streams: Streams, which: "data" | "updates" | "all"): void {
  if (which !== "updates") befall(streams, "stream-cut");
  if (which !== "data") befall(streams, "updates-cut");
}

function stateOf(world: World, pacer: Pacer, { trading, alpaca, massive }: Streams,
  asked: number): SimulatorState {
  const nextAt = world.nextAt();
  return { now: world.now(), nextAt: nextAt === Infinity ? null : nextAt, step: world.steps(),
    trades: world.trades(),
    isDone: nextAt === Infinity, isPaused: pacer.isPaused, pace: pacer.pace,
    openOrders: world.exchange.orders("open").length,
    clients: { trading: trading.clients, alpaca: alpaca.clients, massive: massive.clients },
    faults: { ...world.faults.counts(), data: asked } };
}

function handleOf(server: http.Server, sockets: WebSocketServer,
  { world, pacer, controls }: { world: World; pacer: Pacer; controls: Controls }): ExchangeServer {
  const { port } = server.address() as AddressInfo, ws = `ws://127.0.0.1:${port}`;
  const close = async (): Promise<void> => {
    pacer.stop();
    for (const socket of sockets.clients) socket.terminate();
    server.closeAllConnections();
    if (server.listening) await new Promise<void>((resolve) => { server.close(() => { resolve(); }); });
  };
  return { url: `http://127.0.0.1:${port}`, port, world, exchange: world.exchange,
    streams: { trading: `${ws}/stream`, alpaca: `${ws}/v2/iex`, massive: `${ws}/stocks` },
    state: () => controls.state(), step: (count = 1) => pacer.step(count),
    setPace: (pace) => { pacer.set(pace); }, close, [Symbol.asyncDispose]: close };
}

async function listen(server: http.Server, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => { server.off("error", reject); resolve(); });
  });
}

/** Can it be taken apart? */
function isAddress(address = ""): boolean {
  try { decodeURIComponent(address); } catch { return false; }
  return URL.canParse(address, "http://simulated");
}

/** Null: too long, or broken off. */
async function bodyOf(request: http.IncomingMessage): Promise<string | null> {
  const parts: Buffer[] = [];
  let length = 0;
  try {
    for await (const part of request as AsyncIterable<Buffer>) {
      length += part.length;
      if (length > BODY_BYTES_MAX) return null;
      parts.push(part);
    }
  } catch { return null; }
  return Buffer.concat(parts).toString();
}

function send(response: http.ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
