/**
 * Momentum of the close over W bars, in the classical units and free of scale:
 *
 *   momentum_W     close[t] - close[t-W]                               price (TA-Lib's MOM)
 *   roc_W          100 (close[t] / close[t-W] - 1)                     percent (TA-Lib's ROC)
 *   momentum_z_W   sum of W log returns / (their deviation x sqrt W)   standard deviations
 *   efficiency_W   (close[t] - close[t-W]) / sum |changes|             -1..1 (Kaufman, signed)
 *   trend_slope_W, trend_r2_W   least squares line through W log closes: slope a bar, R squared
 *
 * Conventions: where nothing moves, all but the line's level are 0.
 */
import { z } from "zod";
import { family, windowList } from "./family.ts";
import type { Feature } from "./feature.ts";
import { layout, previous, previousLength, technical } from "./inputs.ts";
import { FLAT, lagged, lagLength, momentsLength, rollingMoments, rollingSum, rollingWeighted,
  scratch, sumLength, weightedLength } from "./rolling.ts";

type Windows = readonly number[];

const columnsOf = (name: string, unit: string, windows: Windows): Feature["columns"] =>
  windows.map((window) => ({ name: `${name}_${window}`, unit, warmup: window }));

function change(name: "momentum" | "roc", windows: Windows): Feature {
  const memory = layout(1, windows.map(lagLength));
  const old = scratch();
  return technical({
    family: name,
    columns: columnsOf(name, name === "roc" ? "percent" : "price", windows),
    inputs: ["close"],
    flopsPerBar: 3 * windows.length,
    stateLength: memory.total,
    block(rows, state) {
      const { n, close } = rows;
      for (let k = 0; k < windows.length; k++) {
        lagged(close, n, windows[k], state, memory.at[k], old);
        if (name === "roc") for (let i = 0; i < n; i++) old[i] = 100 * (close[i] / old[i] - 1);
        else for (let i = 0; i < n; i++) old[i] = close[i] - old[i];
        rows.put(k, old);
      }
    },
  });
}

function standardised(windows: Windows): Feature {
  const memory = layout(1 + previousLength, windows.map(momentsLength));
  const last = scratch(), mean = scratch(), variance = scratch();
  const roots = Float64Array.from(windows, Math.sqrt);
  return technical({
    family: "momentum_z",
    columns: columnsOf("momentum_z", "standard deviations", windows),
    inputs: ["close"],
    flopsPerBar: 20 + 25 * windows.length,
    stateLength: memory.total,
    block(rows, state) {
      const { n, close: step } = rows;
      previous(step, n, state, 1, last);
      for (let i = 0; i < n; i++) step[i] = Math.log(step[i] / last[i]);
      for (let k = 0; k < windows.length; k++) {
        rollingMoments(step, n, windows[k], state, memory.at[k], mean, variance);
        for (let i = 0; i < n; i++) {
          mean[i] = variance[i] > FLAT ? mean[i] * roots[k] / Math.sqrt(variance[i]) : 0;
        }
        rows.put(k, mean);
      }
    },
  });
}

function efficiency(windows: Windows): Feature {
  const memory = layout(1 + previousLength,
    windows.map((window) => lagLength(window) + sumLength(window)));
  const step = scratch(), old = scratch(), path = scratch();
  return technical({
    family: "efficiency",
    columns: columnsOf("efficiency", "-1..1", windows),
    inputs: ["close"],
    flopsPerBar: 2 + 6 * windows.length,
    stateLength: memory.total,
    block(rows, state) {
      const { n, close } = rows;
      previous(close, n, state, 1, step);
      for (let i = 0; i < n; i++) step[i] = Math.abs(close[i] - step[i]);
      for (let k = 0; k < windows.length; k++) {
        const at = memory.at[k];
        lagged(close, n, windows[k], state, at, old);
        rollingSum(step, n, windows[k], state, at + lagLength(windows[k]), path);
        for (let i = 0; i < n; i++) path[i] = path[i] > 0 ? (close[i] - old[i]) / path[i] : 0;
        rows.put(k, path);
      }
    },
  });
}

/** Least squares over x = 1..W: slope = Sxy / Sxx, R^2 = Sxy^2 / (Sxx Syy), Sxx = W (W^2 - 1) / 12. */
function trend(windows: Windows): Feature {
  const memory = layout(1, windows.map((window) => weightedLength(window) + momentsLength(window)));
  const sum = scratch(), weighted = scratch(), mean = scratch(), variance = scratch();
  return technical({
    family: "trend",
    columns: windows.flatMap((window) => [
      { name: `trend_slope_${window}`, unit: "log price per bar", warmup: window - 1 },
      { name: `trend_r2_${window}`, unit: "0..1", warmup: window - 1 },
    ]),
    inputs: ["close"],
    flopsPerBar: 20 + 40 * windows.length,
    stateLength: memory.total,
    block(rows, state) {
      const { n, close: log } = rows;
      for (let i = 0; i < n; i++) log[i] = Math.log(log[i]);
      for (let k = 0; k < windows.length; k++) {
        const window = windows[k], at = memory.at[k], sxx = window * (window * window - 1) / 12;
        rollingWeighted(log, n, window, state, at, sum, weighted);
        rollingMoments(log, n, window, state, at + weightedLength(window), mean, variance);
        for (let i = 0; i < n; i++) {
          const isFlat = !(variance[i] > FLAT * (1 + mean[i] * mean[i]));
          sum[i] = isFlat ? 0 : (weighted[i] - (window + 1) / 2 * sum[i]) / sxx;
          mean[i] = isFlat ? 0 : Math.min(1, sum[i] * sum[i] * sxx / (window * variance[i]));
        }
        rows.put(2 * k, sum);
        rows.put(2 * k + 1, mean);
      }
    },
  });
}

const row = (summary: string, byDefault: number[], make: (windows: Windows) => Feature) => family({
  summary,
  version: 1,
  parameters: z.strictObject({ windows: windowList(...byDefault) }),
  inputs: ["close"],
  make: ({ windows }) => make(windows),
});

export const MOMENTUM_FAMILIES = {
  momentum: row("close minus the close W bars ago, in price", [10],
    (windows) => change("momentum", windows)),
  roc: row("rate of change over W bars, in percent", [1, 2, 3, 5, 10, 21, 42, 63, 126, 252],
    (windows) => change("roc", windows)),
  momentum_z: row("log return over W bars in its own standard deviations", [10, 21, 63, 126, 252],
    standardised),
  efficiency: row("Kaufman's efficiency ratio with the sign of the move, -1..1", [10, 21, 63, 126],
    efficiency),
  trend: row("least squares line through the log closes: slope a bar and R squared",
    [21, 63, 126, 252], trend),
};
