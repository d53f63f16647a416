/** The technical families against TA-Lib, pandas, numpy and printed worksheets (test/fixtures/technical.py). */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { describe, test } from "node:test";
import { FAMILIES } from "../src/features/families.ts";
import type { Feature } from "../src/features/feature.ts";
import { bind, computeFeatures } from "../src/features/panel.ts";
import { readRecipe } from "../src/features/recipe.ts";
import type { RecipeFeature } from "../src/features/recipes.ts";
import { INDICATORS, TECHNICAL_RECIPE } from "../src/features/technical.ts";
import type { Bars } from "../src/market/bars.ts";
import { calendar } from "../src/market/calendar.ts";
import { instrument } from "../src/market/instrument.ts";

interface Answers {
  bars: Record<"time" | "open" | "high" | "low" | "close" | "volume", number[]>;
  expected: Record<string, { first: number; cells: Record<string, number> }>;
}
const place = path.join(import.meta.dirname, "fixtures", "technical.json");
const answers = JSON.parse(fs.readFileSync(place, "utf8")) as Answers;

function barsOf(columns: Partial<Record<"open" | "high" | "low" | "close" | "volume", readonly number[]>>,
  time?: readonly number[]): Bars {
  const rows = columns.close?.length ?? 0;
  return {
    instrument: instrument("TEST"), kind: "bars", timeframe: "1h",
    time: Float64Array.from({ length: rows }, (_, t) => time?.[t] ?? t * 3_600_000),
    columns: Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, Float64Array.from(values)])),
  };
}

const MARKET = { calendar: calendar("us-equity"), timeframe: "1h" } as const;
const make = ({ family, ...parameters }: RecipeFeature): Feature =>
  FAMILIES[family as keyof typeof FAMILIES].make(parameters, MARKET);

/** Columns of a feature by name. */
function compute(feature: Feature, bars: Bars): Map<string, Float32Array> {
  const rows = bars.time.length, width = feature.columns.length;
  const state = new Float64Array(feature.stateLength), out = new Float32Array(rows * width);
  feature.start(state);
  feature.update(bars, 0, rows, state, out, 0, width);
  return new Map(feature.columns.map(({ name }, k) =>
    [name, Float32Array.from({ length: rows }, (_, t) => out[t * width + k])]));
}

/** A value of a one-column family after the last close. */
function last(family: string, parameters: Record<string, unknown>, columns: Parameters<typeof barsOf>[0]): number {
  const values = [...compute(make({ family, ...parameters }), barsOf(columns)).values()][0];
  return values[values.length - 1];
}

/** Float32 results: 2^-24 relative is one rounding; the rest is for values that nearly cancel. */
const near = (actual: number, expected: number, what: string): void => {
  assert.ok(Math.abs(actual - expected) <= 1.5e-7 * Math.abs(expected) + 2e-9, `${what}: ${actual}, not ${expected}`);
};

describe("300 seeded bars", () => {
  const { time, ...columns } = answers.bars;
  const computed = new Map<string, Float32Array>();
  for (const part of [...TECHNICAL_RECIPE, { family: "wma", windows: [20] }]) {
    for (const [name, values] of compute(make(part), barsOf(columns, time))) computed.set(name, values);
  }
  for (const [name, { first, cells }] of Object.entries(answers.expected)) {
    test(`${name} has its first value at row ${first} and equals the oracle in ${Object.keys(cells).length} cells`, () => {
      const values = computed.get(name);
      assert.ok(values, `${name} is not in the recipe`);
      assert.equal(values.findIndex((value) => !Number.isNaN(value)), first);
      for (const [row, expected] of Object.entries(cells)) near(values[Number(row)], expected, `row ${row}`);
    });
  }
});

