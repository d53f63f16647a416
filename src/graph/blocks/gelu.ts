/**
 * Gaussian error linear unit, tanh approximation: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
 */
import { add, mul, sigmoid, sub, tanh } from "../ops.ts";
import type { Block } from "./index.ts";

export const gelu: Block<"gelu"> = {
  decompose([x]) {
    const inner = mul(mul(x, add(mul(mul(x, x), 0.044715), 1)), Math.sqrt(2 / Math.PI));
    return [mul(mul(x, 0.5), add(tanh(inner), 1))];
  },
  /**
   * The same function is y = x s with s = sigmoid(u), u = 2 sqrt(2/pi) (x + 0.044715 x^3); its
   * slope s + (y - y s) u' takes fewer passes over x than the tanh's.
   */
  gradient([x], [y], [dy]) {
    if (dy === null) return [null];
    const linear = 2 * Math.sqrt(2 / Math.PI), cubic = 0.044715 * linear;
    const square = mul(x, x);
    const s = sigmoid(mul(x, add(mul(square, cubic), linear)));
    const slope = add(mul(square, 3 * cubic), linear);
    return [mul(dy, add(s, mul(sub(y, mul(y, s)), slope)))];
  },
};
