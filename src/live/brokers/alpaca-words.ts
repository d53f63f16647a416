/**
 * Alpaca's words and numbers as ours, tolerantly: money and quantities come as decimal strings, fields come
 * and go, enums grow. What is missing is NaN or null; what is not understood is named, never thrown.
 */
import type { OrderState } from "../message.ts";
import type { BrokerAccount, BrokerAsset, BrokerClock, BrokerOrder, BrokerPosition, BrokerUpdate }
  from "./broker.ts";

export type Fields = Readonly<Record<string, unknown>>;

export const fieldsOf = (value: unknown): Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? value as Fields : {};

/** A decimal string or number; NaN for anything else. */
export function numberOf(value: unknown): number {
  if (typeof value === "number") return value;
  if (typeof value === "bigint") return Number(value);
  return typeof value === "string" && value.trim() !== "" ? Number(value) : NaN;
}
const textOf = (value: unknown): string => typeof value === "string" ? value : "";
const timeOf = (value: unknown): number => Date.parse(textOf(value));

const STATES: Readonly<Record<string, OrderState>> = {
  new: "accepted", accepted: "accepted", pending_new: "accepted", accepted_for_bidding: "accepted",
  held: "accepted", stopped: "accepted", suspended: "accepted", calculated: "accepted",
  done_for_day: "accepted",
  pending_replace: "accepted", partially_filled: "partially-filled", filled: "filled",
  pending_cancel: "pending-cancel", canceled: "cancelled", expired: "expired", replaced: "replaced",
  rejected: "rejected",
};

/** Null when there is nothing by which an order could be known. */
export function orderOf(value: unknown): BrokerOrder | null {
  const told = fieldsOf(value), brokerId = textOf(told.id), id = textOf(told.client_order_id);
  if (brokerId === "" && id === "") return null;
  const word = textOf(told.status), side = textOf(told.side).startsWith("sell") ? -1 : 1;
  const filled = numberOf(told.filled_qty);
  // An order by money has no quantity: what is filled of it, or the least there is.
  const quantity = numberOf(told.qty);
  return {
    id: id === "" ? brokerId : id, brokerId, symbol: textOf(told.symbol),
    quantity: side * (quantity > 0 ? quantity : filled > 0 ? filled : 1e-9),
    filled: filled > 0 ? side * filled : 0, averagePrice: numberOf(told.filled_avg_price),
    type: textOf(told.type ?? told.order_type) === "limit" ? "limit" : "market",
    limitPrice: numberOf(told.limit_price),
    state: Object.hasOwn(STATES, word) ? STATES[word] : "unknown", word,
    submittedAt: timeOf(told.submitted_at ?? told.created_at),
    replacedBy: textOf(told.replaced_by) || null, replaces: textOf(told.replaces) || null,
  };
}

const EVENTS: Readonly<Record<string, BrokerUpdate["event"]>> = {
  new: "new", accepted: "new", pending_new: "new", held: "new", fill: "fill", partial_fill: "partial-fill",
  canceled: "cancelled", expired: "expired", done_for_day: "new", rejected: "rejected", replaced: "replaced",
  pending_cancel: "pending-cancel", pending_replace: "new", order_cancel_rejected: "cancel-rejected",
  order_replace_rejected: "replace-rejected", calculated: "new", stopped: "new", suspended: "new",
};

/** One message of `trade_updates`; null when it names no order. */
export function updateOf(value: unknown, now: number): BrokerUpdate | null {
  const told = fieldsOf(value), order = orderOf(told.order), word = textOf(told.event);
  if (order === null) return null;
  const event = Object.hasOwn(EVENTS, word) ? EVENTS[word] : "other";
  const isFill = event === "fill" || event === "partial-fill";
  const at = timeOf(told.timestamp);
  return {
    at: Number.isFinite(at) ? at : now, event, word,
    executionId: isFill && textOf(told.execution_id) !== "" ? textOf(told.execution_id) : null,
    quantity: isFill ? Math.sign(order.quantity) * numberOf(told.qty) : NaN,
    price: isFill ? numberOf(told.price) : NaN, order,
  };
}

const NEEDED = ["cash", "buying_power", "equity", "status"] as const;
/** Fields of an account in the summer of 2026, and those that were removed that July. */
const KNOWN = new Set(["id", "account_number", "status", "crypto_status", "currency", "cash", "buying_power",
  "regt_buying_power", "non_marginable_buying_power", "options_buying_power", "options_approved_level",
  "options_trading_level", "accrued_fees", "portfolio_value", "equity", "last_equity", "long_market_value",
  "short_market_value", "position_market_value", "initial_margin", "maintenance_margin",
  "last_maintenance_margin",
  "sma", "multiplier", "balance_asof", "created_at", "account_blocked", "trading_blocked",
  "transfers_blocked",
  "trade_suspended_by_user", "shorting_enabled", "pending_transfer_in", "pending_transfer_out",
  "pending_reg_taf_fees", "intraday_adjustments", "bod_dtbp", "effective_buying_power",
  "admin_configurations",
  "user_configurations", "crypto_tier", "pattern_day_trader", "daytrade_count", "daytrading_buying_power",
  "pdt_check", "dtbp_check"]);

export function accountOf(value: unknown): BrokerAccount {
  const told = fieldsOf(value), oddities: string[] = [];
  for (const name of NEEDED) {
    if (told[name] === undefined || told[name] === null) oddities.push(`"${name}" is missing`);
  }
  for (const name of Object.keys(told)) if (!KNOWN.has(name)) oddities.push(`"${name}" is new`);
  const status = textOf(told.status);
  if (status !== "" && status !== "ACTIVE") oddities.push(`its status is ${status}`);
  // Prices are dollars: units worked out from another currency's cash would be wrong by the rate.
  const currency = textOf(told.currency) || "USD", isForeign = currency !== "USD";
  if (isForeign) oddities.push(`it is kept in ${currency}: only dollars can be traded with`);
  const isTrue = (name: string): boolean => told[name] === true;
  return {
    equity: numberOf(told.equity ?? told.portfolio_value), cash: numberOf(told.cash),
    buyingPower: numberOf(told.buying_power),
    isTradingBlocked: isTrue("trading_blocked") || isTrue("account_blocked")
      || isTrue("trade_suspended_by_user") || isForeign,
    oddities,
  };
}

export function positionOf(value: unknown): BrokerPosition {
  const told = fieldsOf(value), quantity = Math.abs(numberOf(told.qty));
  return {
    symbol: textOf(told.symbol), averagePrice: numberOf(told.avg_entry_price),
    units: textOf(told.side) === "short" || numberOf(told.qty) < 0 ? -quantity : quantity,
  };
}

export function assetOf(value: unknown): BrokerAsset {
  const told = fieldsOf(value);
  return {
    symbol: textOf(told.symbol), isTradable: told.tradable === true && (told.status ?? "active") === "active",
    isShortable: told.shortable === true && told.easy_to_borrow !== false,
    isFractionable: told.fractionable === true,
  };
}

export function clockOf(value: unknown, now: number): BrokerClock {
  const told = fieldsOf(value), at = timeOf(told.timestamp);
  return {
    at: Number.isFinite(at) ? at : now, isOpen: told.is_open === true,
    nextOpen: timeOf(told.next_open), nextClose: timeOf(told.next_close),
  };
}

/** As it goes on the wire: no exponent, nine decimals at most. */
export const decimalOf = (value: number): string => value.toFixed(9).replace(/\.?0+$/, "");
