/** The end of a training: results of all fits to model.json, training.parquet and curves.html. */
import * as fs from "node:fs";
import * as path from "node:path";
import { places } from "../base/data-root.ts";
import { UserError } from "../base/error.ts";
import { hashOf, replaceWith } from "../base/file.ts";
import { encodeTable } from "../features/table.ts";
import { mean } from "../metrics/moments.ts";
import { writeArtifact, type Artifact, type FoldArtifact, type SeedArtifact } from "../train/artifact.ts";
import { importanceStability } from "../train/importance.ts";
import { curvesPage, type Curve } from "./train-page.ts";
import { unitFolder, unitsOf, type Plan, type Unit } from "./train-plan.ts";
import type { UnitResult } from "./train-unit.ts";

/** Sequences whose rows warm up a carried state: a year of days for the papers' LSTM. */
const WARMUPS = 4;

export interface Finished {
  readonly unit: Unit;
  readonly result: UnitResult;
}

export interface FinishOptions {
  readonly root: string;
  readonly name: string;
  readonly plan: Plan;
  readonly results: readonly Finished[];
  readonly codeVersion: string;
  /** The command that trains this again. */
  readonly command: string;
  readonly createdAt: string;
}

/**
 * The settings of the fold's best trial by the number that early stopping looks at, net of costs: first
 * of equals, NaN last, none that diverged. The plan's where nothing was tried. UserError when all did.
 */
export function bestSettings(plan: Plan, results: readonly Finished[], fold: number): Plan["settings"] {
  const trials = results.filter(({ unit }) => unit.kind === "trial" && unit.fold === fold)
    .map(({ result }) => result);
  if (trials.length === 0) return plan.settings;
  const sound = trials.filter(({ isDiverged }) => !isDiverged);
  if (sound.length === 0) {
    const { notes: [note] } = trials.at(-1)!;
    throw new UserError(`fold ${plan.folds[fold].name}: all ${trials.length} trials diverged; the last one `
      + note, "fix what makes them: add --force --set learningRate=0.001 --set clip=1");
  }
  return sound.reduce((best, one) => (isBetter(one, best) ? one : best)).settings;
}

interface Judged { readonly validationSharpeNet: number }
const isBetter = ({ validationSharpeNet: one }: Judged, { validationSharpeNet: other }: Judged): boolean =>
  one > other || (Number.isNaN(other) && !Number.isNaN(one));

/** Writes the files of the whole training; model.json last. `results`: all of the plan's, in its order. */
export async function finishTraining(options: FinishOptions): Promise<Artifact> {
  const { root, name, plan, results, codeVersion, command, createdAt } = options;
  const { request } = plan, folder = places.model(root, name);
  const folds = plan.folds.map((_, fold) => foldArtifact(plan, results, fold));
  const files = Object.fromEntries(results.flatMap(({ unit, result }) =>
    Object.entries(result.files).map(([file, sha256]) => [`${unitFolder(plan, unit)}/${file}`, sha256])));
  const newest = folds.at(-1)!.seeds.reduce((best, seed) =>
    (isBetter(seed, best) ? seed : best));
  const put = async (file: string, content: string | Uint8Array): Promise<void> => {
    await replaceWith(path.join(folder, file), content);
    files[file] = hashOf(content);
  };
  await put("model.onnx", fs.readFileSync(path.join(folder, newest.file)));
  await put("model-fp16.onnx", fs.readFileSync(path.join(folder, newest.float16)));
  await put("training.parquet", epochTable(plan, results));
  const measured = folds.map((fold) => fold.importance).filter((one) => one.length > 1);
  const { rank } = importanceStability(measured);
  const draft: Artifact = {
    version: 1, name, architecture: request.model, settings: plan.settings, lookback: plan.lookback,
    mode: request.mode, ...(request.mode === "carry" ? { warmup: WARMUPS * plan.lookback } : {}),
    dataset: { name: request.dataset, fingerprint: plan.fingerprint, isSynthetic: plan.isSynthetic },
    recipe: { name: request.recipe, hash: plan.recipeHash }, features: plan.features, symbols: plan.symbols,
    timeframe: plan.timeframe, calendar: plan.calendar, periodsPerYear: plan.periodsPerYear,
    volatilityTarget: plan.volatilityTarget, folds,
    importanceStability: measured.length > 1 && Number.isFinite(rank) ? rank : null,
    files, opset: Math.max(...results.map(({ result }) => result.opset)), codeVersion, command, createdAt,
  };
  await put("curves.html", curvesPage(draft, curvesOf(plan, results)));
  const artifact = { ...draft, files };
  await writeArtifact(root, artifact);
  return artifact;
}

