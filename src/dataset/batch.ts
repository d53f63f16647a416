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

/** Rows [from, to) of a batch as (rows, lookback, names): some of its columns, its last steps. */
export function selectFeatures(batch: Batch, names: readonly string[], lookback: number, from: number,
  to: number): Float32Array {
  const columns = names.map((name) => featureIndex(batch, name));
  const width = batch.names.length, out = new Float32Array((to - from) * lookback * names.length);
  let at = 0;
  for (let b = from; b < to; b++) {
    for (let t = batch.lookback - lookback; t < batch.lookback; t++) {
      const row = (b * batch.lookback + t) * width;
      for (const column of columns) out[at++] = batch.features[row + column];
    }
  }
  return out;
}
