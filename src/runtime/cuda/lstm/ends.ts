/**
 * What comes before and after a stack on tensor cores (kernels/lstm-columns.cuh): features into blocks of
 * columns, and a result out of them.
 */
import type { Argument, KernelSource, Launch } from "../launch.ts";
import { pointer } from "./pack.ts";
import type { LstmStack } from "./stack.ts";

export interface Ends {
  /** Sequences of a block of columns, and such blocks. */
  readonly columns: number;
  readonly blocks: number;
  /** Units and features as the kernels pad them. */
  readonly hidden: number;
  readonly inputs: number;
  /** Slices of a layer, each of which has a flag for every block of columns. */
  readonly slices: number;
  readonly source: KernelSource;
}

export const words = (...values: readonly number[]): Argument[] =>
  values.map((value) => ({ kind: "u32", value }));

/** Steps of h that are kept: two where only the layer itself reads them. */
export function stepsKept({ L, T, result }: LstmStack, layer: number): number {
  return layer + 1 < L || result.kind === "all" ? T : 2;
}

/** Writes `input` and zeroes `flags`. */
export function inputLaunch({ B, T, F, L, x, ringStart }: LstmStack,
  { blocks, inputs, slices, source }: Ends, prefix: string): Launch {
  return { source, kernel: "lstm_tile_input", grid: [T, blocks, 1], block: 128, sharedBytes: 0,
    arguments: [...pointer(x), ...pointer(`${prefix}.input`), ...pointer(ringStart),
      ...pointer(`${prefix}.flags`), ...words(B, T, F, inputs / 8, L * blocks * slices)] };
}

/** Reads h of the last layer. */
export function resultLaunch(stack: LstmStack, { source }: Ends, prefix: string): Launch {
  const { B, T, H, L, result, done } = stack, isHead = result.kind === "head";
  const kernel = { head: "lstm_tile_head", last: "lstm_tile_last", all: "lstm_tile_all" }[result.kind];
  const grid = { head: [Math.ceil(B / 8), 1, 1], last: [B, 1, 1], all: [B, T, 1] } as const;
  return { source, kernel, grid: grid[result.kind], block: isHead ? 256 : 128, sharedBytes: 0, arguments: [
    ...pointer(`${prefix}.h${L - 1}`), ...pointer(isHead ? `${prefix}.head.w` : null),
    ...pointer(isHead ? `${prefix}.head.b` : null), ...pointer(result.buffer), ...pointer(done),
    ...pointer(`${prefix}.arrivals`),
    ...words(B, T, H, stepsKept(stack, L - 1), isHead ? result.columns : 0,
      isHead && result.activation === "tanh" ? 1 : 0)] };
}
