/** A market whose answer is known: the sign of the first input says, with some noise, what the next row earns. */
import type { SequenceSet } from "../src/dataset/sequence.ts";
import { random } from "../src/base/random.ts";
import { MS_PER_DAY } from "../src/base/units.ts";

export interface Toy {
  readonly instruments?: number;
  /** Sequences per instrument. */
  readonly sequences?: number;
  readonly lookback?: number;
  /** Mean of a row's return in units of its deviation, when the position has the right sign. */
  readonly edge?: number;
  /** Returns no longer belong to their rows. */
  readonly isShuffled?: boolean;
  readonly seed?: number;
  readonly firstDay?: number;
}

/** Daily deviation of the volatility-scaled return: 15 % a year. */
const DEVIATION = 0.15 / Math.sqrt(252);

/** Inputs (signal, noise, noise); target = deviation x (edge x sign(signal) + normal). */
export function toyMarket(toy: Toy = {}): SequenceSet {
  const { instruments = 4, sequences = 12, lookback: T = 10, edge = 0.2, isShuffled = false, seed = 1,
    firstDay = 10_000 } = toy;
  const stream = random(seed, "toy"), S = instruments * sequences, F = 3;
  const features = new Float32Array(S * T * F).map(() => stream.normal());
  const sign = new Float32Array(S * T).map((_, at) => Math.sign(features[at * F]));
  const target = sign.map((one) => DEVIATION * (edge * one + stream.normal()));
  if (isShuffled) target.set(stream.shuffle([...target]));
  const time = Float64Array.from({ length: S * T }, (_, at) =>
    (firstDay + (Math.floor(at / T) % sequences) * T + at % T) * MS_PER_DAY);
  return {
    names: ["signal", "noise_1", "noise_2"], lookback: T, count: S, features, target,
    weight: new Float32Array(S * T).fill(1), scale: new Float32Array(S * T).fill(1),
    instrument: Int32Array.from({ length: S }, (_, s) => Math.floor(s / sequences)), time,
    follows: Uint8Array.from({ length: S }, (_, s) => Number(s % sequences > 0)),
    symbols: Array.from({ length: instruments }, (_, i) => `TOY${i}`),
  };
}

/**
 * Sharpe ratio of the best position, sign(signal), on the mean of n instruments whose shocks are independent:
 * edge x sqrt(n) x sqrt(252).
 */
export const attainableSharpe = (edge: number, instruments: number): number => edge * Math.sqrt(252 * instruments);
