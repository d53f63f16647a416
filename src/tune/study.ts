/** A study: its terms, its trials, and what may be read of them. (fold.ts makes it from its journal.) */
import type { Point, Space } from "./space.ts";
import type { Finished, Objective, TrialState } from "./trial.ts";

/** A name out of a table, and its settings. */
export interface Choice {
  readonly name: string;
  readonly settings: Readonly<Record<string, number | string>>;
}

/** What decides a study's result; a resumed one must have the same. */
export interface Terms {
  readonly name: string;
  readonly objectives: readonly Objective[];
  readonly space: Space;
  readonly sampler: Choice;
  /** Null: every trial runs to its end. */
  readonly pruner: Choice | null;
  readonly seed: number;
  /** How many are wanted. */
  readonly trials: number;
  /** Steps of a whole trial. */
  readonly stepsMax: number;
  /**
   * Null: a suggestion is made from what is finished when it is asked for. L: suggestion k is made from
   * trials 0..k-L, in their order, and waits for them: the same study for any number of workers up to L.
   */
  readonly lag: number | null;
  /** Further attempts of a trial whose worker was lost. */
  readonly retries: number;
  /** Hash of the code and inputs that workers must have. */
  readonly version: string;
  /** What a worker is told beside the point: the workflow's, opaque here. */
  readonly work: unknown;
}

export interface Attempt {
  readonly worker: string;
  /** UTC ms; `endedAt` null while it runs. */
  readonly startedAt: number;
  readonly endedAt: number | null;
  /** returned: given back by a worker that had to stop; erred: the objective threw. */
  readonly outcome: "running" | "told" | "lost" | "returned" | "erred" | "late" | "duplicate";
}

export interface Trial {
  readonly number: number;
  readonly state: TrialState;
  readonly point: Point;
  readonly parent: number | null;
  /** Finished trials that its suggestion was made from. */
  readonly seen: number;
  /** (M) as people say them; of a pruned trial as last reported; null before anything is known. */
  readonly values: readonly number[] | null;
  readonly violation: number;
  /** Why it failed or is infeasible; "" when there is nothing to say. */
  readonly reason: string;
  readonly reports: readonly { readonly step: number; readonly values: readonly number[] }[];
  readonly attempts: readonly Attempt[];
  /** Measured beside the objectives: cpuSeconds, memoryBytes, stepsPerSecond, ... */
  readonly statistics: Readonly<Record<string, number>>;
  /** UTC ms. */
  readonly askedAt: number;
  readonly endedAt: number | null;
}

/** What reports, pages and commands may read. */
export interface StudyView {
  readonly terms: Terms;
  /** Trials asked so far. */
  readonly count: number;
  trial(number: number): Trial;
  /** Finished ones, in the order in which they counted. */
  finished(): Iterable<Finished>;
}
