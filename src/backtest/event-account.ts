/**
 * The account: cash, what is held, and what each instrument made. The one invariant, at every
 * event:
 *
 *     equity = cash + sum of quantity x mark = capital + sum of gain - sum of paid
 *
 * `mark` is the last price seen. `gain` is what price moves and dividends made; `paid` is fees,
 * slippage and the cost of holding. Money and quantities are float64; equity is summed afresh each
 * time, so nothing drifts.
 */
export class Account {
  cash: number;
  /** (N) signed units held. */
  readonly quantity: Float64Array;
  /** (N) last price. */
  readonly mark: Float64Array;
  /** (N) money made by price moves and dividends. */
  readonly gain: Float64Array;
  /** (N) money paid: fees, slippage, borrow, financing. */
  readonly paid: Float64Array;
  /** (N) money traded, at the marks of the moment. */
  readonly traded: Float64Array;
  dividends = 0;

  constructor(instruments: number, capital: number) {
    this.cash = capital;
    this.quantity = new Float64Array(instruments);
    this.mark = new Float64Array(instruments);
    this.gain = new Float64Array(instruments);
    this.paid = new Float64Array(instruments);
    this.traded = new Float64Array(instruments);
  }

  equity(): number {
    let equity = this.cash;
    const { quantity, mark } = this;
    for (let i = 0; i < quantity.length; i++) equity += quantity[i] * mark[i];
    return equity;
  }

  /** Sum of |quantity x mark|. */
  gross(): number {
    let gross = 0;
    for (let i = 0; i < this.quantity.length; i++) gross += Math.abs(this.quantity[i] * this.mark[i]);
    return gross;
  }

  /** A new price. */
  markTo(instrument: number, price: number): void {
    this.gain[instrument] += this.quantity[instrument] * (price - this.mark[instrument]);
    this.mark[instrument] = price;
  }

  /** Bought (or sold, `quantity` < 0) at `price`; its distance from the mark counts as paid. */
  fill(instrument: number, quantity: number, price: number, fee: number): void {
    this.cash -= quantity * price + fee;
    this.paid[instrument] += quantity * (price - this.mark[instrument]) + fee;
    this.traded[instrument] += Math.abs(quantity) * this.mark[instrument];
    this.quantity[instrument] += quantity;
  }

  /** Costs of holding. */
  charge(instrument: number, amount: number): void {
    this.cash -= amount;
    this.paid[instrument] += amount;
  }

  /**
   * `ratio` new shares for each old one. Whole shares only: the fraction left over is paid out at
   * the new price ("cash in lieu"; a short pays it). Returns that cash.
   */
  split(instrument: number, ratio: number, isFractional: boolean): number {
    this.mark[instrument] /= ratio;
    const quantity = this.quantity[instrument] * ratio;
    // 3 shares 1:3 must be one share, not 0.9999999999999999.
    const nearest = Math.round(quantity);
    const isWhole = Math.abs(quantity - nearest) <= Math.abs(nearest) * 1e-12;
    const kept = isFractional ? quantity : isWhole ? nearest : Math.trunc(quantity);
    const lieu = (quantity - kept) * this.mark[instrument];
    this.quantity[instrument] = kept;
    this.cash += lieu;
    return lieu;
  }

  /**
   * Cash per share to whoever is long, from whoever is short; the mark gives up as much, so equity
   * does not jump.
   */
  dividend(instrument: number, perShare: number): void {
    const amount = this.quantity[instrument] * perShare;
    this.cash += amount;
    this.dividends += amount;
    this.mark[instrument] -= perShare;
  }
}
