/**
 * A broker as execution sees it: the wire hidden, nothing else. It never retries what is not idempotent,
 * never invents an outcome, and does not throw for what a broker may do: troubles are values.
 *
 *     submit ──> accepted | rejected(reason) | duplicate (the id is taken: adopt) | unknown (nobody knows)
 *
 * The promise "exactly once" is execution's (actors/execution.ts); the broker's is to say the truth.
 */
import type { OrderState } from "../message.ts";

export interface OrderRequest {
  /** client_order_id */
  readonly id: string;
  readonly symbol: string;
  /** Signed units. */
  readonly quantity: number;
  readonly type: "market" | "limit";
  readonly limitPrice: number | null;
  readonly timeInForce: "day" | "gtc" | "opg" | "cls" | "ioc";
  readonly isExtendedHours: boolean;
}
/** An order as the broker tells it. */
export interface BrokerOrder {
  readonly id: string;
  readonly brokerId: string;
  readonly symbol: string;
  readonly quantity: number;
  readonly filled: number;
  readonly averagePrice: number;
  readonly type: "market" | "limit";
  readonly limitPrice: number;
  readonly state: OrderState;
  /** The broker's own word, when it is none that we know: state is then "unknown". */
  readonly word: string;
  readonly submittedAt: number;
  readonly replacedBy: string | null;
  readonly replaces: string | null;
}
/** One message of the update stream. */
export interface BrokerUpdate {
  readonly at: number;
  readonly event: "new" | "fill" | "partial-fill" | "cancelled" | "expired" | "rejected" | "replaced"
    | "pending-cancel" | "cancel-rejected" | "replace-rejected" | "other";
  readonly word: string;
  readonly executionId: string | null;
  /** Signed units and price of this execution; NaN when it is none. */
  readonly quantity: number;
  readonly price: number;
  readonly order: BrokerOrder;
}
export interface BrokerAccount {
  readonly equity: number;
  readonly cash: number;
  readonly buyingPower: number;
  readonly isTradingBlocked: boolean;
  /** Everything that was there and not understood, and what was missed: for a warning, not an error. */
  readonly oddities: readonly string[];
}
/** What is open, and what could still be bought. */
export interface Standing {
  readonly orders: readonly BrokerOrder[];
  readonly buyingPower: number;
}
export interface BrokerPosition {
  readonly symbol: string;
  readonly units: number;
  readonly averagePrice: number;
}
export interface BrokerAsset {
  readonly symbol: string;
  readonly isTradable: boolean;
  readonly isShortable: boolean;
  readonly isFractionable: boolean;
}
export interface BrokerClock {
  readonly at: number;
  readonly isOpen: boolean;
  readonly nextOpen: number;
  readonly nextClose: number;
}

export type SubmitOutcome =
  | { readonly outcome: "accepted"; readonly order: BrokerOrder }
  | { readonly outcome: "rejected"; readonly code: string; readonly reason: string }
  | { readonly outcome: "duplicate" }
  | { readonly outcome: "limited"; readonly retryAfterMs: number }
  | { readonly outcome: "unknown"; readonly reason: string };
export type CancelOutcome =
  | { readonly outcome: "accepted" } | { readonly outcome: "too-late"; readonly reason: string }
  | { readonly outcome: "limited"; readonly retryAfterMs: number }
  | { readonly outcome: "unknown"; readonly reason: string };

/** Questions reject with BrokerTrouble when no answer can be had; execution asks again later. */
export class BrokerTrouble extends Error {
  override readonly name = "BrokerTrouble";
  readonly retryAfterMs: number | null;
  constructor(message: string, retryAfterMs: number | null = null, options?: { cause?: unknown }) {
    super(message, options);
    this.retryAfterMs = retryAfterMs;
  }
}

/** Calls that the account has left until `resetAt` (UTC ms), whoever made the others. */
export interface Quota { readonly remaining: number; readonly resetAt: number }

export interface BrokerListener {
  update(update: BrokerUpdate): void;
  /** The stream is proven (authenticated and listening) or not: no orders while it is not. */
  stream(isProven: boolean, reason: string): void;
}

export interface Broker extends AsyncDisposable {
  readonly name: string;
  readonly isPaper: boolean;
  /** As the broker last told it; null or absent: it does not. */
  quota?(): Quota | null;
  account(): Promise<BrokerAccount>;
  positions(): Promise<readonly BrokerPosition[]>;
  /** All open ones, and those closed since `since` (UTC ms). */
  orders(since: number): Promise<readonly BrokerOrder[]>;
  standing(): Promise<Standing>;
  /** Null: the broker has none of this id. */
  orderById(id: string): Promise<BrokerOrder | null>;
  asset(symbol: string): Promise<BrokerAsset | null>;
  clock(): Promise<BrokerClock>;
  submit(order: OrderRequest): Promise<SubmitOutcome>;
  cancel(brokerId: string): Promise<CancelOutcome>;
  /** Of all open orders at once: for the emergency stop. Resolves when each is acknowledged. */
  cancelAll(): Promise<readonly CancelOutcome[]>;
  /** Quantity and limit of an open order; the new order has a new id. */
  replace(brokerId: string,
    order: Pick<OrderRequest, "id" | "quantity" | "limitPrice">): Promise<SubmitOutcome>;
  listen(listener: BrokerListener): void;
}
