/**
 * A worker thread of `dmn features`. It is asked for instruments and answers with pieces; each
 * piece waits for leave, so that no more than a few are in memory (features-pool.ts has the other
 * end).
 */
import { parentPort, workerData } from "node:worker_threads";
import { assert } from "../base/assert.ts";
import { UserError } from "../base/error.ts";
import { readManifest } from "../market/store.ts";
import { bindTo, featurePieces, type InstrumentSummary, type RowRange } from "./feature-pieces.ts";

export interface WorkerTask {
  readonly root: string;
  readonly dataset: string;
  readonly fingerprint: string;
  readonly recipe: string;
  readonly hash: string;
  readonly range: RowRange;
}

/** To the worker: compute an instrument, or go on with the next piece. */
export type WorkerQuestion = { readonly symbol: string } | { readonly more: true };

export type WorkerAnswer =
  | { readonly kind: "piece"; readonly bytes: Uint8Array }
  | { readonly kind: "done"; readonly summary: InstrumentSummary }
  | { readonly kind: "refused"; readonly problem: string; readonly hint: string }
  | { readonly kind: "failed"; readonly stack: string };

/** A thread can be ended at any moment from outside. */
const neverPause = async (): Promise<void> => {};

async function work(port: NonNullable<typeof parentPort>, task: WorkerTask): Promise<void> {
  const manifest = readManifest(task.root, task.dataset);
  const panel = await bindTo(task.root, manifest, task.recipe);
  if (manifest.fingerprint !== task.fingerprint || panel.hash !== task.hash) {
    throw new UserError(
      `dataset "${task.dataset}" or recipe "${task.recipe}" changed while features were computed`,
      "run the same command again");
  }
  const questions: WorkerQuestion[] = [];
  let wake = (): void => {};
  port.on("message", (question: WorkerQuestion) => { questions.push(question); wake(); });
  const next = async (): Promise<WorkerQuestion> => {
    while (questions.length === 0) await new Promise<void>((resolve) => { wake = resolve; });
    return questions.shift()!;
  };
  const say = (answer: WorkerAnswer, transfer: ArrayBuffer[] = []): void => {
    port.postMessage(answer, transfer);
  };
  for (;;) {
    const question = await next();
    assert("symbol" in question, "an instrument is asked for");
    const { root, range } = task;
    const pieces = featurePieces(root, manifest, panel, question.symbol, range, neverPause);
    for (;;) {
      const piece = await pieces.next();
      if (piece.done === true) { say({ kind: "done", summary: piece.value }); break; }
      say({ kind: "piece", bytes: piece.value }, [piece.value.buffer as ArrayBuffer]);
      await next();
    }
  }
}

if (parentPort !== null) {
  const port = parentPort;
  work(port, workerData as WorkerTask).catch((error: unknown) => {
    const stack = error instanceof Error ? error.stack ?? error.message : String(error);
    const answer: WorkerAnswer = error instanceof UserError
      ? { kind: "refused", problem: error.problem, hint: error.hint } : { kind: "failed", stack };
    port.postMessage(answer);
  });
}
