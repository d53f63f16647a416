/**
 * A recorded session lived again: the same actors over memory hear the prices, notices, fills and commands
 * that were recorded, at their moments, and say what they make of them.
 *
 *     recorded market, quote, notice ──> features ─> models ─> decision ─> execution ──order──┐
 *     recorded fills of that order    <──────────────────────────────────── RecordedBroker <──┘
 *
 * An order that was not recorded is never filled: it is a difference, and so is what follows from it.
 */
import type { Panel } from "../../features/panel.ts";
import { BrokerTrouble, type Broker, type BrokerListener, type BrokerOrder, type BrokerUpdate,
  type OrderRequest, type Standing, type SubmitOutcome } from "../../live/brokers/broker.ts";
import { FREE, STRICT } from "../../live/execution/desk.ts";
import { isTerminal, type AccountFact, type ControlCommand, type FillFact, type MarketFact, type OrderFacts,
  type Spoken,
  type TradingStateFact } from "../../live/message.ts";
import type { Recorded } from "../../live/recorder/journal.ts";
import type { Session } from "../../live/session.ts";
import type { Instrument } from "../../market/instrument.ts";
import type { RiskLimits } from "../../strategy/risk.ts";
import type { Shaper } from "../../strategy/optimise/shaper.ts";
import type { Strategy } from "../../strategy/strategy.ts";
import { asHappened } from "./report-order.ts";
import { MemoryBus } from "./memory-bus.ts";
import { CALM, type MemoryProcess } from "./memory-process.ts";
import { featuresProcess, memoryGraph } from "./memory-graph.ts";
import { MemoryDisk } from "./memory-rims.ts";
import { VirtualTime } from "./virtual-time.ts";

export interface ReplayOptions {
  readonly session: Session;
  /** Of this session alone, in the order heard. */
  readonly recorded: readonly Pick<Recorded, "heardAt" | "message">[];
  readonly panel: Panel;
  readonly instruments: readonly Instrument[];
  readonly periodsPerYear: number;
  readonly limits: RiskLimits;
  readonly shaper?: Shaper | null;
  /** By worker. */
  readonly strategies: ReadonlyMap<string, Strategy>;
}

const TICK_MS = 500;
/**
 * On a market's clock time leaps from bar to bar, and is the machine's until the first one: whoever waits has
 * waited for the first of these between two bars, and for the second at most between two messages.
 */
const LEAP_MS = 1, SILENCE_MAX_MS = 1_000;
/** After the last message, for what is still on its way. */
const REST_MS = 5_000;

/** Everything that the actors say when they hear what was recorded. */
export async function replayRecorded(options: ReplayOptions): Promise<Spoken[]> {
  const { session } = options, recorded = asHappened(options.recorded, session), said: Spoken[] = [];
  const time = new VirtualTime(recorded[0].heardAt), broker = new RecordedBroker({ session, recorded });
  const bus = new MemoryBus({ time, seed: session.seed, weather: CALM, tickMs: TICK_MS, isRetaining: false,
    restartMs: 0, onEntry: ({ what, message, process, text }) => {
      if (what === "crashed") throw new Error(`${process} ended in the replay: ${text}`);
      if (what === "said") said.push(message as Spoken);
    } });
  for (const process of processesOf(options, time, broker)) bus.add(process);
  const isMarket = session.clock.kind === "market";
  let atMs = 0, timeOf = recorded[0].heardAt, step = -Infinity;
  for (const { message, heardAt } of recorded) {
    const isStep = message.kind === "market" && message.at > step, told = isMarket ? message.at : heardAt;
    if (isStep) step = message.at;
    const passedMs = Math.min(Math.max(0, told - timeOf), isMarket ? SILENCE_MAX_MS : Infinity);
    atMs += isStep && isMarket ? LEAP_MS : passedMs;
    // It leaps back to the first bar.
    timeOf = isMarket ? told : timeOf + passedMs;
    await time.run(atMs);
    bus.setClocks(timeOf - time.now());
    await relive(message, bus, broker);
    await time.run(atMs);
  }
  await time.run(atMs + REST_MS);
  return said;
}

function processesOf({ strategies, ...options }: ReplayOptions,
  time: VirtualTime, broker: RecordedBroker): MemoryProcess[] {
  const { session, panel } = options;
  return [...memoryGraph({ ...options, time,
    strategies: new Map([...strategies].map(([worker, strategy]) => [worker, () => strategy])),
    disk: new MemoryDisk(time), connect: () => broker,
    execution: { permits: session.timeframe === "1d" ? FREE : STRICT } }), featuresProcess(session, panel)];
}

