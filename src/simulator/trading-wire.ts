/** Alpaca's trading REST wire over an exchange: questions in, answers out, no sockets and no clock. */
import { dayOf, parseDay } from "../base/units.ts";
import { ORDER_TYPES, TIMES_IN_FORCE, type ExchangeChange, type ExchangeRequest, type Refusal,
} from "./exchange-order.ts";
import type { Exchange, ExchangeOrder, Mishap, Reply } from "./exchange.ts";
import type { World } from "./exchange-world.ts";
import { assetJson, accountJson, calendarJson, money, orderJson, positionJson,
  stampOf } from "./trading-json.ts";

export interface TradingQuestion {
  readonly method: string;
  readonly url: URL;
  /** Of the JSON body; null when it was none. */
  readonly body: Readonly<Record<string, unknown>> | null;
  /** What shall go wrong with the order or cancel that this asks for. */
  readonly mishap: Mishap | null;
}
export interface TradingAnswer { readonly status: number; readonly body: unknown }

const TRADING = /^\/v2\/(account|orders|positions|assets|clock|calendar)\b/;
export const isTradingPath = (path: string): boolean => TRADING.test(path);
/** What a request does: the kinds that faults are counted by. */
export function purposeOf(method: string, path: string): "order" | "cancel" | "question" {
  if (method === "DELETE" && path.startsWith("/v2/positions")) return "order";
  if (!path.startsWith("/v2/orders")) return "question";
  return method === "POST" || method === "PATCH" ? "order" : method === "DELETE" ? "cancel" : "question";
}

type Route = (world: World, question: TradingQuestion, name: string) => TradingAnswer;

/** Method and path; `:name` is one segment. Total: what is not here is 404. */
const ROUTES: readonly (readonly [string, RegExp, Route])[] = [
  ["GET", /^\/v2\/account$/, ({ exchange }) => ok(accountJson(exchange.account(), exchange.terms.leverage))],
  ["GET", /^\/v2\/account\/configurations$/, () => ok({ fractional_trading: true, no_shorting: false,
    suspend_trade: false, max_margin_multiplier: "2", trade_confirm_email: "none" })],
  ["GET", /^\/v2\/account\/activities(?:\/FILL)?$/, (world, question) => ok(activities(world, question.url))],
  ["GET", /^\/v2\/clock$/, (world) => ok(clock(world))],
  ["GET", /^\/v2\/calendar$/, (world, { url }) => sessions(world, url)],
  ["GET", /^\/v2\/assets$/,
    ({ exchange }) => ok(exchange.assets().map(({ symbol }) => assetOf(exchange, symbol)))],
  ["GET", /^\/v2\/assets\/([^/]+)$/,
    ({ exchange }, _, symbol) => found(assetOf(exchange, symbol), `asset not found for ${symbol}`)],
  ["GET", /^\/v2\/positions$/, ({ exchange }) => ok(exchange.positions().map(positionJson))],
  ["GET", /^\/v2\/positions\/([^/]+)$/, ({ exchange }, _, symbol) => {
    const position = exchange.positions().find((one) => one.symbol === symbol);
    return found(position && positionJson(position), "position does not exist");
  }],
  ["DELETE", /^\/v2\/positions$/, (world) => closeAll(world)],
  ["DELETE", /^\/v2\/positions\/([^/]+)$/,
    (world, { mishap }, symbol) => closePosition(world, symbol, mishap)],
  ["GET", /^\/v2\/orders$/, ({ exchange }, { url }) => ok(listed(exchange, url.searchParams).map(orderJson))],
  ["POST", /^\/v2\/orders$/, (world, { body, mishap }) => submit(world, body, mishap)],
  ["DELETE", /^\/v2\/orders$/, (world) => ({ status: 207, body: world.exchange.cancelAll(world.now()) })],
  ["GET", /^\/v2\/orders:by_client_order_id$/, ({ exchange }, { url }) => {
    const id = url.searchParams.get("client_order_id") ?? "";
    return answerOf(exchange.orderByClientId(id), `order not found for ${id}`);
  }],
  ["GET", /^\/v2\/orders\/([^/]+)$/,
    ({ exchange }, _, id) => answerOf(exchange.order(id), `order not found for ${id}`)],
  ["PATCH", /^\/v2\/orders\/([^/]+)$/, (world, { body }, id) => replace(world, id, body)],
  ["DELETE", /^\/v2\/orders\/([^/]+)$/, (world, { mishap }, id) => {
    const reply = world.exchange.cancel(id, world.now(), mishap);
    return reply.ok ? { status: 204, body: null } : refusal(reply.refusal);
  }],
];

