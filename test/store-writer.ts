/**
 * A process that writes one generation of a dataset and kills itself in the middle, for test/store-crash.test.ts:
 *   node store-writer.ts ROOT GENERATION KILL_AT
 * KILL_AT counts calls into the file system (h5wasm's too); 0 lets it finish and prints how many there were.
 */
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { calendar } from "../src/market/calendar.ts";
import { DatasetWriter } from "../src/market/store.ts";
import { cleanBars } from "./market-rows.ts";

const [root, generation, killAt] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
let calls = 0;

/** Dies without a word, before or after the call by turns, as a power button would. */
function counted<F extends (...args: never[]) => unknown>(call: F): F {
  return ((...args: never[]) => {
    calls++;
    if (calls === killAt && killAt % 2 === 0) process.kill(process.pid, "SIGKILL");
    const result = call(...args);
    if (calls === killAt) process.kill(process.pid, "SIGKILL");
    return result;
  }) as F;
}

const names = ["openSync", "writeSync", "writeFileSync", "renameSync", "linkSync", "rmSync", "mkdirSync", "fsyncSync",
  "fdatasyncSync", "ftruncateSync", "closeSync"] as const;
const table = fs as unknown as Record<string, (...args: never[]) => unknown>;
for (const name of names) table[name] = counted(table[name]);
syncBuiltinESMExports();

using writer = DatasetWriter.open(root, "d", {
  source: "synthetic", isSynthetic: true, kind: "bars", timeframe: "1d", calendar: calendar("us-equity"),
  adjustment: "raw", provenance: `generation ${generation}`,
});
const have = writer.have();
for (let k = 0; k < 6; k++) {
  if (!have.has(`S${k}`)) await writer.put({ bars: cleanBars(100 * generation + k, 300, `S${k}`), actions: [] });
}
await writer.commit();
process.stdout.write(JSON.stringify({ calls, resumed: have.size }));
