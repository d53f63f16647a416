/**
 * What a graph is trained on: our own kernels where this machine can run them and they know the graph's
 * ops, else ONNX Runtime, which is everywhere and knows all.
 */
import type { Runtime } from "./runtime.ts";
import { isNativeAvailable, nativeIsMissing } from "./native/library.ts";
import { nativeRuntime, nativeSupports } from "./native/program.ts";
import { ortRuntime } from "./ort/program.ts";

export type CpuEngine = "auto" | "native" | "ort";

export interface CpuOptions {
  /** Threads inside a step. */
  readonly threads?: number;
  /** "auto" is "native" where that is available. */
  readonly engine?: CpuEngine;
}

/**
 * Which engine "auto" is here. A training keeps to the one it was begun with: two round differently. "native"
 * where it cannot run is a UserError.
 */
export function cpuEngine(engine: CpuEngine = "auto"): "native" | "ort" {
  if (engine === "native" && !isNativeAvailable()) throw nativeIsMissing();
  return engine === "auto" ? (isNativeAvailable() ? "native" : "ort") : engine;
}

export function cpuRuntime({ threads = 1, engine = "auto" }: CpuOptions = {}): Runtime {
  const name = cpuEngine(engine), ort = ortRuntime({ threads });
  if (name === "ort") return ort;
  const native = nativeRuntime({ threads });
  return { name, compile: (graph) => (nativeSupports(graph) ? native : ort).compile(graph) };
}
