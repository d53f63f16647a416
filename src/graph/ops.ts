/**
 * Functions that build tensors: one per op, and the small compositions that read better with a
 * name.
 */
import { assert } from "../base/assert.ts";
import { isSameShape, type Dimension, type Shape } from "./dimension.ts";
import { flatShape, type ScanBody } from "./op.ts";
import { makeNode, makeTensor, type Tensor } from "./tensor.ts";

/** Numbers stand for constants. */
export type Operand = Tensor | number;

export const constant = (value: number): Tensor => makeTensor("constant", [], { value });
const tensorOf = (operand: Operand): Tensor =>
  (typeof operand === "number" ? constant(operand) : operand);
/** An elementwise op of two operands. */
const binary = (op: "add" | "sub" | "mul" | "div" | "max" | "greater") =>
  (a: Operand, b: Operand): Tensor => makeTensor(op, [tensorOf(a), tensorOf(b)], {});

export const input = (name: string, shape: Shape): Tensor =>
  makeTensor("input", [], { name, shape });
/** 0, 1, ..., size - 1 */
export const iota = (size: Dimension): Tensor => makeTensor("iota", [], { size });

export const neg = (x: Tensor): Tensor => makeTensor("neg", [x], {});
export const exp = (x: Tensor): Tensor => makeTensor("exp", [x], {});
export const log = (x: Tensor): Tensor => makeTensor("log", [x], {});
export const sqrt = (x: Tensor): Tensor => makeTensor("sqrt", [x], {});
export const sin = (x: Tensor): Tensor => makeTensor("sin", [x], {});
export const tanh = (x: Tensor): Tensor => makeTensor("tanh", [x], {});
export const sigmoid = (x: Tensor): Tensor => makeTensor("sigmoid", [x], {});
export const abs = (x: Tensor): Tensor => makeTensor("abs", [x], {});
export const sign = (x: Tensor): Tensor => makeTensor("sign", [x], {});
export const floor = (x: Tensor): Tensor => makeTensor("floor", [x], {});
/** x, through which no gradient passes. */
export const stop = (x: Tensor): Tensor => makeTensor("stop", [x], {});
/** Descending along the last axis. */
export const sort = (x: Tensor): Tensor => makeTensor("sort", [x], {});

export const add = binary("add");
export const sub = binary("sub");
export const mul = binary("mul");
export const div = binary("div");
export const maximum = binary("max");
export const minimum = (a: Operand, b: Operand): Tensor =>
  neg(maximum(neg(tensorOf(a)), neg(tensorOf(b))));
/** 1 where a > b, else 0. */
export const greater = binary("greater");
/** 1 where a = b, else 0; where one is not a number, 1. */
export const equal = (a: Operand, b: Operand): Tensor => sub(1, add(greater(a, b), greater(b, a)));
export const where = (condition: Operand, a: Operand, b: Operand): Tensor =>
  makeTensor("where", [tensorOf(condition), tensorOf(a), tensorOf(b)], {});

const everyAxis = (x: Tensor): number[] => x.shape.map((_, axis) => axis);
/** Sums over axes (all when not said) and keeps them with size 1. */
export const sum = (x: Tensor, axes: readonly number[] = everyAxis(x)): Tensor =>
  axes.length === 0 ? x : makeTensor("sum", [x], { axes });
export const reduceMax = (x: Tensor, axes: readonly number[] = everyAxis(x)): Tensor =>
  makeTensor("reduceMax", [x], { axes });
/** Sums everything to a scalar (). */
export const total = (x: Tensor): Tensor => reshape(sum(x), []);
/** Mean over axes of known size, kept with size 1. */
export function mean(x: Tensor, axes: readonly number[] = everyAxis(x)): Tensor {
  const count = axes.reduce((product, axis) => {
    const size = x.shape[axis];
    assert(typeof size === "number", `the mean over ${size} elements`);
    return product * size;
  }, 1);
  return mul(sum(x, axes), 1 / count);
}

export const matmul = (a: Tensor, b: Tensor,
  { transposeA = false, transposeB = false } = {}): Tensor =>
  makeTensor("matmul", [a, b], { transposeA, transposeB });

export const reshape = (x: Tensor, shape: Shape): Tensor =>
  isSameShape(x.shape, shape) ? x : makeTensor("reshape", [x], { shape });
export const flatten = (x: Tensor): Tensor => reshape(x, flatShape(x.shape));
export const transpose = (x: Tensor, permutation: readonly number[]): Tensor =>
  permutation.every((axis, k) => axis === k) ? x : makeTensor("transpose", [x], { permutation });
