/**
 * Products with a weight that never changes, and what may be fused with them. A lowering joins, where the graph has
 * them, in one launch:
 *
 *   linear(x) = x w + bias                          epilogue.hasBias
 *   linear -> mul by a constant -> gelu | tanh | sigmoid   epilogue.scale, epilogue.activation
 *   linear -> ... -> add(other)                     epilogue.residual (of the result's size, or (T, N) rows repeated)
 *   linear(layerNorm(x))                            normalise, where the product that wrote x was planned with
 *                                                   wantsStatistics (or planStatistics of norm.ts ran)
 *   one row of each window (last-step graphs)       a, residual and out with first and step (matrix.ts)
 *   linear(x), linear(x) of the same x              one product of side-by-side weights, read by columns
 *
 * Heads' transposes cost nothing either: attention.ts reads the product's columns by strides.
 */
import { assert } from "../../../base/assert.ts";
import type { Argument, BufferSpec, CudaPrecision, DeviceFacts, Launch, TensorMapSpec } from "../launch.ts";
import { ACTIVATIONS, bytesOf, type Epilogue, type Matrix, type Plan, type RowStatistics } from "./matrix.ts";
import { planMatmulGemm } from "./matmul.ts";
import { packGemm } from "./pack.ts";
import { chooseTile, tileSharedBytes, type Tile } from "./tile.ts";

/** out (M, N) = epilogue(a (M, K) w (K, N)) with a weight that never changes. */
export interface Gemm {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  /** Of a, the weight, the residual and (unless said otherwise) the result. Sums are float32. */
  readonly precision: CudaPrecision;
  readonly a: Matrix;
  readonly out: Matrix;
  /** The result in float32 whatever the precision. */
  readonly isOutFloat?: boolean;
  readonly epilogue: Epilogue;
  /** a's rows are layer-normalised on the way: their statistics, and epsilon. */
  readonly normalise?: { readonly statistics: RowStatistics; readonly epsilon: number };
  /** The plan also writes the statistics of the result's rows (for a product that normalises them). */
  readonly wantsStatistics?: boolean;
}

/** float32: w (K, N) row-major, bias (N); a norm's scale (K) and shift (K) are folded into both. */
export interface GemmWeights {
  readonly w: Float32Array;
  readonly bias?: Float32Array;
  readonly norm?: { readonly scale: Float32Array; readonly shift: Float32Array };
}

export interface GemmPlan extends Plan<GemmWeights> {
  /** Present when wanted; its buffer is among the plan's. */
  readonly statistics: RowStatistics | null;
}

/** Whether the copy engine can walk a matrix of 16-bit elements: rows and start on 16 bytes. */
const isAligned = ({ stride, first = 0, step = 1, column = 0 }: Matrix): boolean =>
  (stride * step) % 8 === 0 && (first * stride + column) % 8 === 0;

function isForTensorCores({ precision, a, out, N, epilogue, isOutFloat = false }: Gemm,
  device: DeviceFacts): boolean {
  const residual = epilogue.residual;
  return device.capability >= 90 && device.capability < 100 && precision !== "float32" && N % 8 === 0
    && isAligned(a) && isAligned(out) && (residual === undefined || isAligned(residual))
    && !(isOutFloat && residual !== undefined);
}

/**
 * Plans a product for the given GPU: wgmma in 16 bits on Hopper where rows are aligned, else the kernel that takes
 * anything (matmul.ts). A tile overrides the choice of chooseTile, to measure it.
 */
export function planGemm(gemm: Gemm, device: DeviceFacts, prefix: string, tile?: Tile): GemmPlan {
  const { M, N, K, normalise } = gemm;
  assert(M > 0 && N > 0 && K > 0, `a product of sizes ${M}, ${N}, ${K}`);
  assert(normalise === undefined || normalise.statistics.columns === K, "statistics are of a's rows");
  if (!isForTensorCores(gemm, device)) return planMatmulGemm(gemm, device, prefix);
  assert(gemm.wantsStatistics !== true || (gemm.out.first ?? 0) + (gemm.out.step ?? 1) === 1,
    "statistics are of whole matrices");
  const chosen = tile ?? chooseTile(gemm, device);
  const wants = gemm.wantsStatistics === true;
  assert(!wants || N % chosen.columns === 0, `tiles of ${chosen.columns} columns divide ${N}`);
  const statistics = wants
    ? { buffer: `${prefix}.statistics`, rows: M, columns: N, tiles: N / chosen.columns } : null;
  return {
    buffers: [...weightBuffers(gemm, prefix), ...statisticsBuffers(statistics)],
    launches: [tileLaunch(gemm, chosen, device, prefix, statistics)],
    statistics,
    pack: (weights) => packGemm(gemm, weights, prefix),
  };
}

export function statisticsBuffers(statistics: RowStatistics | null): BufferSpec[] {
  return statistics === null ? []
    : [{ name: statistics.buffer, bytes: statistics.tiles * statistics.rows * 8, role: "scratch" }];
}

/** w (N, K) in the precision, rows on 16 bytes; bias and column sums float32 (N). */
export function weightBuffers({ N, K, precision, epilogue, normalise }: Gemm, prefix: string): BufferSpec[] {
  const buffers: BufferSpec[] = [{ name: `${prefix}.w`, bytes: N * Math.ceil(K / 8) * 8 * bytesOf(precision), role: "weight" }];
  if (epilogue.hasBias || normalise) buffers.push({ name: `${prefix}.bias`, bytes: N * 4, role: "weight" });
  if (normalise) buffers.push({ name: `${prefix}.sums`, bytes: N * 4, role: "weight" });
  return buffers;
}

