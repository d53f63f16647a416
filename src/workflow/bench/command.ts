/** The product's own commands as whole processes: how long they take and how much memory they need. */
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { PACKAGE_ROOT } from "../package-root.ts";

/** Leaves the peak of the process's resident memory (KiB) in the file named by DMN_BENCH_PEAK. */
const PEAK = "data:text/javascript,import fs from 'node:fs';process.on('exit',()=>"
  + "fs.writeFileSync(process.env.DMN_BENCH_PEAK,String(process.resourceUsage().maxRSS)))";

/** Runs `dmn args` in a data root of its own. Throws what it said when it failed. */
export function runDmn(root: string, args: readonly string[]): { seconds: number; peakGib: number } {
  fs.mkdirSync(root, { recursive: true });
  const door = path.join(PACKAGE_ROOT, "bin", "dmn.js");
  const peak = path.join(root, "peak");
  const start = performance.now();
  const ran = spawnSync(process.execPath, ["--import", PEAK, door, ...args, "--data-dir", root],
    { encoding: "utf8", env: { ...process.env, DMN_BENCH_PEAK: peak } });
  if (ran.status !== 0) throw new Error(`dmn ${args.join(" ")} failed: ${ran.stderr}`);
  const seconds = (performance.now() - start) / 1000;
  return { seconds, peakGib: Number(fs.readFileSync(peak, "utf8")) / 2 ** 20 };
}
