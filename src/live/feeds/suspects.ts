/** Bars that may be wrong, held back until the next bar of their instrument tells (bad-bar.ts). */
import { BAR_FIELDS } from "../message.ts";
import { WIDTH } from "./bar-store.ts";
import { confirms, impossible, isLeap } from "./bad-bar.ts";

const CLOSE = BAR_FIELDS.indexOf("close");

export interface Verdict {
  readonly isGood: boolean;
  /** A bar that was held back and is now confirmed: it comes before this one. */
  readonly before: { readonly at: number; readonly row: Float64Array } | null;
  readonly alert: string | null;
}
const GOOD: Verdict = { isGood: true, before: null, alert: null };

export class Suspects {
  readonly #symbols: readonly string[];
  readonly #held = new Map<number, { readonly at: number; readonly row: Float64Array }>();

  constructor(symbols: readonly string[]) { this.#symbols = symbols; }

  /** `last`: the close before it; NaN for a revision of an older bar: only the impossible counts. */
  judge(instrument: number, at: number, rows: Float64Array, from: number, last: number): Verdict {
    const problem = impossible(rows, from), symbol = this.#symbols[instrument], close = rows[from + CLOSE];
    if (problem !== null) {
      return { isGood: false, before: null, alert: `a bar of ${symbol} with ${problem} was left out` };
    }
    const held = this.#held.get(instrument);
    // The vendor has corrected it: what it said first is nothing that a later bar could confirm.
    if (held?.at === at) this.#held.delete(instrument);
    if (Number.isNaN(last)) return GOOD;
    if (held !== undefined && held.at < at) {
      this.#held.delete(instrument);
      if (confirms(held.row[CLOSE], close)) return { isGood: true, before: held, alert: null };
    }
    if (!isLeap(last, close)) return GOOD;
    this.#held.set(instrument, { at, row: rows.slice(from, from + WIDTH) });
    return { isGood: false, before: null,
      alert: `${symbol} leapt from ${last} to ${close}: held back until the next bar confirms it` };
  }
}
