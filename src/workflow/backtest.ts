/** `dmn backtest`: dataset -> features -> strategy -> engine -> result, and the report file. */
import * as path from "node:path";
import { unionOfTimes } from "../backtest/align.ts";
import { runEvent } from "../backtest/event.ts";
import { explainRun } from "../backtest/explain.ts";
import type { BacktestInput, BacktestSettings, InstrumentInput } from "../backtest/input.ts";
import { periodsOf } from "../backtest/periods.ts";
import type { BacktestResult } from "../backtest/result.ts";
import { runVector } from "../backtest/vector.ts";
import { chooseWindows } from "../backtest/windows.ts";
import { commandLine } from "../base/command-line.ts";
import type { Context } from "../base/context.ts";
import { UserError } from "../base/error.ts";
import { replaceWith } from "../base/file.ts";
import { suggestion } from "../base/suggest.ts";
import { day, dayOf, formatDay, MS_PER_DAY, parseDay, type Day } from "../base/units.ts";
import { joinFeatures } from "../dataset/join.ts";
import type { Features } from "../features/feature.ts";
import type { Panel } from "../features/panel.ts";
import { calendar } from "../market/calendar.ts";
import { readBars, readManifest, type Manifest } from "../market/store.ts";
import { findStrategy } from "../strategy/find.ts";
import type { CudaPrecision } from "../runtime/cuda/launch.ts";
import type { GpuNetworks } from "../strategy/gpu.ts";
import type { PortfolioMethod } from "../strategy/optimise/shaper.ts";
import { limitsOf, type RiskLimits } from "../strategy/risk.ts";
import type { Strategy } from "../strategy/strategy.ts";
import { countTrials, findStrategies, isLearned, medianBySharpe, withSeeds } from "./backtest-seeds.ts";
import { loadFeatures } from "./load-features.ts";

export { formulasText } from "../metrics/metrics.ts";
export { reportText } from "../backtest/text.ts";
export { resultJson } from "../backtest/json.ts";

export interface BacktestOptions {
  readonly dataset: string;
  /** Name or file. */
  readonly strategy: string;
  /** Name or file; null: long-only, unless that is the strategy. */
  readonly benchmark: string | null;
  readonly engine: "vector" | "event" | "live";
  /** YYYY-MM-DD, inclusive; null: all there is. */
  readonly from: string | null;
  readonly to: string | null;
  /** First years of the windows; empty: one window over everything. */
  readonly windows: readonly number[];
  readonly windowYears: number | null;
  readonly costBps: number;
  readonly borrowBps: number;
  readonly financingBps: number;
  readonly lag: 0 | 1;
  readonly weightMax: number;
  readonly volatilityTarget: number;
  readonly portfolioTarget: number | null;
  readonly portfolio: PortfolioMethod;
  readonly capital: number;
  readonly isFractional: boolean;
  readonly slippageBps: number;
  /** Adds each instrument's own half-spread to the cost, where it is known. */
  readonly isHalfSpreadCharged: boolean;
  /** Largest share of a bar's volume that one order may fill. */
  readonly participationMax: number;
  /** Where to write the HTML page; null: nowhere. */
  readonly report: string | null;
  /** A model answers also for days that it was trained on. */
  readonly isInSample: boolean;
  /** Where networks answer; auto and cuda: on the GPU if there is one, and cuda warns where there is none. */
  readonly device: "cpu" | "cuda" | "auto";
  /** What they compute in on the GPU; the CPU knows float32 only. */
  readonly precision: CudaPrecision;
}

export const BACKTEST_DEFAULTS = {
  benchmark: null, engine: "vector", from: null, to: null, windows: [], windowYears: null, costBps: 0,
  borrowBps: 0, financingBps: 0, lag: 0, weightMax: Infinity, volatilityTarget: 0.15, portfolioTarget: null,
  portfolio: "volatility", capital: 1_000_000, isFractional: false, slippageBps: 0,
  isHalfSpreadCharged: false,
  /** All of a bar's volume, and no more. */
  participationMax: 1, report: null, isInSample: false,
  device: "cpu", precision: "float32",
} as const satisfies Omit<BacktestOptions, "dataset" | "strategy">;

/** What a strategy is measured against when nothing is said: a network, against what it has to beat. */
const benchmarkOf = (strategy: string): string | null =>
  isLearned(strategy) ? "tsmom" : strategy === "long-only" ? null : "long-only";

