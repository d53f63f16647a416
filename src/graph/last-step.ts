/**
 * An inference graph that computes only what its last step needs: outputs (B, T, ...) become
 * (B, 1, ...), the value at the last of the T steps, as a streamed step answers. Outputs without a T
 * stay; views are dropped.
 *
 *   position (B, T)            position (B, 1)
 *      tanh                       tanh              The slice moves towards the inputs, through
 *      linear                     linear  1 row     every op that works on steps one by one, until
 *      attention                  attention         it meets what is needed in full: k and v of the
 *      q  k  v  T rows            q  1 row          last layer, an LSTM, a feature.
 *      ...                        k  v  T rows
 *
 * Nothing is computed twice: where somebody needs a tensor in full, its last step is cut out of
 * that. So two passes: from the outputs back, who needs what of each tensor; then, from there
 * forward, the new nodes.
 */
import { assert } from "../base/assert.ts";
import { divide, isSameShape, multiply, type Dimension, type Shape } from "./dimension.ts";
import { openSizes, resultsOf, type Graph } from "./graph.ts";
import { isElementwise } from "./op.ts";
import { broadcast, matmul, mul, reshape, slice, softmax } from "./ops.ts";
import { orderNodes } from "./order.ts";
import { simplify } from "./simplify.ts";
import { makeNode, type Node, type OpName, type Tensor } from "./tensor.ts";

/**
 * One step of an axis of before * T * after elements, of which before * after are left: rows of a matrix are
 * often all steps of all windows, as (B, T, D) -> (B*T, D).
 */
interface Step {
  readonly axis: number;
  readonly before: Dimension;
  readonly after: Dimension;
}

/** How a node gives one step: what it needs of each input (null: all), and what it makes of it. */
interface Narrowed {
  readonly needs: readonly (Step | null)[];
  build(inputs: readonly Tensor[]): Tensor;
}

export interface LastStepOptions {
  /**
   * `query`: attention of the last row alone, in primitives (see `oneQueryOf`); `whole`: the block for all
   * rows, for a runtime whose fused kernel is faster than that. Default: query.
   */
  readonly attention?: "query" | "whole";
}

/** The last step of a graph whose time is open ("T"); bind sizes afterwards. Simplified. */
export function lastStep(graph: Graph, { attention = "query" }: LastStepOptions = {}): Graph {
  assert(openSizes(graph).includes("T"),
    `${graph.name} has no open T: its last step is taken before sizes are bound`);
  const kept = graph.outputs.filter(({ name }) => !name.startsWith("view/"));
  const narrow: Narrow = (output, step) =>
    output.node.op === "attention" && attention === "whole" ? null : narrowed(output, step);
  const wanted = kept.map(({ name, tensor }) => ({ name, tensor, step: stepOf(tensor.shape) }));
  const whole = neededWhole(resultsOf({ ...graph, outputs: kept }), wanted, graph, narrow);
  const forward = new Forward(whole, narrow);
  const outputs = wanted.map(({ name, tensor, step }) => ({ name, tensor: forward.get(tensor, step) }));
  return simplify({ ...graph, outputs });
}

type Narrow = (output: Tensor, step: Step) => Narrowed | null;

/** The time axis of an output; null: it has none. */
function stepOf(shape: Shape): Step | null {
  const axis = shape.indexOf("T");
  assert(axis === shape.lastIndexOf("T"), `an output of shape (${shape.join(", ")}) has two time axes`);
  return axis < 0 ? null : { axis, before: 1, after: 1 };
}

const keyOf = ({ axis, before, after }: Step): string => `${axis}|${before}|${after}`;

