/** The tables of the page: which rows, which columns. How a table is made: table.ts. */
import { drawdown, worstDrawdowns } from "../../metrics/rolling.ts";
import type { BacktestResult, GroupRow, Summary } from "../result.ts";
import { formatMoment, formatPercent, formatRatio } from "./format.ts";
import { html, type Markup } from "./html.ts";
import type { Compared } from "./series.ts";
import { table, type Column } from "./table.ts";
import { RISK_WORDS, SUMMARY_KEYS, SUMMARY_WORDS, type Word } from "./words.ts";

/** Rows of the per instrument table; with more, half of it are the greatest, half the least. */
export const INSTRUMENT_ROWS_MAX = 400;

/** Rows above which a table scrolls in its own box. */
const LONG_ROWS = 16;

const DRAWDOWN_ROWS = 8;

function summaryColumns<Row extends Summary>(
  keys: readonly (keyof Summary)[] = SUMMARY_KEYS,
): Column<Row>[] {
  return keys.map((key) => {
    const { label, formula, form } = SUMMARY_WORDS[key];
    return { label, title: formula, form, value: (row: Row) => row[key] };
  });
}

interface WindowLine extends Summary {
  readonly span: string;
  readonly instruments: number;
  readonly benchmark: Summary | null;
}

/** One line a window, the average of several below, the benchmark at the right. */
export function windowsTable(result: BacktestResult): Markup {
  const { benchmark, windows } = result;
  const lines = windows.map((window, k): WindowLine => ({
    ...window, span: `${window.from} to ${window.to}`, benchmark: benchmark?.windows[k] ?? null,
  }));
  const instruments = windows.reduce((sum, window) => sum + window.instruments, 0) / windows.length;
  const average: WindowLine = {
    ...result.average, span: "Average", instruments, benchmark: benchmark?.average ?? null,
  };
  const columns: Column<WindowLine>[] = [
    { label: "Window", form: "text", value: (line) => line.span,
      // Two pieces that stay whole: a narrow screen may break between the dates, never inside one.
      draw: (line) => line.span.split(/(?<= to) /).map((date) => html`<span>${date}</span> `) },
    { label: "Instruments", form: "count", value: (line) => line.instruments,
      draw: (line) => formatRatio(line.instruments, Number.isInteger(line.instruments) ? 0 : 1) },
    ...summaryColumns<WindowLine>(),
  ];
  if (benchmark !== null) {
    const { name } = benchmark;
    columns.push(
      { label: `${name}: return`, form: "percent",
        value: (line) => line.benchmark?.annualReturn ?? NaN },
      { label: `${name}: Sharpe`, form: "ratio", value: (line) => line.benchmark?.sharpe ?? NaN });
  }
  const foot = windows.length > 1 ? [average] : [];
  return table(columns, lines, { name: "Walk-forward windows", isSortable: true, foot });
}

interface Named extends Summary {
  readonly name: string;
  readonly color: string;
}

/** The strategy, the others and the benchmark: averages over windows, one below the other. */
export function comparisonTable(result: BacktestResult, others: readonly Compared[]): Markup {
  const { benchmark } = result;
  const lines: Named[] = [
    { ...result.average, name: result.strategy, color: "strategy" },
    ...others.map((other) => ({ ...other.result.average, name: other.label, color: other.color })),
  ];
  if (benchmark !== null && !others.some((other) => other.isBenchmark)) {
    lines.push({ ...benchmark.average, name: `${benchmark.name} (benchmark)`, color: "benchmark" });
  }
  return table([
    { label: "Strategy", form: "text", value: (line) => line.name,
      draw: (line) => html`<span class="swatch c-${line.color}"></span>${line.name}` },
    ...summaryColumns<Named>(),
  ], lines, { name: "Strategies compared", isSortable: true });
}

const GROUP_KEYS = [
  "annualReturn", "volatility", "sharpe", "maxDrawdown", "positiveShare", "turnover",
] as const;

