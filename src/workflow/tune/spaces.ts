/**
 * What is searched of an architecture when nothing else is said, and how to say something else.
 *
 *   declared hyperparameters (models/, TRAINING) ─ ranges worth trying ─> Space ─ --set, --space ─>
 *
 *   --set hidden=40                        fixed: not searched
 *   --space learningRate=1e-4..1e-2:log    a range; :log, :integer, :step=0.1
 *   --space hidden=20,40,80                choices
 *   --space space.json                     a whole space, in the form that `dmn tune space --json` prints
 */
import * as fs from "node:fs";
import { architectureNamed } from "../../../models/index.ts";
import { messageOf, UserError } from "../../base/error.ts";
import { suggestion } from "../../base/suggest.ts";
import type { Hyperparameter, Settings } from "../../nn/hyperparameter.ts";
import type { Architecture } from "../../nn/model.ts";
import { hyperparametersOf, PAPER_GRID } from "../../train/settings.ts";
import { checkSpace, type Parameter, type Space } from "../../tune/space.ts";

type Value = number | string;
const choice = (...choices: readonly Value[]): Parameter => ({ kind: "choice", choices });
const float = (low: number, high: number, isLog = false): Parameter =>
  ({ kind: "float", low, high, ...(isLog ? { isLog } : {}) });
const integer = (low: number, high: number, isLog = false): Parameter =>
  ({ kind: "integer", low, high, ...(isLog ? { isLog } : {}) });

/** Ranges worth trying on a CPU; what is not here is not searched unless it is asked for. */
const RANGES: Readonly<Record<string, Parameter>> = {
  hidden: integer(5, 160, true), layers: integer(1, 3), rows: integer(1, 21, true),
  feedForward: integer(1, 4), positions: choice("sinusoidal", "learned"), dropout: float(0, 0.5),
  learningRate: float(1e-4, 1e-1, true), batch: choice(32, 64, 128, 256), clip: float(0.01, 100, true),
  decay: float(1e-6, 1e-2, true),
};

/** What a population changes on the way: nothing that would be another network. */
const FED = ["dropout", "learningRate", "clip", "decay", "turnoverWeight", "riskWeight", "volatilityWeight"];

/**
 * Heads that do not divide the width are a conditional space: widths with the same dividing heads share one
 * parameter of them, and each of these sets `attentionHeads`.
 */
export function dividingHeads(width: string, widths: readonly number[], heads: readonly number[]): Space {
  const groups = new Map<string, number[]>();
  for (const one of widths) {
    const key = heads.filter((count) => one % count === 0).join("_");
    groups.set(key, [...groups.get(key) ?? [], one]);
  }
  const conditional = [...groups].map(([key, is]): [string, Parameter] => {
    const dividing = choice(...key.split("_").map(Number));
    return groups.size === 1 ? ["attentionHeads", dividing] : [`attentionHeads_${is.join("_")}`,
      { ...dividing, setting: "attentionHeads", when: { parameter: width, is } }];
  });
  return { [width]: choice(...widths), ...Object.fromEntries(conditional) };
}

const HEADS = [1, 2, 4, 8];
const WIDTHS: Readonly<Record<string, readonly number[]>> = {
  hidden: (PAPER_GRID.hidden as readonly number[]).slice(1), width: [16, 32, 64, 128] };

/** The space of an architecture: its own hyperparameters, then those of training. */
export function spaceOf(architecture: Architecture, { isPopulation = false } = {}): Space {
  const { hyperparameters } = architecture, names = Object.keys(hyperparametersOf(architecture));
  const wide = Object.hasOwn(hyperparameters, "attentionHeads")
    ? Object.keys(WIDTHS).find((name) => Object.hasOwn(hyperparameters, name)) : undefined;
  const parts = names.map((name): Space => {
    if (isPopulation && !FED.includes(name)) return {};
    if (name === wide) return dividingHeads(name, WIDTHS[name], HEADS);
    return Object.hasOwn(RANGES, name) ? { [name]: clipped(RANGES[name], hyperparameters[name]) } : {};
  });
  return Object.assign({}, ...parts) as Space;
}

/** A range within what the architecture allows. */
function clipped(one: Parameter, declared: Hyperparameter | undefined): Parameter {
  if (one.kind === "choice" || declared === undefined || declared.kind === "choice") return one;
  return { ...one, low: Math.max(one.low, declared.min), high: Math.min(one.high, declared.max) };
}

export interface SpaceRequest {
  readonly model: string;
  /** Fixed. */
  readonly set: Settings;
  /** As said: a file, or NAME=RANGE each. */
  readonly said: readonly string[];
  readonly isPopulation: boolean;
}

/**
 * The space of a study: the default one, or a file's, with what was said over it and without what is fixed.
 * UserError for a hyperparameter that the model does not have, values that it refuses, and a population's
 * that would be another network.
 */