export function answerTrading(world: World, question: TradingQuestion): TradingAnswer {
  const { pathname } = question.url;
  for (const [method, pattern, route] of ROUTES) {
    const parts = method === question.method ? pattern.exec(pathname) : null;
    if (parts !== null) return route(world, question, decodeURIComponent(parts[1] ?? ""));
  }
  return refusal({ status: 404, code: 40410000, message: "endpoint not found" });
}

const ok = (body: unknown): TradingAnswer => ({ status: 200, body });
export const refusal = ({ status, code, message, facts }: Refusal): TradingAnswer =>
  ({ status, body: { code, message, ...facts } });
const found = (body: unknown, message: string): TradingAnswer =>
  body === undefined || body === null ? refusal({ status: 404, code: 40410000, message }) : ok(body);
const answerOf = (order: ExchangeOrder | null, message: string): TradingAnswer =>
  found(order === null ? null : orderJson(order), message);
const replied = (reply: Reply): TradingAnswer =>
  reply.ok ? ok(orderJson(reply.order)) : refusal(reply.refusal);

function assetOf(exchange: Exchange, symbol: string): Record<string, unknown> | null {
  const asset = exchange.asset(symbol);
  return asset === null ? null : assetJson(asset, exchange.market(symbol)?.isDelisted ?? true);
}

/** Whatever can be read as a number; NaN: absent or none. */
const numberOf = (value: unknown): number =>
  value === undefined || value === null || value === "" ? NaN : Number(value);
const isOneOf = <Word extends string>(words: readonly Word[], value: unknown): value is Word =>
  words.includes(value as Word);

/** A sentence when it is no order. */
function requestOf(body: Readonly<Record<string, unknown>>): ExchangeRequest | string {
  const { symbol, side, type, time_in_force: timeInForce, client_order_id: id } = body;
  if (typeof symbol !== "string" || symbol === "") return "symbol is required";
  if (side !== "buy" && side !== "sell") return "side must be buy or sell";
  if (!isOneOf(ORDER_TYPES, type)) return `invalid order type: ${String(type)}`;
  if (!isOneOf(TIMES_IN_FORCE, timeInForce)) return `invalid time_in_force: ${String(timeInForce)}`;
  const given = { quantity: numberOf(body["qty"]), notional: numberOf(body["notional"]),
    limitPrice: numberOf(body["limit_price"]), stopPrice: numberOf(body["stop_price"]) };
  if (typeof id === "string" && id.length > 128) return "client_order_id must be no more than 128 characters";
  return { clientOrderId: typeof id === "string" && id !== "" ? id : null, symbol, side, type, timeInForce,
    ...given, isExtendedHours: body["extended_hours"] === true };
}

function submit(world: World, body: TradingQuestion["body"], mishap: Mishap | null): TradingAnswer {
  const request = body === null ? "request body format is invalid" : requestOf(body);
  if (typeof request === "string") return refusal({ status: 422, code: 40010001, message: request });
  return replied(world.exchange.submit(request, world.now(), mishap));
}

function replace(world: World, id: string, body: TradingQuestion["body"]): TradingAnswer {
  const { qty, limit_price: limit, stop_price: stop, time_in_force: timeInForce,
    client_order_id: clientOrderId } = body ?? {};
  const change: ExchangeChange = {
    ...qty !== undefined && { quantity: numberOf(qty) },
    ...limit !== undefined && { limitPrice: numberOf(limit) },
    ...stop !== undefined && { stopPrice: numberOf(stop) },
    ...isOneOf(TIMES_IN_FORCE, timeInForce) && { timeInForce },
    ...typeof clientOrderId === "string" && clientOrderId !== "" && { clientOrderId },
  };
  return replied(world.exchange.replace(id, change, world.now()));
}

