/** Descending sort of rows: every element counts those that stand before it. Rows are short. */
import type { Tensor } from "../../../graph/tensor.ts";
import { countOf, isDense } from "../../view.ts";
import { addressOf } from "./builder.ts";
import { C_TYPES } from "./emitter.ts";
import type { LoweredAnchor, Lowering } from "./lowering.ts";
import { shapeOf } from "./table.ts";

const BLOCK = 128;

export function sortAnchor(output: Tensor, lowering: Lowering): LoweredAnchor {
  const shape = shapeOf(output), count = countOf(shape), width = shape.at(-1)!;
  return {
    outputs: [output], hasEpilogue: false,
    reads: [{ tensor: output.node.inputs[0], element: null, accepts: (view) => isDense(view) }],
    emit(group) {
      const [view] = group.views, from = lowering.memoryOf(view.source), to = lowering.memoryOf(output);
      const fields = [`const ${C_TYPES[from.element]}* x`, `${C_TYPES[to.element]}* y`];
      const body = [
        `const u32 i = blockIdx.x * ${BLOCK}u + threadIdx.x;`, `if (i >= ${count}u) return;`,
        `const u32 start = i / ${width}u * ${width}u, own = i - start;`,
        `const float value = get(a.x[${view.offset}u + i]);`,
        "u32 rank = 0;",
        `for (u32 c = 0; c < ${width}u; c++) {`,
        `  if (stands_before(get(a.x[${view.offset}u + start + c]), c, value, own)) rank++;`, "}",
        "put(a.y + start + rank, value);",
      ];
      return [lowering.builder.launch({ what: "sort", comment: `rows of ${width}`, block: BLOCK, fields,
        body },
        [Math.ceil(count / BLOCK), 1, 1], 0, [addressOf(from), addressOf(to)])];
    },
  };
}
