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
 * Cuts one window per entry: window b ends at row `rows[b]` of instrument `instruments[b]`. The caller keeps
 * time order and knows that the rows are complete. `order` (B): the entries instrument by instrument, so that
 * neighbours in memory are read together.
 */
export function cutWindows(source: WindowSource, instruments: Int32Array, rows: Int32Array,
  order: Int32Array): Batch {
  const { names, symbols, panels, columns, lookback } = source;
  const B = rows.length, F = names.length, perRow = lookback * F;
  const features = new Float32Array(B * perRow);
  const time = new Float64Array(B);
  let i = -1, panel = panels[0], values = panel.values, from = columns[0], width = F;
  for (let k = 0; k < B; k++) {
    const b = order[k], last = rows[b];
    if (instruments[b] !== i) {
      i = instruments[b];
      panel = panels[i];
      values = panel.values;
      from = columns[i];
      width = panel.names.length;
    }
    time[b] = panel.time[last];
    let out = b * perRow;
    for (let at = (last - lookback + 1) * width; at <= last * width; at += width) {
      for (let f = 0; f < F; f++) features[out++] = values[at + from[f]];
    }
  }
  return { names, instrument: instruments, symbols, time, features, lookback };
}
