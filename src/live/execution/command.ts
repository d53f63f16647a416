/**
 * What a person or the supervisor asks: halt, reduce, resume, flatten, emergency stop, stop. Stopping takes
 * effect at once and is written then; starting again is written first.
 *
 *     ACTIVE <─> REDUCING (nothing may grow) <─> HALTED (nothing leaves but cancels; survives restarts)
 */
import type { ControlCommand, TradingState } from "../message.ts";
import { askTruth } from "./ask.ts";
import { isUnderWay, setGoal } from "./converge.ts";
import { alarm, note, say, sayAccount, sayTrading, touchAll, type Desk } from "./desk.ts";
import type { ExecutionOutcome, JournalRecord } from "./effect.ts";
import { cancel } from "./news.ts";

export function takeControl(desk: Desk, command: ControlCommand): void {
  const { by, value } = command, why = value === "" ? `${command.action} by ${by}` : value;
  switch (command.action) {
    case "halt": return changeTrading(desk, "HALTED", why, by);
    case "reduce": return changeTrading(desk, "REDUCING", why, by);
    case "resume": return resume(desk, why, by);
    case "flatten":
      // What a person halted, risk does not set going again, be it to sell.
      if (by === "risk" && desk.trading.state === "HALTED") { sayTrading(desk); return; }
      return flatten(desk, why, by);
    case "emergency-stop": return emergencyStop(desk, command);
    case "stop": return stop(desk);
    case "status": sayTrading(desk); sayAccount(desk); return;
    case "swap-model": case "advance": return;
  }
}

/** Persists a trading state and has it take effect: at once when it forbids more, when written if less. */
export function changeTrading(desk: Desk, state: TradingState, reason: string, by: string): void {
  // What waits for the disk in order to allow more is not wanted any more: the last word counts.
  const isOverruled = overrule(desk);
  if (state === desk.trading.state && !isOverruled) { sayTrading(desk); return; }
  const isStricter = STRICTNESS[state] >= STRICTNESS[desk.trading.state];
  const ticket = ++desk.ticket, trading = { state, reason, by };
  desk.writes.set(ticket, { orders: [], trading: isStricter ? null : trading });
  desk.records++;
  if (isStricter) apply(desk, trading);
  say(desk, { kind: "persist", ticket, records: [stateOf(desk, trading)] });
}
/** As the journal keeps it. */
export const stateOf = (desk: Desk, trading = desk.trading): JournalRecord => ({
  t: "state", at: desk.now, ...trading,
  ...(trading.state === "REDUCING" && desk.errand === "flattening" ? { isFlattening: true } : {}) });

function overrule(desk: Desk): boolean {
  let isOverruled = false;
  for (const [ticket, writing] of desk.writes) {
    if (writing.trading === null) continue;
    desk.writes.set(ticket, { ...writing, trading: null });
    isOverruled = true;
  }
  return isOverruled;
}
const STRICTNESS: Readonly<Record<TradingState, number>> = { ACTIVE: 0, REDUCING: 1, HALTED: 2 };

/** A written state takes effect. */
export function apply(desk: Desk, trading: Desk["trading"]): void {
  desk.trading = trading;
  sayTrading(desk);
  if (trading.state !== "ACTIVE") {
    say(desk, { kind: "withdraw" });
    for (const order of desk.open) if (order.isOurs) cancel(desk, order);
  }
  touchAll(desk);
}

function resume(desk: Desk, why: string, by: string): void {
  if (desk.errand !== "none") {
    alarm(desk, "warning", "resume-refused", "an emergency stop or flatten is under way; resume after it");
    return;
  }
  if (desk.isJournalBroken) {
    alarm(desk, "critical", "resume-refused", "the journal cannot be written: free some disk first");
    return;
  }
  changeTrading(desk, "ACTIVE", why, by);
}

/** Everything that is held goes to 0; then HALTED. A restart in between goes on with it. */
export function flatten(desk: Desk, why: string, by: string): void {
  if (desk.errand === "flattening") { sayTrading(desk); return; }
  desk.errand = "flattening";
  // By the market's clock, not by that of who asked: the next target shall be newer.
  desk.errandAt = Number.isFinite(desk.targetAt) ? desk.targetAt + 1 : desk.now;
  desk.targetAt = desk.errandAt;
  desk.isSettled = false;
  desk.targetOrders = 0;
  if (desk.trading.state !== "REDUCING") changeTrading(desk, "REDUCING", why, by);
  else note(desk, stateOf(desk));
  for (let i = 0; i < desk.goals.length; i++) {
    if (desk.books.units[i] !== 0 || desk.goals[i] !== null) setGoal(desk, i, desk.errandAt, 0);
  }
}

/** Cancels all open orders of the account, refuses new ones, flattens if asked. Pressed twice it is one. */
function emergencyStop(desk: Desk, command: ControlCommand): void {
  if (desk.errand !== "none") { sayTrading(desk); return; }
  const reason = command.value === "" ? "emergency stop" : `emergency stop: ${command.value}`;
  // One call for all: as many as there are orders would wait for each other.
  for (const order of desk.open) order.isCancelling = order.brokerId !== null;
  say(desk, { kind: "withdraw" }, { kind: "cancel-all" });
  changeTrading(desk, "HALTED", reason, command.by);
  desk.errand = "cancelling";
  desk.errandAt = command.at;
  desk.wantsFlat = command.value === "flatten";
}

export function takeAllCancelled(desk: Desk, outcome: ExecutionOutcome & { kind: "all-cancelled" }): void {
  const failed = outcome.outcomes.filter((one) => one.outcome === "unknown"
    || one.outcome === "limited").length;
  if (outcome.trouble !== null || failed > 0) {
    alarm(desk, "critical", "cancel-all",
      `not every order is known to be cancelled: ${outcome.trouble ?? `${failed} are not`}`);
    for (const order of desk.open) { order.isCancelling = false; cancel(desk, order); }
  }
  // Acknowledged is not cancelled: what became of them is asked before anybody may end us.
  if (desk.open.size > 0) askTruth(desk);
  if (desk.errand !== "cancelling") return;
  desk.errand = "none";
  if (desk.wantsFlat) {
    flatten(desk, "emergency stop: flatten", desk.trading.by);
    return;
  }
  desk.isSettled = true;
  say(desk, { kind: "settled", at: desk.errandAt, orders: outcome.outcomes.length });
}

/** Flat: what comes after a flatten is a person's to say. On a stepped market it may take several steps. */
export function endErrand(desk: Desk): void {
  if (desk.errand !== "flattening" || isUnderWay(desk)) return;
  desk.errand = "none";
  const left = desk.terms.session.symbols.filter((_, i) => desk.books.units[i] !== 0);
  if (left.length > 0) alarm(desk, "critical", "not-flat",
    `could not be closed: ${left.slice(0, 20).join(" ")}`);
  const reason = left.length > 0 ? "flatten ended, not all is closed" : "flattened";
  changeTrading(desk, "HALTED", reason, desk.trading.by);
}

/** An orderly end: refuse new ones, cancel our own. */
function stop(desk: Desk): void {
  if (desk.stage === "stopping") return;
  desk.stage = "stopping";
  say(desk, { kind: "withdraw" });
  for (const order of desk.open) if (order.isOurs) cancel(desk, order);
  touchAll(desk);
}
