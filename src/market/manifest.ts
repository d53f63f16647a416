/**
 * The manifest of a dataset: which instruments it has, in which files, with which checksums. It is
 * the commit point: a dataset is what its manifest.json says, whatever else lies in the folder
 * (store.ts draws the folder).
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { z } from "zod";
import { isName, places } from "../base/data-root.ts";
import { messageOf, UserError } from "../base/error.ts";
import { hashOf, replaceWith } from "../base/file.ts";
import { suggestion } from "../base/suggest.ts";
import { day } from "../base/units.ts";
import {
  COLUMNS, KINDS, TIMEFRAMES, type ColumnName, type CorporateAction, type Kind, type Timeframe,
} from "./bars.ts";
import { CALENDARS, type CalendarName } from "./calendar.ts";
import { ASSET_CLASSES, type Instrument } from "./instrument.ts";
import { ADJUSTMENTS, type Adjustment, type FetchRequest } from "./sources/source.ts";

export const MANIFEST_FILE = "manifest.json";
const MANIFEST_VERSION = 1;

/** What all instruments of a dataset share. */
export interface DatasetFacts {
  readonly source: string;
  readonly isSynthetic: boolean;
  readonly kind: Kind;
  readonly timeframe: Timeframe;
  readonly calendar: CalendarName;
  readonly adjustment: Adjustment;
}

export interface ManifestRow {
  readonly symbol: string;
  readonly instrument: Instrument;
  /** Relative to the dataset's folder. */
  readonly file: string;
  /** Of the whole file, hexadecimal. */
  readonly sha256: string;
  readonly bytes: number;
  readonly rows: number;
  /** Times of the first and last row, UTC ms. */
  readonly from: number;
  readonly to: number;
  readonly columns: readonly ColumnName[];
  /** By ascending exTime. */
  readonly actions: readonly CorporateAction[];
  /** Hash of what the file says, the same wherever and whenever it is written (bar-file.ts). */
  readonly content: string;
}

export interface Manifest extends DatasetFacts {
  readonly format: "dmn.dataset";
  readonly version: 1;
  readonly dataset: string;
  /** In words, for people. */
  readonly provenance: string;
  /** The command that fetches this dataset again. */
  readonly command: string;
  /** What was asked for, for `--update`; absent when nobody said. */
  readonly request?: FetchRequest;
  /** 1 for the first commit; one more with each. */
  readonly revision: number;
  /** Hash over the rows' contents: equal fingerprints mean equal data. */
  readonly fingerprint: string;
  /** By symbol. */
  readonly instruments: readonly ManifestRow[];
}

const time = z.number();
const columnName = z.enum(Object.keys(COLUMNS) as [ColumnName, ...ColumnName[]]);
const timeframe = z.enum(Object.keys(TIMEFRAMES) as [Timeframe, ...Timeframe[]]);

/** A row of the manifest and of the fetch journal. JSON has no NaN: an unknown spread is null. */
export const rowSchema: z.ZodType<ManifestRow> = z.strictObject({
  symbol: z.string(),
  instrument: z.strictObject({
    symbol: z.string(), assetClass: z.enum(ASSET_CLASSES), currency: z.string(),
    halfSpreadBps: z.number().nullable().transform((value) => value ?? NaN),
    description: z.string(),
  }),
  file: z.string(), sha256: z.string(), bytes: z.int(), rows: z.int(), from: time, to: time,
  columns: z.array(columnName),
  actions: z.array(
    z.strictObject({ kind: z.enum(["split", "dividend"]), exTime: time, value: z.number() })),
  content: z.string(),
});

const dayOrNull = z.int().transform((value) => day(value)).nullable();
const requestSchema: z.ZodType<FetchRequest> = z.strictObject({
  dataset: z.string(), symbols: z.array(z.string()), from: dayOrNull, to: dayOrNull,
  timeframe: timeframe.nullable(), seed: z.int(), path: z.string().nullable(),
  calendar: z.enum(CALENDARS).nullish(), stamps: z.enum(["start", "close"]).nullish(),
});

