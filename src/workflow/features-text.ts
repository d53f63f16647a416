/** What `dmn features` prints: the report of a run, the list of families, the verdict of --verify. */
import * as path from "node:path";
import type { z } from "zod";
import type { Context } from "../base/context.ts";
import { UserError } from "../base/error.ts";
import { formatCount, formatNumber, formatPercent, formatTable } from "../base/table.ts";
import { FAMILIES } from "../features/families.ts";
import type { Family } from "../features/family.ts";
import { findFamily, userFamilies } from "../features/recipe.ts";
import { RECIPES } from "../features/recipes.ts";
import { verifyFeature, verifyOnShapes, type Finding } from "../features/verify.ts";
import { sliceBars } from "../market/bars.ts";
import { calendar } from "../market/calendar.ts";
import { readBars, readManifest } from "../market/store.ts";
import { bindTo } from "./feature-pieces.ts";
import type { FeaturesReport } from "./features.ts";

/** More columns than this are summed up by family. */
const COLUMNS_SHOWN_MAX = 40;

export function featuresText(report: FeaturesReport): string {
  const { dataset, recipe, columns, tooShort } = report;
  const place = path.relative(process.cwd(), report.file), file = place.startsWith("..") ? report.file : place;
  const lines = [
    `${dataset}: ${formatCount(report.instruments)} instruments, ${formatCount(report.rows)} rows of recipe ${recipe}, `
      + `${columns.length} columns, complete from bar ${report.warmup + 1} on`,
    `${file}, ${(report.bytes / 2 ** 20).toFixed(1)} MiB, ${report.seconds.toFixed(1)} s`, "",
    columns.length <= COLUMNS_SHOWN_MAX ? columnTable(report) : familyTable(report),
  ];
  if (tooShort.length > 0) {
    lines.push("", `${tooShort.length} without a complete row (fewer than ${report.warmup + 1} bars): ${tooShort.slice(0, 8).join(", ")}`
      + `${tooShort.length > 8 ? ", ..." : ""}`);
  }
  return lines.join("\n");
}

function columnTable({ columns }: FeaturesReport): string {
  return formatTable([{ title: "column" }, { title: "unit" }, { title: "warm-up", align: "right" },
    { title: "absent", align: "right" }, { title: "mean", align: "right" }, { title: "std", align: "right" }],
  columns.map((column) => [column.role === "target" ? `${column.name} (target)` : column.name, column.unit,
    String(column.warmup), formatPercent(column.nanShare), formatNumber(column.mean, 5), formatNumber(column.std, 5)]));
}

function familyTable({ columns }: FeaturesReport): string {
  const families = [...new Set(columns.map((column) => column.family))];
  return formatTable([{ title: "family" }, { title: "columns", align: "right" }, { title: "warm-up", align: "right" },
    { title: "absent", align: "right" }, { title: "first and last column" }],
  families.map((family) => {
    const own = columns.filter((column) => column.family === family);
    return [family, String(own.length), String(Math.max(...own.map((column) => column.warmup))),
      formatPercent(Math.max(...own.map((column) => column.nanShare))),
      own.length === 1 ? own[0].name : `${own[0].name} .. ${own.at(-1)!.name}`];
  }));
}

export interface FamilyReport {
  readonly family: string;
  readonly summary: string;
  readonly parameters: Readonly<Record<string, { readonly default: unknown; readonly description: string }>>;
  readonly inputs: readonly string[];
  /** With the default parameters, on daily bars. */
  readonly columns: readonly { readonly name: string; readonly unit: string; readonly warmup: number }[];
  readonly flopsPerBar: number;
  readonly causality: string;
}

export interface ListReport { readonly recipes: readonly string[]; readonly families: readonly FamilyReport[] }

/** All families, ours and the user's, with their parameters. */
export async function listFamilies({ root }: Context): Promise<ListReport> {
  const market = { calendar: calendar("us-equity"), timeframe: "1d" as const }, families: FamilyReport[] = [];
  for (const name of [...Object.keys(FAMILIES), ...userFamilies(root).filter((one) => !Object.hasOwn(FAMILIES, one))]) {
    const family = await findFamily(root, name), feature = family.make({}, market);
    families.push({ family: name, summary: family.summary, parameters: describeParameters(family), inputs: feature.inputs,
      columns: feature.columns.map(({ name: column, unit, warmup }) => ({ name: column, unit, warmup })),
      flopsPerBar: feature.flopsPerBar, causality: feature.causality });
  }
  return { recipes: Object.keys(RECIPES), families };
}

