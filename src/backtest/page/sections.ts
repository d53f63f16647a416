/** The sections of the page in reading order. One without anything to say is left out, or says why. */
import { MS_PER_DAY } from "../../base/units.ts";
import { monthlyReturns } from "../../metrics/rolling.ts";
import type { BacktestResult, GroupRow } from "../result.ts";
import { formatMoment, formatValue } from "./format.ts";
import { costPicture, distributionPicture, extremesSentence } from "./graphics.ts";
import { heatMap } from "./heat-map.ts";
import { html, type Markup, type Part } from "./html.ts";
import { comparedWith, type Chart, type Compared, type Series } from "./series.ts";
import {
  comparisonTable, costTable, differencesTable, drawdownTable, formulaTable, groupTable, windowsTable,
} from "./tables.ts";
import { viewsBody } from "./views.ts";
import { RISK_KEYS, RISK_WORDS } from "./words.ts";

export interface Section {
  readonly id: string;
  readonly title: string;
  /** In the bar at the top. */
  readonly short: string;
  /** Beside the title. */
  readonly controls?: Markup | null;
  readonly body: Markup;
}

/** `drawn`: every chart of the page; `rowsDrawn`: how many periods they show, null for all. */
export function sections(
  result: BacktestResult, others: readonly BacktestResult[], drawn: readonly Chart[],
  rowsDrawn: number | null,
): Section[] {
  const compared = comparedWith(result, others);
  const pair = (one: string, other: string): Markup =>
    html`<div class="two">${figureOf(result, drawn, one)}${figureOf(result, drawn, other)}</div>`;
  const all: (Section | null)[] = [
    { id: "performance", title: "Growth and drawdown", short: "Growth", controls: spans(result),
      body: html`${howTo()}${cutNote(result, rowsDrawn)}${figureOf(result, drawn, "equity")}${
        figureOf(result, drawn, "drawdown")}` },
    others.length === 0 ? null
      : { id: "compared", title: "Strategies compared", short: "Compared",
          body: html`${caption("Averages over the windows of each run.")}${
            comparisonTable(result, compared)}` },
    { id: "windows", title: "Walk-forward windows", short: "Windows", body: windowsBody(result) },
    { id: "rolling", title: "Risk and reward over time", short: "Rolling",
      body: pair("sharpe", "volatility") },
    { id: "monthly", title: "Monthly returns", short: "Months", body: monthlyBody(result) },
    { id: "risk", title: "Distribution and tail risk", short: "Risk", body: riskBody(result) },
    { id: "trading", title: "Exposure and turnover", short: "Exposure",
      body: pair("exposure", "turnover") },
    { id: "costs", title: "What costs take", short: "Costs", body: costsBody(result, compared) },
    { id: "classes", title: "Asset classes", short: "Classes",
      body: groupsBody(result.classes, "Asset classes", false) },
    { id: "instruments", title: "Instruments", short: "Instruments",
      body: groupsBody(result.instruments, "Instruments", true) },
    result.views === undefined ? null
      : { id: "views", title: "What the network looked at", short: "Network",
          body: viewsBody(result.views) },
    result.engine === "vector" ? null
      : { id: "differences", title: "Why the two engines differ", short: "Engines",
          body: differencesBody(result) },
    { id: "notes", title: "Notes and formulas", short: "Notes", body: notesBody(result) },
  ];
  return all.filter((section) => section !== null);
}

function caption(...parts: readonly Part[]): Markup {
  return html`<p class="caption">${parts}</p>`;
}

function howTo(): Markup {
  return caption("Drag over any chart to zoom all of them; double-click to see everything.",
    html`<noscript> The charts need JavaScript; every table reads without it.</noscript>`);
}

/** A chart's place: title, legend with the last values, and an empty box that the script fills. */
function figureOf(result: BacktestResult, drawn: readonly Chart[], id: string): Markup {
  const chart = drawn.find((one) => one.id === id) as Chart;
  const { time } = result.curve;
  const last = time.length - 1;
  const hasValue = chart.series
    .some(({ values }) => typeof values !== "number" && values.some(Number.isFinite));
  if (!hasValue) {
    const why = last < 0 ? "no periods" : `${last + 1} periods are too few`;
    return html`<figure><h3>${chart.title}</h3><div class="plot none">n/a: ${why}</div></figure>`;
  }
  const canLog = chart.canLog === true;
  const ends = chart.series.map(({ values }) =>
    formatValue(typeof values === "number" ? values : values[last], chart.form));
  const summary = chart.series.map((one, k) => `${one.label} ${ends[k]}`).join(", ");
  const words = `${chart.title}. ${chart.caption} At the end: ${summary}. Arrow keys read it.`;
  const moment = formatMoment(time[last], result.timeframe !== "1d");
  return html`<figure id="chart-${id}">
<div class="head"><h3>${chart.title}</h3>${canLog ? scaleChoice() : null}</div>
${caption(chart.caption)}
<div class="legend"><output class="moment">${moment}</output>${
  chart.series.map((one, k) => legendButton(one, ends[k]))}</div>
<div class="plot${canLog ? " tall" : ""}" role="img" tabindex="0" aria-label="${words}"></div>
</figure>`;
}

