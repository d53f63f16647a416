/**
 * Reverse-mode differentiation: a graph in, a bigger graph out. One row per primitive says how the
 * adjoint of its output becomes adjoints of its inputs; blocks bring their own or are
 * differentiated through their definition.
 *
 *   x ──> y = f(x) ──> loss          adjoint of x = sum over users of (adjoint of y) (dy/dx)
 */
import { assert } from "../base/assert.ts";
import type { BlockName } from "./block.ts";
import { BLOCKS, type Block } from "./blocks/index.ts";
import { isSameShape, multiply, type Shape } from "./dimension.ts";
import { add, broadcast, concat, constant, div, equal, greater, matmul, mul, neg, reshape, sign,
  sin, slice, split, sub, sum, transpose, where, zeros } from "./ops.ts";
import type { PrimitiveAttributes, PrimitiveName } from "./op.ts";
import { orderNodes } from "./order.ts";
import { decompose } from "./rewrite.ts";
import { scanGradient } from "./scan-gradient.ts";
import { isBlock, type Attributes, type Node, type Tensor } from "./tensor.ts";

/** Per input its adjoint, or null where none flows. */
type Adjoints = readonly (Tensor | null)[];
type Gradient<Name extends PrimitiveName> = (inputs: readonly Tensor[], output: Tensor, dy: Tensor,
  attributes: PrimitiveAttributes[Name]) => Adjoints;

const none = (inputs: readonly Tensor[]): Adjoints => inputs.map(() => null);

/** The adjoint of an operand that was broadcast: summed over the axes it was repeated along. */
function unbroadcast(dy: Tensor, shape: Shape): Tensor {
  if (isSameShape(dy.shape, shape)) return dy;
  const extra = dy.shape.length - shape.length;
  const axes = dy.shape.map((_, axis) => axis)
    .filter((axis) => axis < extra || (shape[axis - extra] === 1 && dy.shape[axis] !== 1));
  return reshape(sum(dy, axes), shape);
}

/** Scan has its own file; every other primitive has one output. */
const GRADIENTS: { readonly [Name in Exclude<PrimitiveName, "scan">]: Gradient<Name> } = {
  input: none, constant: none, iota: none, sign: none, floor: none, stop: none, greater: none,
  sort: () => { assert(false, "sort has no gradient: reach it through stop"); },
  neg: (_, __, dy) => [neg(dy)],
  exp: (_, y, dy) => [mul(dy, y)],
  log: ([x], _, dy) => [div(dy, x)],
  sqrt: (_, y, dy) => [div(mul(dy, 0.5), y)],
  sin: ([x], _, dy) => [mul(dy, sin(add(x, Math.PI / 2)))],
  tanh: (_, y, dy) => [mul(dy, sub(1, mul(y, y)))],
  sigmoid: (_, y, dy) => [mul(dy, mul(y, sub(1, y)))],
  abs: ([x], _, dy) => [mul(dy, sign(x))],
  add: ([a, b], _, dy) => [unbroadcast(dy, a.shape), unbroadcast(dy, b.shape)],
  sub: ([a, b], _, dy) => [unbroadcast(dy, a.shape), neg(unbroadcast(dy, b.shape))],
  mul: ([a, b], _, dy) => [unbroadcast(mul(dy, b), a.shape), unbroadcast(mul(dy, a), b.shape)],
  div: ([a, b], y, dy) => {
    const over = div(dy, b);
    return [unbroadcast(over, a.shape), neg(unbroadcast(mul(over, y), b.shape))];
  },
  // Where both are equal the second has it, so that max(x, 0) is flat at 0.
  max: ([a, b], _, dy) => {
    const isFirst = greater(a, b);
    return [unbroadcast(mul(dy, isFirst), a.shape), unbroadcast(mul(dy, sub(1, isFirst)), b.shape)];
  },
  where: ([condition, a, b], _, dy) =>
    [null, unbroadcast(where(condition, dy, 0), a.shape),
      unbroadcast(where(condition, 0, dy), b.shape)],
  sum: ([x], _, dy) => [broadcast(dy, x.shape)],
  // Ties share it.
  reduceMax: ([x], y, dy, { axes }) => {
    const isMax = equal(x, y);
    return [mul(isMax, div(dy, sum(isMax, axes)))];
  },
  matmul: matmulGradient,
  reshape: ([x], _, dy) => [reshape(dy, x.shape)],
  transpose: (_, __, dy, { permutation }) =>
    [transpose(dy, permutation.map((_axis, k) => permutation.indexOf(k)))],
  broadcast: ([x], _, dy) => [unbroadcast(dy, x.shape)],
  // Slices are gathered by `gatherAdjoints`: several of one tensor make one concatenation.
  slice: none,
  pad: ([x], _, dy, { axis, before }) => [slice(dy, axis, before, x.shape[axis] as number)],
  concat: (inputs, _, dy, { axis }) =>
    split(dy, axis, inputs.map((input) => input.shape[axis] as number)),
};

function matmulGradient([a, b]: readonly Tensor[], _: Tensor, dy: Tensor,
  { transposeA, transposeB }: PrimitiveAttributes["matmul"]): Adjoints {
  const da = transposeA ? matmul(b, dy, { transposeA: transposeB, transposeB: true })
    : matmul(dy, b, { transposeB: !transposeB });
  // One matrix for all batches: its adjoint is one product over all rows, not a sum of many.
  if (b.shape.length === 2 && a.shape.length > 2 && !transposeA && !transposeB) {
    const rows = (x: Tensor): Tensor =>
      reshape(x, [multiply(...x.shape.slice(0, -1)), x.shape.at(-1)!]);
    return [da, matmul(rows(a), rows(dy), { transposeA: true })];
  }
  const db = transposeB ? matmul(dy, a, { transposeA: true, transposeB: transposeA })
    : matmul(a, dy, { transposeA: !transposeA });
  return [unbroadcast(da, a.shape), unbroadcast(db, b.shape)];
}

