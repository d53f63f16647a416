/** A small table as Parquet, in memory: columns of text, whole numbers or floats, one row group. */
import * as arrow from "apache-arrow";
import * as parquet from "parquet-wasm";
import { assert } from "../base/assert.ts";

export type TableColumn = readonly string[] | Int32Array | Float64Array;

/** Bytes of a Parquet file. Columns are of one length; equal columns make equal bytes. */
export function encodeTable(columns: Readonly<Record<string, TableColumn>>): Uint8Array {
  const lengths = Object.values(columns).map((column) => column.length);
  assert(lengths.length > 0 && lengths.every((length) => length === lengths[0]), "columns of one length");
  const vectors = Object.fromEntries(Object.entries(columns).map(([name, column]) =>
    [name, Array.isArray(column) ? arrow.vectorFromArray(column as string[], new arrow.Utf8())
      : arrow.makeVector(column as Int32Array | Float64Array)]));
  const table = parquet.Table.fromIPCStream(arrow.tableToIPC(new arrow.Table(vectors), "stream"));
  return parquet.writeParquet(table,
    new parquet.WriterPropertiesBuilder().setCompression(parquet.Compression.ZSTD).build());
}
