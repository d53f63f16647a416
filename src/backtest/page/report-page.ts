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
import type { BacktestResult } from "../result.ts";
import { type Assets, loadAssets } from "./assets.ts";
import { pageScript, themeScript } from "./client.ts";
import { documentOf, sectionsOf } from "./document.ts";
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
  return documentOf({ title: titleOf(result, options.title), head, script, style, body: html`
<a class="skip" href="#performance">Skip to the charts</a>
${masthead(result, options.title)}
${bodyOf(sections(result, others, drawn, rows?.length ?? null))}
<script type="application/json" id="payload">${verbatim(payload)}</script>` });
}

function bodyOf(parts: readonly Section[]): Markup {
  return sectionsOf(parts, html`Made by dmn from the numbers of one backtest. Times are UTC. A
backtest says what would have happened under its assumptions, not what will.`);
}
