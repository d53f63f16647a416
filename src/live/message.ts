/**
 * All that is said in live trading. Facts are broadcast, commands are handed over, questions are asked;
 * effects stay inside a process: an actor asks its rim to touch the world, and hears what came of it.
 *
 *   fact      market, quote, notice, features, prediction, mixture, decision, fill, order-state, account,
 *             settled, trading-state, heartbeat, meter, alert, performance   PUB/SUB, gaps seen by seq
 *   command   target, control                                          acknowledged, never over PUB/SUB
 *   effect    persist, submit, cancel, replace, look-up, reconcile  ->  persisted, submitted, ...
 *
 * `at` is event time: the close of the bar that a message is about (UTC ms). Messages are frozen by
 * convention; arrays in them belong to the message. Instruments are indexes into Session.symbols.
 */
import type { RiskAction } from "../strategy/risk.ts";

/** One entry of `market.flags`: how a bar came. */
export const BAR_FLAGS = { fresh: 0, revised: 1, backfilled: 2, history: 3 } as const;
/** Columns of a row of `market.bars`, in order; NaN where the source has none. */
export const BAR_FIELDS = ["open", "high", "low", "close", "volume", "vwap", "trades"] as const;

export interface MarketFact {
  readonly kind: "market";
  /** Close of all these bars. */
  readonly at: number;
  /** (n) */
  readonly instrument: Int32Array;
  /** (n, BAR_FIELDS.length) */
  readonly bars: Float64Array;
  /** (n) BAR_FLAGS */
  readonly flags: Uint8Array;
}
export interface QuoteFact {
  readonly kind: "quote";
  readonly at: number;
  readonly instrument: Int32Array;
  /** (n, 4) bid, bid size, ask, ask size */
  readonly quotes: Float64Array;
}
/** What a market or vendor says besides prices. */
export interface NoticeFact {
  readonly kind: "notice";
  readonly at: number;
  readonly instrument: number;
  readonly what: "halt" | "resume" | "split" | "dividend" | "delisted" | "stale" | "fresh";
  /** Split ratio or cash dividend; else 0. */
  readonly value: number;
}
export interface FeaturesFact {
  readonly kind: "features";
  readonly at: number;
  readonly instrument: Int32Array;
  /** (n, F) the newest row of each, in the order of the panel's names; NaN during warm-up. */
  readonly rows: Float32Array;
  readonly flags: Uint8Array;
}
export interface PredictionFact {
  readonly kind: "prediction";
  readonly at: number;
  /** Name of the worker: lstm-1, ... */
  readonly model: string;
  /** First 8 digits of the model file's hash. */
  readonly version: string;
  readonly instrument: Int32Array;
  /** (n) each, as in Decision. */
  readonly position: Float32Array;
  readonly volatility: Float32Array;
  readonly confidence: Float32Array;
}
/** What the meta-learner has learned about the members so far. */
export interface MixtureFact {
  readonly kind: "mixture";
  readonly at: number;
  readonly models: readonly string[];
  /** Sum 1. */
  readonly weights: readonly number[];
}
/** What the members say together. */
export interface DecisionFact {
  readonly kind: "decision";
  readonly at: number;
  readonly instrument: Int32Array;
  readonly position: Float32Array;
  readonly volatility: Float32Array;
  readonly confidence: Float32Array;
  /** Members that answered in time and sanely. Below the quorum all positions are 0. */
  readonly members: readonly string[];
  readonly hasQuorum: boolean;
}
/** Units wanted, for all instruments that were decided on. Idempotent: an older `at` is ignored. */
export interface TargetCommand {
  readonly kind: "target";
  readonly at: number;
  readonly instrument: Int32Array;
  /** (n) fraction of equity, after sizing and limits. */
  readonly weight: Float64Array;
  /** (n) signed units. */
  readonly units: Float64Array;
  /** (n) last price that the units were computed from. */
  readonly price: Float64Array;
  readonly equity: number;
  readonly actions: readonly RiskAction[];
}

export const ORDER_STATES = ["intended", "submitted", "accepted", "partially-filled", "filled",
  "pending-cancel", "cancelled", "rejected", "expired", "replaced", "unknown"] as const;
export type OrderState = (typeof ORDER_STATES)[number];
export const isTerminal = (state: OrderState): boolean =>
  state === "filled" || state === "cancelled" || state === "rejected" || state === "expired"
  || state === "replaced";

export interface OrderFacts {
  /** Our client_order_id: a function of strategy, instrument, decision time and leg. */
  readonly id: string;
  /** Of the target that asked for it; NaN for orders that are not ours (EXTERNAL). */
  readonly decidedAt: number;
  readonly instrument: number;
  /** Signed units. */
  readonly quantity: number;
  readonly type: "market" | "limit";
  /** NaN for market orders. */
  readonly limitPrice: number;
  readonly brokerId: string | null;
  readonly state: OrderState;
  /** Signed units. */
  readonly filled: number;
  /** NaN before the first fill. */
  readonly averagePrice: number;
  /** Why it was refused, cancelled or is unknown. */
  readonly reason: string | null;
}
export interface OrderStateFact {
  readonly kind: "order-state";
  readonly at: number;
  readonly order: OrderFacts;
}
export interface FillFact {
  readonly kind: "fill";
  readonly at: number;
  readonly orderId: string;
  /** The broker's execution id: a fill heard twice counts once. */
  readonly executionId: string;
  readonly instrument: number;
  /** Signed units. */
  readonly quantity: number;
  readonly price: number;
  readonly fee: number;
  /** Signed units held after it, by our books. */
  readonly position: number;
}
export interface AccountFact {
  readonly kind: "account";
  readonly at: number;
  readonly equity: number;
  readonly cash: number;
  readonly buyingPower: number;
  /** (N) signed units held, by our books. */
  readonly units: Float64Array;
  /** True once our books have been found equal to the broker's. */
  readonly isReconciled: boolean;
}
/** Everything that the target of `at` asked for has come to rest. */
export interface SettledFact { readonly kind: "settled"; readonly at: number; readonly orders: number }