export const broadcast = (x: Operand, shape: Shape): Tensor => {
  const tensor = tensorOf(x);
  return isSameShape(tensor.shape, shape) ? tensor : makeTensor("broadcast", [tensor], { shape });
};
export const zeros = (shape: Shape): Tensor => broadcast(0, shape);
/** `length` elements along `axis` from `start` (negative: from the end). */
export const slice = (x: Tensor, axis: number, start: number, length: number): Tensor =>
  x.shape[axis] === length && start === 0 ? x : makeTensor("slice", [x], { axis, start, length });
export const pad = (x: Tensor, axis: number, before: number, after: number): Tensor =>
  before + after === 0 ? x : makeTensor("pad", [x], { axis, before, after });
export const concat = (parts: readonly Tensor[], axis: number): Tensor =>
  parts.length === 1 ? parts[0] : makeTensor("concat", parts, { axis });
/** Parts of these lengths along an axis, in order. */
export function split(x: Tensor, axis: number, lengths: readonly number[]): Tensor[] {
  let start = 0;
  return lengths.map((length) => {
    const part = slice(x, axis, start, length);
    start += length;
    return part;
  });
}

/** One-hot rows: indices (...) as numbers 0..size-1 -> (..., size). */
export const oneHot = (indices: Tensor, size: number): Tensor =>
  equal(reshape(indices, [...indices.shape, 1]), iota(size));

/**
 * log(1 + e^x) as p + log(1 + e^(x - 2p)) with p = max(x, 0): nothing overflows, and the slope at 0
 * is 1/2 whichever slope p has there.
 */
export function softplus(x: Tensor): Tensor {
  const positive = maximum(x, 0);
  return add(positive, log(add(1, exp(sub(x, mul(positive, 2))))));
}

export interface ScanStep {
  readonly nextStates: readonly Tensor[];
  readonly emits: readonly Tensor[];
}

export interface Scan {
  /** Initial states. */
  readonly states: readonly Tensor[];
  /** Walked along axis 0. */
  readonly sequences: readonly Tensor[];
  /** Seen by every step as they are. */
  readonly captured?: readonly Tensor[];
  readonly isReverse?: boolean;
  /** Builds one step. It may use its arguments and constants only. */
  readonly step: (states: readonly Tensor[], elements: readonly Tensor[],
    captured: readonly Tensor[]) => ScanStep;
}

/** Loops over time: final states, and what the steps emitted stacked along axis 0. */
export function scan({ states, sequences, captured = [], isReverse = false, step }: Scan):
{ finals: readonly Tensor[]; stacked: readonly Tensor[] } {
  const place = (kind: string, tensors: readonly Tensor[], drop: number): Tensor[] =>
    tensors.map((tensor, k) => input(`${kind}${k}`, tensor.shape.slice(drop)));
  const inner = { states: place("state", states, 0), elements: place("element", sequences, 1),
    captured: place("captured", captured, 0) };
  const body: ScanBody = { ...inner, ...step(inner.states, inner.elements, inner.captured) };
  const outputs = makeNode("scan", [...states, ...sequences, ...captured], { body, isReverse });
  return { finals: outputs.slice(0, states.length), stacked: outputs.slice(states.length) };
}

export const linear = (x: Tensor, w: Tensor, bias: Tensor): Tensor =>
  makeTensor("linear", [x, w, bias], {});
export const softmax = (x: Tensor): Tensor => makeTensor("softmax", [x], {});
export const layerNorm = (x: Tensor, scale: Tensor, bias: Tensor, epsilon = 1e-5): Tensor =>
  makeTensor("layerNorm", [x, scale, bias], { epsilon });
export const gelu = (x: Tensor): Tensor => makeTensor("gelu", [x], {});
export const elu = (x: Tensor): Tensor => makeTensor("elu", [x], {});

export interface LstmOutputs {
  readonly hidden: Tensor;
  readonly lastHidden: Tensor;
  readonly lastCell: Tensor;
}
/** Shapes: see the block's row in block.ts. */
export function lstm(x: Tensor, wx: Tensor, wh: Tensor, bias: Tensor, h0: Tensor, c0: Tensor):
LstmOutputs {
  const [hidden, lastHidden, lastCell] = makeNode("lstm", [x, wx, wh, bias, h0, c0], {});
  return { hidden, lastHidden, lastCell };
}

/** Scaled dot-product attention; weights (..., T, T) are for people to look at. */
export function attention(q: Tensor, k: Tensor, v: Tensor, { isCausal = true } = {}):
{ output: Tensor; weights: Tensor } {
  const width = q.shape.at(-1);
  assert(typeof width === "number", "attention has a known width");
  const scale = 1 / Math.sqrt(width);
  const [output, weights] = makeNode("attention", [q, k, v], { scale, isCausal });
  return { output, weights };
}