function closePosition(world: World, symbol: string, mishap: Mishap | null): TradingAnswer {
  const held = world.exchange.positions().find((position) => position.symbol === symbol);
  if (held === undefined) return found(null, `position not found: ${symbol}`);
  return replied(world.exchange.submit({ clientOrderId: null, symbol,
    side: held.quantity > 0 ? "sell" : "buy", type: "market", timeInForce: "day",
    quantity: Math.abs(held.quantity), notional: NaN, limitPrice: NaN, stopPrice: NaN,
    isExtendedHours: false }, world.now(), mishap));
}

function closeAll(world: World): TradingAnswer {
  world.exchange.cancelAll(world.now());
  return { status: 207, body: world.exchange.positions().map(({ symbol }) => {
    const { status, body } = closePosition(world, symbol, null);
    return { symbol, status, body };
  }) };
}

const NEWEST_USUAL = 50, NEWEST_MAX = 500;

/** Newest first unless asked otherwise; 50 unless asked otherwise, 500 at most. */
function listed(exchange: Exchange, query: URLSearchParams): ExchangeOrder[] {
  const status = query.get("status") ?? "open", symbols = query.get("symbols")?.split(",") ?? [];
  const side = query.get("side"), after = timeOf(query.get("after"), -Infinity);
  const until = timeOf(query.get("until"), Infinity);
  const limit = Math.min(NEWEST_MAX, Number(query.get("limit") ?? NEWEST_USUAL));
  const which = status === "all" || status === "closed" ? status : "open";
  const orders = exchange.orders(which, (order) => order.createdAt > after && order.createdAt < until
    && (side === null || side === order.side) && (symbols.length === 0 || symbols.includes(order.symbol)))
    // Those of one symbol follow those of another: by time, then as they came.
    .sort((a, b) => a.createdAt - b.createdAt);
  return (query.get("direction") === "asc" ? orders : orders.reverse()).slice(0, limit);
}

const timeOf = (text: string | null, otherwise: number): number =>
  text === null || Number.isNaN(Date.parse(text)) ? otherwise : Date.parse(text);

function clock(world: World): object {
  const now = world.brokerTime(), { hours } = world.exchange;
  const isOpenNow = hours.phase(now) === "open";
  return { timestamp: stampOf(now), is_open: isOpenNow, next_open: stampOf(hours.nextSession(now).open),
    next_close: stampOf(hours.sessionFrom(now).close) };
}

const SESSIONS_MAX = 5_000;

function sessions(world: World, url: URL): TradingAnswer {
  const dayOf_ = (name: string, otherwise: number) =>
    parseDay((url.searchParams.get(name) ?? "").slice(0, 10)) ?? dayOf(otherwise);
  const from = dayOf_("start", world.now()), to = dayOf_("end", world.now());
  if (to - from > SESSIONS_MAX) {
    return refusal({ status: 422, code: 40010001, message: "the range is too long" });
  }
  return ok(world.exchange.hours.sessions(from, to).map(calendarJson));
}

/** Fills, newest first. */
function activities(world: World, url: URL): object[] {
  const size = Math.min(100, Number(url.searchParams.get("page_size") ?? 100));
  const after = timeOf(url.searchParams.get("after"), -Infinity), token = url.searchParams.get("page_token");
  const fills = world.fills().toReversed().filter(({ at }) => at > after);
  const from = token === null ? 0 : fills.findIndex(({ executionId }) => token.endsWith(executionId)) + 1;
  return fills.slice(from, from + size).map((fill) => ({
    id: `${String(stampOf(fill.at)).replace(/[-:TZ]/g, "")}::${fill.executionId}`, activity_type: "FILL",
    transaction_time: stampOf(fill.at), type: fill.event, price: money(fill.price), qty: money(fill.quantity),
    side: fill.order.side, symbol: fill.order.symbol, order_id: fill.order.id,
    leaves_qty: money(fill.order.quantity - fill.order.filled), cum_qty: money(fill.order.filled),
    order_status: fill.order.status,
  }));
}
