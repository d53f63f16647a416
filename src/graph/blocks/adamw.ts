/** Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2; decay 0 is Kingma and Ba's Adam). */
import { assert } from "../../base/assert.ts";
import { isSameShape } from "../dimension.ts";
import { add, div, exp, mul, sqrt, sub } from "../ops.ts";
import type { Block } from "../block.ts";
import type { Tensor } from "../tensor.ts";

export const adamw: Block<"adamw"> = {
  shapes([parameter, gradient, m, v, ...scalars]) {
    assert([gradient, m, v].every((shape) => isSameShape(shape, parameter)), "moments are shaped as parameters");
    assert(scalars.length === 3 && scalars.every((shape) => shape.length === 0), "step, rate and decay are scalars");
    return [parameter, parameter, parameter];
  },
  decompose([parameter, gradient, m, v, step, rate, decay], { beta1, beta2, epsilon }) {
    const nextM = add(mul(m, beta1), mul(gradient, 1 - beta1));
    const nextV = add(mul(v, beta2), mul(mul(gradient, gradient), 1 - beta2));
    const rest = (beta: number): Tensor => sub(1, exp(mul(step, Math.log(beta))));
    const deviation = add(div(sqrt(nextV), sqrt(rest(beta2))), epsilon);
    const kept = mul(parameter, sub(1, mul(rate, decay)));
    return [sub(kept, mul(div(rate, rest(beta1)), div(nextM, deviation))), nextM, nextV];
  },
};
