/**
 * Instruments over worker threads, results in the order asked for, memory bounded.
 *
 *   symbols ──> worker 0 ─┐
 *           ──> worker 1 ─┼──> pieces, kept until their turn ──> write(symbol, piece)
 *
 * A worker makes its next piece only when the last one was written, or may wait: at most
 * WAITING_BYTES of pieces wait, and workers run at most AHEAD instruments each ahead of the one
 * being written. That one never waits.
 */
import { extname } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { UserError } from "../base/error.ts";
import type { Manifest } from "../market/store.ts";
import type { Panel } from "../features/panel.ts";
import { featurePieces, type InstrumentSummary, type RowRange } from "./feature-pieces.ts";
import type { WorkerAnswer, WorkerQuestion, WorkerTask } from "./features-worker.ts";

const WAITING_BYTES = 64 << 20;
const AHEAD = 8;

export interface PoolJob {
  readonly root: string;
  readonly manifest: Manifest;
  /** As the user named it: workers read it again. */
  readonly recipe: string;
  readonly panel: Panel;
  readonly symbols: readonly string[];
  readonly range: RowRange;
  readonly workers: number;
  readonly signal: AbortSignal;
  write(symbol: string, piece: Uint8Array): void;
  done(summary: InstrumentSummary): void;
}

/** Computes and hands over all instruments. Throws what a worker threw, or the signal's reason. */
export async function computePieces(job: PoolJob): Promise<void> {
  if (job.workers > 1) { await new Pool(job).run(); return; }
  // Computing never waits for anything: without this turn no signal and no progress would be seen.
  const pause = async (): Promise<void> => { await turn(); job.signal.throwIfAborted(); };
  for (const symbol of job.symbols) {
    await pause();
    const pieces = featurePieces(job.root, job.manifest, job.panel, symbol, job.range, pause);
    for (;;) {
      const piece = await pieces.next();
      if (piece.done === true) { job.done(piece.value); break; }
      job.write(symbol, piece.value);
    }
  }
}

/** An instrument in work. */
interface Turn {
  readonly symbol: string;
  readonly worker: Worker;
  readonly pieces: Uint8Array[];
  summary: InstrumentSummary | null;
  /** Its worker waits for leave to make the next piece. */
  isHeld: boolean;
}

class Pool {
  readonly #job: PoolJob;
  readonly #turns = new Map<number, Turn>();
  #next = 0;
  #writing = 0;
  #waitingBytes = 0;
  readonly #idle: Worker[] = [];

  constructor(job: PoolJob) { this.#job = job; }

  async run(): Promise<void> {
    const job = this.#job, threads: Worker[] = [];
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const stop = (): void => { reject(job.signal.reason); };
    job.signal.addEventListener("abort", stop);
    try {
      job.signal.throwIfAborted();
      for (let k = 0; k < Math.min(job.workers, job.symbols.length); k++) {
        const worker = this.#open();
        threads.push(worker);
        worker.on("error", reject);
        worker.on("message", (answer: WorkerAnswer) => {
          try { if (this.#hear(worker, answer)) resolve(); } catch (error) { reject(error); }
        });
        this.#idle.push(worker);
      }
      this.#assign();
      await promise;
    } finally {
      job.signal.removeEventListener("abort", stop);
      await Promise.all(threads.map((worker) => worker.terminate()));
    }
  }

  #open(): Worker {
    const { root, manifest, recipe, panel, range } = this.#job;
    const { dataset, fingerprint } = manifest;
    const task: WorkerTask = { root, dataset, fingerprint, recipe, hash: panel.hash, range };
    const place = new URL(`./features-worker${extname(import.meta.filename)}`, import.meta.url);
    return new Worker(place, { workerData: task });
  }

  #assign(): void {
    const { symbols, workers } = this.#job;
    const end = Math.min(symbols.length, this.#writing + workers * AHEAD);
    while (this.#idle.length > 0 && this.#next < end) {
      const worker = this.#idle.pop()!, symbol = symbols[this.#next];
      this.#turns.set(this.#next++, { symbol, worker, pieces: [], summary: null, isHeld: false });
      this.#ask(worker, { symbol });
    }
  }

  #ask(worker: Worker, question: WorkerQuestion): void { worker.postMessage(question, []); }

  /** Takes in what a worker says; true when all instruments are written. */
  #hear(worker: Worker, answer: WorkerAnswer): boolean {
    if (answer.kind === "refused") throw new UserError(answer.problem, answer.hint);
    if (answer.kind === "failed") throw new Error(`a worker thread failed: ${answer.stack}`);
    const turn = [...this.#turns.values()]
      .find((one) => one.worker === worker && one.summary === null)!;
    if (answer.kind === "piece") {
      turn.pieces.push(answer.bytes);
      turn.isHeld = true;
      this.#waitingBytes += answer.bytes.length;
    } else {
      turn.summary = answer.summary;
      this.#idle.push(worker);
    }
    this.#writeTurns();
    for (const one of this.#turns.values()) {
      if (!one.isHeld || (one.pieces.length > 0 && this.#waitingBytes > WAITING_BYTES)) continue;
      one.isHeld = false;
      this.#ask(one.worker, { more: true });
    }
    this.#assign();
    return this.#writing === this.#job.symbols.length;
  }

  /**
   * Writes what has its turn: all pieces of the first instrument, and of those behind it once it is
   * done.
   */
  #writeTurns(): void {
    for (;;) {
      const turn = this.#turns.get(this.#writing);
      if (turn === undefined) return;
      for (const piece of turn.pieces.splice(0)) {
        this.#job.write(turn.symbol, piece);
        this.#waitingBytes -= piece.length;
      }
      if (turn.summary === null) return;
      this.#job.done(turn.summary);
      this.#turns.delete(this.#writing++);
    }
  }
}
