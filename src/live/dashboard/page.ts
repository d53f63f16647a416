/**
 * The page: made once, complete in itself, with nothing of a session in it; the script fills it. It forbids
 * itself everything but its own scripts and style (by their hashes) and asking its own server.
 */
import { createHash } from "node:crypto";
import { SCRIPTS } from "./client.ts";
import { styleSheet } from "./theme.ts";

interface Column { readonly name: string; readonly className?: string }
const columns = (text: string): Column[] => text.split("|").map((part) => {
  const [name, className] = part.split(":");
  return className === undefined ? { name } : { name, className };
});

/** Head of a table; the script makes the rows. */
const table = (caption: string, names: string): string => `<div class="scroll" tabindex="0" role="region"
aria-label="${caption}"><table><thead><tr>${columns(names).map(({ name, className }) =>
  `<th scope="col"${className === undefined ? "" : ` class="${className}"`}>${name}</th>`)
    .join("")}</tr></thead>
<tbody></tbody></table></div><p class="nothing" hidden></p>`;

const section = (id: string, title: string, note: string, body: string): string =>
  `<section id="${id}" aria-labelledby="${id}-title"><div class="head"><h2
id="${id}-title">${title}</h2>${note}</div>
${body}</section>`;
const noteOf = (id: string): string => `<span class="note" id="${id}-note"></span>`;

const tile = (name: string, id: string, versus: string): string =>
  `<div><dt>${name}</dt><dd id="${id}">–</dd><dd class="versus" id="${versus}"></dd></div>`;

const CURVE = `<section id="performance" aria-labelledby="performance-title">
<h2 id="performance-title" class="skip">Performance</h2>
<dl class="tiles">${tile("Equity", "equity", "reconciled")}${tile("Since the start", "gain", "gain-share")}
${tile("Today", "day", "day-share")}${tile("Drawdown", "drawdown", "drawdown-note")}
${tile("Sharpe ratio", "sharpe", "sharpe-note")}${tile("Exposure", "gross", "net")}
${tile("Cash", "cash", "buying-power")}</dl>
<div class="head"><div class="legend"><output id="read-at"></output><span>equity <b
id="read-equity">–</b></span>
<span>gain <b id="read-gain">–</b></span><span>drawdown <b id="read-fall">–</b></span></div>
<div class="choices-range" role="group" aria-label="Range of the chart">
<button type="button" data-range="60" aria-pressed="false">60 bars</button>
<button type="button" data-range="250" aria-pressed="false">250 bars</button>
<button type="button" data-range="0" aria-pressed="true">all</button></div></div>
<div id="plot-empty" class="nothing">The curve begins with the second account update.</div>
<div id="plot" tabindex="0" role="img" aria-label="Equity and drawdown"></div></section>`;

const HOPS_HEAD = `<span class="note">p50 to p99; marks: target and maximum; equal ratios</span>
<span class="choices-range"><button type="button" id="all-hops" aria-pressed="false"
hidden>all paths</button></span>`;

const BODY = `<a class="skip" href="#performance">Skip to the numbers</a>
<header class="masthead"><h1 id="strategy">dmn live</h1><span class="venue" id="venue">–</span>
<span class="facts" id="facts"></span></header>
<div class="bar"><div><span class="pill" id="state" role="status">UNKNOWN</span><span id="reason"></span>
<span id="clock"></span><span class="link off" id="link">connecting</span>
<span class="actions"><button type="button" id="halt" data-action="halt">Halt</button>
<button type="button" id="resume" data-action="resume">Resume</button>
<button type="button" id="emergency" class="danger" data-action="emergency-stop">Emergency
stop</button></span>
<button type="button" class="theme" id="theme" aria-pressed="false">Dark</button></div></div>
<div id="gone" role="alert" hidden></div>
<main><p class="told" id="told" role="status" aria-live="polite"></p>
${CURVE}
<div class="two wide">${section("positions", "Positions and targets", noteOf("positions"), table("Positions",
  "Instrument|Held|Target|Price|Value|Weight|Target weight|Gain"))}
${section("risk", "Risk limits", "", `${table("Risk limits", "Limit|Now|Limit|Used")}
<p id="risk-off"></p><ul class="plain" id="risk-actions"></ul>`)}</div>
<div class="two">${section("orders", "Orders", noteOf("orders"),
  table("Orders", "Time|Instrument:text|Wanted|Filled|Price|State"))}
${section("fills", "Fills", noteOf("fills"),
  table("Fills", "Time|Instrument:text|Quantity|Price|Fee|Held after"))}</div>
${section("hops", "Latency", HOPS_HEAD, table("Latency",
  "Path|p50|p99|p99.9|10 µs to maximum|Target / maximum|Verdict|Per second|Errors"))}
<div class="two wide">${section("models", "Models", noteOf("models"),
  table("Models", "Model|Weight|Share|Confidence|Hits|Scored|Mean|Version|Last"))}
${section("alerts", "Alerts", noteOf("alerts"), `<ul class="plain" id="alert-list" tabindex="0"
aria-label="Alerts, newest first"></ul><p class="nothing" hidden>No alert.</p>`)}</div>
${section("processes", "Processes", noteOf("processes"), `<ul class="plain" id="process-list"></ul>`)}
</main>
<footer>Session <span id="session-id" class="mono">–</span>. Times are UTC by the session's clock.
This page only shows and asks: the truth is with the execution process and the broker.</footer>
<dialog id="confirm" aria-labelledby="confirm-title" aria-describedby="confirm-text"><h2
id="confirm-title"></h2>
<p id="confirm-text"></p><label id="flatten-label" hidden><input type="checkbox" id="flatten">
<span>Close all positions at the market as well</span></label>
<div class="choices"><button type="button" id="no">Cancel</button><button type="button"
id="yes">Yes</button></div>
</dialog>`;

/** `proof` is a word of base64url; the policy goes into a header. */
export function pageOf(proof: string): { readonly text: string; readonly policy: string } {
  const style = styleSheet();
  const text = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,
initial-scale=1">
<meta name="dmn-proof" content="${proof}"><title>dmn live</title><link rel="icon" href="data:,">
<script>${SCRIPTS.head}</script><style>${style}</style></head>
<body>${BODY}
<script>${SCRIPTS.body}</script></body></html>
`;
  return { text, policy: `default-src 'none'; script-src ${hashOf(SCRIPTS.head)} ${hashOf(SCRIPTS.body)}; `
    + `style-src ${hashOf(style)}; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; `
    + "frame-ancestors 'none'" };
}

const hashOf = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
