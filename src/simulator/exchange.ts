/**
 * The exchange and broker of the simulated world: orders in, events out. Pure: time is an argument that never
 * goes back, randomness a seed, so that equal calls give equal bytes.
 *
 *   submit, cancel, replace ──> door (exchange-admission) ──> due queue: it takes effect `latency` later
 *   onBars, onQuote, onTrade ─> match (exchange-match) ──> fills ──> account
 *   advance(now) ─────────────> what is due: arrivals, opens, auctions, expiries
 *                                                            every change ──> takeEvents()
 *
 * Trading happens in exchange-desk.ts; this is the counter: who asks for what, and what is told.
 */
import { assert } from "../base/assert.ts";
import type { CalendarName } from "../market/calendar.ts";
import type { ExchangeAccountState, ExchangePosition } from "./exchange-account.ts";
import { promised, refusalOf, reserveOf, type Asset, type Door } from "./exchange-admission.ts";
import { Desk, type Mishap } from "./exchange-desk.ts";
import type { Hours } from "./exchange-hours.ts";
import type { ExchangeBar, ExchangeQuote, MarketState } from "./exchange-match.ts";
import { isOpen, leftOf, refuse, snapshot, type ExchangeChange, type ExchangeEvent, type ExchangeOrder,
  type ExchangeRequest, type LiveOrder, type Reply } from "./exchange-order.ts";
import { FRICTIONLESS, type Terms } from "./exchange-terms.ts";

export { FRICTIONLESS, REALISTIC, type Terms } from "./exchange-terms.ts";
export type { Asset } from "./exchange-admission.ts";
export type { ExchangeAccountState, ExchangePosition } from "./exchange-account.ts";
export type { Mishap } from "./exchange-desk.ts";
export type { ExchangeBar, ExchangeQuote } from "./exchange-match.ts";
export type { ExchangeChange, ExchangeEvent, ExchangeOrder, ExchangeRequest, OrderStatus, Refusal, Reply,
  Side, UpdateWord } from "./exchange-order.ts";

export interface ExchangeOptions {
  readonly symbols: readonly string[];
  /** Cash to begin with. */
  readonly capital: number;
  readonly seed?: number;
  readonly terms?: Terms;
  readonly calendar?: CalendarName;
  /** What differs from: fractionable, shortable. */
  readonly assets?: Readonly<Record<string, Partial<Omit<Asset, "symbol">>>>;
}

/** Maintenance margin of what is held. */
const MAINTENANCE = 0.3;

export class Exchange {
  readonly hours: Hours;
  readonly terms: Terms;
  readonly #desk: Desk;
  readonly #assets: Asset[];
  #isTradingBlocked = false;
  #isMarginCalled = false;
  #manual = 0;

