/**
 * Statistics of the simple returns r of the last W bars (ddof 1 and the bias corrections of pandas'
 * rolling):
 *
 *   return_mean_W, return_std_W           fraction per bar
 *   return_downside_W                     sqrt(mean(min(r, 0)^2)), fraction per bar
 *   return_skew_W, return_kurt_W          Fisher-Pearson, adjusted; excess kurtosis, adjusted
 *   return_autocorrelation_W              Pearson's, of the last W pairs (r[t], r[t-1])
 *   return_zscore_W                       (r - mean) / std
 *   return_up_share_W                     share of rising bars, 0..1
 *
 * Conventions: where all returns are equal (to rounding), skew, kurtosis, autocorrelation and
 * z-score are 0.
 */
import { z } from "zod";
import { family, windowList } from "./family.ts";
import type { Feature } from "./feature.ts";
import { layout, previous, previousLength, type Rows, technical } from "./inputs.ts";
import { covarianceLength, rollingCorrelation, rollingShape,
  shapeLength } from "./rolling-moments.ts";
import { FLAT, momentsLength, rollingMoments, rollingSum, scratch, sumLength } from "./rolling.ts";

type Windows = readonly number[];

/** Where the windows' memories begin: after the row counter and the previous close. */
const FIRST = 1 + previousLength;

/** A technical feature whose block() finds the returns in the place of the closes. */
function ofReturns(family: string, columns: Feature["columns"], flopsPerBar: number,
  stateLength: number, block: (rows: Rows, state: Float64Array) => void): Feature {
  const last = scratch();
  return technical({
    family, columns, inputs: ["close"], flopsPerBar: flopsPerBar + 2, stateLength,
    block(rows, state) {
      const { n, close } = rows;
      previous(close, n, state, 1, last);
      for (let i = 0; i < n; i++) close[i] = close[i] / last[i] - 1;
      block(rows, state);
    },
  });
}

function moments(windows: Windows): Feature {
  const memory = layout(FIRST, windows.map((window) => momentsLength(window) + sumLength(window)));
  const mean = scratch(), variance = scratch(), bad = scratch(), sum = scratch();
  const columns = windows.flatMap((window) => ["mean", "std", "downside"].map((output) => ({
    name: `return_${output}_${window}`, unit: "fraction per bar", warmup: window,
  })));
  return ofReturns("return_moments", columns, 35 * windows.length, memory.total,
    (rows, state) => {
      const { n, close: returns } = rows;
      for (let i = 0; i < n; i++) bad[i] = returns[i] < 0 ? returns[i] * returns[i] : 0;
      for (let k = 0; k < windows.length; k++) {
        const window = windows[k], at = memory.at[k];
        rollingMoments(returns, n, window, state, at, mean, variance);
        rollingSum(bad, n, window, state, at + momentsLength(window), sum);
        for (let i = 0; i < n; i++) {
          variance[i] = Math.sqrt(variance[i] * window / (window - 1));
          sum[i] = Math.sqrt(sum[i] / window);
        }
        rows.put(3 * k, mean);
        rows.put(3 * k + 1, variance);
        rows.put(3 * k + 2, sum);
      }
    });
}

function shape(windows: Windows): Feature {
  const memory = layout(FIRST, windows.map(shapeLength));
  const second = scratch(), third = scratch(), fourth = scratch();
  const columns = windows.flatMap((window) => ["skew", "kurt"].map((output) => ({
    name: `return_${output}_${window}`, unit: "standardised moment", warmup: window,
  })));
  return ofReturns("return_shape", columns, 90 * windows.length, memory.total,
    (rows, state) => {
      const { n, close: returns } = rows;
      for (let k = 0; k < windows.length; k++) {
        const w = windows[k];
        const skewness = Math.sqrt(w * (w - 1)) / (w - 2), excess = (w - 1) / ((w - 2) * (w - 3));
        rollingShape(returns, n, w, state, memory.at[k], second, third, fourth);
        for (let i = 0; i < n; i++) {
          const variance = second[i], isFlat = !(variance > FLAT);
          third[i] = isFlat ? 0 : skewness * third[i] / (variance * Math.sqrt(variance));
          fourth[i] = isFlat ? 0 : excess * ((w + 1) * (fourth[i] / (variance * variance) - 3) + 6);
        }
        rows.put(2 * k, third);
        rows.put(2 * k + 1, fourth);
      }
    });
}

