/**
 * Rows as they come, sorted into one growable set of columns per instrument. Long CSV files
 * interleave the symbols, so nothing can be delivered before the last line: the table is the whole
 * file as doubles, which is why it is bounded.
 */
import { UserError } from "../../base/error.ts";

/** At most this many cells, 8 bytes each: 4 GiB. A larger file must be cut by --symbols. */
const CELLS_MAX = 2 ** 29;
const PAGE_ROWS = 256;

/**
 * One instrument's rows. While they come, they are pages of whole rows, because a long file names
 * another instrument on every line: a row is then one place in memory instead of one per column,
 * and nothing is copied when it grows. `finish` turns them into columns.
 */
export class SymbolRows {
  readonly symbol: string;
  rows = 0;
  /** Stamp of the last row; -Infinity before the first. */
  last = -Infinity;
  /** Line of the last row, for messages about the order. */
  line = 0;
  /** Not kept when false: the symbol was not asked for. */
  readonly isWanted: boolean;
  /** The symbol of the line after this one's last line: most files go round. */
  next: SymbolRows | null = null;
  readonly name: Uint8Array;
  /** (rows) stamps as in the file, UTC ms; after `finish`. */
  time: Float64Array = new Float64Array(0);
  columns: readonly Float64Array[] = [];
  readonly #width: number;
  readonly #pages: Float64Array[] = [];
  #page: Float64Array = new Float64Array(0);
  #at = 0;

  constructor(name: Uint8Array, width: number, isWanted: boolean) {
    this.name = name;
    this.symbol = Buffer.from(name).toString("latin1");
    this.#width = width;
    this.isWanted = isWanted;
  }

  /** Appends; the caller has checked the order. */
  push(stamp: number, values: Float64Array, line: number): void {
    if (this.#at === this.#page.length) this.#turn();
    const page = this.#page;
    let at = this.#at;
    page[at++] = stamp;
    for (let k = 0; k < values.length; k++) page[at++] = values[k];
    this.#at = at;
    this.rows++;
    this.last = stamp;
    this.line = line;
  }

  /** Makes `time` and `columns`, exactly as long as the rows; frees the pages. */
  finish(): void {
    const stride = this.#width + 1;
    const columns = Array.from({ length: stride }, () => new Float64Array(this.rows));
    let row = 0;
    for (const page of this.#pages) {
      const count = Math.min(PAGE_ROWS, this.rows - row);
      for (let k = 0; k < stride; k++) {
        const column = columns[k];
        for (let i = 0, at = k; i < count; i++, at += stride) column[row + i] = page[at];
      }
      row += count;
    }
    this.#pages.length = 0;
    this.#page = new Float64Array(0);
    [this.time, ...this.columns] = columns;
  }

  #turn(): void {
    this.#page = new Float64Array(PAGE_ROWS * (this.#width + 1));
    this.#pages.push(this.#page);
    this.#at = 0;
  }
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
  readonly #rowsMax: number;
  #slots = new Int32Array(1024).fill(-1);

  /** `wanted` empty: every symbol. */
  constructor(file: string, width: number, wanted: ReadonlySet<string>) {
    this.file = file;
    this.#width = width;
    this.#wanted = wanted;
    this.#rowsMax = CELLS_MAX / (width + 1);
  }

  /** The rows of the symbol in bytes [from, to), made on first sight. `hash` is of those bytes. */
  find(bytes: Uint8Array, from: number, to: number, hash: number): SymbolRows {
    const slots = this.#slots;
    for (let slot = hash & (slots.length - 1);; slot = (slot + 1) & (slots.length - 1)) {
      const index = slots[slot];
      if (index < 0) return this.#add(bytes.slice(from, to), slot);
      const rows = this.symbols[index];
      if (isSame(rows.name, bytes, from, to)) return rows;
    }
  }

  /** Counts a kept row. Throws UserError when the table would be larger than memory should be. */
  count(): void {
    if (++this.rows > this.#rowsMax) {
      throw new UserError(
        `${this.file} holds more than ${CELLS_MAX / 2 ** 20} Mi numbers, too many for one reading`,
        "fetch it in parts, each into its own dataset: add --symbols A,B,C");
    }
  }

  /** After the last row: rows become columns, one instrument at a time. */
  finish(): void { for (const rows of this.symbols) rows.finish(); }

  #add(name: Uint8Array, slot: number): SymbolRows {
    const isWanted = this.#wanted.size === 0
      || this.#wanted.has(Buffer.from(name).toString("latin1"));
    const added = new SymbolRows(name, this.#width, isWanted);
    this.#slots[slot] = this.symbols.length;
    this.symbols.push(added);
    if (this.symbols.length * 2 > this.#slots.length) this.#rehash();
    return added;
  }

  #rehash(): void {
    const slots = new Int32Array(this.#slots.length * 2).fill(-1);
    for (const [index, { name }] of this.symbols.entries()) {
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

/** Whether bytes [from, to) are the name. */
function isSame(name: Uint8Array, bytes: Uint8Array, from: number, to: number): boolean {
  if (name.length !== to - from) return false;
  for (let k = 0; k < name.length; k++) if (name[k] !== bytes[from + k]) return false;
  return true;
}
