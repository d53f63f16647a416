/**
 * News of orders, by whatever way they come: answers to our calls, look-ups, lists, the update stream.
 * They meet in `take`: book what is newly filled, say what changed, let the instrument be looked at again.
 */
import type { BrokerOrder, BrokerUpdate, CancelOutcome, SubmitOutcome } from "../brokers/broker.ts";
import { askTruth } from "./ask.ts";
import { bookFill } from "./books.ts";
import { alarm, keepOrder, mayTrade, note, say, sayOrder, symbolOf, wake, type Desk } from "./desk.ts";
import type { ExecutionOutcome } from "./effect.ts";
import { externalOrder, hearOrder, hearUpdate, isOpen, newOrder, type Change, type Order } from "./order.ts";
import { readOrderId } from "./order-id.ts";

const WATCH_MAX_MS = 60_000;
const LOOK_UP_MAX_MS = 4_000;
const CANCEL_WATCH_MS = 3_000;

/** A message of the update stream. */
export function takeUpdate(desk: Desk, update: BrokerUpdate): void {
  const order = find(desk, update.order) ?? adopt(desk, update.order);
  if (order === null) return;
  if (update.event === "other") {
    alarm(desk, "warning", "order-word",
      `the broker says "${update.word}" of an order, which we do not know`, true);
    watch(desk, order);
  }
  take(desk, order, hearUpdate(order, update));
}

/** An order of a list or look-up. True when it told something that the stream had not. */
export function takeOrder(desk: Desk, told: BrokerOrder): boolean {
  const order = find(desk, told) ?? adopt(desk, told);
  if (order === null) return false;
  const change = hearOrder(order, told);
  take(desk, order, change);
  return change.isChanged;
}

function find(desk: Desk, told: BrokerOrder): Order | null {
  return desk.orders.get(told.id) ?? desk.orders.get(desk.idOf.get(told.brokerId) ?? "") ?? null;
}

/** An order without a record: ours of a lost journal, one that replaced ours, or EXTERNAL. */
function adopt(desk: Desk, told: BrokerOrder): Order | null {
  const instrument = desk.instrumentOf.get(told.symbol) ?? -1;
  const parts = readOrderId(told.id, desk.terms.session.strategyName, told.symbol);
  const old = desk.orders.get(desk.idOf.get(told.replaces ?? "") ?? "");
  const foreign = externalOrder(told, instrument, desk.now);
  if (old !== undefined || parts !== null) {
    const decidedAt = old?.decidedAt ?? parts!.decidedAt, leg = old?.leg ?? parts!.leg;
    const order = newOrder(foreign.request, instrument, decidedAt, leg, desk.now, old?.isOurs ?? true);
    // What the order that it replaces had filled is counted on, or not; it is in the books already.
    if (old !== undefined && old.filled !== 0 && told.filled === old.filled) {
      order.filled = old.filled;
      order.averagePrice = old.averagePrice;
    }
    keepOrder(desk, order);
    return order;
  }
  keepOrder(desk, foreign);
  alarm(desk, "warning", "external-order",
    `an order that is not ours is on the account: ${told.quantity} ${told.symbol} (${told.id})`, true);
  return foreign;
}

/** Books and says what a piece of news changed. */
function take(desk: Desk, order: Order, change: Change): void {
  if (order.brokerId !== null) desk.idOf.set(order.brokerId, order.id);
  if (isOpen(order)) desk.open.add(order);
  if (change.oddity !== null) {
    alarm(desk, "warning", "order-word",
      `the broker says "${change.oddity}" of order ${order.id}, which we do not know; asking again`, true);
    watch(desk, order);
  }
  if (change.quantity !== 0) book(desk, order, change);
  if (order.isUnwanted) cancel(desk, order);
  if (!change.isChanged) return;
  desk.news++;
  sayOrder(desk, order);
  if (isOpen(order)) { if (order.instrument >= 0) desk.dirty.add(order.instrument); } else rest(desk, order);
  // Another order stands in its place, which may be open: nothing leaves before it has been seen.
  if (order.state === "replaced") { desk.isReconciled = false; askTruth(desk); }
}

