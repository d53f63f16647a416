/**
 * What was typed -> the terms of a study. Everything that decides its result is in the terms, and they are
 * the first record of its journal: whoever goes on needs nothing else.
 */
import { availableParallelism } from "node:os";
import { architectureNamed } from "../../../models/index.ts";
import type { Context } from "../../base/context.ts";
import { UserError } from "../../base/error.ts";
import { readManifest } from "../../market/store.ts";
import { settingsOf } from "../../train/settings.ts";
import { completeSettings } from "../../tune/choice.ts";
import { PRUNERS } from "../../tune/pruners/pruners.ts";
import { SAMPLERS } from "../../tune/samplers/samplers.ts";
import type { Choice, Terms } from "../../tune/study.ts";
import type { TrainRequest } from "../train-plan.ts";
import { checkSettings } from "../train-plan.ts";
import { codeVersion, TRAIN_DEFAULTS } from "../train-export.ts";
import { bindTrainable, planOf, readSource } from "../train-source.ts";
import { calibrate } from "./measure-inference.ts";
import { beforeTest, cutter, PARTS_MAX, type NetworkWork } from "./network-work.ts";
import { chooseObjectives, objectiveOf } from "./objectives.ts";
import { chooseSpace } from "./spaces.ts";
import { loadUserStudy, userWork, type UserWork } from "./user-study.ts";

/** As said on the command line; what was not said is undefined. */
export interface TuneSaid {
  readonly request: { readonly [K in keyof Omit<TrainRequest, "seeds" | "trials">]?:
    TrainRequest[K] | undefined };
  /** A file that exports a study of anything; else networks. */
  readonly objective?: string | undefined;
  readonly objectives?: readonly string[] | undefined;
  readonly space?: readonly string[] | undefined;
  readonly limits?: Readonly<Record<string, number | string>> | undefined;
  readonly parts?: number | undefined;
  /** "nsga3:population=80" */
  readonly sampler?: string | undefined;
  readonly pruner?: string | undefined;
  readonly trials?: number | undefined;
  readonly seed?: number | undefined;
  readonly lag?: number | undefined;
}
export type StudyWork = NetworkWork | UserWork;

const TRIALS = 100;
const OBJECTIVES_DEFAULT = ["sharpe", "maxDrawdown"];
const PARTS = 2;
/** Epochs of an interval of a population, and of a whole trial, unless said. */
const INTERVAL = 5, EPOCHS = 100;
/** Further attempts after a worker was lost. */
const RETRIES = 3;
/**
 * Steps of a whole trial to those of the first decision: rungs at a sixth and a half, if eta is 3, so that a
 * ninth of the trials are run to their end; with rungs from the first step on it would be two or three.
 */
const FIRST_RUNG = 6;
/** Reports of a trial that nothing prunes. */
const REPORTS = 20;

/** What people call them, and what they are here. */
const ALIASES: Readonly<Record<string, string>> = { asha: "directions", pbt: "population", nsgaiii: "nsga3" };

/** "nsga3:population=80,eta=20". UserError for what the table does not have. */
export function parseChoice(kind: string, table: Parameters<typeof completeSettings>[1],
  text: string, defaults: Choice["settings"] = {}): Choice {
  const [word, ...rest] = text.split(":"), name = ALIASES[word] ?? word;
  const said = Object.fromEntries(rest.join(":").split(",").filter((part) => part !== "").map((part) => {
    const [key, value = ""] = part.split("=", 2);
    return [key.trim(), value.trim() === "" || Number.isNaN(Number(value)) ? value : Number(value)];
  }));
  const declared = table[name]?.settings ?? {};
  const own = Object.fromEntries(Object.entries(defaults).filter(([key]) => Object.hasOwn(declared, key)));
  // With all defaults, so that another version's cannot change a study that is there.
  return { name, settings: completeSettings(kind, table, { name, settings: { ...own, ...said } }) };
}

/** How many workers a study can keep busy decides the threads of each. */
export interface TermsOptions {
  readonly name: string;
  readonly said: TuneSaid;
  readonly workers: number;
  /** The terms that are there under this name: what was measured or chosen for this machine holds on. */
  readonly begun: Terms | null;
}

/** UserError for whatever is wrong with what was said, the data, or both. */
export async function termsOf(options: TermsOptions, context: Context): Promise<Terms> {
  const { said } = options;
  return said.objective === undefined ? await networkTerms(options, context) : await userTerms(options);
}

type Chosen = Pick<Terms, "sampler" | "pruner" | "seed" | "trials" | "lag" | "retries">;

function searchTerms({ said, begun }: TermsOptions, objectives: number, stepsMax: number): Chosen {
  if (said.trials === 0) throw new UserError("a study has one trial at least", "for example: --trials 40");
  const fallback = objectives === 1 ? "tpe" : "nsga3";
  const sampler = parseChoice("sampler", SAMPLERS, said.sampler ?? fallback);
  const pruner = said.pruner === undefined || said.pruner === "none" ? null
    : parseChoice("pruner", PRUNERS, said.pruner,
      { minSteps: Math.max(1, Math.floor(stepsMax / FIRST_RUNG)) });
  if (sampler.name === "population" && pruner !== null) {
    throw new UserError("a population replaces its worst members by itself",
      "leave out one of --pbt and --pruner");
  }
  return { sampler, pruner, seed: said.seed ?? 0, lag: said.lag ?? null, retries: RETRIES,
    trials: said.trials ?? begun?.trials ?? TRIALS };
}

