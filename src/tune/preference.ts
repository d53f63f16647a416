/**
 * Which trial of a front to take: by what a person prefers, or where the front itself bends.
 *
 *   loss 2 | a                  preferred   the least of the worst weighted regret: at weights (1, 1) c,
 *          | .                              at (3, 1) b or a
 *          |  b                 knee        c: to gain a little in one loss costs much in the other
 *          |   .c..... d . e
 *          +---------------- loss 1
 *
 * Losses are first scaled to [0, 1] over the front, so a weight needs no unit.
 */
import { assert } from "../base/assert.ts";
import { UserError } from "../base/error.ts";
import { suggestion } from "../base/suggest.ts";
import type { Finished, Objective } from "./trial.ts";

/** Of the sum, beside the largest: of equal regrets the one that is better elsewhere wins. */
const AUGMENTATION = 0.05;

/**
 * (M) weights of `sharpe=2,latency=1`; objectives that are not named have 0. Throws UserError for a name
 * that is no objective or a weight that is not a number > 0.
 */
export function parsePreference(text: string, objectives: readonly Objective[]): Float64Array {
  const names = objectives.map(({ name }) => name), weights = new Float64Array(names.length);
  for (const part of text.split(",")) {
    const [name, value = "1"] = part.split("=", 2).map((word) => word.trim());
    const m = names.indexOf(name);
    if (m < 0) throw new UserError(`the study has no objective "${name}"`, suggestion(name, names));
    weights[m] = value === "" ? NaN : Number(value);
    if (!(weights[m] > 0 && Number.isFinite(weights[m]))) {
      throw new UserError(`the weight of ${name} is "${value}", not a number above 0`,
        `as in: --prefer ${name}=2`);
    }
  }
  return weights;
}

export interface Picked {
  readonly trial: Finished;
  /** 0: the best of the front in everything that was asked for. */
  readonly regret: number;
}

/**
 * The front from the most preferred to the least, by the augmented achievement function (Wierzbicki 1980):
 * the largest of weight times scaled loss, and a twentieth of the sum of all. `weights` (M), none negative,
 * one positive.
 */
export function rankByPreference(front: readonly Finished[], weights: Float64Array): Picked[] {
  assert(weights.every((weight) => weight >= 0) && weights.some((weight) => weight > 0), "weights of a pick");
  const scaled = scale(front), total = weights.reduce((sum, weight) => sum + weight, 0);
  const regrets = scaled.map((losses) => {
    let worst = 0, sum = 0;
    for (let m = 0; m < weights.length; m++) {
      const share = weights[m] / total;
      worst = Math.max(worst, share * losses[m]);
      sum += (share + 1e-3 / weights.length) * losses[m];
    }
    return worst + AUGMENTATION * sum;
  });
  return front.map((trial, i) => ({ trial, regret: regrets[i] }))
    .sort((a, b) => a.regret - b.regret || a.trial.number - b.trial.number);
}

export interface Knee {
  readonly trial: Finished;
  /** Least loss per gain in a move to any neighbour, both scaled; > 1. */
  readonly tradeOff: number;
}

/** Neighbours are at most this part of the scaled front's diagonal away, or the 2 M nearest. */
const NEIGHBOURHOOD = 1 / 8;

/**
 * Members from which every move to a neighbour loses more than it gains, and more so than from those
 * neighbours: the steepest first (Rachmawati, Srinivasan, IEEE TEC 2009). The best in a loss are none: a move
 * from there can only be judged from one side. O(n^2 M).
 */
export function kneePoints(front: readonly Finished[]): Knee[] {
  const scaled = scale(front), neighbours = scaled.map((_, i) => neighboursOf(scaled, i));
  const tradeOffs = scaled.map((losses, i) =>
    neighbours[i].reduce((least, j) => Math.min(least, lossPerGain(losses, scaled[j])), Infinity));
  return front.map((trial, i) => ({ trial, tradeOff: tradeOffs[i] }))
    .filter(({ tradeOff }, i) => tradeOff > 1 + 1e-9 && !scaled[i].includes(0)
      && neighbours[i].every((j) => tradeOffs[j] <= tradeOff))
    .sort((a, b) => b.tradeOff - a.tradeOff || a.trial.number - b.trial.number);
}

function neighboursOf(rows: readonly Float64Array[], i: number): number[] {
  const own = rows[i], M = own.length, near: number[] = [], squares = new Float64Array(rows.length);
  for (let j = 0; j < rows.length; j++) {
    const row = rows[j];
    for (let m = 0; m < M; m++) squares[j] += (row[m] - own[m]) ** 2;
    if (squares[j] > 0 && squares[j] <= NEIGHBOURHOOD ** 2 * M) near.push(j);
  }
  if (near.length >= 2 * M) return near;
  return Array.from(rows.keys()).filter((j) => squares[j] > 0)
    .sort((a, b) => squares[a] - squares[b] || a - b).slice(0, 2 * M);
}

function lossPerGain(from: Float64Array, to: Float64Array): number {
  let loss = 0, gain = 0;
  for (let m = 0; m < from.length; m++) {
    const change = to[m] - from[m];
    if (change > 0) loss += change; else gain -= change;
  }
  return gain > 0 ? loss / gain : Infinity;
}

/** (n)(M) losses with the front's best as 0 and its worst as 1; 0 where all are equal. */
function scale(front: readonly Finished[]): Float64Array[] {
  if (front.length === 0) return [];
  const best = front[0].losses.map((_, m) => extreme(front, m, Math.min, Infinity));
  const worst = front[0].losses.map((_, m) => extreme(front, m, Math.max, -Infinity));
  return front.map(({ losses }) => losses.map((loss, m) => {
    if (!Number.isFinite(loss)) return loss > 0 ? 1 : 0;
    return worst[m] > best[m] ? (loss - best[m]) / (worst[m] - best[m]) : 0;
  }));
}

/** Of the finite losses. */
function extreme(front: readonly Finished[], m: number, of: (a: number, b: number) => number, from: number):
  number {
  return front.reduce((found, { losses }) => Number.isFinite(losses[m]) ? of(found, losses[m]) : found, from);
}
