/** Pieces of which the sections are made. */
import { html, type Markup, type Part } from "../../../backtest/page/html.ts";
import type { Objective } from "../../../tune/trial.ts";
import type { Sheet } from "./sheet.ts";

export const count = (value: number): string => value.toLocaleString("en-US");
export const caption = (...parts: readonly Part[]): Markup => html`<p class="caption">${parts}</p>`;
export const nothing = (why: string): Markup => html`<div class="plot none">n/a: ${why}</div>`;
export const wanted = ({ direction }: Objective): string =>
  direction === "maximise" ? "more is better" : "less is better";
export const arrow = ({ direction }: Objective): string => (direction === "maximise" ? "↑" : "↓");

/** A surface that the script draws on, and what it shows in words. */
export function chart(kind: string, index: number, words: string): Markup {
  return html`<div class="plot ${kind}" data-chart="${kind} ${index}" role="img" tabindex="0"
aria-label="${words}"><canvas></canvas><canvas class="over"></canvas></div>`;
}

const SHAPES: readonly { readonly look: string; readonly words: string; readonly shape: Markup }[] = [
  { look: "front", words: "on the front", shape: html`<circle cx="8" cy="8" r="4" class="full"/>` },
  { look: "complete", words: "complete", shape: html`<circle cx="8" cy="8" r="3" class="full"/>` },
  { look: "pruned", words: "pruned", shape: html`<path d="M4 4L12 12M12 4L4 12"/>` },
  { look: "infeasible", words: "infeasible", shape: html`<rect x="4.5" y="4.5" width="7" height="7"/>` },
  { look: "none", words: "without a value", shape: html`<path d="M8 3V13"/>` },
  { look: "preferred", words: "preferred", shape: html`<path class="full" d="M8 1L15 8L8 15L1 8Z"/>` },
];

/** What the marks mean: the same shapes and colours as client-canvas.ts draws. */
export function legend({ preferred, terms }: Sheet): Markup {
  const isOne = terms.objectives.length === 1;
  const entries = SHAPES.filter(({ look }) => preferred !== null || look !== "preferred")
    .map(({ look, words, shape }) => html`<span class="mark-${look}"><svg viewBox="0 0 16 16"
aria-hidden="true">${shape}</svg>${isOne && look === "front" ? "the best" : words}</span>`);
  return html`<div class="legend marks">${entries}</div>`;
}

/** A list of the objectives that decides what a picture shows. */
export function chooser({ terms }: Sheet, what: string, label = "Objective", chosen = 0): Markup {
  const options = terms.objectives.map(({ name }, m) =>
    html`<option value="${m}"${m === chosen ? html` selected` : null}>${name}</option>`);
  return html`<label class="choose">${label} <select data-choose="${what}" autocomplete="off">${
    options}</select></label>`;
}