/** What has flowed back to a tensor so far. */
interface Flow {
  readonly whole: Tensor[];
  readonly parts: { readonly axis: number; readonly start: number; readonly adjoint: Tensor }[];
}

/** The adjoint of a tensor: the sum of what its users say. */
function gatherAdjoints(tensor: Tensor, { whole, parts }: Flow): Tensor {
  const rest = [...parts];
  const sums = [...whole];
  // Parts along one axis that do not overlap are laid side by side, zeros between them.
  while (rest.length > 0) {
    const { axis } = rest[0];
    const size = tensor.shape[axis];
    assert(typeof size === "number", "the gradient of a slice needs the size of its axis");
    const pieces: Tensor[] = [];
    let at = 0;
    const fill = (to: number): void => {
      if (to > at) pieces.push(zeros(tensor.shape.with(axis, to - at)));
    };
    for (const part of rest.filter((one) => one.axis === axis).sort((a, b) => a.start - b.start)) {
      if (part.start < at) continue;
      fill(part.start);
      pieces.push(part.adjoint);
      at = part.start + (part.adjoint.shape[axis] as number);
      rest.splice(rest.indexOf(part), 1);
    }
    fill(size);
    sums.push(concat(pieces, axis));
  }
  return sums.reduce((a, b) => add(a, b));
}

/**
 * Vector-Jacobian product: adjoints of `wrt` when `outputs` have these adjoints (null: zero).
 * Nothing flows past `bounds` (by default to the leaves). Null where nothing arrives.
 */
export function backpropagate(outputs: readonly Tensor[], adjoints: Adjoints,
  wrt: readonly Tensor[], bounds: readonly Tensor[] = []): (Tensor | null)[] {
  const flows = new Map<Tensor, Flow>();
  const flowOf = (tensor: Tensor): Flow => {
    const flow = flows.get(tensor) ?? { whole: [], parts: [] };
    flows.set(tensor, flow);
    return flow;
  };
  outputs.forEach((output, k) => {
    const adjoint = adjoints[k];
    if (adjoint !== null) flowOf(output).whole.push(adjoint);
  });
  const done = new Map<Tensor, Tensor>();
  const arrived = (tensor: Tensor): Tensor | null => {
    const flow = flows.get(tensor);
    if (flow === undefined) return null;
    const adjoint = done.get(tensor) ?? gatherAdjoints(tensor, flow);
    done.set(tensor, adjoint);
    return adjoint;
  };
  const order = orderNodes(outputs, new Set(bounds.map(({ node }) => node)));
  const needed = nodesToward(order, wrt);
  for (const node of order.reverse()) {
    if (!needed.has(node)) continue;
    const dys = node.outputs.map(arrived);
    if (dys.every((dy) => dy === null)) continue;
    if (node.op === "slice") {
      const { axis, start } = node.attributes;
      const size = node.inputs[0].shape[axis];
      assert(typeof size === "number", "the gradient of a slice needs the size of its axis");
      const first = start < 0 ? start + size : start;
      flowOf(node.inputs[0]).parts.push({ axis, start: first, adjoint: dys[0]! });
      continue;
    }
    adjointsOf(node, dys).forEach((adjoint, k) => {
      const input = node.inputs[k];
      if (adjoint !== null && needed.has(input.node)) flowOf(input).whole.push(adjoint);
    });
  }
  return wrt.map(arrived);
}

/** Nodes from which a way that no `stop` bars leads back to one of `wrt`. `order`: inputs first. */
function nodesToward(order: readonly Node[], wrt: readonly Tensor[]): Set<Node> {
  const needed = new Set(wrt.map(({ node }) => node));
  for (const node of order) {
    if (node.op !== "stop" && node.inputs.some((input) => needed.has(input.node))) needed.add(node);
  }
  return needed;
}

function adjointsOf(node: Node, dys: Adjoints): Adjoints {
  const { inputs, outputs } = node;
  if (isBlock(node.op)) {
    const block = BLOCKS[node.op] as Block<BlockName>;
    if (block.gradient !== undefined) {
      return block.gradient(inputs, outputs, dys, node.attributes as Attributes[BlockName]);
    }
    const found = backpropagate(decompose(node, inputs), dys, inputs, inputs);
    // A tensor that is two inputs has found the sum of both: said once.
    return found.map((adjoint, k) => (inputs.indexOf(inputs[k]) === k ? adjoint : null));
  }
  if (node.op === "scan") {
    return scanGradient(inputs, outputs, dys, node.attributes, backpropagate);
  }
  const rule = GRADIENTS[node.op] as Gradient<PrimitiveName>;
  const attributes = node.attributes as PrimitiveAttributes[PrimitiveName];
  return rule(inputs, outputs[0], dys[0]!, attributes);
}

/**
 * d loss / d each of `wrt`, shaped as they are; zeros where the loss does not depend on one. `loss`
 * is a scalar ().
 */
export function gradient(loss: Tensor, wrt: readonly Tensor[]): Tensor[] {
  assert(loss.shape.length === 0, "the loss is a scalar");
  const adjoints = backpropagate([loss], [constant(1)], wrt);
  return adjoints.map((adjoint, k) => adjoint ?? zeros(wrt[k].shape));
}
