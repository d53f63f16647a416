/** The sections of the page in reading order. One without anything to draw says why. */
import { barsPicture } from "../../../backtest/page/bars.ts";
import { formatPercent } from "../../../backtest/page/format.ts";
import { html, type Markup, type Part } from "../../../backtest/page/html.ts";
import type { Section } from "../../../backtest/page/sections.ts";
import { table, type Column } from "../../../backtest/page/table.ts";
import type { Importance } from "../../../tune/importance.ts";
import type { Objective } from "../../../tune/trial.ts";
import { sayNumber } from "./client-canvas.ts";
import { CURVES_MAX, curvesDrawn, LANES_MAX, workersOf } from "./payload.ts";
import type { Sheet } from "./sheet.ts";
import { termsBody } from "./terms.ts";

/** Rows of the front's table, and trials that are listed as not counting. */
const MEMBERS_MAX = 300;
const HEAT_STEPS = 7;

const count = (value: number): string => value.toLocaleString("en-US");
const caption = (...parts: readonly Part[]): Markup => html`<p class="caption">${parts}</p>`;
const nothing = (why: string): Markup => html`<div class="plot none">n/a: ${why}</div>`;

export function sections(sheet: Sheet): Section[] {
  const hasMany = sheet.terms.objectives.length > 1, hasFront = sheet.front.length > 0;
  const parts: (Section | null)[] = [
    { id: "history", title: "History", short: "History", body: historyBody(sheet) },
    hasMany ? { id: "front", title: "The front", short: "Front",
      body: hasFront ? frontBody(sheet) : nothing("no trial is complete") } : null,
    hasMany ? { id: "pairs", title: "Objectives in pairs", short: "Pairs", controls: hasFront ? pairControls(sheet) : null,
      body: hasFront ? pairsBody(sheet) : nothing("no trial is complete") } : null,
    { id: "members", title: hasMany ? "Trials of the front" : "The best trial", short: "Trials",
      body: hasFront ? membersBody(sheet) : nothing("no trial is complete") },
    { id: "importance", title: "What decides an objective", short: "Importance", body: importanceBody(sheet) },
    { id: "slices", title: "Objective by parameter", short: "Slices", controls: hasMany ? chooser(sheet, "slice") : null,
      body: slicesBody(sheet) },
    { id: "curves", title: "On the way", short: "Curves", controls: hasMany ? chooser(sheet, "curve") : null,
      body: curvesBody(sheet) },
    { id: "timeline", title: "Workers and attempts", short: "Workers", body: timelineBody(sheet) },
    { id: "terms", title: "Terms and notes", short: "Terms", body: termsBody(sheet) },
  ];
  return parts.filter((part) => part !== null);
}

/** A surface that the script draws on; what it shows is said in words beside it. */
function chart(kind: string, index: number, words: string): Markup {
  return html`<div class="plot ${kind}" data-chart="${kind} ${index}" role="img" tabindex="0" aria-label="${words}">
<canvas></canvas><canvas class="over"></canvas></div>`;
}

const wanted = ({ direction }: Objective): string => (direction === "maximise" ? "more is better" : "less is better");

const LOOKS = [["front", "on the front"], ["complete", "complete"], ["pruned", "pruned"], ["infeasible", "infeasible"],
  ["none", "without a value"], ["preferred", "preferred"]] as const;

/** What the marks mean; the same shapes as client-canvas.ts draws. */
function legend(hasPreferred: boolean): Markup {
  const shape = (look: string): Markup => ({
    "front": html`<circle cx="8" cy="8" r="4" class="full"/>`, "complete": html`<circle cx="8" cy="8" r="3" class="full"/>`,
    "pruned": html`<path d="M4 4L12 12M12 4L4 12"/>`, "infeasible": html`<rect x="4.5" y="4.5" width="7" height="7"/>`,
    "none": html`<path d="M8 3V13"/>`, "preferred": html`<path class="full" d="M8 1L15 8L8 15L1 8Z"/>`,
  })[look]!;
  return html`<div class="legend marks">${LOOKS.filter(([look]) => hasPreferred || look !== "preferred").map(([look, words]) =>
    html`<span class="mark-${look}"><svg viewBox="0 0 16 16" aria-hidden="true">${shape(look)}</svg>${words}</span>`)}</div>`;
}

