/**
 * Tables: real ones, with headers that name their rows and columns, sortable by a press on a column's head.
 * A cell carries its full number in `data-value`; the script sorts by that and never parses what is shown.
 */
import type { BacktestResult, GroupRow, Summary, WindowResult } from "../result.ts";
import { formatMoment, formatPercent, formatRatio, formatValue, type Form } from "./format.ts";
import { html, type Markup, type Part } from "./html.ts";
import { drawdown, worstDrawdowns } from "../../metrics/rolling.ts";
import type { Compared } from "./series.ts";
import { SUMMARY_KEYS, SUMMARY_WORDS } from "./words.ts";

/** Rows of the per instrument table; above, the largest contributions are shown and the page says so. */
export const INSTRUMENT_ROWS_MAX = 400;

export interface Column<Row> {
  readonly label: string;
  readonly title?: string;
  readonly form: Form | "text" | "words";
  readonly value: (row: Row) => number | string;
  /** Replaces the plain value in the cell. */
  readonly draw?: (row: Row) => Part;
}

export interface TableOptions<Row> {
  readonly name: string;
  readonly isSortable?: boolean;
  readonly isLong?: boolean;
  readonly foot?: readonly Row[];
}

/** The first column heads its row. */
export function table<Row>(columns: readonly Column<Row>[], rows: readonly Row[], options: TableOptions<Row>): Markup {
  const head = columns.map((column, k) => html`<th scope="col" class="${k === 0 ? "text" : sideOf(column)}" data-kind="${
    column.form === "text" || column.form === "words" ? "text" : "number"}" title="${column.title ?? ""}">${
    options.isSortable === true ? html`<button type="button">${column.label}</button>` : column.label}</th>`);
  const line = (row: Row): Markup => html`<tr>${columns.map((column, k) => cell(column, row, k === 0))}</tr>\n`;
  const foot = options.foot ?? [];
  return html`<div class="scroll${options.isLong === true ? " long" : ""}" role="region" tabindex="0" aria-label="${options.name}">
<table${options.isSortable === true ? html` data-sortable` : null}><thead><tr>${head}</tr></thead>
<tbody>${rows.map(line)}</tbody>${foot.length > 0 ? html`<tfoot>${foot.map(line)}</tfoot>` : null}</table></div>`;
}

const sideOf = <Row>(column: Column<Row>): string =>
  column.form === "text" ? "text" : column.form === "words" ? "text wrap" : "";

function cell<Row>(column: Column<Row>, row: Row, isHead: boolean): Markup {
  const value = column.value(row);
  const shown = column.draw?.(row) ?? (typeof value === "string" ? value
    : formatValue(value, column.form as Form));
  if (isHead) return html`<th scope="row" class="text" data-value="${value}">${shown}</th>`;
  return html`<td class="${sideOf(column)}" data-value="${value}">${shown}</td>`;
}

/** Columns of the eight numbers. */
function summaryColumns<Row extends Summary>(keys: readonly (keyof Summary)[] = SUMMARY_KEYS): Column<Row>[] {
  return keys.map(key => ({
    label: SUMMARY_WORDS[key].label, title: SUMMARY_WORDS[key].formula, form: SUMMARY_WORDS[key].form,
    value: (row: Row) => row[key],
  }));
}

interface WindowLine extends Summary {
  readonly span: string;
  readonly instruments: number;
  readonly benchmark: Summary | null;
}

/** One line a window, the average below, the benchmark's return and Sharpe at the right. */
export function windowsTable(result: BacktestResult): Markup {
  const { benchmark } = result;
  const lines = result.windows.map((window: WindowResult, k): WindowLine => ({
    ...window, span: `${window.from} to ${window.to}`, benchmark: benchmark?.windows[k] ?? null,
  }));
  const average: WindowLine = {
    ...result.average, span: "Average", benchmark: benchmark?.average ?? null,
    instruments: result.windows.reduce((sum, window) => sum + window.instruments, 0) / result.windows.length,
  };
  const columns: Column<WindowLine>[] = [
    { label: "Window", form: "text", value: line => line.span },
    { label: "Instruments", form: "count", value: line => line.instruments,
      draw: line => formatRatio(line.instruments, Number.isInteger(line.instruments) ? 0 : 1) },
    ...summaryColumns<WindowLine>(),
  ];
  if (benchmark !== null) {
    columns.push(
      { label: `${benchmark.name}: return`, form: "percent", value: line => line.benchmark?.annualReturn ?? NaN },
      { label: `${benchmark.name}: Sharpe`, form: "ratio", value: line => line.benchmark?.sharpe ?? NaN });
  }
  return table(columns, lines, { name: "Walk-forward windows", isSortable: true, foot: [average] });
}

interface Named extends Summary {
  readonly name: string;
  readonly color: string;
}

/** The strategy, what it is compared with and the benchmark: averages over windows, side by side. */
export function comparisonTable(result: BacktestResult, others: readonly Compared[]): Markup {
  const lines: Named[] = [
    { ...result.average, name: result.strategy, color: "strategy" },
    ...others.map(other => ({ ...other.result.average, name: other.label, color: other.color })),
  ];
  if (result.benchmark !== null && !others.some(other => other.isBenchmark)) {
    lines.push({ ...result.benchmark.average, name: `${result.benchmark.name} (benchmark)`, color: "benchmark" });
  }
  const columns: Column<Named>[] = [
    { label: "Strategy", form: "text", value: line => line.name,
      draw: line => html`<span class="swatch c-${line.color}"></span>${line.name}` },
    ...summaryColumns<Named>(),
  ];
  return table(columns, lines, { name: "Strategies compared", isSortable: true });
}

