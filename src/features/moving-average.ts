/**
 * Moving averages of the close and the close's distance from them:
 *
 *   sma_W  mean of W closes    wma_W  weights 1..W    ema_W  alpha 2/(W+1), seeded with a mean
 *   sma_distance_W (and ema, wma)    close / average - 1                 fraction
 *   sma_cross_F_S  (and ema, wma)    fast average / slow average - 1     fraction
 *
 * All three as TA-Lib's SMA, EMA and WMA.
 */
import { z } from "zod";
import { family, windowList } from "./family.ts";
import type { Feature } from "./feature.ts";
import { layout, outputList, technical } from "./inputs.ts";
import { averageLength, exponentialAverage, rollingSum, rollingWeighted, scratch, sumLength,
  weightedLength } from "./rolling.ts";

const KINDS = ["sma", "ema", "wma"] as const;
type Kind = (typeof KINDS)[number];
const OUTPUTS = ["average", "distance"] as const;
type Output = (typeof OUTPUTS)[number];

const lengthOf = (kind: Kind, window: number): number =>
  kind === "sma" ? sumLength(window) : kind === "ema" ? averageLength : weightedLength(window);

const unused = scratch();

/** y = the average of this kind. */
function average(kind: Kind, close: Float64Array, n: number, window: number, state: Float64Array,
  at: number, y: Float64Array): void {
  switch (kind) {
    case "sma":
      rollingSum(close, n, window, state, at, y);
      for (let i = 0; i < n; i++) y[i] /= window;
      break;
    case "ema": exponentialAverage(close, n, window, 2 / (window + 1), 0, state, at, y); break;
    case "wma":
      rollingWeighted(close, n, window, state, at, unused, y);
      for (let i = 0; i < n; i++) y[i] /= window * (window + 1) / 2;
      break;
  }
}

function averages(kind: Kind, windows: readonly number[], outputs: readonly Output[]): Feature {
  const memory = layout(1, windows.map((window) => lengthOf(kind, window)));
  const y = scratch(), distance = scratch();
  return technical({
    family: kind,
    columns: windows.flatMap((window) => outputs.map((output) => ({
      name: output === "average" ? `${kind}_${window}` : `${kind}_distance_${window}`,
      unit: output === "average" ? "price" : "fraction",
      warmup: window - 1,
    }))),
    inputs: ["close"],
    flopsPerBar: 8 * windows.length,
    stateLength: memory.total,
    block(rows, state) {
      const { n, close } = rows;
      for (let k = 0; k < windows.length; k++) {
        average(kind, close, n, windows[k], state, memory.at[k], y);
        for (let o = 0; o < outputs.length; o++) {
          const isDistance = outputs[o] === "distance";
          if (isDistance) for (let i = 0; i < n; i++) distance[i] = close[i] / y[i] - 1;
          rows.put(k * outputs.length + o, isDistance ? distance : y);
        }
      }
    },
  });
}

function crosses(kind: Kind, pairs: readonly (readonly [number, number])[]): Feature {
  const memory = layout(1, pairs.flat().map((window) => lengthOf(kind, window)));
  const fast = scratch(), slow = scratch();
  return technical({
    family: `${kind}_cross`,
    columns: pairs.map(([short, long]) => ({
      name: `${kind}_cross_${short}_${long}`, unit: "fraction", warmup: long - 1,
    })),
    inputs: ["close"],
    flopsPerBar: 14 * pairs.length,
    stateLength: memory.total,
    block(rows, state) {
      const { n, close } = rows;
      for (let k = 0; k < pairs.length; k++) {
        const [short, long] = pairs[k];
        average(kind, close, n, short, state, memory.at[2 * k], fast);
        average(kind, close, n, long, state, memory.at[2 * k + 1], slow);
        for (let i = 0; i < n; i++) fast[i] = fast[i] / slow[i] - 1;
        rows.put(k, fast);
      }
    },
  });
}

const row = (kind: Kind, summary: string) => family({
  summary: `${summary} of the close (price), and the close's distance from it`,
  version: 1,
  parameters: z.strictObject({ windows: windowList(5, 10, 20, 50, 100, 200),
    outputs: outputList(OUTPUTS) }),
  inputs: ["close"],
  make: ({ windows, outputs }) => averages(kind, windows, outputs),
});

const pair = z.tuple([z.int().min(1).max(10_000), z.int().min(2).max(10_000)])
  .refine(([fast, slow]) => fast < slow, "the fast average must be shorter than the slow one");

const crossRow = (kind: Kind, summary: string) => family({
  summary: `fast ${summary} against the slow one`,
  version: 1,
  parameters: z.strictObject({
    pairs: z.array(pair).min(1).max(32)
      .refine((list) => new Set(list.map(String)).size === list.length, "each pair may appear once")
      .default([[5, 20], [20, 50], [50, 200]]).describe("[fast, slow] in bars"),
  }),
  inputs: ["close"],
  make: ({ pairs }) => crosses(kind, pairs),
});

export const MOVING_AVERAGE_FAMILIES = {
  sma: row("sma", "plain moving average"),
  ema: row("ema", "exponential moving average"),
  wma: row("wma", "linearly weighted moving average"),
  sma_cross: crossRow("sma", "plain moving average"),
  ema_cross: crossRow("ema", "exponential moving average"),
  wma_cross: crossRow("wma", "linearly weighted moving average"),
};
