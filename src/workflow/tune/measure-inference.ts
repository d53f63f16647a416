/**
 * How fast a network answers, as an objective: measured on whatever worker runs the trial, under whatever
 * load, and yet comparable.
 *
 *   calibration loop, one run, calibration loop, one run, ...
 *   latency = quick run / quick loop x the loop's time where the study was begun      (first decile)
 *
 * A machine that is twice as fast, or half asleep, changes both. What is left of the noise is put into boxes
 * of 10 %: two networks within one box are equally fast, and dominance does not hang on the weather.
 */
import { random } from "../../base/random.ts";
import type { Settings } from "../../nn/hyperparameter.ts";
import type { Architecture } from "../../nn/model.ts";
import { openOnnx } from "../../runtime/ort/model.ts";
import type { Values } from "../../runtime/runtime.ts";
import { exported } from "../bench/inference-models.ts";
import { quantile } from "../bench/row.ts";

/** Relative size of a box. */
const BOX = 0.1;
const THROUGHPUT_BATCH = 128;
/** Runs of each size; one that takes long is cut short. */
const RUNS = 100;
const RUNS_MIN = 10;
const MS_MAX = 1_000;
/** Of runs and of loops: what others on the machine take only makes times longer. */
const QUICK = 0.1;

export interface Inference {
  readonly latencyMs: number;
  readonly windowsPerSecond: number;
  /** Of this worker while it measured, ms. */
  readonly calibrationMs: number;
  /** (runs) of one window, as they were, ms. */
  readonly samplesMs: readonly number[];
}

const SIDE = 96;
const LEFT = Float64Array.from({ length: SIDE * SIDE }, (_, k) => Math.sin(k));
const RIGHT = Float64Array.from(LEFT, (_, k) => Math.cos(k));
const PRODUCT = new Float64Array(SIDE * SIDE);

/**
 * Processor time of this process since `start`, ms. Unlike a clock's it does not pass while somebody else
 * has the core; a run has one thread.
 */
function processorMs(start: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}

/** A product of two fixed matrices, milliseconds. */
function calibrateOnce(): number {
  const start = process.cpuUsage();
  for (let i = 0; i < SIDE; i++) {
    for (let j = 0; j < SIDE; j++) {
      let sum = 0;
      for (let k = 0; k < SIDE; k++) sum += LEFT[i * SIDE + k] * RIGHT[k * SIDE + j];
      PRODUCT[i * SIDE + j] = sum;
    }
  }
  return processorMs(start);
}

/** Milliseconds of the calibration loop here and now, undisturbed. */
export function calibrate(): number {
  for (let k = 0; k < RUNS_MIN; k++) calibrateOnce();
  return quantile(Array.from({ length: RUNS }, calibrateOnce), QUICK);
}

/** The middle of the box that a positive number is in. */
export const boxed = (value: number): number =>
  Math.exp(Math.round(Math.log(value) / Math.log1p(BOX)) * Math.log1p(BOX));

export interface InferenceSubject {
  readonly architecture: Architecture;
  readonly settings: Settings;
  /** F and T of a window. */
  readonly features: number;
  readonly lookback: number;
}

/** `classMs`: the calibration loop's time that figures are told in. */
export async function measureInference({ architecture, settings, features, lookback }: InferenceSubject,
  classMs: number): Promise<Inference> {
  const network = await openOnnx(exported({ architecture: architecture.name, said: settings, features,
    steps: lookback }));
  try {
    calibrate();
    const one = await timeRuns(network, 1, lookback, features);
    const many = await timeRuns(network, THROUGHPUT_BATCH, lookback, features);
    return {
      latencyMs: boxed(one.ratio * classMs), calibrationMs: one.calibrationMs, samplesMs: one.samplesMs,
      windowsPerSecond: boxed(1000 * THROUGHPUT_BATCH / (many.ratio * classMs)),
    };
  } finally { await network.close(); }
}

interface Timed {
  /** A quick run over a quick loop. */
  readonly ratio: number;
  readonly calibrationMs: number;
  readonly samplesMs: readonly number[];
}

async function timeRuns(network: Awaited<ReturnType<typeof openOnnx>>, B: number, T: number, F: number):
Promise<Timed> {
  const stream = random(3, "tune", "inference");
  const given: Record<string, Values> = {
    features: { shape: [B, T, F], values: Float32Array.from({ length: B * T * F }, () => stream.normal()) },
    instrument: { shape: [B], values: new Float32Array(B) } };
  const feeds = Object.fromEntries(network.inputs.map(({ name }) => [name, given[name]]));
  const samplesMs: number[] = [], loops: number[] = [];
  await network.run(feeds);
  const begun = performance.now();
  for (let k = 0; k < RUNS && (k < RUNS_MIN || performance.now() - begun < MS_MAX); k++) {
    loops.push(calibrateOnce());
    const start = process.cpuUsage();
    await network.run(feeds);
    samplesMs.push(processorMs(start));
  }
  const calibrationMs = quantile(loops, QUICK);
  return { ratio: quantile(samplesMs, QUICK) / calibrationMs, calibrationMs, samplesMs };
}
