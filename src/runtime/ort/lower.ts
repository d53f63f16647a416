/**
 * How each primitive is said in ONNX: one row per op, total by type. A row writes nodes and names
 * its outputs. Booleans do not leave a row: `greater` is cast to a float, unless only `where` looks
 * at it.
 */
import { assert } from "../../base/assert.ts";
import type { Shape } from "../../graph/dimension.ts";
import type { PrimitiveName, ScanBody } from "../../graph/op.ts";
import { orderNodes } from "../../graph/order.ts";
import type { Node, OpName, Tensor } from "../../graph/tensor.ts";
import { BLOCK_LOWERINGS } from "./lower-block.ts";
import { isInferable, type Emitter } from "./emitter.ts";
import { CONTRIB, DATA_TYPE, makeOnnxGraph, makeOnnxNode, valueInfo, type NodeAttributes } from "./onnx.ts";
import type { GraphProto, NodeProto } from "./onnx-pb.ts";
import { findPatterns, type Patterns } from "./pattern.ts";

export type NodeOf<Op extends OpName> = Extract<Node, { op: Op }>;
/** Writes a node; names of its outputs, in their order. */
export type Lowering<Op extends OpName> = (node: NodeOf<Op>, inputs: readonly string[], emitter: Emitter,
  patterns: Patterns) => readonly string[];

/** One ONNX op with the same inputs. */
const same = (op: string) => (_: Node, inputs: readonly string[], { emit }: Emitter): string[] =>
  [emit(op, inputs)];
const END = Number.MAX_SAFE_INTEGER;

const PRIMITIVE_LOWERINGS: { readonly [Op in PrimitiveName]: Lowering<Op> } = {
  input: ({ attributes }) => assert(false, `the input ${attributes.name} is not declared`) as never,
  constant: ({ attributes }, _, { scalar }) => [scalar(attributes.value)],
  iota: lowerIota,
  neg: same("Neg"), exp: same("Exp"), log: same("Log"), sqrt: same("Sqrt"), sin: same("Sin"),
  tanh: same("Tanh"), sigmoid: same("Sigmoid"), abs: same("Abs"), sign: same("Sign"), floor: same("Floor"),
  stop: (_, [x]) => [x],
  add: lowerAdd,
  sub: same("Sub"), mul: same("Mul"), div: same("Div"), max: same("Max"),
  greater: (_, inputs, { emit, precision }) =>
    [emit("Cast", [emit("Greater", inputs)], { to: DATA_TYPE[precision] })],
  where: lowerWhere,
  sum: ({ attributes: { axes } }, [x], { emit, integers }) =>
    [emit("ReduceSum", [x, integers(axes)], { keepdims: 1 })],
  reduceMax: ({ attributes: { axes } }, [x], { emit, integers }) =>
    [emit("ReduceMax", [x, integers(axes)], { keepdims: 1 })],
  sort: ({ inputs: [{ shape }] }, [x], { emitAll, sizes }) =>
    [emitAll("TopK", [x, sizes([shape.at(-1)!])], { count: 2, attributes: { axis: -1 } })[0]],
  matmul: lowerMatmul,
  reshape: ({ attributes: { shape } }, [x], emitter) =>
    [emitter.emit("Reshape", [x, targetOf(shape, emitter)])],
  transpose: ({ attributes: { permutation } }, [x], { emit }) =>
    [emit("Transpose", [x], { perm: permutation })],
  broadcast: ({ attributes: { shape } }, [x], { emit, sizes }) => [emit("Expand", [x, sizes(shape)])],
  slice: ({ attributes: { axis, start, length } }, [x], { emit, integers }) => {
    const end = start < 0 && start + length === 0 ? END : start + length;
    return [emit("Slice", [x, integers([start]), integers([end]), integers([axis])])];
  },
  pad: ({ inputs: [{ shape }], attributes: { axis, before, after } }, [x], { emit, integers }) => {
    const none = shape.map(() => 0);
    return [emit("Pad", [x, integers([...none.with(axis, before), ...none.with(axis, after)])])];
  },
  concat: ({ attributes: { axis } }, inputs, { emit }) => [emit("Concat", inputs, { axis })],
  scan: lowerScan,
};

const LOWERINGS = { ...PRIMITIVE_LOWERINGS, ...BLOCK_LOWERINGS } as
  Readonly<Record<OpName, Lowering<OpName> | null>>;

/**
 * The shape operand of Reshape: constant with -1 where one open size can be worked out from the
 * rest.
 */
const targetOf = (shape: Shape, { sizes, integers }: Emitter): string => (isInferable(shape)
  ? integers(shape.map((dimension) => (typeof dimension === "number" ? dimension : -1))) : sizes(shape));

function lowerIota({ attributes: { size } }: NodeOf<"iota">, _: readonly string[],
  { emit, floats, integer, sizes, precision }: Emitter): string[] {
  if (typeof size === "number") return [floats([size], Array.from({ length: size }, (_value, k) => k))];
  const counted = emit("Range", [integer(0), emit("Squeeze", [sizes([size])]), integer(1)]);
  return [emit("Cast", [counted], { to: DATA_TYPE[precision] })];
}

/** a + x w of two axes is one Gemm, which adds on the way. */
function lowerAdd(node: NodeOf<"add">, inputs: readonly string[], emitter: Emitter,
  patterns: Patterns): string[] {
  const product = patterns.products.get(node);
  if (product === undefined) return [emitter.emit("Add", inputs)];
  const { matmul, other } = product;
  return [emitter.emit("Gemm", [...matmul.inputs.map(emitter.nameOf), emitter.nameOf(other)],
    transposesOf(matmul))];
}

