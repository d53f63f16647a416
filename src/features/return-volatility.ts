/**
 * The return of one bar and its ex-ante volatility, both of the winsorised price. Neither is
 * annualised.
 */
import { z } from "zod";
import { decayOfSpan } from "./ewm.ts";
import { family } from "./family.ts";
import { volatility, VOLATILITY_FLOPS, VOLATILITY_LENGTH, winsorized, WINSORIZED_FLOPS,
  WINSORIZED_LENGTH } from "./winsorize.ts";

export const barReturn = family({
  summary: "simple return of one bar, of the winsorised price",
  version: 1,
  parameters: z.strictObject({}),
  inputs: ["close"],
  make: () => ({
    family: "return",
    columns: [{ name: "ret_1d", unit: "fraction", warmup: 2 }],
    inputs: ["close"],
    causality: "close",
    flopsPerBar: WINSORIZED_FLOPS + 2,
    stateLength: WINSORIZED_LENGTH + 1,
    start(state) { state.fill(0); state[WINSORIZED_LENGTH] = NaN; },
    update(bars, from, to, state, out, offset, stride) {
      const close = bars.columns.close!;
      for (let t = from, at = offset; t < to; t++, at += stride) {
        const price = winsorized(state, 0, close[t]);
        out[at] = price / state[WINSORIZED_LENGTH] - 1;
        state[WINSORIZED_LENGTH] = price;
      }
    },
  }),
});

/** Span of the volatility that everything is scaled by. */
export const spanParameter = z.int().min(2).max(10_000).default(60)
  .describe("span of the exponentially weighted volatility, bars");

export const barVolatility = family({
  summary: "ex-ante volatility of one bar's return, exponentially weighted; not annualised",
  version: 1,
  parameters: z.strictObject({ span: spanParameter }),
  inputs: ["close"],
  make: ({ span }) => {
    const decay = decayOfSpan(span);
    return {
      family: "volatility",
      columns: [
        { name: span === 60 ? "daily_vol" : `vol_${span}`, unit: "fraction per bar", warmup: span + 1 },
      ],
      inputs: ["close"],
      causality: "close",
      flopsPerBar: WINSORIZED_FLOPS + VOLATILITY_FLOPS,
      stateLength: WINSORIZED_LENGTH + VOLATILITY_LENGTH,
      start(state) { state.fill(0); },
      update(bars, from, to, state, out, offset, stride) {
        const close = bars.columns.close!;
        for (let t = from, at = offset; t < to; t++, at += stride) {
          out[at] = volatility(state, WINSORIZED_LENGTH, span, decay, winsorized(state, 0, close[t]));
        }
      },
    };
  },
});
