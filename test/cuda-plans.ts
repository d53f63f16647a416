/** Plans that between them use every kernel of src/runtime/cuda/kernels in each way it can be compiled for. */
import { ARCHITECTURES } from "../models/index.ts";
import { lastStep } from "../src/graph/last-step.ts";
import { bindSizes } from "../src/graph/rewrite.ts";
import type { Settings } from "../src/nn/hyperparameter.ts";
import { inferenceGraph, trainGraph } from "../src/nn/train-graph.ts";
import { planAttention, type Attention } from "../src/runtime/cuda/gemm/attention.ts";
import { planGemm, type Gemm } from "../src/runtime/cuda/gemm/gemm.ts";
import { planMatmul } from "../src/runtime/cuda/gemm/matmul.ts";
import { planConvert, planHead, planLayerNorm, planStatistics } from "../src/runtime/cuda/gemm/norm.ts";
import type { CudaPrecision, DeviceFacts, KernelSource, Launch } from "../src/runtime/cuda/launch.ts";
import { lowerGraph } from "../src/runtime/cuda/lower/lower.ts";
import { planLstmBlock } from "../src/runtime/cuda/lstm/block.ts";
import { planLstmGrid } from "../src/runtime/cuda/lstm/grid.ts";
import type { LstmStack } from "../src/runtime/cuda/lstm/stack.ts";
import { planLstmStream } from "../src/runtime/cuda/lstm/stream.ts";
import { planLstmTile } from "../src/runtime/cuda/lstm/tile.ts";
import { planLstmWave } from "../src/runtime/cuda/lstm/wave.ts";

/** GPUs before Hopper: no clusters, no warpgroup products, less shared memory. */
export const A100: DeviceFacts = { name: "NVIDIA A100", capability: 80, multiprocessors: 108, sharedBytesMax: 166_912,
  l2Bytes: 40 * 2 ** 20, memoryBytes: 80 * 10 ** 9, activeClusters: {} };
export const L4: DeviceFacts = { name: "NVIDIA L4", capability: 89, multiprocessors: 58, sharedBytesMax: 101_376,
  l2Bytes: 48 * 2 ** 20, memoryBytes: 24 * 10 ** 9, activeClusters: {} };

const matrix = (buffer: string, stride: number): { buffer: string; stride: number } => ({ buffer, stride });

export function gemm(M: number, N: number, K: number, precision: CudaPrecision, more: Partial<Gemm> = {}): Gemm {
  return { M, N, K, precision, a: matrix("a", K), out: matrix("out", N), epilogue: { hasBias: true }, ...more };
}

/** Attention that reads q, k and v from one product (B, T, 3 heads d) and writes (B, T, heads d). */
export function attention(B: number, T: number, heads: number, d: number, precision: CudaPrecision): Attention {
  const of = (buffer: string, offset: number, row: number): Attention["q"] =>
    ({ buffer, offset, batchStride: T * row, headStride: d, rowStride: row });
  const row = 3 * heads * d;
  return { B, T, heads, d, dv: d, precision, scale: 1 / Math.sqrt(d), isCausal: true, isLastOnly: false,
    q: of("qkv", 0, row), k: of("qkv", heads * d, row), v: of("qkv", 2 * heads * d, row), out: of("out", 0, heads * d) };
}

export function lstm(B: number, T: number, F: number, H: number, L: number, more: Partial<LstmStack> = {}): LstmStack {
  return { B, T, F, H, L, precision: "float16", x: "x", ringStart: null, states: null,
    result: { kind: "head", buffer: "out", columns: 1, activation: "tanh" }, done: null, ...more };
}

const LSTM_PLANNERS = [planLstmBlock, planLstmWave, planLstmGrid, planLstmTile, planLstmStream] as const;