const transposesOf = ({ attributes: { transposeA, transposeB } }: NodeOf<"matmul">): NodeAttributes =>
  ({ ...(transposeA ? { transA: 1 } : {}), ...(transposeB ? { transB: 1 } : {}) });

function lowerMatmul(node: NodeOf<"matmul">, [a, b]: readonly string[], emitter: Emitter): string[] {
  const { emit, isOwn, precision } = emitter;
  const { inputs, attributes: { transposeA, transposeB } } = node;
  if (!transposeA && !transposeB) return [emit("MatMul", [a, b])];
  if (inputs.every(({ shape }) => shape.length === 2)) return [emit("Gemm", [a, b], transposesOf(node))];
  if (isOwn && precision === "float32") return [emit("FusedMatMul", [a, b], transposesOf(node), CONTRIB)];
  const swapped = (name: string, rank: number): string =>
    emit("Transpose", [name], { perm: [...Array(rank - 2).keys(), rank - 1, rank - 2] });
  return [emit("MatMul", [transposeA ? swapped(a, inputs[0].shape.length) : a,
    transposeB ? swapped(b, inputs[1].shape.length) : b])];
}

function lowerWhere({ inputs: [condition] }: NodeOf<"where">, [name, a, b]: readonly string[],
  { emit, nameOf }: Emitter, { questions }: Patterns): string[] {
  const isTrue = condition.node.op === "greater" && questions.has(condition.node)
    ? emit("Greater", condition.node.inputs.map(nameOf)) : emit("Cast", [name], { to: DATA_TYPE.bool });
  return [emit("Where", [isTrue, a, b])];
}

/** Sequences and emits run along axis 0; what the body captures it names from outside. */
function lowerScan({ attributes: { body, isReverse }, outputs }: NodeOf<"scan">, inputs: readonly string[],
  emitter: Emitter): string[] {
  const inner = emitter.inner();
  const outside = inputs.slice(body.states.length + body.elements.length);
  body.captured.forEach((tensor, k) => { inner.names.set(tensor, outside[k]); });
  const placeholders = [...body.states, ...body.elements].map((tensor) => {
    const name = inner.fresh("step");
    inner.names.set(tensor, name);
    return valueInfo(name, tensor.shape, emitter.precision);
  });
  const direction = isReverse ? 1 : 0;
  const attributes = {
    body: lowerBody(body, placeholders, inner), num_scan_inputs: body.elements.length,
    scan_input_directions: body.elements.map(() => direction),
    scan_output_directions: body.emits.map(() => direction),
  };
  return emitter.emitAll("Scan", inputs.slice(0, placeholders.length), { count: outputs.length, attributes });
}

function lowerBody(body: ScanBody, input: ReturnType<typeof valueInfo>[], inner: Emitter): GraphProto {
  const results = [...body.nextStates, ...body.emits];
  lowerNodes(results, inner);
  const names = nameResults(results, results.map(() => inner.fresh("result")), inner);
  return makeOnnxGraph("body", { input, node: inner.nodes,
    output: results.map(({ shape }, k) => valueInfo(names[k], shape, inner.precision)) });
}

/** Writes every node that `results` reach and that has no name yet. */
export function lowerNodes(results: readonly Tensor[], emitter: Emitter): void {
  const ordered = orderNodes(results);
  const patterns = findPatterns(ordered, results);
  for (const node of ordered) {
    if (patterns.absorbed.has(node)) continue;
    if (node.outputs.every((output) => emitter.names.has(output))) continue;
    const parts = patterns.splits.get(node);
    if (parts !== undefined) {
      lowerSplit(parts, emitter);
      continue;
    }
    const lower = LOWERINGS[node.op];
    assert(lower !== null, `${node.op} should have been decomposed`);
    const inputs = node.inputs.map((input) =>
      (patterns.absorbed.has(input.node) ? "" : emitter.nameOf(input)));
    lower(node, inputs, emitter, patterns).forEach((name, k) => {
      if (name !== "") emitter.names.set(node.outputs[k], name);
    });
  }
}

/** Slices that are all of a tensor, as one op. */
function lowerSplit(parts: readonly NodeOf<"slice">[], emitter: Emitter): void {
  const [{ inputs: [x], attributes: { axis } }] = parts;
  const made = emitter.emitAll("Split", [emitter.nameOf(x),
    emitter.integers(parts.map(({ attributes }) => attributes.length))],
  { count: parts.length, attributes: { axis } });
  parts.forEach((part, k) => emitter.names.set(part.outputs[0], made[k]));
}

/**
 * Gives results the names they are known by: the node that makes a result is renamed; what has no
 * node of its own here (an input, a constant, a second name of one tensor) is copied.
 */
export function nameResults(results: readonly Tensor[], wanted: readonly string[],
  emitter: Emitter): string[] {
  const made = new Set(emitter.nodes.flatMap(({ output }) => output));
  const renamed = new Map<string, string>();
  const copies: NodeProto[] = [];
  results.forEach((tensor, k) => {
    const name = emitter.nameOf(tensor);
    if (made.has(name) && !renamed.has(name)) renamed.set(name, wanted[k]);
    else copies.push(makeOnnxNode("Identity", [name], [wanted[k]]));
  });
  emitter.nodes.push(...copies);
  renameAll(emitter.nodes, renamed);
  for (const [tensor, name] of emitter.names) emitter.names.set(tensor, renamed.get(name) ?? name);
  return [...wanted];
}

function renameAll(nodes: readonly NodeProto[], renamed: ReadonlyMap<string, string>): void {
  const now = (name: string): string => renamed.get(name) ?? name;
  for (const node of nodes) {
    node.input = node.input.map(now);
    node.output = node.output.map(now);
    for (const { g } of node.attribute) if (g !== undefined) renameAll(g.node, renamed);
  }
}
