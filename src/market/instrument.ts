/** What is traded. */
export const ASSET_CLASSES = ["equity", "bond", "rate", "fx", "commodity", "energy", "metal", "agriculture",
  "volatility", "crypto", "other"] as const;
export type AssetClass = (typeof ASSET_CLASSES)[number];

export interface Instrument {
  readonly symbol: string;
  readonly assetClass: AssetClass;
  /** ISO 4217. */
  readonly currency: string;
  /** Half of the usual quoted spread in basis points of the price; NaN when unknown. */
  readonly halfSpreadBps: number;
  readonly description: string;
}

export function instrument(symbol: string, facts: Partial<Omit<Instrument, "symbol">> = {}): Instrument {
  return { symbol, assetClass: "other", currency: "USD", halfSpreadBps: NaN, description: "", ...facts };
}
