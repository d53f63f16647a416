/**
 * What the page says of a study, gathered once: its trials in order, the front and its volume, who decides.
 * Everything on the page is drawn from this.
 */
import { hypervolume, isBelow, referencePoint, type Volume } from "../../../tune/hypervolume.ts";
import { volumeHistory } from "../../../tune/hypervolume-history.ts";
import { importance, type Importance } from "../../../tune/importance.ts";
import { isEligible, paretoFront } from "../../../tune/pareto.ts";
import type { StudyView, Terms, Trial } from "../../../tune/study.ts";
import { FINISHED_STATES, signed, type Finished, type TrialState } from "../../../tune/trial.ts";
import type { TuneMore } from "./tune-page.ts";

/** Trials in the charts; the numbers above them are of all. */
const DRAWN_MAX = 10_000;
/** Of the volume: a page is made within seconds, and says its error. */
const OPERATIONS_MAX = 1e7, SAMPLES = 30_000;
const STATES: readonly TrialState[] = [...FINISHED_STATES, "running", "waiting"];

export interface Sheet {
  readonly terms: Terms;
  readonly more: TuneMore;
  /** By number. */
  readonly trials: readonly Trial[];
  readonly counts: Readonly<Record<TrialState, number>>;
  /** By number: what no other trial beats; with one objective all that are equally good. */
  readonly front: readonly Finished[];
  readonly preferred: Trial | null;
  /** (M) losses; null while there is no front. */
  readonly reference: Float64Array | null;
  readonly volume: Volume | null;
  /** [trial, volume of the front of the trials up to it], where it grows. */
  readonly growth: readonly (readonly [number, number])[];
  /** (M) */
  readonly importances: readonly (Importance | null)[];
  /** Numbers of the trials in the charts, ascending. */
  readonly drawn: readonly number[];
  /** UTC ms of the first attempt and of the last known moment; NaN before there is any. */
  readonly from: number;
  readonly to: number;
}

export function sheetOf(view: StudyView, more: TuneMore): Sheet {
  const { terms } = view, finished = [...view.finished()];
  const trials = Array.from({ length: view.count }, (_, number) => view.trial(number));
  const counts = Object.fromEntries(STATES.map((state) => [state, 0])) as Record<TrialState, number>;
  for (const { state } of trials) counts[state]++;
  const front = [...paretoFront(finished)].sort((a, b) => a.number - b.number);
  const preferred = more.preferred === undefined || more.preferred === null ? null
    : trials[more.preferred.trial] ?? null;
  const moments = trials.flatMap(({ attempts }) =>
    attempts.flatMap((one) => [one.startedAt, one.endedAt ?? one.startedAt]));
  return {
    terms, more, trials, counts, front, preferred, ...volumesOf(view, finished, front, more.reference),
    importances: terms.objectives.map((_, m) => importance(terms.space, finished, m, terms.seed)),
    drawn: drawnOf(trials, front, preferred),
    from: moments.reduce((a, b) => Math.min(a, b), Infinity),
    to: moments.reduce((a, b) => Math.max(a, b), -Infinity),
  };
}

function volumesOf({ terms }: StudyView, finished: readonly Finished[], front: readonly Finished[],
  given: readonly number[] | undefined): Pick<Sheet, "reference" | "volume" | "growth"> {
  if (front.length === 0) return { reference: null, volume: null, growth: [] };
  const reference = given === undefined ? referencePoint(front.map(({ losses }) => losses))
    : signed(terms.objectives, given);
  const below = finished.filter((one) => isEligible(one) && isBelow(one.losses, reference));
  const volume = hypervolume(front.map(({ losses }) => losses).filter((losses) => isBelow(losses, reference)),
    reference, { operationsMax: OPERATIONS_MAX, samples: SAMPLES });
  const growth = Number.isFinite(volume.value) ? growthOf(below, reference, volume.value) : [];
  return { reference, volume, growth };
}

/** Sampled, then scaled so that it ends in the volume that is said elsewhere. */
function growthOf(trials: readonly Finished[], reference: Float64Array, last: number): [number, number][] {
  const inOrder = trials.toSorted((a, b) => a.number - b.number);
  const shares = volumeHistory(inOrder.map(({ losses }) => losses), reference);
  return inOrder.map(({ number }, k): [number, number] => [number, shares[k] * last])
    .filter(([, value], k, all) => k === 0 || value > all[k - 1][1]);
}

/** Where there are too many, every k-th; of the front all, up to half of what is drawn. */
function drawnOf(trials: readonly Trial[], front: readonly Finished[], preferred: Trial | null): number[] {
  if (trials.length <= DRAWN_MAX) return trials.map(({ number }) => number);
  const kept = front.filter((_, k) => k % Math.ceil(front.length / (DRAWN_MAX / 2)) === 0);
  const always = new Set(kept.map(({ number }) => number));
  if (preferred !== null) always.add(preferred.number);
  const every = Math.ceil(trials.length / (DRAWN_MAX / 2));
  return trials.map(({ number }) => number).filter((number) => always.has(number) || number % every === 0);
}
