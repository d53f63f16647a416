import type { DatasetRecipe } from "../src/market/sources/source.ts";

/** Minutes of four invented stocks over 21 sessions, for the live demo. */
export const syntheticIntraday: DatasetRecipe = {
  description: "invented minute bars, 4 stocks x 21 sessions",
  source: "synthetic", timeframe: "1m", from: "2019-12-02", to: "2019-12-31", seed: 17,
};
