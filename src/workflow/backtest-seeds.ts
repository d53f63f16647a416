/** A trained model is as many strategies as it has seeds: which one is shown, and how they differ. */
import { formatNumber } from "../base/table.ts";
import type { BacktestResult, SeedComparison } from "../backtest/result.ts";
import { sharpeDifference } from "../metrics/sharpe-difference.ts";
import { deviation } from "../metrics/moments.ts";
import { ENSEMBLE_PREFIX, ensembleName } from "../strategy/ensemble.ts";
import { findStrategy } from "../strategy/find.ts";
import { MODEL_PREFIX, networkName, networkStrategy, seedsOf, type NetworkOptions }
  from "../strategy/network.ts";
import type { Strategy } from "../strategy/strategy.ts";
import { readArtifact } from "../train/artifact.ts";

/** Strategies that were trained, in whole or in part. */
export const isLearned = (name: string): boolean => name.startsWith(MODEL_PREFIX)
  || (name.startsWith(ENSEMBLE_PREFIX) && name.includes(MODEL_PREFIX));

/** One strategy, or one per seed of a model that is asked for as a whole. */
export async function findStrategies(root: string, name: string,
  options: NetworkOptions): Promise<Strategy[]> {
  if (!name.startsWith(MODEL_PREFIX)) return [await findStrategy(root, name, options)];
  const asked = networkName(name);
  const seeds = asked.seed === null ? seedsOf(readArtifact(root, asked.artifact)) : [asked.seed];
  return seeds.map((seed) => networkStrategy(root, { ...asked, seed }, options));
}

/**
 * Settings that were tried for a strategy before it was shown, for the deflated Sharpe ratio: those of all
 * folds, whatever became of them, and of all an ensemble's models. What was never tried out is 1 trial.
 */
export function countTrials(root: string, name: string): number {
  const names = name.startsWith(ENSEMBLE_PREFIX) ? ensembleName(name).members : [name];
  const models = new Set(names.filter((one) => one.startsWith(MODEL_PREFIX))
    .map((one) => networkName(one).artifact));
  const counts = [...models].map((model) =>
    readArtifact(root, model).folds.reduce((sum, { trials }) => sum + trials.length, 0));
  return Math.max(1, counts.reduce((a, b) => a + b, 0));
}

/** The result in the middle by average Sharpe ratio (none is the least); of an even number, the lower one. */
export function medianBySharpe(results: readonly BacktestResult[]): BacktestResult {
  const ratio = ({ average: { sharpe } }: BacktestResult): number =>
    Number.isNaN(sharpe) ? -Number.MAX_VALUE : sharpe;
  const sorted = [...results].sort((a, b) => ratio(a) - ratio(b));
  return sorted[Math.floor((sorted.length - 1) / 2)];
}

/** The shown result, and what the others say about it. */
export function withSeeds(shown: BacktestResult, results: readonly BacktestResult[]): BacktestResult {
  const seeds = compareSeeds(shown, results), { rows, sharpeMean, sharpeDeviation, pValue } = seeds;
  const many = `Of ${rows.length} seeds the median is shown; their average Sharpe ratio is `
    + `${formatNumber(sharpeMean, 3)} with a standard deviation of ${formatNumber(sharpeDeviation, 3)}.`;
  const chance = `The chance of such a lead over ${shown.benchmark?.name} if it were no better: `
    + `${formatNumber(pValue, 3)} (Ledoit and Wolf 2008).`;
  return { ...shown, seeds, notes: [...shown.notes, ...(rows.length > 1 ? [many] : []),
    ...(Number.isNaN(pValue) ? [] : [chance])] };
}

function compareSeeds(shown: BacktestResult, results: readonly BacktestResult[]): SeedComparison {
  const sharpes = results.map(({ average }) => average.sharpe);
  const { benchmark } = shown;
  return {
    rows: results.map(({ strategy, average, windows, costLadder }) => ({ name: strategy, average,
      sharpeByWindow: windows.map(({ sharpe }) => sharpe),
      sharpeByCost: costLadder.map(({ costBps, sharpe }) => ({ costBps, sharpe })) })),
    shown: shown.strategy,
    sharpeMean: sharpes.reduce((a, b) => a + b, 0) / sharpes.length,
    sharpeDeviation: deviation(sharpes),
    pValue: benchmark === null ? NaN : sharpeDifference(shown.curve.netReturn, benchmark.netReturn).pValue,
  };
}
