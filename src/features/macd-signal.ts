/**
 * Trend by crossing averages, twice normalised (Baz et al., "Dissecting investment strategies in
 * the cross section and time series", 2015; parameters of Lim, Zohren, Roberts 2019, equations 3 to
 * 5), of the winsorised price p:
 *
 *   m = ewma_short(p) - ewma_long(p)      half-life(x) = ln 0.5 / ln(1 - 1/x), which is a decay of 1 - 1/x
 *   q = m / deviation of p over 63 bars
 *   signal = q / deviation of q over 252 bars            315 prices up to the first value
 *
 *   state  | winsorised price | rows seen | moments of p | per speed: short, long, moments of q |
 *
 * A price that did not move in 63 bars has no trend: q is 0 there, and so is a signal whose q never
 * moved.
 */
import { z } from "zod";
import { EWM_MEAN_LENGTH, ewmMean } from "./ewm.ts";
import { family } from "./family.ts";
import { BLOCK, momentsLength, rollingMoments, scratch } from "./rolling.ts";
import { winsorized, WINSORIZED_FLOPS, WINSORIZED_LENGTH } from "./winsorize.ts";

const PRICE_WINDOW = 63;
const SIGNAL_WINDOW = 252;
/**
 * Rows before the first q, and before the first signal; the first price is absent (winsorize.ts).
 */
const FIRST_SCALED = 1 + PRICE_WINDOW - 1;
const FIRST_SIGNAL = FIRST_SCALED + SIGNAL_WINDOW - 1;
export const MACD_WARMUP = FIRST_SIGNAL;

/** From the population's variance to the sample's (ddof 1). */
const SAMPLE_63 = PRICE_WINDOW / (PRICE_WINDOW - 1);
const SAMPLE_252 = SIGNAL_WINDOW / (SIGNAL_WINDOW - 1);

const SEEN = WINSORIZED_LENGTH;
const MOMENTS = SEEN + 1;
const SPEEDS = MOMENTS + momentsLength(PRICE_WINDOW);
const SPEED_LENGTH = 2 * EWM_MEAN_LENGTH + momentsLength(SIGNAL_WINDOW);

const speed = z.tuple([z.int().min(2).max(1000), z.int().min(3).max(5000)])
  .refine(([short, long]) => short < long, "the short scale must be below the long one");
export const speedsParameter = z.array(speed).min(1).max(16).default([[8, 24], [16, 48], [32, 96]])
  .describe("pairs of short and long time scales, bars");
export type Speeds = z.infer<typeof speedsParameter>;

export const macdStateLength = (speeds: Speeds): number => SPEEDS + speeds.length * SPEED_LENGTH;
export const macdFlops = (speeds: Speeds): number => WINSORIZED_FLOPS + 26 + speeds.length * 36;

/** Memory for one block of rows. */
export interface MacdSpace {
  readonly price: Float64Array;
  readonly deviation: Float64Array;
  readonly scaled: Float64Array;
  readonly means: Float64Array;
  readonly variance: Float64Array;
  /** Per speed, (BLOCK): the result. */
  readonly signals: readonly Float64Array[];
}
export const macdSpace = (speeds: Speeds): MacdSpace => ({
  price: scratch(), deviation: scratch(), scaled: scratch(), means: scratch(), variance: scratch(),
  signals: speeds.map(scratch),
});

/**
 * Takes in n <= BLOCK prices from `close[start]` and leaves each speed's signals in
 * `space.signals`, NaN in the warm-up.
 */
export function macdSignals(state: Float64Array, speeds: Speeds, close: Float64Array,
  start: number, n: number, space: MacdSpace): void {
  const { price, deviation, scaled, means, variance, signals } = space, seen = state[SEEN];
  const absent = seen === 0 ? 1 : 0, m = n - absent;
  state[SEEN] = Math.min(seen + n, FIRST_SIGNAL);
  if (absent === 1) winsorized(state, 0, close[start]);
  for (let i = 0; i < m; i++) price[i] = winsorized(state, 0, close[start + absent + i]);
  rollingMoments(price, m, PRICE_WINDOW, state, MOMENTS, means, deviation);
  for (let i = 0; i < m; i++) deviation[i] = Math.sqrt(deviation[i] * SAMPLE_63);
  const skipped = Math.min(m, Math.max(0, FIRST_SCALED - seen - absent));
  for (let k = 0, at = SPEEDS; k < speeds.length; k++, at += SPEED_LENGTH) {
    const shortDecay = 1 - 1 / speeds[k][0], longDecay = 1 - 1 / speeds[k][1];
    for (let i = 0; i < m; i++) {
      const short = ewmMean(state, at, shortDecay, price[i]);
      const long = ewmMean(state, at + EWM_MEAN_LENGTH, longDecay, price[i]);
      if (i >= skipped) scaled[i - skipped] = deviation[i] === 0 ? 0 : (short - long) / deviation[i];
    }
    rollingMoments(scaled, m - skipped, SIGNAL_WINDOW, state, at + 2 * EWM_MEAN_LENGTH, means,
      variance);
    for (let i = 0; i < n; i++) {
      const j = i - absent - skipped, spread = Math.sqrt(variance[j] * SAMPLE_252);
      signals[k][i] = seen + i < FIRST_SIGNAL ? NaN : spread === 0 ? 0 : scaled[j] / spread;
    }
  }
}

export const macdSignal = family({
  summary: "difference of two exponential averages, normalised by price and by its own deviation",
  version: 1,
  parameters: z.strictObject({ speeds: speedsParameter }),
  inputs: ["close"],
  make: ({ speeds }) => {
    const space = macdSpace(speeds);
    return {
      family: "macd_signal",
      columns: speeds.map(([short, long]) =>
        ({ name: `macd_${short}_${long}`, unit: "standard deviations", warmup: MACD_WARMUP })),
      inputs: ["close"],
      causality: "close",
      flopsPerBar: macdFlops(speeds),
      stateLength: macdStateLength(speeds),
      start(state) { state.fill(0); },
      update(bars, from, to, state, out, offset, stride) {
        const close = bars.columns.close!;
        for (let start = from; start < to; start += BLOCK) {
          const n = Math.min(BLOCK, to - start);
          macdSignals(state, speeds, close, start, n, space);
          for (let k = 0; k < speeds.length; k++) {
            for (let i = 0, at = offset + (start - from) * stride + k; i < n; i++, at += stride) {
              out[at] = space.signals[k][i];
            }
          }
        }
      },
    };
  },
});
