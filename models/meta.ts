/**
 * The meta-learner: a gate that looks at what other models say and how they did lately, and mixes
 * them.
 *
 *   features (B, T, 2M) = M columns `position:NAME`, then M `performance:NAME`, in one order
 *
 *   position:*    (B, T, M) ───────────────────────────────┐
 *   all columns ─ linear ─ elu ─ dropout ─ linear ─ softmax ┴─ weighted sum ─> position
 *                                             `mixture` (B, T, M)
 *
 * A mixture of experts (Jacobs et al. 1991). A position in [-1, 1] comes out because positions go
 * in: the mixture is convex and no tanh follows. The last layer starts at zero, so that an
 * untrained gate is the plain average of its models. Performance is whatever recent figure of each
 * model is known at the row (say, its captured return averaged over a month).
 *
 * Live, the mixture may also be learned as it goes: `updateMixture`, which needs no network.
 */
import { assert } from "../src/base/assert.ts";
import { elu, mul, reshape, slice, softmax, sum } from "../src/graph/ops.ts";
import { auxiliaryHeads } from "../src/nn/heads.ts";
import { zerosInit } from "../src/nn/init.ts";
import { dense, widthOf } from "../src/nn/layers.ts";
import { numberOf, type Architecture } from "../src/nn/model.ts";

/** The columns a meta-learner over these models reads, in its order. */
export const metaColumns = (models: readonly string[]): string[] =>
  ["position", "performance"].flatMap((kind) => models.map((name) => `${kind}:${name}`));

export const meta: Architecture = {
  name: "meta",
  description: "gate that mixes other models by what they say and how they did lately",
  hyperparameters: {
    hidden: { kind: "integer", default: 16, min: 2, max: 256, isLog: true,
      describe: "hidden units of the gate" },
    dropout: { kind: "number", default: 0.1, min: 0, max: 0.9,
      describe: "rate of dropout in the gate" },
  },
  lookback: 63,
  hasState: false,
  build(scope, { features }, _size, settings) {
    const F = widthOf(features), M = F / 2, [B, T] = features.shape;
    assert(Number.isInteger(M), `a meta-learner reads two columns per model, not ${F} columns`);
    const positions = slice(features, 2, 0, M);
    const gate = elu(dense(scope, "gate", features, numberOf(settings, "hidden")));
    const hidden = scope.dropout("dropout", gate);
    const mixture = softmax(dense(scope, "mixture", hidden, M, zerosInit));
    const position = reshape(sum(mul(mixture, positions), [2]), [B, T]);
    return { position, score: position, ...auxiliaryHeads(scope, hidden, settings),
      views: { mixture } };
  },
};

/**
 * One step of exponentiated gradient (Kivinen and Warmuth 1997) on the captured return, which is
 * linear in the mixture: w_m <- w_m exp(rate * r_m), normalised; then a share of the total is dealt
 * out evenly (Herbster and Warmuth 1998), so that a model that failed can come back.
 *
 * `weights` (M) sum to 1, `returns` (M) are what each model's position captured in the bar
 * (fraction); -> (M).
 */
export function updateMixture(weights: readonly number[], returns: readonly number[],
  { rate, share = 0 }: { rate: number; share?: number }): number[] {
  assert(weights.length === returns.length && weights.length > 0, "one return per model");
  assert(rate >= 0 && share >= 0 && share <= 1, "rate is not negative, share is in [0, 1]");
  // Shifted by the best, so that no exponential overflows.
  const best = Math.max(...returns);
  const grown = weights.map((weight, m) => weight * Math.exp(rate * (returns[m] - best)));
  const total = grown.reduce((a, b) => a + b, 0);
  assert(total > 0, "weights sum to 1 and returns are numbers");
  return grown.map((weight) => (1 - share) * weight / total + share / weights.length);
}
