/** The store of bars: one HDF5 file per instrument and a manifest. (signatures first; bodies follow) */
import type { Bars, ColumnName } from "./bars.ts";
import type { Manifest, ManifestRow } from "./manifest.ts";
import type { Delivery, SourceDescription } from "./sources/source.ts";

export { listDatasets, readManifest } from "./manifest.ts";
export type { Manifest, ManifestRow } from "./manifest.ts";

export interface ReadOptions {
  /** First and last moment wanted, UTC ms, both inclusive. */
  readonly from?: number;
  readonly to?: number;
  readonly columns?: readonly ColumnName[];
  /** What the prices are after reading; "total" (splits and dividends) unless said. */
  readonly adjust?: "none" | "split" | "total";
}

export declare function readBars(root: string, manifest: Manifest, symbol: string, options?: ReadOptions): Promise<Bars>;

export declare class DatasetWriter {
  static open(root: string, dataset: string, description: SourceDescription): DatasetWriter;
  have(): ReadonlySet<string>;
  put(delivery: Delivery): Promise<ManifestRow>;
  commit(): Promise<Manifest>;
}
