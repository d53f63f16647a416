/**
 * Relative strength index, 100 G / (G + L), of the average gain G and average loss L of W changes
 * of the close. `rsi` averages as Wilder does (seeded with the plain mean of the first W changes,
 * then 1/W of each new one; Wilder, "New Concepts in Technical Trading Systems", 1978; TA-Lib's
 * RSI), `rsi_simple` over the last W changes (Cutler). Convention: no change at all is neither
 * strength nor weakness, 50.
 */
import { z } from "zod";
import { family, windowList } from "./family.ts";
import type { Feature } from "./feature.ts";
import { layout, previous, previousLength, technical } from "./inputs.ts";
import { averageLength, exponentialAverage, rollingSum, scratch, sumLength } from "./rolling.ts";

/** Averages this small are the underflow of a series that stopped moving long ago. */
const NOTHING = 1e-280;

function make(name: "rsi" | "rsi_simple", windows: readonly number[]): Feature {
  const isWilder = name === "rsi";
  const memory = layout(1 + previousLength, windows.map((window) =>
    2 * (isWilder ? averageLength : sumLength(window))));
  const gain = scratch(), loss = scratch(), gains = scratch(), losses = scratch();
  return technical({
    family: name,
    columns: windows.map((window) => ({ name: `${name}_${window}`, unit: "0..100",
      warmup: window })),
    inputs: ["close"],
    flopsPerBar: 12 * windows.length,
    stateLength: memory.total,
    block(rows, state) {
      const { n, close } = rows;
      previous(close, n, state, 1, gain);
      for (let i = 0; i < n; i++) {
        const change = close[i] - gain[i];
        gain[i] = change > 0 ? change : 0;
        loss[i] = change < 0 ? -change : 0;
      }
      for (let k = 0; k < windows.length; k++) {
        const window = windows[k], at = memory.at[k];
        if (isWilder) {
          exponentialAverage(gain, n, window, 1 / window, 1, state, at, gains);
          exponentialAverage(loss, n, window, 1 / window, 1, state, at + averageLength, losses);
        } else {
          rollingSum(gain, n, window, state, at, gains);
          rollingSum(loss, n, window, state, at + sumLength(window), losses);
        }
        for (let i = 0; i < n; i++) {
          const total = gains[i] + losses[i];
          gains[i] = total > NOTHING ? 100 * gains[i] / total : 50;
        }
        rows.put(k, gains);
      }
    },
  });
}

const WINDOWS = [2, 7, 14, 21, 28, 50];

export const RSI_FAMILIES = {
  rsi: family({
    summary: "relative strength index on Wilder's averages, 0..100",
    version: 1,
    parameters: z.strictObject({ windows: windowList(...WINDOWS) }),
    inputs: ["close"],
    make: ({ windows }) => make("rsi", windows),
  }),
  rsi_simple: family({
    summary: "relative strength index on plain averages (Cutler), 0..100",
    version: 1,
    parameters: z.strictObject({ windows: windowList(...WINDOWS) }),
    inputs: ["close"],
    make: ({ windows }) => make("rsi_simple", windows),
  }),
};
