/** `dmn features --list`: the families, ours and the user's, with their parameters and cost. */
import type { Context } from "../base/context.ts";
import { formatCount, formatTable, type Column } from "../base/table.ts";
import { FAMILIES } from "../features/families.ts";
import type { Family } from "../features/family.ts";
import type { Feature, FeatureColumn } from "../features/feature.ts";
import { findFamily } from "../features/recipe.ts";
import { RECIPES } from "../features/recipes.ts";
import { TECHNICAL_RECIPE } from "../features/technical.ts";
import { EXAMPLE, userFamilies } from "../features/user-family.ts";
import { calendar } from "../market/calendar.ts";

export interface ParameterReport {
  readonly default: unknown;
  readonly description: string;
}

export interface FamilyReport {
  readonly family: string;
  readonly summary: string;
  readonly parameters: Readonly<Record<string, ParameterReport>>;
  readonly inputs: readonly string[];
  /** With the default parameters, on daily bars. */
  readonly columns: readonly FeatureColumn[];
  readonly flopsPerBar: number;
  readonly causality: Feature["causality"];
}

export interface ListReport {
  readonly recipes: readonly string[];
  readonly families: readonly FamilyReport[];
}

export async function listFamilies({ root }: Context): Promise<ListReport> {
  const own = Object.keys(FAMILIES), users = userFamilies(root).filter((name) => !own.includes(name));
  const families: FamilyReport[] = [];
  for (const name of [...own, ...users]) families.push(describe(name, await findFamily(root, name)));
  return { recipes: Object.keys(RECIPES), families };
}

function describe(name: string, family: Family): FamilyReport {
  const feature = family.make({}, { calendar: calendar("us-equity"), timeframe: "1d" });
  const { inputs, columns, flopsPerBar, causality } = feature;
  const defaults = family.parameters.parse({});
  const shape = Object.entries(family.parameters.shape);
  const parameters = Object.fromEntries(shape.map(([key, schema]) =>
    [key, { default: defaults[key], description: schema.description ?? "" }]));
  return { family: name, summary: family.summary, parameters, inputs, columns, flopsPerBar, causality };
}

const right = (title: string): Column => ({ title, align: "right" });

export function listText({ families }: ListReport): string {
  const table = formatTable(
    [{ title: "family" }, right("columns"), right("warm-up"), { title: "known at" },
      right("flops/bar"), { title: "reads" }],
    families.map(({ family, columns, causality, flopsPerBar, inputs }) => [
      family, String(columns.length), String(Math.max(...columns.map((column) => column.warmup))),
      causality === "close" ? "close" : "next close", formatCount(flopsPerBar), inputs.join(" "),
    ]));
  const details = families.flatMap(familyLines);
  return [recipesText(), "", table, "", ...details, "", OWN, "", EXAMPLE].join("\n");
}

const OWN = `a recipe of your own: recipes/NAME.json in the data root, for example
{"features": [{"recipe": "dmn"}, {"family": "change_point", "windows": [21]}]}

a family of your own: features/NAME.ts in the data root; try it with --verify; for example`;

/** Recipes of several lines; every other family is a recipe by its own name. */
function recipesText(): string {
  const groups = Object.entries(RECIPES).filter(([name, [{ family }, ...more]]) =>
    more.length > 0 || family !== name);
  const lines = groups.map(([name, features]) =>
    [name, features === TECHNICAL_RECIPE ? "all the indicators here"
      : [...new Set(features.map(({ family }) => family))].join(" ")]);
  return `${formatTable([{ title: "recipe" }, { title: "families" }], lines)}\n\n`
    + "every other family is a recipe by its own name, with the parameters below";
}

function familyLines({ family, summary, parameters, columns }: FamilyReport): string[] {
  const units = [...new Set(columns.map((column) => column.unit))].join(", ");
  const lines = Object.entries(parameters).map(([name, parameter]) =>
    `    "${name}": ${JSON.stringify(parameter.default)}  ${parameter.description}`.trimEnd());
  return [`${family}: ${summary}`, `    in ${units}`, ...lines];
}
