/**
 * `dmn demo`: the whole way, offline, for a first look.
 *
 *   synthetic market ─ fetch ─> bars ─ features ─> Parquet ─┬─ train-export ─> 15 networks ─┐
 *                                                           └─ long-only, tsmom, macd ──────┴─ backtest
 *                                                                                    ─> a table, a page
 */
import * as path from "node:path";
import { formatCount, formatNumber, formatPercent, formatTable, type Column } from "../base/table.ts";
import { places } from "../base/data-root.ts";
import type { Context } from "../base/context.ts";
import type { Summary } from "../backtest/result.ts";
import { backtest, BACKTEST_DEFAULTS, type Backtest } from "./backtest.ts";
import { features, type FeaturesReport } from "./features.ts";
import { fetch, type FetchReport } from "./fetch.ts";
import { trainExport } from "./train-export.ts";

const DATASET = "synthetic";
const RECIPE = "dmn";
const MODEL = "demo-lstm";
/** The strategy whose tearsheet is drawn. */
const SHOWN = `model:${MODEL}`;
const STRATEGIES = ["long-only", "tsmom", "macd", SHOWN] as const;
/** A small network that learns in seconds, and pays for its trades while it learns. */
const SETTINGS = { hidden: 20, learningRate: 0.01, epochs: 60, patience: 15, costBps: 2 } as const;
const SEEDS = 3;
/** Besides no costs. */
const COST_BPS = 2;
const WINDOWS = [1995, 2000, 2005, 2010, 2015];
const WINDOW_YEARS = 5;

export interface DemoReport {
  readonly dataset: string;
  readonly isSynthetic: true;
  readonly instruments: number;
  readonly bars: number;
  readonly features: { readonly recipe: string; readonly rows: number; readonly columns: number };
  readonly model: { readonly name: string; readonly parameters: number; readonly networks: number;
    readonly seconds: number };
  readonly strategies: readonly { readonly strategy: string; readonly average: Summary;
    readonly sharpeByWindow: readonly number[];
    /** At COST_BPS. */
    readonly sharpeNet: number }[];
  /** Absolute path of the HTML page. */
  readonly report: string;
}

export async function demo(context: Context): Promise<DemoReport> {
  const bars: FetchReport = await fetch({ dataset: DATASET }, context);
  const made: FeaturesReport = await features(
    { dataset: DATASET, recipe: RECIPE, symbols: [], from: null, to: null,
      workers: context.config.workers }, context);
  const trained = await trainExport({ name: MODEL, workers: context.config.workers, isResume: false,
    isForced: true, said: { dataset: DATASET, recipe: RECIPE, set: SETTINGS, seeds: SEEDS, windows: WINDOWS,
      windowYears: WINDOW_YEARS } }, context);
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
    model: { name: MODEL, networks: trained.fits, seconds: trained.seconds,
      parameters: trained.artifact.folds[0].seeds[0].parameters },
    strategies: results.map(({ result }) => ({ strategy: result.strategy, average: result.average,
      sharpeByWindow: result.windows.map((window) => window.sharpe),
      sharpeNet: result.costLadder.find(({ costBps }) => costBps === COST_BPS)?.sharpe ?? NaN })),
    report,
  };
}

export function demoText(report: DemoReport): string {
  const right = (title: string): Column => ({ title, align: "right" });
  const table = formatTable([
    { title: "strategy" }, right("return"), right("vol"), right("Sharpe"), right("max DD"),
    right("turnover"), right(`at ${COST_BPS} bps`), right("Sharpe by window"),
  ], report.strategies.map(({ strategy, average, sharpeByWindow, sharpeNet }) => [
    strategy, formatPercent(average.annualReturn), formatPercent(average.volatility),
    formatNumber(average.sharpe), formatPercent(average.maxDrawdown),
    formatNumber(average.turnover, 1), formatNumber(sharpeNet),
    sharpeByWindow.map((value) => formatNumber(value, 2)).join(" "),
  ]));
  return [
    `SYNTHETIC market, invented prices: ${report.instruments} instruments, ${formatCount(report.bars)} `
      + `bars; recipe ${report.features.recipe}: ${report.features.columns} columns.`,
    `LSTM: ${report.model.networks} networks of ${formatCount(report.model.parameters)} parameters `
      + `(${WINDOWS.length} windows x ${SEEDS} seeds, the median seed is shown), trained in `
      + `${Math.ceil(report.model.seconds)} s.`,
    `Averages of ${WINDOWS.length} windows of ${WINDOW_YEARS} years from ${WINDOWS[0]}, no costs but where `
      + "said. They say nothing about any real market.",
    "", table, "",
    "next: dmn fetch --source csv --path prices.csv --dataset mine",
    "      dmn features --dataset mine --recipe dmn",
    "      dmn train-export --dataset mine --name first",
    "      dmn backtest --dataset mine --strategy model:first",
    `report: ${report.report}`,
  ].join("\n");
}
