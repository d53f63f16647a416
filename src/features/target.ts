/**
 * What a position earns: target_t = r_{t+1} * volatility target / (sigma_t sqrt periods per year).
 * The position decided at close t earns the next bar, whose return is *raw*; only sigma_t, an
 * input, is of the winsorised price.
 *
 * Row t can be written only when bar t+1 is there. So update() writes the row *before* each bar's
 * own, and NaN for now into its own. At the first bar of a chunk that row belongs to the chunk
 * before: it is written when the caller's `out` still holds it (offset - stride >= 0: Panel.update
 * into one array), and is lost in a stream, where a row is gone by then. A streamed row therefore
 * never carries a target, and a model never sees one.
 *
 *   state  | winsorised price | volatility | close before | sigma before |
 */
import { z } from "zod";
import { decayOfSpan } from "./ewm.ts";
import { family } from "./family.ts";
import { spanParameter } from "./return-volatility.ts";
import { scaledBy, volatility, VOLATILITY_FLOPS, VOLATILITY_LENGTH, winsorized, WINSORIZED_FLOPS,
  WINSORIZED_LENGTH } from "./winsorize.ts";

const CLOSE = WINSORIZED_LENGTH + VOLATILITY_LENGTH;
const SIGMA = CLOSE + 1;

export const target = family({
  summary: "next bar's raw return scaled to the volatility target: for training, never an input",
  version: 1,
  parameters: z.strictObject({
    span: spanParameter,
    volatilityTarget: z.number().gt(0).max(10).default(0.15)
      .describe("annual volatility that a position of 1 has"),
  }),
  inputs: ["close"],
  make: ({ span, volatilityTarget }, { calendar, timeframe }) => {
    const decay = decayOfSpan(span);
    const scale = volatilityTarget / Math.sqrt(calendar.periodsPerYear(timeframe));
    return {
      family: "target",
      columns: [{ name: "target_vol_scaled_next_return", unit: "fraction", warmup: span + 1 }],
      inputs: ["close"],
      causality: "target",
      flopsPerBar: WINSORIZED_FLOPS + VOLATILITY_FLOPS + 4,
      stateLength: SIGMA + 1,
      start(state) { state.fill(0); state.fill(NaN, CLOSE); },
      update(bars, from, to, state, out, offset, stride) {
        const close = bars.columns.close!;
        for (let t = from, at = offset; t < to; t++, at += stride) {
          const earned = (close[t] / state[CLOSE] - 1) * scale;
          if (at >= stride) out[at - stride] = scaledBy(state[SIGMA], earned);
          out[at] = NaN;
          const price = winsorized(state, 0, close[t]);
          state[SIGMA] = volatility(state, WINSORIZED_LENGTH, span, decay, price);
          state[CLOSE] = close[t];
        }
      },
    };
  },
});
