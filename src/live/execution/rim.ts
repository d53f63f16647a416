/**
 * The side of execution that touches the world: journal and broker. It carries effects out in order and
 * pushes what came of them; it decides nothing, and nothing that the world does makes it throw.
 *
 *     persist, persist ─┬─ one write, one fsync ──> persisted, persisted
 *     note ─────────────┘
 *     cancel, submit, look-up, reconcile ──> CallQueue ──> broker ──> outcome
 *     broker's stream ──> update, stream
 */
import { unreachable } from "../../base/assert.ts";
import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/error.ts";
import type { Log } from "../../base/log.ts";
import type { Rim } from "../actor.ts";
import { BrokerTrouble, type Broker, type BrokerOrder, type SubmitOutcome } from "../brokers/broker.ts";
import type { Session } from "../session.ts";
import { CallQueue, type Lane } from "./call-queue.ts";
import type { ExecutionEffect, ExecutionOutcome, JournalRecord, Truth } from "./effect.ts";
import { openIntentJournal, type IntentJournal } from "./intent-journal.ts";

export interface ExecutionRimOptions {
  readonly session: Session;
  /** Of the journal; made when missing. */
  readonly folder: string;
  /** Instead of a file in `folder`. */
  readonly journal?: IntentJournal;
  readonly broker: Broker;
  /** By which is waited. */
  readonly clock: Clock;
  readonly log: Log;
  /** Told how long each submit took from effect to the broker's answer, microseconds. */
  readonly onSubmitted?: (micros: number) => void;
}

export interface ExecutionRim extends Rim<ExecutionEffect, ExecutionOutcome> {
  /** Nothing is on its way to the broker or the disk. */
  isIdle(): boolean;
}

/** Reads of one moment tried in a row while orders keep changing. */
const STEADY_TRIES = 3;
/** Requests that one reconcile makes: orders (open, and since), positions, account, orders. */
const READ_COST = 6;

type Persist = ExecutionEffect & { readonly kind: "persist" };
type Reconcile = ExecutionEffect & { readonly kind: "reconcile" };

/** Throws UserError for a damaged journal or a folder that cannot be written: then nothing is traded. */
export function openExecutionRim(options: ExecutionRimOptions): ExecutionRim {
  return new LiveRim(options, options.journal
    ?? openIntentJournal(options.folder, options.session.venue));
}

class LiveRim implements ExecutionRim {
  readonly #options: ExecutionRimOptions;
  readonly #journal: IntentJournal;
  readonly #queue: CallQueue;
  readonly #end = new AbortController();
  #push: (outcome: ExecutionOutcome) => void = () => {};
  #writes: (Persist | ExecutionEffect & { readonly kind: "note" })[] = [];
  #isFlushDue = false;
  #isProven = false;

  constructor(options: ExecutionRimOptions, journal: IntentJournal) {
    this.#options = options;
    this.#journal = journal;
    this.#queue = new CallQueue(options.clock, options.session.execution.callsPerMinute);
  }

  start(push: (outcome: ExecutionOutcome) => void): Promise<void> {
    this.#push = push;
    push({ kind: "recovered", records: this.#journal.recovered, tornBytes: this.#journal.tornBytes });
    // Listeners only push: what a listener throws, a stream's library may swallow.
    this.#options.broker.listen({
      update: (update) => this.#push({ kind: "update", update }),
      stream: (isProven, reason) => {
        this.#isProven = isProven;
        this.#push({ kind: "stream", isProven, reason });
      },
    });
    return Promise.resolve();
  }

