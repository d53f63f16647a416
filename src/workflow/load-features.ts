/** Features of a dataset's instruments, computed in memory as they are asked for. */
import type { Context } from "../base/context.ts";
import { calendar } from "../market/calendar.ts";
import { readBars, type Manifest } from "../market/store.ts";
import type { Features } from "../features/feature.ts";
import { bind, computeFeatures } from "../features/panel.ts";
import { readRecipe } from "../features/recipe.ts";

export async function loadFeatures(context: Context, manifest: Manifest, recipeName: string):
Promise<{ names: readonly string[]; of: (symbol: string) => Promise<Features> }> {
  const panel = bind(await readRecipe(context.root, recipeName),
    { calendar: calendar(manifest.calendar), timeframe: manifest.timeframe });
  return {
    names: panel.names,
    of: async (symbol) => computeFeatures(panel,
      await readBars(context.root, manifest, symbol, { columns: panel.inputs })),
  };
}
