/**
 * LSTM weights as the A operands of mma.m16n8k16, in the registers of the lanes that hold them.
 *
 *   tile pair o: hidden units 8o .. 8o+7 of a slice   tile 2o: gate i rows 0-7, f rows 8-15; tile 2o+1: o, g
 *   lane (g, q), register r = row half + 2 j, value e   unit g; k = 32 pair + 8 q + 4 step + 2 j + e
 *
 * The order of k is that of kernels/lstm.cuh: a lane's values of two k-steps are eight consecutive units.
 */
import { assert } from "../../../base/assert.ts";
import type { Argument, CudaPrecision } from "../launch.ts";
import { toBfloat16Bits, toFloat16Bits } from "../gemm/pack.ts";
import type { LstmWeights } from "./stack.ts";

export interface FragmentLayout {
  /** Hidden units and rows of w, both as the kernel pads them (with zeros). */
  readonly units: number;
  readonly rows: number;
  /** Tiles of 16 gate rows of a slice (even), and warps that share k. */
  readonly tiles: number;
  readonly warps: number;
}

/**
 * w (K, 4H), gates i, f, o, g, as (slice, warp, tile, k-step, lane, 8) 16-bit values.
 */
export function packFragments(w: Float32Array, H: number, layout: FragmentLayout,
  precision: CudaPrecision): Uint16Array {
  const { units, rows, tiles, warps } = layout, K = w.length / (4 * H);
  const steps = rows / (16 * warps), slices = units / (4 * tiles);
  assert(tiles % 2 === 0 && Number.isInteger(slices), `${units} units in tiles of ${tiles}`);
  assert(Number.isInteger(steps / 2), `${rows} rows over ${warps} warps`);
  assert(K <= rows && H <= units, `weights (${K}, 4 x ${H}) in (${rows}, 4 x ${units})`);
  const packed = new Float32Array(4 * units * rows);
  let at = 0;
  for (let slice = 0; slice < slices; slice++) {
    for (let warp = 0; warp < warps; warp++) {
      for (let tile = 0; tile < tiles; tile++) {
        for (let step = 0; step < steps; step++) {
          const first = warp * steps * 16 + (step >> 1) * 32 + (step & 1) * 4;
          for (let lane = 0; lane < 32; lane++) {
            const unit = slice * 4 * tiles + (tile >> 1) * 8 + (lane >> 2);
            for (let value = 0; value < 8; value++, at++) {
              const gate = 2 * (tile & 1) + ((value >> 1) & 1);
              const k = first + (lane & 3) * 8 + (value >> 2) * 2 + (value & 1);
              if (k < K && unit < H) packed[at] = w[(k * 4 + gate) * H + unit];
            }
          }
        }
      }
    }
  }
  return precision === "bfloat16" ? toBfloat16Bits(packed) : toFloat16Bits(packed);
}

/** bias (4H) as (units, 4), padded with zeros. */
export function packBias(bias: Float32Array, units: number): Float32Array {
  const H = bias.length / 4, packed = new Float32Array(units * 4);
  for (let gate = 0; gate < 4; gate++) {
    for (let unit = 0; unit < H; unit++) packed[unit * 4 + gate] = bias[gate * H + unit];
  }
  return packed;
}

/** w (H, columns) as (columns, units), padded with zeros. */
export function packHead(w: Float32Array, H: number, units: number): Float32Array {
  const columns = w.length / H, packed = new Float32Array(columns * units);
  for (let unit = 0; unit < H; unit++) {
    for (let column = 0; column < columns; column++) {
      packed[column * units + unit] = w[unit * columns + column];
    }
  }
  return packed;
}

/** The weight buffers of a head, as every LSTM kernel reads them. */
export function putHead(packed: Map<string, Uint8Array>, { w, b }: NonNullable<LstmWeights["head"]>,
  H: number, units: number, prefix: string): void {
  packed.set(`${prefix}.head.w`, joinBytes([packHead(w, H, units)]));
  packed.set(`${prefix}.head.b`, joinBytes([b]));
}

/** Arrays one after the other, as bytes. */
export function joinBytes(arrays: readonly (Uint16Array | Float32Array)[]): Uint8Array {
  const bytes = new Uint8Array(arrays.reduce((sum, array) => sum + array.byteLength, 0));
  let at = 0;
  for (const array of arrays) {
    bytes.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), at);
    at += array.byteLength;
  }
  return bytes;
}

/** Parts of kernels' arguments that LSTM plans share: a pointer that may be null, and words after them. */
export const pointer = (buffer: string | null | undefined, offset = 0): Argument[] =>
  typeof buffer === "string" ? [{ kind: "address", buffer, offset }]
    : [{ kind: "u32", value: 0 }, { kind: "u32", value: 0 }];
export const integers = (...values: readonly number[]): Argument[] =>
  values.map((value) => ({ kind: "i32", value }));
