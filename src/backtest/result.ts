/** What a backtest says. Everything a report draws is in here; nothing is recomputed while drawing. */
import type { AssetClass } from "../market/instrument.ts";
import type { Explanation } from "../strategy/strategy.ts";

/** The eight numbers of one window or of their average. Formulas: metrics/metrics.ts, `--formulas`. */
export interface Summary {
  /** Compound growth a year (CAGR), fraction. */
  readonly annualReturn: number;
  /** Standard deviation (ddof 1) of period returns, annualised, fraction. */
  readonly volatility: number;
  readonly sharpe: number;
  readonly sortino: number;
  /** Positive fraction. */
  readonly maxDrawdown: number;
  readonly calmar: number;
  /** Share of periods with a return > 0. */
  readonly positiveShare: number;
  /** Sum of |change of weight| a year, mean over the instruments. */
  readonly turnover: number;
}

/** Further numbers of the whole run, for the report. */
export interface RiskNumbers {
  /** Historical, 95 %, one period, positive fraction of equity. */
  readonly valueAtRisk95: number;
  readonly conditionalValueAtRisk95: number;
  readonly skewness: number;
  readonly kurtosis: number;
  /** Against the benchmark, annualised; NaN without one. */
  readonly informationRatio: number;
  /**
   * Probability that the true Sharpe ratio is > 0 given the number of trials really run (Bailey, Lopez de
   * Prado 2014).
   */
  readonly deflatedSharpe: number;
  readonly trials: number;
}

export interface WindowResult extends Summary {
  /** First and last day, inclusive, YYYY-MM-DD, of decisions. */
  readonly from: string;
  readonly to: string;
  readonly instruments: number;
  readonly periods: number;
}

/** (D) each: one row per decision time of the union of all instruments, windows one after the other. */
export interface Curve {
  readonly time: Float64Array;
  readonly netReturn: Float64Array;
  readonly grossReturn: Float64Array;
  /** Costs and financing, fraction of equity, >= 0 is paid. */
  readonly cost: Float64Array;
  /** Sum of |weight| / N. */
  readonly grossExposure: Float64Array;
  readonly netExposure: Float64Array;
  /** Sum of |change of weight| / N. */
  readonly turnover: Float64Array;
  /** Instruments with a weight. */
  readonly active: Float64Array;
}

export interface GroupRow extends Summary {
  readonly name: string;
  readonly assetClass: AssetClass;
  readonly periods: number;
  /** Sum of the group's contributions to the portfolio's net return, fraction. */
  readonly contribution: number;
}

export interface CostRow {
  readonly costBps: number;
  readonly annualReturn: number;
  readonly sharpe: number;
}

/** One line of "why do the two engines differ": what, how much of the total return, and why. */
export interface DifferenceRow {
  readonly what: string;
  readonly returnDifference: number;
  readonly why: string;
}

/** Runs of one trained model that differ in the seed of their training only. */
export interface SeedComparison {
  readonly rows: readonly {
    readonly name: string;
    readonly average: Summary;
    readonly sharpeByWindow: readonly number[];
    readonly sharpeByCost: readonly { readonly costBps: number; readonly sharpe: number }[];
  }[];
  /** The seed whose result this is: the median by average Sharpe ratio. */
  readonly shown: string;
  readonly sharpeMean: number;
  /** Standard deviation over the seeds (ddof 1); NaN for one. */
  readonly sharpeDeviation: number;
  /**
   * Probability of such a lead of the shown seed's Sharpe ratio over the benchmark's when the model is no
   * better (Ledoit and Wolf 2008); NaN without a benchmark.
   */
  readonly pValue: number;
}

/** What a network looked at, averaged over decisions of the windows. */
export interface NetworkViews {
  /** Decisions averaged: a seeded sample. */
  readonly rows: number;
  /** Its inputs (F). */
  readonly features: readonly string[];
  /** (F) weights that variable selection gives to inputs, summing to 1; null without it. */
  readonly selection: {
    readonly mean: readonly number[];
    readonly byYear: readonly {
      readonly year: number;
      readonly rows: number;
      readonly mean: readonly number[];
    }[];
  } | null;
  /** (T) attention paid to the row so many bars before the decision, from 0; null without it. */
  readonly attention: readonly number[] | null;
  /** As training measured it. */
  readonly importance: Explanation["importance"];
}

export interface BacktestResult {
  readonly strategy: string;
  readonly dataset: string;
  readonly isSynthetic: boolean;
  readonly engine: "vector" | "event" | "live";
  readonly timeframe: string;
  readonly periodsPerYear: number;
  readonly costBps: number;
  readonly lag: 0 | 1;
  readonly volatilityTarget: number;
  readonly average: Summary;
  readonly windows: readonly WindowResult[];
  readonly risk: RiskNumbers;
  readonly benchmark: {
    readonly name: string;
    readonly average: Summary;
    readonly windows: readonly WindowResult[];
    /** (D) aligned with curve.time. */
    readonly netReturn: Float64Array;
  } | null;
  readonly curve: Curve;
  readonly instruments: readonly GroupRow[];
  readonly classes: readonly GroupRow[];
  readonly costLadder: readonly CostRow[];
  /** Event engine only: the vector result's difference, explained. */
  readonly differences: readonly DifferenceRow[];
  /**
   * Sentences a reader must know: skipped instruments, clipped weights, holes in the data, synthetic
   * market, ...
   */
  readonly notes: readonly string[];
  /** Trained models only. */
  readonly seeds?: SeedComparison;
  /** Trained models only, when a report is drawn. */
  readonly views?: NetworkViews;
}
