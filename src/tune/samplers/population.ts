/**
 * Population-based training (Jaderberg et al. 2017) as a sampler: a trial is one interval of one member.
 *
 *   member 0   trial 0 ──> 4 ──> 8 ──> ...        trial k: member k mod 4, generation floor(k / 4)
 *   member 1   trial 1 ──> 5 ──> 9
 *   member 2   trial 2 ─┬> 6 ──> 10               member 3 was among the worst: its trial 7 goes on from
 *   member 3   trial 3  └> 7 ──> 11               trial 2's checkpoint, with settings near trial 2's
 *
 * Who is worst: the last of fronts, and within a front of the covering order (pruners/directions.ts); then
 * whoever is infeasible, then whoever failed. With several objectives the worst copy the best of their own
 * direction, so that the population keeps its spread (compare MO-PBT, Dushatskiy et al. 2023).
 */
import { assert } from "../../base/assert.ts";
import { random, type Random } from "../../base/random.ts";
import type { Row, Settings } from "../choice.ts";
import { coveringOrder, spreadDirections } from "../pruners/directions.ts";
import { frontRanks } from "../rank.ts";
import { drawPoint, holds, makePoint, type Parameter, type Point, type Space } from "../space.ts";
import { fromReal, fromUnit, stepOf, toReal } from "../transform.ts";
import type { Finished, FinishedState } from "../trial.ts";
import type { Sampler, SamplerOptions } from "./sampler.ts";

export interface PopulationSettings {
  /** Members. */
  readonly population: number;
  /** Share of the members that copy, and of those that are copied. */
  readonly quantile: number;
  /** Probability that a copied setting is drawn anew instead of changed a little. */
  readonly resample: number;
  /** What a setting is multiplied by, one or the other. */
  readonly up: number;
  readonly down: number;
  /** Generations before anybody copies. */
  readonly burnIn: number;
}

const share = (fallback: number, max: number, describe: string) =>
  ({ kind: "number", default: fallback, min: 0, max, describe }) as const;

export const POPULATION: Row<SamplerOptions, Sampler> = {
  describe: "population-based training: the worst go on from the best, with settings near theirs",
  settings: {
    population: { kind: "integer", default: 8, min: 1, max: 10_000, describe: "members" },
    quantile: share(0.25, 0.5, "share of the members that copy, and of those that are copied"),
    resample: share(0.25, 1, "probability that a copied setting is drawn anew"),
    up: { kind: "number", default: 1.2, min: 1, max: 100, describe: "a copied setting grows by this factor" },
    down: share(0.8, 1, "or by this one"),
    burnIn: { kind: "integer", default: 0, min: 0, max: 1_000_000,
      describe: "generations before anybody copies" },
  },
  make: (options, settings: Settings) =>
    populationSampler(options, settings as unknown as PopulationSettings),
};

/** Whether it left a checkpoint at its end. */
const hasCheckpoint = (state: string): boolean => state === "complete" || state === "infeasible";

export function populationSampler(options: SamplerOptions, settings: PopulationSettings): Sampler {
  const { space, seed } = options, { population, quantile, burnIn } = settings;
  const directions = spreadDirections(options.objectives);
  /** Each member's newest finished interval. */
  const newest: (Finished | undefined)[] = Array.from({ length: population });
  return {
    // A member's next interval begins when its last one is told.
    tell(trial) { newest[trial.number % population] = trial; },
    suggest(number) {
      const stream = random(seed, "population", number), own = newest[number % population];
      if (number < population) return { point: drawPoint(space, stream), parent: null };
      if (own?.number !== number - population) return null;
      const scored = newest.filter((one) => one !== undefined);
      const order = populationOrder(scored, directions).map((k) => scored[k]);
      const k = quantileCount(order.length, quantile), isAlive = hasCheckpoint(own.state);
      const isLast = order.slice(order.length - k).includes(own)
        && Math.floor(number / population) > burnIn;
      const donors = order.slice(0, Math.max(k, 1)).filter(({ state }) => hasCheckpoint(state));
      if (isAlive && (!isLast || donors.length === 0)) return { point: own.point, parent: own.number };
      if (donors.length === 0) return { point: drawPoint(space, stream), parent: null };
      const near = ofOwnDirection(own, donors, scored), donor = near[stream.below(near.length)];
      return { point: explore(space, donor.point, stream, settings), parent: donor.number };
    },
  };
}

/** How many of n members are the best, and how many the worst. */
export function quantileCount(n: number, quantile: number): number {
  return n <= 1 ? 0 : Math.min(Math.ceil(n * quantile), Math.floor(n / 2));
}

