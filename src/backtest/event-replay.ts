/**
 * The replay of one window, event by event. At each step of the timeline, in this order:
 *
 *     actions -> open: fills of lag 1 -> closes -> equity E -> close: fills of lag 1
 *                                                    |             -> decision -> fills of lag 0
 *                 a row ends, the next one begins ---'             -> cost of holding
 *
 * A row is named after its decision and lasts until the next decision can act: its return is E'/E -
 * 1. That is the vector engine's convention ("booked on the decision date"), measured on an
 * account. Targets are fractions of the equity; an order's size is fixed when it meets its bar.
 * Bars of the future are never read: a step reads its own rows.
 *
 * The loop holds no object per bar: prices, weights and the account are flat arrays.
 */
import type { Calendar } from "../market/calendar.ts";
import type { Instrument } from "../market/instrument.ts";
import { holdingCost, tradingRate, type Costs } from "../strategy/costs.ts";
import { needsReturns } from "../strategy/risk.ts";
import { TargetMaker, unitsOf, type TargetRules } from "../strategy/target.ts";
import { Account } from "./event-account.ts";
import type { PriceRows } from "./event-market.ts";
import { execute, Tape, type Execution } from "./event-orders.ts";
import type { RunPlan, Timeline } from "./event-plan.ts";
import { Run } from "./event-run.ts";

/** Under which terms an account trades: everything the ablation can switch. */
export interface Terms {
  readonly prices: readonly PriceRows[];
  readonly lag: 0 | 1;
  /** lag 1: fill at the next bar's open where there is one; else at its close. */
  readonly isFilledAtOpen: boolean;
  readonly costs: Costs;
  readonly slippageBps: number;
  readonly participationMax: number;
  readonly isFractional: boolean;
  readonly isGated: boolean;
}

/** What does not depend on the terms. */
export interface Scene {
  readonly instruments: readonly Instrument[];
  readonly timeline: Timeline;
  /**
   * Per instrument (T): the weight decided at the row, before the second scaling and the division
   * by N.
   */
  readonly weight: readonly Float64Array[];
  /**
   * Per instrument (T): close adjusted for everything, for the returns that scaling and risk look
   * at.
   */
  readonly adjustedClose: readonly Float64Array[];
  readonly capital: number;
  /** For the cost of holding. */
  readonly periodsPerYear: number;
  /** Says to which session a moment belongs. */
  readonly sessions: Calendar;
  readonly rules: TargetRules;
}

export class Replay {
  readonly account: Account;
  readonly tape: Tape;
  readonly run: Run;
  readonly #scene: Scene;
  readonly #terms: Terms;
  readonly #plan: RunPlan;
  readonly #execution: Execution;
  /** For what must be sold, whatever the gates say. */
  readonly #closing: Execution;
  readonly #targets: TargetMaker;
  /** (N all) fraction of equity wanted at the next bar (lag 1), and whether there is an order. */
  readonly #wanted: Float64Array;
  readonly #isWaiting: Uint8Array;
  /** (N all) price before this step's bar. */
  readonly #reference: Float64Array;
  readonly #returns: Float64Array;
  readonly #nextAction: Int32Array;

