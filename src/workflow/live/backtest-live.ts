/**
 * `dmn backtest --engine live`: the graph of `dmn live` itself, run over a stored market. Model worker,
 * aggregator, portfolio and execution are the live ones, joined by memory without delays; the exchange fills
 * at the close that was decided on.
 *
 *     stored bars, features ──step──> model ─> aggregator ─> portfolio ─> execution ─> Exchange
 *                    \──close──> Account <───────────────────────── fill ────┘
 *
 * Without friction it equals the event engine at lag 0, under the same limits. What happens to an account
 * besides its trades (borrow, splits, dividends) happens at a broker: such settings are refused, and prices
 * are adjusted.
 */
import { Account } from "../../backtest/event-account.ts";
import { explainDifference } from "../../backtest/event-differences.ts";
import { adjustedPrices, rawPrices, type PriceRows } from "../../backtest/event-market.ts";
import { Tape } from "../../backtest/event-orders.ts";
import type { RunPlan } from "../../backtest/event-plan.ts";
import { Run } from "../../backtest/event-run.ts";
import { perform, putTogether, setStage, termsOf, totalReturn, tradesRaw, type Performance, type Stage }
  from "../../backtest/event-stage.ts";
import { accountResult } from "../../backtest/event.ts";
import { sizingOf, type BacktestInput } from "../../backtest/input.ts";
import type { BacktestResult } from "../../backtest/result.ts";
import { askAll, vectorResult } from "../../backtest/vector.ts";
import { assert } from "../../base/assert.ts";
import { UserError } from "../../base/error.ts";
import { FREE } from "../../live/execution/desk.ts";
import { openShaper, type Shaper } from "../../strategy/optimise/shaper.ts";
import { WINDOW_ROWS } from "../../strategy/risk-window.ts";
import { BAR_FIELDS, BAR_FLAGS, type FeaturesFact, type FillFact,
  type MarketFact } from "../../live/message.ts";
import type { Session } from "../../live/session.ts";
import { calendar } from "../../market/calendar.ts";
import { Exchange, FRICTIONLESS } from "../../simulator/exchange.ts";
import { HONEST, MemoryVenue } from "./memory-broker.ts";
import { MemoryBus } from "./memory-bus.ts";
import { CALM, type Entry } from "./memory-process.ts";
import { memoryGraph } from "./memory-graph.ts";
import { MemoryDisk } from "./memory-rims.ts";
import { simulatedSession } from "./simulation.ts";
import { VirtualTime } from "./virtual-time.ts";

const WORKER = "model";
/** Rows of features from before the first decision that a window may need beyond the lookback. */
const ROWS_BEFORE = 64;
/** In virtual time nothing is lost that a look at the account would find. */
const NEVER_MS = 1e13;

/**
 * Runs the strategy through the live graph. UserError for an empty window and for terms it cannot trade
 * under.
 */
export async function runLive(input: BacktestInput): Promise<BacktestResult> {
  refuseTerms(input);
  const answers = await askAll(input, input.strategy), vector = await vectorResult(input, answers);
  const stage = setStage(input, answers), event = perform(stage, termsOf(input));
  const played = [];
  const { method = "volatility", weightMax } = input.settings;
  for (const plan of stage.plans) {
    const shaper = await openShaper(method, plan.members.length, { weightMax });
    played.push(await new LiveRun(stage, plan, shaper).play());
  }
  const live = putTogether(stage, played);
  return withNote(accountResult(stage, vector, live, [...explainDifference(stage, vector.curve, event),
    liveDifference(stage, event, live)], "live"), stage);
}

function refuseTerms({ settings }: BacktestInput): void {
  const { lag, costs } = settings;
  const problem = lag !== 0 ? "trades at the close that it decides on (--lag 0)"
    : costs.borrowBps > 0
      || costs.financingBps > 0 ? "knows no cost of holding (--borrow-bps, --financing-bps)"
      : costs.costBps > 0 || costs.isHalfSpreadCharged ? "pays no fees (--cost-bps, --half-spread)" : null;
  if (problem === null) return;
  throw new UserError(`the live engine ${problem}`, "leave that out, or use --engine event");
}

function liveDifference(stage: Stage, event: Performance,
  live: Performance): BacktestResult["differences"][number] {
  const total = (one: Performance): number => totalReturn(one.book, stage.stretches);
  return { what: "live graph", returnDifference: total(live) - total(event),
    why: "the processes of dmn live decided and traded, over memory; more than rounding here means that live "
      + "and backtest disagree" };
}

function withNote(result: BacktestResult, stage: Stage): BacktestResult {
  if (!tradesRaw(stage.input)
    || stage.input.instruments.every(({ actions }) => actions.length === 0)) return result;
  return { ...result, notes: [...result.notes,
    "Live engine: instruments with splits or dividends were traded at adjusted prices."] };
}

