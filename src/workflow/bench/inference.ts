/**
 * How fast an exported network answers: on the CPU (ONNX Runtime, one thread) and, where there is a GPU, on
 * that (our own engine, one CUDA graph per batch), with peers that are run beside it.
 *
 *   --device cpu    CPU rows         --device cuda   GPU rows; without a GPU one sentence and CPU rows
 *   neither         CPU rows, and GPU rows where there is one
 */
import type { Bench } from "../bench.ts";
import { cpuRows } from "./inference-cpu.ts";
import { cudaInference } from "./inference-cuda.ts";
import { benchModels } from "./inference-models.ts";
import type { BenchRow } from "./row.ts";

export async function run(bench: Bench): Promise<BenchRow[]> {
  // A name that is wrong is refused before anything runs.
  benchModels(bench.models);
  const gpu = bench.device === "cpu" ? null : await cudaInference(bench);
  return [...bench.device === "cuda" && gpu !== null ? [] : await cpuRows(bench), ...gpu ?? []];
}
