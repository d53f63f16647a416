/**
 * Which trials are good for several objectives, at a cost that does not explode with them: the hypervolume
 * subset, the hypervolume measured along rays.
 *
 *   loss 2 +-----------R  reference        A ray from R towards lower losses is inside what a trial dominates
 *          |      ./ / |                   for a length of   min over m of (R[m] - loss[m]) / ray[m];
 *          |  o--/--/--|   o trial         inside what several dominate for the longest of theirs.
 *          |  | /  /   |                   The mean of length^M over all directions is their hypervolume
 *          +-----------+ loss 1            (Zhang, Golovin, "Random hypervolume scalarizations", 2020).
 *
 * The trials that are longest along some ray are the first layer, those that are it among the others the
 * second, and so on: no non-dominated sort. Of the layer that is too large those are taken, one after the
 * other, that lengthen the rays most (within 1 - 1/e of its best subset, as every greedy cover). Exact
 * hypervolumes take minutes per suggestion at 8 objectives; this takes as long at 11 as at 3. Measured
 * against them, and against directions of preference, in test/long-tune-tpe.ts.
 *
 * Losses are scaled by quantiles, so that units and single ruined trials do not matter: those of the first
 * complete trials, as many as the last step of 10 % more; a function of what was told and of nothing else.
 */
import { random } from "../../base/random.ts";
import type { Finished } from "../trial.ts";
import { Rest } from "./split.ts";
import type { Split } from "./split.ts";

/** With 64, fronts of 2 and 3 objectives had 1 to 4 % less hypervolume. */
const RAYS = 256;
/** Scaled losses: 0 the best, 1 the 95 % quantile; the reference is at 1.1. */
const QUANTILE = 0.95;
const MARGIN = 0.1;
/** Infinite losses are so far away. */
const FAR = 1e9;
/** Of length: M is the hypervolume's own, but then the far ends of a front hardly count at 5 and more. */
const POWER = 2;
/** Trials remembered per ray at first; doubled whenever that was too few. */
const LISTED = 32;

export class HypervolumeSplit implements Split {
  readonly #objectives: number;
  /** (H, M) 1 / direction, on the unit sphere's positive part */
  readonly #rays: Float64Array;
  readonly #rest = new Rest();
  #told = 0;
  /** Complete trials: */
  #count = 0;
  /** (count) their rows */
  #rows = new Int32Array(64);
  /** (count, M) their losses */
  #losses: Float64Array;
  /** Trials that the scale is made of. */
  #scaleCount = 0;
  /** (M) */
  readonly #low: Float64Array;
  readonly #inverseRange: Float64Array;
  /** (M) distances to the reference of the trial looked at */
  readonly #depths: Float64Array;
  /** (H, listed) the longest trials of each ray and their lengths, longest first; -1: no more */
  #listed = LISTED;
  #best = new Int32Array(0);
  #longest = new Float64Array(0);
  /** Trials that are in the lists, were they long enough. */
  #seen = 0;

  constructor(objectives: number, seed: number) {
    this.#objectives = objectives;
    this.#rays = drawRays(objectives, seed);
    this.#losses = new Float64Array(64 * objectives);
    this.#low = new Float64Array(objectives);
    this.#inverseRange = new Float64Array(objectives);
    this.#depths = new Float64Array(objectives);
  }

