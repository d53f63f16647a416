/**
 * Layer normalisation over the last axis (Ba, Kiros and Hinton 2016): biased variance, then scale
 * and bias.
 */
import { add, div, mean, mul, reshape, sqrt, sub, sum } from "../ops.ts";
import type { Block } from "./index.ts";
import type { Tensor } from "../tensor.ts";

/** (x - mean) / deviation, and the deviation (..., 1). */
function standardise(x: Tensor, epsilon: number): { xhat: Tensor; deviation: Tensor } {
  const last = [x.shape.length - 1];
  const centred = sub(x, mean(x, last));
  const deviation = sqrt(add(mean(mul(centred, centred), last), epsilon));
  return { xhat: div(centred, deviation), deviation };
}

export const layerNorm: Block<"layerNorm"> = {
  decompose: ([x, scale, bias], { epsilon }) =>
    [add(mul(standardise(x, epsilon).xhat, scale), bias)],
  /**
   * dx = (g - mean(g) - xhat mean(g xhat)) / deviation with g = dy scale; x is standardised again.
   */
  gradient([x, scale], _, [dy], { epsilon }) {
    if (dy === null) return [null, null, null];
    const { xhat, deviation } = standardise(x, epsilon);
    const last = [x.shape.length - 1];
    const rows = x.shape.slice(0, -1).map((_dimension, axis) => axis);
    const g = mul(dy, scale);
    const dx = div(sub(sub(g, mean(g, last)), mul(xhat, mean(mul(g, xhat), last))), deviation);
    const overRows = (tensor: Tensor): Tensor => sumToWidth(tensor, rows);
    return [dx, overRows(mul(dy, xhat)), overRows(dy)];
  },
};

/** (..., D) -> (D) */
function sumToWidth(tensor: Tensor, rows: readonly number[]): Tensor {
  return reshape(sum(tensor, rows), [tensor.shape.at(-1)!]);
}
