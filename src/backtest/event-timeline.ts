/**
 * The merged timeline of all instruments, computed once: who has a bar at which moment.
 *
 *     step       0          1        2      ...            distinct times, ascending
 *     entries    [A0 B0 C0] [A1 C1]  [B1]         flat; those of step s: start[s] .. start[s + 1] - 1
 *
 * An entry is (instrument, row). Within a step entries are in the order of the instruments, and all
 * of them together form one decision.
 */
import { firstRowAt } from "../market/bars.ts";
import { unionOfTimes } from "./align.ts";

export interface Timeline {
  /** (S) distinct times, ascending, UTC ms. */
  readonly time: Float64Array;
  /** (S + 1) first entry of each step. */
  readonly start: Int32Array;
  /** (E) each. */
  readonly instrument: Int32Array;
  readonly row: Int32Array;
}

/** `times[i]` are the ascending bar times of instrument i. */
export function buildTimeline(times: readonly Float64Array[]): Timeline {
  const time = unionOfTimes(times);
  const start = new Int32Array(time.length + 1);
  forEachEntry(times, time, (step) => { start[step + 1]++; });
  for (let step = 0; step < time.length; step++) start[step + 1] += start[step];
  const entries = start[time.length];
  const instrument = new Int32Array(entries), row = new Int32Array(entries);
  const next = start.slice();
  forEachEntry(times, time, (step, i, r) => {
    const entry = next[step]++;
    instrument[entry] = i;
    row[entry] = r;
  });
  return { time, start, instrument, row };
}

function forEachEntry(times: readonly Float64Array[], time: Float64Array,
  visit: (step: number, instrument: number, row: number) => void): void {
  for (let i = 0; i < times.length; i++) {
    const own = times[i];
    if (own.length === 0) continue;
    let step = firstRowAt(time, own[0]);
    for (let row = 0; row < own.length; row++) {
      while (time[step] < own[row]) step++;
      visit(step, i, row);
    }
  }
}
