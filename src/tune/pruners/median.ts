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

export function median({ startupTrials, warmupSteps, interval, minTrials }: MedianSettings): Pruner {
  /** Of trials that are not finished. */
  const running = new Map<number, Report[]>();
  const complete: number[] = [];
  /** Reports of complete trials by step. */
  const peers = new Map<number, Report[]>();
  return {
    report(report, isSeen) {
      const { number, step, losses } = report, own = running.get(number) ?? [];
      running.set(number, own);
      const before = own.at(-1)?.step ?? -1;
      own.push(report);
      if (step < warmupSteps || !areSeen(complete, isSeen, Math.max(1, startupTrials))) return true;
      // The first report at or after a multiple of the interval decides.
      if (before >= Math.floor((step - warmupSteps) / interval) * interval + warmupSteps) return true;
      const best = losses.map((_, m) => least(own, m));
      if (best.every(Number.isNaN)) return false;
      const there = (peers.get(step) ?? []).filter((one) => isSeen(one.number));
      if (there.length < minTrials) return true;
      const sides = Array.from(best, (loss, m) => sideOfMedian(loss, there, m));
      return !sides.includes("worse") || sides.includes("no worse");
    },
    tell({ number, state }) {
      const own = running.get(number) ?? [];
      running.delete(number);
      if (state !== "complete") return;
      complete.push(number);
      for (const report of own) {
        const there = peers.get(report.step);
        if (there === undefined) peers.set(report.step, [report]);
        else there.push(report);
      }
    },
  };
}

function areSeen(numbers: readonly number[], isSeen: (number: number) => boolean, atLeast: number): boolean {
  let seen = 0;
  return numbers.some((number) => isSeen(number) && ++seen >= atLeast);
}

/** Of objective m over a trial's steps; NaN when it was never known. */
function least(reports: readonly Report[], m: number): number {
  return reports.reduce((best, { losses }) => best <= losses[m] || Number.isNaN(losses[m]) ? best : losses[m],
    NaN);
}

/** The median of an even number of values is half-way between the two in the middle. */
function sideOfMedian(loss: number, peers: readonly Report[], m: number): "worse" | "no worse" | "unknown" {
  let below = 0, known = 0, nextBelow = -Infinity, nextAbove = Infinity;
  for (const { losses } of peers) {
    const other = losses[m];
    if (Number.isNaN(other)) continue;
    known++;
    if (other < loss) {
      below++;
      nextBelow = Math.max(nextBelow, other);
    } else nextAbove = Math.min(nextAbove, other);
  }
  if (known === 0 || Number.isNaN(loss)) return "unknown";
  if (2 * below !== known) return 2 * below > known ? "worse" : "no worse";
  return loss > nextBelow + (nextAbove - nextBelow) / 2 ? "worse" : "no worse";
}
