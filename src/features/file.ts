/**
 * Features on disk: one Parquet file a recipe, in the dataset's folder, any reader's; each row
 * group holds one instrument (a long one has several), so that one instrument is read without the
 * others.
 *
 *   datasets/NAME/features/RECIPE.parquet
 *   key-value metadata   dmn.format, dmn.version      of this layout
 *                        dmn.hash, dmn.fingerprint    of the recipe (Panel.hash) and of the bars
 *                        dmn.columns                  name, unit, warmup, role of each
 *                        dmn.index                    [symbol, rows, crc32 of each row group's bytes] each
 *                        dmn.crc32                    of the footer
 *
 * A file is written beside its place and renamed, so it is whole or absent; the checksums find what
 * a disk did later.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { crc32 } from "node:zlib";
import { assert } from "../base/assert.ts";
import { places } from "../base/data-root.ts";
import { messageOf, UserError } from "../base/error.ts";
import { encodeFooter, extentOf, footerLength, footerOf, magic, MAGIC_BYTES, moveGroup, parseFooter,
  tailOf, TAIL_BYTES, type Footer } from "./parquet.ts";
import type { PanelColumn } from "./panel.ts";
import { decodePiece, isKeyColumn, type Rows } from "./piece.ts";

const FORMAT = "dmn.features";
const VERSION = 1;
const FOOTER_BYTES_MAX = 1 << 30;
const ARROW_SCHEMA = "ARROW:schema";

export const featuresPlace = (root: string, dataset: string, recipe: string): string =>
  path.join(places.dataset(root, dataset), "features", `${recipe}.parquet`);

/** What a file says of itself. */
export interface FeaturesHeader {
  readonly recipe: string;
  /** Panel.hash. */
  readonly hash: string;
  readonly dataset: string;
  /** Manifest.fingerprint. */
  readonly fingerprint: string;
  /** Rows were cut to this range, UTC ms; null: not cut. */
  readonly from: number | null;
  readonly to: number | null;
  readonly warmup: number;
  readonly columns: readonly Pick<PanelColumn, "name" | "unit" | "warmup" | "role" | "family">[];
}

type IndexRow = [symbol: string, rows: number, checksums: number[]];

/**
 * Puts pieces (piece.ts) together, instrument after instrument. The caller owns the file's name and
 * its end.
 */
export class FeaturesWriter implements Disposable {
  readonly #descriptor: number;
  readonly #header: FeaturesHeader;
  readonly #groups: Uint8Array[] = [];
  readonly #index: IndexRow[] = [];
  #first: Footer | null = null;
  #position = MAGIC_BYTES;
  #rows = 0;

