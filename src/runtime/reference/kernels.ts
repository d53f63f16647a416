/**
 * The primitives in float64, one kernel each. A kernel is given the arrays it reads and writes,
 * whose shapes are numbers by now, and returns the loop that computes one from the other: positions
 * are worked out once, a run is loops only.
 *
 * Everything that moves elements is one idea, a view: element (i, j, ...) of a shape lies at
 *
 *   offset + i strides[0] + j strides[1] + ...      of an array
 *
 * Broadcasting is a stride of 0, a transpose permutes strides, a slice has an offset.
 */
import { assert } from "../../base/assert.ts";
import type { Sizes } from "../../graph/dimension.ts";
import type { PrimitiveAttributes, PrimitiveName } from "../../graph/op.ts";

/** Row major. */
export interface Dense {
  readonly shape: readonly number[];
  readonly values: Float64Array;
}

export type Kernel<Name extends PrimitiveName> = (inputs: readonly Dense[],
  outputs: readonly Dense[], attributes: PrimitiveAttributes[Name], sizes: Sizes) => () => void;

const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** Zeros. */
export const makeDense = (shape: readonly number[]): Dense =>
  ({ shape, values: new Float64Array(count(shape)) });

/** Distance between neighbours along each axis. */
const stridesOf = (shape: readonly number[]): number[] =>
  shape.map((_, axis) => count(shape.slice(axis + 1)));

/** Position in the array of each element of `shape`, in row-major order. */
function positions(shape: readonly number[], strides: readonly number[], offset = 0): Int32Array {
  let found = Int32Array.of(offset);
  shape.forEach((size, axis) => {
    const next = new Int32Array(found.length * size);
    for (let k = 0; k < found.length; k++) {
      for (let i = 0; i < size; i++) next[k * size + i] = found[k] + i * strides[axis];
    }
    found = next;
  });
  return found;
}

/** Strides that walk an array of shape `from` as if it were broadcast to `to`. */
function broadcastStrides(from: readonly number[], to: readonly number[]): number[] {
  const strides = stridesOf(from);
  return to.map((_, axis) => {
    const own = axis - (to.length - from.length);
    return own < 0 || from[own] === 1 ? 0 : strides[own];
  });
}
const broadcastTo = (from: readonly number[], to: readonly number[]): Int32Array =>
  positions(to, broadcastStrides(from, to));

const unary = (compute: (x: number) => number) => ([{ values: x }]: readonly Dense[],
  [{ values: y }]: readonly Dense[]) => (): void => {
  for (let k = 0; k < y.length; k++) y[k] = compute(x[k]);
};

const binary = (compute: (a: number, b: number) => number) => ([a, b]: readonly Dense[],
  [y]: readonly Dense[]) => {
  const atA = broadcastTo(a.shape, y.shape), atB = broadcastTo(b.shape, y.shape);
  return (): void => {
    for (let k = 0; k < y.values.length; k++) {
      y.values[k] = compute(a.values[atA[k]], b.values[atB[k]]);
    }
  };
};

/** y[k] = x[at[k]] */
const read = (x: Dense, y: Dense, at: Int32Array) => (): void => {
  for (let k = 0; k < at.length; k++) y.values[k] = x.values[at[k]];
};
/** y[at[k]] = x[k]; the rest of y stays as it is. */
const write = (x: Dense, y: Dense, at: Int32Array) => (): void => {
  for (let k = 0; k < at.length; k++) y.values[at[k]] = x.values[k];
};

const reduce = (start: number, join: (a: number, b: number) => number) => ([x]: readonly Dense[],
  [y]: readonly Dense[]) => {
  const at = broadcastTo(y.shape, x.shape);
  return (): void => {
    y.values.fill(start);
    for (let k = 0; k < at.length; k++) y.values[at[k]] = join(y.values[at[k]], x.values[k]);
  };
};

/** y += a b for one pair of matrices, each walked by its own strides. */
function addProduct(a: { values: Float64Array; start: number; row: number; inner: number },
  b: { values: Float64Array; start: number; inner: number; column: number },
  y: { values: Float64Array; start: number }, [M, K, N]: readonly [number, number, number]): void {
  for (let m = 0; m < M; m++) {
    const row = y.start + m * N;
    for (let k = 0; k < K; k++) {
      const factor = a.values[a.start + m * a.row + k * a.inner];
      const from = b.start + k * b.inner;
      for (let n = 0; n < N; n++) y.values[row + n] += factor * b.values[from + n * b.column];
    }
  }
}

