/**
 * What a training is, before anything runs: all that decides its result, and nothing else. It is
 * written first, as models/NAME/plan.json, and a rerun must have the same one.
 *
 *   request ─> Plan { settings, data, folds } ─ unitsOf ─> each fold's trials, then its seeds
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { z } from "zod";
import { gridFor, gridSize, drawSettings, settingsOf } from "../train/settings.ts";
import { ARCHITECTURES, architectureNamed } from "../../models/index.ts";
import { quoted } from "../base/command-line.ts";
import { places } from "../base/data-root.ts";
import { messageOf, UserError } from "../base/error.ts";
import { hashOf, replaceWith } from "../base/file.ts";
import { suggestion } from "../base/suggest.ts";
import type { Settings } from "../nn/hyperparameter.ts";
import type { Architecture } from "../nn/model.ts";
import { MODES, type Mode, type FoldArtifact } from "../train/artifact.ts";

export const PLAN_FILE = "plan.json";

/** As said on the command line, each with its default filled in. */
export interface TrainRequest {
  readonly dataset: string;
  readonly recipe: string;
  readonly model: string;
  readonly set: Settings;
  readonly windows: readonly number[];
  readonly windowYears: number | null;
  /** First day trained on and last day tested, YYYY-MM-DD; null: all there are. */
  readonly from: string | null;
  readonly to: string | null;
  /** Inputs by name; empty: those of the recipe that have no scale of their own. */
  readonly features: readonly string[];
  readonly seeds: number;
  /** Settings tried in each fold before its seeds; 0: none. */
  readonly trials: number;
  /** Rows left out between training and test. */
  readonly embargo: number;
  readonly mode: Mode;
}

/** One test period and the rows before it: what is known of a fold before it is trained. */
export interface PlannedFold extends Omit<FoldArtifact, "settings" | "seeds" | "trials" | "importance"> {
  /** Instruments with less than one sequence. */
  readonly leftOut: readonly string[];
}

export interface Plan {
  readonly request: TrainRequest;
  /** All of them, chosen. */
  readonly settings: Settings;
  /** T */
  readonly lookback: number;
  readonly fingerprint: string;
  readonly recipeHash: string;
  readonly features: readonly string[];
  readonly symbols: readonly string[];
  readonly timeframe: string;
  readonly calendar: string;
  readonly periodsPerYear: number;
  readonly volatilityTarget: number;
  readonly isSynthetic: boolean;
  readonly folds: readonly PlannedFold[];
  /**
   * Threads of one fit, and what runs it: part of the plan, because others take sums in another order. Who
   * goes on elsewhere keeps to them.
   */
  readonly threads: { readonly trial: number; readonly seed: number };
  readonly engine: "native" | "ort";
}

/** One call of `fit`. */
export interface Unit {
  readonly kind: "trial" | "seed";
  /** Index in `folds`. */
  readonly fold: number;
  /** Of the trial or the seed. */
  readonly index: number;
}

/** "folds/1995/seed-0", the unit's folder within the artifact's. */
export const unitFolder = (plan: Plan, { kind, fold, index }: Unit): string =>
  `folds/${plan.folds[fold].name}/${kind}-${kind === "trial" ? String(index).padStart(3, "0") : index}`;

export const unitName = (plan: Plan, { kind, fold, index }: Unit): string =>
  `fold ${plan.folds[fold].name}, ${kind} ${index}`;

/** Every fit of the plan: a fold's trials before its seeds, folds in order. */
export const unitsOf = ({ folds, request }: Plan): Unit[] => folds.flatMap((_, fold) =>
  (["trial", "seed"] as const).flatMap((kind) =>
    Array.from({ length: kind === "trial" ? request.trials : request.seeds }, (__, index) =>
      ({ kind, fold, index }))));

/** Settings of a trial: the user's, with some drawn from the papers' grid. What the user set is not drawn. */
export function trialSettings({ request, settings }: Pick<Plan, "request" | "settings">, fold: number,
  trial: number): Settings {
  return { ...settings, ...drawSettings(openGrid(request), fold, trial) };
}

function openGrid({ model, set }: Pick<TrainRequest, "model" | "set">): ReturnType<typeof gridFor> {
  const grid = gridFor(architectureNamed(model));
  return Object.fromEntries(Object.entries(grid).filter(([name]) => !Object.hasOwn(set, name)));
}

/** UserError for an unknown architecture or setting, more trials than settings, and no state to carry. */
export function checkSettings(request: TrainRequest): { settings: Settings; lookback: number } {
  const architecture = architectureNamed(request.model);
  const settings = settingsOf(architecture, request.set);
  const lookback = settings.lookback === 0 ? architecture.lookback : settings.lookback;
  const size = gridSize(openGrid(request));
  if (request.trials > size) {
    throw new UserError(`there are only ${size} different settings to try, not ${request.trials}`,
      `--trials ${size}, or leave more of them open in --set`);
  }
  if (request.mode === "carry") checkCarried(architecture, settings, lookback);
  return { settings, lookback };
}

function checkCarried({ name, hasState }: Architecture, { stride }: Settings,
  lookback: number): void {
  if (!hasState) {
    const able = Object.values(ARCHITECTURES).filter((one) => one.hasState).map((one) => one.name);
    throw new UserError(`model ${name} has no state to carry from bar to bar`,
      `leave out --mode carry, or choose --model ${able.join(" or ")}`);
  }
  if (stride !== 0 && stride !== lookback) {
    throw new UserError(`a state is not carried between sequences that overlap (stride ${stride})`,
      "leave out --set stride, or --mode carry");
  }
}

