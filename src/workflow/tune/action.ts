/** What `dmn tune ACTION` does with a study that is there. */
import * as fs from "node:fs";
import * as path from "node:path";
import { ARCHITECTURES, architectureNamed } from "../../../models/index.ts";
import { commandLine } from "../../base/command-line.ts";
import type { Context } from "../../base/context.ts";
import { places } from "../../base/data-root.ts";
import { UserError } from "../../base/error.ts";
import { replaceFile, replaceWith } from "../../base/file.ts";
import { suggestion } from "../../base/suggest.ts";
import { formatTable } from "../../base/table.ts";
import { hyperparametersOf } from "../../train/settings.ts";
import { askCoordinator } from "../../tune/ask.ts";
import { joinKeysOf, readWorkerSecret } from "../../tune/keys.ts";
import { optunaJournal } from "../../tune/optuna-journal.ts";
import { BoxFront, boxSides, paretoFront } from "../../tune/pareto.ts";
import { kneePoints, parsePreference, rankByPreference } from "../../tune/preference.ts";
import { redundancy } from "../../tune/redundancy.ts";
import { replayStudy } from "../../tune/replay.ts";
import { PRUNERS } from "../../tune/pruners/pruners.ts";
import { SAMPLERS } from "../../tune/samplers/samplers.ts";
import { searchOf } from "../../tune/search.ts";
import { settingsOf, type Parameter, type Space } from "../../tune/space.ts";
import { readStudy, repairStudy } from "../../tune/study-journal.ts";
import type { Terms, Trial } from "../../tune/study.ts";
import type { Finished } from "../../tune/trial.ts";
import { codeVersion, TRAIN_DEFAULTS, trainExport, trainText } from "../train-export.ts";
import { chooseInputs, type NetworkWork } from "./network-work.ts";
import { announced, joinCommand } from "./join.ts";
import { OBJECTIVES, OBJECTIVE_NAMES } from "./objectives.ts";
import { optunaPage } from "./optuna-page.ts";
import { luckOf } from "./overfitting.ts";
import { SPACE_NOTES, spaceNotesText } from "./space-notes.ts";
import { chooseSpace } from "./spaces.ts";
import { factsOf, trialsIn } from "./study-facts.ts";
import { headline, luckText, reasonLines, settingsText, trialTable } from "./study-text.ts";
import { rootWords } from "./root-words.ts";
import { writePage } from "./tune.ts";
import type { StudyWork } from "./tune-request.ts";
import { trialFolder } from "./worker.ts";

/** As said; each action takes what it needs. */
export interface ActionSaid {
  readonly name?: string | undefined;
  readonly prefer?: string | undefined;
  readonly boxes?: number | undefined;
  readonly trial?: number | undefined;
  readonly as?: string | undefined;
  readonly path?: string | undefined;
  readonly model?: string | undefined;
  readonly space?: readonly string[] | undefined;
  readonly set?: Readonly<Record<string, number | string>> | undefined;
  readonly pbt?: boolean | undefined;
  readonly workers?: number | undefined;
}
export interface Answer { readonly text: string; readonly json: object }
type Action = (said: ActionSaid, context: Context) => Answer | Promise<Answer>;

const ACTIONS: Readonly<Record<string, Action>> = { status, best, export: exportTrial, report, replay, repair,
  stop, optuna, space };

/** UserError for an unknown action, an unknown study, and what each of them refuses. */
export async function tuneAction(action: string, said: ActionSaid, context: Context): Promise<Answer> {
  if (Object.hasOwn(ACTIONS, action)) return await ACTIONS[action](said, context);
  throw new UserError(`dmn tune knows no action "${action}"`, suggestion(action, Object.keys(ACTIONS)));
}

const studies = (root: string): string[] => {
  const folder = path.join(places.storage(root), "tune");
  return !fs.existsSync(folder) ? [] : fs.readdirSync(folder)
    .filter((name) => fs.existsSync(path.join(folder, name, "study.journal"))).sort();
};

function nameOf({ name }: ActionSaid, { root }: Context, action: string): string {
  if (name !== undefined && studies(root).includes(name)) return name;
  const known = studies(root);
  if (name === undefined && known.length === 1) return known[0];
  throw new UserError(name === undefined ? "which study?" : `there is no study "${name}" in ${root}`,
    known.length === 0 ? "begin one: dmn tune --dataset NAME --name first"
      : `for example: dmn tune ${action} --name ${known[0]}`);
}

