/** The last section: the search space, what else decides the result, and what happened that is no number. */
import { html, type Markup } from "../../../backtest/page/html.ts";
import { table } from "../../../backtest/page/table.ts";
import type { Parameter } from "../../../tune/space.ts";
import { sayNumber } from "./client-canvas.ts";
import type { Sheet } from "./sheet.ts";

const REASONS_MAX = 20;

export function termsBody({ terms, more, trials }: Sheet): Markup {
  const rows = [
    ...Object.entries(terms.space).map(([name, one]) => ({ name, value: rangeOf(one) })),
    { name: "objectives", value: terms.objectives.map(({ name,
      direction }) => `${direction} ${name}`).join(", ") },
    // Another program's study names neither.
    ...(terms.version === "" ? [] : [
      { name: "retries", value: `${terms.retries} of a trial whose worker was lost` },
      { name: "version", value: terms.version }]),
  ];
  const reasons = new Map<string, number[]>();
  for (const { reason, number } of trials) if (reason !== "") reasons.set(reason,
    [...reasons.get(reason) ?? [], number]);
  const said = [...reasons].sort((a, b) => b[1].length - a[1].length).slice(0, REASONS_MAX);
  const why = said.length === 0 ? null
    : html`<h3 class="below">Why trials did not count</h3><ul class="notes">${
    said.map(([reason, numbers]) => html`<li>${reason}: ${numbers.length === 1 ? `trial ${numbers[0]}`
      : `${numbers.length} trials, the first ${numbers[0]}`}</li>`)}</ul>${
    reasons.size > said.length
      ? html`<p class="caption">${reasons.size - said.length} rarer reasons are not listed.</p>` : null}`;
  const notes = more.notes === undefined || more.notes.length === 0 ? null
    : html`<h3 class="below">Notes</h3>
<ul class="notes">${more.notes.map((note) => html`<li>${note}</li>`)}</ul>`;
  return html`${table<(typeof rows)[number]>([
    { label: "Term", form: "text", value: (row) => row.name },
    { label: "Value", form: "words", value: (row) => row.value },
  ], rows, { name: "Terms" })}${why}${notes}`;
}

function rangeOf(one: Parameter): string {
  const when = one.when === undefined ? ""
    : `; only when ${one.when.parameter} is ${one.when.is.join(" or ")}`;
  const sets = one.setting === undefined ? "" : `; sets ${one.setting}`;
  if (one.kind === "choice") return `one of ${one.choices.join(", ")}${sets}${when}`;
  const scale = one.isLog === true ? ", logarithmic" : one.step === undefined ? ""
    : ` by ${sayNumber(one.step)}`;
  return `${one.kind === "integer" ? "whole, "
    : ""}${sayNumber(one.low)} to ${sayNumber(one.high)}${scale}${sets}${when}`;
}
