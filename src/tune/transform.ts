/**
 * Numerical parameters as bounded reals, where arithmetic makes sense: steps of equal meaning are equally
 * long, and each value of a grid owns an interval of the same length.
 *
 *   float           [low, high]                      as it is
 *   float log       [ln low, ln high]
 *   integer, step   [low - step/2, high + step/2]    1 4 7 10: (-0.5, 11.5)
 *   integer log     [ln(low - 1/2), ln(high + 1/2)]
 *
 * The way back rounds to the grid, then clips. Values of a float on a logarithmic scale and of a float with
 * a step have 12 significant digits, so that value -> real -> value is the identity for every value that
 * ever came from here (exp and ln of doubles alone are not each other's inverse).
 */
import type { Parameter } from "./space.ts";

export type Numerical = Exclude<Parameter, { readonly kind: "choice" }>;

const short = (value: number): number => Number(value.toPrecision(12));
const clip = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value));

/** Step of a parameter's grid; 0: it has none. */
export function stepOf(one: Numerical): number {
  return one.step ?? (one.kind === "integer" ? 1 : 0);
}

/** The greatest value: `high`, or what of the grid is next below it. */
function highest(one: Numerical): number {
  const step = stepOf(one);
  return step === 0 ? one.high : short(one.low + Math.floor((one.high - one.low) / step + 1e-9) * step);
}

/** How many values a parameter has. */
export function countValues(one: Parameter): number {
  if (one.kind === "choice") return one.choices.length;
  if (one.low === one.high) return 1;
  const step = stepOf(one);
  return step === 0 ? Infinity : Math.round((highest(one) - one.low) / step) + 1;
}

/** [low, high] of the reals that stand for a parameter's values. */
export function boundsOf(one: Numerical): readonly [number, number] {
  const half = stepOf(one) / 2, low = one.low - half, high = highest(one) + half;
  return one.isLog === true ? [Math.log(low), Math.log(high)] : [low, high];
}

export function toReal(one: Numerical, value: number): number {
  return one.isLog === true ? Math.log(value) : value;
}

/** The value that a real stands for; beyond the bounds the nearest. */
export function fromReal(one: Numerical, real: number): number {
  const value = one.isLog === true ? Math.exp(real) : real;
  const step = stepOf(one);
  if (step === 0) return clip(one.isLog === true ? short(value) : value, one.low, one.high);
  const on = one.low + Math.round(clip((value - one.low) / step, 0, countValues(one) - 1)) * step;
  return one.kind === "integer" ? on : clip(short(on), one.low, one.high);
}

/** The value at u in [0, 1) of any parameter's range: uniform u, uniform value on its scale. */
export function fromUnit(one: Parameter, u: number): number | string {
  if (one.kind === "choice") return one.choices[Math.floor(u * one.choices.length)];
  if (one.low === one.high) return one.low;
  const [low, high] = boundsOf(one);
  return fromReal(one, low + u * (high - low));
}
