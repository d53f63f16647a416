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
  /** Its bars are shorter than the session's: parts of them. */
  readonly isPart?: boolean;
}

interface Rows { readonly time: number[]; readonly instrument: number[]; readonly bars: number[] }
const noRows = (): Rows => ({ time: [], instrument: [], bars: [] });

export class Frame {
  /** Monotonic ns at which its bytes had come; 0 unknown. */
  originNs = 0;
  readonly #shape: FrameShape;
  readonly #fresh = noRows();
  readonly #revised = noRows();
  readonly #parts = noRows();
  readonly #quotes = { instrument: [] as number[], values: [] as number[], at: -Infinity };
  readonly #notices: NoticeFact[] = [];

  constructor(shape: FrameShape) { this.#shape = shape; }

  /** Bars, quotes and notices. */
  get size(): number {
    return this.#fresh.time.length + this.#revised.time.length + this.#quotes.instrument.length
      + this.#notices.length + this.#parts.time.length;
  }

  /** `values`: as BAR_FIELDS, NaN where there is none. */
  bar(isRevised: boolean, symbol: unknown, start: number, values: readonly number[]): void {
    const i = this.#shape.indexOf.get(String(symbol));
    if (i === undefined || Number.isNaN(start)) return;
    const { isPart = false, closeOf } = this.#shape;
    // A part that was corrected is in its bar already.
    if (isPart && isRevised) return;
    const rows = isPart ? this.#parts : isRevised ? this.#revised : this.#fresh;
    add(rows, isPart ? start : closeOf(start), i, values);
  }

  trade(symbol: unknown, at: number, price: number, size: number): void {
    const i = this.#shape.indexOf.get(String(symbol));
    if (i === undefined || Number.isNaN(at)) return;
    add(this.#parts, at, i, [price, price, price, price, size, price, 1]);
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
    if (this.#parts.time.length > 0) out.push({ kind: "parts", ...columnsOf(this.#parts) });
    if (instrument.length > 0) {
      out.push({ kind: "quoted", at, instrument: Int32Array.from(instrument),
        quotes: Float64Array.from(values) });
    }
    return out;
  }

  #heard(how: Heard["how"], rows: Rows, isWhole: boolean): Heard {
    return { kind: "heard", how, isWhole, ...columnsOf(rows),
      ...this.originNs > 0 && { originNs: this.originNs } };
  }
}

function add(rows: Rows, at: number, instrument: number, values: readonly number[]): void {
  rows.time.push(at);
  rows.instrument.push(instrument);
  for (let j = 0; j < WIDTH; j++) rows.bars.push(values[j]);
}

const columnsOf = ({ time, instrument, bars }: Rows): Pick<Heard, "time" | "instrument" | "bars"> =>
  ({ time: Float64Array.from(time), instrument: Int32Array.from(instrument), bars: Float64Array.from(bars) });
