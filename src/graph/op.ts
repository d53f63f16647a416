/**
 * The primitives: everything a runtime must implement, and all that gradients are written in. One
 * row per op: what it computes and the rule from input shapes to output shapes, which is also the
 * check.
 *
 *   elementwise operands broadcast by NumPy's rule; reductions keep their axes with size 1
 *
 * What is missing is made of these in `ops.ts` (mean, minimum, equal, ...), or is a block
 * (block.ts).
 */
import { assert } from "../base/assert.ts";
import { broadcastShapes, countOf, isSameShape, multiply, shapeText, type Dimension, type Shape }
  from "./dimension.ts";
import type { Tensor } from "./tensor.ts";

/**
 * One step of a scan, a closed graph of its own: its tensors reach only these `input` nodes. The
 * scan's inputs are, in this order, initial states, sequences and captured tensors.
 */
export interface ScanBody {
  /** Placeholders of the step's arguments, as `input` tensors. */
  readonly states: readonly Tensor[];
  /** One element (the sequence's shape without its first axis) of each sequence. */
  readonly elements: readonly Tensor[];
  /** Tensors from outside, the same in every step (weights). */
  readonly captured: readonly Tensor[];
  /** As many as `states`, of the same shapes. */
  readonly nextStates: readonly Tensor[];
  /** What each step adds to the stacked outputs. */
  readonly emits: readonly Tensor[];
}

/** Attributes of an op that has none. */
export type None = Readonly<Record<string, never>>;

export interface PrimitiveAttributes {
  /** Fed, or state. Names are unique in a graph. */
  input: { readonly name: string; readonly shape: Shape };
  constant: { readonly value: number };
  /** 0, 1, ... along one axis of this size. */
  iota: { readonly size: Dimension };
  neg: None; exp: None; log: None; sqrt: None; sin: None; tanh: None; sigmoid: None; abs: None;
  /** -1, 0 or 1. Gradient zero. */
  sign: None;
  /** Gradient zero. */
  floor: None;
  /** The same values; gradients do not pass. */
  stop: None;
  add: None; sub: None; mul: None; div: None; max: None;
  /** 1 where a > b, else 0. Gradient zero. */
  greater: None;
  /** where(condition != 0, a, b) */
  where: None;
  sum: { readonly axes: readonly number[] };
  reduceMax: { readonly axes: readonly number[] };
  /** Descending along the last axis. Has no gradient: reach it through `stop` only. */
  sort: None;
  /**
   * Of the last two axes; the axes before them broadcast. A is transposed (its last two axes) first
   * if so said.
   */
  matmul: { readonly transposeA: boolean; readonly transposeB: boolean };
  reshape: { readonly shape: Shape };
  transpose: { readonly permutation: readonly number[] };
  broadcast: { readonly shape: Shape };
  /** `length` elements along `axis` from `start`; a negative start counts from the end. */
  slice: { readonly axis: number; readonly start: number; readonly length: number };
  /** Zeros around one axis. */
  pad: { readonly axis: number; readonly before: number; readonly after: number };
  concat: { readonly axis: number };
  /**
   * (states..., sequences..., captured...) -> (final states..., stacked emits...). Sequences and
   * stacked emits have time on axis 0. Reversed: from the last element to the first; emits keep the
   * place of their element.
   */
  scan: { readonly body: ScanBody; readonly isReverse: boolean };
}
export type PrimitiveName = keyof PrimitiveAttributes;

/** What an op takes and gives, whatever it computes. */
export interface Signature<Attributes> {
  /** How many inputs; null: as many as its attributes say. */
  readonly arity: number | null;
  /** From the shapes of that many inputs to output shapes; asserts what must hold. */
  shapes: (inputs: readonly Shape[], attributes: Attributes) => readonly Shape[];
}

const elementwise = (arity: number): Signature<None> =>
  ({ arity, shapes: (inputs) => [broadcastShapes(...inputs)] });
const unary = elementwise(1), binary = elementwise(2), ternary = elementwise(3);

const reduction: Signature<{ readonly axes: readonly number[] }> = {
  arity: 1,
  shapes([x], { axes }) {
    assert(axes.length > 0, "reduces at least one axis");
    axes.forEach((axis) => checkAxis(axis, x));
    return [x.map((dimension, axis) => (axes.includes(axis) ? 1 : dimension))];
  },
};

function checkAxis(axis: number, shape: Shape): void {
  assert(Number.isInteger(axis) && axis >= 0 && axis < shape.length,
    `axis ${axis} of ${shapeText(shape)}`);
}

