/**
 * The multilayer perceptron of Lim, Zohren and Roberts (2019): one hidden layer of
 * tanh over the row's features, position = tanh(w^T tanh(W u + b) + c). What `rows` means: see
 * linear.ts.
 */
import { tanh } from "../src/graph/ops.ts";
import { heads } from "../src/nn/heads.ts";
import { dense, withLags } from "../src/nn/layers.ts";
import { numberOf, type Architecture } from "../src/nn/model.ts";

export const mlp: Architecture = {
  name: "mlp",
  description: "one hidden layer of tanh over the row's features (Lim, Zohren, Roberts 2019)",
  hyperparameters: {
    hidden: { kind: "integer", default: 40, min: 2, max: 1024, isLog: true,
      describe: "hidden units" },
    rows: { kind: "integer", default: 1, min: 1, max: 21,
      describe: "rows seen: the current one and those before" },
    dropout: { kind: "number", default: 0.3, min: 0, max: 0.9,
      describe: "rate of dropout after the hidden layer" },
  },
  lookback: 63,
  hasState: false,
  build(scope, { features }, _size, settings) {
    const seen = withLags(features, numberOf(settings, "rows"));
    const hidden = tanh(dense(scope, "hidden", seen, numberOf(settings, "hidden")));
    return heads(scope, scope.dropout("dropout", hidden), settings);
  },
};
