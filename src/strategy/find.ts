/**
 * A strategy by its name: a classical one, a trained model (`model:NAME/seed-1`, or `model:NAME`: the mean of
 * its seeds), several together (`ensemble:A,B`), or a file of the user's: `DATA-ROOT/strategies/NAME.ts`, or
 * any path. Such a file exports `strategy`: an object that fulfils Strategy, or a function that makes one.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { pathToFileURL } from "node:url";
import { messageOf, UserError } from "../base/error.ts";
import { suggestion } from "../base/suggest.ts";
import { listArtifacts, readArtifact } from "../train/artifact.ts";
import { BASELINES, type BaselineName } from "./baselines.ts";
import { ENSEMBLE_PREFIX, ensembleName, ensembleStrategy } from "./ensemble.ts";
import { MODEL_PREFIX, networkName, networkStrategy, seedsOf, type NetworkOptions } from "./network.ts";
import type { Strategy } from "./strategy.ts";

const ENDINGS = [".ts", ".mts", ".js", ".mjs"] as const;
const LOOKBACK_MAX = 10_000;
const HINT = "export const strategy = { name, description, recipe, features, lookback, decide }; "
  + "see `dmn backtest --help`";

export const strategyFolder = (root: string): string => path.join(root, "strategies");

/** Names that `--strategy` takes without a path. */
export function listStrategies(root: string): string[] {
  const folder = strategyFolder(root);
  const own = fs.existsSync(folder)
    ? fs.readdirSync(folder).filter((file) => ENDINGS.some((ending) => file.endsWith(ending)))
      .map((file) => file.slice(0, -path.extname(file).length)).sort()
    : [];
  return [...Object.keys(BASELINES), ...listArtifacts(root).map((name) => MODEL_PREFIX + name), ...own];
}

/** Throws UserError with a "did you mean" when there is none, or with what is wrong in the user's file. */
export async function findStrategy(root: string, nameOrFile: string,
  options: NetworkOptions = {}): Promise<Strategy> {
  if (nameOrFile.startsWith(ENSEMBLE_PREFIX)) {
    const { members, isAdaptive } = ensembleName(nameOrFile);
    const found = await Promise.all(members.map((member) => findStrategy(root, member, options)));
    return ensembleStrategy(found, { isAdaptive });
  }
  if (nameOrFile.startsWith(MODEL_PREFIX)) return findModel(root, nameOrFile, options);
  if (Object.hasOwn(BASELINES, nameOrFile)) return BASELINES[nameOrFile as BaselineName];
  const candidates = [nameOrFile,
    ...ENDINGS.map((ending) => path.join(strategyFolder(root), nameOrFile + ending))];
  const place = candidates.find((file) => fs.existsSync(file) && fs.statSync(file).isFile());
  if (place === undefined) {
    const isPath = /[/\\]|\.[cm]?[tj]s$/.test(nameOrFile);
    throw new UserError(isPath ? `there is no strategy file ${nameOrFile}`
      : `there is no strategy "${nameOrFile}"`,
      isPath ? HINT : `${suggestion(nameOrFile, listStrategies(root))} A strategy of your own is a file in `
        + strategyFolder(root));
  }
  return loadStrategy(path.resolve(place));
}

/** One of a model's networks; all of them, averaged, when no seed is named. */
function findModel(root: string, asked: string, options: NetworkOptions): Strategy {
  const name = networkName(asked);
  const seeds = name.seed === null ? seedsOf(readArtifact(root, name.artifact)) : [];
  if (seeds.length < 2) return networkStrategy(root, name, options);
  const networks = seeds.map((seed) => networkStrategy(root, { ...name, seed }, options));
  return ensembleStrategy(networks, { name: asked });
}

async function loadStrategy(place: string): Promise<Strategy> {
  let exported: unknown;
  try {
    exported = (await import(pathToFileURL(place).href) as { strategy?: unknown }).strategy;
    if (typeof exported === "function") exported = await (exported as () => unknown)();
  } catch (error) {
    throw new UserError(`the strategy in ${place} cannot be loaded: ${messageOf(error)}`, HINT,
      { cause: error });
  }
  const fault = faultOf(exported);
  if (fault !== null) throw new UserError(`the strategy in ${place} ${fault}`, HINT);
  return exported as Strategy;
}

/** What an object lacks to be a Strategy, or null. */
function faultOf(exported: unknown): string | null {
  if (typeof exported !== "object" || exported === null) return "is missing: the file exports no `strategy`";
  const one = exported as Partial<Record<keyof Strategy, unknown>>;
  for (const name of ["name", "description", "recipe"] as const) {
    if (typeof one[name] !== "string" || one[name] === "") return `has no ${name}: it must be a text`;
  }
  if (!Array.isArray(one.features) || one.features.length === 0
    || !one.features.every((name) => typeof name === "string")) {
    return "has no features: it must be a list of feature names";
  }
  const { lookback } = one;
  if (!Number.isInteger(lookback) || Number(lookback) < 1 || Number(lookback) > LOOKBACK_MAX) {
    return `has the lookback ${JSON.stringify(lookback) ?? "undefined"}: `
      + `it must be a whole number from 1 to ${LOOKBACK_MAX}`;
  }
  return typeof one.decide === "function" ? null : "has no decide(batch)";
}