/** One run of the account: a graph that starts with no positions. */
class LiveRun {
  readonly #stage: Stage;
  readonly #plan: RunPlan;
  readonly #prices: readonly PriceRows[];
  readonly #account: Account;
  readonly #tape = new Tape();
  readonly #run: Run;
  readonly #time: VirtualTime;
  readonly #bus: MemoryBus;
  readonly #venue: MemoryVenue;
  /** (all instruments) place among the graph's symbols; -1: never decided on. */
  readonly #place: Int32Array;
  readonly #width: number;
  readonly #symbols: readonly string[];
  #settledAt = -Infinity;

  constructor(stage: Stage, plan: RunPlan, shaper: Shaper | null) {
    const { input, scene } = stage, { instruments, settings } = input;
    this.#stage = stage;
    this.#plan = plan;
    const isRaw = tradesRaw(input), sessions = calendar(input.dataset.calendar);
    this.#prices = instruments.map((one) =>
      isRaw && one.actions.length === 0 ? rawPrices(one, sessions) : adjustedPrices(one));
    this.#account = new Account(instruments.length, scene.capital);
    this.#run = new Run(plan, scene.capital);
    this.#place = new Int32Array(instruments.length).fill(-1);
    plan.members.forEach((i, k) => { this.#place[i] = k; });
    this.#width = instruments[0].features.names.length;
    const session = sessionOf(input, plan);
    this.#symbols = session.symbols;
    this.#time = new VirtualTime(scene.timeline.time[plan.rowStep[0]] - 1);
    const exchange = new Exchange({ symbols: session.symbols, capital: scene.capital,
      calendar: input.dataset.calendar, terms: { ...FRICTIONLESS,
        slippageBps: settings.slippageBps, participationMax: settings.participationMax } });
    this.#venue = new MemoryVenue(exchange, this.#time, 0, HONEST);
    this.#bus = new MemoryBus({ time: this.#time, seed: 0, weather: CALM, tickMs: null, isRetaining: false,
      restartMs: 0, onEntry: (entry) => { this.#hear(entry); } });
    const { strategy } = input;
    const graph = memoryGraph({ session, panel: { names: instruments[0].features.names },
      instruments: [...plan.members].map((i) => instruments[i].instrument),
      periodsPerYear: sizingOf(settings).periodsPerYear, limits: settings.limits, shaper,
      strategies: new Map([[WORKER, () => strategy]]), time: this.#time, disk: new MemoryDisk(this.#time),
      connect: (host) => this.#venue.connect(host),
      execution: { permits: FREE, reconcileMs: NEVER_MS } });
    for (const process of graph) this.#bus.add(process);
  }

  /** As Replay.play: a row ends where the next one begins, and steps between rows count to the row before. */
  async play(): Promise<{ readonly run: Run; readonly tape: Tape }> {
    const { rowStep, endStep } = this.#plan, { signal } = this.#stage.input;
    const lastDecision = rowStep[rowStep.length - 1];
    await this.#time.run(0);
    await this.#remember(rowStep[0]);
    let row = 0;
    for (let step = rowStep[0]; step <= endStep; step++) {
      this.#mark(step, lastDecision);
      const equity = this.#account.equity(), isRow = row < rowStep.length && step === rowStep[row];
      if (isRow && row++ > 0) this.#run.end(row - 2, equity, this.#account);
      if (step === endStep) { this.#run.end(row - 1, equity, this.#account); break; }
      if (step <= lastDecision) await this.#decide(step);
      if (isRow) this.#run.expose(row - 1, this.#account, equity);
      signal?.throwIfAborted();
    }
    return { run: this.#run, tape: this.#tape };
  }

  #hear({ what, message, process, text }: Entry): void {
    assert(what !== "crashed", `${process} ended: ${text}`);
    if (what !== "said" || message === null) return;
    if (message.kind === "settled") this.#settledAt = (message as { at?: number }).at!;
    if (message.kind !== "fill") return;
    const { instrument, quantity, price, fee, at } = message as FillFact, i = this.#plan.members[instrument];
    this.#account.fill(i, quantity, price, fee);
    this.#tape.fills++;
    this.#tape.add(at, i, quantity, quantity, price, fee);
  }

  #mark(step: number, lastDecision: number): void {
    const { scene: { timeline } } = this.#stage;
    for (let entry = timeline.start[step]; entry < timeline.start[step + 1]; entry++) {
      const i = timeline.instrument[entry], row = timeline.row[entry];
      if (step > lastDecision && row > this.#plan.endRow[i]) continue;
      this.#account.markTo(i, this.#prices[i].close[row]);
    }
  }

  /** The windows' rows from before the first decision. */
  async #remember(first: number): Promise<void> {
    const { scene: { timeline }, input } = this.#stage;
    const rows = input.strategy.lookback + ROWS_BEFORE, from = new Int32Array(input.instruments.length);
    const start = timeline.time[first];
    input.instruments.forEach((one, i) => {
      let row = 0;
      while (row < one.features.time.length && one.features.time[row] < start) row++;
      from[i] = Math.max(0, row - rows);
    });
    // A matrix of correlations needs returns from before the first decision; nothing else looks back.
    const isShaped = (input.settings.method ?? "volatility") !== "volatility";
    for (let step = isShaped ? Math.max(0, first - WINDOW_ROWS) : first; step < first; step++) {
      await this.#bus.tell(this.#bars(step, BAR_FLAGS.history));
    }
    for (let step = 0; step < first; step++) {
      const fact = this.#features(step, BAR_FLAGS.history, from);
      if (fact.instrument.length > 0) await this.#bus.tell(fact);
    }
  }

  async #decide(step: number): Promise<void> {
    const { timeline } = this.#stage.scene, at = timeline.time[step];
    const bars = this.#bars(step);
    if (bars.instrument.length === 0) return;
    await this.#time.run(at - this.#time.start);
    this.#venue.onBars([...bars.instrument].map((k, n) => {
      const close = bars.bars[n * BAR_FIELDS.length + 3], volume = bars.bars[n * BAR_FIELDS.length + 4];
      return { symbol: this.#symbols[k], start: at - 1, at, open: close, high: close, low: close, close,
        volume };
    }));
    await this.#bus.tell(bars);
    await this.#bus.tell(this.#features(step, BAR_FLAGS.fresh, null));
    await this.#time.run(at - this.#time.start);
    assert(this.#settledAt === at, `the step of ${new Date(at).toISOString()} has settled`);
  }

  #bars(step: number, flag: number = BAR_FLAGS.fresh): MarketFact {
    const { timeline } = this.#stage.scene, width = BAR_FIELDS.length;
    const own = this.#entries(step), bars = new Float64Array(own.length * width).fill(NaN);
    own.forEach((entry, n) => {
      const { close, volume } = this.#prices[timeline.instrument[entry]], row = timeline.row[entry];
      bars[n * width + 3] = close[row];
      bars[n * width + 4] = volume === null ? NaN : volume[row];
    });
    return { kind: "market", at: timeline.time[step], bars,
      instrument: Int32Array.from(own, (entry) => this.#place[timeline.instrument[entry]]),
      flags: new Uint8Array(own.length).fill(flag) };
  }

  #entries(step: number): number[] {
    const { timeline } = this.#stage.scene, own: number[] = [];
    for (let entry = timeline.start[step]; entry < timeline.start[step + 1]; entry++) {
      if (this.#place[timeline.instrument[entry]] >= 0) own.push(entry);
    }
    return own;
  }

  /** Rows of a step; an instrument's last one earns nothing, and is not decided on: it has no features. */
  #features(step: number, flag: number, from: Int32Array | null): FeaturesFact {
    const { scene: { timeline }, input } = this.#stage, width = this.#width;
    const own = this.#entries(step).filter((entry) =>
      from === null || timeline.row[entry] >= from[timeline.instrument[entry]]);
    const rows = new Float32Array(own.length * width).fill(NaN);
    own.forEach((entry, n) => {
      const { values, time } = input.instruments[timeline.instrument[entry]].features,
        row = timeline.row[entry];
      if (row < time.length - 1) rows.set(values.subarray(row * width, (row + 1) * width), n * width);
    });
    return { kind: "features", at: timeline.time[step], rows,
      instrument: Int32Array.from(own, (entry) => this.#place[timeline.instrument[entry]]),
      flags: new Uint8Array(own.length).fill(flag) };
  }
}

/** The settings of a backtest as a session. */
function sessionOf(input: BacktestInput, plan: RunPlan): Session {
  const { instruments, settings, strategy, dataset } = input;
  const { volatilityTarget, weightMax, portfolioTarget, capital } = settings;
  const isFractional = settings.isFractional || !tradesRaw(input)
    || instruments.some(({ actions }) => actions.length > 0);
  return simulatedSession({
    symbols: [...plan.members].map((i) => instruments[i].instrument.symbol), calendar: dataset.calendar,
    timeframe: dataset.timeframe, strategyName: "backtest",
      models: [{ worker: WORKER, strategy: "backtest" }],
    sizing: { volatilityTarget, weightMax: weightMax === Infinity ? null : weightMax, portfolioTarget,
      method: settings.method ?? "volatility", isFractional, capital },
    clock: { kind: "market", isStepped: true, barsPerSecond: null },
    execution: { style: "market", slices: 1, timeoutMs: NEVER_MS, callsPerMinute: 1_000_000 },
  }, { recipe: strategy.recipe, hash: strategy.recipeHash ?? "" });
}
