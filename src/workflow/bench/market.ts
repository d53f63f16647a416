/** Made-up bars for figures that must not depend on data at hand: a seeded random walk with volume. */
import { random } from "../../base/random.ts";
import { MS_PER_DAY } from "../../base/units.ts";
import type { Bars } from "../../market/bars.ts";
import { instrument } from "../../market/instrument.ts";

/** First stamp of every made-up series. */
export const BENCH_START = Date.UTC(1990, 0, 1, 23);

/** `rows` daily bars; low <= open, close <= high, all > 0. */
export function madeUpBars(symbol: string, rows: number, seed = 1): Bars {
  const stream = random(seed, "bench", symbol);
  const make = (): Float64Array => new Float64Array(rows);
  const time = make(), open = make(), high = make(), low = make(), close = make(), volume = make();
  let price = 100;
  for (let t = 0; t < rows; t++) {
    time[t] = BENCH_START + t * MS_PER_DAY;
    open[t] = price;
    price *= Math.exp(0.01 * stream.normal());
    close[t] = price;
    high[t] = Math.max(open[t], close[t]) * (1 + 0.004 * stream.uniform());
    low[t] = Math.min(open[t], close[t]) * (1 - 0.004 * stream.uniform());
    volume[t] = Math.floor(1e6 * (0.5 + stream.uniform()));
  }
  return { instrument: instrument(symbol), kind: "bars", timeframe: "1d", time,
    columns: { open, high, low, close, volume } };
}
