/**
 * The worker's side of a study: takes trials, runs them, tells.
 *
 *   hello -> prepare -> ( ask -> run { report* } -> tell )* -> "no more work"
 *
 * A coordinator that dies is waited for: a trial runs on meanwhile, and its report or result is said to
 * whoever opens the study again. A worker that is to stop lets its trial write a checkpoint, gives it back,
 * and ends.
 */
import { assert } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import { messageOf, UserError } from "../base/error.ts";
import type { Assignment, Attempted, AttemptEnd } from "./conductor.ts";
import { say, sayAll, type Said } from "./events.ts";
import type { WorkerKeys } from "./keys.ts";
import { connect, type Line } from "./line.ts";
import type { Point } from "./space.ts";
import type { Terms } from "./study.ts";

/** One attempt of a trial, as the objective is given it. */
export interface TrialWork {
  readonly number: number;
  /** From 0. */
  readonly attempt: number;
  readonly point: Point;
  /** Trial whose end this one begins from, or null. */
  readonly parent: number | null;
  readonly seed: number;
  /** Aborts when the worker is to stop: write a checkpoint within 3 s and throw the signal's reason. */
  readonly signal: AbortSignal;
  /** Values (M) as people say them, NaN for what is not known yet. False: stop here, it is pruned. */
  report(step: number, values: ArrayLike<number>): Promise<boolean>;
}
export interface Outcome {
  /** (M) as people say them; NaN: undefined for this trial (a Sharpe without variance). */
  readonly values: ArrayLike<number>;
  /** Constraints that are not held, by name and by how much (> 0). */
  readonly violations: Readonly<Record<string, number>>;
  readonly statistics: Readonly<Record<string, number>>;
}
/**
 * Answers with the outcome, of a pruned trial as far as it came. Throws UserError for what fails again on
 * every machine; anything else that it throws fails the trial, once it has come twice.
 */
export type RunTrial = (work: TrialWork) => Promise<Outcome>;

/** What a worker is told before its first trial. */
export interface Welcome { readonly terms: Terms; readonly worker: string }
export interface WorkerOptions {
  /** tcp://HOST:5559 of the coordinator. */
  readonly address: string;
  readonly study: string;
  /** Unique among all workers of the study, ever. */
  readonly worker: string;
  /** Of its code and inputs; the study's is the same. */
  readonly version: string;
  readonly keys?: WorkerKeys | null;
  /** Once, before the first trial: loads what all trials need. */
  readonly prepare: (welcome: Welcome) => Promise<RunTrial>;
  /** Aborts on SIGTERM. */
  readonly signal: AbortSignal;
  readonly clock?: Clock;
  /** Of silence of the coordinator until the worker ends itself. */
  readonly patienceMs?: number;
  /** Of one question, until it is asked again and people are told that nobody answers. */
  readonly deadlineMs?: number;
  readonly say?: (text: string) => void;
  /** What people should see at once. */
  readonly warn?: (text: string) => void;
}
export interface WorkerEnd {
  /** Told. */
  readonly trials: number;
  /** over: there is no more work; stopped: it was asked to stop, and gave back what it had. */
  readonly why: "over" | "stopped";
}

/** Longer than the coordinator holds a question for work. */
const WORK_DEADLINE_MS = 8_000;
/** From the signal on: until the trial has written its checkpoint, and until the coordinator knows. */
const CHECKPOINT_MS = 3_000, GIVE_BACK_MS = 1_500;

/** Of a disk that takes nothing. */
const DISK_CODES = ["ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EFBIG"];

/** The attempt is not ours any more: another one has told, or it was cancelled. */
class Dropped extends Error { override readonly name = "Dropped"; }

/**
 * Takes trials until there are none, through deaths of the coordinator. Throws UserError for another version,
 * a wrong token, another study, and a coordinator that is gone for longer than `patienceMs`.
 */
export async function runWorker(options: WorkerOptions): Promise<WorkerEnd> {
  await using line = await connect(options);
  const { worker, study, version, prepare, signal } = options;
  if (signal.aborted) return { trials: 0, why: "stopped" };
  const welcome = await line.ask({ ask: "hello", version });
  if (welcome === null) return { trials: 0, why: "stopped" };
  assert(welcome.reply === "welcome", `a greeting is answered by a welcome to ${study}`);
  line.beatEvery(welcome.beatMs);
  const run = await prepare({ terms: welcome.terms, worker });
  for (let trials = 0; ;) {
    const reply = await line.ask({ ask: "work" }, WORK_DEADLINE_MS);
    if (reply === null) return { trials, why: "stopped" };
    if (reply.reply === "over") return { trials, why: "over" };
    if (reply.reply === "work" && await runTrial(line, run, reply.work, welcome.terms)) trials++;
  }
}

