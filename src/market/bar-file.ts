/**
 * One instrument's rows in one HDF5 file, and how much of it must be read to trust a part of it.
 *
 *   /            attributes: format, version, symbol, source, adjustment, timeframe, revision, ...
 *   /time        float64 (T)    close of each row, ms since 1970-01-01T00:00Z
 *   /close ...   float64 (T)    one dataset per column, attribute `unit`
 *   /index/first_time   float64 (K)      time of the first row of each block of 4,096 rows
 *   /index/crc32        uint32 (1+C, K)  CRC-32 of each block's bytes: time, then the columns
 *   /actions/{ex_time, kind, value, factor}   float64 (A)   kind 0 split, 1 dividend;
 *                                             factor: what it does by itself to prices before it
 *
 * Trust has two levels. `content`, in the manifest and in the file's name, is the SHA-256 of
 * everything said about the instrument and of the index; the index holds a CRC of every block. So a
 * date range is checked by reading the small index and the blocks of the range, and a file that was
 * swapped for another whole one is still found out. The same content has the same `content` on
 * every machine; HDF5 files themselves carry the time of writing.
 */
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { crc32 } from "node:zlib";
import { hashFile, hashOf } from "../base/file.ts";
import { actionFactors } from "./adjust.ts";
import { COLUMNS, type Bars, type ColumnName, type CorporateAction } from "./bars.ts";
import { calendar } from "./calendar.ts";
import { openHdf5, writeHdf5, type Hdf5Column, type Hdf5Reader } from "./hdf5.ts";
import type { Instrument } from "./instrument.ts";
import type { DatasetFacts } from "./manifest.ts";

export const BAR_FILE_FORMAT = "dmn.bars";
export const BAR_FILE_VERSION = 1;
export const BLOCK_ROWS = 4_096;

const ACTION_CODES = ["split", "dividend"] as const;

/** What a file says of itself, apart from the numbers. */
export interface BarFileFacts {
  readonly dataset: DatasetFacts;
  readonly instrument: Instrument;
  readonly actions: readonly CorporateAction[];
  readonly columns: readonly ColumnName[];
  readonly rows: number;
}

interface BlockIndex {
  readonly firstTime: Float64Array;
  readonly crc: Uint32Array;
  readonly factors: Float64Array;
}

/** Rows as they are stored, ready to be written: made once, so that the name and the file agree. */
export interface BarFile {
  readonly content: string;
  readonly columns: readonly ColumnName[];
  write(place: string, revision: number): void;
}

/** Works out the index and the content's hash of rows (already checked by checkBars). */
export function barFile(
  dataset: DatasetFacts, bars: Bars, actions: readonly CorporateAction[],
): BarFile {
  const columns = (Object.keys(COLUMNS) as ColumnName[])
    .filter((name) => bars.columns[name] !== undefined);
  const facts: BarFileFacts = {
    dataset, instrument: bars.instrument, actions, columns, rows: bars.time.length,
  };
  const arrays = [bars.time, ...columns.map((name) => bars.columns[name] as Float64Array)];
  const index: BlockIndex = {
    firstTime: Float64Array.from({ length: blocksOf(facts.rows) },
      (_, k) => bars.time[k * BLOCK_ROWS]),
    crc: Uint32Array.from(arrays.flatMap((values) => blockCrcs(values))),
    factors: actionFactors(bars, actions, dataset.adjustment, calendar(dataset.calendar)),
  };
  const content = contentOf(facts, index);
  return {
    content, columns,
    write(place, revision) {
      const attributes = attributesOf(facts, content, revision);
      writeHdf5(place, attributes, datasetsOf(facts, arrays, index));
    },
  };
}

