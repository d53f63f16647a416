/**
 * A plain causal encoder: the layers of Vaswani et al. (2017) in pre-norm order (Xiong et al.
 * 2020), gelu, no recurrence and nothing that knows of finance. With width 512, 8 heads and 4
 * layers it is the network of the system's latency tables.
 *
 *   features (B, T, F) ─ linear ─ + positions ─ layers x [attention, feed-forward] ─ norm ─ tanh
 */
import { add, mul } from "../src/graph/ops.ts";
import { encoderLayer, learnedPositions, sinusoidalPositions } from "../src/nn/attention.ts";
import { heads } from "../src/nn/heads.ts";
import { dense, normalise } from "../src/nn/layers.ts";
import { numberOf, type Architecture } from "../src/nn/model.ts";

/** Rows of the table of learned positions. */
const POSITIONS = 512;

export const encoder: Architecture = {
  name: "encoder",
  description: "plain pre-norm causal Transformer encoder (Vaswani et al. 2017, Xiong et al. 2020)",
  hyperparameters: {
    width: { kind: "integer", default: 64, min: 4, max: 1024, isLog: true,
      describe: "width of every layer" },
    attentionHeads: { kind: "integer", default: 4, min: 1, max: 16,
      describe: "attention heads; they divide width" },
    layers: { kind: "integer", default: 2, min: 1, max: 12, describe: "layers" },
    feedForward: { kind: "integer", default: 4, min: 1, max: 8,
      describe: "feed-forward width, times width" },
    positions: { kind: "choice", default: "sinusoidal", choices: ["sinusoidal", "learned"],
      describe: `where in the window a row is (learned: at most ${POSITIONS} rows)` },
    dropout: { kind: "number", default: 0.1, min: 0, max: 0.9,
      describe: "rate of dropout after each part" },
  },
  lookback: 63,
  hasState: false,
  build(scope, { features }, { T }, settings) {
    const D = numberOf(settings, "width");
    const positions = settings.positions === "learned"
      ? learnedPositions(scope, "positions", T, [POSITIONS, D]) : sinusoidalPositions(T, D);
    // Scaled as in Vaswani et al., section 3.4, so that positions do not drown the features.
    let x = add(mul(dense(scope, "input", features, D), Math.sqrt(D)), positions);
    const shape = { heads: numberOf(settings, "attentionHeads"),
      inner: D * numberOf(settings, "feedForward") };
    for (let layer = 0; layer < numberOf(settings, "layers"); layer++) {
      x = encoderLayer(scope.within("layer"), String(layer), x, shape);
    }
    const trunk = scope.dropout("dropout", normalise(scope, "norm", x));
    return heads(scope, trunk, settings);
  },
};
