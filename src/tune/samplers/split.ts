/**
 * Which of the told trials are good: the first ones of an order, as many as TPE's constants say.
 *
 *   complete, by loss or by many-tpe.ts | pruned, longest-lived first | infeasible, least first
 */
import type { Finished } from "../trial.ts";

/** Which trials are good. Rows are trials in the order in which they were told. */
export interface Split {
  tell(trial: Finished): void;
  /** Marks the good rows with 1, all others with 0, in `isGood` (at least as long as rows told). */
  mark(isGood: Uint8Array): void;
}

const GOOD_MAX = 25;
/** Good ones of n trials (Optuna 5): a tenth, but no more than 25. */
export const countGood = (n: number): number => Math.min(Math.ceil(0.1 * n), GOOD_MAX);

/**
 * Order of trials that are not complete, after all that are: pruned ones by how far they came, then by
 * loss; infeasible ones by how much they violate.
 */
export class Rest {
  readonly #pruned: { row: number; step: number; loss: number }[] = [];
  readonly #infeasible: { row: number; violation: number }[] = [];

  /** False: the trial is complete and feasible, and not of the rest. */
  take(row: number, { state, violation, step }: Finished, loss: number): boolean {
    if (violation > 0 || state === "infeasible") this.#infeasible.push({ row, violation });
    else if (state === "pruned") this.#pruned.push({ row, step, loss: Number.isNaN(loss) ? Infinity : loss });
    else return false;
    return true;
  }

  /** Marks the best `wanted` rows. */
  mark(wanted: number, isGood: Uint8Array): void {
    if (wanted <= 0) return;
    const pruned = this.#pruned.toSorted((a, b) => b.step - a.step || order(a.loss, b.loss) || a.row - b.row);
    const infeasible = this.#infeasible.toSorted((a, b) => order(a.violation, b.violation) || a.row - b.row);
    for (const { row } of [...pruned, ...infeasible].slice(0, wanted)) isGood[row] = 1;
  }
}
/** Not a subtraction: two infinities have no difference. */
const order = (a: number, b: number): number => a < b ? -1 : a > b ? 1 : 0;

/** One objective: by loss. The best GOOD_MAX are enough, however many there are. */
export class LossSplit implements Split {
  readonly #rest = new Rest();
  readonly #best: { row: number; loss: number }[] = [];
  #told = 0;

  tell(trial: Finished): void {
    const row = this.#told++, loss = Number.isNaN(trial.losses[0]) ? Infinity : trial.losses[0];
    if (this.#rest.take(row, trial, loss)) return;
    let at = this.#best.length;
    while (at > 0 && this.#best[at - 1].loss > loss) at--;
    this.#best.splice(at, 0, { row, loss });
    if (this.#best.length > GOOD_MAX) this.#best.pop();
  }

  mark(isGood: Uint8Array): void {
    isGood.fill(0);
    const wanted = countGood(this.#told);
    for (const { row } of this.#best.slice(0, wanted)) isGood[row] = 1;
    this.#rest.mark(wanted - this.#best.length, isGood);
  }
}