export const PRIMITIVES: {
  readonly [Name in PrimitiveName]: Signature<PrimitiveAttributes[Name]> } = {
  input: { arity: 0, shapes: (_, { shape }) => [shape] },
  constant: { arity: 0, shapes: () => [[]] },
  iota: { arity: 0, shapes: (_, { size }) => [[size]] },
  neg: unary, exp: unary, log: unary, sqrt: unary, sin: unary, tanh: unary, sigmoid: unary,
  abs: unary, sign: unary, floor: unary, stop: unary,
  add: binary, sub: binary, mul: binary, div: binary, max: binary, greater: binary,
  where: ternary,
  sum: reduction,
  reduceMax: reduction,
  sort: { arity: 1, shapes([x]) { assert(x.length > 0, "sorts an axis"); return [x]; } },
  matmul: {
    arity: 2,
    shapes([a, b], { transposeA, transposeB }) {
      assert(a.length >= 2 && b.length >= 2, "multiplies matrices");
      const [rows, innerA] = transposeA ? [a.at(-1)!, a.at(-2)!] : [a.at(-2)!, a.at(-1)!];
      const [innerB, columns] = transposeB ? [b.at(-1)!, b.at(-2)!] : [b.at(-2)!, b.at(-1)!];
      assert(innerA === innerB, `inner sizes ${innerA} and ${innerB} differ`);
      return [[...broadcastShapes(a.slice(0, -2), b.slice(0, -2)), rows, columns]];
    },
  },
  reshape: {
    arity: 1,
    shapes([x], { shape }) {
      assert(countOf(x) === countOf(shape), `cannot be reshaped to ${shapeText(shape)}`);
      return [shape];
    },
  },
  transpose: {
    arity: 1,
    shapes([x], { permutation }) {
      const axes = [...permutation].sort((a, b) => a - b);
      assert(axes.length === x.length && axes.every((axis, k) => axis === k),
        `${permutation.join()} is no permutation of its axes`);
      return [permutation.map((axis) => x[axis])];
    },
  },
  broadcast: {
    arity: 1,
    shapes([x], { shape }) {
      assert(isSameShape(broadcastShapes(x, shape), shape),
        `does not broadcast to ${shapeText(shape)}`);
      return [shape];
    },
  },
  slice: {
    arity: 1,
    shapes([x], { axis, start, length }) {
      checkAxis(axis, x);
      const size = x[axis];
      assert(Number.isInteger(start) && Number.isInteger(length) && length > 0
        && (start >= 0 || start + length <= 0), `slices ${length} from ${start}`);
      assert(typeof size !== "number" || (start >= 0 ? start + length <= size : -start <= size),
        `slices ${length} from ${start} of ${size}`);
      return [x.with(axis, length)];
    },
  },
  pad: {
    arity: 1,
    shapes([x], { axis, before, after }) {
      checkAxis(axis, x);
      const size = x[axis];
      assert(typeof size === "number" && before >= 0 && after >= 0, `pads an axis of size ${size}`);
      return [x.with(axis, size + before + after)];
    },
  },
  concat: {
    arity: null,
    shapes(inputs, { axis }) {
      assert(inputs.length > 0, "joins nothing");
      checkAxis(axis, inputs[0]);
      let total = 0;
      for (const shape of inputs) {
        const size = shape[axis];
        const isSame = isSameShape(shape.with(axis, 0), inputs[0].with(axis, 0));
        assert(typeof size === "number" && isSame,
          "joins shapes that differ elsewhere, or of unknown size");
        total += size;
      }
      return [inputs[0].with(axis, total)];
    },
  },
  scan: {
    arity: null,
    shapes(inputs, { body }) {
      const { states, elements, captured, nextStates, emits } = body;
      assert(inputs.length === states.length + elements.length + captured.length,
        "inputs of its body");
      assert(nextStates.length === states.length, "one next value per state");
      assert(elements.length > 0, "walks along at least one sequence");
      const sequences = inputs.slice(states.length, states.length + elements.length);
      const time = sequences[0][0];
      states.forEach((state, k) => {
        assert(isSameShape(state.shape, inputs[k]) && isSameShape(state.shape, nextStates[k].shape),
          `state ${k} changes its shape`);
      });
      elements.forEach((element, k) => {
        assert(isSameShape([time, ...element.shape], sequences[k]),
          `sequence ${k} is not of its element's shape`);
      });
      const outer = inputs.slice(states.length + elements.length);
      captured.forEach(({ shape }, k) => {
        assert(isSameShape(shape, outer[k]), `captured ${k} changes its shape`);
      });
      return [...states.map((state) => state.shape), ...emits.map((emit) => [time, ...emit.shape])];
    },
  },
};

/** Whether each element of an op's result needs its own place of the operands only. */
export const isElementwise = (op: string): boolean => Object.hasOwn(PRIMITIVES, op)
  && [unary, binary, ternary].some((signature) => PRIMITIVES[op as PrimitiveName] === signature);

/** Elements of a shape as one axis. */
export const flatShape = (shape: Shape): Shape => [multiply(...shape)];
