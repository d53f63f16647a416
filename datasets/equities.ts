import type { DatasetRecipe } from "../src/market/sources/source.ts";

/** Liquid US funds of the asset classes that a momentum portfolio wants: raw bars, actions apart. */
export const equities: DatasetRecipe = {
  description: "liquid US funds, daily, from Massive (needs a key)",
  source: "massive", timeframe: "1d", from: "2016-01-04",
  symbols: ["SPY", "QQQ", "IWM", "EFA", "EEM", "TLT", "IEF", "SHY", "LQD", "HYG", "GLD", "SLV",
    "USO", "DBA", "UUP", "FXE", "FXY", "VNQ"],
};
