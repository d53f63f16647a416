/**
 * What training leaves: a folder that is complete once model.json is in it, because that is written last.
 *
 *   models/NAME/model.json                     this file's schema: folds, seeds, hashes of all files below
 *               model.onnx, model-fp16.onnx    the newest fold's network (its best seed)
 *               training.parquet, curves.html  one row per epoch; the same for people
 *               folds/1995/seed-0/model.onnx, model-fp16.onnx
 *                          seed-0/checkpoints/epoch-0012.safetensors ...
 *
 * A fold's networks have seen labels up to `trainTo`; they may be asked about days from `testFrom`
 * on. Days are UTC days as text, 2005-12-31, both ends inclusive.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { z } from "zod";
import { assert } from "../base/assert.ts";
import { isName, places } from "../base/data-root.ts";
import { messageOf, UserError } from "../base/error.ts";
import { hashOf, replaceWith } from "../base/file.ts";
import { quoted } from "../base/command-line.ts";
import { suggestion } from "../base/suggest.ts";
import type { Settings } from "../nn/hyperparameter.ts";

export const ARTIFACT_FILE = "model.json";
const ARTIFACT_VERSION = 1;

/**
 * How a network goes from bar to bar, in training and in use:
 * replay: each decision sees its whole window, from a state of zeros;
 * carry: its recurrent state goes on from an instrument's first row.
 */
export const MODES = ["replay", "carry"] as const;
export type Mode = (typeof MODES)[number];

/** One network: a fold and a seed. */
export interface SeedArtifact {
  readonly seed: number;
  /** Relative to the artifact's folder: "folds/1995/seed-0/model.onnx". */
  readonly file: string;
  /** The same network with float16 weights. */
  readonly float16: string;
  /** Epochs trained, and the one (from 1) whose parameters were kept. */
  readonly epochs: number;
  readonly bestEpoch: number;
  /** Annualised, diversified, of the kept epoch; NaN where it has none. */
  readonly validationSharpe: number;
  /** After the costs that were trained with: what chose the epoch and chooses the best of seeds. */
  readonly validationSharpeNet: number;
  /** Training loss of the kept epoch. */
  readonly loss: number;
  readonly seconds: number;
  /** Trained numbers. */
  readonly parameters: number;
  /** Largest difference of `file` and of `float16` from the trained network, on validation rows. */
  readonly float32Error: number;
  readonly float16Error: number;
  /** Parameters that `float16` holds in float32, because rounding them costs too much. */
  readonly unrounded: readonly string[];
}

export interface TrialArtifact {
  readonly trial: number;
  readonly settings: Settings;
  /** Its numbers left the range of floats: it has no Sharpe and was not chosen. */
  readonly isDiverged: boolean;
  readonly validationSharpe: number;
  /** After costs: what the best trial is chosen by. */
  readonly validationSharpeNet: number;
}

export interface FoldArtifact {
  /** First year of its test, or "last". */
  readonly name: string;
  /** First day of the data, and the last one whose return was seen as a label (validation included). */
  readonly trainFrom: string;
  readonly trainTo: string;
  readonly testFrom: string;
  readonly testTo: string;
  /** Days with at least one label, and rows (instrument days) of training and validation. */
  readonly trainDays: number;
  readonly trainRows: number;
  readonly validationRows: number;
  /** Settings that its seeds were trained with: the best trial's. */
  readonly settings: Settings;
  readonly seeds: readonly SeedArtifact[];
  /** Empty when nothing was searched. */
  readonly trials: readonly TrialArtifact[];
  /** One number per input in the order of `features`, mean over seeds; empty when not measured. */
  readonly importance: readonly number[];
}

export interface Artifact {
  readonly version: 1;
  readonly name: string;
  readonly architecture: string;
  /** As chosen by the user, before any search. */
  readonly settings: Settings;
  /** T: rows of the window a network was trained on. */
  readonly lookback: number;
  readonly mode: Mode;
  /** Rows that bring the state of a carried network from zero to where it is as good as known. */
  readonly warmup?: number;
  readonly dataset: { readonly name: string; readonly fingerprint: string; readonly isSynthetic: boolean };
  /** `hash` is Panel.hash: recipe, versions, calendar and timeframe. */
  readonly recipe: { readonly name: string; readonly hash: string };
  /** Inputs of the networks (F), in order. */
  readonly features: readonly string[];
  /** Instruments by the number that the static embedding knows them under. */
  readonly symbols: readonly string[];
  readonly timeframe: string;
  readonly calendar: string;
  readonly periodsPerYear: number;
  /** Annual volatility that the target was scaled to. */
  readonly volatilityTarget: number;
  readonly folds: readonly FoldArtifact[];
  /** Mean rank correlation of importance between folds; null with fewer than two. */
  readonly importanceStability: number | null;
  /** SHA-256 of each file, by path relative to the folder, with "/". */
  readonly files: Readonly<Record<string, string>>;
  readonly opset: number;
  readonly codeVersion: string;
  /** The command that trains this again. */
  readonly command: string;
  /** ISO 8601, UTC. */
  readonly createdAt: string;
}

const dayText = z.string().regex(/^\d{4}-\d{2}-\d{2}$/);
/** JSON has no NaN: it is written as null. */
const numberOrNaN = z.number().nullable().transform((value) => value ?? NaN);
const settings: z.ZodType<Settings> = z.record(z.string(), z.union([z.number(), z.string()]));

