/**
 * From what a strategy wants to what shall be held, one step at a time. The event engine and live make their
 * targets here, with the same object, so that they cannot differ:
 *
 *     returns known now ──observe──> second scaling, value at risk
 *     equity now ─────────account──> drawdown, daily loss
 *
 *     begin(what is held) ─> want(weight of each that has a bar) ─> limit() ─> fractions ──unitsOf──> units
 *                              x factor, capped, / N                (risk.ts)
 *
 * A weight comes from portfolio.ts (position x target / volatility) and may have been shaped by optimise/
 * before. Instruments that nobody wants anything of keep what they hold: that counts, and limits see it.
 * All state is here; `save` and `restore` carry it over a restart; returns are observed again from history.
 */
import type { AssetClass } from "../market/instrument.ts";
import { PortfolioScaler, type ScalerState, type Sizing } from "./portfolio.ts";
import { applyLimits, needsReturns, observeEquity, observeReturns, startRisk, type RiskAction,
  type RiskLimits, type RiskMode, type RiskState } from "./risk.ts";

export interface TargetRules {
  /** Its weightMax holds after the second scaling, too. */
  readonly sizing: Required<Sizing>;
  /** Annual volatility of the whole portfolio, fraction; null: no second scaling. */
  readonly portfolioTarget: number | null;
  readonly limits: RiskLimits;
  /** Whether limits are looked at: some limit on weights is on. */
  readonly isLimited: boolean;
  /** Bars from a decision to its trade: the second scaling books returns on what was held then. */
  readonly lag: 0 | 1;
}

/** What a restart cannot work out again from prices and account. */
export interface TargetSnapshot {
  /** Moment of the last decision: returns up to it have been observed. */
  readonly at: number;
  readonly scaler: ScalerState;
  readonly decisions: number;
  /** (N) each. */
  readonly plain: readonly number[];
  readonly plainWaiting: readonly number[];
  readonly risk: {
    readonly mode: RiskMode;
    readonly equity: number;
    readonly peak: number;
    readonly dayStart: number;
    /** null: no day has been seen. */
    readonly day: number | null;
  };
}

export class TargetMaker {
  readonly risk: RiskState;
  /** (N) fractions of equity wanted, after everything: of the last decision. */
  readonly weights: Float64Array;
  /** (N) fractions of equity held when it was made. */
  readonly held: Float64Array;
  readonly #rules: TargetRules;
  readonly #scaler: PortfolioScaler;
  /** (N) fraction of equity without the second scaling: in force, and waiting for the next bar (lag 1). */
  readonly #plain: Float64Array;
  readonly #plainWaiting: Float64Array;
  #decisions = 0;
  #factor = 1;

  constructor(rules: TargetRules, classes: readonly AssetClass[], equity: number) {
    this.#rules = rules;
    this.#scaler = new PortfolioScaler(rules.portfolioTarget, rules.sizing.periodsPerYear);
    this.risk = startRisk(classes, equity);
    [this.weights, this.held, this.#plain, this.#plainWaiting] =
      Array.from({ length: 4 }, () => new Float64Array(classes.length));
  }

  /** (N) returns of the period that ended now, adjusted for splits and dividends; 0 without a bar. */
  observe(returns: Float64Array): void {
    this.remember(returns);
    if (this.#decisions <= this.#rules.lag) return;
    let plainReturn = 0;
    for (let i = 0; i < returns.length; i++) plainReturn += this.#plain[i] * returns[i];
    this.#scaler.observe(plainReturn);
  }

  /** The same of a period that the second scaling has observed before a restart. */
  remember(returns: Float64Array): void {
    if (this.#rules.isLimited && needsReturns(this.#rules.limits)) observeReturns(this.risk, returns);
  }

  /** Equity at a moment of a session day (any number that grows with days). */
  account(equity: number, day: number): void { observeEquity(this.risk, equity, day); }

  /** A decision begins: (N) signed units held, their last prices. Until wanted otherwise, they are kept. */
  begin(units: Float64Array, prices: Float64Array, equity: number): void {
    this.#factor = this.#scaler.factor();
    this.#decisions++;
    const { held, weights } = this;
    for (let i = 0; i < units.length; i++) {
      // What is not held needs no price.
      held[i] = equity > 0 && units[i] !== 0 ? units[i] * prices[i] / equity : 0;
      weights[i] = held[i];
    }
  }

  /**
   * Instrument `i` has a bar now: `weight` of it is wanted, one of `divisor` (N) instruments. `isKept`: it
   * cannot be traded now and keeps what it holds; the wish counts for the second scaling all the same.
   */
  want(i: number, weight: number, divisor: number, isKept = false): void {
    const { lag, sizing: { weightMax } } = this.#rules;
    this.#plain[i] = lag === 0 ? weight / divisor : this.#plainWaiting[i];
    this.#plainWaiting[i] = weight / divisor;
    if (isKept) return;
    this.weights[i] = Math.min(weightMax, Math.max(-weightMax, weight * this.#factor)) / divisor;
  }

  /** The decision ends: limits act on `weights`. What they did, in order. */
  limit(): RiskAction[] {
    return this.#rules.isLimited ? applyLimits(this.weights, this.held, this.risk, this.#rules.limits) : [];
  }

  /** `at`: moment of the decision just made. */
  save(at: number): TargetSnapshot {
    const { mode, equity, peak, dayStart, day } = this.risk;
    return {
      at, scaler: this.#scaler.save(), decisions: this.#decisions, plain: [...this.#plain],
      plainWaiting: [...this.#plainWaiting],
      risk: { mode, equity, peak, dayStart, day: Number.isFinite(day) ? day : null },
    };
  }

  /** Of as many instruments. */
  restore({ scaler, decisions, plain, plainWaiting, risk }: TargetSnapshot): void {
    this.#scaler.restore(scaler);
    this.#decisions = decisions;
    this.#plain.set(plain);
    this.#plainWaiting.set(plainWaiting);
    Object.assign(this.risk, risk, { day: risk.day ?? -Infinity });
  }
}

/** Units that make up `fraction` of the equity at `price`; whole ones are rounded towards zero. */
export function unitsOf(fraction: number, equity: number, price: number, isFractional: boolean): number {
  const units = fraction * equity / price;
  return isFractional ? units : Math.trunc(units);
}
