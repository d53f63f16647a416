/**
 * One update of the flat parameter vector (P), as a graph:
 *
 *   gradient ── clip to a norm ── AdamW ── max-norm ── if all is finite ──> parameters, m, v, step
 *
 * A loss or a gradient that is not finite leaves every state as it was: the last good one survives,
 * and the outputs (`loss`, `gradientNorm`) tell the caller.
 */
import { abs, add, concat, div, flatten, greater, maximum, minimum, mul, slice, split, sqrt, sub,
  total, where } from "../graph/ops.ts";
import { makeNode, type Tensor } from "../graph/tensor.ts";
import { isAuxiliary } from "./heads.ts";
import { sizeOfParameter, type ParameterSpec } from "./model.ts";
import { countParameters } from "./scope.ts";

/** Kingma and Ba's own values, PyTorch's and Keras's defaults. */
const ADAM = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 } as const;
/** In the denominator of the clip, as in PyTorch's clip_grad_norm_. */
const CLIP_EPSILON = 1e-6;
/** What is not below it is not a number that can be trained with; NaN is not below anything. */
const HUGE = 1e38;

/** 1 when x () is finite, else 0. */
export const isFinite = (x: Tensor): Tensor => greater(HUGE, abs(x));

const normOf = (x: Tensor): Tensor => sqrt(total(mul(x, x)));

/** Flat (P) tensors and scalars. `step` counts updates that were made. */
export interface OptimizerState {
  readonly parameters: Tensor;
  readonly m: Tensor;
  readonly v: Tensor;
  readonly step: Tensor;
}

/** Fed scalars. */
export interface OptimizerFeeds {
  readonly rate: Tensor;
  /** Decoupled weight decay; 0 is Adam. */
  readonly decay: Tensor;
  /** Largest global norm of a gradient. */
  readonly clip: Tensor;
}

/**
 * Cuts a flat gradient (P) to a global norm: times min(1, clip / (norm + 1e-6)) (Pascanu et al.
 * 2013; PyTorch's formula). Auxiliary heads, last in the vector, are cut by a norm of their own, so
 * that they cannot change how far the position's parameters move. `norm` is that of the position's
 * parameters.
 */
export function clipGradient(gradient: Tensor, specs: readonly ParameterSpec[], clip: Tensor):
{ clipped: Tensor; norm: Tensor; isSound: Tensor } {
  const main = countParameters(specs.filter(({ name }) => !isAuxiliary(name)));
  const rest = countParameters(specs) - main;
  const parts = rest === 0 ? [gradient] : split(gradient, 0, [main, rest]);
  const norms = parts.map(normOf);
  const clipped = parts.map((part, k) =>
    mul(part, minimum(1, div(clip, add(norms[k], CLIP_EPSILON)))));
  return { clipped: concat(clipped, 0), norm: norms[0],
    isSound: norms.map(isFinite).reduce((a, b) => mul(a, b)) };
}

/**
 * Cuts each parameter that has a `maxNorm` to that Euclidean norm (Srivastava et al. 2014): (P) ->
 * (P).
 */
function projectMaxNorm(flat: Tensor, specs: readonly ParameterSpec[]): Tensor {
  const parts: Tensor[] = [];
  let start = 0, done = 0;
  for (const spec of specs) {
    const length = sizeOfParameter(spec);
    if (spec.maxNorm !== undefined) {
      if (start > done) parts.push(slice(flat, 0, done, start - done));
      const part = slice(flat, 0, start, length);
      // max(norm, limit) is never 0, and parameters within the limit are multiplied by exactly 1.
      parts.push(mul(part, div(spec.maxNorm, maximum(normOf(part), spec.maxNorm))));
      done = start + length;
    }
    start += length;
  }
  if (start > done) parts.push(slice(flat, 0, done, start - done));
  return concat(parts, 0);
}

/**
 * The next state, where `shouldUpdate` () is not 0 and the gradient is finite; the same state
 * otherwise. `gradientNorm` is that before clipping.
 */
export function updateParameters(state: OptimizerState, gradient: Tensor, feeds: OptimizerFeeds,
  specs: readonly ParameterSpec[], shouldUpdate: Tensor):
  { next: OptimizerState; gradientNorm: Tensor } {
  const { clipped, norm, isSound } = clipGradient(gradient, specs, feeds.clip);
  const isUpdate = mul(shouldUpdate, isSound);
  const now = [state.parameters, clipped, state.m, state.v, add(state.step, 1)];
  const [parameters, m, v] = makeNode("adamw", [...now, feeds.rate, feeds.decay], ADAM);
  return {
    gradientNorm: norm,
    next: {
      parameters: where(isUpdate, projectMaxNorm(parameters, specs), state.parameters),
      m: where(isUpdate, m, state.m),
      v: where(isUpdate, v, state.v),
      step: add(state.step, isUpdate),
    },
  };
}

/** Sum of gradients over micro-batches, and how many are in it. */
export interface Accumulated {
  readonly sum: Tensor;
  readonly count: Tensor;
}

/**
 * Gradient accumulation: this micro-batch's gradient joins the sum, unless it is not finite. When
 * `apply` () is 1 the mean of what is there is the gradient to update with, and the sum starts
 * anew.
 */
export function accumulate({ sum, count }: Accumulated, gradient: Tensor, isSound: Tensor,
  apply: Tensor): { next: Accumulated; mean: Tensor; shouldUpdate: Tensor } {
  const isGood = mul(isSound, isFinite(normOf(gradient)));
  const nextSum = add(sum, where(isGood, gradient, 0)), nextCount = add(count, isGood);
  return {
    mean: div(nextSum, maximum(nextCount, 1)),
    shouldUpdate: mul(apply, greater(nextCount, 0)),
    next: { sum: where(apply, 0, nextSum), count: mul(nextCount, sub(1, apply)) },
  };
}

/** Gradients of parameters, in the order of their specs, as one vector (P). */
export const flattenGradients = (gradients: readonly Tensor[]): Tensor =>
  concat(gradients.map(flatten), 0);
