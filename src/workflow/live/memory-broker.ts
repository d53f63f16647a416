/**
 * A broker in memory: the simulator's exchange behind the contract that execution knows, with everything that
 * lies between the two in the real world and goes wrong there, by seed.
 *
 *     execution ──submit──> on its way ──> Exchange ──> answer on its way back ──> outcome
 *                  lost      lost, 429        |                lost: "unknown"
 *     listener  <── late, lost, twice ── updates               stream down: nothing until it is proven anew
 *
 * What is true is what the exchange knows; the log tells what reached it.
 */
import { random, type Random } from "../../base/random.ts";
import { BrokerTrouble, type Broker, type BrokerAccount, type BrokerListener, type BrokerOrder,
  type BrokerPosition, type BrokerUpdate, type CancelOutcome, type OrderRequest, type SubmitOutcome }
  from "../../live/brokers/broker.ts";
import type { OrderState } from "../../live/message.ts";
import type { Exchange, Mishap } from "../../simulator/exchange.ts";
import type { ExchangeBar } from "../../simulator/exchange-match.ts";
import { isOpen, leftOf, signOf, type ExchangeEvent, type ExchangeOrder, type Refusal,
  type Reply } from "../../simulator/exchange-order.ts";
import type { Host } from "./memory-process.ts";
import type { VirtualTime } from "./virtual-time.ts";

/** Shares of calls or updates, all 0 on a good day. */
export interface BrokerFaults {
  /** One way, ms: uniform between. */
  readonly delayMs: readonly [number, number];
  /** Calls that never arrive, and answers that never come back: both look the same to who waits. */
  readonly lostCallShare: number;
  readonly lostAnswerShare: number;
  /** Answered 429. */
  readonly limitedShare: number;
  /** Questions that end in BrokerTrouble. */
  readonly troubleShare: number;
  /** Accepted, then rejected a moment later; filled in part only, for now. */
  readonly rejectedShare: number;
  readonly partialShare: number;
  readonly lostUpdateShare: number;
  readonly twiceUpdateShare: number;
  /** Updates that come `lateMs` later, after those that follow them. */
  readonly lateUpdateShare: number;
  readonly lateMs: number;
  /** Updates that come with a word nobody knows. */
  readonly strangeWordShare: number;
  /** Cancels that stay pending; cancels that come a moment after the fill. */
  readonly stuckCancelShare: number;
  readonly beatenCancelShare: number;
}
export const HONEST: BrokerFaults = {
  delayMs: [0, 0], lostCallShare: 0, lostAnswerShare: 0, limitedShare: 0, troubleShare: 0, rejectedShare: 0,
  partialShare: 0, lostUpdateShare: 0, twiceUpdateShare: 0, lateUpdateShare: 0, lateMs: 2_000,
  strangeWordShare: 0, stuckCancelShare: 0, beatenCancelShare: 0,
};

/** Who waits longer than this for an answer gives up: the outcome is unknown. */
const CALL_TIMEOUT_MS = 5_000;
const RETRY_AFTER_MS = 1_000;

/** What reached the exchange, and what it said to it. */
export interface VenueEntry {
  readonly elapsedMs: number;
  /** Lines of the graph's record before this one: the order of what happens at one moment. */
  readonly after: number;
  readonly process: string;
  readonly what: "submit" | "cancel" | "cancel-all" | "replace" | "stream-up" | "stream-down";
  /** Of the order; "" for the stream. */
  readonly id: string;
  readonly symbol: string;
  /** Signed units asked for. */
  readonly quantity: number;
  readonly answer: string;
  /** Signed: what was held at the exchange then, and what other open orders could still add. */
  readonly held: number;
  readonly open: number;
}

interface Stream {
  readonly host: Host;
  readonly listener: BrokerListener;
  isProven: boolean;
  arrivalMs: number;
}

/** The broker's side of the wire: lives on while processes die. */
export class MemoryVenue {
  readonly exchange: Exchange;
  readonly log: VenueEntry[] = [];
  readonly #time: VirtualTime;
  readonly #draw: Random;
  readonly #recorded: () => number;
  #faults: BrokerFaults;
  #isUp = true;
  #dueMs = Infinity;
  readonly #streams: Stream[] = [];
  /** Last word of each order, by the exchange's id: what the broker's own database would hold. */
  readonly #orders = new Map<string, ExchangeOrder>();

  /** `recorded`: how many lines the graph's record has by now. */
  constructor(exchange: Exchange, time: VirtualTime, seed: number, faults: BrokerFaults,
    recorded: () => number = () => 0) {
    this.exchange = exchange;
    this.#recorded = recorded;
    this.#time = time;
    this.#draw = random(seed, "memory broker");
    this.#faults = faults;
  }