function describeParameters(family: Family): FamilyReport["parameters"] {
  const defaults = family.parameters.parse({}), shape = family.parameters.shape as Record<string, z.ZodType>;
  return Object.fromEntries(Object.entries(shape).map(([name, schema]) =>
    [name, { default: defaults[name], description: schema.description ?? "" }]));
}

export function listText({ recipes, families }: ListReport): string {
  const own = recipes.filter((recipe) => !families.some(({ family }) => family === recipe));
  const table = formatTable([{ title: "family" }, { title: "columns", align: "right" }, { title: "warm-up", align: "right" },
    { title: "flops/bar", align: "right" }, { title: "reads" }, { title: "units" }],
  families.map(({ family, columns, flopsPerBar, inputs }) => [family, String(columns.length),
    String(Math.max(...columns.map((column) => column.warmup))), formatCount(flopsPerBar), inputs.join(" "),
    [...new Set(columns.map((column) => column.unit))].join(", ")]));
  const details = families.map(({ family, summary, parameters }) => [`${family}: ${summary}`,
    ...Object.entries(parameters).map(([name, parameter]) =>
      `    "${name}": ${JSON.stringify(parameter.default)}${parameter.description === "" ? "" : `  ${parameter.description}`}`),
  ].join("\n"));
  return `recipes: ${own.join(", ")}, and each family by its name\n\n${table}\n\n${details.join("\n")}`;
}

export interface VerifyReport {
  readonly recipe: string;
  readonly features: readonly { readonly family: string; readonly columns: number; readonly findings: readonly Finding[] }[];
}

/** Rows of real bars beyond the warm-up that a feature is tried on. */
const REAL_ROWS = 400;

/** Holds each feature of a recipe to the promises of feature.ts, on made-up bars and on those of one instrument. */
export async function verifyRecipe(options: { readonly dataset: string; readonly recipe: string; readonly symbols: readonly string[] },
  context: Context): Promise<VerifyReport> {
  const manifest = readManifest(context.root, options.dataset);
  const panel = await bindTo(context.root, manifest, options.recipe);
  const longest = manifest.instruments.filter((row) => options.symbols.length === 0 || options.symbols.includes(row.symbol))
    .reduce((best, row) => row.rows > best.rows ? row : best, manifest.instruments[0]);
  const bars = await readBars(context.root, manifest, longest.symbol, { columns: panel.inputs });
  const real = sliceBars(bars, 0, Math.min(bars.time.length, panel.warmup + REAL_ROWS));
  const task = context.progress.start("verify", panel.features.length, "features");
  const results = panel.features.map((feature) => {
    context.signal.throwIfAborted();
    const findings = [...verifyOnShapes(feature, { timeframe: manifest.timeframe }),
      ...(real.time.length > 1 ? verifyFeature(feature, real) : [])
        .map((finding) => ({ ...finding, problem: `${finding.problem} (on ${longest.symbol})` }))];
    task.advance(1, feature.family);
    return { family: feature.family, columns: feature.columns.length, findings };
  });
  task.finish();
  const broken = results.filter((result) => result.findings.length > 0);
  if (broken.length > 0) {
    const lines = broken.map(({ family, findings }) => `\n  ${family}: ${findings[0].check}: ${findings[0].problem}`
      + `${findings.length > 1 ? ` (and ${findings.length - 1} more)` : ""}`);
    throw new UserError(`${broken.length} of ${results.length} features of recipe "${panel.recipe}" break a promise:${lines.join("")}`,
      "mend the feature, then run the same command again");
  }
  return { recipe: panel.recipe, features: results };
}

export function verifyText({ recipe, features }: VerifyReport): string {
  const columns = features.reduce((sum, feature) => sum + feature.columns, 0);
  return `${formatTable([{ title: "feature" }, { title: "columns", align: "right" }, { title: "verdict" }],
    features.map((feature) => [feature.family, String(feature.columns), "ok"]))}\n\n`
    + `recipe ${recipe}: ${features.length} features, ${columns} columns keep all promises: warm-up, finite values, causality, `
    + "batch = stream = restart";
}
