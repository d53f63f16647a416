/**
 * The classical strategies' positions as columns, so that a network can be compared with them row
 * by row. Time series momentum: Moskowitz, Ooi, Pedersen (2012); MACD: the mean over speeds of
 * phi(signal), with phi(y) = y exp(-y^2/4) / 0.89, which gives back a position when a trend is
 * stretched (Baz et al., 2015).
 */
import { z } from "zod";
import { family } from "./family.ts";
import { macdFlops, macdSignals, macdSpace, macdStateLength, MACD_WARMUP, speedsParameter } from
  "./macd-signal.ts";
import { BLOCK } from "./rolling.ts";
import { winsorized, WINSORIZED_FLOPS, WINSORIZED_LENGTH } from "./winsorize.ts";

const HEAD = WINSORIZED_LENGTH;
const RING = HEAD + 1;

export const positionTsmom = family({
  summary: "sign of the return over a window",
  version: 1,
  parameters: z.strictObject({ window: z.int().min(1).max(10_000).default(252).describe("bars") }),
  inputs: ["close"],
  make: ({ window }) => ({
    family: "position_tsmom",
    columns: [
      { name: window === 252 ? "pos_tsmom" : `pos_tsmom_${window}`, unit: "position", warmup: window + 1 },
    ],
    inputs: ["close"],
    causality: "close",
    flopsPerBar: WINSORIZED_FLOPS + 2,
    stateLength: RING + window,
    start(state) { state.fill(0); state.fill(NaN, RING); },
    update(bars, from, to, state, out, offset, stride) {
      const close = bars.columns.close!;
      for (let t = from, at = offset; t < to; t++, at += stride) {
        const price = winsorized(state, 0, close[t]);
        const head = RING + state[HEAD];
        out[at] = Math.sign(price / state[head] - 1);
        state[head] = price;
        state[HEAD] = head + 1 === RING + window ? 0 : head + 1 - RING;
      }
    },
  }),
});

export const phi = (y: number): number => y * Math.exp(-y * y / 4) / 0.89;

export const positionMacd = family({
  summary: "mean over the speeds of phi(macd signal)",
  version: 1,
  parameters: z.strictObject({ speeds: speedsParameter }),
  inputs: ["close"],
  make: ({ speeds }) => {
    const space = macdSpace(speeds);
    return {
      family: "position_macd",
      columns: [{ name: "pos_macd", unit: "position", warmup: MACD_WARMUP }],
      inputs: ["close"],
      causality: "close",
      flopsPerBar: macdFlops(speeds) + 12 * speeds.length,
      stateLength: macdStateLength(speeds),
      start(state) { state.fill(0); },
      update(bars, from, to, state, out, offset, stride) {
        const close = bars.columns.close!;
        for (let start = from; start < to; start += BLOCK) {
          const n = Math.min(BLOCK, to - start);
          macdSignals(state, speeds, close, start, n, space);
          for (let i = 0, at = offset + (start - from) * stride; i < n; i++, at += stride) {
            let sum = 0;
            for (let k = 0; k < speeds.length; k++) sum += phi(space.signals[k][i]);
            out[at] = sum / speeds.length;
          }
        }
      },
    };
  },
});
