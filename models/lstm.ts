/**
 * The Deep Momentum Network of Lim, Zohren and Roberts (2019), "Enhancing time series momentum
 * strategies using deep neural networks", its best architecture:
 *
 *   features (B, T, F) -> LSTM(hidden) -> dropout -> dense tanh at every step -> position (B, T)
 *
 * Trained end to end on the Sharpe ratio; weights of the last layer are cut to norm 3. Where the
 * published code (with the Momentum Transformer) differs: it also drops the LSTM's inputs, at the
 * same rate, with one mask per sequence and gate.
 */
import { transpose } from "../src/graph/ops.ts";
import { heads } from "../src/nn/heads.ts";
import { numberOf, type Architecture } from "../src/nn/model.ts";
import { lstmLayers } from "../src/nn/recurrent.ts";

export const lstm: Architecture = {
  name: "lstm",
  description: "Deep Momentum Network: LSTM, dropout, tanh at every step (Lim et al. 2019)",
  hyperparameters: {
    hidden: { kind: "integer", default: 40, min: 5, max: 1024, isLog: true,
      describe: "hidden units per layer" },
    layers: { kind: "integer", default: 1, min: 1, max: 8, describe: "LSTM layers" },
    dropout: { kind: "number", default: 0.3, min: 0, max: 0.9,
      describe: "rate of dropout after each layer" },
  },
  lookback: 63,
  hasState: true,
  build(scope, { features }, _size, settings) {
    const x = transpose(features, [1, 0, 2]);
    const hidden = lstmLayers(scope, x,
      { hidden: numberOf(settings, "hidden"), layers: numberOf(settings, "layers") });
    const trunk = scope.dropout("dropout", hidden);
    return heads(scope, trunk, settings, { isTimeMajor: true });
  },
};
