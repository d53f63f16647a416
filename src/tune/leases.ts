/**
 * Who runs what, for how long we believe it, and what becomes of a result. The journal knows attempts and
 * tokens; deadlines are of this process only: who is started again gives everybody a whole lease.
 *
 *   granted --beat--> renewed --silence--> expired -> the trial waits, and its worker, heard of again before
 *                                                     anybody else has it, goes on with the same attempt
 */
import type { Study } from "./fold.ts";

export interface Lease {
  readonly trial: number;
  readonly attempt: number;
  readonly token: number;
  readonly worker: string;
  /** Clock ms. */
  deadline: number;
}

export class Leases {
  readonly #byTrial = new Map<number, Lease>();
  readonly #byWorker = new Map<string, Lease>();
  readonly #leaseMs: number;

  constructor(leaseMs: number) { this.#leaseMs = leaseMs; }

  get count(): number { return this.#byTrial.size; }
  all(): Iterable<Lease> { return this.#byTrial.values(); }
  ofWorker(worker: string): Lease | null { return this.#byWorker.get(worker) ?? null; }
  ofTrial(trial: number): Lease | null { return this.#byTrial.get(trial) ?? null; }

  grant(trial: number, attempt: number, token: number, worker: string, now: number): Lease {
    const lease = { trial, attempt, token, worker, deadline: now + this.#leaseMs };
    this.#byTrial.set(trial, lease);
    this.#byWorker.set(worker, lease);
    return lease;
  }

  renew(lease: Lease, now: number): void { lease.deadline = now + this.#leaseMs; }

  release(trial: number): void {
    const lease = this.#byTrial.get(trial);
    if (lease === undefined) return;
    this.#byTrial.delete(trial);
    if (this.#byWorker.get(lease.worker) === lease) this.#byWorker.delete(lease.worker);
  }

  expired(now: number): Lease[] {
    return [...this.#byTrial.values()].filter(({ deadline }) => deadline < now);
  }
}

/**
 * What to make of a word about (trial, attempt, token).
 *
 *   unknown   no such attempt, or another token: not of this study
 *   repeated  its result is known already: it is acknowledged once more
 *   over      the trial has a result, or an end, without it
 *   late      the attempt was given up, and nobody else has told: taken
 *   current   it runs
 */
export type Standing = "unknown" | "repeated" | "over" | "late" | "current";
export function standingOf(study: Study, trial: number, attempt: number, token: number): Standing {
  const known = study.attemptOf(trial, attempt);
  if (known === null || known.token !== token) return "unknown";
  if (known.outcome === "running") return "current";
  if (["told", "late", "duplicate"].includes(known.outcome)) return "repeated";
  return study.isFinished(trial) ? "over" : "late";
}
