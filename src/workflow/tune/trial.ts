/**
 * A trial of a network: fits on all walk-forward parts, epoch by epoch together, and what their validation
 * rows are worth.
 *
 *   part 0  epoch 1 ─┐     2 ─┐            storage/tune/NAME/trials/0007/part-0/epoch-0002.safetensors
 *   part 1  epoch 1 ─┤     2 ─┤                                         /part-1/epoch-0002.safetensors
 *   part 2  epoch 1 ─┴ report ┴ report: pruned, or on
 *
 * What it takes is bound by nothing but the epochs; where its worker is lost, another goes on from the
 * checkpoints in the folder, and ends in the same bits. A population's trial goes on from its parent's end.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { architectureNamed } from "../../../models/index.ts";
import type { Clock } from "../../base/clock.ts";
import { Interrupted, UserError } from "../../base/error.ts";
import { makeFolder, replaceWith } from "../../base/file.ts";
import type { FoldSequences, SequenceSet } from "../../dataset/sequence.ts";
import type { Settings } from "../../nn/hyperparameter.ts";
import type { Architecture } from "../../nn/model.ts";
import { positionKindOf, type PositionKind } from "../../nn/loss.ts";
import { cpuRuntime } from "../../runtime/cpu.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import { checkpointBytes, openCheckpoints, readState, type Checkpoint } from "../../train/checkpoint.ts";
import { dailyReturns, makeEvaluator } from "../../train/evaluate.ts";
import { Diverged } from "../../train/fit.ts";
import { measureImportance } from "../../train/importance.ts";
import { keepPrograms } from "../../train/keep-programs.ts";
import { lossWeights, settingsOf, type Training } from "../../train/settings.ts";
import { settingsOf as pointSettings, type Space } from "../../tune/space.ts";
import type { Outcome, RunTrial, TrialWork } from "../../tune/worker.ts";
import { measureInference, type Inference } from "./measure-inference.ts";
import type { NetworkData, NetworkWork } from "./network-work.ts";
import { objectiveOf, valuesOf, violationsOf, type Measured } from "./objectives.ts";
import { steppedFit, type SteppedFit } from "./stepped-fit.ts";
import { endOf, partFolder, readOutcome, writeOutcome } from "./trial-files.ts";
import { Usage } from "./usage.ts";

/** Longest work that is done again after a worker was lost, about. */
const CHECKPOINT_EVERY_MS = 5_000;
/** Programs that are compiled and not in use: a population's trials share theirs. */
const PROGRAMS_KEPT = 4;

export interface NetworkTrialOptions {
  readonly work: NetworkWork;
  readonly space: Space;
  readonly objectives: readonly string[];
  readonly data: NetworkData;
  /** Where a trial keeps what it needs to go on. */
  folder(trial: number): string;
  readonly clock: Clock;
}

/** One part as it stands. */
interface Part {
  readonly fit: SteppedFit;
  readonly sequences: FoldSequences;
  readonly folder: string;
  epoch: number;
  checkpoint: Checkpoint | null;
  isOver: boolean;
  /** Of the epoch that `judged` is of; 0: none yet. */
  judgedEpoch: number;
  judged: Judged | null;
}

/** What one network did on its validation rows. */
interface Judged {
  readonly time: Float64Array;
  readonly returns: Float64Array;
  readonly benchmark: Float64Array;
  readonly hits: number;
  readonly asked: number;
}

/** All of one attempt. */
interface Attempt {
  readonly options: NetworkTrialOptions;
  readonly trial: TrialWork;
  readonly architecture: Architecture;
  readonly settings: Settings & Training;
  readonly runtime: Runtime;
  readonly parts: readonly Part[];
  readonly inference: Inference | null;
  readonly usage: Usage;
}

/** Runs trials, one at a time. */
export function networkTrial(options: NetworkTrialOptions): RunTrial & AsyncDisposable {
  const { work } = options;
  const runtime = keepPrograms(cpuRuntime({ threads: work.threads, engine: work.engine }), PROGRAMS_KEPT);
  const run = async (trial: TrialWork): Promise<Outcome> => {
    // Its worker was lost between the end of the trial and telling it.
    const done = readOutcome(options.folder(trial.number));
    if (done !== null) return done;
    const attempt = await begin(options, trial, runtime);
    try {
      return await runAttempt(attempt);
    } catch (error) {
      if (error instanceof Diverged) return diverged(attempt, error);
      throw error;
    } finally {
      for (const { fit } of attempt.parts) await fit.stop();
    }
  };
  return Object.assign(run, { [Symbol.asyncDispose]: () => runtime[Symbol.asyncDispose]() });
}

