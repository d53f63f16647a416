/**
 * A study as Optuna's journal log, for its dashboard and its samplers, and such a log as told trials.
 *
 *   {"op_code":0,"worker_id":"dmn","study_name":"first","directions":[2,1]}     a line each, JSON with NaN
 *
 *   0 create study   2 its user attribute    4 create trial   6 state and values      8 user attribute
 *   1 delete study   3 its system attribute  5 parameter      7 intermediate value    9 system attribute
 *
 * Studies and trials are numbered through the file, trials again within their study; a record about what is
 * not there, or is finished, means nothing (storages/journal/_storage.py of Optuna 5.0). We write a trial as
 * one record 4, and read them all. What Optuna has no place for is in the system attribute "dmn": a state
 * (infeasible without values and cancelled are FAIL there), reports and last values with several objectives.
 */
import { UserError } from "../base/error.ts";
import { apply, CONSTRAINTS, decode, encode, METRIC_NAMES, OWN, type Draft, type Log,
  type TrialDraft } from "./optuna-fold.ts";
import type { Condition, Parameter, Point, Space } from "./space.ts";
import type { StudyView, Terms, Trial } from "./study.ts";
import type { Objective, TrialState } from "./trial.ts";

const DIRECTIONS = { minimise: 1, maximise: 2 } as const;
const STATE_CODES = { running: 0, complete: 1, infeasible: 1, pruned: 2, failed: 3, cancelled: 3, waiting: 4,
} as const satisfies Record<TrialState, number>;

/** What Optuna has no place for. */
interface Own {
  state?: TrialState;
  values?: readonly number[];
  reports?: Trial["reports"];
  reason?: string;
  parent?: number;
}

/** The study's log, line by line. */
export function* optunaJournal(view: StudyView): Generator<string> {
  const { terms } = view, study = { worker_id: "dmn", study_id: 0 };
  yield encode({ op_code: 0, worker_id: "dmn", study_name: terms.name,
    directions: terms.objectives.map(({ direction }) => DIRECTIONS[direction]) });
  yield encode({ op_code: 3, ...study,
    system_attr: { [METRIC_NAMES]: terms.objectives.map(({ name }) => name) } });
  const { sampler, pruner, seed, version } = terms;
  yield encode({ op_code: 2, ...study, user_attr: { dmn: { sampler, pruner, seed, version } } });
  const distributions = Object.fromEntries(Object.entries(terms.space).map(([name, one]) =>
    [name, distributionOf(one)]));
  for (let number = 0; number < view.count; number++) {
    yield encode({ op_code: 4, ...study, ...createTrial(terms, distributions, view.trial(number)) });
  }
}

function createTrial({ space, objectives }: Terms, known: Readonly<Record<string, string>>, trial: Trial):
  object {
  const { point, state, values, violation, endedAt, statistics } = trial, isMany = objectives.length > 1;
  const isTold = values !== null && (state === "complete" || (state === "infeasible" && !values.includes(NaN))
    || (state === "pruned" && !isMany));
  const code = state === "infeasible" && !isTold ? STATE_CODES.failed : STATE_CODES[state];
  const own: Own = {
    ...(state === "infeasible" || state === "cancelled" ? { state } : {}),
    ...(values !== null && !isTold ? { values } : {}),
    ...(isMany && trial.reports.length > 0 ? { reports: trial.reports } : {}),
    ...(trial.reason !== "" ? { reason: trial.reason } : {}),
    ...(trial.parent !== null ? { parent: trial.parent } : {}),
  };
  return {
    state: code, value: isTold && !isMany ? values[0] : null, values: isTold && isMany ? values : null,
    datetime_start: state === "waiting" ? null : timeText(trial.attempts[0]?.startedAt ?? trial.askedAt),
    ...(code === 0 || code === 4 ? {} : { datetime_complete: timeText(endedAt ?? trial.askedAt) }),
    distributions: Object.fromEntries(Object.keys(point).map((name) => [name, known[name]])),
    params: Object.fromEntries(Object.entries(point).map(([name, value]) =>
      [name, internalOf(space[name], value)])),
    user_attrs: statistics,
    system_attrs: { ...(violation > 0 ? { [CONSTRAINTS]: [violation] } : {}),
      ...(Object.keys(own).length > 0 ? { [OWN]: own } : {}) },
    intermediate_values: isMany ? {} : Object.fromEntries(trial.reports.map(({ step, values: [value] }) =>
      [step, value])),
  };
}

const timeText = (time: number): string => new Date(time).toISOString().replace("Z", "000+00:00");

/** A number is itself, a choice its place. */
const internalOf = (one: Parameter, value: number | string): number =>
  one.kind === "choice" ? one.choices.indexOf(value) : Number(value);

function distributionOf(one: Parameter): string {
  if (one.kind === "choice") {
    return encode({ name: "CategoricalDistribution", attributes: { choices: one.choices } });
  }
  const { low, high, isLog: log = false, step } = one;
  return one.kind === "float"
    ? encode({ name: "FloatDistribution", attributes: { step: step ?? null, low, high, log } })
    : encode({ name: "IntDistribution", attributes: { log, step: step ?? 1, low, high } });
}

