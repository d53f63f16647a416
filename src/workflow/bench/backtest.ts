/**
 * How fast weights become a result: the vector engine over a panel, the event engine with an order on each
 * bar.
 */
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { runEvent } from "../../backtest/event.ts";
import type { BacktestInput } from "../../backtest/input.ts";
import { runVector } from "../../backtest/vector.ts";
import { random } from "../../base/random.ts";
import { dayOf, TRADING_DAYS_PER_YEAR } from "../../base/units.ts";
import { NO_COSTS } from "../../strategy/costs.ts";
import { NO_LIMITS } from "../../strategy/risk.ts";
import type { Strategy } from "../../strategy/strategy.ts";
import type { Bench } from "../bench.ts";
import { BENCH_START, madeUpBars } from "./market.ts";
import { askPeer, besidePeer, figureOf } from "./peer.ts";
import { benchRow, timeRounds, type BenchRow } from "./row.ts";

const SUITE = "backtest";

/** Takes a precomputed position, so that only the engine is timed. */
const given: Strategy = {
  name: "given", description: "the position in the first feature", recipe: "none",
  features: ["position", "volatility"], lookback: 1,
  decide(batch) {
    const B = batch.time.length;
    const position = new Float32Array(B), volatility = new Float32Array(B);
    for (let b = 0; b < B; b++) {
      position[b] = batch.features[2 * b];
      volatility[b] = batch.features[2 * b + 1];
    }
    return Promise.resolve({ position, volatility, confidence: new Float32Array(B).fill(1) });
  },
};

export async function run(bench: Bench): Promise<BenchRow[]> {
  const rounds = bench.isQuick ? 2 : 5, days = bench.isQuick ? 500 : 2_500;
  const wide = makeInput(days, bench.isQuick ? 50 : 200), narrow = makeInput(days, 20);
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-bench-"));
  try {
    const vector = await besidePeer(bench, () => speedOf(runVector, wide, rounds),
      () => askPeer("vectorised.py", writePanel(folder, wide, days, rounds)));
    const event = await besidePeer(bench, () => speedOf(runEvent, narrow, rounds),
      () => askPeer("event.py", ["backtesting", ...writePanel(folder, narrow, days, rounds)]));
    const nautilus = bench.hasPeers ? figureOf(bench, askPeer("event.py", ["nautilus",
      ...writePanel(folder, narrow, Math.min(days, 500), 2)])) : null;
    const facts = { suite: SUITE, better: "higher", unit: "bars/s" } as const;
    const eventRow = { ...facts, name: "event engine, an order on each bar", values: event.values,
      note: `${days} days x 20 instruments` };
    return [
      benchRow({
        ...facts, name: "vector engine, weights to metrics", unit: "bar-instruments/s", values: vector.values,
        note: `${days} days x ${wide.instruments.length} instruments`,
      }, {}, vector.peer),
      benchRow(eventRow, {}, event.peer),
      ...(nautilus === null ? [] : [benchRow(eventRow, {}, nautilus)]),
    ];
  } finally { fs.rmSync(folder, { recursive: true }); }
}

type Engine = (input: BacktestInput) => Promise<unknown>;

/** Bars per second of an engine, each round over all of the input. */
async function speedOf(engine: Engine, input: BacktestInput, rounds: number): Promise<number[]> {
  const bars = input.instruments.reduce((sum, one) => sum + one.bars.time.length, 0);
  return (await timeRounds(rounds, 2, () => engine(input))).map((seconds) => bars / seconds);
}

/** Random walks, and a position on each that changes with every bar. */
function makeInput(days: number, count: number): BacktestInput {
  const instruments = Array.from({ length: count }, (_, i) => {
    const bars = madeUpBars(`S${i}`, days);
    const stream = random(2, "bench", "position", i);
    const values = new Float32Array(2 * days);
    for (let t = 0; t < days; t++) {
      values[2 * t] = 2 * stream.uniform() - 1;
      values[2 * t + 1] = 0.01;
    }
    return { instrument: bars.instrument, bars, adjustedClose: bars.columns.close!, actions: [],
      features: { names: given.features, time: bars.time, values, warmup: 0 } };
  });
  return {
    dataset: { name: "bench", isSynthetic: true, timeframe: "1d", calendar: "24x5", adjustment: "unknown" },
    instruments, strategy: given, benchmark: null,
    settings: {
      windows: [{ from: dayOf(BENCH_START), to: dayOf(instruments[0].bars.time[days - 1]) }],
      periodsPerYear: TRADING_DAYS_PER_YEAR, volatilityTarget: 0.15, portfolioTarget: null,
      weightMax: Infinity, lag: 0, costs: { ...NO_COSTS, costBps: 1 }, limits: NO_LIMITS, trials: 1,
      capital: 1e6, isFractional: true, slippageBps: 0, participationMax: Infinity,
    },
  };
}

/** Closes and target weights as float64 files (D, N), and the arguments that name them. */
function writePanel(folder: string, input: BacktestInput, days: number, rounds: number): string[] {
  const N = input.instruments.length;
  const closes = new Float64Array(days * N), weights = new Float64Array(days * N);
  input.instruments.forEach((one, i) => {
    for (let t = 0; t < days; t++) {
      closes[t * N + i] = one.adjustedClose[t];
      weights[t * N + i] = one.features.values[2 * t] / N;
    }
  });
  const prices = path.join(folder, "closes.bin"), sizes = path.join(folder, "weights.bin");
  fs.writeFileSync(prices, Buffer.from(closes.buffer));
  fs.writeFileSync(sizes, Buffer.from(weights.buffer));
  return [prices, sizes, String(days), String(N), String(rounds)];
}