const matmul: Kernel<"matmul"> = ([a, b], [y], { transposeA, transposeB }) => {
  const [rows, columns] = y.shape.slice(-2);
  const inner = a.shape.at(transposeA ? -2 : -1)!;
  const batch = y.shape.slice(0, -2);
  const matrices = (operand: Dense): Int32Array => broadcastTo(operand.shape.slice(0, -2), batch);
  const ofA = matrices(a), ofB = matrices(b);
  const [row, innerA] = transposeA ? [1, rows] : [inner, 1];
  const [innerB, column] = transposeB ? [1, inner] : [columns, 1];
  return () => {
    y.values.fill(0);
    for (let k = 0; k < ofA.length; k++) {
      addProduct({ values: a.values, start: ofA[k] * rows * inner, row, inner: innerA },
        { values: b.values, start: ofB[k] * inner * columns, inner: innerB, column },
        { values: y.values, start: k * rows * columns }, [rows, inner, columns]);
    }
  };
};

const concat: Kernel<"concat"> = (inputs, [y], { axis }) => {
  const strides = stridesOf(y.shape);
  let start = 0;
  const parts = inputs.map((x) => {
    const part = write(x, y, positions(x.shape, strides, start * strides[axis]));
    start += x.shape[axis];
    return part;
  });
  return () => { for (const part of parts) part(); };
};

/** Fixed values: written once, into an array that nothing else writes. */
function fixed(y: Dense, valueOf: (k: number) => number): () => void {
  for (let k = 0; k < y.values.length; k++) y.values[k] = valueOf(k);
  return () => undefined;
}

const same = (x: number): number => x;

/** All primitives but scan, which needs a plan of its body (plan.ts). */
export const KERNELS = {
  input: (_inputs, _outputs, { name }) => assert(false, `the input ${name} has no value`) as never,
  constant: (_, [y], { value }) => fixed(y, () => value),
  iota: (_, [y]) => fixed(y, same),
  neg: unary((x) => -x),
  exp: unary(Math.exp),
  log: unary(Math.log),
  sqrt: unary(Math.sqrt),
  sin: unary(Math.sin),
  tanh: unary(Math.tanh),
  sigmoid: unary((x) => 1 / (1 + Math.exp(-x))),
  abs: unary(Math.abs),
  sign: unary(Math.sign),
  floor: unary(Math.floor),
  stop: unary(same),
  add: binary((a, b) => a + b),
  sub: binary((a, b) => a - b),
  mul: binary((a, b) => a * b),
  div: binary((a, b) => a / b),
  max: binary(Math.max),
  greater: binary((a, b) => (a > b ? 1 : 0)),
  where: ([condition, a, b], [y]) => {
    const [at, atA, atB] = [condition, a, b].map(({ shape }) => broadcastTo(shape, y.shape));
    return () => {
      for (let k = 0; k < y.values.length; k++) {
        y.values[k] = condition.values[at[k]] !== 0 ? a.values[atA[k]] : b.values[atB[k]];
      }
    };
  },
  sum: reduce(0, (a, b) => a + b),
  reduceMax: reduce(-Infinity, Math.max),
  sort: ([x], [y]) => () => {
    y.values.set(x.values);
    const width = y.shape.at(-1)!;
    for (let row = 0; row < y.values.length; row += width) {
      y.values.subarray(row, row + width).sort().reverse();
    }
  },
  matmul,
  reshape: ([x], [y]) => () => { y.values.set(x.values); },
  transpose: ([x], [y], { permutation }) => {
    const strides = stridesOf(x.shape);
    return read(x, y, positions(y.shape, permutation.map((axis) => strides[axis])));
  },
  broadcast: ([x], [y]) => read(x, y, broadcastTo(x.shape, y.shape)),
  slice: ([x], [y], { axis, start, length }) => {
    const size = x.shape[axis];
    const first = start < 0 ? size + start : start;
    assert(first >= 0 && first + length <= size, `slices ${length} from ${start} of ${size}`);
    const strides = stridesOf(x.shape);
    return read(x, y, positions(y.shape, strides, first * strides[axis]));
  },
  pad: ([x], [y], { axis, before }) => {
    const strides = stridesOf(y.shape);
    return write(x, y, positions(x.shape, strides, before * strides[axis]));
  },
  concat,
} as const satisfies { [Name in Exclude<PrimitiveName, "scan">]: Kernel<Name> };
