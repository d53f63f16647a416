/**
 * Minute bars of an invented stock in regular US sessions, for the live demo.
 *
 *   variance and volume   a U over the session: busy at the open and the close, quiet at noon
 *   drift                 AR(1) over minutes, half-life DRIFT_HALF_LIFE
 *   holes                 nights gap; some minutes have no trade and therefore no row
 *
 * As in synthetic-daily.ts every minute draws the same count of numbers, from MINUTE_ORIGIN on.
 */
import { random } from "../../base/random.ts";
import { MS_PER_MINUTE, TRADING_DAYS_PER_YEAR } from "../../base/units.ts";
import type { Bars, ColumnName } from "../bars.ts";
import type { Session } from "../calendar.ts";
import { extreme } from "./synthetic-daily.ts";
import type { SyntheticInstrument } from "./synthetic-instruments.ts";

export const MINUTE_MODEL = 1;

/** Minutes. */
const DRIFT_HALF_LIFE = 45;
/** Standard deviation of the drift, in standard deviations of one minute's return. */
const DRIFT_DEVIATION = 0.08;
const NIGHT_SHARE = 0.2;
/** Chance of a minute without a trade at noon: half-spread in basis points times this. */
const SILENCE_PER_BPS = 0.01;
const SHARES_PER_MINUTE = 12_000;
const CENTS = 100;
const COLUMNS: readonly ColumnName[] =
  ["open", "high", "low", "close", "volume", "vwap", "trades"];

/** 1 at noon, about 4 at the open and the close; `position` in [0, 1] of the session. */
const busyness = (position: number): number => 1 + 3 * (2 * position - 1) ** 4;
/** Mean of busyness over a session: 1 + 3/5. */
const BUSYNESS_MEAN = 1.6;

/** Bars of sessions [first, end) of `sessions`, which start at the instrument's origin. */
export function minuteBars(who: SyntheticInstrument, seed: number, sessions: readonly Session[],
  first: number): Bars {
  const stream = random(seed, "synthetic", who.instrument.symbol, "minutes");
  const daily = who.volatilityAnnual / Math.sqrt(TRADING_DAYS_PER_YEAR);
  const decay = Math.exp(Math.log(0.5) / DRIFT_HALF_LIFE);
  const noise = DRIFT_DEVIATION * Math.sqrt(1 - decay ** 2);
  const wanted = sessions.slice(first);
  const rows = new Rows(wanted.reduce((sum, session) => sum + minutesOf(session), 0));
  const silence = SILENCE_PER_BPS * who.instrument.halfSpreadBps;
  let price = who.priceAtOrigin, drift = 0;
  for (const [s, session] of sessions.entries()) {
    const minutes = minutesOf(session);
    price *= Math.exp(daily * Math.sqrt(NIGHT_SHARE) * stream.normal());
    for (let m = 0; m < minutes; m++) {
      const busy = busyness((m + 0.5) / minutes);
      const deviation = daily * Math.sqrt(((1 - NIGHT_SHARE) * busy) / BUSYNESS_MEAN / minutes);
      drift = decay * drift + noise * stream.normal();
      const move = deviation * (drift + stream.normal()), start = price;
      const up = stream.uniform(), down = stream.uniform();
      const activity = stream.normal(), silent = stream.uniform();
      price = start * Math.exp(move);
      if (s < first || silent < silence / busy) continue;
      const high = start * Math.exp(extreme(move, deviation ** 2, up, 1));
      const low = start * Math.exp(extreme(move, deviation ** 2, down, -1));
      const shares = SHARES_PER_MINUTE * busy * Math.exp(0.6 * activity);
      rows.push(session.open + (m + 1) * MS_PER_MINUTE, [start, high, low, price],
        Math.ceil(shares / who.instrument.halfSpreadBps));
    }
  }
  return { instrument: who.instrument, kind: "bars", timeframe: "1m", ...rows.finish() };
}

const minutesOf = (session: Session): number =>
  Math.round((session.close - session.open) / MS_PER_MINUTE);
const cents = (price: number): number => Math.max(1, Math.round(price * CENTS)) / CENTS;

class Rows {
  readonly #time: Float64Array;
  readonly #columns: readonly Float64Array[];
  #count = 0;
  constructor(capacity: number) {
    this.#time = new Float64Array(capacity);
    this.#columns = COLUMNS.map(() => new Float64Array(capacity));
  }

  push(time: number, [open, high, low, close]: readonly number[], volume: number): void {
    const row = this.#count++;
    this.#time[row] = time;
    const values = [cents(open), cents(high), cents(low), cents(close), volume,
      cents((open + high + low + close) / 4), Math.ceil(volume / 90)];
    for (let k = 0; k < values.length; k++) this.#columns[k][row] = values[k];
  }

  finish(): Pick<Bars, "time" | "columns"> {
    const columns: Partial<Record<ColumnName, Float64Array>> = {};
    for (const [k, name] of COLUMNS.entries()) {
      columns[name] = this.#columns[k].slice(0, this.#count);
    }
    return { time: this.#time.slice(0, this.#count), columns };
  }
}
