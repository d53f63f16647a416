/**
 * The next order that brings what is held nearer to what is wanted: a pure look at the desk.
 *
 *     wanted (TWAP slice, REDUCING, no flip, shortable, whole shares) - held = delta
 *     delta ──window──price──self-cross──buying power──risk gate──> order | rest(why) | wait
 */
import { SHORT_MARGIN } from "../../strategy/risk-order.ts";
import type { BrokerAsset, OrderRequest } from "../brokers/broker.ts";
import { isAhead, openOf, symbolOf, type Desk, type Goal } from "./desk.ts";
import { remaining } from "./order.ts";
import { orderId } from "./order-id.ts";
import { keptPart, roundPrice, roundUnits, truncateUnits, UNIT_EPSILON } from "./quantity.ts";
import { nextSession, windowAt } from "./window.ts";

export type Leg =
  | { readonly do: "order"; readonly request: OrderRequest; readonly notional: number }
  /** Reached (null), or given up. */
  | { readonly do: "rest"; readonly why: string | null }
  /** Until something is heard, or `afterMs`. */
  | { readonly do: "wait"; readonly afterMs: number | null; readonly ask: "asset" | "account" | null };

const REACHED: Leg = { do: "rest", why: null };
const WAIT: Leg = { do: "wait", afterMs: null, ask: null };
const rest = (why: string): Leg => ({ do: "rest", why });

/** Orders for one goal at most, beside its slices; a flatten may take many, each within its limit. */
const LEGS_MAX = 12, FLATTEN_LEGS_MAX = 1_000;
/** Orders of less are refused by brokers, dollars. */
const NOTIONAL_MIN = 1;
const RATE_WAIT_MS = 1_000;

export function nextLeg(desk: Desk, instrument: number, goal: Goal): Leg {
  const { session, permits } = desk.terms;
  const held = desk.books.units[instrument], symbol = symbolOf(desk, instrument);
  const share = goal.slice / goal.slices;
  let wanted = share === 1 ? goal.units : goal.from + (goal.units - goal.from) * share;
  // What somebody else traded may have gone past this slice: never away from the goal.
  if ((wanted - held) * (goal.units - held) < 0) return REACHED;
  if (desk.trading.state === "REDUCING") wanted = keptPart(wanted, held);
  if (Math.abs(wanted - held) < UNIT_EPSILON) return REACHED;
  if (!permits.flips && wanted * held < 0) wanted = 0;
  const ageMs = desk.now - goal.decidedAt, { timeoutMs } = session.execution;
  // Prices may be fresh again after a stop; what was decided before it is not.
  const isOld = ageMs > desk.terms.limits.staleMs + timeoutMs;
  if (isOld && desk.errand !== "flattening") return rest("stale-data");
  const asset = desk.assets.get(symbol);
  const needsAsset = session.sizing.isFractional || wanted < 0;
  if (needsAsset && asset === undefined) return { do: "wait", afterMs: null, ask: "asset" };
  if (asset === null || asset?.isTradable === false) return rest("not-tradable");
  if (wanted < Math.min(0, held) && asset?.isShortable === false) wanted = Math.min(0, held);
  const time = windowOf(desk, goal);
  if (time === "closed") return rest("market-closed");
  if (typeof time === "number") return { do: "wait", afterMs: time, ask: null };
  wanted = roundWanted(desk, wanted, held, asset, time.timeInForce);
  const quantity = roundUnits(wanted - held);
  if (Math.abs(quantity) < UNIT_EPSILON) return REACHED;
  const legsMax = desk.errand === "flattening" ? FLATTEN_LEGS_MAX : LEGS_MAX + goal.slices;
  if (goal.legs >= legsMax) return rest("too-many-orders");
  return orderOf(desk, instrument, goal, { quantity, held, wanted, symbol, ...time });
}

/** Fractions are for long positions of fractionable assets, in the session only; closing takes it all. */
function roundWanted(desk: Desk, wanted: number, held: number, asset: BrokerAsset | undefined,
  timeInForce: OrderRequest["timeInForce"]): number {
  const { session, permits } = desk.terms;
  const isFractional = session.sizing.isFractional && timeInForce === "day"
    && asset?.isFractionable === true && (wanted >= 0 || permits.fractionalShorts);
  const rounded = truncateUnits(wanted, isFractional);
  // Whole shares: a position that already holds the whole part is not trimmed of its fraction by rounding.
  return !isFractional && wanted !== 0 && Math.trunc(held) === rounded ? held : rounded;
}

interface Ticket {
  readonly symbol: string;
  readonly quantity: number;
  readonly held: number;
  readonly wanted: number;
  readonly timeInForce: OrderRequest["timeInForce"];
  readonly isExtendedHours: boolean;
}

