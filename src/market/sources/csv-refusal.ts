/**
 * What is wrong with a line, in a sentence that names file, line, column and value. Slow, and
 * called once.
 */
import { UserError } from "../../base/error.ts";
import { formatDay, formatTime, MS_PER_DAY } from "../../base/units.ts";
import { readNumber, StampReader } from "./csv-cell.ts";
import { EXPECTED, type Layout, type LayoutColumn, type Rule } from "./csv-layout.ts";
import type { SymbolRows } from "./csv-table.ts";

const MEND = "mend or remove that line, then run the same command again";
/** Longest piece of a file that a message repeats. */
const SHOWN_MAX = 40;

interface OddLine {
  readonly file: string;
  readonly line: number;
  readonly text: string;
  readonly layout: Layout;
  /** Rows of its symbol so far. */
  readonly rows: SymbolRows | undefined;
  readonly isDated: boolean;
  /** An empty line before it, 0 when there was none. */
  readonly blankLine: number;
}

/** Null when the line is good after all (the empty return of a first row). */
export function refusal(odd: OddLine): UserError | null {
  const { file, line, text, layout, blankLine } = odd;
  if (blankLine > 0) {
    return new UserError(`${file}, line ${blankLine}: empty line in the middle of the file`, MEND);
  }
  const cells = text.split(",");
  if (cells.length !== layout.columns.length) {
    const counts = `${cells.length} cells where the header has ${layout.columns.length}`;
    return new UserError(`${file}, line ${line}: ${counts}: "${shown(text)}"`, MEND);
  }
  for (const [j, column] of layout.columns.entries()) {
    const problem = problemOf(column, cells[j], odd);
    if (problem !== null) {
      return new UserError(
        `${file}, line ${line}, column "${column.name}": "${shown(cells[j])}" ${problem}`, MEND);
    }
  }
  return orderProblem(odd, cells[layout.columns.findIndex((column) => column.role === "time")]);
}

function problemOf(column: LayoutColumn, cell: string, odd: OddLine): string | null {
  if (column.role === "symbol") {
    if (cell.includes('"')) return "is quoted; write symbols without quotes";
    return /^[!-~]{1,32}$/.test(cell) ? null
      : "is not a symbol (1 to 32 visible characters, no spaces)";
  }
  if (column.role === "time") return stampProblem(cell, odd.isDated);
  return isGood(column.rule, cell, odd.rows?.rows ?? 0) ? null : `is not ${EXPECTED[column.rule]}`;
}

function stampProblem(cell: string, isDated: boolean): string | null {
  const { stamp, isDate } = readStamp(cell);
  if (Number.isNaN(stamp)) {
    const hasNoZone = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?$/.test(cell);
    if (hasNoZone) return "has no time zone; write UTC and end it with Z";
    return "is not a date such as 2015-12-31 or a time such as 2015-12-31T14:30:00Z";
  }
  if (isDate === isDated) return null;
  return isDate ? "is a date where the rows before it have times"
    : "is a time where the rows before it have dates";
}

function isGood(rule: Rule, cell: string, row: number): boolean {
  if (rule === "side") return ["trade", "bid", "ask"].includes(cell);
  if (rule === "letter") return /^[A-Za-z]$/.test(cell);
  if (rule === "firstEmpty" && cell === "") return row === 0;
  const value = readCell(cell);
  if (rule === "positive") return value > 0;
  if (rule === "flag") return value === 0 || value === 1;
  return rule === "atLeastZero" ? value >= 0 : !Number.isNaN(value);
}

function orderProblem({ file, line, layout, rows }: OddLine, cell: string): UserError | null {
  if (rows === undefined || rows.rows === 0) return null;
  const { stamp, isDate } = readStamp(cell), last = rows.last;
  if (stamp > last || (stamp === last && layout.kind === "ticks")) return null;
  const say = (time: number): string => isDate ? formatDay(time / MS_PER_DAY) : formatTime(time);
  const where = `${file}, line ${line}`;
  if (stamp === last) {
    return new UserError(
      `${where}: a second row for ${rows.symbol} at ${say(stamp)} (the first is line ${rows.line})`, MEND);
  }
  return new UserError(
    `${where}: ${rows.symbol} at ${say(stamp)} comes after ${say(last)} of line ${rows.line}`,
    "sort the file by time (sort -s -t, -k1,1, header kept), then run the same command again");
}

function readStamp(cell: string): { stamp: number; isDate: boolean } {
  const reader = new StampReader();
  reader.read(Buffer.from(`${cell}\n`, "latin1"), 0);
  return { stamp: reader.stamp, isDate: reader.isDate };
}

function readCell(cell: string): number {
  const value = new Float64Array(1);
  readNumber(Buffer.from(`${cell}\n`, "latin1"), 0, value, 0);
  return value[0];
}

const shown = (text: string): string =>
  text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}...` : text;
const AGAIN = "copy or download the whole file again, then run the same command";

export const cutShort = (file: string, line: number): UserError => new UserError(
  `${file} is cut short: it ends inside line ${line}`, AGAIN);
export const cutArchive = (file: string): UserError => new UserError(
  `${file} is cut short: the compressed data ends too early`, AGAIN);
export const damagedArchive = (file: string, why: string): UserError => new UserError(
  `${file} is not a whole gzip file: ${why}`, `copy it again, or check it with: gzip -t ${file}`);
export const lineTooLong = (file: string, line: number): UserError => new UserError(
  `${file}, line ${line}: longer than 65,536 bytes, so this is not a file of rows`,
  "give a CSV file: --path FILE.csv or FILE.csv.gz");
export const notRows = (file: string): UserError => new UserError(
  `${file} holds no rows`, "give a CSV file with a header line and at least one row: --path FILE");