export interface Backtest {
  readonly result: BacktestResult;
  /** Absolute path of the page that was written, or null. */
  readonly report: string | null;
}

export async function backtest(options: BacktestOptions, context: Context): Promise<Backtest> {
  const manifest = readManifest(context.root, options.dataset);
  if (manifest.kind !== "bars" || manifest.timeframe === "tick") {
    throw new UserError(`dataset "${manifest.dataset}" holds ${manifest.kind}, and a backtest needs bars`,
      "fetch bars of the same instruments into a dataset of their own");
  }
  const threads = context.config.workers;
  await using gpu = await openGpu(options, context);
  const asked = { isTrainedAllowed: options.isInSample, threads, ...(gpu === null ? {} : { gpu }) };
  const strategies = await findStrategies(context.root, options.strategy, asked);
  const [strategy] = strategies;
  const other = options.benchmark ?? benchmarkOf(options.strategy);
  const benchmark = other === null ? null : await findStrategy(context.root, other, asked);
  const settings = { ...settingsOf(options, manifest,
    benchmark === null ? [strategy] : [strategy, benchmark], limitsOf(context.config.risk)),
  trials: countTrials(context.root, options.strategy) };
  const instruments = await readInstruments(manifest, strategy, benchmark, options.engine, context);
  const periodsPerYear = periodsOf(unionOfTimes(instruments.map((one) => one.features.time)), manifest);
  const inputOf = (one: Strategy): BacktestInput => ({
    dataset: { name: manifest.dataset, isSynthetic: manifest.isSynthetic, timeframe: manifest.timeframe,
      calendar: manifest.calendar, adjustment: manifest.adjustment },
    instruments, strategy: one, benchmark, settings: { ...settings, periodsPerYear }, signal: context.signal,
  });
  const results: BacktestResult[] = [];
  for (const one of strategies) {
    const run = await ENGINES[options.engine]();
    const result = await run(inputOf(one));
    const said = one.notes?.(instruments.map(({ instrument }) => instrument.symbol)) ?? [];
    results.push({ ...result, notes: [...result.notes, ...said] });
  }
  const median = medianBySharpe(results);
  const report = options.report === null ? null : path.resolve(options.report);
  const found = isLearned(options.strategy) ? withSeeds(median, results) : median;
  const shown = gpu === null ? found : { ...found, notes: [...found.notes, ...gpu.notes()] };
  if (report === null) return { result: shown, report };
  const views = await explainRun(inputOf(strategies[results.indexOf(median)]));
  const result = views === null ? shown : { ...shown, views };
  // Its charts are a good part of the code: loaded only when somebody wants the page.
  const { reportPage } = await import("../backtest/page/report-page.ts");
  await replaceWith(report, reportPage(result, { others: results.filter((one) => one !== median) }));
  return { result, report };
}

type Engine = (input: BacktestInput) => Promise<BacktestResult>;

/** The live graph is a good part of the code: loaded only when somebody wants it. */
const ENGINES: Readonly<Record<BacktestOptions["engine"], () => Promise<Engine> | Engine>> = {
  vector: () => runVector,
  event: () => runEvent,
  live: async () => (await import("./live/backtest-live.ts")).runLive,
};

/** Null where no network is asked, or none on a GPU: its code is then not even loaded. */
async function openGpu({ device, precision, strategy, benchmark }: BacktestOptions,
  { config, log }: Context): Promise<GpuNetworks | null> {
  if (device === "cpu" && precision !== "float32") {
    throw new UserError(`on the CPU networks compute in float32, not in ${precision}`,
      `for example: --device cuda --precision ${precision}`);
  }
  if (device === "cpu" || !(isLearned(strategy) || isLearned(benchmark ?? ""))) return null;
  const gpu = await import("../strategy/gpu.ts");
  return new gpu.GpuNetworks({ threads: config.workers, precision,
    ...(device === "cuda" ? { say: (sentence) => { log.warn(sentence); } } : {}) });
}

