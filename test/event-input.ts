/** Small seeded markets for the tests of the engines. */
import { random } from "../src/base/random.ts";
import { day, MS_PER_DAY } from "../src/base/units.ts";
import { NO_COSTS } from "../src/strategy/costs.ts";
import { NO_LIMITS } from "../src/strategy/risk.ts";
import { ASSET_CLASSES, instrument } from "../src/market/instrument.ts";
import type { BacktestInput, BacktestSettings, InstrumentInput } from "../src/backtest/input.ts";
import { setStage, type Stage } from "../src/backtest/event-stage.ts";
import { askAll } from "../src/backtest/vector.ts";
import type { CorporateAction } from "../src/market/bars.ts";
import type { Strategy } from "../src/strategy/strategy.ts";

export const FIRST_DAY = 10_000;

/** Settings without any friction, one window over everything. */
export const PLAIN: BacktestSettings = {
  windows: [{ from: day(FIRST_DAY - 1), to: day(FIRST_DAY + 100_000) }], periodsPerYear: 252, volatilityTarget: 0.15,
  portfolioTarget: null, weightMax: Infinity, lag: 0, costs: NO_COSTS, limits: NO_LIMITS, trials: 1,
  capital: 1_000_000, isFractional: true, slippageBps: 0, participationMax: Infinity,
};

/** Position and volatility are features of the row, so a test can dictate both. */
export const DICTATED: Strategy = {
  name: "dictated", description: "does what its features say", recipe: "test",
  features: ["position", "volatility"], lookback: 1,
  decide: ({ features, time }) => Promise.resolve({
    position: Float32Array.from(time, (_, b) => features[2 * b]),
    volatility: Float32Array.from(time, (_, b) => features[2 * b + 1]),
    confidence: new Float32Array(time.length).fill(1),
  }),
};

export interface MarketShape {
  readonly instruments: number;
  readonly days: number;
  /** Share of bars that are missing, at random; 0: all dates are shared. */
  readonly missing?: number;
  readonly hasOpens?: boolean;
}

/** Daily random walks with random positions in [-1, 1]; the first two rows cannot be decided on. */
export function market(seed: number, shape: MarketShape): InstrumentInput[] {
  return Array.from({ length: shape.instruments }, (_, i) => {
    const draw = random(seed, "event market", i);
    const rows: number[] = [];
    for (let t = 0; t < shape.days; t++) if (draw.uniform() >= (shape.missing ?? 0)) rows.push(t);
    const close = new Float64Array(rows.length), open = new Float64Array(rows.length), volume = new Float64Array(rows.length);
    const values = new Float32Array(2 * rows.length);
    let price = 20 + 100 * draw.uniform();
    rows.forEach((_day, row) => {
      open[row] = price * (1 + 0.005 * draw.normal());
      price *= Math.exp(0.01 * draw.normal());
      close[row] = price;
      volume[row] = Math.floor(1000 + 9000 * draw.uniform());
      values[2 * row] = row < 2 ? NaN : 2 * draw.uniform() - 1;
      values[2 * row + 1] = 0.008 + 0.004 * draw.uniform();
    });
    const time = Float64Array.from(rows, (t) => (FIRST_DAY + t) * MS_PER_DAY + 21 * 3_600_000);
    return {
      instrument: instrument(`T${i}`, { assetClass: ASSET_CLASSES[i % 3], halfSpreadBps: 1 + i }),
      bars: { instrument: instrument(`T${i}`), kind: "bars", timeframe: "1d", time,
        columns: shape.hasOpens === true ? { open, close, volume } : { close } },
      adjustedClose: close.slice(), features: { names: ["position", "volatility"], time, values, warmup: 2 }, actions: [],
    };
  });
}

export function inputOf(instruments: readonly InstrumentInput[], settings: Partial<BacktestSettings> = {},
  adjustment: BacktestInput["dataset"]["adjustment"] = "ratio-back-adjusted"): BacktestInput {
  return {
    dataset: { name: "test", isSynthetic: true, timeframe: "1d", calendar: "24x5", adjustment }, instruments,
    strategy: DICTATED, benchmark: null, settings: { ...PLAIN, ...settings },
  };
}

/** Everything a replay of this input needs. */
export const stageOf = async (input: BacktestInput): Promise<Stage> => setStage(input, await askAll(input, input.strategy));

/** One instrument with given raw closes on consecutive days, its positions and volatilities, and actions by row. */
export function quoted(closes: readonly number[], positions: readonly number[], actions: readonly (Omit<CorporateAction,
  "exTime"> & { row: number })[] = [], opens?: readonly number[]): InstrumentInput {
  const time = Float64Array.from(closes, (_, t) => (FIRST_DAY + t) * MS_PER_DAY + 21 * 3_600_000);
  const close = Float64Array.from(closes);
  const features = { names: ["position", "volatility"], time, warmup: 0,
    values: Float32Array.from(closes.flatMap((_, t) => [positions[t] ?? NaN, 1])) };
  const dated = actions.map(({ kind, value, row }) => ({ kind, value, exTime: time[row] - 6.5 * 3_600_000 }));
  return {
    instrument: instrument("Q"), bars: { instrument: instrument("Q"), kind: "bars", timeframe: "1d", time,
      columns: opens === undefined ? { close } : { close, open: Float64Array.from(opens) } },
    adjustedClose: adjusted(close, actions), features, actions: dated,
  };
}

/** Total-return adjustment by hand: each action scales all closes before it. */
function adjusted(close: Float64Array, actions: readonly (Omit<CorporateAction, "exTime"> & { row: number })[]): Float64Array {
  const out = close.slice();
  for (const { kind, value, row } of actions) {
    const factor = kind === "split" ? 1 / value : 1 - value / close[row - 1];
    for (let t = 0; t < row; t++) out[t] *= factor;
  }
  return out;
}