function historyBody(sheet: Sheet): Markup {
  const { terms, trials, drawn, volume, preferred } = sheet;
  if (trials.length === 0) return nothing("no trial was asked for yet");
  const cut = drawn.length === trials.length ? null
    : html` The charts draw ${count(drawn.length)} of ${count(trials.length)} trials: the front and an even choice of the
others; lines and numbers are of all.`;
  const best = (m: number): string => {
    const values = trials.filter((one) => one.state === "complete" && one.violation === 0)
      .map((one) => one.values?.[m] ?? NaN).filter(Number.isFinite);
    if (values.length === 0) return "no value yet";
    const least = values.reduce((a, b) => Math.min(a, b)), most = values.reduce((a, b) => Math.max(a, b));
    return `best ${sayNumber(terms.objectives[m].direction === "maximise" ? most : least)} of ${count(values.length)} values`;
  };
  const figures = terms.objectives.map((one, m) => html`<figure><h3>${one.name}</h3>
${caption(wanted(one))}${chart("history", m, `${one.name} by trial, ${wanted(one)}: ${best(m)}. Arrow keys walk the trials.`)}</figure>`);
  const grown = terms.objectives.length < 2 ? null : html`<figure><h3>Hypervolume</h3>${caption("of the front so far")}${
    volume === null ? nothing("no trial is complete")
      : chart("volume", 0, `Hypervolume by trial, at the end ${sayNumber(volume.value)}`)}</figure>`;
  return html`${caption("Every trial by its number, a pruned one with what it last reported; the line is the best so far of the ",
    "complete ones. What is positive and spreads over more than a factor 20 has a logarithmic scale. Point at a mark to see the trial in all ",
    "pictures, press to keep it, Escape to let it go.", cut ?? "",
    html`<noscript> The pictures need JavaScript; every table reads without it.</noscript>`)}
${legend(preferred !== null)}<div class="many">${grown}${figures}</div>`;
}

function frontBody(sheet: Sheet): Markup {
  const { terms, front, more, volume, reference } = sheet;
  const fields = terms.objectives.map((one, m) => html`<fieldset><legend>${one.direction === "maximise" ? "↑" : "↓"} ${
    one.name}</legend><input type="number" step="any" data-range="${m}" data-end="low" aria-label="${one.name} from"
placeholder="from"><input type="number" step="any" data-range="${m}" data-end="high" aria-label="${one.name} to"
placeholder="to"></fieldset>`);
  const at = reference === null ? "" : terms.objectives.map(({ name, direction }, m) =>
    `${name} ${sayNumber(direction === "maximise" ? -reference[m] : reference[m])}`).join(", ");
  const how = more.reference === undefined ? ", the front's worst and a tenth of its range beyond" : "";
  const exact = volume === null || volume.standardError === 0 ? "" : `, sampled with a standard error of ${
    sayNumber(volume.standardError)}`;
  return html`${caption(`A line a trial. Every axis has its better end up (on a narrow screen right); arrows say whether more
or less is better. Drag along an axis to set a range, press it to clear it, or type below. Hypervolume ${
  volume === null ? "n/a" : sayNumber(volume.value)}${exact}, up to ${at}${how}.`)}
${chart("parallel", 0, `${count(front.length)} trials of the front as lines over ${terms.objectives.length} axes. `
  + "The fields below set the same ranges as a drag.")}
<div class="ranges" role="group" aria-label="Ranges">${fields}<p><output id="brushed" aria-live="polite">${
  `${count(front.length)} of ${count(front.length)}`}</output> within <button type="button" id="clear">Clear</button></p></div>`;
}

function options(sheet: Sheet, chosen: number): Markup[] {
  return sheet.terms.objectives.map(({ name }, m) =>
    html`<option value="${m}"${m === chosen ? html` selected` : null}>${name}</option>`);
}

function chooser(sheet: Sheet, what: string, label = "Objective", chosen = 0): Markup {
  return html`<label class="choose">${label} <select data-choose="${what}" autocomplete="off">${
    options(sheet, chosen)}</select></label>`;
}

const pairControls = (sheet: Sheet): Markup =>
  html`<div class="chooses">${chooser(sheet, "x", "Across")}${chooser(sheet, "y", "Up", 1)}</div>`;

