/**
 * One order, from intent to rest. What a broker says may be late, twice, out of order or in words that
 * we do not know; nothing of it throws, and nothing goes backwards:
 *
 *     intended ─> submitted ─> accepted ─> partially-filled ─> filled | cancelled | rejected | ...
 *                     \─> unknown ─(look-up)─┘   \─> pending-cancel ─┘
 *
 * Fills are counted in two ways, the sum of the executions heard and the broker's own total; the larger
 * counts. So an execution heard twice, lost, or late after a look-up is booked once.
 */
import type { BrokerOrder, BrokerUpdate, OrderRequest } from "../brokers/broker.ts";
import { isTerminal, type OrderFacts, type OrderState } from "../message.ts";
import { roundUnits, UNIT_EPSILON } from "./quantity.ts";

export interface Order {
  readonly id: string;
  readonly request: OrderRequest;
  readonly decidedAt: number;
  readonly leg: number;
  /** -1: of a symbol that is none of ours. */
  readonly instrument: number;
  /** False: EXTERNAL, somebody else's. */
  readonly isOurs: boolean;
  /** When it was made, session clock. */
  readonly madeAt: number;
  /** When the broker took it, the broker's clock; until that is known, when it was made. */
  submittedAt: number;
  /** As the broker has it. */
  quantity: number;
  brokerId: string | null;
  state: OrderState;
  /** Signed units, booked. */
  filled: number;
  averagePrice: number;
  reason: string | null;
  /** Signed sum of the executions heard, and their ids (EXECUTIONS_MAX at most). */
  heard: number;
  readonly executions: Set<string>;
  /** A cancel is under way. */
  isCancelling: boolean;
  /** To be cancelled as soon as the broker is known to have it. */
  isUnwanted: boolean;
  /** The next look-up waits already. */
  isWatched: boolean;
  /** How often it was watched, and how often the broker knew nothing of it. */
  watches: number;
  lookUps: number;
  /** Of a process that is no more, which may not have sent it. */
  isRecovered: boolean;
  /** It was given up for lost; should it show up after all, it is taken back. */
  isLost: boolean;
  /** Something about it was said to a person already. */
  isAlarmed: boolean;
}

/** Ids of executions remembered per order; beyond, the broker's own total alone counts. */
const EXECUTIONS_MAX = 2_000;

/** What one piece of news changes: to be booked and said. */
export interface Change {
  readonly isChanged: boolean;
  /** Newly filled signed units, 0 for none. */
  readonly quantity: number;
  readonly price: number;
  readonly executionId: string;
  /** A state or word that does not fit: ask again. */
  readonly oddity: string | null;
}

export function newOrder(request: OrderRequest, instrument: number, decidedAt: number, leg: number,
  madeAt: number, isOurs = true): Order {
  return {
    id: request.id, request, decidedAt, leg, instrument, isOurs, madeAt, submittedAt: madeAt,
    quantity: request.quantity, brokerId: null, state: "intended", filled: 0, averagePrice: NaN, reason: null,
    heard: 0, executions: new Set(), isCancelling: false, isUnwanted: false, isWatched: false, watches: 0,
    lookUps: 0, isRecovered: false, isLost: false, isAlarmed: false,
  };
}

/** An order that somebody else made. */
export function externalOrder(order: BrokerOrder, instrument: number, madeAt: number): Order {
  const request: OrderRequest = {
    id: order.id, symbol: order.symbol, quantity: order.quantity, type: order.type,
    limitPrice: order.type === "limit" ? order.limitPrice : null, timeInForce: "day", isExtendedHours: false,
  };
  return newOrder(request, instrument, NaN, 0, madeAt, false);
}

export const isOpen = (order: Order): boolean => !isTerminal(order.state);
/** Signed units that may still fill. */
export const remaining = (order: Order): number => isOpen(order) ? roundUnits(order.quantity - order.filled)
  : 0;

/** How far along a state is; news of an earlier one is old news. */
const RANK: Readonly<Record<OrderState, number>> = {
  intended: 0, submitted: 1, unknown: 1, accepted: 2, "partially-filled": 3, "pending-cancel": 4,
  filled: 5, cancelled: 5, rejected: 5, expired: 5, replaced: 5,
};

/** Takes in an order as the broker tells it, from an answer, a look-up, a list or an update. */
export function hearOrder(order: Order, told: BrokerOrder): Change {
  return hear(order, told, null);
}

