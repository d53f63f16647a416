/** What `dmn fetch` says: one object for programs (--json), two tables for people (the dataset, and --check). */
import { formatCount, formatPercent, formatTable } from "../base/table.ts";
import { formatDay, formatTime } from "../base/units.ts";
import type { AssetClass } from "../market/instrument.ts";
import type { Kind, Timeframe } from "../market/bars.ts";
import { calendar, type CalendarName } from "../market/calendar.ts";
import type { QualityReport } from "../market/quality.ts";
import type { Manifest } from "../market/store.ts";

export interface FetchRow {
  readonly symbol: string;
  readonly assetClass: AssetClass;
  readonly rows: number;
  /** Session day, or for intraday rows the time, of the first and last row. */
  readonly from: string;
  readonly to: string;
  /** Sessions of the calendar without a row between the first row and the last. */
  readonly gaps: number;
  readonly actions: number;
  readonly notes: readonly string[];
  /** With --check. */
  readonly check?: CheckRow;
}

/** Counts of findings, and the first of each in words. */
export interface CheckRow {
  readonly gaps: number;
  readonly staleRuns: number;
  readonly jumps: number;
  readonly badTicks: number;
  readonly closedDays: number;
  /** Share of bars missing inside sessions; null where it has no meaning. */
  readonly barsMissingShare: number | null;
  readonly examples: readonly string[];
}

export interface FetchReport {
  readonly dataset: string;
  readonly source: string;
  readonly isSynthetic: boolean;
  readonly kind: Kind;
  readonly timeframe: Timeframe;
  readonly calendar: CalendarName;
  readonly adjustment: string;
  readonly provenance: string;
  readonly revision: number;
  readonly fingerprint: string;
  /** With --update: whether any row differs from before; null otherwise. */
  readonly changed: boolean | null;
  readonly instruments: number;
  /** Rows in all: bars, quotes or ticks. */
  readonly bars: number;
  readonly from: string;
  readonly to: string;
  readonly rows: readonly FetchRow[];
}

/** What was seen of an instrument's rows. */
interface Look {
  readonly gaps: number;
  readonly quality: QualityReport | null;
  readonly remarks: readonly string[];
}

/** `looks` in the order of the manifest's instruments. */
export function reportOf(manifest: Manifest, before: Manifest | null, looks: readonly Look[]): FetchReport {
  const { dataset, source, isSynthetic, kind, timeframe, adjustment, provenance, revision, fingerprint } = manifest;
  const say = sayerOf(manifest);
  const rows = manifest.instruments.map((row, i): FetchRow => ({
    symbol: row.symbol, assetClass: row.instrument.assetClass, rows: row.rows, from: say(row.from), to: say(row.to),
    gaps: looks[i].gaps, actions: row.actions.length, notes: looks[i].remarks, ...checkOf(looks[i].quality, say),
  }));
  const least = manifest.instruments.reduce((time, row) => Math.min(time, row.from), Infinity);
  const most = manifest.instruments.reduce((time, row) => Math.max(time, row.to), -Infinity);
  return {
    dataset, source, isSynthetic, kind, timeframe, calendar: manifest.calendar, adjustment, provenance, revision, fingerprint,
    changed: before === null ? null : before.fingerprint !== fingerprint, instruments: rows.length,
    bars: rows.reduce((sum, row) => sum + row.rows, 0), from: say(least), to: say(most), rows,
  };
}

/** How a time is written: daily rows by their session's day. */
function sayerOf({ timeframe, calendar: name }: Pick<Manifest, "timeframe" | "calendar">): (time: number) => string {
  const sessions = calendar(name);
  return timeframe === "1d" ? (time) => formatDay(sessions.sessionDay(time)) : (time) => formatTime(time);
}

