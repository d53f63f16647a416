/**
 * Which inputs a network lives on, and whether that is the same from fold to fold.
 *
 *   permutation   Sharpe lost when one input's rows are shuffled     Breiman 2001
 *   selection     mean weight that the network itself gives it       Lim et al. 2021 (TFT)
 *   stability     do folds agree on the order, and on the best?      Nogueira et al. 2018
 */
import { assert } from "../base/assert.ts";
import { random } from "../base/random.ts";
import type { SequenceSet } from "../dataset/sequence.ts";
import { mean } from "../metrics/moments.ts";
import type { Settings } from "../nn/hyperparameter.ts";
import type { PositionKind } from "../nn/loss.ts";
import type { Architecture } from "../nn/model.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { diversifiedSharpe, makeEvaluator } from "./evaluate.ts";
import { settingsOf } from "./settings.ts";
import { NO_SEQUENCE } from "./streams.ts";

/** A trained network and the sequences to ask it about. */
export interface ImportanceOptions {
  readonly architecture: Architecture;
  readonly settings: Settings;
  /** (P) */
  readonly parameters: Float32Array;
  readonly positionKind: PositionKind;
  readonly validation: SequenceSet;
  readonly seed: number;
  readonly runtime: Runtime;
  /** Shuffles per input, whose mean is taken. */
  readonly repeats?: number;
  /** As it was trained: see `FitOptions`. */
  readonly carry?: boolean;
}

export interface Importance {
  /**
   * (F) loss of annualised Sharpe, gross, when an input is shuffled; 0 or less: the network does
   * without.
   */
  readonly permutation: readonly number[];
  /** (F) mean weights, summing to 1; null when the network has no such view. */
  readonly selection: readonly number[] | null;
  /** Sharpe with nothing shuffled. */
  readonly sharpe: number;
}

/** The name of the view (B, T, F) in which architectures with variable selection show it. */
const SELECTION = "view/selection";

/** An undefined ratio (no variance at all) earns nothing. */
const sharpeOf = (set: SequenceSet, positions: Float32Array): number => {
  const { gross } = diversifiedSharpe(set, positions);
  return Number.isNaN(gross) ? 0 : gross;
};

/**
 * What each of the F inputs is worth to a network, on sequences that it was not trained on. F x
 * `repeats` passes over them.
 */
export async function measureImportance(options: ImportanceOptions): Promise<Importance> {
  const { architecture, parameters, positionKind, validation, seed, runtime,
    repeats = 3, carry = false } = options;
  const settings = settingsOf(architecture, options.settings), F = validation.names.length;
  await using evaluator =
    await makeEvaluator(runtime, architecture, settings, validation,
      { positionKind, hasViews: true, carry });
  await evaluator.load({ shape: [parameters.length], values: parameters });
  const sums = new Float64Array(F);
  let rows = 0;
  const positions = await evaluator.positions(validation, (outputs, indices) => {
    const view = outputs[SELECTION], T = validation.lookback;
    if (view === undefined) return;
    assert(view.shape[1] === T && view.shape[2] === F, `${SELECTION} is (B, T, F)`);
    indices.forEach((s, b) => {
      for (let t = 0; t < T; t++) {
        if (s === NO_SEQUENCE || validation.weight[s * T + t] === 0) continue;
        rows++;
        for (let f = 0; f < F; f++) sums[f] += view.values[(b * T + t) * F + f];
      }
    });
  });
  const sharpe = sharpeOf(validation, positions);
  const permutation: number[] = [];
  for (let f = 0; f < F; f++) {
    const losses: number[] = [];
    for (let k = 0; k < repeats; k++) {
      const shuffled = shuffleInput(validation, f, seed, k);
      losses.push(sharpe - sharpeOf(validation, await evaluator.positions(shuffled)));
    }
    permutation.push(mean(losses));
  }
  const selection = rows === 0 ? null : Array.from(sums, (sum) => sum / rows);
  return { permutation, sharpe, selection };
}