const open = (said: ActionSaid, context: Context, action: string): ReturnType<typeof readStudy> =>
  readStudy(places.study(context.root, nameOf(said, context, action)));

/** What is in the journal: also while a coordinator writes it. */
function status(said: ActionSaid, context: Context): Answer {
  if (said.name === undefined && studies(context.root).length > 1) return overview(context);
  const view = open(said, context, "status"), facts = factsOf(view)(), { terms } = view;
  const folder = places.study(context.root, nameOf(said, context, "status")), address = announced(folder);
  const shown = [...trialsIn(view, ["running"], 64),
    ...trialsIn(view, ["complete", "pruned", "infeasible", "failed", "cancelled"], 10)];
  const luck = luckOf(view, (trial) => trialFolder(context.root, terms.name, trial));
  const text = [`study ${terms.name}: ${headline(view, facts, null)}`,
    `sampler ${terms.sampler.name}, pruner ${terms.pruner?.name ?? "none"}, seed ${terms.seed}`
      + (terms.lag === null ? "" : `, deterministic with lag ${terms.lag}`),
    ...(view.isOver ? [] : address === null
      ? [`it does not run on this machine; to go on: dmn tune --name ${terms.name} --resume`]
      : [`one worker more: ${joinCommand(folder, address, terms.name)}`]),
    "", trialTable(view, shown), ...reasonLines(view), ...redundantText(view),
    ...(luck === null ? [] : luckText(luck))].join("\n");
  return { text, json: { name: terms.name, terms, ...facts, front: facts.front.map(({ number }) => number),
    luck, address, trials: shown } };
}

function overview({ root }: Context): Answer {
  const rows = studies(root).map((name) => {
    try {
      const view = readStudy(places.study(root, name)), facts = factsOf(view)();
      return { name, line: headline(view, facts, null), states: facts.states };
    } catch (error) {
      // One that cannot be read does not hide the others.
      if (!(error instanceof UserError)) throw error;
      return { name, line: `cannot be read: dmn tune status --name ${name}`, states: null };
    }
  });
  return { json: rows, text: formatTable([{ title: "study" }, { title: "trials" }],
    rows.map((row) => [row.name, row.line])) };
}

/** Objectives that say the same as others. */
function redundantText(view: ReturnType<typeof readStudy>): string[] {
  const { objectives } = view.terms;
  const trials = [...view.finished()].filter(({ state }) => state === "complete");
  if (objectives.length < 3 || trials.length < 2 * objectives.length) return [];
  const { redundant } = redundancy(trials, objectives);
  return redundant.map(({ objective, by, correlation }) =>
    `${objective} says the same as ${by} (rank correlation ${correlation.toFixed(2)}): one of them would do`);
}

/** A front that is too long to read: a trial of each box of a grid, in which no better one lies. */
function boxed(front: readonly Finished[], parts: number): readonly Finished[] {
  const boxes = new BoxFront(boxSides(front, parts));
  for (const trial of front) boxes.add(trial);
  return boxes.members;
}

/** Which trials to take: by a preference, or the knees of the front. */
function best(said: ActionSaid, context: Context): Answer {
  const view = open(said, context, "best"), { terms } = view, whole = paretoFront(view.finished());
  if (whole.length === 0) {
    throw new UserError(`study "${terms.name}" has no complete, feasible trial yet`,
      `see how far it is: dmn tune status --name ${terms.name}`);
  }
  const front = said.boxes === undefined ? whole : boxed(whole, said.boxes);
  const isByKnees = said.boxes === undefined && said.prefer === undefined && terms.objectives.length > 1;
  const knees = isByKnees ? kneePoints(front) : [];
  const preference = said.prefer ?? terms.objectives.map(({ name }) => name).join(",");
  const ranked = knees.length > 0 ? knees.map(({ trial }) => trial)
    : rankByPreference(front, parsePreference(preference, terms.objectives)).map(({ trial }) => trial);
  const shown = ranked.slice(0, said.boxes === undefined ? 10 : 40).map(({ number }) => view.trial(number));
  const [first] = shown;
  const words = ["dmn", "tune", "export", "--name", terms.name, "--trial", String(first.number), "--as",
    `${terms.name}-${first.number}`, ...rootWords(context.root)];
  const why = said.prefer !== undefined ? `by ${said.prefer}` : knees.length > 0
    ? "knees of the front: each step away costs more than it brings" : "all objectives weighing alike";
  const apart = front.length === whole.length ? "" : ` ${front.length} stand for their boxes,`;
  const text = [`study ${terms.name}: of ${whole.length} trials that nothing dominates,${apart} ${why}`, "",
    trialTable(view, shown), "", `trial ${first.number}: ${settingsText(terms, first)}`,
    `next: ${commandLine(words)}`].join("\n");
  return { text, json: { name: terms.name, by: said.prefer ?? null, trials: shown.map((trial) =>
    ({ trial: trial.number, values: trial.values, settings: settingsOf(terms.space, trial.point) })) } };
}

