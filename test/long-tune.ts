/**
 * The published table of NSGA-III, all of it: half an hour on one core. Ends with exit 1 if a median of 11
 * seeds is outside the published best .. worst, or in steady state (M = 3 and 5) over 1.5 published medians.
 *
 *   node test/long-tune.ts            node test/long-tune.ts 2 5      one problem and M
 */
import { median, PUBLISHED, runIgd } from "./tune-igd.ts";

const SEEDS = 11;
const [problem, M] = process.argv.slice(2).map(Number);
let faults = 0;
for (const row of PUBLISHED) {
  if (problem !== undefined && (row.problem !== problem || row.M !== M)) continue;
  for (const mode of ["generations", "steady"] as const) {
    if (mode === "steady" && row.M !== 3 && row.M !== 5 && row.M !== 11) continue;
    const started = performance.now();
    const found = Array.from({ length: SEEDS }, (_, k) => runIgd(row, mode, k + 1)).sort((a, b) => a - b);
    const middle = median(found), [best, published, worst] = row.published ?? [0, Infinity, Infinity];
    const isRight = mode === "steady" ? middle <= 1.5 * published : middle >= best && middle <= worst;
    if (!isRight) faults++;
    const figures = (values: readonly number[]): string => values.map((value) => value.toExponential(3)).join(" ");
    process.stdout.write([
      `DTLZ${row.problem} M=${row.M} ${mode.padEnd(11)} N=${row.population} x ${row.generations}`,
      `IGD ${figures([found[0], middle, found[SEEDS - 1]])}`,
      row.published === null ? "nothing published" : `published ${figures(row.published)}`,
      isRight ? "ok" : "OUTSIDE", `${((performance.now() - started) / 1000).toFixed(0)} s\n`].join("   "));
  }
}
process.exitCode = faults === 0 ? 0 : 1;
