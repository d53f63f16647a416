import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, test } from "node:test";
import { random } from "../src/base/random.ts";
import { parseDay } from "../src/base/units.ts";
import type { InstrumentInput } from "../src/backtest/input.ts";
import { resultJson, resultSchema } from "../src/backtest/json.ts";
import { periodsOf } from "../src/backtest/periods.ts";
import type { BacktestResult, Summary } from "../src/backtest/result.ts";
import { reportText } from "../src/backtest/text.ts";
import { runVector } from "../src/backtest/vector.ts";
import type { Batch } from "../src/dataset/batch.ts";
import { BASELINES, type BaselineName } from "../src/strategy/baselines.ts";
import { NO_COSTS } from "../src/strategy/costs.ts";
import { NO_LIMITS } from "../src/strategy/risk.ts";
import type { Strategy } from "../src/strategy/strategy.ts";
import { inputOf, member, ROWS, smallMarket, weekday, years } from "./backtest-market.ts";

const small = smallMarket();
const NAMES = Object.keys(BASELINES) as BaselineName[];
const bps = (costBps: number, borrowBps = 0, financingBps = 0) => ({ ...NO_COSTS, costBps, borrowBps, financingBps });

interface Expected {
  lastClose: Record<string, number>;
  cases: { strategy: BaselineName; lag: 0 | 1; carried: boolean; costBps: number; borrowBps: number; average: Summary;
    windows: (Summary & { instruments: number; periods: number })[] }[];
}
const expected = JSON.parse(
  fs.readFileSync(path.join(import.meta.dirname, "fixtures", "backtest-expected.json"), "utf8")) as Expected;

/** Every number that `want` has, relative above 1, absolute below. */
function same(actual: object, want: object, tolerance: number, message: string): void {
  for (const [name, value] of Object.entries(want) as [string, number][]) {
    const found = (actual as Record<string, number>)[name];
    const most = tolerance * Math.max(1, Math.abs(value));
    assert.ok(Math.abs(found - value) <= most, `${message} ${name}: ${found} is not ${value}`);
  }
}

describe("against pandas (test/fixtures/backtest.py, pandas 3.1)", () => {
  test("the 5 instruments end on the same closes to the bit", () => {
    for (const { instrument, adjustedClose } of small) assert.equal(adjustedClose.at(-1), expected.lastClose[instrument.symbol]);
  });

  for (const { strategy, lag, carried, costBps, borrowBps, windows, average } of expected.cases) {
    const title = `${strategy}, lag ${lag}, ${costBps} bps, borrow ${borrowBps} bps, ${carried ? "carried book" : "flat starts"}`;
    // Features are float32: 6e-8 relative on each weight, and ratios of small sums lose a digit more.
    test(`${title}: 2 windows and their average, 8 numbers each, to 5e-6`, async () => {
      const result = await runVector(inputOf(small, BASELINES[strategy], {
        windows: [years(2001, 2001), years(2002, 2002)], lag, costs: bps(costBps, borrowBps),
        ...(carried ? { bookFrom: parseDay("1999-01-04")! } : {}),
      }));
      result.windows.forEach((window, k) => { same(window, windows[k], 5e-6, `window ${k}`); });
      same(result.average, average, 5e-6, "average");
    });
  }
});

/** The same instrument with other prices from row `from` on. */
function withFuture(one: InstrumentInput, from: number, factor: number): InstrumentInput {
  const close = one.adjustedClose.map((price, row) => row >= from ? price * factor * (1 + 0.3 * Math.sin(row)) : price);
  return member(one.instrument.symbol, [...one.bars.time], [...close], one.instrument.assetClass);
}

const exposureAt = (result: BacktestResult, moment: number): number[] => {
  const at = result.curve.time.indexOf(moment);
  return [result.curve.grossExposure[at], result.curve.netExposure[at], result.curve.turnover[at]];
};

