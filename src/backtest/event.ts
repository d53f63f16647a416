/**
 * The event engine: the same strategy, sizing, limits and costs as the vector engine, but on an
 * account, with orders, fills and whole shares. Where nothing is lost to friction and all
 * instruments share their dates, both engines give the same net returns to 1e-12; elsewhere
 * `differences` says what each friction cost.
 *
 *     stage (decisions, timeline, plans) --replay--> book, account, tape --> BacktestResult
 *
 * The benchmark column is the vector engine's.
 */
import { explainDifference } from "./event-differences.ts";
import { eventNotes } from "./event-notes.ts";
import { perform, setStage, termsOf, type Performance, type Stage } from "./event-stage.ts";
import { Groups } from "./groups.ts";
import type { BacktestInput } from "./input.ts";
import type { BacktestResult, DifferenceRow } from "./result.ts";
import type { Run } from "./event-run.ts";
import type { Part, Stretch } from "./simulate.ts";
import { averageOf, costLadder, riskNumbers } from "./summary.ts";
import { askAll, cutCurve, piecesOf, vectorResult, windowResults } from "./vector.ts";

/** Runs the strategy on an account. Throws UserError for an empty window. */
export async function runEvent(input: BacktestInput): Promise<BacktestResult> {
  const answers = await askAll(input, input.strategy), vector = await vectorResult(input, answers);
  const stage = setStage(input, answers), performance = perform(stage, termsOf(input));
  return accountResult(stage, vector, performance, explainDifference(stage, vector.curve, performance));
}

/** What an account's performance adds up to; `vector` is the same strategy's under the same settings. */
export function accountResult(stage: Stage, vector: BacktestResult, performance: Performance,
  differences: readonly DifferenceRow[], engine: "event" | "live" = "event"): BacktestResult {
  const { settings } = stage.input, { periodsPerYear } = settings;
  const reported = stage.stretches.filter((stretch) => stretch.isReported);
  const members = new Set(stage.plans.flatMap((plan) => [...plan.members]));
  const { book } = performance, { time } = stage.alignment;
  const windows = windowResults(book, time, reported, periodsPerYear, members.size);
  const curve = cutCurve(book, time, reported);
  const benchmark = vector.benchmark?.netReturn ?? null;
  const groups = groupsOf(stage, performance);
  const fixed = curve.cost.map((paid, d) => paid - settings.costs.costBps * 1e-4 * curve.turnover[d]);
  return {
    ...vector, engine, windows, average: averageOf(windows), curve,
    risk: riskNumbers(curve.netReturn, benchmark, periodsPerYear, settings.trials),
    instruments: groups.instruments(periodsPerYear), classes: groups.classes(reported, periodsPerYear),
    costLadder: costLadder(curve.grossReturn, fixed, curve.turnover, piecesOf(reported),
      periodsPerYear),
    differences, notes: eventNotes(stage, performance, windows, members.size),
  };
}

/**
 * Each instrument's own rows of each reported stretch, as the vector engine hands them to its
 * groups.
 */
function groupsOf(stage: Stage, { runs }: Performance): Groups {
  const groups = new Groups(stage.input, stage.alignment.time.length);
  stage.plans.forEach(({ stretches, members }, r) => {
    for (const stretch of stretches) {
      if (!stretch.isReported) continue;
      members.forEach((_, m) => {
        const part = partOf(stage, runs[r], stretches[0].from, stretch, m);
        if (part.date.length > 0) groups.add(part);
      });
    }
  });
  return groups;
}

/**
 * Rows on which member `m` was decided on, traded or held. `start`: date of the run's first row.
 */
function partOf(stage: Stage, run: Run, start: number, stretch: Stretch, m: number): Part {
  const i = run.members[m], width = run.members.length, N = stretch.instruments;
  const isDecided = new Uint8Array(stretch.to - stretch.from);
  const dateOf = stage.alignment.dateOf[i], eligible = stage.alignment.eligible[i];
  for (let row = 0; row < dateOf.length && dateOf[row] < stretch.to; row++) {
    if (eligible[row] === 1 && dateOf[row] >= stretch.from) isDecided[dateOf[row] - stretch.from] = 1;
  }
  const date: number[] = [], net: number[] = [], turnover: number[] = [];
  for (let d = stretch.from; d < stretch.to; d++) {
    const at = (d - start) * width + m;
    const isIdle = run.netShare[at] === 0 && run.turnoverShare[at] === 0;
    if (isIdle && isDecided[d - stretch.from] === 0) continue;
    date.push(d);
    net.push(run.netShare[at] * N);
    turnover.push(run.turnoverShare[at] * N);
  }
  return {
    instrument: i, stretch, date: Int32Array.from(date), net: Float64Array.from(net),
    turnover: Float64Array.from(turnover),
  };
}
