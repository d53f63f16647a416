/**
 * Rows as they come, sorted into one growable set of columns per instrument. Long CSV files
 * interleave the symbols, so nothing can be delivered before the last line: the table is the whole
 * file as doubles, which is why it is bounded.
 */
import { UserError } from "../../base/error.ts";

/** At most this many cells, 8 bytes each: 4 GiB. A larger file must be cut by --symbols. */
const CELLS_MAX = 2 ** 29;
const ROWS_AT_FIRST = 256;

export class SymbolRows {
  readonly symbol: string;
  rows = 0;
  /** Stamps as in the file, UTC ms. */
  time: Float64Array = new Float64Array(ROWS_AT_FIRST);
  readonly columns: Float64Array[];
  /** Line of the last row, for messages about the order. */
  line = 0;
  /** Filled but not kept: the symbol was not asked for. */
  readonly isWanted: boolean;

  constructor(symbol: string, width: number, isWanted: boolean) {
    this.symbol = symbol;
    this.isWanted = isWanted;
    this.columns = Array.from({ length: isWanted ? width : 0 },
      () => new Float64Array(ROWS_AT_FIRST));
  }

  /** Appends; the caller has checked the order. */
  push(stamp: number, values: Float64Array, line: number): void {
    const row = this.rows;
    if (row === this.time.length) this.#grow();
    this.time[row] = stamp;
    const columns = this.columns;
    for (let k = 0; k < columns.length; k++) columns[k][row] = values[k];
    this.rows = row + 1;
    this.line = line;
  }

  #grow(): void {
    const length = this.time.length * 2;
    this.time = grown(this.time, length);
    for (let k = 0; k < this.columns.length; k++) this.columns[k] = grown(this.columns[k], length);
  }
}

function grown(values: Float64Array, length: number): Float64Array {
  const larger = new Float64Array(length);
  larger.set(values);
  return larger;
}

/**
 * Symbols by the bytes of their cell: an open-addressing hash table, so that no row makes a string.
 */
export class CsvTable {
  readonly file: string;
  readonly symbols: SymbolRows[] = [];
  rows = 0;
  readonly #width: number;
  readonly #wanted: ReadonlySet<string>;
  readonly #names: Uint8Array[] = [];
  #slots = new Int32Array(1024).fill(-1);

  /** `wanted` empty: every symbol. */
  constructor(file: string, width: number, wanted: ReadonlySet<string>) {
    this.file = file;
    this.#width = width;
    this.#wanted = wanted;
  }

  /** The rows of the symbol in bytes [from, to), made on first sight. `hash` is of those bytes. */
  find(bytes: Uint8Array, from: number, to: number, hash: number): SymbolRows {
    const slots = this.#slots;
    for (let slot = hash & (slots.length - 1);; slot = (slot + 1) & (slots.length - 1)) {
      const index = slots[slot];
      if (index < 0) return this.#add(bytes.slice(from, to), slot);
      if (isSame(this.#names[index], bytes, from, to)) return this.symbols[index];
    }
  }

  /** Counts a kept row. Throws UserError when the table would be larger than memory should be. */
  count(): void {
    this.rows++;
    if (this.rows * (this.#width + 1) > CELLS_MAX) {
      throw new UserError(
        `${this.file} holds more than ${CELLS_MAX / 2 ** 20} Mi numbers, too many for one reading`,
        "fetch it in parts, each into its own dataset: add --symbols A,B,C");
    }
  }

  #add(name: Uint8Array, slot: number): SymbolRows {
    const symbol = Buffer.from(name).toString("latin1");
    const added = new SymbolRows(symbol, this.#width, this.#wanted.size === 0
      || this.#wanted.has(symbol));
    this.#slots[slot] = this.symbols.length;
    this.symbols.push(added);
    this.#names.push(name);
    if (this.symbols.length * 2 > this.#slots.length) this.#rehash();
    return added;
  }

  #rehash(): void {
    const slots = new Int32Array(this.#slots.length * 2).fill(-1);
    for (const [index, name] of this.#names.entries()) {
      let slot = hashBytes(name, 0, name.length) & (slots.length - 1);
      while (slots[slot] >= 0) slot = (slot + 1) & (slots.length - 1);
      slots[slot] = index;
    }
    this.#slots = slots;
  }
}

const HASH_START = 0x811c9dc5;

/** 32-bit FNV-1a. */
export function hashBytes(bytes: Uint8Array, from: number, to: number): number {
  let hash = HASH_START;
  for (let at = from; at < to; at++) hash = Math.imul(hash ^ bytes[at], 0x01000193);
  return hash ^ (hash >>> 15);
}

function isSame(name: Uint8Array, bytes: Uint8Array, from: number, to: number): boolean {
  if (name.length !== to - from) return false;
  for (let k = 0; k < name.length; k++) if (name[k] !== bytes[from + k]) return false;
  return true;
}