function pairsBody({ terms }: Sheet): Markup {
  const names = terms.objectives.map(({ name }) => name).join(", ");
  const matrix = terms.objectives.length < 3 ? null : html`<figure class="matrix"><h3>All pairs</h3>
${caption("A name's row has it up, its column across; press one to see it large.")}${
  chart("matrix", 0, `Small scatter pictures of all pairs of ${names}. The two lists above choose the same.`)}</figure>`;
  return html`<div class="${matrix === null ? "" : "two"}"><figure><h3>One pair</h3>${
    caption("Ranges set on the front apply here: members outside them are left out.")}${
    chart("pair", 0, "Scatter of two objectives. Arrow keys walk the trials.")}</figure>${matrix}</div>`;
}

interface Member {
  readonly number: number;
  readonly values: readonly number[];
  readonly settings: string;
}

function membersBody(sheet: Sheet): Markup {
  const { terms, trials, front, preferred, more } = sheet;
  const command = more.exportCommand ?? ((trial: number) => `dmn tune export ${terms.name} --trial ${trial}`);
  const shown = nearest(sheet).map((number): Member => ({ number, values: trials[number].values!,
    settings: Object.entries(trials[number].point).map(([name, value]) =>
      `${name} ${typeof value === "number" ? sayNumber(value) : value}`).join(", ") }));
  const columns: Column<Member>[] = [
    { label: "Trial", form: "count", value: ({ number }) => number,
      draw: ({ number }) => number === preferred?.number ? html`${number} <span class="picked">preferred</span>` : number },
    { label: "Export", form: "text", value: ({ number }) => number,
      draw: ({ number }) => html`<code>${command(number)}</code>` },
    ...terms.objectives.map((one, m): Column<Member> => ({ label: `${one.direction === "maximise" ? "↑" : "↓"} ${one.name}`,
      title: wanted(one), form: "ratio", value: ({ values }) => values[m], draw: ({ values }) => sayNumber(values[m]) })),
    { label: "Settings", form: "words", value: ({ settings }) => settings },
  ];
  const cut = shown.length === front.length ? ""
    : ` The ${count(shown.length)} of ${count(front.length)} that come nearest to the best of everything are listed.`;
  return html`${caption(`Press a column's head to sort.${terms.objectives.length > 1 ? " Ranges set on the front apply." : ""}${cut}`)}${
    table(columns, shown, { name: "Trials of the front", isSortable: true, isLong: shown.length > 15 })}`;
}

/** Numbers of the members with the least worst scaled loss, by number; the preferred one always among them. */
function nearest({ front, preferred, terms }: Sheet): number[] {
  const ends = terms.objectives.map((_, m) => front.reduce(([low, high], { losses }) =>
    [Math.min(low, losses[m]), Math.max(high, losses[m])], [Infinity, -Infinity]));
  const far = front.map(({ number, losses }) => ({ number, distance: number === preferred?.number ? -1
    : Math.max(...ends.map(([low, high], m) => (high > low ? (losses[m] - low) / (high - low) : 0))) }));
  return far.sort((a, b) => a.distance - b.distance || a.number - b.number).slice(0, MEMBERS_MAX)
    .map(({ number }) => number).sort((a, b) => a - b);
}

function importanceBody(sheet: Sheet): Markup {
  const { terms, importances } = sheet, names = Object.keys(terms.space);
  const known = importances.flatMap((found, m) => (found === null ? [] : [{ name: terms.objectives[m].name, found }]));
  if (known.length === 0) return nothing("fewer than 8 complete trials, or all are worth the same");
  const rows = names.map((name, k) => ({ name, values: known.map(({ found }) => found.shares[k]) }))
    .sort((a, b) => b.values.reduce((x, y) => x + y, 0) - a.values.reduce((x, y) => x + y, 0));
  const most = known.reduce((a, b) => (b.found.leftOut > a.found.leftOut ? b : a)).found;
  return html`${caption(`Share of an objective's variance over the whole space that a parameter decides alone, by the
variance of a random forest (fANOVA); the rest is decided by combinations. Learned from ${count(most.used)} complete trials;
${count(most.leftOut)} pruned, infeasible, failed or without a value are left out. A parameter under a condition counts by how often
it is active.`)}<div class="stack"><figure><h3>By parameter</h3>${
    caption(known.length > 1 ? "The bar is the mean of the objectives, a dot one of them." : "")}${
    barsPicture(rows, { id: "importance-picture", label: "Share of variance that each parameter decides", isShare: true,
      parts: known.map(({ name }) => name) })}</figure><figure><h3>By objective</h3>${caption("R² is the forest's on trials ",
    "that it was not shown: where it is low, the shares mean little.")}${
    importanceTable(rows.map(({ name }) => name), names, known)}</figure></div>`;
}

/** Objectives by parameters: the ink says how much, the colour only how it compares. */
function importanceTable(order: readonly string[], names: readonly string[],
  known: readonly { readonly name: string; readonly found: Importance }[]): Markup {
  const cell = (share: number, explained: number): Markup => {
    const step = explained > 0 ? Math.round(share * HEAT_STEPS) : 0;
    return html`<td class="${step > 0 ? `gain${step}` : ""}">${formatPercent(share, 0)}</td>`;
  };
  const lines = known.map(({ name, found }) => html`<tr><th scope="row">${name}</th>${
    order.map((one) => cell(found.shares[names.indexOf(one)], found.explained))}${cell(found.together, found.explained)}<td>${
    Number.isNaN(found.explained) ? "n/a" : found.explained.toFixed(2)}</td></tr>\n`);
  return html`<div class="scroll heat names" role="region" tabindex="0" aria-label="Importance by objective"><table><thead><tr>
