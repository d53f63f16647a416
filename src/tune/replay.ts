/**
 * Is a study what its terms make of it? Every suggestion and every decision to prune is computed again from
 * what the journal says came before it, and compared.
 */
import type { StudyEvent } from "./events.ts";
import { hear } from "./events.ts";
import { Study } from "./fold.ts";
import { Suggester, type Search } from "./suggester.ts";
import { scanStudy } from "./study-journal.ts";
import type { Terms } from "./study.ts";
import { signed } from "./trial.ts";

export interface Replay {
  /** Compared and equal. */
  readonly suggestions: number;
  readonly decisions: number;
  /** The first one in a sentence; null: there is none. */
  readonly difference: string | null;
}

/** `searchOf`: a fresh sampler and pruner. Throws UserError for a study that cannot be read. */
export function replayStudy(folder: string, searchOf: (terms: Terms) => Search): Replay {
  let suggestions = 0, decisions = 0, difference: string | null = null;
  let study: Study | null = null, suggester: Suggester | null = null;
  const compare = (event: StudyEvent): void => {
    if (event.event === "asked") {
      const next = suggester!.next();
      const text = next === null ? "to wait"
        : JSON.stringify({ point: next.point, parent: next.parent, seen: suggester!.told });
      const { point, parent, seen } = event, before = JSON.stringify({ point, parent, seen });
      if (text !== before) difference = `trial ${event.trial} was ${before}, and is now ${text}`;
      else suggestions++;
    }
    if (event.event === "reported") {
      const { trial, step, values, goesOn } = event;
      const losses = signed(study!.terms.objectives, values.map(hear));
      if (suggester!.decide(trial, step, losses) === goesOn) { decisions++; return; }
      difference = `trial ${trial} ${goesOn ? "went on" : "was stopped"} at step ${step}, and `
        + `${goesOn ? "is stopped" : "goes on"} now`;
    }
  };
  scanStudy(folder, (event) => {
    if (difference !== null) return;
    if (event.event === "created") {
      study = new Study(event.terms, event.at);
      suggester = new Suggester(study, searchOf(event.terms));
      return;
    }
    compare(event);
    study!.apply(event);
    if (event.event === "told" || event.event === "ended") suggester!.finished(event.trial);
  });
  return { suggestions, decisions, difference };
}
