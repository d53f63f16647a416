/**
 * Every decision of a study, without clock, disk or wire: what a worker is given, what a report leads to,
 * which result counts. What it decides are events; `record` takes them, and nobody is answered before they
 * are on the disk.
 */
import { random } from "../base/random.ts";
import { hear, say, sayAll, type Said, type StudyEvent } from "./events.ts";
import type { Study } from "./fold.ts";
import { Leases, standingOf, type Lease } from "./leases.ts";
import type { Point } from "./space.ts";
import { Suggester, type Search } from "./suggester.ts";
import { signed, type FinishedState } from "./trial.ts";

export interface ConductorOptions {
  readonly study: Study;
  readonly search: Search;
  readonly leaseMs: number;
  /** 32 bits that nobody guesses by accident. */
  readonly newToken: () => number;
  readonly record: (event: StudyEvent) => void;
}
/** What a worker is given. */
export interface Assignment {
  readonly trial: number;
  readonly attempt: number;
  readonly token: number;
  readonly point: Point;
  readonly parent: number | null;
  readonly seed: number;
}
/** The end of an attempt, as its worker says it. */
export interface AttemptEnd {
  readonly trial: number;
  readonly attempt: number;
  readonly token: number;
  readonly worker: string;
  /** done: an outcome; failed: fails again anywhere; erred: it threw; returned: the worker had to stop. */
  readonly how: "done" | "failed" | "erred" | "returned";
  readonly reason: string;
  readonly values: readonly Said[];
  readonly violations: Readonly<Record<string, Said>>;
  readonly statistics: Readonly<Record<string, Said>>;
}

/** Of a trial, whatever ended them: a bound for workers that keep giving it back. */
const ATTEMPTS_MAX = 1_000;
/** Reasons are sentences, characters. */
const REASON_MAX = 500;

export class Conductor {
  readonly #options: ConductorOptions;
  readonly leases: Leases;
  readonly #suggester: Suggester;

  constructor(options: ConductorOptions, now: number) {
    this.#options = options;
    this.leases = new Leases(options.leaseMs);
    const { study, search } = options;
    this.#suggester = new Suggester(study, search);
    for (const trial of study.open) this.#resume(trial, now);
  }

