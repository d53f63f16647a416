/** The arrays that a training step is fed, allocated once and filled for each batch. */
import { assert } from "../base/assert.ts";
import { formatDay, dayOf } from "../base/units.ts";
import type { SequenceSet } from "../dataset/sequence.ts";
import type { TrainGraph } from "../nn/train-graph.ts";
import type { Tensors } from "../runtime/runtime.ts";
import { sizesOf } from "../graph/dimension.ts";
import { fillMask } from "./dropout.ts";
import { NO_SEQUENCE } from "./streams.ts";

export interface BatchFeeds {
  readonly feeds: Tensors;
  /**
   * Copies sequences `indices` (at most B); the rest of the batch, and a row of NO_SEQUENCE, is
   * zeros of weight 0.
   */
  fill(indices: ArrayLike<number>): void;
  /** New dropout masks for a step; at rate 0 they stay 1. */
  drop(rate: number, seed: number, epoch: number, step: number): void;
  /** Sets a fed scalar; does nothing when the graph has no use for it. */
  set(name: string, value: number): void;
}

/**
 * Arrays for batches of B sequences of `set`, one for each input of the training graph. Masks are 1
 * and scalars 0 until they are set.
 */
export function batchFeeds(train: TrainGraph, set: SequenceSet, B: number): BatchFeeds {
  const { lookback: T } = set, F = set.names.length;
  const values: Record<string, { shape: number[]; values: Float32Array }> = {};
  for (const { name, tensor } of train.graph.inputs) {
    const shape = sizesOf(tensor.shape);
    values[name] = { shape, values: new Float32Array(shape.reduce((a, b) => a * b, 1)) };
  }
  const masks = Object.entries(values).filter(([name]) => name.startsWith("dropout/"));
  for (const [, { values: mask }] of masks) mask.fill(1);
  const widths: Readonly<Record<"features" | "target" | "weight" | "scale", number>> =
    { features: T * F, target: T, weight: T, scale: T };
  const columns = (Object.keys(widths) as (keyof typeof widths)[])
    .filter((name) => Object.hasOwn(values, name));
  const perSequence = Object.entries({ instrument: set.instrument, keep: set.follows })
    .filter(([name]) => Object.hasOwn(values, name));
  return {
    feeds: values,
    fill(indices) {
      assert(indices.length <= B, `${indices.length} sequences for a batch of ${B}`);
      for (const name of columns) {
        const width = widths[name], out = values[name].values;
        for (let b = 0; b < indices.length; b++) {
          const s = indices[b], from = b * width;
          if (s === NO_SEQUENCE) out.fill(0, from, from + width);
          else out.set(set[name].subarray(s * width, (s + 1) * width), from);
        }
        out.fill(0, indices.length * width);
      }
      for (const [name, column] of perSequence) {
        const out = values[name].values.fill(0);
        for (let b = 0; b < indices.length; b++) {
          if (indices[b] !== NO_SEQUENCE) out[b] = column[indices[b]];
        }
      }
    },
    drop(rate, seed, epoch, step) {
      if (rate === 0) return;
      for (const [name, { values: mask }] of masks) fillMask(mask, rate, seed, epoch, step, name);
    },
    set(name, value) {
      if (Object.hasOwn(values, name)) values[name].values[0] = value;
    },
  };
}

/** Inputs are deviations, of some units; what is larger than this is a fault in the prices. */
const INPUT_MAX = 1e4;

/**
 * The first input of a batch that is not a number or absurdly large, as "norm_1 of ES on 1990-01-02
 * is 3e+20"; null when all are sound.
 */
export function unsoundInput(set: SequenceSet, indices: readonly number[]): string | null {
  const { lookback: T, features, names, weight } = set, F = names.length;
  for (const s of indices) {
    for (let at = s * T; at < (s + 1) * T; at++) {
      if (weight[at] === 0) continue;
      for (let f = 0; f < F; f++) {
        const value = features[at * F + f];
        if (Math.abs(value) <= INPUT_MAX) continue;
        const day = formatDay(dayOf(set.time[at])), symbol = set.symbols[set.instrument[s]];
        return `${names[f]} of ${symbol} on ${day} is ${value}`;
      }
    }
  }
  return null;
}

/** Instruments and days of a batch: "ES, US10 and 14 more, 1990-01-02 to 1994-05-06". */
export function describeBatch(set: SequenceSet, indices: readonly number[]): string {
  const symbols = [...new Set(indices.map((s) => set.symbols[set.instrument[s]]))].sort();
  let first = Infinity, last = -Infinity;
  for (const s of indices) {
    for (let at = s * set.lookback; at < (s + 1) * set.lookback; at++) {
      if (set.weight[at] === 0) continue;
      first = Math.min(first, set.time[at]);
      last = Math.max(last, set.time[at]);
    }
  }
  const more = symbols.length > 8 ? ` and ${symbols.length - 8} more` : "";
  const days = `${formatDay(dayOf(first))} to ${formatDay(dayOf(last))}`;
  return `${symbols.slice(0, 8).join(", ")}${more}, ${days}`;
}
