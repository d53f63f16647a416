/**
 * What a node may be replaced by, once its inputs are as simple as they get. A rule answers with a
 * tensor of the same shape and, but for rounding, of the same values, or null. Every answer is
 * smaller or nearer to the leaves, so that applying rules ends.
 *
 *   uniform   one value everywhere: a constant, or a broadcast of one. Arithmetic of uniforms is
 *             done here, unless it overflows: infinities are the runtime's.
 *
 * Zero times x is zero here even where x is not finite: a zero that is written in the graph means
 * "does not depend on x" (padding, what a gradient does not reach). Zeros that are fed (weights of
 * rows, masks) are no constants, so that a NaN behind them does reach the loss and its guard.
 */
import { broadcastShapes, isSameShape, type Shape } from "./dimension.ts";
import { add, broadcast, concat, matmul, mul, neg, pad, reduceMax, reshape, slice, sub, sum, transpose,
  zeros } from "./ops.ts";
import type { PrimitiveAttributes, PrimitiveName } from "./op.ts";
import { makeTensor, type Node, type Tensor } from "./tensor.ts";

type Rule<Name extends PrimitiveName> = (inputs: readonly Tensor[], shape: Shape,
  attributes: PrimitiveAttributes[Name]) => Tensor | null;

const isKnown = (shape: Shape): shape is readonly number[] =>
  shape.every((dimension) => typeof dimension === "number");

/** x in this shape, if that needs no size that is open. */
function fit(x: Tensor, shape: Shape): Tensor | null {
  if (isSameShape(x.shape, shape)) return x;
  return isKnown(shape) ? broadcast(x, shape) : null;
}

/** The value of a tensor that has one value everywhere. */
function uniformOf({ node }: Tensor): number | null {
  const inner = node.op === "broadcast" ? node.inputs[0].node : node;
  return inner.op === "constant" ? inner.attributes.value : null;
}
/** Far from where float32 ends. */
const isModest = (value: number): boolean => Math.abs(value) > 1e-30 && Math.abs(value) < 1e30;

const isUniform = (x: Tensor, value: number): boolean => uniformOf(x) === value;
const asFactor = (x: Tensor): { of: Tensor; factor: number } | null => {
  const { node } = x;
  if (node.op === "neg") return { of: node.inputs[0], factor: -1 };
  if (node.op !== "mul") return null;
  const factors = node.inputs.map(uniformOf);
  const at = factors.findIndex((factor) => factor !== null);
  return at >= 0 && isSameShape(node.inputs[1 - at].shape, x.shape)
    ? { of: node.inputs[1 - at], factor: factors[at]! } : null;
};

const FOLD: { readonly [Name in PrimitiveName]?: (...values: number[]) => number } = {
  neg: (x) => -x, exp: Math.exp, log: Math.log, sqrt: Math.sqrt, sin: Math.sin, tanh: Math.tanh,
  sigmoid: (x) => 1 / (1 + Math.exp(-x)), abs: Math.abs, sign: Math.sign, floor: Math.floor,
  add: (a, b) => a + b, sub: (a, b) => a - b, mul: (a, b) => a * b, div: (a, b) => a / b,
  max: Math.max, greater: (a, b) => (a > b ? 1 : 0),
  where: (condition, a, b) => (condition === 0 ? b : a),
};

/** Elementwise ops: arithmetic of uniforms, and operands that are broadcast for nothing. */
function elementwise(node: Node, inputs: readonly Tensor[], shape: Shape): Tensor | null {
  const fold = FOLD[node.op as PrimitiveName];
  if (fold === undefined) return null;
  const values = inputs.map(uniformOf);
  if (values.every((value) => value !== null)) {
    const value = fold(...values);
    if (Number.isFinite(value)) return broadcast(value, shape);
  }
  const remake = (operands: readonly Tensor[]): Tensor =>
    makeTensor(node.op, operands, node.attributes as never);
  const [only] = inputs;
  if (inputs.length === 1) {
    return only.node.op === "broadcast" ? broadcast(remake(only.node.inputs), shape) : null;
  }
  const operands = [...inputs];
  operands.forEach((operand, k) => {
    if (operand.node.op !== "broadcast") return;
    const narrow = operands.with(k, operand.node.inputs[0]);
    if (isSameShape(broadcastShapes(...narrow.map((one) => one.shape)), shape)) {
      operands[k] = operand.node.inputs[0];
    }
  });
  return operands.some((operand, k) => operand !== inputs[k]) ? remake(operands) : null;
}

