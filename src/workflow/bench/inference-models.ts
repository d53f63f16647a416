/** The networks of `dmn bench inference`: shapes of the system's latency tables, 60 rows of 200 features. */
import { architectureNamed } from "../../../models/index.ts";
import { UserError } from "../../base/error.ts";
import { random } from "../../base/random.ts";
import { suggestion } from "../../base/suggest.ts";
import type { Graph } from "../../graph/graph.ts";
import { printGraph } from "../../graph/text.ts";
import type { Settings } from "../../nn/hyperparameter.ts";
import type { ParameterSpec } from "../../nn/model.ts";
import { collectParameters } from "../../nn/scope.ts";
import { inferenceGraph } from "../../nn/train-graph.ts";
import { encodeOnnx } from "../../runtime/ort/encode.ts";
import type { Values } from "../../runtime/runtime.ts";
import { settingsOf } from "../../train/settings.ts";

export interface BenchModel {
  readonly name: string;
  readonly architecture: "lstm" | "encoder";
  readonly said: Settings;
  /** T */
  readonly steps: number;
  /** F */
  readonly features: number;
  /** Rows of a run on a GPU. */
  readonly batches: readonly number[];
  /** What is promised of the device in float16, microseconds by batch. */
  readonly maximumUs: Readonly<Record<number, number>>;
  /** Predictions a second, by batch. */
  readonly atLeast: Readonly<Record<number, number>>;
}

const lstm = (hidden: number, layers: number, batches: readonly number[],
  maximumUs: BenchModel["maximumUs"], atLeast: BenchModel["atLeast"] = {}): BenchModel => ({
  name: `lstm-${hidden}x${layers}`, architecture: "lstm", said: { hidden, layers }, steps: 60, features: 200,
  batches, maximumUs, atLeast });

export const BENCH_MODELS: readonly BenchModel[] = [
  lstm(512, 2, [1, 8, 32, 128, 512, 4096], { 1: 45, 8: 60, 32: 90, 128: 180, 512: 450 },
    { 512: 1.1e6, 4096: 1.5e6 }),
  lstm(1024, 4, [1, 128, 512], { 1: 250, 128: 1100, 512: 3700 }),
  lstm(64, 1, [1, 128, 512, 4096], { 1: 30, 4096: 250 }),
  { name: "encoder-512x4", architecture: "encoder", steps: 60, features: 200,
    said: { width: 512, attentionHeads: 8, layers: 4 }, batches: [1, 32, 128, 512],
    maximumUs: { 1: 90, 32: 180, 128: 500, 512: 1800 }, atLeast: {} },
];

/** Those of these names, all of them for null. UserError when there is no such network. */
export function benchModels(names: readonly string[] | null): readonly BenchModel[] {
  return names === null ? BENCH_MODELS : names.map((name) => {
    const found = BENCH_MODELS.find((model) => model.name === name);
    if (found !== undefined) return found;
    throw new UserError(`dmn bench knows no model "${name}"`,
      suggestion(name, BENCH_MODELS.map((model) => model.name)));
  });
}

/** What decides how fast a network answers. */
type Measurable = Pick<BenchModel, "said" | "steps" | "features"> & { readonly architecture: string };

/** Its graph, B and T open, or streamed with its state. */
export function graphOf({ architecture, said, features }: Omit<Measurable, "steps">,
  { carry = false } = {}): Graph {
  const found = architectureNamed(architecture);
  return inferenceGraph(found, { features, instruments: 1 }, settingsOf(found, said), { carry });
}

/** An exported file of it with new random weights, as `dmn train-export` writes. */
export function exported(model: Measurable, { carry = false } = {}): Uint8Array {
  const { architecture, said, features, steps } = model;
  const found = architectureNamed(architecture), settings = settingsOf(found, said);
  const specs = collectParameters(found, { features, instruments: 1, B: 1, T: steps }, settings);
  const graph = graphOf(model, { carry });
  return encodeOnnx(graph, { precision: "float32", metadata: { "dmn.graph": printGraph(graph) },
    parameters: Object.fromEntries(specs.map((spec) => [spec.name, randomValues(spec)])) });
}

/**
 * Uniform in +-1 / sqrt(fan-in), about what the peers start from: the orthogonal matrices that training
 * starts from take half a minute at 1024 units. Scales of norms are 1.
 */
function randomValues({ name, shape }: ParameterSpec): Values {
  const stream = random(0, "bench", name), count = shape.reduce((a, b) => a * b, 1);
  const bound = 1 / Math.sqrt(shape[0]);
  const draw = name.endsWith("/scale") ? () => 1 : () => bound * (2 * stream.uniform() - 1);
  return { shape, values: repeated(count, 1 << 18, draw) };
}

/** Values drawn one by one; those after the first `drawn` repeat them, since tens of millions take long. */
export function repeated(count: number, drawn: number, draw: () => number): Float32Array {
  const values = new Float32Array(count), own = Math.min(count, drawn);
  for (let k = 0; k < own; k++) values[k] = draw();
  for (let at = own; at < count; at += own) values.copyWithin(at, 0, Math.min(own, count - at));
  return values;
}
