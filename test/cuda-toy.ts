/**
 * A network whose answer can be said in a line, as a file and as a kernel, so that the engine is tested without the
 * lowering of real ones:
 *
 *   s = 0.01 sum over t, f of (t + 1) w[f] x[t, f]       position = tanh(s), confidence = sigmoid(s)
 */
import { broadcast, add, input, iota, mul, reshape, sigmoid, sum, tanh } from "../src/graph/ops.ts";
import { makeGraph, type Graph } from "../src/graph/graph.ts";
import { printGraph } from "../src/graph/text.ts";
import { random } from "../src/base/random.ts";
import type { Argument } from "../src/runtime/cuda/launch.ts";
import type { NetworkFile } from "../src/runtime/cuda/engine/models.ts";
import { BUFFERS, type LowerNetwork } from "../src/runtime/cuda/engine/plan.ts";
import { encodeOnnx } from "../src/runtime/ort/encode.ts";

export const TOY = { T: 5, F: 3 } as const;

function toyGraph(): Graph {
  const features = input("features", ["B", "T", TOY.F]), w = input("w", [TOY.F]);
  const weighted = mul(mul(features, w), reshape(add(iota("T"), 1), ["T", 1]));
  const s = mul(reshape(sum(weighted, [1, 2]), ["B", 1]), 0.01);
  return makeGraph("toy", { inputs: [features], state: [{ tensor: w }], outputs: {
    position: tanh(broadcast(s, ["B", "T"])), confidence: sigmoid(broadcast(s, ["B", "T"])) } });
}

/** The toy with these weights (F), as `dmn train-export` would have written it. */
export function toyFile(w: readonly number[], name = "toy.onnx"): NetworkFile {
  const graph = toyGraph(), parameters = { w: { shape: [TOY.F], values: Float32Array.from(w) } };
  return { name, bytes: encodeOnnx(graph, { precision: "float32", parameters, metadata: { "dmn.graph": printGraph(graph) } }) };
}

/** What the toy says of a window (T, F), in float64. */
export function toyAnswer(w: readonly number[], window: ArrayLike<number>): { position: number; confidence: number } {
  let s = 0;
  for (let t = 0; t < TOY.T; t++) for (let f = 0; f < TOY.F; f++) s += 0.01 * (t + 1) * w[f] * window[t * TOY.F + f];
  return { position: Math.tanh(s), confidence: 1 / (1 + Math.exp(-s)) };
}

/** Windows (rows, T, F) by seed. */
export function toyWindows(rows: number, seed: number): Float32Array {
  const stream = random(seed, "toy windows");
  return Float32Array.from({ length: rows * TOY.T * TOY.F }, () => stream.normal());
}

/** Stops itself at a first feature of 1e30. */
const SOURCE = `#include "ptx.cuh"
struct Toy { const float* x; const u32* start; const float* w; float* position; float* confidence; u32* done;
  u32 reads_ring, tells, T, F; };
KERNEL(32, toy, Toy) {
  if (threadIdx.x) return;
  const u32 b = blockIdx.x, start = a.reads_ring ? *a.start : 0;
  if (a.x[(u64)b * a.T * a.F] > 9e29f) trap();
  float s = 0.f;
  for (u32 t = 0; t < a.T; t++)
    for (u32 f = 0; f < a.F; f++) s += (t + 1) * a.w[f] * a.x[((u64)b * a.T + (start + t) % a.T) * a.F + f];
  a.position[b] = 1.f - 2.f / (1.f + exp2_fast(2.8853900817779268f * 0.01f * s));
  a.confidence[b] = 1.f / (1.f + exp2_fast(-1.4426950408889634f * 0.01f * s));
  if (a.tells) add_release_system(a.done, 1);
}`;

export interface ToyLowering {
  /** Whether its kernel says itself when it is done, and reads a ring. */
  readonly isWhole?: boolean;
  readonly isCooperative?: boolean;
}

/** Launches of the toy. */
export const lowerToy = ({ isWhole = false, isCooperative = false }: ToyLowering = {}): LowerNetwork =>
  (graph, { isRing }) => {
    const [B, T, F] = graph.inputs[0].tensor.shape as number[], readsRing = isRing && isWhole;
    const address = (buffer: string): Argument => ({ kind: "address", buffer });
    const number = (value: number): Argument => ({ kind: "u32", value });
    return {
      list: { name: "toy", buffers: [{ name: "x", bytes: 4 * B * T * F, role: "input" },
        { name: "w", bytes: 4 * F, role: "weight" },
        { name: "position", bytes: 4 * B, role: "output" }, { name: "confidence", bytes: 4 * B, role: "output" }],
      launches: [{ source: { name: "toy.cu", text: SOURCE, defines: {} }, kernel: "toy", grid: [B, 1, 1], block: 32,
        sharedBytes: 0, isCooperative, arguments: [address("x"), address(readsRing ? BUFFERS.start : "x"), address("w"),
          address("position"), address("confidence"), address(BUFFERS.done), number(Number(readsRing)),
          number(Number(isWhole)), number(T), number(F)] }] },
      inputs: { features: "x" }, outputs: { position: "position", confidence: "confidence" },
      isRing: readsRing, completions: isWhole ? B : 0,
      pack: ({ w }) => new Map([["w", new Uint8Array(Float32Array.from(w.values).buffer)]]),
    };
  };
