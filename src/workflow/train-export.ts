/**
 * `dmn train-export`: features -> networks, walk-forward -> models/NAME.
 *
 *   request ─ planOf ─> plan.json ─ units over processes ─> result.json each ─ finish ─> model.json
 *
 * plan.json says what is trained; a unit's result.json that it is done; model.json that all is. So
 * the same command goes on wherever it was stopped, and a command that means something else is
 * refused.
 */
import * as fs from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import * as path from "node:path";
import { commandLine } from "../base/command-line.ts";
import type { Context } from "../base/context.ts";
import { dataRoot, places } from "../base/data-root.ts";
import { Interrupted, UserError } from "../base/error.ts";
import { readManifest } from "../market/store.ts";
import { isNativeAvailable } from "../runtime/native/library.ts";
import { takeLock } from "../base/writer-lock.ts";
import { readArtifact, readArtifactFile, ARTIFACT_FILE, type Artifact } from "../train/artifact.ts";
import { FLOAT16_TOLERANCE } from "../train/export.ts";
import { bestSettings, finishTraining, inOrder, type Finished } from "./train-finish.ts";
import { PACKAGE_ROOT } from "./package-root.ts";
import { checkSamePlan, checkSettings, readPlan, trialSettings, unitFolder, unitName, unitsOf,
  writePlan, type Plan, type TrainRequest, type Unit } from "./train-plan.ts";
import { runUnits } from "./train-pool.ts";
import { bindTrainable, planOf, readSource } from "./train-source.ts";
import { readResult, type UnitEpoch, type UnitResult } from "./train-unit.ts";

export { trainText } from "./train-text.ts";

export interface TrainOptions {
  readonly name: string;
  /** What was said; the rest is as it was begun with (`isResume`), else TRAIN_DEFAULTS. */
  readonly said: Partial<TrainRequest>;
  readonly workers: number;
  readonly isResume: boolean;
  /** Throws away what is there under this name. */
  readonly isForced: boolean;
}

export const TRAIN_DEFAULTS = {
  recipe: "dmn", model: "lstm", set: {}, windows: [], windowYears: null, from: null, to: null,
  features: [], seeds: 3, trials: 0, embargo: 0, mode: "replay",
} as const satisfies Omit<TrainRequest, "dataset">;

export interface TrainReport {
  readonly artifact: Artifact;
  /** Absolute path of the artifact's folder. */
  readonly folder: string;
  /** Fits of this run, and those that an earlier one had finished. */
  readonly fits: number;
  readonly kept: number;
  readonly leftOut: readonly string[];
  readonly remarks: readonly string[];
  readonly workers: number;
  readonly seconds: number;
}

/** Trains, or goes on. UserError for what can be mended; Interrupted with the command that goes on. */
export async function trainExport(options: TrainOptions, context: Context): Promise<TrainReport> {
  const startedAt = context.clock.now(), { root } = context, { name } = options;
  const folder = places.model(root, name);
  const begun = options.isForced ? null : readPlan(root, name);
  checkName(options, begun !== null, folder);
  const request = requestOf(options, begun);
  const plan = await makePlan(request, context);
  if (begun !== null) checkSamePlan(name, begun, plan);
  using _ = takeLock(path.join(folder, "train.lock"), `model "${name}"`);
  if (options.isForced) clear(folder);
  // Threads are those it was begun with: a fit resumed on another machine makes the same sums.
  const kept = begun ?? plan;
  checkEngine(name, kept);
  if (begun === null) await writePlan(root, name, plan);
  const command = commandOf(name, kept.request);
  const results = new Map<string, UnitResult>();
  for (const unit of unitsOf(kept)) {
    const result = readResult(folder, kept, unit);
    if (result !== null) results.set(unitFolder(kept, unit), result);
  }
  const before = results.size;
  const done = begun === null ? null : finishedArtifact(root, name, before === unitsOf(kept).length);
  const workers = countWorkers(options.workers || context.config.workers, kept);
  if (done === null) await train(kept, { name, folder, results, workers }, context);
  const finished = inOrder(kept, results).filter((one) => one !== null);
  const artifact = done ?? await finishTraining({ root, name, plan: kept, results: finished,
    codeVersion: codeVersion(), command, createdAt: new Date(context.clock.now()).toISOString() });
  return {
    artifact, folder, fits: results.size - before, kept: before, workers, remarks: remarksOf(finished),
    leftOut: [...new Set(kept.folds.flatMap((fold) => fold.leftOut))],
    seconds: (context.clock.now() - startedAt) / 1000,
  };
}

