/**
 * C of one generated kernel: values of any shape from values in memory, all that lies between in registers.
 *
 *   map      a thread per element, or per four of them
 *   rows     a warp or a block per row: loops over the row, each ending in sums or maxima that later ones use
 *   reduce   a block per column tile (or per result) and chunk; chunks are joined by a fold, in order
 */
import { assert } from "../../../base/assert.ts";
import type { Tensor } from "../../../graph/tensor.ts";
import { C_TYPES, Emitter, type Element } from "./emitter.ts";
import { coordinatesOf, makeVariable, placeOf, placeText, plus, times, type Place, type Variable } from "./place.ts";
import { rowOf, shapeOf } from "./table.ts";

/** What a kernel walks; `shape` is that of what it computes (of what it reduces). */
export type Space =
  | { readonly kind: "map"; readonly shape: readonly number[] }
  | { readonly kind: "rows"; readonly shape: readonly number[]; readonly width: number }
  | { readonly kind: "reduce"; readonly shape: readonly number[]; readonly axes: readonly number[] };

/** What is computed together. */
export interface Fused {
  readonly space: Space;
  /** Written to memory. */
  readonly stores: ReadonlySet<Tensor>;
  /** Computed on the way. */
  readonly inlined: ReadonlySet<Tensor>;
}

/** What a kernel must know of the tensors around it. */
export interface Surroundings {
  resolve(tensor: Tensor): Tensor;
  /** How a tensor is stored; null: it is not in memory. */
  elementOf(tensor: Tensor): Element | null;
  isAligned(tensor: Tensor): boolean;
  /** Multiprocessors of the GPU. */
  readonly multiprocessors: number;
}

/** A pointer of a kernel: to a tensor, or to partial results of a reduction. */
export interface Parameter {
  readonly name: string;
  readonly type: string;
  readonly of: Tensor | "partial";
}

export interface Kernel {
  readonly what: "map" | "rows" | "reduce" | "fold";
  readonly comment: string;
  readonly body: readonly string[];
  readonly parameters: readonly Parameter[];
  readonly grid: readonly [number, number, number];
  readonly block: number;
  readonly sharedBytes: number;
}

const LANES = 4, BLOCK = 256;
export const countOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
const indent = (lines: readonly string[]): string[] => lines.map((line) => `  ${line}`);

