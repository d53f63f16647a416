/**
 * The published table of NSGA-III, all of it: ten minutes on one core. Ends with exit 1 if a median of 11 seeds
 * is over the published worst, or in steady state (M = 3 and 5) over 1.5 published medians.
 *
 *   node test/long-tune.ts            node test/long-tune.ts 2 5 steady      one problem, M, and mode
 */
import { median, PUBLISHED, runIgd, SEEDS } from "./tune-igd.ts";

const [problem, objectives, only] = process.argv.slice(2);
let faults = 0;
for (const row of PUBLISHED) {
  if (problem !== undefined && (row.problem !== Number(problem) || row.M !== Number(objectives))) continue;
  for (const mode of ["generations", "steady"] as const) {
    if (only !== undefined && only !== mode) continue;
    if (mode === "steady" && row.M !== 3 && row.M !== 5 && row.M !== 11) continue;
    const started = process.cpuUsage();
    const found = SEEDS.map((seed) => runIgd(row, mode, seed)).sort((a, b) => a - b);
    const middle = median(found), [best, published, worst] = row.published ?? [0, Infinity, Infinity];
    const isRight = middle <= (mode === "steady" ? 1.5 * published : worst);
    if (!isRight) faults++;
    const verdict = !isRight ? "OUTSIDE" : mode === "generations" && middle < best ? "ok, below the best" : "ok";
    const figures = (values: readonly number[]): string => values.map((value) => value.toExponential(3)).join(" ");
    process.stdout.write([
      `DTLZ${row.problem} M=${row.M} ${mode.padEnd(11)} N=${row.population} x ${row.generations}`,
      `IGD ${figures([found[0], middle, found.at(-1)!])}`,
      row.published === null ? "nothing published" : `published ${figures(row.published)}`,
      verdict, `${(process.cpuUsage(started).user / 1e6).toFixed(0)} s CPU\n`].join("   "));
  }
}
process.exitCode = faults === 0 ? 0 : 1;
