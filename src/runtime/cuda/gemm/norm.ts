/**
 * Passes over rows: layer norm, a narrow head on the last step, row statistics, and float32 to 16 bits
 * (norm.cu).
 */
import { assert } from "../../../base/assert.ts";
import { f32, u32, type Argument, type BufferSpec, type CudaPrecision, type DeviceFacts,
  type Launch } from "../launch.ts";
import { ACTIVATIONS, bytesOf, type Activation, type Matrix, type Plan, type RowStatistics }
  from "./matrix.ts";
import { bytesOfFloats } from "./pack.ts";

/** Columns of a row that a warp keeps in registers. */
export const ROW_COLUMNS_MAX = 4096;
const WARPS = 4;

/** out = layerNorm(x + residual) rows of D <= 4096; `sum` receives x + residual. */
export interface LayerNorm {
  readonly rows: number;
  readonly D: number;
  readonly precision: CudaPrecision;
  readonly epsilon: number;
  readonly x: Matrix;
  readonly residual?: Matrix;
  readonly sum?: Matrix;
  readonly out: Matrix;
}
/** float32 (D) each. */
export interface LayerNormWeights {
  readonly scale: Float32Array;
  readonly shift: Float32Array;
}

/** A norm with a pass of its own. Where a product reads it, planGemm's `normalise` costs less. */
export function planLayerNorm(norm: LayerNorm, _device: DeviceFacts, prefix: string): Plan<LayerNormWeights> {
  const { rows, D, x, residual, sum, out, epsilon } = norm;
  const names = { scale: `${prefix}.scale`, shift: `${prefix}.shift` };
  const matrices = [x, residual ?? x, sum ?? out, out];
  const defines = { RESIDUAL: residual === undefined ? 0 : 1, SUM: sum === undefined ? 0 : 1 };
  return {
    buffers: [weight(names.scale, D), weight(names.shift, D)],
    launches: [rowsLaunch("layer_norm", norm, matrices, defines, [
      ...matrices.map((matrix) => addressOf(matrix, norm.precision)), at(names.scale), at(names.shift),
      ...matrices.flatMap(rowsOf), u32(rows), f32(epsilon)])],
    pack: ({ scale, shift }) =>
      new Map([[names.scale, bytesOfFloats(scale)], [names.shift, bytesOfFloats(shift)]]),
  };
}

/**
 * float32 out (rows, columns) = activation(layerNorm(x) w + bias) with few columns (<= 16): a network's
 * head on the last step, one warp per row.
 */
export interface Head {
  readonly rows: number;
  readonly D: number;
  readonly columns: number;
  readonly precision: CudaPrecision;
  readonly x: Matrix;
  /** Null: x as it is. */
  readonly normalise: { readonly epsilon: number } | null;
  readonly activation: Activation;
  readonly out: string;
}
/** float32 */
export interface HeadWeights {
  /** (D, columns), (columns) */
  readonly w: Float32Array;
  readonly bias: Float32Array;
  readonly norm?: LayerNormWeights;
}

/** Plans a narrow product in float32, its norm folded in. */
export function planHead(head: Head, _device: DeviceFacts, prefix: string): Plan<HeadWeights> {
  const { rows, D, columns, normalise, x } = head;
  assert(columns <= 16, `a head of ${columns} columns`);
  const names = { w: `${prefix}.w`, bias: `${prefix}.bias` };
  const defines = { COLUMNS: columns, CENTRED: normalise === null ? 0 : 1,
    ACTIVATION: ACTIVATIONS[head.activation] };
  return {
    buffers: [weight(names.w, D * columns), weight(names.bias, columns)],
    launches: [rowsLaunch("head", head, [x], defines, [
      addressOf(x, head.precision), at(names.w), at(names.bias), at(head.out), ...rowsOf(x), u32(rows),
      f32(normalise?.epsilon ?? 0)])],
    pack: ({ w, bias, norm }) => {
      const turned = new Float32Array(columns * D), shifted = Float64Array.from(bias);
      for (let k = 0; k < D; k++) for (let n = 0; n < columns; n++) {
        turned[n * D + k] = w[k * columns + n] * (norm?.scale[k] ?? 1);
        shifted[n] += w[k * columns + n] * (norm?.shift[k] ?? 0);
      }
      return new Map([[names.w, bytesOfFloats(turned)], [names.bias, bytesOfFloats(shifted)]]);
    },
  };
}

