/**
 * Trains one network. A pure function of (sequences, settings, seed) up to the runtime's rounding:
 *
 *   epoch k: a shuffle from random(seed, "epoch", k) ─> batches ─> one program run per batch ─┐
 *      └──────────── best parameters kept <── diversified Sharpe of the validation set <──────┘
 *
 * It ends after `epochs`, or after `patience` epochs without a better validation Sharpe (Lim,
 * Zohren, Roberts 2019), and answers with the best parameters. Between steps it gives way, so that
 * a signal can be heard.
 *
 * Population-based training (Jaderberg et al. 2017) is many fits, each from another's `end`:
 *
 *   fit(settings A) ─> end ──┬──> fit(settings A, start: end)   as if it had never been stopped
 *                            └──> fit(settings B, start: end)   other rates, weights or batch
 */
import { setImmediate } from "node:timers/promises";
import { assert } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import { Interrupted, UserError } from "../base/error.ts";
import { random } from "../base/random.ts";
import { SCALE_MAX, type SequenceSet } from "../dataset/sequence.ts";
import { deviation } from "../metrics/moments.ts";
import type { Settings } from "../nn/hyperparameter.ts";
import { LOSS_NAMES, type LossName, type PositionKind } from "../nn/loss.ts";
import type { Architecture, ParameterSpec } from "../nn/model.ts";
import { rateAt, type ScheduleName } from "../nn/schedule.ts";
import { initialiseParameters } from "../nn/scope.ts";
import { trainGraph, type TrainGraph } from "../nn/train-graph.ts";
import type { Program, Runtime, Tensors, Values } from "../runtime/runtime.ts";
import { batchFeeds, describeBatch, unsoundInput, type BatchFeeds } from "./batch-feeds.ts";
import type { Checkpoint, CheckpointStore, EpochSums, HistoryRow, Identity, TrainedState }
  from "./checkpoint.ts";
import { diversifiedSharpe, makeEvaluator, type Evaluator } from "./evaluate.ts";
import { identityOf } from "./identity.ts";
import { zeroState } from "./keep-programs.ts";
import { lossWeights, settingsOf, type Training } from "./settings.ts";
import { chainsOf, cutSteps, dealChains, NO_SEQUENCE } from "./streams.ts";

export interface FitOptions {
  readonly architecture: Architecture;
  /**
   * What was said of the architecture's hyperparameters and of `TRAINING`; defaults for the rest.
   */
  readonly settings: Settings;
  readonly training: SequenceSet;
  /** Sequences without overlap, each instrument's in time order. */
  readonly validation: SequenceSet;
  readonly seed: number;
  readonly runtime: Runtime;
  /**
   * Parameters and moments to start from, of a network of the same shape, instead of new ones.
   * `epochs`, shuffles, masks and the schedule count on from its epoch; patience starts anew.
   */
  readonly start?: TrainedState;
  /**
   * Terms of the loss that are computed even where the settings give them weight 0, so that fits
   * with other weights share a graph (keepPrograms). One that trains positions makes the position
   * tanh(score), whatever its weight.
   */
  readonly terms?: readonly LossName[];
  /**
   * State goes from each sequence to the one that follows it, in training and validation, instead
   * of starting at zero (architectures that have one; sequences do not overlap). A batch then walks
   * at most as many sequences as there are chains of them.
   */
  readonly carry?: boolean;
  /** Where checkpoints go after each epoch, and where training goes on from when there is one. */
  readonly store?: CheckpointStore;
  readonly clock: Clock;
  readonly signal?: AbortSignal;
  /** The command that goes on, for `Interrupted`. */
  readonly resume?: string;
  readonly onEpoch?: (row: HistoryRow) => void;
}

export interface FitResult {
  /** (P) after the best epoch. */
  readonly parameters: Float32Array;
  readonly specs: readonly ParameterSpec[];
  readonly positionKind: PositionKind;
  readonly history: readonly HistoryRow[];
  /** From 1. */
  readonly bestEpoch: number;
  /** Gross, of the best epoch. */
  readonly validationSharpe: number;
  /** After the last epoch, which is not the best one: where another fit may start. */
  readonly end: TrainedState;
  /** Damaged checkpoints that were passed over. */
  readonly notes: readonly string[];
}

