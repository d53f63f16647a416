/** `dmn features --list`: the families, ours and the user's, with their parameters and cost. */
import type { Context } from "../base/context.ts";
import { formatCount, formatTable, type Column } from "../base/table.ts";
import { FAMILIES } from "../features/families.ts";
import type { Family } from "../features/family.ts";
import type { Feature, FeatureColumn } from "../features/feature.ts";
import { findFamily, userFamilies } from "../features/recipe.ts";
import { RECIPES } from "../features/recipes.ts";
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

export function listText({ recipes, families }: ListReport): string {
  const groups = recipes.filter((recipe) => !families.some(({ family }) => family === recipe));
  const table = formatTable(
    [{ title: "family" }, right("columns"), right("warm-up"), right("flops/bar"), { title: "reads" },
      { title: "units" }],
    families.map(({ family, columns, flopsPerBar, inputs }) => [
      family, String(columns.length), String(Math.max(...columns.map((column) => column.warmup))),
      formatCount(flopsPerBar), inputs.join(" "),
      [...new Set(columns.map((column) => column.unit))].join(", "),
    ]));
  return [`recipes: ${groups.join(", ")}, and each family by its name`, "", table, "",
    ...families.flatMap(familyLines)].join("\n");
}

function familyLines({ family, summary, parameters }: FamilyReport): string[] {
  return [`${family}: ${summary}`, ...Object.entries(parameters).map(([name, parameter]) =>
    `    "${name}": ${JSON.stringify(parameter.default)}  ${parameter.description}`.trimEnd())];
}
