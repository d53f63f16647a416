/**
 * From a graph to the bytes of an ONNX model.
 *
 *   blocks without an ONNX op -> their decomposition -> nodes, a table row per op (lower.ts) -> ModelProto
 *
 *   graph's input NAME -> input NAME                    output NAME -> output NAME
 *   state NAME, not baked -> input NAME                 its next value, if it changes -> output next/NAME
 *   state NAME, baked in -> initialiser NAME
 *
 * In float16 the model computes in half precision but is fed and read in float32.
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
import { DATA_TYPE, floatTensor, makeOnnxGraph, makeOnnxNode, valueInfo, writeModel, type Precision }
  from "./onnx.ts";
import type { GraphProto, NodeProto } from "./onnx-pb.ts";
import { tileGraph } from "./tile.ts";

export interface Encoding {
  readonly precision: Precision;
  /** Values of state that become constants of the model. */
  readonly parameters?: Tensors;
  readonly metadata?: Readonly<Record<string, string>>;
  /** Whether ONNX Runtime's own ops may be used: never in a file that somebody else may open. */
  readonly isOwn?: boolean;
}

export const nextName = (state: string): string => `next/${state}`;

/** A graph as a standard ONNX model (operator set 22). */
export function encodeOnnx(graph: Graph,
  { precision, parameters = {}, metadata, isOwn = false }: Encoding): Uint8Array {
  const expanded = expand(graph, precision);
  const prepared = isOwn ? tileGraph(expanded) : expanded;
  const isBaked = ({ name }: Named): boolean => Object.hasOwn(parameters, name);
  const places = [...prepared.inputs, ...prepared.state.filter((one) => !isBaked(one))];
  const emitter = makeEmitter({ precision, isOwn, opens: opensOf(places),
    baked: new Map(Object.entries(parameters)) });
  const isHalf = precision === "float16", outer: Precision = isHalf ? "float32" : precision;
  for (const { name, tensor } of places) {
    emitter.names.set(tensor, isHalf ? emitter.emit("Cast", [name], { to: DATA_TYPE.float16 }) : name);
  }
  for (const { name, tensor } of prepared.state.filter(isBaked)) {
    bake(name, tensor, parameters[name], emitter);
  }
  const results = [...prepared.outputs, ...prepared.state.filter(({ tensor, next }) => next !== tensor)
    .map(({ name, next }) => ({ name: nextName(name), tensor: next }))];
  lowerNodes(results.map(({ tensor }) => tensor), emitter);
  finish(results, emitter);
  const infos = (named: readonly Named[]): GraphProto["input"] =>
    named.map(({ name, tensor }) => valueInfo(name, tensor.shape, outer));
  const used = namesUsed(emitter.nodes);
  return writeModel(makeOnnxGraph(graph.name, { node: emitter.nodes,
    input: infos(places), output: infos(results),
    initializer: [...emitter.initialisers.values()].filter(({ name }) => used.has(name)) }), metadata);
}

function bake(name: string, tensor: Tensor, { shape, values }: Values, emitter: Emitter): void {
  assert(isSameShape(shape, tensor.shape),
    `${name} is ${shapeText(tensor.shape)}, not ${shapeText(shape)}`);
  emitter.names.set(tensor, name);
  emitter.initialisers.set(name, floatTensor(name, shape, values, emitter.precision));
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

/** Results under their names, and in float32 if the model is in half precision. */
function finish(results: readonly Named[], emitter: Emitter): void {
  if (emitter.precision !== "float16") {
    nameResults(results.map(({ tensor }) => tensor), results.map(({ name }) => name), emitter);
    return;
  }
  for (const { name, tensor } of results) {
    emitter.nodes.push(makeOnnxNode("Cast", [emitter.nameOf(tensor)], [name], { to: DATA_TYPE.float32 }));
  }
}

function namesUsed(nodes: readonly NodeProto[]): Set<string> {
  const used = new Set<string>();
  const walk = (graph: Pick<GraphProto, "node">): void => {
    for (const node of graph.node) {
      for (const name of node.input) used.add(name);
      for (const { g } of node.attribute) if (g !== undefined) walk(g);
    }
  };
  walk({ node: [...nodes] });
  return used;
}
