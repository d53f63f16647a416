/** Gaussian error linear unit, tanh approximation: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). */
import { add, mul, tanh } from "../ops.ts";
import type { Block } from "./index.ts";

export const gelu: Block<"gelu"> = {
  decompose([x]) {
    const inner = mul(mul(x, add(mul(mul(x, x), 0.044715), 1)), Math.sqrt(2 / Math.PI));
    return [mul(mul(x, 0.5), add(tanh(inner), 1))];
  },
};
