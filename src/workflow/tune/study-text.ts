/** A study as text: the live table, and what is printed at its end. All lines fit the terminal. */
import { formatSeconds } from "../../base/progress.ts";
import { formatNumber, formatPercent, formatTable, TERMINAL_COLUMNS, type Column } from "../../base/table.ts";
import { settingsOf } from "../../tune/space.ts";
import type { StudyView, Terms, Trial } from "../../tune/study.ts";
import type { Objective } from "../../tune/trial.ts";
import { trialsIn, type StudyFacts } from "./study-facts.ts";

const right = (title: string): Column => ({ title, align: "right" });
/** Columns of objectives that leave room for the rest. */
const OBJECTIVES_SHOWN = 6;
const TITLE_MOST = 12;
/** Trials that are looked at for their reasons, and reasons that are told. */
const REASONS_READ = 200, REASONS_SHOWN = 3;

/** Four digits that say something, whatever the size. */
export function formatValue(value: number): string {
  if (!Number.isFinite(value)) return formatNumber(value);
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(2)
    : value.toFixed(size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : size >= 1 ? 3 : 4);
}

const titleOf = ({ name }: Objective): string =>
  name.length > TITLE_MOST ? `${name.slice(0, TITLE_MOST - 1)}~` : name;

/** One line: how far it is. `etaSeconds`: null where nothing is known. */
export function headline({ terms }: StudyView, facts: StudyFacts, etaSeconds: number | null): string {
  const { states } = facts, count = (state: keyof typeof states, word: string): string[] =>
    states[state] === 0 ? [] : [`${states[state]} ${word}`];
  return [`${facts.finished}/${terms.trials} trials`, ...count("running", "running"),
    ...count("pruned", "pruned"), ...count("infeasible", "infeasible"), ...count("failed", "failed"),
    `front ${facts.front.length}`,
    ...(Number.isNaN(facts.volume) ? [] : [`volume ${facts.volume.toFixed(3)}`]),
    ...(etaSeconds === null || etaSeconds <= 0 ? [] : [`ETA ${formatSeconds(etaSeconds)}`])].join(", ");
}

/** Rows of trials: number, state, how far, values, what is behind. */
export function trialTable({ terms }: StudyView, trials: readonly Trial[]): string {
  const shown = terms.objectives.slice(0, OBJECTIVES_SHOWN);
  const more = terms.objectives.length - shown.length;
  return formatTable([right("trial"), { title: "state" }, right("step"), ...shown.map((one) =>
    right(titleOf(one))), { title: more > 0 ? `+${more} more, settings` : "settings" }],
  trials.map((trial) => [String(trial.number), trial.state, stepText(terms, trial),
    ...shown.map((_, m) => cell(valuesOf(trial)?.[m])), settingsText(terms, trial)]));
}

const cell = (value: number | undefined): string =>
  value === undefined || Number.isNaN(value) ? "-" : formatValue(value);
const valuesOf = ({ values, reports }: Trial): readonly number[] | null =>
  values ?? reports.at(-1)?.values ?? null;

function stepText({ stepsMax }: Terms, { reports, state, statistics }: Trial): string {
  const step = statistics["epochs"] ?? reports.at(-1)?.step ?? 0;
  return state === "running" || state === "pruned" ? `${step}/${stepsMax}` : String(step || "");
}

export const settingsText = ({ space }: Terms, { point }: Pick<Trial, "point">): string =>
  Object.entries(settingsOf(space, point)).map(([name, value]) =>
    `${name} ${typeof value === "number" ? Number(value.toPrecision(3)) : value}`).join(" ");

/** The live table: what runs, what ended last, and the front's best in each objective. */
export function liveLines(view: StudyView, facts: StudyFacts, etaSeconds: number | null,
  rows: number): string[] {
  const running = trialsIn(view, ["running"], Math.max(1, rows >> 1));
  const ended = trialsIn(view, ["complete", "pruned", "infeasible", "failed"],
    Math.max(1, rows - running.length));
  return [`study ${view.terms.name}: ${headline(view, facts, etaSeconds)}`,
    ...(running.length + ended.length === 0 ? [] : trialTable(view, [...running, ...ended]).split("\n")),
    ...bestLines(view, facts)];
}

function bestLines(view: StudyView, { front }: StudyFacts): string[] {
  if (front.length === 0) return [];
  const best = view.terms.objectives.map(({ name }, m) => {
    const trial = front.reduce((a, b) => (b.losses[m] < a.losses[m] ? b : a));
    return `${name} ${cell(view.trial(trial.number).values?.[m])} (${trial.number})`;
  });
  const lines: string[] = [];
  for (const word of best) {
    const line = lines.at(-1);
    const hasRoom = line !== undefined && line.length + word.length + 2 <= TERMINAL_COLUMNS;
    if (hasRoom) lines.push(`${lines.pop()}, ${word}`);
    else lines.push(lines.length === 0 ? `best: ${word}` : `      ${word}`);
  }
  return lines;
}

/** Why trials failed or are infeasible: the commonest sentences, each with a trial that says it. */
export function reasonLines(view: StudyView): string[] {
  const found = new Map<string, number[]>();
  for (const { number, state, reason } of trialsIn(view, ["failed", "infeasible"], REASONS_READ)) {
    // But for their numbers, sentences are alike.
    const key = `${state} ${reason.replaceAll(/\d[\d.e-]*/g, "#")}`;
    found.set(key, [...found.get(key) ?? [], number]);
  }
  return [...found.values()].sort((a, b) => b.length - a.length).slice(0, REASONS_SHOWN)
    .map((trials) => {
      const { number, state, reason } = view.trial(trials[0]);
      return `${trials.length} ${state} like trial ${number}: ${reason}`;
    });
}

export interface LuckText {
  readonly trial: number;
  readonly deflatedSharpe: number;
  readonly overfitting: number;
  readonly tried: number;
}

export function luckText({ trial, deflatedSharpe, overfitting, tried }: LuckText): string[] {
  return [`deflated Sharpe of trial ${trial}: ${formatPercent(deflatedSharpe, 1)} sure that it is above 0, `
    + `after ${tried} trials`,
    `probability of backtest overfitting: ${formatPercent(overfitting, 1)} (choosing blindly: 50%)`];
}
