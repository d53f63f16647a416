/**
 * A recipe says which features, with which parameters, in which order. It is data: built in
 * (recipes.ts), or a JSON file of the user's. Its hash names the numbers it makes: equal hash,
 * equal bars, equal bits.
 *
 *   { "name": "mine", "features": [{ "family": "rsi", "windows": [14, 28] }, { "family": "my_own" }] }
 *
 * A family that is not built in is looked for as `features/NAME.ts` (or .js, .mjs) in the data
 * root: a module whose default export has `summary`, `inputs`, `defaults` (the parameters) and
 * `make(parameters, market)`, which returns a Feature. `dmn features --verify` holds it to the
 * tests that our own families must pass.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { pathToFileURL } from "node:url";
import { z } from "zod";
import { isName } from "../base/data-root.ts";
import { messageOf, UserError } from "../base/error.ts";
import { hashFile, hashOf } from "../base/file.ts";
import { suggestion } from "../base/suggest.ts";
import { COLUMNS, type ColumnName } from "../market/bars.ts";
import { FAMILIES } from "./families.ts";
import { family as declareFamily, type Family, type Market } from "./family.ts";
import type { Feature } from "./feature.ts";
import { RECIPES, type RecipeFeature } from "./recipes.ts";

export interface RecipePart {
  readonly name: string;
  readonly family: Family;
  /** Complete: defaults filled in. */
  readonly parameters: Readonly<Record<string, unknown>>;
}

export interface Recipe {
  readonly name: string;
  readonly parts: readonly RecipePart[];
  /** SHA-256 of the parameters and family versions, hexadecimal. */
  readonly hash: string;
}

const LIST = "see all families and their parameters with: dmn features --list";
const EXTENSIONS = [".ts", ".js", ".mjs"];
const FEATURES_MAX = 512;

const recipeSchema = z.strictObject({
  name: z.string().refine(isName, "letters, digits, dot, dash or underscore, at most 64").optional(),
  features: z.array(z.looseObject({ family: z.string() })).min(1).max(FEATURES_MAX),
});

/**
 * Reads a recipe by its name, or from a JSON file (a path, or NAME.json in the data root or its
 * recipes/ folder).
 */
export async function readRecipe(root: string, nameOrFile: string): Promise<Recipe> {
  if (Object.hasOwn(RECIPES, nameOrFile)) {
    return await makeRecipe(root, nameOrFile, RECIPES[nameOrFile]);
  }
  const place = recipePlace(root, nameOrFile);
  if (place !== null) return await readRecipeFile(root, place);
  if (isName(nameOrFile) && userFamilyPlace(root, nameOrFile) !== null) {
    return await makeRecipe(root, nameOrFile, [{ family: nameOrFile }]);
  }
  throw new UserError(`there is no recipe "${nameOrFile}"`,
    `${suggestion(nameOrFile, [...Object.keys(RECIPES), ...userFamilies(root)])} A recipe is a name, `
    + `or a JSON file such as {"features":[{"family":"return"}]}; ${LIST}`);
}

function recipePlace(root: string, nameOrFile: string): string | null {
  const file = nameOrFile.endsWith(".json") ? nameOrFile : `${nameOrFile}.json`;
  const places = [path.resolve(file), path.resolve(root, file), path.resolve(root, "recipes", file)];
  return places.find((place) => fs.existsSync(place) && fs.statSync(place).isFile()) ?? null;
}

async function readRecipeFile(root: string, place: string): Promise<Recipe> {
  let content: unknown;
  try { content = JSON.parse(fs.readFileSync(place, "utf8")); } catch (error) {
    throw new UserError(`${place} is not valid JSON: ${messageOf(error)}`,
      "mend the recipe and run the same command again");
  }
  const result = recipeSchema.safeParse(content);
  if (!result.success) {
    throw new UserError(`the recipe ${place} is not valid: ${issueText(result.error)}`,
      'it must look like {"name": "mine", "features": [{"family": "return"}]}');
  }
  const name = result.data.name ?? path.basename(place, ".json");
  if (Object.hasOwn(RECIPES, name)) {
    throw new UserError(`the recipe ${place} has the name "${name}", which is built in`,
      'give it another "name"');
  }
  if (!isName(name)) {
    throw new UserError(`the recipe ${place} has no usable name`, 'add "name": "mine" to it');
  }
  return await makeRecipe(root, name, result.data.features);
}

async function makeRecipe(root: string, name: string,
  features: readonly RecipeFeature[]): Promise<Recipe> {
  const parts: RecipePart[] = [];
  for (const { family: familyName, ...parameters } of features) {
    const found = await findFamily(root, familyName);
    const complete = checkParameters(familyName, found, parameters);
    parts.push({ name: familyName, family: found, parameters: complete });
  }
  const content = parts.map(({ name: part, family: { source, version }, parameters }) =>
    [part, source ?? "", version, parameters]);
  return { name, parts, hash: hashOf(canonicalJson(content)) };
}