describe("properties", () => {
  test("changing prices after row 700 changes no exposure and no return up to it, for 3 strategies and both lags", async () => {
    const cut = weekday(700);
    const changed = small.map((one) => withFuture(one, one.bars.time.findIndex((time) => time > cut), 1.5));
    for (const name of NAMES) {
      for (const lag of [0, 1] as const) {
        const settings = { lag, portfolioTarget: 0.1, costs: bps(2) };
        const before = await runVector(inputOf(small, BASELINES[name], settings));
        const after = await runVector(inputOf(changed, BASELINES[name], settings));
        let compared = 0;
        for (const [d, time] of before.curve.time.entries()) {
          if (time > cut) break;
          assert.deepEqual(exposureAt(after, time), exposureAt(before, time), `${name} at ${d}`);
          const isEarned = time < weekday(700 - lag - 1);      // its return was over before the change
          if (isEarned) assert.equal(after.curve.netReturn[d], before.curve.netReturn[d], `${name} return at ${d}`);
          compared++;
        }
        assert.ok(compared > 300, `${compared} dates`);
      }
    }
  });

  test("a constant position at constant volatility is buy and hold times target / (volatility sqrt 252), exactly", async () => {
    const hold: Strategy = { ...BASELINES["long-only"], name: "hold", decide: (batch) => Promise.resolve({
      position: new Float32Array(batch.time.length).fill(0.5), volatility: new Float32Array(batch.time.length).fill(2 ** -7),
      confidence: new Float32Array(batch.time.length).fill(1),
    }) };
    const [one] = small;
    const { curve } = await runVector(inputOf([one], hold));
    const weight = 0.5 * 0.15 / (2 ** -7 * Math.sqrt(252));
    for (let d = 0; d < curve.time.length; d++) {
      const row = one.bars.time.indexOf(curve.time[d]);
      const own = one.adjustedClose[row + 1] / one.adjustedClose[row] - 1;
      assert.ok(Math.abs(curve.netReturn[d] - weight * own) < 1e-15, `day ${d}`);
    }
  });

  test("returns drawn anew from their own days leave tsmom and macd nothing: |mean Sharpe| < 0.3 (seeds 1..30)", async () => {
    // With replacement: a mere shuffle keeps the total, so that a good past means a bad future.
    const trending = await runVector(inputOf(small, BASELINES.macd));
    assert.ok(trending.average.sharpe > 0.8, `the market they are drawn from does trend: ${trending.average.sharpe}`);
    let tsmom = 0, macd = 0;
    for (let seed = 1; seed <= 30; seed++) {
      const drawn = small.filter((one) => one.adjustedClose.length === ROWS).map((one) => {
        const draw = random(seed, "resample", one.instrument.symbol), close = one.adjustedClose;
        const mean = Math.log(close[ROWS - 1] / close[0]) / (ROWS - 1);
        let price = 100;
        const other = Array.from(close, () => {
          const row = 1 + draw.below(ROWS - 1);
          return price *= Math.exp(Math.log(close[row] / close[row - 1]) - mean);
        });
        return member(one.instrument.symbol, [...one.bars.time], other);
      });
      tsmom += (await runVector(inputOf(drawn, BASELINES.tsmom))).average.sharpe / 30;
      macd += (await runVector(inputOf(drawn, BASELINES.macd))).average.sharpe / 30;
    }
    assert.ok(Math.abs(tsmom) < 0.3 && Math.abs(macd) < 0.3, `mean Sharpe ${tsmom}, ${macd}`);
  });

  test("returns fall as each cost rises, and the ladder's 3 bps equal a run at 3 bps", async () => {
    const free = await runVector(inputOf(small));
    for (const costs of [bps(3), bps(0, 80), bps(0, 0, 80)]) {
      const paid = await runVector(inputOf(small, BASELINES.tsmom, { costs }));
      assert.ok(paid.average.annualReturn < free.average.annualReturn, JSON.stringify(costs));
      assert.deepEqual(paid.curve.grossReturn, free.curve.grossReturn);
    }
    const ladder = free.costLadder;
    for (let k = 1; k < ladder.length; k++) assert.ok(ladder[k].sharpe < ladder[k - 1].sharpe);
    const paid = await runVector(inputOf(small, BASELINES.tsmom, { costs: bps(3, 20, 30) }));
    const bare = await runVector(inputOf(small, BASELINES.tsmom, { costs: bps(0, 20, 30) }));
    same(bare.costLadder.find((row) => row.costBps === 3)!, { sharpe: paid.average.sharpe }, 1e-12, "ladder");
    assert.deepEqual(paid.costLadder.map((row) => row.sharpe.toFixed(9)), bare.costLadder.map((row) => row.sharpe.toFixed(9)));
  });

  test("the portfolio target of 10 % gives 10 % volatility within a tenth, and looks at past returns only", async () => {
    const scaled = await runVector(inputOf(small, BASELINES.macd, { portfolioTarget: 0.1 }));
    assert.ok(Math.abs(scaled.average.volatility - 0.1) < 0.01, String(scaled.average.volatility));
  });

  test("with holes in the data, closes after day 696 change no exposure up to it, scaled and limited (lag 0 and 1)", async () => {
    const late = smallMarket().map((one) => {
      // The day that matters: HOLES has no bar on it, and a return over the hole must not be known yet.
      const close = Array.from(one.adjustedClose, (price, row) => one.bars.time[row] > weekday(696) ? price * 1.5 : price);
      return member(one.instrument.symbol, [...one.bars.time], close, one.instrument.assetClass);
    });
    const limits = { ...NO_LIMITS, varParametricMax: 0.01, dailyLossMax: 0.004 };
    for (const lag of [0, 1] as const) {
      for (const settings of [{ lag, portfolioTarget: 0.1 }, { lag, limits }, { lag, portfolioTarget: 0.1, limits }]) {
        const before = await runVector(inputOf(small, BASELINES.tsmom, settings));
        const after = await runVector(inputOf(late, BASELINES.tsmom, settings));
        const end = before.curve.time.findIndex((moment) => moment > weekday(696));
        assert.ok(end > 100);
        assert.deepEqual(after.curve.grossExposure.subarray(0, end), before.curve.grossExposure.subarray(0, end));
        assert.notDeepEqual(after.curve.grossExposure, before.curve.grossExposure);
      }
    }
  });

  test("a leverage cap of 1 binds for the calm instrument, is told, and holds after the second scaling", async () => {
    const result = await runVector(inputOf(small, BASELINES["long-only"], { weightMax: 1, portfolioTarget: 0.5 }));
    assert.ok(Math.max(...result.curve.grossExposure) <= 1 + 1e-12);
    const said = result.notes.join("\n");
    assert.ok(/would have been larger than 1 and were clipped/.test(said), said);
  });

  test("limits: gross exposure 0.7 is kept where all can be traded, a 3 % drawdown closes everything for good", async () => {
    const gross = await runVector(inputOf(small, BASELINES.tsmom, { limits: { ...NO_LIMITS, grossMax: 0.7 } }));
    const holes = new Set(small.find((one) => one.instrument.symbol === "HOLES")!.bars.time);
    gross.curve.grossExposure.forEach((exposure, d) => {
      // What has no bar cannot be traded, so its part stays above the limit until it has one.
      assert.ok(exposure <= (holes.has(gross.curve.time[d]) ? 0.7 + 1e-9 : 0.75), `day ${d}: ${exposure}`);
    });
    const halted = await runVector(inputOf(small, BASELINES.tsmom, { limits: { ...NO_LIMITS, drawdownMax: 0.03 } }));
    assert.equal(halted.curve.grossExposure.at(-1), 0);
    assert.ok(halted.average.maxDrawdown < 0.06, String(halted.average.maxDrawdown));
    assert.ok(halted.notes.some((note) => note.includes("drawdown limit")));
  });

  test("contributions of instruments and of classes add up to the portfolio's summed return to 1e-12", async () => {
    const result = await runVector(inputOf(small, BASELINES.macd,
      { windows: [years(2001, 2001), years(2002, 2002)], costs: bps(2, 30) }));
    const total = result.curve.netReturn.reduce((sum, value) => sum + value, 0);
    for (const rows of [result.instruments, result.classes]) {
      assert.ok(Math.abs(rows.reduce((sum, row) => sum + row.contribution, 0) - total) < 1e-12);
    }
    assert.deepEqual(result.classes.map((row) => row.name).sort(), ["bond", "energy", "equity", "fx"]);
  });

  test("batches come in time order, hold whole dates, at most 65,536 rows, and never a NaN, with a lookback of 3", async () => {
    let rows = 0, last = -Infinity;
    const seen: Strategy = { ...BASELINES.macd, name: "seen", lookback: 3, decide: (batch) => {
      assert.ok(batch.time.length <= 65_536 && batch.time[0] > last);
      for (let b = 1; b < batch.time.length; b++) {
        assert.ok(batch.time[b] > batch.time[b - 1]
          || (batch.time[b] === batch.time[b - 1] && batch.instrument[b] > batch.instrument[b - 1]));
      }
      last = batch.time.at(-1)!;
      rows += batch.time.length;
      assert.ok(batch.features.every((value) => !Number.isNaN(value)));
      assert.equal(batch.features.length, batch.time.length * 3 * batch.names.length);
      return BASELINES.macd.decide(batch);
    } };
    const result = await runVector(inputOf(small, seen));
    // 314 rows of warm-up, 2 more for the lookback, and the last row, which earns nothing.
    assert.equal(rows, small.reduce((sum, one) => sum + one.bars.time.length - 317, 0));
    // An instrument is active on its own dates and on those it only lives through: HOLES has a hole in 17.
    const lived = small.find((one) => one.instrument.symbol === "HOLES")!.bars.time;
    const dates = [...result.curve.time].filter((moment) => moment >= lived[316] && moment < lived.at(-2)!);
    const between = dates.filter((moment) => !lived.includes(moment)).length;
    assert.equal(result.curve.active.reduce((sum, value) => sum + value, 0), rows + between);
  });

  test("a session of 3 hourly bars and one of 5 make a year of 252 x 4 periods, a daily year has 252 (hand)", () => {
    const hour = 3_600_000, open = Date.UTC(2024, 0, 9, 14, 30);
    const time = Float64Array.from([1, 2, 3, 25, 26, 27, 28, 33.5], (hours) => open + hours * hour);
    assert.equal(periodsOf(time, { timeframe: "1h", calendar: "us-equity" }), 252 * 4);   // 24:00 UTC is 19:00 in New York
    assert.equal(periodsOf(time, { timeframe: "1d", calendar: "us-equity" }), 252);
  });

  test("a Sharpe ratio above 3 is announced as an alarm", async () => {
    const close = Array.from({ length: 500 }, (_, t) => 100 * 1.001 ** t * (1 + 0.0005 * Math.sin(t)));
    const { notes, average } = await runVector(inputOf([member("UP", close.map((_, t) => weekday(t)), close)]));
    assert.ok(average.sharpe > 3);
    assert.ok(notes.some((note) => note.startsWith("A Sharpe ratio above 3")), notes.join("\n"));
  });
});