export const planHash = (plan: Plan): string => hashOf(canonical(plan));

/** JSON with sorted keys: equal plans, equal text. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner);
}

const settingsSchema = z.record(z.string(), z.union([z.number(), z.string()]));
const planSchema: z.ZodType<Plan> = z.strictObject({
  request: z.strictObject({
    dataset: z.string(), recipe: z.string(), model: z.string(), set: settingsSchema,
    windows: z.array(z.int()),
    windowYears: z.int().nullable(), from: z.string().nullable(), to: z.string().nullable(),
    features: z.array(z.string()), seeds: z.int(), trials: z.int(), embargo: z.int(), mode: z.enum(MODES),
  }),
  settings: settingsSchema, lookback: z.int(), fingerprint: z.string(), recipeHash: z.string(),
  features: z.array(z.string()), symbols: z.array(z.string()), timeframe: z.string(), calendar: z.string(),
  periodsPerYear: z.number(), volatilityTarget: z.number(), isSynthetic: z.boolean(),
  folds: z.array(z.strictObject({
    name: z.string(), trainFrom: z.string(), trainTo: z.string(), testFrom: z.string(), testTo: z.string(),
    trainDays: z.int(), trainRows: z.int(), validationRows: z.int(), leftOut: z.array(z.string()),
  })),
  threads: z.strictObject({ trial: z.int(), seed: z.int() }), engine: z.enum(["native", "ort"]),
});

/** The plan of a training that was begun under this name; null when there is none. */
export function readPlan(root: string, name: string): Plan | null {
  const place = path.join(places.model(root, name), PLAN_FILE);
  if (!fs.existsSync(place)) return null;
  const damaged = (reason: string): UserError => new UserError(`${place} is damaged: ${reason}`,
    "restore it from a backup, or train anew: add --force to the command that began it");
  let parsed: { hash?: string; plan?: unknown };
  try { parsed = JSON.parse(fs.readFileSync(place, "utf8")) as typeof parsed; } catch (error) {
    throw damaged(messageOf(error));
  }
  const result = planSchema.safeParse(parsed.plan);
  if (!result.success) throw damaged("it is not what dmn train-export writes");
  if (planHash(result.data) !== parsed.hash) throw damaged("its hash does not match what it says");
  return result.data;
}

export async function writePlan(root: string, name: string, plan: Plan): Promise<void> {
  await replaceWith(path.join(places.model(root, name), PLAN_FILE),
    `${JSON.stringify({ hash: planHash(plan), plan }, null, 1)}\n`);
}

/** Refuses to go on with a training that was begun as something else: says the first difference. */
export function checkSamePlan(name: string, begun: Plan, asked: Plan): void {
  const now = { ...asked, threads: begun.threads, engine: begun.engine };
  if (planHash(begun) === planHash(now)) return;
  const anew = `or train anew and lose what is there: add --force`;
  if (begun.recipeHash !== now.recipeHash && begun.request.recipe === now.request.recipe) {
    throw new UserError(`recipe "${now.request.recipe}" is not the one that model "${name}" was begun with `
      + `(hash ${now.recipeHash.slice(0, 12)} instead of ${begun.recipeHash.slice(0, 12)})`,
    `restore the recipe, choose another --name, ${anew}`);
  }
  if (begun.fingerprint !== now.fingerprint && begun.request.dataset === now.request.dataset) {
    throw new UserError(`dataset "${now.request.dataset}" has changed since model "${name}" was begun`,
      `restore the dataset, choose another --name, ${anew}`);
  }
  const [what, was, is] = firstDifference(begun, now);
  throw new UserError(`model "${name}" was begun with other settings: ${what} is ${was} there, not ${is}`,
    `go on with those: dmn train-export --name ${quoted(name)} --resume; or choose another --name, ${anew}`);
}

function firstDifference(begun: Plan, now: Plan): [string, string, string] {
  const flat = ({ request, settings, ...rest }: Plan): Record<string, unknown> =>
    ({ ...request, set: null, ...settings, ...rest });
  const a = flat(begun), b = flat(now);
  const key = [...new Set([...Object.keys(a), ...Object.keys(b)])].find((one) =>
    canonical(a[one]) !== canonical(b[one]));
  const say = (value: unknown): string =>
    typeof value === "string" ? value : JSON.stringify(value ?? "not said");
  if (key === undefined) return ["--set", say(begun.request.set), say(now.request.set)];
  return [key, say(a[key]), say(b[key])];
}

/** Inputs: those named, else all that are without a scale of their own, else all. */
export function chooseFeatures(named: readonly string[],
  columns: readonly { readonly name: string; readonly unit: string; readonly role: "input" | "target" }[],
  recipe: string): string[] {
  const inputs = columns.filter(({ role }) => role === "input");
  const names = inputs.map(({ name }) => name);
  const unknown = named.find((name) => !names.includes(name));
  if (unknown !== undefined) {
    const isTarget = columns.some(({ name }) => name === unknown);
    throw new UserError(isTarget ? `"${unknown}" is the target: it reads the next bar and is never an input`
      : `recipe "${recipe}" has no column "${unknown}"`, suggestion(unknown, names));
  }
  if (named.length > 0) return [...new Set(named)];
  const free = inputs.filter(({ unit }) => unit === "standard deviations").map(({ name }) => name);
  return free.length > 0 ? free : names;
}
