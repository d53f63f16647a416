/**
 * A worker process of `dmn train-export`. It is given units and says what comes of them
 * (train-pool.ts has the other end). It reads the features itself, ignores Ctrl-C (its parent
 * passes it on as "stop", so that a checkpoint is written), and ends at once when its parent is
 * gone.
 */
import { systemClock } from "../base/clock.ts";
import { Interrupted, UserError } from "../base/error.ts";
import type { SequenceSource } from "../dataset/sequence.ts";
import type { Settings } from "../nn/hyperparameter.ts";
import { readManifest } from "../market/store.ts";
import type { Plan, Unit } from "./train-plan.ts";
import { bindTrainable, readSource } from "./train-source.ts";
import { runUnit, type UnitEpoch } from "./train-unit.ts";

export interface WorkerTask {
  readonly root: string;
  readonly name: string;
  readonly plan: Plan;
  readonly codeVersion: string;
}

/** To the worker: what the training is, one fit of it, or to stop at the next step. */
export type WorkerQuestion =
  | { readonly kind: "task"; readonly task: WorkerTask }
  | { readonly kind: "unit"; readonly unit: Unit; readonly settings: Settings }
  | { readonly kind: "stop" };

export type WorkerAnswer =
  | { readonly kind: "epoch"; readonly unit: Unit; readonly row: UnitEpoch }
  | { readonly kind: "done"; readonly unit: Unit }
  | { readonly kind: "stopped" }
  | { readonly kind: "refused"; readonly problem: string; readonly hint: string }
  | { readonly kind: "failed"; readonly stack: string };

async function open({ root, plan }: WorkerTask): Promise<SequenceSource> {
  const { dataset, recipe } = plan.request;
  const manifest = readManifest(root, dataset);
  const trainable = await bindTrainable(root, manifest, recipe, plan.features);
  if (manifest.fingerprint !== plan.fingerprint || trainable.panel.hash !== plan.recipeHash) {
    throw new UserError(`dataset "${dataset}" or recipe "${recipe}" changed while networks were trained`,
      "run the same command again: it says what changed");
  }
  return readSource(trainable, root, recipe);
}

function serve(say: (answer: WorkerAnswer) => void): void {
  const stopping = new AbortController();
  let task: WorkerTask | null = null, source: Promise<SequenceSource> | null = null;
  let isBusy = false;
  const work = async (unit: Unit, settings: Settings): Promise<void> => {
    isBusy = true;
    try {
      source ??= open(task!);
      await runUnit({ ...task!, unit, settings, source: await source, clock: systemClock,
        signal: stopping.signal, onEpoch: (row) => { say({ kind: "epoch", unit, row }); } });
    } finally { isBusy = false; }
    say({ kind: "done", unit });
  };
  process.on("message", (question: WorkerQuestion) => {
    if (question.kind === "task") task = question.task;
    if (question.kind === "stop") {
      stopping.abort();
      if (!isBusy) process.exit(0);
    }
    if (question.kind !== "unit") return;
    work(question.unit, question.settings).catch((error: unknown) => { say(answerOf(error)); });
  });
}

function answerOf(error: unknown): WorkerAnswer {
  if (error instanceof Interrupted) return { kind: "stopped" };
  if (error instanceof UserError) return { kind: "refused", problem: error.problem, hint: error.hint };
  return { kind: "failed", stack: error instanceof Error ? error.stack ?? error.message : String(error) };
}

if (process.send !== undefined) {
  const send = process.send.bind(process) as (answer: WorkerAnswer) => boolean;
  process.on("SIGINT", () => { /* the parent has it too, and says what to do */ });
  process.on("disconnect", () => { process.exit(0); });
  serve((answer) => { if (process.connected) send(answer); });
}
