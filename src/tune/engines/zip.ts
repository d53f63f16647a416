/**
 * A zip file (PKWARE APPNOTE 6.3.3: no zip64, no encryption), the same bytes for the same contents.
 *
 *   (local header, name, deflated bytes)*   (central header, name)*   end record
 *
 * Times are the format's first moment, 1980-01-01; modes are kept, so that a program stays one.
 */
import * as fs from "node:fs";
import { promisify } from "node:util";
import * as zlib from "node:zlib";
import { assert } from "../../base/assert.ts";

const deflate: (bytes: Uint8Array, options: zlib.ZlibOptions) => Promise<Uint8Array> =
  promisify(zlib.deflateRaw);

export interface ZipEntry {
  /** Inside the zip, with slashes, relative. */
  readonly path: string;
  readonly isExecutable: boolean;
  read(): Uint8Array;
}

/** Sizes and offsets are 32 bits, the count 16. */
const ENTRIES_MAX = 0xfffe, BYTES_MAX = 0xffff_fffe;
const DATE_1980 = 0x21, DEFLATED = 8, UTF8_NAMES = 0x800, VERSION = 20, MADE_BY_UNIX = 3 << 8 | VERSION;

/**
 * Writes the entries in their order and answers the zip's length in bytes; -1 where it would be longer than
 * `bytesMax`, and then the rest was not written.
 */
export async function writeZip(
  place: string, entries: readonly ZipEntry[], bytesMax: number,
): Promise<number> {
  assert(entries.length <= ENTRIES_MAX, `${entries.length} entries in a zip`);
  assert(bytesMax <= BYTES_MAX, "a zip of 4 GiB");
  const file = fs.openSync(place, "w");
  let at = 0;
  const put = (bytes: Uint8Array): void => {
    for (let done = 0; done < bytes.length;) done += fs.writeSync(file, bytes, done);
    at += bytes.length;
  };
  try {
    const directory: Uint8Array[] = [];
    for (const entry of entries) {
      const bytes = entry.read(), name = Buffer.from(entry.path, "utf8");
      const packed = await deflate(bytes, { level: 6 });
      if (at + packed.length > bytesMax) return -1;
      const common = commonHeader(zlib.crc32(bytes), packed.length, bytes.length, name.length);
      directory.push(centralHeader(common, entry.isExecutable, at), name);
      put(signature(0x04034b50));
      put(common);
      put(name);
      put(packed);
    }
    const start = at;
    for (const piece of directory) put(piece);
    put(endRecord(entries.length, at - start, start));
    return at <= bytesMax ? at : -1;
  } finally { fs.closeSync(file); }
}

function signature(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** What a local and a central header share: version to its end with the lengths of name and extra field. */
function commonHeader(crc: number, packedBytes: number, bytes: number, nameBytes: number): Buffer {
  const header = Buffer.alloc(26);
  header.writeUInt16LE(VERSION, 0);
  header.writeUInt16LE(UTF8_NAMES, 2);
  header.writeUInt16LE(DEFLATED, 4);
  header.writeUInt16LE(DATE_1980, 8);
  header.writeUInt32LE(crc, 10);
  header.writeUInt32LE(packedBytes, 14);
  header.writeUInt32LE(bytes, 18);
  header.writeUInt16LE(nameBytes, 22);
  return header;
}

function centralHeader(common: Buffer, isExecutable: boolean, at: number): Buffer {
  const header = Buffer.alloc(46);
  header.writeUInt32LE(0x02014b50, 0);
  header.writeUInt16LE(MADE_BY_UNIX, 4);
  common.copy(header, 6);
  // A regular file of its owner and readable by all, in the upper half of the external attributes.
  header.writeUInt16LE(isExecutable ? 0o100755 : 0o100644, 40);
  header.writeUInt32LE(at, 42);
  return header;
}

function endRecord(entries: number, bytes: number, start: number): Buffer {
  const record = Buffer.alloc(22);
  record.writeUInt32LE(0x06054b50, 0);
  record.writeUInt16LE(entries, 8);
  record.writeUInt16LE(entries, 10);
  record.writeUInt32LE(bytes, 12);
  record.writeUInt32LE(start, 16);
  return record;
}
