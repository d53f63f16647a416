/**
 * Where an element is, as a formula in what a thread knows: a sum of digits of its variables.
 *
 *   i = 4 j + l          element i of (6, 8, 4), transposed to (8, 6, 4), lies at
 *                        (j % 8) 1 24 ... : digits (j / div) % mod, times a factor, summed
 *
 * Reshapes, transposes, slices and broadcasts are rewritten on these sums, so that what a kernel computes is
 * the address itself, with all sizes as constants. Neighbouring digits join again: a walk in step stays `i`.
 */
import { assert } from "../../../base/assert.ts";

/** A whole number 0..size-1 that a kernel has under this name (or as this text in brackets). */
export interface Variable {
  readonly name: string;
  readonly size: number;
  /** Names of the variables it is made of; its own for one that is given. */
  readonly bases: readonly string[];
}

/** factor * ((variable / div) % mod) */
interface Term {
  readonly factor: number;
  readonly variable: Variable;
  readonly div: number;
  readonly mod: number;
}

export interface Place {
  readonly constant: number;
  readonly terms: readonly Term[];
}

export const makeVariable = (name: string, size: number): Variable => ({ name, size, bases: [name] });
export const fixedPlace = (constant: number): Place => ({ constant, terms: [] });
export const ORIGIN = fixedPlace(0);

const digitsOf = (variable: Variable, div: number): number => Math.ceil(variable.size / div);

/** The variable itself. */
export const placeOf = (variable: Variable): Place =>
  normal(0, [{ factor: 1, variable, div: 1, mod: variable.size }]);

export const plus = (...places: readonly Place[]): Place =>
  normal(places.reduce((sum, { constant }) => sum + constant, 0), places.flatMap(({ terms }) => terms));

export const times = ({ constant, terms }: Place, by: number): Place =>
  normal(constant * by, terms.map((term) => ({ ...term, factor: term.factor * by })));

/** The largest value. */
export const mostOf = ({ constant, terms }: Place): number =>
  terms.reduce((sum, { factor, mod }) => sum + factor * (mod - 1), constant);

/** Sorted by variable and place of the digit; like digits added, neighbouring ones joined. */
function normal(constant: number, given: readonly Term[]): Place {
  const sorted = given.filter(({ factor, mod }) => factor !== 0 && mod > 1)
    .sort((a, b) => (a.variable.name < b.variable.name ? -1 : a.variable.name > b.variable.name ? 1
      : a.div - b.div));
  const terms: Term[] = [];
  for (const term of sorted) {
    const last = terms.at(-1);
    const joined = last === undefined ? null : joinTerms(last, term);
    if (joined === null) terms.push(term); else terms[terms.length - 1] = joined;
  }
  return { constant, terms };
}

/** Two digits of one variable, the lower first, as one: the same digit twice, or its neighbour. */
function joinTerms(low: Term, high: Term): Term | null {
  const { factor, variable, div, mod } = low;
  if (variable.name !== high.variable.name) return null;
  if (div === high.div && mod === high.mod) return { ...low, factor: factor + high.factor };
  const isNext = high.div === div * mod && high.factor === factor * mod;
  return isNext ? { ...low, mod: Math.min(mod * high.mod, digitsOf(variable, div)) } : null;
}

/** What a division by d leaves whole, and the rest; rest + d * whole is the place. */
function split({ constant, terms }: Place, d: number): { whole: Place; rest: Place } {
  const whole: Term[] = [], rest: Term[] = [];
  for (const term of terms) {
    const { factor, variable, div, mod } = term;
    if (factor % d === 0) { whole.push({ ...term, factor: factor / d }); continue; }
    const low = d / factor;
    const isCut = Number.isInteger(low) && mod > low && (mod % low === 0 || mod === digitsOf(variable, div));
    if (!isCut) { rest.push(term); continue; }
    rest.push({ ...term, mod: low });
    whole.push({ factor: 1, variable, div: div * low, mod: Math.ceil(mod / low) });
  }
  const up = Math.floor(constant / d);
  return { whole: normal(up, whole), rest: normal(constant - up * d, rest) };
}