/** The worst finding of each sort in words; the first bad tick stands for all. */
function checkOf(quality: QualityReport | null, say: (time: number) => string): { readonly check?: CheckRow } {
  if (quality === null) return {};
  const { counts } = quality;
  const gap = worst(quality.gaps, (one) => one.sessions), stale = worst(quality.staleRuns, (one) => one.rows);
  const jump = worst(quality.jumps, (one) => one.sigmas), bad = quality.badTicks.length > 0 ? quality.badTicks[0] : null;
  const examples = [
    ...gap === null ? [] : [`gap of ${gap.sessions} ${gap.sessions === 1 ? "session" : "sessions"} ${spanOf(formatDay(gap.from), formatDay(gap.to))}`],
    ...stale === null ? [] : [`${stale.rows} rows at ${stale.value} ${spanOf(say(stale.from), say(stale.to))}`],
    ...jump === null ? [] : [`jump of ${formatPercent(jump.change, 1)} (${jump.sigmas.toFixed(0)} sigma) ${say(jump.time)}`
      + (jump.looksLike === null ? "" : `, looks like a ${jump.looksLike}`)],
    ...bad === null ? [] : [`${bad.column} ${bad.value} ${bad.reason} ${say(bad.time)}`],
    ...quality.closedDays.length === 0 ? [] : [`row on ${formatDay(quality.closedDays[0])}, a closed day`],
  ];
  const isIntraday = quality.barsExpected > quality.sessionsExpected;
  return { check: { ...counts, barsMissingShare: isIntraday ? quality.barsMissing / quality.barsExpected : null, examples } };
}

function worst<T>(findings: readonly T[], badness: (finding: T) => number): T | null {
  return findings.reduce<T | null>((most, one) => most !== null && badness(most) >= badness(one) ? most : one, null);
}

const spanOf = (from: string, to: string): string => from === to ? from : `${from}..${to}`;

/** Rows of a table that people read; --json has all. */
const ROWS_SHOWN = 60;

/** The text form: one line, one table, at most 100 columns wide. */
export function fetchText(report: FetchReport): string {
  const what = report.kind;
  const lines = [
    `${report.dataset}: ${report.instruments} ${report.instruments === 1 ? "instrument" : "instruments"}, ${formatCount(report.bars)} ${what}, `
      + `${report.from}..${report.to}, ${report.timeframe}, ${report.calendar} calendar`,
    ...report.isSynthetic ? ["SYNTHETIC: invented prices, not a market"] : [],
    `from ${report.provenance}; prices ${report.adjustment}`,
    ...report.changed === null ? [] : [report.changed ? `updated to revision ${report.revision}` : "nothing new: every row is as it was"],
    "",
    rowsTable(report),
  ];
  if (report.rows.some((row) => row.check !== undefined)) lines.push("", checkTable(report));
  return lines.join("\n");
}

function rowsTable(report: FetchReport): string {
  const right = { align: "right" } as const;
  return formatTable([
    { title: "symbol" }, { title: "class" }, { title: report.kind, ...right }, { title: "from" }, { title: "to" },
    { title: "gaps", ...right }, { title: "notes" },
  ], report.rows.slice(0, ROWS_SHOWN).map((row) => [row.symbol, row.assetClass, formatCount(row.rows), row.from, row.to, formatCount(row.gaps),
    [...row.actions > 0 ? [`${row.actions} splits and dividends`] : [], ...row.notes].join("; ")]))
    + (report.rows.length > ROWS_SHOWN ? `\n... and ${formatCount(report.rows.length - ROWS_SHOWN)} more; --json prints all` : "")
    + "\ngaps: sessions of the calendar without a row";
}

const oddity = (check: CheckRow | undefined): number =>
  check === undefined ? 0 : check.badTicks + check.jumps + check.staleRuns + check.closedDays;

/** Findings per instrument; each example of a sort on a line of its own. */
function checkTable(report: FetchReport): string {
  const right = { align: "right" } as const;
  // The oddest first, because they are why one looks.
  const oddest = report.rows.toSorted((a, b) => oddity(b.check) - oddity(a.check)).slice(0, ROWS_SHOWN);
  const rows = oddest.flatMap(({ symbol, check }) => {
    if (check === undefined) return [];
    const counts = [check.gaps, check.staleRuns, check.jumps, check.badTicks].map(formatCount);
    const share = check.barsMissingShare === null ? "" : formatPercent(check.barsMissingShare, 1);
    const first = [symbol, ...counts, share, check.examples[0] ?? "nothing odd"];
    return [first, ...check.examples.slice(1).map((example) => ["", "", "", "", "", "", example])];
  });
  const hasShare = report.rows.some((row) => row.check?.barsMissingShare != null);
  const columns = [{ title: "check" }, { title: "gap runs", ...right }, { title: "stale", ...right }, { title: "jumps", ...right },
    { title: "bad", ...right }, { title: "no row", ...right }, { title: "worst of each sort" }];
  const keep = (cells: readonly string[]): string[] => cells.filter((_, j) => hasShare || j !== 5);
  return formatTable(columns.filter((_, j) => hasShare || j !== 5), rows.map(keep))
    + (hasShare ? "\nno row: share of a session's bars without one; a minute without a trade is not an error" : "");
}
