/**
 * A trained network as ONNX files, for this program, other programs and other languages.
 *
 *   architecture ─ inferenceGraph ─> Graph (B and T open) ─ encodeOnnx ─> float32, float16
 *                                      └─ printGraph ─> metadata "dmn.graph": blocks as they were
 *                                                       built
 *
 * What was encoded is opened again and asked the same, about real rows, as the graph that was
 * trained: an export that answers otherwise is never written. How far apart rounding may bring two
 * right answers is the network's own doing: one with large weights that runs for 63 steps can make
 * 1e-3 of a last bit. So both are held to a third, the trained graph in float64:
 *
 *   noise(t) = |trained - exact| up to step t           error(t) = |exported - exact| at step t
 *   error(t) <= 1e-6 + 16 noise(t)                      (times the answers' size, where it is > 1)
 *
 * Rounding grows from step to step and is small in the first ones, where a wrong file is as wrong as
 * later. Nothing in the bytes depends on when or where they were made.
 */
import { assert } from "../base/assert.ts";
import type { SequenceSet } from "../dataset/sequence.ts";
import { sizesOf } from "../graph/dimension.ts";
import { printGraph } from "../graph/text.ts";
import type { Settings } from "../nn/hyperparameter.ts";
import type { PositionKind } from "../nn/loss.ts";
import type { Architecture, ParameterSpec } from "../nn/model.ts";
import { unflatten } from "../nn/scope.ts";
import { evaluationGraph, inferenceGraph } from "../nn/train-graph.ts";
import { encodeOnnx } from "../runtime/ort/encode.ts";
import { openOnnx, type OnnxModel } from "../runtime/ort/model.ts";
import { readModel } from "../runtime/ort/onnx.ts";
import { ortRuntime } from "../runtime/ort/program.ts";
import type { Tensors } from "../runtime/runtime.ts";

/** What float32 may differ by where rounding does not grow: sums taken in another order. */
export const FLOAT32_TOLERANCE = 1e-6;
/**
 * Noise is the largest of few answers, and so is the error: their ratio varies. It was at most 3.1 in
 * 15 networks of the papers' search and in LSTMs (4 layers of 512) and Transformers whose first
 * weights were made up to 8 times as large.
 */
const NOISE_FACTOR = 16;
/**
 * What any answer of the float16 file may differ by. Rounded weights cost some networks more, because a
 * weight counts as often as there are steps: of their parameters those that cost most stay in float32.
 */
export const FLOAT16_TOLERANCE = 2e-3;
/** Sequences of the sample that all are asked about, evenly from the set. */
const SAMPLE_ROWS = 16;

export interface ExportOptions {
  readonly architecture: Architecture;
  readonly settings: Settings;
  readonly size: { readonly features: number; readonly instruments: number };
  readonly specs: readonly ParameterSpec[];
  /** (P) */
  readonly parameters: Float32Array;
  readonly positionKind: PositionKind;
  /** Sequences to ask both about. */
  readonly sample: SequenceSet;
  /** Recurrent state is fed (`state/NAME`) and returned (`final/NAME`). */
  readonly isCarried: boolean;
  readonly metadata: Readonly<Record<string, string>>;
}

/** How far the answers of the files are from the trained network's, on the sample. */
export interface ExportErrors {
  /** Largest absolute difference of any answer. */
  readonly float32Error: number;
  readonly float16Error: number;
}

export interface ExportedNetwork extends ExportErrors {
  readonly float32: Uint8Array;
  readonly float16: Uint8Array;
  /** Parameters that the float16 file holds in float32. */
  readonly unrounded: readonly string[];
  readonly opset: number;
}

/** Encodes and verifies both files. Asserts that float32 answers as the training graph does. */
export async function exportNetwork(options: ExportOptions): Promise<ExportedNetwork> {
  const { architecture, settings, size, specs, parameters, positionKind, isCarried } = options;
  const graph = inferenceGraph(architecture, size, settings, { positionKind, carry: isCarried });
  const metadata = { "dmn.format": "1", ...options.metadata, "dmn.graph": printGraph(graph) };
  const encode: Encode = (precision, unrounded) => encodeOnnx(graph, { precision, unrounded,
    parameters: unflatten(specs, parameters), metadata: { ...metadata, "dmn.weights": precision,
      ...(unrounded === undefined || unrounded.size === 0 ? {}
        : { "dmn.unrounded": JSON.stringify([...unrounded]) }) } });
  const feeds = sampleOf(options.sample), float32 = encode("float32");
  const { trained, found } = await checkExport(float32, options, feeds);
  const costOf = async (bytes: Uint8Array): Promise<number> =>
    largestGap(await askExported(bytes, feeds, Object.keys(trained)), trained);
  return { float32, float32Error: largestGap(found, trained), opset: opsetOf(float32),
    ...await halve(specs.map(({ name }) => name), encode, costOf) };
}

/** Asks a float32 file what `options` were trained to say; asserts that it says it. Both answers. */
export async function checkExport(file: Uint8Array, options: ExportOptions,
  feeds: Tensors = sampleOf(options.sample)): Promise<{ trained: Tensors; found: Tensors }> {
  const trained = await askTrained(options, feeds, "float32");
  const found = await askExported(file, feeds, Object.keys(trained));
  checkAnswers({ trained, exact: await askTrained(options, feeds, "float64"), found });
  return { trained, found };
}

type Encode = (precision: "float32" | "float16", unrounded?: ReadonlySet<string>) => Uint8Array;