function book(desk: Desk, order: Order, change: Change): void {
  const { instrument } = order;
  if (Math.abs(order.filled) > Math.abs(order.quantity) + 1e-9) {
    alarm(desk, "critical", "overfill", `order ${order.id} is filled beyond its quantity`, true);
  }
  if (instrument < 0) return;
  const price = change.price > 0 ? change.price : desk.price[instrument];
  if (!(price > 0)) {
    alarm(desk, "warning", "fill-price", `a fill of ${order.id} came without a price; cash is wrong until `
      + "the next look at the account", true);
  }
  desk.fills++;
  bookFill(desk.books, instrument, change.quantity, price > 0 ? price : 0, 0);
  desk.isAccountDue = true;
  say(desk, {
    kind: "fill", at: desk.now, orderId: order.id, executionId: change.executionId, instrument,
    quantity: change.quantity, price: price > 0 ? price : NaN, fee: 0, position: desk.books.units[instrument],
  });
}

/** An order has come to rest. */
export function rest(desk: Desk, order: Order): void {
  desk.open.delete(order);
  const { instrument, isOurs } = order;
  if (isOurs && instrument >= 0) {
    note(desk, {
      t: "rest", at: desk.now, id: order.id, state: order.state, filled: order.filled,
      averagePrice: Number.isNaN(order.averagePrice) ? null : order.averagePrice,
      position: desk.books.units[instrument],
    });
    const goal = desk.goals[instrument];
    if (order.state === "filled") order.reason = null;
    // What ended against our wish is not tried again for the same decision.
    const isWished = order.state === "filled" || order.state === "replaced"
      || order.reason === BY_US || order.reason === WITHDRAWN;
    if (goal !== null && !isWished && goal.decidedAt === order.decidedAt) goal.isAtRest = true;
    if (order.state === "rejected" && order.reason !== WITHDRAWN && !order.isLost) {
      alarm(desk, "warning", "order-rejected",
        `${symbolOf(desk, instrument)}: the broker refused ${order.request.quantity}: ${order.reason}`);
    }
  }
  if (instrument >= 0) desk.dirty.add(instrument);
  for (const other of desk.waiting) desk.dirty.add(other);
  desk.waiting.clear();
}

export const WITHDRAWN = "withdrawn before it left";
const BY_US = "cancelled by us";

/** Ends an order that never reached the broker. */
export function end(desk: Desk, order: Order, reason: string): void {
  order.state = "rejected";
  order.reason = reason;
  sayOrder(desk, order);
  rest(desk, order);
}

export function takeSubmitted(desk: Desk, id: string, outcome: SubmitOutcome): void {
  const order = desk.orders.get(id);
  if (order === undefined) return;
  switch (outcome.outcome) {
    case "accepted":
      take(desk, order, hearOrder(order, outcome.order));
      if (isOpen(order)) watch(desk, order);
      return;
    case "rejected":
      // The stream may have said otherwise by now, and it saw the order itself.
      if (isOpen(order) && order.brokerId === null) {
        end(desk, order, outcome.code === "withdrawn" ? WITHDRAWN : `${outcome.reason} (${outcome.code})`);
      }
      return;
    case "duplicate":
      say(desk, { kind: "look-up", id });
      return;
    case "limited":
      alarm(desk, "info", "rate-limited", "the broker's call limit is reached; orders wait");
      wake(desk, Math.max(100, outcome.retryAfterMs), { what: "submit-again", id });
      return;
    case "unknown":
      if (!isOpen(order) || order.brokerId !== null) return;
      order.state = "unknown";
      order.reason = outcome.reason;
      sayOrder(desk, order);
      alarm(desk, "warning", "order-unknown",
        `nobody knows what became of ${id} (${outcome.reason}); looking it up`);
      order.isWatched = true;
      wake(desk, desk.terms.lookUpMs, { what: "look-up", id });
  }
}

/**
 * An answer to "what is the order of this id": nothing known is not the same as no answer. Returns the order
 * when it has been looked up in vain often enough to be given up.
 */
export function takeLookedUp(desk: Desk, outcome: ExecutionOutcome & { kind: "looked-up" }): Order | null {
  const order = desk.orders.get(outcome.id);
  if (order === undefined) return null;
  const { lookUpMs, lookUpsMax } = desk.terms;
  order.isWatched = false;
  if (outcome.order !== null) take(desk, order, hearOrder(order, outcome.order));
  if (!isOpen(order)) return null;
  if (outcome.order !== null || order.brokerId !== null) {
    watch(desk, order);
    return null;
  }
  if (outcome.trouble === null) order.lookUps++;
  if (outcome.trouble === null && order.lookUps >= lookUpsMax) return order;
  order.isWatched = true;
  wake(desk, Math.min(LOOK_UP_MAX_MS, lookUpMs * 2 ** order.lookUps), { what: "look-up", id: order.id });
  return null;
}

