/** `dmn features`: bars of a dataset to one Parquet file of features. */
import * as fs from "node:fs";
import { availableParallelism } from "node:os";
import * as path from "node:path";
import type { Context } from "../base/context.ts";
import { UserError } from "../base/error.ts";
import { replaceFile, TEMPORARY } from "../base/file.ts";
import { dayOf, formatDay, MS_PER_DAY, parseDay } from "../base/units.ts";
import { featuresPlace, FeaturesWriter } from "../features/file.ts";
import { checkInputs, type Panel, type PanelColumn } from "../features/panel.ts";
import type { Timeframe } from "../market/bars.ts";
import { rowOf } from "../market/manifest.ts";
import { readManifest, type Manifest, type ManifestRow } from "../market/store.ts";
import { bindTo, columnSums, type ColumnSums, type RowRange } from "./feature-pieces.ts";
import { computePieces, type PoolJob } from "./features-pool.ts";

export interface FeaturesOptions {
  readonly dataset: string;
  readonly recipe: string;
  /** Empty: all. */
  readonly symbols: readonly string[];
  /** First and last day of the rows written, "2015-12-31"; null: open. */
  readonly from: string | null;
  readonly to: string | null;
  /** 0: as many as the work is worth and the machine has. */
  readonly workers: number;
}

export interface ColumnReport {
  readonly name: string;
  readonly unit: string;
  readonly family: string;
  readonly role: PanelColumn["role"];
  readonly warmup: number;
  /** Over all rows written. */
  readonly nanShare: number;
  readonly mean: number;
  /** Sample standard deviation. */
  readonly std: number;
}

export interface FeaturesReport {
  readonly dataset: string;
  readonly timeframe: Timeframe;
  readonly recipe: string;
  readonly hash: string;
  readonly file: string;
  readonly bytes: number;
  readonly instruments: number;
  readonly rows: number;
  readonly warmup: number;
  readonly columns: readonly ColumnReport[];
  /** Instruments without one complete row: they have fewer than warmup + 1 bars. */
  readonly tooShort: readonly string[];
  readonly seconds: number;
  readonly workers: number;
}

/** Work that makes a worker thread worth its start: operations of about half a second. */
const FLOPS_PER_WORKER = 1e9;
/** What it costs to encode, compress and write one value, in the same operations, about. */
const FLOPS_TO_WRITE = 35;

/** Computes a recipe over a dataset and writes datasets/NAME/features/RECIPE.parquet. */
export async function features(options: FeaturesOptions, context: Context): Promise<FeaturesReport> {
  const startedAt = context.clock.now(), { root } = context;
  const manifest = readManifest(root, options.dataset), rows = chooseRows(manifest, options.symbols);
  const panel = await bindTo(root, manifest, options.recipe), range = rangeOf(options, manifest);
  for (const row of rows) checkInputs(panel, row.symbol, row.columns);
  const tooShort = rows.filter((row) => row.rows <= panel.warmup).map((row) => row.symbol);
  if (tooShort.length === rows.length) refuseShort(panel, manifest, rows);
  const isInRange = ({ from, to }: ManifestRow): boolean =>
    to >= (range.from ?? -Infinity) && from <= (range.to ?? Infinity);
  if (!rows.some(isInRange)) refuseRange(options, manifest, rows);
  const place = featuresPlace(root, manifest.dataset, panel.recipe);
  removeStale(path.dirname(place));
  const wanted = options.workers || context.config.workers;
  const workers = countWorkers(wanted, rows, panel);
  let written: Written | null = null;
  await replaceFile(place, async (temporary) => {
    const header = {
      recipe: panel.recipe, hash: panel.hash, dataset: manifest.dataset,
      fingerprint: manifest.fingerprint, ...range, warmup: panel.warmup, columns: panel.columns,
    };
    using file = new FeaturesWriter(temporary, header);
    const symbols = rows.map((row) => row.symbol);
    const job = { root, manifest, recipe: options.recipe, panel, symbols, range, workers };
    written = await writeAll(file, job, context);
    if (written.rows === 0) refuseRange(options, manifest, rows);
    written.bytes = file.finish();
  });
  const { sums, rows: count, bytes, instruments } = written!;
  return {
    dataset: manifest.dataset, timeframe: manifest.timeframe, recipe: panel.recipe,
    hash: panel.hash, file: place, bytes, instruments, rows: count, warmup: panel.warmup, tooShort, workers,
    columns: panel.columns.map((column, k) => reportColumn(column, sums, k, count)),
    seconds: (context.clock.now() - startedAt) / 1000,
  };
}

interface Written {
  readonly sums: ColumnSums;
  readonly instruments: number;
  readonly rows: number;
  bytes: number;
}

