/** Reads a .csv or .csv.gz in pieces, so that memory holds numbers, not text. */
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import type { Context } from "../../base/context.ts";
import { UserError } from "../../base/error.ts";
import { suggestion } from "../../base/suggest.ts";
import { CsvParser } from "./csv-parser.ts";
import { cutArchive, damagedArchive } from "./csv-refusal.ts";
import type { Layout } from "./csv-layout.ts";
import type { CsvTable } from "./csv-table.ts";

const PIECE_BYTES = 1 << 20;
/** Pieces of text that may wait; zlib's types do not name the stream's own options. */
const ROOM = { readableHighWaterMark: 4 * PIECE_BYTES };

export interface CsvContent {
  readonly layout: Layout;
  readonly table: CsvTable;
  /** Whether stamps are bare dates. */
  readonly isDated: boolean;
  /** Of the file as it lies on the disk, hexadecimal. */
  readonly sha256: string;
}

/** Throws UserError for a missing, cut or damaged file and for its first bad row. */
export async function readCsv(place: string, wanted: ReadonlySet<string>,
  context: Context): Promise<CsvContent> {
  const name = path.basename(place);
  const size = sizeOf(place);
  const parser = new CsvParser(name, wanted);
  const hash = createHash("sha256");
  const task = context.progress.start(`read ${name}`, Math.ceil(size / PIECE_BYTES), "MiB");
  const pieces = async function* (): AsyncIterable<Uint8Array> {
    for await (const piece of readPieces(place)) {
      hash.update(piece);
      task.advance();
      yield piece;
    }
  };
  const parse = async (texts: AsyncIterable<Uint8Array>): Promise<void> => {
    for await (const piece of texts) parser.feed(piece);
  };
  const { signal } = context;
  try {
    if (place.endsWith(".gz")) {
      // Several gzip members in a row are one file; anything else behind the last is an error.
      // With room for several pieces the archive is inflated while the one before is parsed.
      const gunzip = createGunzip({ chunkSize: PIECE_BYTES, ...ROOM });
      await pipeline(pieces, gunzip, parse, { signal });
    } else await pipeline(pieces, parse, { signal });
  } catch (error) {
    signal.throwIfAborted();
    throw explainRead(name, error);
  }
  task.finish();
  return { ...parser.finish(), sha256: hash.digest("hex") };
}

/**
 * The file through two buffers in turn: one is read while the other is in use. A piece is good
 * until the next but one is asked for, so whoever keeps it longer copies it.
 */
async function* readPieces(place: string): AsyncGenerator<Uint8Array> {
  const buffers = [new Uint8Array(PIECE_BYTES), new Uint8Array(PIECE_BYTES)];
  const file = await fs.promises.open(place, "r");
  const read = (turn: number): Promise<Uint8Array> => {
    const piece = buffers[turn % 2];
    const reading = file.read(piece, 0, PIECE_BYTES).then((done) =>
      piece.subarray(0, done.bytesRead));
    // It may fail while nobody waits for it; the one who asks for the piece is told.
    reading.catch(() => {});
    return reading;
  };
  let reading = read(0);
  try {
    for (let turn = 1; ; turn++) {
      const piece = await reading;
      if (piece.length === 0) return;
      reading = read(turn);
      yield piece;
    }
  } finally {
    await reading.catch(() => {});
    await file.close();
  }
}

function sizeOf(place: string): number {
  const found = fs.statSync(place, { throwIfNoEntry: false });
  if (found?.isFile()) return found.size;
  const folder = path.dirname(place);
  const near = fs.existsSync(folder) && fs.statSync(folder).isDirectory()
    ? fs.readdirSync(folder).filter((name) => /\.csv(\.gz)?$/.test(name)) : [];
  throw new UserError(found === undefined ? `there is no file ${place}` : `${place} is not a file`,
    near.length > 0 ? suggestion(path.basename(place), near)
      : "give the CSV file with --path FILE.csv or FILE.csv.gz");
}

function explainRead(name: string, error: unknown): unknown {
  switch ((error as NodeJS.ErrnoException).code) {
    case "Z_BUF_ERROR": return cutArchive(name);
    case "Z_DATA_ERROR": return damagedArchive(name, (error as Error).message);
    case "EACCES": return new UserError(`${name} may not be read`, `allow it: chmod u+r ${name}`);
    default: return error;
  }
}