  constructor(options: ExchangeOptions) {
    const { symbols, capital, seed = 0, terms = FRICTIONLESS, calendar = "us-equity", assets = {} } = options;
    this.terms = terms;
    this.#desk = new Desk({ symbols, capital, seed, terms, calendar });
    this.hours = this.#desk.hours;
    this.#assets = symbols.map((symbol) =>
      ({ isFractionable: true, isShortable: true, ...assets[symbol], symbol }));
  }

  /** Time of the next thing that happens by itself; Infinity if none. */
  nextDue(): number { return this.#desk.nextDue(); }
  /** Does everything that is due by `now`. */
  advance(now: number): void { this.#desk.advance(now); }
  /** Everything said since the last call, in order. */
  takeEvents(): ExchangeEvent[] { return this.#desk.takeEvents(); }

  /** All bars of one close time. What was due before it is done first. */
  onBars(bars: readonly ExchangeBar[], now: number): void { this.#desk.onBars(bars, now); }
  onQuote(quote: ExchangeQuote, now: number): void { this.#desk.onQuote(quote, now); }
  /** A trade of somebody else. */
  onTrade(symbol: string, price: number, size: number, now: number): void {
    this.#desk.onBars([{ symbol, start: now, at: now, open: price, high: price, low: price, close: price,
      volume: size }], now);
  }

  submit(request: ExchangeRequest, now: number, mishap: Mishap | null = null): Reply {
    this.advance(now);
    const known = this.#desk.indexOf(request.symbol);
    if (known === undefined) {
      return { ok: false, refusal: refuse(422, 40010001, `asset "${request.symbol}" not found`) };
    }
    const taken = this.#takenId(request.clientOrderId);
    if (taken !== null) return taken;
    const door = this.#door(request, known, now, null);
    const refusal = refusalOf(door);
    if (refusal !== null) return { ok: false, refusal };
    const place = { instrument: known, reserved: reserveOf(door), replaces: null };
    const order = this.#desk.admit(request, place, now, mishap);
    const reply = snapshot(order);
    this.advance(now);
    return { ok: true, order: reply };
  }

  /** Asks for a cancel; what becomes of it is an event. */
  cancel(id: string, now: number, mishap: Mishap | null = null): Reply {
    this.advance(now);
    const order = this.#desk.orders.get(id);
    if (order === undefined) return { ok: false, refusal: notFound(id) };
    if (!isOpen(order) || order.status === "pending_cancel") {
      return { ok: false, refusal: refuse(422, 42210000, `order is already in "${order.status}" state`) };
    }
    this.#desk.askCancel(order, now, mishap);
    const reply = snapshot(order);
    this.advance(now);
    return { ok: true, order: reply };
  }

  /** Of all open orders: the status that each would be answered with. */
  cancelAll(now: number): readonly { readonly id: string; readonly status: number }[] {
    this.advance(now);
    return [...this.#desk.openOrders()].map(({ id }) => {
      const reply = this.cancel(id, now);
      return { id, status: reply.ok ? 200 : reply.refusal.status };
    });
  }

  /**
   * Asks for other terms; the order returned takes the old one's place when the request arrives, if the old
   * one is still open then. `quantity` counts what the old one has filled: it is the total of the chain.
   */
  replace(id: string, change: ExchangeChange, now: number): Reply {
    this.advance(now);
    const old = this.#desk.orders.get(id);
    if (old === undefined) return { ok: false, refusal: notFound(id) };
    if (old.status !== "new" && old.status !== "partially_filled") {
      const why = `order isn't sent to exchange yet or is already in "${old.status}" state`;
      return { ok: false, refusal: refuse(422, 42210000, `unable to replace order, ${why}`) };
    }
    const request: ExchangeRequest = { ...snapshot(old), clientOrderId: null, ...change };
    const isSame = request.quantity === old.quantity && request.limitPrice === old.limitPrice
      && request.stopPrice === old.stopPrice && request.timeInForce === old.timeInForce;
    if (isSame) return { ok: false, refusal: refuse(422, 42210000, "order parameters are not changed") };
    if (!(request.quantity > old.filled) || !Number.isInteger(old.quantity)) {
      return { ok: false, refusal: refuse(422, 42210000, "qty must be > filled_qty, of whole shares") };
    }
    const taken = this.#takenId(request.clientOrderId);
    if (taken !== null) return taken;
    const door = this.#door(request, old.instrument, now, old);
    const refusal = refusalOf(door);
    if (refusal !== null) return { ok: false, refusal };
    const place = { instrument: old.instrument, reserved: reserveOf(door), replaces: old };
    const order = this.#desk.admit(request, place, now, null);
    const reply = snapshot(order);
    this.advance(now);
    return { ok: true, order: reply };
  }

  order(id: string): ExchangeOrder | null { return seen(this.#desk.orders.get(id)); }
  orderByClientId(clientOrderId: string): ExchangeOrder | null {
    return seen(this.#desk.orders.get(this.#desk.byClientId.get(clientOrderId) ?? ""));
  }
  /** Oldest first. Closed ones are kept for a while (CLOSED_KEPT of exchange-desk.ts). */
  orders(which: "open" | "closed" | "all" = "open",
    isWanted: (order: ExchangeOrder) => boolean = () => true): ExchangeOrder[] {
    const found: ExchangeOrder[] = [];
    for (const order of which === "open" ? this.#desk.openOrders() : this.#desk.orders.values()) {
      if ((which === "all" || isOpen(order) === (which === "open"))
        && isWanted(order)) found.push(snapshot(order));
    }
    return found;
  }

  account(): ExchangeAccountState {
    const { account } = this.#desk, equity = account.equity();
    const longValue = account.value(1), shortValue = account.value(-1), reserved = this.#reserved();
    const gross = longValue - shortValue, { leverage } = this.terms;
    const free = Number.isFinite(leverage) ? Math.max(0, leverage * equity - gross - reserved) : Infinity;
    return { cash: account.cash, equity, longValue, shortValue, reserved,
      buyingPower: this.#isMarginCalled ? 0 : free, maintenanceMargin: gross * MAINTENANCE,
      isTradingBlocked: this.#isTradingBlocked, isMarginCalled: this.#isMarginCalled };
  }

  positions(): ExchangePosition[] {
    const { account } = this.#desk;
    return this.#desk.markets.flatMap(({ symbol }, i) => account.quantity[i] === 0 ? [] : [{
      symbol, quantity: account.quantity[i], averagePrice: account.entry[i], mark: account.mark[i],
      available: Math.abs(account.quantity[i])
        - promised(this.#desk.openOf(i), account.quantity[i] > 0 ? -1 : 1),
    }]);
  }

  /** What is shown of an instrument; null: not listed. */
  market(symbol: string): Readonly<MarketState> | null {
    const known = this.#desk.indexOf(symbol);
    return known === undefined ? null : this.#desk.markets[known];
  }
  asset(symbol: string): Asset | null {
    const known = this.#desk.indexOf(symbol);
    return known === undefined ? null : this.#assets[known];
  }
  assets(): readonly Asset[] { return this.#assets; }

  /** Somebody trades by hand on this account: signed quantity; at the last price unless given. */
  trade(symbol: string, quantity: number, price: number, now: number): ExchangeOrder {
    this.advance(now);
    const instrument = this.#listed(symbol), market = this.#desk.markets[instrument];
    const order = this.#desk.admit({ clientOrderId: `manual-${++this.#manual}`, symbol,
      side: quantity > 0 ? "buy" : "sell", type: "market", timeInForce: "day", quantity: Math.abs(quantity),
      notional: NaN, limitPrice: NaN, stopPrice: NaN, isExtendedHours: false },
    { instrument, reserved: 0, replaces: null }, now, "by-hand");
    this.#desk.arrive(order, now);
    this.#desk.fill(order, Math.abs(quantity), price > 0 ? price : market.last, now);
    return snapshot(order);
  }

  halt(symbol: string): void { this.#desk.markets[this.#listed(symbol)].isHalted = true; }
  resume(symbol: string): void { this.#desk.markets[this.#listed(symbol)].isHalted = false; }
  /** `ratio` new shares for each old one; open orders of it are cancelled. */
  split(symbol: string, ratio: number, now: number): void {
    const instrument = this.#listed(symbol);
    this.#desk.split(instrument, ratio, this.#assets[instrument].isFractionable, now);
  }
  dividend(symbol: string, perShare: number): void {
    this.#desk.account.dividend(this.#listed(symbol), perShare);
  }
  /** A new symbol for the same shares; open orders are cancelled, the old symbol is forgotten. */
  rename(from: string, to: string, now: number): void {
    const instrument = this.#listed(from);
    this.#desk.cancelOf(instrument, now);
    this.#desk.rename(instrument, to);
    this.#assets[instrument] = { ...this.#assets[instrument], symbol: to };
  }
  /** Trading ends; what is held stays, at its last price. */
  delist(symbol: string, now: number): void {
    const instrument = this.#listed(symbol);
    this.#desk.cancelOf(instrument, now);
    this.#desk.markets[instrument].isDelisted = true;
  }
  /** On: no buying power is left, only closing orders pass. */
  callMargin(isOn: boolean): void { this.#isMarginCalled = isOn; }
  blockTrading(isOn: boolean): void { this.#isTradingBlocked = isOn; }

  #door(request: ExchangeRequest, instrument: number, now: number, replaced: LiveOrder | null): Door {
    const account = this.account();
    return { request, now, terms: this.terms, hours: this.hours, asset: this.#assets[instrument],
      market: this.#desk.markets[instrument], held: this.#desk.account.quantity[instrument],
      open: replaced === null ? this.#desk.openOf(instrument)
        : this.#desk.openOf(instrument).filter((order) => order !== replaced),
      buyingPower: account.buyingPower + (replaced === null || this.#isMarginCalled ? 0 : replaced.reserved),
      isTradingBlocked: account.isTradingBlocked };
  }

  #reserved(): number {
    let sum = 0;
    // What is filled has become a position: only the rest is kept.
    for (const order of this.#desk.openOrders()) {
      sum += order.reserved * (order.filled === 0 ? 1 : leftOf(order) / order.quantity);
    }
    return sum;
  }

  #takenId(clientOrderId: string | null): Reply | null {
    return clientOrderId === null || !this.#desk.byClientId.has(clientOrderId) ? null
      : { ok: false, refusal: refuse(422, 40010001, "client_order_id must be unique") };
  }

  #listed(symbol: string): number {
    const known = this.#desk.indexOf(symbol);
    assert(known !== undefined, `${symbol} is not listed at the simulated exchange`);
    return known;
  }
}

const seen = (order: LiveOrder | undefined): ExchangeOrder | null =>
  order === undefined ? null : snapshot(order);
const notFound = (id: string) => refuse(404, 40410000, `order not found for ${id}`);
