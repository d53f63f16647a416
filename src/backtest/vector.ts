/**
 * The vector engine: weights for all dates at once, no orders, no shares. What a strategy would have earned
 * if every weight could be held exactly.
 *
 *     features --align--> who decides when --decide--> weights --scale, limit, simulate--> book --> result
 *
 * Nothing looks ahead: a weight is a function of rows up to its own; the return it earns starts there (lag 1:
 * one bar later). Returns are raw (adjusted, not winsorised), close to close, nights and weekends included.
 * Protocol: the DMN papers' (Lim, Zohren, Roberts 2019; Wood et al. 2022), with the first trade charged.
 */
import { UserError } from "../base/error.ts";
import { BPS, formatDay, MS_PER_DAY } from "../base/units.ts";
import { calendar } from "../market/calendar.ts";
import type { RiskReason } from "../strategy/risk.ts";
import type { Strategy } from "../strategy/strategy.ts";
import { align, type Alignment, type TimeRange } from "./align.ts";
import { decideWeights, type Weights } from "./decide.ts";
import { Groups } from "./groups.ts";
import { sizingOf, type BacktestInput, type Window } from "./input.ts";
import { vectorNotes } from "./notes.ts";
import type { BacktestResult, Curve, WindowResult } from "./result.ts";
import { shapeWeights } from "./shape.ts";
import { hasLimits, limitWeights, scalePortfolio } from "./scale.ts";
import { simulate, type Book, type Stretch } from "./simulate.ts";
import { averageOf, costLadder, riskNumbers, summarize, type Piece } from "./summary.ts";

/**
 * Runs the strategy and, when there is one, its benchmark on the same dates. Throws UserError for an empty
 * window.
 */
export async function runVector(input: BacktestInput): Promise<BacktestResult> {
  return vectorResult(input, await askAll(input, input.strategy));
}

/** Of answers already given: a network need not be asked twice when the event engine compares. */
export async function vectorResult(input: BacktestInput, answers: Answers): Promise<BacktestResult> {
  const { settings, dataset, strategy } = input, { periodsPerYear } = settings;
  const { alignment, stretches } = answers;
  const { book, groups, facts } = runBook(input, answers);
  const reported = stretches.filter((stretch) => stretch.isReported);
  const curve = cutCurve(book, alignment.time, reported);
  const windows = windowResults(book, alignment.time, reported, settings.periodsPerYear, facts.instruments);
  const benchmark = input.benchmark === null ? null
    : await runBenchmark(input, input.benchmark, alignment.time);
  const fixed = curve.cost.map((paid, d) => paid - settings.costs.costBps * BPS * curve.turnover[d]);
  return {
    strategy: strategy.name, dataset: dataset.name, isSynthetic: dataset.isSynthetic, engine: "vector",
    timeframe: dataset.timeframe, periodsPerYear: settings.periodsPerYear, costBps: settings.costs.costBps,
    lag: settings.lag, volatilityTarget: settings.volatilityTarget, average: averageOf(windows), windows,
    risk: riskNumbers(curve.netReturn, benchmark?.netReturn ?? null, periodsPerYear, settings.trials),
    benchmark, curve,
    instruments: groups.instruments(settings.periodsPerYear),
    classes: groups.classes(reported, settings.periodsPerYear),
    costLadder: costLadder(curve.grossReturn, fixed, curve.turnover, piecesOf(reported), periodsPerYear),
    differences: [],
    notes: vectorNotes(input, { ...facts, windows, stretches, alignment }),
  };
}

/**
 * The moments decided on: the windows, or, for a book that runs on between them, everything up to the last
 * one.
 */
function rangesOf(windows: readonly Window[], bookFrom?: number): TimeRange[] {
  const whole = windows.map(({ from, to }) => ({ from: from * MS_PER_DAY, to: (to + 1) * MS_PER_DAY }));
  if (bookFrom === undefined) return whole;
  return [{ from: Math.min(bookFrom * MS_PER_DAY, whole[0].from), to: whole.at(-1)!.to }];
}

/** What notes are made of. */
export interface RunFacts {
  /** Instruments decided on at least once in a window. */
  readonly instruments: number;
  readonly clipped: number;
  readonly unscaled: number;
  /** Dates each limit acted on. */
  readonly limited: ReadonlyMap<string, number>;
}

/** What a strategy said, and when: where both engines start. */
export interface Answers extends Weights {
  readonly alignment: Alignment;
  readonly stretches: readonly Stretch[];
  /** Dates on which weights were not optimised though it was asked for, by reason. */
  readonly unshaped: ReadonlyMap<RiskReason, number>;
}

/** `dates`: decide on these instead of finding them. */
export async function askAll(input: BacktestInput, strategy: Strategy,
  dates?: Float64Array): Promise<Answers> {
  const { instruments, settings } = input;
  const ranges = rangesOf(settings.windows, settings.bookFrom);
  const alignment = align(instruments, strategy, settings.lag, ranges, dates);
  const stretches = stretchesOf(settings.windows, alignment, settings.bookFrom !== undefined);
  const { method = "volatility" } = settings;
  const weights = await decideWeights(instruments, strategy, alignment, sizingOf(settings),
    { signal: input.signal, keepsVolatility: method !== "volatility" });
  const unshaped = await shapeWeights(instruments, weights, alignment, method, settings, input.signal);
  return { ...weights, unshaped, alignment, stretches };
}

