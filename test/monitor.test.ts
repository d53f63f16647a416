/** Health and performance: numbers computed by hand from a few facts. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { healthActor, type HealthActor } from "../src/live/actors/health.ts";
import { type hopsOf, LATENCY_TARGETS, performanceActor } from "../src/live/actors/performance.ts";
import type { AlertFact, PerformanceFact, PredictionFact } from "../src/live/message.ts";
import { returnNumbers } from "../src/metrics/returns.ts";
import { account, heartbeat, makeSession, market, meterRow, MINUTE, OPEN } from "./monitor-facts.ts";

const session = makeSession();

describe("health", () => {
  const codes = async (actor: HealthActor, message: Parameters<HealthActor["handle"]>[0]): Promise<string[]> =>
    (await actor.handle(message, OPEN) as AlertFact[]).map(({ severity, code, process }) => `${severity} ${code} ${process}`);
  const tick = { kind: "tick", at: OPEN } as const;

  test("late after three beats of 500 ms, lost after 30 s, back with the next; silence is the machine's, not the session's",
    async () => {
    let ms = 0;
    const actor = healthActor({ session, expected: ["feed"], elapsedMs: () => ms });
    assert.deepEqual(await codes(actor, heartbeat(OPEN, "feed")), []);
    ms = 1500;
    assert.deepEqual(await codes(actor, tick), []);
    ms = 1501;
    assert.deepEqual(await codes(actor, tick), ["warning process-late feed"]);
    assert.deepEqual(await codes(actor, tick), [], "said once");
    ms = 30_001;
    assert.deepEqual(await codes(actor, tick), ["critical process-lost feed"]);
    assert.deepEqual(actor.processes().map(({ health, silentMs }) => [health, silentMs]), [["lost", 30_001]]);
    assert.deepEqual(await codes(actor, heartbeat(OPEN, "feed", { pid: 77 })), ["info process-back feed"]);
    assert.deepEqual(actor.processes().map(({ health, restarts }) => [health, restarts]), [["healthy", 1]]);
  });

  test("an expected process that never spoke is lost after 30 s; one that stopped in order never is", async () => {
    let ms = 0;
    const actor = healthActor({ session, expected: ["meta"], elapsedMs: () => ms });
    await actor.handle(heartbeat(OPEN, "feed", { state: "stopped" }), OPEN);
    ms = 29_999;
    assert.deepEqual(await codes(actor, tick), []);
    ms = 30_001;
    assert.deepEqual(await codes(actor, tick), ["critical process-lost meta"]);
  });

  test("memory above 2 GiB and a loop blocked for over 500 ms are said once in five minutes, the loop's not at the start",
    async () => {
    let ms = 0;
    const actor = healthActor({ session, expected: [], elapsedMs: () => ms });
    const bad = { memoryBytes: 2.5 * 2 ** 30, loopDelayMs: 501 };
    assert.deepEqual(await codes(actor, heartbeat(OPEN, "feed", { ...bad, state: "starting" })), ["warning memory-high feed"]);
    assert.deepEqual(await codes(actor, heartbeat(OPEN, "feed", bad)), ["warning loop-blocked feed"]);
    ms = 299_000;
    assert.deepEqual(await codes(actor, heartbeat(OPEN, "feed", bad)), []);
    ms = 300_001;
    assert.deepEqual(await codes(actor, heartbeat(OPEN, "feed", bad)), ["warning memory-high feed", "warning loop-blocked feed"]);
  });
});

describe("performance", () => {
  test("peak 110, drawdown 10 %, and the Sharpe ratio of the returns per bar as metrics/returns has it", async () => {
    const actor = performanceActor({ session });
    const equities = Array.from({ length: 40 }, (_, k) => 100_000 * (1 + 0.001 * k + 0.004 * Math.sin(3 * k)));
    let last: PerformanceFact | null = null;
    for (const [k, equity] of equities.entries()) {
      // Two accounts a bar: the last one counts.
      for (const [ms, value] of [[1000, equity * 0.9], [2000, equity]] as const) {
        const said = await actor.handle(account(OPEN + k * MINUTE + ms, value), OPEN) as PerformanceFact[];
        last = said[0] ?? last;
      }
    }
    // Bars 0..38 are complete; the returns of 1..38 are known once bar 39 has begun.
    const returns = equities.slice(1, 39).map((equity, k) => equity / equities[k] - 1);
    assert.ok(last !== null);
    assert.ok(Math.abs(last.sharpe - returnNumbers(returns, 252 * 390).sharpe) < 1e-9);
    assert.equal(last.equity, equities[39]);
    assert.equal(last.peak, Math.max(...equities));
    // A monitor that comes back with what was recorded says the same.
    const back = performanceActor({ session, recorded: equities.slice(0, 39)
      .map((equity, k) => ({ at: OPEN + k * MINUTE + 2000, equity })) });
    const [again] = await back.handle(account(OPEN + 39 * MINUTE + 2000, equities[39]), OPEN) as PerformanceFact[];
    assert.deepEqual({ ...again, models: [] }, { ...last, models: [] });
    const second = performanceActor({ session });
    for (const [k, equity] of [100, 110, 99].entries()) {
      const said = await second.handle(account(OPEN + k * MINUTE, equity), OPEN) as PerformanceFact[];
      if (k < 2) continue;
      assert.ok(Math.abs(said[0].drawdown - 0.1) < 1e-12);
      assert.equal(said[0].sharpe, NaN);
    }
    assert.deepEqual(await second.handle(account(OPEN + 2 * MINUTE + 5, 99), OPEN), [], "nothing has changed");
  });

  test("of a model's four predictions two are hits, one is 0 and not scored; a revised bar scores nothing", async () => {
    const actor = performanceActor({ session });
    const predict = (at: number, position: readonly number[]): PredictionFact => ({ kind: "prediction", at, model: "lstm-1",
      version: "abc", instrument: Int32Array.of(0, 1), position: Float32Array.from(position),
      volatility: new Float32Array(2), confidence: new Float32Array(2) });
    await actor.handle(market(OPEN, [100, 50], 3), OPEN);
    await actor.handle(predict(OPEN, [0.5, -1]), OPEN);
    await actor.handle(market(OPEN + MINUTE, [101, 51]), OPEN);
    await actor.handle(predict(OPEN + MINUTE, [0, -0.5]), OPEN);
    await actor.handle(market(OPEN + MINUTE, [300, 300], 1), OPEN);
    await actor.handle(market(OPEN + 2 * MINUTE, [90, 50.49]), OPEN);
    await actor.handle({ kind: "mixture", at: OPEN, models: ["lstm-1"], weights: [1] }, OPEN);
    const [{ models: [score] }] = await actor.handle(account(OPEN + 2 * MINUTE, 100), OPEN) as PerformanceFact[];
    assert.deepEqual({ ...score, meanReturn: 0 },
      { model: "lstm-1", version: "abc", weight: 1, scored: 3, hits: 2, meanReturn: 0 });
    // 0.5 x 1 %, -1 x 2 %, -0.5 x -1 %
    assert.ok(Math.abs(score.meanReturn - (0.005 - 0.02 + 0.005) / 3) < 1e-9);
  });

  test("rows of one name over processes are one, worst quantiles, summed counts, and judged by the founding table", async () => {
    const actor = performanceActor({ session });
    const say = (process: string, rows: Parameters<typeof hopsOf>[0]) =>
      actor.handle({ kind: "meter", at: OPEN, process, rows }, OPEN);
    await say("lstm-1", [meterRow("inference", { count: 100, mean: 500, p50: 400, p99: 4000 })]);
    await say("lstm-2", [meterRow("inference", { count: 300, mean: 900, p50: 900, p99: 5001 }), meterRow("zebra")]);
    await say("lstm-1", [meterRow("inference", { count: 200, mean: 600, p50: 450, p99: 4100, errors: 1 })]);
    await say("features", [meterRow("market: feed -> features", { p50: 49, p99: 199 }),
      meterRow("feature engineering", { p50: 501, p99: 1999 })]);
    const hops = actor.hops();
    assert.deepEqual(hops.map(({ name, verdict }) => [name, verdict]), [["market: feed -> features", "within"],
      ["feature engineering", "above target"], ["inference", "above maximum"], ["zebra", "no target"]]);
    const { count, mean, p50, p99, errors, targetUs, maximumUs } = hops[2];
    assert.deepEqual({ count, mean, p50, p99, errors, targetUs, maximumUs },
      { count: 500, mean: 780, p50: 900, p99: 5001, errors: 1, targetUs: 1000, maximumUs: 5000 });
    assert.deepEqual(LATENCY_TARGETS["tick to order"], [5000, 15_000]);
  });
});
