/** Pruners against what their papers' best-known implementations do: design facts, and Optuna where it is installed. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { crc32 } from "node:zlib";
import { UserError } from "../src/base/error.ts";
import { random, type Random } from "../src/base/random.ts";
import { halving, keepsLeast, type HalvingSettings } from "../src/tune/pruners/halving.ts";
import { bracketBudgets, bracketOf } from "../src/tune/pruners/hyperband.ts";
import type { Pruner, Report } from "../src/tune/pruners/pruner.ts";
import { signed, type Finished, type FinishedState } from "../src/tune/trial.ts";
import { askPython, python } from "./python.ts";
import { everyone, make, report } from "./tune-pruners.ts";

const told = (number: number, state: FinishedState = "complete"): Finished =>
  ({ number, point: {}, state, losses: Float64Array.of(0), violation: 0, step: 1, parent: null });

/** Successive halving that also says how many rungs a report was judged at. */
function watched(settings: Partial<HalvingSettings>): { judge: (one: Report) => { goesOn: boolean; rungs: number } } {
  let rungs = 0;
  const pruner = halving({ minSteps: 1, eta: 2, skip: 0, bootstrap: 0, ...settings }, (...all) => {
    rungs++;
    return keepsLeast(...all);
  });
  return { judge(one) {
    rungs = 0;
    return { goesOn: pruner.report(one, everyone), rungs };
  } };
}