export function chooseSpace({ model, set, said, isPopulation }: SpaceRequest): Space {
  const architecture = architectureNamed(model);
  const files = said.filter((one) => !one.includes("="));
  const ranges = said.filter((text) => text.includes("=")).map(parseRange);
  const twice = ranges.map(([name]) => name).find((name, k, all) =>
    all.indexOf(name) < k || Object.hasOwn(set, name));
  if (twice !== undefined) {
    throw new UserError(`${twice} is said twice`, `say it once: --set ${twice}=... or --space ${twice}=...`);
  }
  let space = files.length === 0 ? spaceOf(architecture, { isPopulation }) : readSpace(files.at(-1)!);
  for (const [name, one] of ranges) {
    const isWidth = Object.hasOwn(WIDTHS, name) && one.kind === "choice"
      && Object.hasOwn(architecture.hyperparameters, "attentionHeads");
    space = isWidth
      ? { ...without(without(space, name), "attentionHeads"), ...dividingHeads(name, numbersOf(one), HEADS) }
      : replaced(space, name, one);
  }
  for (const name of Object.keys(set)) space = without(space, name);
  checkSpace(space);
  checkSettings(architecture, space);
  const shape = Object.keys(space).find((name) => !FED.includes(space[name].setting ?? name));
  if (isPopulation && shape !== undefined) {
    throw new UserError(`a population cannot change ${shape} on the way: that would be another network`,
      `fix it (--set ${shape}=...) or search it without --pbt; it may change ${FED.join(", ")}`);
  }
  return space;
}

/** In its place where it has one. */
function replaced(space: Space, name: string, one: Parameter): Space {
  const rest = without(space, name);
  return !Object.hasOwn(space, name) ? { ...rest, [name]: one }
    : Object.fromEntries(Object.entries({ ...space, [name]: one }).filter(([other]) =>
      other === name || Object.hasOwn(rest, other)));
}

const numbersOf = (one: Parameter & { kind: "choice" }): number[] => one.choices.map(Number);

/** Without what sets it, and without what depends on that. */
function without(space: Space, setting: string): Space {
  const gone = new Set<string>();
  for (const [name, one] of Object.entries(space)) {
    if ((one.setting ?? name) === setting || name === setting
      || (one.when !== undefined && gone.has(one.when.parameter))) gone.add(name);
  }
  return Object.fromEntries(Object.entries(space).filter(([name]) => !gone.has(name)));
}

function readSpace(place: string): Space {
  const remedy = "`dmn tune space --model lstm --json` prints one to begin with";
  let text: string;
  try { text = fs.readFileSync(place, "utf8"); } catch (error) {
    throw new UserError(`cannot read the search space ${place}: ${messageOf(error)}`, remedy);
  }
  try {
    const parsed = JSON.parse(text) as Space;
    if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) return parsed;
  } catch (error) {
    throw new UserError(`${place} is not valid JSON: ${messageOf(error)}`, remedy);
  }
  throw new UserError(`${place} must hold one JSON object of parameters`, remedy);
}

/** "hidden=20,40,80", "layers=1..3:integer", "learningRate=1e-4..1e-2:log", "dropout=0..0.5:step=0.1". */
export function parseRange(text: string): [string, Parameter] {
  const [, name, body] = /^([A-Za-z]\w*)=(.+)$/.exec(text) ?? refuse(text);
  const [range, ...words] = body.split(":"), ends = range.split("..");
  if (ends.length === 1 && words.length === 0) {
    return [name, choice(...range.split(",").map((one) => numberOr(one.trim())))];
  }
  const [low, high] = ends.map(Number), step = words.find((word) => word.startsWith("step="))?.slice(5);
  const known = words.every((word) => word === "log" || word === "integer" || word.startsWith("step="));
  if (ends.length !== 2 || !known || ends.includes("") || Number.isNaN(low + high)) return refuse(text);
  return [name, { kind: words.includes("integer") ? "integer" : "float", low, high,
    ...(words.includes("log") ? { isLog: true } : {}),
    ...(step === undefined ? {} : { step: Number(step) }) }];
}

const numberOr = (text: string): Value => text === "" || Number.isNaN(Number(text)) ? text : Number(text);

function refuse(text: string): never {
  throw new UserError(`--space ${text} is neither a range nor a file`,
    "for example: --space hidden=20,40,80 --space layers=1..3:integer --space learningRate=1e-4..1e-2:log");
}

/** Settings that are of a trial's data rather than of its network. */
const OF_DATA = ["inputs"];

function checkSettings(architecture: Architecture, space: Space): void {
  const declared = hyperparametersOf(architecture);
  for (const [parameter, one] of Object.entries(space)) {
    const name = one.setting ?? parameter;
    if (OF_DATA.includes(name)) continue;
    if (!Object.hasOwn(declared, name)) {
      throw new UserError(`${architecture.name} has no hyperparameter "${name}"`,
        suggestion(name, [...Object.keys(declared), ...OF_DATA]));
    }
    const odd = edges(one).find((value) => !accepts(declared[name], value));
    if (odd !== undefined) {
      throw new UserError(`search space: ${architecture.name} takes no ${name} of ${odd}`, limitsText(name,
        declared[name]));
    }
    if (declared[name].kind === "integer" && one.kind === "float") {
      throw new UserError(`search space: ${name} is a whole number`,
        `--space ${name}=${one.low}..${one.high}:integer`);
    }
  }
}

const edges = (one: Parameter): readonly Value[] => one.kind === "choice" ? one.choices : [one.low, one.high];

function accepts(declared: Hyperparameter, value: Value): boolean {
  if (declared.kind === "choice") return declared.choices.includes(String(value));
  return typeof value === "number" && value >= declared.min && value <= declared.max
    && (declared.kind === "number" || Number.isInteger(value));
}

const limitsText = (name: string, one: Hyperparameter): string => one.kind === "choice"
  ? `${name} is one of ${one.choices.join(", ")}` : `${name} is from ${one.min} to ${one.max}`;
