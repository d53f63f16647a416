/**
 * A trained network as ONNX files, for this program, other programs and other languages.
 *
 *   architecture ─ inferenceGraph ─> Graph (B and T open) ─ encodeOnnx ─> float32, float16
 *                                      └─ printGraph ─> metadata "dmn.graph": blocks as they were built
 *
 * What was encoded is opened again and asked the same as the graph that was trained: an export that answers
 * otherwise is never written. Nothing in the bytes depends on when or where they were made.
 */
import { assert } from "../base/assert.ts";
import { random } from "../base/random.ts";
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

/** Largest difference that float32 may make: sums in another order, over the steps of a window. */
export const FLOAT32_TOLERANCE = 1e-6;
/** What half precision is expected to stay within; a network that does not is told, not refused. */
export const FLOAT16_TOLERANCE = 2e-3;
/** Rows of the sample that both are asked about. */
const SAMPLE_ROWS = 8;

export interface ExportOptions {
  readonly architecture: Architecture;
  readonly settings: Settings;
  readonly size: { readonly features: number; readonly instruments: number };
  readonly specs: readonly ParameterSpec[];
  /** (P) */
  readonly parameters: Float32Array;
  readonly positionKind: PositionKind;
  /** T of the sample. */
  readonly lookback: number;
  /** Recurrent state is fed (`state/NAME`) and returned (`final/NAME`). */
  readonly isCarried: boolean;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface ExportedNetwork {
  readonly float32: Uint8Array;
  readonly float16: Uint8Array;
  /** Largest absolute difference of any head from the trained graph, on the sample. */
  readonly float32Error: number;
  readonly float16Error: number;
  readonly opset: number;
}

/** Encodes and verifies both files. Asserts that float32 answers as the training graph does. */
export async function exportNetwork(options: ExportOptions): Promise<ExportedNetwork> {
  const { architecture, settings, size, specs, parameters, positionKind, isCarried } = options;
  const graph = inferenceGraph(architecture, size, settings,
    { positionKind, carry: isCarried });
  const metadata = { "dmn.format": "1", ...options.metadata, "dmn.graph": printGraph(graph) };
  const encode = (precision: "float32" | "float16"): Uint8Array =>
    encodeOnnx(graph, { precision, parameters: unflatten(specs, parameters), metadata });
  const float32 = encode("float32"), float16 = encode("float16");
  const { feeds, expected } = await askTrained(options);
  const float32Error = await difference(float32, feeds, expected);
  const float16Error = await difference(float16, feeds, expected);
  assert(float32Error <= FLOAT32_TOLERANCE,
    `the exported network differs from the trained one by ${float32Error}`);
  return { float32, float16, float32Error, float16Error, opset: opsetOf(float32) };
}

/** Version of the standard's op set; asserts that a file uses no other. */
function opsetOf(bytes: Uint8Array): number {
  const { opsetImport } = readModel(bytes, "the exported network");
  assert(opsetImport.length === 1 && opsetImport[0].domain === "",
    "an exported network has standard ops only");
  return Number(opsetImport[0].version);
}

/** A sample of inputs, and what the graph of training says of it. */
async function askTrained(options: ExportOptions): Promise<{ feeds: Tensors; expected: Tensors }> {
  const { architecture, settings, size, parameters, positionKind, lookback: T } = options;
  const B = SAMPLE_ROWS, stream = random(0, "export sample");
  const graph = evaluationGraph(architecture, { ...size, B, T }, settings, { positionKind });
  const all: Tensors = {
    features: { shape: [B, T, size.features],
      values: Float32Array.from({ length: B * T * size.features }, () => stream.normal()) },
    instrument: { shape: [B], values: Float32Array.from({ length: B }, (_, b) => b % size.instruments) },
  };
  const feeds = Object.fromEntries(graph.inputs.map(({ name }) => [name, all[name]]));
  await using program = await ortRuntime().compile(graph);
  await program.write({ parameters: { shape: [parameters.length], values: parameters } });
  const outputs = await program.run(feeds);
  // The program's own buffers do not outlive it.
  const expected = Object.fromEntries(Object.entries(outputs)
    .map(([name, { shape, values }]) => [name, { shape, values: values.slice() }]));
  return { feeds, expected };
}

/** Fed where state is carried: every network starts from zeros. */
function zeroStates({ inputs }: OnnxModel, B: number): Tensors {
  return Object.fromEntries(inputs.filter(({ name }) => name.startsWith("state/"))
    .map(({ name, shape }) => {
      const sizes = sizesOf(shape, { B });
      return [name, { shape: sizes, values: new Float32Array(sizes.reduce((a, b) => a * b, 1)) }];
    }));
}

async function difference(bytes: Uint8Array, feeds: Tensors, expected: Tensors): Promise<number> {
  const model = await openOnnx(bytes, { threads: 1 });
  try {
    const names = Object.keys(expected), B = feeds.features.shape[0];
    const found = await model.run({ ...feeds, ...zeroStates(model, B) }, names);
    let worst = 0;
    for (const name of names) {
      expected[name].values.forEach((value, k) => {
        const gap = Math.abs(value - found[name].values[k]);
        worst = Number.isNaN(gap) ? Infinity : Math.max(worst, gap);
      });
    }
    return worst;
  } finally { await model.close(); }
}
