/**
 * Orders meet a bar: size, gates, slippage, partial fills, fee; and the tape of what happened.
 *
 *     order --gate--> refused
 *        \--cap by volume--> fill at price x (1 + slippage against us), fee --> account
 *
 * An order lives for one bar: what the cap leaves unfilled is **cancelled**, because the next
 * decision asks anew for whatever is still wanted. Quantities are float64; whole shares are rounded
 * towards zero, so an order never exceeds what was asked for.
 */
import { BPS } from "../base/units.ts";
import { percentageFee } from "../strategy/costs.ts";
import { gateOrder, type RiskLimits } from "../strategy/risk.ts";
import type { Account } from "./event-account.ts";

export interface Execution {
  /** (N) fee as a fraction of the notional: costs.tradingRate. */
  readonly rate: Float64Array;
  readonly slippageBps: number;
  /** Largest share of the bar's volume one order may fill; a bar without volume fills all. */
  readonly participationMax: number;
  readonly isFractional: boolean;
  /** Order-level gates; null: none. */
  readonly gates: RiskLimits | null;
}

/**
 * Fields of one row of the tape, in order. `order` numbers from 1; a fill of 0 is an order that got
 * nothing.
 */
export const TAPE_FIELDS =
  ["order", "timeMs", "instrument", "ordered", "filled", "price", "fee"] as const;

/**
 * What happened, as rows of numbers. Counts always; keeps rows only when asked, since there may be
 * millions.
 */
export class Tape {
  orders = 0;
  fills = 0;
  partial = 0;
  refused = 0;
  readonly #keeps: boolean;
  #rows = new Float64Array(0);
  #length = 0;

  constructor(keeps = false) { this.#keeps = keeps; }

  add(timeMs: number, instrument: number, ordered: number, filled: number, price: number,
    fee: number): void {
    const order = ++this.orders;
    if (!this.#keeps) return;
    const width = TAPE_FIELDS.length, at = this.#length * width;
    if (at === this.#rows.length) {
      const wider = new Float64Array(Math.max(64 * width, at * 2));
      wider.set(this.#rows);
      this.#rows = wider;
    }
    this.#rows.set([order, timeMs, instrument, ordered, filled, price, fee], at);
    this.#length++;
  }

  /** (orders, TAPE_FIELDS.length) row major. */
  rows(): Float64Array { return this.#rows.subarray(0, this.#length * TAPE_FIELDS.length); }
}

/**
 * Executes one order of a signed `quantity` against a bar; returns what was filled. `reference`:
 * price before the bar.
 */
export function execute(account: Account, tape: Tape, terms: Execution, timeMs: number,
  instrument: number, quantity: number, price: number, volume: number, reference: number): number {
  const side = quantity > 0 ? 1 : -1;
  if (terms.gates !== null) {
    const lastPrice = reference > 0 ? reference : price;
    const market = { lastPrice, lastTimeMs: timeMs, nowMs: timeMs, isHalted: false };
    if (gateOrder({ quantity, price }, market, terms.gates) !== null) {
      tape.add(timeMs, instrument, quantity, 0, price, 0);
      tape.refused++;
      return 0;
    }
  }
  let filled = quantity;
  const most = terms.participationMax * volume;
  // NaN (no volume known, or 0 x Infinity) compares false: all is filled.
  if (Math.abs(quantity) > most) {
    filled = side * (terms.isFractional ? most : Math.floor(most));
    tape.partial++;
  }
  if (filled === 0) { tape.add(timeMs, instrument, quantity, 0, price, 0); return 0; }
  const paidPrice = price * (1 + side * terms.slippageBps * BPS);
  const fee = percentageFee(filled, paidPrice, terms.rate[instrument]);
  account.fill(instrument, filled, paidPrice, fee);
  tape.fills++;
  tape.add(timeMs, instrument, quantity, filled, paidPrice, fee);
  return filled;
}
