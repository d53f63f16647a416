/**
 * Ranges that count the gap from the last close (Wilder, "New Concepts in Technical Trading
 * Systems", 1978; values as TA-Lib's): true range = max(high, last close) - min(low, last close),
 *
 *   atr_W        Wilder's average of the true range, seeded with the mean of rows 1..W     price
 *   natr_W       100 ATR / close                                                            percent
 *   adx family   directional movement: plus_di_W, minus_di_W, adx_W                         0..100
 *
 * TA-Lib's directional sums begin with W-1 movements and take the W-th as the first step of
 * Wilder's recursion s <- s - s/W + x; the index is DX = 100 |+DI - -DI| / (+DI + -DI), ADX its
 * Wilder average from row 2W-1 on. Conventions, TA-Lib's: without any true range both indicators
 * are 0, without any direction ADX keeps its value.
 */
import { z } from "zod";
import { family, windowList } from "./family.ts";
import type { Feature } from "./feature.ts";
import { layout, previous, previousLength, technical } from "./inputs.ts";
import { averageLength, exponentialAverage, scratch } from "./rolling.ts";

type Windows = readonly number[];

/** True range of a block into `range`. */
function trueRange(high: Float64Array, low: Float64Array, last: Float64Array, n: number,
  range: Float64Array): void {
  for (let i = 0; i < n; i++) {
    const c = last[i];
    range[i] = (high[i] > c ? high[i] : c) - (low[i] < c ? low[i] : c);
  }
}

function averageTrueRange(name: "atr" | "natr", windows: Windows): Feature {
  const memory = layout(1 + previousLength, windows.map(() => averageLength));
  const last = scratch(), range = scratch(), y = scratch();
  return technical({
    family: name,
    columns: windows.map((window) => ({
      name: `${name}_${window}`, unit: name === "atr" ? "price" : "percent", warmup: window,
    })),
    inputs: ["high", "low", "close"],
    flopsPerBar: 5 + 4 * windows.length,
    stateLength: memory.total,
    block(rows, state) {
      const { n, close, high, low } = rows;
      previous(close, n, state, 1, last);
      trueRange(high, low, last, n, range);
      for (let k = 0; k < windows.length; k++) {
        exponentialAverage(range, n, windows[k], 1 / windows[k], 1, state, memory.at[k], y);
        if (name === "natr") for (let i = 0; i < n; i++) y[i] = 100 * y[i] / close[i];
        rows.put(k, y);
      }
    },
  });
}

/**
 * A block's directional movements: what the range was extended by, upwards or downwards, the larger
 * one only.
 */
function movements(high: Float64Array, lastHigh: Float64Array, low: Float64Array,
  lastLow: Float64Array, n: number, up: Float64Array, down: Float64Array): void {
  for (let i = 0; i < n; i++) {
    const rise = high[i] - lastHigh[i], fall = lastLow[i] - low[i];
    up[i] = rise > 0 && rise > fall ? rise : 0;
    down[i] = fall > 0 && fall > rise ? fall : 0;
  }
}

/**
 * State of a window: [plus movement, minus movement, true range, sum of DX until row 2W-1, then
 * ADX].
 */
const DIRECTION = 4;

/** One window's rows of +DI, -DI and ADX from the movements and the true range. */
function direct(up: Float64Array, down: Float64Array, range: Float64Array, n: number, seen: number,
  window: number, state: Float64Array, at: number, plus: Float64Array, minus: Float64Array,
  adx: Float64Array): void {
  let ups = state[at], downs = state[at + 1], ranges = state[at + 2], average = state[at + 3];
  const alpha = 1 / window, keep = 1 - alpha, full = 2 * window - 1;
  for (let i = 0; i < n; i++) {
    const row = seen + i, share = row < window ? 1 : keep;
    if (row > 0) {
      ups = ups * share + up[i];
      downs = downs * share + down[i];
      ranges = ranges * share + range[i];
    }
    const moved = ups + downs;
    plus[i] = ranges > 0 ? 100 * ups / ranges : 0;
    minus[i] = ranges > 0 ? 100 * downs / ranges : 0;
    if (row >= window && moved > 0) {
      const index = 100 * Math.abs(ups - downs) / moved;
      average += row <= full ? index : alpha * (index - average);
    }
    if (row === full) average *= alpha;
    adx[i] = average;
  }
  state[at] = ups;
  state[at + 1] = downs;
  state[at + 2] = ranges;
  state[at + 3] = average;
}

function directional(windows: Windows): Feature {
  const memory = layout(1 + 3 * previousLength, windows.map(() => DIRECTION));
  const range = scratch(), last = scratch(), up = scratch(), down = scratch(), lastHigh = scratch(),
    lastLow = scratch(), plus = scratch(), minus = scratch(), adx = scratch();
  return technical({
    family: "adx",
    columns: windows.flatMap((window) => [
      { name: `plus_di_${window}`, unit: "0..100", warmup: window },
      { name: `minus_di_${window}`, unit: "0..100", warmup: window },
      { name: `adx_${window}`, unit: "0..100", warmup: 2 * window - 1 },
    ]),
    inputs: ["high", "low", "close"],
    flopsPerBar: 12 + 20 * windows.length,
    stateLength: memory.total,
    block(rows, state) {
      const { n, seen, close, high, low } = rows;
      previous(close, n, state, 1, last);
      previous(high, n, state, 1 + previousLength, lastHigh);
      previous(low, n, state, 1 + 2 * previousLength, lastLow);
      trueRange(high, low, last, n, range);
      movements(high, lastHigh, low, lastLow, n, up, down);
      for (let k = 0; k < windows.length; k++) {
        const window = windows[k];
        direct(up, down, range, n, seen, window, state, memory.at[k], plus, minus, adx);
        rows.put(3 * k, plus);
        rows.put(3 * k + 1, minus);
        rows.put(3 * k + 2, adx);
      }
    },
  });
}

const row = (summary: string, byDefault: number[], make: (windows: Windows) => Feature) => family({
  summary,
  version: 1,
  parameters: z.strictObject({ windows: windowList(...byDefault) }),
  inputs: ["high", "low", "close"],
  make: ({ windows }) => make(windows),
});

export const ATR_FAMILIES = {
  atr: row("average true range (Wilder), in price", [14],
    (windows) => averageTrueRange("atr", windows)),
  natr: row("average true range in percent of the close", [7, 14, 21, 50],
    (windows) => averageTrueRange("natr", windows)),
  adx: row("directional movement (Wilder): +DI, -DI and ADX, 0..100", [7, 14, 28], directional),
};