/** Each distinct source (file and defines) of the plans for a device, in these precisions. */
export function sourcesFor(device: DeviceFacts, precisions: readonly CudaPrecision[]): KernelSource[] {
  const launches: Launch[] = [];
  const add = (plan: { readonly launches: readonly Launch[] } | null): void => { launches.push(...plan?.launches ?? []); };
  for (const precision of precisions) {
    add(planGemm(gemm(512, 1536, 512, precision), device, "p"));
    add(planGemm(gemm(60, 512, 2048, precision, { epilogue: { hasBias: true, residual: matrix("r", 512) } }), device, "p"));
    launches.push(planAttention(attention(2, 60, 8, 64, precision), device));
    launches.push(planAttention({ ...attention(2, 60, 8, 64, precision), isLastOnly: true, weights: "shown" }, device));
    launches.push(planMatmul({ aShape: [2, 60, 64], bShape: [2, 60, 64], transposeA: false, transposeB: true, precision,
      a: "a", b: "b", out: "out" }, device));
    add(planLayerNorm({ rows: 60, D: 512, precision, epsilon: 1e-5, x: matrix("x", 512), out: matrix("out", 512) }, device, "p"));
    for (const normalise of [null, { epsilon: 1e-5 }]) {
      add(planHead({ rows: 60, D: 512, columns: 1, precision, x: matrix("x", 512), normalise, activation: "tanh", out: "out" },
        device, "p"));
    }
    const statistics = planStatistics({ rows: 512, D: 512, precision, x: matrix("a", 512) }, device, "s");
    add(statistics);
    add(planGemm(gemm(512, 2048, 512, precision, { epilogue: { hasBias: true, activation: "gelu" },
      normalise: { statistics: statistics.statistics, epsilon: 1e-5 } }), device, "p"));
    if (precision !== "float32") {
      launches.push(planConvert({ rows: 60, columns: 200, precision, from: matrix("x", 200), to: matrix("out", 200) }, device));
    }
    for (const [B, H, L] of [[1, 64, 1], [512, 64, 1], [1, 512, 2], [8, 512, 2], [32, 512, 2], [512, 512, 2],
      [4096, 512, 2], [1, 1024, 4]]) {
      for (const planner of LSTM_PLANNERS) add(planner(lstm(B, 60, 200, H, L, { precision }), device, "p"));
    }
  }
  const feed: KernelSource = { name: "feed.cu", text: null, defines: {} };
  return distinct([feed, ...launches.map(({ source }) => source)]);
}

const distinct = (sources: readonly KernelSource[]): KernelSource[] =>
  [...new Map(sources.map((source) => [JSON.stringify(source), source])).values()];

/** What the networks and a training step are lowered to: kernels of files, and generated text. */
export function networkSources(device: DeviceFacts): KernelSource[] {
  const answers = (name: string, settings: Settings): Launch[] => {
    const graph = inferenceGraph(ARCHITECTURES[name], { features: 20, instruments: 5 }, settings);
    const shown = { ...graph, outputs: graph.outputs.filter((output) => output.name === "position") };
    const bound = bindSizes(lastStep(shown), { B: 32, T: 60 }), frozen = new Set(bound.state.map((state) => state.name));
    return [...lowerGraph(bound, { precision: "float16", device, frozen }).list.launches];
  };
  const step = trainGraph(ARCHITECTURES["lstm"], { B: 5, T: 6, features: 4, instruments: 1 },
    { hidden: 9, layers: 2, dropout: 0.2 }, { terms: ["sharpe", "turnover"] });
  return distinct([
    ...answers("lstm", { hidden: 512, layers: 2, dropout: 0 }),
    ...answers("encoder", { width: 512, attentionHeads: 8, layers: 1, feedForward: 4, positions: "sinusoidal", dropout: 0 }),
    ...answers("transformer", { hidden: 40, attentionHeads: 4, dropout: 0 }),
    ...answers("meta", { hidden: 16, dropout: 0 }),
    ...lowerGraph(step.graph, { precision: "float32", device }).list.launches,
  ].map(({ source }) => source));
}
