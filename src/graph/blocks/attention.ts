/**
 * Scaled dot-product attention (Vaswani et al. 2017, equation 1).
 *
 *   scores (..., T, T) = q k^T * scale, columns after the row masked when causal
 *   weights = softmax(scores), output = weights v
 */
import { add, greater, iota, matmul, mul, reshape, softmax, sub, sum } from "../ops.ts";
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
  /**
   * From the kept weights, so that scores and softmax are not computed again. With D = rows of
   * sum(dO O), which is sum(dW W) in d columns instead of T (Dao et al. 2022, appendix B):
   *
   *   dW = dO v^T    dS = W (dW - D)    dq = dS k scale    dk = dS^T q scale    dv = W^T dO
   *
   * A masked weight is 0, and so is its dS.
   */
  gradient([q, k, v], [output, weights], [dOutput, dWeights], { scale }) {
    const last = [q.shape.length - 1];
    const fromOutput = dOutput === null ? null
      : sub(matmul(dOutput, v, { transposeB: true }), sum(mul(dOutput, output), last));
    const fromWeights = dWeights === null ? null : sub(dWeights, sum(mul(dWeights, weights), last));
    const flows = [fromOutput, fromWeights].filter((flow) => flow !== null);
    if (flows.length === 0) return [null, null, null];
    const dScores = mul(weights, flows.reduce((a, b) => add(a, b)));
    // Scaled where there are d columns and not T.
    return [mul(matmul(dScores, k), scale), mul(matmul(dScores, q, { transposeA: true }), scale),
      dOutput === null ? null : matmul(weights, dOutput, { transposeA: true })];
  },
};
