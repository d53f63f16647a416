/**
 * The merged timeline of all instruments, computed once, and what one run asks of it, known before
 * the replay starts.
 *
 *     step       0          1        2      ...            distinct times, ascending
 *     entries    [A0 B0 C0] [A1 C1]  [B1]         flat; those of step s: start[s] .. start[s + 1] - 1
 *
 *     steps    first ........ last .. end
 *              |--decisions--|--|          rows of the result: the dates of the alignment
 *                             \ valued at the bar that earns an instrument's last decision
 *
 * An entry is (instrument, row). Within a step entries are in the order of the instruments, and all
 * of them together form one decision.
 */
import { firstRowAt } from "../market/bars.ts";
import { unionOfTimes, type Alignment } from "./align.ts";
import type { Stretch } from "./simulate.ts";

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

export interface RunPlan {
  readonly stretches: readonly Stretch[];
  /** (D of the run) steps that are rows of the result. */
  readonly rowStep: Int32Array;
  /** (D of the run) N: what weights are divided by. */
  readonly divisor: Int32Array;
  /** Step at which the run ends; its closes are the last that are looked at. */
  readonly endStep: number;
  /** Instruments decided on at least once, ascending. */
  readonly members: Int32Array;
  /** (all instruments) last row that is looked at after the last decision; -1: not a member. */
  readonly endRow: Int32Array;
}

/**
 * Runs of the account: one over all stretches when positions are carried, else one per reported
 * stretch.
 */
export function runsOf(stretches: readonly Stretch[]): Stretch[][] {
  const runs: Stretch[][] = [];
  for (const stretch of stretches) {
    if (stretch.isCarried && runs.length > 0) runs[0].push(stretch);
    else if (stretch.isCarried || stretch.isReported) runs.push([stretch]);
  }
  return runs;
}

/** `times[i]`: bar times of instrument i. */
export function planRun(timeline: Timeline, alignment: Alignment, times: readonly Float64Array[],
  stretches: readonly Stretch[], lag: 0 | 1): RunPlan {
  const from = stretches[0].from, to = stretches.at(-1)!.to;
  const rowStep = new Int32Array(to - from), divisor = new Int32Array(to - from);
  for (const stretch of stretches) {
    divisor.fill(stretch.instruments, stretch.from - from, stretch.to - from);
  }
  for (let d = from; d < to; d++) rowStep[d - from] = firstRowAt(timeline.time, alignment.time[d]);
  const endRow = new Int32Array(times.length).fill(-1);
  let endStep = rowStep[rowStep.length - 1];
  for (let i = 0; i < times.length; i++) {
    const eligible = alignment.eligible[i], dateOf = alignment.dateOf[i];
    for (let row = 0; row < eligible.length && dateOf[row] < to; row++) {
      if (eligible[row] === 1 && dateOf[row] >= from) endRow[i] = row + 1 + lag;
    }
    if (endRow[i] >= 0) endStep = Math.max(endStep, firstRowAt(timeline.time, times[i][endRow[i]]));
  }
  return {
    stretches, rowStep, divisor, endStep, endRow,
    members: Int32Array.from(times.keys()).filter((i) => endRow[i] >= 0),
  };
}
