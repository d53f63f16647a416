import type { DatasetRecipe } from "../src/market/sources/source.ts";

/**
 * Continuous futures from a file of yours: `date,symbol,close` and, where you have them,
 * `return,price,panama,roll`. Asset classes, currencies and spreads come from NAME.meta.json beside
 * it.
 */
export const futures: DatasetRecipe = {
  description: "your file of continuous futures, daily",
  source: "csv", timeframe: "1d", calendar: "24x5",
};
