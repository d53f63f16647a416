/**
 * The classical strategies a network has to beat. They read positions that the `dmn` recipe computes as
 * columns, and decide only where the network could: where all eight of its inputs exist.
 *
 *   long-only   1                                       always invested, each instrument at equal risk
 *   tsmom       sign of the 252-day return              Moskowitz, Ooi, Pedersen 2012
 *   macd        mean of phi(signal) over three speeds   Baz et al. 2015; Lim, Zohren, Roberts 2019
 */
import { featureIndex, type Batch } from "../dataset/batch.ts";
import type { Decision, Strategy } from "./strategy.ts";

/** The network's inputs, in its order. */
export const INPUTS = [
  "norm_1", "norm_21", "norm_63", "norm_126", "norm_252", "macd_8_24", "macd_16_48", "macd_32_96",
] as const;

/** Decides with one column of the batch; `column` null is always long. */
function columnStrategy(name: string, description: string, column: string | null): Strategy {
  return {
    name, description, recipe: "dmn", lookback: 1,
    features: [...INPUTS, "daily_vol", ...(column === null ? [] : [column])],
    decide: (batch) => Promise.resolve(decideByColumn(batch, column)),
  };
}

function decideByColumn(batch: Batch, column: string | null): Decision {
  const B = batch.time.length, F = batch.names.length;
  const position = new Float32Array(B).fill(1), volatility = new Float32Array(B);
  const volatilityAt = featureIndex(batch, "daily_vol");
  const positionAt = column === null ? -1 : featureIndex(batch, column);
  for (let b = 0, row = (batch.lookback - 1) * F; b < B; b++, row += batch.lookback * F) {
    volatility[b] = batch.features[row + volatilityAt];
    if (positionAt >= 0) position[b] = batch.features[row + positionAt];
  }
  return { position, volatility, confidence: new Float32Array(B).fill(1) };
}

export const BASELINES = {
  "long-only": columnStrategy("long-only", "always long, every instrument at the same risk", null),
  tsmom: columnStrategy("tsmom", "time series momentum: long after a rising year, short after a falling one",
    "pos_tsmom"),
  macd: columnStrategy("macd", "trend strength over three speeds, less of it when a trend is stretched",
    "pos_macd"),
} as const satisfies Record<string, Strategy>;
export type BaselineName = keyof typeof BASELINES;