/** Classes or instruments, greatest contribution first. */
export function groupTable(rows: readonly GroupRow[], name: string, hasClass: boolean): Markup {
  const ranked = rows.toSorted((a, b) => (b.contribution || 0) - (a.contribution || 0));
  const half = INSTRUMENT_ROWS_MAX / 2;
  const isCut = ranked.length > INSTRUMENT_ROWS_MAX;
  const shown = isCut ? [...ranked.slice(0, half), ...ranked.slice(-half)] : ranked;
  const sizes = shown.map((row) => Math.abs(row.contribution)).filter(Number.isFinite);
  const largest = Math.max(...sizes, 0);
  const assetClass: Column<GroupRow> = {
    label: "Class", form: "text", value: (row) => row.assetClass,
  };
  const columns: Column<GroupRow>[] = [
    { label: "Name", form: "text", value: (row) => row.name },
    ...(hasClass ? [assetClass] : []),
    { label: "Contribution", form: "percent", value: (row) => row.contribution,
      title: "sum of the group's share of the portfolio's net returns",
      draw: ({ contribution }) => [shareBar(contribution, largest), formatPercent(contribution, 2)] },
    ...summaryColumns<GroupRow>(GROUP_KEYS),
    { label: "Periods", form: "count", value: (row) => row.periods },
  ];
  const count = rows.length.toLocaleString("en-US");
  const note = `The ${half} greatest and the ${half} least of ${count} contributions; --json has all.`;
  return html`${isCut ? html`<p class="caption">${note}</p>` : null}${
    table(columns, shown, { name, isSortable: true, isLong: shown.length > LONG_ROWS })}`;
}

/** A bar from the middle: to the right a gain, to the left a loss; the longest is the largest share. */
function shareBar(value: number, largest: number): Markup | null {
  if (!(largest > 0) || !Number.isFinite(value)) return null;
  const length = (Math.abs(value) / largest) * 50;
  const start = value >= 0 ? 50 : 50 - length;
  return html`<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
<path class="rule" d="M50 0V10"/><rect class="${value >= 0 ? "up" : "down"}" x="${start.toFixed(2)}"
width="${length.toFixed(2)}" y="1" height="8"/></svg>`;
}

export function costTable(result: BacktestResult): Markup {
  const free = result.costLadder[0]?.sharpe ?? NaN;
  const { annualReturn, sharpe } = SUMMARY_WORDS;
  return table([
    { label: "Cost", form: "ratio", value: (row) => row.costBps,
      draw: (row) => `${row.costBps} bps${row.costBps === result.costBps ? " (this run)" : ""}` },
    { label: annualReturn.label, title: annualReturn.formula, form: "percent",
      value: (row) => row.annualReturn },
    { label: sharpe.label, title: sharpe.formula, form: "ratio", value: (row) => row.sharpe,
      draw: (row) => formatRatio(row.sharpe, 3) },
    { label: "Sharpe lost", title: "against the first row", form: "ratio",
      value: (row) => free - row.sharpe, draw: (row) => formatRatio(free - row.sharpe, 3) },
  ], result.costLadder, { name: "Cost ladder" });
}

/** Why the event engine differs from the vector engine, line by line, and their sum. */
export function differencesTable(result: BacktestResult): Markup {
  const total = result.differences.reduce((sum, row) => sum + row.returnDifference, 0);
  return table([
    { label: "What", form: "text", value: (row) => row.what },
    { label: "Total return", form: "percent", value: (row) => row.returnDifference,
      draw: (row) => formatPercent(row.returnDifference, 4) },
    { label: "Why", form: "words", value: (row) => row.why },
  ], result.differences, {
    name: "Differences of the engines", foot: [{ what: "Sum", returnDifference: total, why: "" }],
  });
}

export function drawdownTable(result: BacktestResult): Markup {
  const { time, netReturn } = result.curve;
  const falls = worstDrawdowns(drawdown(netReturn), DRAWDOWN_ROWS);
  if (falls.length === 0) {
    return html`<p class="caption">No drawdown: the value never fell below an earlier one.</p>`;
  }
  const when = (row: number, otherwise: string): string =>
    row < 0 ? otherwise : formatMoment(time[row], result.timeframe !== "1d");
  return table([
    { label: "From", form: "text", value: (fall) => when(fall.peak, "start") },
    { label: "Depth", form: "percent", value: (fall) => fall.depth },
    { label: "Lowest", form: "text", value: (fall) => when(fall.trough, "") },
    { label: "Recovered", form: "text", value: (fall) => when(fall.recovery, "not yet") },
    { label: "Periods", form: "count",
      value: (fall) => (fall.recovery < 0 ? time.length - 1 : fall.recovery) - fall.peak },
  ], falls, { name: "Deepest drawdowns", isSortable: true });
}

export function formulaTable(): Markup {
  const words: readonly Word[] = [...Object.values(SUMMARY_WORDS), ...Object.values(RISK_WORDS)];
  const symbols = "Formula. r: net return of a period, n: periods, P: periods a year, "
    + "W: growth of 1, w: weight";
  return table([
    { label: "Number", form: "text", value: (word) => word.label },
    { label: symbols, form: "words", value: (word) => word.formula },
  ], words, { name: "Formulas" });
}
