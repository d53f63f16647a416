/**
 * Blocks: ops with a definition. A block must decompose into primitives (and blocks below it); a
 * runtime may implement it faster. So every fast path has an oracle, and gradients of blocks come
 * for free, unless a block brings a better one of its own (blocks/index.ts). Here are their names,
 * attributes and shapes:
 *
 *   linear      x (..., K), w (K, N), bias (N) -> (..., N)
 *   softmax     x -> x, along the last axis
 *   layerNorm   x (..., D), scale (D), bias (D) -> (..., D)
 *   gelu, elu   x -> x
 *   lstm        x (T, B, F), wx (F, 4H), wh (H, 4H), bias (4H), h0 (B, H), c0 (B, H)
 *               -> hidden (T, B, H); lastHidden, lastCell (B, H); cells (T, B, H); gates (T, B, 4H)
 *   lstmGradient  x, wx, wh, h0, c0, hidden, cells, gates; adjoints of hidden, lastHidden, lastCell
 *                 -> adjoints of x, wx, wh, bias, h0, c0
 *   attention   q, k (..., T, D), v (..., T, V) -> (..., T, V), weights (..., T, T)
 *   adamw       parameter, gradient, m, v (P); step, rate, decay () -> parameter, m, v (P)
 */
import { assert } from "../base/assert.ts";
import { isSameShape } from "./dimension.ts";
import type { None, Signature } from "./op.ts";

export interface BlockAttributes {
  linear: None;
  softmax: None;
  layerNorm: { readonly epsilon: number };
  /** The tanh approximation (Hendrycks and Gimpel 2016). */
  gelu: None;
  elu: None;
  /** Gates in the order i, f, o, g, activated in `gates`. One bias (the sum of PyTorch's two). */
  lstm: None;
  lstmGradient: None;
  /** Scores q k^T * scale; causal: row t sees columns <= t. */
  attention: { readonly scale: number; readonly isCausal: boolean };
  /** `step` counts from 1. */
  adamw: { readonly beta1: number; readonly beta2: number; readonly epsilon: number };
}
export type BlockName = keyof BlockAttributes;

export const BLOCK_SIGNATURES: {
  readonly [Name in BlockName]: Signature<BlockAttributes[Name]> } = {
  linear: {
    arity: 3,
    shapes([x, w, bias]) {
      assert(x.length >= 2 && w.length === 2 && x.at(-1) === w[0], "inner sizes differ");
      assert(isSameShape(bias, [w[1]]), "one bias per column");
      return [[...x.slice(0, -1), w[1]]];
    },
  },
  softmax: { arity: 1, shapes([x]) { assert(x.length > 0, "along an axis"); return [x]; } },
  layerNorm: {
    arity: 3,
    shapes([x, scale, bias]) {
      const width = x.at(-1);
      assert(width !== undefined && isSameShape(scale, [width]) && isSameShape(bias, [width]),
        "one scale and one bias per element of the last axis");
      return [x];
    },
  },
  gelu: { arity: 1, shapes: ([x]) => [x] },
  elu: { arity: 1, shapes: ([x]) => [x] },
  lstm: {
    arity: 6,
    shapes([x, wx, wh, bias, h0, c0]) {
      assert(x.length === 3, "x is (T, B, F)");
      const [T, B, F] = x, [H] = wh;
      assert(typeof H === "number", "the number of hidden units is known");
      assert(isSameShape(wx, [F, 4 * H]) && isSameShape(wh, [H, 4 * H])
        && isSameShape(bias, [4 * H]), "weights are (F, 4H), (H, 4H), (4H)");
      assert(isSameShape(h0, [B, H]) && isSameShape(c0, [B, H]), "states are (B, H)");
      return [[T, B, H], [B, H], [B, H], [T, B, H], [T, B, 4 * H]];
    },
  },
  lstmGradient: {
    arity: 11,
    shapes([x, wx, wh, h0, c0, hidden, cells, gates, dHidden, dLastHidden, dLastCell]) {
      assert(x.length === 3, "x is (T, B, F)");
      const [T, B, F] = x, [H, columns] = wh;
      assert(isSameShape(wx, [F, columns]), "weights are (F, 4H), (H, 4H)");
      assert([hidden, cells, dHidden].every((shape) => isSameShape(shape, [T, B, H])),
        "sequences are (T, B, H)");
      assert([h0, c0, dLastHidden, dLastCell].every((shape) => isSameShape(shape, [B, H])),
        "states are (B, H)");
      assert(isSameShape(gates, [T, B, columns]), "gates are (T, B, 4H)");
      return [x, wx, wh, [columns], h0, c0];
    },
  },
  attention: {
    arity: 3,
    shapes([q, k, v]) {
      const rows = q.slice(0, -1), steps = q.at(-2), width = v.at(-1);
      assert(steps !== undefined && width !== undefined, "q, k, v are (..., T, D)");
      assert(isSameShape(q, k) && isSameShape(rows, v.slice(0, -1)), "q, k, v have the same rows");
      return [[...rows, width], [...rows, steps]];
    },
  },
  adamw: {
    arity: 7,
    shapes([parameter, gradient, m, v, ...scalars]) {
      assert([gradient, m, v].every((shape) => isSameShape(shape, parameter)),
        "moments are shaped as parameters");
      assert(scalars.every((shape) => shape.length === 0), "step, rate and decay are scalars");
      return [parameter, parameter, parameter];
    },
  },
};
