/**
 * Losses: each a function from tensors (B, T) to a scalar. A run lists its terms; each is
 * multiplied by a fed weight, and a term that is not listed is not in the graph at all.
 *
 *   position, scale ──> change = |d(position scale)| ┬──> turnover
 *   position, target ──> captured = position target ─┴─ net ──> Sharpe, CVaR, volatility deviation
 *   score, target ──> mse, binary      volatility, confidence, target ──> the auxiliary terms
 *
 * Rows of weight 0 (padding) take no part; all means are over rows of weight 1, pooled over
 * sequences and steps.
 */
import { assert } from "../base/assert.ts";
import { abs, add, div, equal, flatten, floor, greater, iota, log, maximum, mul, neg, pad, slice,
  softplus, sort, sqrt, stop, sub, total, where } from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";
import { PAPER_TARGET, targetDeviation, type VolatilityTarget } from "./heads.ts";
import type { Heads } from "./model.ts";

/**
 * Added to variances (the papers' code): constant returns have a finite ratio and a finite
 * gradient.
 */
const VARIANCE_FLOOR = 1e-9;
/** Share of the worst outcomes in the conditional value at risk. */
const TAIL = 0.05;
/** Keeps the logarithm of a probability finite. */
const PROBABILITY_FLOOR = 1e-7;
/** Below every loss there is: where padding is sorted to. */
const NEVER = -1e30;

export interface LossInputs extends Omit<Heads, "views"> {
  /** (B, T), volatility-scaled next return, fraction; a number in padding too (0 x NaN is NaN). */
  readonly target: Tensor;
  /** (B, T), 1, or 0 for padding. */
  readonly weight: Tensor;
  /** (B, T), weight held per unit of position. */
  readonly scale: Tensor;
  /** (), basis points of the weight traded. */
  readonly costBps: Tensor;
}

/** What terms share; built once per graph. */
export interface LossParts extends LossInputs {
  readonly aim: VolatilityTarget;
  /** (), rows of weight 1, at least 1. */
  readonly count: Tensor;
  /**
   * (B, T), |change of the weight held| since the step before; 0 at a sequence's first step and
   * next to padding.
   */
  readonly change: Tensor;
  /** (), steps that have a step before them, at least 1. */
  readonly changeCount: Tensor;
  /** (B, T), position x target net of costs, fraction. */
  readonly captured: Tensor;
  /** (), of captured; the variance by n, and 1e-9. */
  readonly mean: Tensor;
  readonly variance: Tensor;
}

/** Sum over rows of weight 1 divided by their number. */
const pooled = (x: Tensor, { weight, count }: Pick<LossParts, "weight" | "count">): Tensor =>
  div(total(mul(x, weight)), count);

/** Shapes: LossInputs. `aim` is what the target was scaled to. */
export function lossParts(inputs: LossInputs, aim = PAPER_TARGET): LossParts {
  const { position, target, weight, scale, costBps } = inputs;
  const T = weight.shape[1];
  assert(typeof T === "number", "losses need the number of steps");
  const held = mul(position, scale);
  const difference = (x: Tensor, join: (now: Tensor, before: Tensor) => Tensor): Tensor =>
    (T === 1 ? mul(x, 0) : pad(join(slice(x, 1, 1, T - 1), slice(x, 1, 0, T - 1)), 1, 1, 0));
  const isChange = difference(weight, mul);
  const change = mul(abs(difference(held, sub)), isChange);
  const rows = { weight, count: maximum(total(weight), 1) };
  const captured = sub(mul(position, target), mul(change, mul(costBps, 1e-4)));
  const mean = pooled(captured, rows);
  // sum(weight (R - mean)) is 0, so the variance has no slope through the mean: stop what rounding
  // would leave of it.
  const centred = sub(captured, stop(mean));
  return {
    ...inputs, ...rows, aim, change, changeCount: maximum(total(isChange), 1), captured, mean,
    // Centred: E[R^2] - E[R]^2, the same number, cancels in float32 and may be negative.
    variance: add(pooled(mul(centred, centred), rows), VARIANCE_FLOOR),
  };
}

/**
 * -mean / deviation x sqrt(periods a year) of captured returns (Lim, Zohren, Roberts 2019,
 * equation 14).
 */
const sharpeLoss = ({ mean, variance, aim }: LossParts): Tensor =>
  mul(div(mean, sqrt(variance)), -Math.sqrt(aim.periods));

/** |annualised deviation of captured returns - the target|. */
const volatilityDeviation = ({ variance, aim }: LossParts): Tensor =>
  abs(sub(mul(sqrt(variance), Math.sqrt(aim.periods)), aim.annual));