  /** From now on. */
  set faults(faults: BrokerFaults) { this.#faults = faults; }

  /** For one process, while it lives. */
  connect(host: Host): Broker { return brokerOf(this, host); }

  onBars(bars: readonly ExchangeBar[]): void { this.exchange.onBars(bars, this.#time.now()); this.pump(); }

  /** Somebody trades on the account by hand. */
  trade(symbol: string, quantity: number, price: number): void {
    this.exchange.trade(symbol, quantity, price, this.#time.now());
    this.pump();
  }

  /** Somebody else's limit order. */
  order(symbol: string, quantity: number, limitPrice: number): void {
    this.exchange.submit({ clientOrderId: null, symbol, side: quantity > 0 ? "buy" : "sell", type: "limit",
      timeInForce: "day", quantity: Math.abs(quantity), notional: NaN, limitPrice, stopPrice: NaN,
      isExtendedHours: false }, this.#time.now());
    this.pump();
  }

  split(symbol: string, ratio: number): void {
    this.exchange.split(symbol, ratio, this.#time.now());
    this.pump();
  }

  halt(symbol: string, isHalted: boolean): void {
    if (isHalted) this.exchange.halt(symbol); else this.exchange.resume(symbol);
    this.pump();
  }

  /** The stream of updates is gone for a while; with `isMute` nobody is told. */
  breakStream(durationMs: number, isMute: boolean): void {
    this.#isUp = false;
    if (!isMute) for (const stream of this.#streams) this.#prove(stream, false, "connection lost");
    this.#time.after(durationMs, () => {
      this.#isUp = true;
      // Who connected in the meantime has had no answer so far.
      for (const stream of this.#streams) if (!stream.isProven) this.#prove(stream, true, "connected again");
    });
  }

  /** Tells the world what has happened at the exchange, and comes back when something is due. */
  pump(): void {
    const now = this.#time.now();
    this.exchange.advance(now);
    for (const event of this.exchange.takeEvents()) {
      this.#orders.set(event.order.id, event.order);
      for (const stream of this.#streams) this.#tell(stream, event);
    }
    const due = this.exchange.nextDue() - this.#time.start;
    if (due < this.#dueMs) {
      this.#dueMs = due;
      this.#time.at(due, () => { this.#dueMs = Infinity; this.pump(); });
    }
  }

  /**
   * A call on its way there and back; `carryOut` is what the exchange does, `blind` what is said if nobody
   * knows.
   */
  call<T>(host: Host, carryOut: () => T, blind: () => T, limited: (() => T) | null): Promise<T> {
    const faults = this.#faults, draw = this.#draw;
    return new Promise((resolve, reject) => {
      const answer = (value: () => T, delayMs: number): void => {
        host.after(delayMs, () => {
          try { resolve(value()); } catch (error) { reject(error); }
        });
      };
      if (chance(draw, faults.lostCallShare)) { answer(blind, CALL_TIMEOUT_MS); return; }
      const isLimited = limited !== null && chance(draw, faults.limitedShare);
      const isLost = chance(draw, faults.lostAnswerShare);
      const thereMs = this.#delay(), backMs = this.#delay();
      // It arrives even if who sent it is dead by then.
      this.#time.after(thereMs, () => {
        if (isLimited) { answer(limited, backMs); return; }
        let value: T;
        try { value = carryOut(); } catch (error) { answer(() => { throw error as Error; }, backMs); return; }
        this.pump();
        if (isLost) answer(blind, CALL_TIMEOUT_MS - thereMs); else answer(() => value, backMs);
      });
    });
  }

  /** A question: asked again by who wants to know. */
  ask<T>(host: Host, question: () => T): Promise<T> {
    const trouble = (text: string) => (): T => { throw new BrokerTrouble(text, RETRY_AFTER_MS); };
    if (chance(this.#draw, this.#faults.troubleShare)) {
      return this.call(host, trouble("503 service unavailable"), trouble("no answer"), null);
    }
    return this.call(host, question, trouble("no answer"), trouble("429 too many requests"));
  }

  submit(host: Host, order: OrderRequest): SubmitOutcome {
    const { symbol, quantity } = order;
    const reply = this.exchange.submit({
      clientOrderId: order.id, symbol, side: quantity > 0 ? "buy" : "sell", type: order.type,
      timeInForce: order.timeInForce, quantity: Math.abs(quantity), notional: NaN,
      limitPrice: order.limitPrice ?? NaN, stopPrice: NaN, isExtendedHours: order.isExtendedHours,
    }, this.#time.now(), this.#mishap({ "rejected-later": this.#faults.rejectedShare,
      "partial-fill": this.#faults.partialShare }));
    const outcome = outcomeOf(reply);
    if (reply.ok) this.#orders.set(reply.order.id, reply.order);
    this.#log(host.name, "submit", order.id, symbol, quantity, textOf(outcome));
    return outcome;
  }

  cancel(host: Host, brokerId: string): CancelOutcome {
    const order = this.exchange.order(brokerId);
    this.#log(host.name, "cancel", order?.clientOrderId ?? brokerId, order?.symbol ?? "", 0, "");
    const reply = this.exchange.cancel(brokerId, this.#time.now(), this.#mishap({
      "stuck-cancel": this.#faults.stuckCancelShare, "fill-beats-cancel": this.#faults.beatenCancelShare }));
    if (reply.ok) this.#orders.set(reply.order.id, reply.order);
    return reply.ok ? { outcome: "accepted" } : { outcome: "too-late", reason: reply.refusal.message };
  }

  cancelAll(host: Host): readonly CancelOutcome[] {
    this.#log(host.name, "cancel-all", "", "", 0, "");
    return this.exchange.cancelAll(this.#time.now()).map(() => ({ outcome: "accepted" }));
  }

  replace(host: Host, brokerId: string,
    order: Pick<OrderRequest, "id" | "quantity" | "limitPrice">): SubmitOutcome {
    const old = this.exchange.order(brokerId);
    const reply = this.exchange.replace(brokerId,
      { clientOrderId: order.id, quantity: Math.abs(order.quantity),
      ...(order.limitPrice === null ? {} : { limitPrice: order.limitPrice }) }, this.#time.now());
    const outcome = outcomeOf(reply);
    if (reply.ok) this.#orders.set(reply.order.id, reply.order);
    this.#log(host.name, "replace", order.id, old?.symbol ?? "", order.quantity, textOf(outcome));
    return outcome;
  }

  listen(host: Host, listener: BrokerListener): void {
    const stream = { host, listener, isProven: false, arrivalMs: 0 };
    this.#streams.push(stream);
    host.signal.addEventListener("abort", () => {
      this.#streams.splice(this.#streams.indexOf(stream), 1);
    }, { once: true });
    if (this.#isUp) this.#prove(stream, true, "connected");
  }

  /** Open orders, and those that came to rest since. */
  recent(since: number): readonly BrokerOrder[] {
    return [...this.#orders.values()].filter((one) => isOpen(one) || one.updatedAt >= since).map(orderOf);
  }

  #prove(stream: Stream, isProven: boolean, reason: string): void {
    stream.isProven = isProven;
    stream.host.after(this.#delay(), () => {
      this.#log(stream.host.name, isProven ? "stream-up" : "stream-down", "", "", 0, reason);
      stream.listener.stream(isProven, reason);
    });
  }

  #tell(stream: Stream, event: ExchangeEvent): void {
    const faults = this.#faults, draw = this.#draw;
    if (!this.#isUp || chance(draw, faults.lostUpdateShare)) return;
    const isStrange = chance(draw, faults.strangeWordShare);
    const update = this.#updateOf(event, isStrange);
    const isLate = chance(draw, faults.lateUpdateShare);
    const times = chance(draw, faults.twiceUpdateShare) ? 2 : 1;
    for (let k = 0; k < times; k++) {
      const delayMs = this.#delay() + (isLate ? faults.lateMs : 0);
      const arrivalMs = Math.max(isLate ? 0 : stream.arrivalMs, this.#time.elapsedMs + delayMs);
      if (!isLate) stream.arrivalMs = arrivalMs;
      stream.host.after(arrivalMs - this.#time.elapsedMs, () => { stream.listener.update(update); });
    }
  }

  #updateOf(event: ExchangeEvent, isStrange: boolean): BrokerUpdate {
    const sign = signOf(event.order.side), order = orderOf(event.order);
    const known = isStrange ? "other" : WORDS[event.event];
    return { at: event.at, event: known, word: isStrange ? "held_for_review" : event.event,
      executionId: Number.isNaN(event.quantity) ? null : event.executionId, quantity: sign * event.quantity,
      price: event.price,
        order: isStrange ? { ...order, state: "unknown", word: "held_for_review" } : order };
  }

  #log(process: string, what: VenueEntry["what"], id: string, symbol: string, quantity: number,
    answer: string): void {
    const held = this.exchange.positions().find((one) => one.symbol === symbol)?.quantity ?? 0;
    let open = 0;
    for (const one of this.#orders.values()) {
      if (one.symbol !== symbol || one.clientOrderId === id || !isOpen(one)) continue;
      open += signOf(one.side) * leftOf(one);
    }
    this.log.push({ elapsedMs: this.#time.elapsedMs, after: this.#recorded(), process, what, id, symbol,
      quantity, answer, held, open });
  }

  #mishap(shares: Partial<Record<Mishap, number>>): Mishap | null {
    const found = Object.entries(shares).find(([, share]) => chance(this.#draw, share));
    return found === undefined ? null : found[0] as Mishap;
  }

  #delay(): number {
    const [least, most] = this.#faults.delayMs;
    return most === 0 ? 0 : least + (most - least) * this.#draw.uniform();
  }
}

function chance(draw: Random, share: number): boolean { return share > 0 && draw.uniform() < share; }

const WORDS: Readonly<Record<ExchangeEvent["event"], BrokerUpdate["event"]>> = {
  pending_new: "other", accepted: "new", new: "new", partial_fill: "partial-fill", fill: "fill",
  pending_cancel: "pending-cancel", canceled: "cancelled", pending_replace: "other", replaced: "replaced",
  expired: "expired", rejected: "rejected", order_cancel_rejected: "cancel-rejected",
  order_replace_rejected: "replace-rejected",
};
const STATES: Readonly<Record<ExchangeOrder["status"], OrderState>> = {
  pending_new: "submitted", accepted: "accepted", new: "accepted", partially_filled: "partially-filled",
  filled: "filled", canceled: "cancelled", expired: "expired", rejected: "rejected", replaced: "replaced",
  pending_cancel: "pending-cancel", pending_replace: "accepted",
};

function orderOf(order: ExchangeOrder): BrokerOrder {
  const sign = signOf(order.side);
  return { id: order.clientOrderId, brokerId: order.id, symbol: order.symbol, quantity: sign * order.quantity,
    filled: sign * order.filled, averagePrice: order.averagePrice,
      type: order.type === "limit" ? "limit" : "market",
    limitPrice: order.limitPrice, state: STATES[order.status], word: order.status,
      submittedAt: order.createdAt,
    replacedBy: order.replacedBy, replaces: order.replaces };
}

const DUPLICATE_ID = 40010001;

function outcomeOf(reply: Reply): SubmitOutcome {
  if (reply.ok) return { outcome: "accepted", order: orderOf(reply.order) };
  const { code, message }: Refusal = reply.refusal;
  return code === DUPLICATE_ID ? { outcome: "duplicate" }
    : { outcome: "rejected", code: String(code), reason: message };
}

const textOf = (outcome: SubmitOutcome): string =>
  outcome.outcome === "rejected" ? `rejected ${outcome.code} ${outcome.reason}` : outcome.outcome;

function brokerOf(venue: MemoryVenue, host: Host): Broker {
  const { exchange } = venue;
  const blind = (): { outcome: "unknown"; reason: string } =>
    ({ outcome: "unknown", reason: "no answer in time" });
  const limited = (): { outcome: "limited"; retryAfterMs: number } =>
    ({ outcome: "limited", retryAfterMs: RETRY_AFTER_MS });
  return {
    name: "memory", isPaper: true,
    account: () => venue.ask<BrokerAccount>(host, () => {
      const { equity, cash, buyingPower } = exchange.account();
      return { equity, cash, buyingPower, isTradingBlocked: false, oddities: [] };
    }),
    positions: () => venue.ask<readonly BrokerPosition[]>(host, () => exchange.positions().map((one) =>
      ({ symbol: one.symbol, units: one.quantity, averagePrice: one.averagePrice }))),
    orders: (since) => venue.ask(host, () => venue.recent(since)),
    standing: () => venue.ask(host, () => ({ orders: exchange.orders("open").map(orderOf),
      buyingPower: exchange.account().buyingPower })),
    orderById: (id) => venue.ask(host, () => {
      const found = exchange.orderByClientId(id);
      return found === null ? null : orderOf(found);
    }),
    asset: (symbol) => venue.ask(host, () => {
      const asset = exchange.asset(symbol);
      return asset === null ? null
        : { symbol, isTradable: true, isShortable: asset.isShortable, isFractionable: asset.isFractionable };
    }),
    clock: () => venue.ask(host,
      () => ({ at: host.clock.now(), isOpen: true, nextOpen: NaN, nextClose: NaN })),
    submit: (order) => venue.call<SubmitOutcome>(host, () => venue.submit(host, order), blind, limited),
    cancel: (brokerId) => venue.call<CancelOutcome>(host, () => venue.cancel(host, brokerId), blind, limited),
    cancelAll: () => venue.call(host, () => venue.cancelAll(host), () => [blind()], () => [limited()]),
    replace: (brokerId, order) =>
      venue.call<SubmitOutcome>(host, () => venue.replace(host, brokerId, order), blind, limited),
    listen: (listener) => { venue.listen(host, listener); },
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}
