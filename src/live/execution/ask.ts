/** Questions to the broker, one of a kind at a time. */
import { MS_PER_DAY, MS_PER_MINUTE } from "../../base/units.ts";
import { say, type Desk } from "./desk.ts";

/** Asks once what the broker says of a symbol. */
export function askAsset(desk: Desk, symbol: string): void {
  if (desk.assetsAsked.has(symbol)) return;
  desk.assetsAsked.add(symbol);
  say(desk, { kind: "ask-asset", symbol });
}

/** Open orders that a look at the broker asks for one by one, at most. */
const IDS_MAX = 1_000;
/** Asks for orders, positions and account; one question at a time. */
export function askTruth(desk: Desk): void {
  if (desk.reconcile.ticket !== 0) { desk.reconcile.isSoon = true; return; }
  let since = Number.isFinite(desk.lastTruthAt) ? desk.lastTruthAt : desk.now - MS_PER_DAY;
  // A fill of an order that is not in the list would be in the holdings, and be booked once more later.
  const ids: string[] = [];
  for (const order of desk.open) {
    since = Math.min(since, order.madeAt);
    if (order.isOurs && order.state !== "intended" && ids.length < IDS_MAX) ids.push(order.id);
  }
  since -= MS_PER_MINUTE;
  const ticket = ++desk.ticket;
  desk.reconcile = { ticket, fillsBefore: desk.fills, isSoon: false, since };
  say(desk, { kind: "reconcile", ticket, since, ids });
}
