/**
 * Fused attention: scores, mask, softmax and the product with v in one launch; scores never reach memory. Two
 * kernels (attention.cu): tiles on the tensor cores, and one warp per query for the rest.
 */
import { assert } from "../../../base/assert.ts";
import { f32, u32, type Argument, type CudaPrecision, type DeviceFacts, type Launch } from "../launch.ts";
import { bytesOf } from "./matrix.ts";

/**
 * q, k, v or the result in a buffer: element (b, head, t, c) is at offset + b*batch + head*head + t*row +
 * c.
 */
export interface Heads {
  readonly buffer: string;
  /** Elements, like the strides. All multiples of 16 bytes: fast; else correct. */
  readonly offset: number;
  readonly batchStride: number;
  readonly headStride: number;
  readonly rowStride: number;
}

/**
 * softmax(q k^T * scale) v per sequence and head, any T and head size (fast: d and dv multiples of 8 to
 * 128, in 16 bits). The heads' transposes are strides here: q, k, v are read from the joint product (B, T,
 * 3D) and the result is written (B, T, D). Broadcast v (one for all heads): headStride 0.
 */
export interface Attention {
  readonly B: number;
  readonly T: number;
  readonly heads: number;
  /** Columns of a head's q and k; of v and the result. */
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
  /** Elements of the precision (B, heads, T or 1, T): the attention weights, for graphs that show them. */
  readonly weights?: string;
}

const WARPS = 4;

/** Plans an attention; it owns no buffers. */
export function planAttention(attention: Attention, device: DeviceFacts): Launch {
  const { T, d, dv, precision, q, k, v, out } = attention;
  assert(T > 0 && d > 0 && dv > 0, `attention of ${T} rows, ${d} and ${dv} columns`);
  const isAligned = [q, k, v, out].every(({ offset, batchStride, headStride, rowStride }) =>
    [offset, batchStride, headStride, rowStride]
      .every((elements) => elements * bytesOf(precision) % 16 === 0));
  const isTiled = precision !== "float32" && isAligned && d % 8 === 0 && dv % 8 === 0
    && d <= 128 && dv <= 128;
  return isTiled ? tileLaunch(attention) : rowLaunch(attention, isAligned, device);
}

function defines({ d, dv, precision, isCausal, isLastOnly, weights }: Attention, isTiled: boolean):
Record<string, number> {
  return { FLOAT: precision === "float32" ? 1 : 0, BFLOAT: precision === "bfloat16" ? 1 : 0,
    TILED: isTiled ? 1 : 0, D: d, DV: dv,
    CAUSAL: isCausal && !isLastOnly ? 1 : 0, WEIGHTS: weights === undefined ? 0 : 1 };
}

function tileLaunch(attention: Attention): Launch {
  const { B, T, heads, d, dv, isLastOnly } = attention;
  const strideBytes = (columns: number): number => Math.ceil(columns / 16) * 32 + 16;
  return {
    source: { name: "attention.cu", text: null,
      defines: { ...defines(attention, true), BLOCKS: d + dv <= 128 ? 4 : 2 } },
    kernel: "attention_tile",
    grid: [heads, B, isLastOnly ? 1 : Math.ceil(T / 64)], block: WARPS * 32,
    sharedBytes: 64 * (strideBytes(Math.max(d, dv)) + strideBytes(d) + strideBytes(dv)),
    isDependent: true,
    arguments: argumentsOf(attention),
  };
}

function rowLaunch(attention: Attention, isAligned: boolean, device: DeviceFacts): Launch {
  const { B, T, heads, d, precision, isLastOnly } = attention;
  const sharedBytes = WARPS * 4 * (Math.ceil(d / 4) + Math.ceil(T / 4)) * 4;
  assert(sharedBytes <= device.sharedBytesMax, `attention over ${T} rows`);
  return {
    source: { name: "attention.cu", text: null, defines: { ...defines(attention, false), BLOCKS: 4,
      VECTOR: isAligned && d * bytesOf(precision) % 16 === 0 ? 1 : 0 } },
    kernel: "attention_row",
    grid: [Math.ceil(B * heads * (isLastOnly ? 1 : T) / WARPS), 1, 1], block: WARPS * 32, sharedBytes,
    isDependent: true,
    arguments: argumentsOf(attention),
  };
}

/** In the order of attention.cu's struct; weights that nobody wants point at the result. */
function argumentsOf(attention: Attention): Argument[] {
  const { B, T, heads, precision, scale, q, k, v, out, isLastOnly, weights } = attention;
  const address = ({ buffer, offset }: Heads): Argument =>
    ({ kind: "address", buffer, offset: offset * bytesOf(precision) });
  return [...[q, k, v, out].map(address), { kind: "address", buffer: weights ?? out.buffer },
    ...[q, k, v, out].flatMap(({ batchStride, headStride, rowStride }) =>
      [batchStride, headStride, rowStride].map(u32)),
    ...[B, T, heads, isLastOnly ? 1 : T].map(u32), f32(scale * Math.LOG2E)];
}
