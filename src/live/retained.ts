/**
 * What a process has said and still knows, for hearers that missed some of it or come later.
 *
 *   said -> | market 1 | account 1 | market 2 | market 3 | ...     oldest first; bounded, the oldest go
 *             `range` finds a hole by its numbers           `since` tells a joiner all, page by page
 *
 * Messages are frozen by convention, so they are kept as they are; a page is made when somebody asks.
 */
import { encode, type Stamp } from "../wire/codec.ts";
import { toContent } from "./frames.ts";
import type { Spoken } from "./message.ts";
import { RETAINED } from "./topology.ts";

/** At most these are kept; some 30 years of days of 50 instruments fit. */
const COUNT_MAX = 20_000, BYTES_MAX = 64 << 20;
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

export class Retained {
  readonly #sender: string;
  readonly #epoch: number;
  /** Ascending; `#first` is the number of its first entry since the start. */
  #said: Said[] = [];
  #first = 0;
  #bytes = 0;
  readonly #last = new Map<string, Said>();

  constructor(sender: string, epoch: number) {
    this.#sender = sender;
    this.#epoch = epoch;
  }

  keep(topic: string, seq: number, message: Spoken): void {
    const said = { topic, seq, message, bytes: sizeOf(message) };
    if (RETAINED[message.kind as keyof typeof RETAINED] === "last") this.#last.set(topic, said);
    this.#said.push(said);
    this.#bytes += said.bytes;
    if (this.#said.length > 2 * COUNT_MAX || this.#bytes > 2 * BYTES_MAX) this.#forget();
  }

  /** Down to the bounds at once, so that it is rarely done. */
  #forget(): void {
    let from = Math.max(0, this.#said.length - COUNT_MAX), bytes = 0;
    for (let k = 0; k < from; k++) bytes += this.#said[k].bytes;
    for (; this.#bytes - bytes > BYTES_MAX; from++) bytes += this.#said[from].bytes;
    this.#said = this.#said.slice(from);
    this.#first += from;
    this.#bytes -= bytes;
  }

  /** Numbers first..last of a topic, those of them that are still known. */
  range(topic: string, first: number, last: number): Page {
    const found: Said[] = [];
    for (let k = this.#said.length - 1; k >= 0; k--) {
      const said = this.#said[k];
      if (said.topic !== topic) continue;
      if (said.seq < first) break;
      if (said.seq <= last) found.push(said);
    }
    return this.#page(found.reverse(), null);
  }

  /** What joiners of these kinds are told, from number `from` on: all, and for the others the last one. */
  since(from: number, kinds: readonly string[], isAll: boolean): Page {
    const found: Said[] = [];
    let at = Math.max(0, from - this.#first), bytes = 0;
    const end = isAll ? this.#said.length : at;
    for (; at < end && bytes < PAGE_BYTES; at++) {
      const said = this.#said[at], { kind } = said.message;
      if (RETAINED[kind as keyof typeof RETAINED] !== "all" || !kinds.includes(kind)) continue;
      found.push(said);
      bytes += said.bytes;
    }
    const isDone = !isAll || at >= this.#said.length;
    if (isDone) found.push(...[...this.#last.values()].filter(({ message }) => kinds.includes(message.kind)));
    return this.#page(found, isDone ? null : this.#first + at);
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
