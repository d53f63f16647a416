/**
 * A CSV file as a stream of bytes to a table of doubles: one pass, no string per cell.
 *
 *    chunk ──> [ carry | chunk ] ──> whole lines ──> cells ──> bounds ──> CsvTable
 *                  ^                     │             │
 *                  └── unfinished line ──┘             └── anything odd ──> csv-refusal.ts
 *
 * The fast path only decides *whether* a line is plainly good. Any other line is read again slowly
 * by `refusal`, which says what is wrong with it, or that nothing is.
 */
import { TICK_SIDES } from "../bars.ts";
import { isEnd, readNumber, StampReader } from "./csv-cell.ts";
import { readLayout, type Layout, type LayoutColumn, type Rule } from "./csv-layout.ts";
import { cutShort, lineTooLong, notRows, refusal } from "./csv-refusal.ts";
import { CsvTable, hashBytes, type SymbolRows } from "./csv-table.ts";

const [COMMA, NEWLINE, RETURN, SPACE, QUOTE, TILDE] = [0x2c, 0x0a, 0x0d, 0x20, 0x22, 0x7e];
/** A longer line is not a row of ours. */
const LINE_BYTES_MAX = 1 << 16;
const SYMBOL_BYTES_MAX = 32;

/** What the inner loop does with a column. */
const [TIME, SYMBOL, NUMBER, FLAG, SIDE, LETTER] = [0, 1, 2, 3, 4, 5];
const CODES: Readonly<Record<Rule, number>> = {
  positive: NUMBER, atLeastZero: NUMBER, finite: NUMBER, firstEmpty: NUMBER,
  flag: FLAG, side: SIDE, letter: LETTER,
};
/** Least good value; NaN is below all of them. */
const LEAST: Readonly<Record<Rule, number>> = {
  positive: Number.MIN_VALUE, atLeastZero: 0, finite: -Infinity, firstEmpty: -Infinity,
  flag: 0, side: 0, letter: 0,
};
const codeOf = (column: LayoutColumn): number =>
  column.role === "time" ? TIME : column.role === "symbol" ? SYMBOL : CODES[column.rule];

export class CsvParser {
  readonly #file: string;
  readonly #wanted: ReadonlySet<string>;
  #carry: Uint8Array = new Uint8Array(0);
  #line = 0;
  #rows: RowReader | null = null;

  constructor(file: string, wanted: ReadonlySet<string>) {
    this.#file = file;
    this.#wanted = wanted;
  }

