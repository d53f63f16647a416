/**
 * What `dmn fetch` says: one object for programs (--json); for people a table of the dataset and,
 * with --check, one of its quality.
 */
import { formatCount, formatPercent, formatTable, type Column } from "../base/table.ts";
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
export function reportOf(manifest: Manifest, before: Manifest | null,
  looks: readonly Look[]): FetchReport {
  const { dataset, source, isSynthetic, kind, timeframe, adjustment, provenance, revision,
    fingerprint } = manifest;
  const say = sayerOf(manifest);
  const rows = manifest.instruments.map((row, i): FetchRow => ({
    symbol: row.symbol, assetClass: row.instrument.assetClass, rows: row.rows,
    from: say(row.from), to: say(row.to), gaps: looks[i].gaps, actions: row.actions.length,
    notes: looks[i].remarks, ...checkOf(looks[i].quality, say),
  }));
  const least = manifest.instruments.reduce((time, row) => Math.min(time, row.from), Infinity);
  const most = manifest.instruments.reduce((time, row) => Math.max(time, row.to), -Infinity);
  return {
    dataset, source, isSynthetic, kind, timeframe, calendar: manifest.calendar, adjustment,
    provenance, revision, fingerprint,
    changed: before === null ? null : before.fingerprint !== fingerprint, instruments: rows.length,
    bars: rows.reduce((sum, row) => sum + row.rows, 0), from: say(least), to: say(most), rows,
  };
}

/** How a time is written: daily rows by their session's day. */
function sayerOf(manifest: Manifest): (time: number) => string {
  if (manifest.timeframe !== "1d") return formatTime;
  const sessions = calendar(manifest.calendar);
  return (time) => formatDay(sessions.sessionDay(time));
}

/** The worst finding of each sort in words; the first bad tick stands for all. */
function checkOf(quality: QualityReport | null, say: (time: number) => string):
{ readonly check?: CheckRow } {
  if (quality === null) return {};
  const { counts } = quality;
  const examples: string[] = [];
  const gap = worst(quality.gaps, (one) => one.sessions);
  if (gap !== null) {
    const sessions = counted(gap.sessions, "session");
    examples.push(`gap of ${sessions} ${spanOf(formatDay(gap.from), formatDay(gap.to))}`);
  }
  const stale = worst(quality.staleRuns, (one) => one.rows);
  if (stale !== null) {
    examples.push(`${stale.rows} rows at ${stale.value} ${spanOf(say(stale.from), say(stale.to))}`);
  }
  const jump = worst(quality.jumps, (one) => one.sigmas);
  if (jump !== null) {
    const size = `${formatPercent(jump.change, 1)} (${jump.sigmas.toFixed(0)} sigma)`;
    const reason = jump.looksLike === null ? "" : `, looks like a ${jump.looksLike}`;
    examples.push(`jump of ${size} ${say(jump.time)}${reason}`);
  }
  for (const bad of quality.badTicks.slice(0, 1)) {
    examples.push(`${bad.column} ${bad.value} ${bad.reason} ${say(bad.time)}`);
  }
  for (const day of quality.closedDays.slice(0, 1)) {
    examples.push(`row on ${formatDay(day)}, a closed day`);
  }
  const isIntraday = quality.barsExpected > quality.sessionsExpected;
  const barsMissingShare = isIntraday ? quality.barsMissing / quality.barsExpected : null;
  return { check: { ...counts, barsMissingShare, examples } };
}

function worst<T>(findings: readonly T[], badness: (finding: T) => number): T | null {
  let most: T | null = null;
  for (const one of findings) if (most === null || badness(one) > badness(most)) most = one;
  return most;
}

const counted = (count: number, one: string): string =>
  `${formatCount(count)} ${one}${count === 1 ? "" : "s"}`;

const spanOf = (from: string, to: string): string => from === to ? from : `${from}..${to}`;

const left = (title: string): Column => ({ title });
const right = (title: string): Column => ({ title, align: "right" });
/** Rows of a table that people read; --json has all. */
const ROWS_SHOWN = 60;

/** The text form: one line, one table, at most 100 columns wide. */
export function fetchText(report: FetchReport): string {
  const lines = [
    `${report.dataset}: ${counted(report.instruments, "instrument")}, `
      + `${formatCount(report.bars)} ${report.kind}, ${report.from}..${report.to}, `
      + `${report.timeframe}, ${report.calendar} calendar`,
    ...report.isSynthetic ? ["SYNTHETIC: invented prices, not a market"] : [],
    `from ${report.provenance}; prices ${report.adjustment}`,
  ];
  if (report.changed === true) lines.push(`updated to revision ${report.revision}`);
  if (report.changed === false) lines.push("nothing new: every row is as it was");
  lines.push("", rowsTable(report));
  if (report.rows.some((row) => row.check !== undefined)) lines.push("", checkTable(report));
  return lines.join("\n");
}

function rowsTable(report: FetchReport): string {
  const columns = [left("symbol"), left("class"), right(report.kind), left("from"), left("to"),
    right("gaps"), left("notes")];
  const rows = report.rows.slice(0, ROWS_SHOWN).map((row) => {
    const actions = row.actions > 0 ? [`${row.actions} splits and dividends`] : [];
    return [row.symbol, row.assetClass, formatCount(row.rows), row.from, row.to,
      formatCount(row.gaps), [...actions, ...row.notes].join("; ")];
  });
  const hidden = report.rows.length - rows.length;
  return formatTable(columns, rows)
    + (hidden > 0 ? `\n... and ${formatCount(hidden)} more; --json prints all` : "")
    + "\ngaps: sessions of the calendar without a row";
}

const oddity = (check: CheckRow | undefined): number =>
  check === undefined ? 0 : check.badTicks + check.jumps + check.staleRuns + check.closedDays;

/** Findings per instrument; each example of a sort on a line of its own. */
function checkTable(report: FetchReport): string {
  // The oddest first, because they are why one looks.
  const oddest = report.rows.toSorted((a, b) => oddity(b.check) - oddity(a.check));
  const rows = oddest.slice(0, ROWS_SHOWN).flatMap(({ symbol, check }) => {
    if (check === undefined) return [];
    const counts = [check.gaps, check.staleRuns, check.jumps, check.badTicks].map(formatCount);
    const share = check.barsMissingShare === null ? "" : formatPercent(check.barsMissingShare, 1);
    const first = [symbol, ...counts, share, check.examples[0] ?? "nothing odd"];
    return [first, ...check.examples.slice(1).map((example) => ["", "", "", "", "", "", example])];
  });
  const hasShare = report.rows.some((row) => row.check?.barsMissingShare != null);
  const columns = [left("check"), right("gap runs"), right("stale"), right("jumps"), right("bad"),
    right("no row"), left("worst of each sort")];
  const keep = <T>(cells: readonly T[]): T[] => cells.filter((_, j) => hasShare || j !== 5);
  const meaning = "\nno row: share of a session's bars without one; "
    + "a minute without a trade is not an error";
  return formatTable(keep(columns), rows.map(keep)) + (hasShare ? meaning : "");
}
