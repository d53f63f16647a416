/**
 * The report for a terminal: words and tables, 100 columns at most. Draws only; every number is in the
 * result.
 */
import { formatNumber, formatPercent, formatTable, TERMINAL_COLUMNS, type Column } from "../base/table.ts";
import { growth as growthOf } from "../metrics/rolling.ts";
import type { BacktestResult, GroupRow, Summary } from "./result.ts";

const SPARKS = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"] as const;
const SPARK_WIDTH = 60;
/** Instruments shown at either end of the table. */
const SHOWN = 5;

const right = (title: string): Column => ({ title, align: "right" });
const SUMMARY_COLUMNS =
  ["return", "vol", "Sharpe", "Sortino", "max DD", "Calmar", "up", "turnover"].map(right);

function summaryCells(row: Summary): string[] {
  return [formatPercent(row.annualReturn), formatPercent(row.volatility), formatNumber(row.sharpe, 3),
    formatNumber(row.sortino, 3), formatPercent(row.maxDrawdown), formatNumber(row.calmar, 3),
    formatPercent(row.positiveShare), formatNumber(row.turnover, 1)];
}

export function reportText(result: BacktestResult): string {
  const parts = [header(result), windowTable(result), seeds(result), growth(result), ladder(result),
    risk(result), classTable(result), instrumentTable(result), differences(result), notes(result)];
  return parts.filter((part) => part !== "").join("\n\n");
}

function header(result: BacktestResult): string {
  const { strategy, dataset, timeframe, engine, costBps, lag, volatilityTarget } = result;
  const count = result.instruments.length;
  const first = `${strategy} on ${dataset}${result.isSynthetic ? " (SYNTHETIC market)" : ""}: ${count} `
    + `instrument${count === 1 ? "" : "s"}, ${timeframe} bars`;
  const second = `${engine} engine, cost ${costBps} bps, lag ${lag}, `
    + `${formatPercent(volatilityTarget, 0)} volatility per instrument`;
  return `${first}\n${second}`;
}

function windowTable(result: BacktestResult): string {
  const rows = result.windows.map((window) =>
    [`${window.from} .. ${window.to}`, String(window.instruments), ...summaryCells(window)]);
  if (result.windows.length > 1) rows.push(["average", "", ...summaryCells(result.average)]);
  const { benchmark } = result;
  if (benchmark !== null) {
    rows.push([`${benchmark.name}${result.windows.length > 1 ? ", average" : ""} (benchmark)`, "",
      ...summaryCells(benchmark.average)]);
  }
  return formatTable([{ title: "window" }, right("N"), ...SUMMARY_COLUMNS], rows);
}

/** How much of a trained model's result is its seed's luck, and of its lead over the benchmark chance. */
function seeds({ seeds: found, benchmark, windows }: BacktestResult): string {
  if (found === undefined) return "";
  const { rows, shown, sharpeMean, sharpeDeviation, pValue } = found;
  const table = rows.length < 2 ? [] : [formatTable([
    { title: "seed" }, right("return"), right("vol"), right("Sharpe"), right("max DD"), right("turnover"),
    ...(windows.length > 1 ? [right("Sharpe by window")] : []),
  ], rows.map(({ name, average, sharpeByWindow }) => [name === shown ? `${name} (shown)` : name,
      formatPercent(average.annualReturn), formatPercent(average.volatility), formatNumber(average.sharpe, 3),
      formatPercent(average.maxDrawdown), formatNumber(average.turnover, 1),
      ...(windows.length > 1 ? [sharpeByWindow.map((value) => formatNumber(value, 2)).join(" ")] : [])])),
  `Sharpe over ${rows.length} seeds: ${formatNumber(sharpeMean, 3)}, standard deviation `
    + `${formatNumber(sharpeDeviation, 3)}; shown is the median`];
  const chance = benchmark === null || Number.isNaN(pValue) ? []
    : [`p-value ${formatNumber(pValue, 3)}: the chance of such a lead over ${benchmark.name} `
      + "if it were no better"];
  return [...table, ...chance].join("\n");
}

/** Growth of 1 as a row of blocks on a logarithmic scale, the benchmark below on the same one. */
function growth(result: BacktestResult): string {
  const { benchmark, curve } = result;
  const lines: [string, Float64Array][] = [[result.strategy, growthOf(curve.netReturn)]];
  if (benchmark !== null) lines.push([benchmark.name, growthOf(benchmark.netReturn)]);
  const values = lines.flatMap(([, line]) => sample(line)).filter((value) => value > 0);
  if (values.length === 0) return "";
  const low = Math.log(Math.min(...values)), high = Math.log(Math.max(...values));
  const width = Math.max(...lines.map(([name]) => Math.min(name.length, 20)));
  return lines.map(([name, line]) => {
    const blocks = sample(line).map((value) => spark(value > 0 ? Math.log(value) : low, low, high)).join("");
    return `${name.slice(0, 20).padEnd(width)}  ${blocks}  1.00 -> ${formatNumber(line.at(-1) ?? NaN, 2)}`;
  }).join("\n");
}

