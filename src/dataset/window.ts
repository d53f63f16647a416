/**
 * Features -> Batch: cuts the last `lookback` rows before each decision out of each instrument's panel.
 *
 *     panel of instrument i (T_i, F_i)   rows ..row, chosen columns --> Batch.features (b, T, F)
 */
import type { Features } from "../features/feature.ts";
import type { Batch } from "./batch.ts";

/** What windows are cut from: one panel per instrument and the columns wanted, in the batch's order. */
export interface WindowSource {
  readonly names: readonly string[];
  readonly symbols: readonly string[];
  readonly panels: readonly Features[];
  /** Per instrument, (F) index of each wanted column in its panel. */
  readonly columns: readonly Int32Array[];
  readonly lookback: number;
}

/**
 * Cuts `rows.length` windows: window b ends at row `rows[b]` of instrument `instruments[b]`. The caller keeps
 * time order and knows that the rows are complete.
 */
export function cutWindows(source: WindowSource, instruments: Int32Array, rows: Int32Array): Batch {
  const { names, symbols, panels, columns, lookback } = source;
  const B = rows.length, F = names.length;
  const features = new Float32Array(B * lookback * F);
  const time = new Float64Array(B);
  for (let b = 0, out = 0; b < B; b++) {
    const i = instruments[b], panel = panels[i], from = columns[i], width = panel.names.length,
      last = rows[b];
    time[b] = panel.time[last];
    for (let row = last - lookback + 1; row <= last; row++) {
      const at = row * width;
      for (let f = 0; f < F; f++) features[out++] = panel.values[at + from[f]];
    }
  }
  return { names, instrument: instruments, symbols, time, features, lookback };
}
