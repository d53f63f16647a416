/**
 * Graph -> launch list: any graph of the IR, at known sizes, in a precision.
 *
 *   graph ── simplify ──> lowering.ts: groups ──> generated kernels, products, loops ──> one arena
 *
 * What depends on frozen state and constants only is computed once, on the CPU, when parameters are packed.
 * State that changes is replaced at the end of a run, when nobody reads it any more.
 */
import { assert } from "../../../base/assert.ts";
import { isSameShape, shapeText } from "../../../graph/dimension.ts";
import { resultsOf, type Graph, type Named } from "../../../graph/graph.ts";
import { input } from "../../../graph/ops.ts";
import { orderNodes } from "../../../graph/order.ts";
import { simplify } from "../../../graph/simplify.ts";
import { makeTensor, type Node, type Tensor } from "../../../graph/tensor.ts";
import { makePlan } from "../../reference/plan.ts";
import type { Tensors } from "../../runtime.ts";
import type { CudaPrecision, DeviceFacts, LaunchList } from "../launch.ts";
import { shareScratch } from "./arena.ts";
import { Builder, buffersOf, type Memory } from "./builder.ts";
import { ELEMENT_BYTES, type Element } from "./emitter.ts";
import { countOf } from "./kernel.ts";
import { Lowering } from "./lowering.ts";
import { rowOf, shapeOf } from "./table.ts";

export interface LowerOptions {
  readonly precision: CudaPrecision;
  readonly device: DeviceFacts;
  /** Names of state that no run changes and whose values are packed when they are known. */
  readonly frozen?: ReadonlySet<string>;
}

/** Float32 in a buffer of the list. */
export interface Port {
  readonly buffer: string;
  readonly shape: readonly number[];
}

export interface Lowered {
  readonly list: LaunchList;
  /** By the graph's names. */
  readonly inputs: ReadonlyMap<string, Port>;
  readonly outputs: ReadonlyMap<string, Port>;
  /** State that is not frozen. */
  readonly state: ReadonlyMap<string, Port>;
  /** Bytes of every weight buffer, from the values of all frozen state. */
  pack(parameters: Tensors): ReadonlyMap<string, Uint8Array>;
}

/** Elements of a folded tensor, at most: larger ones are repeats that are cheaper to compute than to read. */
const FOLDED_MAX = 2 ** 24;

/** Lowers a graph whose sizes are all numbers. Asserts that they are. */
export function lowerGraph(graph: Graph, { precision, device, frozen = new Set() }: LowerOptions): Lowered {
  const simple = simplify(graph), builder = new Builder();
  const ports = (kind: string, named: readonly Named[]): Map<string, Port> => new Map(named.map(({ name, tensor }) => {
    const { shape } = tensor;
    assert(shape.every((size) => typeof size === "number"), `${name} ${shapeText(shape)} has open sizes`);
    return [name, { buffer: `${kind}/${name}`, shape: shape as readonly number[] }];
  }));
  const kept = simple.state.filter(({ name }) => !frozen.has(name));
  const inputs = ports("input", simple.inputs), outputs = ports("output", simple.outputs), state = ports("state", kept);
  for (const [role, list] of [["input", inputs], ["output", outputs], ["state", state]] as const) {
    for (const { buffer, shape } of list.values()) {
      builder.buffer({ name: buffer, role, bytes: Math.max(4, 4 * countOf(shape)), ...(role === "state" ? { fill: 0 } : {}) });
    }
  }
  const given = new Map<Tensor, Memory>();
  for (const { name, tensor } of simple.inputs) given.set(tensor, memoryAt(inputs.get(name)!.buffer));
  for (const { name, tensor } of kept) given.set(tensor, memoryAt(state.get(name)!.buffer));
  const statics = new Statics(simple, frozen, builder);
  const memoryOf = (tensor: Tensor): Memory | null => given.get(tensor) ?? statics.memoryOf(tensor);

  const changing = kept.filter(({ tensor, next }) => next !== tensor);
  const options = { builder, device, precision };
  const { launches, memories } = new Lowering({ ...options, given: memoryOf }).lower([
    ...simple.outputs.map(({ name, tensor }) => ({ tensor, home: memoryAt(outputs.get(name)!.buffer) })),
    // A next state that is there already may be overwritten before it is copied.
    ...changing.map(({ next }) => ({ home: null, tensor: memoryOf(next) === null ? next : makeTensor("stop", [next], {}) })),
  ]);
  const last = copyLaunches(changing.map(({ name, tensor }, k) => ({ shape: shapeOf(tensor),
    from: memories[simple.outputs.length + k], to: memoryAt(state.get(name)!.buffer) })), options);
  const all = builder.finish([...launches, ...last]), used = new Set(all.flatMap(buffersOf));
  const buffers = [...builder.buffers.values()].filter(({ role, name }) => role !== "weight" || used.has(name));
  return { list: shareScratch({ name: graph.name, buffers, launches: all }), inputs, outputs, state,
    pack: (parameters) => statics.pack(parameters, used) };
}