/** Plans the statistics of x's rows, where no product wrote them. */
export function planStatistics(
  of: { readonly rows: number; readonly D: number; readonly precision: CudaPrecision; readonly x: Matrix },
  _device: DeviceFacts, prefix: string): Plan<never> & { readonly statistics: RowStatistics } {
  const buffer = `${prefix}.statistics`;
  return {
    buffers: [{ name: buffer, bytes: of.rows * 8, role: "scratch" }],
    launches: [rowsLaunch("statistics", of, [of.x], {}, [
      addressOf(of.x, of.precision), at(buffer), ...rowsOf(of.x), u32(of.rows)])],
    pack: () => new Map(),
    statistics: { buffer, rows: of.rows, columns: of.D, tiles: 1 },
  };
}

/** Rows of float32 to a 16-bit precision: what a product wants of a float32 input. */
export interface Convert {
  readonly rows: number;
  readonly columns: number;
  readonly precision: "float16" | "bfloat16";
  readonly from: Matrix;
  /** Its rows hold the columns rounded up to a multiple of 8, with zeros there, and start on 16 bytes. */
  readonly to: Matrix;
  /**
   * x (B, T, F) is a ring of T rows per window, oldest row at this u32 (stack.ts of ../lstm); it is put in
   * order.
   */
  readonly ring?: { readonly start: string; readonly T: number };
}

/** Plans a conversion; it owns no buffers. */
export function planConvert(convert: Convert, _device: DeviceFacts): Launch {
  const { rows, columns, precision, from, to, ring } = convert;
  const padded = Math.ceil(columns / 8) * 8;
  assert(isVector(to, 2) && to.stride >= padded, "converted rows start on 16 bytes and hold whole pieces");
  const isWide = columns % 8 === 0 && isVector(from, 4);
  return {
    source: { name: "norm.cu", text: null, defines: { KIND: KINDS.convert, FLOAT: 0,
      BFLOAT: precision === "bfloat16" ? 1 : 0, VECTOR: isWide ? 1 : 0, RING: ring === undefined ? 0 : 1 } },
    kernel: "convert", grid: [Math.ceil(rows * padded / 8 / 256), 1, 1], block: 256, sharedBytes: 0,
    isDependent: true,
    arguments: [addressOf(from, "float32"), addressOf(to, precision), at(ring?.start ?? to.buffer),
      ...rowsOf(from), ...rowsOf(to), u32(rows), u32(columns), u32(padded), u32(ring?.T ?? 1)],
  };
}

const KINDS = { layer_norm: 0, head: 1, statistics: 2, convert: 3 } as const;

/** A warp per row. */
function rowsLaunch(kernel: keyof typeof KINDS, { rows, D, precision }:
{ readonly rows: number; readonly D: number; readonly precision: CudaPrecision }, matrices: readonly Matrix[],
defines: Readonly<Record<string, number>>, fields: readonly Argument[]): Launch {
  assert(D <= ROW_COLUMNS_MAX, `rows of ${D} columns, ${ROW_COLUMNS_MAX} at most`);
  const isWide = D % 8 === 0 && matrices.every((matrix) => isVector(matrix, bytesOf(precision)));
  return {
    source: { name: "norm.cu", text: null, defines: {
      KIND: KINDS[kernel], FLOAT: precision === "float32" ? 1 : 0, BFLOAT: precision === "bfloat16" ? 1 : 0,
      D, VECTOR: isWide ? 1 : 0, ...defines } },
    kernel, grid: [Math.ceil(rows / WARPS), 1, 1], block: WARPS * 32, sharedBytes: 0, isDependent: true,
    arguments: fields,
  };
}

/** Whether every row starts on 16 bytes. */
const isVector = ({ stride, first = 0, step = 1, column = 0 }: Matrix, bytes: number): boolean =>
  [stride * step, first * stride, column].every((elements) => elements * bytes % 16 === 0);
const at = (buffer: string): Argument => ({ kind: "address", buffer });
const addressOf = ({ buffer, column = 0 }: Matrix, precision: CudaPrecision): Argument =>
  ({ kind: "address", buffer, offset: column * bytesOf(precision) });
/** In the order of norm.cu's Rows. */
const rowsOf = ({ first = 0, step = 1, stride }: Matrix): Argument[] => [u32(first), u32(step), u32(stride)];
const weight = (name: string, floats: number): BufferSpec => ({ name, bytes: floats * 4, role: "weight" });