/** The end of a fit whose numbers left the range of floats. Nothing after its checkpoints is kept. */
export class Diverged extends UserError {
  /** Without where the checkpoints are. */
  readonly reason: string;
  /** Whole epochs before. */
  readonly history: readonly HistoryRow[];
  constructor(reason: string, checkpoint: string | null, hint: string,
    history: readonly HistoryRow[]) {
    super(reason + (checkpoint === null ? "" : `. The last good checkpoint is ${checkpoint}`), hint);
    this.reason = reason;
    this.history = history;
  }
}

/** What does not change from step to step. */
interface Run {
  readonly options: FitOptions;
  readonly settings: Settings & Training;
  readonly train: TrainGraph;
  readonly program: Program;
  readonly evaluator: Evaluator;
  readonly batch: BatchFeeds;
  readonly stepsPerEpoch: number;
  /** Sequences of each step of an epoch, at most B; NO_SEQUENCE for none. */
  stepsOf(epoch: number): number[][];
}

const NO_SUMS: EpochSums = { loss: 0, terms: {}, gradientNorm: 0, skippedSteps: 0,
  rate: 0, seconds: 0 };

/**
 * Trains, or goes on training from the store's newest checkpoint. UserError: settings that do not
 * exist, returns that never vary, a checkpoint or a start of something else. Diverged: a loss that is
 * not a number, or an epoch without a finite gradient. Interrupted when the signal aborts, after a
 * checkpoint was written.
 */
export async function fit(options: FitOptions): Promise<FitResult> {
  const { architecture, training, validation, runtime, store, carry = false } = options;
  const settings = settingsOf(architecture, options.settings);
  checkSets(training, validation);
  const chains = carry ? chainsOf(training) : [...training.instrument.keys()].map((s) => [s]);
  const B = Math.min(settings.batch, chains.length);
  const size = { B, T: training.lookback, features: training.names.length,
    instruments: training.symbols.length };
  const train = trainGraph(architecture, size, settings,
    { terms: [...lossWeights(settings, options.terms).keys()],
      accumulate: settings.accumulate > 1, carry });
  const identity = identityOf(options, settings, train.graph);
  let now = store?.load(identity) ?? beginning(train, identity, settings, options);
  if (!isFinished(now, settings)) {
    await using program = await runtime.compile(train.graph);
    await using evaluator = await makeEvaluator(runtime, architecture, settings, validation,
      { positionKind: train.positionKind, carry });
    const batch = batchFeeds(train, training, B);
    const stepsOf = (epoch: number): number[][] => {
      const order = random(options.seed, "epoch", epoch).shuffle([...chains]);
      return carry ? dealChains(order, B) : cutSteps(order.flat(), B);
    };
    const run = { options, settings, train, program, evaluator, batch, stepsOf,
      stepsPerEpoch: stepsOf(0).length };
    await program.write(now.state);
    setConstants(batch, settings, options.terms);
    while (!isFinished(now, settings)) {
      now = await trainEpoch(run, now);
      await store?.save(now);
      options.onEpoch?.(now.history.at(-1)!);
    }
  }
  const { best, bestEpoch, history, epoch, state } = now;
  assert(best !== null, "an epoch was trained");
  const { specs, positionKind } = train, { validationSharpe } = rowOf(history, bestEpoch);
  return { parameters: Float32Array.from(best.values), specs, positionKind, history, bestEpoch,
    validationSharpe, end: { epoch, state }, notes: store?.notes ?? [] };
}

/** The history's first row is not epoch 1 in a fit that started from another's end. */
const rowOf = (history: readonly HistoryRow[], epoch: number): HistoryRow =>
  history[epoch - history[0].epoch];

const isFinished = ({ epoch, bestEpoch, step }: Checkpoint,
  { epochs, patience }: Training): boolean =>
  step === 0 && (epoch >= epochs || (bestEpoch > 0 && epoch - bestEpoch >= patience));

