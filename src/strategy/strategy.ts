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
  /** Earliest decision time, UTC ms: a network has seen what was before. Absent: any. */
  readonly decidesFrom?: number;
  decide(batch: Batch): Promise<Decision>;
}
