/** The sections of the page in reading order. One without anything to draw says why. */
import type { Section } from "../../../backtest/page/sections.ts";
import { frontBody, membersBody, pairControls, pairsBody } from "./front-sections.ts";
import { importanceBody } from "./importance-section.ts";
import type { Sheet } from "./sheet.ts";
import { chooser, nothing } from "./surface.ts";
import { termsBody } from "./terms.ts";
import { curvesBody, historyBody, slicesBody, timelineBody } from "./trial-sections.ts";

export function sections(sheet: Sheet): Section[] {
  const hasMany = sheet.terms.objectives.length > 1, hasFront = sheet.front.length > 0;
  const canChoose = hasMany && sheet.trials.length > 0, none = nothing("no trial is complete");
  const parts: (Section | null)[] = [
    { id: "history", title: "History", short: "History", body: historyBody(sheet) },
    !hasMany ? null
      : { id: "front", title: "The front", short: "Front", body: hasFront ? frontBody(sheet) : none },
    !hasMany ? null
      : { id: "pairs", title: "Objectives in pairs", short: "Pairs",
          controls: hasFront ? pairControls(sheet) : null, body: hasFront ? pairsBody(sheet) : none },
    { id: "members", title: hasMany ? "Trials of the front" : "The best trial", short: "Trials",
      body: hasFront ? membersBody(sheet) : none },
    { id: "importance", title: "What decides an objective", short: "Importance",
      body: importanceBody(sheet) },
    { id: "slices", title: "Objective by parameter", short: "Slices",
      controls: canChoose ? chooser(sheet, "slice") : null, body: slicesBody(sheet) },
    { id: "curves", title: "On the way", short: "Curves",
      controls: canChoose ? chooser(sheet, "curve") : null, body: curvesBody(sheet) },
    { id: "timeline", title: "Workers and attempts", short: "Workers", body: timelineBody(sheet) },
    { id: "terms", title: "Terms and notes", short: "Terms", body: termsBody(sheet) },
  ];
  return parts.filter((part) => part !== null);
}