  constructor(scene: Scene, plan: RunPlan, terms: Terms, keepsTape = false) {
    const count = scene.instruments.length;
    this.#scene = scene;
    this.#plan = plan;
    this.#terms = terms;
    this.account = new Account(count, scene.capital);
    this.tape = new Tape(keepsTape);
    this.run = new Run(plan, scene.capital);
    this.#execution = {
      rate: Float64Array.from(scene.instruments, (one) => tradingRate(terms.costs, one.halfSpreadBps)),
      slippageBps: terms.slippageBps, participationMax: terms.participationMax,
      isFractional: terms.isFractional,
      gates: terms.isGated ? scene.rules.limits : null,
    };
    this.#closing = { ...this.#execution, gates: null };
    this.#targets = new TargetMaker(scene.rules, scene.instruments.map((one) => one.assetClass),
      scene.capital);
    this.#wanted = new Float64Array(count);
    this.#isWaiting = new Uint8Array(count);
    this.#reference = new Float64Array(count);
    this.#returns = new Float64Array(count);
    this.#nextAction = new Int32Array(count);
  }

  /** Runs the whole plan. `onEvent` hears of the account after each step, for tests. */
  play(onEvent?: (timeMs: number, account: Account) => void): Run {
    const { rowStep, divisor, endStep } = this.#plan;
    const { lag, isFilledAtOpen } = this.#terms;
    const { account, run } = this;
    const lastDecision = rowStep[rowStep.length - 1];
    let row = 0, decided = 0;
    for (let step = rowStep[0]; step <= endStep; step++) {
      this.#act(step, lastDecision);
      if (lag === 1 && isFilledAtOpen) this.#fillWaiting(step, true);
      this.#mark(step, lastDecision);
      const equity = account.equity();
      const isRow = row < rowStep.length && step === rowStep[row] + lag;
      if (isRow && row++ > 0) run.end(row - 2, equity, account);
      if (step === endStep) run.end(row - 1, equity, account);
      else {
        if (equity <= 0) run.isRuined = true;
        this.#observe(step, equity);
        if (lag === 1 && !isFilledAtOpen) this.#fillWaiting(step, false);
        while (decided < rowStep.length && rowStep[decided] <= step) decided++;
        if (step <= lastDecision) this.#decide(step, equity, divisor[decided - 1]);
        if (isRow) run.expose(row - 1, account, equity);
        this.#hold();
      }
      onEvent?.(this.#time(step), account);
    }
    return run;
  }

  #time(step: number): number { return this.#scene.timeline.time[step]; }

  /**
   * After the last decision an instrument is looked at only up to the bar that earns its own last
   * decision.
   */
  #isOver(step: number, lastDecision: number, i: number, row: number): boolean {
    return step > lastDecision && row > this.#plan.endRow[i];
  }

  /** Splits and dividends that are ex before this step's bars; those before the run meet no position. */
  #act(step: number, lastDecision: number): void {
    const { timeline } = this.#scene;
    for (let entry = timeline.start[step]; entry < timeline.start[step + 1]; entry++) {
      const i = timeline.instrument[entry], row = timeline.row[entry];
      const { actions, actionRow } = this.#terms.prices[i];
      let next = this.#nextAction[i];
      for (; next < actionRow.length && actionRow[next] <= row; next++) {
        if (this.#isOver(step, lastDecision, i, row)) continue;
        const action = actions[next];
        if (action.kind === "dividend") this.account.dividend(i, action.value);
        else this.run.lieu += this.account.split(i, action.value, this.#terms.isFractional);
        if (this.account.quantity[i] !== 0) this.run.actions++;
      }
      this.#nextAction[i] = next;
      this.#reference[i] = this.account.mark[i];
    }
  }

  #mark(step: number, lastDecision: number): void {
    const { timeline } = this.#scene;
    for (let entry = timeline.start[step]; entry < timeline.start[step + 1]; entry++) {
      const i = timeline.instrument[entry], row = timeline.row[entry];
      if (this.#isOver(step, lastDecision, i, row)) continue;
      this.account.markTo(i, this.#terms.prices[i].close[row]);
    }
  }

  /** lag 1: the orders that waited for this bar. */
  #fillWaiting(step: number, isAtOpen: boolean): void {
    const { timeline } = this.#scene;
    const from = timeline.start[step], to = timeline.start[step + 1];
    if (isAtOpen) {
      for (let entry = from; entry < to; entry++) {
        const i = timeline.instrument[entry];
        if (this.#isWaiting[i] === 1) this.account.markTo(i, this.#openPrice(i, timeline.row[entry]));
      }
    }
    const equity = this.account.equity();
    for (let entry = from; entry < to; entry++) {
      const i = timeline.instrument[entry], row = timeline.row[entry];
      if (this.#isWaiting[i] === 0) continue;
      this.#isWaiting[i] = 0;
      const price = isAtOpen ? this.#openPrice(i, row) : this.#terms.prices[i].close[row];
      this.#order(step, i, row, this.#wanted[i], equity, price);
    }
  }

  #openPrice(i: number, row: number): number {
    const { open, close } = this.#terms.prices[i];
    const price = open === null ? NaN : open[row];
    return price > 0 ? price : close[row];
  }

  #order(step: number, i: number, row: number, fraction: number, equity: number, price: number): void {
    const { prices, isFractional } = this.#terms;
    const target = this.run.isRuined ? 0 : unitsOf(fraction, equity, price, isFractional);
    const quantity = target - this.account.quantity[i];
    if (quantity === 0) return;
    const volume = prices[i].volume;
    execute(this.account, this.tape, this.#execution, this.#time(step), i, quantity, price,
      volume === null ? NaN : volume[row], this.#reference[i]);
  }

  /** What the second scaling and the limits may know now: the past up to this step's closes. */
  #observe(step: number, equity: number): void {
    const { timeline, adjustedClose, rules, sessions } = this.#scene;
    if (rules.isLimited) this.#targets.account(equity, sessions.sessionDay(this.#time(step)));
    if (rules.portfolioTarget === null && !(rules.isLimited && needsReturns(rules.limits))) return;
    if (step <= this.#plan.rowStep[0] + this.#terms.lag) return;
    this.#returns.fill(0);
    for (let entry = timeline.start[step]; entry < timeline.start[step + 1]; entry++) {
      const i = timeline.instrument[entry], row = timeline.row[entry];
      if (row > 0) this.#returns[i] = adjustedClose[i][row] / adjustedClose[i][row - 1] - 1;
    }
    this.#targets.observe(this.#returns);
  }

  /**
   * New targets for the instruments with a bar now; the others keep what they have. `divisor`: N.
   */
  #decide(step: number, equity: number, divisor: number): void {
    const { timeline, weight } = this.#scene, targets = this.#targets;
    const from = timeline.start[step], to = timeline.start[step + 1];
    targets.begin(this.account.quantity, this.account.mark, equity);
    for (let entry = from; entry < to; entry++) {
      const i = timeline.instrument[entry], row = timeline.row[entry];
      // An instrument that is not decided on now has weight 0 at this row: it is closed.
      targets.want(i, weight[i][row], divisor, this.#isTooLate(i, row));
    }
    this.#limit();
    for (let entry = from; entry < to; entry++) {
      const i = timeline.instrument[entry], row = timeline.row[entry], wanted = targets.weights[i];
      if (this.#barsLeft(i, row) === 0) this.#closeOut(step, i);
      else if (this.#isTooLate(i, row)) continue;
      else if (this.#terms.lag === 0) this.#order(step, i, row, wanted, equity, this.account.mark[i]);
      else { this.#wanted[i] = wanted; this.#isWaiting[i] = 1; }
    }
  }

  #barsLeft(i: number, row: number): number { return this.#terms.prices[i].time.length - 1 - row; }

  /**
   * With lag 1 an order of the bar before the last earns no bar, so it has no weight; yet it is not closed
   * there, since nobody knows at that moment that one bar is left.
   */
  #isTooLate(i: number, row: number): boolean {
    return this.#terms.lag === 1 && this.#barsLeft(i, row) === 1;
  }

  #limit(): void {
    const actions = this.#targets.limit();
    if (actions.length === 0) return;
    const { reasons } = this.run;
    for (const reason of new Set(actions.map((action) => action.reason))) {
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    }
  }

  /** The instrument's last bar: what is held is sold at its last price, whatever the volume. */
  #closeOut(step: number, i: number): void {
    const quantity = -this.account.quantity[i], price = this.account.mark[i];
    if (quantity === 0) return;
    this.run.ended.push(i);
    execute(this.account, this.tape, this.#closing, this.#time(step), i, quantity, price, NaN, price);
  }

  /** Borrow and financing of the coming period, each instrument its share. */
  #hold(): void {
    const { costs } = this.#terms;
    if (costs.borrowBps === 0 && costs.financingBps === 0) return;
    const { quantity, mark } = this.account;
    const equity = this.account.equity(), gross = this.account.gross();
    if (gross === 0) return;
    const financing = holdingCost(0, gross, equity, costs, this.#scene.periodsPerYear);
    for (let i = 0; i < quantity.length; i++) {
      if (quantity[i] === 0) continue;
      const value = quantity[i] * mark[i];
      const borrow = holdingCost(Math.max(0, -value), 0, equity, costs, this.#scene.periodsPerYear);
      this.account.charge(i, borrow + financing * Math.abs(value) / gross);
    }
  }
}
