/**
 * What the exchange knows, in the words of Alpaca's trading API: snake case, money and quantities as strings.
 */
import { random } from "../base/random.ts";
import { formatDay } from "../base/units.ts";
import type { Session } from "../market/calendar.ts";
import type { Asset, ExchangeAccountState, ExchangeEvent, ExchangeOrder,
  ExchangePosition } from "./exchange.ts";

const PLACES = 9;

/** A number as the vendor writes it; absent: null. */
export function money(value: number): string | null {
  if (Number.isNaN(value)) return null;
  const text = String(value);
  return /e/.test(text) ? value.toFixed(PLACES) : text;
}
/** RFC 3339; NaN or Infinity: null. */
export const stampOf = (time: number): string | null =>
  Number.isFinite(time) ? new Date(time).toISOString() : null;

/** The same symbol has the same asset id, always. */
export function assetId(symbol: string): string {
  const draw = random(0, "asset", symbol);
  const hex = Array.from({ length: 4 }, () => draw.word().toString(16).padStart(8, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20)]
    .join("-");
}

export function orderJson(order: ExchangeOrder): Record<string, unknown> {
  return {
    id: order.id, client_order_id: order.clientOrderId,
    created_at: stampOf(order.createdAt), updated_at: stampOf(order.updatedAt),
    submitted_at: stampOf(order.createdAt), filled_at: stampOf(order.filledAt),
    expired_at: stampOf(order.expiredAt), expires_at: stampOf(order.expiresAt),
    canceled_at: stampOf(order.canceledAt), failed_at: stampOf(order.failedAt),
    replaced_at: stampOf(order.replacedAt), replaced_by: order.replacedBy, replaces: order.replaces,
    asset_id: assetId(order.symbol), symbol: order.symbol, asset_class: "us_equity",
    notional: money(order.notional), qty: money(order.quantity), filled_qty: String(money(order.filled)),
    filled_avg_price: money(order.averagePrice), order_class: "", order_type: order.type, type: order.type,
    side: order.side, position_intent: order.side === "buy" ? "buy_to_open" : "sell_to_close",
    time_in_force: order.timeInForce, limit_price: money(order.limitPrice),
    stop_price: money(order.stopPrice), status: order.status, extended_hours: order.isExtendedHours,
    legs: null, trail_percent: null, trail_price: null, hwm: null, subtag: null, source: null,
  };
}

export function updateJson(event: ExchangeEvent): Record<string, unknown> {
  const fill = Number.isNaN(event.quantity) ? {}
    : { price: money(event.price), qty: money(event.quantity), position_qty: money(event.positionQuantity) };
  return { event: event.event, execution_id: event.executionId, timestamp: stampOf(event.at), ...fill,
    order: orderJson(event.order) };
}

export function accountJson(account: ExchangeAccountState, leverage: number): Record<string, unknown> {
  const text = (value: number): string => money(Number.isFinite(value) ? value : 1e12) ?? "0";
  const equity = text(account.equity), gross = account.longValue - account.shortValue;
  return {
    id: "5f3b7a4e-0000-4000-8000-000000000001", account_number: "SIM000001", status: "ACTIVE",
    crypto_status: "INACTIVE", currency: "USD", cash: text(account.cash), portfolio_value: equity, equity,
    last_equity: equity,
    long_market_value: text(account.longValue), short_market_value: text(account.shortValue),
    buying_power: text(account.buyingPower), regt_buying_power: text(account.buyingPower),
    non_marginable_buying_power: text(Math.max(0, Math.min(account.cash, account.buyingPower))),
    multiplier: String(Number.isFinite(leverage) ? leverage : 4), initial_margin: text(gross / 2),
    maintenance_margin: text(account.isMarginCalled
      ? Math.max(gross, account.equity * 1.1) : account.maintenanceMargin),
    last_maintenance_margin: "0", sma: "0", accrued_fees: "0", shorting_enabled: true,
    trading_blocked: account.isTradingBlocked, transfers_blocked: false, account_blocked: false,
    trade_suspended_by_user: false, created_at: "2020-01-01T00:00:00Z", balance_asof: "2020-01-01",
  };
}

export function positionJson(position: ExchangePosition): Record<string, unknown> {
  const { symbol, quantity, averagePrice, mark } = position;
  const value = quantity * mark, cost = quantity * averagePrice, gain = value - cost;
  const rate = money(cost === 0 ? 0 : gain / Math.abs(cost));
  return {
    asset_id: assetId(symbol), symbol, exchange: "NASDAQ", asset_class: "us_equity", asset_marginable: true,
    qty: money(quantity), qty_available: money(Math.sign(quantity) * position.available),
    avg_entry_price: money(averagePrice), side: quantity > 0 ? "long" : "short", market_value: money(value),
    cost_basis: money(cost), unrealized_pl: money(gain), unrealized_plpc: rate,
    unrealized_intraday_pl: money(gain), unrealized_intraday_plpc: rate, current_price: money(mark),
    lastday_price: money(mark), change_today: "0",
  };
}

export function assetJson(asset: Asset, isDelisted: boolean): Record<string, unknown> {
  return {
    id: assetId(asset.symbol), class: "us_equity", exchange: "NASDAQ", symbol: asset.symbol,
    name: asset.symbol, status: isDelisted ? "inactive" : "active", tradable: !isDelisted, marginable: true,
    maintenance_margin_requirement: 30, margin_requirement_long: "30", margin_requirement_short: "30",
    shortable: asset.isShortable, easy_to_borrow: asset.isShortable, fractionable: asset.isFractionable,
    attributes: [],
  };
}

const NEW_YORK = new Intl.DateTimeFormat("en-GB",
  { timeZone: "America/New_York", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

export function calendarJson({ day, open, close }: Session): Record<string, unknown> {
  return { date: formatDay(day), open: NEW_YORK.format(open), close: NEW_YORK.format(close),
    session_open: "0400", session_close: "2000", settlement_date: formatDay(day + 1) };
}
