/**
 * One list of decision times for instruments with different rows.
 *
 *     rows of instrument i   0 1 2 3 4 5 6        eligible  . . x x x x .
 *     dateOf[i]             -1-1 0 1 3 4 5        -> index into `time`, the union of decision times; -1: none
 *
 * Everything per instrument stays in its own rows (ragged, contiguous); only sums over instruments have D
 * entries.
 */
import { firstRowAt } from "../market/bars.ts";
import { eligibleRows, type InstrumentInput } from "./input.ts";
import type { Strategy } from "../strategy/strategy.ts";

export interface Alignment {
  /** (D) decision times, ascending, UTC ms. */
  readonly time: Float64Array;
  /** Per instrument (T): index into `time`, or -1. */
  readonly dateOf: readonly Int32Array[];
  /** Per instrument (T): 1 where the strategy decides. */
  readonly eligible: readonly Uint8Array[];
  /** (D) instruments decided on. */
  readonly count: Int32Array;
}

/** Moments [from, to), UTC ms. */
export interface TimeRange {
  readonly from: number;
  readonly to: number;
}

/** Times of all instruments' rows, ascending, each once. */
export function unionOfTimes(times: readonly Float64Array[]): Float64Array {
  let union = new Float64Array(0);
  for (const time of times) if (!isWithin(time, union)) union = merge(union, time);
  return union;
}

/** True when every element of `time` is in `union`; both ascend. */
function isWithin(time: Float64Array, union: Float64Array): boolean {
  if (time.length === 0) return true;
  for (let t = 0, at = firstRowAt(union, time[0]); t < time.length; t++, at++) {
    while (at < union.length && union[at] < time[t]) at++;
    if (at >= union.length || union[at] !== time[t]) return false;
  }
  return true;
}

function merge(a: Float64Array, b: Float64Array): Float64Array<ArrayBuffer> {
  const out = new Float64Array(a.length + b.length);
  let n = 0;
  for (let i = 0, j = 0; i < a.length || j < b.length;) {
    const next = j >= b.length || a[i] <= b[j] ? a[i] : b[j];
    if (a[i] === next) i++;
    if (b[j] === next) j++;
    out[n++] = next;
  }
  return out.slice(0, n);
}

/**
 * Decision times within the ranges and who is decided on at each. `dates`: use these instead of finding them.
 */
export function align(instruments: readonly InstrumentInput[], strategy: Strategy, lag: 0 | 1,
  ranges: readonly TimeRange[], dates?: Float64Array): Alignment {
  const eligible = instruments.map((one) => eligibleRows(one, strategy, lag));
  const all = dates ?? unionOfTimes(instruments.map((one) => one.features.time));
  const place = instruments.map((one) => indexIn(all, one.features.time));
  const countAll = new Int32Array(all.length);
  const earliest = strategy.decidesFrom ?? -Infinity;
  const isTested = Uint8Array.from(all, (time) => Number(time >= earliest && ranges.some(({ from, to }) =>
    time >= from && time < to)));
  eligible.forEach((flags, i) => {
    const dateOf = place[i];
    for (let row = 0; row < flags.length; row++) {
      const d = dateOf[row];
      if (flags[row] === 1 && d >= 0 && isTested[d] === 1) countAll[d]++; else flags[row] = 0;
    }
  });
  // Only times with a decision are kept (all of them where they were given).
  let D = 0;
  const kept = countAll.map((decisions) => dates !== undefined || decisions > 0 ? D++ : -1);
  for (const dateOf of place) {
    for (let row = 0; row < dateOf.length; row++) if (dateOf[row] >= 0) dateOf[row] = kept[dateOf[row]];
  }
  return { time: all.filter((_, d) => kept[d] >= 0), dateOf: place, eligible,
    count: countAll.filter((_, d) => kept[d] >= 0) };
}

/** (T) index of each time in the union, -1 where it is not there; both ascend. */
function indexIn(union: Float64Array, time: Float64Array): Int32Array {
  const out = new Int32Array(time.length).fill(-1);
  for (let t = 0, at = time.length > 0 ? firstRowAt(union, time[0]) : 0; t < time.length; t++) {
    while (at < union.length && union[at] < time[t]) at++;
    if (union[at] === time[t]) out[t] = at;
  }
  return out;
}
