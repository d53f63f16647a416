/**
 * What a process has said and still knows, for hearers that missed some of it or come later.
 *
 *   said ─┬─ market, features ─> | 1 | 2 | 3 | ...  all, for joiners: `since`, page by page ─┐ oldest first;
 *         └─ the rest ─────────> | ... | 7 | 8 |    the newest ────────────────────────────┴─ the oldest go
 *                                                   `range` finds a hole by its numbers
 *
 * Messages are frozen by convention, so they are kept as they are; a page is made when somebody asks.
 */
import { encode, type Stamp } from "../wire/codec.ts";
import { toContent } from "./frames.ts";
import type { Spoken } from "./message.ts";
import { RETAINED } from "./topology.ts";

/** Of what joiners are told at most these are kept; some 30 years of days of 50 instruments fit. */
const COUNT_MAX = 20_000, BYTES_MAX = 64 << 20;
/** Of the rest; a hole is seen, and asked about, with the next message behind it. */
const PASSING_MAX = 4_000;
/** Beyond its bounds by this factor a list is cut back to them: rarely, because that copies it. */
const SLACK = 1.25;
/** Of one answer. */
const PAGE_BYTES = 4 << 20;

export interface Said {
  readonly topic: string;
  readonly seq: number;
  readonly message: Spoken;
  readonly bytes: number;
}
export interface Page {
  /** Encoded packets, one after the other, and where each ends. */
  readonly bytes: Uint8Array;
  readonly ends: Int32Array;
  readonly topics: readonly string[];
  /** Where the next page begins; null: that was all. */
  readonly next: number | null;
}

/** Ascending; `first` is the number of its first entry since the start. */
class Shelf {
  readonly countMax: number;
  said: Said[] = [];
  first = 0;
  #bytes = 0;

  constructor(countMax: number) { this.countMax = countMax; }

  keep(said: Said): void {
    this.said.push(said);
    this.#bytes += said.bytes;
    if (this.said.length > SLACK * this.countMax || this.#bytes > SLACK * BYTES_MAX) this.#forget();
  }

  #forget(): void {
    let from = Math.max(0, this.said.length - this.countMax), bytes = 0;
    for (let k = 0; k < from; k++) bytes += this.said[k].bytes;
    for (; this.#bytes - bytes > BYTES_MAX; from++) bytes += this.said[from].bytes;
    this.said = this.said.slice(from);
    this.first += from;
    this.#bytes -= bytes;
  }

  range(topic: string, first: number, last: number): Said[] {
    const found: Said[] = [];
    for (let k = this.said.length - 1; k >= 0; k--) {
      const said = this.said[k];
      if (said.topic !== topic) continue;
      if (said.seq < first) break;
      if (said.seq <= last) found.push(said);
    }
    return found.reverse();
  }
}

export class Retained {
  readonly #sender: string;
  readonly #epoch: number;
  readonly #history = new Shelf(COUNT_MAX);
  readonly #passing = new Shelf(PASSING_MAX);
  readonly #last = new Map<string, Said>();

  constructor(sender: string, epoch: number) {
    this.#sender = sender;
    this.#epoch = epoch;
  }

  keep(topic: string, seq: number, message: Spoken): void {
    const said = { topic, seq, message, bytes: sizeOf(message) };
    const how = RETAINED[message.kind as keyof typeof RETAINED];
    if (how === "last") this.#last.set(topic, said);
    (how === "all" ? this.#history : this.#passing).keep(said);
  }

  /** Numbers first..last of a topic, those of them that are still known. */
  range(topic: string, first: number, last: number): Page {
    const found = this.#passing.range(topic, first, last);
    return this.#page(found.length > 0 ? found : this.#history.range(topic, first, last), null);
  }

  /** What joiners of these kinds are told, from number `from` on: all, and for the others the last one. */
  since(from: number, kinds: readonly string[], isAll: boolean): Page {
    const { said: kept, first } = this.#history, found: Said[] = [];
    let at = Math.max(0, from - first), bytes = 0;
    for (const end = isAll ? kept.length : at; at < end && bytes < PAGE_BYTES; at++) {
      const said = kept[at];
      if (!kinds.includes(said.message.kind)) continue;
      found.push(said);
      bytes += said.bytes;
    }
    const isDone = !isAll || at >= kept.length;
    if (isDone) found.push(...[...this.#last.values()].filter(({ message }) => kinds.includes(message.kind)));
    return this.#page(found, isDone ? null : first + at);
  }

  #page(said: readonly Said[], next: number | null): Page {
    const packets = said.map(({ seq, message }) => encode(toContent(message), this.#stamp(seq)));
    let at = 0;
    const ends = Int32Array.from(packets, ({ length }) => at += length);
    return { bytes: Buffer.concat(packets), ends, topics: said.map(({ topic }) => topic), next };
  }

  #stamp(seq: number): Stamp {
    return { sender: this.#sender, epoch: this.#epoch, seq, sent: 0, origin: 0, reply: 0, expires: 0 };
  }
}

/** About; what is no array counts for little. */
function sizeOf(message: Spoken): number {
  let bytes = 256;
  for (const value of Object.values(message) as unknown[]) {
    if (ArrayBuffer.isView(value)) bytes += value.byteLength;
  }
  return bytes;
}
