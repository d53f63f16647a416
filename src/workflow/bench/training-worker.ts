/**
 * A process that trains a made-up network and says how long its steps took: what `dmn bench training`
 * starts, one or two at a time, because memory and threads are a process's. Prints one JSON object.
 */
import { random } from "../../base/random.ts";
import { architectureNamed } from "../../../models/index.ts";
import { trainGraph } from "../../nn/train-graph.ts";
import { initialiseParameters } from "../../nn/scope.ts";
import { cpuRuntime, type CpuEngine } from "../../runtime/cpu.ts";
import type { Values } from "../../runtime/runtime.ts";
import { settingsOf } from "../../train/settings.ts";
import { quantile } from "./row.ts";
import type { TrainingSize } from "./training.ts";

export interface TrainingFigures {
  /** Milliseconds of each step. */
  readonly steps: readonly number[];
  /** From the graph to the first step that can be run, milliseconds. */
  readonly compileMs: number;
  /** Largest resident memory of the process, MiB. */
  readonly peakMib: number;
  /** After the last step: that something was trained. */
  readonly loss: number;
}

const { size, threads, engine, steps } = JSON.parse(process.argv[2]) as
  { size: TrainingSize; threads: number; engine: CpuEngine; steps: number };

const { B, T, features, model, said } = size;
const architecture = architectureNamed(model);
const settings = settingsOf(architecture, { ...said, dropout: 0 });
const train = trainGraph(architecture, { B, T, features, instruments: 1 }, settings,
  { terms: ["sharpe", "turnover"] });
const stream = random(1, "bench", "training");
const normal = (count: number, scale: number): Float32Array =>
  Float32Array.from({ length: count }, () => stream.normal() * scale);
const filled: Readonly<Record<string, (count: number) => Float32Array>> = {
  features: (count) => normal(count, 1), target: (count) => normal(count, 0.01),
  instrument: (count) => new Float32Array(count), decay: (count) => new Float32Array(count),
  costBps: (count) => new Float32Array(count), rate: () => Float32Array.of(1e-3),
  "lossWeight/turnover": () => Float32Array.of(1e-2),
};
const feeds: Record<string, Values> = {};
for (const { name, tensor } of train.graph.inputs) {
  const shape = tensor.shape as readonly number[], count = shape.reduce((a, b) => a * b, 1);
  feeds[name] = { shape, values: filled[name]?.(count) ?? new Float32Array(count).fill(1) };
}

const before = performance.now();
await using program = await cpuRuntime({ threads, engine }).compile(train.graph);
const compileMs = performance.now() - before;
await program.write({ parameters: { shape: [train.count], values: initialiseParameters(train.specs, 0) } });
const times: number[] = [];
let loss = NaN;
for (let step = -5; step < steps; step++) {
  const start = performance.now();
  const out = await program.run(feeds);
  if (step >= 0) times.push(performance.now() - start);
  loss = out.loss.values[0];
}
const figures: TrainingFigures = {
  steps: [0.25, 0.5, 0.75].map((share) => quantile(times, share)),
  compileMs, peakMib: process.resourceUsage().maxRSS / 1024, loss,
};
process.stdout.write(`${JSON.stringify(figures)}\n`);