interface Run {
  readonly book: Book;
  readonly groups: Groups;
  readonly facts: RunFacts;
}

function runBook(input: BacktestInput, answers: Answers): Run {
  const { instruments, settings } = input, { alignment, stretches, clipped, unscaled } = answers;
  const isChanged = settings.portfolioTarget !== null || hasLimits(settings);
  const weight = isChanged ? answers.weight.map((own) => own.slice()) : answers.weight;
  if (settings.portfolioTarget !== null) scalePortfolio(instruments, weight, alignment, stretches, settings);
  const limited = hasLimits(settings) ? limitWeights(instruments, weight, alignment, stretches, settings,
    calendar(input.dataset.calendar)) : [];
  const groups = new Groups(input, alignment.time.length);
  const traded = new Set<number>();
  const book = simulate(instruments, weight, alignment, stretches, settings, (part) => {
    groups.add(part);
    traded.add(part.instrument);
  });
  return { book, groups, facts: { instruments: traded.size, clipped, unscaled,
    limited: new Map([...answers.unshaped, ...limited]) } };
}

/** The benchmark on the strategy's own dates: an instrument it cannot decide on yet earns nothing. */
async function runBenchmark(input: BacktestInput, strategy: Strategy,
  dates: Float64Array): Promise<BacktestResult["benchmark"]> {
  const { settings } = input;
  const answers = await askAll(input, strategy, dates), { stretches } = answers;
  const { book, facts } = runBook(input, answers);
  const reported = stretches.filter((stretch) => stretch.isReported);
  const windows = windowResults(book, dates, reported, settings.periodsPerYear, facts.instruments);
  return { name: strategy.name, average: averageOf(windows), windows,
    netReturn: cutCurve(book, dates, reported).netReturn };
}

/** Cuts the dates at the borders of the windows. */
function stretchesOf(windows: readonly Window[], alignment: Alignment, isCarried: boolean): Stretch[] {
  const { time } = alignment;
  const stretches: Stretch[] = [];
  let at = 0;
  const stretch = (to: number, isReported: boolean): void => {
    if (to > at) {
      stretches.push({ from: at, to, isReported, isCarried, instruments: decidedIn(alignment, at, to) });
    }
    at = to;
  };
  for (const window of windows) {
    stretch(firstAt(time, window.from * MS_PER_DAY), false);
    const end = firstAt(time, (window.to + 1) * MS_PER_DAY);
    if (end === at) throw emptyWindow(window);
    stretch(end, true);
  }
  return stretches;
}

function emptyWindow({ from, to }: Window): UserError {
  return new UserError(`nothing can be decided from ${formatDay(from)} to ${formatDay(to)}: `
    + "no instrument has all its features and a next bar there",
    "choose other days (the features of dmn need 314 bars before the first decision), or fetch more history");
}

function firstAt(time: Float64Array, moment: number): number {
  let low = 0, high = time.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (time[middle] < moment) low = middle + 1; else high = middle;
  }
  return low;
}

/**
 * Instruments with at least one decision on dates [from, to); at least 1, so that nothing is divided by zero.
 */
function decidedIn({ dateOf, eligible }: Alignment, from: number, to: number): number {
  const isIn = (flags: Uint8Array, i: number): boolean => {
    for (let row = 0; row < flags.length && dateOf[i][row] < to; row++) {
      if (flags[row] === 1 && dateOf[i][row] >= from) return true;
    }
    return false;
  };
  return Math.max(1, eligible.filter(isIn).length);
}

export function piecesOf(reported: readonly Stretch[]): Piece[] {
  let at = 0;
  return reported.map(({ from, to }) => ({ from: at, to: at += to - from }));
}

/** The reported dates, one window after the other. */
export function cutCurve(book: Book, time: Float64Array, reported: readonly Stretch[]): Curve {
  const cut = (series: Float64Array): Float64Array => {
    const out = new Float64Array(reported.reduce((sum, { from, to }) => sum + to - from, 0));
    let at = 0;
    for (const { from, to } of reported) { out.set(series.subarray(from, to), at); at += to - from; }
    return out;
  };
  const grossReturn = cut(book.gross), cost = cut(book.cost);
  return {
    time: cut(time), netReturn: grossReturn.map((value, d) => value - cost[d]), grossReturn, cost,
    grossExposure: cut(book.grossExposure), netExposure: cut(book.netExposure), turnover: cut(book.turnover),
    active: cut(book.active),
  };
}

/** `count`: instruments of the whole run, over which turnover is averaged in every window alike. */
export function windowResults(book: Book, time: Float64Array, reported: readonly Stretch[],
  periodsPerYear: number, count: number): WindowResult[] {
  return reported.map(({ from, to, instruments }) => {
    const net = new Float64Array(to - from), share = instruments / Math.max(1, count);
    let traded = 0;
    for (let d = from; d < to; d++) {
      net[d - from] = book.gross[d] - book.cost[d];
      traded += book.turnover[d];
    }
    return {
      from: formatDay(Math.floor(time[from] / MS_PER_DAY)),
      to: formatDay(Math.floor(time[to - 1] / MS_PER_DAY)),
      instruments, periods: net.length,
      ...summarize(net, periodsPerYear, traded * share / net.length * periodsPerYear),
    };
  });
}
