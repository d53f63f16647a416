/**
 * How a step's fault shows on the market-data streams: the step as it should be said -> what is said of it.
 */
import type { Random } from "../base/random.ts";
import type { ExchangeFault } from "./exchange-faults.ts";
import type { ExchangeQuote } from "./exchange-match.ts";
import type { Step, StepBar, StepTrade } from "./replay.ts";

export interface Status { readonly symbol: string; readonly at: number; readonly isHalted: boolean }
/** What the streams say of one moment: each entry of `frames` travels alone, in order. */
export interface Said {
  readonly at: number;
  readonly bars: readonly StepBar[];
  /** Corrections of bars that were said before. */
  readonly revised: readonly StepBar[];
  readonly quotes: readonly ExchangeQuote[];
  readonly trades: readonly StepTrade[];
  readonly statuses: readonly Status[];
}

/** Prices times `factor`; the rest as it is. */
const scaled = (bar: StepBar, factor: number): StepBar => ({ ...bar, open: bar.open * factor,
  high: bar.high * factor, low: bar.low * factor, close: bar.close * factor, vwap: bar.vwap * factor });

const BAD_TICKS: Partial<Record<ExchangeFault, number>> =
  { "tick-times-ten": 10, "tick-zero": 0, "tick-negative": -1 };

/** Remembers what it owes: corrections and late bars of the step before. */
export class StepSpoiler {
  #owed: StepBar[] = [];
  #late: StepBar[] = [];

  said(step: Step, statuses: readonly Status[], fault: ExchangeFault | null, draw: Random): readonly Said[] {
    const { at } = step, revised = this.#owed, late = this.#late;
    this.#owed = [];
    this.#late = [];
    const whole: Said = { at, bars: step.bars, revised, quotes: step.quotes, trades: step.trades, statuses };
    const owed: Said[] = late.length === 0 ? [] : [{ ...NOTHING, at, bars: late }];
    const chosen = step.bars.length === 0 ? -1 : draw.below(step.bars.length), bar = step.bars[chosen];
    const without = step.bars.filter((_, k) => k !== chosen);
    if (fault === "frame-dropped") return revised.length === 0 ? owed
      : [{ ...NOTHING, at, revised }, ...owed];
    if (bar === undefined) return [whole, ...owed];
    const factor = fault === null ? undefined : BAD_TICKS[fault];
    if (factor !== undefined) {
      return [{ ...whole, bars: step.bars.with(chosen, scaled(bar, factor)) }, ...owed];
    }
    switch (fault) {
      case "bar-revised": {
        this.#owed = [bar];
        const preliminary = { ...scaled(bar, 1.01), volume: bar.volume / 2 };
        return [{ ...whole, bars: step.bars.with(chosen, preliminary) }, ...owed];
      }
      case "bar-missing": return [{ ...whole, bars: without }, ...owed];
      case "bar-late":
        this.#late = [bar];
        return [{ ...whole, bars: without }, ...owed];
      case "bar-twice": return [whole, { ...NOTHING, at, bars: [bar] }, ...owed];
      case "quote-crossed": return [{ ...whole, quotes: [...step.quotes, crossed(bar)] }, ...owed];
      default: return [whole, ...owed];
    }
  }
}

const NOTHING: Omit<Said, "at"> = { bars: [], revised: [], quotes: [], trades: [], statuses: [] };

const crossed = ({ symbol, at, close }: StepBar): ExchangeQuote =>
  ({ symbol, at, bid: close * 1.01, bidSize: 100, ask: close * 0.99, askSize: 100 });
