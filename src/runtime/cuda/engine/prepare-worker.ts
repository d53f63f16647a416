/** The thread of prepare.ts. */
import { parentPort } from "node:worker_threads";
import { assert } from "../../../base/assert.ts";
import { UserError } from "../../../base/error.ts";
import { prepareNetwork, type Outcome, type Task } from "./prepare.ts";

const port = parentPort;
assert(port !== null, "this file is a thread of prepare.ts");

port.on("message", ({ id, file, requests }: Task) => {
  let outcome: Outcome;
  // Text is not decoded from memory that two threads see.
  const own = { name: file.name, bytes: file.bytes.slice() };
  try { outcome = { id, made: prepareNetwork(own, requests) }; } catch (error) {
    outcome = error instanceof UserError ? { id, refused: { problem: error.problem, hint: error.hint } }
      : { id, broken: error instanceof Error ? error.stack ?? error.message : String(error) };
  }
  // Weights are moved, not copied; a few may be views of one piece of memory.
  const pieces = "made" in outcome ? outcome.made.buckets.flatMap(({ weights }) =>
    [...weights.values()].map(({ bytes }) => bytes.buffer as ArrayBuffer)) : [];
  port.postMessage(outcome, [...new Set(pieces)]);
});