  /** Who ran before we were started again is believed to run on. */
  #resume(trial: number, now: number): void {
    const { study } = this.#options;
    if (study.stateOf(trial) !== "running") return;
    for (let attempt = study.attemptsOf(trial) - 1; attempt >= 0; attempt--) {
      const { outcome, token, worker } = study.attemptOf(trial, attempt)!;
      if (outcome === "running") this.leases.grant(trial, attempt, token, worker, now);
    }
  }

  /** Trials that could be run now and are not. */
  get waiting(): number {
    const { study } = this.#options, { trials, lag } = study.terms;
    const reach = lag === null ? trials : Math.min(trials, study.prefix + lag);
    return study.waiting.size + Math.max(0, reach - study.count);
  }

  /** A trial for this worker, who runs nothing; the one that it has, if it has one. Null: not now. */
  ask(worker: string, now: number): Assignment | null {
    const { study, record, newToken } = this.#options;
    const held = this.leases.ofWorker(worker);
    if (held !== null) {
      this.leases.renew(held, now);
      return this.#assignment(held);
    }
    if (study.waiting.size === 0 && !this.#suggest(now)) return null;
    const trial = Math.min(...study.waiting), attempt = study.attemptsOf(trial), token = newToken() >>> 0;
    record({ event: "leased", at: now, trial, attempt, token, worker });
    return this.#assignment(this.leases.grant(trial, attempt, token, worker, now));
  }

  #assignment({ trial, attempt, token }: Lease): Assignment {
    const { study } = this.#options;
    return { trial, attempt, token, point: study.pointOf(trial), parent: study.parentOf(trial),
      seed: seedOf(study.terms.seed, trial) };
  }

  /** Adds trial `count` to those that wait, if there is to be one and the sampler can say which. */
  #suggest(at: number): boolean {
    const { study, record } = this.#options, trial = study.count;
    const suggestion = trial < study.terms.trials ? this.#suggester.next() : null;
    if (suggestion === null) return false;
    const { point, parent } = suggestion;
    record({ event: "asked", at, trial, point, parent, seen: this.#suggester.told });
    return true;
  }

  /** A report is decided on once, whichever attempt brings it. False: stop here. Null: it is not yours. */
  report(of: AttemptEnd | Attempted, step: number, values: readonly Said[], at: number): boolean | null {
    const { study, record } = this.#options, { trial, attempt, token } = of;
    const standing = standingOf(study, trial, attempt, token);
    if (standing === "late" && !this.#revive(of, at)) return null;
    if (standing !== "current" && standing !== "late") return null;
    const before = study.decisionOf(trial, step);
    if (before !== null) return before;
    // Other steps than the first attempt's: they were decided on without us.
    if (step <= study.lastStepOf(trial)) return !study.isPruned(trial);
    const goesOn = this.#suggester.decide(trial, step, signed(study.terms.objectives, values.map(hear)));
    record({ event: "reported", at, trial, attempt, step, values, goesOn });
    return goesOn;
  }

  /** The worker of a running attempt is there. False: the attempt is not its own any more. */
  beat(of: Attempted, now: number): boolean {
    const { study } = this.#options, standing = standingOf(study, of.trial, of.attempt, of.token);
    if (standing === "late") return this.#revive(of, now);
    const lease = this.leases.ofTrial(of.trial);
    if (standing !== "current" || lease?.attempt !== of.attempt) return false;
    this.leases.renew(lease, now);
    return true;
  }

  /** Whoever was given up too early goes on, if its trial still waits. */
  #revive({ trial, attempt, token, worker }: Attempted, at: number): boolean {
    const { study, record } = this.#options;
    const isGone = study.attemptOf(trial, attempt)!.outcome !== "lost";
    if (isGone || !study.waiting.has(trial) || this.leases.ofWorker(worker) !== null) return false;
    record({ event: "leased", at, trial, attempt, token, worker });
    this.leases.grant(trial, attempt, token, worker, at);
    return true;
  }

  /** True: it counts, or had counted already. False: it is noted at most, as it is not of this study. */
  tell(end: AttemptEnd, at: number): boolean {
    const { study, record } = this.#options, { trial, attempt, token, how, values } = end;
    const standing = standingOf(study, trial, attempt, token);
    if (standing === "unknown") return false;
    if (standing === "repeated") return true;
    if (standing === "over") {
      if (how === "done") record({ event: "duplicate", at, trial, attempt, values });
      return true;
    }
    if (how === "erred" || how === "returned") {
      // An attempt that was given up has nothing left to give back.
      if (standing === "current") this.#leave(trial, attempt, how, end.reason, at);
      return true;
    }
    this.leases.release(trial);
    const told = how === "done" ? this.#judge(end)
      : { state: "failed" as const, values: this.#nothing(), violation: 0 };
    record({ event: "told", at, trial, attempt, ...told, reason: this.#reasonOf(end),
      isLate: standing === "late", statistics: end.statistics });
    this.#suggester.finished(trial);
    return true;
  }

  #nothing(): Said[] { return sayAll(this.#options.study.terms.objectives.map(() => NaN)); }

  #judge({ trial, values, violations }: AttemptEnd): {
    state: FinishedState; values: readonly Said[]; violation: Said;
  } {
    const { study } = this.#options;
    const violation = Object.values(violations).reduce<number>((sum, by) => sum + Math.abs(hear(by)), 0);
    const sum = Number.isNaN(violation) ? 1 : violation;
    if (study.isPruned(trial)) {
      return { state: "pruned", values: sayAll(study.lastReportOf(trial)!), violation: say(sum) };
    }
    const undefinedCount = values.filter((value) => value === null).length;
    const total = sum + undefinedCount;
    return { state: total > 0 ? "infeasible" : "complete", values, violation: say(total) };
  }

  #reasonOf({ how, reason, values, violations }: AttemptEnd): string {
    if (how !== "done") return reason.slice(0, REASON_MAX);
    const { objectives } = this.#options.study.terms;
    const parts = Object.entries(violations).map(([name, by]) => `${name} by ${by ?? "NaN"}`);
    values.forEach((value, m) => { if (value === null) parts.push(`${objectives[m].name} is undefined`); });
    return parts.join(", ").slice(0, REASON_MAX);
  }

  /** The attempt is over without a result: another one, or none if there have been too many. */
  #leave(trial: number, attempt: number, how: "lost" | "returned" | "erred", why: string, at: number): void {
    const { study, record } = this.#options, reason = why.slice(0, REASON_MAX);
    this.leases.release(trial);
    const isSame = how === "erred" && study.errorsOf(trial).includes(reason);
    record({ event: "left", at, trial, attempt, how, reason });
    const fail = (text: string): void => { this.#end(trial, "failed", text, at); };
    const { retries } = study.terms, lost = study.attemptsOf(trial, "lost");
    if (isSame) fail(reason);
    else if (how === "erred" && study.errorsOf(trial).length > Math.max(1, retries)) fail(reason);
    else if (how === "lost" && lost > retries) fail(`its worker was lost ${lost} times: ${reason}`);
    else if (study.attemptsOf(trial) >= ATTEMPTS_MAX) fail(`given back ${ATTEMPTS_MAX} times`);
  }

  /** Gives up what has been silent for a whole lease. */
  expire(now: number): Lease[] {
    const expired = this.leases.expired(now);
    for (const { trial, attempt, worker } of expired) {
      this.#leave(trial, attempt, "lost", `${worker} was not heard of`, now);
    }
    return expired;
  }

  /** A worker has ended: nothing has to be waited for. */
  gone(worker: string, why: string, at: number): Lease | null {
    const lease = this.leases.ofWorker(worker);
    if (lease !== null) this.#leave(lease.trial, lease.attempt, "lost", why, at);
    return lease;
  }

  /** False: it is finished, or was never asked. */
  cancel(trial: number, reason: string, at: number): boolean {
    if (!this.#options.study.open.has(trial)) return false;
    this.leases.release(trial);
    this.#end(trial, "cancelled", reason, at);
    return true;
  }

  #end(trial: number, state: "failed" | "cancelled", reason: string, at: number): void {
    this.#options.record({ event: "ended", at, trial, state, reason: reason.slice(0, REASON_MAX) });
    this.#suggester.finished(trial);
  }
}

export type Attempted = Pick<AttemptEnd, "trial" | "attempt" | "token" | "worker">;

/** The same for every attempt of a trial. */
export const seedOf = (seed: number, trial: number): number => random(seed, "trial", trial).word();