/** An order that the broker does not have. Should it turn up after all, it is taken back. */
export function giveUp(desk: Desk, order: Order): void {
  order.isLost = true;
  alarm(desk, "critical", "order-lost", `the broker does not have ${order.id}, asked ${order.lookUps} times: `
    + "it is given up; nothing is ordered in its place until the next target");
  end(desk, order, "it never reached the broker");
}

/** Looks at an order that nobody has told of for a while, at growing distances. */
export function watch(desk: Desk, order: Order): void {
  if (order.isWatched) return;
  order.isWatched = true;
  const afterMs = Math.min(WATCH_MAX_MS, desk.terms.watchMs * 2 ** Math.min(10, order.watches++));
  wake(desk, afterMs, { what: "look-up", id: order.id });
}

/** Asks the broker to cancel, once; what comes of it is heard. */
export function cancel(desk: Desk, order: Order): void {
  if (order.isCancelling || !isOpen(order)) return;
  // Its POST may be in flight: who was not there yet cannot be cancelled, and is as soon as it is.
  order.isUnwanted = order.brokerId === null;
  if (order.brokerId === null) return;
  order.isCancelling = true;
  if (order.isOurs) order.reason ??= BY_US;
  say(desk, { kind: "cancel", id: order.id, brokerId: order.brokerId });
  wake(desk, CANCEL_WATCH_MS, { what: "cancel-watch", id: order.id });
}

export function takeCancelled(desk: Desk, id: string, outcome: CancelOutcome): void {
  const order = desk.orders.get(id);
  if (order === undefined || !isOpen(order)) return;
  if (outcome.outcome === "accepted") {
    if (order.state === "accepted" || order.state === "partially-filled") {
      order.state = "pending-cancel";
      sayOrder(desk, order);
    }
    return;
  }
  if (outcome.outcome === "limited") {
    wake(desk, Math.max(100, outcome.retryAfterMs), { what: "cancel-again", id });
    return;
  }
  // Too late or unknown: the order itself says what is true.
  say(desk, { kind: "look-up", id });
}

/** A cancel that is still not through: say it, ask again; never a second order on top. */
export function watchCancel(desk: Desk, id: string): void {
  const order = desk.orders.get(id);
  if (order === undefined || !isOpen(order)) return;
  if (!order.isCancelling) { cancel(desk, order); return; }
  if (!order.isAlarmed) {
    order.isAlarmed = true;
    alarm(desk, "critical", "cancel-stuck", `the cancel of ${id} is not through; its instrument waits`);
  }
  cancelAgain(desk, id);
  say(desk, { kind: "look-up", id });
  wake(desk, CANCEL_WATCH_MS * 2, { what: "cancel-watch", id });
}

/** Nobody has said that a cancel is under way: it may be lost, and asking twice does no harm. */
export function cancelAgain(desk: Desk, id: string): void {
  const order = desk.orders.get(id);
  if (order === undefined || !isOpen(order) || order.brokerId === null) return;
  if (order.isCancelling && order.state !== "pending-cancel") {
    say(desk, { kind: "cancel", id, brokerId: order.brokerId });
  }
}

/** Lets an order leave that is in the journal, if it still may. */
export function submit(desk: Desk, order: Order): void {
  if (order.brokerId !== null || !isOpen(order)) return;
  const goodForMs = desk.priceAt[order.instrument] + desk.terms.limits.staleMs - desk.now;
  // It may have waited for the disk, or for the broker's "too many", longer than its price is good for.
  if (!mayTrade(desk) || order.isUnwanted || !(goodForMs >= 0)) { end(desk, order, WITHDRAWN); return; }
  if (order.state !== "submitted") {
    order.state = "submitted";
    sayOrder(desk, order);
  }
  if (Number.isFinite(desk.terms.limits.ordersPerMinuteMax)) desk.sent.push(desk.now);
  say(desk, { kind: "submit", order: order.request, goodForMs });
}