describe("successive halving, eta 2 from step 1", () => {
  test("the first trial goes on with 1, the second stops with 2; maximised, it stops with 0.5", () => {
    const minimised = make("halving", { eta: 2 });
    assert.equal(minimised.report(report(0, 1, 1), everyone), true);
    assert.equal(minimised.report(report(1, 1, 2), everyone), false);
    const maximised = make("halving", { eta: 2 });
    const loss = (value: number): Float64Array => signed([{ name: "f", direction: "maximise" }], [value]);
    assert.equal(maximised.report(report(0, 1, loss(1)), everyone), true);
    assert.equal(maximised.report(report(1, 1, loss(0.5)), everyone), false);
  });

  test("after .1, .2, ... .7 at step 7: .75 is judged at one rung, .25 at two, .05 at three and goes on", () => {
    const { judge } = watched({});
    for (let k = 1; k <= 7; k++) judge(report(k, 7, k / 10));
    assert.deepEqual(judge(report(8, 7, 0.75)), { goesOn: false, rungs: 1 });
    assert.deepEqual(judge(report(9, 7, 0.25)), { goesOn: false, rungs: 2 });
    assert.deepEqual(judge(report(10, 7, 0.05)), { goesOn: true, rungs: 3 });
  });

  const at = (settings: Partial<HalvingSettings>): number[] => {
    const { judge } = watched(settings);
    return [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].filter((step) => judge(report(0, step, 1)).rungs > 0);
  };
  test("a trial alone is judged at 1 2 4 8; with eta 3 at 1 3 9; from step 2, or one rung later, at 2 4 8", () => {
    assert.deepEqual(at({}), [1, 2, 4, 8]);
    assert.deepEqual(at({ eta: 3 }), [1, 3, 9]);
    assert.deepEqual(at({ minSteps: 2 }), [2, 4, 8]);
    assert.deepEqual(at({ skip: 1 }), [2, 4, 8]);
  });

  test("not a number goes on between rungs, stops at one, first or not, and does not count there", () => {
    const pruner = make("halving", { eta: 2, minSteps: 2 });
    assert.equal(pruner.report(report(0, 1, NaN), everyone), true);
    assert.equal(pruner.report(report(0, 2, NaN), everyone), false);
    assert.equal(pruner.report(report(1, 2, 5), everyone), true);
    assert.equal(pruner.report(report(2, 2, 6), everyone), false, "two results count, not three");
  });

  test("with bootstrap 1 the first trial stops, the second, of the same value, goes on", () => {
    const pruner = make("halving", { eta: 2, bootstrap: 1 });
    assert.equal(pruner.report(report(0, 1, 1), everyone), false);
    assert.equal(pruner.report(report(1, 1, 1), everyone), true);
  });

  test("of 3 of 9 the third goes on with eta 3, the fourth does not; ties go on", () => {
    const judge = (value: number): boolean => {
      const pruner = make("halving", { eta: 3 });
      for (let k = 1; k <= 8; k++) pruner.report(report(k, 1, k), everyone);
      return pruner.report(report(9, 1, value), everyone);
    };
    assert.deepEqual([2.5, 3, 3.5].map(judge), [true, true, false]);
  });

  test("Ray's tables: 2, 4, then 1 stops (maximised); 10 8 6 4 at step 2: only the first goes on", () => {
    const one = make("halving", { eta: 2 });
    for (const [k, value] of [2, 4].entries()) one.report(report(k, 1, -value), everyone);
    assert.equal(one.report(report(2, 1, -1), everyone), false);
    const four = make("halving", { eta: 2 }, 1, 3);
    assert.deepEqual([10, 8, 6, 4].map((value, k) => four.report(report(k, 2, -value), everyone)), [true, false, false, false]);
    const late = make("halving", { eta: 3, minSteps: 3 });
    for (const [k, value] of [1000, 900].entries()) late.report(report(k, 3, -value), everyone);
    assert.deepEqual([1, 2, 3].map((step) => late.report(report(2, step, -10), everyone)), [true, true, false]);
  });

  test("settings out of range are refused, each by its name", () => {
    for (const [name, value] of Object.entries({ minSteps: 0, eta: 1, skip: -1, bootstrap: -1 })) {
      assert.throws(() => make("halving", { [name]: value }),
        (error) => error instanceof UserError && error.problem.includes(`${name} is ${value}`));
    }
    assert.throws(() => make("halving", {}, 2), /directions/);
    assert.throws(() => make("asha"), UserError);
  });

  test("a second attempt's reports get the first one's answers and count once; the last step never stops", () => {
    const pruner = make("halving", { eta: 3 }, 1, 3);
    const answers = (): boolean[] => [report(0, 1, 1), report(1, 1, 2), report(2, 1, 3), report(3, 1, 4), report(0, 2, 9),
      report(0, 3, 9)].map((one) => pruner.report(one, everyone));
    assert.deepEqual(answers(), [true, false, false, false, true, true]);
    assert.deepEqual(answers(), [true, false, false, false, true, true]);
    assert.equal(pruner.report(report(4, 1, 1.5), everyone), false, "one of 5 goes on; of 9 it would be three");
    assert.equal(pruner.report(report(5, 3, 99), everyone), true, "worst of all, and at its end");
    const long = make("halving", { eta: 3 }, 1, 9);
    const said = [report(0, 1, 1), report(1, 3, 0), report(0, 3, 9), report(0, 1, 1), report(0, 3, 9)];
    assert.deepEqual(said.map((one) => long.report(one, everyone)), [true, true, false, true, false], "steps before its end");
  });

  test("who is not seen does not count: of two at a rung the worse one goes on", () => {
    const pruner = make("halving", { eta: 2 }), nobody = (): boolean => false;
    assert.deepEqual([report(0, 1, 1), report(1, 1, 2)].map((one) => pruner.report(one, nobody)), [true, true]);
    assert.equal(pruner.report(report(2, 1, 3), (number) => number === 1), false);
  });
});

describe("Hyperband", () => {
  test("budgets: 81/3 and 27/3 as Optuna, 16/2 as the JMLR table; 243/3 and 6^3 in whole numbers", () => {
    assert.deepEqual(bracketBudgets(1, 81, 3), [81, 34, 15, 8, 5]);
    assert.deepEqual(bracketBudgets(1, 27, 3), [27, 12, 6, 4]);
    assert.deepEqual(bracketBudgets(1, 16, 2), [16, 10, 7, 5, 5]);
    assert.equal(bracketBudgets(1, 243, 3).length, 6);
    const powers = [[3, 5], [3, 10], [9, 5], [9, 10], [10, 3], [10, 6], [10, 9], [6, 3], [6, 6]];
    assert.deepEqual(powers.map(([eta, k]) => bracketBudgets(1, eta ** k, eta).length), powers.map(([, k]) => k + 1));
  });

  test('crc32("dmn_0") deals: trials 0..9 of study "dmn" to brackets 1 0 3 1 1 1 0 0 2 0', () => {
    assert.equal(crc32("dmn_0"), 980_393_555);
    const budgets = bracketBudgets(1, 27, 3);
    assert.deepEqual([...Array(10).keys()].map((k) => bracketOf("dmn", k, budgets)), [1, 0, 3, 1, 1, 1, 0, 0, 2, 0]);
  });

  test("brackets compare their own trials only: trial 1 is of bracket 0, trial 0 is not judged before step 3", () => {
    const pruner = make("hyperband", {}, 1, 27);
    assert.equal(pruner.report(report(1, 1, 5), everyone), true, "alone at its rung");
    assert.equal(pruner.report(report(0, 1, 9), everyone), true, "bracket 1 begins at step 3");
    assert.equal(pruner.report(report(6, 1, 9), everyone), false, "bracket 0, behind trial 1");
    assert.equal(pruner.report(report(0, 3, 9), everyone), true, "alone at its rung");
  });
});

