/**
 * What a run has done so far, counted from what is said: for the status line, `dmn live status` and the end.
 */
import { NETWORKS } from "../../live/actors/networks.ts";
import type { AlertFact, OrderState, Spoken, TradingState } from "../../live/message.ts";
import { isTerminal } from "../../live/message.ts";

export interface TallyReport {
  readonly tradingState: TradingState | "unknown";
  readonly reason: string;
  /** Event time of the last decision, UTC ms; null before. */
  readonly decidedAt: number | null;
  readonly decisions: number;
  readonly equityStart: number | null;
  readonly equity: number | null;
  readonly isReconciled: boolean;
  /** Instruments held. */
  readonly held: number;
  readonly orders: number;
  readonly openOrders: number;
  readonly rejected: number;
  readonly fills: number;
  readonly alerts: Readonly<Record<"info" | "warning" | "critical", number>>;
  /** What was last said of where networks answer; null: nothing, they answer on the CPU. */
  readonly networks: string | null;
}

/** Ids remembered: several times what execution remembers and says again after a restart. */
const REMEMBERED = 20_000;

/** The sentences that say why are long, and were said when it happened. */
const NOT_ALL = "not all networks answer on the GPU: a warning in logs/ says why";

/** Orders remembered as open; ended ones are only counted. */
export class Tally {
  readonly #open = new Map<string, OrderState>();
  readonly #seen = new Set<string>();
  readonly #fills = new Set<string>();
  readonly #alerts = { info: 0, warning: 0, critical: 0 };
  #orders = 0;
  #filled = 0;
  #rejected = 0;
  #decisions = 0;
  #decidedAt: number | null = null;
  #start: number | null = null;
  #equity: number | null = null;
  #held = 0;
  #isReconciled = false;
  #state: TradingState | "unknown" = "unknown";
  #reason = "";
  #networks: string | null = null;

  alert(severity: keyof TallyReport["alerts"], fact?: AlertFact): void {
    this.#alerts[severity]++;
    if (fact?.code === NETWORKS) this.#networks = severity === "info" ? fact.text : NOT_ALL;
  }

  hear(message: Spoken): void {
    switch (message.kind) {
      case "decision": this.#decisions++; this.#decidedAt = message.at; return;
      case "trading-state": this.#state = message.state; this.#reason = message.reason; return;
      case "account":
        if (message.isReconciled) this.#start ??= message.equity;
        this.#equity = message.equity;
        this.#held = message.units.reduce((count, units) => count + (units === 0 ? 0 : 1), 0);
        this.#isReconciled = message.isReconciled;
        return;
      case "fill":
        if (this.#first(this.#fills, message.executionId)) this.#filled++;
        return;
      case "order-state": {
        const { id, state } = message.order;
        if (!this.#open.has(id) && this.#first(this.#seen, id)) this.#orders++;
        if (state === "rejected") this.#rejected++;
        if (isTerminal(state)) this.#open.delete(id); else this.#open.set(id, state);
        return;
      }
      default:
    }
  }

  /** Facts heard again after a restart count once; the oldest are forgotten at the bound. */
  #first(known: Set<string>, id: string): boolean {
    if (known.has(id)) return false;
    known.add(id);
    if (known.size > REMEMBERED) known.delete(known.values().next().value!);
    return true;
  }

  report(): TallyReport {
    return { tradingState: this.#state, reason: this.#reason, decidedAt: this.#decidedAt,
      decisions: this.#decisions,
      equityStart: this.#start, equity: this.#equity, isReconciled: this.#isReconciled, held: this.#held,
      orders: this.#orders, openOrders: this.#open.size, rejected: this.#rejected, fills: this.#filled,
      alerts: { ...this.#alerts }, networks: this.#networks };
  }
}