<th scope="col">Objective</th>${order.map((name) => html`<th scope="col">${name}</th>`)}<th scope="col">together</th>
<th scope="col">R²</th></tr></thead><tbody>${lines}</tbody></table></div>`;
}

function slicesBody({ terms, trials, preferred }: Sheet): Markup {
  if (trials.length === 0) return nothing("no trial was asked for yet");
  const figures = Object.entries(terms.space).map(([name, one], k) => {
    const scale = one.kind !== "choice" && one.isLog === true ? "logarithmic scale" : one.kind === "choice" ? "choice" : "";
    const when = one.when === undefined ? "" : `only when ${one.when.parameter} is ${one.when.is.join(" or ")}`;
    return html`<figure><h3>${name}</h3>${caption([scale, when].filter((text) => text !== "").join(", "))}${
      chart("slice", k, `The chosen objective against ${name}. Arrow keys walk the trials.`)}</figure>`;
  });
  return html`${caption("Values of all trials against each parameter, on the parameter's own scale.")}
${legend(preferred !== null)}<div class="many">${figures}</div>`;
}

function curvesBody(sheet: Sheet): Markup {
  const drawn = curvesDrawn(sheet).length, all = sheet.trials.filter(({ reports }) => reports.length > 0).length;
  if (drawn === 0) return nothing("no trial has reported anything on its way");
  const cut = drawn < all ? ` ${count(drawn)} of ${count(all)} curves are drawn (at most ${CURVES_MAX}): the front, and an even
choice of the others.` : "";
  return html`${caption(`What trials reported by step, up to ${count(sheet.terms.stepsMax)}. A cross is where one was pruned; the
outermost hundredth of the values is cut off.${cut}`)}${
    chart("curves", 0, `${count(drawn)} curves of the chosen objective by step. Arrow keys walk the trials.`)}`;
}

function timelineBody({ trials, from }: Sheet): Markup {
  const attempts = trials.flatMap((one) => one.attempts), workers = workersOf(trials);
  if (attempts.length === 0) return nothing("nothing has begun");
  const tally = (outcome: string): number => attempts.filter((one) => one.outcome === outcome).length;
  const said = (["lost", "late", "duplicate", "returned", "erred"] as const).filter((outcome) => tally(outcome) > 0)
    .map((outcome) => `${count(tally(outcome))} ${outcome}`).join(", ");
  const cut = workers.length > LANES_MAX ? ` The first ${LANES_MAX} of ${count(workers.length)} workers are drawn.` : "";
  const key = [["strategy", "complete"], ["benchmark", "pruned"], ["target", "other end"], ["other1", "running"],
    ["loss", "lost, given back or erred (crossed)"]].map(([color, words]) =>
    html`<span class="c-${color}"><i class="block"></i>${words}</span>`);
  return html`${caption(`${count(attempts.length)} attempts of ${count(trials.length)} trials since ${
    new Date(from).toISOString().slice(0, 16).replace("T", " ")} UTC${said === "" ? "; none was lost" : `: ${said}`}.${cut} `
    + "Time in seconds, minutes or hours, by the length of the study.")}<div class="legend">${key}</div>${
    chart("timeline", 0, `${count(attempts.length)} attempts by worker${said === "" ? "" : `, ${said}`}. Arrow keys walk the trials.`)}`;
}
