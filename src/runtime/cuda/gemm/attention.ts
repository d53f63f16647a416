import type { CudaPrecision, DeviceFacts, Launch } from "../launch.ts";

/** q, k, v or the result in a buffer: element (b, head, t, c) is at offset + b*batch + head*head + t*row + c. */
export interface Heads {
  readonly buffer: string;
  /** Elements; all multiples of 8 (16 bytes in 16-bit precisions), of 4 in float32. */
  readonly offset: number;
  readonly batchStride: number;
  readonly headStride: number;
  readonly rowStride: number;
}

/**
 * softmax(q k^T * scale) v per sequence and head, T <= 256, d and dv <= 128. The heads' transposes are strides
 * here: q, k, v are read from the joint product (B, T, 3D) and the result is written (B, T, D).
 */
export interface Attention {
  readonly B: number;
  readonly T: number;
  readonly heads: number;
  /** Columns of a head's q and k; of v and the result. Multiples of 8. */
  readonly d: number;
  readonly dv: number;
  readonly precision: CudaPrecision;
  readonly scale: number;
  readonly isCausal: boolean;
  readonly q: Heads;
  readonly k: Heads;
  readonly v: Heads;
  readonly out: Heads;
  /** One query per sequence: q and out have one row (rowStride unused), which stands at step T - 1. */
  readonly isLastOnly: boolean;
  /** Float of the precision (B, heads, T or 1, T): the attention weights, for graphs that show them. */
  readonly weights?: string;
}
export type AttentionPlanner = (attention: Attention, device: DeviceFacts) => readonly Launch[];
