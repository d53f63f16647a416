/**
 * One pass from goals to orders. Never more than one order of ours is open in an instrument: the next is
 * made from what is held once the last has come to rest, so two can never add up to too much.
 *
 *     target ─> goals ─> pursue: open order? wait or cancel : next leg ─> intents
 *                            ^                                              │ one write, one fsync
 *                            └── fill, rest, wake, truth                    v
 *                                                                   persisted ─> submit each
 */
import { formatTime, MS_PER_MINUTE } from "../../base/units.ts";
import type { Standing } from "../brokers/broker.ts";
import type { TargetCommand } from "../message.ts";
import { askAsset, askTruth } from "./ask.ts";
import type { ExecutionOutcome, JournalRecord } from "./effect.ts";
import {
  alarm, isAhead, keepOrder, mayTrade, openOf, say, sayAccount, sayOrder, symbolOf, wake,
  type Desk, type Goal,
} from "./desk.ts";
import { nextLeg } from "./leg.ts";
import { cancel, end, submit, WITHDRAWN } from "./news.ts";
import { newOrder, remaining, type Order } from "./order.ts";
import { roundUnits, UNIT_EPSILON } from "./quantity.ts";

/** Refusals that a person need not hear about each time. */
const QUIET = new Set(["market-closed", "halted"]);

/** A target is taken when it is newer than all before; the same one again changes nothing. */
export function takeTarget(desk: Desk, target: TargetCommand): void {
  if (!(target.at > desk.targetAt || desk.isRepeatable && target.at === desk.targetAt)) return;
  if (isAhead(desk, target.at)) {
    return alarm(desk, "warning", "target-ahead", `a target of ${formatTime(target.at)} was left out: `
      + "this machine's clock is far from there", true);
  }
  desk.isRepeatable = false;
  desk.targetAt = target.at;
  desk.isSettled = false;
  desk.targetOrders = 0;
  if (desk.stage === "stopping") return;
  desk.rest = { ...desk.rest, isDoubted: false };
  const { style, slices: wantedSlices } = desk.terms.session.execution;
  const slices = style === "twap" ? wantedSlices : 1;
  for (let k = 0; k < target.instrument.length; k++) {
    const i = target.instrument[k], units = target.units[k], price = target.price[k];
    if (i < 0 || i >= desk.goals.length) continue;
    if (price > 0 && !(desk.priceAt[i] >= target.at)) { desk.price[i] = price; desk.priceAt[i] = target.at; }
    if (desk.errand !== "none") continue;
    const isFinite = Number.isFinite(units);
    if (!isFinite) alarm(desk, "warning", "target-not-finite", `${symbolOf(desk, i)}: no number of units`);
    setGoal(desk, i, target.at, isFinite ? units : desk.books.units[i], slices);
  }
}

export function setGoal(desk: Desk, instrument: number, decidedAt: number, units: number,
  slices = 1): void {
  let legs = 0;
  // The orders of this decision that are known already, from before a restart, keep their numbers.
  if (decidedAt <= desk.orderedAt) for (const order of desk.orders.values()) {
    if (order.instrument === instrument && order.decidedAt === decidedAt) legs = Math.max(legs,
      order.leg + 1);
  }
  const slice = 1;
  desk.goals[instrument] = { decidedAt, units, from: NaN, slice, slices,
    isUrgent: false, legs, isAtRest: false, powerAsked: 0 };
  desk.dirty.add(instrument);
  if (slices > 1) wakeSlice(desk, instrument, desk.goals[instrument]);
}

function wakeSlice(desk: Desk, instrument: number, goal: Goal): void {
  const { timeoutMs, slices } = desk.terms.session.execution;
  wake(desk, timeoutMs / slices, { what: "slice", instrument, decidedAt: goal.decidedAt });
}

export function nextSlice(desk: Desk, instrument: number, decidedAt: number): void {
  const goal = desk.goals[instrument];
  if (goal === null || goal.decidedAt !== decidedAt || goal.slice >= goal.slices) return;
  goal.slice++;
  if (goal.slice < goal.slices) wakeSlice(desk, instrument, goal);
  desk.dirty.add(instrument);
}

/** Looks at every instrument that something happened to; at the end of every message. */
export function converge(desk: Desk): void {
  while (desk.sent.length > 0 && desk.sent[0] <= desk.now - MS_PER_MINUTE) desk.sent.shift();
  // Also those that were open before a restart, or that the broker got only now.
  if (desk.trading.state === "HALTED" || desk.stage === "stopping") {
    for (const order of desk.open) if (order.isOurs) cancel(desk, order);
  }
  for (const instrument of desk.dirty) pursue(desk, instrument);
  desk.dirty.clear();
  writeIntents(desk);
  settle(desk);
  if (desk.isAccountDue) sayAccount(desk);
}

