/**
 * Whether a network finds what is there, and only that. The synthetic market has drifts that switch and a short
 * reversal (market/sources/synthetic-daily.ts): a network that sees eight returns and trends can do better than the
 * sign of one. Shuffle each instrument's returns and there is nothing left to find but their mean.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { after, before, describe, test } from "node:test";
import { random } from "../src/base/random.ts";
import type { ResultJson } from "../src/backtest/json.ts";
import { formatDay, dayOf } from "../src/base/units.ts";
import { readBars } from "../src/market/store.ts";
import { DataRoot } from "./features-data.ts";

const data = new DataRoot();
after(() => { data[Symbol.dispose](); });

function dmn(...args: string[]): string {
  const { code, out, said } = data.dmn(args);
  assert.equal(code, 0, said);
  return out;
}

/** One network trained on 1990 to 2004, tested on the 15 years after. */
function trainAndTest(dataset: string): ResultJson {
  dmn("features", "--dataset", dataset, "--recipe", "dmn");
  dmn("train-export", "--dataset", dataset, "--name", dataset, "--windows", "2005", "--window-years", "15", "--seeds", "1",
    "--set", "hidden=20", "--set", "learningRate=0.01", "--set", "epochs=25");
  return JSON.parse(dmn("backtest", "--dataset", dataset, "--strategy", `model:${dataset}`, "--windows", "2005",
    "--window-years", "15", "--json")) as ResultJson;
}

/** The market's prices with the returns of each instrument in an order of their own, as a CSV file. */
async function shuffled(): Promise<string> {
  const manifest = data.manifest("synthetic"), lines = ["date,symbol,close"];
  for (const { symbol } of manifest.instruments) {
    const { time, columns } = await readBars(data.root, manifest, symbol, { columns: ["close"] });
    const close = columns.close!;
    const returns = random(1, "shuffled", symbol).shuffle([...close.subarray(1)].map((price, t) => price / close[t]));
    let price = 100;
    time.forEach((at, t) => {
      if (t > 0) price *= returns[t - 1];
      lines.push(`${formatDay(dayOf(at))},${symbol},${price}`);
    });
  }
  const file = path.join(data.root, "shuffled.csv");
  fs.writeFileSync(file, `${lines.join("\n")}\n`);
  return file;
}

describe("a network against TSMOM over 15 unseen years", () => {
  before(() => { dmn("fetch", "--dataset", "synthetic"); });

  test("on the synthetic market its Sharpe ratio is the higher one, p < 0.05", () => {
    const { average, benchmark, seeds } = trainAndTest("synthetic");
    assert.equal(benchmark?.name, "tsmom");
    assert.ok(average.sharpe! > benchmark.average.sharpe!, `${average.sharpe} against ${benchmark.average.sharpe}`);
    assert.ok(seeds!.pValue! < 0.05, `p-value ${seeds!.pValue}`);
    assert.ok(average.sharpe! < 3, `a Sharpe ratio of ${average.sharpe} is a bug until it is explained`);
  });

  test("on shuffled returns it is not: p > 0.05, and the ratio is no higher than that of being long", async () => {
    dmn("fetch", "--source", "csv", "--path", await shuffled(), "--calendar", "24x5", "--dataset", "shuffled");
    const { average, seeds } = trainAndTest("shuffled");
    const long = JSON.parse(dmn("backtest", "--dataset", "shuffled", "--strategy", "long-only", "--windows", "2005",
      "--window-years", "15", "--json")) as ResultJson;
    assert.ok(seeds!.pValue! > 0.05, `p-value ${seeds!.pValue}`);
    // One standard error of a Sharpe ratio over 15 years is 1 / sqrt(15) = 0.26.
    assert.ok(average.sharpe! < long.average.sharpe! + 0.26, `${average.sharpe} against ${long.average.sharpe} of long-only`);
  });
});
