/**
 * One fit of a training, as a worker process does it: a fold's sequences, a network, and for a seed
 * its export.
 *
 *   folds/1995/trial-007/  checkpoints/ while it runs, then result.json
 *              seed-0/     checkpoints/, model.onnx, model-fp16.onnx, then result.json
 *
 * result.json is written last and whole: a unit with one is finished, and is never run again.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { z } from "zod";
import { architectureNamed } from "../../models/index.ts";
import type { Clock } from "../base/clock.ts";
import { places } from "../base/data-root.ts";
import { hashOf, makeFolder, replaceWith, TEMPORARY } from "../base/file.ts";
import type { FoldSequences, SequenceSource } from "../dataset/sequence.ts";
import type { Settings } from "../nn/hyperparameter.ts";
import { cpuRuntime } from "../runtime/cpu.ts";
import { openCheckpoints, type HistoryRow } from "../train/checkpoint.ts";
import { exportNetwork } from "../train/export.ts";
import { Diverged, fit, type FitOptions, type FitResult } from "../train/fit.ts";
import { measureImportance } from "../train/importance.ts";
import { planHash, unitFolder, type Plan, type Unit } from "./train-plan.ts";
import { cutPlanned } from "./train-source.ts";

const RESULT_FILE = "result.json";
/** Shuffles of an input for its importance; one where there are many inputs. */
const REPEATS = 3;
const REPEATS_FEATURES_MAX = 40;
/** Seeds of trials start here, so that a trial is not one of the seeds that follow it. */
const TRIAL_SEED = 1_000_000;

export interface UnitEpoch {
  readonly epoch: number;
  readonly loss: number;
  readonly gradientNorm: number;
  readonly skippedSteps: number;
  readonly validationSharpe: number;
  readonly validationSharpeNet: number;
  readonly learningRate: number;
  readonly seconds: number;
}

export interface UnitResult {
  readonly plan: string;
  readonly settings: Settings;
  readonly seed: number;
  readonly history: readonly UnitEpoch[];
  /** Of a trial whose numbers left the range of floats: it has no best epoch (0) and no Sharpe (NaN). */
  readonly isDiverged: boolean;
  readonly bestEpoch: number;
  /** Of the best epoch; net is what chose it, and what trials are chosen by. */
  readonly validationSharpe: number;
  readonly validationSharpeNet: number;
  readonly seconds: number;
  readonly parameters: number;
  /** (F); empty for a trial. */
  readonly importance: readonly number[];
  /** SHA-256 of the unit's files by their names in its folder. */
  readonly files: Readonly<Record<string, string>>;
  /** Differences of the exported networks from the one trained (train/export.ts); 0 for a trial. */
  readonly float32Error: number;
  readonly float16Error: number;
  readonly unrounded: readonly string[];
  readonly opset: number;
  readonly notes: readonly string[];
}

const numberOrNaN = z.number().nullable().transform((value) => value ?? NaN);
const resultSchema: z.ZodType<UnitResult> = z.strictObject({
  plan: z.string(), settings: z.record(z.string(), z.union([z.number(), z.string()])), seed: z.int(),
  history: z.array(z.strictObject({ epoch: z.int(), loss: numberOrNaN, gradientNorm: numberOrNaN,
    skippedSteps: z.int(), validationSharpe: numberOrNaN, validationSharpeNet: numberOrNaN,
    learningRate: z.number(), seconds: z.number() })),
  isDiverged: z.boolean(), bestEpoch: z.int(), validationSharpe: numberOrNaN,
  validationSharpeNet: numberOrNaN, seconds: z.number(), parameters: z.int(),
  importance: z.array(numberOrNaN), files: z.record(z.string(), z.string()),
  float32Error: numberOrNaN, float16Error: numberOrNaN, unrounded: z.array(z.string()),
  opset: z.int(), notes: z.array(z.string()),
});

/** The result of a unit, if it is finished and whole, with its files as they were written; else null. */
export function readResult(folder: string, plan: Plan, unit: Unit): UnitResult | null {
  const own = path.join(folder, unitFolder(plan, unit)), place = path.join(own, RESULT_FILE);
  if (!fs.existsSync(place)) return null;
  let parsed: unknown;
  try { parsed = JSON.parse(fs.readFileSync(place, "utf8")); } catch { return null; }
  const result = resultSchema.safeParse(parsed);
  if (!result.success || result.data.plan !== planHash(plan)) return null;
  const isWhole = Object.entries(result.data.files).every(([name, sha256]) => {
    const file = path.join(own, name);
    return fs.existsSync(file) && hashOf(fs.readFileSync(file)) === sha256;
  });
  return isWhole ? result.data : null;
}

export interface UnitWork {
  readonly root: string;
  readonly name: string;
  readonly plan: Plan;
  readonly unit: Unit;
  readonly settings: Settings;
  readonly codeVersion: string;
  readonly source: SequenceSource;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  onEpoch(row: UnitEpoch): void;
}

/**
 * Fits, exports and writes one unit. Throws UserError for what fit refuses, Interrupted when the
 * signal aborts.
 */