function autocorrelation(windows: Windows): Feature {
  const memory = layout(FIRST + previousLength, windows.map(covarianceLength));
  const before = scratch(), y = scratch();
  const columns = windows.map((window) => ({
    name: `return_autocorrelation_${window}`, unit: "-1..1", warmup: window + 1,
  }));
  return ofReturns("return_autocorrelation", columns, 55 * windows.length, memory.total,
    (rows, state) => {
      const { n, close: returns } = rows;
      previous(returns, n, state, FIRST, before);
      for (let k = 0; k < windows.length; k++) {
        rollingCorrelation(returns, before, n, windows[k], state, memory.at[k], y);
        rows.put(k, y);
      }
    });
}

function score(windows: Windows): Feature {
  const memory = layout(FIRST, windows.map(momentsLength));
  const mean = scratch(), variance = scratch();
  const columns = windows.map((window) => ({
    name: `return_zscore_${window}`, unit: "standard deviations", warmup: window,
  }));
  return ofReturns("return_zscore", columns, 28 * windows.length, memory.total,
    (rows, state) => {
      const { n, close: returns } = rows;
      for (let k = 0; k < windows.length; k++) {
        const correction = (windows[k] - 1) / windows[k];
        rollingMoments(returns, n, windows[k], state, memory.at[k], mean, variance);
        for (let i = 0; i < n; i++) {
          const isFlat = !(variance[i] > FLAT);
          mean[i] = isFlat ? 0 : (returns[i] - mean[i]) * Math.sqrt(correction / variance[i]);
        }
        rows.put(k, mean);
      }
    });
}

function upShare(windows: Windows): Feature {
  const memory = layout(FIRST, windows.map(sumLength));
  const isUp = scratch(), sum = scratch();
  const columns = windows.map((window) => ({
    name: `return_up_share_${window}`, unit: "0..1", warmup: window,
  }));
  return ofReturns("return_up_share", columns, 4 * windows.length, memory.total,
    (rows, state) => {
      const { n, close: returns } = rows;
      for (let i = 0; i < n; i++) isUp[i] = returns[i] > 0 ? 1 : 0;
      for (let k = 0; k < windows.length; k++) {
        rollingSum(isUp, n, windows[k], state, memory.at[k], sum);
        for (let i = 0; i < n; i++) sum[i] /= windows[k];
        rows.put(k, sum);
      }
    });
}

/** `least`: the fewest returns for which the statistic is defined. */
const row = (summary: string, least: number, byDefault: number[],
  make: (windows: Windows) => Feature) => family({
  summary,
  version: 1,
  parameters: z.strictObject({
    windows: windowList(...byDefault)
      .refine((windows) => windows.every((window) => window >= least),
        `windows here have ${least} bars or more`),
  }),
  inputs: ["close"],
  make: ({ windows }) => make(windows),
});

export const RETURN_FAMILIES = {
  return_moments: row("mean, deviation and downside deviation of the returns", 2,
    [5, 10, 21, 63, 126, 252], moments),
  return_shape: row("skewness and excess kurtosis of the returns", 4, [21, 63, 126, 252], shape),
  return_autocorrelation: row("correlation of each return with the one before", 2, [21, 63],
    autocorrelation),
  return_zscore: row("the last return in standard deviations", 2, [21, 63, 252], score),
  return_up_share: row("share of rising bars", 1, [10, 21, 63], upShare),
};
