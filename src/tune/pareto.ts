/**
 * Trials that no other trial beats.
 *
 *   loss 2 | a                 front   a b c        nothing is better in one loss and no worse in the rest
 *          |    b   d          boxes  [b] [c]       one of each box of a grid; boxes dominate boxes, so that
 *          |      c   e                             a difference below the grid (noise) decides nothing
 *          +------------ loss 1
 *
 * Only complete, feasible trials with all losses known take part. Trials with equal losses are all on the
 * front. At eleven objectives nearly everything is: that is what boxes, knees and preferences are for.
 */
import { assert } from "../base/assert.ts";
import { quantile } from "./quantile.ts";
import type { Finished } from "./trial.ts";

/** Whether a trial may be on a front. */
export const isEligible = (trial: Finished): boolean =>
  trial.state === "complete" && trial.violation === 0 && !trial.losses.includes(NaN);

/** How (M) losses of a flat array, from `at` on, stand to others: better dominates, worse is dominated. */
export function compareAt(flat: ArrayLike<number>, at: number, others: ArrayLike<number>):
  "better" | "worse" | "equal" | "neither" {
  let isLess = false, isMore = false;
  for (let m = 0; m < others.length; m++) {
    const a = flat[at + m], b = others[m];
    if (a < b) isLess = true;
    else if (a > b) isMore = true;
    if (isLess && isMore) return "neither";
  }
  return isLess ? "better" : isMore ? "worse" : "equal";
}

/** Whether a is no worse than b in any of their (M) losses and better in one. */
export const dominates = (a: ArrayLike<number>, b: ArrayLike<number>): boolean =>
  compareAt(a, 0, b) === "better";

/**
 * The front, trial by trial. A trial costs one comparison with each member, most of which end after two or
 * three losses: 10,000 trials with eleven are a third of a second.
 */
export class Front {
  #members: Finished[] = [];
  /** (members and room for more, M) */
  #losses = new Float64Array();

  /** In the order in which they came. */
  get members(): readonly Finished[] { return this.#members; }

  /** Whether it is on the front now. */
  add(trial: Finished): boolean {
    if (!isEligible(trial)) return false;
    const { losses } = trial, M = losses.length, count = this.#members.length;
    if ((count + 1) * M > this.#losses.length) {
      const larger = new Float64Array(Math.max(64 * M, 2 * this.#losses.length));
      larger.set(this.#losses);
      this.#losses = larger;
    }
    let kept = 0;
    for (let i = 0; i < count; i++) {
      const order = compareAt(this.#losses, i * M, losses);
      // What dominates it leaves nothing that it dominates: nobody has moved.
      if (order === "better") return false;
      if (order === "worse") continue;
      if (kept < i) {
        this.#losses.copyWithin(kept * M, i * M, (i + 1) * M);
        this.#members[kept] = this.#members[i];
      }
      kept++;
    }
    this.#losses.set(losses, kept * M);
    this.#members.length = kept;
    this.#members.push(trial);
    return true;
  }
}

/** The trials that no other one of them dominates, in their order. */
export function paretoFront(trials: Iterable<Finished>): readonly Finished[] {
  const front = new Front();
  for (const trial of trials) front.add(trial);
  return front.members;
}

/**
 * At most one trial of each box of a grid, and only of boxes that no other box dominates (Laumanns et al.,
 * "Combining convergence and diversity in evolutionary multiobjective optimization", 2002): within a box the
 * one that dominates, else the one nearest to the box's best corner, else the first.
 */
export class BoxFront {
  /** (M) sides of a box, in units of the losses; > 0. */
  readonly sides: Float64Array;
  #members: { readonly trial: Finished; readonly box: Float64Array }[] = [];

  constructor(sides: ArrayLike<number>) {
    this.sides = Float64Array.from(sides);
    assert(this.sides.every((side) => side > 0 && Number.isFinite(side)), "a box has finite sides > 0");
  }

  get members(): readonly Finished[] { return this.#members.map(({ trial }) => trial); }

  /** Whether it is a member now. */
  add(trial: Finished): boolean {
    if (!isEligible(trial)) return false;
    const box = trial.losses.map((loss, m) => Math.floor(loss / this.sides[m]));
    for (const other of this.#members) {
      if (dominates(other.box, box)) return false;
      if (other.box.every((at, m) => at === box[m]) && !this.#isNearer(trial, other.trial, box)) return false;
    }
    this.#members = this.#members.filter((other) =>
      !dominates(box, other.box) && !other.box.every((at, m) => at === box[m]));
    this.#members.push({ trial, box });
    return true;
  }

  #isNearer(trial: Finished, member: Finished, box: Float64Array): boolean {
    if (dominates(trial.losses, member.losses)) return true;
    if (dominates(member.losses, trial.losses)) return false;
    const distance = ({ losses }: Finished): number =>
      losses.reduce((sum, loss, m) => sum + (loss / this.sides[m] - box[m]) ** 2, 0);
    return distance(trial) < distance(member);
  }
}

/** (M) sides of boxes that cut the middle 90 % of the trials' losses into `parts`. */
export function boxSides(trials: readonly Finished[], parts = 10): Float64Array {
  assert(trials.length > 0, "boxes for no trials");
  return trials[0].losses.map((_, m) => {
    const sorted = Float64Array.from(trials, ({ losses }) => losses[m]).filter(Number.isFinite).sort();
    const range = sorted.length === 0 ? 0 : quantile(sorted, 0.95) - quantile(sorted, 0.05);
    return (range > 0 ? range : 1) / parts;
  });
}
