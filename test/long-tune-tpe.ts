/**
 * What TPE's choices rest on, and Optuna beside it; some minutes on a quiet machine.
 *
 *   node test/long-tune-tpe.ts            all                node test/long-tune-tpe.ts splits 10     10 seeds
 *
 *   splits    hypervolume and IGD+ after 200 trials: many-tpe.ts, exact hypervolumes, covering directions, one
 *             direction per suggestion, and many-tpe.ts with kernels of whole points (medians)
 *   regrets   Branin and Hartmann6 after 30, 50, 100, 200 trials, Optuna's beside (medians; needs the peers)
 */
import { spawnSync } from "node:child_process";
import * as path from "node:path";
import { random } from "../src/base/random.ts";
import { hypervolume } from "../src/tune/hypervolume.ts";
import { HypervolumeSplit } from "../src/tune/samplers/many-tpe.ts";
import { randomSampler } from "../src/tune/samplers/random.ts";
import type { Sampler, SamplerOptions } from "../src/tune/samplers/sampler.ts";
import { estimatorSampler, tpeSampler, type TpeSettings } from "../src/tune/samplers/tpe.ts";
import { NO_PYTHON, python } from "./python.ts";
import { median } from "./tune-igd.ts";
import { finishedTrial, igdPlus } from "./tune-indicators.ts";
import { BRANIN, dtlz, evaluateAt, HARTMANN6, maf, spaceOf, zdt, type Problem } from "./tune-problems.ts";
import { coveringSplit, exactSplit, preferenceSplit } from "./tune-splits.ts";

const SETTINGS = { startup: 10, candidates: 24 } satisfies TpeSettings;
const TRIALS = 200;
const write = (...cells: readonly string[]): void => { process.stdout.write(`${cells.join("   ")}\n`); };

const SAMPLERS: Readonly<Record<string, (options: SamplerOptions) => Sampler>> = {
  "random": randomSampler,
  "rays": (options) => tpeSampler(options, SETTINGS),
  "exact": (options) => estimatorSampler(options, SETTINGS, exactSplit()),
  "covering": (options) => estimatorSampler(options, SETTINGS, coveringSplit()),
  "preference": (options) => estimatorSampler(options, SETTINGS, preferenceSplit(options.seed)),
  "rays, whole points": (options) => estimatorSampler({ ...options, objectives: 1 }, SETTINGS,
    new HypervolumeSplit(options.objectives, options.seed)),
};

/** Losses of the trials of one study. */
function study(problem: Problem, sampler: Sampler): Float64Array[] {
  return Array.from({ length: TRIALS }, (_, k) => {
    const { point } = sampler.suggest(k, [])!, losses = evaluateAt(problem, point);
    sampler.tell({ ...finishedTrial(k, losses), point });
    return losses;
  });
}

function compareSplits(seeds: number): void {
  const problems: readonly (readonly [Problem, number])[] = [[dtlz(2, 2), 2], [dtlz(1, 2), 400], [zdt(1), 6], [zdt(2), 7],
    [zdt(3), 7], [dtlz(2, 3), 2], [maf(1, 3), 2], [dtlz(2, 5), 2], [maf(1, 5), 2], [dtlz(2, 11), 2]];
  for (const [problem, limit] of problems) {
    const M = problem.objectives, reference = Array.from({ length: M }, () => limit), draws = random(1, "targets");
    const targets = Array.from({ length: 300 }, () =>
      problem.evaluate(problem.optimum(Array.from({ length: M - 1 }, () => draws.uniform()))));
    for (const [name, make] of Object.entries(SAMPLERS)) {
      if (name === "exact" && M > 3) continue;
      const found = Array.from({ length: seeds }, (_, seed) => {
        const losses = study(problem, make({ space: spaceOf(problem), objectives: M, seed }));
        const below = losses.filter((row) => row.every((loss) => loss < limit));
        return [hypervolume(below, reference, { seed: 1, samples: 50_000 }).value / limit ** M, igdPlus(targets, losses)];
      });
      write(problem.name.padEnd(10), name.padEnd(18), `hypervolume ${median(found.map(([volume]) => volume)).toFixed(4)}`,
        `IGD+ ${median(found.map(([, distance]) => distance)).toFixed(4)}`);
    }
  }
}

function compareRegrets(seeds: number): void {
  const steps = [30, 50, 100, 200], peer = path.join(import.meta.dirname, "peers", "tune_regret.py"), place = python();
  for (const problem of [BRANIN, HARTMANN6]) {
    const runs = Array.from({ length: seeds }, (_, seed) => {
      const losses = study(problem, tpeSampler({ space: spaceOf(problem), objectives: 1, seed }, SETTINGS));
      return steps.map((step) => Math.min(...losses.slice(0, step).map(([loss]) => loss)) - problem.best);
    });
    write(problem.name.padEnd(10), "dmn   ",
      ...steps.map((step, k) => `${step}: ${median(runs.map((run) => run[k])).toFixed(4)}`));
    const asked = place === null ? null : spawnSync(place, [peer, problem.name, `${seeds}`], { encoding: "utf8" });
    const said = asked?.status === 0 ? (JSON.parse(asked.stdout) as number[][]) : null;
    if (said === null) write(problem.name.padEnd(10), `Optuna: ${asked?.stderr.trim().split("\n").at(-1) ?? NO_PYTHON}`);
    else {
      write(problem.name.padEnd(10), "Optuna",
        ...steps.map((step, k) => `${step}: ${median(said.map((run) => run[k])).toFixed(4)}`));
    }
  }
}

const [part, seeds] = process.argv.slice(2);
if (part !== "regrets") compareSplits(Number(seeds ?? 20));
if (part !== "splits") compareRegrets(Number(seeds ?? 60));
