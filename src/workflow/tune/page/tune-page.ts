/**
 * reports/tune-NAME.html: a study as one page, complete in itself. It holds no date of its making: the same
 * study gives the same bytes.
 */
import { themeScript, stillScript } from "../../../backtest/page/client.ts";
import { documentOf, sectionsOf } from "../../../backtest/page/document.ts";
import { html } from "../../../backtest/page/html.ts";
import { styleSheet } from "../../../backtest/page/theme.ts";
import type { StudyView } from "../../../tune/study.ts";

/** What a study does not know of itself. All of it may be left out. */
export interface TuneMore {
  /** Shown under the name: ["Dataset", "futures-dev"], ["Model", "lstm"], ... */
  readonly facts?: readonly (readonly [label: string, value: string])[];
  /** Prices come from a random generator. */
  readonly isSynthetic?: boolean;
  /** The trial that was picked, and by what ("sharpe=2,latency=1"); null where nothing was. */
  readonly preferred?: { readonly trial: number; readonly by: string } | null;
  /** (M) of the hypervolume, as people say them; else beyond the front's worst by a tenth of its range. */
  readonly reference?: readonly number[];
  /** Probability in [0, 1] that the best Sharpe ratio is above zero after this many trials; NaN: unknown. */
  readonly deflatedSharpe?: number;
  /** Probability of backtest overfitting in [0, 1]; NaN: unknown. */
  readonly overfitting?: number;
  /** The command that exports a trial; default: dmn tune export NAME --trial N. */
  readonly exportCommand?: (trial: number) => string;
  /** Sentences for the last section. */
  readonly notes?: readonly string[];
}

/** One self-contained HTML page of a study at any moment of its life, also before the first result. */
export function tunePage(view: StudyView, more: TuneMore = {}): string {
  const { terms } = view;
  const facts = [["Sampler", terms.sampler.name], ...(more.facts ?? [])];
  return documentOf({
    title: `study ${terms.name}`, head: themeScript(), script: stillScript(), style: styleSheet(),
    body: html`<header class="masthead"><p class="kicker">Study</p><h1>${terms.name}</h1>
<ul class="facts">${facts.map(([label, value]) => html`<li><span>${label}</span> ${value}</li>`)}</ul></header>
${sectionsOf([], html`Made by dmn from one study.`)}`,
  });
}
