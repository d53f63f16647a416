/**
 * The outside world on loopback: the vendors' REST wires over a market that is handed in, with
 * faults by script or seed. The product's own clients connect to it unchanged. What it answers is a
 * function of (market, seed, number of the request) and nothing else: no clock, no randomness of
 * its own.
 *
 *   client --HTTP--> request n --> transport fault n? --> wire (massive | alpaca) --> book
 *                        |                                    answer <-- page fault n? <--+
 *                        |
 *                        +--> log: what was asked, whether with a key, what came of it
 */
import * as http from "node:http";
import type { AddressInfo } from "node:net";
import { random } from "../base/random.ts";
import { AlpacaWire } from "./alpaca-wire.ts";
import { Book, type Market } from "./book.ts";
import { FAULTS, noFaults, type FaultName, type FaultSchedule } from "./faults.ts";
import { MassiveWire } from "./massive-wire.ts";
import type { Question, Reply } from "./wire.ts";

export type { Listing, Market } from "./book.ts";

export interface SimulatorKeys {
  readonly massive: string;
  readonly alpaca: { readonly keyId: string; readonly secretKey: string };
}
/** Accepted when no others are given. They open nothing but a simulator. */
export const SIMULATOR_KEYS: SimulatorKeys = {
  massive: "simulated-massive-key",
  alpaca: { keyId: "SIMULATEDKEYID", secretKey: "simulated-alpaca-secret" },
};

export interface SimulatorOptions {
  readonly market: Market;
  readonly seed?: number;
  readonly faults?: FaultSchedule;
  /** Rows of a page at most. */
  readonly pageRows?: number;
  readonly keys?: SimulatorKeys;
  /** Called when a request arrives, before it is answered. */
  readonly onRequest?: (entry: RequestEntry) => void;
  /** Called when a request has been left hanging. */
  readonly onHang?: () => void;
  /** Simulated time, UTC ms: later bars are not known yet. */
  readonly knownUntil?: () => number;
}

export interface RequestEntry {
  /** From 1. */
  readonly number: number;
  /** Path and query as they came. */
  readonly address: string;
  readonly fault: FaultName | null;
  /** True when a key stands in the address, where it must never be. */
  readonly hasKeyInAddress: boolean;
  /** HTTP status; 0 when no whole answer was sent. */
  status: number;
}

const PIECES = 8;
/** Entries of the log: at most twice as many are kept. */
const LOG_KEPT = 50_000;

export class Simulator implements AsyncDisposable {
  /** Base address, for both vendors: http://127.0.0.1:PORT */
  readonly url: string;
  readonly requests: readonly RequestEntry[];
  readonly #server: http.Server;

  private constructor(server: http.Server, requests: readonly RequestEntry[]) {
    this.#server = server;
    this.requests = requests;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(options: SimulatorOptions): Promise<Simulator> {
    const desk = dataDesk(options);
    const server = http.createServer((request, response) => { desk.serve(request, response); });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, "127.0.0.1", resolve);
    });
    return new Simulator(server, desk.requests);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => { this.#server.close(() => { resolve(); }); });
  }
}

export interface DataDesk {
  readonly requests: readonly RequestEntry[];
  serve(request: http.IncomingMessage, response: http.ServerResponse): void;
  /** A fault by hand: of the next request, or one later. */
  ask(fault: FaultName, later: number): void;
  /** From now on a page has so many rows at most. */
  setPageRows(rows: number): void;
  /** Requests so far. */
  count(): number;
}

/** Answers requests for data, and logs them. */
export function dataDesk(options: SimulatorOptions): DataDesk {
  const requests: RequestEntry[] = [], paging = { pageRows: options.pageRows ?? 50_000 };
  const byHand = new Map<number, FaultName>();
  const desk = { options, requests, answer: answerer(options, paging), byHand, asked: 0 };
  return { requests,
    serve: (request, response) => { serveOne(request, response, desk); },
    ask: (fault, later) => { byHand.set(desk.asked + later, fault); },
    setPageRows: (rows) => { paging.pageRows = rows; },
    count: () => desk.asked };
}