/** The residual by the copy engine (1) with the tile, or element by element (2): repeated rows. */
function residualMode({ epilogue: { residual } }: Gemm): number {
  if (residual === undefined) return 0;
  return residual.period === undefined ? 1 : 2;
}

function tileLaunch(gemm: Gemm, tile: Tile, device: DeviceFacts, prefix: string,
  statistics: RowStatistics | null): Launch {
  const { M, N, epilogue, normalise, isOutFloat = false } = gemm, { split, groups, down, across } = tile;
  const isSplit = split > 1, sharers = down * across;
  const units = Math.ceil(M / (64 * groups * down)) * Math.ceil(N / (tile.columns * across));
  const clusters = Math.min(units, Math.floor(device.multiprocessors * tile.blocks / sharers));
  const shape: Record<string, number> = isSplit ? { SPLIT: split } : { GROUPS: groups, DOWN: down, ACROSS: across };
  return {
    source: { name: isSplit ? "gemm-split.cu" : "gemm.cu", text: null, defines: {
      ...shape, COLUMNS: tile.columns, STAGES: tile.stages, BLOCKS: tile.blocks,
      FLOAT: 0, BFLOAT: gemm.precision === "bfloat16" ? 1 : 0, OUT_FLOAT: isOutFloat ? 1 : 0,
      ACTIVATION: ACTIVATIONS[epilogue.activation ?? "none"], HAS_BIAS: epilogue.hasBias || normalise ? 1 : 0,
      NORMALISED: normalise ? 1 : 0, IN_TILES: normalise?.statistics.tiles ?? 1,
      SCALED: (epilogue.scale ?? 1) === 1 ? 0 : 1, STATISTICS: statistics === null ? 0 : 1, RESIDUAL: residualMode(gemm),
    } },
    kernel: isSplit ? "gemm_split" : "gemm",
    grid: isSplit ? [Math.ceil(N / tile.columns) * split, Math.ceil(M / 64), 1] : [clusters * sharers, 1, 1],
    block: groups * 128 + 32,
    sharedBytes: tileSharedBytes(tile),
    ...(split * sharers > 1 ? { cluster: split * sharers } : {}),
    isDependent: true,
    arguments: tileArguments(gemm, tile, prefix, statistics),
  };
}

/** A box of a matrix of 16-bit elements for the copy engine. */
function mapOf({ buffer, stride, first = 0, step = 1, column = 0 }: Matrix, sizes: readonly [number, number],
  box: readonly [number, number], precision: CudaPrecision): Argument {
  const map: TensorMapSpec = { buffer, offset: (first * stride + column) * 2,
    element: precision === "bfloat16" ? "bf16" : "f16", sizes, strides: [stride * step * 2], box, swizzle: 128 };
  return { kind: "tensorMap", map };
}

/** In the order of gemm.cuh's struct. */
function tileArguments(gemm: Gemm, tile: Tile, prefix: string, statistics: RowStatistics | null): Argument[] {
  const { M, N, K, precision, a, out, epilogue, isOutFloat = false } = gemm, { residual } = epilogue;
  const hasBias = epilogue.hasBias || gemm.normalise !== undefined;
  const names = { bias: hasBias ? `${prefix}.bias` : undefined, sums: `${prefix}.sums` };
  const weight: Matrix = { buffer: `${prefix}.w`, stride: Math.ceil(K / 8) * 8 };
  const maps = [mapOf(a, [K, M], [64, 64 * tile.groups / tile.across], precision),
    mapOf(weight, [K, N], [64, tile.columns / tile.down], precision)];
  if (tile.split === 1 && !isOutFloat) maps.push(mapOf(out, [N, M], [64, 64], precision));
  if (tile.split === 1 && residualMode(gemm) === 1) maps.push(mapOf(residual!, [N, M], [64, 64], precision));
  return [...maps, ...epilogueArguments(gemm, names, statistics)];
}

const u32 = (value: number): Argument => ({ kind: "u32", value });
const f32 = (value: number): Argument => ({ kind: "f32", value });

/**
 * From `bias` on: the same in gemm.cuh and matmul.cu. What a variant does not use points at the result. Matrices start
 * at their column; rows are the kernel's arithmetic.
 */
export function epilogueArguments(gemm: Gemm, weights: { readonly bias?: string; readonly sums?: string },
  statistics: RowStatistics | null): Argument[] {
  const { M, N, K, out, normalise, epilogue: { scale = 1, residual }, isOutFloat = false } = gemm;
  const bytes = gemm.precision === "float32" ? 4 : 2, from = normalise?.statistics;
  const at = (buffer: string = out.buffer, offset = 0): Argument => ({ kind: "address", buffer, offset });
  return [
    at(weights.bias), at(normalise === undefined ? undefined : weights.sums), at(from?.buffer), at(statistics?.buffer),
    at(out.buffer, (out.column ?? 0) * (isOutFloat ? 4 : bytes)), at(residual?.buffer, (residual?.column ?? 0) * bytes),
    u32(M), u32(N), u32(K),
    u32(out.first ?? 0), u32(out.step ?? 1), u32(out.stride),
    u32(residual?.first ?? 0), u32(residual?.step ?? 1), u32(residual?.stride ?? 0), u32(residual?.period ?? 0),
    u32(from?.rows ?? 0), u32(gemm.a.first ?? 0), u32(gemm.a.step ?? 1),
    f32(from?.columns ?? 0), f32(normalise?.epsilon ?? 0), f32(scale),
  ];
}