/** All but what has to be counted: in the bars, and in what was tried. */
function settingsOf(options: BacktestOptions, manifest: Manifest, asked: readonly Strategy[],
  limits: RiskLimits): Omit<BacktestSettings, "periodsPerYear" | "trials"> {
  const asDay = (text: string | null): Day | null => text === null ? null : parseDay(text);
  const from = asDay(options.from);
  const start = dayOf(Math.min(...manifest.instruments.map((row) => row.from)));
  const latest = asked.reduce((a, b) => (b.decidesFrom ?? -Infinity) > (a.decidesFrom ?? -Infinity) ? b : a);
  const earliest = dayOf(latest.decidesFrom ?? start * MS_PER_DAY);
  // Nobody named a day: the networks' first one is the first that they have not seen.
  const first = options.windows.length === 0 && from === null ? day(Math.max(start, earliest)) : start;
  const last = dayOf(Math.max(...manifest.instruments.map((row) => row.to)));
  const choice = { years: options.windows, windowYears: options.windowYears, from, to: asDay(options.to) };
  const windows = chooseWindows(choice, manifest.dataset, first, last);
  if (windows[0].from < earliest) {
    throw new UserError(`${latest.name} was trained on days before ${formatDay(earliest)}: what it says `
      + `about ${formatDay(windows[0].from)} proves nothing`,
    `ask from ${formatDay(earliest)} on (--from, --windows), or say --in-sample to look all the same`);
  }
  return {
    windows,
    // Walk-forward windows are parts of one book, which has been running before the first of them.
    ...(options.windows.length > 0 ? { bookFrom: day(Math.max(from ?? first, first, earliest)) } : {}),
    calendarPeriodsPerYear: calendar(manifest.calendar).periodsPerYear(manifest.timeframe),
    volatilityTarget: options.volatilityTarget, portfolioTarget: options.portfolioTarget,
    method: options.portfolio,
    weightMax: options.weightMax, lag: options.lag, limits,
    costs: { costBps: options.costBps, isHalfSpreadCharged: options.isHalfSpreadCharged,
      borrowBps: options.borrowBps, financingBps: options.financingBps },
    capital: options.capital, isFractional: options.isFractional, slippageBps: options.slippageBps,
    participationMax: options.participationMax,
  };
}

/** Rows and features of all instruments; the vector engine needs no more than closes. */
async function readInstruments(manifest: Manifest, strategy: Strategy, benchmark: Strategy | null,
  engine: BacktestOptions["engine"], context: Context): Promise<InstrumentInput[]> {
  const features = await loadFeatures(context, manifest, strategy.recipe);
  checkFeatures(strategy, features.panel, manifest.dataset);
  const others = benchmark === null || benchmark.recipe === strategy.recipe ? null
    : await loadFeatures(context, manifest, benchmark.recipe);
  if (benchmark !== null) checkFeatures(benchmark, (others ?? features).panel, manifest.dataset);
  const task = context.progress.start("read bars", manifest.instruments.length, "instruments");
  const out: InstrumentInput[] = [];
  for (const row of manifest.instruments) {
    const { root } = context;
    const adjusted = await readBars(root, manifest, row.symbol, { columns: ["close"] });
    const isRaw = manifest.adjustment === "raw";
    const bars = engine === "vector" ? adjusted
      : await readBars(root, manifest, row.symbol, isRaw ? { adjust: "none" } : {});
    const own: Features = await features.of(row.symbol);
    out.push({ instrument: row.instrument, bars, adjustedClose: adjusted.columns.close!,
      actions: isRaw ? row.actions : [],
      features: others === null ? own : joinFeatures(own, await others.of(row.symbol)) });
    context.signal.throwIfAborted();
    task.advance(1, row.symbol);
  }
  task.finish();
  return out;
}

/** A strategy reads columns that are there; a network only features made as those it was trained on. */
function checkFeatures(strategy: Strategy, { names, hash }: Panel, dataset: string): void {
  const { name, recipe, recipeHash } = strategy;
  if (recipeHash !== undefined && recipeHash !== hash) {
    throw new UserError(`${name} was trained on other features than recipe "${recipe}" makes of dataset `
      + `"${dataset}" (hash ${recipeHash.slice(0, 12)}, here ${hash.slice(0, 12)})`,
    "the recipe, its version, the calendar or the timeframe is another: restore it, or train on these: "
      + commandLine(["dmn", "train-export", "--dataset", dataset, "--recipe", recipe, "--name", "NAME"]));
  }
  const missing = strategy.features.find((one) => !names.includes(one));
  if (missing === undefined) return;
  throw new UserError(`strategy ${name} reads the feature "${missing}", `
    + `which recipe "${recipe}" does not make`,
    suggestion(missing, names));
}
