/**
 * Bollinger bands: mean +- `deviations` standard deviations (over W, ddof 0, as Bollinger and
 * TA-Lib) of the last W closes. position = (close - lower) / (upper - lower) (%b), width = (upper -
 * lower) / mean (bandwidth); J. Bollinger, "Bollinger on Bollinger Bands", 2001. Convention: bands
 * of no width hold the close in their middle, position 0.5.
 */
import { z } from "zod";
import { family, windowList } from "./family.ts";
import type { Feature } from "./feature.ts";
import { layout, outputList, technical } from "./inputs.ts";
import { FLAT, momentsLength, rollingMoments, scratch } from "./rolling.ts";

const UNITS = { upper: "price", middle: "price", lower: "price", position: "share of the band",
  width: "fraction" };
const OUTPUTS = ["upper", "middle", "lower", "position", "width"] as const;
type Output = (typeof OUTPUTS)[number];

/** One output of the bands, from the closes' mean and standard deviation. */
function derive(output: Output, close: Float64Array, mean: Float64Array, spread: Float64Array,
  n: number, deviations: number, y: Float64Array): void {
  switch (output) {
    case "upper": for (let i = 0; i < n; i++) y[i] = mean[i] + deviations * spread[i]; break;
    case "middle": for (let i = 0; i < n; i++) y[i] = mean[i]; break;
    case "lower": for (let i = 0; i < n; i++) y[i] = mean[i] - deviations * spread[i]; break;
    case "position":
      for (let i = 0; i < n; i++) {
        y[i] = spread[i] > 0 ? 0.5 + (close[i] - mean[i]) / (2 * deviations * spread[i]) : 0.5;
      }
      break;
    case "width": for (let i = 0; i < n; i++) y[i] = 2 * deviations * spread[i] / mean[i]; break;
  }
}

function make(windows: readonly number[], deviations: number, outputs: readonly Output[]): Feature {
  const memory = layout(1, windows.map(momentsLength));
  const mean = scratch(), spread = scratch(), y = scratch();
  const suffix = deviations === 2 ? "" : `_${String(deviations).replace(".", "p")}`;
  return technical({
    family: "bollinger",
    columns: windows.flatMap((window) => outputs.map((output) => ({
      name: `bollinger_${output}_${window}${suffix}`, unit: UNITS[output], warmup: window - 1,
    }))),
    inputs: ["close"],
    flopsPerBar: windows.length * (25 + 4 * outputs.length),
    stateLength: memory.total,
    block(rows, state) {
      const { n, close } = rows;
      for (let k = 0; k < windows.length; k++) {
        rollingMoments(close, n, windows[k], state, memory.at[k], mean, spread);
        for (let i = 0; i < n; i++) {
          spread[i] = spread[i] > FLAT * mean[i] * mean[i] ? Math.sqrt(spread[i]) : 0;
        }
        for (let o = 0; o < outputs.length; o++) {
          derive(outputs[o], close, mean, spread, n, deviations, y);
          rows.put(k * outputs.length + o, y);
        }
      }
    },
  });
}

export const BOLLINGER_FAMILIES = {
  bollinger: family({
    summary: "Bollinger bands: upper, middle, lower (price), position (%b) and width",
    version: 1,
    parameters: z.strictObject({
      windows: windowList(20),
      deviations: z.number().positive().max(10).default(2).describe("half width, standard deviations"),
      outputs: outputList(OUTPUTS),
    }),
    inputs: ["close"],
    make: ({ windows, deviations, outputs }) => make(windows, deviations, outputs),
  }),
};
