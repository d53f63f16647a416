/**
 * The shape of one bar, and volatility from the range of bars. With u = ln(high / open),
 * d = ln(low / open), c = ln(close / open), the standard deviation of one bar's log return is the
 * root of the mean over W bars of
 *
 *   parkinson_W        (u - d)^2 / (4 ln 2)                      Parkinson 1980
 *   garman_klass_W     (u - d)^2 / 2 - (2 ln 2 - 1) c^2          Garman, Klass 1980 (practical)
 *   rogers_satchell_W  u (u - c) + d (d - c)                     Rogers, Satchell 1991
 *
 * (no gaps between bars in any of the three). range_ratio_W = this bar's range / mean range of W.
 * Conventions: a bar of no height has location and body 0; without any range the ratio is 1.
 */
import { z } from "zod";
import { family, windowList } from "./family.ts";
import type { Feature } from "./feature.ts";
import { layout, previous, previousLength, technical } from "./inputs.ts";
import { rollingSum, scratch, sumLength } from "./rolling.ts";

type Windows = readonly number[];

const SHAPE: Feature["columns"] = [
  { name: "high_low_range", unit: "fraction", warmup: 0 },
  { name: "close_location", unit: "-1..1", warmup: 0 },
  { name: "body", unit: "-1..1", warmup: 0 },
  { name: "upper_shadow", unit: "0..1", warmup: 0 },
  { name: "lower_shadow", unit: "0..1", warmup: 0 },
  { name: "open_close_return", unit: "fraction", warmup: 0 },
  { name: "gap", unit: "fraction", warmup: 1 },
];

function shape(): Feature {
  const y = SHAPE.map(scratch);
  return technical({
    family: "bar_shape",
    columns: SHAPE,
    inputs: ["open", "high", "low", "close"],
    flopsPerBar: 20,
    stateLength: 1 + previousLength,
    block(rows, state) {
      const { n, open, high, low, close } = rows;
      const [height, location, body, upper, lower, earned, gap] = y;
      previous(close, n, state, 1, gap);
      for (let i = 0; i < n; i++) {
        const o = open[i], h = high[i], l = low[i], c = close[i];
        const part = h > l ? 1 / (h - l) : 0;
        height[i] = (h - l) / c;
        location[i] = (2 * c - h - l) * part;
        body[i] = (c - o) * part;
        upper[i] = (h - (o > c ? o : c)) * part;
        lower[i] = ((o < c ? o : c) - l) * part;
        earned[i] = c / o - 1;
        gap[i] = o / gap[i] - 1;
      }
      for (let k = 0; k < y.length; k++) rows.put(k, y[k]);
    },
  });
}

const ESTIMATORS = ["parkinson", "garman_klass", "rogers_satchell"] as const;
type Estimator = (typeof ESTIMATORS)[number];

const LN2 = Math.LN2;

/** One bar's variance by each estimator. */
function variances(estimator: Estimator, up: Float64Array, down: Float64Array, body: Float64Array,
  n: number, y: Float64Array): void {
  switch (estimator) {
    case "parkinson":
      for (let i = 0; i < n; i++) y[i] = (up[i] - down[i]) * (up[i] - down[i]) / (4 * LN2);
      break;
    case "garman_klass":
      for (let i = 0; i < n; i++) {
        y[i] = (up[i] - down[i]) * (up[i] - down[i]) / 2 - (2 * LN2 - 1) * body[i] * body[i];
      }
      break;
    case "rogers_satchell":
      for (let i = 0; i < n; i++) y[i] = up[i] * (up[i] - body[i]) + down[i] * (down[i] - body[i]);
      break;
  }
}

function rangeVolatility(windows: Windows, estimators: readonly Estimator[]): Feature {
  const memory = layout(1, estimators.flatMap(() => windows.map(sumLength)));
  const y = scratch(), sum = scratch();
  return technical({
    family: "range_volatility",
    columns: estimators.flatMap((estimator) => windows.map((window) => ({
      name: `${estimator}_${window}`, unit: "standard deviation per bar", warmup: window - 1,
    }))),
    inputs: ["open", "high", "low", "close"],
    flopsPerBar: 60 + estimators.length * (6 + 10 * windows.length),
    stateLength: memory.total,
    block(rows, state) {
      const { n, open, high: up, low: down, close: body } = rows;
      for (let i = 0; i < n; i++) {
        up[i] = Math.log(up[i] / open[i]);
        down[i] = Math.log(down[i] / open[i]);
        body[i] = Math.log(body[i] / open[i]);
      }
      for (let e = 0; e < estimators.length; e++) {
        variances(estimators[e], up, down, body, n, y);
        for (let k = 0; k < windows.length; k++) {
          const cell = e * windows.length + k;
          rollingSum(y, n, windows[k], state, memory.at[cell], sum);
          for (let i = 0; i < n; i++) sum[i] = sum[i] > 0 ? Math.sqrt(sum[i] / windows[k]) : 0;
          rows.put(cell, sum);
        }
      }
    },
  });
}

function ratio(windows: Windows): Feature {
  const memory = layout(1, windows.map(sumLength));
  const sum = scratch();
  return technical({
    family: "range_ratio",
    columns: windows.map((window) => ({ name: `range_ratio_${window}`, unit: "ratio",
      warmup: window - 1 })),
    inputs: ["high", "low", "close"],
    flopsPerBar: 1 + 6 * windows.length,
    stateLength: memory.total,
    block(rows, state) {
      const { n, high, low } = rows;
      for (let i = 0; i < n; i++) high[i] -= low[i];
      for (let k = 0; k < windows.length; k++) {
        rollingSum(high, n, windows[k], state, memory.at[k], sum);
        for (let i = 0; i < n; i++) sum[i] = sum[i] > 0 ? high[i] * windows[k] / sum[i] : 1;
        rows.put(k, sum);
      }
    },
  });
}

export const RANGE_FAMILIES = {
  bar_shape: family({
    summary: "one bar: range, close location, body, shadows, gap",
    version: 1,
    parameters: z.strictObject({}),
    inputs: ["open", "high", "low", "close"],
    make: () => shape(),
  }),
  range_volatility: family({
    summary: "volatility a bar from its range: Parkinson, Garman-Klass, Rogers-Satchell",
    version: 1,
    parameters: z.strictObject({
      windows: windowList(5, 10, 21, 63),
      estimators: z.array(z.enum(ESTIMATORS)).min(1)
        .refine((chosen) => new Set(chosen).size === chosen.length,
          "each estimator may appear once")
        .default([...ESTIMATORS]).describe("which estimators, in this order"),
    }),
    inputs: ["open", "high", "low", "close"],
    make: ({ windows, estimators }) => rangeVolatility(windows, estimators),
  }),
  range_ratio: family({
    summary: "this bar's range against the mean range",
    version: 1,
    parameters: z.strictObject({ windows: windowList(10, 21) }),
    inputs: ["high", "low", "close"],
    make: ({ windows }) => ratio(windows),
  }),
};
