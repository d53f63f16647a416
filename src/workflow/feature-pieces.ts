/**
 * One instrument's features, cut into pieces of bounded size: what a worker thread of `dmn
 * features` does.
 */
import { UserError } from "../base/error.ts";
import { firstRowAt } from "../market/bars.ts";
import { calendar } from "../market/calendar.ts";
import { readBars, type Manifest } from "../market/store.ts";
import { bind, checkInputs, type Panel } from "../features/panel.ts";
import { encodePiece } from "../features/piece.ts";
import { readRecipe } from "../features/recipe.ts";

/** Values of a piece, about 16 MiB; and the rows that a row group holds at least and at most. */
const PIECE_VALUES = 1 << 22;
const ROWS_MIN = 1024;
const ROWS_MAX = 65_536;
/** Operations between two pauses: about a tenth of a second, however much a bar costs. */
const PAUSE_FLOPS = 1e8;

/** UTC ms, both inclusive; null: open. */
export interface RowRange {
  readonly from: number | null;
  readonly to: number | null;
}

/** Per column: how many values, their sum and sum of squares. NaN is not counted. */
export interface ColumnSums {
  readonly count: Float64Array;
  readonly sum: Float64Array;
  readonly squares: Float64Array;
}

export interface InstrumentSummary {
  readonly symbol: string;
  /** Bars read, rows written. */
  readonly bars: number;
  readonly rows: number;
  readonly sums: ColumnSums;
}

export const columnSums = (columns: number): ColumnSums =>
  ({
    count: new Float64Array(columns), sum: new Float64Array(columns), squares: new Float64Array(columns),
  });

/**
 * Binds a recipe to a dataset's market. Throws UserError for an unknown recipe or a dataset without
 * bars.
 */
export async function bindTo(root: string, manifest: Manifest, recipeName: string): Promise<Panel> {
  if (manifest.kind !== "bars") {
    throw new UserError(
      `dataset "${manifest.dataset}" holds ${manifest.kind}, and features are computed from bars`,
      "fetch bars: dmn fetch --help");
  }
  const market = { calendar: calendar(manifest.calendar), timeframe: manifest.timeframe };
  return bind(await readRecipe(root, recipeName), market);
}

/**
 * Yields Parquet pieces of one instrument, in order of time. Features are computed from the first
 * bar on, whatever the range: a range chooses rows, it does not change their values. A piece goes
 * out one row late, because a target's row is complete only when the next bar is in. `pause` is
 * awaited often, and may throw.
 */
export async function* featurePieces(
  root: string, manifest: Manifest, panel: Panel, symbol: string, range: RowRange,
  pause: () => Promise<void>,
): AsyncGenerator<Uint8Array, InstrumentSummary> {
  const row = manifest.instruments.find((one) => one.symbol === symbol)!;
  checkInputs(panel, symbol, row.columns);
  const bars = await readBars(root, manifest, symbol, { columns: panel.inputs });
  const T = bars.time.length, F = panel.columns.length;
  const first = range.from === null ? 0 : firstRowAt(bars.time, range.from);
  const end = range.to === null ? T : firstRowAt(bars.time, range.to + 1);
  const step = Math.max(ROWS_MIN, Math.min(ROWS_MAX, Math.floor(PIECE_VALUES / F)));
  const stream = panel.start(), sums = columnSums(F),
    out = new Float32Array((Math.min(step, T) + 1) * F);
  const unbroken = Math.max(1, Math.floor(PAUSE_FLOPS / panel.flopsPerBar));
  let written = 0;
  for (let start = 0; start < T && start <= end; start += step) {
    const stop = Math.min(start + step, T);
    // Row 0 of `out` is the last bar of the chunk before, row 1 the first of this one.
    for (let at = start; at < stop; at += unbroken) {
      stream.update(bars, at, Math.min(at + unbroken, stop), out, at - start + 1);
      await pause();
    }
    const from = Math.max(first, start - 1, 0), to = Math.min(end, stop === T ? T : stop - 1);
    if (to > from) {
      const values = out.subarray((from - start + 1) * F, (to - start + 1) * F);
      addTo(sums, values);
      written += to - from;
      yield encodePiece(symbol, panel.names, { time: bars.time.subarray(from, to), values });
    }
    out.copyWithin(0, (stop - start) * F, (stop - start + 1) * F);
  }
  return { symbol, bars: T, rows: written, sums };
}

function addTo({ count, sum, squares }: ColumnSums, values: Float32Array): void {
  const F = count.length;
  for (let at = 0; at < values.length; at += F) {
    for (let k = 0; k < F; k++) {
      const value = values[at + k];
      if (Number.isNaN(value)) continue;
      count[k]++;
      sum[k] += value;
      squares[k] += value * value;
    }
  }
}
