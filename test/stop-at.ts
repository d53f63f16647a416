/**
 * Loaded before the command line tool (`node --import`): sends itself a signal at the N-th call
 * into the file system, so that a test can stop it at a moment that is the same on every machine.
 *   DMN_STOP_AT      which call; 0: never, and the count is printed to stderr at the end
 *   DMN_STOP_SIGNAL  SIGKILL (default) or SIGINT
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const stopAt = Number(process.env["DMN_STOP_AT"] ?? 0);
const signal = process.env["DMN_STOP_SIGNAL"] === "SIGINT" ? "SIGINT" : "SIGKILL";
let calls = 0;

/** Before or after the call by turns, as a power button would. */
function counted<F extends (...args: never[]) => unknown>(call: F): F {
  return ((...args: never[]) => {
    calls++;
    if (calls === stopAt && stopAt % 2 === 0) process.kill(process.pid, signal);
    // Also after a call that fails: mkdir of a folder that is there is one.
    try { return call(...args); } finally {
      if (calls === stopAt && stopAt % 2 === 1) process.kill(process.pid, signal);
    }
  }) as F;
}

const names = ["openSync", "writeSync", "writeFileSync", "renameSync", "linkSync", "rmSync",
  "mkdirSync", "fsyncSync",
  "fdatasyncSync", "ftruncateSync", "closeSync"] as const;
const table = fs as unknown as Record<string, (...args: never[]) => unknown>;
for (const name of names) table[name] = counted(table[name]);
syncBuiltinESMExports();
if (stopAt === 0) process.on("exit", () => { process.stderr.write(`\ncalls: ${calls}\n`); });
