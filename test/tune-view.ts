/**
 * A study made up from a seed, with everything in it that a page may have to show: all states, lost, late and
 * doubled attempts, conditions, logarithmic axes, undefined values. No clock, no files.
 */
import { random, type Random } from "../src/base/random.ts";
import { drawPoint, type Point, type Space } from "../src/tune/space.ts";
import type { Attempt, StudyView, Trial } from "../src/tune/study.ts";
import { signed, type Finished, type FinishedState, type Objective, type TrialState } from "../src/tune/trial.ts";

export const OBJECTIVES: readonly Objective[] = [
  { name: "sharpe", direction: "maximise" }, { name: "maxDrawdown", direction: "minimise" },
  { name: "calmar", direction: "maximise" }, { name: "volatility", direction: "minimise" },
  { name: "latencyMs", direction: "minimise" }, { name: "sortino", direction: "maximise" },
  { name: "informationRatio", direction: "maximise" }, { name: "valueAtRisk95", direction: "minimise" },
  { name: "throughput", direction: "maximise" }, { name: "accuracy", direction: "maximise" },
  { name: "stability", direction: "maximise" },
];

export const SPACE: Space = {
  learningRate: { kind: "float", low: 1e-5, high: 1e-1, isLog: true },
  dropout: { kind: "float", low: 0, high: 0.6, step: 0.1 },
  hidden: { kind: "integer", low: 8, high: 256, isLog: true },
  layers: { kind: "integer", low: 1, high: 4 },
  architecture: { kind: "choice", choices: ["lstm", "transformer"] },
  heads: { kind: "choice", choices: [1, 2, 4], when: { parameter: "architecture", is: ["transformer"] } },
};

export interface ViewOptions {
  readonly name?: string;
  /** M, the first of OBJECTIVES. */
  readonly objectives?: number;
  /** Asked so far; the last four are not finished. */
  readonly trials?: number;
  readonly wanted?: number;
  readonly space?: Space;
  readonly workers?: number;
  readonly seed?: number;
  /** Nothing is finished yet. */
  readonly isNew?: boolean;
}

const STEPS = 20;
const START = Date.UTC(2026, 0, 5, 9);

export function makeView(options: ViewOptions = {}): StudyView {
  const { name = "first", objectives: M = 5, trials: count = 120, space = SPACE, workers = 4, seed = 7 } = options;
  const objectives = OBJECTIVES.slice(0, M), free = Array.from({ length: workers }, () => START);
  const trials = Array.from({ length: count }, (_, number) => {
    const draw = random(seed, "view", number);
    const state = options.isNew === true ? (number < 2 ? "running" : "waiting")
      : number >= count - 4 ? (number < count - 2 ? "running" : "waiting") : stateOf(draw.uniform());
    return makeTrial(number, state, drawPoint(space, draw), objectives, free, draw);
  });
  const finished: Finished[] = trials.filter((one) => one.endedAt !== null)
    .sort((a, b) => a.endedAt! - b.endedAt! || a.number - b.number)
    .map((one) => ({ number: one.number, point: one.point, state: one.state as FinishedState,
      losses: signed(objectives, one.values ?? objectives.map(() => NaN)), violation: one.violation,
      step: one.reports.at(-1)?.step ?? 0, parent: null }));
  return {
    terms: { name, objectives, space, sampler: { name: "nsga3", settings: { population: 80 } },
      pruner: { name: "direction-covering", settings: { factor: 3 } }, seed, trials: options.wanted ?? count,
      stepsMax: STEPS, lag: null, retries: 2, version: "0123456789ab", work: null },
    count, trial: (number) => trials[number], finished: () => finished,
  };
}

function stateOf(u: number): FinishedState {
  return u < 0.55 ? "complete" : u < 0.88 ? "pruned" : u < 0.94 ? "infeasible" : u < 0.98 ? "failed" : "cancelled";
}