const memoryAt = (buffer: string): Memory => ({ buffer, offset: 0, element: "f32", isAligned: true });

/** Copies from memory to memory. */
function copyLaunches(copies: readonly { shape: readonly number[]; from: Memory; to: Memory }[],
  options: { builder: Builder; device: DeviceFacts; precision: CudaPrecision }): ReturnType<Lowering["lower"]>["launches"] {
  const places = copies.map(({ shape }, k) => input(`copy${k}`, shape));
  const from = new Map(places.map((place, k) => [place, copies[k].from]));
  return new Lowering({ ...options, given: (tensor) => from.get(tensor) ?? null })
    .lower(places.map((tensor, k) => ({ tensor, home: copies[k].to }))).launches;
}

/** What does not depend on anything that is fed or changes. */
class Statics {
  readonly #nodes = new Set<Node>();
  readonly #memories = new Map<Tensor, Memory>();
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
      if (known.has(node) || (node.op !== "input" && node.inputs.every((one) => this.#nodes.has(one.node)))) {
        this.#nodes.add(node);
      }
    }
  }

  /** Where a tensor lies that is computed before all runs; null: it is computed in them. */
  memoryOf(tensor: Tensor): Memory | null {
    const { node } = tensor;
    if (!this.#nodes.has(node)) return null;
    const known = this.#memories.get(tensor);
    if (known !== undefined) return known;
    const { kind } = rowOf(node), count = countOf(shapeOf(tensor));
    if (["number", "iota", "move"].includes(kind) || (node.op !== "input" && count > FOLDED_MAX)) return null;
    const element: Element = "f32";
    const name = node.op === "input" ? `weight/${node.attributes.name}` : `weight/${this.#memories.size}`;
    this.#builder.buffer({ name, role: "weight", bytes: Math.max(4, count * ELEMENT_BYTES[element]) });
    const memory: Memory = { buffer: name, offset: 0, element, isAligned: true };
    this.#memories.set(tensor, memory);
    return memory;
  }

  pack(parameters: Tensors, used: ReadonlySet<string>): Map<string, Uint8Array> {
    const dense = this.#frozen.map(({ name, tensor }) => {
      const given = parameters[name] as Tensors[string] | undefined, shape = shapeOf(tensor);
      assert(given !== undefined && isSameShape(given.shape, shape), `the parameter ${name} is ${shapeText(shape)}`);
      return [tensor, { shape, values: Float64Array.from(given.values) }] as const;
    });
    const wanted = [...this.#memories].filter(([, { buffer }]) => used.has(buffer));
    const plan = makePlan(dense, wanted.map(([tensor]) => tensor), {});
    plan.run();
    return new Map(wanted.map(([, { buffer }], k) =>
      [buffer, new Uint8Array(Float32Array.from(plan.results[k].values).buffer)]));
  }
}
