/**
 * Momentum inputs: return over k bars in units of its own volatility, (p_t / p_{t-k} - 1) /
 * (sigma_t sqrt k), for each k. One feature covers all windows: they share the price, its
 * volatility and one ring of prices.
 *
 *   state  | winsorised price | volatility | head | ring of the last `longest` prices |
 */
import { z } from "zod";
import { decayOfSpan } from "./ewm.ts";
import { family, windowList } from "./family.ts";
import { spanParameter } from "./return-volatility.ts";
import { scaledBy, volatility, VOLATILITY_FLOPS, VOLATILITY_LENGTH, winsorized, WINSORIZED_FLOPS,
  WINSORIZED_LENGTH } from "./winsorize.ts";

const HEAD = WINSORIZED_LENGTH + VOLATILITY_LENGTH;
const RING = HEAD + 1;

export const normalizedReturn = family({
  summary: "return over each window, divided by volatility times the square root of the window",
  version: 1,
  parameters: z.strictObject({ windows: windowList(1, 21, 63, 126, 252), span: spanParameter }),
  inputs: ["close"],
  make: ({ windows, span }) => {
    const decay = decayOfSpan(span), longest = Math.max(...windows), count = windows.length;
    const roots = windows.map(Math.sqrt);
    return {
      family: "normalized_return",
      columns: windows.map((window) => ({
        name: `norm_${window}`, unit: "standard deviations", warmup: Math.max(window, span) + 1,
      })),
      inputs: ["close"],
      causality: "close",
      flopsPerBar: WINSORIZED_FLOPS + VOLATILITY_FLOPS + 4 * count,
      stateLength: RING + longest,
      start(state) { state.fill(0); state.fill(NaN, RING); },
      update(bars, from, to, state, out, offset, stride) {
        const close = bars.columns.close!;
        for (let t = from, at = offset; t < to; t++, at += stride) {
          const price = winsorized(state, 0, close[t]);
          const sigma = volatility(state, WINSORIZED_LENGTH, span, decay, price);
          const head = state[HEAD];
          for (let k = 0; k < count; k++) {
            const back = head - windows[k];
            const change = price / state[RING + (back < 0 ? back + longest : back)] - 1;
            out[at + k] = Number.isNaN(change) ? NaN : scaledBy(sigma * roots[k], change);
          }
          state[RING + head] = price;
          state[HEAD] = head + 1 === longest ? 0 : head + 1;
        }
      },
    };
  },
});
