/**
 * What may be chosen, and a choice.
 *
 *   Space { learningRate: float log, hidden: choice 20 40 80, heads: choice 1 2 4 when hidden is 40 }
 *   Point { learningRate: 0.003, hidden: 20 }         only what is active: no heads here
 *
 * A condition names a parameter declared before, so a space is read from the front. Two parameters under
 * conditions that exclude each other may set the same thing (`setting`): widths that heads must divide are
 * a conditional space, not an error.
 */
import type { Random } from "../base/random.ts";
import { UserError } from "../base/error.ts";
import { suggestion } from "../base/suggest.ts";
import { fromUnit, stepOf } from "./transform.ts";

export interface Condition {
  readonly parameter: string;
  /** Active where that one is active and has one of these values. */
  readonly is: readonly (number | string)[];
}
interface Common {
  readonly when?: Condition;
  /** What it sets; its own name when it is not said. */
  readonly setting?: string;
}
export type Parameter = Common & (
  /** [low, high]; with a step low, low + step, ... up to high; a logarithmic scale has no step. */
  | { readonly kind: "float"; readonly low: number; readonly high: number;
      readonly isLog?: boolean; readonly step?: number }
  /** Both ends inclusive; step 1 when it is not said. */
  | { readonly kind: "integer"; readonly low: number; readonly high: number;
      readonly isLog?: boolean; readonly step?: number }
  | { readonly kind: "choice"; readonly choices: readonly (number | string)[] });

/** In the order of its names. */
export type Space = Readonly<Record<string, Parameter>>;
/** Values of the active parameters by name; of a choice the chosen value itself. */
export type Point = Readonly<Record<string, number | string>>;

/** A point is refused only by its own space; these are all the ways of being wrong. Throws UserError. */
export function checkSpace(space: Space): void {
  const names = Object.keys(space);
  if (names.length === 0) {
    throw new UserError("the search space has no parameters",
      'give it one: {"learningRate": {"kind": "float", "low": 0.0001, "high": 0.1, "isLog": true}}');
  }
  names.forEach((name, k) => {
    // Names that look like numbers would not stay in their order.
    if (!/^\p{L}/u.test(name)) {
      throw new UserError(`search space: "${name}" does not begin with a letter`, "rename the parameter");
    }
    // An object has these of itself, active or not: constructor, toString, ...
    if (name in {}) {
      throw new UserError(`search space: "${name}" is a word of the language`, "rename the parameter");
    }
    checkRange(name, space[name]);
    if (space[name].when !== undefined) checkCondition(space, name, names.slice(0, k));
  });
  checkSettings(space);
}

function checkRange(name: string, one: Parameter): void {
  const refuse = (problem: string, hint: string): never => {
    throw new UserError(`search space: ${name} ${problem}`, hint);
  };
  if (one.kind === "choice") {
    const { choices } = one;
    if (!Array.isArray(choices) || choices.length === 0) refuse("has no choices", '"choices": [20, 40, 80]');
    const odd = choices.find((value) => typeof value !== "string" && !Number.isFinite(value));
    if (odd !== undefined) refuse(`has the choice ${odd}`, "choices are texts and finite numbers");
    const twin = choices.find((value, k) => choices.findIndex((other) => `${other}` === `${value}`) < k);
    if (twin !== undefined) refuse(`has the choice ${twin} twice`, "say it once");
    return;
  }
  if (one.kind !== "float" && one.kind !== "integer") {
    refuse(`is of kind "${String((one as { kind: unknown }).kind)}"`, "choose float, integer or choice");
  }
  const { low, high, step, isLog } = one;
  if (![low, high, high - low].every(Number.isFinite) || low > high) {
    refuse(`ranges from ${low} to ${high}`, '"low" and "high" are finite numbers, low first');
  }
  if (one.kind === "integer" && ![low, high, step ?? 1].every(Number.isSafeInteger)) {
    refuse("is an integer with a bound or a step that is none", "round them");
  }
  if (step !== undefined && !(step > 0)) refuse(`has step ${step}`, "a step is greater than zero");
  if (isLog !== true) return;
  if (step !== undefined && !(one.kind === "integer" && step === 1)) {
    refuse("has a step on a logarithmic scale", "leave out one of the two");
  }
  if (low <= 0) refuse(`starts at ${low} on a logarithmic scale`, "start above zero");
}

