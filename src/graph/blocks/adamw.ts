/**
 * Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2; decay 0 is Kingma and
 * Ba's Adam).
 */
import { add, div, mul, sqrt, sub, tanh } from "../ops.ts";
import type { Block } from "./index.ts";
import type { Tensor } from "../tensor.ts";

export const adamw: Block<"adamw"> = {
  decompose([parameter, gradient, m, v, step, rate, decay], { beta1, beta2, epsilon }) {
    const nextM = add(mul(m, beta1), mul(gradient, 1 - beta1));
    const nextV = add(mul(v, beta2), mul(mul(gradient, gradient), 1 - beta2));
    const rest = (beta: number): Tensor => oneMinusExp(mul(step, Math.log(beta)));
    const deviation = add(div(sqrt(nextV), sqrt(rest(beta2))), epsilon);
    const kept = mul(parameter, sub(1, mul(rate, decay)));
    return [sub(kept, mul(div(rate, rest(beta1)), div(nextM, deviation))), nextM, nextV];
  },
};

/**
 * 1 - e^x by -2 t / (1 - t) with t = tanh(x / 2): at the first steps x is about -0.001, where
 * 1 - e^x as written would keep four digits in float32 and every early update would be off by 3e-5
 * of itself.
 */
function oneMinusExp(x: Tensor): Tensor {
  const t = tanh(mul(x, 0.5));
  return div(mul(t, -2), sub(1, t));
}
