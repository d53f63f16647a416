/**
 * TPE: the tree-structured Parzen estimator (Bergstra, Bardenet, Bengio, Kegl 2011), multivariate, with the
 * constants of Optuna 5.
 *
 *   told trials, best first   | the best tenth |            all others + what runs          |
 *                                  l(point)                       g(point)
 *
 * Candidates are drawn from l; the one with the greatest log l - log g is suggested. Running points stand
 * among the others, so that workers side by side do not all look at the same place (a constant liar).
 * One objective: parameters under the same condition have product kernels, over the trials in which they were
 * active. Several: each parameter on its own. Good trials lie along a front then, and kernels of whole points
 * would find again what is on it already (measured in test/long-tune-tpe.ts).
 */
import { random } from "../../base/random.ts";
import type { Random } from "../../base/random.ts";
import type { Settings } from "../choice.ts";
import { drawPoint, isActive, makePoint } from "../space.ts";
import type { Parameter, Point, Space } from "../space.ts";
import { fromUnit } from "../transform.ts";
import { HypervolumeSplit } from "./many-tpe.ts";
import { Observations, Parzen, axesOf, valueAt } from "./parzen.ts";
import type { Sampler, SamplerOptions } from "./sampler.ts";
import { LossSplit } from "./split.ts";
import type { Split } from "./split.ts";

export interface TpeSettings {
  /** Random points before the first estimate. */
  readonly startup: number;
  /** Points drawn from l for one suggestion. */
  readonly candidates: number;
}

export const TPE_SETTINGS = {
  startup: { kind: "integer", default: 10, min: 1, max: 100_000,
    describe: "random points before the first estimate" },
  candidates: { kind: "integer", default: 24, min: 1, max: 10_000,
    describe: "points that are compared for one suggestion" },
} as const;

/** TPE for any number of objectives. */
export function tpeSampler(options: SamplerOptions, settings: Settings): Sampler {
  const { objectives, seed } = options;
  const split = objectives === 1 ? new LossSplit() : new HypervolumeSplit(objectives, seed);
  return estimatorSampler(options, settings as unknown as TpeSettings, split);
}

/** TPE over any way of telling good trials from others. */
export function estimatorSampler({ space, seed, objectives }: SamplerOptions,
  { startup, candidates }: TpeSettings, split: Split): Sampler {
  const groups = groupsOf(space, objectives === 1);
  let told = 0, isGood = new Uint8Array(64);
  return {
    tell(trial) {
      if (trial.state === "failed" || trial.state === "cancelled") return;
      split.tell(trial);
      for (const group of groups) group.tell(told, trial.point);
      told++;
    },
    suggest(number, running) {
      const draws = random(seed, "tpe", number);
      if (told < startup) return { point: drawPoint(space, draws), parent: null };
      if (isGood.length < told) isGood = new Uint8Array(2 * told);
      split.mark(isGood);
      const drawn: Record<string, number | string> = {};
      const point = makePoint(space, (one, _, name) => {
        const group = groups.find((each) => each.names.has(name));
        if (group !== undefined && !Object.hasOwn(drawn, name)) {
          group.suggest(isGood, running, draws, candidates, drawn);
        }
        return drawn[name] ?? fromUnit(one, 0);
      });
      return { point, parent: null };
    },
  };
}

/** Parameters under one condition, of which each trial has all or none. */
class Group {
  readonly names: ReadonlySet<string>;
  readonly #first: Parameter;
  readonly #seen: Observations;
  /** (count) where a row of `seen` stands among all told trials */
  #rows = new Int32Array(64);
  readonly #good: Parzen;
  readonly #others: Parzen;
  #side = new Uint8Array(64);
  readonly #candidate: Float64Array;
  readonly #best: Float64Array;

  constructor(parameters: readonly (readonly [string, Parameter])[]) {
    const axes = axesOf(parameters);
    this.names = new Set(axes.map(({ name }) => name));
    this.#first = parameters[0][1];
    this.#seen = new Observations(axes);
    this.#good = new Parzen(axes);
    this.#others = new Parzen(axes);
    this.#candidate = new Float64Array(axes.length);
    this.#best = new Float64Array(axes.length);
  }

  tell(row: number, point: Point): void {
    if (!isActive(this.#first, point)) return;
    if (this.#seen.count === this.#rows.length) {
      const rows = new Int32Array(2 * this.#rows.length);
      rows.set(this.#rows);
      this.#rows = rows;
    }
    this.#rows[this.#seen.count] = row;
    this.#seen.push(point);
  }

  /** Draws values of the group's parameters into `point`. */
  suggest(isGood: Uint8Array, running: readonly Point[], draws: Random, candidates: number,
    point: Record<string, number | string>): void {
    const seen = this.#seen, told = seen.count;
    for (const one of running) if (isActive(this.#first, one)) seen.push(one);
    if (this.#side.length < seen.count) this.#side = new Uint8Array(2 * seen.count);
    for (let k = 0; k < seen.count; k++) this.#side[k] = k < told ? isGood[this.#rows[k]] : 0;
    this.#good.fit(seen, this.#side, 1, false);
    this.#others.fit(seen, this.#side, 0, true);
    seen.cut(told);
    const candidate = this.#candidate;
    let greatest = -Infinity;
    for (let k = 0; k < candidates; k++) {
      this.#good.draw(draws, candidate);
      const gain = this.#good.logDensity(candidate) - this.#others.logDensity(candidate);
      if (gain > greatest || k === 0) {
        greatest = gain;
        this.#best.set(candidate);
      }
    }
    seen.axes.forEach((axis, d) => { point[axis.name] = valueAt(axis, this.#best[d]); });
  }
}

/** One group per condition, or per parameter, without those in which there is nothing to decide. */
function groupsOf(space: Space, isJoint: boolean): Group[] {
  const groups = Map.groupBy(Object.entries(space), ([name, { when }]) =>
    isJoint ? JSON.stringify(when ?? null) : name);
  return [...groups.values()].map((parameters) => new Group(parameters))
    .filter(({ names }) => names.size > 0);
}