function orderOf(desk: Desk, instrument: number, goal: Goal, ticket: Ticket): Leg {
  const { session, permits } = desk.terms;
  const { symbol } = ticket, isBuy = ticket.quantity > 0;
  const last = desk.price[instrument];
  if (!(last > 0)) return rest("stale-data");
  const { bid, ask } = touchOf(desk, instrument), far = isBuy ? ask : bid, near = isBuy ? bid : ask;
  const isLimit = ticket.isExtendedHours || (session.execution.style === "limit-at-touch" && !goal.isUrgent
    && ticket.timeInForce === "day");
  const touch = ticket.isExtendedHours ? far : near;
  const limitPrice = isLimit ? roundPrice(touch > 0 ? touch : last, isBuy) : null;
  const price = limitPrice ?? (far > 0 ? far : last);
  const quantity = desk.errand === "flattening"
    ? pieceOf(ticket.quantity, desk.terms.limits.orderNotionalMax / price) : ticket.quantity;
  if (!permits.dust && Math.abs(quantity) * price < NOTIONAL_MIN && Math.abs(quantity) < 1) return REACHED;
  const refusal = desk.terms.gate({ quantity, price }, viewOf(desk, instrument, limitPrice),
    desk.terms.limits);
  // Too many orders in this minute: later is soon enough.
  if (refusal?.reason === "order-rate") return { do: "wait", afterMs: RATE_WAIT_MS, ask: null };
  if (refusal !== null) return rest(refusal.reason);
  const opened = Math.abs(ticket.wanted - keptPart(ticket.wanted, ticket.held));
  const notional = opened * (isBuy ? price : Math.max(price, (ask > 0 ? ask : last) * SHORT_MARGIN));
  if (!permits.anyBuyingPower && notional > desk.buyingPower) {
    // What others of this target give back counts when they are through; then the account is asked.
    if ([...desk.open].some((order) => order.isOurs)) return WAIT;
    return goal.powerAsked === 0 ? { do: "wait", afterMs: null, ask: "account" } : rest("buying-power");
  }
  const id = orderId(session.strategyName, symbol, goal.decidedAt, goal.legs);
  return { do: "order", notional, request: {
    id, symbol, quantity, type: isLimit ? "limit" : "market", limitPrice, timeInForce: ticket.timeInForce,
    isExtendedHours: ticket.isExtendedHours,
  } };
}

/** Of more than one order may be: whole units of as much as it may. Less than one unit the gate refuses. */
function pieceOf(quantity: number, most: number): number {
  const piece = Math.abs(quantity) > most ? Math.sign(quantity) * Math.trunc(most) : 0;
  return piece === 0 ? quantity : piece;
}

/** The newest quote, while it is fresh. */
function touchOf(desk: Desk, instrument: number): { readonly bid: number; readonly ask: number } {
  const isFresh = desk.now - desk.quoteAt[instrument] <= desk.terms.limits.staleMs;
  return isFresh ? { bid: desk.bid[instrument], ask: desk.ask[instrument] } : { bid: NaN, ask: NaN };
}

/** What the risk gate is told. Orders of ours are never open here; those of others may be. */
function viewOf(desk: Desk, instrument: number,
  limitPrice: number | null): Parameters<Desk["terms"]["gate"]>[1] {
  const open = openOf(desk, instrument)
    .map((order) => ({ quantity: remaining(order), limitPrice: order.request.limitPrice ?? NaN }));
  // After the clock was set back, how old a price is cannot be said.
  const priceAt = desk.priceAt[instrument];
  return {
    lastPrice: desk.price[instrument], lastTimeMs: isAhead(desk, priceAt) ? NaN : priceAt, nowMs: desk.now,
    isHalted: desk.isHalted[instrument] === 1, tradingState: desk.trading.state,
    held: desk.books.units[instrument], limitPrice: limitPrice ?? NaN, open,
    sentLastMinute: desk.sent.length + desk.intents.length, buyingPower: desk.buyingPower,
  };
}

/** How an order may be sent now; a number: wait so long, ms; "closed": not for this decision. */
function windowOf(desk: Desk, goal: Goal): Pick<Ticket,
  "timeInForce" | "isExtendedHours"> | "closed" | number {
  const { session, permits } = desk.terms;
  const inSession = { timeInForce: "day", isExtendedHours: false } as const;
  if (permits.anyHour) return inSession;
  // Where the market is the clock, milliseconds after its close are still its close.
  const now = session.clock.kind === "market" ? Math.min(desk.now, goal.decidedAt) : desk.now;
  const window = windowAt(desk.calendar, now);
  if (window.kind === "open") return inSession;
  const isExtended = desk.terms.isExtendedHours && window.kind === "extended";
  if (isExtended) return { timeInForce: "day", isExtendedHours: true };
  if (session.timeframe !== "1d") return "closed";
  // Daily decisions are made after the close and traded at the next opening auction; fractions at the open.
  const next = window.kind === "closed" ? window : null;
  const opensAt = next?.opensAt ?? nextSession(desk.calendar, now).open;
  if (session.sizing.isFractional) return opensAt - now + 1;
  const from = opensAt - 14.5 * 3_600_000, to = opensAt - 2 * 60_000;
  if (now >= from && now <= to) return { timeInForce: "opg", isExtendedHours: false };
  return now < from ? from - now : opensAt - now + 1;
}
