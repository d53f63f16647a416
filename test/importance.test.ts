/** Which inputs matter: a toy market in which only the first one does, and stability numbers computed by hand. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { architectureNamed } from "../models/index.ts";
import { FakeClock } from "../src/base/clock.ts";
import { reference } from "../src/runtime/reference.ts";
import { fit } from "../src/train/fit.ts";
import { importanceStability, measureImportance, ranksOf, selectFeatures, selectionStability, shuffleInput, spearman,
  topInputs } from "../src/train/importance.ts";
import { toyMarket } from "./toy-market.ts";

const validation = toyMarket({ sequences: 30, seed: 2 });

async function importanceOf(name: string, settings: Record<string, number>): ReturnType<typeof measureImportance> {
  const options = { architecture: architectureNamed(name), settings, validation, seed: 3, runtime: reference };
  const result = await fit({ ...options, training: toyMarket({ sequences: 48 }), clock: new FakeClock(0) });
  const found = await measureImportance({ ...options, parameters: result.parameters, positionKind: result.positionKind });
  // Parameters leave training as float32; the reference trains in float64.
  assert.ok(Math.abs(found.sharpe - result.validationSharpe) < 1e-6);
  assert.deepEqual(await measureImportance({ ...options, parameters: result.parameters, positionKind: result.positionKind }),
    found);
  return found;
}

describe("importance on the toy market", () => {
  test("shuffling the signal costs the whole Sharpe, shuffling noise next to nothing", async () => {
    const { permutation, sharpe, selection } = await importanceOf("mlp",
      { hidden: 5, dropout: 0.1, batch: 32, learningRate: 0.02, epochs: 12 });
    // 300 days: a standard error of 0.9, on the mean of three shuffles 0.5.
    assert.ok(permutation[0] > sharpe - 1.5, `${permutation[0]} of ${sharpe}`);
    for (const noise of permutation.slice(1)) assert.ok(Math.abs(noise) < 0.15 * sharpe, String(noise));
    assert.equal(selection, null);
  });

  test("the transformer's own variable selection gives the signal most weight; weights sum to 1", async () => {
    const { selection, permutation } = await importanceOf("transformer", { hidden: 4, attentionHeads: 1, dropout: 0,
      batch: 32, learningRate: 0.02, epochs: 6 });
    assert.ok(selection !== null);
    assert.ok(Math.abs(selection.reduce((a, b) => a + b) - 1) < 1e-6);
    assert.deepEqual(topInputs(selection, 1), [0]);
    assert.deepEqual(topInputs(permutation, 1), [0]);
  });

  test("a shuffled input keeps its values, and the other inputs and padding keep their places", () => {
    const weight = validation.weight.slice();
    weight.fill(0, 95, 100);
    const set = { ...validation, weight }, { features } = shuffleInput(set, 1, 7, 0);
    const column = (values: Float32Array, f: number): number[] => [...values].filter((_, k) => k % 3 === f);
    assert.deepEqual([column(features, 0), column(features, 2)], [column(set.features, 0), column(set.features, 2)]);
    assert.notDeepEqual(column(features, 1), column(set.features, 1));
    assert.deepEqual(column(features, 1).toSorted((a, b) => a - b), column(set.features, 1).toSorted((a, b) => a - b));
    assert.deepEqual(column(features, 1).slice(95, 100), column(set.features, 1).slice(95, 100));
  });
});

describe("stability", () => {
  test("ranks share ties: 10, 20, 20, 5 are 2, 3.5, 3.5, 1; Spearman of (1 2 3 4 5) and (5 6 7 8 7) is 0.8207826817", () => {
    assert.deepEqual(ranksOf([10, 20, 20, 5]), [2, 3.5, 3.5, 1]);
    // scipy's documented example of spearmanr.
    assert.ok(Math.abs(spearman([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]) - 0.8207826816681233) < 1e-12);
  });

  test("selections {0,1} {0,1} {0,2} of 4: shares 1, 2/3, 1/3, 0, variances 0, 1/3, 1/3, 0, so 1 - (1/6) / (1/4) = 1/3", () => {
    assert.ok(Math.abs(selectionStability([[0, 1], [0, 1], [0, 2]], 4) - 1 / 3) < 1e-12);
    assert.equal(selectionStability([[0, 3], [0, 3]], 5), 1);
    assert.ok(Number.isNaN(selectionStability([[0, 1]], 4)));
  });

  test("two folds in opposite order: rank correlation -1, top halves disjoint, -1, score -1; the same order twice is 1", () => {
    const up = [1, 2, 3, 4], down = [4, 3, 2, 1];
    for (const [folds, value] of [[[up, down], -1], [[up, up], 1]] as const) {
      const { rank, selection, score } = importanceStability(folds);
      for (const found of [rank, selection, score]) assert.ok(Math.abs(found - value) < 1e-12, `${found}`);
    }
    assert.ok(Number.isNaN(importanceStability([up]).score));
  });

  test("features above the threshold are kept, and the best one when none is", () => {
    const names = ["a", "b", "c"], folds = [[0.3, 0.1, -0.2], [0.5, -0.1, 0.4]];
    assert.deepEqual(selectFeatures(names, folds, 0.05), ["a", "c"]);
    assert.deepEqual(selectFeatures(names, folds, 2), ["a"]);
  });
});
