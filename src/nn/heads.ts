/**
 * What a network answers per row, from its last hidden layer:
 *
 *   trunk (.., D) ──linear──┬─ tanh ────> position in [-1, 1]     weights cut to norm 3 (Lim, Zohren, Roberts 2019)
 *                           ├─ softplus > volatility > 0          of the volatility-scaled next return
 *                           └─ sigmoid ─> confidence in (0, 1)    that the position has the right sign
 */
import { assert } from "../base/assert.ts";
import { add, concat, linear, reshape, sigmoid, slice, softplus, tanh, transpose } from "../graph/ops.ts";
import type { Tensor } from "../graph/tensor.ts";
import { glorotInit, zerosInit } from "./init.ts";
import type { Heads, Scope } from "./model.ts";

export type HeadName = "position" | "volatility" | "confidence";

/** Whether a parameter belongs to a head that the position does not need. */
export const isAuxiliary = (parameter: string): boolean => /^head\/(volatility|confidence)\//.test(parameter);

/** What the setting `heads` may say. */
export const HEADS = {
  position: ["position"],
  all: ["position", "volatility", "confidence"],
} as const satisfies Record<string, readonly HeadName[]>;

/** The heads that settings ask for; the position alone when they do not say. */
export function chosenHeads(settings: Readonly<Record<string, number | string>>): readonly HeadName[] {
  const said = String(settings.heads ?? "position");
  assert(Object.hasOwn(HEADS, said), `heads is ${said}`);
  return HEADS[said as keyof typeof HEADS];
}

/** The papers' cap on the norm of the position's weights. */
const MAX_NORM = 3;

/** Keeps volatility and its logarithm finite where softplus underflows. */
const VOLATILITY_FLOOR = 1e-4;

/**
 * Heads (B, T) on a trunk (B, T, D), or (T, B, D) when `isTimeMajor`, in the model's own scope. All heads are one
 * product; parameters head/NAME/{w (D, 1), b (1)}.
 */
export function heads(scope: Scope, trunk: Tensor, which: readonly HeadName[],
  { isTimeMajor = false, views = {} }: { isTimeMajor?: boolean; views?: Heads["views"] } = {}): Heads {
  const width = trunk.shape.at(-1);
  assert(trunk.shape.length === 3 && typeof width === "number", "a trunk is (B, T, D) or (T, B, D)");
  const columns = which.map((name) => {
    const own = scope.within("head").within(name);
    const options = name === "position" ? { maxNorm: MAX_NORM } : {};
    return { w: own.parameter("w", [width, 1], glorotInit, options), bias: own.parameter("b", [1], zerosInit) };
  });
  const raw = linear(trunk, concat(columns.map(({ w }) => w), 1), concat(columns.map(({ bias }) => bias), 0));
  const rows = transpose(raw, isTimeMajor ? [2, 1, 0] : [2, 0, 1]);
  const row = (name: HeadName): Tensor | null => {
    const at = which.indexOf(name);
    return at < 0 ? null : reshape(slice(rows, 0, at, 1), rows.shape.slice(1));
  };
  const score = row("position"), volatility = row("volatility"), confidence = row("confidence");
  assert(score !== null, "every network has a position");
  return {
    position: tanh(score),
    score,
    volatility: volatility === null ? null : add(softplus(volatility), VOLATILITY_FLOOR),
    confidence: confidence === null ? null : sigmoid(confidence),
    views,
  };
}