/** The axes that a reduction needs, ascending: those of size 1 say nothing. Null: as they are. */
function fewerAxes(x: Tensor, axes: readonly number[]): number[] | null {
  const wide = [...new Set(axes)].filter((axis) => x.shape[axis] !== 1).sort((a, b) => a - b);
  return wide.length === axes.length && wide.every((axis, k) => axis === axes[k]) ? null : wide;
}

/** The sum of repeated values is a product. */
function sumOfBroadcast(x: Tensor, shape: Shape, axes: readonly number[]): Tensor | null {
  if (x.node.op !== "broadcast") return null;
  const [inner] = x.node.inputs;
  const extra = x.shape.length - inner.shape.length;
  const isRepeated = axes.every((axis) => axis < extra || inner.shape[axis - extra] === 1);
  const sizes: Shape = axes.map((axis) => x.shape[axis]);
  if (!isRepeated || !isKnown(sizes)) return null;
  return mul(broadcast(inner, shape), sizes.reduce((a, b) => a * b, 1));
}

/** Parts of a concatenation that an interval covers, if it cuts none of them or lies within one. */
function sliceOfConcat(parts: readonly Tensor[], axis: number, start: number,
  length: number): Tensor | null {
  const covered: Tensor[] = [];
  let at = 0, first = 0;
  for (const part of parts) {
    const size = part.shape[axis] as number;
    if (at < start + length && at + size > start) {
      if (covered.length === 0) first = at;
      covered.push(part);
    }
    at += size;
  }
  const total = covered.reduce((size, part) => size + (part.shape[axis] as number), 0);
  if (covered.length === 1) return slice(covered[0], axis, start - first, length);
  return total === length && covered.length < parts.length ? concat(covered, axis) : null;
}

const sliceRule: Rule<"slice"> = ([x], shape, { axis, start, length }) => {
  const size = x.shape[axis];
  if (start < 0 && typeof size === "number") return slice(x, axis, start + size, length);
  if (start === 0 && size === length) return x;
  const value = uniformOf(x);
  if (value !== null) return broadcast(value, shape);
  const { node } = x;
  if (node.op === "slice" && node.attributes.axis === axis && start >= 0) {
    return slice(node.inputs[0], axis, node.attributes.start + start, length);
  }
  if (node.op === "concat" && node.attributes.axis === axis) {
    return sliceOfConcat(node.inputs, axis, start, length);
  }
  if (node.op === "pad" && node.attributes.axis === axis) {
    const [inner] = node.inputs, from = start - node.attributes.before;
    const inside = inner.shape[axis] as number;
    if (from >= 0 && from + length <= inside) return slice(inner, axis, from, length);
    if ((from + length <= 0 || from >= inside) && isKnown(shape)) return zeros(shape);
  }
  return null;
};

const concatRule: Rule<"concat"> = (inputs, shape, { axis }) => {
  if (inputs.length === 1) return inputs[0];
  const [value, ...others] = inputs.map(uniformOf);
  if (value !== null && isKnown(shape) && others.every((other) => Object.is(other, value))) {
    return broadcast(value, shape);
  }
  const parts: Tensor[] = [];
  const flat = inputs.flatMap((part) =>
    (part.node.op === "concat" && part.node.attributes.axis === axis ? part.node.inputs : [part]));
  for (const part of flat) {
    const joined = parts.length > 0 ? joinSlices(parts.at(-1)!.node, part.node, axis) : null;
    if (joined === null) parts.push(part); else parts[parts.length - 1] = joined;
  }
  return parts.length === inputs.length && parts.every((part, k) => part === inputs[k]) ? null
    : concat(parts, axis);
};

/** Two neighbouring slices of one tensor as one. */
function joinSlices(a: Node, b: Node, axis: number): Tensor | null {
  if (a.op !== "slice" || b.op !== "slice" || a.inputs[0] !== b.inputs[0]) return null;
  const left = a.attributes, right = b.attributes;
  const isNext = left.axis === axis && right.axis === axis && left.start >= 0
    && right.start === left.start + left.length;
  return isNext ? slice(a.inputs[0], axis, left.start, left.length + right.length) : null;
}

/** Moves of axes; one that moves only axes of size 1 is a reshape. */
const transposeRule: Rule<"transpose"> = ([x], shape, { permutation }) => {
  const value = uniformOf(x);
  if (value !== null) return broadcast(value, shape);
  if (permutation.every((axis, k) => axis === k)) return x;
  if (x.node.op === "transpose") {
    const before = x.node.attributes.permutation;
    return transpose(x.node.inputs[0], permutation.map((axis) => before[axis]));
  }
  const wide = permutation.filter((axis) => x.shape[axis] !== 1);
  const isStill = wide.every((axis, k) => k === 0 || axis > wide[k - 1]);
  return isStill && isKnown(shape) ? reshape(x, shape) : null;
};

