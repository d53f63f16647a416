/**
 * Why an order is refused at the door, in the vendor's codes and words: a table of questions, asked in order.
 * Pure.
 */
import { isMarket, type MarketState } from "./exchange-match.ts";
import { isWhole, leftOf, refuse, signOf, type ExchangeRequest, type LiveOrder, type Refusal,
} from "./exchange-order.ts";
import type { Hours } from "./exchange-hours.ts";
import type { Terms } from "./exchange-terms.ts";

export interface Asset {
  readonly symbol: string;
  readonly isFractionable: boolean;
  readonly isShortable: boolean;
}
/** All that a decision at the door may look at. */
export interface Door {
  readonly request: ExchangeRequest;
  readonly now: number;
  readonly terms: Terms;
  readonly hours: Hours;
  readonly asset: Asset;
  readonly market: MarketState;
  /** Signed shares held. */
  readonly held: number;
  /** Open orders of this symbol, but not the one that is being replaced. */
  readonly open: readonly LiveOrder[];
  readonly buyingPower: number;
  readonly isTradingBlocked: boolean;
}

const INVALID = 40010001, FORBIDDEN = 40310000, UNPROCESSABLE = 42210000;
/** Above the ask, at which short sales are valued. */
const SHORT_MARGIN = 1.03;

/** The first reason against it, or null. */
export function refusalOf(door: Door): Refusal | null {
  for (const question of QUESTIONS) {
    const refusal = question(door);
    if (refusal !== null) return refusal;
  }
  return null;
}

/** Money that an order keeps while it is open: the worth of the part that opens a position. */
export function reserveOf(door: Pick<Door, "request" | "market" | "held" | "open">): number {
  const { request, market } = door, sign = signOf(request.side);
  const known = market.ask > 0 ? market.ask : market.last > 0 ? market.last : 0;
  const asked = [request.limitPrice, request.stopPrice].find((price) => price > 0) ?? known;
  const price = sign > 0 ? asked : Math.max(asked, known * SHORT_MARGIN);
  const quantity = request.notional > 0 ? request.notional / (price || 1) : request.quantity;
  const closing = sign * door.held < 0 ? Math.max(0, Math.abs(door.held) - promised(door.open, sign)) : 0;
  return Math.max(0, quantity - closing) * price;
}

/** Shares that open orders of this side have still to trade. */
export function promised(open: readonly LiveOrder[], sign: 1 | -1): number {
  return open.reduce((sum, order) => signOf(order.side) === sign ? sum + (leftOf(order) || 0) : sum, 0);
}

const decimalsOf = (value: number): number => {
  const [digits, exponent] = String(value).split("e");
  return Math.max(0, (digits.split(".")[1] ?? "").length - Number(exponent ?? 0));
};
const isFractional = ({ quantity, notional }: ExchangeRequest): boolean => notional > 0 || !isWhole(quantity);

const QUESTIONS: readonly ((door: Door) => Refusal | null)[] = [
  ({ isTradingBlocked }) => isTradingBlocked
    ? refuse(403, FORBIDDEN, "account is restricted to liquidation only") : null,
  ({ market, asset }) => market.isDelisted
    ? refuse(422, UNPROCESSABLE, `asset "${asset.symbol}" is not active`) : null,
  quantityRefusal, priceRefusal, hoursRefusal, fractionRefusal, washRefusal, availabilityRefusal,
    moneyRefusal,
];

function quantityRefusal({ request, terms }: Door): Refusal | null {
  const { quantity, notional } = request;
  if (quantity > 0 === notional > 0) {
    return refuse(422, INVALID, "qty or notional is required, and only one of them");
  }
  if (quantity > 0 && decimalsOf(quantity) > terms.quantityDecimals) {
    return refuse(422, INVALID, `qty must be limited to ${terms.quantityDecimals} decimal places`);
  }
  return null;
}

