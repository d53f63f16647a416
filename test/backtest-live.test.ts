import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { UserError } from "../src/base/error.ts";
import type { BacktestSettings } from "../src/backtest/input.ts";
import { runEvent } from "../src/backtest/event.ts";
import { day } from "../src/base/units.ts";
import { NO_COSTS } from "../src/strategy/costs.ts";
import { NO_LIMITS } from "../src/strategy/risk.ts";
import { runLive } from "../src/workflow/live/backtest-live.ts";
import { inputOf as smallInput, smallMarket } from "./backtest-market.ts";
import { FIRST_DAY, inputOf, market } from "./event-input.ts";

function furthest(a: Float64Array, b: Float64Array): number {
  assert.equal(a.length, b.length);
  return a.reduce((most, value, d) => Math.max(most, Math.abs(value - b[d])), 0);
}
const window = (from: number, to: number): BacktestSettings["windows"][number] =>
  ({ from: day(FIRST_DAY + from), to: day(FIRST_DAY + to) });

describe("the live graph over memory equals the event engine to 1e-9 a period, at lag 0 on shared dates:", () => {
  const cases: readonly [string, Partial<BacktestSettings>][] = [
    ["plain", {}],
    ["the whole portfolio scaled to 10 %", { portfolioTarget: 0.1 }],
    ["weights capped at 0.5", { weightMax: 0.5 }],
    ["a gross limit of 0.5", { limits: { ...NO_LIMITS, grossMax: 0.5 } }],
    ["limits on positions, classes, net, leverage and turnover", { limits: { ...NO_LIMITS, positionMax: 0.1, classMax: 0.3,
      netMax: 0.1, leverageMax: 0.8, turnoverMax: 0.4 } }],
    ["a historical value at risk of 0.4 %", { limits: { ...NO_LIMITS, varHistoricalMax: 0.004 } }],
    ["a daily loss of 0.5 % and a drawdown of 4 % that closes all", { limits: { ...NO_LIMITS, dailyLossMax: 0.005,
      drawdownMax: 0.04 } }],
    ["equal risk contributions", { method: "erc" }],
    ["minimum variance, capped at 0.8", { method: "min-variance", weightMax: 0.8 }],
    ["three windows of their own", { windows: [window(10, 60), window(61, 120), window(150, 190)] }],
  ];
  for (const [name, settings] of cases) {
    test(name, async () => {
      for (const seed of [1, 2]) {
        const input = inputOf(market(seed, { instruments: 5, days: 200 }), settings);
        const live = await runLive(input), event = await runEvent(input);
        const off = furthest(live.curve.netReturn, event.curve.netReturn);
        assert.ok(off <= 1e-9, `seed ${seed}: ${off}`);
        assert.ok(furthest(live.curve.grossExposure, event.curve.grossExposure) <= 1e-9, `seed ${seed}: exposure`);
        assert.ok(furthest(live.curve.turnover, event.curve.turnover) <= 1e-9, `seed ${seed}: turnover`);
        assert.ok(live.curve.turnover.some((value) => value > 0), `seed ${seed}: nothing was traded`);
        assert.equal(live.engine, "live");
        assert.equal(live.differences.at(-1)!.what, "live graph");
        assert.ok(Math.abs(live.differences.at(-1)!.returnDifference) < 1e-9);
      }
    });
  }
});

test("instruments that begin late, have holes and end trade as in the event engine, to 1e-9", async () => {
  const input = smallInput(smallMarket(), undefined, { capital: 1e6 });
  const live = await runLive(input), event = await runEvent(input);
  assert.ok(furthest(live.curve.netReturn, event.curve.netReturn) <= 1e-9);
  assert.deepEqual(live.instruments.map(({ name, periods }) => ({ name, periods })),
    event.instruments.map(({ name, periods }) => ({ name, periods })));
});

test("2 bps of slippage cost the same to 1e-6 a period: the exchange is paid in hundredths of a cent", async () => {
  const input = inputOf(market(1, { instruments: 5, days: 100 }), { slippageBps: 2 });
  const live = await runLive(input), event = await runEvent(input);
  assert.ok(event.curve.cost.some((cost) => cost > 5e-5));
  assert.ok(furthest(live.curve.cost, event.curve.cost) < 1e-6);
});

test("what a live account cannot be charged is refused, in one sentence with a way out", async () => {
  for (const settings of [{ lag: 1 as const }, { costs: { ...NO_COSTS, costBps: 2 } }, { costs: { ...NO_COSTS, borrowBps: 10 } },
    { costs: { ...NO_COSTS, isHalfSpreadCharged: true } }]) {
    await assert.rejects(() => runLive(inputOf(market(1, { instruments: 2, days: 30 }), settings)), (error) =>
      error instanceof UserError && error.problem.startsWith("the live engine ") && error.hint.includes("--engine event"));
  }
});
