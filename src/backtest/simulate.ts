/**
 * Weights and returns -> what was earned and paid, per date and per instrument.
 *
 *     weight w_t decided at the close of row t earns close[t+1+lag] / close[t+lag] - 1, booked on t's date
 *     trade |w_t - w_(t-1)| over the instrument's own rows; where features fail the weight is 0
 *     portfolio(d) = sum over instruments / N,  N = instruments decided on at least once in the window
 *
 * The weight is held constant over the period and its drift is not charged (that is the event engine's
 * business). When an instrument's rows end, its last position is worth its last close and no trade
 * leaves it.
 */
import { BPS } from "../base/units.ts";
import { holdingCost, tradingRate } from "../strategy/costs.ts";
import type { Alignment } from "./align.ts";
import type { BacktestSettings, InstrumentInput } from "./input.ts";

/** Dates [from, to) of one stretch. Stretches between the windows are lived through but not reported. */
export interface Stretch {
  readonly from: number;
  readonly to: number;
  readonly isReported: boolean;
  /** Positions held before it are carried in; else it starts with none. */
  readonly isCarried: boolean;
  /** N: instruments decided on in it. */
  readonly instruments: number;
}

/** (D) each, already divided by N. */
export interface Book {
  readonly gross: Float64Array;
  /** Everything paid: trading, borrowing, financing. */
  readonly cost: Float64Array;
  readonly turnover: Float64Array;
  readonly grossExposure: Float64Array;
  readonly netExposure: Float64Array;
  readonly active: Float64Array;
}

/**
 * One instrument's part, as it is handed out: own rows of one reported stretch. Arrays are
 * reused: copy to keep.
 */
export interface Part {
  readonly instrument: number;
  readonly stretch: Stretch;
  /** Date index of each entry. */
  readonly date: Int32Array;
  /** Weight x return minus trading and borrowing, not divided by N. */
  readonly net: Float64Array;
  readonly turnover: Float64Array;
}

/** Sums the book of one set of weights. `visit` is told each instrument's part of each reported stretch. */
export function simulate(instruments: readonly InstrumentInput[], weights: readonly Float64Array[],
  alignment: Alignment, stretches: readonly Stretch[], settings: BacktestSettings,
  visit?: (part: Part) => void): Book {
  const D = alignment.time.length;
  const zeros = (): Float64Array => new Float64Array(D);
  const book: Book = { gross: zeros(), cost: zeros(), turnover: zeros(), grossExposure: zeros(),
    netExposure: zeros(), active: zeros() };
  // Holding is paid for on an instrument's own rows; exposure is there on every date between them, too.
  const short = zeros(), long = zeros();
  const longest = Math.max(0, ...instruments.map((one) => one.features.time.length));
  const date = new Int32Array(longest), net = new Float64Array(longest), turnover = new Float64Array(longest);
  for (let i = 0; i < instruments.length; i++) {
    const close = instruments[i].adjustedClose, dateOf = alignment.dateOf[i],
      eligible = alignment.eligible[i];
    const weight = weights[i], lag = settings.lag;
    const rate = tradingRate(settings.costs, instruments[i].instrument.halfSpreadBps);
    const borrow = settings.costs.borrowBps * BPS / settings.periodsPerYear;
    const last = dateOf.length - 1 - lag;
    let row = 0, held = 0;
    for (const stretch of stretches) {
      if (!stretch.isCarried) held = 0;
      let n = 0, next = stretch.from;
      for (; row < last && dateOf[row] < stretch.to; row++) {
        const d = dateOf[row];
        if (d < stretch.from) continue;
        const w = weight[row], change = Math.abs(w - held);
        if (w === 0 && change === 0 && eligible[row] === 0) continue;
        expose(book, held, next, d);
        expose(book, w, d, next = d + 1);
        const earned = eligible[row] === 1 ? w * (close[row + 1 + lag] / close[row + lag] - 1) : 0;
        const paid = rate * change;
        held = w;
        book.gross[d] += earned;
        book.cost[d] += paid;
        book.turnover[d] += change;
        if (w < 0) short[d] -= w; else long[d] += w;
        date[n] = d;
        net[n] = earned - paid - (w < 0 ? -w * borrow : 0);
        turnover[n++] = change;
      }
      if (visit && n > 0 && stretch.isReported) {
        visit({ instrument: i, stretch, date: date.subarray(0, n), net: net.subarray(0, n),
          turnover: turnover.subarray(0, n) });
      }
    }
  }
  for (const stretch of stretches) share(book, short, long, stretch, settings);
  return book;
}

/** Weight `held` on dates [from, to). */
function expose(book: Book, held: number, from: number, to: number): void {
  if (held === 0) return;
  for (let d = from; d < to; d++) {
    book.grossExposure[d] += Math.abs(held);
    book.netExposure[d] += held;
    book.active[d]++;
  }
}

/** From sums to shares of equity, then the cost of holding. */
function share(book: Book, short: Float64Array, long: Float64Array, stretch: Stretch,
  settings: BacktestSettings): void {
  const N = stretch.instruments;
  for (let d = stretch.from; d < stretch.to; d++) {
    book.gross[d] /= N;
    book.turnover[d] /= N;
    book.grossExposure[d] /= N;
    book.netExposure[d] /= N;
    book.cost[d] = book.cost[d] / N
      + holdingCost(short[d] / N, (short[d] + long[d]) / N, 1, settings.costs, settings.periodsPerYear);
  }
}
