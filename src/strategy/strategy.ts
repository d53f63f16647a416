/** Decides positions. The same object serves backtest and live and is told nothing about which. */
import type { Batch } from "../dataset/batch.ts";

/** (B) each. */
export interface Decision {
  /** In [-1, 1]: the share of the instrument's volatility budget, negative is short. */
  readonly position: Float32Array;
  /** Ex-ante volatility of one period's return, as a fraction (not annualised). > 0. */
  readonly volatility: Float32Array;
  /** In [0, 1]; 1 for strategies that have no opinion of their own accuracy. */
  readonly confidence: Float32Array;
}

/** What a network looked at, for (B) decisions. */
export interface Explanation {
  /** Its inputs (F). */
  readonly names: readonly string[];
  /** (B, F) weight of each input at the decision, summing to 1; null without variable selection. */
  readonly selection: Float32Array | null;
  /** (B, T) attention paid to the row `lag` bars before the decision, by lag from 0; null without. */
  readonly attention: Float32Array | null;
  /** Annualised Sharpe ratio lost in validation when an input is shuffled; null when not measured. */
  readonly importance: {
    readonly folds: readonly string[];
    /** [fold][input] */
    readonly byFold: readonly (readonly number[])[];
    /** Mean rank correlation between folds; null with fewer than two. */
    readonly stability: number | null;
  } | null;
}

export interface Strategy {
  readonly name: string;
  /** One sentence for help and reports. */
  readonly description: string;
  /** Name of the feature recipe whose columns it reads. */
  readonly recipe: string;
  /** Features that must be in the batch. */
  readonly features: readonly string[];
  /** Rows per window (T). */
  readonly lookback: number;
  /** Earliest decision time, UTC ms: a network has seen what was before. Absent: no matter when. */
  readonly decidesFrom?: number;
  /** Panel.hash of the features it was trained on: others are refused. Absent: the name is enough. */
  readonly recipeHash?: string;
  /** Batches come in time order, dates whole; one that does not follow the last begins a new run. */
  decide(batch: Batch): Promise<Decision>;
  /** Sentences that a reader of its decisions about these instruments must know. */
  notes?(symbols: readonly string[]): string[];
  /** Networks only. Leaves no trace in later decisions. */
  explain?(batch: Batch): Promise<Explanation>;
  /** Networks only: a GPU answers where there is one; carry mode stays on the CPU. */
  readonly isForGpu?: boolean;
  /** Networks only: frees what they hold. They are not asked again. */
  close?(): Promise<void>;
}
