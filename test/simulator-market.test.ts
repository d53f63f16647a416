/** Markets of the simulator: synthetic ones, splits overnight, and how they are replayed step by step. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { instrument } from "../src/market/instrument.ts";
import type { Listing, Market } from "../src/simulator/book.ts";
import { DueQueue } from "../src/simulator/due-queue.ts";
import { World } from "../src/simulator/exchange-world.ts";
import { FRICTIONLESS, REALISTIC } from "../src/simulator/exchange.ts";
import { Replay, type Step } from "../src/simulator/replay.ts";
import { syntheticMarket, withSplit } from "../src/simulator/synthetic-market.ts";
import { random } from "../src/base/random.ts";
import { buy, limit, MINUTE, TEN } from "./exchange-market.ts";

const DAY = { from: Date.UTC(2024, 2, 6), to: Date.UTC(2024, 2, 9), seed: 5 };
const SILENT = { updates: () => undefined, said: () => undefined, streams: () => undefined };
const steps = (replay: Replay): Step[] => {
  const all: Step[] = [];
  for (let step = replay.next(); step !== null; step = replay.next()) all.push(step);
  return all;
};
const listing = (times: readonly number[], closes: readonly number[]): Listing =>
  ({ actions: [], bars: { instrument: instrument("AAA"),
  kind: "bars", timeframe: "1m", time: Float64Array.from(times), columns: { close: Float64Array.from(closes) } } });

describe("synthetic market", () => {
  test("3 sessions have 3 x 390 minutes, each low <= open, close <= high, in cents, the next open at the last close", () => {
    const market = syntheticMarket({ symbols: ["AAA"], timeframe: "1m", ...DAY });
    const { time, columns: { open = [], high = [], low = [], close = [] } } = (market.get("AAA") as Listing).bars;
    assert.deepEqual([time.length, time[0], time[389]], [1_170, Date.UTC(2024, 2, 6, 14, 31), Date.UTC(2024, 2, 6, 21)]);
    for (let t = 0; t < time.length; t++) {
      assert.ok(low[t] <= Math.min(open[t], close[t]) && high[t] >= Math.max(open[t], close[t]));
      assert.ok(Math.abs(close[t] * 100 - Math.round(close[t] * 100)) < 1e-6);
      if (t > 0) assert.equal(open[t], close[t - 1]);
    }
  });

  test("a symbol's bars depend on its name and the seed alone; a fifth quiet leaves about four fifths", () => {
    const alone = syntheticMarket({ symbols: ["BBB"], timeframe: "1m", ...DAY });
    const among = syntheticMarket({ symbols: ["AAA", "BBB"], timeframe: "1m", ...DAY });
    assert.deepEqual(alone.get("BBB"), among.get("BBB"));
    assert.notDeepEqual(syntheticMarket({ symbols: ["BBB"], timeframe: "1m", ...DAY, seed: 6 }).get("BBB"), alone.get("BBB"));
    const quiet = syntheticMarket({ symbols: ["AAA"], timeframe: "1m", ...DAY, quietShare: 0.2 })
      .get("AAA")?.bars.time.length ?? 0;
    assert.ok(quiet > 880 && quiet < 990, `${quiet} of 1,170`);
  });
});

describe("split overnight", () => {
  test("2:1 before Friday: prices after it are half, volumes double, 10 shares are 20 and the equity does not move", () => {
    const plain = syntheticMarket({ symbols: ["AAA"], timeframe: "1d", from: Date.UTC(2024, 2, 1), to: DAY.to, seed: 5 });
    const exTime = Date.UTC(2024, 2, 8, 14, 30), split = withSplit(plain, "AAA", exTime, 2);
    const [before, after] = [plain, split].map((market) => (market.get("AAA") as Listing).bars.columns);
    assert.deepEqual([after.close?.[5], after.volume?.[5]], [(before.close?.[5] ?? 0) / 2, (before.volume?.[5] ?? 0) * 2]);
    assert.equal(after.close?.[4], before.close?.[4]);
    const values = [plain, split].map((market) => {
      const world = new World({ markets: [market], terms: FRICTIONLESS }, SILENT);
      while (world.now() < Date.UTC(2024, 2, 7, 21)) world.step();
      world.exchange.submit(buy(10), world.now());
      world.step();
      return [world.exchange.positions()[0].quantity, world.exchange.account().equity];
    });
    assert.deepEqual(values.map(([quantity]) => quantity), [10, 20]);
    assert.ok(Math.abs(values[0][1] - values[1][1]) < 1e-9);
  });
});

describe("replay", () => {
  test("two symbols with holes: steps 1, 2, 3 and 5 minutes, each with the bars of its minute", () => {
    const market: Market = new Map([["AAA", listing([1, 2, 5].map((k) => TEN + k * MINUTE), [1, 2, 5])],
      ["BBB", listing([2, 3].map((k) => TEN + k * MINUTE), [20, 30])]]);
    const seen = steps(new Replay([market], -Infinity, Infinity))
      .map(({ at, bars }) => [(at - TEN) / MINUTE, ...bars.map(({ close }) => close)]);
    assert.deepEqual(seen, [[1, 1], [2, 2, 20], [3, 30], [5, 5]]);
    assert.deepEqual(steps(new Replay([market], TEN + MINUTE, TEN + 3 * MINUTE)).map(({ at }) => (at - TEN) / MINUTE), [2, 3]);
  });

  test("a world stands before its next step: time passes to 1 ms before it and no further", () => {
    const market: Market = new Map([["AAA", listing([TEN + MINUTE, TEN + 2 * MINUTE], [100, 101])]]);
    const world = new World({ markets: [market], from: TEN }, SILENT);
    world.pass(TEN + 10 * MINUTE);
    assert.equal(world.now(), TEN + MINUTE - 1);
    assert.equal(world.step(), true);
    assert.deepEqual([world.now(), world.step(), world.step(), world.nextAt()], [TEN + MINUTE, true, false, Infinity]);
  });

  test("what is due between two steps happens at its own time: sent at 10:01, new at 10:01 + 15 ms, filled by the bar of 10:02",
    () => {
    const market: Market = new Map([["AAA", listing([TEN + MINUTE, TEN + 2 * MINUTE], [100, 99])]]);
    const events: [string, number][] = [];
    const world = new World({ markets: [market], from: TEN,
      terms: { ...REALISTIC, latencyJitterMs: 0, participationMax: Infinity } },
      { ...SILENT, updates: (said) => { for (const { event, at } of said) events.push([event, at - TEN - MINUTE]); } });
    world.step();
    world.exchange.submit(buy(10, limit(99.5)), world.now());
    world.step();
    assert.deepEqual(events, [["new", 15], ["fill", MINUTE]]);
  });
});

describe("due queue", () => {
  test("1,000 tasks at random times come out by time, those of one time in the order of asking", () => {
    const draw = random(1, "due"), queue = new DueQueue<number>();
    const tasks = Array.from({ length: 1_000 }, (_, task) => ({ at: draw.below(50), task }));
    for (const { at, task } of tasks) queue.push(at, task);
    const out: { at: number; task: number }[] = [];
    for (let next = queue.take(100); next !== undefined; next = queue.take(100)) out.push({ at: next.at, task: next.task });
    assert.deepEqual(out, tasks.toSorted((a, b) => a.at - b.at || a.task - b.task));
    assert.deepEqual([queue.length, queue.next], [0, Infinity]);
  });
});
