/**
 * A stack of LSTM layers as the GPU runs it in one or few launches: what is asked of it, and what a plan is.
 *
 *   x (B, T, F) -> layer 0 -> ... -> layer L-1 -> hidden of the last step (B, H), or of all steps (T, B, H)
 *                                                 or a head on the last step: tanh(hidden w + b)
 *
 * Layers start from zero states, or from given ones (T, B, ... of streaming). Gate order i, f, o, g.
 */
import type { BufferSpec, CudaPrecision, DeviceFacts, Launch } from "../launch.ts";

export interface LstmStack {
  readonly B: number;
  readonly T: number;
  readonly F: number;
  readonly H: number;
  readonly L: number;
  readonly precision: CudaPrecision;
  /** Features, float32 (B, T, F), in device memory or mapped host memory. */
  readonly x: string;
  /**
   * Buffer of one u32: the row of each window's ring that is its oldest, step 0; step t lies in row
   * (start + t) % T. Null: 0.
   */
  readonly ringStart: string | null;
  /** Float32 buffers (L, B, H) that states start from and end in; null: zeros, and not returned. */
  readonly states: { readonly h0: string; readonly c0: string;
    readonly hn: string; readonly cn: string } | null;
  readonly result:
    /** float32 (B, H), of the last step */
    | { readonly kind: "last"; readonly buffer: string }
    /** (T, B, H) in the stack's precision */
    | { readonly kind: "all"; readonly buffer: string }
    /** float32 (B, columns): act(hidden of the last step . w (H, columns) + b) */
    | { readonly kind: "head"; readonly buffer: string; readonly columns: number;
      readonly activation: "none" | "tanh" };
  /**
   * Buffer of one u32 in mapped memory, 0 at first: after a run it is `completions` more, once the host can
   * read the outputs. Null: nobody waits for it.
   */
  readonly done: string | null;
}

/** Weights of one layer, float32: wx (F or H, 4H), wh (H, 4H), bias (4H), gates i, f, o, g. */
export interface LstmLayerWeights {
  readonly wx: Float32Array;
  readonly wh: Float32Array;
  readonly bias: Float32Array;
}
export interface LstmWeights {
  readonly layers: readonly LstmLayerWeights[];
  /** Of the head (H, columns), (columns); null without one. */
  readonly head: { readonly w: Float32Array; readonly b: Float32Array } | null;
}

export interface LstmPlan {
  /** Its own weights and scratch; names begin with the prefix it was given. */
  readonly buffers: readonly BufferSpec[];
  readonly launches: readonly Launch[];
  /** By how much `done` is more after a run. */
  readonly completions: number;
  /** The bytes of each weight buffer, in the layout that its kernel reads. */
  pack(weights: LstmWeights): ReadonlyMap<string, Uint8Array>;
}

/** Plans a stack, or says null: not with this kernel, on this GPU. */
export type LstmPlanner = (stack: LstmStack, device: DeviceFacts, prefix: string) => LstmPlan | null;
