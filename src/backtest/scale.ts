/**
 * What is done to weights once they are known: the second volatility scaling and the risk limits, date by
 * date, each looking only at returns that were known at the decision.
 */
import { MS_PER_DAY } from "../base/units.ts";
import { PortfolioScaler } from "../strategy/portfolio.ts";
import { applyLimits, needsReturns, observeEquity, observeReturns, startRisk, type RiskReason }
  from "../strategy/risk.ts";
import { tradingRate } from "../strategy/costs.ts";
import type { Alignment } from "./align.ts";
import type { BacktestSettings, InstrumentInput } from "./input.ts";
import { simulate, type Stretch } from "./simulate.ts";

/**
 * Multiplies all weights by the portfolio's factor of their date, in place; the cap on one instrument holds
 * after it.
 */
export function scalePortfolio(instruments: readonly InstrumentInput[], weights: readonly Float64Array[],
  alignment: Alignment, stretches: readonly Stretch[], settings: BacktestSettings): void {
  const { gross } = simulate(instruments, weights, alignment, stretches, settings);
  const factor = new Float64Array(alignment.time.length).fill(1);
  const start = (): PortfolioScaler => new PortfolioScaler(settings.portfolioTarget, settings.periodsPerYear);
  let scaler = start(), known = 0;
  for (const stretch of stretches) {
    if (!stretch.isCarried) { scaler = start(); known = stretch.from; }
    for (let d = stretch.from; d < stretch.to; d++) {
      // The return booked on date k is known at the close of date k + 1 (+ lag).
      for (; known <= d - 1 - settings.lag; known++) scaler.observe(gross[known]);
      factor[d] = scaler.factor();
    }
  }
  const most = settings.leverageMax;
  weights.forEach((weight, i) => {
    const dateOf = alignment.dateOf[i];
    for (let row = 0; row < weight.length; row++) {
      if (dateOf[row] >= 0) weight[row] = Math.min(most, Math.max(-most, weight[row] * factor[dateOf[row]]));
    }
  });
}

/** True when any limit on weights is on. */
export function hasLimits(settings: BacktestSettings): boolean {
  const { limits } = settings;
  return Math.min(limits.positionMax, limits.grossMax, limits.netMax, limits.leverageMax, limits.classMax,
    limits.drawdownMax, limits.dailyLossMax, limits.varHistoricalMax, limits.varParametricMax,
    limits.turnoverMax) < Infinity;
}

/** Applies the limits to all weights, in place. Returns how many dates each reason acted on. */
export function limitWeights(instruments: readonly InstrumentInput[], weights: readonly Float64Array[],
  alignment: Alignment, stretches: readonly Stretch[], settings: BacktestSettings): Map<RiskReason, number> {
  const counts = new Map<RiskReason, number>();
  const count = instruments.length;
  const cursor = new Int32Array(count), here = new Int32Array(count);
  const wanted = new Float64Array(count), held = new Float64Array(count);
  const rates = instruments.map((one) => tradingRate(settings.costs, one.instrument.halfSpreadBps));
  let state = startRisk(instruments.map((one) => one.instrument.assetClass), 1), equity = 1;
  /** Net and per instrument returns booked but not yet known. */
  let pending: { net: number; returns: Float64Array }[] = [];
  for (const stretch of stretches) {
    const N = stretch.instruments;
    if (!stretch.isCarried) {
      state = startRisk(instruments.map((one) => one.instrument.assetClass), equity = 1);
      held.fill(0);
      pending = [];
    }
    for (let d = stretch.from; d < stretch.to; d++) {
      while (pending.length > settings.lag) {
        const known = pending.shift()!;
        equity *= 1 + known.net;
        if (needsReturns(settings.limits)) observeReturns(state, known.returns);
      }
      observeEquity(state, equity, Math.floor(alignment.time[d] / MS_PER_DAY));
      gather(alignment, weights, d, N, settings.lag, cursor, here, wanted, held);
      const before = Float64Array.from(held);
      const actions = applyLimits(wanted, held, state, settings.limits);
      for (const reason of new Set(actions.map((action) => action.reason))) {
        counts.set(reason, (counts.get(reason) ?? 0) + 1);
      }
      const returns = new Float64Array(count);
      let net = 0;
      for (let i = 0; i < count; i++) {
        const row = here[i];
        if (row < 0) continue;
        weights[i][row] = wanted[i] * N;
        held[i] = wanted[i];
        const close = instruments[i].adjustedClose;
        if (alignment.eligible[i][row] === 1) {
          returns[i] = close[row + 1 + settings.lag] / close[row + settings.lag] - 1;
        }
        net += held[i] * returns[i] - rates[i] * Math.abs(held[i] - before[i]);
      }
      pending.push({ net, returns });
    }
  }
  return counts;
}

/** Weights wanted on date d as fractions of equity; an instrument without a row keeps what is held. */
function gather(alignment: Alignment, weights: readonly Float64Array[], d: number, N: number, lag: 0 | 1,
  cursor: Int32Array, here: Int32Array, wanted: Float64Array, held: Float64Array): void {
  for (let i = 0; i < cursor.length; i++) {
    const dateOf = alignment.dateOf[i];
    while (cursor[i] < dateOf.length && dateOf[cursor[i]] < d) cursor[i]++;
    here[i] = cursor[i] < dateOf.length - 1 - lag && dateOf[cursor[i]] === d ? cursor[i] : -1;
    wanted[i] = here[i] >= 0 ? weights[i][here[i]] / N : held[i];
  }
}

