/** The fold over the records of Optuna's journal: what optuna-journal.ts reads with. */
import type { Parameter } from "./space.ts";

/** Places are Optuna's numbers of its states. */
export const STATES = ["running", "complete", "pruned", "failed", "waiting"] as const;
/** System attributes: of a study the names of its objectives, of a trial its violations and what is ours. */
export const METRIC_NAMES = "study:metric_names", CONSTRAINTS = "constraints", OWN = "dmn";

/** A study on the way through its records. */
export interface Draft {
  readonly name: string;
  readonly directions: readonly number[];
  metricNames: readonly string[] | null;
  readonly trials: TrialDraft[];
}
export interface TrialDraft {
  readonly number: number;
  state: typeof STATES[number];
  readonly point: Record<string, number | string>;
  readonly parameters: Record<string, Parameter>;
  values: readonly number[] | null;
  /** Summed when read: the list of old, one attribute each since 5.0. */
  readonly violations: Map<string, number>;
  readonly intermediate: Map<number, number>;
  readonly attributes: Record<string, unknown>;
  own: unknown;
  startedAt: number | null;
  endedAt: number | null;
}
/** A record as it may be; what it must have is looked at where it is used. */
export interface Log {
  readonly op_code: number;
  readonly study_id: number;
  readonly trial_id: number;
  readonly study_name: string;
  readonly directions: readonly number[];
  readonly user_attr: Readonly<Record<string, unknown>>;
  readonly system_attr: Readonly<Record<string, unknown>>;
  readonly param_name: string;
  readonly param_value_internal: number;
  readonly distribution: string;
  readonly state?: number;
  readonly value?: number | null;
  readonly values?: readonly number[] | null;
  readonly step: number;
  readonly intermediate_value: number;
  readonly datetime_start?: string | null;
  readonly datetime_complete?: string | null;
  readonly distributions?: Readonly<Record<string, string>>;
  readonly params?: Readonly<Record<string, number>>;
  readonly user_attrs?: Readonly<Record<string, unknown>>;
  readonly system_attrs?: Readonly<Record<string, unknown>>;
  readonly intermediate_values?: Readonly<Record<string, number>>;
}

/** Deleted studies leave null. Throws anything at all for a record that is none. */
export function apply(log: Log, studies: (Draft | null)[], trials: TrialDraft[]): void {
  const study = studies[log.study_id] ?? null;
  const trial = trials[log.trial_id];
  const isOpen = trial?.state === "running" || trial?.state === "waiting";
  switch (log.op_code) {
    case 0:
      if (typeof log.study_name !== "string" || log.directions.length === 0) throw new TypeError("no study");
      if (studies.some((one) => one?.name === log.study_name)) return;
      studies.push({ name: log.study_name, directions: log.directions, metricNames: null, trials: [] });
      return;
    case 1: if (study !== null) studies[log.study_id] = null; return;
    case 3:
      if (study !== null && METRIC_NAMES in log.system_attr) {
        study.metricNames = log.system_attr[METRIC_NAMES] as readonly string[];
      }
      return;
    case 4:
      if (study === null) return;
      trials.push(startTrial(log, study.trials.length));
      study.trials.push(trials.at(-1)!);
      return;
    case 5:
      if (isOpen) setParameter(trial, log.param_name, log.param_value_internal, log.distribution);
      return;
    case 6: if (isOpen) setState(trial, log); return;
    case 7: if (isOpen) trial.intermediate.set(log.step, log.intermediate_value); return;
    case 8: if (isOpen) Object.assign(trial.attributes, log.user_attr); return;
    case 9: if (isOpen) setSystem(trial, log.system_attr); return;
    // Study attributes and what only Rustuna reads.
    case 2: case 10: return;
    default: throw new TypeError("no such operation");
  }
}

function startTrial(log: Log, number: number): TrialDraft {
  const trial: TrialDraft = { number, state: "running", point: {}, parameters: {}, values: null,
    violations: new Map(), intermediate: new Map(), attributes: { ...log.user_attrs }, own: null,
    startedAt: null, endedAt: null };
  for (const [step, value] of Object.entries(log.intermediate_values ?? {})) {
    trial.intermediate.set(Number(step), value);
  }
  for (const [name, value] of Object.entries(log.params ?? {})) {
    setParameter(trial, name, value, log.distributions![name]);
  }
  setSystem(trial, log.system_attrs ?? {});
  const values = log.values ?? (log.value == null ? null : [log.value]);
  setState(trial, { ...log, state: log.state ?? 0, values });
  return trial;
}

function setState(trial: TrialDraft, { state, values, datetime_start, datetime_complete }: Log): void {
  if (STATES[state!] === undefined) throw new TypeError("no such state");
  trial.state = STATES[state!];
  trial.values = values ?? trial.values;
  if (datetime_start != null) trial.startedAt = Date.parse(datetime_start);
  if (datetime_complete != null) trial.endedAt = Date.parse(datetime_complete);
}

function setSystem(trial: TrialDraft, attributes: Readonly<Record<string, unknown>>): void {
  for (const [key, value] of Object.entries(attributes)) {
    if (key === CONSTRAINTS) (value as number[]).forEach((one, i) => trial.violations.set(`${i}`, one));
    else if (key.startsWith(`${CONSTRAINTS}:`)) trial.violations.set(key, value as number);
    else if (key === OWN) trial.own = value;
  }
}

function setParameter(trial: TrialDraft, name: string, internal: number, distribution: string): void {
  const one = parameterOf(distribution);
  const value = one.kind === "choice" ? one.choices[internal] : internal;
  if (value === undefined || !Number.isFinite(internal)) throw new TypeError("no value");
  trial.parameters[name] = one;
  trial.point[name] = value;
}

function parameterOf(distribution: string): Parameter {
  const { name, attributes } = decode(distribution) as { readonly name: string; readonly attributes: {
    readonly low: number; readonly high: number; readonly step: number | null; readonly log: boolean;
    readonly choices: readonly unknown[] } };
  const { low, high, step, log, choices } = attributes, isLog = log ? { isLog: true } : {};
  switch (name) {
    // Python's True, False and None are choices there.
    case "CategoricalDistribution":
      return { kind: "choice", choices: choices.map((one) => typeof one === "number" ? one : String(one)) };
    case "FloatDistribution":
      return { kind: "float", low, high, ...isLog, ...(step === null ? {} : { step }) };
    case "IntDistribution":
      return { kind: "integer", low, high, ...isLog, ...(step === null || step === 1 ? {} : { step }) };
    default: throw new TypeError("no such distribution");
  }
}

/** Marks what JSON has no word for, in a place that no text of ours or Optuna's uses. */
const MARK = "\uE000";
/** Python writes and reads NaN, Infinity and -Infinity; JSON has none of them. */
export const encode = (value: unknown): string => JSON.stringify(value, (_, one: unknown) =>
  typeof one === "number" && !Number.isFinite(one) ? MARK + String(one) : one)
  .replaceAll(new RegExp(`"${MARK}([^"]*)"`, "g"), "$1");
export const decode = (text: string): unknown => JSON.parse(
  text.replaceAll(/"(?:[^"\\]|\\.)*"|-?Infinity|NaN/g,
    (word) => word.startsWith("\"") ? word : `"${MARK}${word}"`),
  (_, one: unknown) => typeof one === "string" && one.startsWith(MARK) ? Number(one.slice(1)) : one);
