/** Data of one frame of a stream, in columns: what dialects write into and the feed's actor is told. */
import { BAR_FIELDS, type NoticeFact } from "../message.ts";
import type { FeedOutcome, Heard } from "./feed.ts";

const WIDTH = BAR_FIELDS.length;

export interface FrameShape {
  /** Symbol -> index in the session; others are not ours. */
  readonly indexOf: ReadonlyMap<string, number>;
  /** From a bar's stamp, its start, to its close. */
  readonly closeOf: (start: number) => number;
  /** All bars of a close come in one frame. */
  readonly isWhole: boolean;
}

interface Rows { readonly time: number[]; readonly instrument: number[]; readonly bars: number[] }
const noRows = (): Rows => ({ time: [], instrument: [], bars: [] });

export class Frame {
  readonly #shape: FrameShape;
  readonly #fresh = noRows();
  readonly #revised = noRows();
  readonly #quotes = { instrument: [] as number[], values: [] as number[], at: -Infinity };
  readonly #notices: NoticeFact[] = [];

  constructor(shape: FrameShape) { this.#shape = shape; }

  /** Bars, quotes and notices. */
  get size(): number {
    return this.#fresh.time.length + this.#revised.time.length + this.#quotes.instrument.length
      + this.#notices.length;
  }

  /** `values`: as BAR_FIELDS, NaN where there is none. */
  bar(isRevised: boolean, symbol: unknown, start: number, values: readonly number[]): void {
    const i = this.#shape.indexOf.get(String(symbol));
    if (i === undefined || Number.isNaN(start)) return;
    const rows = isRevised ? this.#revised : this.#fresh;
    rows.time.push(this.#shape.closeOf(start));
    rows.instrument.push(i);
    for (let j = 0; j < WIDTH; j++) rows.bars.push(values[j]);
  }

  /** Bid, bid size, ask, ask size. */
  quote(symbol: unknown, at: number, values: readonly number[]): void {
    const i = this.#shape.indexOf.get(String(symbol));
    if (i === undefined || Number.isNaN(at)) return;
    this.#quotes.instrument.push(i);
    this.#quotes.values.push(...values);
    this.#quotes.at = Math.max(this.#quotes.at, at);
  }

  notice(what: NoticeFact["what"], symbol: unknown, at: number, value = 0): void {
    const instrument = this.#shape.indexOf.get(String(symbol));
    if (instrument === undefined || Number.isNaN(at)) return;
    this.#notices.push({ kind: "notice", at, instrument, what, value });
  }

  /** Corrections first: what is decided on the bars of this frame knows them. */
  outcomes(): FeedOutcome[] {
    const out: FeedOutcome[] = this.#notices.map((notice) => ({ kind: "noticed", notice }));
    const { instrument, values, at } = this.#quotes;
    if (this.#revised.time.length > 0) out.push(this.#heard("revised", this.#revised, false));
    if (this.#fresh.time.length > 0) out.push(this.#heard("fresh", this.#fresh, this.#shape.isWhole));
    if (instrument.length > 0) {
      out.push({ kind: "quoted", at, instrument: Int32Array.from(instrument),
        quotes: Float64Array.from(values) });
    }
    return out;
  }

  /** Newest close of its bars; -Infinity without. */
  get newest(): number { return this.#fresh.time.reduce((a, b) => Math.max(a, b), -Infinity); }

  #heard(how: Heard["how"], { time, instrument, bars }: Rows, isWhole: boolean): Heard {
    return { kind: "heard", how, isWhole, time: Float64Array.from(time),
      instrument: Int32Array.from(instrument),
      bars: Float64Array.from(bars) };
  }
}