  isIdle(): boolean { return this.#queue.isIdle && this.#writes.length === 0; }

  async stop(): Promise<void> {
    this.#flush();
    this.#push = () => {};
    this.#queue.close();
    this.#end.abort();
    await this.#options.broker[Symbol.asyncDispose]();
    this.#journal[Symbol.dispose]();
  }

  carryOut(effect: ExecutionEffect): void {
    switch (effect.kind) {
      case "persist": case "note": return this.#write(effect);
      case "compact": return this.#compact(effect.records);
      case "withdraw": return this.#queue.withdraw("submit");
      case "wake": void this.#wake(effect.ticket, effect.afterMs); return;
      default: return this.#call(effect);
    }
  }

  /** Gathered until all messages of this turn are through, so that they share an fsync. */
  #write(effect: Persist | ExecutionEffect & { readonly kind: "note" }): void {
    this.#writes.push(effect);
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    this.#isFlushDue = false;
    const writes = this.#writes;
    if (writes.length === 0) return;
    this.#writes = [];
    const trouble = this.#tryWrite(() => {
      const records = writes.flatMap((write) => write.records);
      this.#journal.append(records, writes.some((write) => write.kind === "persist"));
    });
    for (const write of writes) {
      if (write.kind === "persist") this.#push({ kind: "persisted", ticket: write.ticket, trouble });
    }
  }

  #compact(records: readonly JournalRecord[]): void {
    this.#flush();
    // The long one is still good when the short one cannot be written.
    this.#tryWrite(() => this.#journal.replace(records));
  }

  #tryWrite(write: () => void): string | null {
    try {
      write();
      return null;
    } catch (error) {
      this.#options.log.error({ problem: messageOf(error) }, "the intent journal cannot be written");
      return messageOf(error);
    }
  }

  async #wake(ticket: number, afterMs: number): Promise<void> {
    try { await this.#options.clock.sleep(afterMs, this.#end.signal); } catch { return; }
    this.#push({ kind: "woken", ticket });
  }

  #call(effect: Calling): void {
    const { lane, cost } = CALLS[effect.kind];
    const refuse = (reason: string): void => this.#push(refusalOf(effect, reason));
    const { clock } = this.#options, askedAt = clock.now();
    const isQueued = this.#queue.add(lane, cost, async () => {
      // The actor may not have heard yet that the stream is gone: between the two nothing leaves either.
      const isLate = effect.kind === "submit"
        && (!this.#isProven || clock.now() - askedAt > effect.goodForMs);
      if (isLate) { refuse(WITHDRAWN); return; }
      try { this.#push(await this.#ask(effect)); } catch (error) {
        if (error instanceof BrokerTrouble
          && error.retryAfterMs !== null) this.#queue.pause(error.retryAfterMs);
        refuse(messageOf(error));
      }
      const quota = this.#options.broker.quota?.() ?? null;
      if (quota !== null) this.#queue.tell(quota.remaining, quota.resetAt);
    }, () => refuse(WITHDRAWN));
    if (!isQueued) refuse(FULL);
  }

  async #ask(effect: Calling): Promise<ExecutionOutcome> {
    const { broker } = this.#options;
    switch (effect.kind) {
      case "submit": {
        const start = process.hrtime.bigint();
        const outcome = this.#heed(await broker.submit(effect.order));
        this.#options.onSubmitted?.(Number(process.hrtime.bigint() - start) / 1_000);
        return { kind: "submitted", id: effect.order.id, outcome };
      }
      case "replace":
        return { kind: "replaced", id: effect.order.id,
          outcome: this.#heed(await broker.replace(effect.brokerId, effect.order)) };
      case "cancel":
        return { kind: "cancelled", id: effect.id,
          outcome: this.#heed(await broker.cancel(effect.brokerId)) };
      case "cancel-all": return { kind: "all-cancelled", outcomes: await broker.cancelAll(), trouble: null };
      case "look-up":
        return { kind: "looked-up", id: effect.id, order: await broker.orderById(effect.id), trouble: null };
      case "ask-asset":
        return { kind: "asset", symbol: effect.symbol, asset: await broker.asset(effect.symbol),
          trouble: null };
      case "ask-standing":
        return { kind: "standing", ticket: effect.ticket, standing: await broker.standing(), trouble: null };
      case "reconcile":
        return { kind: "truth", ticket: effect.ticket, truth: await this.#read(effect), trouble: null };
      default: return unreachable(effect);
    }
  }

  /** "Too many" stops all calls for as long as the broker says. */
  #heed<Outcome extends { readonly outcome: string }>(outcome: Outcome): Outcome {
    const limited = outcome as { readonly outcome: string; readonly retryAfterMs?: number };
    if (limited.outcome === "limited") this.#queue.pause(limited.retryAfterMs ?? 1_000);
    return outcome;
  }

  /** Orders before and after the rest: when they are the same, all tell of one moment. */
  async #read(effect: Reconcile): Promise<Truth> {
    const { broker } = this.#options;
    let before = await this.#list(effect);
    for (let turn = 1; ; turn++) {
      const [positions, account] = await Promise.all([broker.positions(), broker.account()]);
      const orders = await this.#list(effect);
      const isSteady = sameOrders(before, orders);
      if (isSteady || turn === STEADY_TRIES) return { account, positions, orders, isSteady };
      before = orders;
    }
  }

  async #list({ since, ids }: Reconcile): Promise<readonly BrokerOrder[]> {
    const { broker } = this.#options;
    const orders = await broker.orders(since), listed = new Set(orders.map(({ id }) => id));
    const others = await Promise.all(ids.filter((id) => !listed.has(id)).map((id) => broker.orderById(id)));
    return [...orders, ...others.filter((order) => order !== null)];
  }
}