describe("median", () => {
  /** Five complete trials with values 1..5 at each of steps 1..3. */
  function five(settings: Record<string, number> = {}): Pruner {
    const pruner = make("median", settings);
    for (let k = 1; k <= 5; k++) {
      for (const step of [1, 2, 3]) pruner.report(report(k, step, k), everyone);
      pruner.tell(told(k));
    }
    return pruner;
  }
  const judge = (pruner: Pruner, ...values: number[]): boolean[] =>
    values.map((value, k) => pruner.report(report(9, k + 1, value), everyone));

  test("worse than 3 of 1 2 3 4 5 stops, 3 goes on; the best value so far counts", () => {
    assert.deepEqual(judge(five(), 3, 99, 99), [true, true, true]);
    assert.deepEqual(judge(five(), 3.5), [false]);
  });

  test("five complete trials come first; pruned ones are none", () => {
    const pruner = make("median");
    for (let k = 1; k <= 5; k++) {
      pruner.report(report(k, 1, k), everyone);
      pruner.tell(told(k, k === 5 ? "pruned" : "complete"));
    }
    assert.equal(pruner.report(report(9, 1, 99), everyone), true);
    assert.equal(five().report(report(9, 1, 99), (number) => number > 1), true, "four are seen");
  });

  test("nothing stops in the warm-up, nor between intervals, nor at a step nobody has reported", () => {
    assert.deepEqual(judge(five({ warmupSteps: 2 }), 99, 99), [true, false]);
    assert.deepEqual(judge(five({ warmupSteps: 1, interval: 2 }), 99), [false]);
    const sparse = five({ interval: 3 });
    assert.deepEqual(judge(sparse, 3, 99, 99), [true, true, true]);
    assert.equal(five().report(report(9, 7, 99), everyone), true);
    assert.equal(five({ minTrials: 6 }).report(report(9, 1, 99), everyone), true);
  });

  test("between intervals nothing is decided, though others have become better: every third step", () => {
    const pruner = make("median", { interval: 3 });
    for (let k = 1; k <= 5; k++) {
      for (const step of [1, 2, 3]) pruner.report(report(k, step, step === 1 ? k : k - 10), everyone);
      pruner.tell(told(k));
    }
    assert.deepEqual(judge(pruner, 3, 3, 3), [true, true, false]);
  });

  test("of 1 2 3 4 the median is 2.5; trials that are not seen are not in it", () => {
    const four = (number: number): boolean => number <= 4;
    const of = (value: number, isSeen: (number: number) => boolean): boolean =>
      five({ startupTrials: 1 }).report(report(9, 1, value), isSeen);
    assert.deepEqual([of(2.4, four), of(2.6, four), of(2.6, everyone), of(4, (number) => number > 3)], [true, false, true, true]);
  });

  test("not a number alone stops; once a number was known it counts", () => {
    assert.deepEqual(judge(five(), NaN), [false]);
    assert.deepEqual(judge(five(), 1, NaN), [true, true]);
    const blind = make("median", { startupTrials: 1 });
    blind.report(report(1, 1, NaN), everyone);
    blind.tell(told(1));
    assert.equal(blind.report(report(2, 1, 99), everyone), true, "nothing to compare with");
  });

  test("of two objectives both must be worse than their medians", () => {
    const pruner = make("median", {}, 2);
    for (let k = 1; k <= 5; k++) {
      pruner.report(report(k, 1, [k, 10 * k]), everyone);
      pruner.tell(told(k));
    }
    const at = (number: number, ...losses: number[]): boolean => pruner.report(report(number, 1, losses), everyone);
    assert.deepEqual([at(6, 9, 29), at(7, 2, 99)], [true, true]);
    assert.deepEqual([at(8, 3.5, 31), at(9, NaN, 31), at(10, 3.5, NaN)], [false, false, false]);
  });
});

