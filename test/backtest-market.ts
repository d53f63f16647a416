/**
 * A small market for tests of the engines: the same five instruments as test/fixtures/backtest.py, to the bit (a Lehmer
 * generator and multiplications only), and whatever market a test builds from closes.
 */
import { bind, computeFeatures, type Panel } from "../src/features/panel.ts";
import { readRecipe } from "../src/features/recipe.ts";
import type { BacktestInput, BacktestSettings, InstrumentInput } from "../src/backtest/input.ts";
import { calendar } from "../src/market/calendar.ts";
import { instrument } from "../src/market/instrument.ts";
import type { AssetClass } from "../src/market/instrument.ts";
import { BASELINES } from "../src/strategy/baselines.ts";
import { NO_COSTS } from "../src/strategy/costs.ts";
import { NO_LIMITS } from "../src/strategy/risk.ts";
import type { Strategy } from "../src/strategy/strategy.ts";
import { day, MS_PER_DAY, MS_PER_HOUR, parseDay } from "../src/base/units.ts";

export const ROWS = 1100;
const START = parseDay("1999-01-04")!;
const INSTRUMENTS = [["CALM", 0.002, 0, 0, "bond"], ["MILD", 0.008, 0, 0, "fx"], ["LATE", 0.012, 230, 0, "fx"],
  ["HOLES", 0.016, 0, 17, "equity"], ["WILD", 0.03, 0, 0, "energy"]] as const;

/** Closes of the 24x5 calendar on the n-th weekday from `START`, UTC ms. */
export function weekday(n: number): number {
  const days = START + Math.floor(n / 5) * 7 + n % 5;      // the start is a Monday
  return days * MS_PER_DAY + 23 * MS_PER_HOUR;
}

export const dmnPanel: Panel = bind(await readRecipe(".", "dmn"), { calendar: calendar("24x5"), timeframe: "1d" });

/** One instrument with its features. */
export function member(symbol: string, time: number[], close: number[], assetClass: AssetClass = "other"): InstrumentInput {
  const bars = { instrument: instrument(symbol, { assetClass }), kind: "bars" as const, timeframe: "1d" as const,
    time: Float64Array.from(time), columns: { close: Float64Array.from(close) } };
  const features = computeFeatures(dmnPanel, bars);
  return { instrument: bars.instrument, bars, adjustedClose: bars.columns.close, features, actions: [] };
}

export function smallMarket(): InstrumentInput[] {
  return INSTRUMENTS.map(([symbol, size, first, every, assetClass], k) => {
    const time: number[] = [], close: number[] = [];
    let state = 1000 + k, price = 100;
    for (let t = 0; t < ROWS; t++) {
      let total = 0;
      for (let j = 0; j < 4; j++) {
        state = state * 16807 % 2147483647;
        total += state / 2147483647;
      }
      const drift = Math.floor(t / (130 + 20 * k)) % 2 === 0 ? 0.15 : -0.1;
      price *= 1 + size * (total - 2 + drift);
      if (t < first || (every > 0 && t % every === every - 1)) continue;
      time.push(weekday(t));
      close.push(price);
    }
    return member(symbol, time, close, assetClass);
  });
}

export const SETTINGS: BacktestSettings = {
  windows: [], periodsPerYear: 252, volatilityTarget: 0.15, portfolioTarget: null, weightMax: Infinity, lag: 0, costs: NO_COSTS,
  limits: NO_LIMITS, trials: 1, capital: 1e6, isFractional: true, slippageBps: 0, participationMax: 1,
};

/** First and last day of years [from, to]. */
export const years = (from: number, to: number) =>
  ({ from: day(Date.UTC(from, 0, 1) / MS_PER_DAY), to: day(Date.UTC(to + 1, 0, 1) / MS_PER_DAY - 1) });

export function inputOf(instruments: readonly InstrumentInput[], strategy: Strategy = BASELINES.tsmom,
  settings: Partial<BacktestSettings> = {}, benchmark: Strategy | null = null): BacktestInput {
  return {
    dataset: { name: "small", isSynthetic: true, timeframe: "1d", calendar: "24x5", adjustment: "unknown" },
    instruments, strategy, benchmark, settings: { ...SETTINGS, windows: [years(1990, 2030)], ...settings },
  };
}