function priceRefusal({ request, terms }: Door): Refusal | null {
  const { type, limitPrice, stopPrice } = request;
  const needsLimit = type === "limit" || type === "stop_limit";
  const needsStop = type === "stop" || type === "stop_limit";
  if (needsLimit && !(limitPrice > 0)) return refuse(422, INVALID, `${type} orders require a limit price`);
  if (needsStop && !(stopPrice > 0)) return refuse(422, INVALID, `${type} orders require a stop price`);
  if (!needsLimit && !Number.isNaN(limitPrice)) {
    return refuse(422, INVALID, `${type} orders must not have a limit price`);
  }
  for (const [name, price] of [["limit_price", limitPrice], ["stop_price", stopPrice]] as const) {
    if (terms.isTickChecked && decimalsOf(price) > (price >= 1 ? 2 : 4)) {
      return refuse(422, UNPROCESSABLE,
        `invalid ${name} ${price}. sub-penny increment does not fulfill minimum pricing criteria`);
    }
  }
  return null;
}

function hoursRefusal({ request, hours, now }: Door): Refusal | null {
  const { type, timeInForce, isExtendedHours } = request;
  if (isExtendedHours && !(type === "limit" && (timeInForce === "day" || timeInForce === "gtc"))) {
    return refuse(422, UNPROCESSABLE, "extended hours order must be DAY or GTC limit orders");
  }
  if ((timeInForce === "opg" || timeInForce === "cls") && (type === "stop" || type === "stop_limit")) {
    return refuse(422, UNPROCESSABLE, `${timeInForce} orders must be market or limit orders`);
  }
  if ((timeInForce === "opg" || timeInForce === "cls") && !hours.takesAuction(now, timeInForce)) {
    const [name, from] = timeInForce === "opg" ? ["open", "9:28AM"] : ["close", "3:50PM"];
    return refuse(403, FORBIDDEN, `market on ${name} orders cannot be submitted between ${from} and 7:00PM`);
  }
  if ((timeInForce === "ioc" || timeInForce === "fok") && hours.phase(now) !== "open") {
    return refuse(422, UNPROCESSABLE, `${timeInForce} orders are only accepted while the market is open`);
  }
  return null;
}

function fractionRefusal({ request, asset, terms, held }: Door): Refusal | null {
  if (!isFractional(request) || terms.isFlipAllowed) return null;
  if (request.timeInForce !== "day") {
    return refuse(422, UNPROCESSABLE, "fractional orders must be DAY orders");
  }
  if (!asset.isFractionable) return refuse(403, FORBIDDEN, `asset "${asset.symbol}" is not fractionable`);
  if (request.side === "sell" && held <= 0) {
    return refuse(403, FORBIDDEN, "fractional orders cannot be sold short");
  }
  return null;
}

/** An own order on the other side that this one could trade with. */
function washRefusal({ request, terms, open }: Door): Refusal | null {
  if (!terms.isWashRefused) return null;
  const sign = signOf(request.side), isLimit = request.type === "limit";
  const against = open.find((order) => signOf(order.side) !== sign
    && (isMarket(order) || !isLimit || sign * (request.limitPrice - order.limitPrice) >= 0));
  if (against === undefined) return null;
  return refuse(403, FORBIDDEN, "potential wash trade detected. use complex orders", {
    existing_order_id: against.id,
    reject_reason: `opposite side ${isMarket(against) ? "market/stop" : "limit"} order exists`,
  });
}

/** A closing order may close what is held and not promised away, and no more. */
function availabilityRefusal({ request, terms, asset, held, open }: Door): Refusal | null {
  if (terms.isFlipAllowed) return null;
  const sign = signOf(request.side);
  if (sign * held >= 0) {
    return sign < 0 && !asset.isShortable
      ? refuse(403, FORBIDDEN, `asset "${asset.symbol}" cannot be sold short`) : null;
  }
  const reserved = promised(open, sign), available = Math.abs(held) - reserved;
  if (!(request.quantity > available)) return null;
  return refuse(403, FORBIDDEN,
    `insufficient qty available for order (requested: ${request.quantity}, available: ${available})`,
    { symbol: asset.symbol, existing_qty: String(Math.abs(held)), held_for_orders: String(reserved),
      available: String(available) });
}

function moneyRefusal(door: Door): Refusal | null {
  const cost = reserveOf(door);
  if (cost <= door.buyingPower || cost === 0) return null;
  return refuse(403, FORBIDDEN, "insufficient buying power",
    { buying_power: String(door.buyingPower), cost_basis: String(cost) });
}