async function begin(options: NetworkTrialOptions, trial: TrialWork, runtime: Runtime): Promise<Attempt> {
  const { work, space, data, objectives, clock } = options, usage = new Usage(clock);
  const architecture = architectureNamed(work.request.model);
  const { inputs, ...said } = pointSettings(space, trial.point);
  const parents = trial.parent === null ? null : options.folder(trial.parent);
  const chosen = { ...work.request.set, ...said };
  const cut = data.cut({ ...chosen, ...(inputs === undefined ? {} : { inputs }) });
  const { epochs } = settingsOf(architecture, chosen);
  const folder = options.folder(trial.number);
  makeFolder(folder);
  const parts = cut.map((sequences, k): Part => {
    const own = partFolder(folder, k);
    const start = parents === null ? undefined : readParent(parents, k, trial);
    const settings = { ...chosen, ...(start === undefined ? {} : { epochs: start.epoch + epochs }),
      ...(work.isPopulation ? { patience: PATIENCE_MAX } : {}) };
    const fit = steppedFit({ architecture, settings, ...sequences, runtime, clock, signal: trial.signal,
      seed: trial.seed, carry: work.request.mode === "carry", store: openCheckpoints(own),
      ...(start === undefined ? {} : { start }) });
    return { fit, sequences, folder: own, epoch: 0, checkpoint: null, isOver: false, judgedEpoch: 0,
      judged: null };
  });
  const inference = objectives.some((name) => objectiveOf(name).needs === "inference")
    ? await measureInference({ architecture, settings: chosen, lookback: cut[0].training.lookback,
      features: cut[0].training.names.length }, work.calibrationMs) : null;
  return { options, trial, architecture, settings: settingsOf(architecture, chosen), runtime, parts,
    inference, usage };
}

const PATIENCE_MAX = 10_000;

/** Undefined: it diverged before it had anything to go on from. */
function readParent(parents: string, k: number, { number, parent }: TrialWork):
ReturnType<typeof readState> | undefined {
  const place = endOf(partFolder(parents, k));
  if (fs.existsSync(place)) return readState(place);
  if (readOutcome(parents) !== null) return undefined;
  throw new UserError(`trial ${number} goes on from trial ${parent}, and ${place} is not there`,
    "a population's workers share one data root: put it where all of them see it");
}

async function runAttempt(attempt: Attempt): Promise<Outcome> {
  const { parts, trial, usage, options: { work, objectives, clock } } = attempt;
  let keptAt = clock.now(), isPruned = false, measured: Measured | null = null;
  while (!isPruned) {
    const step = await nextStep(attempt);
    if (step === 0) break;
    const isLast = parts.every(({ isOver }) => isOver);
    if (parts.some(({ epoch, isOver }) => !isOver && epoch !== step)) continue;
    usage.sample();
    if (!isLast && step % work.reportEvery === 0) {
      measured = await measure(attempt);
      isPruned = !await trial.report(step, valuesOf(objectives, measured));
    }
    if (!isPruned && clock.now() - keptAt >= CHECKPOINT_EVERY_MS) {
      for (const { fit, isOver } of parts) if (!isOver) await fit.keep();
      keptAt = clock.now();
    }
  }
  const done = isPruned ? measured! : await finish(attempt);
  return await conclude(attempt, { values: valuesOf(objectives, done),
    violations: isPruned ? {} : violationsOf(work.limits, done), statistics: statisticsOf(attempt) });
}

/** Brings the parts that are behind one epoch on. The least epoch among them then; 0 when all are over. */
async function nextStep({ parts, trial }: Attempt): Promise<number> {
  const running = parts.filter(({ isOver }) => !isOver);
  if (running.length === 0) return 0;
  const step = Math.min(...running.map(({ epoch }) => epoch)) + 1;
  try {
    for (const part of running) {
      if (part.epoch >= step) continue;
      trial.signal.throwIfAborted();
      const { checkpoint, result } = await part.fit.next();
      Object.assign(part, { checkpoint, epoch: epochsOf(checkpoint), isOver: result !== null });
    }
  } catch (error) {
    if (trial.signal.aborted || error instanceof Interrupted) {
      for (const { fit, isOver } of running) if (!isOver) await fit.keep();
      throw trial.signal.reason;
    }
    throw error;
  }
  return Math.max(step, Math.min(...running.map(({ epoch }) => epoch)));
}

/** Of this trial alone: its history does not hold what its parent did. */
const epochsOf = ({ history }: Checkpoint): number => history.length;

/** Judges what has changed since it was judged. Importance comes at the end. */
async function measure(attempt: Attempt): Promise<Measured> {
  const { parts, inference, options: { data } } = attempt;
  for (const part of parts) await judge(attempt, part);
  const judged = parts.map(({ judged: one }) => one!);
  return {
    returns: joined(judged, "returns"), benchmark: joined(judged, "benchmark"),
    periodsPerYear: data.source.periodsPerYear!,
    hits: judged.reduce((sum, one) => sum + one.hits, 0),
    asked: judged.reduce((sum, one) => sum + one.asked, 0),
    importance: null, inference,
  };
}

const joined = (parts: readonly Judged[], name: "time" | "returns" | "benchmark"): Float64Array =>
  Float64Array.from(parts.flatMap((one) => [...one[name]]));