async function networkTerms(options: TermsOptions, context: Context): Promise<Terms> {
  const { name, said, begun, workers } = options, { root } = context;
  const names = said.objectives ?? OBJECTIVES_DEFAULT, parts = said.parts ?? PARTS;
  const limits = numbersOf(said.limits ?? {});
  const objectives = chooseObjectives(names);
  const isPopulation = isPopulationOf(said), request = requestOf(said, isPopulation);
  const { epochs } = settingsOf(architectureNamed(request.model), request.set);
  const search = searchTerms(options, names.length, epochs);
  checkMeasures({ parts, limits, lag: search.lag }, names);
  const space = chooseSpace({ model: request.model, set: request.set, said: said.space ?? [], isPopulation });
  const manifest = readManifest(root, request.dataset);
  const trainable = await bindTrainable(root, manifest, request.recipe, request.features);
  const source = readSource(trainable, root, request.recipe);
  const plan = planOf(request, checkSettings(request), trainable, source, context);
  const before = begun?.work as NetworkWork | undefined, [{ testFrom }] = plan.folds;
  const work: NetworkWork = {
    kind: "network", request, features: plan.features, fingerprint: plan.fingerprint,
    recipeHash: plan.recipeHash, testFrom, parts, limits, isPopulation,
    reportEvery: search.pruner !== null ? 1 : Math.ceil(epochs / REPORTS),
    engine: before?.engine ?? plan.engine,
    // Sums of other threads are other in their last bits: where any number of workers makes one study, one.
    threads: before?.threads
      ?? (search.lag !== null ? 1 : Math.max(1, Math.floor(availableParallelism() / workers))),
    calibrationMs: before?.calibrationMs
      ?? (names.some((one) => objectiveOf(one).needs === "inference") ? calibrate() : 1),
  };
  // Whether there are rows enough is said now, not by every trial.
  cutter(beforeTest(source, testFrom), work).cut(request.set);
  return { name, objectives, space, ...search, stepsMax: epochs, work, version: codeVersion() };
}

const isPopulationOf = ({ sampler = "" }: TuneSaid): boolean =>
  parseChoice("sampler", SAMPLERS, sampler === "" ? "random" : sampler).name === "population";

function numbersOf(limits: Readonly<Record<string, number | string>>): Record<string, number> {
  return Object.fromEntries(Object.entries(limits).map(([name, value]) => {
    if (typeof value === "number" && Number.isFinite(value)) return [name, value];
    throw new UserError(`--limit ${name}=${value}: it is a number`, "for example: --limit maxDrawdown=0.2");
  }));
}

interface Measures extends Pick<NetworkWork, "parts" | "limits">, Pick<Terms, "lag"> {}

function checkMeasures({ parts, lag, limits }: Measures, names: readonly string[]): void {
  if (!Number.isInteger(parts) || parts < 1 || parts > PARTS_MAX) {
    throw new UserError(`a trial is judged on 1 to ${PARTS_MAX} parts, not ${parts}`,
      "for example: --parts 3");
  }
  if (parts < 2 && names.includes("importanceStability")) {
    throw new UserError("importanceStability compares parts, and there is one", "add --parts 3");
  }
  const clocked = names.find((name) => objectiveOf(name).needs === "inference");
  if (lag !== null && clocked !== undefined) {
    throw new UserError(`${clocked} is measured by a clock, so no two runs of a study would be the same`,
      `leave out --deterministic, or ${clocked}`);
  }
  chooseObjectives([...new Set([...names, ...Object.keys(limits)])]);
  const unmeasured = Object.keys(limits).find((name) => !names.includes(name)
    && objectiveOf(name).needs !== "returns");
  if (unmeasured !== undefined) {
    throw new UserError(`--limit ${unmeasured} needs it measured`, `add it to --objectives`);
  }
}

function requestOf({ request }: TuneSaid, isPopulation: boolean): TrainRequest {
  if (request.dataset === undefined) {
    throw new UserError("which dataset?",
      "for example: dmn tune --dataset demo --name first --objectives sharpe,maxDrawdown");
  }
  const said = Object.fromEntries(Object.entries(request).filter(([, value]) => value !== undefined));
  const set = { epochs: isPopulation ? INTERVAL : EPOCHS, ...request.set };
  return { ...TRAIN_DEFAULTS, ...said, dataset: request.dataset, set, trials: 0, seeds: 1 };
}

const toFlag = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

async function userTerms(options: TermsOptions): Promise<Terms> {
  const { name, said } = options, { objectives, space, limits, parts } = said;
  const idle = Object.entries({ objectives, space, limit: limits, parts, ...said.request })
    .find(([, value]) => value !== undefined);
  if (idle !== undefined) {
    throw new UserError(`--objective's file says all of that itself, and --${toFlag(idle[0])} is said too`,
      `leave out --${toFlag(idle[0])}, or change the file`);
  }
  const work = userWork(said.objective!), study = await loadUserStudy(work), { stepsMax = 1 } = study;
  return { name, objectives: study.objectives, space: study.space,
    ...searchTerms(options, study.objectives.length, stepsMax), stepsMax, work,
    version: codeVersion() };
}
