/**
 * From a file to launches and packed weights: half a second of work for a large network, done in a thread of
 * its own, so that the models that answer meanwhile go on without a pause.
 *
 *   Preparer ── file, requests ──> prepare-worker.ts: readNetwork, planModel, pack ──> lists, weights (moved)
 */
import { createHash } from "node:crypto";
import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import { assert } from "../../../base/assert.ts";
import { UserError } from "../../../base/error.ts";
import { lowerNetwork } from "./lower-network.ts";
import type { NetworkFile } from "./models.ts";
import { readNetwork } from "./network.ts";
import { featuresOf, planModel, type LowerNetwork, type ModelPlan, type PlanRequest } from "./plan.ts";

/** What the engine must know of a network to check what it is fed. */
export interface NetworkFacts {
  readonly name: string;
  readonly F: number;
  /** Shapes of open sizes "B" and "T". */
  readonly inputs: readonly { readonly name: string; readonly shape: readonly (number | string)[] }[];
}

/** What a weight buffer holds; `hash` is the bytes', for buckets whose kernels read the same. */
export interface Weight { readonly hash: string; readonly bytes: Uint8Array }

/** A bucket's plan with its weights. */
export interface Prepared {
  readonly plan: Omit<ModelPlan, "pack">;
  readonly weights: ReadonlyMap<string, Weight>;
}

export interface PreparedNetwork {
  readonly network: NetworkFacts;
  readonly buckets: readonly Prepared[];
}

/** Does it here and now. UserError when the file is none of ours. */
export function prepareNetwork(file: NetworkFile, requests: readonly PlanRequest[],
  lower: LowerNetwork = lowerNetwork): PreparedNetwork {
  const network = readNetwork(file.bytes, file.name), { inputs } = network.graph;
  return {
    network: { name: network.name, F: featuresOf(network),
      inputs: inputs.map(({ name, tensor }) => ({ name, shape: tensor.shape })) },
    buckets: requests.map((request) => {
      const made = planModel(network, request, lower), { B, list, mapped, inputs: fed, outputs, ring } = made;
      const plan = { B, list, mapped, inputs: fed, outputs, ring, completions: made.completions };
      const weights = [...made.pack()].map(([buffer, bytes]) =>
        [buffer, { bytes, hash: createHash("sha256").update(bytes).digest("hex") }] as const);
      return { plan, weights: new Map(weights) };
    }),
  };
}

/** What the thread is told, and what it answers. */
export interface Task {
  readonly id: number;
  readonly file: NetworkFile;
  readonly requests: readonly PlanRequest[];
}
export type Outcome = { readonly id: number } & ({ readonly made: PreparedNetwork }
  | { readonly refused: { readonly problem: string; readonly hint: string } } | { readonly broken: string });

/** What is copied at once while others wait: a fraction of a millisecond. */
export const PIECE_BYTES = 1 << 20;
export const nextTurn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve); });

interface Waiting {
  readonly resolve: (made: PreparedNetwork) => void;
  readonly reject: (error: unknown) => void;
}

/** One thread, started when it is first needed; idle it does not keep the process alive. */
export class Preparer {
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | null = null;
  #count = 0;

  /** UserError when the file is none of ours. */
  async prepare({ name, bytes }: NetworkFile, requests: readonly PlanRequest[]): Promise<PreparedNetwork> {
    const worker = this.#worker ??= this.#open(), id = this.#count++;
    worker.ref();
    // A copy in memory that both threads see, made in pieces: others have their turns between them.
    const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      shared.set(bytes.subarray(at, at + PIECE_BYTES), at);
      await nextTurn();
    }
    const file = { name, bytes: shared };
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      const task: Task = { id, file, requests };
      worker.postMessage(task, []);
    });
  }

  #open(): Worker {
    const worker = new Worker(new URL(`./prepare-worker${extname(import.meta.filename)}`, import.meta.url));
    worker.on("message", (outcome: Outcome) => { this.#hear(outcome); });
    worker.on("error", (error) => {
      this.#worker = null;
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
    });
    return worker;
  }

  #hear(outcome: Outcome): void {
    const waiting = this.#waiting.get(outcome.id);
    assert(waiting !== undefined, "the thread answers what it was asked");
    this.#waiting.delete(outcome.id);
    if (this.#waiting.size === 0) this.#worker?.unref();
    if ("made" in outcome) waiting.resolve(outcome.made);
    else if ("refused" in outcome) {
      waiting.reject(new UserError(outcome.refused.problem, outcome.refused.hint));
    } else waiting.reject(new Error(outcome.broken));
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
    this.#worker = null;
  }
}
