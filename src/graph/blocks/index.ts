/** What each block means, in primitives. A runtime that implements a block is held to this. */
import type { BlockAttributes, BlockName } from "../block.ts";
import type { Tensor } from "../tensor.ts";
import { adamw } from "./adamw.ts";
import { attention } from "./attention.ts";
import { elu } from "./elu.ts";
import { gelu } from "./gelu.ts";
import { layerNorm } from "./layer-norm.ts";
import { linear } from "./linear.ts";
import { lstm } from "./lstm.ts";
import { lstmGradient } from "./lstm-gradient.ts";
import { softmax } from "./softmax.ts";

export interface Block<Name extends BlockName> {
  /** The definition: one tensor per output. */
  decompose: (inputs: readonly Tensor[], attributes: BlockAttributes[Name]) => readonly Tensor[];
  /**
   * Vector-Jacobian product, where it beats the decomposition's: per input its adjoint, null where
   * none flows. `outputs` are the block's own, `adjoints` of them are null where nothing flows
   * back.
   */
  gradient?: (inputs: readonly Tensor[], outputs: readonly Tensor[],
    adjoints: readonly (Tensor | null)[], attributes: BlockAttributes[Name]) =>
  readonly (Tensor | null)[];
}

export const BLOCKS: { readonly [Name in BlockName]: Block<Name> } =
  { adamw, attention, elu, gelu, layerNorm, linear, lstm, lstmGradient, softmax };
