import type { CudaPrecision, DeviceFacts } from "../launch.ts";
import type { Epilogue, Matrix, Plan, RowStatistics } from "./matrix.ts";

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

export type GemmPlanner = (gemm: Gemm, device: DeviceFacts, prefix: string) => GemmPlan;

/**
 * out (..., M, N) = a (..., M, K) b (..., K, N), the primitive `matmul` of src/graph/op.ts: any sizes, both sides
 * from memory, leading axes broadcast by NumPy's rule, a or b stored with their last two axes swapped.
 */
export interface Matmul {
  /** Leading axes of each, then its matrix as stored: (M, K), or (K, M) when transposed. */
  readonly aShape: readonly number[];
  readonly bShape: readonly number[];
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly precision: CudaPrecision;
  readonly a: string;
  readonly b: string;
  readonly out: string;
  /** Of (N) in float32, added to every row; a `linear` whose weight may change. */
  readonly bias?: string;
}
export type MatmulPlanner = (matmul: Matmul, device: DeviceFacts) => Pick<Plan<never>, "buffers" | "launches">;