/** Indices, best first. */
export function populationOrder(trials: readonly Finished[], directions: readonly Float64Array[]): number[] {
  const violations = trials.map(({ state, violation, losses }) =>
    hasCheckpoint(state) ? violation + losses.filter(Number.isNaN).length : Infinity);
  const flat = Float64Array.from(trials.flatMap(({ losses }) => [...losses]));
  const fronts: number[][] = [];
  frontRanks(flat, directions[0].length, violations).forEach((rank, k) => (fronts[rank] ??= []).push(k));
  return fronts.flatMap((front) => {
    if (violations[front[0]] > 0) return front;
    return coveringOrder(front.map((k) => trials[k].losses), directions, front.length).map((k) => front[k]);
  });
}

/**
 * Of the donors those that lie in the direction of a trial, seen from the best losses of all, each objective
 * in units of its range; every donor where that is not known or there is but one objective.
 */
function ofOwnDirection({ losses }: Finished, donors: readonly Finished[],
  all: readonly Finished[]): readonly Finished[] {
  const from = losses.map(() => Infinity), to = losses.map(() => -Infinity);
  for (const one of all) one.losses.forEach((loss, m) => {
    if (!Number.isFinite(loss)) return;
    from[m] = Math.min(from[m], loss);
    to[m] = Math.max(to[m], loss);
  });
  const seen = (row: Float64Array): Float64Array =>
    row.map((loss, m) => to[m] > from[m] ? (loss - from[m]) / (to[m] - from[m]) : 0);
  const own = seen(losses);
  const cosines = donors.map((donor) => cosineOf(own, seen(donor.losses)));
  const most = Math.max(...cosines);
  const near = donors.filter((_, k) => cosines[k] >= most - 1e-9);
  return near.length > 0 ? near : donors;
}

/** The ideal point lies in every direction. */
function cosineOf(a: Float64Array, b: Float64Array): number {
  const lengths = Math.hypot(...a) * Math.hypot(...b);
  return lengths === 0 ? 1 : a.reduce((sum, value, m) => sum + value * b[m], 0) / lengths;
}

/** A point near another one: each setting drawn anew, or moved a little and kept inside its range. */
export function explore(space: Space, point: Point, stream: Random, settings: PopulationSettings): Point {
  return makePoint(space, (one, _, name) => {
    // The same draws for every parameter, whatever becomes of them.
    const isAnew = stream.uniform() < settings.resample, isUp = stream.uniform() < 0.5;
    const anew = stream.uniform(), value = point[name];
    if (isAnew || value === undefined || !holds(one, value)) return fromUnit(one, anew);
    return moved(one, value, isUp, isUp ? settings.up : settings.down);
  });
}

/** Choices of numbers move to a neighbour; texts have no neighbours. */
function moved(one: Parameter, value: number | string, isUp: boolean, factor: number): number | string {
  if (one.kind === "choice") {
    if (typeof value === "string") return value;
    const at = one.choices.indexOf(value) + (isUp ? 1 : -1);
    return one.choices[Math.min(one.choices.length - 1, Math.max(0, at))];
  }
  assert(typeof value === "number", "a number has a number's value");
  const inside = (to: number): number => fromReal(one, toReal(one, to));
  const to = inside(value * factor), step = stepOf(one);
  if (to !== value || step === 0 || factor === 1) return to;
  // On a grid a factor that is lost in rounding is a step; but nothing falls to zero by that.
  const next = inside(value + Math.sign(value * factor - value) * step);
  return next === 0 ? value : next;
}

/** What `keptCheckpoints` reads of a trial. */
export interface Interval {
  readonly number: number;
  readonly state: FinishedState | "waiting" | "running";
  readonly parent: number | null;
}

/**
 * Trials of a population whose checkpoints somebody may still go on from; the others may be deleted. Those
 * are the parents of what is not finished, and each member's newest, which any member may copy. `lag`: in a
 * deterministic study also what was newest for the suggestions that come next. Add what people may want
 * (the front) yourself.
 */
export function keptCheckpoints(trials: readonly Interval[], population: number,
  lag: number | null = null): Set<number> {
  const kept = new Set<number>(), seenTo = lag === null ? Infinity : trials.length - lag;
  const newest = new Map<number, number>();
  for (const { number, state, parent } of trials) {
    if (state === "waiting" || state === "running") {
      if (parent !== null) kept.add(parent);
    } else if (hasCheckpoint(state) && number > seenTo) kept.add(number);
    else if (number <= seenTo) {
      const member = number % population;
      newest.set(member, Math.max(number, newest.get(member) ?? -1));
    }
  }
  for (const { number, state } of trials) {
    if (hasCheckpoint(state) && newest.get(number % population) === number) kept.add(number);
  }
  return kept;
}
