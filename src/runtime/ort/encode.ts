/**
 * From a graph to the bytes of an ONNX model.
 *
 *   blocks without an ONNX op -> their decomposition -> nodes, a table row per op (lower.ts) -> ModelProto
 *
 *   graph's input NAME -> input NAME                    output NAME -> output NAME
 *   state NAME, not baked -> input NAME                 its next value, if it changes -> output next/NAME
 *   state NAME, baked in -> initialiser NAME
 *
 * In float16 the parameters that are baked in are stored in half precision, and cast to float32
 * once, when the model is opened: it computes, is fed and is read in float32. Half precision in
 * between (inputs, hidden states) makes nothing faster on the CPU, whose LSTM has no such kernel,
 * and added up to four times the error of the weights' rounding (15 networks of the papers' search).
 */
import { assert } from "../../base/assert.ts";
import { isSameShape, shapeText } from "../../graph/dimension.ts";
import { resultsOf, type Graph, type Named } from "../../graph/graph.ts";
import { orderNodes } from "../../graph/order.ts";
import { decompose, expandBlocks, rebuildGraph } from "../../graph/rewrite.ts";
import { simplify } from "../../graph/simplify.ts";
import type { Tensor } from "../../graph/tensor.ts";
import type { Tensors, Values } from "../runtime.ts";
import { rewriteTraining } from "./lstm-training.ts";
import { makeEmitter, type Emitter } from "./emitter.ts";
import { hasLowering, isPlainLstm } from "./lower-block.ts";
import { lowerNodes, nameResults } from "./lower.ts";
import { makeOnnxGraph, valueInfo, writeModel, type Precision } from "./onnx.ts";
import type { GraphProto, NodeProto } from "./onnx-pb.ts";
import { tileGraph } from "./tile.ts";

export interface Encoding {
  readonly precision: Precision;
  /** Values of state that become constants of the model. */
  readonly parameters?: Tensors;
  /** Parameters that float16 leaves in float32, by name. */
  readonly unrounded?: ReadonlySet<string>;
  readonly metadata?: Readonly<Record<string, string>>;
  /** Whether ONNX Runtime's own ops may be used: never in a file that somebody else may open. */
  readonly isOwn?: boolean;
}

export const nextName = (state: string): string => `next/${state}`;

/** A graph as a standard ONNX model (operator set 22). */
export function encodeOnnx(graph: Graph,
  { precision, parameters = {}, unrounded, metadata, isOwn = false }: Encoding): Uint8Array {
  const expanded = expand(graph, precision);
  const prepared = isOwn ? tileGraph(expanded) : expanded;
  const isBaked = ({ name }: Named): boolean => Object.hasOwn(parameters, name);
  const places = [...prepared.inputs, ...prepared.state.filter((one) => !isBaked(one))];
  const computed = precision === "float16" ? "float32" : precision;
  const stored = (parameter: string): Precision => (unrounded?.has(parameter) ? computed : precision);
  const emitter = makeEmitter({ precision: computed, stored, isOwn,
    opens: opensOf(places), baked: new Map(Object.entries(parameters)) });
  for (const { name, tensor } of places) emitter.names.set(tensor, name);
  for (const { name, tensor } of prepared.state.filter(isBaked)) {
    bake(name, tensor, parameters[name], emitter);
  }
  const results = [...prepared.outputs, ...prepared.state.filter(({ tensor, next }) => next !== tensor)
    .map(({ name, next }) => ({ name: nextName(name), tensor: next }))];
  lowerNodes(results.map(({ tensor }) => tensor), emitter);
  nameResults(results.map(({ tensor }) => tensor), results.map(({ name }) => name), emitter);
  const infos = (named: readonly Named[]): GraphProto["input"] =>
    named.map(({ name, tensor }) => valueInfo(name, tensor.shape, computed));
  // A weight that a lowering re-ordered is not read as it was.
  const { read, used } = readNodes(emitter.nodes, results.map(({ name }) => name));
  return writeModel(makeOnnxGraph(graph.name, { node: read,
    input: infos(places), output: infos(results),
    initializer: [...emitter.initialisers.values()].filter(({ name }) => used.has(name)) }), metadata);
}

function bake(name: string, tensor: Tensor, { shape, values }: Values, emitter: Emitter): void {
  assert(isSameShape(shape, tensor.shape),
    `${name} is ${shapeText(tensor.shape)}, not ${shapeText(shape)}`);
  emitter.names.set(tensor, emitter.trained(name, shape, values, name));
}

/** Blocks for which ONNX has no op in this precision become primitives. */
function expand(graph: Graph, precision: Precision): Graph {
  const used = new Set(resultsOf(graph));
  for (const node of orderNodes(resultsOf(graph))) for (const input of node.inputs) used.add(input);
  const openLstm = rebuildGraph(rewriteTraining(graph), (node, inputs) =>
    (node.op === "lstm" && !isPlainLstm(used, node.outputs) ? decompose(node, inputs) : null));
  return simplify(expandBlocks(openLstm, (op) => hasLowering(op, precision)));
}

/** Where open sizes can be read. */
function opensOf(places: readonly Named[]): Map<string, { input: string; axis: number }> {
  const opens = new Map<string, { input: string; axis: number }>();
  for (const { name, tensor } of places) {
    tensor.shape.forEach((dimension, axis) => {
      if (typeof dimension !== "string" || opens.has(dimension)) return;
      opens.set(dimension, { input: name, axis });
    });
  }
  return opens;
}

/** The nodes that results need, in their order, and all names that are read. */
function readNodes(nodes: readonly NodeProto[], results: readonly string[]):
{ read: NodeProto[]; used: ReadonlySet<string> } {
  const used = new Set(results);
  const take = (node: NodeProto): void => {
    for (const name of node.input) used.add(name);
    for (const { g } of node.attribute) g?.node.forEach(take);
  };
  const read = nodes.toReversed().filter((node) => {
    const isRead = node.output.some((name) => used.has(name));
    if (isRead) take(node);
    return isRead;
  });
  return { read: read.reverse(), used };
}
