/** `dmn features --verify`: each feature of a recipe is held to the promises of a Feature (verify.ts). */
import type { Context } from "../base/context.ts";
import { UserError } from "../base/error.ts";
import { formatTable } from "../base/table.ts";
import { checkInputs } from "../features/panel.ts";
import { type Check, type Finding, verifyFeature, verifyOnShapes } from "../features/verify.ts";
import { sliceBars } from "../market/bars.ts";
import { rowOf } from "../market/manifest.ts";
import { readBars, readManifest } from "../market/store.ts";
import { bindTo } from "./feature-pieces.ts";

export interface VerifyOptions {
  readonly dataset: string;
  readonly recipe: string;
  readonly symbols: readonly string[];
}

export interface VerifiedFeature {
  readonly family: string;
  readonly columns: number;
  readonly findings: readonly Finding[];
}

export interface VerifyReport {
  readonly recipe: string;
  readonly features: readonly VerifiedFeature[];
}

/** Rows of real bars beyond the warm-up that a feature is tried on. */
const REAL_ROWS = 400;

/** On made-up bars and on those of the longest instrument. Throws UserError when a promise is broken. */
export async function verifyRecipe(options: VerifyOptions, context: Context): Promise<VerifyReport> {
  const manifest = readManifest(context.root, options.dataset);
  const panel = await bindTo(context.root, manifest, options.recipe);
  const rows = options.symbols.length === 0 ? manifest.instruments
    : options.symbols.map((symbol) => rowOf(manifest, symbol));
  const { symbol, columns } = rows.reduce((best, row) => row.rows > best.rows ? row : best);
  checkInputs(panel, symbol, columns);
  const bars = await readBars(context.root, manifest, symbol, { columns: panel.inputs });
  const real = sliceBars(bars, 0, Math.min(bars.time.length, panel.warmup + REAL_ROWS));
  const task = context.progress.start("verify", panel.features.length, "features");
  const features = panel.features.map((feature) => {
    context.signal.throwIfAborted();
    const findings = [...verifyOnShapes(feature, { timeframe: manifest.timeframe })];
    for (const finding of real.time.length > 1 ? verifyFeature(feature, real) : []) {
      findings.push({ ...finding, problem: `${finding.problem} (on ${symbol})` });
    }
    task.advance(1, feature.family);
    return { family: feature.family, columns: feature.columns.length, findings };
  });
  task.finish();
  refuseBroken(panel.recipe, features);
  return { recipe: panel.recipe, features };
}

/** The promises that a stranger to the file can act on first. */
const TELLING: readonly Check[] = ["declaration", "causality", "bounds", "memory"];

const BROKEN_SHOWN_MAX = 3;

/** Names the first finding of each check, the telling ones first. */
function refuseBroken(recipe: string, features: readonly VerifiedFeature[]): void {
  const broken = features.filter((feature) => feature.findings.length > 0);
  if (broken.length === 0) return;
  const promises = broken.flatMap(({ family, findings }) => {
    const checks = new Set([...TELLING, ...findings.map(({ check }) => check)]);
    return [...checks].flatMap((check) => {
      const first = findings.find((finding) => finding.check === check);
      return first === undefined ? [] : [`${family}: ${check}: ${first.problem}`];
    });
  });
  const shown = promises.slice(0, BROKEN_SHOWN_MAX), more = promises.length - shown.length;
  throw new UserError(
    `${broken.length} of ${features.length} features of recipe "${recipe}" break a promise; `
    + shown.join("; ") + (more > 0 ? `; and ${more} more` : ""),
    `mend ${broken.map((one) => `"${one.family}"`).join(", ")}, then run the same command again`);
}

const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? "" : "s"}`;

export function verifyText({ recipe, features }: VerifyReport): string {
  const columns = features.reduce((sum, feature) => sum + feature.columns, 0);
  const table = formatTable(
    [{ title: "feature" }, { title: "columns", align: "right" }, { title: "verdict" }],
    features.map((feature) => [feature.family, String(feature.columns), "ok"]));
  return `${table}\n\nrecipe ${recipe}: ${count(features.length, "feature")}, `
    + `${count(columns, "column")} keep all promises:\n`
    + "warm-up, finite values, causality, batch = stream = restart";
}