function sample(line: Float64Array): number[] {
  const width = Math.min(SPARK_WIDTH, line.length);
  return Array.from({ length: width }, (_, k) => line[Math.floor((k + 1) * line.length / width) - 1]);
}

function spark(value: number, low: number, high: number): string {
  const share = high > low ? (value - low) / (high - low) : 0.5;
  return SPARKS[Math.min(SPARKS.length - 1, Math.max(0, Math.floor(share * SPARKS.length)))];
}

function ladder({ costLadder }: BacktestResult): string {
  return formatTable([{ title: "at a cost of" }, ...costLadder.map((row) => right(`${row.costBps} bps`))], [
    ["Sharpe", ...costLadder.map((row) => formatNumber(row.sharpe, 3))],
    ["return", ...costLadder.map((row) => formatPercent(row.annualReturn))],
  ]);
}

function risk({ risk: numbers }: BacktestResult): string {
  const ratio = Number.isNaN(numbers.informationRatio) ? ""
    : `, information ratio ${formatNumber(numbers.informationRatio, 2)}`;
  return `VaR 95% ${formatPercent(numbers.valueAtRisk95)} a period, `
    + `CVaR ${formatPercent(numbers.conditionalValueAtRisk95)}, `
    + `skewness ${formatNumber(numbers.skewness, 2)}, kurtosis ${formatNumber(numbers.kurtosis, 1)}${ratio}\n`
    + `deflated Sharpe ${formatNumber(numbers.deflatedSharpe, 3)}: `
    + "the probability that the true one is above 0, "
    + `${numbers.trials} trial${numbers.trials === 1 ? "" : "s"}`;
}

const GROUP_COLUMNS = ["Sharpe", "return", "vol", "max DD", "turnover", "adds"].map(right);

function groupCells(row: GroupRow): string[] {
  return [formatNumber(row.sharpe, 2), formatPercent(row.annualReturn), formatPercent(row.volatility),
    formatPercent(row.maxDrawdown), formatNumber(row.turnover, 1), formatPercent(row.contribution)];
}

function classTable({ classes }: BacktestResult): string {
  if (classes.length < 2) return "";
  return formatTable([{ title: "class" }, ...GROUP_COLUMNS],
    classes.map((row) => [row.name, ...groupCells(row)]));
}

/** The best and the worst by contribution; all when there are few. */
function instrumentTable({ instruments }: BacktestResult): string {
  const sorted = [...instruments].sort((a, b) => b.contribution - a.contribution);
  const rows = sorted.map((row) => [row.name, row.assetClass, ...groupCells(row)]);
  const shown = rows.length <= 2 * SHOWN ? rows
    : [...rows.slice(0, SHOWN), [`... ${rows.length - 2 * SHOWN} more`, "", "", "", "", "", "", ""],
      ...rows.slice(-SHOWN)];
  return formatTable([{ title: "instrument" }, { title: "class" }, ...GROUP_COLUMNS], shown);
}

function differences({ differences: rows }: BacktestResult): string {
  if (rows.length === 0) return "";
  const width = Math.max(...rows.map((row) => row.what.length));
  return ["against the vector engine, total return:", ...rows.map(({ what, returnDifference, why }) =>
    wrap(`${what.padEnd(width)} ${formatPercent(snap(returnDifference), 3).padStart(9)}  ${why}`,
      " ".repeat(width + 12)))].join("\n");
}

/** What is printed as zero has no sign. */
const snap = (fraction: number): number => Math.abs(fraction) < 5e-6 ? 0 : fraction;

function notes({ notes: sentences }: BacktestResult): string {
  return sentences.map((sentence) => wrap(`- ${sentence}`, "  ")).join("\n");
}

/** Breaks at spaces before `TERMINAL_COLUMNS`; further lines start with `indent`. */
function wrap(text: string, indent: string): string {
  let rest = text, out = "";
  while (rest.length > TERMINAL_COLUMNS) {
    const space = rest.lastIndexOf(" ", TERMINAL_COLUMNS);
    const at = space > indent.length ? space : TERMINAL_COLUMNS;
    out += `${rest.slice(0, at)}\n`;
    rest = indent + rest.slice(at).trimStart();
  }
  return out + rest;
}
