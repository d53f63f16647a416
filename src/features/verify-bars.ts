/**
 * Bars on which a feature is put to the test: a random market, and the shapes at which formulas
 * break. Seeded, so that a finding can be seen again.
 */
import { unreachable } from "../base/assert.ts";
import { random } from "../base/random.ts";
import { MS_PER_DAY } from "../base/units.ts";
import { type Bars, type ColumnName, type Timeframe, TIMEFRAMES } from "../market/bars.ts";
import { instrument } from "../market/instrument.ts";

export const SHAPES = {
  random: "a random walk of 1 % a bar",
  flat: "one price for ever, with volume",
  dead: "one price for ever, without volume",
  steps: "flat stretches between sudden moves",
  rising: "the same growth every bar",
  falling: "the same loss every bar",
  spike: "a random walk that jumps to a million times its level and back",
  tiny: "a random walk around 1e-6",
} as const;
export type Shape = keyof typeof SHAPES;

/** Log return of row t of a shape; `normal` is its shock. */
function logReturn(shape: Shape, t: number, rows: number, normal: number): number {
  const up = Math.floor(rows / 3), down = up + 5;
  switch (shape) {
    case "flat": case "dead": return 0;
    case "steps": return t % 17 === 0 ? 0.03 * normal : 0;
    case "rising": return 0.001;
    case "falling": return -0.001;
    case "spike": return 0.01 * normal + (t === up ? Math.log(1e6) : t === down ? -Math.log(1e6)
      : 0);
    case "random": case "tiny": return 0.01 * normal;
    default: return unreachable(shape);
  }
}

/** Close of the first bar: 2000-01-03 21:00 UTC, a Monday. */
const START = Date.UTC(2000, 0, 3, 21);

/** Bars of a shape with every column that bars can have. Equal arguments give equal bars. */
export function verificationBars(shape: Shape, rows: number, seed: number,
  timeframe: Timeframe = "1d"): Bars {
  const stream = random(seed, "verify", shape);
  const columns = {} as Record<ColumnName, Float64Array>;
  const names = ["open", "high", "low", "close", "volume", "vwap", "trades", "return", "price",
    "panama", "roll"] as const;
  for (const name of names) columns[name] = new Float64Array(rows);
  const isStill = shape === "flat" || shape === "dead", level = shape === "tiny" ? 1e-6 : 100;
  const step = TIMEFRAMES[timeframe] === 0 ? 1 : TIMEFRAMES[timeframe];
  let logPrice = 0;
  for (let t = 0; t < rows; t++) {
    const open = level * Math.exp(logPrice);
    logPrice += logReturn(shape, t, rows, stream.normal());
    const close = isStill ? level : level * Math.exp(logPrice);
    const wide = isStill || (shape === "steps" && t % 17 !== 0) ? 0 : 0.004;
    columns.open[t] = isStill ? level : open;
    columns.close[t] = close;
    columns.high[t] = Math.max(columns.open[t], close) * (1 + wide * stream.uniform());
    columns.low[t] = Math.min(columns.open[t], close) * (1 - wide * stream.uniform());
    columns.volume[t] = shape === "dead" ? 0 : Math.round(1e5
      * Math.exp(isStill ? 0 : stream.normal()));
    columns.vwap[t] = (columns.high[t] + columns.low[t] + close) / 3;
    columns.trades[t] = Math.ceil(columns.volume[t] / 100);
    columns.return[t] = t === 0 ? NaN : close / columns.close[t - 1] - 1;
    columns.price[t] = close;
    columns.panama[t] = close - level / 2;
    columns.roll[t] = t > 0 && t % 60 === 0 ? 1 : 0;
  }
  const time = Float64Array.from({ length: rows }, (_, t) => START + t * step);
  return { instrument: instrument(`VERIFY-${shape}`), kind: "bars", timeframe, time, columns };
}

/** The same bars with every number from row `cut` on replaced by another market. */
export function otherFuture(bars: Bars, cut: number, seed: number): Bars {
  const stream = random(seed, "verify", "future", cut);
  const columns: Partial<Record<ColumnName, Float64Array>> = {};
  for (const [name, values] of Object.entries(bars.columns)) {
    const copy = values.slice();
    for (let t = cut; t < copy.length; t++) copy[t] *= 1 + 9 * stream.uniform();
    columns[name as ColumnName] = copy;
  }
  return { ...bars, columns, time: bars.time.map((time, t) =>
    (t < cut ? time : time + 40 * MS_PER_DAY)) };
}
