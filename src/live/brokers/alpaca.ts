/**
 * Alpaca as a Broker, through its own SDK: REST by its generated calls, whose answers are read by us; updates
 * by its trading stream.
 *
 *     submit  2xx ── accepted     422 "client_order_id must be unique" ── duplicate     429 ── limited
 *             other 4xx ── rejected(code)     no answer, 408, 5xx, an answer that cannot be read ── unknown
 *     stream  authorized, then "listening" to trade_updates ── proven; anything else ── not proven
 *
 * The SDK's own retries and rate limit are off: execution's queue decides who calls when; none is made twice.
 * The SDK swallows what a listener throws and gives up after a refused login; so listeners only push, and a
 * stream that has given up is opened again.
 */
import type { IncomingHttpHeaders } from "node:http";
import type * as SDK from "@alpacahq/alpaca-trade-api";
import type { errors, streaming, trading } from "@alpacahq/alpaca-trade-api";
import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/error.ts";
import type { Log } from "../../base/log.ts";
import { redact, type AlpacaKeys } from "../../market/sources/keys.ts";
import { pinnedFetch, type PinnedFetch } from "./alpaca-fetch.ts";
import type { AlpacaHost } from "./alpaca-hosts.ts";
import { accountOf, assetOf, clockOf, decimalOf, fieldsOf, numberOf, orderOf, positionOf, updateOf }
  from "./alpaca-words.ts";
import { BrokerTrouble, type Broker, type BrokerListener, type BrokerOrder, type CancelOutcome,
  type OrderRequest, type Quota, type Standing, type SubmitOutcome } from "./broker.ts";

export interface AlpacaBrokerOptions {
  /** From `hostOf`: the only host that is spoken to. */
  readonly host: AlpacaHost;
  readonly keys: AlpacaKeys;
  readonly clock: Clock;
  readonly log: Log;
  /** How long an answer is waited for, ms. */
  readonly timeoutMs?: number;
  /** Told when an order's last byte has left. */
  readonly onLeft?: () => void;
}

const TIMEOUT_MS = 10_000;
const PAGE_ORDERS = 500;
/** Pages of one list of orders at most. */
const PAGES_MAX = 100;
/** "listening" must come so soon after the login, and a stream that gave up is opened again after this. */
const LISTEN_MS = 5_000;
const REOPEN_MS = 1_000;
const RETRY_MS = 1_000;
const RATE_STATUS = 429;

/** Loads the SDK (only when it is needed) and pins it to one host. */
export async function openAlpacaBroker(options: AlpacaBrokerOptions): Promise<Broker> {
  const library = await import("@alpacahq/alpaca-trade-api");
  return new AlpacaBroker(options, library);
}

type Library = typeof SDK;
interface Raw { readonly raw: Response }

class AlpacaBroker implements Broker {
  readonly name: string;
  readonly isPaper: boolean;
  readonly #options: AlpacaBrokerOptions;
  readonly #library: Library;
  readonly #pinned: PinnedFetch;
  readonly #orders: trading.OrdersApi;
  readonly #positions: trading.PositionsApi;
  readonly #accounts: trading.AccountsApi;
  readonly #assets: trading.AssetsApi;
  readonly #clocks: trading.ClockApi;
  readonly #end = new AbortController();
  #stream: streaming.TradingStream | null = null;
  #quota: Quota | null = null;

  constructor(options: AlpacaBrokerOptions, library: Library) {
    const { host, keys, timeoutMs = TIMEOUT_MS } = options;
    this.name = host.trading.host;
    this.isPaper = host.isPaper;
    this.#options = options;
    this.#library = library;
    this.#pinned = pinnedFetch(host.trading, (headers) => this.#heed(headers), options.onLeft);
    const configuration = new library.trading.Configuration({
      basePath: host.trading.origin, keyId: keys.keyId, secret: keys.secretKey, timeoutMs,
      fetchApi: this.#pinned.fetch,
    });
    this.#orders = new library.trading.OrdersApi(configuration);
    this.#positions = new library.trading.PositionsApi(configuration);
    this.#accounts = new library.trading.AccountsApi(configuration);
    this.#assets = new library.trading.AssetsApi(configuration);
    this.#clocks = new library.trading.ClockApi(configuration);
  }

