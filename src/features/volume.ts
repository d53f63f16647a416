/**
 * Volume against its own past, and volume with the direction of the close:
 *
 *   volume_ratio_W    volume / mean of the last W                        ratio
 *   volume_zscore_W   (volume - mean) / deviation (over W, ddof 0)       standard deviations
 *   obv_ratio_W       sum of W signed volumes / sum of W volumes         -1..1
 *   obv_zscore_W      on-balance volume (Granville; running) as z-score  standard deviations
 *   mfi_W             100 P / (P + N), p x volume where p rose, fell     0..100 (TA-Lib's MFI)
 *   money_flow_W      sum of close location x volume / sum of volume     -1..1 (Chaikin)
 *   volume_return_correlation_W   Pearson's, of volume and return                      -1..1
 *
 * Conventions: no volume at all: ratio 1, z-scores 0, shares 0, MFI 50 (TA-Lib: 0 if P + N < 1).
 */
import { z } from "zod";
import { family, windowList } from "./family.ts";
import type { Feature } from "./feature.ts";
import { layout, previous, previousLength, technical, typicalPrice } from "./inputs.ts";
import { covarianceLength, rollingCorrelation } from "./rolling-moments.ts";
import { FLAT, momentsLength, rollingMoments, rollingSum, scratch, sumLength } from "./rolling.ts";

type Windows = readonly number[];

function level(windows: Windows): Feature {
  const memory = layout(1, windows.map(momentsLength));
  const mean = scratch(), variance = scratch();
  return technical({
    family: "volume",
    columns: windows.flatMap((window) => [
      { name: `volume_ratio_${window}`, unit: "ratio", warmup: window - 1 },
      { name: `volume_zscore_${window}`, unit: "standard deviations", warmup: window - 1 },
    ]),
    inputs: ["volume"],
    flopsPerBar: 25 * windows.length,
    stateLength: memory.total,
    block(rows, state) {
      const { n, volume } = rows;
      for (let k = 0; k < windows.length; k++) {
        rollingMoments(volume, n, windows[k], state, memory.at[k], mean, variance);
        for (let i = 0; i < n; i++) {
          const isFlat = !(variance[i] > FLAT * mean[i] * mean[i]);
          variance[i] = isFlat ? 0 : (volume[i] - mean[i]) / Math.sqrt(variance[i]);
          mean[i] = mean[i] > 0 ? volume[i] / mean[i] : 1;
        }
        rows.put(2 * k, mean);
        rows.put(2 * k + 1, variance);
      }
    },
  });
}

/**
 * Volume with the sign of the close's change, and the volume itself; row 0 has no change and counts
 * as neither.
 */
function readSigned(close: Float64Array, last: Float64Array, volume: Float64Array, n: number,
  signed: Float64Array): void {
  for (let i = 0; i < n; i++) {
    const change = close[i] - last[i];
    signed[i] = change > 0 ? volume[i] : change < 0 ? -volume[i] : 0;
  }
}

function balance(windows: Windows): Feature {
  const memory = layout(1 + previousLength, windows.map((window) => 2 * sumLength(window)));
  const last = scratch(), signed = scratch(), flow = scratch(), all = scratch();
  return technical({
    family: "obv_ratio",
    columns: windows.map((window) => ({ name: `obv_ratio_${window}`, unit: "-1..1",
      warmup: window })),
    inputs: ["close", "volume"],
    flopsPerBar: 2 + 8 * windows.length,
    stateLength: memory.total,
    block(rows, state) {
      const { n, close, volume } = rows;
      previous(close, n, state, 1, last);
      readSigned(close, last, volume, n, signed);
      for (let k = 0; k < windows.length; k++) {
        rollingSum(signed, n, windows[k], state, memory.at[k], flow);
        rollingSum(volume, n, windows[k], state, memory.at[k] + sumLength(windows[k]), all);
        for (let i = 0; i < n; i++) flow[i] = all[i] > 0 ? flow[i] / all[i] : 0;
        rows.put(k, flow);
      }
    },
  });
}

function balanceScore(windows: Windows): Feature {
  const TOTAL = 1 + previousLength;
  const memory = layout(TOTAL + 1, windows.map(momentsLength));
  const last = scratch(), total = scratch(), mean = scratch(), variance = scratch();
  return technical({
    family: "obv_zscore",
    columns: windows.map((window) => ({
      name: `obv_zscore_${window}`, unit: "standard deviations", warmup: window - 1,
    })),
    inputs: ["close", "volume"],
    flopsPerBar: 3 + 25 * windows.length,
    stateLength: memory.total,
    block(rows, state) {
      const { n, close, volume } = rows;
      previous(close, n, state, 1, last);
      readSigned(close, last, volume, n, total);
      for (let i = 0; i < n; i++) total[i] = state[TOTAL] += total[i];
      for (let k = 0; k < windows.length; k++) {
        rollingMoments(total, n, windows[k], state, memory.at[k], mean, variance);
        for (let i = 0; i < n; i++) {
          const isFlat = !(variance[i] > FLAT * mean[i] * mean[i]);
          mean[i] = isFlat ? 0 : (total[i] - mean[i]) / Math.sqrt(variance[i]);
        }
        rows.put(k, mean);
      }
    },
  });
}

