/**
 * Children of points. Numbers are crossed and mutated as reals (transform.ts), choices change as a whole.
 *
 *   parents   { hidden 40, rate 0.01, heads 2 }   { hidden 80, rate 0.003, headsWide 8 }
 *   child     { hidden 80, rate 0.008, headsWide 8 }
 *
 * Numbers that all parents have are crossed together; what only one of them has, because of a condition, the
 * child takes over if it needs it; what none has is drawn. Of n parameters one is mutated on average.
 */
import type { Random } from "../../base/random.ts";
import { makePoint } from "../space.ts";
import type { Parameter, Point, Space } from "../space.ts";
import { boundsOf, countValues, fromReal, fromUnit, toReal } from "../transform.ts";
import type { Numerical } from "../transform.ts";
import { mutate } from "./operators.ts";
import type { Box, Crossover } from "./operators.ts";

export interface BreederOptions {
  readonly crossover: Crossover;
  readonly etaCrossover: number;
  readonly etaMutation: number;
}

interface Place {
  readonly name: string;
  readonly one: Parameter;
  /** Bounds of reals; of a choice 0 and 0. */
  readonly low: number;
  readonly high: number;
}

export class Breeder {
  readonly #space: Space;
  readonly #options: BreederOptions;
  /** In the space's order. */
  readonly #places: readonly Place[];
  /** Numbers with more than one value: places in the space. */
  readonly #numbers: readonly number[];
  /** Parameters with more than one value. */
  readonly #free: readonly string[];

  constructor(space: Space, options: BreederOptions) {
    this.#space = space;
    this.#options = options;
    this.#places = Object.entries(space).map(([name, one]) => {
      const [low, high] = one.kind === "choice" ? [0, 0] : boundsOf(one);
      return { name, one, low, high };
    });
    const isFree = ({ one }: Place): boolean => countValues(one) > 1;
    this.#free = this.#places.filter(isFree).map(({ name }) => name);
    this.#numbers = this.#places.flatMap((place, k) =>
      isFree(place) && place.one.kind !== "choice" ? [k] : []);
  }

  /** Parents that a child has. */
  get parents(): number { return this.#options.crossover.parents; }

  /** `crossing`: draws of the crossover, where two children of one pair share them (operators.ts). */
  child(parents: readonly Point[], draws: Random, crossing = draws): Point {
    const reals = this.#cross(parents, crossing), { etaMutation } = this.#options;
    let free = 0;
    for (const name of this.#free) if (name in parents[0]) free++;
    const chance = 1 / Math.max(1, free);
    return makePoint(this.#space, (one, k, name) => {
      const isMutant = draws.uniform() < chance;
      if (one.kind === "choice") {
        const given = parents.filter((parent) => name in parent);
        const isDrawn = isMutant || given.length === 0;
        return isDrawn ? fromUnit(one, draws.uniform()) : given[crossing.below(given.length)][name];
      }
      const real = Number.isNaN(reals[k]) ? inherited(one, name, parents) : reals[k];
      if (real === null) return fromUnit(one, draws.uniform());
      if (!isMutant || one.low === one.high) return fromReal(one, real);
      const { low, high } = this.#places[k];
      const inside = Math.min(high, Math.max(low, real));
      return fromReal(one, mutate(inside, low, high, etaMutation, draws.uniform()));
    });
  }

  /** (parameters) reals of the numbers that all parents have; NaN for others. */
  #cross(parents: readonly Point[], draws: Random): Float64Array {
    const shared = this.#numbers.filter((k) => parents.every((parent) => this.#places[k].name in parent));
    const box: Box = { low: new Float64Array(shared.length), high: new Float64Array(shared.length) };
    const vectors = parents.map(() => new Float64Array(shared.length));
    shared.forEach((k, d) => {
      const { name, one, low, high } = this.#places[k];
      box.low[d] = low;
      box.high[d] = high;
      parents.forEach((parent, p) => { vectors[p][d] = toReal(one as Numerical, parent[name] as number); });
    });
    const crossed = this.#options.crossover.cross(vectors, box, draws, this.#options.etaCrossover);
    const reals = new Float64Array(this.#places.length).fill(NaN);
    shared.forEach((k, d) => { reals[k] = crossed[d]; });
    return reals;
  }
}

/** The real of the first parent that has the parameter; null: none has. */
function inherited(one: Numerical, name: string, parents: readonly Point[]): number | null {
  const parent = parents.find((point) => name in point);
  return parent === undefined ? null : toReal(one, parent[name] as number);
}