type Answer = (question: Question) => Reply;

function answerer(options: SimulatorOptions, paging: { readonly pageRows: number }): Answer {
  const keys = options.keys ?? SIMULATOR_KEYS;
  const book = new Book(options.market, options.knownUntil);
  const wires = [
    new MassiveWire(book, { apiKey: keys.massive }, paging),
    new AlpacaWire(book, keys.alpaca, paging),
  ];
  return (question) => {
    for (const wire of wires) {
      const reply = wire.answer(question);
      if (reply !== null) return reply;
    }
    return { status: 404, body: JSON.stringify({ status: "NOT_FOUND", message: "no such path" }) };
  };
}

interface Desk {
  readonly options: SimulatorOptions;
  readonly requests: RequestEntry[];
  readonly answer: Answer;
  readonly byHand: Map<number, FaultName>;
  /** Requests so far. */
  asked: number;
}

function serveOne(
  request: http.IncomingMessage, response: http.ServerResponse, desk: Desk,
): void {
  const { options, requests, answer } = desk;
  const number = ++desk.asked;
  const address = request.url ?? "/";
  const fault = desk.byHand.get(number) ?? (options.faults ?? noFaults)(number);
  desk.byHand.delete(number);
  const { massive, alpaca } = options.keys ?? SIMULATOR_KEYS;
  const hasKeyInAddress = [massive, alpaca.keyId, alpaca.secretKey]
    .some((key) => address.includes(key));
  const entry: RequestEntry = { number, address, fault, status: 0, hasKeyInAddress };
  requests.push(entry);
  if (requests.length > 2 * LOG_KEPT) requests.splice(0, LOG_KEPT);
  options.onRequest?.(entry);
  const draw = random(options.seed ?? 0, "answer", number);
  const refusal = fault === null ? null : refusalOf(fault);
  const reply = refusal ?? answer({
    url: new URL(address, "http://simulated"), headers: request.headers, draw,
    fault: fault !== null && FAULTS[fault].on === "page" ? fault : null,
  });
  send(response, reply, fault, entry, options);
}

/** Faults that answer in the place of the wire. */
function refusalOf(fault: FaultName): Reply | null {
  const body = (text: string, status = "ERROR"): string =>
    JSON.stringify({ status, error: text, message: text });
  switch (fault) {
    case "too-many": return { status: 429, body: body("too many requests") };
    case "too-many-wait":
      return { status: 429, body: body("too many requests"), headers: { "retry-after": "7" } };
    case "server-error": return { status: 500, body: body("internal error") };
    case "bad-gateway":
      return { status: 502, body: "<html>502</html>", headers: { "content-type": "text/html" } };
    case "forbidden": return { status: 403, body: body("not in this plan", "NOT_AUTHORIZED") };
    default: return null;
  }
}

function send(
  response: http.ServerResponse, reply: Reply, fault: FaultName | null, entry: RequestEntry,
  options: SimulatorOptions,
): void {
  const body = Buffer.from(reply.body);
  response.writeHead(reply.status, {
    "content-type": "application/json", "content-length": body.length, ...reply.headers,
  });
  switch (fault) {
    case "hung":
      response.flushHeaders();
      options.onHang?.();
      return;
    case "cut-body":
      response.write(body.subarray(0, body.length >>> 1), () => { response.destroy(); });
      return;
    case "slow":
      entry.status = reply.status;
      sendSlowly(response, body, 0);
      return;
    default:
      entry.status = reply.status;
      response.end(body);
  }
}

/** In pieces, one a turn of the event loop. */
function sendSlowly(response: http.ServerResponse, body: Buffer, from: number): void {
  const to = Math.min(body.length, from + Math.ceil(body.length / PIECES));
  response.write(body.subarray(from, to));
  if (to >= body.length) response.end();
  else setImmediate(() => { sendSlowly(response, body, to); });
}
