/**
 * What execution asks of its rim, and what it hears back. Every effect but `note` and `withdraw` is
 * answered by exactly one outcome of the same id or ticket, however long that takes.
 *
 *     persist ─> persisted            submit ─> submitted        look-up ─> looked-up
 *     compact ─> (nothing)            cancel ─> cancelled        reconcile ─> truth
 *     wake    ─> woken                cancel-all ─> all-cancelled    ask-standing ─> standing
 *     start   ─> recovered (first of all), then update and stream, unasked
 */
import type {
  BrokerAccount, BrokerAsset, BrokerOrder, BrokerPosition, BrokerUpdate, CancelOutcome, OrderRequest,
  Standing, SubmitOutcome,
} from "../brokers/broker.ts";
import type { OrderState, TradingState } from "../message.ts";

/** One record of the intent journal. JSON has no NaN: null stands for it. */
export type JournalRecord =
  /** Counts from the moment that it is on the disk. `isFlattening`: a restart goes on with it. */
  | { readonly t: "state"; readonly at: number; readonly state: TradingState; readonly reason: string;
    readonly by: string; readonly isFlattening?: boolean }
  /** Written before the order leaves. `goal`: signed units that its decision wants; price: as it saw it. */
  | { readonly t: "intent"; readonly at: number; readonly decidedAt: number; readonly leg: number;
    readonly goal: number; readonly price: number; readonly priceAt?: number | null;
    readonly request: OrderRequest }
  /** An order came to rest. `position`: signed units of its symbol held after it. */
  | { readonly t: "rest"; readonly at: number; readonly id: string; readonly state: OrderState;
    readonly filled: number; readonly averagePrice: number | null; readonly position: number }
  /** Of a compacted journal: what is held, and the newest target that has been worked on. */
  | { readonly t: "position"; readonly symbol: string; readonly units: number }
  | { readonly t: "decided"; readonly at: number };

export type ExecutionEffect =
  /** On the disk before it is answered. */
  | { readonly kind: "persist"; readonly ticket: number; readonly records: readonly JournalRecord[] }
  /** Appended; the disk may take its time. */
  | { readonly kind: "note"; readonly records: readonly JournalRecord[] }
  /** The journal is replaced by these. */
  | { readonly kind: "compact"; readonly records: readonly JournalRecord[] }
  /** Should its turn come later than that, it never leaves: answered as one that was withdrawn. */
  | { readonly kind: "submit"; readonly order: OrderRequest; readonly goodForMs: number }
  /** Submits that still wait for their turn never leave: they are answered "rejected", code "withdrawn". */
  | { readonly kind: "withdraw" }
  | { readonly kind: "cancel"; readonly id: string; readonly brokerId: string }
  | { readonly kind: "cancel-all" }
  | { readonly kind: "replace"; readonly brokerId: string;
    readonly order: Pick<OrderRequest, "id" | "quantity" | "limitPrice"> }
  | { readonly kind: "look-up"; readonly id: string }
  | { readonly kind: "ask-asset"; readonly symbol: string }
  /** Has a stepped market said all? */
  | { readonly kind: "ask-standing"; readonly ticket: number }
  /** Orders since `since` and those of `ids`, positions and account, all of one moment. */
  | { readonly kind: "reconcile"; readonly ticket: number; readonly since: number;
    readonly ids: readonly string[] }
  | { readonly kind: "wake"; readonly ticket: number; readonly afterMs: number };

export interface Truth {
  readonly account: BrokerAccount;
  readonly positions: readonly BrokerPosition[];
  readonly orders: readonly BrokerOrder[];
  /** No order changed while they were read: they tell of one moment. */
  readonly isSteady: boolean;
}

export type ExecutionOutcome =
  | { readonly kind: "recovered"; readonly records: readonly JournalRecord[]; readonly tornBytes: number }
  /** `trouble`: nothing of it may count (disk full, ...). */
  | { readonly kind: "persisted"; readonly ticket: number; readonly trouble: string | null }
  | { readonly kind: "submitted"; readonly id: string; readonly outcome: SubmitOutcome }
  | { readonly kind: "replaced"; readonly id: string; readonly outcome: SubmitOutcome }
  | { readonly kind: "cancelled"; readonly id: string; readonly outcome: CancelOutcome }
  | { readonly kind: "all-cancelled"; readonly outcomes: readonly CancelOutcome[];
    readonly trouble: string | null }
  | { readonly kind: "looked-up"; readonly id: string; readonly order: BrokerOrder | null;
    readonly trouble: string | null }
  | { readonly kind: "asset"; readonly symbol: string; readonly asset: BrokerAsset | null;
    readonly trouble: string | null }
  | { readonly kind: "standing"; readonly ticket: number; readonly standing: Standing | null;
    readonly trouble: string | null }
  | { readonly kind: "truth"; readonly ticket: number; readonly truth: Truth | null;
    readonly trouble: string | null }
  | { readonly kind: "woken"; readonly ticket: number }
  | { readonly kind: "update"; readonly update: BrokerUpdate }
  | { readonly kind: "stream"; readonly isProven: boolean; readonly reason: string };