function foldArtifact(plan: Plan, results: readonly Finished[], fold: number): FoldArtifact {
  const own = results.filter(({ unit }) => unit.fold === fold);
  const seeds = own.filter(({ unit }) => unit.kind === "seed");
  const { leftOut: _, ...planned } = plan.folds[fold];
  return {
    ...planned, settings: bestSettings(plan, own, fold),
    seeds: seeds.map(({ unit, result }): SeedArtifact => ({
      seed: unit.index, file: `${unitFolder(plan, unit)}/model.onnx`,
      float16: `${unitFolder(plan, unit)}/model-fp16.onnx`, epochs: result.history.length,
      bestEpoch: result.bestEpoch, validationSharpe: result.validationSharpe,
      validationSharpeNet: result.validationSharpeNet, float32Error: result.float32Error,
      float16Error: result.float16Error, unrounded: result.unrounded,
      loss: result.history[result.bestEpoch - 1].loss, seconds: result.seconds, parameters: result.parameters,
    })),
    trials: own.filter(({ unit }) => unit.kind === "trial").map(({ unit, result }) =>
      ({ trial: unit.index, settings: result.settings, isDiverged: result.isDiverged,
        validationSharpe: result.validationSharpe, validationSharpeNet: result.validationSharpeNet })),
    importance: plan.features.map((__, k) => mean(seeds.map(({ result }) => result.importance[k]))),
  };
}

const curvesOf = (plan: Plan, results: readonly Finished[]): Curve[] => results
  .filter(({ unit }) => unit.kind === "seed").map(({ unit, result }) => ({
    fold: plan.folds[unit.fold].name, seed: unit.index, loss: result.history.map((row) => row.loss),
    validationSharpe: result.history.map((row) => row.validationSharpe) }));

/** One row per fold, trial or seed, and epoch. */
function epochTable(plan: Plan, results: readonly Finished[]): Uint8Array {
  const rows = results.flatMap(({ unit, result }) => result.history.map((row) => ({ unit, result, row })));
  const numbers = (of: (one: (typeof rows)[number]) => number): Float64Array => Float64Array.from(rows, of);
  const whole = (of: (one: (typeof rows)[number]) => number): Int32Array => Int32Array.from(rows, of);
  return encodeTable({
    fold: rows.map(({ unit }) => plan.folds[unit.fold].name), kind: rows.map(({ unit }) => unit.kind),
    index: whole(({ unit }) => unit.index), epoch: whole(({ row }) => row.epoch),
    loss: numbers(({ row }) => row.loss), validation_sharpe: numbers(({ row }) => row.validationSharpe),
    validation_sharpe_net: numbers(({ row }) => row.validationSharpeNet),
    gradient_norm: numbers(({ row }) => row.gradientNorm),
    skipped_steps: whole(({ row }) => row.skippedSteps),
    learning_rate: numbers(({ row }) => row.learningRate),
    seconds: numbers(({ row }) => row.seconds),
    is_kept: whole(({ result, row }) => (row.epoch === result.bestEpoch ? 1 : 0)),
  });
}

/** All units of the plan in its order with their results; null for those that are not finished. */
export const inOrder = (plan: Plan, results: ReadonlyMap<string, UnitResult>): (Finished | null)[] =>
  unitsOf(plan).map((unit) => {
    const result = results.get(unitFolder(plan, unit));
    return result === undefined ? null : { unit, result };
  });
