/** The thread of prepare.ts. */
import { parentPort } from "node:worker_threads";
import { assert } from "../../../base/assert.ts";
import { UserError } from "../../../base/error.ts";
import { prepareNetwork, type Outcome, type Task } from "./prepare.ts";

const port = parentPort;
assert(port !== null, "this file is a thread of prepare.ts");

port.on("message", ({ id, file, requests }: Task) => {
  let outcome: Outcome;
  try { outcome = { id, made: prepareNetwork(file, requests) }; } catch (error) {
    outcome = error instanceof UserError ? { id, refused: { problem: error.problem, hint: error.hint } }
      : { id, broken: error instanceof Error ? error.stack ?? error.message : String(error) };
  }
  // Weights are moved, not copied; a few may be views of one piece of memory.
  const pieces = "made" in outcome ? outcome.made.buckets.flatMap(({ weights }) =>
    [...weights.values()].map(({ buffer }) => buffer as ArrayBuffer)) : [];
  port.postMessage(outcome, [...new Set(pieces)]);
});
