import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { random, type Random } from "../src/base/random.ts";
import { day } from "../src/base/units.ts";
import { TAPE_FIELDS } from "../src/backtest/event-orders.ts";
import { buildTimeline } from "../src/backtest/event-plan.ts";
import { Replay } from "../src/backtest/event-replay.ts";
import { perform, termsOf } from "../src/backtest/event-stage.ts";
import { runEvent } from "../src/backtest/event.ts";
import type { BacktestInput, BacktestSettings, InstrumentInput } from "../src/backtest/input.ts";
import type { BacktestResult } from "../src/backtest/result.ts";
import { runVector } from "../src/backtest/vector.ts";
import { NO_LIMITS } from "../src/strategy/risk.ts";
import { FIRST_DAY, inputOf, market, quoted, stageOf } from "./event-input.ts";

const grown = (returns: Float64Array): number => returns.reduce((growth, value) => growth * (1 + value), 1) - 1;

function furthest(a: Float64Array, b: Float64Array): number {
  assert.equal(a.length, b.length);
  return a.reduce((most, value, d) => Math.max(most, Math.abs(value - b[d])), 0);
}

const window = (from: number, to: number): BacktestSettings["windows"][number] =>
  ({ from: day(FIRST_DAY + from), to: day(FIRST_DAY + to) });

describe("both engines", () => {
  const cases: readonly [string, Partial<BacktestSettings>][] = [
    ["trading at the close decided on", {}],
    ["trading a bar later", { lag: 1 }],
    ["the whole portfolio scaled to 10 %", { portfolioTarget: 0.1 }],
    ["the whole portfolio scaled to 10 %, a bar later", { portfolioTarget: 0.1, lag: 1 }],
    ["weights capped at 0.5", { weightMax: 0.5 }],
    ["weights capped at 0.5 after scaling the portfolio up to 30 %", { weightMax: 0.5, portfolioTarget: 0.3 }],
    ["three windows of their own", { windows: [window(10, 80), window(81, 160), window(200, 260)] }],
    ["three windows in one book from day 5", { windows: [window(40, 80), window(81, 160), window(200, 260)],
      bookFrom: day(FIRST_DAY + 5), portfolioTarget: 0.1 }],
    ["three windows in one book from day 5, a bar later", { windows: [window(40, 80), window(81, 160), window(200, 260)],
      bookFrom: day(FIRST_DAY + 5), lag: 1 }],
  ];
  for (const [name, settings] of cases) {
    test(`give the same net returns to 1e-12 without friction on shared dates: ${name}`, async () => {
      for (const seed of [1, 2, 3]) {
        const input = inputOf(market(seed, { instruments: 7, days: 300 }), settings);
        const vector = await runVector(input), event = await runEvent(input);
        const off = furthest(event.curve.netReturn, vector.curve.netReturn);
        assert.ok(off <= 1e-12, `seed ${seed}: ${off}`);
        assert.ok(furthest(event.curve.grossExposure, vector.curve.grossExposure) < 1e-12, `seed ${seed}: exposure`);
        assert.deepEqual(event.windows.map(({ from, to, instruments, periods }) => ({ from, to, instruments, periods })),
          vector.windows.map(({ from, to, instruments, periods }) => ({ from, to, instruments, periods })));
        event.instruments.forEach((row, i) => {
          assert.equal(row.periods, vector.instruments[i].periods);
          assert.ok(Math.abs(row.contribution - vector.instruments[i].contribution) < 1e-12, `seed ${seed}: ${row.name}`);
        });
        assert.deepEqual(event.differences.map((row) => row.what), ["timing"]);
        assert.ok(Math.abs(event.differences[0].returnDifference) < 1e-12);
      }
    });
  }

  test("agree to 1e-12 under a gross limit of 0.3 when an instrument ends: what is gone counts no more", async () => {
    for (const lag of [0, 1] as const) {
      const [first, ...rest] = market(5, { instruments: 3, days: 160 });
      const time = first.bars.time.slice(0, 60);
      const gone = { ...first, bars: { ...first.bars, time,
        columns: { close: first.bars.columns.close!.slice(0, 60) } }, adjustedClose: first.adjustedClose.slice(0, 60),
        features: { ...first.features, time, values: first.features.values.slice(0, 120) } };
      const input = inputOf([gone, ...rest], { lag, limits: { ...NO_LIMITS, grossMax: 0.3 } });
      const event = await runEvent(input), vector = await runVector(input);
      assert.ok(furthest(event.curve.netReturn, vector.curve.netReturn) < 1e-12, `lag ${lag}`);
      assert.ok(Math.max(...vector.curve.grossExposure.subarray(70)) > 0.3 - 1e-12, `lag ${lag}`);
    }
  });

  test("charge the same borrow and financing to 1e-12 when nothing else is charged", async () => {
    const costs = { costBps: 0, isHalfSpreadCharged: false, borrowBps: 300, financingBps: 200 };
    const input = inputOf(market(5, { instruments: 4, days: 200 }), { costs, volatilityTarget: 0.6 });
    const vector = await runVector(input), event = await runEvent(input);
    assert.ok(vector.curve.cost.some((cost) => cost > 1e-6));
    assert.ok(furthest(event.curve.netReturn, vector.curve.netReturn) < 1e-12);
  });
});

