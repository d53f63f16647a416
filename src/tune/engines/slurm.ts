/**
 * Workers as batch jobs of Slurm, through slurmrestd (slurm-rest.ts) or sbatch, squeue and scancel
 * (slurm-commands.ts). Slurm hands out no files: the installation and the data root are in a folder that all
 * nodes see, and so are the workers' logs.
 *
 *   one job is one worker      its name is the worker's id, its comment "dmn_study=NAME"
 *   --requeue                  after a lost node or a preemption the job runs again, under the same id
 *   --signal=B:TERM@GRACE      a worker hears of its time limit before it is there; at the limit, and when it
 *                              is cancelled, Slurm sends SIGTERM anyway and SIGKILL after its KillWait
 *   secrets                    the job's environment: no command line, and no script that others may read
 */
import * as path from "node:path";
import { UserError } from "../../base/error.ts";
import { makeFolder, readTail } from "../../base/file.ts";
import type { Engine, PlacedWorker, WorkerAsk } from "./engine.ts";
import { shellLine, withoutSecrets } from "./request.ts";
import { slurmCommands } from "./slurm-commands.ts";
import { slurmRest } from "./slurm-rest.ts";

export interface SlurmOptions {
  readonly study: string;
  /** slurmrestd: "unix:/run/slurmrestd.sock" or "http://host:6820"; null: sbatch and its siblings. */
  readonly rest: string | null;
  /** Seen by all nodes under this path; logs are written there. */
  readonly folder: string;
  readonly partition?: string;
  readonly account?: string;
  /** Of one worker; the partition's own limit when it is not said. */
  readonly timeLimitMinutes?: number;
  /** From SIGTERM to the time limit. */
  readonly stopGraceSeconds?: number;
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

/** What is submitted, of either way. */
export interface SlurmTask {
  readonly name: string;
  readonly comment: string;
  readonly script: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly folder: string;
  readonly output: string;
  readonly cpus: number;
  readonly gpus: number;
  readonly memoryMiB: number | null;
  readonly partition: string | undefined;
  readonly account: string | undefined;
  readonly timeLimitMinutes: number | undefined;
  readonly graceSeconds: number;
}
/** What is read of a job, of either way. */
export interface SlurmJob {
  readonly jobId: string;
  readonly name: string;
  readonly comment: string;
  /** The first one is what the job is: "RUNNING"; others are flags of it. */
  readonly state: string;
  readonly node: string;
  readonly reason: string;
}
export interface SlurmDoor {
  /** Answers with Slurm's id. UserError for what asking again will not mend, NoAnswer for the rest. */
  submit(task: SlurmTask): Promise<string>;
  jobs(): Promise<readonly SlurmJob[]>;
  /** False: it had ended already. */
  cancel(jobId: string): Promise<boolean>;
}

const STOP_GRACE_SECONDS = 30;
const LOG_BYTES = 20_000;

/** Throws UserError where there is no Slurm, or where it does not know us. */
export async function openSlurm(options: SlurmOptions): Promise<Engine> {
  const { environment = process.env } = options;
  const door = options.rest === null ? await slurmCommands() : await slurmRest(options.rest, environment);
  return new Slurm(options, door);
}

class Slurm implements Engine {
  readonly name = "slurm";
  readonly #options: SlurmOptions;
  readonly #door: SlurmDoor;
  /** Slurm's ids by ours; of jobs that Slurm has forgotten too, so that none is placed twice. */
  readonly #jobIds = new Map<string, string>();
  readonly #asked = new Set<string>();
  readonly #secrets = new Set<string>();

  constructor(options: SlurmOptions, door: SlurmDoor) {
    this.#options = options;
    this.#door = door;
  }

  capacity(): Promise<null> { return Promise.resolve(null); }

  async submit(ask: WorkerAsk): Promise<void> {
    const { study, folder, partition, account, timeLimitMinutes } = this.#options;
    if (!Number.isInteger(ask.gpus)) {
      throw new UserError(`Slurm gives whole GPUs, not ${ask.gpus} of one`,
        "ask for a whole number of GPUs per worker, or for none");
    }
    // A first try that nobody answered may have arrived.
    if (this.#asked.has(ask.id)) await this.list();
    this.#asked.add(ask.id);
    if (this.#jobIds.has(ask.id)) return;
    for (const value of Object.values(ask.environment)) this.#secrets.add(value);
    makeFolder(this.#logs());
    this.#jobIds.set(ask.id, await this.#door.submit({
      name: ask.id, comment: commentOf(study), environment: ask.environment,
      script: `#!/bin/sh\nexec ${shellLine(ask.command)}\n`,
      folder, output: this.#log(ask.id), cpus: Math.max(1, Math.ceil(ask.cpus)), gpus: ask.gpus,
      memoryMiB: ask.memoryBytes === null ? null : Math.ceil(ask.memoryBytes / (1 << 20)),
      partition, account, timeLimitMinutes,
      graceSeconds: this.#options.stopGraceSeconds ?? STOP_GRACE_SECONDS,
    }));
  }

  async list(): Promise<readonly PlacedWorker[]> {
    const jobs = (await this.#door.jobs()).filter(({ comment }) =>
      comment === commentOf(this.#options.study));
    for (const { name, jobId } of jobs) this.#jobIds.set(name, jobId);
    return jobs.map(({ name, state, node, reason }) => ({ id: name, state: stateOf(state),
      node: node === "" ? null : node,
      reason: stateOf(state) === "running" ? "" : [state, reason].filter((word) =>
        word !== "" && word !== "None").join(": ") }));
  }

  async stop(id: string): Promise<boolean> {
    const worker = (await this.list()).find((placed) => placed.id === id), jobId = this.#jobIds.get(id);
    const isOver = worker !== undefined && worker.state !== "pending" && worker.state !== "running";
    return jobId === undefined || isOver ? false : await this.#door.cancel(jobId);
  }

  logs(id: string): Promise<string> {
    // None where it has not begun, or its node has not written it yet.
    const text = readTail(this.#log(id), LOG_BYTES);
    return Promise.resolve(withoutSecrets(text, [...this.#secrets], LOG_BYTES));
  }

  async [Symbol.asyncDispose](): Promise<void> { /* no connection is kept */ }

  #logs(): string { return path.join(this.#options.folder, "workers"); }
  #log(id: string): string { return path.join(this.#logs(), `${id}.log`); }
}

const commentOf = (study: string): string => `dmn_study=${study}`;

/** Of Slurm's job states, of all versions; a requeued job waits again, a job over its time is no failure. */
const STATES: Readonly<Record<string, PlacedWorker["state"] | undefined>> = {
  PENDING: "pending", CONFIGURING: "pending", REQUEUED: "pending", REQUEUE_HOLD: "pending",
  REQUEUE_FED: "pending", SPECIAL_EXIT: "pending", RESV_DEL_HOLD: "pending", SUSPENDED: "pending",
  RUNNING: "running", COMPLETING: "running", RESIZING: "running", SIGNALING: "running",
  STAGE_OUT: "running", STOPPED: "running",
  COMPLETED: "ended", CANCELLED: "ended", TIMEOUT: "ended", PREEMPTED: "ended", REVOKED: "ended",
  FAILED: "failed", NODE_FAIL: "failed", OUT_OF_MEMORY: "failed", BOOT_FAIL: "failed",
  DEADLINE: "unplaced",
};
const stateOf = (state: string): PlacedWorker["state"] => STATES[state] ?? "pending";
