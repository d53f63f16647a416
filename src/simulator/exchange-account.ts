/**
 * The account at the exchange: cash, what is held, what it is worth. Flat arrays by instrument, in the order
 * of listing, so that equity is the same sum as in the backtest:
 *
 *     equity = cash + sum of quantity x mark
 */
export interface ExchangeAccountState {
  readonly cash: number;
  readonly equity: number;
  readonly longValue: number;
  /** <= 0 */
  readonly shortValue: number;
  /** What open orders keep. */
  readonly reserved: number;
  readonly buyingPower: number;
  readonly maintenanceMargin: number;
  readonly isTradingBlocked: boolean;
  readonly isMarginCalled: boolean;
}

export interface ExchangePosition {
  readonly symbol: string;
  /** Signed. */
  readonly quantity: number;
  /** Of it, shares that no open order has promised away (unsigned). */
  readonly available: number;
  readonly averagePrice: number;
  readonly mark: number;
}

export class ExchangeAccount {
  cash: number;
  /** (N) signed units. */
  readonly quantity: Float64Array;
  /** (N) last price. */
  readonly mark: Float64Array;
  /** (N) price paid on average for what is held. */
  readonly entry: Float64Array;
  /** Quantities are kept to this many parts of a unit; Infinity: as they come. */
  readonly #parts: number;

  constructor(instruments: number, capital: number, quantityDecimals: number) {
    this.cash = capital;
    this.quantity = new Float64Array(instruments);
    this.mark = new Float64Array(instruments);
    this.entry = new Float64Array(instruments);
    this.#parts = 10 ** quantityDecimals;
  }

  equity(): number {
    let equity = this.cash;
    for (let i = 0; i < this.quantity.length; i++) equity += this.quantity[i] * this.mark[i];
    return equity;
  }

  /** Value of what is held long (+1) or short (-1), signed. */
  value(side: 1 | -1): number {
    let value = 0;
    for (let i = 0; i < this.quantity.length; i++) {
      if (this.quantity[i] * side > 0) value += this.quantity[i] * this.mark[i];
    }
    return value;
  }

  /** Bought, or sold (`quantity` < 0). */
  fill(instrument: number, quantity: number, price: number, fee: number): void {
    const before = this.quantity[instrument], after = this.#kept(before + quantity);
    this.cash -= quantity * price + fee;
    if (before * after <= 0) this.entry[instrument] = price;
    else if (before * quantity > 0) {
      this.entry[instrument] = (before * this.entry[instrument] + quantity * price) / (before + quantity);
    }
    this.quantity[instrument] = after;
    if (after === 0) this.entry[instrument] = 0;
  }

  /** `ratio` new shares for each old one; where fractions cannot be held, they are paid out. */
  split(instrument: number, ratio: number, isFractionable: boolean): void {
    const quantity = this.#kept(this.quantity[instrument] * ratio);
    this.mark[instrument] /= ratio;
    this.entry[instrument] /= ratio;
    const kept = isFractionable ? quantity : Math.trunc(quantity + Math.sign(quantity) * 1e-9);
    this.cash += (quantity - kept) * this.mark[instrument];
    this.quantity[instrument] = kept;
  }

  /** Cash per share, from whoever is short. */
  dividend(instrument: number, perShare: number): void { this.cash += this.quantity[instrument] * perShare; }

  #kept(quantity: number): number {
    return Number.isFinite(this.#parts) ? Math.round(quantity * this.#parts) / this.#parts : quantity;
  }
}