/** Settings with random frictions, so that every switch is on in some draw. */
function anySettings(draw: Random): Partial<BacktestSettings> {
  const maybe = <T>(on: T, off: T): T => draw.uniform() < 0.5 ? on : off;
  return {
    lag: maybe(0, 1), portfolioTarget: maybe<number | null>(0.12, null), isFractional: maybe(true, false),
    slippageBps: maybe(3, 0), participationMax: maybe(0.5, Infinity), capital: 10 ** (4 + 3 * draw.uniform()),
    costs: { costBps: maybe(5, 0), isHalfSpreadCharged: maybe(true, false), borrowBps: maybe(100, 0),
      financingBps: maybe(50, 0) },
    limits: maybe({ ...NO_LIMITS, grossMax: 0.5, turnoverMax: 0.4, collarBps: 150, orderNotionalMax: 1e5 }, NO_LIMITS),
    windows: maybe([window(0, 400)], [window(5, 60), window(61, 120)]),
  };
}

/** Splits and dividends at random rows; closes and opens after a split are divided, so that returns stay as they were. */
function withActions(one: InstrumentInput, draw: Random): InstrumentInput {
  const { close, open, volume } = one.bars.columns;
  if (close === undefined || open === undefined || volume === undefined) throw new Error("the market has no opens");
  const columns = { close: close.slice(), open: open.slice(), volume: volume.slice() };
  const adjustedClose = close.slice(), actions: InstrumentInput["actions"][number][] = [];
  for (let row = 20; row < close.length - 10; row += 15 + draw.below(40)) {
    const exTime = one.bars.time[row] - 6.5 * 3_600_000;
    if (draw.uniform() < 0.5) {
      const value = [2, 3, 1.5, 0.25][draw.below(4)];
      actions.push({ kind: "split", exTime, value });
      for (let t = row; t < close.length; t++) {
        columns.close[t] /= value;
        columns.open[t] /= value;
        columns.volume[t] *= value;
      }
    } else {
      const value = 0.01 * columns.close[row - 1];
      actions.push({ kind: "dividend", exTime, value });
      for (let t = 0; t < row; t++) adjustedClose[t] *= 0.99;
    }
  }
  return { ...one, bars: { ...one.bars, columns }, adjustedClose, actions };
}

/** A market of any kind and settings of any kind. */
function anyInput(seed: number): BacktestInput {
  const draw = random(seed, "event settings"), isRaw = draw.uniform() < 0.6;
  const plain = market(seed, { instruments: 2 + draw.below(5), days: 140, hasOpens: true,
    missing: draw.uniform() < 0.5 ? 0 : 0.05 });
  return inputOf(isRaw ? plain.map((one) => withActions(one, draw)) : plain, anySettings(draw), isRaw ? "raw" : "total-return");
}

const SEEDS = Array.from({ length: 60 }, (_, seed) => seed);

test("12 or 6 bars a session, weights of 0.15 / sqrt(252 x 7) bought once: each by its own year of bars", async () => {
  const hour = 3_600_000, weight = 0.15 / Math.sqrt(252 * 7);
  const bars = (symbol: string, count: number): InstrumentInput => {
    const all = Array.from({ length: 10 * count }, () => 1), one = quoted(all.map(() => 100), all);
    const time = one.bars.time.map((_, t) =>
      (FIRST_DAY + Math.floor(t / count)) * 24 * hour + (t % count + 1) * 12 / count * hour);
    return { ...one, instrument: { ...one.instrument, symbol }, bars: { ...one.bars, time },
      features: { ...one.features, time } };
  };
  const input = inputOf([bars("BUSY", 12), bars("QUIET", 6)], { periodsPerYear: 252 * 12, calendarPeriodsPerYear: 252 * 7 });
  for (const run of [runVector, runEvent]) {
    const { instruments } = await run({ ...input, dataset: { ...input.dataset, timeframe: "1h" } });
    assert.deepEqual(instruments.map((row) => row.periods), [119, 59]);
    instruments.forEach(({ name, turnover, periods }, i) => {
      const hand = weight * 252 * [12, 6][i] / periods;
      assert.ok(Math.abs(turnover - hand) < 1e-12, `${name}: ${turnover} is not ${hand}`);
    });
  }
});

