/**
 * Bars and quotes that cannot be, told as they come: what market/price-checks.ts finds looking back over a
 * whole history has to be decided here on one row and the close before it.
 *
 *   impossible   not a number, zero, negative, high below low, close outside of them   left out
 *   a leap       x 1.8 or / 1.8 from the close before: a misplaced decimal, or a       held back until the
 *                split that nobody told                                                next bar tells which
 */
import { BAR_FIELDS } from "../message.ts";

const [OPEN, HIGH, LOW, CLOSE, VOLUME] = BAR_FIELDS.map((_, j) => j);
/** Log of the largest change from one bar to the next that is taken as it comes. */
const LEAP = Math.log(1.8);
/** A leap is confirmed by a next close within this (log). */
const NEAR = Math.log(1.2);
/** A price outside the range by less than this share is rounding. */
const SLACK = 1e-9;

/** Half a sentence that says what is impossible about a row of BAR_FIELDS, or null. */
export function impossible(rows: Float64Array, from: number): string | null {
  const close = rows[from + CLOSE], high = rows[from + HIGH], low = rows[from + LOW],
    volume = rows[from + VOLUME];
  for (let j = OPEN; j <= CLOSE; j++) {
    const value = rows[from + j];
    if (j === CLOSE ? !(value > 0 && value < Infinity) : value <= 0 || Math.abs(value) === Infinity) {
      return `${BAR_FIELDS[j]} ${value}`;
    }
  }
  if (volume < 0) return `volume ${volume}`;
  if (high < low) return `high ${high} below low ${low}`;
  const isOutside = close > high * (1 + SLACK) || close < low * (1 - SLACK);
  return isOutside ? `close ${close} outside ${low} .. ${high}` : null;
}

/** Did the price leap from a close to another? Unknown (NaN) closes are no reason. */
export const isLeap = (before: number, close: number): boolean => Math.abs(Math.log(close / before)) > LEAP;

/** Does a close say that a leap to `suspect` was real? */
export const confirms = (suspect: number, close: number): boolean =>
  Math.abs(Math.log(close / suspect)) < NEAR;

/** Half a sentence that says what is impossible about a quote (bid, bid size, ask, ask size), or null. */
export function impossibleQuote(quotes: Float64Array, from: number): string | null {
  const bid = quotes[from], ask = quotes[from + 2];
  if (!(bid >= 0 && ask >= 0 && bid < Infinity && ask < Infinity)) return `bid ${bid}, ask ${ask}`;
  if (bid === 0 && ask === 0) return "no side";
  return ask > 0 && bid > ask ? `bid ${bid} above ask ${ask}` : null;
}
