/**
 * Our books against the broker's, at the start and ever after.
 *
 *     journal ─> what we meant          broker ─> what is
 *            \                           /
 *             orders heard anew ── then units equal? ── yes: reconciled
 *                                        │ no: a manual trade explains it, or it heals within STRIKES looks,
 *                                        └──── or HALTED: the broker's holdings are taken, a person must look
 *
 * At the start the broker's holdings are simply taken (adopted), and what the journal cannot explain is said.
 */
import { MS_PER_DAY } from "../../base/units.ts";
import { alarm, keepOrder, openOf, say, sayAccount, symbolOf, touchAll, wake, type Desk } from "./desk.ts";
import type { ExecutionOutcome, JournalRecord, Truth } from "./effect.ts";
import { askAsset, askTruth } from "./ask.ts";
import { intentOf, setGoal } from "./converge.ts";
import { equityOf } from "./books.ts";
import { changeTrading, flatten, stateOf } from "./command.ts";
import { cancel, takeOrder } from "./news.ts";
import { isOpen, newOrder } from "./order.ts";
import { roundUnits } from "./quantity.ts";

/** Looks at the broker in a row that must show the same difference before it counts. */
const STRIKES = 3;
/** Two quantities are equal within this: brokers round to nine decimals, sums a little more. */
const UNITS_TOLERANCE = 1e-6;
const SOON_MS = 500;
/** Brokers split in the night, or the next one, and pay for fractions days later. */
const SPLIT_MS = 4 * MS_PER_DAY;
/** What the broker says of so many symbols is asked at once, of others when it matters. */
const ASSETS_AT_START = 100;
const RECORDS_MAX = 4_096;

/** Reads the journal: the trading state, what was meant, what came of it. */
export function recover(desk: Desk, records: readonly JournalRecord[], tornBytes: number): void {
  if (tornBytes > 0) {
    alarm(desk, "warning", "journal-torn",
      `the last write to the journal was torn (${tornBytes} bytes); it never counted`);
  }
  for (const record of records) {
    switch (record.t) {
      case "state":
        desk.trading = { state: record.state, reason: record.reason, by: record.by };
        desk.wantsFlat = record.isFlattening === true;
        break;
      case "intent": {
        const { request, decidedAt, leg, at } = record;
        const order = newOrder(request, desk.instrumentOf.get(request.symbol) ?? -1, decidedAt, leg, at);
        order.state = "unknown";
        order.reason = "a restart came before it was known to rest";
        order.isRecovered = true;
        keepOrder(desk, order);
        desk.targetAt = Math.max(desk.targetAt, decidedAt);
        break;
      }
      case "rest": {
        const order = desk.orders.get(record.id);
        if (order === undefined) break;
        order.state = record.state;
        order.filled = record.filled;
        order.averagePrice = record.averagePrice ?? NaN;
        desk.open.delete(order);
        if (order.instrument >= 0) desk.books.units[order.instrument] = record.position;
        break;
      }
      case "position": {
        const instrument = desk.instrumentOf.get(record.symbol) ?? -1;
        if (instrument >= 0) desk.books.units[instrument] = record.units;
        break;
      }
      case "decided":
        desk.targetAt = Math.max(desk.targetAt, record.at);
    }
  }
  desk.records = records.length;
  desk.stage = "reconciling";
  desk.isRepeatable = true;
  for (const record of records) if (record.t === "intent") restoreGoal(desk, record);
}

/** What the newest decision wanted is gone on with, unless its order ended against our wish. */
function restoreGoal(desk: Desk,
  { request, decidedAt, goal, price, priceAt }: JournalRecord & { t: "intent" }): void {
  const order = desk.orders.get(request.id);
  if (order === undefined || order.instrument < 0 || decidedAt !== desk.targetAt) return;
  desk.price[order.instrument] = price;
  desk.priceAt[order.instrument] = priceAt ?? decidedAt;
  const isOver = order.state === "rejected" || order.state === "expired" || order.state === "cancelled";
  if (isOver) { desk.goals[order.instrument] = null; return; }
  // JSON has no NaN: an intent of an older decision came without its goal.
  if (!Number.isFinite(goal ?? NaN)) return;
  desk.isSettled = false;
  setGoal(desk, order.instrument, decidedAt, goal);
}

