/** The top of the page: what was run, what came out, in one sentence and eight numbers. */
import type { BacktestResult, Summary } from "../result.ts";
import { formatMoment, formatPercent, formatRatio, formatValue } from "./format.ts";
import { html, type Markup } from "./html.ts";
import { SUMMARY_KEYS, SUMMARY_WORDS } from "./words.ts";

/** Above this a daily Sharpe ratio is a reason to look for a mistake. */
const SHARPE_ALARM = 3;

export function titleOf(result: BacktestResult, title?: string): string {
  return title ?? `${result.strategy} on ${result.dataset}`;
}

export function masthead(result: BacktestResult, title?: string): Markup {
  const alarm = result.average.sharpe > SHARPE_ALARM
    ? html`<p class="alarm" role="note"><strong>Sharpe above ${SHARPE_ALARM}.</strong> At daily frequency, take this for a mistake
(a look ahead, a missing cost) until you have shown that it is none.</p>` : null;
  return html`<header class="masthead">
<p class="kicker">Backtest</p>
<div class="titles"><h1>${titleOf(result, title)}</h1>${
  result.isSynthetic ? html`<span class="badge" title="Prices come from a random generator, not from a market">SYNTHETIC MARKET</span>` : null}</div>
<ul class="facts">${facts(result).map(([name, value]) => html`<li><span>${name}</span> ${value}</li>`)}</ul>
<p class="sentence">${sentence(result)}</p>${alarm}
${tiles(result)}
</header>`;
}

function facts(result: BacktestResult): [string, string][] {
  return [
    ["Strategy", result.strategy],
    ["Dataset", result.dataset],
    ["Decisions", spanOf(result)],
    ["Bars", result.timeframe],
    ["Engine", result.engine],
    ["Cost", `${result.costBps} bps`],
    ["Execution", result.lag === 0 ? "at the close decided on (lag 0)" : "one bar after the decision (lag 1)"],
    ["Volatility target", formatPercent(result.volatilityTarget, 0)],
  ];
}

function spanOf(result: BacktestResult): string {
  const { time } = result.curve;
  if (time.length === 0) return "none";
  return `${formatMoment(time[0], false)} to ${formatMoment(time[time.length - 1], false)}`;
}

/** The result in plain words. */
export function sentence(result: BacktestResult): string {
  const { average, windows, benchmark } = result;
  if (result.curve.time.length === 0) return "The run holds no decision, so there is nothing to measure.";
  const count = windows.length;
  const earned = windows.filter(window => window.annualReturn > 0).length;
  const scope = count > 1 ? `Averaged over ${count} test windows, ` : "";
  const result1 = `${scope}${result.strategy} ${average.annualReturn < 0 ? "lost" : "earned"} ${
    formatPercent(Math.abs(average.annualReturn), 2)} a year at ${formatPercent(average.volatility, 2)} volatility, a Sharpe ratio of ${
    formatRatio(average.sharpe, 2)}, ${result.costBps > 0 ? `after costs of ${result.costBps} bps` : "without trading costs"}`;
  const fall = `, and fell ${formatPercent(average.maxDrawdown, 1)} at its worst${count > 1 ? " (mean of the windows)" : ""}.`;
  const wins = count > 1 ? ` It made money in ${earned === count ? `all ${count}` : `${earned} of ${count}`} windows.` : "";
  const against = benchmark === null ? ""
    : ` The benchmark, ${benchmark.name}, had a Sharpe ratio of ${formatRatio(benchmark.average.sharpe, 2)}.`;
  return capital(result1 + fall + wins + against);
}

const capital = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1);

function tiles(result: BacktestResult): Markup {
  const versus = result.benchmark;
  const one = (key: keyof Summary): Markup => {
    const { label, form, formula } = SUMMARY_WORDS[key];
    return html`<div><dt title="${formula}">${label}</dt><dd data-metric="${key}">${formatValue(result.average[key], form)}</dd>${
      versus === null ? null : html`<dd class="versus">${versus.name} ${formatValue(versus.average[key], form)}</dd>`}</div>`;
  };
  return html`<dl class="tiles">${SUMMARY_KEYS.map(one)}</dl>`;
}
