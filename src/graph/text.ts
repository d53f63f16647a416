/**
 * The text form of a graph: read by people, stored in exported models so that no runtime has to
 * find an LSTM again among its products, and compared where graphs must be equal.
 *
 *     graph demo format=1                                first line: name, version of this layout
 *     input features (B, T, 8)                           fed
 *     state w (8, 4)                                     kept between runs
 *     %0 = matmul(features, w) transposeA=false transposeB=false -> (B, T, 4)
 *     %1 = scan(%0, ...) isReverse=false -> (B, 4), (T, B, 4)
 *       element element0 (B, 4)                          a body is indented: state, element and
 *       ...                                              captured lines, nodes, next and emit lines
 *     output y = %1.1 (T, B, 4)                          the second output of %1; no suffix where
 *     next w = %7 (8, 4)                                 there is one. Next: where a state changes
 *     end
 *
 * One line per node in the order of `orderNodes`; constants are written where they are used.
 * Numbers are the shortest decimals that give the same double back (and `-0`, `inf`, `-inf`,
 * `nan`). A name that is no plain word is a JSON string. Shapes after `->` are what the shape rules
 * say: checked when the text is read. attribute-text.ts has the table of attributes, parse-text.ts
 * is the way back.
 */
import { assert } from "../base/assert.ts";
import { attributesText, nameText, numberText, TEXT_FORMAT } from "./attribute-text.ts";
import { shapeText } from "./dimension.ts";
import { resultsOf, type Graph } from "./graph.ts";
import type { ScanBody } from "./op.ts";
import { orderNodes } from "./order.ts";
import type { Node, Tensor } from "./tensor.ts";

export { parseGraph } from "./parse-text.ts";

/**
 * What the tensors of one scope (a graph or a body) are called: "features", "0.5", "%12", "%12.1".
 */
export class Labels {
  readonly #nodes = new Map<Node, string>();

  constructor(nodes: readonly Node[]) {
    let count = 0;
    for (const node of nodes) {
      this.#nodes.set(node, node.op === "input" ? nameText(node.attributes.name)
        : node.op === "constant" ? numberText(node.attributes.value) : `%${count++}`);
    }
  }

  of({ node, index }: Tensor): string {
    const label = this.#nodes.get(node);
    assert(label !== undefined, `a ${node.op} of another scope is used`);
    return node.outputs.length > 1 ? `${label}.${index}` : label;
  }

  /** The node's own line, without its body. */
  line(node: Node): string {
    const attributes = attributesText(node);
    const inputs = node.inputs.map((input) => this.of(input)).join(", ");
    return `${this.#nodes.get(node) ?? "%?"} = ${node.op}(${inputs})`
      + `${attributes === "" ? "" : ` ${attributes}`} -> `
      + node.outputs.map((output) => shapeText(output.shape)).join(", ");
  }
}

const declared = (word: string, tensor: Tensor): string => {
  assert(tensor.node.op === "input", `a ${word} is an input node`);
  return `${word} ${nameText(tensor.node.attributes.name)} ${shapeText(tensor.shape)}`;
};

/** Lines of all nodes but inputs and constants, each followed by its body. */
function nodeLines(nodes: readonly Node[], labels: Labels): string[] {
  return nodes.filter(({ op }) => op !== "input" && op !== "constant").flatMap((node) =>
    [labels.line(node), ...(node.op === "scan" ? bodyLines(node.attributes.body) : [])]);
}

function bodyLines({ states, elements, captured, nextStates, emits }: ScanBody): string[] {
  const nodes = orderNodes([...nextStates, ...emits]);
  const labels = new Labels(nodes);
  const valueText = (tensor: Tensor): string => `${labels.of(tensor)} ${shapeText(tensor.shape)}`;
  return [
    ...states.map((tensor) => declared("state", tensor)),
    ...elements.map((tensor) => declared("element", tensor)),
    ...captured.map((tensor) => declared("captured", tensor)),
    ...nodeLines(nodes, labels),
    ...nextStates.map((tensor, k) => {
      assert(states[k].node.op === "input", "a state is an input node");
      return `next ${nameText(states[k].node.attributes.name)} = ${valueText(tensor)}`;
    }),
    ...emits.map((tensor) => `emit ${valueText(tensor)}`),
  ].map((line) => `  ${line}`);
}

/** A body's text: equal for bodies that do the same to placeholders of the same names. */
export const bodyText = (body: ScanBody): string => bodyLines(body).join("\n");

/** The graph's text; see above. `parseGraph` of it prints the same text again. */
export function printGraph(graph: Graph): string {
  const nodes = orderNodes(resultsOf(graph));
  const labels = new Labels(nodes);
  const resultText = (word: string, name: string, tensor: Tensor): string =>
    `${word} ${nameText(name)} = ${labels.of(tensor)} ${shapeText(tensor.shape)}`;
  return [
    `graph ${nameText(graph.name)} format=${TEXT_FORMAT}`,
    ...graph.inputs.map(({ tensor }) => declared("input", tensor)),
    ...graph.state.map(({ tensor }) => declared("state", tensor)),
    ...nodeLines(nodes, labels),
    ...graph.outputs.map(({ name, tensor }) => resultText("output", name, tensor)),
    ...graph.state.filter(({ tensor, next }) => next !== tensor)
      .map(({ name, next }) => resultText("next", name, next)),
    "end", "",
  ].join("\n");
}
