/**
 * A feature family: one incremental implementation, fed chunks of bars in order. A batch is one long chunk,
 * live is a chunk of one; all memory is in `state`, a flat array of numbers, so stream = batch to the bit,
 * also after the state was saved and loaded.
 *
 *   chunk [from, to) of bars ──> update(state) ──> out[(t - from) * stride + offset + k],  k = 0..outputs-1
 */
import type { Bars, ColumnName } from "../market/bars.ts";

/** A causal panel of one instrument. Row t depends on bars 0..t; rows before `warmup` are NaN. */
export interface Features {
  readonly names: readonly string[];
  /** (T) close of each bar, UTC ms. */
  readonly time: Float64Array;
  /** (T, F) row major. */
  readonly values: Float32Array;
  /** Rows without a value at the start: the largest over the columns. */
  readonly warmup: number;
}

export interface FeatureColumn {
  readonly name: string;
  /** What the number is: "fraction", "standard deviations", "0..100", "price", "fraction per day", ... */
  readonly unit: string;
  /** Bars needed before the first value: rows 0..warmup-1 are NaN (on input without NaN). */
  readonly warmup: number;
}

/** A family bound to its parameters: produces one or more neighbouring columns. */
export interface Feature {
  readonly family: string;
  readonly columns: readonly FeatureColumn[];
  /** Columns of the bars that are read. */
  readonly inputs: readonly ColumnName[];
  /**
   * Row t reads bars up to t ("close": known at the close of bar t). The one exception is a training
   * *target*, which reads bar t+1 and is written one row late; it is never an input of a model.
   */
  readonly causality: "close" | "target";
  /** Floating-point operations a bar, about: for the planner and the bench floor. */
  readonly flopsPerBar: number;
  /** Numbers of state. */
  readonly stateLength: number;
  /** Writes the initial state. */
  start(state: Float64Array): void;
  /** Consumes bars [from, to) and writes their rows into `out`. Must not read any bar at or after `to`. */
  update(bars: Bars, from: number, to: number, state: Float64Array,
    out: Float32Array, offset: number, stride: number): void;
}