export const TRADING_STATES = ["ACTIVE", "REDUCING", "HALTED"] as const;
export type TradingState = (typeof TRADING_STATES)[number];
export interface TradingStateFact {
  readonly kind: "trading-state";
  readonly at: number;
  readonly state: TradingState;
  readonly reason: string;
  /** Who asked: "user", "risk", "supervisor", "execution", ... */
  readonly by: string;
}
export interface HeartbeatFact {
  readonly kind: "heartbeat";
  readonly at: number;
  readonly process: string;
  readonly pid: number;
  readonly state: "starting" | "running" | "stopped";
  /** Of one core, since the last one. */
  readonly cpuShare: number;
  readonly memoryBytes: number;
  /** Longest the event loop was blocked since the last one, ms. */
  readonly loopDelayMs: number;
  /** Messages handled so far. */
  readonly handled: number;
}
/** Latencies and rates of one process: wire/meter.ts says how `rows` read. */
export interface MeterFact {
  readonly kind: "meter";
  readonly at: number;
  readonly process: string;
  readonly rows: readonly MeterRow[];
}
export interface MeterRow {
  /** "market: feed -> features", "risk", "order to broker", ... */
  readonly name: string;
  readonly count: number;
  readonly errors: number;
  readonly bytes: number;
  /** Microseconds. */
  readonly mean: number; readonly p50: number; readonly p95: number; readonly p99: number;
  readonly p999: number; readonly max: number;
  readonly perSecond: number;
  /** Bytes before over bytes after compression; 1 without. */
  readonly compression: number;
}
export const SEVERITIES = ["info", "warning", "critical"] as const;
export interface AlertFact {
  readonly kind: "alert";
  readonly at: number;
  readonly severity: (typeof SEVERITIES)[number];
  /** Stable, for de-duplication: "feed-stale", "order-unknown", ... */
  readonly code: string;
  readonly text: string;
  readonly process: string;
}

/** How the session has done so far: the monitor says it at the end of each step that changed it. */
export interface PerformanceFact {
  readonly kind: "performance";
  readonly at: number;
  readonly equity: number;
  /** Highest equity so far, and the fall from it as a positive fraction. */
  readonly peak: number;
  readonly drawdown: number;
  /** Of the equity's returns per bar, annualised; NaN while there are too few. */
  readonly sharpe: number;
  readonly models: readonly ModelScore[];
}
/** A worker's predictions against the bars that followed; "ensemble" is the decision. */
export interface ModelScore {
  readonly model: string;
  readonly version: string;
  /** Weight in the mixture; NaN where nobody said one. */
  readonly weight: number;
  /** Predictions other than 0 whose next bar has come, and those of them with the right sign. */
  readonly scored: number;
  readonly hits: number;
  /** Mean of position x next return. */
  readonly meanReturn: number;
}

/** What a person or the supervisor asks of a running graph. */
export const CONTROL_ACTIONS = ["status", "halt", "reduce", "resume", "stop", "emergency-stop", "flatten",
  "swap-model", "advance"] as const;
export interface ControlCommand {
  readonly kind: "control";
  readonly at: number;
  readonly action: (typeof CONTROL_ACTIONS)[number];
  readonly by: string;
  /** swap-model: the worker and the new model; halt: why. */
  readonly subject: string;
  readonly value: string;
}
/** Time passes: from the rim, some times a second. */
export interface Tick { readonly kind: "tick"; readonly at: number }

export type Fact = MarketFact | QuoteFact | NoticeFact | FeaturesFact | PredictionFact | MixtureFact
  | DecisionFact | OrderStateFact | FillFact | AccountFact | SettledFact | TradingStateFact | HeartbeatFact
  | MeterFact | AlertFact
  | PerformanceFact;
export type Command = TargetCommand | ControlCommand;
/** What crosses sockets. */
export type Spoken = Fact | Command;
export type Kind = Spoken["kind"] | Tick["kind"];

/** The number by which a kind travels; never reused. Also tells what is spoken from an actor's effects. */
export const SPOKEN_CODES = {
  market: 1, quote: 2, notice: 3, features: 4, prediction: 5, mixture: 6, decision: 7, "order-state": 8,
  fill: 9,
  account: 10, settled: 11, "trading-state": 12, heartbeat: 13, meter: 14, alert: 15, target: 16, control: 17,
  performance: 18,
} as const satisfies Record<Spoken["kind"], number>;
export const isSpoken = (message: { readonly kind: string }): message is Spoken =>
  Object.hasOwn(SPOKEN_CODES, message.kind);