/** A strategy of a user's that goes wrong for MILD on one day. */
function faulty(spoil: (position: Float32Array, volatility: Float32Array, b: number) => void): Strategy {
  return { ...BASELINES.tsmom, name: "mine", decide: async (batch: Batch) => {
    const decision = await BASELINES.tsmom.decide(batch);
    for (let b = 0; b < batch.time.length; b++) {
      if (batch.time[b] !== weekday(600) || batch.symbols[batch.instrument[b]] !== "MILD") continue;
      spoil(decision.position, decision.volatility, b);
    }
    return decision;
  } };
}

describe("a user's strategy that breaks its promise is told where", () => {
  const where = "for MILD on 2001-04-23";
  const cases: [string, Strategy, RegExp][] = [
    ["NaN", faulty((position, _, b) => { position[b] = NaN; }), new RegExp(`mine gave the position NaN ${where}`)],
    ["1.5", faulty((position, _, b) => { position[b] = 1.5; }),
      new RegExp(`the position 1.5 ${where}; expected a number in \\[-1, 1\\]`)],
    ["-1 volatility", faulty((_, volatility, b) => { volatility[b] = -1; }), new RegExp(`the volatility -1 ${where}`)],
    ["throwing", faulty(() => { throw new Error("no idea"); }), /strategy mine failed for .* on .*: no idea/],
    ["too few answers", { ...BASELINES.tsmom, name: "mine", decide: () => Promise.resolve({ position: new Float32Array(1),
      volatility: new Float32Array(1), confidence: new Float32Array(1) }) }, /mine gave 1 values of position for \d+ rows/],
  ];
  for (const [what, strategy, pattern] of cases) {
    test(`${what}: one sentence with instrument and day`, async () => {
      await assert.rejects(runVector(inputOf(small, strategy)), pattern);
    });
  }
});