const seedSchema: z.ZodType<SeedArtifact> = z.strictObject({
  seed: z.int().min(0), file: z.string(), float16: z.string(), epochs: z.int().min(0),
  bestEpoch: z.int().min(0), validationSharpe: numberOrNaN, validationSharpeNet: numberOrNaN,
  loss: numberOrNaN, seconds: z.number(), parameters: z.int().min(1), float32Error: numberOrNaN,
  float16Error: numberOrNaN, unrounded: z.array(z.string()),
});

const foldSchema: z.ZodType<FoldArtifact> = z.strictObject({
  name: z.string(), trainFrom: dayText, trainTo: dayText, testFrom: dayText, testTo: dayText,
  trainDays: z.int(), trainRows: z.int(), validationRows: z.int(), settings,
  seeds: z.array(seedSchema).min(1),
  trials: z.array(z.strictObject({ trial: z.int(), settings, isDiverged: z.boolean(),
    validationSharpe: numberOrNaN, validationSharpeNet: numberOrNaN })),
  importance: z.array(numberOrNaN),
});

const artifactSchema: z.ZodType<Artifact> = z.strictObject({
  version: z.literal(ARTIFACT_VERSION), name: z.string(), architecture: z.string(), settings,
  lookback: z.int().min(1), mode: z.enum(MODES), warmup: z.int().min(1).optional(),
  dataset: z.strictObject({ name: z.string(), fingerprint: z.string(), isSynthetic: z.boolean() }),
  recipe: z.strictObject({ name: z.string(), hash: z.string() }),
  features: z.array(z.string()).min(1), symbols: z.array(z.string()).min(1),
  timeframe: z.string(), calendar: z.string(), periodsPerYear: z.number(), volatilityTarget: z.number(),
  folds: z.array(foldSchema).min(1), importanceStability: z.number().nullable(),
  files: z.record(z.string(), z.string()), opset: z.int(), codeVersion: z.string(), command: z.string(),
  createdAt: z.string(),
});

type Json = Record<string, unknown>;

export function listArtifacts(root: string): string[] {
  const folder = path.dirname(places.model(root, "x"));
  if (!fs.existsSync(folder)) return [];
  return fs.readdirSync(folder)
    .filter((name) => fs.existsSync(path.join(folder, name, ARTIFACT_FILE))).sort();
}

/** Throws UserError for an unknown name (did you mean), a damaged model.json, or a newer version's. */
export function readArtifact(root: string, name: string): Artifact {
  const folder = places.model(root, name), place = path.join(folder, ARTIFACT_FILE);
  if (!isName(name) || !fs.existsSync(place)) {
    const known = listArtifacts(root);
    throw new UserError(`there is no model "${name}" in ${root}`
      + (isName(name) && fs.existsSync(folder) ? ": its training is not finished" : ""),
    isName(name) && fs.existsSync(folder)
      ? "run its dmn train-export command again: it goes on where it stopped"
      : known.length > 0 ? suggestion(name, known)
        : `train one: dmn train-export --dataset NAME --model lstm --name ${quoted(name)}`);
  }
  return parseArtifact(fs.readFileSync(place, "utf8"), place);
}

function parseArtifact(text: string, place: string): Artifact {
  const damaged = (reason: string): UserError => new UserError(`${place} is damaged: ${reason}`,
    "restore it from a backup, or train the model again: dmn train-export --force ...");
  let parsed: unknown;
  try { parsed = JSON.parse(text); } catch (error) { throw damaged(messageOf(error)); }
  if (typeof parsed !== "object" || parsed === null) throw damaged("it holds no object");
  const { checksum, ...said } = parsed as Json;
  const { version } = said;
  if (typeof version === "number" && version > ARTIFACT_VERSION) {
    throw new UserError(
      `${place} was written by a newer dmn (format ${version}, this one reads ${ARTIFACT_VERSION})`,
      "update dmn: npm install -g @deep-momentum/dmn");
  }
  if (checksum !== hashOf(JSON.stringify(said))) throw damaged("its checksum does not match what it says");
  const result = artifactSchema.safeParse(said);
  if (result.success) return result.data;
  throw damaged(z.prettifyError(result.error).split("\n").slice(0, 2).join(" "));
}

/** The commit: after this returns, the model is what `artifact` says. Its files must be in place. */
export async function writeArtifact(root: string, artifact: Artifact): Promise<void> {
  const folder = places.model(root, artifact.name);
  for (const file of Object.keys(artifact.files)) {
    assert(fs.existsSync(path.join(folder, file)), `${file} is written before ${ARTIFACT_FILE}`);
  }
  const said = JSON.parse(JSON.stringify(artifact)) as Json;
  const text = JSON.stringify({ ...said, checksum: hashOf(JSON.stringify(said)) }, null, 1);
  await replaceWith(path.join(folder, ARTIFACT_FILE), `${text}\n`);
}

/**
 * Bytes of one of the artifact's files, `file` as in `files`. Throws UserError when it is missing
 * or is not the one that was written.
 */
export function readArtifactFile(root: string, artifact: Artifact, file: string): Uint8Array {
  const expected = artifact.files[file];
  assert(expected !== undefined, `${artifact.name} has the file ${file}`);
  const place = path.join(places.model(root, artifact.name), file);
  const hint = `restore it from a backup, or train the model again: ${artifact.command} --force`;
  if (!fs.existsSync(place)) throw new UserError(`${place} is missing`, hint);
  const bytes = fs.readFileSync(place);
  if (hashOf(bytes) === expected) return bytes;
  throw new UserError(`${place} is damaged: it is not the file that was written (SHA-256 differs)`, hint);
}
