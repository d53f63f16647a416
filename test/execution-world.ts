/**
 * A world for the execution actor alone: a broker that keeps its promises, a rim and a journal that by seed do
 * not, and one clock. Everything is an event with a time; the same seed gives the same run.
 *
 * It shares no code with what it tests: the broker's book-keeping here is a Map and a few additions.
 */
import { random, type Random } from "../src/base/random.ts";
import { executionActor, type ExecutionOptions } from "../src/live/actors/execution.ts";
import type { BrokerAccount, BrokerOrder, BrokerUpdate, OrderRequest, SubmitOutcome } from "../src/live/brokers/broker.ts";
import type { ExecutionEffect, ExecutionOutcome, JournalRecord } from "../src/live/execution/effect.ts";
import { FREE } from "../src/live/execution/desk.ts";
import {
  isSpoken, isTerminal, type AlertFact, type ControlCommand, type OrderState, type Spoken, type TargetCommand,
} from "../src/live/message.ts";
import type { Session } from "../src/live/session.ts";
import { NO_LIMITS } from "../src/strategy/risk.ts";

export const START = Date.UTC(2024, 0, 3, 15, 0);

export function sessionOf(symbols: readonly string[], change: Partial<Session> = {}): Session {
  return {
    id: "test", venue: "simulator", feed: "simulator", wire: "alpaca", strategyName: "momentum", symbols: [...symbols],
    timeframe: "1m", calendar: "us-equity", recipe: "dmn", recipeHash: "0", history: null,
    clock: { kind: "wall", isStepped: false, barsPerSecond: null }, models: [{ worker: "lstm-1", strategy: "lstm" }],
    quorum: 1, deadlineMs: 100, mixture: "equal", isConfidenceWeighted: false,
    sizing: { volatilityTarget: 0.15, weightMax: null, portfolioTarget: null, method: "volatility", isFractional: false,
      capital: 1e6 },
    risk: {}, execution: { style: "market", slices: 1, timeoutMs: 2_000, callsPerMinute: 100_000 },
    ports: {}, host: "127.0.0.1", seed: 1, faults: "none", simulatorUrl: null, ...change,
  };
}

export interface Faults {
  /** Probabilities. */
  readonly unknown: number; readonly lostUpdate: number; readonly twiceUpdate: number; readonly crash: number;
  readonly limited: number; readonly partial: number; readonly disconnect: number; readonly external: number;
  readonly rejected: number;
}
export const CALM: Faults =
  { unknown: 0, lostUpdate: 0, twiceUpdate: 0, crash: 0, limited: 0, partial: 0, disconnect: 0, external: 0, rejected: 0 };

interface Held { order: BrokerOrder; posts: number }
type Event = { at: number; rank: number; run: () => void };

export class World {
  now = START;
  readonly session: Session;
  readonly said: Spoken[] = [];
  readonly held = new Map<string, Held>();
  readonly units = new Map<string, number>();
  readonly price = new Map<string, number>();
  cash = 1e6;
  /** Every POST that left, in order. */
  readonly posts: OrderRequest[] = [];
  /** "life/id" of each: the life of the process that sent it. */
  readonly sent: string[] = [];
  journal: JournalRecord[] = [];
  /** So many records of it survive any crash. */
  durable = 0;
  journalTrouble: string | null = null;
  isProven = false;
  faults: Faults;
  crashes = 0;
  /** Called at every step; throws when a promise is broken. */
  check: () => void = () => {};
  /** Orders fill at once when true; else they rest until `fill`. */
  fillsAtOnce = true;
  /** Answers to a submit by hand, before the broker sees it. */
  onSubmit: ((order: OrderRequest) => SubmitOutcome | "drop-answer" | null) | null = null;
  /** Cancels that are accepted and then never done; so many that are lost on their way. */
  isCancelStuck = false;
  cancelsToLose = 0;
  /** What the broker tells of the account otherwise than it is. */
  account: Partial<BrokerAccount> = {};
  /** Why the account cannot be read. */
  truthTrouble: string | null = null;
  /** Whether orders stood still while the account was read. */
  isSteady = true;
  readonly cancels: string[] = [];
  readonly lookUps: string[] = [];
  readonly #random: Random;
  readonly #options: Partial<ExecutionOptions>;
  #actor: ReturnType<typeof executionActor>;
  #epoch = 0;
  #events: Event[] = [];
  #rank = 0;
  #numbers = 0;

