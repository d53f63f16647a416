/** Python as an oracle in tests: the product never needs it. `test/peers/setup.sh` makes the environment. */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";

export const NO_PYTHON = "needs the Python oracles: sh test/peers/setup.sh";

/** Path of a Python with the peers' packages, or null. */
export function python(): string | null {
  const own = path.join(import.meta.dirname, "..", ".tools", "peers", "bin", "python");
  const place = process.env["DMN_TEST_PYTHON"] ?? own;
  return fs.existsSync(place) ? place : null;
}

/** Runs a script with JSON on stdin and parses the JSON it prints. Throws with the script's own words. */
export function askPython(script: string, input: unknown, place: string | null = python()): unknown {
  if (place === null) throw new Error(NO_PYTHON);
  const run = spawnSync(place, ["-c", script], { input: JSON.stringify(input), encoding: "utf8", maxBuffer: 1 << 28 });
  if (run.status !== 0) throw new Error(run.stderr);
  return JSON.parse(run.stdout);
}
