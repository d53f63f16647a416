import type { DatasetRecipe } from "../src/market/sources/source.ts";

/** Thirty years of 28 invented futures: what `npm start` runs on. */
export const synthetic: DatasetRecipe = {
  description: "invented daily futures, 28 instruments x 30 years",
  source: "synthetic", timeframe: "1d", from: "1990-01-01", to: "2019-12-31", seed: 17,
};
