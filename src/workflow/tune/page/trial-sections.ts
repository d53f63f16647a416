/** Sections with a mark, a curve or a bar for every trial: history, slices, curves, workers. */
import { html, type Markup } from "../../../backtest/page/html.ts";
import type { Parameter } from "../../../tune/space.ts";
import { sayNumber } from "./client-canvas.ts";
import { CURVES_MAX, curvesDrawn, LANES_MAX, workersOf } from "./payload.ts";
import type { Sheet } from "./sheet.ts";
import { caption, chart, count, legend, nothing, wanted } from "./surface.ts";

export function historyBody(sheet: Sheet): Markup {
  const { terms, trials, drawn } = sheet;
  if (trials.length === 0) return nothing("no trial was asked for yet");
  const cut = drawn.length === trials.length ? "" : ` The charts draw ${count(drawn.length)} of `
    + `${count(trials.length)} trials: the front and an even choice of the others. Lines and numbers are of `
    + "all.";
  const figures = terms.objectives.map((one, m) => {
    const words = `${one.name} by trial, ${wanted(one)}: ${bestWords(sheet, m)}. Arrow keys walk the trials.`;
    return html`<figure><h3>${one.name}</h3>${caption(wanted(one))}${chart("history", m, words)}</figure>`;
  });
  return html`${caption("Every trial by its number, a pruned one with what it last reported; the line is the "
    + "best so far of the complete ones. What is positive and spreads over more than a factor 20 has a "
    + "logarithmic scale. Point at a mark to see the trial in all pictures, press to keep it, Escape to let "
    + `it go.${cut}`,
  html`<noscript> The pictures need JavaScript; every table reads without it.</noscript>`)}
${legend(sheet)}<div class="many">${volumeFigure(sheet)}${figures}</div>`;
}

function volumeFigure({ terms, volume }: Sheet): Markup | null {
  if (terms.objectives.length < 2) return null;
  return html`<figure><h3>Hypervolume</h3>${caption("of the front so far")}${volume === null
    ? nothing("no trial is complete")
    : chart("volume", 0, `Hypervolume by trial, at the end ${sayNumber(volume.value)}`)}</figure>`;
}

function bestWords({ terms, trials }: Sheet, m: number): string {
  const values = trials.filter((one) => one.state === "complete" && one.violation === 0)
    .map((one) => one.values?.[m] ?? NaN).filter(Number.isFinite);
  if (values.length === 0) return "no value yet";
  const isMore = terms.objectives[m].direction === "maximise";
  const best = values.reduce((a, b) => (isMore ? Math.max(a, b) : Math.min(a, b)));
  return `best ${sayNumber(best)} of ${count(values.length)} values`;
}

export function slicesBody(sheet: Sheet): Markup {
  if (sheet.trials.length === 0) return nothing("no trial was asked for yet");
  const figures = Object.entries(sheet.terms.space).map(([name, one], k) => html`<figure><h3>${name}</h3>${
    caption(scaleWords(one))}${
    chart("slice", k, `The chosen objective against ${name}. Arrow keys walk the trials.`)}</figure>`);
  return html`${caption("Values of all trials against each parameter, on the parameter's own scale.")}
${legend(sheet)}<div class="many">${figures}</div>`;
}

function scaleWords(one: Parameter): string {
  const scale = one.kind === "choice" ? ["choice"] : one.isLog === true ? ["logarithmic scale"] : [];
  const when = one.when === undefined ? []
    : [`only when ${one.when.parameter} is ${one.when.is.join(" or ")}`];
  return [...scale, ...when].join(", ");
}

export function curvesBody(sheet: Sheet): Markup {
  const drawn = curvesDrawn(sheet).length;
  if (drawn === 0) return nothing("no trial has reported anything on its way");
  const all = sheet.trials.filter(({ reports }) => reports.length > 0).length;
  const cut = drawn === all ? "" : ` ${count(drawn)} of ${count(all)} curves are drawn (at most `
    + `${CURVES_MAX}): the front, and an even choice of the others.`;
  const words = `${count(drawn)} curves of the chosen objective by step. Arrow keys walk the trials.`;
  return html`${caption(`What trials reported by step, up to ${count(sheet.terms.stepsMax)}. A cross is `
    + `where one was pruned; the outermost hundredth of the values is cut off.${cut}`)}${
    chart("curves", 0, words)}`;
}

const KEY = [["strategy", "complete"], ["benchmark", "pruned"], ["target", "other end"],
  ["other1", "running"], ["loss", "lost, given back or erred (crossed)"]] as const;

export function timelineBody({ trials, from }: Sheet): Markup {
  const attempts = trials.flatMap((one) => one.attempts), workers = workersOf(trials);
  if (attempts.length === 0) return nothing("nothing has begun");
  const tallies = (["lost", "late", "duplicate", "returned", "erred"] as const)
    .map((outcome) => ({ outcome, times: attempts.filter((one) => one.outcome === outcome).length }))
    .filter(({ times }) => times > 0).map(({ outcome, times }) => `${count(times)} ${outcome}`);
  const said = tallies.length === 0 ? "none was lost" : tallies.join(", ");
  const cut = workers.length <= LANES_MAX ? ""
    : ` The first ${LANES_MAX} of ${count(workers.length)} workers are drawn.`;
  const since = new Date(from).toISOString().slice(0, 16).replace("T", " ");
  return html`${caption(`${count(attempts.length)} attempts of ${count(trials.length)} trials since ${since} `
    + `UTC: ${said}.${cut} What is late was told after its time was up, and counts.`)}
<div class="legend">${KEY.map(([color, words]) =>
  html`<span class="c-${color}"><i class="block"></i>${words}</span>`)}</div>${
  chart("timeline", 0, `${count(attempts.length)} attempts by worker: ${said}. Arrows walk the trials.`)}`;
}
