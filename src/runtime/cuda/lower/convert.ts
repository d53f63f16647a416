/** Copies from one element type to another, around kernels that read and write only one. */
import type { Tensor } from "../../../graph/tensor.ts";
import { countOf, type View } from "../../view.ts";
import type { Launch } from "../launch.ts";
import { addressOf } from "./builder.ts";
import { C_TYPES, ELEMENT_BYTES, type Element } from "./emitter.ts";
import type { Lowering } from "./lowering.ts";
import { shapeOf } from "./table.ts";

/** Elements in a row, from a byte offset of a buffer on. */
export interface Row {
  readonly buffer: string;
  readonly offset: number;
  readonly element: Element;
}

export function convertLaunch({ builder }: Lowering, count: number, from: Row, to: Row): Launch {
  return builder.launch({
    what: "convert", comment: `${count} values`, block: 256,
    fields: [`const ${C_TYPES[from.element]}* x`, `${C_TYPES[to.element]}* y`],
    body: ["const u32 i = blockIdx.x * 256u + threadIdx.x;", `if (i < ${count}u) put(a.y + i, get(a.x[i]));`],
  }, [Math.ceil(count / 256), 1, 1], 0, [addressOf(from), addressOf(to)]);
}

/** The start of a buffer that holds a dense view in this element type; `before`: what must run for it. */
export function denseBuffer(view: View<Tensor>, element: Element, lowering: Lowering,
  before: Launch[]): string {
  const memory = lowering.memoryOf(view.source);
  const offset = memory.offset + view.offset * ELEMENT_BYTES[memory.element];
  return memory.element === element && offset === 0 ? memory.buffer
    : copied(countOf(view.shape), { ...memory, offset }, element, lowering, before);
}

/** A copy of so many elements in a buffer of its own. */
export function copied(count: number, from: Row, element: Element, lowering: Lowering,
  before: Launch[]): string {
  const buffer = lowering.builder.scratch(count * ELEMENT_BYTES[element], "copy");
  before.push(convertLaunch(lowering, count, from, { buffer, offset: 0, element }));
  return buffer;
}

/** The buffer in which a kernel may leave a tensor in this element type; `after`: what must run then. */
export function resultBuffer(tensor: Tensor, element: Element, lowering: Lowering, after: Launch[]): string {
  const memory = lowering.memoryOf(tensor), count = countOf(shapeOf(tensor));
  if (memory.element === element) return memory.buffer;
  const buffer = lowering.builder.scratch(count * ELEMENT_BYTES[element], "copy");
  after.push(convertLaunch(lowering, count, { buffer, offset: 0, element }, memory));
  return buffer;
}