/** A tensor without the repeats of matrices that a product makes anyway; itself if there are none. */
function withoutRepeats(x: Tensor): Tensor {
  if (x.node.op !== "broadcast") return x;
  const [inner] = x.node.inputs;
  const isMatrix = inner.shape.length >= 2 && isSameShape(inner.shape.slice(-2), x.shape.slice(-2));
  return isMatrix ? inner : x;
}

/** A product of repeated matrices is a repeated product. */
const matmulRule: Rule<"matmul"> = ([a, b], shape, attributes) => {
  const narrowA = withoutRepeats(a), narrowB = withoutRepeats(b);
  if (narrowA === a && narrowB === b) return null;
  return fit(matmul(narrowA, narrowB, attributes), shape);
};

const RULES: { readonly [Name in PrimitiveName]?: Rule<Name> } = {
  stop: ([x]) => x,
  neg([{ node }]) {
    if (node.op === "neg") return node.inputs[0];
    if (node.op === "sub") return sub(node.inputs[1], node.inputs[0]);
    const scaled = asFactor(node.outputs[0]);
    return scaled === null ? null : mul(scaled.of, -scaled.factor);
  },
  add([a, b], shape) {
    if (isUniform(b, 0)) return fit(a, shape);
    if (isUniform(a, 0)) return fit(b, shape);
    if (b.node.op === "neg") return sub(a, b.node.inputs[0]);
    return a.node.op === "neg" ? sub(b, a.node.inputs[0]) : null;
  },
  sub([a, b], shape) {
    if (isUniform(b, 0)) return fit(a, shape);
    if (b.node.op === "neg") return add(a, b.node.inputs[0]);
    const narrow = isUniform(a, 0) ? fit(b, shape) : null;
    return narrow === null ? null : neg(narrow);
  },
  mul([a, b], shape) {
    const factor = uniformOf(b) ?? uniformOf(a);
    if (factor === null) return null;
    const x = uniformOf(b) === null ? b : a;
    if (factor === 0) return isKnown(shape) ? zeros(shape) : null;
    if (factor === 1) return fit(x, shape);
    const scaled = asFactor(x), product = factor * (scaled?.factor ?? 1);
    if (scaled !== null && isModest(product) && isSameShape(x.shape, shape)) {
      return mul(scaled.of, product);
    }
    const narrow = factor === -1 ? fit(x, shape) : null;
    return narrow === null ? null : neg(narrow);
  },
  div: ([a, b], shape) => (isUniform(b, 1) ? fit(a, shape) : null),
  max: ([a, b]) => (a === b ? a : null),
  where([condition, a, b], shape) {
    const value = uniformOf(condition);
    if (value !== null) return fit(value === 0 ? b : a, shape);
    return a === b ? fit(a, shape) : null;
  },
  sum([x], shape, { axes }) {
    const wide = fewerAxes(x, axes);
    return sumOfBroadcast(x, shape, axes) ?? (wide === null ? null : sum(x, wide));
  },
  reduceMax([x], shape, { axes }) {
    const value = uniformOf(x), wide = fewerAxes(x, axes);
    if (value !== null) return broadcast(value, shape);
    if (wide === null) return null;
    return wide.length === 0 ? x : reduceMax(x, wide);
  },
  matmul: matmulRule,
  reshape([x], shape) {
    const value = uniformOf(x);
    if (value !== null) return broadcast(value, shape);
    if (isSameShape(x.shape, shape)) return x;
    return x.node.op === "reshape" ? reshape(x.node.inputs[0], shape) : null;
  },
  broadcast([x], shape) {
    if (isSameShape(x.shape, shape)) return x;
    return x.node.op === "broadcast" ? broadcast(x.node.inputs[0], shape) : null;
  },
  transpose: transposeRule,
  slice: sliceRule,
  concat: concatRule,
  pad([x], shape, { axis, before, after }) {
    if (before + after === 0) return x;
    if (isUniform(x, 0)) return zeros(shape);
    if (x.node.op !== "pad" || x.node.attributes.axis !== axis) return null;
    const inner = x.node.attributes;
    return pad(x.node.inputs[0], axis, inner.before + before, inner.after + after);
  },
};

/** What this node's only output may be replaced by, its inputs being `inputs`; null: by nothing. */
export function simpler(node: Node, inputs: readonly Tensor[]): Tensor | null {
  const [{ shape }] = node.outputs;
  const rule = RULES[node.op as PrimitiveName] as Rule<PrimitiveName> | undefined;
  return elementwise(node, inputs, shape)
    ?? rule?.(inputs, shape, node.attributes as PrimitiveAttributes[PrimitiveName]) ?? null;
}