function checkName({ name, isResume, isForced }: TrainOptions, isBegun: boolean, folder: string): void {
  if (isResume && isForced) {
    throw new UserError("--resume goes on with a training and --force throws it away", "give one of them");
  }
  if (isResume && !isBegun) {
    throw new UserError(`there is no training of model "${name}" to go on with`,
      `begin one: dmn train-export --dataset NAME --name ${name}`);
  }
  if (isBegun || isForced || !fs.existsSync(folder)
    || fs.readdirSync(folder).every((file) => file === "train.lock")) {
    return;
  }
  throw new UserError(`${folder} has files that are not of a training`,
    "choose another --name, or throw them away: add --force");
}

function checkEngine(name: string, { engine }: Plan): void {
  if (engine !== "native" || isNativeAvailable()) return;
  throw new UserError(`model "${name}" was begun with the native engine, which this machine cannot run`,
    "go on where it was begun, or train anew with ONNX Runtime: add --force");
}

function requestOf({ said, isResume }: TrainOptions, begun: Plan | null): TrainRequest {
  const base = isResume && begun !== null ? begun.request : TRAIN_DEFAULTS;
  const request = { ...base, ...said };
  if ("dataset" in request && request.dataset !== undefined) return request as TrainRequest;
  throw new UserError("which dataset?", "for example: dmn train-export --dataset demo --name lstm-demo");
}

async function makePlan(request: TrainRequest, { root, ...context }: Context): Promise<Plan> {
  const chosen = checkSettings(request);
  const manifest = readManifest(root, request.dataset);
  const trainable = await bindTrainable(root, manifest, request.recipe, request.features);
  return planOf(request, chosen, trainable, readSource(trainable, root, request.recipe),
    { root, ...context });
}

/** Everything but the lock that we hold. */
function clear(folder: string): void {
  for (const file of fs.readdirSync(folder)) {
    if (file !== "train.lock") fs.rmSync(path.join(folder, file), { recursive: true, force: true });
  }
}

/**
 * The artifact when nothing is left to do: finished, and each of its files still the one that was
 * written.
 */
function finishedArtifact(root: string, name: string, isTrained: boolean): Artifact | null {
  if (!isTrained || !fs.existsSync(path.join(places.model(root, name), ARTIFACT_FILE))) return null;
  try {
    const artifact = readArtifact(root, name);
    for (const file of Object.keys(artifact.files)) readArtifactFile(root, artifact, file);
    return artifact;
  } catch (error) {
    // Damaged: it is written anew from the results.
    if (error instanceof UserError) return null;
    throw error;
  }
}

function countWorkers(wanted: number, { threads, request, folds }: Plan): number {
  const fits = Math.max(request.trials, request.seeds) * folds.length;
  return Math.max(1, Math.min(wanted || Math.floor(availableParallelism() / threads.seed) || 1, fits));
}

interface Training {
  readonly name: string;
  readonly folder: string;
  /** By unitFolder; filled as units finish. */
  readonly results: Map<string, UnitResult>;
  readonly workers: number;
}

