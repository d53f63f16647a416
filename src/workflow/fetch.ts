/**
 * `dmn fetch`: a source's rows into the store.
 *
 *   options ── requestOf ──> FetchRequest ── source.fetch ──> Delivery* ── put ──> commit
 *                                                 ^                        │          │
 *                 have(): left by an interrupted  └──── DatasetWriter <────┘          v
 *                         run of the same request                               FetchReport
 */
import { setImmediate } from "node:timers/promises";
import { places } from "../base/data-root.ts";
import type { Context } from "../base/context.ts";
import { rowOf } from "../market/manifest.ts";
import type { Delivery, FetchRequest, PageCache, Source, SourceDescription }
  from "../market/sources/source.ts";
import { owedActions } from "../market/adjust.ts";
import { openPageCache } from "../market/page-cache.ts";
import { calendar } from "../market/calendar.ts";
import { inspect, missingSessions, type QualityReport } from "../market/quality.ts";
import { checkFile, DatasetWriter, listDatasets, readBars, readManifest, type Manifest, type ManifestRow }
  from "../market/store.ts";
import type { Day } from "../base/units.ts";
import { join } from "./fetch-update.ts";
import { reportOf, type FetchReport } from "./fetch-report.ts";
import { asksForRows, commandOf, DATASETS, isVendor, requestOf, updateOf, type FetchOptions }
  from "./fetch-request.ts";
import { SOURCES, type SourceName } from "./sources.ts";

export type { FetchOptions } from "./fetch-request.ts";
export type { FetchReport } from "./fetch-report.ts";

/** What the report knows about an instrument beyond the manifest. */
export interface Seen {
  /** Sessions without a row. */
  readonly gaps: number;
  /** Only with --check. */
  readonly quality: QualityReport | null;
  readonly remarks: readonly string[];
}

/** Fetches, or with `check` alone only looks. Throws UserError for whatever the person can mend. */
export async function fetch(options: FetchOptions, context: Context): Promise<FetchReport> {
  const { root } = context, { dataset } = options;
  const isThere = listDatasets(root).includes(dataset);
  if (options.check && !asksForRows(options) && (isThere || !Object.hasOwn(DATASETS, dataset))) {
    return await report(readManifest(root, dataset), null, true, new Map(), context);
  }
  const before = options.update ? readManifest(root, dataset) : null;
  const { source, request } = before === null ? requestOf(options) : updateOf(options, before);
  const seen = new Map<string, Seen>(), isCheck = options.check ?? false;
  const manifest = await run(source, request, before, isCheck, seen, context);
  return await report(manifest, before, isCheck, seen, context);
}

async function run(name: SourceName, request: FetchRequest, before: Manifest | null,
  isCheck: boolean, seen: Map<string, Seen>, context: Context): Promise<Manifest> {
  const source: Source = SOURCES[name];
  const description = await source.describe(request, context);
  const command = commandOf(name, request);
  const instruments = await source.instruments(request, context);
  using writer = DatasetWriter.open(context.root, request.dataset, { ...description, request },
    { request: JSON.stringify(request), command });
  using pages = openPageCache(places.dataset(context.root, request.dataset));
  const have = writer.have();
  context.log.info({ dataset: request.dataset, source: name, resumedInstruments: have.size,
    resumedPages: pages.recovered }, "fetching");
  const task = context.progress.start(`fetch ${request.dataset}`, instruments?.length ?? 0,
    "instruments");
  task.advance(have.size);
  const current = before !== null && isVendor(name) ? writer.current() : null;
  const deliveries = current === null ? source.fetch(request, context, have, pages)
    : fetchBehind(source, request, current, context, have, pages);
  for await (const delivery of deliveries) {
    const row = await writer.put(delivery);
    seen.set(row.symbol, look(delivery, description, isCheck));
    context.log.debug({ symbol: row.symbol, rows: row.rows, file: row.file }, "stored");
    task.advance(1, row.symbol);
    // Only a turn of the event loop lets Ctrl-C through: making and writing rows never wait.
    await setImmediate();
    context.signal.throwIfAborted();
  }
  const manifest = await writer.commit();
  pages.clear();
  const { dataset, revision, fingerprint } = manifest;
  context.log.info({ dataset, revision, fingerprint, instruments: manifest.instruments.length },
    "committed");
  task.finish();
  return manifest;
}

/** Of each stored instrument what is behind its rows, from its last day on. */
async function* fetchBehind(source: Source, request: FetchRequest, current: Manifest,
  context: Context, have: ReadonlySet<string>, pages: PageCache): AsyncGenerator<Delivery> {
  const sessions = calendar(current.calendar);
  const bySession = new Map<Day, string[]>();
  for (const row of current.instruments) {
    const last = sessions.sessionDay(row.to);
    bySession.set(last, [...bySession.get(last) ?? [], row.symbol]);
  }
  for (const [last, symbols] of [...bySession].sort(([a], [b]) => a - b)) {
    const behind = { ...request, symbols, from: last };
    for await (const delivery of source.fetch(behind, context, have, pages)) {
      const { symbol } = delivery.bars.instrument;
      const row = rowOf(current, symbol);
      const stored = await readBars(context.root, current, symbol, { adjust: "none" });
      const joined = join(stored, row.actions, delivery);
      const remarks = [...delivery.remarks ?? [], `${joined.added} new`];
      if (joined.revised > 0) remarks.push(`${joined.revised} revised: ${joined.revisions.join("; ")}`);
      yield { ...joined.delivery, remarks };
    }
  }
}

function look(delivery: Delivery, facts: Pick<SourceDescription, "calendar" | "adjustment">,
  isCheck: boolean): Seen {
  const { bars, actions, remarks = [] } = delivery;
  if (!isCheck) return { gaps: missingSessions(bars, facts.calendar), quality: null, remarks };
  const quality = inspect(bars, facts.calendar, owedActions(facts.adjustment, actions));
  return { gaps: quality.sessionsMissing, quality, remarks };
}

/** Reads back what this run did not see itself; to be checked, every file is hashed. */
async function report(manifest: Manifest, before: Manifest | null, isCheck: boolean,
  seen: ReadonlyMap<string, Seen>, context: Context): Promise<FetchReport> {
  const looks: Seen[] = [];
  const task = context.progress.start(`check ${manifest.dataset}`, manifest.instruments.length,
    "instruments");
  for (const row of manifest.instruments) {
    context.signal.throwIfAborted();
    if (isCheck) checkFile(context.root, manifest, row.symbol);
    looks.push(seen.get(row.symbol) ?? await lookAtStored(manifest, row, isCheck, context));
    task.advance(1, row.symbol);
  }
  task.finish();
  return reportOf(manifest, before, looks);
}

async function lookAtStored(manifest: Manifest, row: ManifestRow, isCheck: boolean,
  context: Context): Promise<Seen> {
  const bars = await readBars(context.root, manifest, row.symbol, { adjust: "none" });
  const facts = { calendar: calendar(manifest.calendar), adjustment: manifest.adjustment };
  return look({ bars, actions: row.actions }, facts, isCheck);
}
