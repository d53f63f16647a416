/**
 * HDF5 through h5wasm, with its traps closed: it reports trouble by exceptions (its default is a
 * negative id and lines on stderr), every file is closed by scope, and numbers pass in pieces that
 * fit its 2 GiB of memory.
 *
 * Datasets are contiguous and not compressed. Measured per file of
 * 6 columns x 2,500 rows (BENCHMARKS.md, suite store): contiguous writes in 0.7 ms and reads in
 * 0.4 ms, chunked 0.8 and 0.5, gzip (the only filter that plain h5py reads) 3.2 and 1.0 for 36 %
 * less disk. A slice of a contiguous dataset reads its own bytes and nothing else.
 */
import type * as Library from "h5wasm/node";
import { messageOf } from "../base/error.ts";

/** Attributes by name. */
export type Attributes = Readonly<Record<string, string | number>>;

/** Rows moved in one call: 32 MiB of float64. */
const PIECE_ROWS = 1 << 22;

/** What of the library's inside is used; its own types leave some of it out. */
interface Module {
  readonly HEAPU8: Uint8Array;
  readonly H5T_class_t: { readonly H5T_FLOAT: { readonly value: number } };
  activate_throwing_error_handler(): number;
  get_dataset_data(file: bigint, path: string, count: bigint[], offset: bigint[],
    strides: bigint[], memory: bigint): number;
  _malloc(bytes: number): number;
  _free(memory: number): void;
}

let opening: Promise<void> | null = null;
let library: typeof Library;
let loaded: Module;

/** Loads the library once: 30 MiB, for those who read or write. Every other function here needs it. */
export async function loadHdf5(): Promise<void> {
  opening ??= (async () => {
    library = await import("h5wasm/node");
    loaded = await library.ready;
    loaded.activate_throwing_error_handler();
  })();
  await opening;
}

const floatClass = (): number => loaded.H5T_class_t.H5T_FLOAT.value;

export interface Hdf5Column {
  /** Path inside the file: "close", "index/crc32". */
  readonly name: string;
  readonly values: Float64Array | Uint32Array;
  /** Rows x columns of a table; a plain column when absent. */
  readonly shape?: readonly [number, number];
  readonly attributes?: Readonly<Record<string, string>>;
}

/**
 * Writes a new file. Throws an Error with HDF5's last reason, and `code` where the disk refused.
 */
export function writeHdf5(
  place: string, attributes: Attributes, columns: readonly Hdf5Column[],
): void {
  let file: Library.File | null = null;
  try {
    file = new library.File(place, "w");
    writeAttributes(file, attributes);
    const folders = columns.flatMap((one) => one.name.split("/").slice(0, -1));
    for (const folder of new Set(folders)) file.create_group(folder);
    for (const one of columns) {
      const dataset = file.create_dataset({
        name: one.name, data: one.values, shape: one.shape ? [...one.shape] : [one.values.length],
        dtype: one.values instanceof Float64Array ? "<d" : "<I",
      });
      if (one.attributes) writeAttributes(dataset, one.attributes);
    }
    const closing = file;
    file = null;
    closing.close();
  } catch (error) {
    closeQuietly(file);
    throw reasonOf(error);
  }
}

function writeAttributes(target: Library.Group | Library.Dataset, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "number") target.create_attribute(name, Float64Array.of(value), [], "<d");
    else target.create_attribute(name, value);
  }
}

/** A file open for reading. `using file = openHdf5(place)`. */
export interface Hdf5Reader extends Disposable {
  /** Rows [from, to) of a float64 column, bit for bit. */
  rows(name: string, from: number, to: number): Float64Array;
  /** A whole table of uint32, row by row. */
  words(name: string): Uint32Array;
}

export function openHdf5(place: string): Hdf5Reader {
  const file = attempt(() => new library.File(place, "r"));
  const open = (name: string): Library.Dataset => {
    const found = file.get(name);
    if (!(found instanceof library.Dataset)) throw new Error(`it has no dataset "${name}"`);
    return found;
  };
  return {
    rows: (name, from, to) => attempt(() => readFloats(open(name), name, from, to)),
    words: (name) => attempt(() => {
      const values = open(name).value;
      if (!(values instanceof Uint32Array)) throw new Error(`dataset "${name}" is not uint32`);
      return values;
    }),
    [Symbol.dispose]() { closeQuietly(file); },
  };
}

/**
 * Dataset.slice copies every number three times on its way out of the library's memory; this does
 * it once: 6 columns x 10,000 rows take 0.4 ms instead of 0.5 (best of 400).
 */
function readFloats(dataset: Library.Dataset, name: string, from: number, to: number): Float64Array {
  const { type, size, littleEndian, shape } = dataset.metadata;
  if (type !== floatClass() || size !== Float64Array.BYTES_PER_ELEMENT || !littleEndian) {
    throw new Error(`dataset "${name}" is not float64`);
  }
  if (shape?.length !== 1 || shape[0] < to) throw new Error(`dataset "${name}" has fewer rows`);
  const values = new Float64Array(to - from), bytes = new Uint8Array(values.buffer);
  if (to <= from) return values;
  const memory = loaded._malloc(Math.min(to - from, PIECE_ROWS) * size);
  if (memory === 0) throw new Error("there is no memory left for a column");
  try {
    for (let at = from; at < to; at += PIECE_ROWS) {
      const count = Math.min(PIECE_ROWS, to - at);
      loaded.get_dataset_data(dataset.file_id, dataset.path, [BigInt(count)], [BigInt(at)], [1n],
        BigInt(memory));
      // The view is made after the call: the library's memory moves when it grows.
      bytes.set(loaded.HEAPU8.subarray(memory, memory + count * size), (at - from) * size);
    }
  } finally { loaded._free(memory); }
  return values;
}

/** A file that fails to close is one that already failed: the first reason is the one to tell. */
function closeQuietly(file: Library.File | null): void {
  try { file?.close(); } catch { /* told already */ }
}

function attempt<T>(work: () => T): T {
  try { return work(); } catch (error) { throw reasonOf(error); }
}

/**
 * The innermost sentence of HDF5's error stack, and the operating system's code where it names one.
 */
function reasonOf(error: unknown): Error {
  const text = messageOf(error);
  if (!text.startsWith("HDF5-DIAG")) return error instanceof Error ? error : new Error(text);
  const lines = text.split("\n").filter((line) => /^\s*#\d+:/.test(line));
  const reason = lines.at(-1)?.replace(/^.*?\(\): /, "").trim() ?? "HDF5 failed";
  const code = /No space left/.test(text) ? "ENOSPC" : /[Qq]uota/.test(text) ? "EDQUOT"
    : /Permission denied|not permitted/.test(text) ? "EACCES"
    : /Read-only/.test(text) ? "EROFS" : undefined;
  return Object.assign(new Error(reason), code === undefined ? {} : { code });
}
