/**
 * Moving average convergence/divergence (Appel): line = EMA_fast - EMA_slow of the close, signal =
 * EMA of the line, histogram = line - signal. `macd` is in price, `ppo` in percent of the slow
 * average (the scale-free form).
 *
 * Averages are seeded as TA-Lib seeds them: the slow one with the mean of the first `slow` closes,
 * the fast one with the mean of the last `fast` of those, the signal with the mean of the first
 * `signal` lines:
 *
 *        row   0 ............ slow-1 ................ slow+signal-2
 *        line                 first value
 *        signal, histogram                            first value
 */
import { z } from "zod";
import { family } from "./family.ts";
import type { Feature } from "./feature.ts";
import { layout, technical } from "./inputs.ts";
import { averageLength, exponentialAverage, scratch } from "./rolling.ts";

const OUTPUTS = ["", "_signal", "_histogram"] as const;
type Speed = readonly [fast: number, slow: number, signal: number];

const alphaOf = (window: number): number => 2 / (window + 1);

function make(name: "macd" | "ppo", speeds: readonly Speed[]): Feature {
  const memory = layout(1, speeds.map(() => 3 * averageLength));
  const line = scratch(), slowly = scratch(), signal = scratch();
  return technical({
    family: name,
    columns: speeds.flatMap(([fast, slow, smooth]) => OUTPUTS.map((output, k) => ({
      name: `${name}${output}_${fast}_${slow}_${smooth}`,
      unit: name === "macd" ? "price" : "percent",
      warmup: k === 0 ? slow - 1 : slow + smooth - 2,
    }))),
    inputs: ["close"],
    flopsPerBar: 14 * speeds.length,
    stateLength: memory.total,
    block(rows, state) {
      const { n, close } = rows;
      for (let k = 0; k < speeds.length; k++) {
        const [fast, slow, smooth] = speeds[k], at = memory.at[k];
        exponentialAverage(close, n, fast, alphaOf(fast), slow - fast, state, at, line);
        exponentialAverage(close, n, slow, alphaOf(slow), 0, state, at + averageLength, slowly);
        if (name === "macd") for (let i = 0; i < n; i++) line[i] -= slowly[i];
        else for (let i = 0; i < n; i++) line[i] = 100 * (line[i] - slowly[i]) / slowly[i];
        exponentialAverage(line, n, smooth, alphaOf(smooth), slow - 1, state,
          at + 2 * averageLength, signal);
        rows.put(3 * k, line);
        rows.put(3 * k + 1, signal);
        for (let i = 0; i < n; i++) line[i] -= signal[i];
        rows.put(3 * k + 2, line);
      }
    },
  });
}

const speed = z.tuple([z.int().min(1).max(10_000), z.int().min(2).max(10_000),
  z.int().min(1).max(10_000)])
  .refine(([fast, slow]) => fast < slow, "the fast average must be shorter than the slow one");

const speeds = (...byDefault: [number, number, number][]) => z.array(speed).min(1).max(16)
  .refine((list) => new Set(list.map(String)).size === list.length, "each speed may appear once")
  .default(byDefault).describe("[fast, slow, signal] in bars");

export const MACD_FAMILIES = {
  macd: family({
    summary: "moving average convergence/divergence: line, signal and histogram, in price",
    version: 1,
    parameters: z.strictObject({ speeds: speeds([12, 26, 9]) }),
    inputs: ["close"],
    make: (parameters) => make("macd", parameters.speeds),
  }),
  ppo: family({
    summary: "percentage price oscillator: MACD in percent of the slow average",
    version: 1,
    parameters: z.strictObject({ speeds: speeds([5, 35, 5], [12, 26, 9], [16, 48, 9],
      [32, 96, 9]) }),
    inputs: ["close"],
    make: (parameters) => make("ppo", parameters.speeds),
  }),
};
