/** The sections of the page in reading order. A section without anything to say is left out, or says why. */
import { monthlyReturns } from "../../metrics/rolling.ts";
import type { BacktestResult } from "../result.ts";
import { formatMoment, formatValue } from "./format.ts";
import { costPicture, distributionPicture, extremesSentence } from "./graphics.ts";
import { heatMap } from "./heat-map.ts";
import { html, type Markup } from "./html.ts";
import { comparedWith, type Chart, type Compared } from "./series.ts";
import {
  comparisonTable, costTable, differencesTable, drawdownTable, groupTable, windowsTable,
} from "./tables.ts";
import { RISK_KEYS, RISK_WORDS, SUMMARY_WORDS } from "./words.ts";

export interface Section {
  readonly id: string;
  readonly title: string;
  /** In the bar at the top. */
  readonly short: string;
  /** Beside the title. */
  readonly controls?: Markup | null;
  readonly body: Markup;
}

export function sections(result: BacktestResult, others: readonly BacktestResult[], drawn: readonly Chart[],
  rowsDrawn: number | null): Section[] {
  const chart = (id: string): Markup => figureOf(result, drawn, id);
  const compared = comparedWith(result, others);
  const all: (Section | null)[] = [
    { id: "performance", title: "Growth and drawdown", short: "Growth",
      controls: spans(result), body: html`<p class="caption">Drag over any chart to zoom all of them; double-click to see everything.
<noscript> The charts need JavaScript; every table reads without it.</noscript></p>${cutNote(result, rowsDrawn)}${
  chart("equity")}${chart("drawdown")}` },
    others.length === 0 ? null : { id: "compared", title: "Strategies compared", short: "Compared",
      body: html`<p class="caption">Averages over the windows of each run.</p>${comparisonTable(result, compared)}` },
    { id: "windows", title: "Walk-forward windows", short: "Windows", body: windowsBody(result) },
    { id: "rolling", title: "Risk and reward over time", short: "Rolling",
      body: html`<div class="two">${chart("sharpe")}${chart("volatility")}</div>` },
    { id: "monthly", title: "Monthly returns", short: "Months", body: monthlyBody(result) },
    { id: "risk", title: "Distribution and tail risk", short: "Risk", body: riskBody(result) },
    { id: "trading", title: "Exposure and turnover", short: "Exposure",
      body: html`<div class="two">${chart("exposure")}${chart("turnover")}</div>` },
    { id: "costs", title: "What costs take", short: "Costs", body: costsBody(result, compared) },
    { id: "classes", title: "Asset classes", short: "Classes", body: groupsBody(result.classes, "Asset classes", false) },
    { id: "instruments", title: "Instruments", short: "Instruments", body: groupsBody(result.instruments, "Instruments", true) },
    result.engine !== "event" ? null : { id: "differences", title: "Why the two engines differ", short: "Engines",
      body: result.differences.length === 0 ? html`<p class="caption">The event engine and the vector engine agree.</p>`
        : html`<p class="caption">Event engine less vector engine, in total return.</p>${differencesTable(result)}` },
    { id: "notes", title: "Notes and formulas", short: "Notes", body: notesBody(result) },
  ];
  return all.filter(section => section !== null);
}

/** A chart's place: title, legend with the last values, and an empty box that the script fills. */
function figureOf(result: BacktestResult, drawn: readonly Chart[], id: string): Markup {
  const chart = drawn.find(one => one.id === id) as Chart;
  const last = result.curve.time.length - 1;
  const isIntraday = result.timeframe !== "1d";
  const hasValue = last >= 0 && chart.series.some(one => typeof one.values !== "number" && one.values.some(Number.isFinite));
  if (!hasValue) {
    const why = last < 0 ? "no periods" : `${last + 1} periods are too few`;
    return html`<figure><h3>${chart.title}</h3><div class="plot none">n/a: ${why}</div></figure>`;
  }
  const valueOf = (values: Float64Array | number): string =>
    formatValue(typeof values === "number" ? values : values[last], chart.form);
  const legend = chart.series.map(one => html`<button type="button" aria-pressed="true" class="c-${one.color}"><i${
    one.isDashed === true ? html` class="dashed"` : null}></i>${one.label} <b>${valueOf(one.values)}</b></button>`);
  const scale = chart.canLog === true ? html`<div class="choices" role="group" aria-label="Vertical scale"><button type="button"
data-scale="log" aria-pressed="true">Log</button><button type="button" data-scale="linear" aria-pressed="false">Linear</button></div>` : null;
  const summary = chart.series.map(one => `${one.label} ${valueOf(one.values)}`).join(", ");
  return html`<figure id="chart-${id}"><div class="head"><h3>${chart.title}</h3>${scale}</div>
<p class="caption">${chart.caption}</p>
<div class="legend"><output class="moment">${formatMoment(result.curve.time[last], isIntraday)}</output>${legend}</div>
<div class="plot${chart.canLog === true ? " tall" : ""}" role="img" tabindex="0" aria-label="${chart.title}. ${chart.caption} At the end: ${
  summary}. Arrow keys move the read-out."></div></figure>`;
}