type Parameters = Record<string, unknown>;

function checkParameters(name: string, family: Family, given: Parameters): Parameters {
  const result = family.parameters.safeParse(given);
  if (result.success) return result.data;
  const known = Object.keys(family.parameters.shape);
  const issue = result.error.issues[0];
  if (issue.code === "unrecognized_keys") {
    throw new UserError(`feature family "${name}" has no parameter "${issue.keys[0]}"`,
      known.length === 0 ? "it takes no parameters" : suggestion(issue.keys[0], known));
  }
  throw new UserError(`feature family "${name}": ${issueText(result.error)}`, LIST);
}

function issueText(error: z.ZodError): string {
  const issue = error.issues[0];
  return issue.path.length === 0 ? issue.message : `"${issue.path.join(".")}": ${issue.message}`;
}

/** A family of the table, else of the user's features/ folder. */
export async function findFamily(root: string, name: string): Promise<Family> {
  if (Object.hasOwn(FAMILIES, name)) return (FAMILIES as Readonly<Record<string, Family>>)[name];
  const place = isName(name) ? userFamilyPlace(root, name) : null;
  if (place !== null) return await loadUserFamily(name, place);
  throw new UserError(`there is no feature family "${name}"`,
    `${suggestion(name, [...Object.keys(FAMILIES), ...userFamilies(root)])} ${LIST}`);
}

function userFamilyPlace(root: string, name: string): string | null {
  const places = EXTENSIONS.map((extension) => path.join(root, "features", name + extension));
  return places.find((place) => fs.existsSync(place)) ?? null;
}

/** Names of the families in the data root's features/ folder. */
export function userFamilies(root: string): string[] {
  const folder = path.join(root, "features");
  if (!fs.existsSync(folder)) return [];
  const names = fs.readdirSync(folder).filter((file) => EXTENSIONS.includes(path.extname(file)))
    .map((file) => path.basename(file, path.extname(file)));
  return [...new Set(names)].filter(isName).sort();
}

/** What a user's file exports as default. */
export interface UserFamily {
  readonly summary: string;
  readonly inputs: readonly ColumnName[];
  /** Parameters and their defaults. A recipe may change a value, not its type. */
  readonly defaults?: Readonly<Record<string, number | string | boolean | readonly number[]>>;
  make(parameters: Readonly<Record<string, unknown>>, market: Market): Feature;
}

const parameterValue = z.union([z.number(), z.string(), z.boolean(), z.array(z.number())]);
const userFamilySchema = z.object({
  summary: z.string(),
  inputs: z.array(z.enum(Object.keys(COLUMNS) as [ColumnName, ...ColumnName[]])).min(1),
  defaults: z.record(z.string(), parameterValue).default({}),
  make: z.custom<UserFamily["make"]>((value) => typeof value === "function", "must be a function"),
});

async function loadUserFamily(name: string, place: string): Promise<Family> {
  let module: { readonly default?: unknown };
  const source = hashFile(place);
  try {
    module = await import(`${pathToFileURL(place).href}?${source}`) as { default?: unknown };
  } catch (error) {
    throw new UserError(`${place} does not load: ${messageOf(error)}`,
      "mend the file and run the same command again");
  }
  const result = userFamilySchema.safeParse(module.default);
  if (!result.success) {
    throw new UserError(`${place} must export a feature family as default; ${issueText(result.error)}`,
      "it needs summary, inputs (bar columns), defaults (parameters) and make(parameters, market)");
  }
  const { summary, inputs, defaults, make } = result.data;
  const shape = Object.fromEntries(Object.entries(defaults)
    .map(([key, value]) => [key, schemaLike(value)]));
  const made = declareFamily({ summary, version: 1, parameters: z.strictObject(shape), inputs,
    make: (parameters, market) => {
      const feature = make(parameters, market);
      if (feature.family === name) return feature;
      throw new UserError(`${place} made a feature of the family "${feature.family}"`,
        `return { family: "${name}", ... } from its make`);
    } });
  return { ...made, source };
}

function schemaLike(value: number | string | boolean | number[]): z.ZodType {
  if (Array.isArray(value)) return z.array(z.number()).min(1).max(64).default(value);
  if (typeof value === "number") return z.number().default(value);
  return typeof value === "boolean" ? z.boolean().default(value) : z.string().default(value);
}

/** JSON with sorted keys: equal content, equal text. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, inner]) => `${JSON.stringify(key)}:${canonicalJson(inner)}`);
  return `{${entries.join(",")}}`;
}
