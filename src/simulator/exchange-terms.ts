/**
 * Under which terms the exchange trades. REALISTIC is an ordinary broker on an ordinary day; FRICTIONLESS is
 * what a backtest without costs assumes, so that the two can be compared to the bit.
 */
export interface Terms {
  /**
   * From a request to its effect (new, cancel, replace); `latencyJitterMs` more at most, uniform, by seed.
   */
  readonly latencyMs: number;
  readonly latencyJitterMs: number;
  /** Largest share of a bar's (or tick's) volume that all orders together may take. Infinity: no limit. */
  readonly participationMax: number;
  /** Half of the spread where only bars are known, basis points. */
  readonly halfSpreadBps: number;
  /** What a market order pays beyond the quote, basis points. */
  readonly slippageBps: number;
  /** Fee on the money traded, basis points. */
  readonly feeBps: number;
  /** Shares ahead of a limit order that joins its price: share of the last volume or displayed size. */
  readonly queueAheadShare: number;
  /** Share of a bar's volume that trades at its very low or high. */
  readonly touchShare: number;
  /** Buying power = leverage x equity - what is held and ordered. Infinity: unlimited. */
  readonly leverage: number;
  /** "last": a market order meets the last price at once. "next-open", "next-close": it waits for a bar. */
  readonly marketFillsAt: "last" | "next-open" | "next-close";
  readonly isAlwaysOpen: boolean;
  /** One order may turn long into short; fractions may be sold short. */
  readonly isFlipAllowed: boolean;
  readonly isWashRefused: boolean;
  /** Of a quantity; Infinity: unlimited. */
  readonly quantityDecimals: number;
  /** Limit prices of 1 and more are in cents, below in hundredths of a cent. */
  readonly isTickChecked: boolean;
}

export const FRICTIONLESS: Terms = {
  latencyMs: 0, latencyJitterMs: 0, participationMax: Infinity, halfSpreadBps: 0, slippageBps: 0, feeBps: 0,
  queueAheadShare: 0, touchShare: 1, leverage: Infinity, marketFillsAt: "last", isAlwaysOpen: true,
  isFlipAllowed: true, isWashRefused: false, quantityDecimals: Infinity, isTickChecked: false,
};

export const REALISTIC: Terms = {
  latencyMs: 15, latencyJitterMs: 20, participationMax: 0.1, halfSpreadBps: 1, slippageBps: 0.5, feeBps: 0,
  queueAheadShare: 0.05, touchShare: 0.2, leverage: 2, marketFillsAt: "last", isAlwaysOpen: false,
  isFlipAllowed: false, isWashRefused: true, quantityDecimals: 9, isTickChecked: true,
};
