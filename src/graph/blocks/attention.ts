/**
 * Scaled dot-product attention (Vaswani et al. 2017, equation 1).
 *
 *   scores (..., T, T) = q k^T * scale, columns after the row masked when causal; weights = softmax; out = weights v
 */
import { greater, iota, matmul, mul, reshape, softmax, sub } from "../ops.ts";
import type { Block } from "./index.ts";

/** Large enough that e^-x is 0 in float32 after the shift, small enough for float16. */
const MASKED = 30_000;

export const attention: Block<"attention"> = {
  decompose([q, k, v], { scale, isCausal }) {
    const T = q.shape.at(-2)!;
    const scores = mul(matmul(q, k, { transposeB: true }), scale);
    const isAfter = greater(reshape(iota(T), [1, T]), reshape(iota(T), [T, 1]));
    const weights = softmax(isCausal ? sub(scores, mul(isAfter, MASKED)) : scores);
    return [matmul(weights, v), weights];
  },
};