/** Pointers by tensor, in order of first use. */
class Parameters {
  readonly list: Parameter[] = [];
  readonly #names = new Map<Tensor, string>();
  readonly #around: Surroundings;
  constructor(around: Surroundings) { this.#around = around; }

  read(tensor: Tensor): string | null {
    const element = this.#around.elementOf(tensor);
    if (element === null) return null;
    const known = this.#names.get(tensor);
    if (known !== undefined) return known;
    const name = `x${this.#names.size}`;
    this.#names.set(tensor, name);
    this.list.push({ name, type: `const ${C_TYPES[element]}*`, of: tensor });
    return name;
  }

  write(tensor: Tensor, name: string): string {
    const element = this.#around.elementOf(tensor);
    assert(element !== null, "what is stored has a place");
    this.list.push({ name, type: `${C_TYPES[element]}*`, of: tensor });
    return name;
  }
}

/** The kernels of what is computed together: one, or two where chunks are joined. */
export function kernelsOf(fused: Fused, around: Surroundings): Kernel[] {
  const { space } = fused;
  if (space.kind === "map") return [mapKernel(fused, space, around)];
  return space.kind === "rows" ? [rowsKernel(fused, space, around)] : reduceKernels(fused, space, around);
}

const isOwn = ({ stores, inlined }: Fused, tensor: Tensor): boolean => stores.has(tensor) || inlined.has(tensor);

function emitterFor(fused: Fused, around: Surroundings, parameters: Parameters, lane: Variable | null,
  nameOf: (tensor: Tensor) => string | null = () => null): Emitter {
  return new Emitter({
    resolve: (tensor) => around.resolve(tensor),
    parameterOf: (tensor) => (isOwn(fused, tensor) ? null : parameters.read(tensor)),
    isAligned: (tensor) => around.isAligned(tensor),
    nameOf,
  }, lane);
}

/** Stores of one element per step of a walk: lanes are gathered and written together. */
function writeStores(emitter: Emitter, stores: readonly { tensor: Tensor; name: string }[], at: Place,
  lane: Variable | null): { declare: string[]; after: string[] } {
  const declare: string[] = [], after: string[] = [];
  stores.forEach(({ tensor, name }) => {
    const value = emitter.value(tensor, coordinatesOf(lane === null ? at : plus(at, placeOf(lane)), shapeOf(tensor)));
    if (lane === null) emitter.line(`put(a.${name} + ${placeText(at)}, ${value});`);
    else {
      declare.push(`Lanes<${LANES}> ${name};`);
      emitter.line(`${name}.at[l] = ${value};`);
      after.push(`store_lanes(a.${name} + ${placeText(at)}, ${name});`);
    }
  });
  return { declare, after };
}

/** Whether a walk over `count` elements of rows of `width` goes four by four. */
function hasLanes(fused: Fused, width: number, threads: number, around: Surroundings): boolean {
  return width % LANES === 0 && threads >= around.multiprocessors * BLOCK
    && [...fused.stores].every((tensor) => around.isAligned(tensor));
}

function mapKernel(fused: Fused, { shape }: Extract<Space, { kind: "map" }>, around: Surroundings): Kernel {
  const count = countOf(shape), width = shape.findLast((size) => size > 1) ?? 1;
  const isWide = hasLanes(fused, width, count / LANES, around);
  const threads = isWide ? count / LANES : count;
  const lane = isWide ? makeVariable("l", LANES) : null, thread = makeVariable("i", threads);
  const parameters = new Parameters(around);
  const emitter = emitterFor(fused, around, parameters, lane);
  const stores = [...fused.stores].map((tensor, k) => ({ tensor, name: `y${k}` }));
  const at = isWide ? times(placeOf(thread), LANES) : placeOf(thread);
  emitter.open(thread);
  if (lane !== null) emitter.open(lane);
  const { declare, after } = writeStores(emitter, stores, at, lane);
  const inner = lane === null ? null : emitter.close(), outer = emitter.close();
  const block = Math.min(BLOCK, Math.ceil(threads / 32) * 32);
  for (const { tensor, name } of stores) parameters.write(tensor, name);
  return {
    what: "map", comment: stores.map(({ tensor }) => describe(tensor)).join(", "),
    body: [`const u32 i = blockIdx.x * ${block}u + threadIdx.x;`, `if (i >= ${threads}u) return;`, ...outer,
      ...(inner === null ? [] : [...declare, `UNROLL for (u32 l = 0; l < ${LANES}u; l++) {`, ...indent(inner), "}",
        ...after])],
    parameters: parameters.list, grid: [Math.ceil(threads / block), 1, 1], block, sharedBytes: 0,
  };
}

const describe = (tensor: Tensor): string => `${tensor.node.op} (${tensor.shape.join(", ")})`;

/** How many reductions deep a tensor is within a kernel. */
function makeDepths(fused: Fused, around: Surroundings): (tensor: Tensor) => number {
  const depths = new Map<Tensor, number>();
  const depthOf = (given: Tensor): number => {
    const tensor = around.resolve(given);
    const isInside = isOwn(fused, tensor) || around.elementOf(tensor) === null;
    if (!isInside) return 0;
    let depth = depths.get(tensor);
    if (depth === undefined) {
      depth = Math.max(0, ...tensor.node.inputs.map(depthOf)) + (rowOf(tensor.node).kind === "reduction" ? 1 : 0);
      depths.set(tensor, depth);
    }
    return depth;
  };
  return depthOf;
}

const isReduction = (tensor: Tensor): boolean => rowOf(tensor.node).kind === "reduction";

function reductionRow(tensor: Tensor): { start: string; join: string; across: string } {
  const row = rowOf(tensor.node);
  assert(row.kind === "reduction", "reduces");
  return row;
}

function rowsKernel(fused: Fused, { shape, width }: Extract<Space, { kind: "rows" }>, around: Surroundings): Kernel {
  const count = countOf(shape), rows = count / width;
  const isWide = width % LANES === 0 && width >= 128 && [...fused.stores].every((tensor) => around.isAligned(tensor));
  const steps = isWide ? width / LANES : width;
  const isWarp = steps <= 256;
  const team = isWarp ? 32 : steps <= 2048 ? 256 : 512, perBlock = isWarp ? Math.min(4, rows) : 1;
  const row = makeVariable("r", rows), step = makeVariable("k", steps);
  const lane = isWide ? makeVariable("l", LANES) : null;
  const parameters = new Parameters(around), done = new Map<Tensor, string>();
  const emitter = emitterFor(fused, around, parameters, lane, (tensor) => done.get(tensor) ?? null);
  const depthOf = makeDepths(fused, around);
  const reductions = [...fused.stores, ...fused.inlined].filter(isReduction);
  const stores = [...fused.stores].map((tensor, k) => ({ tensor, name: `y${k}` }));
  const ofElements = stores.filter(({ tensor }) => countOf(shapeOf(tensor)) === count);
  const ofRows = stores.filter(({ tensor }) => countOf(shapeOf(tensor)) !== count);
  const start = plus(times(placeOf(row), width), times(placeOf(step), isWide ? LANES : 1));
  const element = lane === null ? start : plus(start, placeOf(lane));
  const deepest = Math.max(0, ...reductions.map(depthOf), ...ofElements.map(({ tensor }) => depthOf(tensor)));

  emitter.open(row);
  for (let phase = 0; phase <= deepest; phase++) {
    const own = reductions.filter((tensor) => depthOf(tensor) === phase + 1);
    const written = ofElements.filter(({ tensor }) => depthOf(tensor) === phase);
    if (own.length === 0 && written.length === 0) continue;
    const names = own.map((tensor) => `${reductionRow(tensor).across}${reductions.indexOf(tensor)}`);
    emitter.open(step);
    if (lane !== null) emitter.open(lane);
    own.forEach((tensor, k) => {
      const [x] = tensor.node.inputs;
      emitter.line(`${names[k]} = ${reductionRow(tensor).join}(${names[k]}, `
        + `${emitter.value(x, coordinatesOf(element, shapeOf(x)))});`);
    });
    const { declare, after } = writeStores(emitter, written, start, lane);
    const inner = lane === null ? [] : [...declare, `UNROLL for (u32 l = 0; l < ${LANES}u; l++) {`,
      ...indent(emitter.close()), "}", ...after];
    const loop = [...emitter.close(), ...inner];
    emitter.line(...own.map((tensor, k) => `float ${names[k]} = ${reductionRow(tensor).start};`),
      ...(Math.ceil(steps / team) <= 8 ? ["UNROLL"] : []),
      `for (u32 k = ${isWarp ? "lane_of()" : "threadIdx.x"}; k < ${steps}u; k += ${team}u) {`, ...indent(loop), "}",
      ...own.map((tensor, k) => `${names[k]} = ${isWarp ? "warp" : "block"}_${reductionRow(tensor).across}(${names[k]}`
        + `${isWarp ? "" : `, ${team / 32}u`});`));
    own.forEach((tensor, k) => { done.set(tensor, names[k]); });
  }
  if (ofRows.length > 0) {
    const lines = ofRows.map(({ tensor, name }) =>
      `put(a.${name} + r, ${emitter.value(tensor, coordinatesOf(placeOf(row), shapeOf(tensor)))});`);
    emitter.line(`if (${isWarp ? "lane_of()" : "threadIdx.x"} == 0) {`, ...indent(lines), "}");
  }
  const body = emitter.close();
  for (const { tensor, name } of stores) parameters.write(tensor, name);
  const top = isWarp ? [`const u32 r = blockIdx.x * ${perBlock}u + warp_of();`, `if (r >= ${rows}u) return;`]
    : ["const u32 r = blockIdx.x;"];
  return {
    what: "rows", comment: stores.map(({ tensor }) => describe(tensor)).join(", "), body: [...top, ...body],
    parameters: parameters.list, grid: [Math.ceil(rows / perBlock), 1, 1], block: isWarp ? perBlock * 32 : team,
    sharedBytes: isWarp ? 0 : 128,
  };
}

function reduceKernels(fused: Fused, { shape, axes }: Extract<Space, { kind: "reduce" }>,
  around: Surroundings): Kernel[] {
  const kept = shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
  const cut = shape.map((size, axis) => (axes.includes(axis) ? size : 1));
  const O = countOf(kept), R = countOf(cut);
  const last = shape.findLastIndex((size) => size > 1);
  const isColumns = last >= 0 && !axes.includes(last);
  const tiles = isColumns ? Math.ceil(O / 32) : O;
  const wanted = Math.ceil(2 * around.multiprocessors / tiles);
  const chunks = Math.max(1, Math.min(wanted, Math.floor(R / (isColumns ? 64 : 1024)), 256));
  const chunk = Math.ceil(R / chunks);
  const parameters = new Parameters(around);
  const emitter = emitterFor(fused, around, parameters, null);
  const kept0 = makeVariable("o", O), walked = makeVariable("r", R);
  const outer = coordinatesOf(placeOf(kept0), kept), inner = coordinatesOf(placeOf(walked), cut);
  const at = shape.map((_, axis) => (axes.includes(axis) ? inner[axis] : outer[axis]));
  const stores = [...fused.stores];
  emitter.open(kept0);
  emitter.open(walked);
  stores.forEach((tensor, k) => {
    emitter.line(`total${k} = ${reductionRow(tensor).join}(total${k}, ${emitter.value(tensor.node.inputs[0], at)});`);
  });
  const loop = emitter.close(), hoisted = emitter.close();
  const isFolded = chunks > 1;
  const target = (k: number): string => (isFolded ? `(a.partial + (${k * chunks}u + blockIdx.y) * ${O}u + o)` : `(a.y${k} + o)`);
  if (isFolded) parameters.list.push({ name: "partial", type: "float*", of: "partial" });
  else stores.forEach((tensor, k) => { parameters.write(tensor, `y${k}`); });
  const guard = isColumns ? `o < ${O}u` : null;
  const body = [
    isColumns ? "const u32 o = blockIdx.x * 32u + lane_of();" : "const u32 o = blockIdx.x;",
    `const u32 begin = blockIdx.y * ${chunk}u, end = begin + ${chunk}u < ${R}u ? begin + ${chunk}u : ${R}u;`,
    ...stores.map((tensor, k) => `float total${k} = ${reductionRow(tensor).start};`),
    ...(guard === null ? [] : [`if (${guard}) {`]),
    ...indent(hoisted),
    `  for (u32 r = begin + ${isColumns ? "warp_of()" : "threadIdx.x"}; r < end; r += ${isColumns ? 8 : BLOCK}u) {`,
    ...indent(indent(loop)), "  }",
    ...(guard === null ? [] : ["}"]),
    ...stores.flatMap((tensor, k) => [`total${k} = ${isColumns ? "column" : "block"}_${reductionRow(tensor).across}`
      + `(total${k}${isColumns ? "" : ", 8u"});`]),
    `if (${isColumns ? `warp_of() == 0 && ${guard}` : "threadIdx.x == 0"}) {`,
    ...stores.map((_, k) => `  put(${target(k)}, total${k});`), "}",
  ];
  const main: Kernel = { what: "reduce", comment: stores.map(describe).join(", "), body, parameters: parameters.list,
    grid: [tiles, chunks, 1], block: BLOCK, sharedBytes: isColumns ? 1024 : 128 };
  return isFolded ? [main, foldKernel(stores, { O, chunks }, around)] : [main];
}

/** Joins chunks in order: partial (stores, chunks, O) -> each store (O). */
export function foldKernel(stores: readonly Tensor[], { O, chunks }: { O: number; chunks: number },
  around: Surroundings): Kernel {
  const parameters = new Parameters(around);
  parameters.list.push({ name: "partial", type: "const float*", of: "partial" });
  const block = Math.min(BLOCK, Math.ceil(O / 32) * 32);
  const body = [`const u32 o = blockIdx.x * ${block}u + threadIdx.x;`, `if (o >= ${O}u) return;`];
  stores.forEach((tensor, k) => {
    const join = isReduction(tensor) ? reductionRow(tensor).join : "add";
    parameters.write(tensor, `y${k}`);
    body.push(`float total${k} = a.partial[${k * chunks * O}u + o];`,
      `for (u32 c = 1; c < ${chunks}u; c++) total${k} = ${join}(total${k}, a.partial[(${k * chunks}u + c) * ${O}u + o]);`,
      `put(a.y${k} + o, total${k});`);
  });
  return { what: "fold", comment: stores.map(describe).join(", "), body, parameters: parameters.list,
    grid: [Math.ceil(O / block), 1, 1], block, sharedBytes: 0 };
}

/** Floats of partial results that a kernel's chunks leave; 0: none. */
export const partialFloats = (fused: Fused, { grid, parameters }: Kernel): number =>
  (parameters.some(({ of }) => of === "partial") && fused.space.kind === "reduce"
    ? fused.stores.size * grid[1] * countOf(fused.space.shape.filter((_, axis) =>
      !(fused.space as { axes: readonly number[] }).axes.includes(axis))) : 0);
