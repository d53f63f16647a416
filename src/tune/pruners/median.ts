/**
 * Stops a trial whose best value so far is worse than the median of what complete trials had reported at
 * the same step (Golovin et al., "Google Vizier", KDD 2017; rules and numbers of Optuna's MedianPruner).
 * With several objectives it is stopped when it is worse than the median in each of them.
 */
import type { Pruner, Report } from "./pruner.ts";

export interface MedianSettings {
  /** Complete trials before anything is stopped. */
  readonly startupTrials: number;
  /** No decision before this step. */
  readonly warmupSteps: number;
  /** Steps from one decision to the next. */
  readonly interval: number;
  /** Fewer values than this at a step are no median. */
  readonly minTrials: number;
}

export function median(settings: MedianSettings): Pruner {
  const { startupTrials, warmupSteps, interval, minTrials } = settings;
  const reports = new Map<number, Report[]>();
  const complete: number[] = [];
  return {
    report(report, isSeen) {
      const { number, step, losses } = report, own = reports.get(number) ?? [];
      reports.set(number, own);
      const before = own.at(-1)?.step ?? -1;
      own.push(report);
      const peers = complete.filter(isSeen);
      if (peers.length === 0 || peers.length < startupTrials || step < warmupSteps) return true;
      // The first report at or after a multiple of the interval decides.
      const due = Math.floor((step - warmupSteps) / interval) * interval + warmupSteps;
      if (before >= due) return true;
      const best = losses.map((_, m) => least(own, m));
      if (best.every(Number.isNaN)) return false;
      const there = peers.flatMap((peer) =>
        reports.get(peer)?.find((one) => one.step === step) ?? []);
      const medians = losses.map((_, m) => medianOf(there.map((one) => one.losses[m]), minTrials));
      const known = [...best.keys()].filter((m) => !Number.isNaN(best[m] - medians[m]));
      return known.length === 0 || known.some((m) => best[m] <= medians[m]);
    },
    tell({ number, state }) {
      if (state === "complete") complete.push(number);
      else reports.delete(number);
    },
  };
}

/** Of objective m over a trial's steps; NaN when it was never known. */
function least(reports: readonly Report[], m: number): number {
  return reports.reduce((best, { losses }) => best <= losses[m] ? best
    : Number.isNaN(losses[m]) ? best : losses[m], NaN);
}

/** NaN of fewer than `atLeast` numbers; values that are not numbers do not count. */
function medianOf(values: readonly number[], atLeast: number): number {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  if (sorted.length === 0 || values.length < atLeast) return NaN;
  const half = (sorted.length - 1) / 2, low = sorted[Math.floor(half)], high = sorted[Math.ceil(half)];
  return low === high ? low : low + (high - low) / 2;
}
