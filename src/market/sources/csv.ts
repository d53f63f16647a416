/**
 * Source: a CSV file of rows in the long format (csv-layout.ts has the layouts). Strict: the first
 * bad row stops the reading and is named, because a market data file with one bad row usually has
 * more.
 */
import * as path from "node:path";
import type { Context } from "../../base/context.ts";
import { UserError } from "../../base/error.ts";
import { suggestion } from "../../base/suggest.ts";
import { dayOf, formatDay, type Day } from "../../base/units.ts";
import { sliceBars, type Bars, type ColumnName } from "../bars.ts";
import type { Calendar } from "../calendar.ts";
import { readFacts, type CsvFacts } from "./csv-facts.ts";
import { readCsv, type CsvContent } from "./csv-file.ts";
import type { Layout } from "./csv-layout.ts";
import type { SymbolRows } from "./csv-table.ts";
import { calendarOf, closesOf, SessionCloses, timeframeOf } from "./csv-time.ts";
import type { Delivery, FetchRequest, Source, SourceDescription } from "./source.ts";

/** A return panel has no price level; its compounded price starts here. */
export const RETURN_PANEL_START = 100;

interface Opened {
  readonly file: string;
  readonly content: CsvContent;
  readonly facts: CsvFacts;
  readonly description: SourceDescription;
}

/** The file is read once a request, by whichever method is called first. */
const opened = new WeakMap<FetchRequest, Promise<Opened>>();

export const csvSource: Source = {
  name: "csv",
  async describe(request, context) { return (await openOnce(request, context)).description; },
  async instruments(request, context) {
    const { content, facts, description } = await openOnce(request, context);
    const usual = usualClass(description.calendar);
    return wantedRows(content).map((rows) => facts.describe(rows.symbol, usual));
  },
  async *fetch(request, context, have) {
    const file = await openOnce(request, context);
    opened.delete(request);
    const closes = new SessionCloses(file.file, file.description.calendar);
    let delivered = have.size;
    for (const rows of wantedRows(file.content)) {
      context.signal.throwIfAborted();
      if (have.has(rows.symbol)) continue;
      const bars = cut(barsOf(file, rows, request, closes), request, file.description.calendar);
      if (bars.time.length > 0) { delivered++; yield { bars, actions: [] } satisfies Delivery; }
    }
    if (delivered === 0) throw emptyRange(file, request);
  },
};

function openOnce(request: FetchRequest, context: Context): Promise<Opened> {
  const already = opened.get(request);
  if (already !== undefined) return already;
  const opening = open(request, context);
  opened.set(request, opening);
  return opening;
}

async function open(request: FetchRequest, context: Context): Promise<Opened> {
  if (request.path === null) {
    throw new UserError("the csv source needs a file", "say which: --path FILE.csv or FILE.csv.gz");
  }
  const place = path.resolve(request.path), file = path.basename(place);
  const facts = readFacts(place);
  const content = await readCsv(place, new Set(request.symbols), context);
  refuseUnknown(file, content, request.symbols);
  const timeframe = timeframeOf(file, content, request.timeframe);
  const sessions = calendarOf(content, request.calendar ?? facts.calendar);
  const { layout } = content;
  const stamps = timeframe === "1d" || timeframe === "tick" ? ""
    : `, stamps are bar ${request.stamps ?? "start"}s`;
  const compounded = layout.isReturnPanel
    ? `, close compounded from the returns, starting at ${RETURN_PANEL_START}` : "";
  const description: SourceDescription = {
    source: "csv", isSynthetic: false, kind: layout.kind, timeframe, calendar: sessions,
    adjustment: facts.adjustment ?? (layout.isFutures ? "ratio-back-adjusted" : "unknown"),
    provenance: `CSV file ${file}, sha256 ${content.sha256.slice(0, 16)}${stamps}${compounded}`,
  };
  return { file, content, facts, description };
}

const wantedRows = (content: CsvContent): SymbolRows[] =>
  content.table.symbols.filter((rows) => rows.isWanted).sort((a, b) => a.symbol < b.symbol ? -1 : 1);
const usualClass = (sessions: Calendar): "equity" | "other" =>
  sessions.name === "us-equity" ? "equity" : "other";

function refuseUnknown(file: string, content: CsvContent, wanted: readonly string[]): void {
  const known = content.table.symbols.map((rows) => rows.symbol);
  const unknown = wanted.find((symbol) => !known.includes(symbol));
  if (unknown === undefined) return;
  throw new UserError(`${file} has no symbol "${unknown}"`, suggestion(unknown, known.sort()));
}

function barsOf({ content, facts, description }: Opened, rows: SymbolRows, request: FetchRequest,
  closes: SessionCloses): Bars {
  const time = closesOf(rows, description.timeframe, request.stamps ?? "start", closes);
  const columns: Partial<Record<ColumnName, Float64Array>> = {};
  for (const [k, name] of columnNames(content.layout).entries()) {
    columns[name] = rows.columns[k].subarray(0, rows.rows);
  }
  if (content.layout.isReturnPanel && columns.return !== undefined) {
    columns.close = compound(rows.symbol, columns.return);
  }
  return {
    instrument: facts.describe(rows.symbol, usualClass(description.calendar)),
    kind: content.layout.kind, timeframe: description.timeframe, time, columns,
  };
}

const columnNames = (layout: Layout): ColumnName[] =>
  layout.columns.flatMap((column) => column.role === "value" ? [column.column] : []);

/** close_t = start x product of (1 + return) up to t; an empty first return counts as 0. */
function compound(symbol: string, returns: Float64Array): Float64Array {
  const close = new Float64Array(returns.length);
  let level = RETURN_PANEL_START;
  for (let row = 0; row < returns.length; row++) {
    if (!Number.isNaN(returns[row])) level *= 1 + returns[row];
    if (!(level > 0)) {
      throw new UserError(
        `${symbol}: row ${row + 1} returns ${returns[row]}, which leaves nothing of the price`,
        "returns must be fractions above -1 (0.01 is one per cent)");
    }
    close[row] = level;
  }
  return close;
}

/** Rows of the days asked for, as views. */
function cut(bars: Bars, request: FetchRequest, sessions: Calendar): Bars {
  const { from, to } = request;
  if (from === null && to === null) return bars;
  let first = 0, end = bars.time.length;
  if (from !== null) while (first < end && sessions.sessionDay(bars.time[first]) < from) first++;
  if (to !== null) while (end > first && sessions.sessionDay(bars.time[end - 1]) > to) end--;
  return sliceBars(bars, first, end);
}

function emptyRange({ file, content }: Opened, request: FetchRequest): UserError {
  let from = Infinity, to = -Infinity;
  for (const rows of wantedRows(content)) {
    from = Math.min(from, rows.time[0]);
    to = Math.max(to, rows.time[rows.rows - 1]);
  }
  const say = (value: Day | null): string => value === null ? "..." : formatDay(value);
  const spanned = `${formatDay(dayOf(from))} to ${formatDay(dayOf(to))}`;
  return new UserError(`${file} has no rows from ${say(request.from)} to ${say(request.to)}`,
    `its rows span ${spanned}: change --from or --to`);
}
