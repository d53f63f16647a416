import type { ColumnName, CorporateAction, Kind, Timeframe } from "./bars.ts";
import type { CalendarName } from "./calendar.ts";
import type { Instrument } from "./instrument.ts";
import type { Adjustment } from "./sources/source.ts";

export interface ManifestRow {
  readonly symbol: string;
  readonly instrument: Instrument;
  /** Relative to the dataset's folder. */
  readonly file: string;
  readonly sha256: string;
  readonly bytes: number;
  readonly rows: number;
  /** Times of the first and last row, UTC ms. */
  readonly from: number;
  readonly to: number;
  readonly columns: readonly ColumnName[];
  readonly actions: readonly CorporateAction[];
}

export interface Manifest {
  readonly format: "dmn.dataset";
  readonly version: 1;
  readonly dataset: string;
  readonly source: string;
  readonly isSynthetic: boolean;
  readonly kind: Kind;
  readonly timeframe: Timeframe;
  readonly calendar: CalendarName;
  readonly adjustment: Adjustment;
  /** In words, for people. */
  readonly provenance: string;
  /** 1 for the first commit; one more with each. */
  readonly revision: number;
  /** Hash over the rows' sha256: equal fingerprints mean equal data. */
  readonly fingerprint: string;
  readonly instruments: readonly ManifestRow[];
}

export declare function listDatasets(root: string): string[];
export declare function readManifest(root: string, dataset: string): Manifest;
