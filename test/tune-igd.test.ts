/** NSGA-III finds the fronts of DTLZ1 and DTLZ2 with 3 objectives as published; the rest is in long-tune.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { median, PUBLISHED, runIgd } from "./tune-igd.ts";

for (const row of PUBLISHED.filter(({ M }) => M === 3)) {
  const [best, middle, worst] = row.published!;
  const what = `DTLZ${row.problem}, 3 objectives, ${row.population} x ${row.generations} trials`;
  test(`${what}: the median IGD of 11 seeds is in the published ${best} .. ${worst}`, () => {
    const found = median(Array.from({ length: 11 }, (_, seed) => runIgd(row, "generations", seed + 1)));
    assert.ok(found >= best && found <= worst, `${found}`);
  });

  test(`${what}, in steady state: seed 1 is at most 1.5 times the published median ${middle}`, () => {
    const found = runIgd(row, "steady", 1);
    assert.ok(found <= 1.5 * middle, `${found}`);
  });
}
