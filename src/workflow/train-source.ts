/**
 * The rows that networks are trained on: of the recipe's Parquet file the inputs, the target and
 * the volatility, of all instruments; and the folds that the asked windows cut out of them.
 */
import { availableParallelism } from "node:os";
import { unionOfTimes } from "../backtest/align.ts";
import { chooseWindows } from "../backtest/windows.ts";
import type { Window } from "../backtest/input.ts";
import { quoted } from "../base/command-line.ts";
import type { Context } from "../base/context.ts";
import { UserError } from "../base/error.ts";
import { day, dayOf, formatDay, MS_PER_DAY, parseDay, type Day } from "../base/units.ts";
import { cutFold, type FoldChoice, type FoldSequences, type SequenceSet, type SequenceSource }
  from "../dataset/sequence.ts";
import type { Features } from "../features/feature.ts";
import { FeaturesFile, featuresPlace } from "../features/file.ts";
import { readRecipe } from "../features/recipe.ts";
import type { Panel } from "../features/panel.ts";
import { calendar } from "../market/calendar.ts";
import type { Manifest } from "../market/store.ts";
import { cpuEngine } from "../runtime/cpu.ts";
import { foldsOf, type FoldDays } from "../train/walk-forward.ts";
import { bindTo } from "./feature-pieces.ts";
import { chooseFeatures, type Plan, type PlannedFold, type TrainRequest } from "./train-plan.ts";

const TARGET = "target_vol_scaled_next_return";
const VOLATILITY = "daily_vol";
/** Share of the days that are tested when no windows are named. */
const TEST_SHARE = 0.2;
/** Rows until a decision's label is known. */
const HORIZON = 1;

/** The recipe as the dataset has it, checked to have something to learn. */
export interface Trainable {
  readonly manifest: Manifest;
  readonly panel: Panel;
  readonly features: readonly string[];
  readonly volatilityTarget: number;
}

/**
 * UserError for a recipe without target or volatility, an unknown input, and features that were not
 * made yet.
 */
export async function bindTrainable(root: string, manifest: Manifest, recipe: string,
  named: readonly string[]): Promise<Trainable> {
  const panel = await bindTo(root, manifest, recipe);
  const missing = [TARGET, VOLATILITY].find((name) => !panel.names.includes(name));
  if (missing !== undefined) {
    throw new UserError(
      `recipe "${recipe}" has no column "${missing}", and a network cannot be trained without`,
      'use --recipe dmn, or a recipe file that takes it in: {"features": [{"recipe": "dmn"}, ...]}');
  }
  const { parts } = await readRecipe(root, recipe);
  const target = parts.find(({ name }) => name === "target")?.parameters as { volatilityTarget: number };
  return { manifest, panel, features: chooseFeatures(named, panel.columns, recipe),
    volatilityTarget: target.volatilityTarget };
}

/** Reads the columns that training needs. UserError when the file is not the recipe's and the dataset's. */
export function readSource({ manifest, panel, features, volatilityTarget }: Trainable, root: string,
  recipe: string): SequenceSource {
  const { dataset } = manifest, command = `dmn features --dataset ${dataset} --recipe ${quoted(recipe)}`;
  const file = FeaturesFile.open(featuresPlace(root, dataset, panel.recipe), command);
  if (file === null) {
    throw new UserError(`dataset "${dataset}" has no features of recipe "${recipe}" yet`,
      `make them: ${command}`);
  }
  const { hash, fingerprint, from, to } = file.header;
  const stale = hash !== panel.hash ? "were made by another recipe or version"
    : fingerprint !== manifest.fingerprint ? "are of older bars than the dataset has now"
      : from !== null || to !== null ? "hold only a part of the rows" : null;
  if (stale !== null) {
    throw new UserError(`the features of dataset "${dataset}" and recipe "${recipe}" ${stale}`,
      `make them again: ${command}`);
  }
  const names = [...features, TARGET, VOLATILITY].filter((name, k, all) => all.indexOf(name) === k);
  const rows = manifest.instruments.filter((row) => file.has(row.symbol));
  return {
    symbols: rows.map((row) => row.symbol), names: features, target: TARGET, volatility: VOLATILITY,
    panels: rows.map((row) =>
      ({ ...file.read(row.symbol, command, names), names, warmup: panel.warmup })),
    volatilityTarget, periodsPerYear: calendar(manifest.calendar).periodsPerYear(manifest.timeframe),
  };
}

/** What a fold may see, for cutFold. */
export const choiceOf = (fold: Pick<PlannedFold, "testFrom">,
  { from, embargo }: TrainRequest): FoldChoice => ({
  testFrom: dayStart(fold.testFrom), embargo, horizon: HORIZON,
  ...(from === null ? {} : { trainFrom: dayStart(from) }),
});

function dayStart(text: string): number {
  const parsed = parseDay(text);
  return parsed === null ? NaN : parsed * MS_PER_DAY;
}

/**
 * The sequences of one fold. UserError, with the fold's name, for too few bars and for returns that
 * never vary.
 */