/** Users before inputs: nodes of which somebody needs all, or a step that they cannot give by themselves. */
function neededWhole(results: readonly Tensor[],
  wanted: readonly { tensor: Tensor; step: Step | null }[], graph: Graph, narrow: Narrow): Set<Node> {
  const whole = new Set<Node>(graph.state.map(({ next }) => next.node));
  const steps = new Map<Node, { output: Tensor; step: Step }[]>();
  const need = (output: Tensor, step: Step | null): void => {
    if (step === null) whole.add(output.node);
    else steps.set(output.node, [...steps.get(output.node) ?? [], { output, step }]);
  };
  for (const { tensor, step } of wanted) need(tensor, step);
  for (const node of orderNodes(results).reverse()) {
    const ways = (steps.get(node) ?? []).map(({ output, step }) => narrow(output, step));
    if (whole.has(node) || ways.includes(null)) {
      whole.add(node);
      for (const input of node.inputs) whole.add(input.node);
    } else {
      for (const way of ways) way!.needs.forEach((step, k) => { need(node.inputs[k], step); });
    }
  }
  return whole;
}

class Forward {
  readonly #whole: ReadonlySet<Node>;
  readonly #narrow: Narrow;
  readonly #made = new Map<Tensor, Map<string, Tensor>>();

  constructor(whole: ReadonlySet<Node>, narrow: Narrow) {
    this.#whole = whole;
    this.#narrow = narrow;
  }

  get(tensor: Tensor, step: Step | null): Tensor {
    if (step === null) return tensor;
    const known = this.#made.get(tensor) ?? new Map<string, Tensor>();
    this.#made.set(tensor, known);
    const key = keyOf(step), made = known.get(key) ?? this.#make(tensor, step);
    known.set(key, made);
    return made;
  }

  #make(tensor: Tensor, step: Step): Tensor {
    const way = this.#whole.has(tensor.node) ? null : this.#narrow(tensor, step);
    const made = way === null ? cut(tensor, step)
      : way.build(tensor.node.inputs.map((input, k) => this.get(input, way.needs[k])));
    assert(isSameShape(made.shape, narrowShape(tensor.shape, step)),
      `the last step of ${tensor.node.op} has another shape`);
    return made;
  }
}

const narrowShape = (shape: Shape, { axis, before, after }: Step): Shape =>
  shape.with(axis, multiply(before, after));

/** The step of a tensor that is there in full. */
function cut(x: Tensor, step: Step): Tensor {
  const { axis, before, after } = step;
  if (before === 1 && after === 1) return slice(x, axis, -1, 1);
  const ahead = [...x.shape.slice(0, axis), ...(before === 1 ? [] : [before])];
  const behind = [...(after === 1 ? [] : [after]), ...x.shape.slice(axis + 1)];
  const last = slice(reshape(x, [...ahead, "T", ...behind]), ahead.length, -1, 1);
  return reshape(last, narrowShape(x.shape, step));
}

/** One step of an output out of steps of the inputs; null: the op mixes steps, or has another time axis. */
function narrowed({ node, index, shape }: Tensor, step: Step): Narrowed | null {
  const { inputs } = node, { axis } = step, last = shape.length - 1;
  const remade = (needs: readonly (Step | null)[]): Narrowed =>
    ({ needs, build: (given) => makeNode<OpName>(node.op, given, node.attributes)[index] });
  if (isElementwise(node.op)) return remade(alongside(inputs, shape, step));
  switch (node.op) {
    case "gelu": case "elu": return remade([step]);
    case "softmax": case "sort": return axis === last ? null : remade([step]);
    case "layerNorm": case "linear": return axis === last ? null : remade([step, null, null]);
    case "sum": case "reduceMax": return node.attributes.axes.includes(axis) ? null : remade([step]);
    case "slice": case "pad": return node.attributes.axis === axis ? null : remade([step]);
    case "concat": return node.attributes.axis === axis ? null : remade(inputs.map(() => step));
    case "transpose": return remade([{ ...step, axis: node.attributes.permutation[axis] }]);
    case "broadcast":
      return { needs: alongside(inputs, shape, step),
        build: ([x]) => broadcast(x, narrowShape(shape, step)) };
    case "reshape": {
      const source = sourceOf(inputs[0].shape, shape, step);
      return source && { needs: [source], build: ([x]) => reshape(x, narrowShape(shape, step)) };
    }
    case "matmul": {
      const { transposeA, transposeB } = node.attributes, [a, b] = inputs;
      if (axis === last - 1) return remade([{ ...step, axis: a.shape.length - (transposeA ? 1 : 2) }, null]);
      if (axis === last) return remade([null, { ...step, axis: b.shape.length - (transposeB ? 2 : 1) }]);
      return remade(alongside(inputs, shape, step));
    }
    case "lstm": return finalState(node, index, step);
    case "attention": return oneQuery(node, index, step);
    default: return null;
  }
}

