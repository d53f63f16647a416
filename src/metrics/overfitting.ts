/**
 * How much of a Sharpe ratio is luck.
 *
 *   probabilistic Sharpe   P(true SR > SR*) from length, skewness, kurtosis      Bailey, Lopez de Prado 2012
 *   deflated Sharpe        the same, SR* = best expected of `trials` useless   Bailey, Lopez de Prado 2014
 *   PBO                    how often the best half-sample choice is below the median out of sample, over all
 *                          C(S, S/2) ways to halve S blocks (CSCV)   Bailey, Borwein, LdP, Zhu 2017
 *
 * Sharpe ratios here are per period, never annualised.
 */
import { assert } from "../base/assert.ts";
import { deviation, mean, standardMoment } from "./moments.ts";
import { normalCdf, normalQuantile } from "./normal.ts";

const EULER = 0.5772156649015329;

export interface SharpeSample {
  /** Sharpe ratio of one period. */
  readonly sharpe: number;
  /** Periods it was measured on. */
  readonly periods: number;
  readonly skewness: number;
  /** 3 for a normal. */
  readonly kurtosis: number;
}

/** What the formulas need to know of a series. */
export function sharpeSample(returns: ArrayLike<number>): SharpeSample {
  return { sharpe: mean(returns) / deviation(returns), periods: returns.length,
    skewness: standardMoment(returns, 3), kurtosis: standardMoment(returns, 4) };
}

/** P(true Sharpe > `threshold`), both per period. */
export function probabilisticSharpe(sample: SharpeSample, threshold = 0): number {
  const { sharpe, periods, skewness, kurtosis } = sample;
  const spread = Math.sqrt(1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe ** 2);
  return normalCdf((sharpe - threshold) * Math.sqrt(periods - 1) / spread);
}

/**
 * Expected largest of `trials` Sharpe ratios whose true value is 0 and whose variance is `variance` (per
 * period).
 */
export function expectedBestSharpe(trials: number, variance: number): number {
  if (trials <= 1) return 0;
  return Math.sqrt(variance) * ((1 - EULER) * normalQuantile(1 - 1 / trials)
    + EULER * normalQuantile(1 - 1 / (trials * Math.E)));
}

/**
 * P(true Sharpe > 0) after `trials` tries; `variance` of the tries' Sharpe ratios, per period. One try: no
 * deflation.
 */
export function deflatedSharpe(sample: SharpeSample, trials: number, variance: number): number {
  return probabilisticSharpe(sample, expectedBestSharpe(trials, variance));
}

/** More blocks than this would mean more than 184,756 halvings. */
const BLOCKS_MAX = 20;

/**
 * Probability of backtest overfitting. `trials`: one return series per configuration tried, equally long.
 * `blocks` is even, 2..20. 0.5 is what choosing at random gives.
 */
export function overfittingProbability(trials: readonly ArrayLike<number>[], blocks = 16): number {
  assert(blocks >= 2 && blocks <= BLOCKS_MAX && blocks % 2 === 0,
    `blocks must be even, 2..${BLOCKS_MAX}: ${blocks}`);
  assert(trials.length >= 2, "an overfitting probability needs two or more trials");
  const length = Math.floor(trials[0].length / blocks);
  const sums = trials.map((series) => blockSums(series, blocks, length));
  let below = 0, halvings = 0;
  for (let mask = 0; mask < 2 ** blocks; mask++) {
    if (countBits(mask) !== blocks / 2) continue;
    halvings++;
    const inside = sums.map((block) => halfSharpe(block, mask, length));
    const outside = sums.map((block) => halfSharpe(block, 2 ** blocks - 1 - mask, length));
    const best = inside.indexOf(Math.max(...inside));
    const beaten = outside.filter((value) => value < outside[best]).length;
    const ties = outside.filter((value) => value === outside[best]).length;
    // Relative rank in (0, 1); its logit is <= 0 when the choice is at or below the median.
    if ((beaten + (ties + 1) / 2) / (trials.length + 1) <= 0.5) below++;
  }
  return below / halvings;
}

/** Sum and sum of squares of each block: a half's Sharpe ratio is then a few additions. */
function blockSums(series: ArrayLike<number>, blocks: number, length: number): Float64Array {
  const out = new Float64Array(2 * blocks);
  for (let b = 0; b < blocks; b++) {
    for (let t = b * length; t < (b + 1) * length; t++) {
      out[2 * b] += series[t];
      out[2 * b + 1] += series[t] ** 2;
    }
  }
  return out;
}

function halfSharpe(block: Float64Array, mask: number, length: number): number {
  let sum = 0, squares = 0, n = 0;
  for (let b = 0; b < block.length / 2; b++) {
    if ((mask >>> b & 1) === 0) continue;
    sum += block[2 * b];
    squares += block[2 * b + 1];
    n += length;
  }
  const centre = sum / n, variance = squares / n - centre ** 2;
  return variance > 0 ? centre / Math.sqrt(variance) : 0;
}

function countBits(mask: number): number {
  let count = 0;
  for (let rest = mask; rest > 0; rest &= rest - 1) count++;
  return count;
}
