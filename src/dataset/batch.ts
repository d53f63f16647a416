/**
 * What a model or strategy sees: B rows, each the last T feature rows of one instrument at one decision
 * time. The same object in training, backtest and live; it does not say which.
 */
export interface Batch {
  /** Feature names, in the order of the last dimension. */
  readonly names: readonly string[];
  /** (B) index into `symbols`. */
  readonly instrument: Int32Array;
  readonly symbols: readonly string[];
  /**
   * (B) decision time: the close of the last row of the window, UTC ms. Rows are ordered by time, then
   * instrument.
   */
  readonly time: Float64Array;
  /** (B, T, F) row major; never NaN. */
  readonly features: Float32Array;
  /** T: rows per window. */
  readonly lookback: number;
}

/** Position of a feature in the last dimension; -1 when the batch has none of that name. */
export function featureIndex(batch: Batch, name: string): number { return batch.names.indexOf(name); }
