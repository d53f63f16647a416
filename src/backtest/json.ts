/**
 * What `dmn backtest --json` prints: one object of this schema. Fractions are fractions (0.05 is 5 %), days
 * are YYYY-MM-DD; a number that does not exist (a Calmar ratio without a drawdown) is null.
 */
import { z } from "zod";
import { ASSET_CLASSES } from "../market/instrument.ts";
import type { BacktestResult } from "./result.ts";

const number = z.number().nullable();
const dayText = z.string().regex(/^\d{4}-\d{2}-\d{2}$/);

const summaryShape = {
  annualReturn: number.describe("compound growth a year, after costs"),
  volatility: number.describe("annualised standard deviation"),
  sharpe: number.describe("annualised, no risk-free rate"),
  sortino: number,
  maxDrawdown: number.describe("positive fraction"),
  calmar: number,
  positiveShare: number.describe("share of periods with a return > 0"),
  turnover: number.describe("sum of |change of weight| a year, mean over the instruments of the run"),
};
const summary = z.strictObject(summaryShape);
const windowRow = z.strictObject({
  from: dayText.describe("first decision"), to: dayText.describe("last decision"),
  instruments: z.int().describe("N, decided on at least once in the window"),
  periods: z.int(), ...summaryShape,
});
const groupRow = z.strictObject({
  name: z.string(), assetClass: z.enum(ASSET_CLASSES), periods: z.int(),
  contribution: number.describe("part of the portfolio's summed net return"), ...summaryShape,
});

export const resultSchema = z.strictObject({
  strategy: z.string(),
  dataset: z.string(),
  isSynthetic: z.boolean(),
  engine: z.enum(["vector", "event", "live"]),
  timeframe: z.string(),
  periodsPerYear: z.number(),
  costBps: z.number().describe("cost of trading, basis points of the amount traded"),
  lag: z.union([z.literal(0), z.literal(1)]),
  volatilityTarget: z.number(),
  average: summary.describe("mean of each number over the windows"),
  windows: z.array(windowRow),
  risk: z.strictObject({
    valueAtRisk95: number, conditionalValueAtRisk95: number, skewness: number, kurtosis: number,
    informationRatio: number, deflatedSharpe: number, trials: z.int(),
  }),
  benchmark: z.strictObject({ name: z.string(), average: summary, windows: z.array(windowRow) }).nullable(),
  instruments: z.array(groupRow),
  classes: z.array(groupRow),
  costLadder: z.array(z.strictObject({ costBps: z.number(), annualReturn: number, sharpe: number })),
  differences: z.array(z.strictObject({ what: z.string(), returnDifference: number, why: z.string() })),
  notes: z.array(z.string()),
  seeds: z.strictObject({
    rows: z.array(z.strictObject({ name: z.string(), average: summary, sharpeByWindow: z.array(number),
      sharpeByCost: z.array(z.strictObject({ costBps: z.number(), sharpe: number })) })),
    shown: z.string().describe("the seed whose result this is: the median by Sharpe ratio"),
    sharpeMean: number, sharpeDeviation: number.describe("over the seeds"),
    pValue: number.describe("of being no better than the benchmark, Ledoit and Wolf 2008"),
  }).optional().describe("trained models only"),
  views: z.strictObject({
    rows: z.int().describe("decisions averaged"),
    features: z.array(z.string()),
    selection: z.strictObject({ mean: z.array(number),
      byYear: z.array(z.strictObject({ year: z.int(), rows: z.int(), mean: z.array(number) })) }).nullable()
      .describe("weight of each input, summing to 1"),
    attention: z.array(number).nullable().describe("by bars before the decision, from 0"),
    importance: z.strictObject({ folds: z.array(z.string()), byFold: z.array(z.array(number)),
      stability: number }).nullable().describe("Sharpe ratio lost in validation without each input"),
  }).optional().describe("trained models only, with a report"),
  report: z.string().nullable().describe("path of the HTML page, when one was written"),
});

export type ResultJson = z.infer<typeof resultSchema>;

/** The result without its series, every number finite or null. */
export function resultJson(result: BacktestResult, report: string | null): ResultJson {
  const { curve: _, benchmark, ...rest } = result;
  const plain = {
    ...rest, report,
    benchmark: benchmark && { name: benchmark.name, average: benchmark.average, windows: benchmark.windows },
  };
  const text = JSON.stringify(plain, (_key, value: unknown) =>
    typeof value === "number" && !Number.isFinite(value) ? null : value);
  return JSON.parse(text) as ResultJson;
}