function legendButton(one: Series, value: string): Markup {
  const line = one.isDashed === true ? html`<i class="dashed"></i>` : html`<i></i>`;
  return html`<button type="button" aria-pressed="true" class="c-${one.color}">${line}${
    one.label} <b>${value}</b></button>`;
}

function scaleChoice(): Markup {
  return html`<div class="choices" role="group" aria-label="Vertical scale">
<button type="button" data-scale="log" aria-pressed="true">Log</button>
<button type="button" data-scale="linear" aria-pressed="false">Linear</button></div>`;
}

/** Buttons for the last years: what a drag does with a pointer, for keys and fingers. */
function spans(result: BacktestResult): Markup | null {
  const { time } = result.curve;
  if (time.length < 2) return null;
  const years = (time[time.length - 1] - time[0]) / (365.25 * MS_PER_DAY);
  const choices = [1, 3, 5, 10, 20].filter((count) => count < years);
  return html`<div class="choices" role="group" aria-label="Time shown">${choices.map((count) =>
    html`<button type="button" data-years="${count}" aria-pressed="false">${count}y</button>`)}
<button type="button" data-years="all" aria-pressed="true">All</button></div>`;
}

function cutNote(result: BacktestResult, rowsDrawn: number | null): Markup | null {
  if (rowsDrawn === null) return null;
  const shown = rowsDrawn.toLocaleString("en-US");
  const count = result.curve.time.length.toLocaleString("en-US");
  return caption(`The charts draw ${shown} of ${count} periods: in each of 2,500 slices of time those `
    + "with the least and the greatest growth, exposure and turnover. Numbers and tables use all.");
}

function windowsBody(result: BacktestResult): Markup {
  if (result.windows.length === 0) return caption("n/a: no windows.");
  const average = result.windows.length > 1 ? " The last row is their plain average." : "";
  const words = `Each window is decided with what was known before it.${average}`;
  return html`${caption(words)}${windowsTable(result)}`;
}

function monthlyBody(result: BacktestResult): Markup {
  const rows = monthlyReturns(result.curve.time, result.curve.netReturn);
  if (rows.length === 0) return caption("n/a: no periods.");
  return html`${caption("Compounded net returns; blue gains, orange losses.")}${heatMap(rows)}`;
}

function riskBody(result: BacktestResult): Markup {
  const tiles = RISK_KEYS.map((key) => {
    const { label, form, formula } = RISK_WORDS[key];
    const value = formatValue(result.risk[key], form);
    return html`<div><dt title="${formula}">${label}</dt><dd data-risk="${key}">${value}</dd></div>`;
  });
  return html`${caption(extremesSentence(result))}
<div class="two"><div>${distributionPicture(result)}</div>
<div><h3>Deepest drawdowns</h3>${drawdownTable(result)}</div></div>
<dl class="tiles small">${tiles}</dl>`;
}

function costsBody(result: BacktestResult, compared: readonly Compared[]): Markup {
  if (result.costLadder.length === 0) return caption("n/a: no cost ladder.");
  const own: Compared = {
    result, label: result.strategy, color: "strategy", isDashed: false, isBenchmark: false,
  };
  return html`${caption("The same decisions at other costs, average of the windows.")}
<div class="two"><div>${costPicture([own, ...compared])}</div><div>${costTable(result)}</div></div>`;
}

function groupsBody(rows: readonly GroupRow[], name: string, hasClass: boolean): Markup {
  if (rows.length === 0) return caption("n/a: nothing was traded.");
  const words = "Contributions add up to the sum of the portfolio's net returns. "
    + "Press a column's head to sort.";
  return html`${caption(words)}${groupTable(rows, name, hasClass)}`;
}

function differencesBody(result: BacktestResult): Markup {
  if (result.differences.length === 0) {
    return caption(`The ${result.engine} engine and the vector engine agree.`);
  }
  const name = result.engine === "live" ? "Live" : "Event";
  const words = `${name} engine less vector engine, in total return.`;
  return html`${caption(words)}${differencesTable(result)}`;
}

function notesBody(result: BacktestResult): Markup {
  const notes = result.notes.length === 0 ? caption("The run left no notes.")
    : html`<ul class="notes">${result.notes.map((note) => html`<li>${note}</li>`)}</ul>`;
  return html`${notes}<details><summary>Formulas</summary>${formulaTable()}</details>`;
}
