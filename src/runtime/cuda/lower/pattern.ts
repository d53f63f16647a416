/** What the recognisers of fast kernels (linear.ts, attention.ts, recurrence.ts) ask of a graph. */
import type { Node, OpName, Tensor } from "../../../graph/tensor.ts";
import { orderNodes } from "../../../graph/order.ts";
import type { CudaPrecision, DeviceFacts } from "../launch.ts";
import { countOf } from "../../view.ts";
import type { Element } from "./emitter.ts";
import type { LoweredAnchor } from "./lowering.ts";
import { shapeOf } from "./table.ts";

export const ELEMENTS: Readonly<Record<CudaPrecision,
  Element>> = { float16: "f16", bfloat16: "bf16", float32: "f32" };

/** Values that are known when parameters are. */
export interface Constants {
  isStatic(tensor: Tensor): boolean;
  /** Bytes of weight buffers that are made of the values of these static tensors, each row-major. */
  packWith(tensors: readonly Tensor[],
    pack: (values: readonly Float32Array[]) => ReadonlyMap<string, Uint8Array>): void;
  /** Stores a static tensor in this element type instead of float32. */
  store(tensor: Tensor, element: Element): void;
}

/** A graph in which kernels are looked for, and what was found: anchors by each tensor that they write. */
export class Pattern {
  readonly anchors = new Map<Tensor, LoweredAnchor>();
  readonly precision: CudaPrecision;
  readonly device: DeviceFacts;
  readonly constants: Constants;
  readonly order: readonly Node[];
  readonly #readers = new Map<Tensor, Node[]>();
  readonly #results: ReadonlySet<Tensor>;
  #names = 0;

  constructor(results: readonly Tensor[], { precision, device, constants }:
  { precision: CudaPrecision; device: DeviceFacts; constants: Constants }) {
    this.precision = precision;
    this.device = device;
    this.constants = constants;
    this.order = orderNodes(results);
    this.#results = new Set(results);
    for (const node of this.order) {
      for (const input of new Set(node.inputs)) this.#readers.set(input,
        [...this.#readers.get(input) ?? [], node]);
    }
  }

  readersOf(tensor: Tensor): readonly Node[] { return this.#readers.get(tensor) ?? []; }
  isResult(tensor: Tensor): boolean { return this.#results.has(tensor); }
  isUsed(tensor: Tensor): boolean { return this.isResult(tensor) || this.readersOf(tensor).length > 0; }

  /** The only node that reads a tensor which nobody else needs; null: there is none. */
  onlyReader(tensor: Tensor): Node | null {
    const readers = this.readersOf(tensor);
    return this.isResult(tensor) || readers.length !== 1 ? null : readers[0];
  }

  /** A prefix of buffer names that nobody else has. */
  name(what: string): string { return `${what}${this.#names++}`; }
}

/** The value of a tensor that is one number everywhere; null: it is not. */
export function uniformOf({ node }: Tensor): number | null {
  if (node.op === "broadcast" || node.op === "reshape") return uniformOf(node.inputs[0]);
  return node.op === "constant" ? node.attributes.value : null;
}

/** Through reshapes, to what was reshaped. */
export function unshaped(tensor: Tensor): Tensor {
  let at = tensor;
  while (at.node.op === "reshape") [at] = at.node.inputs;
  return at;
}

export const countIn = (tensor: Tensor): number => countOf(shapeOf(tensor));
export const isOp = <Op extends OpName>(node: Node, op: Op): node is Extract<Node,
  { op: Op }> => node.op === op;
