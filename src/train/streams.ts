/**
 * Sequences dealt to the rows of a batch so that a row's state can go on: truncated backpropagation
 * through time walks each instrument's history from end to end.
 *
 *     chains (an instrument's sequences, without a gap)      a0>a1>a2>a3   b0>b1   c0>c1
 *
 *     row 0   a0  a1  a2  a3          step k of the epoch is column k: every row one sequence,
 *     row 1   b0  b1  c0  c1          state kept within a chain, zero at a chain's start
 */
import { assert } from "../base/assert.ts";
import type { SequenceSet } from "../dataset/sequence.ts";

/** Stands in a step for a row that has nothing left. */
export const NO_SEQUENCE = -1;

/** Indices of sequences that follow each other, in the set's order. */
export function chainsOf({ count, follows }: Pick<SequenceSet, "count" | "follows">): number[][] {
  const chains: number[][] = [];
  for (let s = 0; s < count; s++) {
    if (follows[s] === 1) chains.at(-1)!.push(s); else chains.push([s]);
  }
  return chains;
}

/**
 * Steps of B sequences, each of the set in one of them. Longest chains first, each to the row that
 * has least to do (Graham 1969): rows end about together, and the number of steps does not depend
 * on the order of chains of one length.
 */
export function dealChains(chains: readonly (readonly number[])[], B: number): number[][] {
  assert(B >= 1, "a batch has rows");
  const rows: number[][] = Array.from({ length: B }, () => []);
  for (const chain of chains.toSorted((a, b) => b.length - a.length)) {
    const row = rows.reduce((least, one) => (one.length < least.length ? one : least));
    row.push(...chain);
  }
  const steps = Math.max(...rows.map(({ length }) => length));
  return Array.from({ length: steps }, (_, k) => rows.map((row) => row[k] ?? NO_SEQUENCE));
}

/** Steps of at most B sequences in the order given, each from a state of its own. */
export const cutSteps = (order: readonly number[], B: number): number[][] =>
  Array.from({ length: Math.ceil(order.length / B) }, (_, k) => order.slice(k * B, (k + 1) * B));
