/**
 * Whole Parquet files put together from, and taken apart into, small ones. parquet-wasm encodes and
 * decodes the columns, but only whole files in its memory, which never shrinks; so each piece of an
 * instrument is a file of its own with one row group, and this file moves row groups between files
 * by copying bytes and shifting the positions in the footer.
 *
 *   piece:  PAR1 | pages of the row group | (page index) | footer | length | PAR1
 *   file:   PAR1 | pages, pages, pages, ...              | footer with all row groups | length | PAR1
 *
 * Field numbers are those of parquet.thrift (Apache Parquet format 2.10): FileMetaData 1 version, 2
 * schema, 3 rows, 4 row groups, 5 key-value metadata, 6 created by, 7 column orders; RowGroup 1
 * columns, 3 rows, 5 position; ColumnChunk 2 position, 3 metadata, 4 to 7 page index (dropped:
 * optional); ColumnMetaData 7 compressed size, 9 to 11 positions of pages.
 */
import { ThriftReader, ThriftWriter, Type } from "./thrift.ts";

const MAGIC = "PAR1";
export const MAGIC_BYTES = 4;
/** Length of the footer and magic at the end. */
export const TAIL_BYTES = 8;

export interface Footer {
  /** The fields that all pieces of a file share, as they are in it. */
  readonly schema: Uint8Array;
  readonly createdBy: string;
  readonly columnOrders: Uint8Array | null;
  readonly rows: number;
  /** Each row group's structure, as it is in the footer. */
  readonly groups: readonly Uint8Array[];
  readonly keyValues: ReadonlyMap<string, string>;
  /** Bytes of the footer before its key-value metadata, for a checksum. */
  readonly head: Uint8Array;
}

/** Parses a footer (without length and magic). Throws RangeError when it is damaged. */
export function parseFooter(bytes: Uint8Array): Footer {
  const reader = new ThriftReader(bytes);
  const groups: Uint8Array[] = [], keyValues = new Map<string, string>();
  let schema = new Uint8Array(), columnOrders: Uint8Array | null = null, createdBy = "";
  let rows = -1, headEnd = -1;
  const raw = (type: number): Uint8Array => {
    const start = reader.at;
    reader.skip(type);
    return bytes.slice(start, reader.at);
  };
  reader.struct((id, type) => {
    if (id === 2) schema = raw(type) as Uint8Array<ArrayBuffer>;
    else if (id === 3) rows = reader.zigzag();
    else if (id === 4) {
      const { size } = reader.list();
      for (let k = 0; k < size; k++) {
        const start = reader.at;
        reader.skip(Type.struct);
        groups.push(bytes.subarray(start, reader.at));
      }
      headEnd = reader.at;
    } else if (id === 5) readKeyValues(reader, keyValues);
    else if (id === 6) createdBy = reader.text();
    else if (id === 7) columnOrders = raw(type);
  });
  if (schema.length === 0 || rows < 0 || headEnd < 0) {
    throw new RangeError("the footer lacks its schema or rows");
  }
  return { schema, createdBy, columnOrders, rows, groups, keyValues, head: bytes.subarray(0, headEnd) };
}

function readKeyValues(reader: ThriftReader, into: Map<string, string>): void {
  const { size } = reader.list();
  for (let k = 0; k < size; k++) {
    let key = "", value = "";
    reader.struct((id) => {
      if (id === 1) key = reader.text(); else if (id === 2) value = reader.text();
    });
    into.set(key, value);
  }
}

export interface FooterParts {
  readonly schema: Uint8Array;
  readonly createdBy: string;
  readonly columnOrders: Uint8Array | null;
  readonly rows: number;
  readonly groups: readonly Uint8Array[];
}

/** Encodes a footer; the key-value metadata may depend on what comes before it. */
export function encodeFooter(parts: FooterParts,
  keyValues: (head: Uint8Array) => ReadonlyMap<string, string>): Uint8Array {
  const writer = new ThriftWriter();
  writer.struct(() => {
    writer.field(1, Type.i32).zigzag(1);
    writer.field(2, Type.list).raw(parts.schema);
    writer.field(3, Type.i64).zigzag(parts.rows);
    writer.field(4, Type.list).listHead(Type.struct, parts.groups.length);
    for (const group of parts.groups) writer.raw(group);
    const pairs = keyValues(writer.bytes());
    writer.field(5, Type.list).listHead(Type.struct, pairs.size);
    for (const [key, value] of pairs) {
      writer.struct(() => {
        writer.field(1, Type.binary).text(key);
        writer.field(2, Type.binary).text(value);
      });
    }
    writer.field(6, Type.binary).text(parts.createdBy);
    if (parts.columnOrders !== null) writer.field(7, Type.list).raw(parts.columnOrders);
  });
  return writer.bytes();
}

