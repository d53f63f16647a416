/**
 * Sums and maxima along any axes: a block per 32 columns, or per result, and chunk of what is joined; a
 * second kernel folds the chunks, in order. Several along the same axes of one shape share the walk.
 */
import { assert } from "../../../base/assert.ts";
import { countOf } from "../../view.ts";
import { BLOCK, describe, emitterFor, indent, isReduction, Parameters, reductionRow, storesOf,
  type Fused, type Kernel, type Store, type Surroundings } from "./kernel.ts";
import { coordinatesOf, makeVariable, placeOf } from "./place.ts";
import { shapeOf } from "./table.ts";

/** A value that chunks, threads and steps join, and its name. */
export interface Joined extends Store { readonly join: string }

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

/** The reductions of a walk, and how each joins two values. */
const reductionsOf = ({ stores, inlined }: Fused): Joined[] => [...stores, ...inlined].filter(isReduction)
  .map((tensor, k) => ({ tensor, name: `total${k}`, join: reductionRow(tensor).join }));

/** Floats of partial results that the chunks leave; 0: none. */
export function partialFloats(fused: Fused, around: Surroundings): number {
  if (fused.space.kind !== "reduce") return 0;
  const { O, chunks } = sizesOf(fused, around);
  return chunks > 1 ? reductionsOf(fused).length * chunks * O : 0;
}

/** One kernel, or two where chunks are joined. */
export function reduceKernels(fused: Fused, around: Surroundings): Kernel[] {
  const sizes = sizesOf(fused, around), { O, R, isColumns, tiles, chunks, chunk } = sizes,
    isFolded = chunks > 1;
  const joined = reductionsOf(fused), parameters = new Parameters(around);
  const { hoisted, loop } = walkLines(fused, joined, sizes, parameters, around);
  const across = ({ tensor, name }: Joined): string => (isColumns
    ? `${name} = column_${reductionRow(tensor).across}(${name});`
    : `${name} = block_${reductionRow(tensor).across}(${name}, ${BLOCK / 32}u);`);
  const isInside = isColumns ? `o < ${O}u` : "true";
  const partial = ({ name }: Joined, k: number): string =>
    `a.partial[(${k * chunks}u + blockIdx.y) * ${O}u + o] = ${name};`;
  if (isFolded) parameters.list.push({ name: "partial", type: "float*", of: "partial" });
  const body = [
    isColumns ? "const u32 o = blockIdx.x * 32u + lane_of();" : "const u32 o = blockIdx.x;",
    `const u32 begin = blockIdx.y * ${chunk}u, end = begin + ${chunk}u < ${R}u ? begin + ${chunk}u : ${R}u;`,
    ...joined.map(({ tensor, name }) => `float ${name} = ${reductionRow(tensor).start};`),
    `if (${isInside}) {`, ...indent(hoisted),
    isColumns ? "  for (u32 r = begin + warp_of(); r < end; r += 8u) {"
      : `  for (u32 r = begin + threadIdx.x; r < end; r += ${BLOCK}u) {`,
    ...indent(indent(loop)), "  }", "}",
    ...joined.map(across),
    `if (${isColumns ? `warp_of() == 0 && ${isInside}` : "threadIdx.x == 0"}) {`,
    ...indent(isFolded ? joined.map(partial) : finishLines(fused, joined, O, parameters, around)), "}",
  ];
  const main: Kernel = { what: "reduce", comment: commentOf(fused), body, parameters: parameters.list,
    grid: [tiles, chunks, 1], block: BLOCK, sharedBytes: isColumns ? 4 * BLOCK : 128 };
  return isFolded ? [main, foldKernel(fused, joined, { O, chunks }, around)] : [main];
}

const commentOf = ({ stores }: Fused): string => [...stores].map(describe).join(", ");

/** What is joined at each step, and what of it stays the same. */
function walkLines(fused: Fused, joined: readonly Joined[], { O, R }: Sizes, parameters: Parameters,
  around: Surroundings): { hoisted: string[]; loop: string[] } {
  const { shape, axes } = fused.space as Extract<Fused["space"], { kind: "reduce" }>;
  const result = makeVariable("o", O), walked = makeVariable("r", R);
  const sizeAt = (isCut: boolean): number[] =>
    shape.map((size, axis) => (axes.includes(axis) === isCut ? size : 1));
  const outer = coordinatesOf(placeOf(result), sizeAt(false)),
    inner = coordinatesOf(placeOf(walked), sizeAt(true));
  const at = shape.map((_, axis) => (axes.includes(axis) ? inner[axis] : outer[axis]));
  const emitter = emitterFor(fused, around, parameters, null);
  emitter.open(result);
  emitter.open(walked);
  for (const { tensor, name, join } of joined) {
    emitter.line(`${name} = ${join}(${name}, ${emitter.value(tensor.node.inputs[0], at)});`);
  }
  const loop = emitter.close();
  return { hoisted: emitter.close(), loop };
}

/** What is made of the results, result by result, and the stores. */
function finishLines(fused: Fused, joined: readonly Joined[], O: number, parameters: Parameters,
  around: Surroundings): string[] {
  const result = placeOf(makeVariable("o", O));
  const names = new Map(joined.map(({ tensor, name }) => [tensor, name]));
  const emitter = emitterFor(fused, around, parameters, null, (tensor) => names.get(tensor) ?? null);
  emitter.open(makeVariable("o", O));
  for (const { tensor, name } of storesOf(fused)) {
    emitter.line(`put(a.${name} + o, ${emitter.value(tensor, coordinatesOf(result, shapeOf(tensor)))});`);
    parameters.write(tensor, name);
  }
  return emitter.close();
}

/** Joins chunks in order, partial (joined, chunks, O), and finishes the results. */
export function foldKernel(fused: Fused, joined: readonly Joined[],
  { O, chunks }: { O: number; chunks: number },
  around: Surroundings): Kernel {
  const parameters = new Parameters(around);
  parameters.list.push({ name: "partial", type: "const float*", of: "partial" });
  const block = Math.min(BLOCK, Math.ceil(O / 32) * 32);
  const body = [`const u32 o = blockIdx.x * ${block}u + threadIdx.x;`, `if (o >= ${O}u) return;`];
  joined.forEach(({ name, join }, k) => {
    const next = `a.partial[(${k * chunks}u + c) * ${O}u + o]`;
    body.push(`float ${name} = a.partial[${k * chunks * O}u + o];`,
      `for (u32 c = 1; c < ${chunks}u; c++) ${name} = ${join}(${name}, ${next});`);
  });
  body.push(...finishLines(fused, joined, O, parameters, around));
  return { what: "fold", comment: commentOf(fused), body, parameters: parameters.list,
    grid: [Math.ceil(O / block), 1, 1], block, sharedBytes: 0 };
}