/** Of its best epoch; of a population's trial of the last, from which the next goes on. */
function chosenOf({ options: { work } }: Attempt, { checkpoint }: Part):
{ epoch: number; parameters: Float32Array } {
  const { best, bestEpoch, state, epoch } = checkpoint!;
  return work.isPopulation || best === null
    ? { epoch, parameters: state.parameters.values as Float32Array }
    : { epoch: bestEpoch, parameters: best.values as Float32Array };
}

const kindOf = (settings: Training): PositionKind => positionKindOf([...lossWeights(settings).keys()]);

async function judge(attempt: Attempt, part: Part): Promise<void> {
  const { architecture, settings, runtime, options: { work } } = attempt;
  const { epoch, parameters } = chosenOf(attempt, part), { validation } = part.sequences;
  if (part.judgedEpoch === epoch) return;
  const carry = work.request.mode === "carry";
  await using evaluator = await makeEvaluator(runtime, architecture, settings, validation,
    { positionKind: kindOf(settings), carry });
  await evaluator.load({ shape: [parameters.length], values: parameters });
  const positions = await evaluator.positions(validation);
  Object.assign(part, { judgedEpoch: epoch, judged: judgedOf(validation, positions, settings.costBps) });
}

export function judgedOf(set: SequenceSet, positions: ArrayLike<number>, costBps: number): Judged {
  const { time, net, gross } = dailyReturns(set, positions, costBps);
  const held = dailyReturns(set, new Float32Array(positions.length).fill(1), 0);
  let hits = 0, asked = 0;
  for (let at = 0; at < positions.length; at++) {
    const product = positions[at] * set.target[at];
    if (set.weight[at] === 0 || product === 0) continue;
    asked++;
    if (product > 0) hits++;
  }
  return { time, returns: costBps === 0 ? gross : net, benchmark: held.gross, hits, asked };
}

/** With what takes long: importance. */
async function finish(attempt: Attempt): Promise<Measured> {
  const { architecture, settings, runtime, trial, parts, options: { work, objectives } } = attempt;
  const measured = await measure(attempt);
  if (!objectives.some((name) => objectiveOf(name).needs === "importance")) return measured;
  const importance: (readonly number[])[] = [];
  for (const part of parts) {
    const { permutation } = await measureImportance({ architecture, settings, runtime, repeats: 1,
      parameters: chosenOf(attempt, part).parameters, positionKind: kindOf(settings),
      validation: part.sequences.validation, seed: trial.seed, carry: work.request.mode === "carry" });
    importance.push(permutation);
  }
  return { ...measured, importance };
}

function statisticsOf({ parts, inference, settings, usage }: Attempt): Record<string, number> {
  const histories = parts.map(({ checkpoint }) => checkpoint?.history ?? []);
  const trained = histories.flat().reduce((sum, { seconds }) => sum + seconds, 0);
  const steps = parts.reduce((sum, { sequences: { training: { count } } }, k) =>
    sum + histories[k].length * Math.ceil(count / Math.min(settings.batch, count)), 0);
  const sorted = Float64Array.from(inference?.samplesMs ?? []).sort();
  return {
    ...usage.read(), epochs: Math.max(...histories.map(({ length }) => length)),
    parameters: parts[0].checkpoint?.state.parameters.values.length ?? 0,
    ...(trained > 0 ? { stepsPerSecond: steps / trained } : {}),
    ...(inference === null ? {} : { calibrationMs: inference.calibrationMs, latencyLeastMs: sorted[0],
      latencyMedianMs: sorted[sorted.length >> 1], latencyMostMs: sorted[sorted.length - 1] }),
  };
}

/** Settings at the edge leave the range of floats: that is a result, and no number of it is known. */
function diverged(attempt: Attempt, error: Diverged): Promise<Outcome> {
  const epoch = error.history.length;
  return conclude(attempt, { values: attempt.options.objectives.map(() => NaN), violations: { diverged: 1 },
    statistics: { ...statisticsOf(attempt), divergedAfterEpochs: epoch } });
}

/** Writes what is left of the trial, then throws away what it was made of. */
async function conclude({ parts, trial, options }: Attempt, outcome: Outcome): Promise<Outcome> {
  const judged = parts.flatMap(({ judged: one }) => (one === null ? [] : [one]));
  if (options.work.isPopulation) {
    for (const { folder, checkpoint } of parts) {
      if (checkpoint !== null) await replaceWith(endOf(folder), checkpointBytes(checkpoint));
    }
  }
  await writeOutcome(options.folder(trial.number), outcome,
    { time: joined(judged, "time"), returns: joined(judged, "returns") });
  for (const { fit, folder } of parts) {
    await fit.stop();
    if (!options.work.isPopulation) fs.rmSync(folder, { recursive: true, force: true });
    for (const file of fs.existsSync(folder) ? fs.readdirSync(folder) : []) {
      const place = path.join(folder, file);
      if (place !== endOf(folder)) fs.rmSync(place);
    }
  }
  return outcome;
}
