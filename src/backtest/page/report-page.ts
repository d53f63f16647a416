/**
 * The report as one HTML page: complete in itself, from a file as from a server, with nothing to
 * load.
 *
 *   BacktestResult --> headline   words and tiles        headline.ts
 *                  --> sections   tables and pictures    sections.ts: tables, heat-map, graphics
 *                  --> payload    series for the charts  series.ts --> client.ts draws (uPlot)
 *
 * The page forbids itself everything but its own two scripts and its own style sheet, by their
 * hashes (Content-Security-Policy); text of the user's enters through `html` only, which escapes
 * it. The page holds no date of its making: the same result gives the same bytes.
 */
import * as crypto from "node:crypto";
import type { BacktestResult } from "../result.ts";
import { type Assets, loadAssets } from "./assets.ts";
import { pageScript, themeScript } from "./client.ts";
import { masthead, titleOf } from "./headline.ts";
import { html, verbatim, type Markup } from "./html.ts";
import { sections, type Section } from "./sections.ts";
import { charts, decimate, pack } from "./series.ts";
import { styleSheet } from "./theme.ts";

export interface ReportOptions {
  readonly title?: string;
  /** Further strategies compared in the same page; curves are read at the times of the first. */
  readonly others?: readonly BacktestResult[];
}

/**
 * One self-contained HTML page. Reads uPlot from the installed package; does nothing else outside
 * its arguments.
 */
export function reportPage(result: BacktestResult, options: ReportOptions = {}): string {
  return drawPage(result, options, loadAssets());
}

/** The pure part of `reportPage`. */
export function drawPage(result: BacktestResult, options: ReportOptions, assets: Assets): string {
  const others = options.others ?? [];
  const drawn = charts(result, others);
  const rows = decimate(result);
  const head = themeScript();
  const script = `${assets.script}\n${pageScript()}`;
  const style = `${assets.style}\n${styleSheet()}`;
  // A data block ends at the first "</script": no "<" goes into it.
  const payload = JSON.stringify(pack(result, drawn, rows)).replaceAll("<", "\\u003c");
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policyOf([head, script], style)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${titleOf(result, options.title)}</title>
<script>${verbatim(head)}</script>
<style>${verbatim(style)}</style>
</head>
<body>
<a class="skip" href="#performance">Skip to the charts</a>
${masthead(result, options.title)}
${bodyOf(sections(result, others, drawn, rows?.length ?? null))}
<script type="application/json" id="payload">${verbatim(payload)}</script>
<script>${verbatim(script)}</script>
</body>
</html>
`.markup;
}

function bodyOf(parts: readonly Section[]): Markup {
  const links = parts.map((part) => html`<a href="#${part.id}">${part.short}</a>`);
  const blocks = parts.map((part) => html`<section id="${part.id}" aria-labelledby="${part.id}-title">
<div class="head top"><h2 id="${part.id}-title">${part.title}</h2>${part.controls ?? null}</div>
${part.body}
</section>
`);
  return html`<div class="bar"><div><nav aria-label="Sections">${links}</nav>
<button type="button" id="theme" aria-pressed="false">Dark</button></div></div>
<main>
${blocks}<footer>Made by dmn from the numbers of one backtest. Times are UTC. A backtest says what
would have happened under its assumptions, not what will.</footer>
</main>`;
}

/** Own scripts and own style by their hashes; no picture, font, frame or connection from anywhere. */
function policyOf(scripts: readonly string[], style: string): string {
  const own = scripts.map(hashOf).join(" ");
  return `default-src 'none'; script-src ${own}; style-src ${hashOf(style)}; `
    + "base-uri 'none'; form-action 'none'";
}

function hashOf(text: string): string {
  return `'sha256-${crypto.createHash("sha256").update(text).digest("base64")}'`;
}