  quota(): Quota | null { return this.#quota; }

  async account(): ReturnType<Broker["account"]> {
    return accountOf(await this.#ask(() => this.#accounts.getAccountRaw()));
  }

  async positions(): ReturnType<Broker["positions"]> {
    const answer = await this.#ask(() => this.#positions.getAllOpenPositionsRaw());
    const positions = listOf(answer, "positions").map(positionOf);
    // A holding that cannot be read is not none.
    if (positions.every(({ symbol, units }) => symbol !== "" && Number.isFinite(units))) {
      return positions.filter(({ units }) => units !== 0);
    }
    throw new BrokerTrouble("the broker's list of positions cannot be read");
  }

  async orders(since: number): Promise<readonly BrokerOrder[]> {
    const found = new Map<string, BrokerOrder>();
    await this.#page({ status: "open" }, null, found);
    await this.#page({ status: "all" }, since, found);
    return [...found.values()];
  }

  async standing(): Promise<Standing> {
    const found = new Map<string, BrokerOrder>();
    const [{ buyingPower }] = await Promise.all([this.account(),
      this.#page({ status: "open" }, null, found)]);
    return { orders: [...found.values()], buyingPower };
  }

  /** All pages, oldest first. Pages overlap by a moment, because several orders may share one. */
  async #page(query: trading.GetAllOrdersRequest, since: number | null,
    found: Map<string, BrokerOrder>): Promise<void> {
    let after = since;
    for (let page = 0; page < PAGES_MAX; page++) {
      const answer = await this.#ask(() => this.#orders.getAllOrdersRaw({
        ...query, limit: PAGE_ORDERS, direction: "asc",
        after: after === null || !Number.isFinite(after) ? undefined
          : new Date(Math.max(0, after)).toISOString(),
      }));
      const rows = listOf(answer, "orders"), before = found.size;
      let last = NaN;
      for (const order of rows.map(orderOf)) {
        if (order === null) continue;
        found.set(order.brokerId, order);
        last = order.submittedAt;
      }
      if (rows.length < PAGE_ORDERS) return;
      if (found.size === before && page > 0 || !(last > 0)) break;
      after = last - 1;
    }
    throw new BrokerTrouble("the list of orders does not end");
  }

  async orderById(id: string): Promise<BrokerOrder | null> {
    return this.#askOrNull(async () => orderOf(
      await this.#ask(() => this.#orders.getOrderByClientOrderIdRaw({ clientOrderId: id }))));
  }

  async asset(symbol: string): ReturnType<Broker["asset"]> {
    return this.#askOrNull(async () => assetOf(
      await this.#ask(() => this.#assets.getV2AssetsSymbolOrAssetIdRaw({ symbolOrAssetId: symbol }))));
  }

