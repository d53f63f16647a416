/** The families of the `technical` recipe, and the recipe. */
import type { Family } from "./family.ts";
import type { RecipeFeature } from "./recipes.ts";

export const TECHNICAL_FAMILIES = {} satisfies Record<string, Family>;

export const TECHNICAL_RECIPE: readonly RecipeFeature[] = [];