/** Refuses what cannot be learned from, before any time is spent on it. */
function checkSets(training: SequenceSet, validation: SequenceSet): void {
  for (const [name, set] of [["training", training], ["validation", validation]] as const) {
    const returns = set.target.filter((_, at) => set.weight[at] !== 0);
    if (returns.length === 0) {
      throw new UserError(
        `there is nothing in the ${name} set: too few bars for one sequence of ${set.lookback}`,
        "choose a shorter --set lookback=N or an earlier start of the data");
    }
    const isConstant = !(deviation(returns) > 0);
    // Volatility that is rounding alone makes returns of any size of it.
    const isRounding = set.scale.every((one, at) => set.weight[at] === 0 || one >= SCALE_MAX);
    if (!isConstant && !isRounding) continue;
    const kind = isConstant ? "are constant" : "hardly vary (volatility under 0.6 % a year)";
    const rows = describeBatch(set, [...Array(set.count).keys()]);
    throw new UserError(`the returns of the ${name} set ${kind}, so there is nothing to learn `
      + `from its ${returns.length} rows: ${rows}`,
    "look at the prices: dmn fetch --dataset NAME --check");
  }
}

/** What is taken over from another fit; half-made gradients are not, and there are none. */
const TRANSPLANTED = ["parameters", "m", "v", "step"];

/** Before the first step. */
function beginning(train: TrainGraph, identity: Identity, { epochs }: Training,
  { seed, start }: FitOptions): Checkpoint {
  const state = startState(train, seed), epoch = start?.epoch ?? 0;
  if (epoch >= epochs) {
    throw new UserError(`the state to start from has done ${epoch} epochs of ${epochs}: `
      + "nothing is left to train", `--set epochs=${epoch + epochs}`);
  }
  if (start !== undefined) {
    for (const name of TRANSPLANTED) state[name] = takeOver(name, start, state[name]);
  }
  return { identity, epoch, step: 0, sums: NO_SUMS, history: [], bestEpoch: 0, best: null, state };
}

function takeOver(name: string, { state }: TrainedState, like: Values): Values {
  const given = state[name], size = given?.values.length ?? 0;
  if (size === like.values.length) return copyOf(given);
  throw new UserError("the state to start from is of another network: "
    + `${size} numbers as its ${name}, not ${like.values.length}`,
  "start from a fit of the same architecture, sizes and inputs");
}

const startState = ({ graph, specs, count }: TrainGraph, seed: number): Record<string, Values> =>
  ({ ...zeroState(graph),
    parameters: { shape: [count], values: initialiseParameters(specs, seed) } });

/** Scalars that no step changes. */
function setConstants(batch: BatchFeeds, settings: Settings & Training,
  terms?: readonly LossName[]): void {
  batch.set("decay", settings.decay);
  batch.set("clip", settings.clip);
  batch.set("costBps", settings.costBps);
  for (const [name, weight] of lossWeights(settings, terms)) {
    batch.set(`lossWeight/${name}`, weight);
  }
}

/** Learning rate of a step of the whole run, counted in updates. */
function rateOf({ settings, stepsPerEpoch }: Run, epoch: number, step: number): number {
  const { schedule, learningRate, warmup, epochs, accumulate } = settings;
  const perEpoch = Math.ceil(stepsPerEpoch / accumulate), steps = epochs * perEpoch;
  const update = epoch * perEpoch + Math.floor(step / accumulate);
  return rateAt(schedule as ScheduleName, learningRate, update,
    { steps, warmupSteps: warmup * perEpoch, dropEvery: Math.ceil(steps / 3) });
}

/** From a checkpoint to the end of its epoch. */
async function trainEpoch(run: Run, start: Checkpoint): Promise<Checkpoint> {
  const { options, settings, program, batch } = run;
  const { seed, signal, store, clock, resume } = options;
  const { epoch } = start, steps = run.stepsOf(epoch);
  const startedMs = clock.now() - start.sums.seconds * 1000;
  let sums = start.sums;
  for (let step = start.step; step < run.stepsPerEpoch; step++) {
    await setImmediate();
    if (signal?.aborted === true) {
      await store?.save({ ...start, step,
        sums: { ...sums, seconds: (clock.now() - startedMs) / 1000 },
        state: await stateOf(run) });
      throw new Interrupted(resume ?? "the same command");
    }
    const indices = steps[step], isLast = step === run.stepsPerEpoch - 1;
    const rate = rateOf(run, epoch, step);
    batch.fill(indices);
    batch.drop(Number(settings.dropout ?? 0), seed, epoch, step);
    batch.set("rate", rate);
    batch.set("apply", isLast || (step + 1) % settings.accumulate === 0 ? 1 : 0);
    const outputs = await program.run(batch.feeds);
    sums = addStep(sums, outputs, rate);
    const place = `epoch ${epoch + 1}, step ${step + 1}`;
    if (!Number.isFinite(outputs.loss.values[0])) {
      throw diverged(run, start, `the loss is not a number in ${place}`, indices);
    }
    if (sums.skippedSteps === run.stepsPerEpoch) {
      throw diverged(run, start, `the gradient is not finite in any of the ${run.stepsPerEpoch} `
        + `steps up to ${place}, though the loss is a number`, indices);
    }
  }
  return closeEpoch(run, start, sums, startedMs);
}

