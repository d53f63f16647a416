/**
 * How much of the best trial is luck: the deflated Sharpe ratio and the probability of backtest overfitting,
 * over all trials that were really run, pruned ones too, from the returns of their validated rows.
 */
import { isEligible } from "../../tune/pareto.ts";
import type { StudyView } from "../../tune/study.ts";
import type { Finished } from "../../tune/trial.ts";
import { deviation } from "../../metrics/moments.ts";
import { deflatedSharpe, overfittingProbability, sharpeSample } from "../../metrics/overfitting.ts";
import { readReturns, type DatedReturns } from "./trial-files.ts";

export interface Luck {
  /** Best Sharpe ratio of one period, of the complete trials, and whose it is. */
  readonly trial: number;
  /** Probability that its true Sharpe ratio is above 0, after so many tries. NaN: unknown. */
  readonly deflatedSharpe: number;
  /** Probability that the best in sample is below the median out of sample. NaN: fewer than two trials. */
  readonly overfitting: number;
  /** Trials whose returns were found. */
  readonly tried: number;
}

/** Least days of a block of the overfitting probability, and blocks at most. */
const BLOCK_DAYS = 5, BLOCKS = 16;

/** Null where no trial left returns: another objective, or workers with other disks. */
export function luckOf(view: StudyView, folder: (trial: number) => string): Luck | null {
  const found = [...view.finished()].flatMap((trial) => {
    const dated = readReturns(folder(trial.number));
    return dated === null || dated.returns.length < 2 ? [] : [{ trial, dated }];
  });
  const sharpes = found.map(({ dated }) => sharpeSample(dated.returns).sharpe);
  const isComplete = (trial: Finished): boolean => isEligible(trial);
  let best = -1;
  found.forEach(({ trial }, k) => {
    if (isComplete(trial) && sharpes[k] > (best < 0 ? -Infinity : sharpes[best])) best = k;
  });
  if (best < 0) return null;
  const known = sharpes.filter((one) => Number.isFinite(one));
  const variance = known.length < 2 ? 0 : deviation(known) ** 2;
  const complete = found.filter(({ trial }) => isComplete(trial)).map(({ dated }) => dated);
  return { trial: found[best].trial.number, tried: found.length, overfitting: overfittingOf(complete),
    deflatedSharpe: deflatedSharpe(sharpeSample(found[best].dated.returns), known.length, variance) };
}

/** On the days that all of them have. */
function overfittingOf(trials: readonly DatedReturns[]): number {
  if (trials.length < 2) return NaN;
  const counts = new Map<number, number>();
  for (const { time } of trials) for (const at of time) counts.set(at, (counts.get(at) ?? 0) + 1);
  const series = trials.map(({ time, returns }) => returns.filter((_, t) =>
    counts.get(time[t]) === trials.length));
  const blocks = Math.min(BLOCKS, 2 * Math.floor(series[0].length / (2 * BLOCK_DAYS)));
  return blocks < 2 ? NaN : overfittingProbability(series, blocks);
}