/** Hands on what came from outside the graph. */
async function relive(message: Spoken, bus: MemoryBus, broker: RecordedBroker): Promise<void> {
  switch (message.kind) {
    case "market": broker.mark(message); await bus.tell(message); return;
    case "quote": case "notice": await bus.tell(message); return;
    case "account": broker.correct(message); return;
    case "fill": broker.fill(message); return;
    case "order-state": broker.rest(message.order, message.at); return;
    case "settled": broker.settle(); return;
    case "trading-state": {
      const command = commandOf(message);
      if (command !== null) bus.hand(command);
      return;
    }
    default:
  }
}

/** The command that a person must have given for this state. */
function commandOf({ at, state, by, reason }: TradingStateFact): ControlCommand | null {
  if (by !== "user" && by !== "supervisor") return null;
  const action = ({ ACTIVE: "resume", REDUCING: "reduce", HALTED: "halt" } as const)[state];
  return { kind: "control", at, action, by, subject: "", value: reason };
}

/** A broker that knows what became of each order, and nothing else. Exported for its test. */
export class RecordedBroker implements Broker {
  readonly name = "recorded";
  readonly isPaper = true;
  readonly #symbols: readonly string[];
  readonly #first: AccountFact | null;
  /** Last word on each order that was recorded. */
  readonly #known = new Map<string, OrderFacts>();
  readonly #orders = new Map<string, BrokerOrder>();
  readonly #open = new Map<string, BrokerOrder>();
  /** UTC ms, of orders that have come to rest. */
  readonly #closedAt = new Map<string, number>();
  /** What became of orders before they were submitted here: live was faster. */
  readonly #early = new Map<string, (() => void)[]>();
  /** What the fills among them cost: the accounts that were recorded behind them have counted it. */
  #earlyCost = 0;
  readonly #units: Float64Array;
  readonly #mark: Float64Array;
  #cash: number;
  #buyingPower: number;
  /** What is known of the account from here to the next step, oldest first. */
  #accounts: AccountFact[] = [];
  readonly #steps: AccountFact[][] = [[]];
  /** Who waits to be told that all has come to rest: that was when live settled. */
  readonly #asked: ((standing: Standing) => void)[] = [];
  #listener: BrokerListener | null = null;

  constructor({ session, recorded }: Pick<ReplayOptions, "session" | "recorded">) {
    this.#symbols = session.symbols;
    const account = recorded.find(({ message }) => message.kind === "account"
      && message.isReconciled)?.message;
    this.#first = (account as AccountFact | undefined) ?? null;
    this.#units = this.#first?.units.slice() ?? new Float64Array(session.symbols.length);
    this.#mark = new Float64Array(session.symbols.length);
    this.#cash = this.#first?.cash ?? NaN;
    this.#buyingPower = this.#first?.buyingPower ?? NaN;
    for (const { message } of recorded) {
      if (message.kind === "order-state") this.#known.set(message.order.id, message.order);
      if (message.kind === "market") this.#steps.push([]);
      if (message.kind === "account" && message.isReconciled) this.#steps.at(-1)!.push(message);
    }
    this.#accounts = this.#steps.shift()!;
  }