/**
 * The structure of a row group whose pages have moved by `shift` bytes. The page index is left out.
 */
export function moveGroup(group: Uint8Array, shift: number): Uint8Array {
  const reader = new ThriftReader(group), writer = new ThriftWriter();
  copyStruct(reader, writer, (id, type) => {
    if (id === 5) { writer.field(id, type).zigzag(reader.zigzag() + shift); return true; }
    if (id === 7) return "drop";
    if (id !== 1) return false;
    const { size } = reader.list();
    writer.field(1, Type.list).listHead(Type.struct, size);
    for (let k = 0; k < size; k++) moveChunk(reader, writer, shift);
    return true;
  });
  return writer.bytes();
}

function moveChunk(reader: ThriftReader, writer: ThriftWriter, shift: number): void {
  copyStruct(reader, writer, (id, type) => {
    if (id === 2) { writer.field(id, type).zigzag(0); reader.zigzag(); return true; }
    if (id >= 4 && id <= 7) return "drop";
    if (id !== 3) return false;
    writer.field(3, type);
    copyStruct(reader, writer, (inner, innerType) => {
      if (inner < 9 || inner > 11) return false;
      writer.field(inner, innerType).zigzag(reader.zigzag() + shift);
      return true;
    });
    return true;
  });
}

/**
 * Copies a struct; `edit` may write a field itself (true), drop it, or leave it to be copied as it
 * is.
 */
function copyStruct(reader: ThriftReader, writer: ThriftWriter,
  edit: (id: number, type: number) => boolean | "drop"): void {
  writer.struct(() => {
    reader.struct((id, type) => {
      const start = reader.at, done = edit(id, type);
      if (done !== false) return;
      reader.skip(type);
      writer.field(id, type).raw(reader.bytes.subarray(start, reader.at));
    });
  });
}

/** Where the pages of a row group lie: [from, to) in its file, and its rows. */
export function extentOf(group: Uint8Array): { from: number; to: number; rows: number } {
  const reader = new ThriftReader(group);
  let from = Infinity, to = 0, rows = -1;
  reader.struct((id) => {
    if (id === 3) rows = reader.zigzag();
    if (id !== 1) return;
    const { size } = reader.list();
    for (let k = 0; k < size; k++) {
      reader.struct((chunkField) => {
        if (chunkField !== 3) return;
        let start = Infinity, bytes = NaN;
        reader.struct((inner) => {
          if (inner === 7) bytes = reader.zigzag();
          if (inner === 9 || inner === 11) start = Math.min(start, reader.zigzag());
        });
        from = Math.min(from, start);
        to = Math.max(to, start + bytes);
      });
    }
  });
  const isExtent = from >= MAGIC_BYTES && to > from && rows >= 0;
  if (!isExtent) throw new RangeError("a row group has no extent");
  return { from, to, rows };
}

/** The footer of a file in memory. Throws RangeError when the file is not whole. */
export function footerOf(file: Uint8Array): Footer {
  const length = footerLength(file.subarray(-TAIL_BYTES), file.length);
  return parseFooter(file.subarray(file.length - TAIL_BYTES - length, file.length - TAIL_BYTES));
}

/**
 * Reads the last eight bytes of a file. Throws RangeError when they cannot be the end of a Parquet
 * file.
 */
export function footerLength(tail: Uint8Array, fileLength: number): number {
  if (tail.length < TAIL_BYTES || Buffer.from(tail.subarray(4)).toString("latin1") !== MAGIC) {
    throw new RangeError("it does not end like a Parquet file");
  }
  const length = new DataView(tail.buffer, tail.byteOffset).getUint32(0, true);
  const longest = fileLength - TAIL_BYTES - MAGIC_BYTES;
  if (length > longest) throw new RangeError("its footer is longer than the file");
  return length;
}

/** Length and magic that follow a footer. */
export function tailOf(footer: Uint8Array): Uint8Array {
  const tail = Buffer.alloc(TAIL_BYTES);
  tail.writeUInt32LE(footer.length, 0);
  tail.write(MAGIC, 4, "latin1");
  return tail;
}

export const magic = (): Uint8Array => Buffer.from(MAGIC, "latin1");