function pursue(desk: Desk, instrument: number): void {
  const goal = desk.goals[instrument];
  if (goal === null || goal.isAtRest) return;
  if (desk.trading.state === "HALTED" || desk.stage === "stopping") {
    goal.isAtRest = !isBeingFreed(desk);
    return;
  }
  if (!mayTrade(desk)) return;
  const ours = openOf(desk, instrument).filter((order) => order.isOurs);
  if (ours.length > 0) {
    for (const order of ours) if (!fits(desk, order, goal)) cancel(desk, order);
    return;
  }
  if (Number.isNaN(goal.from)) goal.from = desk.books.units[instrument];
  const leg = nextLeg(desk, instrument, goal);
  if (leg.do === "order") return intend(desk, instrument, goal, leg.request, leg.notional);
  if (leg.do === "wait") {
    if (leg.ask === "asset") askAsset(desk, symbolOf(desk, instrument));
    if (leg.ask === "account") { goal.powerAsked++; askTruth(desk); }
    if (leg.afterMs === null) desk.waiting.add(instrument);
    else wake(desk, leg.afterMs, { what: "pursue", instrument, decidedAt: goal.decidedAt });
    return;
  }
  // A TWAP goal rests when its last slice is through.
  if (leg.why === null && goal.slice < goal.slices) return;
  goal.isAtRest = true;
  if (leg.why !== null && !QUIET.has(leg.why)) {
    const held = desk.books.units[instrument];
    alarm(desk, "warning", `order-refused-${leg.why}`,
      `${symbolOf(desk, instrument)}: stays at ${held}, wanted ${goal.units}: ${leg.why}`);
  }
}

/** A flatten of what was HALTED waits until REDUCING is on the disk. */
function isBeingFreed(desk: Desk): boolean {
  if (desk.errand !== "flattening" || desk.stage === "stopping") return false;
  for (const { trading } of desk.writes.values()) if (trading?.state === "REDUCING") return true;
  return false;
}

/** Whether an open order leads to the goal: then it may go on. */
function fits(desk: Desk, order: Order, goal: Goal): boolean {
  if (order.decidedAt === goal.decidedAt) return !(goal.isUrgent && order.request.type === "limit");
  return Math.abs(desk.books.units[order.instrument] + remaining(order) - goal.units) < UNIT_EPSILON;
}

function intend(desk: Desk, instrument: number, goal: Goal, request: Order["request"],
  notional: number): void {
  const order = newOrder(request, instrument, goal.decidedAt, goal.legs++, desk.now);
  desk.buyingPower -= notional;
  if (goal.decidedAt === desk.targetAt) desk.targetOrders++;
  keepOrder(desk, order);
  desk.intents.push(order);
  sayOrder(desk, order);
}

/** All intents of one pass are one write; what reduces leaves first. */
function writeIntents(desk: Desk): void {
  if (desk.intents.length === 0) return;
  const grows = (order: Order): number => {
    const held = desk.books.units[order.instrument];
    return Math.abs(roundUnits(held + order.quantity)) > Math.abs(held) ? 1 : 0;
  };
  const orders = desk.intents.sort((a, b) => grows(a) - grows(b));
  desk.intents = [];
  const ticket = ++desk.ticket;
  desk.writes.set(ticket, { orders: orders.map(({ id }) => id), trading: null });
  desk.records += orders.length;
  say(desk, { kind: "persist", ticket, records: orders.map((order) => intentOf(desk, order)) });
}

/** As the journal keeps it. */
export function intentOf(desk: Desk, order: Order): JournalRecord {
  const { decidedAt, leg, request, instrument, madeAt } = order, goal = desk.goals[instrument];
  return { t: "intent", at: madeAt, decidedAt, leg, request, price: desk.price[instrument],
    priceAt: desk.priceAt[instrument],
    goal: goal?.decidedAt === decidedAt ? goal.units : NaN };
}

/**
 * An order that a process before us wrote down and that the broker does not know: it never left. While its
 * decision still wants just this order it leaves now, under the same id, so that even a late twin is refused.
 */
export function sendRecovered(desk: Desk, order: Order): boolean {
  const goal = desk.goals[order.instrument] ?? null;
  if (!order.isRecovered || goal === null || goal.decidedAt !== order.decidedAt
    || goal.isAtRest) return false;
  if (!mayTrade(desk)) return false;
  desk.open.delete(order);
  const leg = nextLeg(desk, order.instrument, goal);
  const { quantity, type, limitPrice } = order.request;
  const isSame = leg.do === "order" && leg.request.quantity === quantity && leg.request.type === type
    && leg.request.limitPrice === limitPrice;
  if (!isSame) return false;
  desk.open.add(order);
  order.isRecovered = false;
  order.lookUps = 0;
  leave(desk, [order.id], null);
  return true;
}