/** The settings of a trial, trained on all windows. Trains as `dmn train-export` does, with its own seeds. */
async function exportTrial(said: ActionSaid, context: Context): Promise<Answer> {
  const view = open(said, context, "export"), { terms } = view, work = terms.work as StudyWork;
  if (work.kind === "file") {
    throw new UserError(`study "${terms.name}" is of ${work.place}, and tunes no network to export`,
      `its settings: dmn tune best --name ${terms.name} --json`);
  }
  const example = `dmn tune export --name ${terms.name} --trial 0 --as ${terms.name}-0`;
  if (said.trial === undefined) throw new UserError("which trial?", `for example: ${example}`);
  if (said.as === undefined) throw new UserError("under which name?", `for example: ${example}`);
  if (said.trial >= view.count) {
    throw new UserError(`study "${terms.name}" has no trial ${said.trial}`,
      view.count === 0 ? `it has none yet: dmn tune --name ${terms.name} --resume`
        : `its trials are 0 to ${view.count - 1}`);
  }
  const trained = await trainExport({ name: said.as, workers: said.workers ?? 0, isResume: false,
    isForced: false, said: trialRequest(terms, view.trial(said.trial)) }, context);
  return { text: trainText(trained), json: trained };
}

/**
 * What `dmn train-export` is asked for a trial. Of a population's: the settings it ended with, for as many
 * epochs as it and those it went on from had.
 */
export function trialRequest({ space, work, sampler }: Terms, { point, number }: Trial):
Parameters<typeof trainExport>[0]["said"] {
  const { request, features, isPopulation } = work as NetworkWork;
  const { inputs, ...chosen } = settingsOf(space, point);
  const intervals = isPopulation ? Math.floor(number / Number(sampler.settings["population"])) + 1 : 1;
  const epochs = Number(request.set["epochs"]) * intervals;
  return { ...request, set: { ...request.set, ...chosen, epochs }, trials: 0, seeds: TRAIN_DEFAULTS.seeds,
    features: inputs === undefined ? request.features : chooseInputs(features, String(inputs)) };
}

async function report(said: ActionSaid, context: Context): Promise<Answer> {
  if (said.path !== undefined) return await reportOptuna(said.path, said.name ?? null, context);
  const view = open(said, context, "report");
  const luck = luckOf(view, (trial) => trialFolder(context.root, view.terms.name, trial));
  const place = await writePage(view, luck, context);
  return { text: `report: ${place}`, json: { report: place, luck } };
}

/** The page of a study of Optuna's, from its journal. */
async function reportOptuna(file: string, name: string | null, { root }: Context): Promise<Answer> {
  let text: string;
  try { text = fs.readFileSync(file, "utf8"); } catch {
    throw new UserError(`${file} cannot be read`, "name Optuna's journal file: --path FILE");
  }
  const { name: found, trials, page } = optunaPage(text, name);
  const place = path.join(places.reports(root), `optuna-${found.replaceAll(/[^\w.-]/g, "_")}.html`);
  await replaceWith(place, page);
  return { text: `report: ${place}`, json: { report: place, study: found, trials } };
}

/** Ends a study that runs elsewhere on this machine: its workers give their trials back. */
async function stop(said: ActionSaid, context: Context): Promise<Answer> {
  const name = nameOf(said, context, "stop"), folder = places.study(context.root, name);
  const address = announced(folder), goOn = `dmn tune --name ${name} --resume`;
  const reply = address === null ? null : await askCoordinator({ ask: "stop" }, { address, study: name,
    keys: readWorkerSecret(joinKeysOf(folder)), clock: context.clock });
  if (reply === null) {
    throw new UserError(`study "${name}" does not run on this machine`, `to go on with it: ${goOn}`);
  }
  return { text: `study ${name} stops; to go on with it: ${goOn}`, json: { name, address } };
}

