/**
 * A family of the user's own: `features/NAME.ts` (or .js, .mjs) in the data root, found by name.
 *
 *   export default {
 *     summary: "return over some bars", inputs: ["close"], defaults: { window: 5 },
 *     make: ({ window }) => ({ family: "NAME", columns: [...], start(state) {...}, ... }),
 *   };
 *
 * What make() returns is a Feature (feature.ts); EXAMPLE is a whole one. The file is foreign code:
 * its shape is checked here, and what it throws is said to be its own. `dmn features --verify`
 * holds it to the promises that our own families keep.
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { pathToFileURL } from "node:url";
import { z } from "zod";
import { isName } from "../base/data-root.ts";
import { messageOf, UserError } from "../base/error.ts";
import { hashFile } from "../base/file.ts";
import { COLUMNS, type ColumnName } from "../market/bars.ts";
import { family as declareFamily, type Family, type Market } from "./family.ts";
import type { Feature } from "./feature.ts";

/** A family to start from, printed by `dmn features --list` and held to all promises by a test. */
export const EXAMPLE = `export default {
  summary: "return over some bars",
  inputs: ["close"],
  defaults: { window: 5 },
  make: ({ window }) => ({
    family: "my_own",                      // the name of this file
    columns: [{ name: \`my_return_\${window}\`, unit: "fraction", warmup: window }],
    inputs: ["close"],
    causality: "close",                    // row t reads bars up to t
    flopsPerBar: 2,
    stateLength: window + 1,               // all memory: a ring of closes, and its head
    start(state) { state.fill(NaN); state[window] = 0; },
    update(bars, from, to, state, out, offset, stride) {
      for (let t = from, at = offset; t < to; t++, at += stride) {
        const head = state[window], close = bars.columns.close[t];
        out[at] = close / state[head] - 1;
        state[head] = close;
        state[window] = (head + 1) % window;
      }
    },
  }),
};`;

const EXTENSIONS = [".ts", ".js", ".mjs"];

export function userFamilyPlace(root: string, name: string): string | null {
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

const callable = <F>() => z.custom<F>((value) => typeof value === "function", "must be a function");
const inputs = z.array(z.enum(Object.keys(COLUMNS) as [ColumnName, ...ColumnName[]])).min(1);
const parameterValue = z.union([z.number(), z.string(), z.boolean(), z.array(z.number())]);

/** What the file exports as default. */
const familySchema = z.object({
  summary: z.string(),
  inputs,
  /** Parameters and their defaults. A recipe may change a value, not its type. */
  defaults: z.record(z.string(), parameterValue).default({}),
  make: callable<(parameters: Readonly<Record<string, unknown>>, market: Market) => unknown>(),
});

/** What its make() returns. Counts and names are judged by verify.ts, which has better words. */
const featureSchema = z.object({
  family: z.string(),
  columns: z.array(z.object({ name: z.string(), unit: z.string(), warmup: z.number() })).min(1),
  inputs,
  causality: z.enum(["close", "target"]),
  flopsPerBar: z.number(),
  stateLength: z.int().min(0),
  start: callable<Feature["start"]>(),
  update: callable<Feature["update"]>(),
});

const MEND = "mend the file and run the same command again; a whole example: dmn features --list";

export async function loadUserFamily(name: string, place: string): Promise<Family> {
  let module: { readonly default?: unknown };
  const source = hashFile(place);
  try {
    module = await import(`${pathToFileURL(place).href}?${source}`) as { default?: unknown };
  } catch (error) {
    throw new UserError(`${place} does not load: ${messageOf(error)}`, MEND, { cause: error });
  }
  const result = familySchema.safeParse(module.default);
  if (!result.success) {
    const issue = issueText(result.error);
    throw new UserError(`${place} must export a feature family as default; ${issue}`,
      `it needs summary, inputs (bar columns), defaults (parameters) and make(); ${MEND}`);
  }
  const { summary, inputs: reads, defaults, make } = result.data;
  const shape = Object.fromEntries(Object.entries(defaults)
    .map(([key, value]) => [key, schemaLike(value)]));
  const made = declareFamily({
    summary, version: 1, parameters: z.strictObject(shape), inputs: reads,
    make: (parameters, market) =>
      checked(name, place, attempt(place, "make", () => make(parameters, market))),
  });
  return { ...made, source };
}

/** A Feature of the right shape whose mistakes are told from ours. */
function checked(name: string, place: string, made: unknown): Feature {
  const result = featureSchema.safeParse(made);
  if (!result.success) {
    const issue = issueText(result.error);
    throw new UserError(`make() of ${place} does not return a feature; ${issue}`, MEND);
  }
  const feature = made as Feature;
  if (feature.family !== name) {
    throw new UserError(`${place} made a feature of the family "${feature.family}"`,
      `return { family: "${name}", ... } from its make`);
  }
  return {
    ...feature,
    start: (state) => { attempt(place, "start", () => { feature.start(state); }); },
    update: (bars, from, to, state, out, offset, stride) => {
      attempt(place, "update", () => {
        feature.update(bars, from, to, state, out, offset, stride);
      });
    },
  };
}

function attempt<T>(place: string, step: string, work: () => T): T {
  try { return work(); } catch (error) {
    const problem = `${step}() of ${place} failed: ${messageOf(error)}`;
    throw new UserError(problem, MEND, { cause: error });
  }
}

function schemaLike(value: number | string | boolean | number[]): z.ZodType {
  if (Array.isArray(value)) return z.array(z.number()).min(1).max(64).default(value);
  if (typeof value === "number") return z.number().default(value);
  return typeof value === "boolean" ? z.boolean().default(value) : z.string().default(value);
}

/** The first thing wrong, and where. */
export function issueText(error: z.ZodError): string {
  const issue = error.issues[0];
  return issue.path.length === 0 ? issue.message : `"${issue.path.join(".")}": ${issue.message}`;
}
