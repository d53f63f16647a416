/**
 * The writer's thread as the recorder's process sees it: batches go in, acknowledgements come out in order.
 * A disk that hangs holds up the thread; here only the count of what waits grows.
 */
import { extname } from "node:path";
import { Worker } from "node:worker_threads";
import type { Session } from "../session.ts";
import type { Retention } from "./retention.ts";
import type { Batch } from "./storage.ts";

export interface WriterTask {
  readonly root: string;
  readonly session: Session;
  readonly startedAt: number;
  readonly day: string;
  readonly retention: Retention;
}
export type WriterOrder = { readonly batch: Batch } | { readonly close: true };
export type WriterWord =
  | { readonly word: "ready"; readonly found: readonly string[] }
  | { readonly word: "refused"; readonly problem: string; readonly hint: string }
  | { readonly word: "written"; readonly refused: number }
  /** Said once; the same batch is tried again until it succeeds or the recorder stops. */
  | { readonly word: "stuck"; readonly reason: string }
  | { readonly word: "closed" };

export interface Writer { post(order: WriterOrder): void; end(): Promise<void> }

/** `hear` is called for each word; `died` when the thread has ended by a mistake of ours. */
export function startWriter(task: WriterTask, hear: (word: WriterWord) => void,
  died: (error: Error) => void): Writer {
  const worker = new Worker(new URL(`./writer-thread${extname(import.meta.filename)}`, import.meta.url),
    { workerData: task });
  worker.on("message", hear);
  worker.on("error", died);
  return {
    // The records are handed over, not copied.
    post: (order) => {
      worker.postMessage(order, "batch" in order ? [order.batch.records.buffer as ArrayBuffer] : []);
    },
    end: async () => { await worker.terminate(); },
  };
}
