/**
 * From decisions to targets: what the members want together becomes units that may be held.
 *
 *     market ───> prices ──returns──> ┌─────────────┐
 *     account ─┐                      │ TargetMaker │ ──> target (units wanted)
 *     fill ────┴> units, cash, equity │  (strategy/ │ ──> control flatten, alert    drawdown limit reached
 *     decision ─> weights ──shaper──> │  target.ts) │ ──> keep (effect)             what a restart needs
 *                                     └─────────────┘
 *
 * The arithmetic is the event engine's. Every decision is answered by one target, an empty one when nothing
 * may be traded, so that a stepped clock goes on. It starts from history (returns), the last account (what is
 * held) and, where its process keeps one, its own snapshot (drawdown, second scaling).
 */
import { assert } from "../../base/assert.ts";
import { calendar, type Calendar } from "../../market/calendar.ts";
import type { Instrument } from "../../market/instrument.ts";
import type { Shaper } from "../../strategy/optimise/shaper.ts";
import { weightOf } from "../../strategy/portfolio.ts";
import { act, isDrawnDown, RISK_REASONS, type RiskAction, type RiskLimits, type RiskReason }
  from "../../strategy/risk.ts";
import { TargetMaker, unitsOf, type TargetRules, type TargetSnapshot } from "../../strategy/target.ts";
import type { Actor } from "../actor.ts";
import { BAR_FLAGS, type AccountFact, type AlertFact, type ControlCommand, type DecisionFact, type FillFact,
  type MarketFact, type NoticeFact, type Spoken, type TargetCommand, type TradingStateFact }
  from "../message.ts";
import type { Session } from "../session.ts";
import { StepPrices } from "./portfolio-prices.ts";

export interface PortfolioOptions {
  readonly session: Session;
  /** (N) in the order of session.symbols. */
  readonly instruments: readonly Instrument[];
  readonly periodsPerYear: number;
  readonly limits: RiskLimits;
  /** Bars from a decision to its trade, for the second scaling. Live trades at once: 0 (default). */
  readonly lag?: 0 | 1;
  /** Opened for session.sizing.method; null (default) for "volatility". */
  readonly shaper?: Shaper | null;
  /** Says `keep` after each decision: for a process with a rim. Default false. */
  readonly isKept?: boolean;
}

export type PortfolioEffect = { readonly kind: "keep"; readonly snapshot: TargetSnapshot };
/** The rim's first word, when there was a snapshot of as many instruments. */
export type PortfolioOutcome = { readonly kind: "kept"; readonly snapshot: TargetSnapshot };
type Said = Spoken | PortfolioEffect;

/** Reasons that a person is told of when they begin. */
const TOLD: readonly RiskReason[] =
  ["drawdown-limit", "daily-loss", "held-leverage", "reduce-only", "limits-conflict", "intraday-margin"];
/** Own and the broker's equity further apart than this at an account: one of them has missed something. */
const EQUITY_SLACK = 0.02;
/** And ever: prices of ours are wrong, and the broker's equity is used, though it be a step old. */
const EQUITY_TRUST = 0.2;

export function portfolioActor(options: PortfolioOptions): Actor<PortfolioEffect, PortfolioOutcome> {
  const portfolio = new Portfolio(options);
  return {
    name: "portfolio",
    hears: ["market", "decision", "account", "fill", "trading-state", "notice"],
    handle: (message, now) => {
      switch (message.kind) {
        case "market": return portfolio.market(message);
        case "decision": return portfolio.decision(message, now);
        case "account": return portfolio.account(message);
        case "fill": return portfolio.fill(message);
        case "trading-state": return portfolio.tradingState(message);
        case "notice": return portfolio.notice(message);
        case "kept": return portfolio.kept(message.snapshot);
        default: return NOTHING;
      }
    },
  };
}

const NOTHING: readonly never[] = [];