describe("numbers worked out elsewhere", () => {
  test("RSI 14 of ChartSchool's worksheet is 70.53, 66.32, 66.55, ... 37.77 (StockCharts, cs-rsi.xls, 33 closes)", () => {
    const close = [44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826, 45.8931,
      46.0328, 45.6140, 46.2820, 46.2820, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439, 46.2122, 46.2521, 45.7137,
      46.4515, 45.7835, 45.3548, 44.0288, 44.1783, 44.2181, 44.5672, 43.4205, 42.6628, 43.1314];
    const printed = ["70.53", "66.32", "66.55", "69.41", "66.36", "57.97", "62.93", "63.26", "56.06", "62.38", "54.71",
      "50.42", "39.99", "41.46", "41.87", "45.46", "37.30", "33.08", "37.77"];
    const rsi = compute(make({ family: "rsi", windows: [14] }), barsOf({ close })).get("rsi_14")!;
    assert.ok(rsi.subarray(0, 14).every(Number.isNaN));
    assert.deepEqual([...rsi.subarray(14)].map((value) => value.toFixed(2)), printed);
  });

  test("closes 10, 11, 10.5, 12 have a simple RSI of 100 x 2.5 / 3 = 83.33 over 3 changes (by hand)", () => {
    near(last("rsi_simple", { windows: [3] }, { close: [10, 11, 10.5, 12] }), 250 / 3, "rsi_simple_3");
  });

  test("closes 2, 4, 6, 8 lie sqrt(5)/5 above the middle of bands of 2 deviations: %b = 0.8354 (by hand)", () => {
    // mean 5, variance 5, lower 5 - 2 sqrt 5, width 4 sqrt 5
    near(last("bollinger", { windows: [4], outputs: ["position"] }, { close: [2, 4, 6, 8] }),
      (8 - 5 + 2 * Math.sqrt(5)) / (4 * Math.sqrt(5)), "position");
  });

  test("two bars of 100 shares at 10 and 300 at 12 cost 11.5 a share (by hand)", () => {
    near(last("vwap", { windows: [2], outputs: ["vwap"] },
      { high: [10, 12], low: [10, 12], close: [10, 12], volume: [100, 300] }), 11.5, "vwap_2");
  });

  test("a session's VWAP starts anew with the session: 10, 11, then 20 (by hand)", () => {
    const price = [10, 12, 20], volume = [100, 100, 50];
    const time = ["2024-01-08T15:00Z", "2024-01-08T16:00Z", "2024-01-09T15:00Z"].map((text) => Date.parse(text));
    const bars = barsOf({ high: price, low: price, close: price, volume }, time);
    assert.deepEqual([...compute(make({ family: "vwap_session" }), bars).get("vwap_session")!], [10, 11, 20]);
  });

  test("a bar that closes at New York's midnight (05:00 UTC in winter) ends the session before: 10, 11, then 20", () => {
    const price = [10, 12, 20], volume = [100, 100, 50];
    const time = ["2024-01-09T04:00Z", "2024-01-09T05:00Z", "2024-01-09T06:00Z"].map((text) => Date.parse(text));
    const bars = barsOf({ high: price, low: price, close: price, volume }, time);
    assert.deepEqual([...compute(make({ family: "vwap_session" }), bars).get("vwap_session")!], [10, 11, 20]);
  });

  test("pre-market counts with its day, and the day turns an hour earlier by UTC after the change to summer time", () => {
    // 2014: New York's midnight is 05:00 UTC on Saturday 8 March, 04:00 UTC on Tuesday 11 March.
    const times = ["2014-03-07T13:01Z", "2014-03-08T01:00Z", "2014-03-08T05:00Z", "2014-03-10T08:06Z", "2014-03-10T13:31Z",
      "2014-03-11T04:00Z", "2014-03-11T04:01Z"].map((text) => Date.parse(text));
    const price = [10, 12, 14, 20, 22, 24, 30];
    const bars = barsOf({ high: price, low: price, close: price, volume: price.map(() => 100) }, times);
    assert.deepEqual([...compute(make({ family: "vwap_session" }), bars).get("vwap_session")!],
      [10, 11, 12, 20, 21, 22, 30]);
  });

  test("true ranges 2, 3 and 4 after the first bar average to an ATR of 3 (by hand; a gap counts)", () => {
    // bar 1: 11-9; bar 2: high 14 against the close of 11; bar 3: low 9 against the close of 13
    near(last("atr", { windows: [3] },
      { high: [10, 11, 14, 12], low: [9, 9, 12, 9], close: [10, 11, 13, 10] }), 3, "atr_3");
  });

  test("10, 11, 10, 13 moved 3 on a path of 5: efficiency 0.6 (by hand)", () => {
    near(last("efficiency", { windows: [3] }, { close: [10, 11, 10, 13] }), 0.6, "efficiency_3");
  });
});