  tell(trial: Finished): void {
    const row = this.#told++;
    if (this.#rest.take(row, trial, 0)) return;
    if (this.#count === this.#rows.length) {
      const rows = new Int32Array(2 * this.#count);
      const losses = new Float64Array(2 * this.#count * this.#objectives);
      rows.set(this.#rows);
      losses.set(this.#losses);
      this.#rows = rows;
      this.#losses = losses;
    }
    this.#rows[this.#count] = row;
    for (let m = 0, at = this.#count * this.#objectives; m < this.#objectives; m++, at++) {
      this.#losses[at] = Number.isNaN(trial.losses[m]) ? Infinity : trial.losses[m];
    }
    this.#count++;
    if (this.#count < 1.1 * this.#scaleCount) return;
    this.#scaleCount = this.#count;
    this.#seen = 0;
  }

  mark(isGood: Uint8Array): void {
    // As many as Optuna 5 takes for several objectives.
    const wanted = Math.ceil(0.1 * this.#told);
    isGood.fill(0);
    if (wanted < this.#count) this.#takeLayers(wanted, isGood);
    else for (let k = 0; k < this.#count; k++) isGood[this.#rows[k]] = 1;
    this.#rest.mark(wanted - this.#count, isGood);
  }

  #takeLayers(wanted: number, isGood: Uint8Array): void {
    this.#list();
    const next = new Int32Array(RAYS), rows = this.#rows;
    for (let left = wanted; left > 0;) {
      const listed = this.#listed, best = this.#best, layer = new Set<number>();
      for (let h = 0; h < RAYS; h++) {
        const start = h * listed;
        // What another ray has taken is passed over.
        while (next[h] < listed && best[start + next[h]] >= 0 && isGood[rows[best[start + next[h]]]] === 1) {
          next[h]++;
        }
        if (next[h] === listed) break;
        if (best[start + next[h]] >= 0) layer.add(best[start + next[h]]);
      }
      if (next.includes(listed)) {
        // The same trials come first in longer lists, so the places reached stay where they are.
        this.#listed *= 2;
        this.#seen = 0;
        this.#list();
        continue;
      }
      for (const k of layer.size > left ? this.#chooseGreedily([...layer], left) : layer) {
        isGood[rows[k]] = 1;
        left--;
      }
    }
  }

  /** Brings the lists up to what has been told. */
  #list(): void {
    if (this.#seen === 0) {
      this.#scale();
      this.#best = new Int32Array(RAYS * this.#listed).fill(-1);
      this.#longest = new Float64Array(RAYS * this.#listed).fill(-1);
    }
    const listed = this.#listed, best = this.#best, longest = this.#longest, lengths = new Float64Array(RAYS);
    for (; this.#seen < this.#count; this.#seen++) {
      this.#measure(this.#seen, lengths);
      for (let h = 0, to = listed - 1; h < RAYS; h++, to = (h + 1) * listed - 1) {
        const length = lengths[h];
        if (length <= longest[to]) continue;
        for (; to > h * listed && longest[to - 1] < length; to--) {
          longest[to] = longest[to - 1];
          best[to] = best[to - 1];
        }
        longest[to] = length;
        best[to] = this.#seen;
      }
    }
  }

  #scale(): void {
    const M = this.#objectives, losses = this.#losses.subarray(0, this.#scaleCount * M);
    for (let m = 0; m < M; m++) {
      const sorted = losses.filter((loss, at) => at % M === m && Number.isFinite(loss)).sort();
      const range = sorted[Math.ceil(QUANTILE * (sorted.length - 1))] - sorted[0];
      this.#low[m] = sorted[0] ?? 0;
      // A range beyond what doubles divide by, tiny or huge, is as good as none.
      const isRange = 1 / range > 0 && 1 / range < Infinity;
      this.#inverseRange[m] = isRange ? 1 / range : 1;
    }
  }

  /** Lengths (H) of a complete trial along all rays. */
  #measure(trial: number, lengths: Float64Array): void {
    const M = this.#objectives, rays = this.#rays, depths = this.#depths;
    for (let m = 0; m < M; m++) {
      const raw = (this.#losses[trial * M + m] - this.#low[m]) * this.#inverseRange[m];
      const scaled = Math.min(FAR, Math.max(-FAR, raw));
      // Beyond the quantile: never zero, so that who is bad in one thing is still told from who is worse.
      depths[m] = scaled <= 1 ? 1 + MARGIN - scaled : MARGIN / (1 + (scaled - 1) / MARGIN);
    }
    for (let h = 0, at = 0; h < RAYS; h++) {
      let length = Infinity;
      for (let m = 0; m < M; m++, at++) {
        const reach = depths[m] * rays[at];
        if (reach < length) length = reach;
      }
      lengths[h] = length;
    }
  }

  /** `wanted` of a layer: each time the one that lengthens the rays most. */
  #chooseGreedily(layer: readonly number[], wanted: number): number[] {
    const powers = layer.map((trial) => {
      const lengths = new Float64Array(RAYS);
      this.#measure(trial, lengths);
      return lengths.map((length) => length ** POWER);
    });
    const reached = new Float64Array(RAYS), chosen: number[] = [];
    // What a trial would add only shrinks (Minoux 1978): who is first by an old figure is looked at again.
    const bounds = new Float64Array(layer.length).fill(Infinity);
    while (chosen.length < wanted) {
      let first = 0;
      for (let k = 1; k < layer.length; k++) if (bounds[k] > bounds[first]) first = k;
      let more = 0;
      for (let h = 0; h < RAYS; h++) more += Math.max(0, powers[first][h] - reached[h]);
      if (more < bounds[first]) {
        bounds[first] = more;
        continue;
      }
      bounds[first] = -1;
      chosen.push(layer[first]);
      for (let h = 0; h < RAYS; h++) reached[h] = Math.max(reached[h], powers[first][h]);
    }
    return chosen;
  }
}

/** Directions, evenly random on the sphere; the inverses of their coordinates (H, M). */
function drawRays(objectives: number, seed: number): Float64Array {
  const draws = random(seed, "tpe", "rays"), rays = new Float64Array(RAYS * objectives);
  for (let h = 0; h < RAYS; h++) {
    const ray = rays.subarray(h * objectives, (h + 1) * objectives);
    for (let m = 0; m < objectives; m++) ray[m] = Math.abs(draws.normal());
    const length = Math.hypot(...ray);
    for (let m = 0; m < objectives; m++) ray[m] = length / Math.max(ray[m], 1e-9);
  }
  return rays;
}
