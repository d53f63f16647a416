/** Weights in the layouts that the products' kernels read, and the 16-bit floats they are made of. */
import { assert } from "../../../base/assert.ts";
import type { CudaPrecision } from "../launch.ts";
import type { Gemm, GemmWeights } from "./product.ts";

/** Bits of the nearest float16, ties to even; above 65504: infinity. */
export function toFloat16Bits(values: Float32Array): Uint16Array {
  return new Uint16Array(new Float16Array(values).buffer);
}

/** Bits of the nearest bfloat16, ties to even. */
export function toBfloat16Bits(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  return Uint16Array.from(bits, (word) => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16);
}

/** Values in a precision's bytes, and what those bytes stand for. */
export function round(values: Float32Array, precision: CudaPrecision):
{ bytes: Uint8Array; values: Float32Array } {
  if (precision === "float32") return { bytes: new Uint8Array(values.slice().buffer), values };
  if (precision === "float16") {
    const halves = new Float16Array(values);
    return { bytes: new Uint8Array(halves.buffer), values: new Float32Array(halves) };
  }
  const bits = toBfloat16Bits(values);
  return { bytes: new Uint8Array(bits.buffer),
    values: new Float32Array(Uint32Array.from(bits, (word) => word << 16).buffer) };
}

/**
 * w' = scale w by rows, transposed to (N, K padded to 8) in the precision; bias' = shift w + bias and the
 * sums over k of the rounded w', float32. What each is for: matrix.ts.
 */
export function packGemm({ N, K, precision, epilogue, normalise }: Gemm, { w, bias, norm }: GemmWeights,
  prefix: string): Map<string, Uint8Array> {
  assert(w.length === K * N, `a weight of ${w.length} values for (${K}, ${N})`);
  assert((bias !== undefined) === epilogue.hasBias && (norm !== undefined) === (normalise !== undefined),
    "weights as the product says");
  const stride = Math.ceil(K / 8) * 8, turned = new Float32Array(N * stride);
  const shifted = new Float64Array(N);
  for (let k = 0; k < K; k++) {
    const scale = norm ? norm.scale[k] : 1, shift = norm ? norm.shift[k] : 0;
    for (let n = 0; n < N; n++) {
      turned[n * stride + k] = w[k * N + n] * scale;
      shifted[n] += shift * w[k * N + n];
    }
  }
  const packed = round(turned, precision);
  const buffers = new Map([[`${prefix}.w`, packed.bytes]]);
  if (epilogue.hasBias || norm) {
    buffers.set(`${prefix}.bias`, bytesOfFloats(shifted.map((value, n) => value + (bias?.[n] ?? 0))));
  }
  if (norm) {
    const sums = new Float64Array(N);
    for (let n = 0; n < N; n++) for (let k = 0; k < K; k++) sums[n] += packed.values[n * stride + k];
    buffers.set(`${prefix}.sums`, bytesOfFloats(sums));
  }
  return buffers;
}

export const bytesOfFloats = (values: Float64Array | Float32Array): Uint8Array =>
  new Uint8Array(Float32Array.from(values).buffer);