/** The answer to `askTruth`. */
export function takeTruth(desk: Desk, outcome: ExecutionOutcome & { kind: "truth" }): void {
  if (outcome.ticket !== desk.reconcile.ticket) return;
  const { fillsBefore, isSoon } = desk.reconcile;
  desk.reconcile.ticket = 0;
  const { cash = NaN, equity = NaN } = outcome.truth?.account ?? {};
  const isTold = Number.isFinite(cash) || Number.isFinite(equity);
  if (outcome.truth === null || !isTold) {
    const trouble = outcome.trouble ?? "it tells neither cash nor equity";
    alarm(desk, "warning", "broker-silent", `the broker's account cannot be read: ${trouble}`);
    wake(desk, SOON_MS * 4, { what: "reconcile" });
    return;
  }
  const { truth } = outcome;
  const isStill = truth.isSteady && desk.fills === fillsBefore;
  // Holdings of another moment than the orders' are not taken for ours.
  if (desk.stage === "reconciling" && !isStill) return wake(desk, SOON_MS, { what: "reconcile" });
  for (const oddity of truth.account.oddities) {
    alarm(desk, "warning", "broker-oddity", `the broker's account: ${oddity}`, true);
  }
  const isFirst = desk.stage === "reconciling";
  let isEqual = true;
  if (isFirst) adoptAll(desk, truth); else isEqual = compare(desk, truth, isStill);
  takeAccount(desk, truth, isStill);
  lookUpTheRest(desk, truth);
  desk.lastTruthAt = desk.now;
  const hasStrikes = desk.strikes.some((count) => count > 0);
  // Asked for again meanwhile: this answer may be older than what made it necessary.
  if (isSoon) askTruth(desk);
  else wake(desk, hasStrikes || !isStill ? SOON_MS : desk.terms.reconcileMs, { what: "reconcile" });
  if (!isEqual && isStill) desk.isReconciled = false;
  if (desk.isProven && isEqual && !isSoon) desk.isReconciled = true;
  if (isFirst && desk.wantsFlat && desk.trading.state === "REDUCING") {
    flatten(desk, desk.trading.reason, desk.trading.by);
  }
  if (isFirst) for (const symbol of desk.terms.session.symbols.slice(0, ASSETS_AT_START)) askAsset(desk,
    symbol);
  compact(desk);
  sayAccount(desk);
  touchAll(desk);
}

/** The start: orders first, then the broker's holdings, whatever the journal thought. */
function adoptAll(desk: Desk, truth: Truth): void {
  for (const told of truth.orders) takeOrder(desk, told);
  const { units, averagePrice } = desk.books;
  const found = new Float64Array(units.length);
  for (const position of truth.positions) {
    const instrument = desk.instrumentOf.get(position.symbol);
    if (instrument === undefined) { sayForeign(desk, position.symbol, position.units); continue; }
    found[instrument] = position.units;
    averagePrice[instrument] = position.averagePrice;
  }
  for (let i = 0; i < units.length; i++) {
    if (Math.abs(found[i] - units[i]) <= UNITS_TOLERANCE) continue;
    alarm(desk, "warning", "external-position", `${symbolOf(desk, i)}: the broker holds ${found[i]}, `
      + `our journal says ${units[i]}: adopted as EXTERNAL`);
  }
  units.set(found);
  desk.stage = "running";
}

/** While running: what the stream lost is booked from the orders; then holdings must be equal. Are they? */
function compare(desk: Desk, truth: Truth, isStill: boolean): boolean {
  const fills = desk.fills;
  for (const told of truth.orders) takeOrder(desk, told);
  if (desk.fills > fills) {
    alarm(desk, "warning", "fill-missed", `${desk.fills - fills} fills were never heard on the update `
      + "stream; booked from the broker's orders");
  }
  const found = new Float64Array(desk.books.units.length);
  for (const position of truth.positions) {
    const instrument = desk.instrumentOf.get(position.symbol);
    if (instrument === undefined) sayForeign(desk, position.symbol, position.units);
    else found[instrument] = position.units;
  }
  let isEqual = true;
  for (let i = 0; i < found.length; i++) {
    if (Math.abs(found[i] - desk.books.units[i]) <= UNITS_TOLERANCE) { desk.strikes[i] = 0; continue; }
    // A fill came while the broker was being asked: the answer proves nothing about this moment.
    if (!isStill) { isEqual = false; continue; }
    if (desk.now - desk.splitAt[i] < SPLIT_MS) { adoptSplit(desk, i, found[i]); continue; }
    if (++desk.strikes[i] < STRIKES) { isEqual = false; continue; }
    alarm(desk, "critical", "books-mismatch", `${symbolOf(desk, i)}: the broker holds ${found[i]}, our books `
      + `say ${desk.books.units[i]}, and no order explains it; halted, the broker's number is taken`);
    desk.books.units[i] = found[i];
    desk.strikes[i] = 0;
    changeTrading(desk, "HALTED", "the books do not match the broker's", "execution");
  }
  return isEqual;
}

