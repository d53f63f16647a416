/**
 * What the technical families share: how the bars of a block come in, how results go out.
 *
 *   bars [from, to) ──> Rows { n, close, high, ... } ──> block(rows, state) ──> rows.put(k, y)
 *
 * Bars are copied, with absent values mended, so that one missing number can not stay in a running
 * average for ever: an absent (or impossible) open, high or low is the bar's close, an absent
 * volume is 0.
 */
import { z } from "zod";
import { type Bars, column, type ColumnName } from "../market/bars.ts";
import type { Feature } from "./feature.ts";
import { BLOCK, scratch } from "./rolling.ts";

/** One set for all families: a block is worked on by one family at a time. */
const SERIES = {
  open: scratch(), high: scratch(), low: scratch(), close: scratch(), volume: scratch(),
};

/** The rows of a block. Of the series only those that the feature declares as inputs are filled. */
export class Rows {
  /** (n) each; a family may overwrite them. */
  readonly open = SERIES.open;
  readonly high = SERIES.high;
  readonly low = SERIES.low;
  readonly close = SERIES.close;
  readonly volume = SERIES.volume;
  /** Rows here, at most BLOCK; and rows of this instrument before them. */
  n = 0;
  seen = 0;
  readonly #has: Readonly<Record<keyof typeof SERIES, boolean>>;
  readonly #warmups: Int32Array;
  #bars: Bars | null = null;
  #start = 0;
  #out: Float32Array = new Float32Array(0);
  #place = 0;
  #stride = 0;

  constructor(inputs: Feature["inputs"], columns: Feature["columns"]) {
    const has = (name: ColumnName): boolean => inputs.includes(name);
    this.#has = { open: has("open"), high: has("high"), low: has("low"), close: has("close"),
      volume: has("volume") };
    this.#warmups = Int32Array.from(columns, ({ warmup }) => warmup);
  }

  /** Close of row i, UTC ms. */
  timeOf(i: number): number { return this.#bars!.time[this.#start + i]; }

  /** Takes in n bars from `start`; their first row begins at out[place]. */
  read(bars: Bars, start: number, n: number, seen: number, out: Float32Array, place: number,
    stride: number): void {
    this.n = n;
    this.seen = seen;
    this.#bars = bars;
    this.#start = start;
    this.#out = out;
    this.#place = place;
    this.#stride = stride;
    const { columns } = bars, has = this.#has;
    if (has.close) copy(columns.close ?? column(bars, "close"), start, n, this.close);
    if (has.open) mend(columns.open ?? column(bars, "open"), this.close, start, n, this.open);
    if (has.high) mend(columns.high ?? column(bars, "high"), this.close, start, n, this.high);
    if (has.low) mend(columns.low ?? column(bars, "low"), this.close, start, n, this.low);
    if (!has.volume) return;
    const volumes = columns.volume ?? column(bars, "volume");
    for (let i = 0; i < n; i++) this.volume[i] = volumes[start + i] >= 0 ? volumes[start + i] : 0;
  }

  /** Writes the k-th column: NaN until its warm-up is over. */
  put(k: number, y: Float64Array): void {
    const { n } = this, out = this.#out, stride = this.#stride;
    const absent = this.#warmups[k] - this.seen;
    let i = 0, at = this.#place + k;
    for (; i < n && i < absent; i++, at += stride) out[at] = NaN;
    for (; i < n; i++, at += stride) out[at] = y[i];
  }
}

function copy(values: Float64Array, start: number, n: number, out: Float64Array): void {
  for (let i = 0; i < n; i++) out[i] = values[start + i];
}

function mend(values: Float64Array, close: Float64Array, start: number, n: number,
  out: Float64Array): void {
  for (let i = 0; i < n; i++) {
    const value = values[start + i];
    out[i] = value > 0 ? value : close[i];
  }
}

/** Typical price (high + low + close) / 3, in the place of the low. */
export function typicalPrice({ n, high, low, close }: Rows): Float64Array {
  for (let i = 0; i < n; i++) low[i] = (high[i] + low[i] + close[i]) / 3;
  return low;
}

/**
 * previous[i] = the value before x[i]; before the first row, the first itself (so that first
 * differences are 0). State: [rows seen, last value].
 */
export const previousLength = 2;
export function previous(x: Float64Array, n: number, state: Float64Array, at: number,
  out: Float64Array): void {
  let last = state[at] === 0 ? x[0] : state[at + 1];
  for (let i = 0; i < n; i++) {
    out[i] = last;
    last = x[i];
  }
  state[at] += n;
  state[at + 1] = last;
}

/**
 * Places of the windows' memories in the state, one after the other from `first`; `total` is where
 * they end.
 */
export function layout(first: number,
  lengths: readonly number[]): { at: Int32Array; total: number } {
  const at = new Int32Array(lengths.length);
  let total = first;
  for (let k = 0; k < lengths.length; k++) {
    at[k] = total;
    total += lengths[k];
  }
  return { at, total };
}

/** What a technical family says of itself; the rest of a Feature is the same for all of them. */
export interface Technical {
  readonly family: string;
  readonly columns: Feature["columns"];
  readonly inputs: Feature["inputs"];
  readonly flopsPerBar: number;
  /** state[0] counts rows; the rest is the family's. */
  readonly stateLength: number;
  /** Takes in a block and puts each of its columns. */
  readonly block: (rows: Rows, state: Float64Array) => void;
}

/** A Feature that starts from an all-zero state and works block by block. */
export function technical({ block, ...rest }: Technical): Feature {
  const rows = new Rows(rest.inputs, rest.columns);
  return {
    ...rest,
    causality: "close",
    start: (state) => { state.fill(0, 0, rest.stateLength); },
    update(bars, from, to, state, out, offset, stride) {
      for (let start = from; start < to; start += BLOCK) {
        const n = Math.min(BLOCK, to - start), seen = state[0] | 0;
        rows.read(bars, start, n, seen, out, (start - from) * stride + offset, stride);
        block(rows, state);
        state[0] = seen + n;
      }
    },
  };
}

/** Which of a family's outputs, in this order; all of them by default. */
export const outputList = <const Names extends readonly [string, ...string[]]>(names: Names) =>
  z.array(z.enum(names)).min(1)
    .refine((chosen) => new Set(chosen).size === chosen.length, "each output may appear once")
    .default([...names] as never).describe("which columns, in this order");
