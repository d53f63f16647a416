/** What a node is computed as, where it has no kernel of its own: blocks, and products that are sums. */
import { add, mul, reshape, slice, sum, transpose } from "../../../graph/ops.ts";
import { decompose } from "../../../graph/rewrite.ts";
import type { Node, Tensor } from "../../../graph/tensor.ts";
import { rowOf, shapeOf } from "./table.ts";

/** Its outputs in other nodes over the same inputs; null: it stays. */
export function expansionOf(node: Node): readonly Tensor[] | null {
  if (rowOf(node).kind === "expanded") return decompose(node, node.inputs);
  return node.op === "matmul" ? thinProduct(node) : null;
}

/** The last two axes swapped. */
function turned(x: Tensor): Tensor {
  const axes = [...x.shape.keys()];
  return transpose(x, [...axes.slice(0, -2), axes.length - 1, axes.length - 2]);
}

/** Products of so few terms are elementwise. */
const FEW_TERMS = 4;

/**
 * One column is a sum along rows, few terms are a few elementwise products: both join their neighbours'
 * kernels, where a matrix product would be a launch of its own.
 */
function thinProduct({ inputs: [a, b], attributes, outputs: [y] }: Extract<Node, { op: "matmul" }>):
readonly Tensor[] | null {
  const K = shapeOf(a).at(attributes.transposeA ? -2 : -1)!, N = shapeOf(y).at(-1)!;
  if (K > FEW_TERMS && N !== 1) return null;
  const left = attributes.transposeA ? turned(a) : a;
  if (K <= FEW_TERMS) {
    const right = attributes.transposeB ? turned(b) : b;
    const term = (k: number): Tensor =>
      mul(slice(left, left.shape.length - 1, k, 1), slice(right, right.shape.length - 2, k, 1));
    return [Array.from({ length: K }, (_, k) => term(k)).reduce((sum, next) => add(sum, next))];
  }
  const row = attributes.transposeB ? b : turned(b);
  const product = mul(left, row);
  return [reshape(sum(product, [product.shape.length - 1]), y.shape)];
}
