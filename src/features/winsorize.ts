/**
 * The price that inputs are computed from: clipped to its exponentially weighted mean +- 5 standard
 * deviations, half-life 252 bars, over the prices up to and including this one (research protocol,
 * section 2). Only *inputs* are winsorised: the target and every traded return are raw. The first
 * price has no deviation to be judged by: it is absent (NaN), so that everything starts with the
 * second, as in the reference.
 */
import { decayOfHalfLife, EWM_DEVIATION_LENGTH, ewmDeviation } from "./ewm.ts";

const DECAY = decayOfHalfLife(252);
const DEVIATIONS = 5;

export const WINSORIZED_LENGTH = EWM_DEVIATION_LENGTH;
export const WINSORIZED_FLOPS = 24;

/** Takes in a price and returns it clipped; NaN for the first. */
export function winsorized(state: Float64Array, at: number, price: number): number {
  const reach = DEVIATIONS * ewmDeviation(state, at, DECAY, price);
  const mean = state[at + 2];
  if (Number.isNaN(reach)) return NaN;
  return price > mean + reach ? mean + reach : price < mean - reach ? mean - reach : price;
}

/**
 * Volatility of one bar's return: exponentially weighted over `span` bars, from the winsorised
 * price.
 */
export const VOLATILITY_LENGTH = EWM_DEVIATION_LENGTH + 2;
export const VOLATILITY_FLOPS = 24;
/** Returns that differ by less than this are equal but for the rounding of prices. */
const ROUNDING = 1e-14;

/** In units of a volatility; 0 where that is 0: what cannot be scaled counts for nothing. */
export const scaledBy = (sigma: number, value: number): number => sigma === 0 ? 0 : value / sigma;

/**
 * Takes in a winsorised price and returns the ex-ante volatility of a bar's return, NaN before
 * `span` returns, 0 where returns have never differed: nothing can be scaled by it. State: | price
 * before | returns seen | ewm of returns |.
 */
export function volatility(state: Float64Array, at: number, span: number, decay: number,
  price: number): number {
  const before = state[at];
  if (Number.isNaN(price)) return NaN;
  state[at] = price;
  if (before === 0) return NaN;
  const deviation = ewmDeviation(state, at + 2, decay, price / before - 1);
  if (state[at + 1] < span) state[at + 1]++;
  return state[at + 1] < span ? NaN : deviation < ROUNDING ? 0 : deviation;
}
