/**
 * Fits over worker processes, one at a time each: a fit blocks its thread, and what one of them
 * breaks (memory, a native fault) is its own process.
 *
 *   next() ──> unit ──> worker 0 ─┐
 *                   ──> worker 1 ─┼──> epochs, done(unit) ──> next() ... until none is left
 *
 * When the signal aborts, each worker writes a checkpoint and ends; one that does not within
 * STOP_MS is killed. A worker whose parent is gone ends by itself.
 */
import { fork, type ChildProcess } from "node:child_process";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { UserError } from "../base/error.ts";
import type { Settings } from "../nn/hyperparameter.ts";
import type { Unit } from "./train-plan.ts";
import type { UnitEpoch } from "./train-unit.ts";
import type { WorkerAnswer, WorkerQuestion, WorkerTask } from "./train-worker.ts";

/** Longest wait for checkpoints after Ctrl-C. */
const STOP_MS = 20_000;

export interface PoolJob {
  readonly task: WorkerTask;
  readonly workers: number;
  readonly signal: AbortSignal;
  /** The next fit; null when none is ready now. Asked again whenever one is done. */
  next(): { readonly unit: Unit; readonly settings: Settings } | null;
  onEpoch(unit: Unit, row: UnitEpoch): void;
  done(unit: Unit): void;
}

/**
 * Runs until nothing is left. Throws what a worker refused or the signal's reason; no worker
 * outlives the call.
 */
export async function runUnits(job: PoolJob): Promise<void> {
  const busy = new Map<ChildProcess, Unit>(), idle: ChildProcess[] = [], all: ChildProcess[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let isOver = false;
  const assign = (): void => {
    for (;;) {
      const isFull = idle.length === 0 && all.length === job.workers;
      const given = isFull || isOver ? null : job.next();
      if (given === null) break;
      const worker = idle.pop() ?? open();
      busy.set(worker, given.unit);
      ask(worker, { kind: "unit", ...given });
    }
    if (busy.size === 0) resolve();
  };
  const open = (): ChildProcess => {
    const worker = startWorker();
    all.push(worker);
    worker.on("message", (answer: WorkerAnswer) => {
      try {
        if (answer.kind !== "done") { hear(job, answer); return; }
        busy.delete(worker);
        idle.push(worker);
        job.done(answer.unit);
        assign();
      } catch (error) { reject(error); }
    });
    worker.on("error", reject);
    worker.on("exit", (code, signal) => { if (busy.has(worker)) reject(lost(code, signal)); });
    ask(worker, { kind: "task", task: job.task });
    return worker;
  };
  const stop = (): void => { reject(job.signal.reason); };
  job.signal.addEventListener("abort", stop);
  try {
    job.signal.throwIfAborted();
    assign();
    await promise;
  } finally {
    isOver = true;
    job.signal.removeEventListener("abort", stop);
    await Promise.all(all.map((worker) => end(worker)));
  }
}

/**
 * A fit waits for native code, so a small heap costs it no time: 65 MiB less of 290. And glibc shall
 * give large blocks back when they are freed, not raise this bound: 30 MiB less after some fits.
 */
export const SMALL_HEAP = ["--optimize-for-size"];
export const SMALL_LEFTOVERS = { MALLOC_MMAP_THRESHOLD_: String(1 << 20) };

function startWorker(): ChildProcess {
  const place = new URL(`./train-worker${extname(import.meta.filename)}`, import.meta.url);
  const stdio = ["ignore", "ignore", "inherit", "ipc"] as const;
  return fork(fileURLToPath(place), [], { stdio: [...stdio], execArgv: SMALL_HEAP,
    env: { ...process.env, ...SMALL_LEFTOVERS } });
}

function ask(worker: ChildProcess, question: WorkerQuestion): void {
  if (worker.connected) worker.send(question, () => { /* a worker that is gone is heard of by its exit */ });
}

function hear(job: PoolJob, answer: WorkerAnswer): void {
  if (answer.kind === "refused") throw new UserError(answer.problem, answer.hint);
  if (answer.kind === "failed") throw new Error(`a training worker failed: ${answer.stack}`);
  if (answer.kind === "epoch") job.onEpoch(answer.unit, answer.row);
}

function lost(code: number | null, signal: string | null): Error {
  if (signal === "SIGKILL" || signal === "SIGTERM") {
    return new UserError(`a training worker was ended from outside (${signal}); what it had finished is kept`,
      "if the machine ran out of memory, use fewer: --workers 1; the same command goes on");
  }
  return new Error(`a training worker ended with ${signal ?? `code ${code}`}`);
}

/** Lets a worker write its checkpoint and end. */
async function end(worker: ChildProcess): Promise<void> {
  if (worker.exitCode !== null || worker.signalCode !== null) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  worker.on("exit", () => { resolve(); });
  worker.on("message", (answer: WorkerAnswer) => {
    if (answer.kind !== "epoch" && worker.connected) worker.disconnect();
  });
  ask(worker, { kind: "stop" });
  const timer = setTimeout(() => { worker.kill("SIGKILL"); }, STOP_MS);
  await promise;
  clearTimeout(timer);
}