  constructor(place: string, header: FeaturesHeader) {
    const key = header.columns.find((column) => isKeyColumn(column.name));
    assert(key === undefined, `a feature must not be named ${key?.name}`);
    this.#header = header;
    this.#descriptor = fs.openSync(place, "w");
    fs.writeSync(this.#descriptor, magic());
  }

  /** Appends one piece: pieces of one instrument must follow each other. */
  add(symbol: string, piece: Uint8Array): void {
    const footer = footerOf(piece);
    this.#first ??= footer;
    for (const group of footer.groups) {
      const { from, to, rows } = extentOf(group), pages = piece.subarray(from, to);
      writeAll(this.#descriptor, pages);
      this.#groups.push(moveGroup(group, this.#position - from));
      this.#position += pages.length;
      this.#rows += rows;
      const last = this.#index.at(-1);
      if (last?.[0] !== symbol) this.#index.push([symbol, rows, [crc32(pages)]]);
      else {
        last[1] += rows;
        last[2].push(crc32(pages));
      }
    }
  }

  get rows(): number { return this.#rows; }

  /** Writes the footer and returns the size of the file in bytes. */
  finish(): number {
    const first = this.#first;
    assert(first !== null, "a file has at least one row");
    const footer = encodeFooter({ ...first, rows: this.#rows, groups: this.#groups }, (head) => {
      const pairs = new Map(Object.entries(this.#texts()));
      pairs.set(ARROW_SCHEMA, first.keyValues.get(ARROW_SCHEMA) ?? "");
      pairs.set("dmn.crc32", String(checksum(head, pairs)));
      return pairs;
    });
    writeAll(this.#descriptor, footer);
    writeAll(this.#descriptor, tailOf(footer));
    return this.#position + footer.length + TAIL_BYTES;
  }

  #texts(): Record<string, string> {
    const { recipe, hash, dataset, fingerprint, from, to, warmup, columns } = this.#header;
    return {
      "dmn.format": FORMAT, "dmn.version": String(VERSION),
      "dmn.recipe": recipe, "dmn.hash": hash, "dmn.dataset": dataset, "dmn.fingerprint": fingerprint,
      "dmn.from": String(from), "dmn.to": String(to), "dmn.warmup": String(warmup),
      "dmn.columns": JSON.stringify(columns, ["name", "unit", "warmup", "role", "family"]),
      "dmn.index": JSON.stringify(this.#index),
    };
  }

  [Symbol.dispose](): void { fs.closeSync(this.#descriptor); }
}

function writeAll(descriptor: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += fs.writeSync(descriptor, bytes, at);
}

function checksum(head: Uint8Array, pairs: ReadonlyMap<string, string>): number {
  let sum = crc32(head);
  for (const [key, value] of pairs) if (key !== "dmn.crc32") sum = crc32(`${key}=${value};`, sum);
  return sum;
}

interface Instrument {
  readonly rows: number;
  readonly checksums: readonly number[];
  readonly groups: readonly Uint8Array[];
}

/** A file that was found whole. Holds no descriptor: each read opens and closes it. */
export class FeaturesFile {
  readonly place: string;
  readonly header: FeaturesHeader;
  readonly rows: number;
  readonly #footer: Footer;
  readonly #instruments: ReadonlyMap<string, Instrument>;

  private constructor(place: string, footer: Footer, header: FeaturesHeader,
    instruments: ReadonlyMap<string, Instrument>) {
    this.place = place;
    this.header = header;
    this.rows = footer.rows;
    this.#footer = footer;
    this.#instruments = instruments;
  }

  /**
   * Opens a file; null when there is none. Throws UserError when it is damaged or of a newer
   * version.
   */
  static open(place: string, remedy: string): FeaturesFile | null {
    if (!fs.existsSync(place)) return null;
    return guard(place, remedy, () => {
      const footer = parseFooter(readFooter(place)), { keyValues } = footer;
      if (keyValues.get("dmn.format") !== FORMAT) throw new RangeError("it was not written by dmn");
      if (Number(keyValues.get("dmn.version")) > VERSION) {
        throw new UserError(`${place} was written by a newer dmn`,
          `update dmn, or write it anew: ${remedy}`);
      }
      if (checksum(footer.head, keyValues) !== Number(keyValues.get("dmn.crc32"))) {
        throw new RangeError("the checksum of its footer is wrong");
      }
      return new FeaturesFile(place, footer, parseHeader(keyValues), parseIndex(footer));
    });
  }

  get symbols(): string[] { return [...this.#instruments.keys()]; }
  has(symbol: string): boolean { return this.#instruments.has(symbol); }

  /**
   * Reads the rows of one instrument, and no other bytes than theirs: the columns `names` in that
   * order, or all. Throws UserError when they are damaged.
   */
  read(symbol: string, remedy: string,
    names: readonly string[] = this.header.columns.map(({ name }) => name)): Rows {
    const instrument = this.#instruments.get(symbol);
    assert(instrument !== undefined, `${this.place} has ${symbol}`);
    return guard(this.place, remedy, () => {
      const rows = { time: new Float64Array(instrument.rows),
        values: new Float32Array(instrument.rows * names.length) };
      const descriptor = fs.openSync(this.place, "r");
      try {
        let row = 0;
        for (const [k, group] of instrument.groups.entries()) {
          const extent = extentOf(group), pages = readRange(descriptor, extent.from, extent.to);
          if (crc32(pages) !== instrument.checksums[k]) {
            throw new RangeError(`the checksum of ${symbol} is wrong`);
          }
          decodePiece(this.#fileOf(group, extent, pages), names, rows, row);
          row += extent.rows;
        }
      } finally { fs.closeSync(descriptor); }
      return rows;
    });
  }

  /** A Parquet file in memory that holds this row group alone. */
  #fileOf(group: Uint8Array, { from, rows }: { from: number; rows: number },
    pages: Uint8Array): Uint8Array {
    const groups = [moveGroup(group, MAGIC_BYTES - from)];
    const schema = this.#footer.keyValues.get(ARROW_SCHEMA) ?? "";
    const footer = encodeFooter({ ...this.#footer, rows, groups },
      () => new Map([[ARROW_SCHEMA, schema]]));
    return Buffer.concat([magic(), pages, footer, tailOf(footer)]);
  }
}

function readFooter(place: string): Uint8Array {
  const size = fs.statSync(place).size, descriptor = fs.openSync(place, "r");
  try {
    if (size < TAIL_BYTES + MAGIC_BYTES) throw new RangeError("it is too short");
    const length = footerLength(readRange(descriptor, size - TAIL_BYTES, size), size);
    if (length > FOOTER_BYTES_MAX) throw new RangeError("its footer is too long");
    return readRange(descriptor, size - TAIL_BYTES - length, size - TAIL_BYTES);
  } finally { fs.closeSync(descriptor); }
}

function readRange(descriptor: number, from: number, to: number): Uint8Array {
  const bytes = new Uint8Array(to - from);
  for (let at = 0; at < bytes.length;) {
    const read = fs.readSync(descriptor, bytes, at, bytes.length - at, from + at);
    if (read === 0) throw new RangeError("it ends early");
    at += read;
  }
  return bytes;
}

function parseHeader(keyValues: ReadonlyMap<string, string>): FeaturesHeader {
  const text = (key: string): string => keyValues.get(`dmn.${key}`) ?? "";
  const moment = (key: string): number | null => text(key) === "null" ? null : Number(text(key));
  return { recipe: text("recipe"), hash: text("hash"), dataset: text("dataset"),
    fingerprint: text("fingerprint"),
    from: moment("from"), to: moment("to"), warmup: Number(text("warmup")),
    columns: JSON.parse(text("columns")) as FeaturesHeader["columns"] };
}

function parseIndex(footer: Footer): Map<string, Instrument> {
  const instruments = new Map<string, Instrument>();
  let at = 0;
  const index = JSON.parse(footer.keyValues.get("dmn.index") ?? "[]") as IndexRow[];
  for (const [symbol, rows, checksums] of index) {
    const end = at + checksums.length;
    instruments.set(symbol, { rows, checksums, groups: footer.groups.slice(at, end) });
    at = end;
  }
  if (at !== footer.groups.length) throw new RangeError("its index does not match its row groups");
  return instruments;
}

/** Whatever is wrong with the content becomes one sentence and the command that mends it. */
function guard<T>(place: string, remedy: string, work: () => T): T {
  try { return work(); } catch (error) {
    const isRefusal = (error as NodeJS.ErrnoException).syscall !== undefined;
    if (error instanceof UserError || isRefusal) throw error;
    throw new UserError(`${place} is damaged: ${messageOf(error)}`, `write it anew: ${remedy}`,
      { cause: error });
  }
}