export interface OptunaStudy {
  readonly name: string;
  readonly objectives: readonly Objective[];
  /** All that its trials drew from; what only some have is under the condition that says when. */
  readonly space: Space;
  /** Parameters that only some trials have and no other parameter says when. */
  readonly unexplained: readonly string[];
  readonly trials: readonly Trial[];
  /** Bytes of an unfinished last record that were ignored. */
  readonly tornBytes: number;
}

/**
 * The study `name` of a log; null: its only one. Throws UserError for what is no such log, and where there
 * are more studies or none of that name.
 */
export function readOptunaJournal(text: string, name: string | null = null): OptunaStudy {
  const studies: (Draft | null)[] = [], trials: TrialDraft[] = [];
  const end = text.lastIndexOf("\n") + 1, lines = text.slice(0, end).split("\n");
  lines.forEach((line, k) => {
    if (line.trim() === "") return;
    try { apply(decode(line) as Log, studies, trials); } catch (cause) {
      throw new UserError(`line ${k + 1} is not a record of Optuna's journal: ${line.slice(0, 60)}`,
        "the file must be a JournalFileBackend's; if its writer was killed inside that line, remove the line",
        { cause });
    }
  });
  const kept = studies.filter((study) => study !== null), names = kept.map((study) => study.name);
  const study = name === null && kept.length === 1 ? kept[0] : kept.find((one) => one.name === name);
  if (study === undefined) {
    const found = name === null ? `${names.length} studies` : `no study "${name}"`;
    throw new UserError(`the journal has ${found}`,
      names.length === 0 ? "there is nothing to read in it" : `name one of: ${names.join(", ")}`);
  }
  return { name: study.name, objectives: objectivesOf(study), ...spaceOf(study.trials),
    trials: study.trials.map((draft) => trialOf(draft, study.directions.length)),
    tornBytes: Buffer.byteLength(text.slice(end)) };
}

function objectivesOf({ directions, metricNames }: Draft): Objective[] {
  return directions.map((direction, m) => ({
    name: metricNames?.[m] ?? (directions.length === 1 ? "value" : `value${m}`),
    direction: direction === DIRECTIONS.maximise ? "maximise" : "minimise" }));
}

function trialOf(draft: TrialDraft, M: number): Trial {
  const own = (draft.own ?? {}) as Own;
  const violation = Array.from(draft.violations.values()).reduce((sum, one) => sum + Math.max(0, one), 0);
  const reports = Array.from(draft.intermediate).sort(([a], [b]) => a - b)
    .map(([step, value]) => ({ step, values: [value] }));
  const isLastReport = draft.state === "pruned" && M === 1;
  const isInfeasible = draft.state === "complete" && violation > 0;
  return {
    number: draft.number, state: own.state ?? (isInfeasible ? "infeasible" : draft.state), point: draft.point,
    parent: own.parent ?? null, seen: 0, violation, reason: own.reason ?? "",
    values: own.values ?? draft.values ?? (isLastReport ? reports.at(-1)?.values : null) ?? null,
    reports: own.reports ?? reports, attempts: [],
    statistics: Object.fromEntries(Object.entries(draft.attributes)
      .filter((pair): pair is [string, number] => typeof pair[1] === "number")),
    askedAt: draft.startedAt ?? draft.endedAt ?? 0, endedAt: draft.endedAt,
  };
}

function spaceOf(trials: readonly TrialDraft[]): Pick<OptunaStudy, "space" | "unexplained"> {
  const drawn = trials.filter(({ point }) => Object.keys(point).length > 0);
  const space: Record<string, Parameter> = {};
  for (const { parameters } of drawn) {
    for (const [name, one] of Object.entries(parameters)) {
      space[name] = name in space && space[name] !== one ? widen(space[name], one) : one;
    }
  }
  const names = Object.keys(space), unexplained: string[] = [];
  for (const [k, name] of names.entries()) {
    if (drawn.every(({ point }) => name in point)) continue;
    const when = conditionOf(name, names.slice(0, k), space, drawn.map(({ point }) => point));
    if (when === null) unexplained.push(name);
    else space[name] = { ...space[name], when };
  }
  return { space, unexplained };
}

/** Optuna lets a range change between trials: what holds both. */
function widen(one: Parameter, other: Parameter): Parameter {
  if (one.kind === "choice" && other.kind === "choice") {
    return { ...one, choices: [...new Set([...one.choices, ...other.choices])] };
  }
  // A float here, an integer or a choice there: no space holds both; the first one stands.
  if (one.kind === "choice" || one.kind !== other.kind) return one;
  return { ...one, low: Math.min(one.low, other.low), high: Math.max(one.high, other.high) };
}

/** The choice declared before whose values say exactly which points have the parameter. */
function conditionOf(name: string, before: readonly string[], space: Space, points: readonly Point[]):
  Condition | null {
  const having = points.filter((point) => name in point);
  const lacking = points.filter((point) => !(name in point));
  for (const parameter of before) {
    const is = new Set(having.map((point) => point[parameter]));
    if (space[parameter].kind === "choice" && having.every((point) => parameter in point)
      && lacking.some((point) => parameter in point)
      && lacking.every((point) => !is.has(point[parameter]))) return { parameter, is: [...is] };
  }
  return null;
}