/** One attempt, from its assignment to the coordinator's acknowledgement. False: it was not told. */
async function runTrial(line: Line, run: RunTrial, work: Assignment, terms: Terms): Promise<boolean> {
  const { trial, attempt, token, point, parent, seed } = work;
  const of: Attempted = { trial, attempt, token, worker: line.worker };
  const M = terms.objectives.length, dropping = new AbortController();
  const signal = AbortSignal.any([line.stopping, dropping.signal]);
  line.running = { of, drop: () => { dropping.abort(new Dropped("the trial is not ours any more")); } };
  line.log(`trial ${trial}, attempt ${attempt} begins`);
  const report: TrialWork["report"] = async (step, values) => {
    signal.throwIfAborted();
    assert(values.length === M, `${values.length} values were reported for ${M} objectives`);
    const reply = await line.ask({ ask: "report", of, step, values: sayAll(values) }, undefined, signal);
    signal.throwIfAborted();
    if (reply?.reply === "decided" && reply.goesOn !== null) return reply.goesOn;
    line.running?.drop();
    throw signal.reason;
  };
  let broken: Error | null = null;
  const watched: RunTrial = (one) => run(one).catch((error: unknown) => {
    if (isMachines(error)) broken = error;
    throw error;
  });
  const end = await endOf({ run: watched, signal, M, of, work:
    { number: trial, attempt, point, parent, seed, signal, report } });
  line.running = null;
  if (end === null) { line.log(`trial ${trial} was dropped`); return false; }
  using limit = soonAfter(line.stopping, GIVE_BACK_MS);
  const reply = await line.ask({ ask: "tell", end }, undefined, limit.signal);
  line.log(`trial ${trial}: ${end.how}${end.reason === "" ? "" : `, ${end.reason}`}`);
  // Another trial would fare no better here.
  if (broken !== null) throw broken as Error;
  return reply !== null && end.how !== "returned";
}

/** A full disk is no trial's fault: it is given back, and the worker ends with what is to be done. */
const isMachines = (error: unknown): error is UserError => error instanceof UserError
  && DISK_CODES.includes((error.cause as NodeJS.ErrnoException | undefined)?.code ?? "");

interface Attempting {
  readonly run: RunTrial;
  readonly signal: AbortSignal;
  readonly M: number;
  readonly of: Attempted;
  readonly work: TrialWork;
}

/** How the attempt ended, as the coordinator is told; null: it need not know. */
async function endOf({ run, signal, M, of, work }: Attempting): Promise<AttemptEnd | null> {
  const none = { ...of, values: [], violations: {}, statistics: {} };
  try {
    const outcome = await withinCheckpoint(run(work), signal);
    const { values, violations, statistics } = checked(outcome, M);
    return { ...of, how: "done", reason: "", values: sayAll(values), violations: sayEach(violations),
      statistics: sayEach(statistics) };
  } catch (error) {
    if (signal.reason instanceof Dropped) return null;
    if (signal.aborted) return { ...none, how: "returned", reason: messageOf(signal.reason) };
    if (error instanceof UserError) {
      return { ...none, how: isMachines(error) ? "returned" : "failed", reason: error.problem };
    }
    return { ...none, how: "erred", reason: messageOf(error) };
  }
}

/** Of a person's own file, it may be anything. */
function checked(outcome: Partial<Outcome> | undefined, M: number): Outcome {
  const { values, violations = {}, statistics = {} } = outcome ?? {};
  if (values?.length === M) return { values, violations, statistics };
  throw new UserError(`the objective returned ${values?.length ?? "no"} values for ${M} objectives`,
    "return { values, violations, statistics }");
}

const sayEach = (numbers: Readonly<Record<string, number>>): Record<string, Said> =>
  Object.fromEntries(Object.entries(numbers).map(([name, value]) => [name, say(value)]));

/** What does not end in time after the signal is left alone: the process is about to end. */
async function withinCheckpoint<T>(running: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  let timer: NodeJS.Timeout | undefined;
  const hear = (): void => { timer = setTimeout(() => { reject(signal.reason as Error); }, CHECKPOINT_MS); };
  if (signal.aborted) hear(); else signal.addEventListener("abort", hear, { once: true });
  running.catch(() => undefined);
  try { return await Promise.race([running, promise]); } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", hear);
  }
}

/** Aborts `ms` after the other one. */
function soonAfter(other: AbortSignal, ms: number): Disposable & { readonly signal: AbortSignal } {
  const later = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const hear = (): void => { timer = setTimeout(() => { later.abort(other.reason); }, ms); };
  if (other.aborted) hear(); else other.addEventListener("abort", hear);
  return { signal: later.signal, [Symbol.dispose]() {
    clearTimeout(timer);
    other.removeEventListener("abort", hear);
  } };
}