const OPTUNA = `
import json, sys, math
import optuna
from optuna.trial import TrialState
optuna.logging.disable_default_handler()
task = json.load(sys.stdin)
answers = []
for case in task:
    study = optuna.create_study(study_name="dmn", pruner=optuna.pruners.NopPruner())
    kind = case["pruner"]; o = case["settings"]
    if kind == "halving":
        pruner = optuna.pruners.SuccessiveHalvingPruner(o["minSteps"], o["eta"], o["skip"], o["bootstrap"])
    elif kind == "hyperband":
        pruner = optuna.pruners.HyperbandPruner(o["minSteps"], case["stepsMax"], o["eta"], o["bootstrap"])
    else:
        pruner = optuna.pruners.MedianPruner(o["startupTrials"], o["warmupSteps"], o["interval"], n_min_trials=o["minTrials"])
    trials, said = {}, []
    for number, step, value in case["reports"]:
        if step == 0:
            if value == 0: study.tell(trials[number], 0.0)
            else: study.tell(trials[number], state=TrialState.PRUNED)
            continue
        while number not in trials:
            trial = study.ask()
            trials[trial.number] = trial
        value = math.nan if value is None else value
        trials[number].report(value, step)
        frozen = study._storage.get_trial(trials[number]._trial_id)
        said.append(not pruner.prune(study, frozen))
    answers.append(said)
print(json.dumps(answers))
`;

/** Whether the oracles have Optuna; why not. */
function noOptuna(): string | false {
  const place = python();
  if (place === null) return "needs the Python oracles: sh test/peers/setup.sh";
  try { askPython("import optuna, json; print(json.dumps(1))", null); } catch { return "needs Optuna among the Python oracles"; }
  return false;
}

/** Reports [number, step, value], and [number, 0, 0 or 1] where a trial is complete or pruned, as they were answered. */
function drive(pruner: Pruner, stream: Random, trials: number, steps: number):
{ reports: [number, number, number | null][]; said: boolean[] } {
  const reports: [number, number, number | null][] = [], said: boolean[] = [];
  const running = new Map<number, number>();
  let next = 0;
  while (next < trials || running.size > 0) {
    if (running.size < 4 && next < trials) running.set(next++, 0);
    const numbers = [...running.keys()], number = numbers[stream.below(numbers.length)];
    const step = running.get(number)! + 1 + stream.below(2);
    // A coarse grid, so that there are ties.
    const value = stream.uniform() < 0.05 ? null : stream.below(12) + (number % 3);
    const goesOn = pruner.report(report(number, step, value ?? NaN), everyone);
    reports.push([number, step, value]);
    said.push(goesOn);
    running.set(number, step);
    if (goesOn && step < steps) continue;
    running.delete(number);
    reports.push([number, 0, goesOn ? 0 : 1]);
    pruner.tell(told(number, goesOn ? "complete" : "pruned"));
  }
  return { reports, said };
}

test("Optuna says the same of 30 random studies of 60 trials, with ties and without numbers", { skip: noOptuna() }, () => {
  const settings = {
    halving: (s: Random) => ({ minSteps: 1 + s.below(3), eta: 2 + s.below(3), skip: s.below(2), bootstrap: s.below(3) }),
    hyperband: (s: Random) => ({ minSteps: 1 + s.below(2), eta: 2 + s.below(2), bootstrap: s.below(2) }),
    median: (s: Random) => ({ startupTrials: s.below(6), warmupSteps: s.below(4), interval: 1 + s.below(3),
      minTrials: 1 + s.below(4) }),
  };
  const cases = Object.entries(settings).flatMap(([name, draw]) => [...Array(10).keys()].map((k) => {
    const stream = random(7, "optuna", name, k), chosen = draw(stream);
    const stepsMax = 16;
    // Steps to 15 at most: Optuna does not know that a trial at its end has nothing left to save.
    const pruner = make(name, chosen, 1, name === "hyperband" ? stepsMax : 1000);
    return { pruner: name, settings: chosen, stepsMax, ...drive(pruner, stream, 60, 14) };
  }));
  const answers = askPython(OPTUNA, cases) as boolean[][];
  cases.forEach(({ pruner, said }, k) => {
    assert.ok(said.includes(false) && said.includes(true), `${pruner} ${k} decides`);
    assert.deepEqual(said, answers[k], `${pruner} ${k}`);
  });
});
