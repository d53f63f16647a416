/**
 * The store of bars. A dataset is a folder in the data root:
 *
 *   datasets/NAME/manifest.json      the commit point (manifest.ts)
 *                 bars/AAPL.0f3a9c...h5     one instrument's rows; its name ends in a hash of
 *                                           its content (bar-file.ts)
 *                 fetch.journal      what an unfinished fetch has already put (dataset-writer.ts)
 *                 fetch.lock         the process that writes
 *
 * Nothing that a manifest points at is ever overwritten, so a dataset stays readable, whole, until
 * the next manifest replaces this one. What is checked when rows are read: the file's size; the
 * SHA-256 of the whole file once per process where it is small or read whole; always the index
 * against the manifest and a CRC of each block that is read. `dmn fetch --check` hashes every file.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { places } from "../base/data-root.ts";
import { messageOf, UserError } from "../base/error.ts";
import { suggestion } from "../base/suggest.ts";
import { adjustBars, type AdjustMode } from "./adjust.ts";
import { hashBarFile, readBarFile, SMALL_BYTES, type BarFileFacts } from "./bar-file.ts";
import type { Bars, ColumnName } from "./bars.ts";
import { calendar } from "./calendar.ts";
import { loadHdf5 } from "./hdf5.ts";
import { MANIFEST_FILE, rowOf, type Manifest, type ManifestRow } from "./manifest.ts";

export { DatasetWriter } from "./dataset-writer.ts";
export { listDatasets, readManifest } from "./manifest.ts";
export type { Manifest, ManifestRow } from "./manifest.ts";

/** Files remembered as good; beyond it all are checked anew. */
const VERIFIED_MAX = 100_000;

export interface ReadOptions {
  /** First and last moment wanted, UTC ms, both inclusive. */
  readonly from?: number;
  readonly to?: number;
  /** All that are stored, unless said. */
  readonly columns?: readonly ColumnName[];
  /** What prices are adjusted for; "total" (splits and dividends) unless said. */
  readonly adjust?: AdjustMode;
}

/**
 * Rows of one instrument, of a range of time, of some columns: nothing else is read (a range may be
 * empty). Throws UserError for an unknown symbol or column, and for a file that is missing, damaged
 * or not the manifest's.
 */
export async function readBars(
  root: string, manifest: Manifest, symbol: string, options: ReadOptions = {},
): Promise<Bars> {
  const row = rowOf(manifest, symbol);
  const { from = -Infinity, to = Infinity, columns = row.columns, adjust = "total" } = options;
  const unknown = columns.find((name) => !row.columns.includes(name));
  if (unknown !== undefined) {
    throw new UserError(`${symbol} in dataset "${manifest.dataset}" has no column "${unknown}"`,
      suggestion(unknown, row.columns));
  }
  const isRange = from > row.from || to < row.to;
  verify(root, manifest, row, !isRange || row.bytes <= SMALL_BYTES);
  await loadHdf5();
  const facts: BarFileFacts = { ...row, dataset: manifest };
  const part = guard(root, manifest, row, () =>
    readBarFile(placeOf(root, manifest, row), facts, row.content, { from, to, columns }));
  const bars: Bars = {
    instrument: row.instrument, kind: manifest.kind, timeframe: manifest.timeframe,
    time: part.time, columns: part.columns,
  };
  return adjustBars(bars, row.actions, part.factors,
    { mode: adjust, adjustment: manifest.adjustment, calendar: calendar(manifest.calendar) });
}

/** Hashes an instrument's whole file, whatever was checked before. Throws UserError if it differs. */
export function checkFile(root: string, manifest: Manifest, symbol: string): void {
  const row = rowOf(manifest, symbol);
  verified.delete(placeOf(root, manifest, row));
  verify(root, manifest, row, true);
}

const placeOf = (root: string, manifest: Manifest, row: ManifestRow): string =>
  path.join(places.dataset(root, manifest.dataset), row.file);

/** Place of each file that was found good -> which one it was. */
const verified = new Map<string, string>();

function verify(root: string, manifest: Manifest, row: ManifestRow, isWhole: boolean): void {
  const place = placeOf(root, manifest, row);
  guard(root, manifest, row, () => {
    const found = fs.statSync(place, { throwIfNoEntry: false });
    if (found === undefined) throw new Error("it is missing");
    if (found.size !== row.bytes) {
      throw new Error(`it has ${found.size} bytes instead of ${row.bytes}`);
    }
    const identity = `${row.sha256} ${found.ino} ${found.mtimeMs}`;
    if (!isWhole || verified.get(place) === identity) return;
    if (hashBarFile(place, found.size) !== row.sha256) {
      throw new Error("its bytes are not the ones that were written (SHA-256 differs)");
    }
    if (verified.size >= VERIFIED_MAX) verified.clear();
    verified.set(place, identity);
  });
}

/** Turns whatever is wrong with a file into one sentence and the command that mends it. */
function guard<T>(root: string, manifest: Manifest, row: ManifestRow, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof UserError) throw error;
    const place = placeOf(root, manifest, row);
    if (isReplaced(root, manifest)) {
      throw new UserError(
        `dataset "${manifest.dataset}" was replaced by a new fetch while it was being read`,
        "run the same command again", { cause: error });
    }
    throw new UserError(`${place} (${row.symbol}) cannot be used: ${messageOf(error)}`,
      `fetch the dataset again: ${manifest.command}`, { cause: error });
  }
}

function isReplaced(root: string, manifest: Manifest): boolean {
  try {
    const place = path.join(places.dataset(root, manifest.dataset), MANIFEST_FILE);
    const text = fs.readFileSync(place, "utf8");
    return (JSON.parse(text) as { revision?: unknown }).revision !== manifest.revision;
  } catch { return false; }
}
