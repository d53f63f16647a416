/**
 * Panels -> what a network is trained on: sequences of T rows, each row with its inputs and what a
 * position taken there earns.
 *
 *     instrument   |..NaN..|complete rows............|NaN|complete......|
 *     sequences            |---T---|---T---|---T-000|    |---T---|-T-0000|     0: padding
 *
 * A run of complete rows ends where an input or the target is missing; no sequence spans two runs.
 * Padding is zeros of weight 0 behind the last row, so that a causal network's answers before it do
 * not change.
 */
import { assert } from "../base/assert.ts";
import { UserError } from "../base/error.ts";
import { TRADING_DAYS_PER_YEAR } from "../base/units.ts";
import type { Features } from "../features/feature.ts";
import { splitValidation, type Range } from "./fold.ts";

/** S sequences of T rows, by instrument, then time. Never NaN but for `time`. */
export interface SequenceSet {
  /** Names of the inputs (F). */
  readonly names: readonly string[];
  /** T */
  readonly lookback: number;
  /** S */
  readonly count: number;
  /** (S, T, F) */
  readonly features: Float32Array;
  /** (S, T) what a position of 1 earns next, scaled to the volatility target, fraction. */
  readonly target: Float32Array;
  /** (S, T) 1; 0 for padding. */
  readonly weight: Float32Array;
  /**
   * (S, T) weight held by a position of 1: volatility target / ex-ante volatility, at most
   * `SCALE_MAX`.
   */
  readonly scale: Float32Array;
  /** (S) index into `symbols`. */
  readonly instrument: Int32Array;
  /**
   * (S) 1 where the first row is the one behind the last row of the sequence before: state may be
   * carried over. 0 at an instrument's start, after a gap and where sequences overlap.
   */
  readonly follows: Uint8Array;
  /** (S, T) the decision's close, UTC ms; NaN for padding. */
  readonly time: Float64Array;
  /**
   * All instruments of the source, also those without a sequence: their numbers are the
   * embedding's.
   */
  readonly symbols: readonly string[];
}

/**
 * Largest `scale`: an instrument of 0.6 % annual volatility at a target of 15 %. Calmer than that
 * is a fault in the prices (SHATZ, the calmest future, has 1 %), and one such row must not be the
 * turnover of a whole batch.
 */
export const SCALE_MAX = 25;

export interface SequenceSource {
  readonly symbols: readonly string[];
  /** One per symbol. */
  readonly panels: readonly Features[];
  /** Inputs of the network, columns of every panel. */
  readonly names: readonly string[];
  /** Column of the volatility-scaled next return; default as the recipe `dmn` names it. */
  readonly target?: string;
  /** Column of the ex-ante volatility of one period. */
  readonly volatility?: string;
  /** Annual, fraction; default 0.15. */
  readonly volatilityTarget?: number;
  readonly periodsPerYear?: number;
}

interface Columns {
  readonly inputs: readonly number[];
  readonly target: number;
  readonly volatility: number;
}

function columnsOf(source: SequenceSource, i: number): Columns {
  const find = (name: string): number => {
    const at = source.panels[i].names.indexOf(name);
    if (at >= 0) return at;
    throw new UserError(`${source.symbols[i]} has no column "${name}" to train on`,
      "train on a recipe that has it: dmn features --recipe dmn --dataset NAME");
  };
  return { inputs: source.names.map(find),
    target: find(source.target ?? "target_vol_scaled_next_return"),
    volatility: find(source.volatility ?? "daily_vol") };
}

/** (rows) 1 where all inputs, the volatility and the target of an instrument exist. */
export function completeRows(source: SequenceSource, i: number): Uint8Array {
  const { inputs, target, volatility } = columnsOf(source, i);
  const { values, names, time } = source.panels[i], wanted = [...inputs, target, volatility];
  return Uint8Array.from(time, (_, row) =>
    wanted.every((column) => Number.isFinite(values[row * names.length + column])) ? 1 : 0);
}

/** Where sequences start and how many rows of each are real. */
interface Cut { readonly i: number; readonly row: number; readonly length: number }

