/** x w + bias: a matrix product with its bias, which every runtime can add on the way. */
import { add, matmul } from "../ops.ts";
import type { Block } from "./index.ts";

export const linear: Block<"linear"> = {
  decompose: ([x, w, bias]) => [add(matmul(x, w), bias)],
};
