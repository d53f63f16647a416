/**
 * Lowers one scope (a graph, or the step of a loop): which values share a kernel (fuse.ts), where they are,
 * and the launches that compute them, in order.
 */
import { assert } from "../../../base/assert.ts";
import { UserError } from "../../../base/error.ts";
import { shapeText } from "../../../graph/dimension.ts";
import type { PrimitiveName } from "../../../graph/op.ts";
import { makeTensor, type Node, type Tensor } from "../../../graph/tensor.ts";
import type { CudaPrecision, DeviceFacts, Launch } from "../launch.ts";
import { addressOf, type Builder, type Memory } from "./builder.ts";
import { ELEMENT_BYTES, type Element } from "./emitter.ts";
import { expansionOf } from "./expansion.ts";
import { fuse, type Anchor, type Group, type Scope } from "./fuse.ts";
import { countOf } from "../../view.ts";
import type { Kernel, Surroundings } from "./kernel.ts";
import { mapKernel } from "./map.ts";
import { matmulAnchor } from "./matmul.ts";
import { ELEMENTS } from "./pattern.ts";
import { productAnchor } from "./products.ts";
import { partialFloats, reduceKernels } from "./reduce.ts";
import { rowsKernel } from "./rows.ts";
import { scanAnchor } from "./scan.ts";
import { sortAnchor } from "./sort.ts";
import { rowOf, shapeOf } from "./table.ts";

export interface LoweredAnchor extends Anchor {
  /** Whether it wants operands in the precision's element type, and writes that. */
  readonly isHalf?: boolean;
  /** Where that is not so: how it writes an output; null: in any way. */
  elementOf?(output: Tensor): Element | null;
  /** Its launches; the group has its views and, if it finishes sums, what is done to them. */
  emit(group: Group, lowering: Lowering): Launch[];
}

const ANCHORS = {
  matmul: (output, lowering) => matmulAnchor(output, lowering) ?? productAnchor(output, lowering),
  scan: scanAnchor,
  sort: sortAnchor,
} as const satisfies Partial<Record<PrimitiveName, (output: Tensor, lowering: Lowering) => LoweredAnchor>>;

/** Addresses within a tensor are 32-bit numbers. */
const ELEMENTS_MAX = 2 ** 32;

export interface LoweringOptions {
  readonly builder: Builder;
  readonly device: DeviceFacts;
  readonly precision: CudaPrecision;
  /** Where a tensor is before the run; null: it must be computed. */
  readonly given: (tensor: Tensor) => Memory | null;
  /** Kernels that were found for parts of the graph, by each tensor that they write. */
  readonly anchors?: ReadonlyMap<Tensor, LoweredAnchor>;
}

/** A tensor that must be in memory, and where; without a place one is chosen. */
export interface Result {
  readonly tensor: Tensor;
  readonly home: Memory | null;
}

export class Lowering implements Surroundings {
  readonly builder: Builder;
  readonly device: DeviceFacts;
  readonly options: LoweringOptions;
  readonly #memories = new Map<Tensor, Memory>();
  readonly #expanded = new Map<Node, readonly Tensor[]>();
  readonly #anchors = new Map<Node, LoweredAnchor>();
  readonly #stored = new Set<Tensor>();
  readonly #elements = new Map<Tensor, Element>();

  constructor(options: LoweringOptions) {
    this.options = options;
    this.builder = options.builder;
    this.device = options.device;
  }

  /** A scope of its own, of the same list, in which these tensors are there. */
  within(given: (tensor: Tensor) => Memory | null): Lowering {
    return new Lowering({ ...this.options, given, anchors: new Map() });
  }

  get multiprocessors(): number { return this.device.multiprocessors; }

