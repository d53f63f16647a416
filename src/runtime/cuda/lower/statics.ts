/**
 * What does not depend on anything that is fed or changes: computed on the CPU when parameters are packed.
 */
import { assert } from "../../../base/assert.ts";
import { isSameShape, shapeText } from "../../../graph/dimension.ts";
import { resultsOf, type Graph, type Named } from "../../../graph/graph.ts";
import { orderNodes } from "../../../graph/order.ts";
import type { Node, Tensor } from "../../../graph/tensor.ts";
import { makePlan } from "../../reference/plan.ts";
import type { Tensors } from "../../runtime.ts";
import { round } from "../gemm/pack.ts";
import type { Builder, Memory } from "./builder.ts";
import { ELEMENT_BYTES, type Element } from "./emitter.ts";
import { countOf } from "../../view.ts";
import type { Constants } from "./pattern.ts";
import { rowOf, shapeOf } from "./table.ts";

/** Elements of a folded tensor, at most: larger ones are repeats that are cheaper to compute than to read. */
const FOLDED_MAX = 2 ** 24;

const PRECISIONS = { f32: "float32", f16: "float16", bf16: "bfloat16" } as const satisfies Record<Element,
  string>;

interface Packer {
  readonly tensors: readonly Tensor[];
  readonly pack: (values: readonly Float32Array[]) => ReadonlyMap<string, Uint8Array>;
}

export class Statics implements Constants {
  readonly #nodes = new Set<Node>();
  readonly #memories = new Map<Tensor, Memory>();
  readonly #elements = new Map<Tensor, Element>();
  readonly #packers: Packer[] = [];
  readonly #frozen: readonly Named[];
  readonly #builder: Builder;

  constructor(graph: Graph, frozen: ReadonlySet<string>, builder: Builder) {
    this.#frozen = graph.state.filter(({ name }) => frozen.has(name));
    this.#builder = builder;
    const known = new Set(this.#frozen.map(({ tensor }) => tensor.node));
    for (const { name, next, tensor } of graph.state) {
      assert(!frozen.has(name) || next === tensor, `state ${name} is frozen, and changes`);
    }
    for (const node of orderNodes(resultsOf(graph))) {
      const isStatic = known.has(node)
        || (node.op !== "input" && node.inputs.every((input) => this.#nodes.has(input.node)));
      if (isStatic) this.#nodes.add(node);
    }
  }

  isStatic(tensor: Tensor): boolean { return this.#nodes.has(tensor.node); }

  packWith(tensors: readonly Tensor[], pack: Packer["pack"]): void {
    assert(tensors.every((tensor) => this.isStatic(tensor)), "weights that are known before a run");
    this.#packers.push({ tensors, pack });
  }

  store(tensor: Tensor, element: Element): void {
    assert(!this.#memories.has(tensor), "said before it is stored");
    this.#elements.set(tensor, element);
  }

  /** Where a tensor lies that is computed before all runs; null: it is computed in them. */
  memoryOf(tensor: Tensor): Memory | null {
    const { node } = tensor;
    if (!this.#nodes.has(node)) return null;
    const known = this.#memories.get(tensor);
    if (known !== undefined) return known;
    const { kind } = rowOf(node), count = countOf(shapeOf(tensor));
    if (["number", "iota", "move"].includes(kind) || (node.op !== "input" && count > FOLDED_MAX)) return null;
    const element = this.#elements.get(tensor) ?? "f32";
    const name = node.op === "input" ? `weight/${node.attributes.name}` : `weight/${this.#memories.size}`;
    this.#builder.buffer({ name, role: "weight", bytes: Math.max(4, count * ELEMENT_BYTES[element]) });
    const memory: Memory = { buffer: name, offset: 0, element, isAligned: true };
    this.#memories.set(tensor, memory);
    return memory;
  }

  /** The bytes of the weight buffers that are used, from the values of all frozen state. */
  pack(parameters: Tensors, used: ReadonlySet<string>): Map<string, Uint8Array> {
    const dense = this.#frozen.map(({ name, tensor }) => {
      const given = parameters[name] as Tensors[string] | undefined, shape = shapeOf(tensor);
      assert(given !== undefined && isSameShape(given.shape,
        shape), `the parameter ${name} is ${shapeText(shape)}`);
      return [tensor, { shape, values: Float64Array.from(given.values) }] as const;
    });
    const wanted = [...this.#memories].filter(([, { buffer }]) => used.has(buffer));
    const all = [...new Set([...wanted.map(([tensor]) => tensor),
      ...this.#packers.flatMap(({ tensors }) => tensors)])];
    const plan = makePlan(dense, all, {});
    plan.run();
    const values = new Map(all.map((tensor, k) => [tensor, Float32Array.from(plan.results[k].values)]));
    return new Map([
      ...wanted.map(([tensor, { buffer, element }]) =>
        [buffer, round(values.get(tensor)!, PRECISIONS[element]).bytes] as const),
      ...this.#packers.flatMap(({ tensors, pack }) =>
        [...pack(tensors.map((tensor) => values.get(tensor)!))]),
    ]);
  }
}
