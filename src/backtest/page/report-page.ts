/**
 * The report as one HTML page: complete in itself, from a file as from a server, with nothing to load.
 *
 *   BacktestResult --> headline   words and tiles        headline.ts
 *                  --> sections   tables and pictures    sections.ts, tables.ts, heat-map.ts, graphics.ts
 *                  --> payload    series for the charts  series.ts --> client.ts draws them with uPlot
 *
 * The page forbids itself everything but its own two scripts and its own style sheet, by their hashes
 * (Content-Security-Policy); text of the user's enters through `html` only, which escapes it. The page holds no
 * date of its making: the same result gives the same bytes.
 */
import * as crypto from "node:crypto";
import type { BacktestResult } from "../result.ts";
import { type Assets, loadAssets } from "./assets.ts";
import { pageScript, themeScript } from "./client.ts";
import { masthead, titleOf } from "./headline.ts";
import { html, verbatim } from "./html.ts";
import { sections } from "./sections.ts";
import { charts, decimate, pack } from "./series.ts";
import { styleSheet } from "./theme.ts";

export interface ReportOptions {
  readonly title?: string;
  /** Further strategies compared in the same page; curves are read at the times of the first. */
  readonly others?: readonly BacktestResult[];
}

/** One self-contained HTML page. Reads uPlot from the installed package; does nothing else outside its arguments. */
export function reportPage(result: BacktestResult, options: ReportOptions = {}): string {
  return drawPage(result, options, loadAssets());
}

/** The pure part of `reportPage`. */
export function drawPage(result: BacktestResult, options: ReportOptions, assets: Assets): string {
  const others = options.others ?? [];
  const drawn = charts(result, others);
  const rows = decimate(result);
  const payload = JSON.stringify(pack(result, drawn, rows)).replaceAll("<", "\\u003c");
  const head = themeScript();
  const script = `${assets.script}\n${pageScript()}`;
  const style = `${assets.style}\n${styleSheet()}`;
  const parts = sections(result, others, drawn, rows?.length ?? null);
  const policy = `default-src 'none'; script-src ${hashOf(head)} ${hashOf(script)}; style-src ${hashOf(style)}; base-uri 'none'; `
    + "form-action 'none'";
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${titleOf(result, options.title)}</title>
<script>${verbatim(head)}</script>
<style>${verbatim(style)}</style>
</head>
<body>
<a class="skip" href="#performance">Skip to the charts</a>
${masthead(result, options.title)}
<div class="bar"><div><nav aria-label="Sections">${
  parts.map(part => html`<a href="#${part.id}">${part.short}</a>`)}</nav><button type="button" id="theme"
aria-pressed="false">Dark</button></div></div>
<main>
${parts.map(part => html`<section id="${part.id}" aria-labelledby="${part.id}-title">
<div class="head top"><h2 id="${part.id}-title">${part.title}</h2>${part.controls ?? null}</div>
${part.body}
</section>
`)}
<footer>Made by dmn from numbers of one backtest. Times are UTC; a return stands on the day of the decision that earned
it. A backtest is what would have happened under its assumptions, not what will.</footer>
</main>
<script type="application/json" id="payload">${verbatim(payload)}</script>
<script>${verbatim(script)}</script>
</body>
</html>
`.markup;
}

function hashOf(text: string): string {
  return `'sha256-${crypto.createHash("sha256").update(text).digest("base64")}'`;
}
