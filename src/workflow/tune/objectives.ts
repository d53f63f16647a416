/**
 * What a trial of a network is judged by: eleven numbers, all of rows before the first test.
 *
 *   |.. part 0 trained ..|validated|
 *   |....... part 1 trained .......|validated|
 *   |............ part 2 trained ............|validated|  first test window: not there for a search
 *
 * The validated rows of all parts, one after the other, are one series of daily returns. Those of
 * the best epoch count, which they chose: values flatter, and the deflated Sharpe says by how much.
 *
 * An objective that a trial does not have (a Sharpe ratio without variance) is NaN: the trial is infeasible,
 * and never a crash.
 */
import { UserError } from "../../base/error.ts";
import { suggestion } from "../../base/suggest.ts";
import { informationRatio, returnNumbers, valueAtRisk } from "../../metrics/returns.ts";
import { importanceStability } from "../../train/importance.ts";
import type { Objective } from "../../tune/trial.ts";

/** What is known of a trial. */
export interface Measured {
  /** (days) portfolio returns of the validated rows, after costs. */
  readonly returns: Float64Array;
  /** (days) of a position of 1 in every instrument, on the same days. */
  readonly benchmark: Float64Array;
  readonly periodsPerYear: number;
  /** Rows whose position has the sign of what came, of those where both have one. */
  readonly hits: number;
  readonly asked: number;
  /** (parts, F) Sharpe lost when an input is shuffled; null: not measured yet. */
  readonly importance: readonly (readonly number[])[] | null;
  /** On the calibrated worker; null: not measured. */
  readonly inference: { readonly latencyMs: number; readonly windowsPerSecond: number } | null;
}

export interface NetworkObjective {
  readonly direction: Objective["direction"];
  readonly unit: string;
  /** What is measured, for people. */
  readonly describe: string;
  /** When a trial does not have it. */
  readonly undefinedWhen: string;
  /** What has to be measured beside positions on validation rows. */
  readonly needs: "returns" | "inference" | "importance";
  readonly of: (measured: Measured) => number;
}

const returnsOf = (name: "sharpe" | "calmar" | "sortino" | "maxDrawdown" | "volatility") =>
  ({ returns, periodsPerYear }: Measured): number => returnNumbers(returns, periodsPerYear)[name];
/** A network that never took a position has no risk, and is no answer to a search for little risk. */
const whereTraded = (of: (measured: Measured) => number) => (measured: Measured): number =>
  measured.returns.some((one) => one !== 0) ? of(measured) : NaN;
const NEVER = "no position was ever taken";

export const OBJECTIVES = {
  sharpe: { direction: "maximise", unit: "ratio", needs: "returns",
    describe: "annualised mean over deviation of the daily returns, after costs",
    undefinedWhen: "returns do not vary", of: returnsOf("sharpe") },
  calmar: { direction: "maximise", unit: "ratio", needs: "returns",
    describe: "compound annual return over the largest drawdown",
    undefinedWhen: "there is no drawdown", of: returnsOf("calmar") },
  sortino: { direction: "maximise", unit: "ratio", needs: "returns",
    describe: "annualised mean over downside risk",
    undefinedWhen: "there is no loss", of: returnsOf("sortino") },
  informationRatio: { direction: "maximise", unit: "ratio", needs: "returns",
    describe: "Sharpe ratio of the difference to a position of 1 in every instrument",
    undefinedWhen: "the difference does not vary",
    of: ({ returns, benchmark, periodsPerYear }) => informationRatio(returns, benchmark, periodsPerYear) },
  maxDrawdown: { direction: "minimise", unit: "fraction", needs: "returns",
    describe: "largest fall from a peak of the compounded curve",
    undefinedWhen: NEVER, of: whereTraded(returnsOf("maxDrawdown")) },
  var95: { direction: "minimise", unit: "fraction of a day", needs: "returns",
    describe: "loss that one day in twenty exceeds", undefinedWhen: NEVER,
    of: whereTraded(({ returns }) => valueAtRisk(returns)) },
  volatility: { direction: "minimise", unit: "fraction a year", needs: "returns",
    describe: "annualised deviation of the daily returns", undefinedWhen: NEVER,
    of: whereTraded(returnsOf("volatility")) },
  latency: { direction: "minimise", unit: "ms", needs: "inference",
    describe: "processor time of one window through the exported network, on the study's machine",
    undefinedWhen: "never", of: ({ inference }) => inference?.latencyMs ?? NaN },
  throughput: { direction: "maximise", unit: "windows a second", needs: "inference",
    describe: "the same in batches of 128",
    undefinedWhen: "never", of: ({ inference }) => inference?.windowsPerSecond ?? NaN },
  accuracy: { direction: "maximise", unit: "fraction", needs: "returns",
    describe: "share of rows whose position has the sign of the return that came",
    undefinedWhen: NEVER, of: ({ hits, asked }) => asked === 0 ? NaN : hits / asked },
  importanceStability: { direction: "maximise", unit: "correlation", needs: "importance",
    describe: "do the parts agree on which inputs matter (rank correlation, Nogueira's index)",
    undefinedWhen: "parts cannot be compared (no input matters, or all alike)",
    of: ({ importance }) => importance === null ? NaN : importanceStability(importance).score },
} as const satisfies Record<string, NetworkObjective>;
export type ObjectiveName = keyof typeof OBJECTIVES;
export const OBJECTIVE_NAMES = Object.keys(OBJECTIVES) as ObjectiveName[];

export const objectiveOf = (name: string): NetworkObjective => OBJECTIVES[name as ObjectiveName];

/** Their names and directions. UserError for an unknown name, one said twice, and none. */
export function chooseObjectives(names: readonly string[]): Objective[] {
  const twice = names.find((name, k) => names.indexOf(name) !== k);
  if (twice !== undefined) {
    throw new UserError(`objective "${twice}" is named twice`, "name it once in --objectives");
  }
  if (names.length === 0) {
    throw new UserError("a study needs an objective", "for example: --objectives sharpe,maxDrawdown");
  }
  return names.map((name) => {
    if (Object.hasOwn(OBJECTIVES, name)) return { name, direction: objectiveOf(name).direction };
    throw new UserError(`there is no objective "${name}"`, suggestion(name, OBJECTIVE_NAMES));
  });
}

/** (M) in the order of `names`; what is infinite (a Sortino ratio without a loss) is undefined too. */
export const valuesOf = (names: readonly string[], measured: Measured): number[] => names.map((name) => {
  const value = objectiveOf(name).of(measured);
  return Number.isFinite(value) ? value : NaN;
});

/** Which limits are not held, by how much; an undefined value is no violation of its own. */
export function violationsOf(limits: Readonly<Record<string, number>>, measured: Measured):
Record<string, number> {
  return Object.fromEntries(Object.entries(limits).flatMap(([name, limit]) => {
    const { direction, of } = objectiveOf(name), value = of(measured);
    const excess = direction === "maximise" ? limit - value : value - limit;
    return excess > 0 ? [[name, excess]] : [];
  }));
}