/**
 * Mean of the worst 5 % of captured returns, as a loss (Rockafellar and Uryasev 2000): with losses
 * l = -captured and m = 5 % of their number n,
 *
 *   min over c of c + sum max(l - c, 0) / m      is reached at c = the ceil(m)-th largest loss
 *
 * The formula has a kink in c just there, so stopping the gradient at c would drop the atom's
 * share. It is therefore written as its dual, sum q l: q = 1/m above c, and what is left of 1
 * shared among the losses equal to c (Rockafellar and Uryasev 2002, on atoms). q is constant around
 * almost every sample, so it is stopped and the gradient is right almost everywhere (Danskin).
 */
function conditionalValueAtRisk({ captured, weight, count }: LossParts): Tensor {
  const losses = flatten(neg(captured)), rows = flatten(weight);
  const tail = mul(count, TAIL);
  const sorted = sort(where(rows, losses, NEVER));
  const place = sub(neg(floor(neg(tail))), 1);
  const threshold = total(mul(sorted, equal(iota(sorted.shape[0]), place)));
  const isAbove = mul(greater(losses, threshold), rows);
  const isAtom = mul(equal(losses, threshold), rows);
  const left = sub(1, div(total(isAbove), tail));
  const q = add(div(isAbove, tail), mul(isAtom, div(left, maximum(total(isAtom), 1))));
  return total(mul(stop(q), losses));
}

/**
 * Squared error of the score as a forecast of the next return in units of its expected deviation.
 */
function squaredError(parts: LossParts): Tensor {
  const error = sub(parts.score, div(parts.target, targetDeviation(parts.aim)));
  return pooled(mul(error, error), parts);
}

/**
 * Cross-entropy of p = sigmoid(score) against "the next return is positive", written with softplus:
 * no overflow.
 */
const binaryCrossEntropy = (parts: LossParts): Tensor =>
  pooled(sub(softplus(parts.score), mul(parts.score, greater(parts.target, 0))), parts);

/** Negative log-likelihood of the target under N(0, volatility^2), without its constant. */
function volatilityLikelihood(parts: LossParts): Tensor {
  const { volatility, target, aim } = parts;
  assert(volatility !== null, "the term volatilityHead needs the head volatility: heads=all");
  const z = div(target, volatility);
  return pooled(add(log(div(volatility, targetDeviation(aim))), mul(mul(z, z), 0.5)), parts);
}

/**
 * Cross-entropy of the confidence against "the position had the right sign"; the position is not
 * changed by it.
 */
function confidenceLoss(parts: LossParts): Tensor {
  const { confidence, position, target } = parts;
  assert(confidence !== null, "the term confidenceHead needs the head confidence: heads=all");
  const isRight = greater(mul(stop(position), target), 0);
  const surprise = (p: Tensor): Tensor => neg(log(maximum(p, PROBABILITY_FLOOR)));
  return pooled(where(isRight, surprise(confidence), surprise(sub(1, confidence))), parts);
}

export interface LossTerm {
  readonly describe: string;
  /** What it trains: positions, the score that a position is the sign of, or an auxiliary head. */
  readonly trains: "position" | "score" | "volatility" | "confidence";
  of(parts: LossParts): Tensor;
}

export const LOSS_TERMS = {
  sharpe: { trains: "position", of: sharpeLoss,
    describe: "minus the Sharpe ratio of captured returns, pooled, net of costs" },
  turnover: { trains: "position", of: ({ change, changeCount }) => div(total(change), changeCount),
    describe: "mean absolute change of the weight held, per step" },
  cvar: { trains: "position", of: conditionalValueAtRisk,
    describe: "mean of the worst 5 % of captured returns, as a loss" },
  volatilityDeviation: { trains: "position", of: volatilityDeviation,
    describe: "distance of the annual deviation of captured returns from the target, 15 %" },
  mse: { trains: "score", of: squaredError,
    describe: "squared error of the forecast of the next return" },
  binary: { trains: "score", of: binaryCrossEntropy,
    describe: "cross-entropy of the forecast of the next return's sign" },
  volatilityHead: { trains: "volatility", of: volatilityLikelihood,
    describe: "Gaussian negative log-likelihood of the volatility head" },
  confidenceHead: { trains: "confidence", of: confidenceLoss,
    describe: "cross-entropy of the confidence head" },
} as const satisfies Record<string, LossTerm>;
export type LossName = keyof typeof LOSS_TERMS;
export const LOSS_NAMES = Object.keys(LOSS_TERMS) as readonly LossName[];

/** How a position is read off a network: its tanh output, or the sign of its forecast. */
export type PositionKind = "tanh" | "sign";

/**
 * A network that is trained only to forecast (mse, binary) holds the sign of its forecast, the full
 * position long or short, as the regression and classification networks of Lim, Zohren and Roberts
 * 2019 do (for p = sigmoid(score), p > 1/2 is score > 0). As soon as one term trains positions, the
 * position is tanh(score).
 */
export function positionKindOf(terms: readonly LossName[]): PositionKind {
  const trained = terms.map((name) => LOSS_TERMS[name].trains);
  return trained.includes("score") && !trained.includes("position") ? "sign" : "tanh";
}