export async function runUnit(work: UnitWork): Promise<void> {
  const { root, name, plan, unit, settings, source } = work;
  const startedAt = work.clock.now();
  const folder = path.join(places.model(root, name), unitFolder(plan, unit));
  makeFolder(folder);
  for (const file of fs.readdirSync(folder)) if (file.endsWith(TEMPORARY)) fs.rmSync(path.join(folder, file));
  const architecture = architectureNamed(plan.request.model);
  const { training, validation } = foldOf(source, plan, unit.fold);
  const runtime = cpuRuntime({ threads: plan.threads[unit.kind], engine: plan.engine });
  const seed = unit.kind === "seed" ? unit.index : TRIAL_SEED + unit.index;
  const checkpoints = path.join(folder, "checkpoints");
  const carry = plan.request.mode === "carry";
  const options: FitOptions = { architecture, carry, settings, training, validation, seed, runtime,
    clock: work.clock, signal: work.signal, store: openCheckpoints(checkpoints),
    onEpoch: (row) => { work.onEpoch(epochOf(row)); } };
  const made = unit.kind === "trial" ? await tryOut(options)
    : await finishSeed(work, folder, await fit(options), validation);
  const result: UnitResult = { plan: planHash(plan), settings, seed, ...made,
    seconds: Math.max(made.history.reduce((sum, row) => sum + row.seconds, 0),
      (work.clock.now() - startedAt) / 1000) };
  await replaceWith(path.join(folder, RESULT_FILE), `${JSON.stringify(result, null, 1)}\n`);
  // Nobody goes on from a trial.
  if (unit.kind === "trial") fs.rmSync(checkpoints, { recursive: true, force: true });
}

type Made = Omit<UnitResult, "plan" | "settings" | "seed" | "seconds">;

/** A trial leaves its numbers and no files. */
const NO_EXPORT = { importance: [], files: {}, float32Error: 0, float16Error: 0, unrounded: [], opset: 0 };

function madeOf({ history, bestEpoch, validationSharpe, parameters, notes }: FitResult): Omit<Made,
  keyof typeof NO_EXPORT> {
  return { isDiverged: false, history: history.map(epochOf), bestEpoch, validationSharpe,
    validationSharpeNet: history[bestEpoch - 1].validationSharpeNet,
    parameters: parameters.length, notes };
}

/** A search tries settings at the edge: one that diverges is a result, and says why. */
async function tryOut(options: FitOptions): Promise<Made> {
  try { return { ...madeOf(await fit(options)), ...NO_EXPORT }; } catch (error) {
    if (!(error instanceof Diverged)) throw error;
    return { isDiverged: true, history: error.history.map(epochOf), bestEpoch: 0, validationSharpe: NaN,
      validationSharpeNet: NaN, parameters: 0, notes: [`diverged: ${error.reason}`], ...NO_EXPORT };
  }
}

const epochOf = (row: HistoryRow): UnitEpoch => ({
  epoch: row.epoch, loss: row.loss, gradientNorm: row.gradientNorm,
  skippedSteps: row.skippedSteps, validationSharpe: row.validationSharpe,
  validationSharpeNet: row.validationSharpeNet, learningRate: row.rate, seconds: row.seconds });

/** Cut once for all the units of a fold that a worker is given one after the other. */
let lastCut: { readonly source: SequenceSource; readonly fold: number;
  readonly sequences: FoldSequences } | null = null;

function foldOf(source: SequenceSource, plan: Plan, fold: number): FoldSequences {
  if (lastCut?.source === source && lastCut.fold === fold) return lastCut.sequences;
  lastCut = null;
  const sequences = cutPlanned(source, plan.folds[fold], plan.request,
    { lookback: plan.lookback, stride: Number(plan.settings.stride) });
  lastCut = { source, fold, sequences };
  return sequences;
}

/** Importance, and the ONNX files: their bytes depend on nothing but the plan, the seed and the code. */
async function finishSeed({ plan, unit, settings, codeVersion }: UnitWork, folder: string, fitted: FitResult,
  validation: FoldSequences["validation"]): Promise<Made> {
  const architecture = architectureNamed(plan.request.model);
  const { parameters, specs, positionKind } = fitted, features = validation.names.length;
  const runtime = cpuRuntime({ threads: plan.threads.seed, engine: plan.engine });
  const carry = plan.request.mode === "carry";
  const { permutation } = await measureImportance({ architecture, carry, settings, parameters, positionKind,
    validation, seed: unit.index, runtime, repeats: features > REPEATS_FEATURES_MAX ? 1 : REPEATS });
  const fold = plan.folds[unit.fold];
  const { float32, float16, ...measured } = await exportNetwork({
    architecture, settings, size: { features, instruments: plan.symbols.length }, specs, parameters,
    positionKind, sample: validation, isCarried: carry,
    metadata: {
      "dmn.architecture": architecture.name, "dmn.settings": JSON.stringify(settings),
      "dmn.lookback": String(plan.lookback), "dmn.mode": plan.request.mode,
      "dmn.features": JSON.stringify(plan.features), "dmn.symbols": JSON.stringify(plan.symbols),
      "dmn.recipe": plan.request.recipe, "dmn.recipeHash": plan.recipeHash,
      "dmn.dataset": plan.request.dataset, "dmn.fingerprint": plan.fingerprint,
      "dmn.fold": fold.name, "dmn.seed": String(unit.index), "dmn.trainTo": fold.trainTo,
      "dmn.testFrom": fold.testFrom, "dmn.codeVersion": codeVersion,
      "dmn.metrics": JSON.stringify({ bestEpoch: fitted.bestEpoch, validationSharpe: fitted.validationSharpe,
        loss: fitted.history[fitted.bestEpoch - 1].loss }),
    },
  });
  const files: Record<string, string> = {};
  for (const [file, bytes] of [["model.onnx", float32], ["model-fp16.onnx", float16]] as const) {
    await replaceWith(path.join(folder, file), bytes);
    files[file] = hashOf(bytes);
  }
  return { ...madeOf(fitted), importance: [...permutation], files, ...measured };
}