test("in 60 random markets the rows of differences sum to the whole difference of total return to 1e-12", async () => {
  const seen = new Set<string>();
  for (const seed of SEEDS) {
    const input = anyInput(seed), event = await runEvent(input), vector = await runVector(input);
    const whole = grown(event.curve.netReturn) - grown(vector.curve.netReturn);
    const sum = event.differences.reduce((total, row) => total + row.returnDifference, 0);
    assert.ok(Math.abs(whole - sum) <= 1e-12, `seed ${seed}: ${whole} against ${sum}`);
    for (const row of event.differences) { seen.add(row.what); assert.ok(row.why.length > 20); }
  }
  assert.deepEqual([...seen].sort(), ["costs", "fills at the open", "order gates", "partial fills", "raw prices",
    "slippage", "timing", "whole shares"]);
});

test("at every event of 60 replays cash + sum(quantity x mark) = capital + gains - costs to 1e-9", async () => {
  for (const seed of SEEDS) {
    const input = anyInput(seed), stage = await stageOf(input), { capital } = stage.scene;
    let events = 0;
    for (const plan of stage.plans) {
      new Replay(stage.scene, plan, termsOf(input)).play((_time, account) => {
        events++;
        let held = account.cash, made = capital;
        for (let i = 0; i < account.quantity.length; i++) {
          held += account.quantity[i] * account.mark[i];
          made += account.gain[i] - account.paid[i];
        }
        assert.equal(account.equity(), held, `seed ${seed}`);
        assert.ok(Math.abs(held - made) <= 1e-9 * capital, `seed ${seed}: ${held} against ${made}`);
      });
    }
    assert.ok(events >= 100, `seed ${seed}: ${events} events`);
  }
});

test("the money of 60 replays is conserved: equity = capital + the fills' worth - fees + dividends", async () => {
  for (const seed of SEEDS) {
    const input = anyInput(seed), stage = await stageOf({ ...input, instruments: input.instruments.map((one) => ({ ...one,
      actions: one.actions.filter((action) => action.kind === "dividend") })),
      settings: { ...input.settings, costs: { ...input.settings.costs, borrowBps: 0, financingBps: 0 } } });
    for (const plan of stage.plans) {
      const replay = new Replay(stage.scene, plan, termsOf(stage.input), true), { account } = replay;
      const { equity } = replay.play();
      let money = stage.scene.capital + account.dividends;
      const rows = replay.tape.rows(), width = TAPE_FIELDS.length, units = new Float64Array(account.quantity.length);
      for (let at = 0; at < rows.length; at += width) {
        const [order, , i, ordered, filled, price, fee] = rows.subarray(at, at + width);
        assert.equal(order, at / width + 1);
        assert.ok(filled * ordered >= 0 && Math.abs(filled) <= Math.abs(ordered), `seed ${seed}: filled more than ordered`);
        money -= filled * price + fee;
        units[i] += filled;
      }
      units.forEach((quantity, i) => {
        const most = 1e-9 * Math.max(1, Math.abs(quantity));
        assert.ok(Math.abs(quantity - account.quantity[i]) <= most, `seed ${seed}: a fill without an order`);
        money += quantity * account.mark[i];
      });
      const off = Math.abs(money - equity.at(-1)!);
      assert.ok(off <= 1e-9 * stage.scene.capital, `seed ${seed}: ${money} against ${equity.at(-1)}`);
    }
  }
});

test("changing every price and feature after day 90 changes no bit of the equity before, in 30 random markets", async () => {
  for (const seed of SEEDS.slice(0, 30)) {
    const input = anyInput(seed), cut = (FIRST_DAY + 90) * 86_400_000;
    const after = (one: InstrumentInput, values: Float64Array | Float32Array, width: number): typeof values =>
      values.map((value, at) => one.bars.time[Math.floor(at / width)] >= cut ? value * 0.63 : value);
    const other = { ...input, instruments: input.instruments.map((one) => ({
      ...one, bars: { ...one.bars, columns: Object.fromEntries(Object.entries(one.bars.columns).map(([name, values]) =>
        [name, after(one, values, 1)])) },
      adjustedClose: after(one, one.adjustedClose, 1),
      features: { ...one.features, values: after(one, one.features.values, 2) },
    })) } as BacktestInput;
    const heard = async (of: BacktestInput): Promise<number[]> => {
      const stage = await stageOf(of), seen: number[] = [];
      for (const plan of stage.plans) {
        new Replay(stage.scene, plan, termsOf(of)).play((time, account) => { if (time < cut) seen.push(account.equity()); });
      }
      return seen;
    };
    const before = await heard(input);
    assert.ok(before.length > 50, `seed ${seed}`);
    assert.deepEqual(await heard(other), before, `seed ${seed}`);
  }
});