class Portfolio {
  readonly #session: Session;
  readonly #limits: RiskLimits;
  readonly #rules: TargetRules;
  readonly #sessions: Calendar;
  readonly #maker: TargetMaker;
  readonly #prices: StepPrices;
  readonly #shaper: Shaper | null;
  readonly #isKept: boolean;
  /** (N) signed units held, by execution's books. */
  readonly #units: Float64Array;
  readonly #cannotTrade: Uint8Array;
  /** (N) of the decision; 0 where there is none. */
  readonly #weight: Float64Array;
  readonly #volatility: Float64Array;
  #cash = NaN;
  /** As the last account had it. */
  #brokerEquity = NaN;
  #isReconciled = false;
  /** Added to cash + units x close, where the broker's equity says that a price or split is missing. */
  #correction = 0;
  #isHalted = false;
  /** A fresh bar has come: prices are today's, not history on its way here. */
  #isCurrent = false;
  /** A decision whose bars have not come yet: the newest. */
  #waiting: DecisionFact | null = null;
  #decidedAt = -Infinity;
  /** Of the snapshot that it began with. */
  #keptAt = -Infinity;
  #told: ReadonlySet<RiskReason> = new Set();

  constructor(options: PortfolioOptions) {
    const { session, instruments, periodsPerYear, limits, lag = 0, shaper = null, isKept = false } = options;
    const count = session.symbols.length, { sizing } = session;
    assert(instruments.length === count, `${instruments.length} instruments for ${count} symbols`);
    assert((sizing.method === "volatility") === (shaper === null), `${sizing.method} needs its own shaper`);
    this.#shaper = shaper;
    this.#session = session;
    this.#limits = limits;
    this.#rules = { portfolioTarget: sizing.portfolioTarget, limits, isLimited: true, lag,
      sizing: { volatilityTarget: sizing.volatilityTarget, weightMax: sizing.weightMax ?? Infinity,
        periodsPerYear } };
    this.#sessions = calendar(session.calendar);
    this.#maker = new TargetMaker(this.#rules, instruments.map((one) => one.assetClass), sizing.capital);
    this.#prices = new StepPrices(count);
    this.#isKept = isKept;
    this.#units = new Float64Array(count);
    this.#cannotTrade = new Uint8Array(count);
    this.#weight = new Float64Array(count);
    this.#volatility = new Float64Array(count);
  }

  market(fact: MarketFact): readonly Said[] {
    if (fact.at > this.#prices.step) this.#settle();
    this.#prices.take(fact);
    if (!fact.flags.includes(BAR_FLAGS.fresh)) return NOTHING;
    this.#isCurrent = true;
    const waiting = this.#waiting;
    if (waiting !== null && waiting.at <= this.#prices.step) {
      this.#waiting = null;
      return this.decision(waiting, waiting.at);
    }
    return this.#watch(fact.at);
  }

  /** The last step's returns go where they are needed. */
  #settle(): void {
    const returns = this.#prices.settle();
    if (returns === null) return;
    if (this.#prices.step <= this.#keptAt) this.#maker.remember(returns); else this.#maker.observe(returns);
    this.#shaper?.observe(returns);
  }

  notice(fact: NoticeFact): readonly Said[] {
    const { instrument: i, what, value } = fact;
    if (what === "halt" || what === "delisted" || what === "stale") this.#cannotTrade[i] = 1;
    if (what === "resume" || what === "fresh") this.#cannotTrade[i] = 0;
    if (what !== "split" && what !== "dividend") return NOTHING;
    this.#settle();
    this.#prices.adjust(fact);
    // Books that were split before the price was have shown as a correction; else they will be, any moment.
    if (what === "split" && this.#correction !== 0) this.#correction = 0;
    else if (what === "split" && value > 0) this.#units[i] *= value;
    return NOTHING;
  }

  account({ units, cash, equity, buyingPower, isReconciled, at }: AccountFact): readonly Said[] {
    const isFirst = Number.isNaN(this.#cash), { risk } = this.#maker;
    this.#units.set(units);
    this.#cash = cash;
    this.#brokerEquity = equity;
    this.#isReconciled = isReconciled;
    this.#correction = 0;
    const gap = this.#isCurrent ? equity - this.#ownEquity() : NaN;
    const isOff = Math.abs(gap) > EQUITY_SLACK * Math.abs(equity);
    if (isOff) this.#correction = gap;
    risk.buyingPower = this.#limits.marginMax < Infinity && equity > 0 ? buyingPower / equity : Infinity;
    // Without a snapshot, the history of the equity begins here.
    if (isFirst && risk.day === -Infinity) risk.equity = risk.peak = risk.dayStart = equity;
    if (!isOff) return NOTHING;
    return [this.#alert(at, "warning", "equity-differs", `the broker's equity is ${equity.toFixed(2)} and `
      + `ours ${(equity - gap).toFixed(2)}: a price or a split is missing`)];
  }

  fill({ instrument, quantity, price, fee, position }: FillFact): readonly Said[] {
    // A fill that the last account counts already changes nothing.
    if (instrument < 0 || this.#units[instrument] === position) return NOTHING;
    this.#units[instrument] = position;
    this.#cash -= quantity * price + fee;
    return NOTHING;
  }

  tradingState({ state, by }: TradingStateFact): readonly Said[] {
    const { risk } = this.#maker;
    // A person takes responsibility for what was lost: the drawdown is counted from here.
    if (this.#isHalted && state === "ACTIVE" && by === "user") {
      risk.mode = "NORMAL";
      risk.peak = risk.equity;
    }
    this.#isHalted = state === "HALTED";
    risk.isReduceOnly = state === "REDUCING";
    return NOTHING;
  }

  kept(snapshot: TargetSnapshot): readonly Said[] {
    if (snapshot.plain.length !== this.#units.length) return NOTHING;
    this.#maker.restore(snapshot);
    this.#keptAt = snapshot.at;
    return NOTHING;
  }

  decision(fact: DecisionFact, now: number): readonly Said[] {
    const { step } = this.#prices;
    // No trade is made for a past step, nor twice for one; a decision may overtake its bars.
    if (fact.at < step || fact.at <= this.#decidedAt) return NOTHING;
    if (fact.at > step) { this.#waiting = fact; return NOTHING; }
    this.#decidedAt = fact.at;
    this.#settle();
    const equity = this.#equity(), maker = this.#maker, actions: RiskAction[] = [];
    if (Number.isNaN(equity)) return [this.#target(fact.at, [], equity, actions)];
    maker.account(equity, this.#sessions.sessionDay(fact.at));
    maker.begin(this.#units, this.#prices.close, equity);
    const traded = this.#wish(fact, now, actions);
    actions.push(...maker.limit());
    if (!fact.hasQuorum) act(actions, "quorum-lost", fact.members.length, 0);
    if (this.#isHalted) act(actions, "kill-switch", NaN, NaN);
    const isQuiet = this.#isHalted || !this.#isReconciled;
    const said: Said[] =
      [...this.#tell(fact.at, actions), this.#target(fact.at, isQuiet ? [] : traded, equity, actions)];
    if (this.#isKept) said.push({ kind: "keep", snapshot: maker.save(fact.at) });
    return said;
  }

  /** Tells the maker what is wanted of whom; returns who can be traded. */
  #wish({ at, instrument, position, volatility, hasQuorum }: DecisionFact, now: number,
    actions: RiskAction[]): number[] {
    const { sizing } = this.#rules, N = this.#units.length, traded: number[] = [];
    const isClosing = !hasQuorum || this.#maker.risk.mode === "HALTED";
    // Who has a bar and is not decided on is closed, as in the event engine.
    this.#weight.fill(0);
    if (hasQuorum) {
      for (let k = 0; k < instrument.length; k++) {
        this.#weight[instrument[k]] = weightOf(position[k], volatility[k], sizing);
        this.#volatility[instrument[k]] = volatility[k];
      }
    }
    const reason = this.#shaper?.shape(this.#weight, this.#volatility) ?? null;
    if (reason !== null) act(actions, reason, NaN, NaN);
    for (let i = 0; i < N; i++) {
      const hasBar = this.#prices.at[i] === at;
      if (!hasBar && !(isClosing && this.#units[i] !== 0)) continue;
      const ageMs = now - this.#prices.at[i], isStale = hasBar && ageMs > this.#limits.staleMs;
      const isKept = this.#cannotTrade[i] === 1 || isStale;
      this.#maker.want(i, this.#weight[i], N, isKept);
      if (!isKept) traded.push(i);
      else if (this.#weight[i] !== 0 || this.#units[i] !== 0) {
        actions.push({ reason: isStale ? "stale-data" : "halted-symbol", instrument: i,
          before: isStale ? ageMs : 1, after: isStale ? this.#limits.staleMs : 0 });
      }
    }
    return traded;
  }

  #target(at: number, traded: readonly number[], equity: number,
    actions: readonly RiskAction[]): TargetCommand {
    const instrument = Int32Array.from(traded), weight = new Float64Array(traded.length);
    const units = new Float64Array(traded.length), price = new Float64Array(traded.length);
    traded.forEach((i, k) => {
      weight[k] = this.#maker.weights[i];
      const close = this.#prices.close[i];
      // What is closed without a bar of this step has no price of this step.
      price[k] = this.#prices.at[i] === at ? close : NaN;
      units[k] = weight[k] === 0 ? 0 : unitsOf(weight[k], equity, close, this.#session.sizing.isFractional);
    });
    return { kind: "target", at, instrument, weight, units, price, equity, actions };
  }

  /** Between decisions: what is held may fall through the drawdown limit at any bar. */
  #watch(at: number): readonly Said[] {
    const equity = this.#equity(), { risk } = this.#maker;
    if (this.#limits.drawdownMax === Infinity || risk.mode === "HALTED") return NOTHING;
    if (Number.isNaN(equity) || !this.#isReconciled) return NOTHING;
    if (!isDrawnDown({ ...risk, equity }, this.#limits)) return NOTHING;
    this.#maker.account(equity, this.#sessions.sessionDay(at));
    const actions: RiskAction[] = [];
    act(actions, "drawdown-limit", 1 - equity / risk.peak, this.#limits.drawdownMax);
    risk.mode = "HALTED";
    return this.#tell(at, actions);
  }

  /** Alerts of reasons that were not there at the last decision; the drawdown limit flattens and halts. */
  #tell(at: number, actions: readonly RiskAction[]): Said[] {
    const said: Said[] = [], before = this.#told;
    this.#told = new Set(actions.map((action) => action.reason));
    for (const { reason, before: found, after: limit } of actions) {
      if (!TOLD.includes(reason) || before.has(reason)) continue;
      const isFatal = reason === "drawdown-limit";
      const text = RISK_REASONS[reason]
        + (Number.isNaN(limit) ? "" : ` (${found.toPrecision(4)}, limit ${limit.toPrecision(4)})`);
      said.push(this.#alert(at, isFatal ? "critical" : "warning", reason, text));
      if (!isFatal || this.#isHalted) continue;
      const flatten: ControlCommand =
        { kind: "control", at, action: "flatten", by: "risk", subject: reason, value: text };
      said.push(flatten);
    }
    return said;
  }

  #alert(at: number, severity: AlertFact["severity"], code: string, text: string): AlertFact {
    return { kind: "alert", at, severity, code, text, process: "portfolio" };
  }

  /** Own where it can be believed; NaN before the first account, or with no price of what is held. */
  #equity(): number {
    const own = this.#ownEquity(), broker = this.#brokerEquity;
    return Math.abs(own - broker) > EQUITY_TRUST * Math.abs(broker) ? broker : own;
  }

  /** Cash and holdings at the last closes. */
  #ownEquity(): number {
    let equity = this.#cash + this.#correction;
    const { close } = this.#prices;
    for (let i = 0; i < this.#units.length; i++) {
      if (this.#units[i] !== 0) equity += this.#units[i] * close[i];
    }
    return equity;
  }
}
