/**
 * What happens to a study, one record of its journal each. Everything else follows from them.
 *
 *   created, extended                          the study; more trials
 *   asked                                      a suggestion: the trial waits
 *   leased -> reported* -> told                the usual life of an attempt
 *   leased -> reported* -> left                lost, returned or erred: the trial waits again
 *   left   -> told (isLate), or duplicate      its result comes after all: counts if there is no other
 *   ended                                      failed or cancelled, without a result
 */
import type { Point } from "./space.ts";
import type { Terms } from "./study.ts";
import type { FinishedState } from "./trial.ts";

/** A number as JSON has it: null is NaN. */
export type Said = number | null | "inf" | "-inf";
interface Of { readonly at: number; readonly trial: number }
interface OfAttempt extends Of { readonly attempt: number }

export interface Created { readonly event: "created"; readonly at: number; readonly terms: Terms }
export interface Asked extends Of {
  readonly event: "asked"; readonly point: Point; readonly parent: number | null;
  /** Finished trials that the sampler had been told. */
  readonly seen: number;
}
export interface Reported extends OfAttempt {
  readonly event: "reported"; readonly step: number; readonly values: readonly Said[];
  /** False: the pruner stops it here. */
  readonly goesOn: boolean;
}
export interface Told extends OfAttempt {
  readonly event: "told"; readonly state: FinishedState; readonly values: readonly Said[];
  readonly violation: Said; readonly reason: string; readonly isLate: boolean;
  readonly statistics: Readonly<Record<string, Said>>;
}
export type StudyEvent = Created | Asked | Reported | Told
  | { readonly event: "extended"; readonly at: number; readonly trials: number }
  | OfAttempt & { readonly event: "leased"; readonly token: number; readonly worker: string }
  | OfAttempt & { readonly event: "left"; readonly how: "lost" | "returned" | "erred";
      readonly reason: string }
  | OfAttempt & { readonly event: "duplicate"; readonly values: readonly Said[] }
  | Of & { readonly event: "ended"; readonly state: "failed" | "cancelled"; readonly reason: string };

/** Without negative zeros: JSON has none. */
export const say = (value: number): Said => Number.isNaN(value) ? null
  : value === Infinity ? "inf" : value === -Infinity ? "-inf" : value + 0;
export const hear = (said: Said): number => said === null ? NaN
  : said === "inf" ? Infinity : said === "-inf" ? -Infinity : said;
export const sayAll = (values: ArrayLike<number>): Said[] => Array.from(values, say);
