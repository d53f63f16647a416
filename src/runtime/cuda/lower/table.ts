/**
 * How each op of the IR is run on a GPU. A missing row does not compile.
 *
 *   given        is there before the run
 *   elementwise  one line of C, within whatever kernel needs the value
 *   move         other coordinates of its operand: no kernel of its own
 *   pieces       one of several operands, by a coordinate
 *   reduction    a loop within a kernel over rows, or a kernel
 *   anchor       kernels of its own, between which the others are fused
 *   expanded     by its decomposition
 */
import type { BlockName } from "../../../graph/block.ts";
import type { PrimitiveName } from "../../../graph/op.ts";
import type { Node, OpName, Tensor } from "../../../graph/tensor.ts";
import { fixedPlace, ORIGIN, plus, reshapeCoordinates, type Place } from "./place.ts";

type NodeOf<Op extends OpName> = Extract<Node, { op: Op }>;

/** One of the operands, and where. */
export interface Piece {
  /** C condition on the coordinate along `axis`: below this many; null: all that is left. */
  readonly below: number | null;
  /** Null: zero. */
  readonly from: { readonly tensor: Tensor; readonly coordinates: readonly Place[] } | null;
}

type Row<Op extends OpName> =
  | { readonly kind: "given" | "number" | "iota" | "anchor" | "expanded" }
  | { readonly kind: "elementwise"; readonly text: (...operands: string[]) => string;
    /** Additions that it costs, about. */
    readonly cost: number }
  | { readonly kind: "move"; readonly coordinates: (node: NodeOf<Op>, at: readonly Place[]) =>
    readonly Place[] }
  | { readonly kind: "pieces"; readonly axis: (node: NodeOf<Op>) => number;
    readonly pieces: (node: NodeOf<Op>, at: readonly Place[]) => readonly Piece[] }
  | { readonly kind: "reduction"; readonly start: string; readonly join: string; readonly across: string };

const call = (name: string, cost = 12) =>
  ({ kind: "elementwise", text: (...operands: string[]): string => `${name}(${operands.join(", ")})`,
    cost }) as const;
const infix = (sign: string, cost = 1) =>
  ({ kind: "elementwise", text: (a: string, b: string): string => `${a} ${sign} ${b}`, cost }) as const;

export const shapeOf = (tensor: Tensor): readonly number[] => tensor.shape as readonly number[];

/** Coordinates of an operand that is broadcast: 0 along axes of 1. */
export function operandCoordinates(operand: Tensor, at: readonly Place[]): Place[] {
  const shape = shapeOf(operand), extra = at.length - shape.length;
  return shape.map((size, axis) => (size === 1 ? ORIGIN : at[axis + extra]));
}

const same = (_: Node, at: readonly Place[]): readonly Place[] => at;

const moved = (at: readonly Place[], axis: number, by: number): Place[] =>
  at.with(axis, plus(at[axis], fixedPlace(by)));

export const TABLE: { readonly [Op in PrimitiveName | BlockName]: Row<Op> } = {
  input: { kind: "given" },
  constant: { kind: "number" },
  iota: { kind: "iota" },
  neg: { kind: "elementwise", text: (x) => `-${x}`, cost: 1 },
  exp: call("expf"), log: call("logf"), sqrt: call("sqrtf"), sin: call("sinf", 20), tanh: call("tanhf", 20),
  sigmoid: call("sigmoid", 20), abs: call("fabsf", 1), sign: call("sign_of", 3), floor: call("floorf", 1),
  stop: { kind: "move", coordinates: same },
  add: infix("+"), sub: infix("-"), mul: infix("*"), div: infix("/", 10), max: call("maximum", 2),
  greater: { kind: "elementwise", text: (a, b) => `${a} > ${b} ? 1.f : 0.f`, cost: 1 },
  where: { kind: "elementwise", text: (condition, a, b) => `${condition} != 0.f ? ${a} : ${b}`, cost: 1 },
  sum: { kind: "reduction", start: "0.f", join: "add", across: "sum" },
  reduceMax: { kind: "reduction", start: "float_of(0xff800000u)", join: "maximum", across: "maximum" },
  sort: { kind: "anchor" },
  matmul: { kind: "anchor" },
  reshape: { kind: "move", coordinates: ({ inputs: [x], outputs: [y] }, at) =>
    reshapeCoordinates(at, shapeOf(y), shapeOf(x)) },
  transpose: { kind: "move", coordinates: ({ attributes: { permutation } }, at) =>
    permutation.map((_, axis) => at[permutation.indexOf(axis)]) },
  broadcast: { kind: "move", coordinates: ({ inputs: [x] }, at) => operandCoordinates(x, at) },
  slice: { kind: "move", coordinates({ inputs: [x], attributes: { axis, start } }, at) {
    return moved(at, axis, start < 0 ? start + shapeOf(x)[axis] : start);
  } },
  pad: {
    kind: "pieces", axis: ({ attributes: { axis } }) => axis,
    pieces({ inputs: [x], attributes: { axis, before, after } }, at) {
      const inner = { below: before + shapeOf(x)[axis],
        from: { tensor: x, coordinates: moved(at, axis, -before) } };
      return [...(before > 0 ? [{ below: before, from: null }] : []),
        after > 0 ? inner : { ...inner, below: null }, ...(after > 0 ? [{ below: null, from: null }] : [])];
    },
  },
  concat: {
    kind: "pieces", axis: ({ attributes: { axis } }) => axis,
    pieces({ inputs, attributes: { axis } }, at) {
      let start = 0;
      return inputs.map((tensor, k) => {
        const coordinates = moved(at, axis, -start);
        start += shapeOf(tensor)[axis];
        return { below: k === inputs.length - 1 ? null : start, from: { tensor, coordinates } };
      });
    },
  },
  scan: { kind: "anchor" },
  linear: { kind: "expanded" },
  softmax: { kind: "expanded" },
  layerNorm: { kind: "expanded" },
  gelu: call("gelu", 24),
  elu: call("elu", 14),
  lstm: { kind: "expanded" },
  lstmGradient: { kind: "expanded" },
  attention: { kind: "expanded" },
  adamw: { kind: "expanded" },
};

/** The row of a node's op. */
export const rowOf = (node: Node): Row<OpName> => TABLE[node.op] as Row<OpName>;

/** A number as a C literal. */
export function floatText(value: number): string {
  const near = Math.fround(value);
  if (Number.isNaN(near)) return "float_of(0x7fc00000u)";
  if (!Number.isFinite(near)) return near > 0 ? "float_of(0x7f800000u)" : "float_of(0xff800000u)";
  const text = String(value);
  const literal = `${/[.e]/.test(text) ? text : `${text}.`}f`;
  return value < 0 || Object.is(value, -0) ? `(${Object.is(value, -0) ? "-0.f" : literal})` : literal;
}
