/** All pruners: a row each. */
import { UserError } from "../../base/error.ts";
import { makeChosen } from "../choice.ts";
import type { Row, Setting, Settings } from "../choice.ts";
import { keepsCovering } from "./directions.ts";
import { halving, keepsLeast, type HalvingSettings } from "./halving.ts";
import { hyperband } from "./hyperband.ts";
import { median, type MedianSettings } from "./median.ts";
import type { Pruner, PrunerOptions } from "./pruner.ts";

const whole = (fallback: number, min: number, describe: string): Setting =>
  ({ kind: "integer", default: fallback, min, max: 1_000_000, describe });
const rungs = (eta: number): Readonly<Record<string, Setting>> => ({
  minSteps: whole(1, 1, "step of the first decision"),
  eta: whole(eta, 2, "one of so many goes on, and so much further"),
  bootstrap: whole(0, 0, "trials at a step before any goes on"),
});
const skip = whole(0, 0, "decisions left out at the beginning");

export const PRUNERS: Readonly<Record<string, Row<PrunerOptions, Pruner>>> = {
  median: {
    describe: "stops what is worse than the median of complete trials, in every objective",
    settings: {
      startupTrials: whole(5, 0, "complete trials before anything is stopped"),
      warmupSteps: whole(0, 0, "steps before a trial may be stopped"),
      interval: whole(1, 1, "steps from one decision to the next"),
      minTrials: whole(1, 1, "complete trials that must have reported a step to decide there"),
    },
    make: (_, settings) => median(settings as unknown as MedianSettings),
  },
  halving: {
    describe: "asynchronous successive halving (ASHA) by one objective",
    settings: { ...rungs(4), skip },
    make({ objectives }, settings) {
      if (objectives > 1) {
        throw new UserError(`pruner halving compares one objective, not ${objectives}`,
          "choose --pruner directions, which is the same for several");
      }
      return halving(settings as unknown as HalvingSettings, keepsLeast);
    },
  },
  hyperband: {
    describe: "successive halving that begins early for some trials and late for others",
    settings: rungs(3),
    make: ({ stepsMax, study }, settings) =>
      hyperband({ ...settings as unknown as HalvingSettings, stepsMax, study }, keepsCovering()),
  },
  directions: {
    describe: "asynchronous successive halving by several objectives: each direction keeps its best",
    settings: { ...rungs(3), skip },
    make: (_, settings) => halving(settings as unknown as HalvingSettings, keepsCovering()),
  },
};

/** Throws UserError for an unknown name or setting. */
export function makePruner(choice: { readonly name: string; readonly settings: Settings },
  options: PrunerOptions): Pruner {
  return remembering(makeChosen("pruner", PRUNERS, choice, options), options.stepsMax);
}

/** Decides once about a step; whoever was stopped stays so, and whoever is at the end is through. */
function remembering(pruner: Pruner, stepsMax: number): Pruner {
  /** Last step of each trial that runs; with the sign changed where it was stopped. */
  const last = new Map<number, number>();
  return {
    report(report, isSeen) {
      const { number, step } = report, before = last.get(number) ?? 0;
      if (step < Math.abs(before)) return true;
      if (before < 0 || step === before) return before > 0;
      const goesOn = pruner.report(report, isSeen) || step >= stepsMax;
      last.set(number, goesOn ? step : -step);
      return goesOn;
    },
    tell(trial) {
      last.delete(trial.number);
      pruner.tell(trial);
    },
  };
}
