import type { DatasetRecipe } from "../src/market/sources/source.ts";

/**
 * Liquid US funds, one per asset class a momentum portfolio wants, raw daily bars with splits and
 * dividends.
 */
export const equities: DatasetRecipe = {
  description: "liquid US funds, daily, from Massive (needs a key)",
  source: "massive", timeframe: "1d", from: "2016-01-04",
  symbols: ["SPY", "QQQ", "IWM", "EFA", "EEM", "TLT", "IEF", "SHY", "LQD", "HYG", "GLD", "SLV",
    "USO", "DBA", "UUP", "FXE",
    "FXY", "VNQ"],
};