/** The journal has them, or cannot: only then do they leave, or never. */
export function leave(desk: Desk, ids: readonly string[], trouble: string | null): void {
  const { style, timeoutMs } = desk.terms.session.execution;
  for (const id of ids) {
    const order = desk.orders.get(id);
    if (order === undefined) continue;
    if (trouble !== null) { end(desk, order, WITHDRAWN); continue; }
    submit(desk, order);
    const hasTimeOut = style === "limit-at-touch" && order.request.type === "limit";
    if (hasTimeOut) wake(desk, timeoutMs, { what: "time-out", id });
  }
}

/** A limit order has had its time: its rest goes to the market, or is left. */
export function timeOut(desk: Desk, id: string): void {
  const order = desk.orders.get(id);
  if (order === undefined || !desk.open.has(order)) return;
  const goal = desk.goals[order.instrument];
  if (goal === null || goal.decidedAt !== order.decidedAt) return;
  if (desk.terms.thenMarket) goal.isUrgent = true; else goal.isAtRest = true;
  cancel(desk, order);
}

/**
 * Says once that everything of the newest target has come to rest.
 *
 * A stepped market stands still until then: an order that it has not filled by now rests until the next
 * step. That nothing is on its way any more the broker knows; asked once every answer is here, it tells of
 * each open order what our books say, or not all was heard. It tells what can be bought, too: by the next
 * reconcile, which no market's clock knows, thousands of steps may have passed.
 */
function settle(desk: Desk): void {
  if (desk.isSettled || desk.errand === "cancelling") return;
  const { isStepped } = desk.terms.session.clock;
  // Targets made meanwhile would be empty: how many, the machine's speed would tell.
  if (isStepped && isBlind(desk)) return;
  const isAsked = isStepped && desk.errand === "none" && mayTrade(desk)
    && (desk.targetOrders > 0 || desk.news !== desk.rest.settledNews);
  if (!isUnderWay(desk) && !isAsked) saySettled(desk); else if (isStepped) askRest(desk);
}

/** Whether something of the newest target is still to be done, be it that it rests until the next step. */
export const isUnderWay = (desk: Desk): boolean =>
  desk.goals.some((goal) => goal !== null && !goal.isAtRest) || [...desk.open].some(isOwn);

/** The account is being looked at, or the stream opened: trading goes on when that is through. */
const isBlind = (desk: Desk): boolean => desk.stage === "running" && desk.trading.state !== "HALTED"
  && !(desk.isProven && desk.isReconciled);

const isOwn = (order: Order): boolean => order.isOurs && order.instrument >= 0;

function askRest(desk: Desk): void {
  const { rest, news } = desk;
  if (rest.ticket !== 0 || rest.isDoubted && rest.news === news || !mayRest(desk)) return;
  const ticket = ++desk.ticket;
  desk.rest = { ...rest, ticket, news, isDoubted: false };
  say(desk, { kind: "ask-standing", ticket });
}

/** Whether nothing but fills can be on its way to us. */
function mayRest(desk: Desk): boolean {
  return mayTrade(desk) && desk.assetsAsked.size === 0
    && desk.reconcile.ticket === 0
    && [...desk.open].every((order) => !isOwn(order) || (order.brokerId !== null && !order.isCancelling));
}

/** The broker's open orders: all rests when it tells of each what we know. */
export function takeStanding(desk: Desk, outcome: ExecutionOutcome & { kind: "standing" }): void {
  const { standing } = outcome, { rest, news } = desk;
  desk.rest = { ...rest, ticket: 0, news };
  if (desk.isSettled || !mayRest(desk)) return;
  const late = standing === null ? [] : lateOf(desk, standing);
  if (standing !== null && late.length === 0) {
    if (Number.isFinite(standing.buyingPower)) desk.buyingPower = standing.buyingPower;
    return saySettled(desk);
  }
  // It was older than what we know: asked again at once. Else the stream is behind, and will tell.
  if (standing !== null && rest.news !== news) return;
  desk.rest.isDoubted = true;
  wake(desk, desk.terms.watchMs, { what: "rest", at: desk.targetAt, news, late });
}

/** Ids of open orders of which the broker tells other than we know. */
function lateOf(desk: Desk, standing: Standing): string[] {
  const told = new Map(standing.orders.map(({ brokerId, filled }) => [brokerId, filled]));
  return [...desk.open].filter(({ brokerId, filled, isCancelling }) => brokerId !== null && !isCancelling
    && !(Math.abs(filled - (told.get(brokerId) ?? NaN)) <= UNIT_EPSILON)).map(({ id }) => id);
}

/** The stream has not told: what it kept from us is looked up. */
export function doubtRest(desk: Desk, at: number, news: number, late: readonly string[]): void {
  if (desk.isSettled || desk.targetAt !== at || desk.news !== news) return;
  desk.rest.isDoubted = false;
  for (const id of late) say(desk, { kind: "look-up", id });
}

function saySettled(desk: Desk): void {
  desk.isSettled = true;
  desk.rest.settledNews = desk.news;
  sayAccount(desk);
  say(desk, { kind: "settled", at: desk.targetAt, orders: desk.targetOrders });
}
