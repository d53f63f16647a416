/**
 * A request of the trading API from socket to socket: limit, key, fault, answer. What a fault does is decided
 * by its name alone; whether the order was accepted before things went wrong is the point of most of them.
 */
import type * as http from "node:http";
import type { Clock } from "../base/clock.ts";
import type { ExchangeFault } from "./exchange-faults.ts";
import type { World } from "./exchange-world.ts";
import type { Mishap } from "./exchange.ts";
import type { Pacer } from "./pacer.ts";
import { RateBucket } from "./rate-bucket.ts";
import type { SimulatorKeys } from "./simulator.ts";
import { asObject, objectOf } from "./stream-socket.ts";
import { answerTrading, purposeOf, refusal, type TradingAnswer, type TradingQuestion,
} from "./trading-wire.ts";

export interface TradingEntry {
  readonly method: string;
  /** Path and query. */
  readonly address: string;
  readonly fault: ExchangeFault | null;
  /** 0: no whole answer was sent. */
  readonly status: number;
}
export interface TradingDeskOptions {
  readonly world: World;
  readonly pacer: Pacer;
  readonly keys: SimulatorKeys["alpaca"];
  readonly clock: Clock;
  readonly callsPerMinute: number;
  readonly onRequest: (entry: TradingEntry) => void;
}

const MISHAPS: Partial<Record<ExchangeFault, Mishap>> = { "partial-fill": "partial-fill",
  "rejected-later": "rejected-later", "stuck-cancel": "stuck-cancel",
    "fill-beats-cancel": "fill-beats-cancel" };

/** Answers that come instead of asking the exchange. */
const INSTEAD: Partial<Record<ExchangeFault, TradingAnswer>> = {
  "post-refused": { status: 504, body: { message: "gateway time-out" } },
  "wash-refused": refusal({ status: 403, code: 40310000,
    message: "potential wash trade detected. use complex orders",
    facts: { reject_reason: "opposite side market/stop order exists" } }),
  "money-refused": refusal({ status: 403, code: 40310000, message: "insufficient buying power",
    facts: { buying_power: "0" } }),
  "broker-down": { status: 503, body: { message: "service unavailable" } },
  "wrong-account": refusal({ status: 401, code: 40110000, message: "request is not authorized" }),
  "too-many-calls": refusal({ status: 429, code: 42910000, message: "too many requests." }),
};
const GATEWAY_TIME_OUT: TradingAnswer = { status: 504, body: { message: "gateway time-out" } };
const ID_TAKEN = refusal({ status: 422, code: 40010001, message: "client_order_id must be unique" });

export class TradingDesk {
  readonly #options: TradingDeskOptions;
  readonly #bucket: RateBucket;
  #requests = 0;

  constructor(options: TradingDeskOptions) {
    this.#options = options;
    this.#bucket = new RateBucket(options.callsPerMinute);
  }

  /** `text`: the body; null when it could not be read. */
  serve(request: http.IncomingMessage, response: http.ServerResponse, text: string | null): void {
    const { world, pacer, clock, onRequest } = this.#options;
    const method = request.method ?? "GET", address = request.url ?? "/";
    const url = new URL(address, "http://simulated"), purpose = purposeOf(method, url.pathname);
    const outer = world.faults.next("request").fault;
    const inner = purpose === "question" ? null : world.faults.next(purpose).fault;
    pacer.catchUp();
    const outcome = this.#early(request, outer) ?? ask(world, inner, { method, url,
      body: text === null ? null : objectOf(text), mishap: inner === null ? null : MISHAPS[inner] ?? null });
    if (outcome === "cut") response.destroy();
    else if (outcome !== "hung") this.#send(response, outcome, clock.now(), outer);
    const fault = outer !== null && outer in INSTEAD ? outer : inner ?? outer;
    onRequest({ method, address, fault, status: typeof outcome === "string" ? 0 : outcome.status });
    world.tell();
    pacer.touched();
  }

  /** What is said before the exchange hears of it; null: it shall. */
  #early(request: http.IncomingMessage, fault: ExchangeFault | null): TradingAnswer | null {
    const { keys, clock } = this.#options;
    const isLimited = !this.#bucket.take(clock.now());
    if (isLimited) return INSTEAD["too-many-calls"] ?? null;
    if (request.headers["apca-api-key-id"] !== keys.keyId
      || request.headers["apca-api-secret-key"] !== keys.secretKey) {
      return INSTEAD["wrong-account"] ?? null;
    }
    return fault === null ? null : INSTEAD[fault] ?? null;
  }

  #send(response: http.ServerResponse, answer: TradingAnswer, wallMs: number,
    fault: ExchangeFault | null): void {
    const headers = { "content-type": "application/json", "x-request-id": `simulated-${++this.#requests}`,
      ...this.#bucket.headers(wallMs), ...answer.status === 429 && { "retry-after": "1" } };
    if (answer.status === 204) { response.writeHead(204, headers).end(); return; }
    response.writeHead(answer.status, headers).end(JSON.stringify(distorted(answer.body, fault)));
  }
}

/** What the exchange is asked, and what the client gets to hear of it. */
function ask(world: World, fault: ExchangeFault | null,
  question: TradingQuestion): TradingAnswer | "hung" | "cut" {
  const instead = fault === null ? undefined : INSTEAD[fault];
  if (instead !== undefined) return instead;
  if (fault === "post-lost") return "cut";
  const answer = answerTrading(world, question);
  switch (fault) {
    case "post-hung": case "cancel-hung": return "hung";
    case "post-reset": return "cut";
    case "post-time-out": return GATEWAY_TIME_OUT;
    case "id-taken": return ID_TAKEN;
    default: return answer;
  }
}

/** Fields that a client may think it cannot live without, or that it has never heard of. */
function distorted(body: unknown, fault: ExchangeFault | null): unknown {
  if (Array.isArray(body)) return body.map((one) => distorted(one, fault));
  const fields = asObject(body);
  if (fields === null || (fault !== "field-missing" && fault !== "field-new")) return body;
  if (fault === "field-missing") {
    const gone = new Set(["multiplier", "order_class", "asset_class", "lastday_price", "updated_at",
      "attributes"]);
    return Object.fromEntries(Object.entries(fields).filter(([name]) => !gone.has(name)));
  }
  return { ...fields, moon_phase: "waxing", order_class: "quantum", crypto_status: "LEVITATING" };
}