const blocksOf = (rows: number): number => Math.ceil(rows / BLOCK_ROWS);
const bytesOf = (values: Float64Array | Uint32Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

function blockCrcs(values: Float64Array): number[] {
  return Array.from({ length: blocksOf(values.length) }, (_, k) =>
    crc32(bytesOf(values.subarray(k * BLOCK_ROWS, (k + 1) * BLOCK_ROWS))));
}

function contentOf(facts: BarFileFacts, index: BlockIndex): string {
  const { dataset, instrument } = facts;
  const said = [BAR_FILE_FORMAT, BAR_FILE_VERSION, BLOCK_ROWS,
    dataset.source, dataset.isSynthetic, dataset.kind, dataset.timeframe, dataset.calendar,
    dataset.adjustment, instrument.symbol, instrument.assetClass, instrument.currency,
    instrument.halfSpreadBps, instrument.description, facts.rows, facts.columns,
    facts.actions.map((action) => [action.kind, action.exTime, action.value])];
  const hash = createHash("sha256").update(JSON.stringify(said));
  for (const part of [index.firstTime, index.crc, index.factors]) hash.update(bytesOf(part));
  return hash.digest("hex");
}

function attributesOf(
  facts: BarFileFacts, content: string, revision: number,
): Record<string, string | number> {
  const { dataset, instrument } = facts;
  return {
    format: BAR_FILE_FORMAT, version: BAR_FILE_VERSION, symbol: instrument.symbol,
    asset_class: instrument.assetClass, currency: instrument.currency,
    half_spread_bps: instrument.halfSpreadBps, description: instrument.description,
    source: dataset.source, is_synthetic: dataset.isSynthetic ? 1 : 0,
    adjustment: dataset.adjustment, kind: dataset.kind, timeframe: dataset.timeframe,
    calendar: dataset.calendar,
    revision, rows: facts.rows, block_rows: BLOCK_ROWS, columns: facts.columns.join(","), content,
  };
}

function datasetsOf(
  facts: BarFileFacts, arrays: readonly Float64Array[], index: BlockIndex,
): Hdf5Column[] {
  const unit = (name: ColumnName): { unit: string } => ({ unit: COLUMNS[name].unit });
  const found: Hdf5Column[] = [
    { name: "time", values: arrays[0],
      attributes: { unit: "ms since 1970-01-01T00:00Z, close of the row" } },
    ...facts.columns.map((name, j) => ({ name, values: arrays[j + 1], attributes: unit(name) })),
    { name: "index/first_time", values: index.firstTime },
    { name: "index/crc32", values: index.crc, shape: [arrays.length, index.firstTime.length] },
  ];
  if (facts.actions.length === 0) return found;
  const numbers = (of: (action: CorporateAction) => number): Float64Array =>
    Float64Array.from(facts.actions, of);
  found.push(
    { name: "actions/ex_time", values: numbers((action) => action.exTime) },
    { name: "actions/kind", values: numbers((action) => ACTION_CODES.indexOf(action.kind)),
      attributes: { unit: "code: 0 split, 1 dividend" } },
    { name: "actions/value", values: numbers((action) => action.value),
      attributes: { unit: "new shares per old share, or cash per share" } },
    { name: "actions/factor", values: index.factors,
      attributes: { unit: "of prices before the ex-date" } });
  return found;
}

/** Files up to this size are read in one go; a file of daily bars is 0.1 MiB. */
export const SMALL_BYTES = 8 << 20;

/** SHA-256 of a whole file. */
export function hashBarFile(place: string, bytes: number): string {
  return bytes <= SMALL_BYTES ? hashOf(fs.readFileSync(place)) : hashFile(place);
}

/** A part of a file. The arrays are the caller's. */
export interface BarFilePart {
  readonly time: Float64Array;
  readonly columns: Partial<Record<ColumnName, Float64Array>>;
  /** Price factor of each action by itself (A). */
  readonly factors: Float64Array;
}

/**
 * Reads the rows of from..to (UTC ms, inclusive) and only their blocks. Throws an Error with a
 * reason when the file is not, byte for byte, what the manifest promises.
 */
export function readBarFile(
  place: string, facts: BarFileFacts, content: string,
  wanted: { readonly from: number; readonly to: number; readonly columns: readonly ColumnName[] },
): BarFilePart {
  using file = openHdf5(place);
  const index = readIndex(file, facts);
  if (contentOf(facts, index) !== content) {
    throw new Error("its index is not the one the manifest promises");
  }
  const [first, last] = blockRange(index.firstTime, wanted.from, wanted.to);
  const start = first * BLOCK_ROWS, end = Math.min(last * BLOCK_ROWS, facts.rows);
  const read = (name: ColumnName | "time", line: number): Float64Array => {
    const values = file.rows(name, start, end);
    const expected = index.crc.subarray(line * index.firstTime.length + first);
    const bad = blockCrcs(values).findIndex((crc, k) => crc !== expected[k]);
    const row = start + bad * BLOCK_ROWS;
    if (bad >= 0) throw new Error(`column "${name}" is damaged near row ${row}`);
    return values;
  };
  const time = read("time", 0);
  const from = lowerBound(time, wanted.from, false), to = lowerBound(time, wanted.to, true);
  const columns: Partial<Record<ColumnName, Float64Array>> = {};
  const isAll = from === 0 && to === time.length;
  const cut = (values: Float64Array): Float64Array => isAll ? values : values.slice(from, to);
  for (const name of wanted.columns) {
    columns[name] = cut(read(name, 1 + facts.columns.indexOf(name)));
  }
  return { time: cut(time), columns, factors: index.factors };
}

function readIndex(file: Hdf5Reader, facts: BarFileFacts): BlockIndex {
  const blocks = blocksOf(facts.rows);
  const index = {
    firstTime: file.rows("index/first_time", 0, blocks),
    crc: file.words("index/crc32"),
    factors: facts.actions.length === 0 ? new Float64Array(0)
      : file.rows("actions/factor", 0, facts.actions.length),
  };
  if (index.crc.length !== blocks * (1 + facts.columns.length)) {
    throw new Error("its index has another size");
  }
  return index;
}

/**
 * Blocks [first, last) that can hold a row of from..to. Ticks may share a stamp across a block's
 * edge.
 */
function blockRange(firstTime: Float64Array, from: number, to: number): [number, number] {
  const last = lowerBound(firstTime, to, true);
  return [Math.min(last, Math.max(0, lowerBound(firstTime, from, false) - 1)), last];
}

/** First place whose value is >= `value`, or > `value` when `isAfterEqual`. */
function lowerBound(values: Float64Array, value: number, isAfterEqual: boolean): number {
  let low = 0, high = values.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const isBefore = values[middle] < value || (isAfterEqual && values[middle] === value);
    if (isBefore) low = middle + 1; else high = middle;
  }
  return low;
}