function checkCondition(space: Space, name: string, before: readonly string[]): void {
  const { parameter, is } = space[name].when!;
  if (!before.includes(parameter)) {
    const isKnown = Object.hasOwn(space, parameter);
    const problem = isKnown ? "which is not declared before it" : "which does not exist";
    throw new UserError(`search space: ${name} depends on ${parameter}, ${problem}`,
      isKnown ? `move ${parameter} to the front` : suggestion(parameter, before));
  }
  const odd = Array.isArray(is) ? is.find((value) => !holds(space[parameter], value)) : is;
  if (odd !== undefined || is.length === 0) {
    const problem = `${name} depends on ${parameter} being ${odd ?? "nothing"}, which it never is`;
    throw new UserError(`search space: ${problem}`,
      `"when": {"parameter": "${parameter}", "is": [a value of ${parameter}]}`);
  }
}

/** Who sets the same thing must exclude each other: somewhere up their conditions they want other values. */
function checkSettings(space: Space): void {
  const names = Object.keys(space);
  const conditions = (name: string): Condition[] => {
    const { when } = space[name];
    return when === undefined ? [] : [when, ...conditions(when.parameter)];
  };
  for (const [k, name] of names.entries()) {
    const setting = space[name].setting ?? name;
    const rival = names.slice(0, k).find((other) => (space[other].setting ?? other) === setting
      && !conditions(other).some((one) => conditions(name).some((two) => one.parameter === two.parameter
        && !one.is.some((value) => two.is.includes(value)))));
    if (rival !== undefined) {
      throw new UserError(`search space: ${rival} and ${name} may set ${setting} at the same time`,
        `give them conditions that exclude each other, or ${name} another "setting"`);
    }
  }
}

/** Whether a value is one of the parameter's; on a grid to within rounding. */
export function holds(one: Parameter, value: number | string): boolean {
  if (one.kind === "choice") return one.choices.includes(value);
  if (typeof value !== "number" || !(value >= one.low && value <= one.high)) return false;
  const step = stepOf(one);
  if (step === 0) return true;
  const steps = (value - one.low) / step;
  return Math.abs(steps - Math.round(steps)) <= 1e-9 * Math.max(1, steps);
}

/** Whether a parameter counts in a point that has everything declared before it. */
export function isActive(one: Parameter, point: Point): boolean {
  return one.when === undefined
    || (Object.hasOwn(point, one.when.parameter) && one.when.is.includes(point[one.when.parameter]));
}

/** Names of what counts in a point, in the space's order. */
export function activeNames(space: Space, point: Point): string[] {
  return Object.keys(space).filter((name) => isActive(space[name], point));
}

/**
 * The point that has for each parameter that turns out active the value `choose` gives, asked in order:
 * k is the parameter's place in the space, `point` what has been chosen before it.
 */
export function makePoint(space: Space,
  choose: (one: Parameter, k: number, name: string, point: Point) => number | string): Point {
  const point: Record<string, number | string> = {};
  let k = 0;
  for (const name in space) {
    const one = space[name];
    if (isActive(one, point)) point[name] = choose(one, k, name, point);
    k++;
  }
  return point;
}

/** Uniform over the space, on each parameter's own scale. */
export function drawPoint(space: Space, random: Random): Point {
  return makePoint(space, (one) => fromUnit(one, random.uniform()));
}

/** Throws UserError where a point is not one of the space: something missing, too much, or out of range. */
export function checkPoint(space: Space, point: Point): void {
  const active = activeNames(space, point);
  const missing = active.find((name) => !Object.hasOwn(point, name));
  if (missing !== undefined) throw new UserError(`the point says nothing of ${missing}`, `add ${missing}`);
  const extra = Object.keys(point).find((name) => !active.includes(name));
  if (extra !== undefined) {
    throw new UserError(`the point has ${extra}, which does not count there`,
      Object.hasOwn(space, extra) ? `leave out ${extra}` : suggestion(extra, Object.keys(space)));
  }
  const odd = active.find((name) => !holds(space[name], point[name]));
  if (odd !== undefined) {
    throw new UserError(`the point has ${odd} ${point[odd]}, outside the space`, `change ${odd}`);
  }
}

/** Equal for equal points, whatever the order of their names. */
export function pointKey(space: Space, point: Point): string {
  let key = "";
  for (const name in space) {
    const value = point[name];
    key += value === undefined ? "," : typeof value === "number" ? `${value},` : `${JSON.stringify(value)},`;
  }
  return key;
}

/** What a point sets: `setting` names to values. */
export function settingsOf(space: Space, point: Point): Record<string, number | string> {
  return Object.fromEntries(Object.entries(point).map(([name, value]) =>
    [space[name].setting ?? name, value]));
}
