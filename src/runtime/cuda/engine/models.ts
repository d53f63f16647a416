/**
 * Models that answer, wherever they run: what the engine on the GPU, ONNX Runtime and the predictor that
 * chooses between them have in common.
 *
 *   load(name, file)                        a name that is taken: the new version replaces the old one
 *   run(name, whole windows)          ──>   Answers of the last step of each window
 *   push(name, row, newest features)  ──>   step(name) ──> Answers of all windows of the model's ring
 */
import type { Tensors } from "../../runtime.ts";
import type { HostRing } from "./ring.ts";

export interface LoadOptions {
  /** Rows of a window. */
  readonly T: number;
  /**
   * The model keeps this many windows, one for each instrument, and is given new rows (`push`, `step`). Feeds
   * besides the features (the instruments' numbers) are given once. Absent: whole windows are given (`run`).
   */
  readonly ring?: { readonly rows: number; readonly feeds?: Tensors };
  /** On the GPU: rows whose buckets are made ready now; the others when they are first asked for. */
  readonly buckets?: readonly number[];
  /** What its answers are marked with; one more than that of the model it replaces, or 1, when not given. */
  readonly version?: number;
}

/** An exported network: the bytes of its file, and what messages call it. */
export interface NetworkFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface Answers {
  /** Of the load that made the model which gave all of these. */
  readonly version: number;
  /** Windows that were asked about. */
  readonly rows: number;
  /** Of each window's last step, float32 (rows): position, volatility, confidence; (rows, H): final/NAME. */
  readonly outputs: Tensors;
}

export interface Models {
  /**
   * Makes a model ready; its version. Under a name that is taken, requests under way are answered by the old
   * model, later ones by this. UserError when the file is none of ours, or its ring has
   * more windows than the largest bucket.
   */
  load(name: string, file: NetworkFile, options: LoadOptions): Promise<number>;
  /** Whole windows: features (rows, T, F), and what else the network takes. Answers are the caller's. */
  run(name: string, feeds: Tensors): Promise<Answers>;
  /** The newest row (F) of a window; a second one before `step` corrects it. */
  push(name: string, row: number, features: Float32Array): void;
  /** A whole window (T, F), the oldest row first. */
  fill(name: string, row: number, window: Float32Array): void;
  /** Answers of all windows of the ring. Asserts that each has T rows. */
  step(name: string): Promise<Answers>;
  /** The windows in host memory. Asserts that the model has a ring. */
  ring(name: string): HostRing;
  /** Frees a model once it has answered what it was asked. */
  unload(name: string): Promise<void>;
  close(): Promise<void>;
}

/** Outputs that are answered; views for people are not. */
export const isAnswer = (output: string): boolean =>
  ["position", "volatility", "confidence"].includes(output) || output.startsWith("final/");
