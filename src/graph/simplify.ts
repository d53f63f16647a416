/**
 * Makes a graph smaller without changing what it computes, but for rounding: what is computed twice
 * is computed once, arithmetic of constants is done now, and moves that cancel go away. Bodies of
 * scans too; nothing moves out of a body or into it.
 *
 * The last step before a runtime: gradients are taken first, because `stop` goes away as well.
 */
import { assert } from "../base/assert.ts";
import { attributesText } from "./attribute-text.ts";
import { isSameShape } from "./dimension.ts";
import { resultsOf, type Graph } from "./graph.ts";
import { orderNodes } from "./order.ts";
import { rebuildBody } from "./rewrite.ts";
import { simpler } from "./simplify-rules.ts";
import { makeNode, type Node, type OpName, type Tensor } from "./tensor.ts";
import { bodyText } from "./text.ts";

/** a + b and b + a are the same to the bit. */
const COMMUTATIVE: ReadonlySet<OpName> = new Set(["add", "mul", "max"]);

/** One scope at work: a graph or a body. */
class Simplifier {
  /** Each tensor's simplest form; a simplest form stands for itself. */
  readonly #forms = new Map<Tensor, Tensor>();
  /** One node of each kind: op, attributes, inputs. */
  readonly #known = new Map<string, Node>();
  readonly #numbers = new Map<Node, number>();

  run(results: readonly Tensor[]): Tensor[] {
    // Inputs come first in this order, so that `formOf` goes deep only into what the rules have
    // made.
    for (const node of orderNodes(results)) this.#settle(node);
    return results.map((result) => this.#formOf(result));
  }

  #formOf(tensor: Tensor): Tensor {
    if (!this.#forms.has(tensor)) this.#settle(tensor.node);
    return this.#forms.get(tensor)!;
  }

  #settle(node: Node): void {
    if (this.#forms.has(node.outputs[0])) return;
    const inputs = node.inputs.map((input) => this.#formOf(input));
    const made = simpler(node, inputs);
    if (made !== null) {
      assert(isSameShape(made.shape, node.outputs[0].shape),
        `simplifying ${node.op} changed its shape`);
      this.#forms.set(node.outputs[0], this.#formOf(made));
      return;
    }
    const one = this.#merged(withSimpleBody(node, inputs));
    one.outputs.forEach((output, k) => {
      this.#forms.set(node.outputs[k], output).set(output, output);
    });
  }

  /** The first node that was like this one. */
  #merged(node: Node): Node {
    if (node.op === "input") return node;
    const inputs = node.inputs.map((input) => `${this.#numberOf(input.node)}.${input.index}`);
    if (COMMUTATIVE.has(node.op)) inputs.sort();
    const key = [node.op, attributesText(node), ...inputs,
      node.op === "scan" ? bodyText(node.attributes.body) : ""].join("|");
    const known = this.#known.get(key) ?? node;
    this.#known.set(key, known);
    return known;
  }

  #numberOf(node: Node): number {
    const number = this.#numbers.get(node) ?? this.#numbers.size;
    this.#numbers.set(node, number);
    return number;
  }
}

/** The node over these inputs; a scan's body simplified. */
function withSimpleBody(node: Node, inputs: readonly Tensor[]): Node {
  if (node.op === "scan") {
    const body = rebuildBody(node.attributes.body, (results) => new Simplifier().run(results));
    return makeNode("scan", inputs, { ...node.attributes, body })[0].node;
  }
  if (inputs.every((input, k) => input === node.inputs[k])) return node;
  return makeNode<OpName>(node.op, inputs, node.attributes)[0].node;
}

/**
 * The same function with fewer nodes. Inputs, state and outputs keep their names, order and shapes.
 */
export function simplify(graph: Graph): Graph {
  const results = new Simplifier().run(resultsOf(graph));
  const { length } = graph.outputs;
  return {
    ...graph,
    outputs: graph.outputs.map(({ name }, k) => ({ name, tensor: results[k] })),
    state: graph.state.map((one, k) => ({ ...one, next: results[length + k] })),
  };
}
