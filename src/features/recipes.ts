/**
 * The recipes that come with the product, as data: which families, with which parameters, in which
 * order.
 */
import { FAMILIES } from "./families.ts";
import { INDICATORS, TECHNICAL_RECIPE } from "./technical.ts";

/**
 * One line of a recipe: a family of families.ts and its parameters; absent ones take their
 * defaults.
 */
export interface RecipeFeature {
  readonly family: string;
  readonly [parameter: string]: unknown;
}

const dmn: readonly RecipeFeature[] = [
  { family: "return" },
  { family: "volatility", span: 60 },
  { family: "target", span: 60, volatilityTarget: 0.15 },
  { family: "normalized_return", windows: [1, 21, 63, 126, 252], span: 60 },
  { family: "macd_signal", speeds: [[8, 24], [16, 48], [32, 96]] },
  { family: "position_tsmom", window: 252 },
  { family: "position_macd", speeds: [[8, 24], [16, 48], [32, 96]] },
];

/**
 * Every family is also a recipe of its own, with its defaults; a search space's indicator is a
 * group of them.
 */
const single = Object.fromEntries(Object.keys(FAMILIES).map((family) => [family, [{ family }]]));

export const RECIPES: Readonly<Record<string, readonly RecipeFeature[]>> = {
  dmn,
  technical: TECHNICAL_RECIPE,
  ...single,
  ...INDICATORS,
};