const manifestSchema = z.strictObject({
  format: z.literal("dmn.dataset"), version: z.literal(MANIFEST_VERSION), dataset: z.string(),
  source: z.string(),
  isSynthetic: z.boolean(), kind: z.enum(KINDS), timeframe, calendar: z.enum(CALENDARS),
  adjustment: z.enum(ADJUSTMENTS), provenance: z.string(), command: z.string(),
  request: requestSchema.optional(),
  revision: z.int().min(1), fingerprint: z.string(), instruments: z.array(rowSchema),
});

type Json = Record<string, unknown>;

/** How to read a manifest of an older version: version n to the shape of n + 1. */
const MIGRATIONS: Readonly<Record<number, (old: Json) => Json>> = {};

export function listDatasets(root: string): string[] {
  const folder = path.dirname(places.dataset(root, "x"));
  if (!fs.existsSync(folder)) return [];
  return fs.readdirSync(folder)
    .filter((name) => fs.existsSync(path.join(folder, name, MANIFEST_FILE))).sort();
}

/**
 * Throws UserError for an unknown name (did you mean), a damaged manifest, or one of a newer
 * version.
 */
export function readManifest(root: string, dataset: string): Manifest {
  const place = path.join(places.dataset(root, dataset), MANIFEST_FILE);
  if (!isName(dataset) || !fs.existsSync(place)) {
    const known = listDatasets(root);
    throw new UserError(`there is no dataset "${dataset}" in ${root}`,
      known.length > 0 ? suggestion(dataset, known)
      : "make one: dmn fetch --source synthetic --dataset demo, or name its folder with --data-dir");
  }
  return parseManifest(fs.readFileSync(place, "utf8"), place, dataset);
}

function parseManifest(text: string, place: string, dataset: string): Manifest {
  const damaged = (reason: string): UserError => new UserError(
    `${place} is damaged: ${reason}`,
    `fetch the dataset again: dmn fetch --dataset ${dataset} --source ...`);
  let parsed: unknown;
  try { parsed = JSON.parse(text); } catch (error) { throw damaged(messageOf(error)); }
  if (typeof parsed !== "object" || parsed === null) throw damaged("it holds no object");
  const { checksum, ...said } = parsed as Json;
  const version = said["version"];
  if (typeof version === "number" && version > MANIFEST_VERSION) {
    throw new UserError(
      `${place} was written by a newer dmn (format ${version}, this one reads ${MANIFEST_VERSION})`,
      "update dmn: npm install -g @deep-momentum/dmn");
  }
  if (checksum !== hashOf(JSON.stringify(said))) {
    throw damaged("its checksum does not match what it says");
  }
  const result = manifestSchema.safeParse(migrate(said, Number(version)));
  if (result.success) return result.data;
  throw damaged(z.prettifyError(result.error).split("\n").slice(0, 2).join(" "));
}

function migrate(said: Json, version: number): Json {
  let current = said;
  for (let v = version; v in MIGRATIONS; v++) current = MIGRATIONS[v](current);
  return current;
}

/** The commit: after this returns, the dataset is what `manifest` says, even if the power fails. */
export async function writeManifest(root: string, manifest: Manifest): Promise<void> {
  const said = JSON.parse(JSON.stringify(manifest)) as Json;
  const text = JSON.stringify({ ...said, checksum: hashOf(JSON.stringify(said)) }, null, 1);
  await replaceWith(path.join(places.dataset(root, manifest.dataset), MANIFEST_FILE), `${text}\n`);
}

export function fingerprintOf(rows: readonly ManifestRow[]): string {
  return hashOf(rows.map((row) => `${row.symbol} ${row.content}\n`).join(""));
}

/** The row of a symbol. Throws UserError with the nearest one. */
export function rowOf(manifest: Manifest, symbol: string): ManifestRow {
  const row = manifest.instruments.find((one) => one.symbol === symbol);
  if (row !== undefined) return row;
  throw new UserError(`dataset "${manifest.dataset}" has no instrument "${symbol}"`,
    suggestion(symbol, manifest.instruments.map((one) => one.symbol)));
}
