/** How the engine's networks become launches: by the lowering of all graphs, with every parameter frozen. */
import { lowerGraph, type Port } from "../lower/lower.ts";
import { BUFFERS, FEATURES, type LowerNetwork } from "./plan.ts";

/** Answers of a bucket that the host looks at one by one. */
const SEEN_MAX = 512;

export const lowerNetwork: LowerNetwork = (graph, { precision, device, isRing }) => {
  const frozen = new Set(graph.state.map(({ name }) => name));
  const lowered = lowerGraph(graph, { precision, device, frozen, done: BUFFERS.done, seenMax: SEEN_MAX,
    ...(isRing ? { ring: { input: FEATURES, start: BUFFERS.start } } : {}) });
  const { list, completions, inputs, outputs } = lowered;
  return { list, completions, isSeen: lowered.isSeen, isRing: lowered.isRing,
    inputs: buffersOf(inputs), outputs: buffersOf(outputs),
    pack: (parameters) => lowered.pack(parameters) };
};

const buffersOf = (ports: ReadonlyMap<string, Port>): Record<string, string> =>
  Object.fromEntries([...ports].map(([name, { buffer }]) => [name, buffer]));