/** A place that no rule takes apart, as a variable of its own. */
function opaque(place: Place): Variable {
  const bases = [...new Set(place.terms.flatMap(({ variable }) => variable.bases))];
  return { name: `(${placeText(place)})`, size: mostOf(place) + 1, bases };
}

export function quotient(place: Place, d: number): Place {
  if (d === 1) return place;
  const { whole, rest } = split(place, d);
  if (mostOf(rest) < d && rest.constant >= 0) return whole;
  const variable = opaque(rest);
  return plus(whole, normal(0, [{ factor: 1, variable, div: d, mod: digitsOf(variable, d) }]));
}

export function remainder(place: Place, m: number): Place {
  if (m === 1) return ORIGIN;
  const { rest } = split(place, m);
  if (mostOf(rest) < m) return rest;
  return normal(0, [{ factor: 1, variable: opaque(rest), div: 1, mod: m }]);
}

/** Coordinates, one per axis, of element `place` of a shape in row-major order. */
export function coordinatesOf(place: Place, shape: readonly number[]): Place[] {
  let rest = place;
  return shape.toReversed().map((size) => {
    const own = remainder(rest, size);
    rest = quotient(rest, size);
    return own;
  }).reverse();
}

/** The place of these coordinates in a shape in row-major order. */
export function linearPlace(coordinates: readonly Place[], shape: readonly number[]): Place {
  assert(coordinates.length === shape.length, "a coordinate per axis");
  let stride = 1;
  const parts = coordinates.toReversed().map((coordinate, k) => {
    const part = times(coordinate, stride);
    stride *= shape[shape.length - 1 - k];
    return part;
  });
  return plus(...parts);
}

/** Coordinates of the same element in another shape of as many elements; axes that stay, stay apart. */
export function reshapeCoordinates(coordinates: readonly Place[], from: readonly number[],
  to: readonly number[]): Place[] {
  const found: Place[] = [];
  let a = 0, b = 0;
  while (a < from.length || b < to.length) {
    let [countA, countB, endA, endB] = [1, 1, a, b];
    do {
      if (endA < from.length && (countA <= countB || endB === to.length)) countA *= from[endA++];
      else countB *= to[endB++];
    } while (countA !== countB);
    const place = linearPlace(coordinates.slice(a, endA), from.slice(a, endA));
    found.push(...coordinatesOf(place, to.slice(b, endB)));
    [a, b] = [endA, endB];
  }
  return found;
}

/** Whether it depends on a variable. */
export const dependsOn = ({ terms }: Place, name: string): boolean =>
  terms.some(({ variable }) => variable.bases.includes(name));

/** Whether it is a multiple of `lanes` plus the lane itself. */
export function isInStep({ constant, terms }: Place, lane: Variable): boolean {
  const own = terms.filter(({ variable }) => variable.bases.includes(lane.name));
  return own.length === 1 && own[0].variable.name === lane.name && own[0].factor === 1
    && own[0].div === 1 && own[0].mod === lane.size && constant % lane.size === 0
    && terms.every((term) => term === own[0] || term.factor % lane.size === 0);
}

/** The place where the lane is 0. */
export const withoutLane = ({ constant, terms }: Place, lane: Variable): Place =>
  ({ constant, terms: terms.filter(({ variable }) => variable.name !== lane.name) });

function termText({ factor, variable, div, mod }: Term): string {
  const digit = variable.name + (div > 1 ? ` / ${div}u` : "")
    + (mod < digitsOf(variable, div) ? ` % ${mod}u` : "");
  if (factor === 1) return digit;
  return digit === variable.name ? `${factor}u * ${digit}` : `${factor}u * (${digit})`;
}

/** C text, of unsigned 32-bit arithmetic. */
export function placeText({ constant, terms }: Place): string {
  const texts = [...terms].sort((a, b) => b.factor - a.factor).map(termText);
  if (texts.length === 0) return `${constant}u`;
  const tail = constant === 0 ? "" : constant > 0 ? ` + ${constant}u` : ` - ${-constant}u`;
  return texts.join(" + ") + tail;
}