/** Cuts of one run [from, to): every `stride` rows until one reaches the end. */
function cutRun(i: number, from: number, to: number, lookback: number, stride: number): Cut[] {
  const cuts: Cut[] = [];
  for (let row = from; row < to; row += stride) {
    cuts.push({ i, row, length: Math.min(lookback, to - row) });
    if (row + lookback >= to) break;
  }
  return cuts;
}

function cutInstrument(source: SequenceSource, i: number, { from, to }: Range, lookback: number,
  stride: number): Cut[] {
  const complete = completeRows(source, i), cuts: Cut[] = [];
  for (let row = from; row < to; row++) {
    if (complete[row] === 0) continue;
    const start = row;
    while (row < to && complete[row] === 1) row++;
    cuts.push(...cutRun(i, start, row, lookback, stride));
  }
  return cuts;
}

/**
 * Sequences of `lookback` rows out of `ranges` (one per instrument; rows outside are not read).
 * `stride` rows from one start to the next: `lookback` (the default) does not overlap. UserError
 * for a longer one, and for a panel without one of the columns.
 */
export function cutSequences(source: SequenceSource, ranges: readonly Range[],
  { lookback, stride = lookback }: { lookback: number; stride?: number }): SequenceSet {
  const { symbols, panels, names, volatilityTarget = 0.15,
    periodsPerYear = TRADING_DAYS_PER_YEAR } = source;
  assert(ranges.length === symbols.length && panels.length === symbols.length,
    "one panel and range per symbol");
  assert(lookback >= 1 && stride >= 1, "sequences have rows and go on");
  if (stride > lookback) {
    throw new UserError(`a stride of ${stride} leaves out rows between sequences of ${lookback}`,
      `--set stride=${lookback} at most; 0 is that`);
  }
  const cuts = ranges.flatMap((range, i) => cutInstrument(source, i, range, lookback, stride));
  const T = lookback, F = names.length, S = cuts.length;
  const set: SequenceSet = {
    names, lookback, count: S, symbols, instrument: Int32Array.from(cuts, ({ i }) => i),
    features: new Float32Array(S * T * F), target: new Float32Array(S * T),
    weight: new Float32Array(S * T),
    scale: new Float32Array(S * T), time: new Float64Array(S * T).fill(NaN),
    follows: Uint8Array.from(cuts, ({ i, row }, s) =>
      s > 0 && cuts[s - 1].i === i && cuts[s - 1].row + cuts[s - 1].length === row ? 1 : 0),
  };
  const annual = volatilityTarget / Math.sqrt(periodsPerYear);
  cuts.forEach(({ i, row, length }, s) => {
    const { values, names: all, time } = panels[i], columns = columnsOf(source, i);
    for (let t = 0; t < length; t++) {
      const at = s * T + t, from = (row + t) * all.length;
      for (let f = 0; f < F; f++) set.features[at * F + f] = values[from + columns.inputs[f]];
      set.target[at] = values[from + columns.target];
      set.weight[at] = 1;
      set.scale[at] = Math.min(annual / values[from + columns.volatility], SCALE_MAX);
      set.time[at] = time[row + t];
    }
  });
  return set;
}

export interface FoldChoice {
  /**
   * UTC ms: no label of training or validation is known at or after it. Infinity: everything is
   * trained on.
   */
  readonly testFrom: number;
  /** UTC ms of the first decision; default: all there are. */
  readonly trainFrom?: number;
  /** Rows left out before the test, besides those whose label reaches it. */
  readonly embargo?: number;
  /** Rows from a decision to the close at which its label is known. */
  readonly horizon?: number;
  /** Share of each instrument's rows for validation. */
  readonly share?: number;
}

export interface FoldRows {
  /** One per instrument; empty where there is nothing to learn from. */
  readonly training: readonly Range[];
  readonly validation: readonly Range[];
}

const EMPTY: Range = { from: 0, to: 0 };

/**
 * Divides each instrument's rows before a test:
 *
 *     |warm-up|training ............|purge|validation 10 %|purge|embargo| test
 *
 * Purged are `horizon` rows at either border, whose labels become known behind it. The share of
 * validation is of the instrument's own rows (Lim, Zohren, Roberts 2019), so a late
 * starter validates on other days than an old one. Rows before the first complete one do not count.
 */
