/**
 * The shell of a page: complete in itself, from a file as from a server, with nothing to load. It
 * forbids itself everything but its own two scripts and its own style sheet, by their hashes
 * (Content-Security-Policy).
 */
import * as crypto from "node:crypto";
import { html, verbatim, type Markup } from "./html.ts";
import type { Section } from "./sections.ts";

export interface DocumentParts {
  readonly title: string;
  /** Script that runs before anything is painted. */
  readonly head: string;
  readonly body: Markup;
  /** Script that runs after the body. */
  readonly script: string;
  readonly style: string;
}

export function documentOf({ title, head, body, script, style }: DocumentParts): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policyOf([head, script], style)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${title}</title>
<script>${verbatim(head)}</script>
<style>${verbatim(style)}</style>
</head>
<body>${body}
<script>${verbatim(script)}</script>
</body>
</html>
`.markup;
}

/** The bar with links and the theme's button, the sections below it, and a closing line. */
export function sectionsOf(parts: readonly Section[], closing: Markup): Markup {
  const links = parts.map((part) => html`<a href="#${part.id}">${part.short}</a>`);
  const blocks = parts.map((part) => html`<section id="${part.id}" aria-labelledby="${part.id}-title">
<div class="head top"><h2 id="${part.id}-title">${part.title}</h2>${part.controls ?? null}</div>
${part.body}
</section>
`);
  return html`<div class="bar"><div><nav aria-label="Sections">${links}</nav>
<button type="button" id="theme" aria-pressed="false">Dark</button></div></div>
<main>
${blocks}<footer>${closing}</footer>
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
