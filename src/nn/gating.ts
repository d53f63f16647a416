/**
 * Gates of the Temporal Fusion Transformer (Lim, Arik, Loeff and Pfister 2021, section 4.1 and
 * 4.2):
 *
 *   GLU(x)    = sigmoid(x W4 + b4) * (x W5 + b5)                                      equation 5
 *   GRN(a, c) = LayerNorm(a + GLU(elu(a W2 + c W3 + b2) W1 + b1))                     equations 2-4
 *
 *                  features (B, T, F)
 *                 ┌───────┴──────────┐
 *            GRN, softmax       F GRNs, one per feature
 *          weights (T*B, F)       (F, T*B, D)
 *                 └──── sum over F ──┘
 *                   selected (T, B, D)                                               equations 6-8
 *
 * Many GRNs of one size are one product over a stack (axis 0), not as many small ones. Dropout is
 * before each GLU, as in the authors' code.
 */
import { multiply } from "../graph/dimension.ts";
import { add, broadcast, concat, elu, layerNorm, linear, matmul, mul, reshape, sigmoid, slice,
  softmax, sum, transpose, zeros } from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";
import { onesInit, uniformInit, zerosInit, type Initialiser } from "./init.ts";
import { dense, normalise, onRows, project, sharedDropout, widthOf } from "./layers.ts";
import type { Scope } from "./model.ts";

/** Glorot and Bengio's bound for matrices (from, to), however many of them are side by side. */
const fanInit = (from: number, to: number): Initialiser => uniformInit(Math.sqrt(6 / (from + to)));

/**
 * Equation 5 with W4 and W5 side by side in w (..., D, 2 width) and bias (..., 2 width). Two
 * products, because cutting one wide result and joining its adjoint again moves as much memory as
 * both.
 */
function gate(w: Tensor, bias: Tensor, multiplyBy: (w: Tensor, bias: Tensor) => Tensor): Tensor {
  const width = widthOf(w) / 2;
  const half = (k: number): Tensor => multiplyBy(slice(w, w.shape.length - 1, k * width, width),
    slice(bias, bias.shape.length - 1, k * width, width));
  return mul(sigmoid(half(0)), half(1));
}

/**
 * Gated linear unit: (..., D) -> (..., width). Parameters NAME/w (D, 2 width), W4 and W5 side by
 * side; NAME/b.
 */
function gatedLinear(scope: Scope, name: string, x: Tensor, width: number): Tensor {
  const own = scope.within(name), D = widthOf(x);
  const w = own.parameter("w", [D, 2 * width], fanInit(D, width));
  const bias = own.parameter("b", [2 * width], zerosInit);
  return onRows(x, (rows) => gate(w, bias, (half, halfBias) => linear(rows, half, halfBias)));
}

/** LayerNorm(skip + GLU(dropout(x))): (..., D) and skip (..., W) -> (..., W). */
export function gatedSkip(scope: Scope, name: string, x: Tensor, skip: Tensor,
  { hasDropout = true } = {}): Tensor {
  const own = scope.within(name);
  const dropped = hasDropout ? own.dropout("dropout", x) : x;
  return normalise(own, "norm", add(skip, gatedLinear(own, "gate", dropped, widthOf(skip))));
}

/** Gated residual network: x (..., D), context (..., C) that broadcasts to it -> (..., D). */
export function gatedResidual(scope: Scope, name: string, x: Tensor, context?: Tensor): Tensor {
  const own = scope.within(name), width = widthOf(x);
  const inner = dense(own, "inner", x, width);
  const heard = context === undefined ? inner : add(inner, project(own, "context", context, width));
  return gatedSkip(own, "gated", dense(own, "outer", elu(heard), width), x);
}

/**
 * What a stack of GRNs does after its first product: inner and skip (G, N, D) -> (G, N, D) in two
 * parts, `scaled` and `bias` (G, 1, D), whose sum it is. Parameters have an axis G in front.
 */
function stackedResidual(scope: Scope, inner: Tensor, skip: Tensor, drop: (x: Tensor) => Tensor):
{ scaled: Tensor; bias: Tensor } {
  const [G] = inner.shape as readonly number[], D = widthOf(inner);
  const outer = add(matmul(elu(inner), scope.parameter("outer/w", [G, D, D], fanInit(D, D))),
    scope.parameter("outer/b", [G, 1, D], zerosInit));
  const gateWeights = scope.parameter("gated/gate/w", [G, D, 2 * D], fanInit(D, D));
  const gateBias = scope.parameter("gated/gate/b", [G, 1, 2 * D], zerosInit);
  const dropped = drop(outer);
  const gated = gate(gateWeights, gateBias, (w, bias) => add(matmul(dropped, w), bias));
  const standard = layerNorm(add(skip, gated), broadcast(1, [D]), zeros([D]));
  return { scaled: mul(standard, scope.parameter("gated/norm/scale", [G, 1, D], onesInit)),
    bias: scope.parameter("gated/norm/bias", [G, 1, D], zerosInit) };
}

