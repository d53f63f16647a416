/**
 * Features of a dataset's instruments, for those who use them: from the Parquet file when it holds
 * exactly these numbers (its hash and fingerprint are the recipe's and the dataset's), else
 * computed in memory: the same bits either way.
 */
import type { Context } from "../base/context.ts";
import type { Features } from "../features/feature.ts";
import { FeaturesFile, featuresPlace } from "../features/file.ts";
import { checkInputs, computeFeatures, type Panel } from "../features/panel.ts";
import { readBars, type Manifest } from "../market/store.ts";
import { bindTo } from "./feature-pieces.ts";

export interface LoadedFeatures {
  readonly panel: Panel;
  readonly names: readonly string[];
  readonly symbols: readonly string[];
  /** Features of one instrument; nothing is kept. */
  of(symbol: string): Promise<Features>;
}

/** The command that writes the file of a recipe. */
const featuresCommand = (dataset: string, recipe: string): string =>
  `dmn features --dataset ${dataset} --recipe ${recipe}`;

/** Throws UserError for an unknown recipe, a column the dataset lacks, or a damaged file. */
export async function loadFeatures(context: Context, manifest: Manifest,
  recipeName: string): Promise<LoadedFeatures> {
  const panel = await bindTo(context.root, manifest, recipeName);
  for (const row of manifest.instruments) checkInputs(panel, row.symbol, row.columns);
  const remedy = featuresCommand(manifest.dataset, recipeName),
    file = usableFile(context, manifest, panel, remedy);
  return {
    panel,
    names: panel.names,
    symbols: manifest.instruments.map((row) => row.symbol),
    of: async (symbol) => {
      const { names, warmup, inputs } = panel;
      if (file?.has(symbol)) return { names, warmup, ...file.read(symbol, remedy) };
      const bars = await readBars(context.root, manifest, symbol, { columns: inputs });
      return computeFeatures(panel, bars);
    },
  };
}

function usableFile(context: Context, manifest: Manifest, panel: Panel,
  remedy: string): FeaturesFile | null {
  const file = FeaturesFile.open(featuresPlace(context.root, manifest.dataset, panel.recipe), remedy);
  if (file === null) return null;
  const { hash, fingerprint, from, to } = file.header;
  const reason = hash !== panel.hash ? "it was made by another recipe or version"
    : fingerprint !== manifest.fingerprint ? "the dataset has changed since"
      : from !== null || to !== null ? "it holds only a part of the rows" : null;
  if (reason === null) return file;
  context.log.info({ file: file.place, reason },
    `features are computed in memory; write them with: ${remedy}`);
  return null;
}
