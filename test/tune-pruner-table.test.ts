/**
 * What pruning by several objectives saves and loses on real learning curves: 500 short trainings that were all run to
 * their end (fixtures/make-tune-table.ts), replayed as studies that four workers train in random orders.
 *
 * A trial reports what a trial of a network does: the values of its best epoch so far by Sharpe ratio. The front is
 * that of complete trials, its worth its hypervolume as a share of that of all 500.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, test } from "node:test";
import { random, type Random } from "../src/base/random.ts";
import { hypervolume, isBelow, referencePoint } from "../src/tune/hypervolume.ts";
import { paretoFront } from "../src/tune/pareto.ts";
import type { Pruner } from "../src/tune/pruners/pruner.ts";
import { makePruner } from "../src/tune/pruners/pruners.ts";
import { signed, type Finished, type Objective } from "../src/tune/trial.ts";

interface Table {
  readonly objectives: readonly string[];
  readonly directions: readonly Objective["direction"][];
  readonly epochs: number;
  readonly points: readonly unknown[];
  readonly low: readonly number[];
  readonly high: readonly number[];
  readonly values: string;
}
const table = JSON.parse(fs.readFileSync(path.join(import.meta.dirname, "fixtures", "tune-table.json"), "utf8")) as Table;
const TRIALS = table.points.length, EPOCHS = table.epochs, ALL = table.objectives.length;
const packed = Buffer.from(table.values, "base64"), WORKERS = 4, ORDERS = [1, 2, 3, 4, 5, 6, 7];

function valueAt(trial: number, epoch: number, m: number): number {
  const one = packed.readUInt16LE(2 * ((trial * EPOCHS + epoch) * ALL + m));
  return one === 65_535 ? NaN : table.low[m] + one / 65_534 * (table.high[m] - table.low[m]);
}

/** (trials, epochs) losses of the best epoch so far. */
function curvesOf(names: readonly string[]): Float64Array[][] {
  const chosen = names.map((name) => table.objectives.indexOf(name));
  const objectives = chosen.map((m) => ({ name: table.objectives[m], direction: table.directions[m] }));
  return Array.from({ length: TRIALS }, (_, trial) => {
    let best = 0;
    return Array.from({ length: EPOCHS }, (_row, epoch) => {
      if (!(valueAt(trial, epoch, 0) <= valueAt(trial, best, 0))) best = epoch;
      return signed(objectives, chosen.map((m) => valueAt(trial, best, m)));
    });
  });
}

const finished = (number: number, losses: Float64Array, state: Finished["state"] = "complete"): Finished =>
  ({ number, point: {}, state, losses, violation: 0, step: EPOCHS, parent: null });

interface Replayed {
  /** Share of the epochs of 500 whole trials. */
  readonly epochs: number;
  /** Share of their front's hypervolume. */
  readonly volume: number;
  readonly complete: number;
}

/** Studies of these objectives, each under its pruner and order. */
function replayer(names: readonly string[]): (pruner: Pruner, order: number) => Replayed {
  const curves = curvesOf(names), ends = curves.map((curve) => curve[EPOCHS - 1]);
  const reference = referencePoint(ends.filter((row) => !row.includes(NaN)));
  const volumeOf = (rows: readonly Float64Array[]): number => hypervolume(
    paretoFront(rows.map((row, k) => finished(k, row))).map(({ losses }) => losses).filter((row) => isBelow(row, reference)),
    reference).value;
  const whole = volumeOf(ends);
  return (pruner, seed) => {
    const stream = random(seed, "order"), order = stream.shuffle([...Array(TRIALS).keys()]);
    const running: { number: number; epoch: number }[] = [], complete: Float64Array[] = [];
    let next = 0, epochs = 0;
    while (next < TRIALS || running.length > 0) {
      while (running.length < WORKERS && next < TRIALS) running.push({ number: next++, epoch: 0 });
      const one = running[stream.below(running.length)], losses = curves[order[one.number]][one.epoch++];
      epochs++;
      const goesOn = pruner.report({ number: one.number, step: one.epoch, losses, violation: 0 }, () => true);
      if (goesOn && one.epoch < EPOCHS) continue;
      running.splice(running.indexOf(one), 1);
      if (goesOn) complete.push(losses);
      pruner.tell(finished(one.number, losses, goesOn ? "complete" : "pruned"));
    }
    return { epochs: epochs / (TRIALS * EPOCHS), volume: volumeOf(complete) / whole, complete: complete.length };
  };
}

const made = (name: string, objectives: number, settings: Record<string, number> = {}): Pruner =>
  makePruner({ name, settings }, { objectives, stepsMax: EPOCHS, seed: 1, study: "table" });
/** Goes on with a probability, at steps 3 and 9 or from the first one on to the end. */
const coins = (stream: Random, steps: readonly number[], probability: number): Pruner => ({
  report: ({ step }) => !steps.includes(step) || stream.uniform() < probability,
  tell() {},
});
const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;

const SETS = [["sharpe", "maxDrawdown", "volatility", "turnover"], ["annualReturn", "maxDrawdown", "turnover"]];

for (const names of SETS) {
  describe(`500 trainings, ${names.join(", ")}`, () => {
    const replay = replayer(names), M = names.length;
    const runs = (make: (order: number) => Pruner, orders = ORDERS): Replayed[] =>
      orders.map((order) => replay(make(order), order));
    const late = runs(() => made("directions", M, { minSteps: 3 })), early = runs(() => made("directions", M));

    test("eta 3 from step 3: at least 95 % of the front's hypervolume for at most 40 % of the epochs, in every order", (t) => {
      t.diagnostic(late.map(({ epochs, volume }) => `${percent(volume)} for ${percent(epochs)}`).join(", "));
      for (const { epochs, volume } of late) assert.ok(volume >= 0.95 && epochs <= 0.4);
    });

    test("eta 3 from step 1: more than 90 % on average, for a seventh of the epochs", (t) => {
      t.diagnostic(early.map(({ epochs, volume }) => `${percent(volume)} for ${percent(epochs)}`).join(", "));
      assert.ok(mean(early.map(({ volume }) => volume)) > 0.9 && mean(early.map(({ epochs }) => epochs)) < 1 / 7);
    });

    test("chance at the same price gets less: coins at the same steps, and as many epochs spent on whole trials", (t) => {
      for (const [ours, steps] of [[late, [3, 9]], [early, [1, 3, 9]]] as const) {
        const price = mean(ours.map(({ epochs }) => epochs)), got = mean(ours.map(({ volume }) => volume));
        const stopped = runs((order) => coins(random(order, "coins"), steps, 1 / 3));
        const few = runs((order) => coins(random(order, "few"), [1], price - (1 - price) / EPOCHS));
        for (const [name, chance] of Object.entries({ stopped, few })) {
          const volumes = chance.map(({ volume }) => volume);
          t.diagnostic(`${name}: ${percent(mean(volumes))} (worst ${percent(Math.min(...volumes))}) for `
            + `${percent(mean(chance.map(({ epochs }) => epochs)))}; ours ${percent(got)} for ${percent(price)}`);
          assert.ok(mean(volumes) < got, name);
        }
      }
    });

    test("the median pruner loses nothing and saves little: no trial that is good at anything is stopped", (t) => {
      const medians = runs(() => made("median", M), ORDERS.slice(0, 3));
      const volume = mean(medians.map((one) => one.volume)), price = mean(medians.map(({ epochs }) => epochs));
      t.diagnostic(`${percent(volume)} for ${percent(price)}`);
      assert.ok(medians.every((one) => one.volume > 0.99 && one.epochs > 0.6));
    });
  });
}