test("a strategy that always says 0 keeps the equity exactly at its capital, with 0 orders, whatever is charged", async () => {
  for (const seed of SEEDS.slice(0, 20)) {
    const input = anyInput(seed);
    const idle = { ...input, instruments: input.instruments.map((one) => ({ ...one, features: { ...one.features,
      values: one.features.values.map((value, at) => at % 2 === 0 ? value * 0 : value) } })) };
    const stage = await stageOf(idle), { runs, tapes } = perform(stage, termsOf(idle));
    runs.forEach((run, k) => {
      assert.ok(run.equity.every((equity) => equity === stage.scene.capital), `seed ${seed}`);
      assert.equal(tapes[k].orders, 0, `seed ${seed}`);
    });
  }
});

test("a holding passes 1 to 5 splits a year without a trace: raw and adjusted prices agree to 1e-12", async () => {
  for (const seed of [1, 2, 3]) {
    const draw = random(seed, "splits"), plain = market(seed, { instruments: 3, days: 250, hasOpens: true });
    const split = plain.map((one) => withActions(one, draw)).map((one, i) => ({ ...one,
      actions: one.actions.filter((action) => action.kind === "split"), adjustedClose: plain[i].adjustedClose }));
    assert.ok(split.some((one) => one.actions.length > 0));
    const raw = await runEvent(inputOf(split, {}, "raw")), adjusted = await runEvent(inputOf(plain));
    assert.ok(furthest(raw.curve.netReturn, adjusted.curve.netReturn) < 1e-12, `seed ${seed}`);
    assert.ok(Math.abs(raw.differences.find((row) => row.what === "raw prices")!.returnDifference) < 1e-12);
  }
});

test("orders are gated and limits act on the account: the notes name 3 kinds of intervention", async () => {
  const limits = { ...NO_LIMITS, grossMax: 0.3, drawdownMax: 0.005, orderNotionalMax: 40_000 };
  const { notes } = await runEvent(inputOf(market(4, { instruments: 4, days: 300, hasOpens: true }), { limits }));
  for (const words of [/gross exposure was above its limit/, /fallen from its highest/, /Orders refused by a gate: \d+/]) {
    assert.ok(notes.some((note) => words.test(note)), `${words}: ${notes.join("\n")}`);
  }
});

test("the timeline of [1 2 4], [2 3] and [] has 4 steps and 5 entries, in the order of time, then instrument", () => {
  const times = [[1, 2, 4], [2, 3], []].map((list) => Float64Array.from(list));
  const { time, start, instrument, row } = buildTimeline(times);
  assert.deepEqual([[...time], [...start], [...instrument], [...row]],
    [[1, 2, 3, 4], [0, 1, 3, 4, 5], [0, 0, 1, 1, 0], [0, 1, 0, 1, 2]]);
});

test("an event result is a whole result: 1 benchmark, 6 costs on the ladder, classes that sum to the instruments", async () => {
  const costs = { costBps: 2, isHalfSpreadCharged: false, borrowBps: 0, financingBps: 0 };
  const input = inputOf(market(9, { instruments: 6, days: 260, missing: 0.02 }), { costs });
  const result: BacktestResult = await runEvent({ ...input, benchmark: input.strategy });
  assert.deepEqual([result.engine, result.costLadder.length, result.benchmark?.name], ["event", 6, "dictated"]);
  const sum = (rows: BacktestResult["classes"]): number =>
    rows.reduce((total, row) => total + row.contribution, 0);
  assert.ok(Math.abs(sum(result.classes) - sum(result.instruments)) < 1e-12);
  const net = result.curve.netReturn.reduce((total, value) => total + value, 0);
  assert.ok(Math.abs(sum(result.instruments) - net) < 1e-12);
  assert.ok(Math.abs(result.costLadder[2].sharpe - result.average.sharpe) < 1e-12);      // the ladder at 2 bps is this run
});
