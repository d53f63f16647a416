/**
 * What is asked of a product with a frozen weight, and what its planners (gemm.ts, matmul.ts) have in
 * common.
 */
import { f32, u32, type Argument, type BufferSpec, type CudaPrecision } from "../launch.ts";
import { bytesOf, type Epilogue, type Matrix, type Plan, type RowStatistics } from "./matrix.ts";

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

/** w (N, K) in the precision, rows on 16 bytes; bias and column sums float32 (N). */
export function weightBuffers({ N, K, precision, epilogue, normalise }: Gemm, prefix: string): BufferSpec[] {
  const bytes = N * Math.ceil(K / 8) * 8 * bytesOf(precision);
  const buffers: BufferSpec[] = [{ name: `${prefix}.w`, bytes, role: "weight" }];
  if (epilogue.hasBias || normalise) buffers.push({ name: `${prefix}.bias`, bytes: N * 4, role: "weight" });
  if (normalise) buffers.push({ name: `${prefix}.sums`, bytes: N * 4, role: "weight" });
  return buffers;
}

export function statisticsBuffers(statistics: RowStatistics | null): BufferSpec[] {
  return statistics === null ? []
    : [{ name: statistics.buffer, bytes: statistics.tiles * statistics.rows * 8, role: "scratch" }];
}


/**
 * From `bias` on: the same in gemm.cuh and matmul.cu. What a variant does not use points at the result.
 * Matrices start at their column; rows are the kernel's arithmetic.
 */
export function epilogueArguments(gemm: Gemm, weights: { readonly bias?: string; readonly sums?: string },
  statistics: RowStatistics | null): Argument[] {
  const { M, N, K, out, normalise, epilogue: { scale = 1, residual }, isOutFloat = false } = gemm;
  const bytes = gemm.precision === "float32" ? 4 : 2, from = normalise?.statistics;
  const at = (buffer: string = out.buffer, offset = 0): Argument => ({ kind: "address", buffer, offset });
  return [
    at(weights.bias), at(normalise === undefined ? undefined : weights.sums),
    at(from?.buffer), at(statistics?.buffer),
    at(out.buffer, (out.column ?? 0) * (isOutFloat ? 4 : bytes)),
    at(residual?.buffer, (residual?.column ?? 0) * bytes),
    u32(M), u32(N), u32(K),
    u32(out.first ?? 0), u32(out.step ?? 1), u32(out.stride),
    u32(residual?.first ?? 0), u32(residual?.step ?? 1), u32(residual?.stride ?? 0),
    u32(residual?.period ?? 0),
    u32(from?.rows ?? 0), u32(gemm.a.first ?? 0), u32(gemm.a.step ?? 1),
    f32(from?.columns ?? 0), f32(normalise?.epsilon ?? 0), f32(scale),
  ];
}