/** Takes in one message of the update stream. */
export function hearUpdate(order: Order, update: BrokerUpdate): Change {
  return hear(order, update.order, update);
}

function hear(order: Order, told: BrokerOrder, update: BrokerUpdate | null): Change {
  const before = order.state, hadBrokerId = order.brokerId !== null;
  if (told.brokerId !== "") order.brokerId ??= told.brokerId;
  if (told.submittedAt > order.submittedAt) order.submittedAt = told.submittedAt;
  if (order.isLost) { order.isLost = false; order.state = "submitted"; order.reason = null; }
  if (Number.isFinite(told.quantity) && told.quantity !== 0) order.quantity = told.quantity;
  const fill = count(order, told, update);
  const wasRefused = update?.event === "cancel-rejected" || update?.event === "replace-rejected";
  if (wasRefused) order.isCancelling = false;
  order.state = nextState(order, told.state, wasRefused);
  if (isTerminal(order.state)) order.isCancelling = false;
  if (order.state === "rejected") order.reason ??= told.word === "" ? "rejected" : told.word;
  const oddity = told.state === "unknown" ? told.word : null;
  const isChanged = order.state !== before || fill.quantity !== 0 || !hadBrokerId && order.brokerId !== null;
  return { ...fill, isChanged, oddity };
}

/** Never backwards; a refused cancel is the one way back from pending-cancel. */
function nextState(order: Order, told: OrderState, wasRefused: boolean): OrderState {
  const { state } = order;
  const isWhole = Math.abs(order.filled) >= Math.abs(order.quantity) - UNIT_EPSILON && order.filled !== 0;
  if (isWhole && !isTerminal(state)) return "filled";
  if (told === "unknown" || isTerminal(state)) return state;
  if (told === "filled") {
    // "Filled" without the fills: believed once they are there.
    return state;
  }
  if (wasRefused && state === "pending-cancel") return order.filled === 0 ? "accepted" : "partially-filled";
  if (state === "unknown" || RANK[told] > RANK[state]) return told;
  return state;
}

/** The larger of what we heard and what the broker says in total; the difference to what is booked is new. */
function count(order: Order, told: BrokerOrder, update: BrokerUpdate | null):
Pick<Change, "quantity" | "price" | "executionId"> {
  const { executions } = order;
  let heardNow = 0;
  if (update !== null && update.executionId !== null && Number.isFinite(update.quantity)
    && !executions.has(update.executionId) && executions.size < EXECUTIONS_MAX) {
    executions.add(update.executionId);
    heardNow = update.quantity;
    order.heard = roundUnits(order.heard + heardNow);
  }
  const side = Math.sign(order.quantity);
  const total = Number.isFinite(told.filled) ? told.filled : 0;
  const now = side * Math.max(order.heard * side, total * side, order.filled * side);
  const quantity = roundUnits(now - order.filled);
  if (quantity === 0) return { quantity: 0, price: NaN, executionId: "" };
  const isThis = heardNow !== 0 && Math.abs(quantity - heardNow) < UNIT_EPSILON;
  const price = isThis && update!.price > 0 ? update!.price : priceOf(order, told, now, quantity, update);
  const paid = (order.filled === 0 ? 0 : order.averagePrice * order.filled) + quantity * price;
  order.filled = now;
  order.averagePrice = paid / now;
  const executionId = isThis ? update!.executionId! : `${order.id}/${now}`;
  return { quantity, price, executionId };
}

/** Of fills that were not heard one by one: what the broker's average says of them. */
function priceOf(order: Order, told: BrokerOrder, now: number, quantity: number,
  update: BrokerUpdate | null): number {
  const before = order.filled === 0 ? 0 : order.averagePrice * order.filled;
  const implied = (told.averagePrice * now - before) / quantity;
  if (implied > 0 && Number.isFinite(implied) && Math.abs(now - told.filled) < UNIT_EPSILON) return implied;
  if (told.averagePrice > 0) return told.averagePrice;
  if (update !== null && update.price > 0) return update.price;
  return order.averagePrice > 0 ? order.averagePrice : order.request.limitPrice ?? NaN;
}

/** As others see it. */
export function factsOf(order: Order): OrderFacts {
  return {
    id: order.id, decidedAt: order.decidedAt, instrument: order.instrument, quantity: order.quantity,
    type: order.request.type, limitPrice: order.request.limitPrice ?? NaN, brokerId: order.brokerId,
    state: order.state, filled: order.filled, averagePrice: order.averagePrice, reason: order.reason,
  };
}
