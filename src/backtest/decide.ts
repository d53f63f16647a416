/** Asks a strategy about every eligible row, in time order, a chunk of whole dates at a time. */
import { cutWindows, type WindowSource } from "../dataset/window.ts";
import { askStrategy } from "../strategy/decision.ts";
import { sizingReason, weightOf, type Sizing } from "../strategy/portfolio.ts";
import type { Strategy } from "../strategy/strategy.ts";
import type { Alignment } from "./align.ts";
import { featureColumns, type InstrumentInput } from "./input.ts";

/** Rows of one question at most, and numbers in its features at most; a single date may exceed both. */
export const CHUNK_ROWS = 65_536;
export const CHUNK_VALUES = 1 << 24;

export interface Weights {
  /** Per instrument (T): weight decided at the row, 0 where nothing is decided. */
  readonly weight: readonly Float64Array[];
  /** The same of the volatility it was sized by; null unless asked for. */
  readonly volatility: readonly Float32Array[] | null;
  /** Rows whose weight was clipped by the leverage cap. */
  clipped: number;
  /** Rows without a volatility to scale by: their weight is 0. */
  unscaled: number;
}

export async function decideWeights(instruments: readonly InstrumentInput[], strategy: Strategy,
  alignment: Alignment, sizing: Sizing, { signal, keepsVolatility = false }:
  { signal?: AbortSignal | undefined; keepsVolatility?: boolean } = {}): Promise<Weights> {
  const source: WindowSource = {
    names: strategy.features, symbols: instruments.map((one) => one.instrument.symbol),
    panels: instruments.map((one) => one.features), lookback: strategy.lookback,
    columns: columnsOf(instruments, strategy),
  };
  const perRow = strategy.lookback * strategy.features.length;
  const rowsMax = Math.max(1, Math.min(CHUNK_ROWS, Math.floor(CHUNK_VALUES / perRow)));
  const weights: Weights = {
    weight: alignment.eligible.map((flags) => new Float64Array(flags.length)),
    volatility: keepsVolatility ? alignment.eligible.map((flags) => new Float32Array(flags.length)) : null,
    clipped: 0, unscaled: 0,
  };
  const cursor = new Int32Array(instruments.length);
  const D = alignment.time.length;
  for (let from = 0; from < D;) {
    let to = from + 1, B = alignment.count[from];
    while (to < D && B + alignment.count[to] <= rowsMax) B += alignment.count[to++];
    if (B > 0) {
      const { instrument, row, order } = chunkRows(alignment, cursor, from, to, B);
      const decision = await askStrategy(strategy, cutWindows(source, instrument, row, order));
      for (let b = 0; b < B; b++) {
        const position = decision.position[b], volatility = decision.volatility[b];
        const weight = weightOf(position, volatility, sizing);
        weights.weight[instrument[b]][row[b]] = weight;
        if (weights.volatility !== null) weights.volatility[instrument[b]][row[b]] = volatility;
        if (weight === 0 && position !== 0) weights.unscaled++;
        else if (Math.abs(weight) === sizing.weightMax
          && sizingReason(position, volatility, sizing) === "leverage-cap") weights.clipped++;
      }
    }
    signal?.throwIfAborted();
    from = to;
  }
  return weights;
}

/** One array for all instruments with the same panel. */
function columnsOf(instruments: readonly InstrumentInput[], strategy: Strategy): Int32Array[] {
  const known = new Map<readonly string[], Int32Array>();
  return instruments.map(({ features, instrument }) => {
    const columns = known.get(features.names) ?? featureColumns(features, strategy, instrument.symbol);
    known.set(features.names, columns);
    return columns;
  });
}

/** Eligible rows of dates [from, to), by date, then instrument; `order`: by instrument. Moves `cursor`. */
function chunkRows(alignment: Alignment, cursor: Int32Array, from: number, to: number, B: number):
{ instrument: Int32Array; row: Int32Array; order: Int32Array } {
  const slot = new Int32Array(to - from);
  for (let d = from + 1; d < to; d++) slot[d - from] = slot[d - from - 1] + alignment.count[d - 1];
  const instrument = new Int32Array(B), row = new Int32Array(B), order = new Int32Array(B);
  let k = 0;
  for (let i = 0; i < cursor.length; i++) {
    const dateOf = alignment.dateOf[i], eligible = alignment.eligible[i];
    let at = cursor[i];
    for (; at < dateOf.length && dateOf[at] < to; at++) {
      if (eligible[at] === 0) continue;
      const b = slot[dateOf[at] - from]++;
      instrument[b] = i;
      row[b] = at;
      order[k++] = b;
    }
    cursor[i] = at;
  }
  return { instrument, row, order };
}
