/**
 * Where orders live and trade. An order is admitted at once, arrives `latency` later, rests until it is
 * filled or somebody or something ends it:
 *
 *   admit ──latency──> arrive ──> [opens with its session] ──> match: now, at each bar, at each quote
 *                                                               └──> fill ──> account, event
 *   askCancel, a replacement ──latency──> take effect, unless a fill was faster
 */
import { assert } from "../base/assert.ts";
import { random, type Random } from "../base/random.ts";
import { BPS, MS_PER_DAY } from "../base/units.ts";
import type { CalendarName } from "../market/calendar.ts";
import { DueQueue } from "./due-queue.ts";
import { ExchangeAccount } from "./exchange-account.ts";
import { Hours } from "./exchange-hours.ts";
import { isMarket, matchBar, matchNow, paid, type ExchangeBar, type ExchangeQuote,
  type MarketState, type Match } from "./exchange-match.ts";
import { isOpen, isWhole, leftOf, signOf, snapshot, type ExchangeEvent, type ExchangeRequest, type LiveOrder,
  type OrderStatus, type UpdateWord } from "./exchange-order.ts";
import type { Terms } from "./exchange-terms.ts";


/**
 * What goes wrong with one order. rejected-later: accepted, then refused by the venue. partial-fill: its
 * first fill is half of it. stuck-cancel: pending_cancel for ever. fill-beats-cancel: it is filled as the
 * cancel arrives.
 */
export type Mishap = "rejected-later" | "partial-fill" | "stuck-cancel" | "fill-beats-cancel" | "by-hand";

interface Task { readonly kind: "arrive" | "open" | "cancel" | "auction" | "expire"; readonly id: string }
export interface DeskOptions {
  readonly symbols: readonly string[];
  readonly capital: number;
  readonly seed: number;
  readonly terms: Terms;
  readonly calendar: CalendarName;
}

/** Closed orders that can still be asked for; older ones are forgotten. */
const CLOSED_KEPT = 10_000;
/** Events that nobody took: more is a bug of the caller. */
const EVENTS_MAX = 1_000_000;
const GTC_MS = 90 * MS_PER_DAY;

export class Desk {
  readonly hours: Hours;
  readonly account: ExchangeAccount;
  readonly markets: MarketState[];
  /** By id, in order of arrival. */
  readonly orders = new Map<string, LiveOrder>();
  readonly byClientId = new Map<string, string>();
  readonly #terms: Terms;
  readonly #index = new Map<string, number>();
  /** Per instrument, in order of arrival. */
  readonly #open: LiveOrder[][];
  readonly #closed: string[] = [];
  readonly #due = new DueQueue<Task>();
  readonly #mishaps = new Map<string, Mishap>();
  readonly #ids: Random;
  readonly #latency: Random;
  #events: ExchangeEvent[] = [];
  #sequence = 0;
  #now = -Infinity;

