/**
 * "What the network looked at": variable selection by input and year, attention by bars before the
 * decision, and what training lost without each input.
 */
import { mean } from "../../metrics/moments.ts";
import type { NetworkViews } from "../result.ts";
import { barsPicture } from "./bars.ts";
import { digitsOf, formatPercent, formatRatio } from "./format.ts";
import { ticks } from "./graphics.ts";
import { html, type Markup } from "./html.ts";

/** Inputs drawn, the greatest; `--json` has all. */
const INPUTS_MAX = 24;
const STEPS = 7;

export function viewsBody(views: NetworkViews): Markup {
  const { selection, attention, importance } = views;
  const figures = [selection === null ? null : selectionFigure(views, selection.byYear),
    attention === null ? null : attentionFigure(attention),
    importance === null ? null : importanceFigure(views, importance)].filter((one) => one !== null);
  const years = selection !== null && selection.byYear.length > 1 ? yearTable(views, selection) : null;
  const looked = selection === null && attention === null ? ""
    : `Averages over ${views.rows.toLocaleString("en-US")} decisions of the windows, drawn by chance. `
      + "A weight says what the network let through, not what it made of it.";
  const words = looked === "" ? null : html`<p class="caption">${looked}</p>`;
  return html`${words}<div class="two views">${figures}</div>${years}`;
}

/** Indices of the inputs with the greatest values, greatest first. */
const greatest = (values: readonly number[]): number[] =>
  [...values.keys()].sort((a, b) => values[b] - values[a] || a - b).slice(0, INPUTS_MAX);

function leftOut(features: readonly string[]): string {
  const left = features.length - INPUTS_MAX;
  return left > 0 ? ` ${left} of lesser weight are not drawn.` : "";
}

type Selection = NonNullable<NetworkViews["selection"]>;

function selectionFigure({ features, selection }: NetworkViews, byYear: Selection["byYear"]): Markup {
  const own = (selection as Selection).mean;
  const rows = greatest(own)
    .map((f) => ({ name: features[f], values: byYear.map((year) => year.mean[f]) }));
  const even = formatPercent(1 / features.length, 1);
  return html`<figure><h3>Weight of each input</h3>
<p class="caption">Share that variable selection gives it: the bar is the mean, a dot one year. Evenly,
each of the ${features.length} would have ${even}.${leftOut(features)}</p>
${barsPicture(rows, { id: "selection-picture", label: "Mean weight of each input, and by year",
  parts: byYear.map(({ year }) => String(year)), isShare: true,
  lengthOf: ({ name }) => own[features.indexOf(name)] })}</figure>`;
}

/** Years by inputs: the ink says how much, the colour only how it compares. */
function yearTable({ features }: NetworkViews, { mean: all, byYear }: Selection): Markup {
  const rows = greatest(all);
  const strongest = Math.max(...byYear.flatMap((year) => rows.map((f) => year.mean[f])), 1e-9);
  const cell = (value: number): Markup => {
    const step = Math.min(STEPS, Math.max(0, Math.ceil((value / strongest) * STEPS)));
    return html`<td class="${step > 0 ? `gain${step}` : ""}" data-value="${value}">${
      formatPercent(value, 1)}</td>`;
  };
  const heads = byYear.map(({ year }) => html`<th scope="col">${year}</th>`);
  const lines = rows.map((f) => html`<tr><th scope="row">${features[f]}</th>${
    byYear.map((year) => cell(year.mean[f]))}</tr>\n`);
  return html`<h3 class="below">Weight of each input by year</h3>
<div class="scroll heat names" role="region" tabindex="0" aria-label="Weight of each input by year">
<table><thead><tr><th scope="col">Input</th>${heads}</tr></thead><tbody>${lines}</tbody></table></div>`;
}

function importanceFigure({ features }: NetworkViews,
  found: NonNullable<NetworkViews["importance"]>): Markup {
  const { folds, byFold, stability } = found;
  const means = features.map((_, f) => mean(byFold.map((fold) => fold[f])));
  const rows = greatest(means).map((f) => ({ name: features[f], values: byFold.map((fold) => fold[f]) }));
  const words = stability === null ? ""
    : ` Rank correlation between folds: ${formatRatio(stability, 2)} (1: the same order in every fold).`;
  const parts = folds.length === 1 ? "" : ": the bar is the mean of the folds, a dot one of them";
  return html`<figure><h3>Sharpe ratio lost without an input</h3>
<p class="caption">Measured in training, on validation, by shuffling it${parts}.${words}${
  leftOut(features)}</p>
${barsPicture(rows, { id: "importance-picture", label: "Sharpe ratio lost when an input is shuffled, by fold",
  parts: folds.map((fold) => `fold ${fold}`) })}</figure>`;
}

const WIDTH = 480;
const HEIGHT = 262;
const LEFT = 52;
const RIGHT = 16;
const BOTTOM = 216;

/** Mean attention by how many bars before the decision a row lies; now is at the right. */
function attentionFigure(attention: readonly number[]): Markup {
  const T = attention.length, even = 1 / T, high = Math.max(...attention, even) * 1.06;
  const x = (lag: number): number => WIDTH - RIGHT - (lag / Math.max(1, T - 1)) * (WIDTH - LEFT - RIGHT);
  const y = (weight: number): number => BOTTOM - (weight / high) * (BOTTOM - 14);
  const levels = ticks(0, high, 4), digits = Math.max(0, digitsOf(levels[1] - levels[0]) - 2);
  const grid = levels.map((value) => html`<path class="${value === 0 ? "zero" : "rule"}"
d="M${LEFT} ${at(y(value))}H${WIDTH - RIGHT}"/><text x="${LEFT - 6}" y="${at(y(value) + 4)}"
text-anchor="end">${formatPercent(value, digits)}</text>`);
  const scale = ticks(0, T - 1, 6).filter(Number.isInteger).map((lag) =>
    html`<text x="${at(x(lag))}" y="${BOTTOM + 18}" text-anchor="middle">${lag}</text>`);
  const points = attention.map((weight, lag) => `${at(x(lag))},${at(y(weight))}`).join(" ");
  const middle = (LEFT + WIDTH - RIGHT) / 2, top = attention.indexOf(Math.max(...attention));
  const words = "Mean attention by bars before the decision; most, "
    + `${formatPercent(attention[top], 1)}, at ${top}`;
  return html`<figure><h3>Attention to earlier bars</h3>
<p class="caption">Mean weight of each row of the window when the network decides at its last. Dashed:
even, ${formatPercent(even, 1)} each.</p>
<svg class="figure" id="attention-picture" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${words}">
${grid}${scale}<path class="mark" d="M${LEFT} ${at(y(even))}H${WIDTH - RIGHT}"/>
<text x="${at(middle)}" y="${HEIGHT - 6}" text-anchor="middle">bars before the decision</text>
<g class="c-strategy"><polyline class="line" points="${points}"/></g></svg></figure>`;
}

const at = (value: number): string => value.toFixed(1);
