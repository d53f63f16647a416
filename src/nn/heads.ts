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
const HEADS = {
  position: ["position"],
  all: ["position", "volatility", "confidence"],
} as const satisfies Record<string, readonly HeadName[]>;

/** The heads that settings ask for; the position alone when they do not say. */
function chosenHeads(settings: Settings): readonly HeadName[] {
  const said = String(settings.heads ?? "position");
  assert(Object.hasOwn(HEADS, said), `heads is ${said}`);
  return HEADS[said as keyof typeof HEADS];
}

/** The papers' cap on the norm of the position's weights. */
const MAX_NORM = 3;

/** The volatility that weights are scaled to. */
export interface VolatilityTarget {
  /** Fraction a year. */
  readonly annual: number;
  /** Rows a year. */
  readonly periods: number;
}

/** The papers': 15 % a year, of 252 days. */
export const PAPER_TARGET: VolatilityTarget = { annual: 0.15, periods: 252 };

/** The settings `volatilityTarget` and `periods`; the papers' where they do not say. */
export function volatilityTargetOf(settings: Settings): VolatilityTarget {
  const annual = settings.volatilityTarget ?? PAPER_TARGET.annual;
  const periods = settings.periods ?? PAPER_TARGET.periods;
  assert(typeof annual === "number" && typeof periods === "number" && annual > 0 && periods > 0,
    `a volatility target of ${annual} a year of ${periods} rows`);
  return { annual, periods };
}

/** Per row: the deviation of the scaled next return when volatility is as expected. */
export const targetDeviation = ({ annual, periods }: VolatilityTarget): number =>
  annual / Math.sqrt(periods);

/** softplus(z + this) is 1 at z = 0: the first guess is the target deviation. */
const SOFTPLUS_ONE = Math.log(Math.E - 1);

/** In target deviations: keeps volatility and its logarithm finite where softplus underflows. */
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

/** > 0, of any number: (B, T) -> (B, T). */
const deviation = (raw: Tensor, unit: number): Tensor =>
  mul(add(softplus(add(raw, SOFTPLUS_ONE)), VOLATILITY_FLOOR), unit);

/** The heads that the position does not need, (B, T) each; null where settings do not ask. */
export function auxiliaryHeads(scope: Scope, trunk: Tensor, settings: Settings,
  { isTimeMajor = false }: TrunkShape = {}): Pick<Heads, "volatility" | "confidence"> {
  const which = chosenHeads(settings), unit = targetDeviation(volatilityTargetOf(settings));
  const seen = stop(trunk);
  const say = (name: HeadName): Tensor => rowNumber(scope, name, seen, isTimeMajor);
  return {
    volatility: which.includes("volatility") ? deviation(say("volatility"), unit) : null,
    confidence: which.includes("confidence") ? sigmoid(say("confidence")) : null,
  };
}

/** Those heads (B, T) that settings ask for, on a trunk (B, T, D), (T, B, D) when `isTimeMajor`. */
export function heads(scope: Scope, trunk: Tensor, settings: Settings,
  { views = {}, isTimeMajor = false }: TrunkShape & { views?: Heads["views"] } = {}): Heads {
  const score = rowNumber(scope, "position", trunk, isTimeMajor);
  const others = auxiliaryHeads(scope, trunk, settings, { isTimeMajor });
  return { score, position: tanh(score), ...others, views };
}
