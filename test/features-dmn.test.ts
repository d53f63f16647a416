/** The `dmn` recipe equals the reference, on the development panel and on a committed series. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import type { Features } from "../src/features/feature.ts";
import { FeaturesFile } from "../src/features/file.ts";
import { bind, computeFeatures } from "../src/features/panel.ts";
import { readRecipe } from "../src/features/recipe.ts";
import { calendar } from "../src/market/calendar.ts";
import { DataRoot } from "./features-data.ts";
import { barsOf, closesFrom } from "./market-rows.ts";
import { NO_SHARED, shared } from "./shared.ts";

const MARKET = { calendar: calendar("24x5"), timeframe: "1d" } as const;
const COLUMNS = ["ret_1d", "daily_vol", "target_vol_scaled_next_return", "norm_1", "norm_21", "norm_63", "norm_126",
  "norm_252", "macd_8_24", "macd_16_48", "macd_32_96", "pos_tsmom", "pos_macd"];

/** Relative above 1, absolute below; 0 where both are absent. */
const distance = (a: number, b: number): number =>
  Number.isNaN(a) && Number.isNaN(b) ? 0 : Math.abs(a - b) / Math.max(1, Math.abs(a));

async function featuresOf(close: readonly number[]): Promise<Features> {
  const panel = bind(await readRecipe("/nowhere", "dmn"), MARKET);
  return computeFeatures(panel, barsOf("S", closesFrom("2001-01-01", close.length, "24x5"), { close }));
}

interface Known { names: string[]; close: number[]; rows: number[]; values: (number | null)[][] }

describe("on 420 committed closes with a jump to four times the price", async () => {
  const place = path.join(import.meta.dirname, "fixtures", "dmn-recipe.json");
  const known = JSON.parse(fs.readFileSync(place, "utf8")) as Known;
  const features = await featuresOf(known.close);

  test("13 columns with these names in this order, the first complete row is number 314", () => {
    assert.deepEqual(features.names, COLUMNS);
    assert.deepEqual(known.names, COLUMNS);
    assert.equal(features.warmup, 314);
  });

  for (const [k, name] of COLUMNS.entries()) {
    test(`${name} equals pandas to 1e-6 in 30 rows: end of warm-up, jump, last`, () => {
      for (const [i, row] of known.rows.entries()) {
        const expected = known.values[i][k] ?? NaN, found = features.values[row * COLUMNS.length + k];
        assert.ok(distance(expected, found) <= 1e-6, `row ${row}: ${found} instead of ${expected}`);
      }
    });
  }
});

describe("on the development panel", () => {
  const reference = shared("data/fixtures/reference-features.csv.gz"), panel = shared("data/futures-dev/futures-dev.csv.gz");
  test("dmn fetch, dmn features: SP500 and US10 equal the pandas reference in 13 columns of 15,561 rows to 1e-6",
    { skip: (reference === null || panel === null) && NO_SHARED }, () => {
      using data = new DataRoot();
      const fetched = data.dmn(["fetch", "--source", "csv", "--path", panel!, "--dataset", "futures-dev"]);
      assert.equal(fetched.code, 0, fetched.said);
      const report = data.features("--dataset", "futures-dev", "--recipe", "dmn");
      assert.equal(report["instruments"], 30);
      assert.equal(report["rows"], 210_260);
      const file = FeaturesFile.open(data.parquet("futures-dev", "dmn"), "")!;
      const [head, ...lines] = gunzipSync(fs.readFileSync(reference!)).toString().trim().split("\n");
      assert.deepEqual(head.split(",").slice(2), COLUMNS);
      const rows = new Map(["SP500", "US10"].map((symbol) => {
        const { time, values } = file.read(symbol, "");
        return [symbol, { values, at: new Map(Array.from(time, (t, k) => [new Date(t).toISOString().slice(0, 10), k])) }];
      }));
      let compared = 0;
      for (const line of lines) {
        const [date, symbol, ...numbers] = line.split(","), { values, at } = rows.get(symbol)!, row = at.get(date)!;
        for (const [k, text] of numbers.entries()) {
          const found = values[row * COLUMNS.length + k];
          assert.ok(distance(Number(text), found) <= 1e-6, `${symbol} ${date} ${COLUMNS[k]}: ${found} instead of ${text}`);
        }
        compared++;
      }
      assert.equal(compared, 15_561);
    });
});

describe("prices that break formulas", () => {
  test("a price that never moved has volatility, momentum, trend and target 0, and no infinity", async () => {
    const { values, warmup } = await featuresOf(Array.from({ length: 400 }, () => 42));
    assert.deepEqual(new Set(values.subarray(warmup * COLUMNS.length, 399 * COLUMNS.length)), new Set([0]));
  });

  test("a spike to 1e6 times the price leaves the trend columns' later values within 1e-6 of exact sums", async () => {
    // Once the spike has left both windows and the exponential weights, only rounding could have stayed behind.
    const calm = Array.from({ length: 2500 }, (_, t) => 100 + Math.sin(t / 9) + 0.3 * Math.sin(t * 1.7));
    const spiked = calm.map((price, t) => t === 5 ? price * 1e6 : price);
    const a = await featuresOf(calm), b = await featuresOf(spiked);
    // ewm(span 96) of the clipped spike has decayed by (1 - 1/96)^2400 = 1e-11 at row 2400.
    for (let row = 2400; row < 2499; row++) {
      for (const name of ["macd_8_24", "macd_16_48", "pos_tsmom"]) {
        const at = row * COLUMNS.length + COLUMNS.indexOf(name);
        assert.ok(distance(a.values[at], b.values[at]) < 1e-6, `row ${row} ${name}: ${b.values[at]} and ${a.values[at]}`);
      }
    }
  });
});
