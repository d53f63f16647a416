/**
 * The linear baseline of Lim, Zohren and Roberts (2019) without its penalty, which is the
 * optimiser's business: position = tanh(w^T u + b), with u the row's
 * features.
 *
 * The features already look back over a year, so that `rows` is 1, the current row, unless said
 * otherwise; with more, u is these rows side by side. Rows before the window's start
 * count as zeros.
 */
import { heads } from "../src/nn/heads.ts";
import { withLags } from "../src/nn/layers.ts";
import { numberOf, type Architecture } from "../src/nn/model.ts";

export const linear: Architecture = {
  name: "linear",
  description: "tanh of a weighted sum of the row's features (Lim, Zohren, Roberts 2019)",
  hyperparameters: {
    rows: { kind: "integer", default: 1, min: 1, max: 21,
      describe: "rows seen: the current one and those before" },
  },
  lookback: 63,
  hasState: false,
  build(scope, { features }, _size, settings) {
    return heads(scope, withLags(features, numberOf(settings, "rows")), settings);
  },
};
