/**
 * Blocks: ops with a definition. A block must decompose into primitives (and blocks below it); a runtime may
 * implement it faster. So every fast path has an oracle, and gradients of blocks come for free, unless a block
 * brings a better one of its own.
 *
 *   block       inputs -> outputs                                                        B T F H as in CONTRIBUTING
 *   linear      x (..., M, K), w (K, N), bias (N) -> (..., M, N)
 *   softmax     x -> x, along the last axis
 *   layerNorm   x (..., D), scale (D), bias (D) -> (..., D)
 *   gelu        x -> x
 *   lstm        x (T, B, F), wx (F, 4H), wh (H, 4H), bias (4H), h0 (B, H), c0 (B, H)
 *                 -> hidden (T, B, H), lastHidden (B, H), lastCell (B, H), cells (T, B, H), gates (T, B, 4H)
 *   attention   q (..., T, D), k (..., T, D), v (..., T, V) -> (..., T, V), weights (..., T, T)
 *   adamw       parameter (P), gradient (P), m (P), v (P), step (), rate (), decay () -> parameter, m, v (P)
 */
import type { Shape } from "./dimension.ts";
import type { Tensor } from "./tensor.ts";
import { adamw } from "./blocks/adamw.ts";
import { attention } from "./blocks/attention.ts";
import { gelu } from "./blocks/gelu.ts";
import { layerNorm } from "./blocks/layer-norm.ts";
import { linear } from "./blocks/linear.ts";
import { lstm } from "./blocks/lstm.ts";
import { softmax } from "./blocks/softmax.ts";

type None = Readonly<Record<string, never>>;

export interface BlockAttributes {
  linear: None;
  softmax: None;
  layerNorm: { readonly epsilon: number };
  /** The tanh approximation (Hendrycks and Gimpel 2016). */
  gelu: None;
  /** Gates in the order i, f, o, g, activated in `gates`. One bias (the sum of PyTorch's two). */
  lstm: None;
  /** Scores q k^T * scale; causal: row t sees columns <= t. */
  attention: { readonly scale: number; readonly isCausal: boolean };
  /** Decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2); `step` counts from 1. */
  adamw: { readonly beta1: number; readonly beta2: number; readonly epsilon: number };
}
export type BlockName = keyof BlockAttributes;

export interface Block<Name extends BlockName> {
  shapes(inputs: readonly Shape[], attributes: BlockAttributes[Name]): readonly Shape[];
  /** The definition: one tensor per output. */
  decompose(inputs: readonly Tensor[], attributes: BlockAttributes[Name]): readonly Tensor[];
  /**
   * Vector-Jacobian product, where it beats the decomposition's: per input its adjoint, null where none flows.
   * `outputs` are the block's own, `adjoints` of them are null where nothing flows back.
   */
  gradient?(inputs: readonly Tensor[], outputs: readonly Tensor[], adjoints: readonly (Tensor | null)[],
    attributes: BlockAttributes[Name]): readonly (Tensor | null)[];
}

export const BLOCKS = { adamw, attention, gelu, layerNorm, linear, lstm, softmax } as const satisfies {
  [Name in BlockName]: Block<Name> };
