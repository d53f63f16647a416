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
  const badge = html`<span class="badge" title="Prices come from a random generator, not from a market"
>SYNTHETIC MARKET</span>`;
  const alarm = html`<p class="alarm" role="note"><strong>Sharpe above ${SHARPE_ALARM}.</strong>
At daily frequency, take this for a mistake (a look ahead, a missing cost) until you have shown that
it is none.</p>`;
  const lines = facts(result).map(([name, value]) => html`<li><span>${name}</span> ${value}</li>`);
  return html`<header class="masthead">
<p class="kicker">Backtest</p>
<div class="titles"><h1>${titleOf(result, title)}</h1>${result.isSynthetic ? badge : null}</div>
<ul class="facts">${lines}</ul>
<p class="sentence">${sentence(result)}</p>${result.average.sharpe > SHARPE_ALARM ? alarm : null}
<dl class="tiles">${SUMMARY_KEYS.map((key) => tile(result, key))}</dl>
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
    ["Execution", result.lag === 0 ? "at the close decided on (lag 0)" : "one bar later (lag 1)"],
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
  const { average, windows, benchmark, costBps } = result;
  if (result.curve.time.length === 0) {
    return "The run holds no decision, so there is nothing to measure.";
  }
  const count = windows.length;
  const isMany = count > 1;
  const scope = isMany ? `Averaged over ${count} test windows` : "Over one test window";
  const verb = average.annualReturn < 0 ? "lost" : "earned";
  const rate = `${formatPercent(Math.abs(average.annualReturn), 2)} a year`;
  const risk = `${formatPercent(average.volatility, 2)} volatility`;
  const sharpe = `a Sharpe ratio of ${formatRatio(average.sharpe, 2)}`;
  const costs = costBps > 0 ? `after costs of ${costBps} bps` : "without trading costs";
  const fall = `fell ${formatPercent(average.maxDrawdown, 1)} at its worst`;
  const mean = isMany ? " (mean of the windows)" : "";
  const won = windows.filter((window) => window.annualReturn > 0).length;
  const wins = ` It made money in ${won === count ? `all ${count}` : `${won} of ${count}`} windows.`;
  return `${scope}, ${result.strategy} ${verb} ${rate} at ${risk}, ${sharpe}, ${costs}, and ${fall}`
    + `${mean}.${isMany ? wins : ""}${benchmark === null ? "" : against(benchmark)}`;
}

function against(benchmark: NonNullable<BacktestResult["benchmark"]>): string {
  const sharpe = formatRatio(benchmark.average.sharpe, 2);
  return ` The benchmark, ${benchmark.name}, had a Sharpe ratio of ${sharpe}.`;
}

function tile(result: BacktestResult, key: keyof Summary): Markup {
  const { label, form, formula } = SUMMARY_WORDS[key];
  const { benchmark } = result;
  const versus = benchmark === null ? null
    : html`<dd class="versus">${benchmark.name} ${formatValue(benchmark.average[key], form)}</dd>`;
  const value = formatValue(result.average[key], form);
  return html`<div><dt title="${formula}">${label}</dt>
<dd data-metric="${key}">${value}</dd>${versus}</div>`;
}
