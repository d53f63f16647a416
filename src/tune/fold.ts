/**
 * A study as a fold over the events of its journal.
 *
 *   events -> Study { trials by number, reports and attempts in the order in which they came }
 *
 * All of it lies in columns of typed arrays: with 11 objectives and 20 parameters a finished trial is about
 * 330 bytes, and 13 + 8 M more for each report.
 */
import { assert, unreachable } from "../base/assert.ts";
import { Column } from "./columns.ts";
import { hear, type Asked, type Reported, type Said, type StudyEvent, type Told } from "./events.ts";
import type { Parameter, Point } from "./space.ts";
import type { Attempt, StudyView, Terms, Trial } from "./study.ts";
import { FINISHED_STATES, signed, type Finished, type FinishedState, type TrialState } from "./trial.ts";

const STATES: readonly TrialState[] = ["waiting", "running", ...FINISHED_STATES];
const OUTCOMES: readonly Attempt["outcome"][] =
  ["running", "told", "lost", "returned", "erred", "late", "duplicate"];
/** Names of statistics that are kept; a study with more loses the others. */
const STATISTICS_MAX = 64;
const NONE = -1;

/** What the coordinator wants to know of an attempt. */
export interface AttemptKey {
  readonly token: number;
  readonly outcome: Attempt["outcome"];
  readonly worker: string;
}

export interface StudyWords {
  readonly begun: Terms;
  readonly createdAt: number;
  readonly trials: number;
  readonly count: number; readonly finishedCount: number;
  readonly reportCount: number; readonly attemptCount: number;
  readonly reasons: readonly (readonly [number, string])[];
  readonly errors: readonly (readonly [number, string[]])[];
  readonly workers: readonly string[];
  readonly statistics: readonly string[];
}

export class Study implements StudyView {
  /** As it was created: what samplers are made for. */
  readonly begun: Terms;
  readonly createdAt: number;
  #terms: Terms;
  count = 0;
  /** Trials 0 .. prefix - 1 are finished. */
  prefix = 0;
  finishedCount = 0;
  reportCount = 0;
  #attemptCount = 0;
  readonly counts: Record<TrialState, number> =
    { waiting: 0, running: 0, complete: 0, pruned: 0, infeasible: 0, failed: 0, cancelled: 0 };
  /** Asked and without a result, by ascending number; of these those that nobody runs. */
  readonly open = new Set<number>();
  readonly waiting = new Set<number>();
  readonly #names: readonly string[];
  readonly #parameters: readonly Parameter[];
  readonly #reasons = new Map<number, string>();
  /** What the objective threw, of trials that are not finished. */
  readonly #errors = new Map<number, string[]>();
  readonly #workers: string[] = [];
  readonly #workerRows = new Map<string, number>();
  readonly #statistics = new Map<string, Column>();
  /** Finished trials in the order in which they were finished, and how many reports were before. */
  readonly #order = new Column(Int32Array, 2);
  readonly #trials;
  readonly #reports;
  readonly #attempts;

