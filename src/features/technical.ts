/**
 * The families of the `technical` recipe, and the recipe: about 200 columns as data.
 *
 * Indicators are the groups a search space chooses from by name (rsi, macd, bollinger, vwap,
 * momentum, ..., all_indicators). Columns whose unit is "price" are the classical definitions and
 * scale with the instrument; all others compare across instruments and time.
 */
import { ATR_FAMILIES } from "./atr.ts";
import { BOLLINGER_FAMILIES } from "./bollinger.ts";
import { CHANGE_POINT_FAMILIES } from "./change-point.ts";
import type { Family } from "./family.ts";
import { MACD_FAMILIES } from "./macd.ts";
import { MOMENTUM_FAMILIES } from "./momentum-technical.ts";
import { MOVING_AVERAGE_FAMILIES } from "./moving-average.ts";
import { RANGE_FAMILIES } from "./range.ts";
import type { RecipeFeature } from "./recipes.ts";
import { RETURN_FAMILIES } from "./return-statistics.ts";
import { RSI_FAMILIES } from "./rsi.ts";
import { STOCHASTIC_FAMILIES } from "./stochastic.ts";
import { VOLUME_FAMILIES } from "./volume.ts";
import { VWAP_FAMILIES } from "./vwap.ts";

export const TECHNICAL_FAMILIES = {
  ...RSI_FAMILIES,
  ...MACD_FAMILIES,
  ...BOLLINGER_FAMILIES,
  ...VWAP_FAMILIES,
  ...MOMENTUM_FAMILIES,
  ...ATR_FAMILIES,
  ...STOCHASTIC_FAMILIES,
  ...VOLUME_FAMILIES,
  ...RANGE_FAMILIES,
  ...MOVING_AVERAGE_FAMILIES,
  ...RETURN_FAMILIES,
  ...CHANGE_POINT_FAMILIES,
} satisfies Record<string, Family>;

type TechnicalFeature = RecipeFeature & { readonly family: keyof typeof TECHNICAL_FAMILIES };
const features = (...rows: TechnicalFeature[]): readonly RecipeFeature[] => rows;

const GROUPS = {
  rsi: features({ family: "rsi" }, { family: "rsi_simple" }),
  macd: features({ family: "macd" }, { family: "ppo" }),
  bollinger: features({ family: "bollinger", windows: [20] },
    { family: "bollinger", windows: [10, 50, 100], outputs: ["position", "width"] }),
  vwap: features({ family: "vwap_session" }, { family: "vwap", windows: [20] },
    { family: "vwap", windows: [5, 10, 50, 100], outputs: ["distance"] }),
  momentum: features({ family: "momentum" }, { family: "roc" }, { family: "momentum_z" },
    { family: "efficiency" }, { family: "trend" }),
  atr: features({ family: "atr" }, { family: "natr" }, { family: "adx" }),
  stochastic: features({ family: "stochastic" }, { family: "williams_r" }, { family: "channel" },
    { family: "cci" }),
  volume: features({ family: "volume" }, { family: "obv_ratio" }, { family: "obv_zscore" },
    { family: "mfi" }, { family: "money_flow" }, { family: "volume_return_correlation" }),
  range: features({ family: "bar_shape" }, { family: "range_volatility" },
    { family: "range_ratio" }),
  moving_average: features({ family: "sma", windows: [20] }, { family: "ema", windows: [20] },
    { family: "sma", windows: [5, 10, 50, 100, 200], outputs: ["distance"] },
    { family: "ema", windows: [5, 10, 50, 100, 200], outputs: ["distance"] },
    { family: "sma_cross" }, { family: "ema_cross" }),
  returns: features({ family: "return_moments" }, { family: "return_shape" },
    { family: "return_autocorrelation" }, { family: "return_zscore" }, { family: "return_up_share" }),
};

/** The recipe: every group, in this order. */
export const TECHNICAL_RECIPE: readonly RecipeFeature[] = Object.values(GROUPS).flat();

/** What `technical_indicators` of a search space may name, and the recipe lines each stands for. */
export type Indicator = keyof typeof GROUPS | "all_indicators";
export const INDICATORS: Readonly<Record<Indicator, readonly RecipeFeature[]>> = {
  ...GROUPS,
  all_indicators: TECHNICAL_RECIPE,
};