describe("output", () => {
  const run = (): Promise<BacktestResult> => runVector(inputOf(small, BASELINES.tsmom,
    { windows: [years(2000, 2000), years(2001, 2001), years(2002, 2002)], costs: bps(1) }, BASELINES["long-only"]));

  test("the JSON fulfils its schema, holds no series, and NaN is null", async () => {
    const result = await run();
    const json = resultSchema.parse(JSON.parse(JSON.stringify(resultJson(result, null))));
    assert.equal(json.windows.length, 3);
    assert.ok(!("curve" in json) && !JSON.stringify(json).includes("netReturn"));
    assert.ok(JSON.stringify(json).length < 20_000);
    const empty = resultJson({ ...result, risk: { ...result.risk, informationRatio: NaN } }, null);
    assert.equal(empty.risk.informationRatio, null);
  });

  test("the README names every field of the JSON", () => {
    const readme = fs.readFileSync(path.join(import.meta.dirname, "..", "README.md"), "utf8");
    const section = readme.slice(readme.indexOf("## JSON"), readme.indexOf("## Install"));
    const { shape } = resultSchema;
    const names = [shape, shape.risk.shape, shape.windows.element.shape, shape.instruments.element.shape,
      shape.costLadder.element.shape, shape.differences.element.shape].flatMap((fields) => Object.keys(fields));
    for (const name of names) assert.ok(new RegExp(`\`${name}(\\[\\])?\``).test(section), name);
  });

  test("the text fits 100 columns, names the synthetic market, the benchmark and every window", async () => {
    const result = await run();
    const text = reportText({ ...result, notes: [...result.notes, "word ".repeat(60)] });
    for (const line of text.split("\n")) assert.ok(line.length <= 100, `${line.length}: ${line}`);
    for (const word of ["SYNTHETIC", "long-only, average (benchmark)", "2000-", "average", "10 bps", "VaR 95%", "energy"]) {
      assert.ok(text.includes(word), `${word} in\n${text}`);
    }
  });

  test("the benchmark is the same strategy's own run on the same dates, and its information ratio follows", async () => {
    const result = await run();
    const alone = await runVector(inputOf(small, BASELINES["long-only"],
      { windows: [years(2000, 2000), years(2001, 2001), years(2002, 2002)], costs: bps(1) }));
    assert.deepEqual(result.benchmark!.average, alone.average);
    assert.deepEqual(result.benchmark!.netReturn, alone.curve.netReturn);
    assert.ok(Number.isFinite(result.risk.informationRatio));
  });
});
