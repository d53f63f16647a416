/** Hashes that say whether two trainings are the same one. */
import { createHash } from "node:crypto";
import { hashOf } from "../base/file.ts";
import type { SequenceSet } from "../dataset/sequence.ts";
import type { Graph } from "../graph/graph.ts";
import { printGraph } from "../graph/text.ts";
import type { Settings } from "../nn/hyperparameter.ts";
import type { Architecture } from "../nn/model.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Identity, TrainedState } from "./checkpoint.ts";

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** SHA-256 over every number and name of sequence sets, hexadecimal. */
export function hashSequences(...sets: readonly SequenceSet[]): string {
  const hash = createHash("sha256");
  for (const set of sets) {
    hash.update(JSON.stringify([set.names, set.symbols, set.lookback]));
    for (const name of ["features", "target", "weight", "scale", "instrument", "follows",
      "time"] as const) {
      hash.update(bytesOf(set[name]));
    }
  }
  return hash.digest("hex");
}

function hashState({ epoch, state }: TrainedState): string {
  const hash = createHash("sha256").update(String(epoch));
  for (const [name, { shape, values }] of Object.entries(state)) {
    hash.update(JSON.stringify([name, shape, values.constructor.name])).update(bytesOf(values));
  }
  return hash.digest("hex");
}

/**
 * `settings` complete: with all defaults. The runtime counts, because two of them round
 * differently.
 */
export function identityOf(options: { architecture: Architecture; training: SequenceSet;
  validation: SequenceSet; seed: number; runtime: Runtime; start?: TrainedState },
settings: Settings, graph: Graph): Identity {
  const { architecture, training, validation, seed, runtime, start } = options;
  const sorted = Object.entries(settings).sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    settings: hashOf(JSON.stringify(
      [architecture.name, sorted, seed, runtime.name, training.names, training.symbols,
        ...(start === undefined ? [] : [hashState(start)])])),
    graph: hashOf(printGraph(graph)),
    sequences: hashSequences(training, validation),
  };
}
