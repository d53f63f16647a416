/**
 * `dmn demo`: the whole way, offline, for a first look.
 *
 *   synthetic market ─ fetch ─> bars ─ features ─> Parquet ─ 3 x backtest ─> a table, a page
 */
import * as path from "node:path";
import { formatCount, formatNumber, formatPercent, formatTable, type Column } from "../base/table.ts";
import { places } from "../base/data-root.ts";
import type { Context } from "../base/context.ts";
import type { Summary } from "../backtest/result.ts";
import { backtest, BACKTEST_DEFAULTS, type Backtest } from "./backtest.ts";
import { features, type FeaturesReport } from "./features.ts";
import { fetch, type FetchReport } from "./fetch.ts";

const DATASET = "synthetic";
const RECIPE = "dmn";
const STRATEGIES = ["long-only", "tsmom", "macd"] as const;
/** The strategy whose tearsheet is drawn. */
const SHOWN = "tsmom";
const WINDOWS = [1995, 2000, 2005, 2010, 2015];
const WINDOW_YEARS = 5;

export interface DemoReport {
  readonly dataset: string;
  readonly isSynthetic: true;
  readonly instruments: number;
  readonly bars: number;
  readonly features: { readonly recipe: string; readonly rows: number; readonly columns: number };
  readonly strategies: readonly { readonly strategy: string; readonly average: Summary;
    readonly sharpeByWindow: readonly number[] }[];
  /** Absolute path of the HTML page. */
  readonly report: string;
}

export async function demo(context: Context): Promise<DemoReport> {
  const bars: FetchReport = await fetch({ dataset: DATASET }, context);
  const made: FeaturesReport = await features(
    { dataset: DATASET, recipe: RECIPE, symbols: [], from: null, to: null,
      workers: context.config.workers }, context);
  const report = path.join(places.reports(context.root), "demo.html");
  const results: Backtest[] = [];
  for (const strategy of STRATEGIES) {
    results.push(await backtest({ ...BACKTEST_DEFAULTS, dataset: DATASET, strategy,
      windows: WINDOWS, windowYears: WINDOW_YEARS,
      report: strategy === SHOWN ? report : null }, context));
  }
  return {
    dataset: DATASET, isSynthetic: true, instruments: bars.instruments, bars: bars.bars,
    features: { recipe: RECIPE, rows: made.rows, columns: made.columns.length },
    strategies: results.map(({ result }) => ({ strategy: result.strategy, average: result.average,
      sharpeByWindow: result.windows.map((window) => window.sharpe) })),
    report,
  };
}

export function demoText(report: DemoReport): string {
  const right = (title: string): Column => ({ title, align: "right" });
  const table = formatTable([
    { title: "strategy" }, right("return"), right("vol"), right("Sharpe"), right("max DD"),
    right("Calmar"), right("up"), right("turnover"), right("Sharpe by window"),
  ], report.strategies.map(({ strategy, average, sharpeByWindow }) => [
    strategy, formatPercent(average.annualReturn), formatPercent(average.volatility),
    formatNumber(average.sharpe), formatPercent(average.maxDrawdown), formatNumber(average.calmar),
    formatPercent(average.positiveShare), formatNumber(average.turnover, 1),
    sharpeByWindow.map((value) => formatNumber(value, 2)).join(" "),
  ]));
  return [
    `SYNTHETIC market, invented prices: ${report.instruments} instruments, ${formatCount(report.bars)} `
      + `bars; recipe ${report.features.recipe}: ${report.features.columns} columns.`,
    `Averages of ${WINDOWS.length} windows of ${WINDOW_YEARS} years from ${WINDOWS[0]}, no costs. `
      + "They say nothing about any real market.",
    "", table, "",
    "next: dmn fetch --source csv --path prices.csv --dataset mine",
    "      dmn backtest --dataset mine --strategy tsmom",
    `report: ${report.report}`,
  ].join("\n");
}
