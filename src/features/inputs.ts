/**
 * Columns of a block of bars, copied into scratch with absent values mended, so that one missing
 * number can not stay in a running average for ever: an absent (or impossible) open, high or low is
 * the bar's close, an absent volume is 0.
 *
 * Also what the families share in handing their results on.
 */
import { z } from "zod";
import { type Bars, column } from "../market/bars.ts";
import type { Feature } from "./feature.ts";
import { BLOCK } from "./rolling.ts";

export function readClose(bars: Bars, start: number, n: number, out: Float64Array): void {
  const close = bars.columns.close ?? column(bars, "close");
  for (let i = 0; i < n; i++) out[i] = close[start + i];
}

function mend(values: Float64Array, close: Float64Array, start: number, n: number,
  out: Float64Array): void {
  for (let i = 0; i < n; i++) out[i] = values[start + i] > 0 ? values[start + i] : close[start + i];
}

export function readOpen(bars: Bars, start: number, n: number, out: Float64Array): void {
  mend(bars.columns.open ?? column(bars, "open"), bars.columns.close ?? column(bars, "close"),
    start, n, out);
}

export function readHigh(bars: Bars, start: number, n: number, out: Float64Array): void {
  mend(bars.columns.high ?? column(bars, "high"), bars.columns.close ?? column(bars, "close"),
    start, n, out);
}

export function readLow(bars: Bars, start: number, n: number, out: Float64Array): void {
  mend(bars.columns.low ?? column(bars, "low"), bars.columns.close ?? column(bars, "close"), start,
    n, out);
}

export function readVolume(bars: Bars, start: number, n: number, out: Float64Array): void {
  const volume = bars.columns.volume ?? column(bars, "volume");
  for (let i = 0; i < n; i++) out[i] = volume[start + i] >= 0 ? volume[start + i] : 0;
}

/** Typical price (high + low + close) / 3; the inputs are scratch and `out` may be one of them. */
export function typicalPrice(high: Float64Array, low: Float64Array, close: Float64Array, n: number,
  out: Float64Array): void {
  for (let i = 0; i < n; i++) out[i] = (high[i] + low[i] + close[i]) / 3;
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

/** The rows of a block: `seen` rows came before it. */
export type BlockUpdate = (bars: Bars, start: number, n: number, seen: number, state: Float64Array,
  out: Float32Array, place: number, stride: number) => void;

/**
 * Cuts a chunk into blocks that fit the scratch arrays. state[0] counts rows; the rest is the
 * family's.
 */
export function inBlocks(block: BlockUpdate): Feature["update"] {
  return (bars, from, to, state, out, offset, stride) => {
    for (let start = from; start < to; start += BLOCK) {
      const n = Math.min(BLOCK, to - start), seen = state[0];
      block(bars, start, n, seen, state, out, (start - from) * stride + offset, stride);
      state[0] = seen + n;
    }
  };
}

/** Writes a column's rows: NaN until `warmup` rows were seen. */
export function emit(y: Float64Array, n: number, seen: number, warmup: number, out: Float32Array,
  place: number, stride: number): void {
  let i = 0;
  for (; i < n && seen + i < warmup; i++) out[place + i * stride] = NaN;
  for (; i < n; i++) out[place + i * stride] = y[i];
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
  readonly stateLength: number;
  readonly block: BlockUpdate;
}

/** A Feature that starts from an all-zero state and works block by block. */
export function technical(parts: Technical): Feature {
  const { block, ...rest } = parts;
  return {
    ...rest,
    causality: "close",
    start: (state) => { state.fill(0, 0, parts.stateLength); },
    update: inBlocks(block),
  };
}

/** Which of a family's outputs, in this order; all of them by default. */
export const outputList = <const Names extends readonly [string, ...string[]]>(names: Names) =>
  z.array(z.enum(names)).min(1)
    .refine((chosen) => new Set(chosen).size === chosen.length, "each output may appear once")
    .default([...names] as never).describe("which columns, in this order");
