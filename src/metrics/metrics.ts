/**
 * Every number a report prints, with its formula: three libraries give three Sharpe ratios for one series, so
 * ours says which it is. `dmn backtest --formulas` prints this table. r_t is the return of a period, n their
 * number, P periods a
 * year, W_t = (1 + r_1) ... (1 + r_t).
 */
import { formatTable } from "../base/table.ts";
import * as series from "./returns.ts";
import type { ReturnNumbers } from "./returns.ts";

const one = (name: keyof ReturnNumbers) => (returns: ArrayLike<number>, periods: number): number =>
  series.returnNumbers(returns, periods)[name];

export const METRIC_NAMES = [
  "cumulativeReturn", "annualReturn", "volatility", "sharpe", "sortino", "downsideRisk", "maxDrawdown",
  "calmar", "positiveShare", "omega", "tailRatio", "valueAtRisk95", "conditionalValueAtRisk95", "skewness",
  "kurtosis", "informationRatio", "deflatedSharpe", "overfittingProbability", "turnover",
] as const;
export type MetricName = (typeof METRIC_NAMES)[number];

export interface Metric {
  readonly title: string;
  readonly unit: "fraction" | "fraction a year" | "ratio" | "probability";
  readonly formula: string;
  readonly source: string;
  /** Which direction is an improvement. */
  readonly better: "up" | "down";
  /** Of one series; null when it needs more than one series. */
  readonly of: ((returns: ArrayLike<number>, periods: number) => number) | null;
}

export const METRICS = {
  cumulativeReturn: { title: "Cumulative return", unit: "fraction", formula: "W_n - 1", source: "definition",
    better: "up", of: one("cumulativeReturn") },
  annualReturn: { title: "Annual return", unit: "fraction a year", formula: "W_n ^ (P/n) - 1",
    source: "compound annual growth rate", better: "up", of: one("annualReturn") },
  volatility: { title: "Volatility", unit: "fraction a year", formula: "std(r, ddof 1) sqrt(P)",
    source: "definition", better: "down", of: one("volatility") },
  sharpe: { title: "Sharpe", unit: "ratio", formula: "mean(r) / std(r, ddof 1) sqrt(P); risk-free 0",
    source: "Sharpe 1994", better: "up", of: one("sharpe") },
  sortino: { title: "Sortino", unit: "ratio", formula: "P mean(r) / downside risk",
    source: "Sortino, Price 1994",
    better: "up", of: one("sortino") },
  downsideRisk: { title: "Downside risk", unit: "fraction a year", formula: "sqrt(mean(min(r, 0)^2)) sqrt(P)",
    source: "Sortino, Price 1994", better: "down", of: one("downsideRisk") },
  maxDrawdown: { title: "Max drawdown", unit: "fraction", formula: "max_t 1 - W_t / max(1, W_1..W_t)",
    source: "definition", better: "down", of: one("maxDrawdown") },
  calmar: { title: "Calmar", unit: "ratio", formula: "annual return / max drawdown", source: "Young 1991",
    better: "up", of: one("calmar") },
  positiveShare: { title: "Positive periods", unit: "fraction", formula: "count(r > 0) / n",
    source: "definition",
    better: "up", of: one("positiveShare") },
  omega: { title: "Omega", unit: "ratio", formula: "sum(max(r, 0)) / sum(max(-r, 0))",
    source: "Keating, Shadwick 2002", better: "up", of: (returns) => series.omega(returns) },
  tailRatio: { title: "Tail ratio", unit: "ratio", formula: "|q95(r)| / |q5(r)|, quantiles linear",
    source: "definition",
    better: "up", of: series.tailRatio },
  valueAtRisk95: { title: "Value at risk 95 %", unit: "fraction",
    formula: "-q5(r), from the sample, one period",
    source: "historical simulation", better: "down", of: (returns) => series.valueAtRisk(returns) },
  conditionalValueAtRisk95: { title: "Conditional VaR 95 %", unit: "fraction",
    formula: "-mean(r where r <= q5(r))",
    source: "Rockafellar, Uryasev 2000", better: "down",
    of: (returns) => series.conditionalValueAtRisk(returns) },
  skewness: { title: "Skewness", unit: "ratio", formula: "mean((r-mean)^3) / std(r, ddof 0)^3",
    source: "definition",
    better: "up", of: series.skewness },
  kurtosis: { title: "Kurtosis", unit: "ratio", formula: "mean((r-mean)^4) / std(r, ddof 0)^4; normal 3",
    source: "definition", better: "down", of: series.kurtosis },
  informationRatio: { title: "Information ratio", unit: "ratio",
    formula: "Sharpe of r - benchmark", source: "Goodwin 1998", better: "up", of: null },
  deflatedSharpe: { title: "Deflated Sharpe", unit: "probability",
    formula: "P(true Sharpe > 0 | n, skew, kurt, trials)", source: "Bailey, Lopez de Prado 2014",
    better: "up", of: null },
  overfittingProbability: { title: "Overfitting (PBO)", unit: "probability",
    formula: "P(best in sample <= median out)", source: "Bailey et al. 2017",
    better: "down", of: null },
  turnover: { title: "Turnover", unit: "fraction a year",
    formula: "P/n sum|w_t - w_(t-1)|, mean of instruments",
    source: "definition", better: "down", of: null },
} as const satisfies Record<MetricName, Metric>;

/** What `--formulas` prints. */
export function formulasText(): string {
  const rows = METRIC_NAMES.map((name) => {
    const { title, formula, source } = METRICS[name];
    return [title, formula, source];
  });
  return `r_t: return of a period   n: periods   P: periods a year   W_t: growth of 1   w_t: weight\n\n`
    + formatTable([{ title: "metric" }, { title: "formula" }, { title: "source" }], rows);
}
