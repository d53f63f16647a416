/** Sections of the front: parallel coordinates with ranges, pairs, and the table with its commands. */
import { html, type Markup } from "../../../backtest/page/html.ts";
import { table, type Column } from "../../../backtest/page/table.ts";
import { sayNumber } from "./client-canvas.ts";
import type { Sheet } from "./sheet.ts";
import { arrow, caption, chart, chooser, count, wanted } from "./surface.ts";

/** Rows of the front's table. */
const MEMBERS_MAX = 300;

export function frontBody(sheet: Sheet): Markup {
  const { terms, front } = sheet, all = count(front.length);
  const fields = terms.objectives.map((one, m) => {
    const field = (end: "low" | "high", word: string): Markup => html`<input type="number" step="any"
data-range="${m}" data-end="${end}" aria-label="${one.name} ${word}" placeholder="${word}">`;
    return html`<fieldset><legend>${arrow(one)} ${one.name}</legend>${field("low", "from")}${
      field("high", "to")}</fieldset>`;
  });
  return html`${caption("A line a trial. Every axis has its better end up (on a narrow screen right); arrows "
    + "say whether more or less is better. Drag along an axis to set a range, press it to clear it, or type "
    + `below. ${volumeWords(sheet)}`)}
${chart("parallel", 0, `${all} trials of the front as lines over ${terms.objectives.length} axes. `
    + "The fields below set the same ranges as a drag.")}
<div class="ranges" role="group" aria-label="Ranges">${fields}<p><output id="brushed" aria-live="polite">${
  `${all} of ${all}`}</output> within <button type="button" id="clear">Clear</button></p></div>`;
}

function volumeWords({ terms, more, volume, reference }: Sheet): string {
  if (volume === null || reference === null) return "";
  const at = terms.objectives.map(({ name, direction }, m) =>
    `${name} ${sayNumber(direction === "maximise" ? -reference[m] : reference[m])}`).join(", ");
  const error = volume.standardError === 0 ? ""
    : `, sampled with a standard error of ${sayNumber(volume.standardError)}`;
  const how = more.reference === undefined ? ", a tenth of the front's range beyond its worst" : "";
  return `Hypervolume ${sayNumber(volume.value)}${error}, up to ${at}${how}.`;
}

export const pairControls = (sheet: Sheet): Markup =>
  html`<div class="chooses">${chooser(sheet, "x", "Across")}${chooser(sheet, "y", "Up", 1)}</div>`;

export function pairsBody({ terms }: Sheet): Markup {
  const words = `Small pictures of all pairs of ${terms.objectives.map(({ name }) => name).join(", ")}. `
    + "The two lists above choose the same.";
  const matrix = terms.objectives.length < 3 ? null : html`<figure class="matrix"><h3>All pairs</h3>
${caption("A name's row has it up, its column across; press one to see it large.")}${
  chart("matrix", 0, words)}</figure>`;
  return html`<div class="${matrix === null ? "" : "two"}"><figure><h3>One pair</h3>${
    caption("Ranges set on the front apply here: members outside them are left out.")}${
    chart("pair", 0, "Scatter of two objectives. Arrow keys walk the trials.")}</figure>${matrix}</div>`;
}

interface Member {
  readonly number: number;
  /** (M) as people say them. */
  readonly values: readonly number[];
  readonly settings: string;
}

export function membersBody(sheet: Sheet): Markup {
  const { terms, trials, front, preferred, more } = sheet;
  const command = more.exportCommand === undefined
    ? (trial: number) => `dmn tune export ${terms.name} --trial ${trial}` : more.exportCommand;
  const rows = nearest(sheet).map((number): Member => ({ number, values: trials[number].values!,
    settings: Object.entries(trials[number].point).map(([name, value]) =>
      `${name} ${typeof value === "number" ? sayNumber(value) : value}`).join(", ") }));
  const columns: Column<Member>[] = [
    { label: "Trial", form: "count", value: ({ number }) => number, draw: ({ number }) =>
      number === preferred?.number ? html`${number} <span class="picked">preferred</span>` : number },
    ...(command === null ? [] : [{ label: "Export", form: "text", value: ({ number }: Member) => number,
      draw: ({ number }: Member) => html`<code>${command(number)}</code>` } as const]),
    ...terms.objectives.map((one, m): Column<Member> => ({ label: `${arrow(one)} ${one.name}`,
      title: wanted(one), form: "ratio", value: ({ values }) => values[m],
      draw: ({ values }) => sayNumber(values[m]) })),
    { label: "Settings", form: "words", value: ({ settings }) => settings },
  ];
  const ranges = terms.objectives.length > 1 ? " Ranges set on the front apply." : "";
  const cut = rows.length === front.length ? "" : ` The ${count(rows.length)} of ${count(front.length)} that `
    + "come nearest to the best of everything are listed.";
  return html`${caption(`Press a column's head to sort.${ranges}${cut}`)}${
    table(columns, rows, { name: "Trials of the front", isSortable: true, isLong: rows.length > 15 })}`;
}

/** Members with the least worst scaled loss, by number; the preferred one is always among them. */
function nearest({ front, preferred, terms }: Sheet): number[] {
  const ends = terms.objectives.map((_, m) => front.reduce(([low, high], { losses }) =>
    [Math.min(low, losses[m]), Math.max(high, losses[m])], [Infinity, -Infinity]));
  // Infinite losses have no scale.
  const distanceOf = (losses: Float64Array): number => Math.max(0, ...ends.map(([low, high], m) =>
    (losses[m] - low) / (high - low)).filter(Number.isFinite));
  return front.map(({ number, losses }) =>
    ({ number, distance: number === preferred?.number ? -1 : distanceOf(losses) }))
    .sort((a, b) => a.distance - b.distance || a.number - b.number).slice(0, MEMBERS_MAX)
    .map(({ number }) => number).sort((a, b) => a - b);
}
