/**
 * Checkpoints of one training: everything that the next step depends on, so that a resumed training
 * makes the same bits as one that was never stopped. Batches and masks are functions of (seed,
 * epoch, step), so no generator's state is among it.
 *
 *     checkpoints/epoch-0007.safetensors          after 7 epochs
 *     checkpoints/epoch-0007-step-00012.safetensors   and 12 steps of the 8th (stopped by Ctrl-C)
 *
 * The last five and the best five (by validation Sharpe) are kept. Each is written beside its place
 * and renamed.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { assert } from "../base/assert.ts";
import { UserError } from "../base/error.ts";
import { replaceWith, TEMPORARY } from "../base/file.ts";
import type { Values } from "../runtime/runtime.ts";
import { CHECKPOINT_VERSION, decodeCheckpoint, encodeCheckpoint, type Decoded }
  from "./checkpoint-file.ts";

/** One row per epoch. */
export interface HistoryRow {
  /** From 1. */
  readonly epoch: number;
  /** Mean over the epoch's steps. */
  readonly loss: number;
  /** Mean of each term, before its weight. */
  readonly terms: Readonly<Record<string, number>>;
  /** Mean over the steps that were made, before clipping. */
  readonly gradientNorm: number;
  /** Steps that changed nothing, because their gradient was not finite. */
  readonly skippedSteps: number;
  /** Diversified, gross; NaN when positions do not vary. */
  readonly validationSharpe: number;
  /** Net of costBps: what early stopping looks at. */
  readonly validationSharpeNet: number;
  /** Learning rate of the last step. */
  readonly rate: number;
  /** Validation included. */
  readonly seconds: number;
}

/** What a checkpoint belongs to; two trainings with the same identity make the same bits. */
export interface Identity {
  /** SHA-256 of architecture, settings, seed, inputs and instruments. */
  readonly settings: string;
  /** SHA-256 of the training graph's text. */
  readonly graph: string;
  /** SHA-256 of both sequence sets. */
  readonly sequences: string;
}

/** Sums over the steps of an unfinished epoch. */
export interface EpochSums {
  readonly loss: number;
  readonly terms: Readonly<Record<string, number>>;
  readonly gradientNorm: number;
  readonly skippedSteps: number;
  readonly rate: number;
  readonly seconds: number;
}

/** What training goes on from between two epochs, under whatever settings. */
export interface TrainedState {
  /** Whole epochs done. */
  readonly epoch: number;
  /** The training program's state: parameters, m, v (P), step (), ... */
  readonly state: Readonly<Record<string, Values>>;
}

export interface Checkpoint extends TrainedState {
  readonly identity: Identity;
  /** Steps done in the next one. */
  readonly step: number;
  readonly sums: EpochSums;
  readonly history: readonly HistoryRow[];
  /** Epoch of the best validation Sharpe so far; 0 before the first. */
  readonly bestEpoch: number;
  /** Parameters (P) after `bestEpoch`; null before the first. */
  readonly best: Values | null;
}

export interface CheckpointStore {
  /**
   * The newest good checkpoint; null when there is none. Damaged ones are passed over and said in
   * `notes`. UserError when it is of other settings, another graph or other sequences, or of a
   * newer version.
   */
  load(identity: Identity): Checkpoint | null;
  save(checkpoint: Checkpoint): Promise<void>;
  /** Place of the newest checkpoint, null without one. */
  newest(): string | null;
  readonly notes: readonly string[];
}

const KEEP_LAST = 5;
const KEEP_BEST = 5;
const NAME = /^epoch-(\d+)(?:-step-(\d+))?\.safetensors$/;

interface Entry { readonly file: string; readonly epoch: number; readonly step: number }

const fileName = (epoch: number, step: number): string => `epoch-${String(epoch).padStart(4, "0")}`
  + `${step > 0 ? `-step-${String(step).padStart(5, "0")}` : ""}.safetensors`;

/** Oldest first. */
function entriesOf(folder: string): Entry[] {
  if (!fs.existsSync(folder)) return [];
  return fs.readdirSync(folder).flatMap((file) => {
    const match = NAME.exec(file);
    return match === null ? [] : [{ file, epoch: Number(match[1]), step: Number(match[2] ?? 0) }];
  }).sort((a, b) => a.epoch - b.epoch || a.step - b.step);
}

/** JSON has no NaN and no Infinity; they come back as they were. */
const numbersToText = (_: string, value: unknown): unknown =>
  typeof value === "number" && !Number.isFinite(value) ? { number: String(value) } : value;
const textToNumbers = (value: unknown): unknown => {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(textToNumbers);
  const entries = Object.entries(value);
  if (entries.length === 1 && entries[0][0] === "number" && typeof entries[0][1] === "string") {
    return Number(entries[0][1]);
  }
  return Object.fromEntries(entries.map(([key, one]) => [key, textToNumbers(one)]));
};

