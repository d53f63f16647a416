/** Topological order. */
import type { Node, Tensor } from "./tensor.ts";

/**
 * Every node that `results` reach, inputs before users, in a fixed order; `known` nodes, and what
 * is reached through them only, are left out. Iterative: graphs may be deep.
 */
export function orderNodes(results: readonly Tensor[], known: Iterable<Node> = []): Node[] {
  const ordered: Node[] = [];
  const seen = new Set(known);
  const stack: { node: Node; next: number }[] = [];
  for (const { node } of results) {
    if (seen.has(node)) continue;
    seen.add(node);
    stack.push({ node, next: 0 });
    while (stack.length > 0) {
      const top = stack[stack.length - 1];
      if (top.next === top.node.inputs.length) {
        ordered.push(top.node);
        stack.pop();
        continue;
      }
      const child = top.node.inputs[top.next++].node;
      if (seen.has(child)) continue;
      seen.add(child);
      stack.push({ node: child, next: 0 });
    }
  }
  return ordered;
}