/** What a point is worth: good rates lie near 0.003, width buys Sharpe and costs latency. */
function worth(point: Point, objective: string, draw: Random): number {
  const number = (of: string, or: number): number => Number(point[of] ?? or);
  const rate = Math.log10(number("learningRate", 1e-3) / 3e-3), hidden = number("hidden", 32);
  const layers = number("layers", 1), isWide = point["architecture"] === "transformer";
  const skill = 1.3 - 0.35 * rate ** 2 - 2 * (number("dropout", 0.2) - 0.25) ** 2 + 0.1 * Math.log2(hidden / 32)
    + (isWide ? 0.1 * number("heads", 1) : 0.15) + 0.12 * draw.normal();
  const risk = 0.1 + 0.05 * draw.uniform() + 0.01 * Math.log2(hidden);
  const latency = 0.2 + 0.012 * hidden * layers * (isWide ? 1.8 : 1) * (1 + 0.05 * draw.uniform());
  switch (objective) {
    case "sharpe": return skill;
    case "sortino": return skill * 1.4 + 0.05 * draw.normal();
    case "calmar": return (skill * 0.1) / risk / 1.5;
    case "informationRatio": return skill * 0.4 + 0.2 * draw.normal();
    case "maxDrawdown": return risk * 1.6;
    case "volatility": return risk;
    case "valueAtRisk95": return risk / 9;
    case "latencyMs": return latency;
    case "throughput": return 1000 / latency;
    case "accuracy": return 0.5 + 0.02 * skill + 0.005 * draw.normal();
    default: return draw.uniform();
  }
}

function makeTrial(number: number, state: TrialState, point: Point, objectives: readonly Objective[],
  free: number[], draw: Random): Trial {
  const values = objectives.map((one) => worth(point, one.name, draw));
  const isStarted = state !== "waiting", isAtEnd = state === "complete" || state === "infeasible";
  const steps = !isStarted || state === "cancelled" ? 0 : isAtEnd ? STEPS : 1 + draw.below(STEPS - 2);
  const reports = Array.from({ length: steps }, (_, k) => ({ step: k + 1,
    values: values.map((value, m) => objectives[m].name === "latencyMs" || objectives[m].name === "throughput" ? value
      : value * (1 - Math.exp(-(k + 1) / 5)) + 0.02 * Math.abs(value) * draw.normal()) }));
  const attempts = isStarted ? makeAttempts(state, steps, free, draw) : [];
  const isOver = state !== "waiting" && state !== "running";
  const told = state === "complete" ? values : state === "infeasible" ? values.map((value, m) => m === 0 ? NaN : value)
    : state === "pruned" ? reports.at(-1)!.values : null;
  return { number, state, point, parent: null, seen: Math.max(0, number - 4), values: told,
    violation: state === "infeasible" ? 1 : 0,
    reason: state === "infeasible" ? "sharpe has no value: no trade" : state === "failed" ? "loss is not a number" : "",
    reports, attempts, statistics: isAtEnd ? { cpuSeconds: 30 + 10 * draw.uniform(), memoryBytes: 2e8 } : {},
    askedAt: attempts[0]?.startedAt ?? START, endedAt: isOver ? attempts.at(-1)!.endedAt : null };
}

function makeAttempts(state: TrialState, steps: number, free: number[], draw: Random): Attempt[] {
  const attempts: Attempt[] = [];
  const next = (outcome: Attempt["outcome"], seconds: number): void => {
    const worker = free.indexOf(Math.min(...free)), startedAt = free[worker] + 500;
    const endedAt = outcome === "running" ? null : startedAt + Math.round(1000 * seconds);
    // What still runs keeps its worker: nothing begins there after it.
    free[worker] = endedAt ?? startedAt + 36e5;
    attempts.push({ worker: `worker-${worker + 1}`, startedAt, endedAt, outcome });
  };
  if (draw.uniform() < 0.08) next("lost", 5 + 20 * draw.uniform());
  if (state === "running") next("running", 0);
  else next(draw.uniform() < 0.02 ? "late" : "told", 4 + 2.5 * steps * (0.8 + 0.4 * draw.uniform()));
  return attempts;
}
