/** The graph as the native ops want it: blocks that have none expanded, thin products as sums. */
import type { BlockName } from "../../graph/block.ts";
import { countOf } from "../../graph/dimension.ts";
import { resultsOf, type Graph } from "../../graph/graph.ts";
import { add, div, matmul, mul, reshape, sigmoid, sum } from "../../graph/ops.ts";
import { orderNodes } from "../../graph/order.ts";
import { expandBlocks } from "../../graph/rewrite.ts";
import { simplify } from "../../graph/simplify.ts";
import { makeNode, type Node, type OpName, type Tensor } from "../../graph/tensor.ts";

const OWN_BLOCKS: ReadonlySet<BlockName> = new Set(["lstm", "lstmGradient", "linear", "gelu"]);
const MISSING: ReadonlySet<OpName> = new Set(["scan", "sort"]);

export const prepare = (graph: Graph): Graph =>
  simplify(rewriteNodes(expandBlocks(graph, (op) => OWN_BLOCKS.has(op))));

/** Inputs and state are no products: only results are rebuilt. */
function rewriteNodes(graph: Graph): Graph {
  const made = new Map<Node, readonly Tensor[]>();
  const now = ({ node, index }: Tensor): Tensor => made.get(node)![index];
  for (const node of orderNodes(resultsOf(graph))) {
    const inputs = node.inputs.map(now);
    const isSame = inputs.every((input, k) => input === node.inputs[k]);
    made.set(node, rewritten(node, inputs)
      ?? (isSame ? node.outputs : makeNode<OpName>(node.op, inputs, node.attributes)));
  }
  return {
    ...graph,
    outputs: graph.outputs.map(({ name, tensor }) => ({ name, tensor: now(tensor) })),
    state: graph.state.map((one) => ({ ...one, next: now(one.next) })),
  };
}

/** Whether this runtime has an op for every node of a prepared graph. */
export const isCovered = (graph: Graph): boolean =>
  orderNodes(resultsOf(graph)).every(({ op }) => !MISSING.has(op));

/**
 * Products with one column, or with one term, are elementwise products and sums, which join their neighbours
 * in one pass; a matrix product would read everything once more.
 */
function rewritten(node: Node, inputs: readonly Tensor[]): readonly Tensor[] | null {
  if (node.op === "gelu") return [geluBySigmoid(inputs[0])];
  if (node.op === "div") {
    // A division costs as much as ten products: one per row (or in all) instead of one per element.
    const [a, b] = inputs, width = a.shape.at(-1);
    const isNarrow = b.shape.length === 0 || (b.shape.at(-1) === 1 && width !== 1);
    return isNarrow && a.shape.length > 0 ? [mul(a, div(1, b))] : null;
  }
  if (node.op === "linear") {
    const [x, w, bias] = inputs;
    return w.shape[1] === 1 ? [add(matmulThin(x, w) ?? matmul(x, w), bias)] : null;
  }
  if (node.op !== "matmul") return null;
  const [a, b] = inputs, { transposeA, transposeB } = node.attributes;
  if (a.shape.length !== 2 || b.shape.length !== 2) return null;
  const [N, K] = transposeB ? b.shape : b.shape.toReversed();
  if (K === 1) {
    return [mul(reshape(a, [countOf(a.shape), 1]), reshape(b, [1, N]))];
  }
  if (N !== 1) return null;
  if (!transposeA) return [matmulThin(a, b)!];
  const M = a.shape[1];
  return [reshape(sum(mul(a, reshape(b, [K, 1])), [0]), [M, 1])];
}

/** x (..., K) times a column (K). */
function matmulThin(x: Tensor, column: Tensor): Tensor | null {
  const K = x.shape.at(-1)!;
  return sum(mul(x, reshape(column, [K])), [x.shape.length - 1]);
}

/**
 * x sigmoid(u), which is x/2 (1 + tanh(u/2)): the gradient of the block is written with this sigmoid,
 * so that the two share it.
 */
function geluBySigmoid(x: Tensor): Tensor {
  const linear = 2 * Math.sqrt(2 / Math.PI);
  return mul(x, sigmoid(mul(x, add(mul(mul(x, x), 0.044715 * linear), linear))));
}
