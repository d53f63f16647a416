/**
 * What a network answers per row, from its last hidden layer:
 *
 *   trunk (.., D) ──┬── linear ── score ── tanh ──> position in [-1, 1], weights cut to norm 3
 *                   └─ stop ─┬─ linear ─ softplus > volatility > 0 of the scaled next return
 *                            └─ linear ─ sigmoid ─> confidence in (0, 1) in the sign
 *
 * Auxiliary heads read the trunk through `stop`: they describe what the position was decided from
 * and must not change it. So a run with them has the same positions as one without (the optimizer
 * clips their gradients apart for the same reason), and a comparison of losses stays a comparison
 * of losses.
 */
import { assert } from "../base/assert.ts";
import { add, linear, mul, reshape, sigmoid, softplus, stop, tanh, transpose }
  from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Settings } from "./hyperparameter.ts";
import { glorotInit, zerosInit } from "./init.ts";
import { rowsOf, widthOf } from "./layers.ts";
import type { Heads, Scope } from "./model.ts";

export type HeadName = "position" | "volatility" | "confidence";

/** Whether a parameter belongs to a head that the position does not need. */
export const isAuxiliary = (parameter: string): boolean =>
  /^head\/(volatility|confidence)\//.test(parameter);

/** What the setting `heads` may say. */
export const HEADS = {
  position: ["position"],
  all: ["position", "volatility", "confidence"],
} as const satisfies Record<string, readonly HeadName[]>;

/** The heads that settings ask for; the position alone when they do not say. */
export function chosenHeads(settings: Settings): readonly HeadName[] {
  const said = String(settings.heads ?? "position");
  assert(Object.hasOwn(HEADS, said), `heads is ${said}`);
  return HEADS[said as keyof typeof HEADS];
}

/** The papers' cap on the norm of the position's weights. */
const MAX_NORM = 3;

/**
 * Deviation of the target when volatility is what it was expected to be: 15 % a year of 252 days,
 * per day.
 */
export const TARGET_DEVIATION = 0.15 / Math.sqrt(252);

/** softplus(z + this) is 1 at z = 0: the first guess is that deviation. */
const SOFTPLUS_ONE = Math.log(Math.E - 1);

/** In those deviations: keeps volatility and its logarithm finite where softplus underflows. */
const VOLATILITY_FLOOR = 1e-3;

export interface TrunkShape {
  /** The trunk is (T, B, D) instead of (B, T, D). */
  readonly isTimeMajor?: boolean;
}

/**
 * One number per row of a trunk: (B, T). Parameters, in the model's own scope, head/NAME/{w (D, 1),
 * b (1)}.
 */
function rowNumber(scope: Scope, name: HeadName, trunk: Tensor, isTimeMajor: boolean): Tensor {
  assert(trunk.shape.length === 3, "a trunk is (B, T, D) or (T, B, D)");
  const own = scope.within("head").within(name);
  const limit = name === "position" ? { maxNorm: MAX_NORM } : {};
  const w = own.parameter("w", [widthOf(trunk), 1], glorotInit, limit);
  const rows = linear(rowsOf(trunk), w, own.parameter("b", [1], zerosInit));
  return transpose(reshape(rows, trunk.shape.slice(0, 2)), isTimeMajor ? [1, 0] : [0, 1]);
}

const deviation = (raw: Tensor): Tensor =>
  mul(add(softplus(add(raw, SOFTPLUS_ONE)), VOLATILITY_FLOOR), TARGET_DEVIATION);

/** The heads that the position does not need, (B, T) each; null where they are not asked for. */
export function auxiliaryHeads(scope: Scope, trunk: Tensor, which: readonly HeadName[],
  { isTimeMajor = false }: TrunkShape = {}): Pick<Heads, "volatility" | "confidence"> {
  const seen = stop(trunk);
  const say = (name: HeadName): Tensor => rowNumber(scope, name, seen, isTimeMajor);
  return {
    volatility: which.includes("volatility") ? deviation(say("volatility")) : null,
    confidence: which.includes("confidence") ? sigmoid(say("confidence")) : null,
  };
}

/** Heads (B, T) on a trunk (B, T, D), or (T, B, D) when `isTimeMajor`. */
export function heads(scope: Scope, trunk: Tensor, which: readonly HeadName[],
  { views = {}, isTimeMajor = false }: TrunkShape & { views?: Heads["views"] } = {}): Heads {
  const score = rowNumber(scope, "position", trunk, isTimeMajor);
  const others = auxiliaryHeads(scope, trunk, which, { isTimeMajor });
  return { score, position: tanh(score), ...others, views };
}
