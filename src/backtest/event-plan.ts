/**
 * What one run asks of the timeline, known before the replay starts.
 *
 *     steps    first ........ last .. end
 *              |--decisions--|--|          rows of the result: the dates of the alignment
 *                             \ valued at the bar that earns an instrument's last decision
 */
import { firstRowAt } from "../market/bars.ts";
import type { Alignment } from "./align.ts";
import type { Timeline } from "./event-timeline.ts";
import type { Stretch } from "./simulate.ts";

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