/**
 * The float16 file: as many parameters in half precision as the tolerance allows. Those that cost most when
 * they alone are rounded are left as they are first.
 */
async function halve(names: readonly string[], encode: Encode,
  costOf: (bytes: Uint8Array) => Promise<number>):
Promise<Pick<ExportedNetwork, "float16" | "float16Error" | "unrounded">> {
  const kept: string[] = [];
  let float16 = encode("float16"), float16Error = await costOf(float16);
  if (float16Error > FLOAT16_TOLERANCE) {
    const costs: { name: string; cost: number }[] = [];
    for (const name of names) {
      const others = new Set(names.filter((other) => other !== name));
      costs.push({ name, cost: await costOf(encode("float16", others)) });
    }
    costs.sort((one, other) => other.cost - one.cost);
    while (float16Error > FLOAT16_TOLERANCE && kept.length < costs.length) {
      kept.push(costs[kept.length].name);
      float16 = encode("float16", new Set(kept));
      float16Error = await costOf(float16);
    }
  }
  return { float16, float16Error, unrounded: kept };
}

/** Version of the standard's op set; asserts that a file uses no other. */
function opsetOf(bytes: Uint8Array): number {
  const { opsetImport } = readModel(bytes, "the exported network");
  assert(opsetImport.length === 1 && opsetImport[0].domain === "",
    "an exported network has standard ops only");
  return Number(opsetImport[0].version);
}

/** Inputs of a few sequences: features (B, T, F), instrument (B). */
function sampleOf({ count, lookback: T, names, features, instrument }: SequenceSet): Tensors {
  const B = Math.min(SAMPLE_ROWS, count), width = T * names.length;
  const chosen = Array.from({ length: B }, (_, b) => Math.floor((b * count) / B));
  const values = new Float32Array(B * width);
  chosen.forEach((s, b) => { values.set(features.subarray(s * width, (s + 1) * width), b * width); });
  return { features: { shape: [B, T, names.length], values },
    instrument: { shape: [B], values: Float32Array.from(chosen, (s) => instrument[s]) } };
}

/** What the graph of training says of the sample. */
async function askTrained({ architecture, settings, size, parameters, positionKind }: ExportOptions,
  sample: Tensors, precision: "float32" | "float64"): Promise<Tensors> {
  const [B, T] = sample.features.shape;
  const graph = evaluationGraph(architecture, { ...size, B, T }, settings, { positionKind });
  await using program = await ortRuntime({ precision }).compile(graph);
  await program.write({ parameters: { shape: [parameters.length], values: parameters } });
  // The program's own buffers do not outlive it.
  return copyOf(await program.run(feedsOf(graph.inputs, sample)));
}

/** What a file says of it. */
async function askExported(bytes: Uint8Array, sample: Tensors, fetch: readonly string[]):
Promise<Tensors> {
  const model = await openOnnx(bytes, { threads: 1 });
  const all = { ...sample, ...zeroStates(model, sample.features.shape[0]) };
  try { return copyOf(await model.run(feedsOf(model.inputs, all), fetch)); } finally { await model.close(); }
}

/** Fed where state is carried: every network starts from zeros. */
function zeroStates({ inputs }: OnnxModel, B: number): Tensors {
  return Object.fromEntries(inputs.filter(({ name }) => name.startsWith("state/"))
    .map(({ name, shape }) => {
      const sizes = sizesOf(shape, { B });
      return [name, { shape: sizes, values: new Float32Array(sizes.reduce((a, b) => a * b, 1)) }];
    }));
}

const feedsOf = (inputs: readonly { readonly name: string }[], sample: Tensors): Tensors =>
  Object.fromEntries(inputs.map(({ name }) => [name, sample[name]]));

const copyOf = (answers: Tensors): Tensors => Object.fromEntries(Object.entries(answers)
  .map(([name, { shape, values }]) => [name, { shape: [...shape], values: values.slice() }]));

/** Largest absolute difference; Infinity where one of two is not a number. */
function largestGap(a: Tensors, b: Tensors): number {
  let worst = 0;
  for (const [name, { values }] of Object.entries(b)) {
    values.forEach((value, k) => { worst = Math.max(worst, gapOf(value, a[name].values[k])); });
  }
  return worst;
}

function gapOf(a: number, b: number): number {
  const gap = Math.abs(a - b);
  return Number.isNaN(gap) ? Infinity : gap;
}

/** Asserts that what a file answers is the trained network's answer but for rounding; (B, T) each. */
export function checkAnswers({ trained, exact, found }:
{ trained: Tensors; exact: Tensors; found: Tensors }): void {
  for (const [name, { shape: [B, T], values }] of Object.entries(exact)) {
    let size = 1;
    for (const value of values) size = Math.max(size, Math.abs(value));
    const atStep = (of: Tensors, t: number): number => Array.from({ length: B }, (_, b) =>
      gapOf(of[name].values[b * T + t], values[b * T + t])).reduce((a, b) => Math.max(a, b));
    let noise = 0;
    for (let t = 0; t < T; t++) {
      noise = Math.max(noise, atStep(trained, t));
      const error = atStep(found, t), bound = FLOAT32_TOLERANCE * size + NOISE_FACTOR * noise;
      assert(error <= bound, `the exported network's ${name} differs from the trained one's by `
        + `${error} in step ${t + 1}, where rounding makes ${noise}`);
    }
  }
}