/** Buttons for the last years: what a drag does with a pointer, for keys and fingers. */
function spans(result: BacktestResult): Markup | null {
  const { time } = result.curve;
  if (time.length < 2) return null;
  const years = (time[time.length - 1] - time[0]) / (365.25 * 86_400_000);
  const choices = [1, 3, 5, 10, 20].filter(count => count < years);
  return html`<div class="choices" role="group" aria-label="Time shown">${choices.map(count => html`<button type="button" data-years="${count}"
aria-pressed="false">${count}y</button>`)}<button type="button" data-years="all" aria-pressed="true">All</button></div>`;
}

function cutNote(result: BacktestResult, rowsDrawn: number | null): Markup | null {
  if (rowsDrawn === null) return null;
  return html`<p class="caption" id="cut">The charts draw ${rowsDrawn.toLocaleString("en-US")} of ${
    result.curve.time.length.toLocaleString("en-US")} periods: in each of 2,500 slices of time those with the least and the greatest
growth, exposure and turnover. Every number and table uses all of them.</p>`;
}

function windowsBody(result: BacktestResult): Markup {
  if (result.windows.length === 0) return html`<p class="caption">n/a: no windows.</p>`;
  return html`<p class="caption">Each window is decided with what was known before it; the last row is the plain average.</p>${
    windowsTable(result)}`;
}

function monthlyBody(result: BacktestResult): Markup {
  const rows = monthlyReturns(result.curve.time, result.curve.netReturn);
  if (rows.length === 0) return html`<p class="caption">n/a: no periods.</p>`;
  return html`<p class="caption">Compounded net returns by the month of the decision; blue gains, orange losses.</p>${heatMap(rows)}`;
}

function riskBody(result: BacktestResult): Markup {
  const one = (key: (typeof RISK_KEYS)[number]): Markup => {
    const { label, form, formula } = RISK_WORDS[key];
    return html`<div><dt title="${formula}">${label}</dt><dd data-risk="${key}">${formatValue(result.risk[key], form)}</dd></div>`;
  };
  return html`<p class="caption">${extremesSentence(result)}</p><div class="two"><div>${distributionPicture(result)}</div>
<div><h3>Deepest drawdowns</h3>${drawdownTable(result)}</div></div><dl class="tiles small">${RISK_KEYS.map(one)}</dl>`;
}

function costsBody(result: BacktestResult, compared: readonly Compared[]): Markup {
  if (result.costLadder.length === 0) return html`<p class="caption">n/a: no cost ladder.</p>`;
  return html`<p class="caption">The same decisions at other costs, average of the windows.</p><div class="two"><div>${
    costPicture([{ result, label: result.strategy, color: "strategy", isDashed: false, isBenchmark: false }, ...compared])}</div><div>${costTable(result)}</div></div>`;
}

function groupsBody(rows: BacktestResult["classes"], name: string, hasClass: boolean): Markup {
  if (rows.length === 0) return html`<p class="caption">n/a: nothing was traded.</p>`;
  return html`<p class="caption">Contributions add up to the sum of the portfolio's net returns. Press a column's head to sort.</p>${
    groupTable(rows, name, hasClass)}`;
}

function notesBody(result: BacktestResult): Markup {
  const notes = result.notes.length === 0 ? html`<p class="caption">The run left no notes.</p>`
    : html`<ul class="notes">${result.notes.map(note => html`<li>${note}</li>`)}</ul>`;
  const words = [...Object.values(SUMMARY_WORDS), ...Object.values(RISK_WORDS)];
  return html`${notes}<details><summary>Formulas</summary><div class="scroll" role="region" tabindex="0"
aria-label="Formulas"><table><thead><tr><th scope="col" class="text">Number</th><th scope="col" class="text">Formula; r: net return of
a period, n: periods, P: periods a year, W: growth of 1, w: weight</th></tr></thead><tbody>${words.map(word => html`<tr><th scope="row" class="text">${
    word.label}</th><td class="text wrap">${word.formula}</td></tr>`)}</tbody></table></div></details>`;
}