/** The step of operands that broadcast to `shape`; one that is repeated there is needed in full. */
const alongside = (operands: readonly Tensor[], shape: Shape, step: Step): (Step | null)[] =>
  operands.map((operand) => {
    const axis = step.axis - (shape.length - operand.shape.length);
    return axis < 0 || operand.shape[axis] === 1 ? null : { ...step, axis };
  });

/**
 * Where the step lies before a reshape, which keeps elements in order: behind as many elements, and before as
 * many. Null: in no single axis.
 */
function sourceOf(source: Shape, shape: Shape, { axis, before, after }: Step): Step | null {
  const ahead = multiply(...shape.slice(0, axis), before), behind = multiply(after, ...shape.slice(axis + 1));
  for (const [at, size] of source.entries()) {
    const left = divide(ahead, multiply(...source.slice(0, at)));
    const right = divide(behind, multiply(...source.slice(at + 1)));
    if (left === null || right === null || multiply(left, "T", right) !== size) continue;
    return { axis: at, before: left, after: right };
  }
  return null;
}

/** The last of an LSTM's hidden states and cells is an output of its own. */
function finalState({ op, attributes, outputs }: Node, index: number, { axis }: Step): Narrowed | null {
  const final = { 0: 1, 3: 2 }[index];
  if (op !== "lstm" || axis !== 0 || final === undefined) return null;
  const [, B, H] = outputs[index].shape;
  return { needs: [null, null, null, null, null, null],
    build: (given) => reshape(makeNode("lstm", given, attributes)[final], [1, B, H]) };
}

/** The last row sees every column, causal or not: softmax(q k^T scale) v with one row of q. */
function oneQuery({ op, attributes, outputs }: Node, index: number, step: Step): Narrowed | null {
  const { shape } = outputs[index];
  if (op !== "attention" || step.axis !== shape.length - 2) return null;
  return {
    needs: [step, null, null],
    build([q, k, v]) {
      const weights = softmax(mul(matmul(q, k, { transposeB: true }), attributes.scale));
      return index === 0 ? matmul(weights, v) : weights;
    },
  };
}

export interface OneQuery {
  /** (..., 1, D) */
  readonly q: Tensor;
  /** (..., T, D) */
  readonly k: Tensor;
  /** (..., T, V); its leading axes broadcast. */
  readonly v: Tensor;
  readonly scale: number;
}

/**
 * What `lastStep` makes of attention, recognised at its last node, so that a runtime can run it as
 * one kernel: matmul(softmax(mul(matmul(q, k^T), scale)), v) with one row of q. Null: something else.
 */
export function oneQueryOf(node: Node): OneQuery | null {
  if (node.op !== "matmul" || node.attributes.transposeA || node.attributes.transposeB) return null;
  const [{ node: weights }, v] = node.inputs;
  if (weights.op !== "softmax" || weights.outputs[0].shape.at(-2) !== 1) return null;
  const [{ node: scaled }] = weights.inputs;
  if (scaled.op !== "mul") return null;
  const [{ node: scores }, { node: scale }] = scaled.inputs;
  if (scores.op !== "matmul" || scale.op !== "constant") return null;
  const [q, k] = scores.inputs, { transposeA, transposeB } = scores.attributes;
  return transposeA || !transposeB ? null : { q, k, v, scale: scale.attributes.value };
}
