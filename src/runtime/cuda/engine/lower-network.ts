/** How the engine's networks become launches: any graph's lowering, with all parameters frozen. */
import { lowerGraph, type Port } from "../lower/lower.ts";
import type { LowerNetwork } from "./plan.ts";

export const lowerNetwork: LowerNetwork = (graph, { precision, device }) => {
  const lowered = lowerGraph(graph, { precision, device, frozen: new Set(graph.state.map(({ name }) => name)) });
  return { list: lowered.list, inputs: buffersOf(lowered.inputs), outputs: buffersOf(lowered.outputs),
    isRing: false, completions: 0, pack: (parameters) => lowered.pack(parameters) };
};

const buffersOf = (ports: ReadonlyMap<string, Port>): Record<string, string> =>
  Object.fromEntries([...ports].map(([name, { buffer }]) => [name, buffer]));
