/**
 * reports/tune-NAME.html: a study as one page, complete in itself, from a file as from a server, with nothing
 * to load. It holds no date of its making: the same study gives the same bytes.
 *
 *   StudyView --> sheet    trials in order, front, volume, importance      sheet.ts
 *                 sheet --> words and tables                               headline, sections, terms
 *                       --> columns of the trials drawn                    payload.ts
 *                           columns --> pictures, in the browser           client, client-charts, -canvas
 */
import { themeScript } from "../../../backtest/page/client.ts";
import { documentOf, sectionsOf } from "../../../backtest/page/document.ts";
import { html, verbatim } from "../../../backtest/page/html.ts";
import { styleSheet } from "../../../backtest/page/theme.ts";
import type { StudyView } from "../../../tune/study.ts";
import { tuneScript } from "./client.ts";
import { masthead } from "./headline.ts";
import { payloadOf } from "./payload.ts";
import { sections } from "./sections.ts";
import { sheetOf } from "./sheet.ts";
import { TUNE_STYLE } from "./style.ts";

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
  /** The command that exports a trial; default: dmn tune export NAME --trial N; null: there is none. */
  readonly exportCommand?: ((trial: number) => string) | null;
  /** What to keep in mind of the values; default: they are of walk-forward validation. */
  readonly caveat?: string;
  /** Sentences for the last section. */
  readonly notes?: readonly string[];
}

const CAVEAT = "Values are of walk-forward validation: they were used to choose, so they flatter. "
  + "What counts is the test, after an export.";

/** One self-contained HTML page of a study at any moment of its life, also before the first result. */
export function tunePage(view: StudyView, more: TuneMore = {}): string {
  const sheet = sheetOf(view, more);
  // A data block ends at the first "</script": no "<" goes into it.
  const payload = JSON.stringify(payloadOf(sheet)).replaceAll("<", "\\u003c");
  return documentOf({
    title: `study ${view.terms.name}`, head: themeScript(), script: tuneScript(),
    style: `${styleSheet()}\n${TUNE_STYLE}`,
    body: html`
<a class="skip" href="#history">Skip to the charts</a>
${masthead(sheet)}
${sectionsOf(sections(sheet),
  html`Made by dmn from one study. ${more.caveat ?? CAVEAT}`)}
<aside id="readout" role="status" aria-live="polite" hidden><span></span><span></span><span></span></aside>
<script type="application/json" id="payload">${verbatim(payload)}</script>`,
  });
}
