/** x w + bias: a matrix product with its bias, which every runtime can add on the way. */
import { assert } from "../../base/assert.ts";
import { isSameShape } from "../dimension.ts";
import { add, matmul } from "../ops.ts";
import type { Block } from "../block.ts";

export const linear: Block<"linear"> = {
  shapes([x, w, bias]) {
    assert(x.length >= 2 && w.length === 2 && x.at(-1) === w[0], "inner sizes differ");
    assert(isSameShape(bias, [w[1]]), "one bias per column");
    return [[...x.slice(0, -1), w[1]]];
  },
  decompose: ([x, w, bias]) => [add(matmul(x, w), bias)],
};