async function writeAll(file: FeaturesWriter, job: Omit<PoolJob, "signal" | "write" | "done">,
  { progress, signal }: Context): Promise<Written> {
  const sums = columnSums(job.panel.columns.length);
  const task = progress.start("features", job.symbols.length, "instruments");
  let instruments = 0;
  await computePieces({
    ...job, signal,
    write: (symbol, piece) => { file.add(symbol, piece); },
    done: (summary) => {
      if (summary.rows > 0) instruments++;
      merge(sums, summary.sums);
      task.advance(1, summary.symbol);
    },
  });
  task.finish();
  return { sums, instruments, rows: file.rows, bytes: 0 };
}

/** The dataset's instruments, or those named. Throws UserError with the nearest name for an unknown one. */
function chooseRows(manifest: Manifest, symbols: readonly string[]): readonly ManifestRow[] {
  const named = new Set(symbols.map((symbol) => rowOf(manifest, symbol).symbol));
  const rows = manifest.instruments.filter((row) => named.size === 0 || named.has(row.symbol));
  if (rows.length > 0) return rows;
  throw new UserError(`dataset "${manifest.dataset}" has no instruments`,
    `fetch it again: ${manifest.command}`);
}

function rangeOf({ from, to }: FeaturesOptions, manifest: Manifest): RowRange {
  const start = from === null ? null : parseDay(from), end = to === null ? null : parseDay(to);
  if (start !== null && end !== null && start > end) {
    throw new UserError(`--from ${from} is after --to ${to} (dataset "${manifest.dataset}")`,
      `swap them: --from ${to} --to ${from}`);
  }
  return {
    from: start === null ? null : start * MS_PER_DAY,
    to: end === null ? null : (end + 1) * MS_PER_DAY - 1,
  };
}

function refuseShort(panel: Panel, manifest: Manifest, rows: readonly ManifestRow[]): never {
  const longest = rows.reduce((best, row) => row.rows > best.rows ? row : best);
  const slowest = panel.columns.reduce((best, one) => one.warmup > best.warmup ? one : best);
  const needed = panel.warmup + 1;
  throw new UserError(`recipe "${panel.recipe}" needs at least ${needed} bars for its first complete row `
    + `(column "${slowest.name}"), and the longest instrument, ${longest.symbol}, has ${longest.rows}`,
  `fetch ${needed - longest.rows} more bars of dataset "${manifest.dataset}", or choose a recipe with `
    + "shorter windows: dmn features --list");
}

function refuseRange({ from, to }: FeaturesOptions, manifest: Manifest,
  rows: readonly ManifestRow[]): never {
  const first = formatDay(dayOf(Math.min(...rows.map((row) => row.from))));
  const last = formatDay(dayOf(Math.max(...rows.map((row) => row.to))));
  throw new UserError(
    `dataset "${manifest.dataset}" has no bars from ${from ?? "its start"} to ${to ?? "its end"}`,
    `its bars are from ${first} to ${last}`);
}

/** Removes what runs that were killed have left: their process is gone. */
function removeStale(folder: string): void {
  if (!fs.statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return;
  for (const file of fs.readdirSync(folder)) {
    const owner = /\.(\d+)\.tmp$/.exec(file);
    if (!file.endsWith(TEMPORARY) || (owner !== null && isAlive(Number(owner[1])))) continue;
    fs.rmSync(path.join(folder, file), { force: true });
  }
}

function isAlive(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function countWorkers(wanted: number, rows: readonly ManifestRow[], panel: Panel): number {
  if (wanted > 0) return Math.min(wanted, rows.length);
  const flopsPerRow = panel.flopsPerBar + FLOPS_TO_WRITE * panel.columns.length;
  const flops = rows.reduce((sum, row) => sum + row.rows, 0) * flopsPerRow;
  const worth = Math.ceil(flops / FLOPS_PER_WORKER);
  return Math.max(1, Math.min(availableParallelism(), rows.length, worth));
}

function merge(total: ColumnSums, more: ColumnSums): void {
  for (let k = 0; k < total.count.length; k++) {
    total.count[k] += more.count[k];
    total.sum[k] += more.sum[k];
    total.squares[k] += more.squares[k];
  }
}

function reportColumn(column: PanelColumn, sums: ColumnSums, k: number, rows: number): ColumnReport {
  const count = sums.count[k], mean = sums.sum[k] / count;
  const { name, unit, family, role, warmup } = column;
  const std = Math.sqrt(Math.max(0, sums.squares[k] - count * mean * mean) / (count - 1));
  return { name, unit, family, role, warmup, nanShare: 1 - count / rows, mean, std };
}
