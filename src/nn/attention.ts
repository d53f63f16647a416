/**
 * Attention over the rows of a window, each row seeing itself and what came before.
 *
 *   (Vaswani et al. 2017, equation 1; Lim, Arik, Loeff and Pfister 2021, equations 13-16)
 *
 *   multi-head       head_h = softmax(q_h k_h^T / sqrt(d)) v_h, heads side by side, W
 *   interpretable    all heads share v, their mean is taken: one matrix (T, T) explains it all
 */
import { UserError } from "../base/error.ts";
import type { Dimension } from "../graph/dimension.ts";
import { add, attention, broadcast, equal, exp, floor, gelu, iota, linear, matmul, mean, mul,
  reshape, sin, slice, sub, transpose } from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";
import { uniformInit, zerosInit } from "./init.ts";
import { dense, normalise, onRows, project, widthOf } from "./layers.ts";
import type { Scope } from "./model.ts";

/** Elements per head. UserError when heads do not divide the width. */
function headWidth(owner: string, width: number, heads: number): number {
  if (width % heads === 0) return width / heads;
  throw new UserError(`${owner} ${width} does not divide into ${heads} heads`,
    `--set attentionHeads=${[4, 2, 1].find((count) => width % count === 0)}`);
}

/**
 * Interpretable attention: x (T, B, D) -> output (T, B, D), weights (B, T, T), the heads' mean.
 * Parameters NAME/qk/w (D, 2D), NAME/v/w (D, D/heads), NAME/out/w (D/heads, D); no biases, as in
 * the authors' code.
 */
export function interpretableAttention(scope: Scope, name: string, x: Tensor, heads: number):
{ output: Tensor; weights: Tensor } {
  const D = widthOf(x), [T, B] = x.shape, d = headWidth("hidden", D, heads);
  const own = scope.within(name);
  const w = own.within("qk").parameter("w", [D, 2 * D], uniformInit(Math.sqrt(6 / (D + D))));
  const both = onRows(x, (rows) => matmul(rows, w));
  const [q, k] = splitHeads(both, [T, B], [1, 0], { parts: 2, heads, d });
  const v = reshape(transpose(project(own, "v", x, d), [1, 0, 2]), [B, 1, T, d]);
  const { output, weights } = attention(q, k, broadcast(v, [B, heads, T, d]));
  const average = transpose(reshape(mean(output, [1]), [B, T, d]), [1, 0, 2]);
  return { output: project(own, "out", average, D),
    weights: reshape(mean(weights, [1]), [B, T, T]) };
}

/** x (B, T, D) -> (B, T, D). Parameters NAME/qkv/{w (D, 3D), b}, NAME/out/{w (D, D), b}. */
function multiHeadAttention(scope: Scope, name: string, x: Tensor, heads: number): Tensor {
  const D = widthOf(x), [B, T] = x.shape, d = headWidth("width", D, heads);
  const own = scope.within(name);
  const joint = own.within("qkv");
  const w = joint.parameter("w", [D, 3 * D], uniformInit(Math.sqrt(6 / (D + D))));
  const bias = joint.parameter("b", [3 * D], zerosInit);
  const [q, k, v] = splitHeads(onRows(x, (rows) => linear(rows, w, bias)), [B, T], [0, 1],
    { parts: 3, heads, d });
  const { output } = attention(q, k, v);
  return dense(own, "out", reshape(transpose(output, [0, 2, 1, 3]), [B, T, D]), D);
}

/**
 * (first, second, parts * heads * d) -> parts tensors (B, heads, T, d), by one transpose. `order`
 * says at which of the first two axes are B and T.
 */
function splitHeads(x: Tensor, [first, second]: readonly Dimension[], [atB, atT]: readonly number[],
  { parts, heads, d }: { parts: number; heads: number; d: number }): Tensor[] {
  const apart = reshape(x, [first, second, parts, heads, d]);
  const stack = transpose(apart, [2, atB, 3, atT, 4]);
  return Array.from({ length: parts }, (_, k) =>
    reshape(slice(stack, 0, k, 1), stack.shape.slice(1)));
}

export interface EncoderSettings {
  readonly heads: number;
  /** Width of the feed-forward layer. */
  readonly inner: number;
}

/**
 * A pre-norm layer (Xiong et al. 2020): x + attention(norm(x)), then x + feedForward(norm(x)) with
 * gelu between two products. x (B, T, D) -> (B, T, D).
 */
export function encoderLayer(scope: Scope, name: string, x: Tensor,
  { heads, inner }: EncoderSettings): Tensor {
  const own = scope.within(name), D = widthOf(x);
  const attended = multiHeadAttention(own, "attention", normalise(own, "norm1", x), heads);
  const middle = add(x, own.dropout("attention/dropout", attended));
  const wide = gelu(dense(own, "wide", normalise(own, "norm2", middle), inner));
  return add(middle, own.dropout("dropout", dense(own, "narrow", wide, D)));
}

/**
 * Positions (T, D): sin(t / 10000^(2i/D)) at even columns, cos at odd ones (Vaswani et al. 2017,
 * section 3.5). Made of the row numbers, so that a graph with an open T has them for any window.
 */
export function sinusoidalPositions(T: Dimension, width: number): Tensor {
  const column = iota(width);
  const pair = mul(floor(mul(column, 0.5)), 2);
  const frequency = exp(mul(pair, -Math.log(10_000) / width));
  const phase = mul(sub(column, pair), Math.PI / 2);
  return sin(add(mul(reshape(iota(T), [T, 1]), frequency), phase));
}

/**
 * A table (rows, D) cut to T rows by comparison, as T may be open; rows past the table have zeros:
 * (T, D).
 */
export function learnedPositions(scope: Scope, name: string, T: Dimension,
  [rows, width]: readonly [number, number]): Tensor {
  const table = scope.parameter(name, [rows, width], uniformInit(0.02));
  const isRow = equal(reshape(iota(T), [T, 1]), iota(rows));
  return matmul(isRow, table);
}