describe("conventions where a formula divides by nothing", () => {
  const rows = 600, price = Array.from({ length: rows }, () => 7), none = price.map(() => 0);
  const still = barsOf({ open: price, high: price, low: price, close: price, volume: none });
  const computed = new Map(TECHNICAL_RECIPE.flatMap((part) => [...compute(make(part), still)]));
  const expected: Record<string, number> = {
    rsi_14: 50, rsi_simple_14: 50, macd_12_26_9: 0, ppo_histogram_12_26_9: 0, bollinger_upper_20: 7,
    bollinger_position_20: 0.5, bollinger_width_20: 0, vwap_session: 7, vwap_20: 7, vwap_distance_50: 0, momentum_10: 0,
    roc_21: 0, momentum_z_21: 0, efficiency_10: 0, trend_slope_63: 0, trend_r2_63: 0, atr_14: 0, natr_14: 0,
    plus_di_14: 0, adx_14: 0, stochastic_k_14: 50, stochastic_d_14_3: 50, williams_r_14: -50, distance_high_20: 0,
    cci_20: 0, volume_ratio_20: 1, volume_zscore_20: 0, obv_ratio_20: 0, obv_zscore_20: 0, mfi_14: 50, money_flow_20: 0,
    volume_return_correlation_21: 0, close_location: 0, body: 0, gap: 0, parkinson_21: 0, rogers_satchell_21: 0,
    range_ratio_10: 1, sma_20: 7, return_std_21: 0, return_skew_21: 0, return_kurt_21: 0, return_autocorrelation_21: 0,
    return_zscore_21: 0, return_up_share_10: 0,
  };
  test("one price for ever and no volume: 45 documented values, and every column finite", () => {
    for (const [name, value] of Object.entries(expected)) {
      const column = computed.get(name);
      assert.ok(column, `${name} is not in the recipe`);
      near(column[rows - 1], value, name);
    }
    assert.equal(Object.keys(expected).length, 45);
    for (const [name, column] of computed) assert.ok(Number.isFinite(column[rows - 1]), name);
  });

  test("an absent high, low, open or volume of one bar is mended: every column is finite one row later", () => {
    const { time, ...columns } = answers.bars;
    const bars = barsOf(columns, time);
    for (const name of ["open", "high", "low", "volume"] as const) bars.columns[name]![280] = NaN;
    for (const part of TECHNICAL_RECIPE) {
      for (const [name, column] of compute(make(part), bars)) assert.ok(Number.isFinite(column[281]), name);
    }
  });
});

describe("the recipe", () => {
  const columns = TECHNICAL_RECIPE.flatMap((part) => make(part).columns);
  test("has about 200 columns, each named once, 12 of them in price", () => {
    assert.equal(columns.length, 207);
    assert.equal(new Set(columns.map((column) => column.name)).size, columns.length);
    assert.equal(columns.filter((column) => column.unit === "price").length, 12);
  });

  test("needs 252 bars or fewer before its last column begins", () => {
    assert.equal(Math.max(...columns.map((column) => column.warmup)), 252);
  });

  test("the six choices of the seed's search space are names of indicators", () => {
    for (const name of ["rsi", "macd", "bollinger", "vwap", "momentum", "all_indicators"] as const) {
      assert.ok(INDICATORS[name].length > 0, name);
    }
  });
});

describe("a panel of closes alone", () => {
  test("is refused by the technical recipe in one sentence that names its 4 missing columns", async () => {
    const panel = bind(await readRecipe(os.tmpdir(), "technical"), MARKET);
    assert.throws(() => computeFeatures(panel, barsOf({ close: [1, 2, 3] })),
      /needs the column "high" .*which TEST does not have \(it has close\); it also lacks "low", "volume", "open"/);
  });
});
