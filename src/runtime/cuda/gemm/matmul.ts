import { assert } from "../../../base/assert.ts";
import type { CudaPrecision, DeviceFacts, Launch } from "../launch.ts";
import type { Gemm, GemmPlan } from "./gemm.ts";

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

/** Plans a product of two tensors; its launches own no buffers. */
export function planMatmul(matmul: Matmul, _device: DeviceFacts): readonly Launch[] {
  assert(matmul.aShape.length >= 2, "not planned yet");
  return [];
}

/** Plans a product with a frozen weight for GPUs, sizes and precisions that gemm.cu does not take. */
export function planMatmulGemm(gemm: Gemm, _device: DeviceFacts, prefix: string): GemmPlan {
  assert(gemm.M < 0, `${prefix}: not planned yet`);
  throw new Error();
}