/** The set with input f dealt anew among all its rows (not padding), over instruments and time. */
export function shuffleInput(set: SequenceSet, f: number, seed: number,
  repeat: number): SequenceSet {
  const F = set.names.length, features = set.features.slice();
  const rows = [...set.weight.keys()].filter((at) => set.weight[at] !== 0);
  const dealt = random(seed, "importance", set.names[f], repeat).shuffle([...rows]);
  rows.forEach((at, k) => { features[at * F + f] = set.features[dealt[k] * F + f]; });
  return { ...set, features };
}

/** Ranks from 1 (smallest); equal values share their mean rank. */
export function ranksOf(values: readonly number[]): number[] {
  return values.map((value) => {
    const below = values.filter((other) => other < value).length;
    const same = values.filter((other) => other === value).length;
    return below + (same + 1) / 2;
  });
}

/** Spearman's rank correlation; NaN when one side does not vary. */
export function spearman(a: readonly number[], b: readonly number[]): number {
  assert(a.length === b.length, "rank correlation is of pairs");
  const x = ranksOf(a), y = ranksOf(b), centre = (a.length + 1) / 2;
  const dot = (u: readonly number[], v: readonly number[]): number =>
    u.reduce((sum, one, k) => sum + (one - centre) * (v[k] - centre), 0);
  return dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y));
}

/** The k inputs that matter most, ascending by index; of equal ones the first. */
export const topInputs = (importance: readonly number[], k: number): number[] =>
  [...importance.keys()].sort((a, b) => importance[b] - importance[a] || a - b)
    .slice(0, k).sort((a, b) => a - b);

/**
 * Stability of a selection (Nogueira, Sechidis, Brown, "On the stability of feature selection
 * algorithms", JMLR 18, 2018): 1 - mean variance of each input's being chosen / that of
 * choosing at random as many. At most 1 (always the same), 0 for chance. `chosen[m]`: indices
 * chosen in fold m, out of F inputs. NaN where all or none are chosen everywhere, or for fewer than
 * two folds.
 */
export function selectionStability(chosen: readonly (readonly number[])[], F: number): number {
  const M = chosen.length;
  let variance = 0, size = 0;
  for (let f = 0; f < F; f++) {
    const share = chosen.filter((fold) => fold.includes(f)).length / M;
    variance += M / (M - 1) * share * (1 - share) / F;
    size += share / F;
  }
  return M < 2 ? NaN : 1 - variance / (size * (1 - size));
}

export interface Stability {
  /** Mean Spearman correlation over all pairs of folds. */
  readonly rank: number;
  /** Of the `top` most important inputs. */
  readonly selection: number;
  /**
   * Mean of those two that are defined: a tuning objective, at most 1. NaN with fewer than two
   * folds.
   */
  readonly score: number;
}

/**
 * `folds[m]`: (F) importance in fold m. `top` inputs are called chosen; half of them unless said.
 */
export function importanceStability(folds: readonly (readonly number[])[],
  top?: number): Stability {
  const F = folds[0]?.length ?? 0, pairs: number[] = [];
  folds.forEach((a, m) => { for (const b of folds.slice(m + 1)) pairs.push(spearman(a, b)); });
  const rank = mean(pairs);
  const chosen = folds.map((one) => topInputs(one, top ?? Math.max(1, Math.floor(F / 2))));
  const selection = folds.length < 2 ? NaN : selectionStability(chosen, F);
  return { rank, selection, score: mean([rank, selection]) };
}

/**
 * Names whose mean importance over folds is at least `threshold` (Sharpe for permutation, share for
 * selection); the single most important one when none is, because a network needs an input.
 */
export function selectFeatures(names: readonly string[], folds: readonly (readonly number[])[],
  threshold: number): string[] {
  const means = names.map((_, f) => mean(folds.map((one) => one[f])));
  const chosen = names.filter((_, f) => means[f] >= threshold);
  return chosen.length > 0 ? chosen : topInputs(means, 1).map((f) => names[f]);
}
