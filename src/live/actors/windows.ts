/**
 * The newest feature rows of one instrument, in order of time, corrected when a row comes again.
 *
 *   rows   [ t-9 t-8 ... t-1 t | free ]      a new row is appended; when the space is full, the newest rows
 *   run    [  0   1  ...  8  9 |      ]      that are kept move to its start (amortised: no allocation)
 *
 * `run` counts complete rows (no NaN in the columns that matter) up to each row: a window of T rows may be
 * decided on where run >= T, which is the backtest's rule (backtest/input.ts).
 */
import { assert } from "../../base/assert.ts";
import { UserError } from "../../base/error.ts";
import { MIXTURE_FEATURES } from "../../strategy/combine.ts";
import type { Strategy } from "../../strategy/strategy.ts";
import { BAR_FLAGS, type FeaturesFact } from "../message.ts";

/** Rows beyond the longest window, so that late and revised rows still find their place. */
const SLACK = 64;

/** Which rows may be decided on: those columns complete over so many rows. */
export interface Eligibility {
  readonly features: readonly string[];
  readonly lookback: number;
}

/**
 * What all members together need: live then decides on exactly the rows that the backtest of their ensemble
 * decides on. An adaptive mixture also reads what a bar earned, and the row before it.
 */
export function eligibilityOf(members: readonly Pick<Strategy, "features" | "lookback">[],
  isAdaptive: boolean): Eligibility {
  return {
    features: [...new Set([...members.flatMap(({ features }) => features),
      ...(isAdaptive ? Object.values(MIXTURE_FEATURES) : [])])],
    lookback: Math.max(isAdaptive ? 2 : 1, ...members.map(({ lookback }) => lookback)),
  };
}

/** Where columns stand in rows of these names. UserError, naming `who`, when one is not there. */
export function columnsIn(names: readonly string[], wanted: readonly string[], who: string): Int32Array {
  return Int32Array.from(wanted, (name) => {
    const at = names.indexOf(name);
    if (at >= 0) return at;
    throw new UserError(`${who} reads the feature "${name}", which the session's recipe does not make`,
      "start the session with the recipe that it was trained on: dmn live --recipe NAME");
  });
}

/** Place of an instrument in an ascending list; -1 when it is not in it. */
export function placeOf(instrument: Int32Array, wanted: number): number {
  let low = 0, high = instrument.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (instrument[middle] < wanted) low = middle + 1; else high = middle;
  }
  return instrument[low] === wanted ? low : -1;
}

/**
 * Takes the rows of a message into the windows (N) of their instruments. Those that are new at its close go
 * to `fresh`, once each: `freshAt` (N) holds the last such close. Null: it is not decided on any more.
 */
export function takeRows({ at, instrument, rows, flags }: FeaturesFact, windows: readonly WindowRows[],
  freshAt: Float64Array, fresh: number[] | null): void {
  for (let k = 0; k < instrument.length; k++) {
    const i = instrument[k];
    windows[i].take(at, rows, k);
    if (fresh === null || flags[k] !== BAR_FLAGS.fresh || freshAt[i] === at) continue;
    freshAt[i] = at;
    fresh.push(i);
  }
}

export class WindowRows {
  /** Rows that are kept at least. */
  readonly kept: number;
  readonly #width: number;
  readonly #needed: Int32Array;
  readonly #space: number;
  readonly #rows: Float32Array;
  readonly #time: Float64Array;
  readonly #run: Int32Array;
  #count = 0;

  /** `needed`: columns that must not be NaN. `longest`: rows of the longest window asked for. */
  constructor(width: number, needed: Int32Array, longest: number) {
    this.kept = longest + SLACK;
    this.#width = width;
    this.#needed = needed;
    this.#space = this.kept + Math.max(SLACK, longest >> 1);
    this.#rows = new Float32Array(this.#space * width);
    this.#time = new Float64Array(this.#space);
    this.#run = new Int32Array(this.#space);
  }

  /** Close of the newest row; -Infinity before the first. */
  get time(): number { return this.#count === 0 ? -Infinity : this.#time[this.#count - 1]; }

  /** Takes in a row: appended, put in its place, or (older than all that is kept) left out. */
  take(at: number, rows: Float32Array, row: number): void {
    if (this.#count === this.#space) this.#compact();
    let place = this.#count;
    while (place > 0 && this.#time[place - 1] > at) place--;
    const isKnown = place > 0 && this.#time[place - 1] === at;
    if (isKnown) place--;
    else if (place < this.#count) {
      if (place === 0) return;
      this.#move(place, place + 1, this.#count - place);
      this.#count++;
    } else this.#count++;
    const from = row * this.#width;
    this.#rows.set(rows.subarray(from, from + this.#width), place * this.#width);
    this.#time[place] = at;
    for (let k = place; k < this.#count; k++) {
      this.#run[k] = this.#isWhole(k) ? 1 + (k > 0 ? this.#run[k - 1] : 0) : 0;
    }
  }

  /** Complete rows up to the one of this close; 0 when there is none of that close. */
  runAt(at: number): number {
    const place = this.#find(at);
    return place < 0 ? 0 : this.#run[place];
  }

  /** One number of the row of this close (back 0) or `back` rows before it; NaN when it is not there. */
  valueAt(at: number, back: number, column: number): number {
    const place = this.#find(at);
    return place < back ? NaN : this.#rows[(place - back) * this.#width + column];
  }

  /** Writes the `lookback` rows up to a close, these columns, to out[to...]. */
  copy(at: number, lookback: number, columns: Int32Array, out: Float32Array, to: number): void {
    const last = this.#find(at);
    assert(last >= lookback - 1, "a window is cut where its rows are");
    const rows = this.#rows, width = this.#width, F = columns.length;
    let into = to;
    for (let from = (last - lookback + 1) * width; from <= last * width; from += width) {
      for (let f = 0; f < F; f++) out[into++] = rows[from + columns[f]];
    }
  }

  #find(at: number): number {
    for (let place = this.#count - 1; place >= 0 && this.#time[place] >= at; place--) {
      if (this.#time[place] === at) return place;
    }
    return -1;
  }

  #isWhole(k: number): boolean {
    const needed = this.#needed, from = k * this.#width;
    for (let j = 0; j < needed.length; j++) if (Number.isNaN(this.#rows[from + needed[j]])) return false;
    return true;
  }

  #compact(): void {
    this.#move(this.#count - this.kept, 0, this.kept);
    this.#count = this.kept;
  }

  #move(from: number, to: number, rows: number): void {
    const width = this.#width;
    this.#rows.copyWithin(to * width, from * width, (from + rows) * width);
    this.#time.copyWithin(to, from, from + rows);
    this.#run.copyWithin(to, from, from + rows);
  }
}