type Calling = Exclude<ExecutionEffect,
  { readonly kind: "persist" | "note" | "compact" | "withdraw" | "wake" }>;

const CALLS: Readonly<Record<Calling["kind"], { readonly lane: Lane; readonly cost: number }>> = {
  cancel: { lane: "cancel", cost: 1 }, "cancel-all": { lane: "cancel", cost: 1 },
  submit: { lane: "submit", cost: 1 }, replace: { lane: "submit", cost: 1 },
  "look-up": { lane: "look-up", cost: 1 }, "ask-asset": { lane: "read", cost: 1 },
  "ask-standing": { lane: "look-up", cost: 2 },
  reconcile: { lane: "read", cost: READ_COST },
};

const WITHDRAWN = "withdrawn";
const FULL = "too many calls wait";
const FULL_RETRY_MS = 1_000;

/** The outcome of a call that was not made, or that ended without an answer. */
function refusalOf(effect: Calling, reason: string): ExecutionOutcome {
  const never = { outcome: "limited", retryAfterMs: FULL_RETRY_MS } as const;
  const unknown = { outcome: "unknown", reason } as const;
  const outcome: SubmitOutcome = reason === WITHDRAWN ? { outcome: "rejected", code: WITHDRAWN, reason }
    : reason === FULL ? never : unknown;
  switch (effect.kind) {
    case "submit": return { kind: "submitted", id: effect.order.id, outcome };
    case "replace": return { kind: "replaced", id: effect.order.id, outcome };
    case "cancel": return { kind: "cancelled", id: effect.id, outcome: reason === FULL ? never : unknown };
    case "cancel-all": return { kind: "all-cancelled", outcomes: [], trouble: reason };
    case "look-up": return { kind: "looked-up", id: effect.id, order: null, trouble: reason };
    case "ask-asset": return { kind: "asset", symbol: effect.symbol, asset: null, trouble: reason };
    case "ask-standing":
      return { kind: "standing", ticket: effect.ticket, standing: null, trouble: reason };
    case "reconcile": return { kind: "truth", ticket: effect.ticket, truth: null, trouble: reason };
    default: return unreachable(effect);
  }
}

function sameOrders(a: readonly BrokerOrder[], b: readonly BrokerOrder[]): boolean {
  if (a.length !== b.length) return false;
  const filled = new Map(a.map((order) => [order.brokerId, order]));
  return b.every((order) => {
    const other = filled.get(order.brokerId);
    return other !== undefined && other.filled === order.filled && other.state === order.state;
  });
}
