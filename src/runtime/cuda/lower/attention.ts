/**
 * Attention as one launch (gemm/attention.ts): heads are strides of what the joint product wrote, and the
 * result is written with the heads side by side where that is what is read.
 */
import { oneQueryOf } from "../../../graph/last-step.ts";
import type { Node, Tensor } from "../../../graph/tensor.ts";
import { countOf, type View } from "../../view.ts";
import { planAttention, type Heads } from "../gemm/attention.ts";
import type { Launch } from "../launch.ts";
import { copied, resultBuffer } from "./convert.ts";
import { ELEMENT_BYTES } from "./emitter.ts";
import type { Read } from "./fuse.ts";
import type { LoweredAnchor, Lowering } from "./lowering.ts";
import { ELEMENTS, type Pattern } from "./pattern.ts";
import { shapeOf } from "./table.ts";

interface Found {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  readonly scale: number;
  readonly isCausal: boolean;
  readonly isLastOnly: boolean;
  /** (..., T, dv) of the block. */
  readonly result: Tensor;
  /** What is written: the result, or (B, T, heads * dv). */
  readonly out: Tensor;
  readonly weights: Tensor | null;
}

export function findAttentions(pattern: Pattern): void {
  for (const node of pattern.order) {
    const found = attentionAt(node, pattern);
    if (found === null) continue;
    const anchor = new AttentionAnchor(found, pattern);
    pattern.anchors.set(found.out, anchor);
    if (found.weights !== null) pattern.anchors.set(found.weights, anchor);
  }
}

function attentionAt(node: Node, pattern: Pattern): Found | null {
  const one = oneQueryOf(node);
  const given = one !== null ? { ...one, isCausal: false, isLastOnly: true, result: node.outputs[0],
    weights: null }
    : node.op !== "attention" ? null
    : { ...node.attributes, q: node.inputs[0], k: node.inputs[1], v: node.inputs[2], isLastOnly: false,
      result: node.outputs[0], weights: pattern.isUsed(node.outputs[1]) ? node.outputs[1] : null };
  if (given === null || ![3, 4].includes(given.k.shape.length)) return null;
  // The one query's inner values must have no other reader.
  if (one !== null) {
    for (let inner = node.inputs[0]; inner !== one.q; [inner] = inner.node.inputs) {
      if (pattern.onlyReader(inner) === null) return null;
    }
  }
  const [T, d] = shapeOf(given.k).slice(-2), dv = shapeOf(given.v).at(-1)!;
  if (T > 4096 || d > 256 || dv > 256 || countOf(shapeOf(given.k).slice(0, -2)) > 65_535) return null;
  return { ...given, out: sideBySide(given.result, pattern) ?? given.result };
}

/** The reshape of (B, heads, T, dv) to heads side by side, if that is all that reads it. */
function sideBySide(result: Tensor, pattern: Pattern): Tensor | null {
  if (result.shape.length !== 4) return null;
  const reader = pattern.onlyReader(result);
  if (reader?.op !== "transpose" || reader.attributes.permutation.join() !== "0,2,1,3") return null;
  const next = pattern.onlyReader(reader.outputs[0]);
  return next?.op === "reshape" && !pattern.isResult(next.outputs[0]) ? next.outputs[0] : null;
}

/**
 * Strides of a (B, heads, T, columns) or (B, T, columns) view, its columns side by side; null: they are not.
 */
function headsOf(view: View<Tensor>): Omit<Heads, "buffer"> | null {
  const { shape, strides, offset } = view, rank = shape.length;
  if (shape[rank - 1] > 1 && strides[rank - 1] !== 1) return null;
  const [batchStride, headStride] = rank === 4 ? strides : [strides[0], 0];
  return { offset, batchStride, headStride, rowStride: strides[rank - 2] };
}

class AttentionAnchor implements LoweredAnchor {
  readonly outputs: readonly Tensor[];
  readonly reads: readonly Read[];
  readonly hasEpilogue = false;
  readonly isHalf = true;
  readonly #found: Found;
  readonly #pattern: Pattern;

  constructor(found: Found, pattern: Pattern) {
    this.#found = found;
    this.#pattern = pattern;
    this.outputs = [found.out, ...(found.weights === null ? [] : [found.weights])];
    this.reads = [found.q, found.k, found.v].map((tensor) =>
      ({ tensor, element: null, accepts: (view) => headsOf(view) !== null }));
  }

  emit({ views }: { readonly views: readonly View<Tensor>[] }, lowering: Lowering): Launch[] {
    const found = this.#found, { precision, device } = this.#pattern;
    const before: Launch[] = [], after: Launch[] = [];
    const [q, k, v] = views.map((view) => this.#heads(view, lowering, before));
    const shape = shapeOf(found.k), [T, d] = shape.slice(-2), dv = shapeOf(found.v).at(-1)!;
    const B = shape[0], heads = shape.length === 4 ? shape[1] : 1, rows = found.isLastOnly ? 1 : T;
    const isJoined = found.out !== found.result;
    const strides = isJoined ? { batchStride: rows * heads * dv, headStride: dv, rowStride: heads * dv }
      : { batchStride: heads * rows * dv, headStride: rows * dv, rowStride: dv };
    const element = ELEMENTS[precision], out = resultBuffer(found.out, element, lowering, after);
    const weights = found.weights === null ? null : resultBuffer(found.weights, element, lowering, after);
    const { scale, isCausal, isLastOnly } = found;
    const launch = planAttention({ B, T, heads, d, dv, precision, scale, isCausal,
      isLastOnly, q, k, v, out: { buffer: out, offset: 0, ...strides },
      ...(weights === null ? {} : { weights }) }, device);
    return [...before, launch, ...after];
  }

  #heads(view: View<Tensor>, lowering: Lowering, before: Launch[]): Heads {
    const { precision } = this.#pattern, memory = lowering.memoryOf(view.source),
      element = ELEMENTS[precision];
    const heads = headsOf(view)!, first = memory.offset / ELEMENT_BYTES[memory.element];
    if (memory.element === element) return { ...heads, offset: heads.offset + first, buffer: memory.buffer };
    const buffer = copied(countOf(shapeOf(view.source)), memory, element, lowering, before);
    return { ...heads, buffer };
  }
}