  mark({ instrument, bars }: MarketFact): void {
    const width = bars.length / instrument.length;
    this.#accounts = this.#steps.shift() ?? [];
    instrument.forEach((i, k) => { this.#mark[i] = bars[k * width + 3]; });
  }

  /** Interest, dividends and fees are known by what they leave behind. */
  correct({ cash, buyingPower, isReconciled }: AccountFact): void {
    if (!isReconciled) return;
    this.#accounts.shift();
    this.#cash = cash;
    this.#buyingPower = buyingPower;
  }

  fill(fact: FillFact, isLate = false): void {
    const { orderId, executionId, quantity, price, fee, at } = fact, order = this.#orders.get(orderId);
    const cost = quantity * price + fee;
    if (order === undefined) {
      this.#earlyCost += cost;
      this.#keep(orderId, () => { this.fill(fact, true); });
      return;
    }
    const filled = order.filled + quantity, isFilled = Math.abs(filled) >= Math.abs(order.quantity) - 1e-9;
    const averagePrice =
      ((order.filled === 0 ? 0 : order.averagePrice * order.filled) + price * quantity) / filled;
    const now: BrokerOrder =
      { ...order, filled, averagePrice, state: isFilled ? "filled" : "partially-filled",
      word: isFilled ? "filled" : "partially_filled" };
    this.#units[this.#symbols.indexOf(order.symbol)] += quantity;
    if (isLate) this.#earlyCost -= cost; else this.#cash -= cost;
    this.#tell(now, { at, event: isFilled ? "fill" : "partial-fill", executionId, quantity, price });
  }

  /** Live had settled here. */
  settle(): void {
    const standing = { orders: [...this.#open.values()], buyingPower: this.#buyingPower };
    for (const tell of this.#asked.splice(0)) tell(standing);
  }

  /** An order came to rest otherwise than by fills. */
  rest(facts: OrderFacts, at: number): void {
    const { id, state, reason } = facts, order = this.#orders.get(id);
    if (state !== "cancelled" && state !== "expired" && state !== "rejected") return;
    if (order === undefined) { this.#keep(id, () => { this.rest(facts, at); }); return; }
    if (isTerminal(order.state)) return;
    this.#tell({ ...order, state, word: reason ?? state },
      { at, event: state, executionId: null, quantity: NaN,
      price: NaN });
  }

  #keep(id: string, tell: () => void): void {
    this.#early.set(id, [...this.#early.get(id) ?? [], tell]);
  }

  #tell(order: BrokerOrder, update: Omit<BrokerUpdate, "order" | "word">): void {
    this.#keepOrder(order);
    if (isTerminal(order.state)) this.#closedAt.set(order.id, update.at);
    this.#listener?.update({ ...update, word: order.word, order });
  }

  #keepOrder(order: BrokerOrder): void {
    this.#orders.set(order.id, order);
    if (isTerminal(order.state)) this.#open.delete(order.id); else this.#open.set(order.id, order);
  }

  account() {
    if (this.#first === null) return Promise.reject(new BrokerTrouble("no account was recorded"));
    const cash = this.#cash + this.#earlyCost;
    const equity = this.#units.reduce((sum, units, i) => sum + units * this.#mark[i], cash);
    // Orders only take from it: where it grew, the broker had been asked, and this was the answer.
    const grown = this.#accounts.find(({ buyingPower }) => buyingPower > this.#buyingPower)
      ?? this.#accounts[0];
    return Promise.resolve({ equity, cash, buyingPower: grown?.buyingPower ?? this.#buyingPower,
      isTradingBlocked: false, oddities: [] });
  }
  positions() {
    return Promise.resolve([...this.#symbols].flatMap((symbol, i) =>
      this.#units[i] === 0 ? [] : [{ symbol, units: this.#units[i], averagePrice: NaN }]));
  }
  /** Not those of long ago: execution has forgotten them, and would book their fills again. */
  orders(since: number) {
    return Promise.resolve([...this.#orders.values()].filter(({ id }) =>
      (this.#closedAt.get(id) ?? Infinity) >= since));
  }
  standing(): Promise<Standing> {
    return new Promise((resolve) => { this.#asked.push(resolve); });
  }
  orderById(id: string) { return Promise.resolve(this.#orders.get(id) ?? null); }
  asset(symbol: string) {
    return Promise.resolve({ symbol, isTradable: true, isShortable: true, isFractionable: true });
  }
  clock() { return Promise.resolve({ at: NaN, isOpen: true, nextOpen: NaN, nextClose: NaN }); }

  submit({ id, symbol, quantity, type, limitPrice }: OrderRequest): Promise<SubmitOutcome> {
    const known = this.#known.get(id);
    if (known?.state === "rejected" && known.filled === 0) {
      return Promise.resolve({ outcome: "rejected", code: "recorded", reason: known.reason ?? "rejected" });
    }
    const order: BrokerOrder = { id, brokerId: known?.brokerId ?? id, symbol, quantity, filled: 0,
      averagePrice: NaN, type, limitPrice: limitPrice ?? NaN, state: "accepted", word: "accepted",
      submittedAt: known?.decidedAt ?? NaN, replacedBy: null, replaces: null };
    this.#keepOrder(order);
    const early = this.#early.get(id) ?? [];
    this.#early.delete(id);
    queueMicrotask(() => { for (const tell of early) tell(); });
    return Promise.resolve({ outcome: "accepted", order });
  }
  cancel() { return Promise.resolve({ outcome: "accepted" } as const); }
  cancelAll() { return Promise.resolve([]); }
  replace(_brokerId: string, order: Pick<OrderRequest, "id">): Promise<SubmitOutcome> {
    return Promise.resolve({ outcome: "rejected", code: "recorded", reason: `${order.id} replaces nothing` });
  }
  listen(listener: BrokerListener): void {
    this.#listener = listener;
    listener.stream(true, "recorded");
  }
  [Symbol.asyncDispose]() { return Promise.resolve(); }
}
