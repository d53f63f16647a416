/**
 * What is done to weights once they are known: the second volatility scaling and the risk limits, date by
 * date, each looking only at returns that were known at the decision.
 */
import { PortfolioScaler } from "../strategy/portfolio.ts";
import { applyLimits, needsReturns, observeEquity, observeReturns, startRisk, type RiskReason }
  from "../strategy/risk.ts";
import { tradingRate } from "../strategy/costs.ts";
import { firstRowAt } from "../market/bars.ts";
import type { Calendar } from "../market/calendar.ts";
import type { Alignment } from "./align.ts";
import { sizingOf, type BacktestSettings, type InstrumentInput } from "./input.ts";
import type { Stretch } from "./simulate.ts";

/**
 * Multiplies all weights by the portfolio's factor of their date, in place; the cap on one instrument holds
 * after it.
 */
export function scalePortfolio(instruments: readonly InstrumentInput[], weights: readonly Float64Array[],
  alignment: Alignment, stretches: readonly Stretch[], settings: BacktestSettings): void {
  const factor = new Float64Array(alignment.time.length).fill(1);
  const { periodsPerYear } = sizingOf(settings);
  const start = (): PortfolioScaler => new PortfolioScaler(settings.portfolioTarget, periodsPerYear);
  const known = realise(instruments, weights, alignment, stretches, settings.lag);
  let scaler = start();
  for (const stretch of stretches) {
    if (!stretch.isCarried) scaler = start();
    const settled = stretch.isCarried ? 0 : stretch.from + 1 + settings.lag;
    for (let d = stretch.from; d < stretch.to; d++) {
      if (d >= Math.max(settled, 1 + settings.lag)) scaler.observe(known[d]);
      factor[d] = scaler.factor();
    }
  }
  const most = settings.weightMax;
  weights.forEach((weight, i) => {
    const dateOf = alignment.dateOf[i];
    for (let row = 0; row < weight.length; row++) {
      if (dateOf[row] >= 0) weight[row] = Math.min(most, Math.max(-most, weight[row] * factor[dateOf[row]]));
    }
  });
}

/**
 * (D) what the weights earned by date of knowledge: the return decided on at row t counts on the date of
 * row t + 1 + lag, when its last close exists. Over an instrument's missing days that is later than the
 * next date.
 */
function realise(instruments: readonly InstrumentInput[], weights: readonly Float64Array[],
  alignment: Alignment, stretches: readonly Stretch[], lag: 0 | 1): Float64Array {
  const known = new Float64Array(alignment.time.length);
  instruments.forEach(({ adjustedClose, features }, i) => {
    const dateOf = alignment.dateOf[i], eligible = alignment.eligible[i];
    let at = 0;
    for (let row = 0; row < dateOf.length - 1 - lag; row++) {
      if (eligible[row] === 0) continue;
      while (dateOf[row] >= stretches[at].to) at++;
      const due = firstRowAt(alignment.time, features.time[row + 1 + lag]);
      // What a flat start never held is not its return, so nothing crosses into the next stretch.
      if (due >= known.length || (due >= stretches[at].to && !stretches[at].isCarried)) continue;
      const earned = adjustedClose[row + 1 + lag] / adjustedClose[row + lag] - 1;
      known[due] += weights[i][row] * earned / stretches[at].instruments;
    }
  });
  return known;
}

/** True when any limit on weights is on. */
export function hasLimits(settings: BacktestSettings): boolean {
  const { limits } = settings;
  return Math.min(limits.positionMax, limits.grossMax, limits.netMax, limits.leverageMax, limits.classMax,
    limits.drawdownMax, limits.dailyLossMax, limits.varHistoricalMax, limits.varParametricMax,
    limits.turnoverMax) < Infinity;
}

/** What becomes known at one close. */
interface Due {
  net: number;
  /** (N) 0 where nothing became known. */
  readonly returns: Float64Array;
}

/**
 * Applies the limits to all weights, in place. An instrument without a bar cannot be traded: what it holds
 * counts, and stays as it is until its next bar. Returns how many dates each reason acted on.
 */
export function limitWeights(instruments: readonly InstrumentInput[], weights: readonly Float64Array[],
  alignment: Alignment, stretches: readonly Stretch[], settings: BacktestSettings,
  sessions: Calendar): Map<RiskReason, number> {
  const counts = new Map<RiskReason, number>();
  const count = instruments.length;
  const cursor = new Int32Array(count), here = new Int32Array(count);
  const wanted = new Float64Array(count), held = new Float64Array(count);
  const ends = instruments.map((one) => one.features.time.at(-1) ?? -Infinity);
  const rates = instruments.map((one) => tradingRate(settings.costs, one.instrument.halfSpreadBps));
  let state = startRisk(instruments.map((one) => one.instrument.assetClass), 1), equity = 1;
  /** By date of knowledge: what was earned and paid, and each instrument's return. */
  let due = new Map<number, Due>();
  const dueAt = (d: number): Due => {
    const known = due.get(d) ?? { net: 0, returns: new Float64Array(count) };
    due.set(d, known);
    return known;
  };
  for (const stretch of stretches) {
    const N = stretch.instruments;
    if (!stretch.isCarried) {
      state = startRisk(instruments.map((one) => one.instrument.assetClass), equity = 1);
      held.fill(0);
      due = new Map();
    }
    for (let d = stretch.from; d < stretch.to; d++) {
      const known = due.get(d);
      if (known !== undefined) {
        due.delete(d);
        equity *= 1 + known.net;
        if (needsReturns(settings.limits)) observeReturns(state, known.returns);
      }
      observeEquity(state, equity, sessions.sessionDay(alignment.time[d]));
      gather(alignment, weights, d, N, settings.lag, cursor, here, wanted, held, ends);
      const before = Float64Array.from(held);
      const actions = applyLimits(wanted, held, state, settings.limits);
      for (const reason of new Set(actions.map((action) => action.reason))) {
        counts.set(reason, (counts.get(reason) ?? 0) + 1);
      }
      const lag = settings.lag;
      for (let i = 0; i < count; i++) {
        const row = here[i];
        if (row < 0) continue;
        weights[i][row] = wanted[i] * N;
        held[i] = wanted[i];
        dueAt(d + 1 + lag).net -= rates[i] * Math.abs(held[i] - before[i]);
        if (alignment.eligible[i][row] === 0) continue;
        const { adjustedClose: close, features: { time } } = instruments[i];
        const settled = dueAt(firstRowAt(alignment.time, time[row + 1 + lag]));
        settled.returns[i] = close[row + 1 + lag] / close[row + lag] - 1;
        settled.net += held[i] * settled.returns[i];
      }
    }
  }
  return counts;
}

/**
 * Weights wanted on date d as fractions of equity. An instrument without a row keeps what is held, and holds
 * nothing from its last bar (`ends`) on.
 */
function gather(alignment: Alignment, weights: readonly Float64Array[], d: number, N: number, lag: 0 | 1,
  cursor: Int32Array, here: Int32Array, wanted: Float64Array, held: Float64Array,
  ends: readonly number[]): void {
  for (let i = 0; i < cursor.length; i++) {
    const dateOf = alignment.dateOf[i];
    while (cursor[i] < dateOf.length && dateOf[cursor[i]] < d) cursor[i]++;
    here[i] = cursor[i] < dateOf.length - 1 - lag && dateOf[cursor[i]] === d ? cursor[i] : -1;
    if (alignment.time[d] >= ends[i]) held[i] = 0;
    wanted[i] = here[i] >= 0 ? weights[i][here[i]] / N : held[i];
  }
}
