/** The page of a study that Optuna made: its journal, read as a study and drawn as one of ours. */
import { readOptunaJournal, type OptunaStudy } from "../../tune/optuna-journal.ts";
import type { StudyView, Terms, Trial } from "../../tune/study.ts";
import { FINISHED_STATES, signed, type Finished, type FinishedState } from "../../tune/trial.ts";
import { tunePage } from "./page/tune-page.ts";
import { CHOSEN } from "./study-page.ts";

/** Of the journal's text the study `name`; null: its only one. UserError where it has no such study. */
export function optunaPage(text: string, name: string | null):
{ readonly name: string; readonly trials: number; readonly page: string } {
  const study = readOptunaJournal(text, name), view = viewOf(study);
  const unexplained = study.unexplained.length === 0 ? []
    : [`Only some trials have ${study.unexplained.join(", ")}, and no other parameter says which.`];
  const page = tunePage(view, { exportCommand: null, caveat: CHOSEN, facts: [["Made by", "Optuna"]],
    notes: [...unexplained, ...(study.tornBytes === 0 ? []
      : [`${study.tornBytes} bytes of an unfinished last record were left out.`])] });
  return { name: study.name, trials: view.count, page };
}

function viewOf({ name, objectives, space, trials }: OptunaStudy): StudyView {
  const stepsMax = trials.reduce((most, { reports }) => Math.max(most, reports.at(-1)?.step ?? 0), 1);
  const terms: Terms = { name, objectives, space, sampler: { name: "Optuna's", settings: {} }, pruner: null,
    seed: 0, trials: trials.length, stepsMax, lag: null, retries: 0, version: "", work: null };
  return { terms, count: trials.length, trial: (number) => trials[number],
    *finished() {
      for (const trial of trials) if (isFinished(trial)) yield finishedOf(trial, terms);
    } };
}

const isFinished = ({ state }: Trial): boolean => FINISHED_STATES.includes(state as FinishedState);

function finishedOf({ number, point, state, values, violation, reports, parent }: Trial,
  { objectives }: Terms): Finished {
  return { number, point, state: state as FinishedState, violation, parent, step: reports.at(-1)?.step ?? 0,
    losses: signed(objectives, values ?? objectives.map(() => NaN)) };
}