/** Every suggestion and decision once more, from the journal. UserError at the first that is another. */
function replay(said: ActionSaid, context: Context): Answer {
  const name = nameOf(said, context, "replay");
  const found = replayStudy(places.study(context.root, name), searchOf);
  const { suggestions, decisions, difference } = found;
  if (difference !== null) {
    const { version } = readStudy(places.study(context.root, name)).terms;
    throw new UserError(`study "${name}" comes out differently: ${difference}`,
      version === codeVersion() ? "restore its journal from a backup, or the dmn that wrote it"
        : `it was begun with dmn ${version}: replay it with that`);
  }
  const text = `study ${name}: ${suggestions} suggestions and ${decisions} decisions of the pruner are `
    + "what the journal says, bit for bit";
  return { text, json: { name, ...found } };
}

function repair(said: ActionSaid, context: Context): Answer {
  const name = nameOf(said, context, "repair"), found = repairStudy(places.study(context.root, name));
  const text = found === null ? `study ${name}: its journal is whole`
    : `study ${name}: kept ${found.kept} records before the damage, left out ${found.cutBytes} bytes; `
      + `the journal as it was: ${found.aside}\nnext: dmn tune --name ${name} --resume`;
  return { text, json: { name, ...found } };
}

async function optuna(said: ActionSaid, context: Context): Promise<Answer> {
  const view = open(said, context, "optuna");
  const place = path.resolve(said.path ?? `${view.terms.name}.optuna.log`);
  await replaceFile(place, (temporary) => {
    const descriptor = fs.openSync(temporary, "w");
    try { for (const line of optunaJournal(view)) fs.writeSync(descriptor, `${line}\n`); } finally {
      fs.closeSync(descriptor);
    }
  });
  return { text: `${place}: ${view.count} trials; look at them: optuna-dashboard ${place}`,
    json: { path: place, trials: view.count } };
}

/** An architecture's default space, objectives, samplers, pruners, and what the founding space became. */
function space({ model = "lstm", space: said = [], set = {}, pbt = false }: ActionSaid): Answer {
  const found = chooseSpace({ model, set, said, isPopulation: pbt });
  const list = (table: Readonly<Record<string, { readonly describe: string }>>): string =>
    formatTable([{ title: "name" }, { title: "what it does" }], Object.entries(table).map(([name, row]) =>
      [name, row.describe]));
  const titles = ["objective", "", "unit", "what it is"].map((title) => ({ title }));
  const objectives = formatTable(titles, OBJECTIVE_NAMES.map((name) => [name, OBJECTIVES[name].direction,
    OBJECTIVES[name].unit, OBJECTIVES[name].describe]));
  const fixed = Object.entries(hyperparametersOf(architectureNamed(model)))
    .filter(([name]) => !settingsNames(found).includes(name)).map(([name]) => name);
  const text = [`search space of ${model} (others: ${Object.keys(ARCHITECTURES).join(", ")})`, "",
    spaceTable(found), "", wrap(`not searched unless asked for: ${fixed.join(", ")}`), "",
    "objectives of networks", "", objectives, "", undefinedText(), "",
    "samplers (--sampler NAME:setting=value,...)", "", list(SAMPLERS), "",
    "pruners (--pruner)", "", list(PRUNERS), "",
    `the ${SPACE_NOTES.length} keys of the founding document's space`, "", spaceNotesText()].join("\n");
  return { text, json: found };
}

/** When a trial does not have them, and is infeasible. */
function undefinedText(): string {
  const names = Map.groupBy(OBJECTIVE_NAMES, (name) => OBJECTIVES[name].undefinedWhen);
  return [...names].filter(([when]) => when !== "never").map(([when, whose]) =>
    wrap(`undefined where ${when}: ${whose.join(", ")}`)).join("\n");
}

const settingsNames = (found: Space): string[] =>
  Object.entries(found).map(([name, { setting }]) => setting ?? name);

function spaceTable(found: Space): string {
  return formatTable([{ title: "parameter" }, { title: "range" }, { title: "when" }],
    Object.entries(found).map(([name, one]) => [one.setting ?? name, rangeText(one),
      one.when === undefined ? "" : `${one.when.parameter} is ${one.when.is.join(", ")}`]));
}

const rangeText = (one: Parameter): string => one.kind === "choice" ? one.choices.join(", ")
  : [`${one.low} to ${one.high}`, one.kind, ...(one.isLog === true ? ["logarithmic"] : []),
    ...(one.step === undefined ? [] : [`step ${one.step}`])].join(", ");

/** At blanks, to fit a terminal. */
const wrap = (text: string): string => text.replace(/(.{1,96})(?: |$)/g, "$1\n").trimEnd();
