/**
 * Layers on the last axis: every function takes a scope, in which its parameters live, and tensors
 * (..., D).
 */
import { assert } from "../base/assert.ts";
import { multiply, type Shape } from "../graph/dimension.ts";
import { broadcast, concat, equal, iota, layerNorm, linear, matmul, mul, oneHot, reshape, sub }
  from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";
import { glorotInit, onesInit, zerosInit, type Initialiser } from "./init.ts";
import type { Scope } from "./model.ts";

/** The last axis, whose size is known. */
export function widthOf(x: Tensor): number {
  const width = x.shape.at(-1);
  assert(typeof width === "number", "a layer's width is known");
  return width;
}

/** (..., D) -> (rows, D): what a matrix product wants. */
export const rowsOf = (x: Tensor): Tensor =>
  (x.shape.length === 2 ? x : reshape(x, [multiply(...x.shape.slice(0, -1)), widthOf(x)]));

/** Applies a layer of rows to (..., D): (..., D) -> (..., width). */
export function onRows(x: Tensor, layer: (rows: Tensor) => Tensor): Tensor {
  const y = layer(rowsOf(x));
  return reshape(y, [...x.shape.slice(0, -1), widthOf(y)]);
}

/**
 * x w + b: (..., D) -> (..., width), the same weights at every row. Parameters NAME/w (D, width),
 * NAME/b (width).
 */
export function dense(scope: Scope, name: string, x: Tensor, width: number,
  init: Initialiser = glorotInit): Tensor {
  const own = scope.within(name);
  const w = own.parameter("w", [widthOf(x), width], init);
  const bias = own.parameter("b", [width], zerosInit);
  return onRows(x, (rows) => linear(rows, w, bias));
}

/** x w, without a bias. */
export function project(scope: Scope, name: string, x: Tensor, width: number): Tensor {
  const w = scope.within(name).parameter("w", [widthOf(x), width], glorotInit);
  return onRows(x, (rows) => matmul(rows, w));
}

/**
 * Layer normalisation (Ba, Kiros and Hinton 2016) with its scale and bias: (..., D) -> (..., D).
 */
export function normalise(scope: Scope, name: string, x: Tensor): Tensor {
  const own = scope.within(name), width = widthOf(x);
  const scale = own.parameter("scale", [width], onesInit);
  return layerNorm(x, scale, own.parameter("bias", [width], zerosInit));
}

/**
 * A row of a table per instrument: instrument (B) as numbers, table (instruments, D) -> (B, D). By
 * comparison and a product, so that a number the table does not have gives zeros: what a network
 * knows of a stranger.
 */
export function embed(scope: Scope, name: string, instrument: Tensor,
  [instruments, width]: readonly [number, number]): Tensor {
  const table = scope.parameter(name, [instruments, width], glorotInit);
  return matmul(oneHot(instrument, instruments), table);
}

/**
 * Dropout whose mask has fewer elements than x and is repeated along axes of size 1 (Gal and
 * Ghahramani 2016 share it over time): a fed mask costs what a tensor of its size costs.
 */
export function sharedDropout(scope: Scope, name: string, x: Tensor, maskShape: Shape): Tensor {
  const ones = broadcast(1, maskShape);
  const mask = scope.dropout(name, ones);
  return mask === ones ? x : mul(x, mask);
}

/**
 * Each row with the rows before it side by side: x (B, T, D) -> (B, T, rows * D), the row itself
 * first; zeros before the window's start. By a product with a matrix of ones one place off the
 * diagonal, as T may be open.
 */
export function withLags(x: Tensor, rows: number): Tensor {
  const T = x.shape[1];
  const lags = Array.from({ length: rows - 1 }, (_, k) =>
    matmul(equal(sub(reshape(iota(T), [T, 1]), k + 1), iota(T)), x));
  return concat([x, ...lags], 2);
}