/** Bytes of a checkpoint file. */
export function checkpointBytes({ state, best, ...said }: Checkpoint): Uint8Array {
  const tensors = Object.fromEntries(Object.entries(state)
    .map(([name, one]) => [`state/${name}`, one]));
  return encodeCheckpoint(JSON.parse(JSON.stringify(said, numbersToText)),
    best === null ? tensors : { ...tensors, "best/parameters": best });
}

function checkpointFrom(decoded: Decoded & { kind: "good" }): Checkpoint {
  const said = textToNumbers(decoded.state) as Omit<Checkpoint, "state" | "best">;
  const state = Object.entries(decoded.tensors).filter(([name]) => name.startsWith("state/"))
    .map(([name, one]) => [name.slice("state/".length), one] as const);
  return { ...said, state: Object.fromEntries(state),
    best: decoded.tensors["best/parameters"] ?? null };
}

/**
 * What a checkpoint file says, whatever training it is of: a state to start another one from.
 * UserError for a file that is damaged, of a newer version, or of an unfinished epoch.
 */
export function readState(place: string): TrainedState {
  const decoded = decodeCheckpoint(fs.readFileSync(place));
  if (decoded.kind === "newer") throw newer(place, decoded.version);
  if (decoded.kind === "damaged") {
    throw new UserError(`${place} is damaged: ${decoded.reason}`, "start from another checkpoint");
  }
  const { epoch, step, state } = checkpointFrom(decoded);
  if (step > 0) {
    throw new UserError(`${place} stands in the middle of an epoch, and nothing starts from there`,
      `start from ${fileName(epoch, 0)}, or finish the epoch first: dmn train-export --resume ...`);
  }
  return { epoch, state };
}

const newer = (place: string, version: number): UserError => new UserError(
  `${place} was written by a newer dmn (version ${version}, this one reads ${CHECKPOINT_VERSION})`,
  "update dmn: npm install -g @deep-momentum/dmn");

const DIFFERENCES: Readonly<Record<keyof Identity, string>> = {
  settings: "other settings, another seed or other inputs",
  graph: "another version of the network",
  sequences: "other data",
};

function checkIdentity(place: string, found: Identity, expected: Identity): void {
  for (const name of Object.keys(DIFFERENCES) as (keyof Identity)[]) {
    if (found[name] === expected[name]) continue;
    throw new UserError(
      `${place} is a checkpoint of ${DIFFERENCES[name]}: training cannot go on from it`,
      "run the command that it was made with, or start anew: dmn train-export --force ...");
  }
}

/**
 * The checkpoints in a folder, which is made when something is saved. Removes what a crash left
 * unfinished.
 */
export function openCheckpoints(folder: string): CheckpointStore {
  const notes: string[] = [];
  for (const file of fs.existsSync(folder) ? fs.readdirSync(folder) : []) {
    if (file.endsWith(TEMPORARY)) fs.rmSync(path.join(folder, file), { force: true });
  }
  return {
    notes,
    newest: () => {
      const last = entriesOf(folder).at(-1);
      return last === undefined ? null : path.join(folder, last.file);
    },
    load(identity) {
      for (const { file } of entriesOf(folder).toReversed()) {
        const place = path.join(folder, file), decoded = decodeCheckpoint(fs.readFileSync(place));
        if (decoded.kind === "newer") throw newer(place, decoded.version);
        if (decoded.kind === "damaged") {
          notes.push(`${place} is damaged (${decoded.reason}); `
            + "training goes on from the checkpoint before it");
          fs.rmSync(place);
          continue;
        }
        const checkpoint = checkpointFrom(decoded);
        checkIdentity(place, checkpoint.identity, identity);
        return checkpoint;
      }
      return null;
    },
    async save(checkpoint) {
      const { epoch, step } = checkpoint;
      await replaceWith(path.join(folder, fileName(epoch, step)), checkpointBytes(checkpoint));
      prune(folder, checkpoint);
    },
  };
}

/** Deletes what is neither among the last nor among the best. */
function prune(folder: string, { history, epoch, step }: Checkpoint): void {
  const sharpe = (row: HistoryRow): number =>
    Number.isNaN(row.validationSharpeNet) ? -Infinity : row.validationSharpeNet;
  const best = [...history].sort((a, b) => sharpe(b) - sharpe(a) || a.epoch - b.epoch)
    .slice(0, KEEP_BEST).map((row) => fileName(row.epoch, 0));
  const entries = entriesOf(folder);
  assert(entries.some((one) => one.epoch === epoch && one.step === step),
    "what was saved is there");
  const last = entries.slice(-KEEP_LAST).map(({ file }) => file);
  for (const { file } of entries) {
    if (!best.includes(file) && !last.includes(file)) fs.rmSync(path.join(folder, file));
  }
}