  constructor({ symbols, capital, seed, terms, calendar }: DeskOptions) {
    this.#terms = terms;
    this.hours = new Hours(calendar, terms.isAlwaysOpen);
    this.account = new ExchangeAccount(symbols.length, capital, terms.quantityDecimals);
    this.markets = symbols.map((symbol) => ({ symbol, last: NaN, lastAt: -Infinity, bid: NaN, ask: NaN,
      toBuy: 0, toSell: 0, depth: NaN, isHalted: false, isDelisted: false }));
    this.#open = symbols.map(() => []);
    symbols.forEach((symbol, i) => { this.#index.set(symbol, i); });
    this.#ids = random(seed, "exchange", "ids");
    this.#latency = random(seed, "exchange", "latency");
  }

  indexOf(symbol: string): number | undefined { return this.#index.get(symbol); }
  openOf(instrument: number): readonly LiveOrder[] { return this.#open[instrument]; }
  *openOrders(): Generator<LiveOrder> { for (const orders of this.#open) yield* orders; }
  nextDue(): number { return this.#due.next; }

  takeEvents(): ExchangeEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** Enters an order that passed the door; it arrives later. */
  admit(request: ExchangeRequest, more: { instrument: number; reserved: number; replaces: LiveOrder | null },
    now: number, mishap: Mishap | null): LiveOrder {
    const id = this.#newId(), { replaces: old } = more;
    const order: LiveOrder = {
      id, clientOrderId: request.clientOrderId ?? this.#newId(), symbol: request.symbol, side: request.side,
      type: request.type, timeInForce: request.timeInForce, quantity: request.quantity,
      notional: request.notional, limitPrice: request.limitPrice, stopPrice: request.stopPrice,
      isExtendedHours: request.isExtendedHours, status: "pending_new", filled: 0, averagePrice: NaN,
      createdAt: now, updatedAt: now, filledAt: NaN, canceledAt: NaN, expiredAt: NaN, failedAt: NaN,
      replacedAt: NaN, expiresAt: this.#expiryOf(request, now), replacedBy: null, replaces: old?.id ?? null,
      instrument: more.instrument, liveAt: Infinity, queueAhead: NaN, isTriggered: !(request.stopPrice > 0),
      reserved: more.reserved, restingStatus: "new",
    };
    this.orders.set(id, order);
    this.byClientId.set(order.clientOrderId, id);
    this.#open[more.instrument].push(order);
    if (mishap !== null) this.#mishaps.set(id, mishap);
    if (mishap === "by-hand") return order;
    if (old !== null) {
      old.status = "pending_replace";
      if (this.#terms.latencyMs > 0) this.#say("pending_replace", old, now);
    }
    this.#due.push(now + this.#delay(), { kind: "arrive", id });
    return order;
  }

  askCancel(order: LiveOrder, now: number, mishap: Mishap | null): void {
    order.status = "pending_cancel";
    order.updatedAt = now;
    if (this.#terms.latencyMs > 0 || mishap === "stuck-cancel") this.#say("pending_cancel", order, now);
    if (mishap === "stuck-cancel") return;
    if (mishap !== null) this.#mishaps.set(order.id, mishap);
    this.#due.push(now + this.#delay(), { kind: "cancel", id: order.id });
  }

  advance(now: number): void {
    assert(now >= this.#now, `time went back: ${this.#now} to ${now}`);
    for (let due = this.#due.take(now); due !== undefined; due = this.#due.take(now)) {
      const order = this.orders.get(due.task.id);
      if (order !== undefined && isOpen(order)) this.#carryOut(due.task.kind, order, due.at);
    }
    this.#now = now;
  }

  onBars(bars: readonly ExchangeBar[], now: number): void {
    if (this.#due.next < now) this.advance(Math.max(this.#now, lastBefore(now)));
    this.#now = now;
    const isInSession = this.hours.phaseOfBar(now) === "open";
    const closeOfSession = this.#terms.isAlwaysOpen ? NaN : this.hours.sessionFrom(now - 1).close;
    for (const bar of bars) {
      const instrument = this.#index.get(bar.symbol);
      if (instrument === undefined) continue;
      const market = this.markets[instrument], volume = this.#terms.participationMax * bar.volume;
      market.toBuy = market.toSell = Number.isNaN(volume) ? Infinity : volume;
      market.depth = bar.volume;
      for (const order of this.#matchable(instrument, now, isInSession)) {
        const match = this.#inBar(order, bar, closeOfSession);
        if (match !== null) this.#take(order, match, bar.at);
      }
      market.last = bar.close;
      market.lastAt = bar.at;
      market.bid = paid(bar.close, -1, this.#terms.halfSpreadBps);
      market.ask = paid(bar.close, 1, this.#terms.halfSpreadBps);
      this.account.mark[instrument] = bar.close;
    }
    this.advance(now);
  }

  onQuote(quote: ExchangeQuote, now: number): void {
    this.advance(now);
    const instrument = this.#index.get(quote.symbol);
    if (instrument === undefined || !(quote.bid > 0) || !(quote.ask >= quote.bid)) return;
    const market = this.markets[instrument], isUnlimited = this.#terms.participationMax === Infinity;
    market.bid = quote.bid;
    market.ask = quote.ask;
    market.toBuy = isUnlimited ? Infinity : quote.askSize;
    market.toSell = isUnlimited ? Infinity : quote.bidSize;
    if (!(market.last > 0)) market.last = (quote.bid + quote.ask) / 2;
    market.lastAt = quote.at;
    for (const order of this.#matchable(instrument, now, this.hours.phase(now) === "open")) {
      this.#meetQuote(order, now);
    }
  }

  /** The order reaches the venue: it rests, waits for its session, or is refused after all. */
  arrive(order: LiveOrder, at: number): void {
    if (order.status !== "pending_new") return;
    if (order.replaces !== null && !this.#takePlace(order, order.replaces, at)) return;
    if (this.#mishaps.get(order.id) === "rejected-later") { this.#end(order, "rejected", at); return; }
    const opens = this.#opensAt(order, at);
    if (opens > at) {
      order.status = order.restingStatus = "accepted";
      this.#say("accepted", order, at);
      this.#due.push(opens, { kind: "open", id: order.id });
    } else this.#rest(order, at);
    if (Number.isFinite(order.expiresAt)) this.#due.push(order.expiresAt, { kind: "expire", id: order.id });
    if (order.timeInForce === "cls" && !this.#terms.isAlwaysOpen) {
      this.#due.push(this.hours.sessionFrom(at).close, { kind: "auction", id: order.id });
    }
  }

  /** Shares change hands. */
  fill(order: LiveOrder, quantity: number, price: number, at: number): void {
    const { instrument } = order, sign = signOf(order.side);
    const before = order.filled;
    order.filled = quantity === leftOf(order) ? order.quantity : before + quantity;
    assert(order.filled <= order.quantity, `${order.id} filled over its quantity`);
    order.averagePrice = before === 0 ? price
      : (before * order.averagePrice + quantity * price) / order.filled;
    order.updatedAt = at;
    const fee = this.#terms.feeBps === 0 ? 0 : quantity * price * this.#terms.feeBps * BPS;
    this.account.fill(instrument, sign * quantity, price, fee);
    if (order.filled === order.quantity) {
      order.filledAt = at;
      this.#close(order, "filled");
      this.#say("fill", order, at, quantity, price);
      return;
    }
    order.restingStatus = "partially_filled";
    if (order.status === "new") order.status = "partially_filled";
    this.#say("partial_fill", order, at, quantity, price);
  }

  cancelOf(instrument: number, now: number): void {
    this.advance(now);
    for (const order of this.#open[instrument].slice()) this.#end(order, "canceled", now);
  }

  split(instrument: number, ratio: number, isFractionable: boolean, now: number): void {
    this.cancelOf(instrument, now);
    this.account.split(instrument, ratio, isFractionable);
    const market = this.markets[instrument];
    for (const price of ["last", "bid", "ask"] as const) market[price] /= ratio;
  }

  rename(instrument: number, symbol: string): void {
    this.#index.delete(this.markets[instrument].symbol);
    this.#index.set(symbol, instrument);
    this.markets[instrument].symbol = symbol;
  }

  #carryOut(kind: Task["kind"], order: LiveOrder, at: number): void {
    switch (kind) {
      case "arrive": this.arrive(order, at); return;
      case "open": this.#rest(order, at); return;
      case "expire": this.#end(order, "expired", at); return;
      case "auction": this.#meetAuction(order, at); return;
      case "cancel":
        if (this.#mishaps.get(order.id) === "fill-beats-cancel" && this.#beatCancel(order, at)) return;
        this.#end(order, "canceled", at);
    }
  }

  /** From now on it can trade; what can trade at once, does. */
  #rest(order: LiveOrder, at: number): void {
    order.liveAt = at;
    const { depth } = this.markets[order.instrument];
    order.queueAhead = depth >= 0 ? depth * this.#terms.queueAheadShare : 0;
    order.restingStatus = "new";
    if (order.status === "pending_new" || order.status === "accepted") {
      order.status = order.filled > 0 ? "partially_filled" : "new";
    }
    this.#say("new", order, at);
    if (this.#mishaps.get(order.id) === "by-hand") return;
    const waitsForBar = isMarket(order) && this.#terms.marketFillsAt !== "last";
    if (!waitsForBar) this.#meetQuote(order, at);
    const isForNow = order.timeInForce === "ioc" || order.timeInForce === "fok";
    if (isOpen(order) && isForNow) this.#end(order, "canceled", at);
  }

  #meetQuote(order: LiveOrder, at: number): void {
    const market = this.markets[order.instrument];
    if (market.isHalted || !(market.lastAt > this.hours.freshSince(at)) || isForAuction(order)) return;
    const match = matchNow(order, market, this.#terms);
    if (match !== null) this.#take(order, match, at);
  }

  #meetAuction(order: LiveOrder, at: number): void {
    const { last, isHalted } = this.markets[order.instrument], limit = order.limitPrice;
    const isAcceptable = !(signOf(order.side) * (last - limit) > 0);
    if (!isHalted && last > 0 && isAcceptable) this.#take(order, { price: last, touched: Infinity }, at);
    if (isOpen(order)) this.#end(order, "expired", at);
  }

  /** Open orders that a price of this moment can reach; a copy, because fills take orders away. */
  #matchable(instrument: number, now: number, isInSession: boolean): LiveOrder[] {
    const { isHalted } = this.markets[instrument], open = this.#open[instrument];
    if (isHalted || open.length === 0) return [];
    return open.filter((order) => order.liveAt <= now && (isInSession || order.isExtendedHours));
  }

  #inBar(order: LiveOrder, bar: ExchangeBar, closeOfSession: number): Match | null {
    if (order.timeInForce === "opg") {
      // The auction's price is the open of the first bar after it.
      const price = bar.open > 0 ? bar.open : bar.close;
      const isAcceptable = !(signOf(order.side) * (price - order.limitPrice) > 0);
      return isAcceptable ? { price, touched: Infinity } : null;
    }
    if (order.timeInForce === "cls" && !this.#terms.isAlwaysOpen) {
      if (bar.at !== closeOfSession || signOf(order.side) * (bar.close - order.limitPrice) > 0) return null;
      return { price: bar.close, touched: Infinity };
    }
    return matchBar(order, bar, this.#terms);
  }

  /** As much of a match as there is to be had. */
  #take(order: LiveOrder, match: Match, at: number): void {
    const market = this.markets[order.instrument], side = order.side === "buy" ? "toBuy" : "toSell";
    if (Number.isNaN(order.quantity)) {
      order.quantity = Math.floor(order.notional / match.price * 1e9) / 1e9;
      if (order.quantity === 0) { this.#end(order, "rejected", at); return; }
    }
    const left = leftOf(order);
    const behind = Math.max(0, match.touched - order.queueAhead);
    order.queueAhead = Math.max(0, order.queueAhead - match.touched);
    let quantity = Math.min(left, market[side], behind);
    quantity = this.#lots(quantity, order);
    if (order.timeInForce === "fok" && quantity < left) return;
    if (this.#mishaps.get(order.id) === "partial-fill" && quantity > 1) {
      quantity = this.#lots(quantity / 2, order);
      this.#mishaps.delete(order.id);
    }
    if (!(quantity > 0)) return;
    market[side] -= quantity;
    this.fill(order, quantity, match.price, at);
  }

  /** Of whole orders whole shares are filled; of others as many decimals as there are. */
  #lots(quantity: number, order: LiveOrder): number {
    if (isWhole(order.quantity)) return Math.floor(quantity);
    const parts = 10 ** this.#terms.quantityDecimals;
    return quantity === leftOf(order) || parts === Infinity ? quantity : Math.floor(quantity * parts) / parts;
  }

  /** A replacement arrives. False: too late, it is refused. */
  #takePlace(order: LiveOrder, oldId: string, at: number): boolean {
    const old = this.orders.get(oldId);
    if (old === undefined || old.status !== "pending_replace" || !(order.quantity > old.filled)) {
      if (old !== undefined && isOpen(old) && old.status === "pending_replace") {
        old.status = old.restingStatus;
        this.#say("order_replace_rejected", old, at);
      }
      this.#end(order, "rejected", at);
      return false;
    }
    old.replacedBy = order.id;
    order.filled = old.filled;
    order.averagePrice = old.averagePrice;
    this.#end(old, "replaced", at);
    return true;
  }

  #beatCancel(order: LiveOrder, at: number): boolean {
    const { last } = this.markets[order.instrument], price = order.limitPrice > 0 ? order.limitPrice : last;
    if (!(price > 0) || !(leftOf(order) > 0)) return false;
    this.fill(order, leftOf(order), price, at);
    this.#say("order_cancel_rejected", order, at);
    return true;
  }

  #end(order: LiveOrder, status: "canceled" | "expired" | "rejected" | "replaced", at: number): void {
    order[ENDED_AT[status]] = at;
    order.updatedAt = at;
    this.#close(order, status);
    this.#say(status, order, at);
  }

  #close(order: LiveOrder, status: OrderStatus): void {
    order.status = status;
    order.reserved = 0;
    const open = this.#open[order.instrument];
    open.splice(open.indexOf(order), 1);
    this.#mishaps.delete(order.id);
    this.#closed.push(order.id);
    if (this.#closed.length < 2 * CLOSED_KEPT) return;
    for (const id of this.#closed.splice(0, CLOSED_KEPT)) {
      this.byClientId.delete(this.orders.get(id)?.clientOrderId ?? "");
      this.orders.delete(id);
    }
  }

  #say(event: UpdateWord, order: LiveOrder, at: number, quantity = NaN, price = NaN): void {
    assert(this.#events.length < EVENTS_MAX, "nobody takes the exchange's events");
    const positionQuantity = Number.isNaN(quantity) ? NaN : this.account.quantity[order.instrument];
    this.#events.push({ sequence: ++this.#sequence, at, event, executionId: this.#newId(), quantity, price,
      positionQuantity, order: snapshot(order) });
  }

  /** When it can begin to trade. */
  #opensAt(order: LiveOrder, at: number): number {
    if (this.#terms.isAlwaysOpen) return at;
    const phase = this.hours.phase(at);
    if (order.timeInForce === "opg") return this.hours.nextSession(at).open;
    if (phase === "open" || (order.isExtendedHours && phase !== "closed")) return at;
    if (!order.isExtendedHours) return this.hours.nextSession(at).open;
    return this.hours.preOpen(this.hours.nextSession(at));
  }

  #expiryOf(request: ExchangeRequest, now: number): number {
    if (this.#terms.isAlwaysOpen) return Infinity;
    switch (request.timeInForce) {
      case "gtc": return now + GTC_MS;
      case "opg": return this.hours.nextSession(now).close;
      case "day": return request.isExtendedHours ? this.hours.afterClose(this.hours.extendedFrom(now))
        : this.hours.sessionFrom(now).close;
      default: return Infinity;
    }
  }

  #delay(): number {
    const { latencyMs, latencyJitterMs } = this.#terms;
    if (latencyJitterMs === 0) return latencyMs;
    return latencyMs + Math.floor(latencyJitterMs * this.#latency.uniform());
  }

  #newId(): string {
    const hex = Array.from({ length: 4 }, () => this.#ids.word().toString(16).padStart(8, "0")).join("");
    return uuidOf(hex);
  }
}

const ENDED_AT = { canceled: "canceledAt", expired: "expiredAt", rejected: "failedAt",
  replaced: "replacedAt" } as const;
const uuidOf = (hex: string): string => [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`,
  `8${hex.slice(17, 20)}`, hex.slice(20)].join("-");
const isForAuction = ({ timeInForce }: LiveOrder): boolean => timeInForce === "opg" || timeInForce === "cls";
/** The latest moment before this one that a due time in whole ms can be. */
const lastBefore = (now: number): number => now - 1;