function moneyFlowIndex(windows: Windows): Feature {
  const memory = layout(1 + previousLength, windows.map((window) => 2 * sumLength(window)));
  const last = scratch(), up = scratch(), down = scratch(), ups = scratch(), downs = scratch();
  return technical({
    family: "mfi",
    columns: windows.map((window) => ({ name: `mfi_${window}`, unit: "0..100", warmup: window })),
    inputs: ["high", "low", "close", "volume"],
    flopsPerBar: 6 + 8 * windows.length,
    stateLength: memory.total,
    block(rows, state) {
      const { n, volume } = rows, typical = typicalPrice(rows);
      previous(typical, n, state, 1, last);
      for (let i = 0; i < n; i++) {
        const flow = typical[i] * volume[i];
        up[i] = typical[i] > last[i] ? flow : 0;
        down[i] = typical[i] < last[i] ? flow : 0;
      }
      for (let k = 0; k < windows.length; k++) {
        rollingSum(up, n, windows[k], state, memory.at[k], ups);
        rollingSum(down, n, windows[k], state, memory.at[k] + sumLength(windows[k]), downs);
        for (let i = 0; i < n; i++) {
          const total = ups[i] + downs[i];
          ups[i] = total > 0 ? 100 * ups[i] / total : 50;
        }
        rows.put(k, ups);
      }
    },
  });
}

function moneyFlow(windows: Windows): Feature {
  const memory = layout(1, windows.map((window) => 2 * sumLength(window)));
  const flow = scratch(), all = scratch();
  return technical({
    family: "money_flow",
    columns: windows.map((window) => ({ name: `money_flow_${window}`, unit: "-1..1",
      warmup: window - 1 })),
    inputs: ["high", "low", "close", "volume"],
    flopsPerBar: 6 + 8 * windows.length,
    stateLength: memory.total,
    block(rows, state) {
      const { n, close, high, low, volume } = rows;
      for (let i = 0; i < n; i++) {
        const height = high[i] - low[i];
        close[i] = height > 0 ? volume[i] * (2 * close[i] - high[i] - low[i]) / height : 0;
      }
      for (let k = 0; k < windows.length; k++) {
        rollingSum(close, n, windows[k], state, memory.at[k], flow);
        rollingSum(volume, n, windows[k], state, memory.at[k] + sumLength(windows[k]), all);
        for (let i = 0; i < n; i++) flow[i] = all[i] > 0 ? flow[i] / all[i] : 0;
        rows.put(k, flow);
      }
    },
  });
}

function correlation(windows: Windows): Feature {
  const memory = layout(1 + previousLength, windows.map(covarianceLength));
  const last = scratch(), y = scratch();
  return technical({
    family: "volume_return_correlation",
    columns: windows.map((window) => ({
      name: `volume_return_correlation_${window}`, unit: "-1..1", warmup: window,
    })),
    inputs: ["close", "volume"],
    flopsPerBar: 2 + 50 * windows.length,
    stateLength: memory.total,
    block(rows, state) {
      const { n, close: step, volume } = rows;
      previous(step, n, state, 1, last);
      for (let i = 0; i < n; i++) step[i] = step[i] / last[i] - 1;
      for (let k = 0; k < windows.length; k++) {
        rollingCorrelation(step, volume, n, windows[k], state, memory.at[k], y);
        rows.put(k, y);
      }
    },
  });
}

const row = (summary: string, byDefault: number[], inputs: Feature["inputs"],
  make: (windows: Windows) => Feature) =>
  family({
    summary,
    version: 1,
    parameters: z.strictObject({ windows: windowList(...byDefault) }),
    inputs,
    make: ({ windows }) => make(windows),
  });

const ALL = ["high", "low", "close", "volume"] as const;
export const VOLUME_FAMILIES = {
  volume: row("volume against its mean: ratio and z-score", [5, 20, 50, 100], ["volume"], level),
  obv_ratio: row("share of the volume that came with rising closes less the rest, -1..1",
    [5, 10, 20, 50, 100],
    ["close", "volume"], balance),
  obv_zscore: row("on-balance volume as a z-score", [20], ["close", "volume"], balanceScore),
  mfi: row("money flow index, 0..100", [7, 14, 28], ALL, moneyFlowIndex),
  money_flow: row("Chaikin's money flow, -1..1", [10, 20, 50], ALL, moneyFlow),
  volume_return_correlation: row("correlation of volume and return", [21, 63], ["close", "volume"],
    correlation),
};
