/**
 * A sampler is a fold over finished trials. It has no state of its own randomness: everything it draws is
 * random(seed, number, ...), so a suggestion is a function of (seed, number, what was told in which order,
 * what runs) and a journal can recompute it.
 */
import type { Point, Space } from "../space.ts";
import type { Finished } from "../trial.ts";

export interface Suggestion {
  readonly point: Point;
  /** The trial whose checkpoint it goes on from (populations); null: from the beginning. */
  readonly parent: number | null;
}
export interface Sampler {
  /** Each finished trial once, in the order in which it counts. */
  tell(trial: Finished): void;
  /** `running`: points without a result, by ascending number. Null: it has to be told more first. */
  suggest(number: number, running: readonly Point[]): Suggestion | null;
}
export interface SamplerOptions {
  readonly space: Space;
  /** M */
  readonly objectives: number;
  readonly seed: number;
}
