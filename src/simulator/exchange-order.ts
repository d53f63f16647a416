/**
 * An order at the simulated exchange, and what is said of it: Alpaca's words, quantities unsigned beside a
 * side, as on the wire.
 *
 *   pending_new ──> new ──> partially_filled ──> filled
 *       │  \         │ \──> pending_cancel ────> canceled        rejected: from pending_new only
 *       │   accepted ┘  \─> pending_replace ───> replaced        expired: from any that is open
 *       └─ waits for its session
 *
 * Numbers that are absent are NaN. Times are UTC ms.
 */
export type Side = "buy" | "sell";
export const ORDER_TYPES = ["market", "limit", "stop", "stop_limit"] as const;
export type OrderType = (typeof ORDER_TYPES)[number];
export const TIMES_IN_FORCE = ["day", "gtc", "opg", "cls", "ioc", "fok"] as const;
export type TimeInForce = (typeof TIMES_IN_FORCE)[number];

/** Every status, and whether an order in it can still trade. */
export const STATUSES = {
  pending_new: "open", accepted: "open", new: "open", partially_filled: "open", pending_cancel: "open",
  pending_replace: "open", filled: "closed", canceled: "closed", expired: "closed", rejected: "closed",
  replaced: "closed",
} as const;
export type OrderStatus = keyof typeof STATUSES;
export const isOpen = (order: { readonly status: OrderStatus }): boolean => STATUSES[order.status] === "open";

/** What a client asks for. */
export interface ExchangeRequest {
  /** Null: the exchange makes one. */
  readonly clientOrderId: string | null;
  readonly symbol: string;
  readonly side: Side;
  readonly type: OrderType;
  readonly timeInForce: TimeInForce;
  /** Shares, or NaN when `notional` is given. */
  readonly quantity: number;
  /** Money, or NaN when `quantity` is given. */
  readonly notional: number;
  readonly limitPrice: number;
  readonly stopPrice: number;
  readonly isExtendedHours: boolean;
}
/** What a replacement may change; what is absent stays. */
export type ExchangeChange = Partial<Pick<ExchangeRequest,
  "clientOrderId" | "quantity" | "limitPrice" | "stopPrice" | "timeInForce">>;

export interface ExchangeOrder extends Omit<ExchangeRequest, "clientOrderId"> {
  readonly id: string;
  readonly clientOrderId: string;
  readonly status: OrderStatus;
  readonly filled: number;
  /** Of the fills so far; NaN before the first. */
  readonly averagePrice: number;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly filledAt: number;
  readonly canceledAt: number;
  readonly expiredAt: number;
  readonly failedAt: number;
  readonly replacedAt: number;
  /** When it expires. Infinity: never. */
  readonly expiresAt: number;
  readonly replacedBy: string | null;
  readonly replaces: string | null;
}

/** The exchange's own copy, with what the world is not told. */
export type LiveOrder = { -readonly [Key in keyof ExchangeOrder]: ExchangeOrder[Key] } & {
  /** Row of the instrument. */
  readonly instrument: number;
  /** From when on it may match. */
  liveAt: number;
  /** Shares ahead of it at its price. */
  queueAhead: number;
  isTriggered: boolean;
  /** Worth of the part that opens a position: what buying power it keeps. */
  reserved: number;
  /** Status to return to when a cancel or replacement fails. */
  restingStatus: OrderStatus;
};

/** A copy for the world, which will not change. */
export function snapshot(order: LiveOrder): ExchangeOrder {
  const { instrument: _1, liveAt: _2, queueAhead: _3, isTriggered: _4, reserved: _5, restingStatus: _6,
    ...seen } = order;
  return seen;
}

export const UPDATE_WORDS = ["pending_new", "accepted", "new", "partial_fill", "fill", "pending_cancel",
  "canceled", "pending_replace", "replaced", "expired", "rejected", "order_cancel_rejected",
  "order_replace_rejected"] as const;
export type UpdateWord = (typeof UPDATE_WORDS)[number];

/** One message of the stream of order updates. */
export interface ExchangeEvent {
  /** From 1, ascending. */
  readonly sequence: number;
  readonly at: number;
  readonly event: UpdateWord;
  readonly executionId: string;
  /** Shares and price of this fill; NaN when it is none. */
  readonly quantity: number;
  readonly price: number;
  /** Signed shares held after it; NaN when it is no fill. */
  readonly positionQuantity: number;
  readonly order: ExchangeOrder;
}

/** An answer that is no: HTTP status, the vendor's code and words, and what else stands in the body. */
export interface Refusal {
  readonly status: number;
  readonly code: number;
  readonly message: string;
  readonly facts?: Readonly<Record<string, string>>;
}
export type Reply = { readonly ok: true; readonly order: ExchangeOrder }
  | { readonly ok: false; readonly refusal: Refusal };

export const refuse = (status: number, code: number, message: string,
  facts?: Readonly<Record<string, string>>): Refusal => ({ status, code, message, ...facts && { facts } });

export const signOf = (side: Side): 1 | -1 => side === "buy" ? 1 : -1;
export const isWhole = (quantity: number): boolean => Number.isInteger(quantity);
/** What is still to be had; NaN for a notional order before its first fill. */
export const leftOf = (order: { readonly quantity: number; readonly filled: number }): number =>
  order.quantity - order.filled;
