/** Networks as the GPU is given them. */
import { ARCHITECTURES } from "../models/index.ts";
import type { Graph } from "../src/graph/graph.ts";
import { lastStep } from "../src/graph/last-step.ts";
import { bindSizes } from "../src/graph/rewrite.ts";
import type { Settings } from "../src/nn/hyperparameter.ts";
import { inferenceGraph } from "../src/nn/train-graph.ts";

/** Positions of the last step, or of all, at fixed sizes. */
export function networkGraph({ name, settings, F }: { name: string; settings: Settings; F: number }, B: number, T: number,
  isLast = true): Graph {
  const graph = inferenceGraph(ARCHITECTURES[name], { features: F, instruments: 5 }, settings);
  const shown = { ...graph, outputs: graph.outputs.filter((output) => output.name === "position") };
  return bindSizes(isLast ? lastStep(shown) : shown, { B, T });
}