  async clock(): ReturnType<Broker["clock"]> {
    return clockOf(await this.#ask(() => this.#clocks.legacyClockRaw()), this.#options.clock.now());
  }

  async submit(order: OrderRequest): Promise<SubmitOutcome> {
    return this.#place(() => this.#orders.postOrderRaw({ postOrderRequest: {
      symbol: order.symbol, qty: decimalOf(Math.abs(order.quantity)),
      side: order.quantity > 0 ? "buy" : "sell", type: order.type, timeInForce: order.timeInForce,
        clientOrderId: order.id,
      limitPrice: order.limitPrice === null ? undefined : decimalOf(order.limitPrice),
      extendedHours: order.isExtendedHours ? true : undefined,
    } }));
  }

  async replace(brokerId: string, order: Parameters<Broker["replace"]>[1]): Promise<SubmitOutcome> {
    return this.#place(() => this.#orders.patchOrderByOrderIdRaw({ orderId: brokerId, patchOrderRequest: {
      clientOrderId: order.id, qty: decimalOf(Math.abs(order.quantity)),
      limitPrice: order.limitPrice === null ? undefined : decimalOf(order.limitPrice),
    } }));
  }

  async cancel(brokerId: string): Promise<CancelOutcome> {
    try {
      // Taking the (empty) value ends the SDK's timer.
      await (await this.#orders.deleteOrderByOrderIDRaw({ orderId: brokerId })).value();
      return { outcome: "accepted" };
    } catch (error) {
      const { status, retryAfterMs, message } = this.#refusalOf(error);
      if (status === RATE_STATUS) return { outcome: "limited", retryAfterMs };
      if (status === 422 || status === 404) return { outcome: "too-late", reason: message };
      return { outcome: "unknown", reason: message };
    }
  }

  async cancelAll(): Promise<readonly CancelOutcome[]> {
    const answer = await this.#ask(() => this.#orders.deleteAllOrdersRaw());
    return listOf(answer, "cancels").map((one): CancelOutcome => {
      const status = numberOf(fieldsOf(one).status), reason = `status ${status}`;
      if (status >= 200 && status < 300) return { outcome: "accepted" };
      return { outcome: status === 500 || status === 422 ? "too-late" : "unknown", reason };
    });
  }

  listen(listener: BrokerListener): void {
    const { keys, host, clock } = this.#options;
    const { STATE, EVENT } = this.#library.streaming;
    const stream = new this.#library.streaming.TradingStream({
      credentials: { keyId: keys.keyId, secret: keys.secretKey }, url: host.stream.href,
      maxReconnectAttempts: -1, initialReconnectMs: 200, maxReconnectMs: 10_000,
    });
    this.#stream = stream;
    stream.onTradeUpdate((told) => {
      // The SDK makes a Date of the time stamp and keeps the other fields as they came.
      const { timestamp } = told as unknown as { timestamp?: Date };
      const update = updateOf({ ...told, timestamp: timestamp?.toISOString?.() }, clock.now());
      if (update !== null) listener.update(update);
      else listener.stream(false, "an update that names no order");
    });
    stream.on(EVENT.SUBSCRIPTION, (streams: unknown) => {
      const isListening = Array.isArray(streams) && streams.includes("trade_updates");
      listener.stream(isListening, isListening ? "listening" : "not listening to trade_updates");
    });
    stream.onError((problem) => {
      this.#options.log.warn({ problem: this.#redact(problem) }, "the broker's update stream");
      // A message that could not be read may have been a fill: what follows a new login reads all anew.
      if (problem.startsWith("failed to ")) this.#restart(stream);
    });
    stream.onStateChange((state) => {
      if (state === STATE.AUTHENTICATED) void this.#expectListening(stream);
      else listener.stream(false, state);
      if (state === STATE.DISCONNECTED) void this.#reopen(stream);
    });
    stream.subscribeTradeUpdates();
    stream.connect();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    this.#stream?.disconnect();
    this.#pinned[Symbol.dispose]();
    await Promise.resolve();
  }

  /** A login without "listening" is no stream: begin again. */
  async #expectListening(stream: streaming.TradingStream): Promise<void> {
    let isListening = false;
    stream.once(this.#library.streaming.EVENT.SUBSCRIPTION, () => { isListening = true; });
    if (!await this.#sleep(LISTEN_MS) || isListening || this.#stream !== stream) return;
    this.#options.log.warn({}, "the broker's update stream does not listen; connecting anew");
    this.#restart(stream);
  }

  /** The SDK reconnects by itself, but not after a refused login. */
  async #reopen(stream: streaming.TradingStream): Promise<void> {
    if (!await this.#sleep(REOPEN_MS)) return;
    if (stream.getState() === this.#library.streaming.STATE.DISCONNECTED) stream.connect();
  }

  #restart(stream: streaming.TradingStream): void {
    stream.disconnect();
    if (!this.#end.signal.aborted) stream.connect();
  }

  /** False: the broker is being closed. */
  async #sleep(durationMs: number): Promise<boolean> {
    try { await this.#options.clock.sleep(durationMs, this.#end.signal); } catch { return false; }
    return !this.#end.signal.aborted;
  }

  async #place(call: () => Promise<Raw>): Promise<SubmitOutcome> {
    try {
      const order = orderOf(await (await call()).raw.json());
      return order === null ? { outcome: "unknown", reason: "an answer that names no order" }
        : { outcome: "accepted", order };
    } catch (error) {
      const { status, code, retryAfterMs, message } = this.#refusalOf(error);
      if (status === RATE_STATUS) return { outcome: "limited", retryAfterMs };
      if (status === 422 && /client_order_id must be unique/i.test(message)) return { outcome: "duplicate" };
      const isRefused = status !== null && status >= 400 && status < 500 && status !== 408 && status !== 425;
      return isRefused ? { outcome: "rejected", code, reason: message }
        : { outcome: "unknown", reason: message };
    }
  }

  /** A question's answer as JSON. Throws BrokerTrouble. */
  async #ask(call: () => Promise<Raw>): Promise<unknown> {
    try { return await (await call()).raw.json(); } catch (error) {
      const { status, retryAfterMs, message } = this.#refusalOf(error);
      throw new BrokerTrouble(message, status === RATE_STATUS ? retryAfterMs : null, { cause: { status } });
    }
  }

  async #askOrNull<T>(question: () => Promise<T>): Promise<T | null> {
    try { return await question(); } catch (error) {
      const cause = error instanceof BrokerTrouble ? error.cause as { status?: unknown } : {};
      if (cause.status === 404) return null;
      throw error;
    }
  }

  /** What the SDK made an error of. Status null: there was no answer, or none that can be read. */
  #refusalOf(error: unknown): Refusal {
    if (error instanceof this.#library.ApiError) {
      const { status, code, message, retryAfterMs }: errors.ApiError = error;
      const words = message.trimStart().startsWith("<") ? "" : message.replace(/\s+/g, " ").slice(0, 200);
      return { status, code: String(code ?? status), retryAfterMs: retryAfterMs ?? RETRY_MS,
        message: `HTTP ${status}${words === "" ? "" : `: ${this.#redact(words)}`}` };
    }
    const cause = (error as { cause?: unknown }).cause ?? error;
    return { status: null, code: "", retryAfterMs: RETRY_MS, message: this.#redact(messageOf(cause)) };
  }

  #redact(text: string): string {
    const { keyId, secretKey } = this.#options.keys;
    return redact(text, [secretKey, keyId]);
  }

  /** What the account has left of this minute's calls, whoever made them. */
  #heed(headers: IncomingHttpHeaders): void {
    const remaining = numberOf(headers["x-ratelimit-remaining"]);
    const resetAt = numberOf(headers["x-ratelimit-reset"]) * 1_000;
    if (remaining >= 0 && resetAt > 0) this.#quota = { remaining, resetAt };
  }
}

interface Refusal {
  readonly status: number | null;
  readonly code: string;
  readonly retryAfterMs: number;
  readonly message: string;
}

/** Throws BrokerTrouble for anything but a list: a gateway's apology is not "no orders". */
function listOf(answer: unknown, what: string): readonly unknown[] {
  if (Array.isArray(answer)) return answer;
  throw new BrokerTrouble(`the broker's answer holds no list of ${what}`);
}