const GROUP_KEYS = ["annualReturn", "volatility", "sharpe", "maxDrawdown", "positiveShare", "turnover"] as const;

/** Groups (classes or instruments), greatest contribution first. */
export function groupTable(rows: readonly GroupRow[], name: string, hasClass: boolean): Markup {
  const ranked = rows.toSorted((a, b) => (b.contribution || 0) - (a.contribution || 0));
  const shown = ranked.length <= INSTRUMENT_ROWS_MAX ? ranked
    : [...ranked.slice(0, INSTRUMENT_ROWS_MAX / 2), ...ranked.slice(-INSTRUMENT_ROWS_MAX / 2)];
  const largest = Math.max(...shown.map(row => Math.abs(row.contribution)).filter(Number.isFinite), 0);
  const columns: Column<GroupRow>[] = [
    { label: "Name", form: "text", value: row => row.name },
    ...(hasClass ? [{ label: "Class", form: "text" as const, value: (row: GroupRow) => row.assetClass }] : []),
    { label: "Contribution", form: "percent", value: row => row.contribution,
      title: "sum of the group's share of the portfolio's net returns",
      draw: row => html`${shareBar(row.contribution, largest)}${formatPercent(row.contribution, 2)}` },
    ...summaryColumns<GroupRow>(GROUP_KEYS),
    { label: "Periods", form: "count", value: row => row.periods },
  ];
  const cut = shown.length < rows.length
    ? html`<p class="caption">The ${INSTRUMENT_ROWS_MAX / 2} largest and ${INSTRUMENT_ROWS_MAX / 2} smallest contributions of
${rows.length}; all of them are in the --json output.</p>` : null;
  return html`${cut}${table(columns, shown, { name, isSortable: true, isLong: shown.length > 16 })}`;
}

/** A bar from the middle: right and blue is a gain, left and orange a loss, the longest is the largest share. */
function shareBar(value: number, largest: number): Markup | null {
  if (!(largest > 0) || !Number.isFinite(value)) return null;
  const length = (Math.abs(value) / largest) * 50;
  const start = value >= 0 ? 50 : 50 - length;
  return html`<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><path class="rule"
d="M50 0V10"/><rect class="${value >= 0 ? "up" : "down"}" x="${start.toFixed(2)}" width="${length.toFixed(2)}" y="1" height="8"/></svg>`;
}

export function costTable(result: BacktestResult): Markup {
  const free = result.costLadder[0]?.sharpe ?? NaN;
  return table([
    { label: "Cost", form: "ratio", value: row => row.costBps,
      draw: row => `${row.costBps} bps${row.costBps === result.costBps ? " (this run)" : ""}` },
    { label: "Annual return", form: "percent", value: row => row.annualReturn, title: SUMMARY_WORDS.annualReturn.formula },
    { label: "Sharpe", form: "ratio", value: row => row.sharpe, title: SUMMARY_WORDS.sharpe.formula,
      draw: row => formatRatio(row.sharpe, 3) },
    { label: "Sharpe lost", form: "ratio", value: row => free - row.sharpe,
      title: "against the first row", draw: row => formatRatio(free - row.sharpe, 3) },
  ], result.costLadder, { name: "Cost ladder" });
}

/** Why the event engine differs from the vector engine, line by line, and their sum. */
export function differencesTable(result: BacktestResult): Markup {
  const total = result.differences.reduce((sum, row) => sum + row.returnDifference, 0);
  return table([
    { label: "What", form: "text", value: row => row.what },
    { label: "Total return", form: "percent", value: row => row.returnDifference,
      draw: row => formatPercent(row.returnDifference, 4) },
    { label: "Why", form: "words", value: row => row.why },
  ], result.differences, { name: "Differences of the engines",
    foot: [{ what: "Sum", returnDifference: total, why: "" }] });
}

export function drawdownTable(result: BacktestResult): Markup {
  const { time, netReturn } = result.curve;
  const isIntraday = result.timeframe !== "1d";
  const day = (row: number, otherwise: string): string => row < 0 ? otherwise : formatMoment(time[row], isIntraday);
  const falls = worstDrawdowns(drawdown(netReturn), 8);
  if (falls.length === 0) return html`<p class="caption">No drawdown: the value never fell below an earlier one.</p>`;
  return table([
    { label: "From", form: "text", value: fall => day(fall.peak, "start") },
    { label: "Depth", form: "percent", value: fall => fall.depth },
    { label: "Lowest", form: "text", value: fall => day(fall.trough, "") },
    { label: "Recovered", form: "text", value: fall => day(fall.recovery, "not yet") },
    { label: "Periods", form: "count", value: fall => (fall.recovery < 0 ? time.length - 1 : fall.recovery) - fall.peak },
  ], falls, { name: "Deepest drawdowns", isSortable: true });
}
