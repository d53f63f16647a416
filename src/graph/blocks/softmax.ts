/** Softmax along the last axis, shifted by the row's maximum so that no exponential overflows. */
import { div, exp, mul, reduceMax, stop, sub, sum } from "../ops.ts";
import type { Block } from "./index.ts";

export const softmax: Block<"softmax"> = {
  decompose([x]) {
    const last = x.shape.length - 1;
    const e = exp(sub(x, stop(reduceMax(x, [last]))));
    return [div(e, sum(e, [last]))];
  },
  gradient([x], [y], [dy]) {
    if (dy === null) return [null];
    return [mul(y, sub(dy, sum(mul(dy, y), [x.shape.length - 1])))];
  },
};