function addStep(sums: EpochSums, outputs: Tensors, rate: number): EpochSums {
  const of = (name: string): number => outputs[name].values[0];
  const norm = of("gradientNorm"), isMade = Number.isFinite(norm);
  const terms = LOSS_NAMES.filter((name) => Object.hasOwn(outputs, `term/${name}`));
  return {
    ...sums, rate, loss: sums.loss + of("loss"),
    gradientNorm: sums.gradientNorm + (isMade ? norm : 0),
    skippedSteps: sums.skippedSteps + (isMade ? 0 : 1),
    terms: Object.fromEntries(terms.map((name) =>
      [name, (sums.terms[name] ?? 0) + of(`term/${name}`)])),
  };
}

/**
 * What ends a fit in a batch. The state is still the one before it: the optimizer keeps it when a
 * number is not finite.
 */
function diverged({ options, settings }: Run, { history }: Checkpoint, problem: string,
  batch: readonly number[]): Diverged {
  const { training, store } = options, indices = batch.filter((s) => s !== NO_SEQUENCE);
  const unsound = unsoundInput(training, indices);
  const rate = Number((settings.learningRate / 10).toPrecision(6));
  const carefully = `train more carefully: --set learningRate=${rate} `
    + `--set clip=${Math.min(settings.clip, 1)}`;
  return new Diverged(`${problem}; the batch was ${describeBatch(training, indices)}`,
    store?.newest() ?? null, unsound === null ? carefully : `look at the prices: ${unsound}`, history);
}

const stateOf = (run: Run): Promise<Tensors> =>
  run.program.read(run.train.graph.state.map(({ name }) => name));

/** Validates, writes the history row, and keeps the parameters when they are the best so far. */
async function closeEpoch(run: Run, start: Checkpoint, sums: EpochSums, startedMs: number):
Promise<Checkpoint> {
  const { options: { validation, clock }, settings, evaluator, stepsPerEpoch } = run;
  const state = await stateOf(run), epoch = start.epoch + 1;
  await evaluator.load(state.parameters);
  const positions = await evaluator.positions(validation);
  const sharpe = diversifiedSharpe(validation, positions, settings.costBps);
  const mean = (sum: number): number => sum / stepsPerEpoch;
  const { skippedSteps } = sums;
  const row: HistoryRow = {
    epoch, loss: mean(sums.loss), skippedSteps, rate: sums.rate,
    gradientNorm: sums.gradientNorm / (stepsPerEpoch - skippedSteps),
    seconds: (clock.now() - startedMs) / 1000,
    terms: Object.fromEntries(Object.entries(sums.terms).map(([name, sum]) => [name, mean(sum)])),
    validationSharpe: sharpe.gross, validationSharpeNet: sharpe.net,
  };
  const before = start.bestEpoch === 0 ? NaN
    : rowOf(start.history, start.bestEpoch).validationSharpeNet;
  // The first epoch is the best so far whatever it is, and any number is better than none.
  const isBetter = start.bestEpoch === 0 || row.validationSharpeNet > before + settings.minDelta
    || (Number.isNaN(before) && !Number.isNaN(row.validationSharpeNet));
  return { ...start, epoch, step: 0, sums: NO_SUMS, history: [...start.history, row], state,
    bestEpoch: isBetter ? epoch : start.bestEpoch,
    best: isBetter ? copyOf(state.parameters) : start.best };
}

const copyOf = ({ shape, values }: Values): Values =>
  ({ shape: [...shape], values: values.slice() });
