/** The recipes that come with the product, as data: which families, with which parameters, in which order. */
import { TECHNICAL_RECIPE } from "./technical.ts";

/** One line of a recipe: a family of families.ts and its parameters; absent ones take their defaults. */
export interface RecipeFeature {
  readonly family: string;
  readonly [parameter: string]: unknown;
}

export const RECIPES: Readonly<Record<string, readonly RecipeFeature[]>> = {
  dmn: [],
  technical: TECHNICAL_RECIPE,
};
