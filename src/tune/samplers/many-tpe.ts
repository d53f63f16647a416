/**
 * Which trials are good for several objectives, at a cost that grows with their number only linearly: the
 * greedy hypervolume subset, the hypervolume measured along rays.
 *
 *   loss 2 +-----------R  reference        A ray from R towards lower losses is inside what a trial dominates
 *          |      ./ / |                   for a length of   min over m of (R[m] - loss[m]) / ray[m];
 *          |  o--/--/--|   o trial         inside what several dominate for the longest of theirs.
 *          |  | /  /   |                   The mean of length^M over all directions is their hypervolume
 *          +-----------+ loss 1            (Zhang, Golovin, "Random hypervolume scalarizations", 2020).
 *
 * Taken is, again and again, the trial that lengthens the rays most (within 1 - 1/e of the best subset, as
 * any greedy cover); when none lengthens any, the next layer begins with fresh rays: no non-dominated sort.
 * Exact hypervolumes take minutes per suggestion at 8 objectives; this takes as long at 11 as at 3.
 * Measured in test/long-tune-tpe.ts against them and against directions of preference.
 *
 * Losses are scaled by quantiles, so that units and single ruined trials do not matter. The scale is that
 * of the first trials, as many as the last power of 1.1: it depends on what was told and nothing else.
 */
import { random } from "../../base/random.ts";
import type { Finished } from "../trial.ts";
import { Rest } from "./split.ts";
import type { Split } from "./split.ts";

/** Rays: with 64 a front of 2 objectives is 2 % worse, with 512 nothing is better. */
const RAYS = 256;
/** Scaled losses: 0 the best, 1 the 95 % quantile; the reference is at 1.1. */
const QUANTILE = 0.95;
const MARGIN = 0.1;
/** Of length: M is the hypervolume's; from 2 on the far ends of a front count too little of it. */
const POWER = 2;
/** Trials that are kept in mind per ray: so many layers are found in one pass over all. */
const LISTED = 16;

/** Good ones of n trials (Optuna 5). */
const countGood = (n: number): number => Math.ceil(0.1 * n);

export class HypervolumeSplit implements Split {
  readonly #objectives: number;
  /** (H, M) 1 / direction, on the unit sphere's positive part */
  readonly #rays: Float64Array;
  readonly #rest = new Rest();
  #told = 0;
  /** Complete trials. */
  #count = 0;
  /** (count) their rows */
  #rows = new Int32Array(64);
  /** (count, M) */
  #losses: Float64Array;
  /** (count, H) powers of lengths, of the first `#scored` */
  #lengths = new Float32Array(64 * RAYS);
  #scored = 0;
  /** Trials that the scale is made of. */
  #scaleCount = 0;
  /** (M) */
  readonly #low: Float64Array;
  readonly #inverseRange: Float64Array;

  constructor(objectives: number, seed: number) {
    this.#objectives = objectives;
    this.#rays = drawRays(objectives, seed);
    this.#losses = new Float64Array(64 * objectives);
    this.#low = new Float64Array(objectives);
    this.#inverseRange = new Float64Array(objectives);
  }

