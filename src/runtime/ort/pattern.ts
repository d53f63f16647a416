/** What several nodes of a graph are together, so that one ONNX op can say it. */
import { multiply, type Shape } from "../../graph/dimension.ts";
import type { Node, OpName, Tensor } from "../../graph/tensor.ts";

type NodeOf<Op extends OpName> = Extract<Node, { op: Op }>;

export interface Patterns {
  /** Sums with a product of matrices that nobody else uses: one Gemm. */
  readonly products: ReadonlyMap<Node, { matmul: NodeOf<"matmul">; other: Tensor }>;
  /** Comparisons that only `where` looks at: no float is made of them. */
  readonly questions: ReadonlySet<Node>;
  /** Slices which together are all of a tensor, in order: one Split. */
  readonly splits: ReadonlyMap<Node, readonly NodeOf<"slice">[]>;
  /** Nodes that another one says. */
  readonly absorbed: ReadonlySet<Node>;
}

/** Patterns among nodes, of which `results` are kept. */
export function findPatterns(nodes: readonly Node[], results: readonly Tensor[]): Patterns {
  const users = usersOf(nodes);
  const kept = new Set(results.map(({ node }) => node));
  const products = new Map<Node, { matmul: NodeOf<"matmul">; other: Tensor }>();
  const questions = new Set<Node>();
  const absorbed = new Set<Node>();
  for (const node of nodes) {
    if (node.op === "greater" && !kept.has(node) && isQuestion(node, users.get(node)!)) questions.add(node);
    if (node.op !== "add") continue;
    const place = node.inputs.findIndex((input, k) =>
      !kept.has(input.node) && users.get(input.node)!.length === 1 && isProduct(input, node.inputs[1 - k]));
    if (place === -1) continue;
    const matmul = node.inputs[place].node as NodeOf<"matmul">;
    products.set(node, { matmul, other: node.inputs[1 - place] });
    absorbed.add(matmul);
  }
  return { products, questions, absorbed: new Set([...absorbed, ...questions]), splits: findSplits(nodes) };
}

/** Per node, the nodes that use it, once per use. */
function usersOf(nodes: readonly Node[]): Map<Node, Node[]> {
  const users = new Map<Node, Node[]>();
  for (const node of nodes) {
    for (const { node: used } of node.inputs) {
      const known = users.get(used);
      if (known === undefined) users.set(used, [node]); else known.push(node);
    }
  }
  return users;
}

const isQuestion = (node: Node, users: readonly Node[]): boolean =>
  users.every((user) => user.op === "where"
    && user.inputs.every((input, k) => (k === 0) === (input.node === node) || input.node !== node));

/** Gemm adds what broadcasts to its rows and columns. */
function isProduct({ node, shape }: Tensor, other: Tensor): boolean {
  return node.op === "matmul" && node.inputs.every((input) => input.shape.length === 2)
    && other.node !== node && spreadsTo(other.shape, shape);
}

const spreadsTo = (from: Shape, to: Shape): boolean => from.length <= to.length
  && from.every((dimension, k) => dimension === 1 || dimension === to[k + to.length - from.length]);

function findSplits(nodes: readonly Node[]): Map<Node, readonly NodeOf<"slice">[]> {
  const groups = new Map<Tensor, Map<number, NodeOf<"slice">[]>>();
  for (const node of nodes) {
    if (node.op !== "slice" || typeof node.inputs[0].shape[node.attributes.axis] !== "number") continue;
    const ofTensor = groups.get(node.inputs[0]) ?? new Map<number, NodeOf<"slice">[]>();
    groups.set(node.inputs[0], ofTensor);
    const { axis } = node.attributes;
    ofTensor.set(axis, [...(ofTensor.get(axis) ?? []), node]);
  }
  const splits = new Map<Node, readonly NodeOf<"slice">[]>();
  for (const [tensor, byAxis] of groups) {
    for (const [axis, parts] of byAxis) {
      const size = multiply(tensor.shape[axis]) as number;
      const startOf = ({ attributes: { start } }: NodeOf<"slice">): number =>
        (start < 0 ? start + size : start);
      const ordered = [...parts].sort((a, b) => startOf(a) - startOf(b));
      let at = 0;
      const isWhole = ordered.length > 1 && ordered.every((part) => {
        const follows = startOf(part) === at;
        at += part.attributes.length;
        return follows;
      }) && at === size;
      if (isWhole) for (const part of parts) splits.set(part, ordered);
    }
  }
  return splits;
}
