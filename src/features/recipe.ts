/**
 * A recipe says which features, with which parameters, in which order. It is data: built in
 * (recipes.ts), or a JSON file of the user's. Its hash names the numbers it makes: equal hash,
 * equal bars, equal bits.
 *
 *   { "name": "mine", "features": [
 *     { "recipe": "dmn" },                        all lines of a built-in recipe
 *     { "family": "rsi", "windows": [14, 28] },   a family of families.ts and its parameters
 *     { "family": "my_own" } ] }                  one of the user's (user-family.ts)
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { z } from "zod";
import { isName } from "../base/data-root.ts";
import { messageOf, UserError } from "../base/error.ts";
import { hashOf } from "../base/file.ts";
import { suggestion } from "../base/suggest.ts";
import { FAMILIES } from "./families.ts";
import type { Family } from "./family.ts";
import { RECIPES, type RecipeFeature } from "./recipes.ts";
import { issueText, loadUserFamily, userFamilies, userFamilyPlace } from "./user-family.ts";

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
const FEATURES_MAX = 512;

/** A family with its parameters, or the name of a built-in recipe and nothing else. */
const lineSchema = z.looseObject({ family: z.string().optional(), recipe: z.string().optional() })
  .refine((line) =>
    line.recipe === undefined ? line.family !== undefined : Object.keys(line).length === 1,
    'must have a "family" with its parameters, or a "recipe" and nothing else');
const recipeSchema = z.strictObject({
  name: z.string().refine(isName, "letters, digits, dot, dash or underscore, at most 64").optional(),
  features: z.array(lineSchema).min(1).max(FEATURES_MAX),
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
  return await makeRecipe(root, name, result.data.features.flatMap((line) =>
    line.recipe === undefined ? [line as RecipeFeature] : linesOf(line.recipe, place)));
}

/** The lines of a built-in recipe that a file takes in. */
function linesOf(recipe: string, place: string): readonly RecipeFeature[] {
  if (Object.hasOwn(RECIPES, recipe)) return RECIPES[recipe];
  throw new UserError(`the recipe ${place} takes in "${recipe}", which is not built in`,
    suggestion(recipe, Object.keys(RECIPES)));
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

/** A family of the table, else of the user's features/ folder. */
export async function findFamily(root: string, name: string): Promise<Family> {
  if (Object.hasOwn(FAMILIES, name)) return (FAMILIES as Readonly<Record<string, Family>>)[name];
  const place = isName(name) ? userFamilyPlace(root, name) : null;
  if (place !== null) return await loadUserFamily(name, place);
  throw new UserError(`there is no feature family "${name}"`,
    `${suggestion(name, [...Object.keys(FAMILIES), ...userFamilies(root)])} ${LIST}`);
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