  /** The launches that leave every result in memory; `memoryOf` says where. */
  lower(results: readonly Result[]): { launches: Launch[]; memories: Memory[] } {
    const placed = results.map((result) => this.#placed(result));
    const scope: Scope = {
      resolve: (tensor) => this.resolve(tensor),
      isGiven: (tensor) => this.options.given(tensor) !== null,
      anchorOf: (tensor) => this.#anchorOf(tensor),
    };
    const groups = fuse(placed, scope);
    for (const { stores } of groups) for (const tensor of stores) this.#stored.add(tensor);
    this.#chooseElements(groups);
    const launches = groups.flatMap((group) => this.#emit(group));
    return { launches, memories: placed.map((tensor) => this.memoryOf(tensor)) };
  }

  /** 16 bits for what tensor cores read or write, float32 for the rest. */
  #chooseElements(groups: readonly Group[]): void {
    const half = ELEMENTS[this.options.precision], floats = new Set<Tensor>();
    for (const { anchor, views } of groups as readonly (Group & { anchor: LoweredAnchor | null })[]) {
      if (anchor?.isHalf !== true) continue;
      views.forEach(({ source }, k) => {
        if (anchor.reads[k].element === "f32") floats.add(source);
        else this.#elements.set(source, half);
      });
    }
    for (const tensor of floats) this.#elements.set(tensor, "f32");
    for (const { anchor } of groups as readonly (Group & { anchor: LoweredAnchor | null })[]) {
      for (const output of anchor?.outputs ?? []) {
        const element = anchor?.elementOf?.(output) ?? (anchor?.isHalf === true ? half : null);
        if (element !== null) this.#elements.set(output, element);
      }
    }
  }

  /** The tensor whose memory is the result's: a copy where the result lies elsewhere already. */
  #placed({ tensor: given, home }: Result): Tensor {
    const tensor = this.resolve(given);
    if (home === null) return tensor;
    const isTaken = this.options.given(tensor) !== null || this.#memories.has(tensor);
    const place = isTaken ? makeTensor("stop", [tensor], {}) : tensor;
    this.#memories.set(place, home);
    return place;
  }

  resolve(given: Tensor): Tensor {
    let tensor = given;
    for (;;) {
      const { node } = tensor;
      if (this.options.given(tensor) !== null || this.options.anchors?.has(tensor) === true) return tensor;
      let outputs = this.#expanded.get(node);
      if (outputs === undefined) {
        const made = expansionOf(node);
        if (made === null) return tensor;
        outputs = made;
        this.#expanded.set(node, outputs);
      }
      tensor = outputs[tensor.index];
    }
  }

  #anchorOf(tensor: Tensor): LoweredAnchor | null {
    const found = this.options.anchors?.get(tensor), { node } = tensor;
    if (found !== undefined) return found;
    if (rowOf(node).kind !== "anchor") return null;
    let anchor = this.#anchors.get(node);
    if (anchor === undefined) {
      anchor = ANCHORS[node.op as keyof typeof ANCHORS](node.outputs[0], this);
      this.#anchors.set(node, anchor);
    }
    return anchor;
  }

  elementOf(given: Tensor): Element | null {
    const tensor = this.resolve(given);
    const known = this.options.given(tensor);
    if (known !== null) return known.element;
    return this.#stored.has(tensor) ? this.memoryOf(tensor).element : null;
  }

  isAligned(tensor: Tensor): boolean { return this.memoryOf(tensor).isAligned; }

  /** Where a tensor is, or will be. */
  memoryOf(given: Tensor): Memory {
    const tensor = this.resolve(given);
    let memory = this.options.given(tensor) ?? this.#memories.get(tensor);
    if (memory === undefined) {
      assert(this.#stored.has(
        tensor), `a tensor of ${tensor.node.op} is read from memory but nobody stores it`);
      const element = this.#elements.get(tensor) ?? "f32";
      const count = countOf(shapeOf(tensor));
      if (count >= ELEMENTS_MAX) {
        throw new UserError(`a tensor ${shapeText(
          tensor.shape)} has more elements than a GPU kernel counts (2^32)`,
          "use a smaller batch, or shorter windows.");
      }
      const buffer = this.builder.scratch(count * ELEMENT_BYTES[element]);
      memory = { buffer, offset: 0, element, isAligned: true };
      this.#memories.set(tensor, memory);
    }
    return memory;
  }

  #emit(group: Group): Launch[] {
    const anchor = (group.anchor ?? group.product) as LoweredAnchor | null;
    if (anchor !== null) return anchor.emit(group, this);
    const { kind } = group.space;
    const kernels = kind === "map" ? [mapKernel(group, this)] : kind === "rows" ? [rowsKernel(group, this)]
      : reduceKernels(group, this);
    const floats = partialFloats(group, this);
    const partial = floats > 0 ? { buffer: this.builder.scratch(floats * 4, "partial"), offset: 0 } : null;
    return kernels.map((kernel) => this.kernelLaunch(kernel, partial));
  }

  kernelLaunch({ what, comment, body, parameters, grid, block, sharedBytes }: Kernel,
    partial: Pick<Memory, "buffer" | "offset"> | null): Launch {
    const fields = parameters.map(({ type, name }) => `${type} ${name}`);
    return this.builder.launch({ what, comment, block, fields, body }, grid, sharedBytes,
      parameters.map(({ of }) => addressOf(of === "partial" ? partial! : this.memoryOf(of))));
  }
}
