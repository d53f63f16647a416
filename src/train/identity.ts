/** Hashes that say whether two trainings are the same one. */
import { createHash } from "node:crypto";
import { hashOf } from "../base/file.ts";
import type { SequenceSet } from "../dataset/sequence.ts";
import type { Graph } from "../graph/graph.ts";
import { printGraph } from "../graph/text.ts";
import type { Settings } from "../nn/hyperparameter.ts";
import type { Architecture } from "../nn/model.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Identity } from "./checkpoint.ts";

/** SHA-256 over every number and name of sequence sets, hexadecimal. */
export function hashSequences(...sets: readonly SequenceSet[]): string {
  const hash = createHash("sha256");
  for (const set of sets) {
    hash.update(JSON.stringify([set.names, set.symbols, set.lookback]));
    for (const name of ["features", "target", "weight", "scale", "instrument", "time"] as const) {
      const { buffer, byteOffset, byteLength } = set[name];
      hash.update(new Uint8Array(buffer, byteOffset, byteLength));
    }
  }
  return hash.digest("hex");
}

/**
 * `settings` complete: with all defaults. The runtime counts, because two of them round
 * differently.
 */
export function identityOf(options: { architecture: Architecture; training: SequenceSet;
  validation: SequenceSet; seed: number; runtime: Runtime }, settings: Settings, graph: Graph):
  Identity {
  const { architecture, training, validation, seed, runtime } = options;
  const sorted = Object.entries(settings).sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    settings: hashOf(JSON.stringify(
      [architecture.name, sorted, seed, runtime.name, training.names, training.symbols])),
    graph: hashOf(printGraph(graph)),
    sequences: hashSequences(training, validation),
  };
}
