/** Numbers of a result from its series: the same for both engines. */
import { BPS, TRADING_DAYS_PER_YEAR } from "../base/units.ts";
import { mean } from "../metrics/moments.ts";
import { deflatedSharpe, sharpeSample } from "../metrics/overfitting.ts";
import * as metrics from "../metrics/returns.ts";
import type { CostRow, RiskNumbers, Summary, WindowResult } from "./result.ts";

/** The ladder of every report, basis points. */
export const LADDER_BPS = [0, 1, 2, 3, 5, 10] as const;
/** A Sharpe ratio above this is a bug alarm, not a success. */
export const SHARPE_ALARM = 3;

/** `turnoverAnnual`: sum of |change of weight| a year, mean over the instruments. */
export function summarize(net: Float64Array, periodsPerYear: number, turnoverAnnual: number): Summary {
  const { annualReturn, volatility, sharpe, sortino, maxDrawdown, calmar, positiveShare } =
    metrics.returnNumbers(net, periodsPerYear);
  return { annualReturn, volatility, sharpe, sortino, maxDrawdown, calmar, positiveShare,
    turnover: turnoverAnnual };
}

/** Mean of each number over the windows. */
export function averageOf(windows: readonly Summary[]): Summary {
  const of = (name: keyof Summary): number =>
    windows.reduce((sum, window) => sum + window[name], 0) / windows.length;
  return {
    annualReturn: of("annualReturn"), volatility: of("volatility"), sharpe: of("sharpe"),
    sortino: of("sortino"), maxDrawdown: of("maxDrawdown"), calmar: of("calmar"),
    positiveShare: of("positiveShare"), turnover: of("turnover"),
  };
}

/**
 * `benchmark`: net returns of the same periods, or null. `trials`: strategies really tried before this one.
 */
export function riskNumbers(net: Float64Array, benchmark: Float64Array | null, periodsPerYear: number,
  trials: number): RiskNumbers {
  return {
    valueAtRisk95: metrics.valueAtRisk(net), conditionalValueAtRisk95: metrics.conditionalValueAtRisk(net),
    skewness: metrics.skewness(net), kurtosis: metrics.kurtosis(net),
    informationRatio: benchmark === null ? NaN : metrics.informationRatio(net, benchmark, periodsPerYear),
    // Without the tries' own Sharpe ratios: the variance of a worthless strategy's estimate, 1 / (n - 1).
    deflatedSharpe: deflatedSharpe(sharpeSample(net), trials, 1 / (net.length - 1)), trials,
  };
}

/** Rows [from, to) of the curve that belong to one window. */
export interface Piece {
  readonly from: number;
  readonly to: number;
}

/**
 * The average over windows at each cost of the ladder. `fixed`: what is paid whatever the cost of trading.
 */
export function costLadder(gross: Float64Array, fixed: Float64Array, turnover: Float64Array,
  pieces: readonly Piece[], periodsPerYear: number): CostRow[] {
  return LADDER_BPS.map((costBps) => {
    const net = gross.map((value, d) => value - fixed[d] - costBps * BPS * turnover[d]);
    const parts = pieces.map(({ from, to }) =>
      metrics.returnNumbers(net.subarray(from, to), periodsPerYear));
    return { costBps, annualReturn: mean(parts.map((part) => part.annualReturn)),
      sharpe: mean(parts.map((part) => part.sharpe)) };
  });
}

/** Sentences that follow from the numbers. */
export function alarms(windows: readonly WindowResult[],
  periodsPerYear: number): string[] {
  const notes: string[] = [];
  const brief = Math.min(...windows.map(({ periods }) => periods));
  if (brief < periodsPerYear / 12) {
    const periods = `${brief.toLocaleString("en-US")} period${brief === 1 ? "" : "s"}`;
    notes.push(`A window has only ${periods}: less than a month says little about a year.`);
  }
  if (windows.some(({ maxDrawdown }) => maxDrawdown >= 1)) {
    notes.push("All equity was lost in a window: what follows in it is no result.");
  }
  const high = windows.filter(({ sharpe }) => sharpe > SHARPE_ALARM).map(({ from }) => from.slice(0, 4));
  if (high.length === 0) return notes;
  const scale = periodsPerYear > TRADING_DAYS_PER_YEAR ? " (intraday costs are easily forgotten)" : "";
  return [...notes, `A Sharpe ratio above ${SHARPE_ALARM} (window ${high.join(", ")}) is far more often an `
    + `error than a success: look for prices known too early, wrong adjustments or missing costs${scale}.`];
}
