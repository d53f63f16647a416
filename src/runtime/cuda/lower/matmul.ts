/**
 * Large products whose sides both change from run to run (gemm/matmul.ts): tensor cores in 16 bits, and
 * larger tiles than products.ts in float32. They read tensors that lie densely.
 */
import type { Tensor } from "../../../graph/tensor.ts";
import { countOf, isDense } from "../../view.ts";
import { planMatmul } from "../gemm/matmul.ts";
import type { Launch } from "../launch.ts";
import { denseBuffer, resultBuffer } from "./convert.ts";
import type { LoweredAnchor, Lowering } from "./lowering.ts";
import { ELEMENTS } from "./pattern.ts";
import { shapeOf } from "./table.ts";

/** Multiplications from which a launch of its own pays, and tiles that fill the GPU. */
const LARGE = { float32: 2 ** 27, float16: 2 ** 24, bfloat16: 2 ** 24 } as const;
const TILE = 64;

/** Null: not large enough. */
export function matmulAnchor(output: Tensor, lowering: Lowering): LoweredAnchor | null {
  const { node } = output, { precision } = lowering.options;
  const { transposeA, transposeB } = node.attributes as { transposeA: boolean; transposeB: boolean };
  const [a, b] = node.inputs, shape = shapeOf(output), K = shapeOf(a).at(transposeA ? -2 : -1)!;
  const [M, N] = shape.slice(-2), pairs = countOf(shape.slice(0, -2));
  const tiles = Math.ceil(M / TILE) * Math.ceil(N / TILE) * pairs;
  const isLarge = pairs * M * N * K >= LARGE[precision] && Math.min(M, N) > 16
    && 2 * tiles >= lowering.multiprocessors;
  if (!isLarge || shape.length > 6) return null;
  const element = ELEMENTS[precision];
  return {
    outputs: [output], hasEpilogue: false, isHalf: true,
    reads: [a, b].map((tensor) => ({ tensor, element: null, accepts: isDense })),
    emit({ views }) {
      const before: Launch[] = [], after: Launch[] = [];
      const [left, right] = views.map((view) => denseBuffer(view, element, lowering, before));
      const launch = planMatmul({ aShape: shapeOf(a), bShape: shapeOf(b), transposeA, transposeB, precision,
        a: left, b: right, out: resultBuffer(output, element, lowering, after) }, lowering.device);
      return [...before, launch, ...after];
    },
  };
}
