/** NSGA-III finds the fronts of DTLZ1 and DTLZ2 with 3 objectives as published; all rows and seeds: long-tune.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { median, PUBLISHED, runIgd, SEEDS } from "./tune-igd.ts";

for (const row of PUBLISHED.filter(({ M }) => M === 3)) {
  const [best, middle, worst] = row.published!;
  const what = `DTLZ${row.problem}, 3 objectives, ${row.population} x ${row.generations} trials`;
  test(`${what}: the median IGD of seeds 12 .. 16 is in the published ${best} .. ${worst}`, () => {
    const found = median(SEEDS.slice(0, 5).map((seed) => runIgd(row, "generations", seed)));
    assert.ok(found >= best && found <= worst, `${found}`);
  });

  test(`${what}, in steady state: the median of seeds 12 .. 14 is at most 1.5 times the published ${middle}`, () => {
    const found = median(SEEDS.slice(0, 3).map((seed) => runIgd(row, "steady", seed)));
    assert.ok(found <= 1.5 * middle, `${found}`);
  });
}
