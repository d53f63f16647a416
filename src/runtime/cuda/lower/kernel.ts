/**
 * What a generated kernel is: values of any shape from values in memory, all that lies between in registers.
 * Its C is written by map.ts, rows.ts and reduce.ts; here is what they share.
 */
import { assert } from "../../../base/assert.ts";
import type { Tensor } from "../../../graph/tensor.ts";
import { C_TYPES, Emitter, type Element } from "./emitter.ts";
import { coordinatesOf, placeOf, placeText, plus, type Place, type Variable } from "./place.ts";
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

/**
 * Neighbouring elements that a thread takes at a time, and threads of a block, where nothing speaks against
 * it.
 */
export const LANES = 4, BLOCK = 256;
export const indent = (lines: readonly string[]): string[] => lines.map((line) => `  ${line}`);

/** Pointers by tensor, in order of first use. */
export class Parameters {
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

const isOwn = ({ stores, inlined }: Fused, tensor: Tensor): boolean =>
  stores.has(tensor) || inlined.has(tensor);

/** `nameOf`: values that the kernel has under a name (sums that are done). */
export function emitterFor(fused: Fused, around: Surroundings, parameters: Parameters, lane: Variable | null,
  nameOf: (tensor: Tensor) => string | null = () => null): Emitter {
  return new Emitter({
    resolve: (tensor) => around.resolve(tensor),
    parameterOf: (tensor) => (isOwn(fused, tensor) ? null : parameters.read(tensor)),
    isAligned: (tensor) => around.isAligned(tensor),
    nameOf,
  }, lane);
}

/** A tensor that a kernel writes, under the name of its pointer. */
export interface Store { readonly tensor: Tensor; readonly name: string }
export const storesOf = ({ stores }: Fused): Store[] =>
  [...stores].map((tensor, k) => ({ tensor, name: `y${k}` }));

/** Stores of one element per step of a walk; lanes are gathered and written together, after their loop. */
export function writeStores(emitter: Emitter, stores: readonly Store[], at: Place, lane: Variable | null):
{ declare: string[]; after: string[] } {
  const declare: string[] = [], after: string[] = [];
  const element = lane === null ? at : plus(at, placeOf(lane));
  for (const { tensor, name } of stores) {
    const value = emitter.value(tensor, coordinatesOf(element, shapeOf(tensor)));
    if (lane === null) emitter.line(`put(a.${name} + ${placeText(at)}, ${value});`);
    else {
      declare.push(`Lanes<${LANES}> ${name};`);
      emitter.line(`${name}.at[l] = ${value};`);
      after.push(`store_lanes(a.${name} + ${placeText(at)}, ${name});`);
    }
  }
  return { declare, after };
}

/** A loop over the lanes around these lines, if there are lanes. */
export const laneLoop = (lines: readonly string[], lane: Variable | null): string[] =>
  (lane === null ? [...lines]
  : [`UNROLL for (u32 l = 0; l < ${LANES}u; l++) {`, ...indent(lines), "}"]);

export const describe = (tensor: Tensor): string => `${tensor.node.op} (${tensor.shape.join(", ")})`;

/** How many reductions deep a tensor is within a kernel. */
export function makeDepths(fused: Fused, around: Surroundings): (tensor: Tensor) => number {
  const depths = new Map<Tensor, number>();
  const depthOf = (given: Tensor): number => {
    const tensor = around.resolve(given);
    const isInside = isOwn(fused, tensor) || around.elementOf(tensor) === null;
    if (!isInside) return 0;
    let depth = depths.get(tensor);
    if (depth === undefined) {
      depth = Math.max(0, ...tensor.node.inputs.map(depthOf)) + (isReduction(tensor) ? 1 : 0);
      depths.set(tensor, depth);
    }
    return depth;
  };
  return depthOf;
}

export const isReduction = (tensor: Tensor): boolean => rowOf(tensor.node).kind === "reduction";

/** How a reduction starts, joins two values, and joins those of threads ("sum" of warp_sum, ...). */
export function reductionRow(tensor: Tensor): { start: string; join: string; across: string } {
  const row = rowOf(tensor.node);
  assert(row.kind === "reduction", "reduces");
  return row;
}
