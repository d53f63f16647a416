/** What the page of a study is told beside the study: its data, and how much of it is luck. */
import { commandLine } from "../../base/command-line.ts";
import { rootWords } from "./root-words.ts";
import type { StudyView } from "../../tune/study.ts";
import { readManifest } from "../../market/store.ts";
import type { Luck } from "./overfitting.ts";
import { tunePage } from "./page/tune-page.ts";
import type { StudyWork } from "./tune-request.ts";

/** Of values that we know nothing of. */
export const CHOSEN = "Values were used to choose, so they flatter.";

export function pageOf(view: StudyView, luck: Luck | null, root: string): string {
  const { name, work } = view.terms, told = work as StudyWork;
  const exportCommand = (trial: number): string => commandLine(["dmn", "tune", "export", "--name", name,
    "--trial", String(trial), "--as", `${name}-${trial}`, ...rootWords(root)]);
  const luckFacts = luck === null ? {}
    : { deflatedSharpe: luck.deflatedSharpe, overfitting: luck.overfitting };
  if (told.kind === "file") {
    return tunePage(view, { exportCommand: null, caveat: CHOSEN, facts: [["Objective", told.place]],
      ...luckFacts });
  }
  const { request: { dataset, model, recipe }, testFrom, parts } = told;
  return tunePage(view, { exportCommand, ...luckFacts, isSynthetic: isSynthetic(root, dataset),
    facts: [["Dataset", dataset], ["Model", model], ["Recipe", recipe], ["Before", testFrom]],
    notes: [`Values are of ${parts} walk-forward validation parts before ${testFrom}; no test day was read. `
      + "They are of the epochs they chose, so they flatter."] });
}

function isSynthetic(root: string, dataset: string): boolean {
  try { return readManifest(root, dataset).isSynthetic; } catch { return false; }
}