/** `count` GRNs on one x (N, D): tensors (N, D), the stack's entries in order. */
export function stackedContexts(scope: Scope, name: string, x: Tensor, count: number): Tensor[] {
  const own = scope.within(name), D = widthOf(x), skip = reshape(x, [1, ...x.shape]);
  const inner = add(matmul(skip, own.parameter("inner/w", [count, D, D], fanInit(D, D))),
    own.parameter("inner/b", [count, 1, D], zerosInit));
  const { scaled, bias } =
    stackedResidual(own, inner, skip, (outer) => own.dropout("dropout", outer));
  const all = add(scaled, bias);
  return Array.from({ length: count }, (_, k) => reshape(slice(all, 0, k, 1), x.shape));
}

/**
 * Variable selection: features (B, T, F) and a context (B, C) -> selected (T, B, width), and the
 * weights (B, T, F) that say how much of each feature was let through.
 *
 * Each feature becomes a vector x_j e_j + b_j (`embedding`, (F, 2, width): e above b) before the
 * GRNs. This is linear in one number, so the GRNs' first products are made of the embedding once a
 * step and not of the vectors at every row: (x_j e_j + b_j) W = x_j (e_j W) + b_j W. The same
 * function of the same parameters, T*B times cheaper. The features' dropout masks are shared over
 * time (Gal and Ghahramani 2016): F * T * B * width fed numbers would cost more than the step.
 */
export function selectVariables(scope: Scope, name: string,
  { features, context, width }: { features: Tensor; context: Tensor; width: number }):
{ selected: Tensor; weights: Tensor } {
  const F = widthOf(features), [B, T] = features.shape, N = multiply(T, B);
  const own = scope.within(name);
  const embedding = own.parameter("embedding", [F, 2, width], fanInit(1, width));
  const rows = transpose(features, [1, 0, 2]);
  const x = reshape(rows, [N, F]);
  const weights = selectionWeights(own.within("weights"), rows, embedding, context);

  const grn = own.within("features");
  const columns = reshape(transpose(x, [1, 0]), [F, N, 1]);
  const affine = concat([columns, broadcast(1, columns.shape)], 2);
  const innerWeights = grn.parameter("inner/w", [F, width, width], fanInit(width, width));
  const innerBias = biasRow(grn.parameter("inner/b", [F, 1, width], zerosInit));
  const innerMap = add(matmul(embedding, innerWeights), innerBias);
  const drop = (outer: Tensor): Tensor => reshape(
    sharedDropout(grn, "dropout", reshape(outer, [F, T, B, width]), [F, 1, B, width]), outer.shape);
  const { scaled, bias } =
    stackedResidual(grn, matmul(affine, innerMap), matmul(affine, embedding), drop);
  const share = reshape(transpose(weights, [1, 0]), [F, N, 1]);
  const selected = add(reshape(sum(mul(scaled, share), [0]), [N, width]),
    matmul(weights, reshape(bias, [F, width])));
  return { selected: reshape(selected, [T, B, width]),
    weights: transpose(reshape(weights, [T, B, F]), [1, 0, 2]) };
}

/** (F, 1, D) -> (F, 2, D), zeros above: added to e_j W above b_j W. */
const biasRow = (bias: Tensor): Tensor => concat([zeros(bias.shape), bias], 1);

/** Equation 6: softmax of a GRN of all embedded features; rows (T, B, F) -> (T*B, F). */
function selectionWeights(scope: Scope, rows: Tensor, embedding: Tensor, context: Tensor): Tensor {
  const [F, , width] = embedding.shape as readonly number[], [T, B] = rows.shape;
  const x = reshape(rows, [multiply(T, B), F]);
  /** A product with all embedded features, (F * width, to): x (F, to) + a row (to). */
  const product = (part: string, to: number): Tensor => {
    const w = scope.parameter(`${part}/w`, [F, width, to], fanInit(F * width, to));
    const map = matmul(embedding, w);
    const bias = scope.parameter(`${part}/b`, [to], zerosInit);
    const fixed = add(reshape(sum(slice(map, 1, 1, 1), [0]), [to]), bias);
    return add(matmul(x, reshape(slice(map, 1, 0, 1), [F, to])), fixed);
  };
  const inner = reshape(product("inner", width), [T, B, width]);
  const heard = add(inner, project(scope, "context", context, width));
  const outer = dense(scope, "outer", reshape(elu(heard), [multiply(T, B), width]), width);
  return softmax(gatedSkip(scope, "gated", outer, product("skip", F)));
}
