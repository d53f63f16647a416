/** One row per number: how it is called, how it reads, how it is made. */
import type { RiskNumbers, Summary } from "../result.ts";
import type { Form } from "./format.ts";

export interface Word {
  readonly label: string;
  readonly form: Form;
  readonly formula: string;
}

export const SUMMARY_WORDS = {
  annualReturn: { label: "Annual return", form: "percent",
    formula: "product(1 + r) ^ (periods a year / periods) - 1" },
  volatility: { label: "Volatility", form: "percent",
    formula: "standard deviation (ddof 1) of r * sqrt(periods a year)" },
  sharpe: { label: "Sharpe", form: "ratio",
    formula: "mean(r) / standard deviation (ddof 1) of r * sqrt(periods a year)" },
  sortino: { label: "Sortino", form: "ratio",
    formula: "mean(r) * periods a year / (sqrt(mean(min(r, 0)^2)) * sqrt(periods a year))" },
  maxDrawdown: { label: "Max drawdown", form: "percent",
    formula: "greatest 1 - growth / highest growth so far, the start included" },
  calmar: { label: "Calmar", form: "ratio", formula: "annual return / max drawdown" },
  positiveShare: { label: "Positive periods", form: "percent", formula: "share of periods with r > 0" },
  turnover: { label: "Turnover a year", form: "ratio",
    formula: "sum of |change of weight| a year, mean over the instruments" },
} as const satisfies Record<keyof Summary, Word>;

export const SUMMARY_KEYS = Object.keys(SUMMARY_WORDS) as (keyof Summary)[];

export const RISK_WORDS = {
  valueAtRisk95: { label: "Value at risk 95%", form: "percent",
    formula: "historical: the loss that 5% of the periods exceed" },
  conditionalValueAtRisk95: { label: "Conditional VaR 95%", form: "percent",
    formula: "mean loss of the worst 5% of the periods" },
  skewness: { label: "Skewness", form: "ratio", formula: "third standardised moment of r" },
  kurtosis: { label: "Kurtosis", form: "ratio", formula: "fourth standardised moment of r" },
  informationRatio: { label: "Information ratio", form: "ratio",
    formula: "mean(r - benchmark) / standard deviation of (r - benchmark) * sqrt(periods a year)" },
  deflatedSharpe: { label: "Deflated Sharpe", form: "percent",
    formula: "probability that the true Sharpe is > 0, given the trials really run (Bailey, Lopez de Prado 2014)" },
  trials: { label: "Trials run", form: "count", formula: "strategies and settings tried before this one was shown" },
} as const satisfies Record<keyof RiskNumbers, Word>;

export const RISK_KEYS = Object.keys(RISK_WORDS) as (keyof RiskNumbers)[];
