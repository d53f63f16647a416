/** A cheap study: two objectives, four steps, a space with a condition. */
import { random } from "../src/base/random.ts";
import type { Point } from "../src/tune/space.ts";
import type { Study } from "../src/tune/fold.ts";
import type { Attempt, Terms, Trial } from "../src/tune/study.ts";
import type { RunTrial } from "../src/tune/worker.ts";

export const STEPS = 4;

export const toyTerms = (changes: Partial<Terms> = {}): Terms => ({
  name: "toy",
  objectives: [{ name: "loss", direction: "minimise" }, { name: "score", direction: "maximise" }],
  space: { x: { kind: "float", low: -1, high: 1 }, depth: { kind: "integer", low: 1, high: 4 },
    cell: { kind: "choice", choices: ["lstm", "gru"] },
    gates: { kind: "float", low: 0, high: 1, when: { parameter: "cell", is: ["lstm"] } } },
  sampler: { name: "random", settings: {} }, pruner: { name: "directions", settings: { eta: 2 } },
  seed: 7, trials: 20, stepsMax: STEPS, lag: null, retries: 100, version: "v1", work: null, ...changes });

/** (2) of a point at a step; some of the scores are undefined at the end. */
export function toyValues(point: Point, step: number): number[] {
  const x = Number(point.x), gates = Number(point.gates ?? 0.5), depth = Number(point.depth);
  const rest = 1 / step;
  const score = Math.cos(x + gates) - depth / 10 + rest / 3;
  return [(x - 0.3) ** 2 + rest * gates, step === STEPS && x > 0.9 ? NaN : score];
}

/** Reports each step; a little random waiting between them, so that ends do not come in order. */
export function toyRun(pauseMs: number): RunTrial {
  return async (work) => {
    const { number, point, signal, attempt } = work;
    const draw = random(attempt, "pause", number);
    for (let step = 1; step <= STEPS; step++) {
      await new Promise((resolve) => { setTimeout(resolve, pauseMs * draw.uniform()); });
      signal.throwIfAborted();
      if (!await work.report(step, toyValues(point, step))) break;
    }
    return { values: toyValues(point, STEPS), statistics: { seconds: pauseMs },
      violations: { ...(Number(point.depth) === 4 ? { depth: 0.5 } : undefined) } };
  };
}

/** What must be equal however often workers died: no times, no workers, no attempts. */
export function resultOf(study: Study): object[] {
  return Array.from({ length: study.count }, (_, k) => {
    const { number, state, point, parent, seen, values, violation, reason, reports } = study.trial(k);
    return { number, state, point, parent, seen, values, violation, reason, reports };
  });
}
export const outcomesOf = ({ attempts }: Trial): Attempt["outcome"][] => attempts.map(({ outcome }) => outcome);
