/**
 * What programs and opened models share: how sessions are set up, and tensors as ONNX Runtime has
 * them.
 */
import type * as OrtPackage from "onnxruntime-node";
import type { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import type { Values } from "../runtime.ts";

export type Ort = typeof OrtPackage;
export type Kind = "float32" | "float64";
/** Tensors by name, as a session takes and returns them. */
export type Bag = Record<string, OrtTensor>;

/**
 * How sessions are made. The arena halves the time of a step; memory patterns only cost memory. A
 * session of one thread has none to spin; two threads that sleep between ops take half as long
 * again (16 against 11 ms a step). Numbers below 1e-38 are slow and mean nothing here.
 */
export const sessionOptions = (threads: number): InferenceSession.SessionOptions => ({
  executionProviders: ["cpu"], executionMode: "sequential", graphOptimizationLevel: "all",
  intraOpNumThreads: threads, interOpNumThreads: 1, enableCpuMemArena: true, enableMemPattern: false,
  logSeverityLevel: 4,
  extra: { session: { set_denormal_as_zero: "1", intra_op: { allow_spinning: threads > 1 ? "1" : "0" } } },
});

/**
 * For graphs of ours, which are simple already: ONNX Runtime's own passes find nothing in them that
 * makes a step faster (H 256 LSTM 346 against 369 ms without and with, encoder 179 against 185),
 * and cost a third to three quarters of a session's start (encoder 46 -> 30 ms, H 256 LSTM 76 ->
 * 11).
 */
export const programOptions = (threads: number): InferenceSession.SessionOptions =>
  ({ ...sessionOptions(threads), graphOptimizationLevel: "disabled" });

/** A tensor of zeros. */
export function emptyTensor(ort: Ort, kind: Kind, dims: readonly number[]): OrtTensor {
  const count = dims.reduce((product, size) => product * size, 1);
  return kind === "float32" ? new ort.Tensor(kind, new Float32Array(count), dims)
    : new ort.Tensor(kind, new Float64Array(count), dims);
}

/**
 * A feed as a session takes it: the caller's own array, unless it must become another kind of
 * float.
 */
export function toTensor(ort: Ort, kind: Kind, { shape, values }: Values): OrtTensor {
  return kind === "float32"
    ? new ort.Tensor(kind, values instanceof Float32Array ? values : Float32Array.from(values), shape)
    : new ort.Tensor(kind, values instanceof Float64Array ? values : Float64Array.from(values), shape);
}

export const valuesOf = (tensor: OrtTensor): Values =>
  ({ shape: tensor.dims, values: tensor.data as Float32Array | Float64Array });