  constructor(terms: Terms, createdAt: number) {
    this.begun = this.#terms = terms;
    this.createdAt = createdAt;
    this.#names = Object.keys(terms.space);
    this.#parameters = Object.values(terms.space);
    const M = terms.objectives.length;
    this.#trials = {
      state: new Column(Uint8Array), point: new Column(Float64Array, Math.max(1, this.#names.length)),
      values: new Column(Float64Array, M), violation: new Column(Float64Array),
      parent: new Column(Int32Array), seen: new Column(Int32Array), isPruned: new Column(Uint8Array),
      askedAt: new Column(Float64Array), endedAt: new Column(Float64Array),
      report: new Column(Int32Array), attempt: new Column(Int32Array),
    };
    this.#reports = { trial: new Column(Int32Array), step: new Column(Int32Array),
      before: new Column(Int32Array), goesOn: new Column(Uint8Array), values: new Column(Float64Array, M) };
    this.#attempts = { number: new Column(Int32Array), before: new Column(Int32Array),
      worker: new Column(Int32Array), token: new Column(Uint32Array), outcome: new Column(Uint8Array),
      startedAt: new Column(Float64Array), endedAt: new Column(Float64Array) };
  }

  get terms(): Terms { return this.#terms; }
  get isOver(): boolean { return this.finishedCount >= this.#terms.trials; }

  /** The only way in which a study changes. */
  apply(event: StudyEvent): void {
    switch (event.event) {
      case "created": throw new Error("a study is created once");
      case "extended": this.#terms = { ...this.#terms, trials: event.trials }; return;
      case "asked": this.#ask(event); return;
      case "leased": this.#lease(event.trial, event.attempt, event.token, event.worker, event.at); return;
      case "reported": this.#report(event); return;
      case "left":
        this.#close(event.trial, event.attempt, event.how, event.at);
        if (event.how === "erred") {
          this.#errors.set(event.trial, [...this.errorsOf(event.trial), event.reason]);
        }
        this.#move(event.trial, "waiting");
        return;
      case "told":
        this.#close(event.trial, event.attempt, event.isLate ? "late" : "told", event.at);
        this.#tell(event);
        return;
      case "duplicate": this.#close(event.trial, event.attempt, "duplicate", event.at); return;
      case "ended": this.#finish(event.trial, event.state, event.reason, event.at); return;
      default: unreachable(event);
    }
  }

  #ask({ trial, point, parent, seen, at }: Asked): void {
    assert(trial === this.count, `trial ${trial} was asked after ${this.count} others`);
    const trials = this.#trials;
    this.#parameters.forEach((parameter, k) => {
      trials.point.set(trial, encode(parameter, point[this.#names[k]]), k);
    });
    trials.parent.set(trial, parent ?? NONE);
    trials.seen.set(trial, seen);
    trials.askedAt.set(trial, at);
    trials.endedAt.set(trial, NaN);
    trials.report.set(trial, NONE);
    trials.attempt.set(trial, NONE);
    trials.state.set(trial, 0);
    for (let m = 0; m < this.#terms.objectives.length; m++) trials.values.set(trial, NaN, m);
    this.count++;
    this.counts.waiting++;
    this.open.add(trial);
    this.waiting.add(trial);
  }

  /** Granted anew to whoever was thought lost, it is the same attempt. */
  #lease(trial: number, attempt: number, token: number, worker: string, at: number): void {
    const { number, before, worker: workers, token: tokens, outcome, startedAt, endedAt } = this.#attempts;
    let row = this.#attemptRow(trial, attempt);
    if (row === NONE) {
      row = this.#attemptCount++;
      number.set(row, attempt);
      before.set(row, this.#trials.attempt.get(trial));
      workers.set(row, this.#workerRow(worker));
      tokens.set(row, token);
      startedAt.set(row, at);
      this.#trials.attempt.set(trial, row);
    }
    outcome.set(row, OUTCOMES.indexOf("running"));
    endedAt.set(row, NaN);
    this.#move(trial, "running");
  }

  #close(trial: number, attempt: number, outcome: Attempt["outcome"], at: number): void {
    const row = this.#attemptRow(trial, attempt);
    assert(row !== NONE, `attempt ${attempt} of trial ${trial} was never begun`);
    this.#attempts.outcome.set(row, OUTCOMES.indexOf(outcome));
    this.#attempts.endedAt.set(row, at);
  }

  #report({ trial, step, values, goesOn }: Reported): void {
    const reports = this.#reports, row = this.reportCount++;
    reports.trial.set(row, trial);
    reports.step.set(row, step);
    reports.before.set(row, this.#trials.report.get(trial));
    reports.goesOn.set(row, goesOn ? 1 : 0);
    values.forEach((value, m) => { reports.values.set(row, hear(value), m); });
    this.#trials.report.set(trial, row);
    if (!goesOn) this.#trials.isPruned.set(trial, 1);
  }

  #tell({ trial, state, values, violation, reason, statistics, at }: Told): void {
    values.forEach((value, m) => { this.#trials.values.set(trial, hear(value), m); });
    this.#trials.violation.set(trial, hear(violation));
    for (const [name, value] of Object.entries(statistics)) this.#keep(trial, name, value);
    this.#finish(trial, state, reason, at);
  }

  #keep(trial: number, name: string, value: Said): void {
    let column = this.#statistics.get(name);
    if (column === undefined) {
      if (this.#statistics.size >= STATISTICS_MAX) return;
      this.#statistics.set(name, column = new Column(Float64Array, 1, NaN));
    }
    column.set(trial, hear(value));
  }

  #finish(trial: number, state: FinishedState, reason: string, at: number): void {
    for (let row = this.#trials.attempt.get(trial); row !== NONE; row = this.#attempts.before.get(row)) {
      if (this.#attempts.outcome.get(row) !== OUTCOMES.indexOf("running")) continue;
      // Another attempt, or nobody, was faster.
      this.#attempts.outcome.set(row, OUTCOMES.indexOf("lost"));
      this.#attempts.endedAt.set(row, at);
    }
    this.#move(trial, state);
    this.#trials.endedAt.set(trial, at);
    if (reason !== "") this.#reasons.set(trial, reason);
    this.#errors.delete(trial);
    this.#order.set(this.finishedCount, trial);
    this.#order.set(this.finishedCount++, this.reportCount, 1);
    this.open.delete(trial);
    while (this.prefix < this.count && this.isFinished(this.prefix)) this.prefix++;
  }

  #move(trial: number, state: TrialState): void {
    const before = this.stateOf(trial);
    assert(!this.isFinished(trial), `trial ${trial} is ${before} and cannot become ${state}`);
    this.counts[before]--;
    this.counts[state]++;
    this.#trials.state.set(trial, STATES.indexOf(state));
    if (state === "waiting") this.waiting.add(trial); else this.waiting.delete(trial);
  }

  #workerRow(worker: string): number {
    const known = this.#workerRows.get(worker);
    if (known !== undefined) return known;
    this.#workerRows.set(worker, this.#workers.push(worker) - 1);
    return this.#workers.length - 1;
  }

  #attemptRow(trial: number, attempt: number): number {
    let row = this.#trials.attempt.get(trial);
    while (row !== NONE && this.#attempts.number.get(row) !== attempt) row = this.#attempts.before.get(row);
    return row;
  }

  stateOf(trial: number): TrialState { return STATES[this.#trials.state.get(trial)]; }
  isFinished(trial: number): boolean { return this.#trials.state.get(trial) >= 2; }
  isPruned(trial: number): boolean { return this.#trials.isPruned.get(trial) === 1; }
  parentOf(trial: number): number | null { return orNull(this.#trials.parent.get(trial)); }
  errorsOf(trial: number): readonly string[] { return this.#errors.get(trial) ?? []; }

  pointOf(trial: number): Point {
    const numbers = this.#trials.point.row(trial), point: Record<string, number | string> = {};
    this.#parameters.forEach((parameter, k) => {
      if (!Number.isNaN(numbers[k])) {
        point[this.#names[k]] = parameter.kind === "choice" ? parameter.choices[numbers[k]] : numbers[k];
      }
    });
    return point;
  }

  /** Null: there is no such attempt. */
  attemptOf(trial: number, attempt: number): AttemptKey | null {
    const row = trial < this.count ? this.#attemptRow(trial, attempt) : NONE;
    if (row === NONE) return null;
    return { token: this.#attempts.token.get(row), outcome: OUTCOMES[this.#attempts.outcome.get(row)],
      worker: this.#workers[this.#attempts.worker.get(row)] };
  }

  /** Of a trial; by their outcome, if one is said. */
  attemptsOf(trial: number, outcome?: Attempt["outcome"]): number {
    let count = 0;
    for (let row = this.#trials.attempt.get(trial); row !== NONE; row = this.#attempts.before.get(row)) {
      if (outcome === undefined || OUTCOMES[this.#attempts.outcome.get(row)] === outcome) count++;
    }
    return count;
  }

  /** Did the trial go on after its report of this step? Null: it has not reported it. */
  decisionOf(trial: number, step: number): boolean | null {
    const { before, step: steps, goesOn } = this.#reports;
    let row = this.#trials.report.get(trial);
    while (row !== NONE && steps.get(row) !== step) row = before.get(row);
    return row === NONE ? null : goesOn.get(row) === 1;
  }

  /** Of its last report; 0 and null: there is none. */
  lastStepOf(trial: number): number {
    const row = this.#trials.report.get(trial);
    return row === NONE ? 0 : this.#reports.step.get(row);
  }
  lastReportOf(trial: number): readonly number[] | null {
    const row = this.#trials.report.get(trial);
    return row === NONE ? null : [...this.#reports.values.row(row)];
  }

  /** Report `row` of all, in the order in which they came. */
  reportAt(row: number): { trial: number; step: number; losses: Float64Array; goesOn: boolean } {
    const { trial, step, values, goesOn } = this.#reports;
    return { trial: trial.get(row), step: step.get(row), goesOn: goesOn.get(row) === 1,
      losses: signed(this.#terms.objectives, values.row(row)) };
  }

  finishedOf(number: number): Finished {
    const { values, violation } = this.#trials;
    return { number, point: this.pointOf(number), state: this.stateOf(number) as FinishedState,
      losses: signed(this.#terms.objectives, values.row(number)), violation: violation.get(number),
      step: this.lastStepOf(number), parent: this.parentOf(number) };
  }

  /** Number of the finished trial that counted as `place`-th, from 0. */
  finishedAt(place: number): number { return this.#order.get(place); }
  /** Reports of all trials that had come before it was finished. */
  reportsBefore(place: number): number { return this.#order.get(place, 1); }

  *finished(): Generator<Finished> {
    if (this.#terms.lag === null) {
      for (let k = 0; k < this.finishedCount; k++) yield this.finishedOf(this.finishedAt(k));
    } else for (let k = 0; k < this.count; k++) if (this.isFinished(k)) yield this.finishedOf(k);
  }

  trial(number: number): Trial {
    const { values, violation, seen, askedAt, endedAt } = this.#trials, state = this.stateOf(number);
    assert(number < this.count, `there is no trial ${number}`);
    const isKnown = state === "complete" || state === "pruned" || state === "infeasible";
    return { number, state, point: this.pointOf(number), parent: this.parentOf(number),
      seen: seen.get(number), violation: violation.get(number), reason: this.#reasons.get(number) ?? "",
      values: isKnown ? [...values.row(number)] : this.lastReportOf(number),
      reports: this.#reportsOf(number), attempts: this.#attemptListOf(number),
      statistics: Object.fromEntries([...this.#statistics].flatMap(([name, column]) =>
        number >= column.rows || Number.isNaN(column.get(number)) ? [] : [[name, column.get(number)]])),
      askedAt: askedAt.get(number), endedAt: orNull(endedAt.get(number)) };
  }

  /** What a snapshot keeps beside the columns. */
  get words(): StudyWords {
    return { begun: this.begun, createdAt: this.createdAt, trials: this.#terms.trials, count: this.count,
      finishedCount: this.finishedCount, reportCount: this.reportCount, attemptCount: this.#attemptCount,
      reasons: [...this.#reasons], errors: [...this.#errors], workers: this.#workers,
      statistics: [...this.#statistics.keys()] };
  }

  /** All columns and how many of their rows count, in an order that `words` decides. */
  get columns(): readonly (readonly [Column, number])[] {
    const of = (table: object, rows: number): [Column, number][] =>
      Object.values(table).map((column: Column) => [column, rows]);
    return [...of(this.#trials, this.count), ...of(this.#reports, this.reportCount),
      ...of(this.#attempts, this.#attemptCount), [this.#order, this.finishedCount],
      ...[...this.#statistics.values()].map((column): [Column, number] => [column, this.count])];
  }

  /** A study of these words; `fill` writes the columns. */
  static restore(words: StudyWords, fill: (columns: Study["columns"]) => void): Study {
    const study = new Study(words.begun, words.createdAt);
    study.#terms = { ...words.begun, trials: words.trials };
    study.count = words.count;
    study.finishedCount = words.finishedCount;
    study.reportCount = words.reportCount;
    study.#attemptCount = words.attemptCount;
    for (const [trial, reason] of words.reasons) study.#reasons.set(trial, reason);
    for (const [trial, errors] of words.errors) study.#errors.set(trial, errors);
    for (const worker of words.workers) study.#workerRow(worker);
    for (const name of words.statistics) study.#statistics.set(name, new Column(Float64Array, 1, NaN));
    fill(study.columns);
    for (let trial = 0; trial < study.count; trial++) {
      const state = study.stateOf(trial);
      study.counts[state]++;
      if (!study.isFinished(trial)) study.open.add(trial);
      if (state === "waiting") study.waiting.add(trial);
    }
    while (study.prefix < study.count && study.isFinished(study.prefix)) study.prefix++;
    return study;
  }

  #reportsOf(trial: number): Trial["reports"] {
    const { before, step, values } = this.#reports, found = [];
    for (let row = this.#trials.report.get(trial); row !== NONE; row = before.get(row)) {
      found.push({ step: step.get(row), values: [...values.row(row)] });
    }
    return found.reverse();
  }

  #attemptListOf(trial: number): Trial["attempts"] {
    const { before, worker, startedAt, endedAt, outcome } = this.#attempts, found: Attempt[] = [];
    for (let row = this.#trials.attempt.get(trial); row !== NONE; row = before.get(row)) {
      found.push({ worker: this.#workers[worker.get(row)], startedAt: startedAt.get(row),
        endedAt: orNull(endedAt.get(row)), outcome: OUTCOMES[outcome.get(row)] });
    }
    return found.reverse();
  }
}

const orNull = (number: number): number | null => Number.isNaN(number) || number === NONE ? null : number;

/** A choice is the place of its value; NaN is not active. */
function encode(parameter: Parameter, value: number | string | undefined): number {
  if (value === undefined) return NaN;
  if (parameter.kind !== "choice") return value as number;
  const place = parameter.choices.indexOf(value);
  assert(place >= 0, `"${value}" is none of the choices`);
  return place;
}
