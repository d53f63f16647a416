/**
 * Where the close stands in the range of the last W bars, highest high H and lowest low L:
 *
 *   stochastic_k_W     100 (close - L) / (H - L)      0..100 (Lane; TA-Lib's fast %K)
 *   stochastic_d_W_S   mean of the last S of them     0..100 (fast %D)
 *   williams_r_W       -100 (H - close) / (H - L)     -100..0 (Williams; TA-Lib's WILLR)
 *   distance_high_W    close / H - 1, distance_low_W  close / L - 1    fraction
 *   cci_W              (p - mean p) / (0.015 x mean |p - mean p|), p typical (Lambert; TA-Lib)
 *
 * Conventions: in a range of no height the close is in its middle: 50 and -50; CCI is 0.
 */
import { z } from "zod";
import { family, windowList } from "./family.ts";
import type { Feature } from "./feature.ts";
import { layout, technical, typicalPrice } from "./inputs.ts";
import { extremesLength, rollingExtremes, rollingSum, scratch, sumLength } from "./rolling.ts";

type Windows = readonly number[];

function stochastic(windows: Windows, smooth: number): Feature {
  const memory = layout(1, windows.map((window) => extremesLength(window) + sumLength(smooth)));
  const top = scratch(), bottom = scratch();
  return technical({
    family: "stochastic",
    columns: windows.flatMap((window) => [
      { name: `stochastic_k_${window}`, unit: "0..100", warmup: window - 1 },
      { name: `stochastic_d_${window}_${smooth}`, unit: "0..100", warmup: window + smooth - 2 },
    ]),
    inputs: ["high", "low", "close"],
    flopsPerBar: 14 * windows.length,
    stateLength: memory.total,
    block(rows, state) {
      const { n, seen, close, high, low } = rows;
      for (let k = 0; k < windows.length; k++) {
        const window = windows[k], at = memory.at[k];
        rollingExtremes(high, low, n, window, state, at, top, bottom);
        for (let i = 0; i < n; i++) {
          const height = top[i] - bottom[i];
          top[i] = height > 0 ? 100 * (close[i] - bottom[i]) / height : 50;
          // Rows before the first whole range must not stay in the running sum.
          if (seen + i < window - 1) top[i] = 0;
        }
        rollingSum(top, n, smooth, state, at + extremesLength(window), bottom);
        for (let i = 0; i < n; i++) bottom[i] /= smooth;
        rows.put(2 * k, top);
        rows.put(2 * k + 1, bottom);
      }
    },
  });
}

function williams(windows: Windows): Feature {
  const memory = layout(1, windows.map(extremesLength));
  const top = scratch(), bottom = scratch();
  return technical({
    family: "williams_r",
    columns: windows.map((window) => ({ name: `williams_r_${window}`, unit: "-100..0",
      warmup: window - 1 })),
    inputs: ["high", "low", "close"],
    flopsPerBar: 10 * windows.length,
    stateLength: memory.total,
    block(rows, state) {
      const { n, close, high, low } = rows;
      for (let k = 0; k < windows.length; k++) {
        rollingExtremes(high, low, n, windows[k], state, memory.at[k], top, bottom);
        for (let i = 0; i < n; i++) {
          const height = top[i] - bottom[i];
          top[i] = height > 0 ? -100 * (top[i] - close[i]) / height : -50;
        }
        rows.put(k, top);
      }
    },
  });
}

function channel(windows: Windows): Feature {
  const memory = layout(1, windows.map(extremesLength));
  const top = scratch(), bottom = scratch();
  return technical({
    family: "channel",
    columns: windows.flatMap((window) => [
      { name: `distance_high_${window}`, unit: "fraction", warmup: window - 1 },
      { name: `distance_low_${window}`, unit: "fraction", warmup: window - 1 },
    ]),
    inputs: ["high", "low", "close"],
    flopsPerBar: 8 * windows.length,
    stateLength: memory.total,
    block(rows, state) {
      const { n, close, high, low } = rows;
      for (let k = 0; k < windows.length; k++) {
        rollingExtremes(high, low, n, windows[k], state, memory.at[k], top, bottom);
        for (let i = 0; i < n; i++) {
          top[i] = close[i] / top[i] - 1;
          bottom[i] = close[i] / bottom[i] - 1;
        }
        rows.put(2 * k, top);
        rows.put(2 * k + 1, bottom);
      }
    },
  });
}

const deviationsLength = (window: number): number => sumLength(window) + 1 + window;

/**
 * Index of the last W values: a sum of distances from a moving mean can not be updated, so each row
 * reads its whole window from the ring, in four sums that need not wait for one another.
 * State: [rolling sum, j, ring (W)].
 */
function commodityChannel(x: Float64Array, n: number, window: number, state: Float64Array,
  at: number, y: Float64Array): void {
  rollingSum(x, n, window, state, at, y);
  const place = at + sumLength(window), first = place + 1, end = first + window;
  let j = state[place] | 0;
  for (let i = 0; i < n; i++) {
    state[first + j] = x[i];
    if (++j === window) j = 0;
    const mean = y[i] / window;
    let a = 0, b = 0, c = 0, d = 0, k = first;
    for (; k < end - 3; k += 4) {
      a += Math.abs(state[k] - mean);
      b += Math.abs(state[k + 1] - mean);
      c += Math.abs(state[k + 2] - mean);
      d += Math.abs(state[k + 3] - mean);
    }
    for (; k < end; k++) a += Math.abs(state[k] - mean);
    const deviation = a + b + (c + d);
    // The mean of equal numbers is off by a rounding; that is no deviation.
    y[i] = deviation > 1e-14 * window * Math.abs(mean)
      ? (x[i] - mean) / (0.015 * deviation / window) : 0;
  }
  state[place] = j;
}

function cci(windows: Windows): Feature {
  const memory = layout(1, windows.map(deviationsLength));
  const y = scratch();
  return technical({
    family: "cci",
    columns: windows.map((window) => ({
      name: `cci_${window}`, unit: "mean deviations / 0.015", warmup: window - 1,
    })),
    inputs: ["high", "low", "close"],
    flopsPerBar: windows.reduce((sum, window) => sum + 4 * window, 4),
    stateLength: memory.total,
    block(rows, state) {
      const { n } = rows, typical = typicalPrice(rows);
      for (let k = 0; k < windows.length; k++) {
        commodityChannel(typical, n, windows[k], state, memory.at[k], y);
        rows.put(k, y);
      }
    },
  });
}

const INPUTS = ["high", "low", "close"] as const;
const row = (summary: string, byDefault: number[], make: (windows: Windows) => Feature) => family({
  summary,
  version: 1,
  parameters: z.strictObject({ windows: windowList(...byDefault) }),
  inputs: INPUTS,
  make: ({ windows }) => make(windows),
});

export const STOCHASTIC_FAMILIES = {
  stochastic: family({
    summary: "stochastic oscillator: fast %K and its mean %D, 0..100",
    version: 1,
    parameters: z.strictObject({
      windows: windowList(5, 9, 14, 21, 50),
      smooth: z.int().min(1).max(1000).default(3).describe("bars in %D"),
    }),
    inputs: INPUTS,
    make: ({ windows, smooth }) => stochastic(windows, smooth),
  }),
  williams_r: row("Williams %R, -100..0", [14], williams),
  channel: row("the close's distance from the highest high and the lowest low", [20, 63, 126, 252],
    channel),
  cci: row("commodity channel index", [14, 20, 50], cci),
};
