/** Which parameters decide an objective, as bars and as a table. */
import { barsPicture } from "../../../backtest/page/bars.ts";
import { formatPercent } from "../../../backtest/page/format.ts";
import { html, type Markup } from "../../../backtest/page/html.ts";
import type { Importance } from "../../../tune/importance.ts";
import type { Sheet } from "./sheet.ts";
import { caption, count, nothing } from "./surface.ts";

const HEAT_STEPS = 7;

interface Known {
  readonly objective: string;
  readonly found: Importance;
}

export function importanceBody({ terms, importances }: Sheet): Markup {
  const names = Object.keys(terms.space);
  const known = importances.flatMap((found, m): Known[] =>
    found === null ? [] : [{ objective: terms.objectives[m].name, found }]);
  if (known.length === 0) return nothing("fewer than 8 complete trials, or all are worth the same");
  const total = (k: number): number => known.reduce((sum, { found }) => sum + found.shares[k], 0);
  const order = [...names.keys()].sort((a, b) => total(b) - total(a));
  const rows = order.map((k) => ({ name: names[k], values: known.map(({ found }) => found.shares[k]) }));
  const { used, leftOut } = known.reduce((a, b) => (b.found.leftOut > a.found.leftOut ? b : a)).found;
  return html`${caption("Share of an objective's variance over the whole space that a parameter decides "
    + "alone, by a random forest (fANOVA); combinations decide the rest together. Learned from "
    + `${count(used)} complete trials; ${count(leftOut)} that are pruned, infeasible, failed or without a `
    + "value are left out. A parameter under a condition counts by how often it is active.")}
<div class="stack"><figure><h3>By parameter</h3>${
  caption(known.length > 1 ? "The bar is the mean of the objectives, a dot one of them." : "")}${
  barsPicture(rows, { id: "importance-picture", label: "Share of variance that each parameter decides",
    isShare: true, parts: known.map(({ objective }) => objective) })}</figure>
<figure><h3>By objective</h3>${caption("R² is the forest's on trials that it was not shown: where it is "
    + "low, the shares mean little; where it is not above 0, they are not coloured.")}${
  shareTable(order.map((k) => names[k]), order, known)}</figure></div>`;
}

/** Objectives by parameters: the ink says how much, the colour only how it compares. */
function shareTable(heads: readonly string[], order: readonly number[], known: readonly Known[]): Markup {
  const cell = (share: number, explained: number): Markup => {
    const step = explained > 0 ? Math.round(share * HEAT_STEPS) : 0;
    return html`<td class="${step > 0 ? `gain${step}` : ""}">${formatPercent(share, 0)}</td>`;
  };
  const lines = known.map(({ objective, found: { shares, together, explained } }) => html`<tr>
<th scope="row">${objective}</th>${order.map((k) => cell(shares[k], explained))}${cell(together, explained)}
<td>${Number.isNaN(explained) ? "n/a" : explained.toFixed(2)}</td></tr>\n`);
  return html`<div class="scroll heat names" role="region" tabindex="0" aria-label="Importance by objective">
<table><thead><tr><th scope="col">Objective</th>${heads.map((name) => html`<th scope="col">${name}</th>`)}
<th scope="col">together</th><th scope="col">R²</th></tr></thead><tbody>${lines}</tbody></table></div>`;
}