export function cutPlanned(source: SequenceSource, fold: Pick<PlannedFold, "name" | "testFrom">,
  request: TrainRequest, { lookback, stride }: { lookback: number; stride: number }): FoldSequences {
  const cut = (): FoldSequences => cutFold(source, choiceOf(fold, request),
    { lookback, isWarmed: request.mode === "carry",
      ...(stride > 0 ? { stride: Math.min(stride, lookback) } : {}) });
  let sequences: FoldSequences;
  try { sequences = cut(); } catch (error) {
    if (!(error instanceof UserError)) throw error;
    if (source.panels.every(isConstant)) throw constant(fold.name, request.dataset);
    throw new UserError(`fold ${fold.name}: ${error.problem}`, error.hint);
  }
  const { target, weight } = sequences.training;
  const first = target[weight.indexOf(1)];
  if (target.every((value, k) => weight[k] === 0 || value === first)) {
    throw constant(fold.name, request.dataset);
  }
  return sequences;
}

const isConstant = ({ names, values }: Features): boolean => {
  const column = names.indexOf(VOLATILITY);
  return values.every((value, k) => k % names.length !== column || !(value > 0));
};

const constant = (fold: string, dataset: string): UserError => new UserError(
  `fold ${fold}: the returns to train on are constant (zero variance), so there is nothing to learn`,
  `look at the prices: dmn fetch --dataset ${dataset} --check`);

/** The plan of a request on these rows. UserError for windows outside of the data and folds without rows. */
export function planOf(request: TrainRequest, chosen: Pick<Plan, "settings" | "lookback">,
  trainable: Trainable, source: SequenceSource, context: Context): Plan {
  const { manifest, panel, features, volatilityTarget } = trainable;
  const closes = unionOfTimes(source.panels.map(({ time }) => time));
  const folds = foldsOf(testWindows(request, manifest), closes, request.embargo)
    .map((days) => planFold(request, chosen, source, days));
  const cores = availableParallelism();
  const threadsOf = (each: number): number =>
    Math.max(1, Math.floor(cores / Math.max(1, each * folds.length)));
  context.log.debug({ folds }, "planned");
  return {
    request, ...chosen, fingerprint: manifest.fingerprint, recipeHash: panel.hash, features,
    symbols: source.symbols, timeframe: manifest.timeframe, calendar: manifest.calendar,
    periodsPerYear: source.periodsPerYear!, volatilityTarget, isSynthetic: manifest.isSynthetic, folds,
    threads: { trial: threadsOf(request.trials), seed: threadsOf(request.seeds) },
    engine: cpuEngine(context.config.engine),
  };
}

/** The windows asked for; else the last years asked for; else the last fifth of the days. */
function testWindows(request: TrainRequest, manifest: Manifest): Window[] {
  const first = dayOf(Math.min(...manifest.instruments.map((row) => row.from)));
  const last = dayOf(Math.max(...manifest.instruments.map((row) => row.to)));
  const from = request.from === null ? null : parseDay(request.from);
  const to = request.to === null ? null : parseDay(request.to);
  const choice = { years: request.windows, windowYears: request.windowYears, from, to };
  const windows = chooseWindows(choice, manifest.dataset, first, last);
  if (request.windows.length > 0) return windows;
  const [whole] = windows;
  const start = request.windowYears === null
    ? day(Math.ceil(whole.to - (whole.to - whole.from) * TEST_SHARE))
    : yearsBefore(whole.to, request.windowYears);
  if (start <= whole.from) {
    throw new UserError(`the last ${request.windowYears} years are all that dataset `
      + `"${manifest.dataset}" has; nothing is left to train on`, "choose a smaller --window-years");
  }
  return [{ from: start, to: whole.to }];
}

/** The day after the one that many years before. */
function yearsBefore(last: Day, years: number): Day {
  const date = new Date(last * MS_PER_DAY);
  return day(Date.UTC(date.getUTCFullYear() - years, date.getUTCMonth(), date.getUTCDate()) / MS_PER_DAY + 1);
}

function planFold(request: TrainRequest, { settings, lookback }: Pick<Plan, "settings" | "lookback">,
  source: SequenceSource, days: FoldDays): PlannedFold {
  const fold = { name: days.name, testFrom: formatDay(days.testFrom), testTo: formatDay(days.testTo) };
  const { training, validation, leftOut } = cutPlanned(source, fold, request,
    { lookback, stride: Number(settings.stride) });
  const trained = rowsOf(training), validated = rowsOf(validation);
  const dates = new Set([...trained, ...validated].map(({ time }) => dayOf(time)));
  let first = Infinity;
  for (const date of dates) first = Math.min(first, date);
  return { ...fold, trainFrom: formatDay(first), trainTo: formatDay(days.trainTo), trainDays: dates.size,
    trainRows: new Set(trained.map(({ i, time }) => `${i} ${time}`)).size,
      validationRows: validated.length, leftOut };
}

/** Real rows; one that several overlapping sequences have is there several times. */
function rowsOf({ instrument, time, weight, lookback }: SequenceSet): { i: number; time: number }[] {
  const rows: { i: number; time: number }[] = [];
  weight.forEach((one, k) => {
    if (one === 1) rows.push({ i: instrument[Math.floor(k / lookback)], time: time[k] });
  });
  return rows;
}
