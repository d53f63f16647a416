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

export class Breeder {
  readonly #space: Space;
  readonly #options: BreederOptions;
  /** Numbers with more than one value. */
  readonly #numbers: readonly { readonly name: string; readonly one: Numerical;
    readonly low: number; readonly high: number }[];
  /** Parameters with more than one value. */
  readonly #free: readonly string[];

  constructor(space: Space, options: BreederOptions) {
    this.#space = space;
    this.#options = options;
    this.#free = Object.keys(space).filter((name) => countValues(space[name]) > 1);
    this.#numbers = this.#free.flatMap((name) => {
      const one = space[name];
      if (one.kind === "choice") return [];
      const [low, high] = boundsOf(one);
      return [{ name, one, low, high }];
    });
  }

  /** Parents that a child has. */
  get parents(): number { return this.#options.crossover.parents; }

  child(parents: readonly Point[], draws: Random): Point {
    const shared = this.#numbers.filter(({ name }) => parents.every((parent) => name in parent));
    const box: Box = { low: Float64Array.from(shared, ({ low }) => low),
      high: Float64Array.from(shared, ({ high }) => high) };
    const vectors = parents.map((parent) =>
      Float64Array.from(shared, ({ name, one }) => toReal(one, parent[name] as number)));
    const crossed = this.#options.crossover.cross(vectors, box, draws, this.#options.etaCrossover);
    const reals = new Map(shared.map(({ name }, d) => [name, crossed[d]]));
    const chance = 1 / Math.max(1, this.#free.filter((name) => name in parents[0]).length);
    return makePoint(this.#space, (one, _k, name) => {
      const isMutant = draws.uniform() < chance;
      if (one.kind === "choice") {
        const given = parents.filter((parent) => name in parent);
        const isDrawn = isMutant || given.length === 0;
        return isDrawn ? fromUnit(one, draws.uniform()) : given[draws.below(given.length)][name];
      }
      const real = reals.get(name) ?? inherited(one, name, parents);
      if (real === null) return fromUnit(one, draws.uniform());
      if (!isMutant || one.low === one.high) return fromReal(one, real);
      const [low, high] = boundsOf(one);
      const inside = Math.min(high, Math.max(low, real));
      return fromReal(one, mutate(inside, low, high, this.#options.etaMutation, draws.uniform()));
    });
  }
}

/** The real of the first parent that has the parameter; null: none has. */
function inherited(one: Parameter, name: string, parents: readonly Point[]): number | null {
  const parent = parents.find((point) => name in point);
  return parent === undefined || one.kind === "choice" ? null : toReal(one, parent[name] as number);
}
