/** Exponential linear unit (Clevert, Unterthiner and Hochreiter 2016): x above 0, e^x - 1 below. */
import { add, exp, maximum, mul, neg, sub } from "../ops.ts";
import type { Block } from "./index.ts";

export const elu: Block<"elu"> = {
  /** p + e^(x - p) - 1 with p = max(x, 0): nothing overflows, the slope at 0 is 1 from both sides. */
  decompose([x]) {
    const positive = maximum(x, 0);
    return [sub(add(positive, exp(sub(x, positive))), 1)];
  },
  /** The slope min(y, 0) + 1 needs y only: nothing else is kept from the way forward. */
  gradient(_, [y], [dy]) {
    if (dy === null) return [null];
    return [mul(dy, sub(1, maximum(neg(y), 0)))];
  },
};
