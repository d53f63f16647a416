/**
 * Our own books: what we hold, what it cost, what it earned. Kept from fills between two looks at the
 * broker, who is right about holdings.
 */
import { roundUnits } from "./quantity.ts";

export interface Books {
  /** (N) signed units. */
  readonly units: Float64Array;
  /** (N) average price of what is held; 0 when flat. */
  readonly averagePrice: Float64Array;
  cash: number;
  /** Profit of what was closed, before fees. */
  realised: number;
  fees: number;
}

export const openBooks = (count: number): Books => ({
  units: new Float64Array(count), averagePrice: new Float64Array(count), cash: 0, realised: 0, fees: 0,
});

/** Books one fill of signed `quantity`. */
export function bookFill(books: Books, instrument: number, quantity: number, price: number,
  fee: number): void {
  const held = books.units[instrument], average = books.averagePrice[instrument];
  const after = roundUnits(held + quantity);
  books.cash -= quantity * price + fee;
  books.fees += fee;
  if (held === 0 || held > 0 === quantity > 0) {
    const cost = average * Math.abs(held) + price * Math.abs(quantity);
    books.averagePrice[instrument] = cost / Math.abs(after);
  } else {
    const closed = Math.sign(held) * Math.min(Math.abs(held), Math.abs(quantity));
    books.realised += closed * (price - average);
    if (after === 0) books.averagePrice[instrument] = 0;
    else if (after > 0 !== held > 0) books.averagePrice[instrument] = price;
  }
  books.units[instrument] = after;
}

/** Equity at these prices; an instrument without a price counts at what it cost. */
export function equityOf(books: Books, prices: Float64Array): number {
  let equity = books.cash;
  for (let i = 0; i < prices.length; i++) {
    if (books.units[i] === 0) continue;
    equity += books.units[i] * (prices[i] > 0 ? prices[i] : books.averagePrice[i]);
  }
  return equity;
}