  /** Takes the next bytes of the file, of any length. */
  feed(chunk: Uint8Array): void {
    let from = 0;
    if (this.#carry.length > 0) {
      // Only the line that the last chunk began is joined; the others are read where they lie.
      from = chunk.indexOf(NEWLINE) + 1;
      const line = joined(this.#carry, from === 0 ? chunk : chunk.subarray(0, from));
      if (from === 0) { this.#keep(line); return; }
      this.#readLines(line, 0, line.length);
    }
    const end = Math.max(from, chunk.lastIndexOf(NEWLINE) + 1);
    this.#readLines(chunk, from, end);
    this.#keep(chunk.slice(end));
  }

  /** An unfinished line, until the next chunk. */
  #keep(carry: Uint8Array): void {
    if (carry.length > LINE_BYTES_MAX) throw lineTooLong(this.#file, this.#line + 1);
    this.#carry = carry;
  }

  /** The last line may lack its newline, but no cells. Throws UserError for a file without rows. */
  finish(): { readonly layout: Layout; readonly table: CsvTable; readonly isDated: boolean } {
    if (this.#carry.length > 0) {
      const last = joined(this.#carry, Uint8Array.of(NEWLINE));
      const cells = last.reduce((count, byte) => count + (byte === COMMA ? 1 : 0), 1);
      if (this.#rows !== null && cells < this.#rows.layout.columns.length) {
        throw cutShort(this.#file, this.#line + 1);
      }
      this.#readLines(last, 0, last.length);
    }
    if (this.#rows === null || this.#rows.table.symbols.length === 0) throw notRows(this.#file);
    const { layout, table, isDated } = this.#rows;
    table.finish();
    return { layout, table, isDated };
  }

  /** `bytes` in [at, end) are whole lines. */
  #readLines(bytes: Uint8Array, at: number, end: number): void {
    if (this.#rows === null && end > at) {
      const first = at;
      at = bytes.indexOf(NEWLINE, at) + 1;
      const header = Buffer.from(bytes.subarray(first, at - 1)).toString("utf8");
      this.#rows = new RowReader(this.#file, readLayout(this.#file, header), this.#wanted);
      this.#line = 1;
    }
    if (at >= end || this.#rows === null) return;
    this.#line = this.#rows.readAll(bytes, at, end, this.#line);
  }
}

/** The inner loop, bound to a layout. */
class RowReader {
  readonly layout: Layout;
  readonly table: CsvTable;
  /** Whether stamps are bare dates; one file has one form. */
  isDated = false;
  readonly #file: string;
  readonly #codes: Uint8Array;
  readonly #least: Float64Array;
  readonly #values: Float64Array;
  readonly #stamps = new StampReader();
  #symbol: SymbolRows | null = null;
  /** Of the line before, to guess this line's from. */
  #previous: SymbolRows | null = null;
  #isFirst = true;
  #blankLine = 0;

  constructor(file: string, layout: Layout, wanted: ReadonlySet<string>) {
    this.#file = file;
    this.layout = layout;
    const values = layout.columns.filter((column) => column.role === "value");
    this.table = new CsvTable(file, values.length, wanted);
    this.#codes = Uint8Array.from(layout.columns, codeOf);
    this.#least = Float64Array.from(values, (column) => LEAST[column.rule]);
    this.#values = new Float64Array(values.length);
  }

  /** Reads the lines in [at, end), the first of which follows line number `line`. Returns the last. */
  readAll(bytes: Uint8Array, at: number, end: number, line: number): number {
    const isStrict = this.layout.kind !== "ticks";
    while (at < end) {
      line++;
      const next = this.#readCells(bytes, at);
      const rows = this.#symbol, stamp = this.#stamps.stamp;
      const last = rows === null ? -Infinity : rows.last;
      const isPlain = next > 0 && this.#blankLine === 0 && !this.#isFirst && rows !== null
        && this.#stamps.isDate === this.isDated
        && (isStrict ? stamp > last : stamp >= last) && this.#isWithinBounds();
      if (isPlain) {
        if (rows.isWanted) { rows.push(stamp, this.#values, line); this.table.count(); }
        at = next;
      } else {
        const lineEnd = bytes.indexOf(NEWLINE, at);
        this.#readOdd(bytes.subarray(at, lineEnd), line);
        at = lineEnd + 1;
      }
    }
    return line;
  }

  /** A line that is not plainly good: refused, or taken for a reason said here. */
  #readOdd(bytes: Uint8Array, line: number): void {
    const text = Buffer.from(bytes).toString("latin1").replace(/\r$/, "");
    if (text === "") { this.#blankLine ||= line; return; }
    if (this.#isFirst) { this.#isFirst = false; this.isDated = this.#stamps.isDate; }
    const symbolAt = this.layout.columns.findIndex((column) => column.role === "symbol");
    const cell = text.split(",")[symbolAt];
    const rows = this.table.symbols.find((candidate) => candidate.symbol === cell);
    if (rows !== undefined && !rows.isWanted) return;
    const problem = refusal({ file: this.#file, line, text, layout: this.layout, rows,
      isDated: this.isDated, blankLine: this.#blankLine });
    if (problem !== null) throw problem;
    if (this.#symbol === null) return;
    this.#symbol.push(this.#stamps.stamp, this.#values, line);
    this.table.count();
  }

  #isWithinBounds(): boolean {
    const least = this.#least, values = this.#values;
    for (let k = 0; k < least.length; k++) if (!(values[k] >= least[k])) return false;
    return true;
  }

  /** The line at `at` into #symbol, #stamps, #values. Returns where the next starts, 0: it is odd. */
  #readCells(bytes: Uint8Array, at: number): number {
    const codes = this.#codes, values = this.#values, last = codes.length - 1;
    this.#symbol = null;
    for (let c = 0, k = 0; c <= last; c++) {
      switch (codes[c]) {
        case TIME: at = this.#stamps.read(bytes, at); break;
        case SYMBOL: at = this.#readSymbol(bytes, at); break;
        case NUMBER: at = readNumber(bytes, at, values, k++); break;
        case FLAG:
          at = readNumber(bytes, at, values, k);
          if (values[k] !== 0 && values[k] !== 1) values[k] = NaN;
          k++;
          break;
        default: at = readCode(bytes, at, values, k++, codes[c] === SIDE);
      }
      if (c < last && bytes[at++] !== COMMA) return 0;
    }
    if (bytes[at] === RETURN) at++;
    return bytes[at] === NEWLINE ? at + 1 : 0;
  }

  #readSymbol(bytes: Uint8Array, at: number): number {
    const previous = this.#previous, guess = previous === null ? null : previous.next;
    if (guess !== null) {
      const name = guess.name;
      let k = 0;
      while (k < name.length && bytes[at + k] === name[k]) k++;
      if (k === name.length && isEnd(bytes[at + k])) {
        this.#symbol = this.#previous = guess;
        return at + k;
      }
    }
    let end = at, isOdd = false;
    for (let byte = bytes[end]; !isEnd(byte); byte = bytes[++end]) {
      isOdd ||= byte <= SPACE || byte > TILDE || byte === QUOTE;
    }
    const isGood = !isOdd && end > at && end - at <= SYMBOL_BYTES_MAX;
    this.#symbol = isGood ? this.table.find(bytes, at, end, hashBytes(bytes, at, end)) : null;
    if (this.#symbol !== null) {
      if (previous !== null) previous.next = this.#symbol;
      this.#previous = this.#symbol;
    }
    return end;
  }
}

/** A side of TICK_SIDES to its number, or one letter to its code; NaN for anything else. */
function readCode(bytes: Uint8Array, at: number, values: Float64Array, k: number, isSide: boolean): number {
  let end = at;
  while (!isEnd(bytes[end])) end++;
  values[k] = isSide ? sideOf(bytes, at, end - at) : end - at === 1 ? letterOf(bytes[at]) : NaN;
  return end;
}

const [TRADE, BID, ASK] = TICK_SIDES.map((word) => Buffer.from(word));

function sideOf(bytes: Uint8Array, at: number, length: number): number {
  if (length === 5) return isWord(bytes, at, TRADE) ? 0 : NaN;
  if (length !== 3) return NaN;
  return isWord(bytes, at, BID) ? 1 : isWord(bytes, at, ASK) ? 2 : NaN;
}

function letterOf(byte: number): number {
  const isLetter = (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a);
  return isLetter ? byte : NaN;
}

function isWord(bytes: Uint8Array, at: number, word: Uint8Array): boolean {
  for (let k = 0; k < word.length; k++) if (bytes[at + k] !== word[k]) return false;
  return true;
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
