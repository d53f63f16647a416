/**
 * One row per number of the page: metrics/metrics.ts names it and says how it is made, this says
 * how it reads.
 */
import { METRICS } from "../../metrics/metrics.ts";
import type { RiskNumbers, Summary } from "../result.ts";
import type { Form } from "./format.ts";

export interface Word {
  readonly label: string;
  readonly form: Form;
  readonly formula: string;
}

const word = (name: keyof typeof METRICS, form: Form): Word => ({
  label: METRICS[name].title,
  form,
  formula: METRICS[name].formula,
});

export const SUMMARY_WORDS: Readonly<Record<keyof Summary, Word>> = {
  annualReturn: word("annualReturn", "percent"),
  volatility: word("volatility", "percent"),
  sharpe: word("sharpe", "ratio"),
  sortino: word("sortino", "ratio"),
  maxDrawdown: word("maxDrawdown", "percent"),
  calmar: word("calmar", "ratio"),
  positiveShare: word("positiveShare", "percent"),
  turnover: word("turnover", "ratio"),
};

export const SUMMARY_KEYS = Object.keys(SUMMARY_WORDS) as (keyof Summary)[];

export const RISK_WORDS: Readonly<Record<keyof RiskNumbers, Word>> = {
  valueAtRisk95: word("valueAtRisk95", "percent"),
  conditionalValueAtRisk95: word("conditionalValueAtRisk95", "percent"),
  skewness: word("skewness", "ratio"),
  kurtosis: word("kurtosis", "ratio"),
  informationRatio: word("informationRatio", "ratio"),
  deflatedSharpe: word("deflatedSharpe", "percent"),
  trials: {
    label: "Trials run",
    form: "count",
    formula: "strategies and settings tried before this one was shown",
  },
};

export const RISK_KEYS = Object.keys(RISK_WORDS) as (keyof RiskNumbers)[];
