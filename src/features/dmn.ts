/**
 * The families of the `dmn` recipe: Lim, Zohren, Roberts, "Enhancing time series momentum
 * strategies using deep neural networks" (2019), section 3, as pinned down by the research
 * protocol: every number is known at the close of its row.
 */
import type { Family } from "./family.ts";
import { macdSignal } from "./macd-signal.ts";
import { normalizedReturn } from "./normalized-return.ts";
import { positionMacd, positionTsmom } from "./positions.ts";
import { barReturn, barVolatility } from "./return-volatility.ts";
import { target } from "./target.ts";

export const DMN_FAMILIES = {
  return: barReturn,
  volatility: barVolatility,
  target,
  normalized_return: normalizedReturn,
  macd_signal: macdSignal,
  position_tsmom: positionTsmom,
  position_macd: positionMacd,
} satisfies Record<string, Family>;
