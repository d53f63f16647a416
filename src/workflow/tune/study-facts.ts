/** What is said of a study while it runs and after: the front, its volume, and where it stands. */
import { hypervolume, isBelow, referencePoint } from "../../tune/hypervolume.ts";
import type { Study } from "../../tune/fold.ts";
import { Front, isEligible } from "../../tune/pareto.ts";
import type { StudyView, Trial } from "../../tune/study.ts";
import { FINISHED_STATES, type Finished, type FinishedState, type TrialState } from "../../tune/trial.ts";

export interface StudyFacts {
  readonly states: Readonly<Record<TrialState, number>>;
  readonly finished: number;
  readonly front: readonly Finished[];
  /**
   * Share of the box between the first trials' best and a tenth beyond their worst that the front dominates;
   * it may pass 1. NaN before there are enough.
   */
  readonly volume: number;
}

/** Complete trials that the box is made of. */
const BOX_TRIALS = 5;
/** A look every second must not cost one. */
const OPERATIONS_MAX = 1e6, SAMPLES = 10_000;

/** What a look reads; a study's fold has it. */
export type Watched = StudyView & Pick<Study, "finishedCount" | "finishedAt" | "finishedOf" | "waiting">;

/** A look at a study; asked again, it computes only what has changed. */
export function factsOf(view: Watched): () => StudyFacts {
  let box: { readonly low: Float64Array; readonly high: Float64Array } | null = null;
  let finished = 0, volume = NaN;
  const front = new Front(), first: Finished[] = [];
  const counts = Object.fromEntries(FINISHED_STATES.map((state) => [state, 0])) as
    Record<FinishedState, number>;
  const take = (trial: Finished): void => {
    counts[trial.state]++;
    front.add(trial);
    if (first.length < BOX_TRIALS && isEligible(trial)) first.push(trial);
  };
  return () => {
    if (view.finishedCount > finished) {
      // As they came: `finished()` of a deterministic study goes by number, and would pass over late ones.
      for (; finished < view.finishedCount; finished++) take(view.finishedOf(view.finishedAt(finished)));
      if (box === null && first.length === BOX_TRIALS) box = boxOf(first);
      if (box !== null) volume = share(front.members, box);
    }
    const waiting = view.waiting.size, running = view.count - finished - waiting;
    return { states: { waiting, running, ...counts }, finished, front: front.members, volume };
  };
}

function boxOf(trials: readonly Finished[]): { low: Float64Array; high: Float64Array } {
  const losses = trials.map((trial) => trial.losses);
  const low = losses[0].map((_, m) => Math.min(...losses.map((one) => one[m])));
  return { low, high: referencePoint(losses) };
}

function share(front: readonly Finished[], { low, high }: { low: Float64Array; high: Float64Array }): number {
  const ones = high.map(() => 1);
  const scaled = front.map(({ losses }) => losses.map((loss, m) =>
    high[m] > low[m] ? (loss - low[m]) / (high[m] - low[m]) : 0)).filter((point) => isBelow(point, ones));
  return hypervolume(scaled, ones, { operationsMax: OPERATIONS_MAX, samples: SAMPLES }).value;
}

/** Newest first. */
export function trialsIn(view: StudyView, states: readonly TrialState[], most: number): Trial[] {
  const found: Trial[] = [];
  for (let k = view.count - 1; k >= 0 && found.length < most; k--) {
    const trial = view.trial(k);
    if (states.includes(trial.state)) found.push(trial);
  }
  return found;
}
