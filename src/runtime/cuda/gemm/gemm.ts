/**
 * Products with a weight that never changes, and what may be fused with them. A lowering joins, where the
 * graph has them, in one launch:
 *
 *   linear(x) = x w + bias                          epilogue.hasBias
 *   linear -> mul by a constant -> gelu | tanh | sigmoid   epilogue.scale, epilogue.activation
 *   linear -> ... -> add(other)                     epilogue.residual (as the result, or (T, N), repeated)
 *   linear(layerNorm(x))                            normalise, where the product that wrote x was
 *                                                   planned with wantsStatistics (or planStatistics
 *                                                   of norm.ts ran)
 *   one row of each window (last-step graphs)       a, residual and out with first and step (matrix.ts)
 *   linear(x), linear(x) of the same x              one product of side-by-side weights, read by columns
 *
 * Heads' transposes cost nothing either: attention.ts reads the product's columns by strides.
 */
import { assert } from "../../../base/assert.ts";
import type { Argument, CudaPrecision, DeviceFacts, Launch, TensorMapSpec } from "../launch.ts";
import { ACTIVATIONS, type Matrix, type RowStatistics } from "./matrix.ts";
import { planMatmulGemm } from "./matmul.ts";
import { packGemm } from "./pack.ts";
import { epilogueArguments, statisticsBuffers, weightBuffers, type Gemm, type GemmPlan } from "./product.ts";
import { chooseTile, tileRows, tileSharedBytes, type Tile } from "./tile.ts";

export type { Gemm, GemmPlan, GemmWeights } from "./product.ts";

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
 * Plans a product for the given GPU: wgmma in 16 bits on Hopper where rows are aligned, else the kernel
 * that takes anything (matmul.ts). A tile overrides the choice of chooseTile, to measure it.
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

/** The residual by the copy engine (1) with the tile, or element by element (2): repeated rows. */
function residualMode({ epilogue: { residual } }: Gemm): number {
  if (residual === undefined) return 0;
  return residual.period === undefined ? 1 : 2;
}

function tileLaunch(gemm: Gemm, tile: Tile, device: DeviceFacts, prefix: string,
  statistics: RowStatistics | null): Launch {
  const { M, N, epilogue, normalise, isOutFloat = false } = gemm, { split, groups, down, across } = tile;
  const isSplit = split > 1, sharers = down * across, rows = tileRows(tile);
  const units = Math.ceil(M / (rows * down)) * Math.ceil(N / (tile.columns * across));
  const clusters = Math.min(units, Math.floor(device.multiprocessors * tile.blocks / sharers));
  const shape: Record<string, number> = isSplit ? { SPLIT: split }
    : { GROUPS: groups, ALTERNATE: tile.isAlternate === true ? 1 : 0, DOWN: down, ACROSS: across };
  return {
    source: { name: isSplit ? "gemm-split.cu" : "gemm.cu", text: null, defines: {
      ...shape, COLUMNS: tile.columns, STAGES: tile.stages, BLOCKS: tile.blocks,
      FLOAT: 0, BFLOAT: gemm.precision === "bfloat16" ? 1 : 0, OUT_FLOAT: isOutFloat ? 1 : 0,
      ACTIVATION: ACTIVATIONS[epilogue.activation ?? "none"], HAS_BIAS: epilogue.hasBias || normalise ? 1 : 0,
      NORMALISED: normalise ? 1 : 0, IN_TILES: normalise?.statistics.tiles ?? 1,
      SCALED: (epilogue.scale ?? 1) === 1 ? 0 : 1, STATISTICS: statistics === null ? 0 : 1,
      RESIDUAL: residualMode(gemm),
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
    element: precision === "bfloat16" ? "bf16" : "f16", sizes, strides: [stride * step * 2], box,
    swizzle: 128 };
  return { kind: "tensorMap", map };
}

/** In the order of gemm.cuh's struct. */
function tileArguments(gemm: Gemm, tile: Tile, prefix: string, statistics: RowStatistics | null): Argument[] {
  const { M, N, K, precision, a, out, epilogue, isOutFloat = false } = gemm, { residual } = epilogue;
  const hasBias = epilogue.hasBias || gemm.normalise !== undefined;
  const names = { bias: hasBias ? `${prefix}.bias` : undefined, sums: `${prefix}.sums` };
  const weight: Matrix = { buffer: `${prefix}.w`, stride: Math.ceil(K / 8) * 8 };
  const maps = [mapOf(a, [K, M], [64, tileRows(tile) / tile.across], precision),
    mapOf(weight, [K, N], [64, tile.columns / tile.down], precision)];
  if (tile.split === 1 && !isOutFloat) maps.push(mapOf(out, [N, M], [64, 64], precision));
  if (tile.split === 1 && residualMode(gemm) === 1) maps.push(mapOf(residual!, [N, M], [64, 64], precision));
  return [...maps, ...epilogueArguments(gemm, names, statistics)];
}