  constructor(symbols: readonly string[], seed = 1, faults: Faults = CALM, options: Partial<ExecutionOptions> = {}) {
    this.session = options.session ?? sessionOf(symbols);
    this.faults = faults;
    this.#options = options;
    this.#random = random(seed, "world");
    for (const symbol of symbols) { this.units.set(symbol, 0); this.price.set(symbol, 100); }
    this.#actor = this.#open();
    this.start();
  }

  #open(): ReturnType<typeof executionActor> {
    return executionActor({ limits: NO_LIMITS, permits: { ...FREE, flips: false }, ...this.#options, session: this.session });
  }

  #chance(probability: number): boolean { return probability > 0 && this.#random.uniform() < probability; }
  #delay(most: number): number { return 1 + Math.floor(this.#random.uniform() * most); }

  later(afterMs: number, run: () => void): void {
    this.#events.push({ at: this.now + afterMs, rank: this.#rank++, run });
  }

  /** Delivers to the actor of today; what was on its way to a killed one is gone. */
  deliver(afterMs: number, message: Spoken | ExecutionOutcome): void {
    const epoch = this.#epoch;
    this.later(afterMs, () => { if (epoch === this.#epoch) this.hand(message); });
  }

  hand(message: Spoken | ExecutionOutcome): void {
    const said = this.#actor.handle(message, this.now);
    if (said instanceof Promise) throw new Error("the actor is synchronous");
    for (const one of said) if (isSpoken(one)) this.said.push(one); else this.#carryOut(one);
    this.check();
  }

  start(): void {
    const records = this.journal.map((record) => JSON.parse(JSON.stringify(record)) as JournalRecord);
    this.deliver(1, { kind: "recovered", records, tornBytes: 0 });
    this.prove(5);
  }

  prove(afterMs: number): void {
    const epoch = this.#epoch;
    this.later(afterMs, () => {
      if (epoch !== this.#epoch) return;
      this.isProven = true;
      this.hand({ kind: "stream", isProven: true, reason: "listening" });
    });
  }

  disconnect(): void {
    if (!this.isProven) return;
    this.isProven = false;
    this.hand({ kind: "stream", isProven: false, reason: "reset" });
    this.prove(this.#delay(3_000));
  }

  /** Kills the process and starts it again: what was not on the disk may be lost. */
  crash(): void {
    this.crashes++;
    this.#epoch++;
    this.isProven = false;
    const loose = this.journal.length - this.durable;
    this.journal = this.journal.slice(0, this.durable + Math.floor(this.#random.uniform() * (loose + 1)));
    this.durable = this.journal.length;
    this.#actor = this.#open();
    this.later(this.#delay(500), () => this.start());
  }

  #carryOut(effect: ExecutionEffect): void {
    if (this.#chance(this.faults.crash)) { const epoch = this.#epoch;
      this.later(0, () => { if (epoch === this.#epoch) this.crash(); }); }
    switch (effect.kind) {
      case "persist": {
        // Until it is answered a crash may keep or lose it.
        const trouble = this.journalTrouble, epoch = this.#epoch;
        this.journal.push(...trouble === null ? effect.records : []);
        const length = this.journal.length;
        this.later(this.#delay(3), () => {
          if (epoch !== this.#epoch) return;
          this.durable = Math.max(this.durable, length);
          this.hand({ kind: "persisted", ticket: effect.ticket, trouble });
        });
        return;
      }
      case "note": this.journal.push(...effect.records); return;
      case "compact":
        this.journal = [...effect.records];
        this.durable = this.journal.length;
        return;
      case "submit": return this.#post(effect.order);
      case "withdraw": return;
      case "cancel": return this.#cancel(effect.id, effect.brokerId);
      case "cancel-all": {
        const open = this.open();
        for (const { order } of open) this.#end(order.id, "cancelled");
        this.deliver(this.#delay(20), { kind: "all-cancelled", outcomes: open.map(() => ({ outcome: "accepted" })),
          trouble: null });
        return;
      }
      case "look-up": {
        this.lookUps.push(effect.id);
        const epoch = this.#epoch;
        this.later(this.#delay(10), () => {
          const order = this.held.get(effect.id)?.order ?? null;
          this.later(this.#delay(10), () => {
            if (epoch === this.#epoch) this.hand({ kind: "looked-up", id: effect.id, order, trouble: null });
          });
        });
        return;
      }
      case "ask-asset":
        this.deliver(this.#delay(10), { kind: "asset", symbol: effect.symbol, trouble: null,
          asset: { symbol: effect.symbol, isTradable: true, isShortable: true, isFractionable: true } });
        return;
      case "ask-standing": {
        const standing = { orders: this.open().map(({ order }) => ({ ...order })), buyingPower: 2e6, ...this.account };
        return this.deliver(this.#delay(20), { kind: "standing", ticket: effect.ticket, standing, trouble: null });
      }
      case "reconcile": {
        const epoch = this.#epoch, { ticket } = effect;
        if (this.truthTrouble !== null) {
          return this.deliver(20, { kind: "truth", ticket, truth: null, trouble: this.truthTrouble });
        }
        this.later(this.#delay(10), () => {
          const truth = {
            account: { equity: this.cash, cash: this.cash, buyingPower: 2e6, isTradingBlocked: false, oddities: [],
              ...this.account },
            positions: [...this.units].filter(([, units]) => units !== 0).map(([symbol, units]) =>
              ({ symbol, units, averagePrice: 100 })),
            orders: [...this.held.values()].map(({ order }) => order).filter(({ id, state, submittedAt }) =>
              submittedAt >= effect.since || !isTerminal(state) || effect.ids.includes(id)), isSteady: this.isSteady,
          };
          this.later(this.#delay(10), () => {
            if (epoch === this.#epoch) this.hand({ kind: "truth", ticket: effect.ticket, truth, trouble: null });
          });
        });
        return;
      }
      case "wake": this.deliver(effect.afterMs, { kind: "woken", ticket: effect.ticket }); return;
      case "replace": throw new Error("nobody asked for a replace");
    }
  }

  #post(request: OrderRequest): void {
    const answer = (afterMs: number, outcome: SubmitOutcome): void =>
      this.deliver(afterMs, { kind: "submitted", id: request.id, outcome });
    if (this.#chance(this.faults.limited)) return answer(5, { outcome: "limited", retryAfterMs: 200 });
    this.posts.push(request);
    this.sent.push(`${this.#epoch}/${request.id}`);
    const byHand = this.onSubmit?.(request) ?? null;
    if (byHand !== null && byHand !== "drop-answer") return answer(5, byHand);
    const isUnknown = byHand === "drop-answer" || this.#chance(this.faults.unknown);
    // It may have been lost on its way there, or its answer on the way back, or be very late.
    const fate = byHand === "drop-answer" ? 0.5 : isUnknown ? this.#random.uniform() : 1;
    if (fate < 0.34) return answer(50, { outcome: "unknown", reason: "reset" });
    this.later(fate < 0.67 && isUnknown ? this.#delay(1_500) : this.#delay(20), () => {
      const outcome = this.accept(request);
      if (!isUnknown) answer(this.#delay(20), outcome);
    });
    if (isUnknown) answer(50, { outcome: "unknown", reason: "timed out" });
  }

  /** The broker takes an order in. */
  accept(request: OrderRequest): SubmitOutcome {
    const known = this.held.get(request.id);
    if (known !== undefined) { known.posts++; return { outcome: "duplicate" }; }
    const order: BrokerOrder = {
      id: request.id, brokerId: `b${++this.#numbers}`, symbol: request.symbol, quantity: request.quantity, filled: 0,
      averagePrice: NaN, type: request.type, limitPrice: request.limitPrice ?? NaN, state: "accepted", word: "new",
      submittedAt: this.now, replacedBy: null, replaces: null,
    };
    if (this.#chance(this.faults.rejected)) return { outcome: "rejected", code: "40310000", reason: "insufficient buying power" };
    this.held.set(request.id, { order, posts: 1 });
    this.#tell("new", order, null, NaN);
    if (this.fillsAtOnce && request.type === "market") this.later(this.#delay(30), () => this.#fillSome(request.id));
    return { outcome: "accepted", order };
  }

  #fillSome(id: string): void {
    const order = this.held.get(id)!.order;
    if (order.state !== "accepted" && order.state !== "partially-filled" && order.state !== "pending-cancel") return;
    const left = Math.abs(order.quantity - order.filled);
    const part = this.#chance(this.faults.partial) ? Math.max(1, Math.floor(left / 2)) : left;
    this.fill(id, Math.min(left, part));
    if (part < left) this.later(this.#delay(200), () => this.#fillSome(id));
  }

  /** The broker fills `part` units of an order; says so. */
  fill(id: string, part: number): void {
    const { order } = this.held.get(id)!;
    const quantity = Math.sign(order.quantity) * part, price = this.price.get(order.symbol)!;
    const filled = order.filled + quantity;
    const averagePrice = ((order.filled === 0 ? 0 : order.averagePrice * order.filled) + quantity * price) / filled;
    const isWhole = Math.abs(filled - order.quantity) < 1e-9;
    this.#set(id, { filled, averagePrice, state: isWhole ? "filled" : order.state === "pending-cancel" ? order.state
      : "partially-filled" });
    this.units.set(order.symbol, this.units.get(order.symbol)! + quantity);
    this.cash -= quantity * price;
    this.#tell(isWhole ? "fill" : "partial-fill", this.held.get(id)!.order, `x${++this.#numbers}`, quantity, price);
    this.check();
  }

  /** Somebody else trades on the account. `isTold`: as an order that the stream tells of. */
  tradeOutside(symbol: string, quantity: number, isTold = true): void {
    this.units.set(symbol, this.units.get(symbol)! + quantity);
    this.cash -= quantity * this.price.get(symbol)!;
    if (!isTold) return;
    const id = `manual-${++this.#numbers}`;
    const order: BrokerOrder = {
      id, brokerId: `b${++this.#numbers}`, symbol, quantity, filled: quantity, averagePrice: this.price.get(symbol)!,
      type: "market", limitPrice: NaN, state: "filled", word: "filled", submittedAt: this.now, replacedBy: null, replaces: null,
    };
    this.held.set(id, { order, posts: 1 });
    this.#tell("fill", order, `x${++this.#numbers}`, quantity, this.price.get(symbol));
  }

  /** The broker puts another order, "replacement", in the place of an open one. `carried`: units it counts as filled. */
  replaceOutside(id: string, quantity: number, carried: number, isTold: boolean): void {
    const { order } = this.held.get(id)!;
    const next: BrokerOrder = { ...order, id: "replacement", brokerId: "b-replacement", quantity, filled: carried,
      replaces: order.brokerId,
      state: carried === 0 ? "accepted" : "partially-filled" };
    this.#set(id, { state: "replaced" });
    this.held.set(next.id, { order: next, posts: 1 });
    this.#tell("replaced", this.held.get(id)!.order, null, NaN);
    if (isTold) this.#tell("new", next, null, NaN);
  }

  #cancel(id: string, brokerId: string): void {
    this.cancels.push(id);
    if (this.cancelsToLose-- > 0) {
      return this.deliver(50, { kind: "cancelled", id, outcome: { outcome: "unknown", reason: "reset" } });
    }
    this.later(this.#delay(20), () => {
      const found = [...this.held.values()].find(({ order }) => order.brokerId === brokerId);
      const isOpen = found !== undefined && ["accepted", "partially-filled", "pending-cancel"].includes(found.order.state);
      if (!isOpen) return this.deliver(5, { kind: "cancelled", id, outcome: { outcome: "too-late", reason: "not open" } });
      this.deliver(this.#delay(10), { kind: "cancelled", id, outcome: { outcome: "accepted" } });
      this.#set(id, { state: "pending-cancel" });
      if (!this.isCancelStuck) this.later(this.#delay(50), () => this.#end(id, "cancelled"));
    });
  }

  /** Ends an open order at the broker. */
  end(id: string, state: "cancelled" | "rejected" | "expired"): void { this.#end(id, state); }
  #end(id: string, state: "cancelled" | "rejected" | "expired"): void {
    const { order } = this.held.get(id)!;
    if (!["accepted", "partially-filled", "pending-cancel"].includes(order.state)) return;
    this.#set(id, { state });
    this.#tell(state, this.held.get(id)!.order, null, NaN);
  }

  #set(id: string, change: { state?: OrderState; filled?: number; averagePrice?: number }): void {
    const one = this.held.get(id)!;
    one.order = { ...one.order, ...change };
  }

  #tell(event: BrokerUpdate["event"], order: BrokerOrder, executionId: string | null, quantity: number, price = NaN): void {
    const update: BrokerUpdate = { at: this.now, event, word: event, executionId, quantity, price, order };
    if (!this.isProven || this.#chance(this.faults.lostUpdate)) return;
    this.deliver(this.#delay(40), { kind: "update", update });
    if (this.#chance(this.faults.twiceUpdate)) this.deliver(this.#delay(400), { kind: "update", update });
  }

  open(): Held[] {
    return [...this.held.values()].filter(({ order }) => ["accepted", "partially-filled",
      "pending-cancel"].includes(order.state));
  }

  /** Runs all events of the next `durationMs`. */
  run(durationMs: number): void {
    const until = this.now + durationMs;
    for (;;) {
      let next = -1;
      for (let k = 0; k < this.#events.length; k++) {
        const event = this.#events[k];
        if (event.at > until) continue;
        if (next < 0 || event.at < this.#events[next].at || event.at === this.#events[next].at
          && event.rank < this.#events[next].rank) next = k;
      }
      if (next < 0) break;
      const [event] = this.#events.splice(next, 1);
      this.now = Math.max(this.now, event.at);
      event.run();
    }
    this.now = until;
  }

  target(units: readonly number[], at = this.now): TargetCommand {
    const { symbols } = this.session;
    return {
      kind: "target", at, instrument: Int32Array.from(symbols.keys()), weight: new Float64Array(symbols.length),
      units: Float64Array.from(units), price: Float64Array.from(symbols, (symbol) => this.price.get(symbol)!), equity: 1e6,
        actions: [],
    };
  }

  control(action: ControlCommand["action"], value = ""): ControlCommand {
    return { kind: "control", at: this.now, action, by: "user", subject: "", value };
  }

  last<Kind extends Spoken["kind"]>(kind: Kind): Extract<Spoken, { kind: Kind }> | undefined {
    return this.said.findLast((one): one is Extract<Spoken, { kind: Kind }> => one.kind === kind);
  }
  all<Kind extends Spoken["kind"]>(kind: Kind): Extract<Spoken, { kind: Kind }>[] {
    return this.said.filter((one): one is Extract<Spoken, { kind: Kind }> => one.kind === kind);
  }
  alerts(code: string): AlertFact[] { return this.all("alert").filter((alert) => alert.code === code); }
  position(symbol = "AAA"): number { return this.units.get(symbol)!; }
  books(): number[] { return [...this.last("account")?.units ?? []]; }
}