/** A split multiplies what is held; what is open and what was wanted are of other shares than these. */
export function takeSplit(desk: Desk, instrument: number, ratio: number): void {
  if (!(ratio > 0)) return;
  const { books, price } = desk, goal = desk.goals[instrument];
  books.units[instrument] = roundUnits(books.units[instrument] * ratio);
  books.averagePrice[instrument] /= ratio;
  price[instrument] /= ratio;
  desk.splitAt[instrument] = desk.now;
  // The broker may have split before us, or not yet: until it is asked nobody knows what is held.
  desk.isReconciled = false;
  if (goal !== null) goal.isAtRest = true;
  for (const order of openOf(desk, instrument)) if (order.isOurs) cancel(desk, order);
  desk.isAccountDue = true;
  askTruth(desk);
}

/** The broker splits in its own time, and pays cash for fractions: its number counts, before and after. */
function adoptSplit(desk: Desk, instrument: number, units: number): void {
  const ours = desk.books.units[instrument];
  alarm(desk, "info", "split-adopted", `${symbolOf(desk, instrument)}: ${ours} by our books after a split, `
    + `${units} at the broker: the broker's number is taken`);
  desk.books.units[instrument] = units;
}

function sayForeign(desk: Desk, symbol: string, units: number): void {
  alarm(desk, "info", "external-position",
    `the account holds ${units} ${symbol}, which this session does not trade`, true);
}

function takeAccount(desk: Desk, truth: Truth, isStill: boolean): void {
  const { account } = truth;
  const holdings = equityOf(desk.books, desk.price) - desk.books.cash;
  if (isStill) desk.books.cash = Number.isFinite(account.cash) ? account.cash : account.equity - holdings;
  if (Number.isFinite(account.buyingPower)) desk.buyingPower = account.buyingPower;
  if (account.isTradingBlocked !== desk.isBlocked) {
    desk.isBlocked = account.isTradingBlocked;
    if (desk.isBlocked) {
      alarm(desk, "critical", "account-blocked", "the broker has blocked trading on this account");
    }
  }
}

/** Orders that we hold for open and the broker did not list are asked for one by one. */
function lookUpTheRest(desk: Desk, truth: Truth): void {
  const listed = new Set(truth.orders.map(({ id }) => id));
  for (const order of desk.open) {
    if (listed.has(order.id) || !isOpen(order) || order.isWatched) continue;
    if (order.state === "intended" || order.state === "submitted") continue;
    order.isWatched = true;
    say(desk, { kind: "look-up", id: order.id });
  }
}

/** Makes a long journal short again: what is held, what is open, the trading state. */
function compact(desk: Desk): void {
  if (desk.records < RECORDS_MAX || desk.writes.size > 0) return;
  const { symbols } = desk.terms.session, records: JournalRecord[] = [
    stateOf(desk), { t: "decided", at: desk.targetAt },
  ];
  desk.books.units.forEach((units, i) => {
    if (units !== 0) records.push({ t: "position", symbol: symbols[i], units });
  });
  // Orders of the newest decision stay, at rest or not: their numbers must not be given again.
  for (const order of desk.orders.values()) {
    if (!order.isOurs || !(isOpen(order) || order.decidedAt >= desk.targetAt)) continue;
    const { averagePrice } = order;
    records.push(intentOf(desk, order));
    if (!isOpen(order)) {
      records.push({ t: "rest", at: desk.now, id: order.id, state: order.state, filled: order.filled,
        averagePrice: Number.isNaN(averagePrice) ? null : averagePrice,
        position: order.instrument >= 0 ? desk.books.units[order.instrument] : 0 });
    }
  }
  desk.records = records.length;
  say(desk, { kind: "compact", records });
}

/** The update stream is proven, or is not: then nothing leaves, and when it is again all is read anew. */
export function takeStream(desk: Desk, isProven: boolean, reason: string): void {
  if (isProven === desk.isProven) return;
  desk.isProven = isProven;
  desk.isReconciled = false;
  if (isProven) askTruth(desk);
  else {
    say(desk, { kind: "withdraw" });
    alarm(desk, "warning", "stream-unproven", `no orders: the broker's update stream is gone (${reason})`);
  }
}