  tell(trial: Finished): void {
    const row = this.#told++;
    if (this.#rest.take(row, trial, 0)) return;
    if (this.#count === this.#rows.length) this.#grow();
    this.#rows[this.#count] = row;
    for (let m = 0, at = this.#count * this.#objectives; m < this.#objectives; m++, at++) {
      this.#losses[at] = Number.isNaN(trial.losses[m]) ? Infinity : trial.losses[m];
    }
    this.#count++;
    if (this.#count < 1.1 * this.#scaleCount) return;
    this.#scaleCount = this.#count;
    this.#scored = 0;
  }

  #grow(): void {
    const size = 2 * this.#count;
    const rows = new Int32Array(size), losses = new Float64Array(size * this.#objectives);
    const lengths = new Float32Array(size * RAYS);
    rows.set(this.#rows);
    losses.set(this.#losses);
    lengths.set(this.#lengths);
    this.#rows = rows;
    this.#losses = losses;
    this.#lengths = lengths;
  }

  mark(_: number, isGood: Uint8Array): void {
    const wanted = countGood(this.#told);
    isGood.fill(0);
    if (this.#count > 0) this.#score();
    if (wanted < this.#count) this.#takeLayers(wanted, isGood);
    else for (let k = 0; k < this.#count; k++) isGood[this.#rows[k]] = 1;
    this.#rest.mark(wanted - this.#count, isGood);
  }

  /** Brings scale and lengths up to what has been told. */
  #score(): void {
    const M = this.#objectives, rays = this.#rays, lengths = this.#lengths;
    if (this.#scored === 0) this.#scale();
    const depths = new Float64Array(M);
    for (; this.#scored < this.#count; this.#scored++) {
      for (let m = 0; m < M; m++) {
        const scaled = (this.#losses[this.#scored * M + m] - this.#low[m]) * this.#inverseRange[m];
        // Beyond the quantile: never zero, so that who is bad in one thing is still told from who is worse.
        depths[m] = scaled <= 1 ? 1 + MARGIN - scaled : MARGIN / (1 + (scaled - 1) / MARGIN);
      }
      for (let h = 0, at = 0, out = this.#scored * RAYS; h < RAYS; h++, out++) {
        let length = Infinity;
        for (let m = 0; m < M; m++, at++) {
          const reach = depths[m] * rays[at];
          if (reach < length) length = reach;
        }
        lengths[out] = length ** POWER;
      }
    }
  }

  #scale(): void {
    const M = this.#objectives, n = this.#scaleCount, sorted = new Float64Array(n);
    for (let m = 0; m < M; m++) {
      for (let k = 0; k < n; k++) sorted[k] = this.#losses[k * M + m];
      sorted.sort();
      const range = sorted[Math.ceil(QUANTILE * (n - 1))] - sorted[0];
      this.#low[m] = sorted[0];
      this.#inverseRange[m] = range > 0 && range < Infinity ? 1 / range : 0;
    }
  }

  /** Layer by layer: the trials that are best along a ray, then of the others the same, ... */
  #takeLayers(wanted: number, isGood: Uint8Array): void {
    let left = wanted;
    while (left > 0) {
      const best = this.#listBest(isGood), next = new Int32Array(RAYS);
      for (;;) {
        const layer = new Set<number>();
        let isListed = true;
        for (let h = 0; h < RAYS && isListed; h++) {
          const list = best.subarray(h * LISTED, (h + 1) * LISTED);
          while (next[h] < LISTED && list[next[h]] >= 0 && isGood[this.#rows[list[next[h]]]] === 1) next[h]++;
          isListed = next[h] < LISTED && list[next[h]] >= 0;
          if (isListed) layer.add(list[next[h]]);
        }
        if (!isListed || left === 0) break;
        for (const k of layer.size > left ? this.#chooseGreedily([...layer], left) : layer) {
          isGood[this.#rows[k]] = 1;
          left--;
        }
      }
    }
  }

  /** (H, LISTED) the longest of each ray among those not taken, longest first; -1: there are no more. */
  #listBest(isGood: Uint8Array): Int32Array {
    const lengths = this.#lengths, best = new Int32Array(RAYS * LISTED).fill(-1);
    const longest = new Float32Array(RAYS * LISTED).fill(-1);
    for (let k = 0; k < this.#count; k++) {
      if (isGood[this.#rows[k]] === 1) continue;
      for (let h = 0, at = k * RAYS, last = LISTED - 1; h < RAYS; h++, at++, last += LISTED) {
        const length = lengths[at];
        if (length <= longest[last]) continue;
        let to = last;
        for (; to > h * LISTED && longest[to - 1] < length; to--) {
          longest[to] = longest[to - 1];
          best[to] = best[to - 1];
        }
        longest[to] = length;
        best[to] = k;
      }
    }
    return best;
  }

  /** `wanted` of a layer, each the one that lengthens the rays most beyond those before it. */
  #chooseGreedily(layer: number[], wanted: number): number[] {
    const lengths = this.#lengths, reached = new Float32Array(RAYS), chosen: number[] = [];
    // What a trial would add only shrinks (Minoux 1978): whoever is first by an old figure is looked at again.
    const bounds = new Float64Array(layer.length).fill(Infinity);
    while (chosen.length < wanted) {
      let first = 0;
      for (let k = 1; k < layer.length; k++) if (bounds[k] > bounds[first]) first = k;
      const start = layer[first] * RAYS;
      let more = 0;
      for (let h = 0; h < RAYS; h++) more += Math.max(0, lengths[start + h] - reached[h]);
      if (more < bounds[first]) {
        bounds[first] = more;
        continue;
      }
      bounds[first] = -1;
      chosen.push(layer[first]);
      for (let h = 0; h < RAYS; h++) reached[h] = Math.max(reached[h], lengths[start + h]);
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
