/**
 * Graphs rebuilt with something changed. Nodes are immutable: what does not change is shared, not
 * copied.
 */
import type { BlockName } from "./block.ts";
import { BLOCKS, type Block } from "./blocks/index.ts";
import { sizeOf, sizesOf, type Shape, type Sizes } from "./dimension.ts";
import { resultsOf, type Graph } from "./graph.ts";
import type { ScanBody } from "./op.ts";
import { orderNodes } from "./order.ts";
import { isBlock, makeNode, type Attributes, type Node, type OpName, type Tensor }
  from "./tensor.ts";

/**
 * The new outputs of a node whose inputs have become `inputs`; null: as it was, with those inputs.
 */
export type Rewrite = (node: Node, inputs: readonly Tensor[]) => readonly Tensor[] | null;

/** Rebuilds everything that `results` reach before `kept` nodes, inputs first. */
export function rebuild(results: readonly Tensor[], rewrite: Rewrite,
  kept: ReadonlySet<Node> = new Set()): Tensor[] {
  const made = new Map<Node, readonly Tensor[]>();
  const now = (tensor: Tensor): Tensor =>
    (kept.has(tensor.node) ? tensor : made.get(tensor.node)![tensor.index]);
  for (const node of orderNodes(results, kept)) {
    const inputs = node.inputs.map(now);
    made.set(node, rewrite(node, inputs) ?? withInputs(node, inputs));
  }
  return results.map(now);
}

/** The node's outputs when its inputs are these. */
function withInputs(node: Node, inputs: readonly Tensor[]): readonly Tensor[] {
  return inputs.every((input, k) => input === node.inputs[k]) ? node.outputs
    : makeNode<OpName>(node.op, inputs, node.attributes);
}

/** `results` with some tensors, wherever they are used, replaced by others. */
export function substitute(results: readonly Tensor[],
  replacements: ReadonlyMap<Tensor, Tensor>): Tensor[] {
  return rebuild(results, (node, inputs) => {
    const outputs = withInputs(node, inputs);
    return node.outputs.some((output) => replacements.has(output))
      ? node.outputs.map((output, k) => replacements.get(output) ?? outputs[k]) : outputs;
  });
}

/** A scan's body with its results rebuilt; placeholders stay. */
export function rebuildBody(body: ScanBody,
  change: (results: readonly Tensor[]) => readonly Tensor[]): ScanBody {
  const results = change([...body.nextStates, ...body.emits]);
  const at = body.nextStates.length;
  return { ...body, nextStates: results.slice(0, at), emits: results.slice(at) };
}

/** The same graph over rebuilt results; inputs that `change` replaces are looked up by name. */
export function rebuildGraph(graph: Graph, rewrite: Rewrite): Graph {
  const tensors = [...graph.inputs, ...graph.state].map(({ tensor }) => tensor);
  const results = rebuild([...tensors, ...resultsOf(graph)], rewrite);
  let at = 0;
  const next = (): Tensor => results[at++];
  const inputs = graph.inputs.map(({ name }) => ({ name, tensor: next() }));
  const given = graph.state.map(({ name }) => ({ name, tensor: next() }));
  const outputs = graph.outputs.map(({ name }) => ({ name, tensor: next() }));
  const state = given.map((one) => ({ ...one, next: next() }));
  return { name: graph.name, inputs, outputs, state };
}

/** Blocks that `keep` refuses become their decomposition, inside scans too. */
export function expandBlocks(graph: Graph, keep: (op: BlockName) => boolean): Graph {
  return rebuildGraph(graph, expansion(keep));
}

function expansion(keep: (op: BlockName) => boolean): Rewrite {
  return (node, inputs) => {
    if (node.op === "scan") {
      const expand = (results: readonly Tensor[]): Tensor[] => rebuild(results, expansion(keep));
      const body = rebuildBody(node.attributes.body, expand);
      return makeNode("scan", inputs, { ...node.attributes, body });
    }
    if (!isBlock(node.op) || keep(node.op)) return null;
    // A decomposition may itself use blocks; they see the same rule. Its inputs are done already.
    const done = new Set(inputs.map((input) => input.node));
    return rebuild(decompose(node, inputs), expansion(keep), done);
  };
}

/** The definition of a block node, applied to these inputs. */
export function decompose(node: Node, inputs: readonly Tensor[]): readonly Tensor[] {
  const block = BLOCKS[node.op as BlockName] as Block<BlockName>;
  return block.decompose(inputs, node.attributes as Attributes[BlockName]);
}

/** The graph at these sizes: "B" and "T" become numbers everywhere. */
export function bindSizes(graph: Graph, sizes: Sizes): Graph {
  return rebuildGraph(graph, binding(sizes));
}

function binding(sizes: Sizes): Rewrite {
  const bound = (shape: Shape): number[] => sizesOf(shape, sizes);
  const within = (tensors: readonly Tensor[]): Tensor[] => rebuild(tensors, binding(sizes));
  return (node, inputs) => {
    switch (node.op) {
      case "input":
        return makeNode("input", [], { ...node.attributes, shape: bound(node.attributes.shape) });
      case "iota": return makeNode("iota", [], { size: sizeOf(node.attributes.size, sizes) });
      case "reshape": case "broadcast":
        return makeNode(node.op, inputs, { shape: bound(node.attributes.shape) });
      case "scan": {
        const body = bindBody(node.attributes.body, within);
        return makeNode("scan", inputs, { ...node.attributes, body });
      }
      default: return null;
    }
  };
}

/** Placeholders change too, so all of a body is rebuilt in one go. */
function bindBody(body: ScanBody, within: (tensors: readonly Tensor[]) => Tensor[]): ScanBody {
  const parts = [body.states, body.elements, body.captured, body.nextStates, body.emits];
  const made = within(parts.flat());
  let at = 0;
  const [states, elements, captured, nextStates, emits] =
    parts.map((part) => made.slice(at, at += part.length));
  return { states, elements, captured, nextStates, emits };
}
