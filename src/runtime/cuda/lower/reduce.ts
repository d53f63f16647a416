/**
 * Sums and maxima along any axes: a block per 32 columns, or per result, and chunk of what is joined; a
 * second kernel folds the chunks, in order. Several along the same axes of one shape share the walk.
 */
import type { Tensor } from "../../../graph/tensor.ts";
import { assert } from "../../../base/assert.ts";
import { BLOCK, countOf, describe, emitterFor, indent, isReduction, Parameters, reductionRow, type Fused,
  type Kernel,
  type Surroundings } from "./kernel.ts";
import { coordinatesOf, makeVariable, placeOf } from "./place.ts";

/** Sizes of a reduction: O results of R values each, in chunks. */
interface Sizes {
  readonly O: number;
  readonly R: number;
  /** Whether neighbours in memory belong to different results. */
  readonly isColumns: boolean;
  readonly tiles: number;
  readonly chunks: number;
  readonly chunk: number;
}

function sizesOf({ space }: Fused, { multiprocessors }: Surroundings): Sizes {
  assert(space.kind === "reduce", "reduces");
  const { shape, axes } = space;
  const O = countOf(shape.filter((_, axis) => !axes.includes(axis))), R = countOf(shape) / O;
  const last = shape.findLastIndex((size) => size > 1), isColumns = last >= 0 && !axes.includes(last);
  const tiles = isColumns ? Math.ceil(O / 32) : O;
  const wanted = Math.ceil(2 * multiprocessors / tiles), most = Math.floor(R / (isColumns ? 64 : 1024));
  const chunks = Math.max(1, Math.min(wanted, most, 256));
  return { O, R, isColumns, tiles, chunks, chunk: Math.ceil(R / chunks) };
}

/** Floats of partial results that the chunks leave; 0: none. */
export function partialFloats(fused: Fused, around: Surroundings): number {
  if (fused.space.kind !== "reduce") return 0;
  const { O, chunks } = sizesOf(fused, around);
  return chunks > 1 ? fused.stores.size * chunks * O : 0;
}

/** One kernel, or two where chunks are joined. */
export function reduceKernels(fused: Fused, around: Surroundings): Kernel[] {
  const sizes = sizesOf(fused, around), { O, R, isColumns, tiles, chunks, chunk } = sizes,
    isFolded = chunks > 1;
  const stores = [...fused.stores], parameters = new Parameters(around);
  const { hoisted, loop } = walkLines(fused, sizes, parameters, around);
  if (isFolded) parameters.list.push({ name: "partial", type: "float*", of: "partial" });
  else stores.forEach((tensor, k) => { parameters.write(tensor, `y${k}`); });
  const target = (k: number): string =>
    (isFolded ? `a.partial + (${k * chunks}u + blockIdx.y) * ${O}u + o` : `a.y${k} + o`);
  const isInside = isColumns ? `o < ${O}u` : "true";
  const across = (tensor: Tensor, name: string): string => (isColumns
    ? `${name} = column_${reductionRow(tensor).across}(${name});`
    : `${name} = block_${reductionRow(tensor).across}(${name}, ${BLOCK / 32}u);`);
  const body = [
    isColumns ? "const u32 o = blockIdx.x * 32u + lane_of();" : "const u32 o = blockIdx.x;",
    `const u32 begin = blockIdx.y * ${chunk}u, end = begin + ${chunk}u < ${R}u ? begin + ${chunk}u : ${R}u;`,
    ...stores.map((tensor, k) => `float total${k} = ${reductionRow(tensor).start};`),
    `if (${isInside}) {`, ...indent(hoisted),
    isColumns ? "  for (u32 r = begin + warp_of(); r < end; r += 8u) {"
      : `  for (u32 r = begin + threadIdx.x; r < end; r += ${BLOCK}u) {`,
    ...indent(indent(loop)), "  }", "}",
    ...stores.map((tensor, k) => across(tensor, `total${k}`)),
    `if (${isColumns ? `warp_of() == 0 && ${isInside}` : "threadIdx.x == 0"}) {`,
    ...stores.map((_, k) => `  put(${target(k)}, total${k});`), "}",
  ];
  const main: Kernel = { what: "reduce", comment: stores.map(describe).join(", "), body,
    parameters: parameters.list,
    grid: [tiles, chunks, 1], block: BLOCK, sharedBytes: isColumns ? 4 * BLOCK : 128 };
  return isFolded ? [main, foldKernel(stores, { O, chunks }, around)] : [main];
}

/** What is joined at each step, and what of it stays the same. */
function walkLines({ space, stores, inlined }: Fused, { O, R }: Sizes, parameters: Parameters,
  around: Surroundings):
{ hoisted: string[]; loop: string[] } {
  const { shape, axes } = space as Extract<Fused["space"], { kind: "reduce" }>;
  const result = makeVariable("o", O), walked = makeVariable("r", R);
  const sizeAt = (isCut: boolean): number[] =>
    shape.map((size, axis) => (axes.includes(axis) === isCut ? size : 1));
  const outer = coordinatesOf(placeOf(result), sizeAt(false)),
    inner = coordinatesOf(placeOf(walked), sizeAt(true));
  const at = shape.map((_, axis) => (axes.includes(axis) ? inner[axis] : outer[axis]));
  const emitter = emitterFor({ space, stores, inlined }, around, parameters, null);
  emitter.open(result);
  emitter.open(walked);
  [...stores].forEach((tensor, k) => {
    const value = emitter.value(tensor.node.inputs[0], at);
    emitter.line(`total${k} = ${reductionRow(tensor).join}(total${k}, ${value});`);
  });
  const loop = emitter.close();
  return { hoisted: emitter.close(), loop };
}

/** Joins chunks in order: partial (stores, chunks, O) -> each store (O). */
export function foldKernel(stores: readonly Tensor[], { O, chunks }: { O: number; chunks: number },
  around: Surroundings): Kernel {
  const parameters = new Parameters(around);
  parameters.list.push({ name: "partial", type: "const float*", of: "partial" });
  const block = Math.min(BLOCK, Math.ceil(O / 32) * 32);
  const body = [`const u32 o = blockIdx.x * ${block}u + threadIdx.x;`, `if (o >= ${O}u) return;`];
  stores.forEach((tensor, k) => {
    const join = isReduction(tensor) ? reductionRow(tensor).join : "add",
      next = `a.partial[(${k * chunks}u + c) * ${O}u + o]`;
    parameters.write(tensor, `y${k}`);
    body.push(`float total${k} = a.partial[${k * chunks * O}u + o];`,
      `for (u32 c = 1; c < ${chunks}u; c++) total${k} = ${join}(total${k}, ${next});`,
      `put(a.y${k} + o, total${k});`);
  });
  return { what: "fold", comment: stores.map(describe).join(", "), body, parameters: parameters.list,
    grid: [Math.ceil(O / block), 1, 1], block, sharedBytes: 0 };
}