export function foldRows(source: SequenceSource, choice: FoldChoice): FoldRows {
  const { testFrom, trainFrom = -Infinity, embargo = 0, horizon = 1, share = 0.1 } = choice;
  const training: Range[] = [], validation: Range[] = [];
  source.panels.forEach(({ time }, i) => {
    const complete = completeRows(source, i);
    const from = complete.findIndex((one, row) => one === 1 && time[row] >= trainFrom);
    let before = time.findIndex((close) => close >= testFrom);
    if (before < 0) before = time.length;
    // The last row's label is the return up to the last close before the test (and the embargo).
    const to = before - horizon - embargo;
    if (from < 0 || to <= from) { training.push(EMPTY); validation.push(EMPTY); return; }
    const split = splitValidation(to - from, share);
    training.push({ from, to: Math.max(from, from + split.train.to - horizon) });
    validation.push({ from: from + split.validation.from, to: from + split.validation.to });
  });
  return { training, validation };
}

export interface FoldSequences {
  readonly training: SequenceSet;
  readonly validation: SequenceSet;
  /** Symbols with less than one sequence of complete rows to train on. */
  readonly leftOut: readonly string[];
}

export interface FoldCut {
  /** T */
  readonly lookback: number;
  /** Rows from one training sequence to the next; default `lookback`. */
  readonly stride?: number;
  /**
   * Validation begins with all of an instrument's training rows, at weight 0: a network that
   * carries its state comes to the validation rows as it would live.
   */
  readonly isWarmed?: boolean;
}

/**
 * Training sequences every `stride` rows, and validation sequences without overlap, of the
 * instruments that have at least one whole training sequence. UserError when none has.
 */
export function cutFold(source: SequenceSource, choice: FoldChoice,
  { lookback, stride = lookback, isWarmed = false }: FoldCut): FoldSequences {
  const rows = foldRows(source, choice);
  const longest = source.panels.map((_, i) =>
    cutInstrument(source, i, rows.training[i], lookback, lookback)
      .reduce((most, { length }) => Math.max(most, length), 0));
  const only = (ranges: readonly Range[]): Range[] =>
    ranges.map((range, i) => longest[i] < lookback ? EMPTY : range);
  if (!longest.some((length) => length >= lookback)) {
    throw tooFewBars(lookback, longest, source.symbols);
  }
  const validated = only(rows.validation);
  const validation = isWarmed ? cutWarmed(source, only(rows.training), validated, lookback)
    : cutSequences(source, validated, { lookback });
  if (!validation.weight.includes(1)) {
    throw new UserError("too few bars for one sequence of validation",
      "choose a later test, or an earlier start of the data");
  }
  return {
    training: cutSequences(source, only(rows.training), { lookback, stride }), validation,
    leftOut: source.symbols.filter((_, i) => longest[i] < lookback),
  };
}

/** Sequences from an instrument's first row of training on; weight 0 before its validation. */
function cutWarmed(source: SequenceSource, training: readonly Range[],
  validation: readonly Range[], lookback: number): SequenceSet {
  const set = cutSequences(source, validation.map(({ from, to }, i) =>
    (from < to ? { from: Math.min(training[i].from, from), to } : EMPTY)), { lookback });
  const starts = validation.map(({ from, to }, i) =>
    (from < to ? source.panels[i].time[from] : Infinity));
  return { ...set, weight: set.weight.map((one, at) =>
    (set.time[at] >= starts[set.instrument[Math.floor(at / lookback)]] ? one : 0)) };
}

/** `longest`: rows of each instrument's longest complete stretch. */
function tooFewBars(lookback: number, longest: readonly number[],
  symbols: readonly string[]): UserError {
  const problem = `too few bars for one sequence of ${lookback}`, most = Math.max(0, ...longest);
  const later = "choose a later test, or an earlier start of the data";
  if (most === 0) {
    return new UserError(`${problem}: no row to train on has all inputs, which warm up first`, later);
  }
  const best = symbols[longest.indexOf(most)];
  return new UserError(`${problem}: the longest complete stretch to train on has ${most} (${best})`,
    `${later}, or --set lookback=${most} at most`);
}
