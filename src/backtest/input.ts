/**
 * What both engines are handed. Everything is in memory; nothing here reads a file.
 *
 *     bars[i]      row 0 .. T_i-1          raw rows of instrument i
 *     features[i]  row 0 .. T_i-1          the same rows, causal
 *     windows      [from, to] days         each is a run of its own, from `capital` and no positions
 *
 * A row may be decided on ("eligible") when all features of the strategy exist over its whole
 * lookback and the bar that earns the decision's return exists: the next one, or with lag 1 the one
 * after it.
 */
import type { Day } from "../base/units.ts";
import type { Features } from "../features/feature.ts";
import type { Bars, CorporateAction, Timeframe } from "../market/bars.ts";
import type { CalendarName } from "../market/calendar.ts";
import type { Instrument } from "../market/instrument.ts";
import type { Adjustment } from "../market/sources/source.ts";
import type { Costs } from "../strategy/costs.ts";
import type { PortfolioMethod } from "../strategy/optimise/shaper.ts";
import type { Sizing } from "../strategy/portfolio.ts";
import type { RiskLimits } from "../strategy/risk.ts";
import type { Strategy } from "../strategy/strategy.ts";
import { UserError } from "../base/error.ts";

export interface InstrumentInput {
  readonly instrument: Instrument;
  /**
   * Rows as the source gave them: `open`, `close` and `volume` are raw where `dataset.adjustment`
   * is "raw".
   */
  readonly bars: Bars;
  /** (T) close adjusted for everything (splits and dividends, rolls): returns are taken from it. */
  readonly adjustedClose: Float64Array;
  /** Of the same rows. */
  readonly features: Features;
  /** Ascending by exTime. Empty when the prices carry them already. */
  readonly actions: readonly CorporateAction[];
}

export interface DatasetFacts {
  readonly name: string;
  readonly isSynthetic: boolean;
  readonly timeframe: Timeframe;
  readonly calendar: CalendarName;
  readonly adjustment: Adjustment;
}

/** Days of decisions, both inclusive. */
export interface Window {
  readonly from: Day;
  readonly to: Day;
}

export interface BacktestSettings {
  readonly windows: readonly Window[];
  /**
   * Vector engine: the book runs from this day on, also between windows, and carries its positions
   * into each; the first trade ever is charged. Absent: each window starts with no positions and
   * its first trades are charged.
   */
  readonly bookFrom?: Day;
  /** Periods a year in the data: annualises what is reported and spreads the cost of holding. */
  readonly periodsPerYear: number;
  /** The calendar's number, known beforehand: decisions are sized by it. Absent: the same. */
  readonly calendarPeriodsPerYear?: number;
  /** Annual volatility of each instrument, fraction (0.15). */
  readonly volatilityTarget: number;
  /** Annual volatility of the whole portfolio, fraction; null: no second scaling. */
  readonly portfolioTarget: number | null;
  /** How risk is spread over instruments before the second scaling. Absent: "volatility", each the same. */
  readonly method?: PortfolioMethod;
  /** Largest |weight| of one instrument before the division by N; Infinity: no cap. */
  readonly weightMax: number;
  /** 0: trade at the close decided on. 1: at the next bar. */
  readonly lag: 0 | 1;
  readonly costs: Costs;
  readonly limits: RiskLimits;
  /** Number of trials behind this strategy, for the deflated Sharpe ratio; at least 1. */
  readonly trials: number;

  // The rest is the event engine's alone.
  /** Equity at the start of each window. */
  readonly capital: number;
  /** Fractions of a share may be traded. */
  readonly isFractional: boolean;
  /** Fills are worse than the bar's price by this much. */
  readonly slippageBps: number;
  /** Largest share of a bar's volume that one order may fill; Infinity: all of it. */
  readonly participationMax: number;
}

export interface BacktestInput {
  readonly dataset: DatasetFacts;
  readonly instruments: readonly InstrumentInput[];
  readonly strategy: Strategy;
  /** For the benchmark column; null: none. */
  readonly benchmark: Strategy | null;
  readonly settings: BacktestSettings;
  /** Stops between decisions when it aborts. */
  readonly signal?: AbortSignal;
}

/** What turns a position into a weight: nothing of it is counted from the data. */
export function sizingOf(settings: BacktestSettings): Required<Sizing> {
  const { volatilityTarget, weightMax, periodsPerYear, calendarPeriodsPerYear } = settings;
  return { volatilityTarget, weightMax, periodsPerYear: calendarPeriodsPerYear ?? periodsPerYear };
}

/** Columns of the strategy's features in `features`, in the strategy's order. */
export function featureColumns(features: Features, strategy: Strategy, symbol: string): Int32Array {
  return Int32Array.from(strategy.features, (name) => {
    const at = features.names.indexOf(name);
    if (at < 0) {
      throw new UserError(
        `strategy ${strategy.name} reads the feature "${name}", which ${symbol} does not have`,
        `compute the recipe it needs: dmn features --recipe ${strategy.recipe} --dataset NAME`);
    }
    return at;
  });
}

/** (T) 1 where the row may be decided on: see the head of this file. */
export function eligibleRows(one: InstrumentInput, strategy: Strategy, lag: 0 | 1): Uint8Array {
  const { values, names, time } = one.features;
  const columns = featureColumns(one.features, strategy, one.instrument.symbol);
  const rows = time.length, width = names.length;
  const eligible = new Uint8Array(rows);
  let complete = 0;      // rows without a NaN, ending here
  for (let row = 0; row < rows - 1 - lag; row++) {
    let isWhole = true;
    for (const at of columns) if (Number.isNaN(values[row * width + at])) { isWhole = false; break; }
    complete = isWhole ? complete + 1 : 0;
    if (complete >= strategy.lookback) eligible[row] = 1;
  }
  return eligible;
}
