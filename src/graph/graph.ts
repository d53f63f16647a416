/**
 * A graph is a pure function (inputs, state) -> (outputs, state). Inference has inputs and
 * parameters; a training step is the same idea, larger: parameters and moments are state with a
 * next value, the loss is an output.
 *
 *   inputs   fed at every run
 *   outputs  returned by every run
 *   state    kept by the program between runs: replaced by `next` after each, unless that is the
 *            state itself
 */
import { assert } from "../base/assert.ts";
import { namesOf, type Sizes, type Shape } from "./dimension.ts";
import { orderNodes } from "./order.ts";
import type { Tensor } from "./tensor.ts";

export interface Named {
  readonly name: string;
  readonly tensor: Tensor;
}

export interface StateOf extends Named {
  /** What the state becomes after a run; `tensor` itself for parameters of an inference graph. */
  readonly next: Tensor;
}

export interface Graph {
  readonly name: string;
  /** `input` nodes that are fed. */
  readonly inputs: readonly Named[];
  /** `input` nodes that are kept. */
  readonly state: readonly StateOf[];
  readonly outputs: readonly Named[];
}

/** Tensors that a graph must compute: outputs, then the next states. */
export const resultsOf = (graph: Graph): Tensor[] =>
  [...graph.outputs.map(({ tensor }) => tensor), ...graph.state.map(({ next }) => next)];

/**
 * Gathers a graph from its outputs: every `input` node they reach is fed, unless it is state.
 * Inputs keep the order in which `inputs` lists them (those that nothing reaches are left out).
 */
export function makeGraph(name: string, { inputs, state = [], outputs }: {
  inputs: readonly Tensor[]; state?: readonly { tensor: Tensor; next?: Tensor }[];
  outputs: Readonly<Record<string, Tensor>>;
}): Graph {
  const nameOf = (tensor: Tensor): string => {
    assert(tensor.node.op === "input", "inputs and state are `input` nodes");
    return tensor.node.attributes.name;
  };
  const draft: Graph = {
    name, inputs: [],
    state: state.map(({ tensor, next = tensor }) => ({ name: nameOf(tensor), tensor, next })),
    outputs: Object.entries(outputs).map(([key, tensor]) => ({ name: key, tensor })),
  };
  const reached = new Set(orderNodes(resultsOf(draft)));
  const kept = new Set(draft.state.map(({ tensor }) => tensor.node));
  const fed = inputs.filter(({ node }) => reached.has(node));
  const declared = new Set([...kept, ...fed.map(({ node }) => node)]);
  for (const node of reached) {
    if (node.op !== "input" || declared.has(node)) continue;
    assert(false,
      `graph ${name} reaches the input ${node.attributes.name}, which is not declared`);
  }
  const graph = { ...draft, inputs: fed.map((tensor) => ({ name: nameOf(tensor), tensor })) };
  const names = [...graph.inputs, ...graph.state].map((one) => one.name);
  assert(new Set(names).size === names.length, `graph ${name} has two inputs of one name`);
  return graph;
}

/** Names of sizes ("B", "T") that the graph's inputs leave open. */
export const openSizes = (graph: Graph): string[] =>
  namesOf([...graph.inputs, ...graph.state].flatMap(({ tensor }) => tensor.shape));

/**
 * What found shapes say of the names in expected ones: the first axis that is just a name decides.
 * Whether the shapes then agree, the caller tells in its own words (`sizesOf(expected, sizes)`).
 */
export function matchSizes(pairs: readonly { expected: Shape; found: readonly number[] }[]): Sizes {
  const sizes: Record<string, number> = {};
  for (const { expected, found } of pairs) {
    expected.forEach((dimension, axis) => {
      const isName = typeof dimension === "string" && /^[A-Za-z]\w*$/.test(dimension);
      if (isName && axis < found.length) sizes[dimension] ??= found[axis];
    });
  }
  return sizes;
}
