/** The top of the page: what was searched, what came out, in two sentences and eight numbers. */
import { formatPercent } from "../../../backtest/page/format.ts";
import { html, type Markup } from "../../../backtest/page/html.ts";
import { sayNumber } from "./client-canvas.ts";
import type { Sheet } from "./sheet.ts";

const count = (value: number): string => value.toLocaleString("en-US");

export function masthead(sheet: Sheet): Markup {
  const { terms, more } = sheet;
  const badge = html`<span class="badge" title="Prices come from a random generator, not from a market"
>SYNTHETIC MARKET</span>`;
  const facts = factsOf(sheet).map(([label, value]) => html`<li><span>${label}</span> ${value}</li>`);
  return html`<header class="masthead">
<p class="kicker">Study</p>
<div class="titles"><h1>${terms.name}</h1>${more.isSynthetic === true ? badge : null}</div>
<ul class="facts">${facts}</ul>
<p class="sentence">${sentence(sheet)}</p>
<dl class="tiles">${tilesOf(sheet).map(([label, value, below, title]) =>
  html`<div><dt title="${title}">${label}</dt><dd>${value}</dd><dd class="versus">${below}</dd></div>`)}</dl>
</header>`;
}

function factsOf({ terms, more, trials }: Sheet): (readonly [string, string])[] {
  const named = (one: { readonly name: string; readonly settings: object }): string => {
    const settings = Object.entries(one.settings).map(([name, value]) => `${name}=${value}`).join(" ");
    return settings === "" ? one.name : `${one.name} (${settings})`;
  };
  const workers = new Set(trials.flatMap(({ attempts }) => attempts.map(({ worker }) => worker))).size;
  return [
    ...(more.facts ?? []),
    ["Sampler", named(terms.sampler)],
    ["Pruner", terms.pruner === null ? "none: every trial runs to its end" : named(terms.pruner)],
    ["Parameters", count(Object.keys(terms.space).length)],
    ["Steps of a whole trial", count(terms.stepsMax)],
    ["Workers", count(workers)],
    ["Seed", String(terms.seed)],
    ["Order", terms.lag === null ? "as completed" : `deterministic, lag ${terms.lag}`],
  ];
}

/** What came out, in plain words. */
export function sentence(sheet: Sheet): string {
  const { terms, trials, counts, front, preferred, more } = sheet, M = terms.objectives.length;
  const over = trials.length - counts.running - counts.waiting;
  const begin = `${over === trials.length && over >= terms.trials ? "All" : count(over)} `
    + `${over >= terms.trials ? "" : `of ${count(terms.trials)} `}trials are over`;
  const ways = `${count(counts.complete)} ran to their end and ${count(counts.pruned)} were stopped early`;
  if (front.length === 0) {
    return `${over === 0 ? "No trial is over yet" : `${begin}: ${ways}, and none has a result that counts`}.`;
  }
  const some = front.length === 1 ? "One is" : `${count(front.length)} are`;
  const what = M === 1 ? bestSentence(sheet) : `${some} on the front: no other trial is better in one of `
    + `the ${M} objectives and no worse in the rest.`;
  const share = front.length / counts.complete;
  const crowd = M > 3 && share > 0.5 && front.length > 10 ? ` With ${M} objectives that says little: it is `
    + `${formatPercent(share, 0)} of what ran to its end. Choose by preference, or set ranges below.` : "";
  const pick = preferred === null ? ""
    : ` Trial ${preferred.number} was picked${more.preferred?.by === "" ? "" : ` by ${more.preferred!.by}`}.`;
  return `${begin}: ${ways}. ${what}${crowd}${pick}`;
}

function bestSentence({ terms, trials, front }: Sheet): string {
  const { name } = terms.objectives[0], value = trials[front[0].number].values![0];
  return `The best ${name} is ${sayNumber(value)}, of trial ${front[0].number}`
    + `${front.length > 1 ? ` and ${front.length - 1} equal ones` : ""}.`;
}

type Tile = readonly [label: string, value: string, below: string, title: string];

function bestTile({ terms, trials, front }: Sheet): Tile {
  return ["Best", front.length === 0 ? "n/a" : sayNumber(trials[front[0].number].values![0]),
    terms.objectives[0].name, `${terms.objectives[0].direction}d`];
}

function tilesOf(sheet: Sheet): Tile[] {
  const { terms, trials, counts, front, volume, more, from, to } = sheet;
  const over = trials.length - counts.running - counts.waiting;
  const lost = trials.flatMap((one) => one.attempts).filter(({ outcome }) => outcome === "lost").length;
  const share = (value: number | undefined): string =>
    value === undefined || Number.isNaN(value) ? "n/a" : formatPercent(value, 1);
  const error = volume === null ? "no front yet" : volume.standardError === 0 ? "exact"
    : `± ${sayNumber(volume.standardError)}`;
  return [
    ["Trials over", count(over), `of ${count(terms.trials)}; ${count(counts.running)} running`,
      "finished in any way"],
    ["Complete", count(counts.complete), `${count(counts.infeasible)} infeasible`,
      "ran to their end and count"],
    ["Pruned", count(counts.pruned), `${count(counts.failed)} failed, ${count(counts.cancelled)} cancelled`,
      "stopped early by the pruner"],
    ...(terms.objectives.length === 1 ? [bestTile(sheet)] : [
      ["Front", count(front.length), "not dominated",
        "complete trials that no other one beats in everything"],
      ["Hypervolume", volume === null ? "n/a" : sayNumber(volume.value), error,
        "what the front dominates, up to the reference point; one standard error"]] as Tile[]),
    ["Deflated Sharpe", share(more.deflatedSharpe), "best, after all trials",
      "probability that the best Sharpe ratio is above zero, for this many trials"],
    ["Overfitting", share(more.overfitting), "probability (PBO)",
      "how often the best in one half of the time is below the median in the other"],
    ["Time", spanOf(to - from), `${count(lost)} lost ${lost === 1 ? "attempt" : "attempts"}`,
      "from the first attempt to the last known moment"],
  ];
}

/** 45 s, 30 min, 2.1 h, 3.4 d; "n/a" before anything has begun. */
export function spanOf(ms: number): string {
  if (!Number.isFinite(ms)) return "n/a";
  const seconds = ms / 1000;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${(seconds / 3600).toFixed(1)} h` : `${(seconds / 86_400).toFixed(1)} d`;
}
