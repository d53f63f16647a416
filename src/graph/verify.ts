/**
 * Checks a whole graph again. `makeNode` checks every node when it is made; passes and readers make
 * many, and a runtime believes what it is given. Fails with the line of text of the node at fault.
 */
import { assert } from "../base/assert.ts";
import { messageOf } from "../base/error.ts";
import { isSameShape, shapeText, type Shape } from "./dimension.ts";
import { resultsOf, type Graph } from "./graph.ts";
import type { ScanBody } from "./op.ts";
import { orderNodes } from "./order.ts";
import { makeNode, type Node, type OpName, type Tensor } from "./tensor.ts";
import { Labels } from "./text.ts";

/**
 * Asserts that the shape rules hold at every node, in scan bodies too; that nothing uses itself;
 * that inputs are declared, once, under their own name; that bodies reach only their placeholders;
 * and that states keep their shape. What nothing reaches is not looked at.
 */
export function verify(graph: Graph): void {
  const declared = [...graph.inputs, ...graph.state];
  for (const { name, tensor } of declared) {
    assert(tensor.node.op === "input" && tensor.node.attributes.name === name,
      `graph ${graph.name}: ${name} is not the input node of that name`);
  }
  for (const [what, names] of [["input", declared], ["output", graph.outputs]] as const) {
    const twice = names.find(({ name }, k) => names.findIndex((one) => one.name === name) !== k);
    assert(twice === undefined, `graph ${graph.name} has two ${what}s named ${twice?.name}`);
  }
  verifyNodes(`graph ${graph.name}`, resultsOf(graph), declared.map(({ tensor }) => tensor));
  for (const { name, tensor: { shape }, next } of graph.state) {
    assert(isSameShape(shape, next.shape),
      `graph ${graph.name}: state ${name} ${shapeText(shape)} becomes ${shapeText(next.shape)}`);
  }
}

function verifyNodes(place: string, results: readonly Tensor[], inputs: readonly Tensor[]): void {
  const nodes = orderNodes(results);
  const labels = new Labels(nodes);
  const own = new Set(inputs.map(({ node }) => node));
  const done = new Set<Node>();
  for (const node of nodes) {
    const isAfterInputs = node.inputs.every((input) => done.has(input.node));
    const fault = isAfterInputs ? faultOf(node, own) : "uses itself";
    assert(fault === null, `${place}: ${fault}: ${labels.line(node)}`);
    done.add(node);
    if (node.op === "scan") verifyBody(`${place}, in ${labels.line(node)}`, node.attributes.body);
  }
}

/** What is wrong with a node whose inputs are fine; null: nothing. */
function faultOf(node: Node, own: ReadonlySet<Node>): string | null {
  if (node.op === "input" && !own.has(node)) return "an input that is not declared";
  const isOwn = (tensor: Tensor): boolean => tensor.node.outputs[tensor.index] === tensor;
  if (![...node.inputs, ...node.outputs].every(isOwn)) {
    return "a tensor that is no output of its node";
  }
  let expected: readonly Shape[];
  try {
    expected = makeNode<OpName>(node.op, node.inputs, node.attributes).map(({ shape }) => shape);
  } catch (error) { return messageOf(error); }
  const isSame = expected.length === node.outputs.length
    && node.outputs.every(({ shape }, k) => isSameShape(shape, expected[k]));
  return isSame ? null : `gives ${expected.map(shapeText).join(", ")}`;
}

function verifyBody(place: string, body: ScanBody): void {
  const { states, elements, captured, nextStates, emits } = body;
  const placeholders = [...states, ...elements, ...captured];
  const names = placeholders.map(({ node }) => (node.op === "input" ? node.attributes.name : null));
  assert(!names.includes(null), `${place}: a placeholder is no input node`);
  assert(new Set(names).size === names.length, `${place}: two placeholders of one name`);
  verifyNodes(place, [...nextStates, ...emits], placeholders);
}