/** Runs what is missing: a fold's trials, then its seeds with the best trial's settings. */
async function train(plan: Plan, { name, folder, results, workers }: Training,
  context: Context): Promise<void> {
  const units = unitsOf(plan), waiting = units.filter((unit) => !results.has(unitFolder(plan, unit)));
  const task = context.progress.start(`train ${name}`, units.length, "fits");
  task.advance(results.size);
  const found = (): Finished[] => inOrder(plan, results).filter((one) => one !== null);
  const isReady = (unit: Unit): boolean => unit.kind === "trial" || units.every((other) =>
    other.kind !== "trial" || other.fold !== unit.fold || results.has(unitFolder(plan, other)));
  const { root, log, signal } = context;
  try {
    await runUnits({
      task: { root, name, plan, codeVersion: codeVersion() }, workers, signal,
      next() {
        const at = waiting.findIndex(isReady);
        if (at < 0) return null;
        const [unit] = waiting.splice(at, 1);
        const settings = unit.kind === "trial" ? trialSettings(plan, unit.fold, unit.index)
          : bestSettings(plan, found(), unit.fold);
        log.info({ unit: unitName(plan, unit), settings }, "fitting");
        return { unit, settings };
      },
      onEpoch(unit, row) {
        log.debug({ unit: unitName(plan, unit), ...row }, "epoch");
        task.advance(0, noteOf(row));
      },
      done(unit) {
        const result = readResult(folder, plan, unit);
        if (result === null) throw new Error(`${unitName(plan, unit)} is done, and its result is not there`);
        // A trial that diverges is part of a search: the report counts them.
        const level = result.isDiverged ? "info" : "warn";
        for (const note of result.notes) log[level]({ unit: unitName(plan, unit) }, note);
        results.set(unitFolder(plan, unit), result);
        task.advance(1, result.isDiverged ? "diverged" : `sharpe ${result.validationSharpe.toFixed(2)}`);
      },
    });
  } catch (error) {
    if (signal.aborted) throw new Interrupted(resumeCommand(name, root));
    throw error;
  }
  task.finish();
}

const noteOf = ({ loss, validationSharpe }: UnitEpoch): string =>
  `loss ${loss.toFixed(3)} S ${validationSharpe.toFixed(2)}`;

/** What a person should know of a training that went through all the same. */
function remarksOf(finished: readonly Finished[]): string[] {
  const trials = finished.filter(({ unit }) => unit.kind === "trial");
  const diverged = trials.filter(({ result }) => result.isDiverged).length;
  const seeds = finished.filter(({ unit }) => unit.kind === "seed");
  const rough = seeds.filter(({ result }) => result.unrounded.length > 0);
  const skipped = seeds.reduce((sum, { result }) =>
    sum + result.history.reduce((steps, row) => steps + row.skippedSteps, 0), 0);
  return [
    ...(diverged === 0 ? [] : [`${diverged} of ${trials.length} trials diverged and were not chosen`]),
    ...(skipped === 0 ? [] : [`${skipped} steps were skipped: their gradient was not finite`]),
    ...(rough.length === 0 ? [] : [`${rough.length} of ${seeds.length} float16 files keep some parameters in `
      + `float32, to answer within ${FLOAT16_TOLERANCE}`]),
  ];
}

/** Where this run reads from, if it is not where the next one would. */
const rootWords = (root: string): string[] => (dataRoot(undefined) === root ? [] : ["--data-dir", root]);

const resumeCommand = (name: string, root: string): string =>
  commandLine(["dmn", "train-export", "--name", name, "--resume", ...rootWords(root)]);

/** The request as a person would type it: what is as by default is left out. */
export function commandOf(name: string, request: TrainRequest): string {
  const words = ["dmn", "train-export", "--dataset", request.dataset, "--recipe", request.recipe, "--model",
    request.model, "--name", name];
  for (const [key, value] of Object.entries(request.set)) words.push("--set", `${key}=${value}`);
  const plain = { windows: "--windows", windowYears: "--window-years", from: "--from", to: "--to",
    features: "--features", seeds: "--seeds", trials: "--trials", embargo: "--embargo",
    mode: "--mode" } as const;
  for (const [key, flag] of Object.entries(plain) as [keyof typeof plain, string][]) {
    const isDefault = JSON.stringify(request[key]) === JSON.stringify(TRAIN_DEFAULTS[key]);
    if (!isDefault) words.push(flag, String(request[key]));
  }
  return commandLine(words);
}

/** The package's. */
export function codeVersion(): string {
  const read = createRequire(import.meta.url);
  return (read(path.join(PACKAGE_ROOT, "package.json")) as { version: string }).version;
}
