/** Years by months as a table that reads without colour; colour follows size, blue up, orange down. */
import type { YearRow } from "../../metrics/rolling.ts";
import { formatPercent } from "./format.ts";
import { html, type Markup } from "./html.ts";

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const STEPS = 7;

export function heatMap(rows: readonly YearRow[]): Markup {
  const monthScale = scaleOf(rows.flatMap((row) => [...row.months]));
  const yearScale = scaleOf(rows.map((row) => row.total));
  const heads = ["Year", ...MONTHS, "Total"].map((name) => html`<th scope="col">${name}</th>`);
  const lines = rows.map((row) => html`<tr><th scope="row">${row.year}</th>${
    Array.from(row.months, (value) => heatCell(value, monthScale, ""))
  }${heatCell(row.total, yearScale, " total")}</tr>\n`);
  return html`<div class="scroll heat" role="region" tabindex="0" aria-label="Monthly returns">
<table><thead><tr>${heads}</tr></thead><tbody>${lines}</tbody></table></div>`;
}

function heatCell(value: number, scale: number, kind: string): Markup {
  if (Number.isNaN(value)) {
    return html`<td class="empty${kind}"><span aria-label="no period">·</span></td>`;
  }
  const step = Math.min(STEPS, Math.ceil((Math.abs(value) / scale) * STEPS));
  const tint = step > 0 ? `${value > 0 ? "gain" : "loss"}${step}` : "";
  return html`<td class="${tint}${kind}" data-value="${value}">${formatPercent(value, 1)}</td>`;
}

/** The size of full colour: the 95th percentile, so that one wild month does not pale the others. */
function scaleOf(values: readonly number[]): number {
  const sizes = values.filter(Number.isFinite).map(Math.abs).sort((a, b) => a - b);
  return sizes[Math.floor(0.95 * (sizes.length - 1))] || 1;
}
