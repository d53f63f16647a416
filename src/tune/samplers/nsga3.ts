/**
 * NSGA-III for trials that end when they end.
 *
 *   told --> archive of N survivors --> tournament --> crossover, mutation --> suggestion
 *              ^ niche.ts: one in, the worst placed out
 *
 * Steady state: every trial is compared with the archive as soon as it is told, so none waits for a
 * generation and none comes too late. Without `divisions` the archive grows with the study (reference.ts:
 * defaultDivisions), so that nobody needs to know how long it will be.
 * Generations, as published (Deb & Jain 2014): suggestions of generation g wait for all of g - 1, and instead
 * of a tournament each survivor mates once: two children of a pair have consecutive numbers.
 *
 * Of trials without a full result those that were stopped early rank behind all complete ones, the longer
 * lived first, and infeasible ones behind those, by violation. Failed ones are only never tried again.
 */
import { assert } from "../../base/assert.ts";
import { random } from "../../base/random.ts";
import type { Random } from "../../base/random.ts";
import { UserError } from "../../base/error.ts";
import type { Setting, Settings } from "../choice.ts";
import { Niching } from "../niche.ts";
import { addToFronts, dominates, frontRanks } from "../rank.ts";
import { countLattice, defaultDivisions, layers, shells } from "../reference.ts";
import { drawPoint } from "../space.ts";
import type { Point } from "../space.ts";
import type { Finished } from "../trial.ts";
import { Breeder } from "./breed.ts";
import { CROSSOVERS } from "./operators.ts";
import type { Sampler, SamplerOptions, Suggestion } from "./sampler.ts";
import { Tried } from "./tried.ts";

/** Children drawn before uniform points are, and points drawn before a repetition is put up with. */
const CHILDREN = 20, DRAWS = 40;
/** Of one layer. With 11 objectives 100 divisions would be 47 million million directions. */
const DIRECTIONS_MAX = 10_000;
/** Draws of a parent that is none of those chosen before. */
const PARENT_DRAWS = 5;
/** d1 + THETA d2 in steady state (niche.ts): it comes near the front in about half the trials. */
const THETA = 5;
/** Trials after which the archive's size is looked at again. */
const GROWTH_CHECK = 50;

export const NSGA3_SETTINGS = {
  mode: { kind: "choice", default: "steady", choices: ["steady", "generations"],
    describe: "whether a suggestion waits for a whole generation" },
  directions: { kind: "choice", default: "lattice", choices: ["lattice", "shells"],
    describe: "how reference directions are laid out" },
  divisions: { kind: "integer", default: 0, min: 0, max: 100,
    describe: "of the outer layer of reference directions; 0: they grow with the study" },
  inner: { kind: "integer", default: 0, min: 0, max: 100, describe: "divisions of the inner layer; 0: none" },
  population: { kind: "integer", default: 0, min: 0, max: 10_000,
    describe: "survivors; 0: the multiple of 4 next to the number of directions, at least 20" },
  startup: { kind: "integer", default: 0, min: 0, max: 10_000,
    describe: "uniform points at the beginning; 0: 10 and 2 for each objective" },
  crossover: { kind: "choice", default: "sbx", choices: Object.keys(CROSSOVERS), describe: "of numbers" },
  etaCrossover: { kind: "number", default: 30, min: 0, max: 1000, describe: "nearness of children (sbx)" },
  etaMutation: { kind: "number", default: 20, min: 0, max: 1000, describe: "nearness of mutants" },
} as const satisfies Record<string, Setting>;

export class Nsga3 implements Sampler {
  readonly #options: SamplerOptions;
  readonly #settings: Settings;
  readonly #breeder: Breeder;
  readonly #niching: Niching;
  readonly #tried: Tried;
  readonly #startup: number;
  /** N, and the outer and inner divisions of its directions. */
  #size = 0;
  #divisions: readonly [number, number] = [0, 0];
  /** The archive's rows: losses (rows, M), violations or what stands for them, points, fronts. */
  #losses = new Float64Array();
  #violations = new Float64Array();
  #points: Point[] = [];
  #ranks: Int32Array = new Int32Array();
  /** Parents are among the first so many rows. */
  #survivors = 0;
  /** In generations: rows, the parents of one pair after those of another. */
  #mates: number[] = [];
  /** Told and not looked at yet: it is done when somebody asks. */
  #told: Finished[] = [];
  /** In generations: told before their turn. */
  readonly #early = new Map<number, Finished>();
  #settled = 0;

  /** Throws UserError for settings that contradict each other. */
  constructor(options: SamplerOptions, settings: Settings) {
    const M = options.objectives;
    this.#options = options;
    this.#settings = settings;
    this.#breeder = new Breeder(options.space, {
      crossover: CROSSOVERS[settings["crossover"] as keyof typeof CROSSOVERS],
      etaCrossover: Number(settings["etaCrossover"]), etaMutation: Number(settings["etaMutation"]) });
    this.#tried = new Tried(options.space);
    if (settings["mode"] === "generations" && settings["divisions"] === 0) {
      throw new UserError("sampler nsga3: generations cannot grow with the study", "set divisions as well");
    }
    checkDivisions(settings, M);
    this.#niching = new Niching(M, this.#isSteady ? THETA : Infinity);
    this.#grow();
    this.#startup = Number(settings["startup"]) || (this.#isSteady ? 10 + 2 * M : this.#size);
  }

  get #isSteady(): boolean { return this.#settings["mode"] === "steady"; }

  tell(trial: Finished): void { this.#told.push(trial); }

  suggest(number: number, running: readonly Point[]): Suggestion | null {
    this.#settle();
    if (!this.#isSteady && this.#settled < number - number % this.#size) return null;
    const { seed, space } = this.#options;
    const draws = random(seed, "nsga3", number);
    const isUniform = number < this.#startup || this.#survivors < 2;
    const point = this.#tried.fresh(running, DRAWS, (attempt) =>
      isUniform || attempt >= CHILDREN ? drawPoint(space, draws)
        : this.#isSteady || attempt > 0 ? this.#breed(draws) : this.#breedPaired(number, draws));
    return { point, parent: null };
  }

  /** The archive: (N) points and (N, M) losses of those that would be parents now. */
  survivors(): { readonly points: readonly Point[]; readonly losses: Float64Array } {
    this.#settle();
    return { points: this.#points.slice(0, this.#survivors),
      losses: this.#losses.slice(0, this.#survivors * this.#options.objectives) };
  }

  /**
   * One parent by tournament, the others drawn (as in the steady state of epsilon-MOEA; Deb, Mohan, Mishra
   * 2003): tournaments alone find a front sooner, and end on a part of it.
   */
  #breed(draws: Random): Point {
    const chosen = [this.#tournament(draws)];
    while (chosen.length < this.#breeder.parents) {
      let row = draws.below(this.#survivors);
      for (let k = 0; k < PARENT_DRAWS && chosen.includes(row); k++) row = draws.below(this.#survivors);
      chosen.push(row);
    }
    return this.#breeder.child(chosen.map((row) => this.#points[row]), draws);
  }

  /** One of the two children of the number's pair; the other is that of the number beside it. */
  #breedPaired(number: number, draws: Random): Point {
    const first = number - number % this.#size, pair = (number - first) >> 1, count = this.#breeder.parents;
    const parents = this.#mates.slice(pair * count, (pair + 1) * count).map((row) => this.#points[row]);
    if ((number - first) % 2 === 1) [parents[0], parents[1]] = [parents[1], parents[0]];
    return this.#breeder.child(parents, draws, random(this.#options.seed, "nsga3", "pair", first, pair));
  }

  /** Everyone in random order, again and again; who is infeasible gives way to a better one, if drawn. */
  #pairUp(): void {
    const count = this.#survivors, draws = random(this.#options.seed, "nsga3", "mates", this.#settled);
    if (count < 2) return;
    const rows = Array.from({ length: count }, (_, row) => row), mates: number[] = [];
    const places = Math.ceil(this.#size / 2) * this.#breeder.parents;
    while (mates.length < places) mates.push(...draws.shuffle(rows));
    this.#mates = mates.map((row) => {
      const other = this.#violations[row] > 0 ? draws.below(count) : row;
      return this.#ranks[other] < this.#ranks[row] ? other : row;
    });
  }

  #tournament(draws: Random): number {
    const a = draws.below(this.#survivors), b = draws.below(this.#survivors);
    return this.#ranks[b] < this.#ranks[a] ? b : a;
  }

  /** Looks at what was told, one by one: the result does not depend on when somebody asked. */
  #settle(): void {
    for (const trial of this.#told) {
      this.#tried.add(trial.point);
      if (this.#isSteady) {
        this.#enter(trial);
        this.#settled++;
        this.#survive();
        if (this.#settled % GROWTH_CHECK === 0) this.#grow();
        continue;
      }
      this.#early.set(trial.number, trial);
      for (let next; (next = this.#early.get(this.#settled)) !== undefined;) {
        this.#early.delete(this.#settled++);
        this.#enter(next);
        if (this.#settled % this.#size > 0) continue;
        this.#survive();
        this.#pairUp();
      }
    }
    this.#told = [];
  }

  /** Directions and places for as many trials as there are; what was learnt of losses stays. */
  #grow(): void {
    const { objectives: M } = this.#options, settings = this.#settings;
    const population = Number(settings["population"]);
    // Eleven trials a direction: a population that was said stands for as many of them.
    const [outer, inner] = settings["divisions"] === 0
      ? defaultDivisions(M, population > 0 ? 11 * population : this.#settled)
      : [Number(settings["divisions"]), Number(settings["inner"])];
    if (outer === this.#divisions[0] && inner === this.#divisions[1]) return;
    this.#divisions = [outer, inner];
    const points = settings["directions"] === "shells" ? shells(M, outer) : layers(M, outer, inner);
    const size = population || Math.max(20, 4 * Math.ceil(points.length / M / 4));
    assert(size >= this.#size, "an archive only grows");
    this.#niching.turnTo(points);
    this.#size = size;
    const rows = this.#isSteady ? size + 1 : 2 * size;
    const losses = new Float64Array(rows * M), violations = new Float64Array(rows);
    losses.set(this.#losses.subarray(0, Math.min(this.#losses.length, losses.length)));
    violations.set(this.#violations);
    this.#losses = losses;
    this.#violations = violations;
  }

  /** A new last row, unless it has no place anyway. */
  #enter({ state, losses, violation, step, point }: Finished): void {
    if (state === "failed" || state === "cancelled") return;
    const M = this.#options.objectives, row = this.#points.length;
    const isKnown = losses.every((loss) => !Number.isNaN(loss));
    const isInfeasible = violation > 0 || state === "infeasible" || state === "complete" && !isKnown;
    this.#violations[row] = isInfeasible ? 1 + (violation || 1) : state === "complete" ? 0 : 1 / (1 + step);
    this.#losses.set(losses, row * M);
    if (this.#isSteady && this.#survivors === this.#size && this.#isBeaten(row)) return;
    this.#points.push(point);
  }

  /** Whether somebody of the last front dominates the row: of a full archive it would be the one to go. */
  #isBeaten(row: number): boolean {
    const violations = this.#violations, last = this.#ranks.reduce((most, rank) => Math.max(most, rank), 0);
    for (let n = 0; n < this.#survivors; n++) {
      if (this.#ranks[n] !== last) continue;
      if (violations[n] !== violations[row] ? violations[n] < violations[row]
        : violations[n] === 0 && dominates(this.#losses, this.#options.objectives, n, row)) return true;
    }
    return false;
  }

  /** All rows become survivors, or the N best of them. */
  #survive(): void {
    const count = this.#points.length, M = this.#options.objectives;
    if (count === this.#survivors) return;
    if (count <= this.#size) {
      this.#ranks = this.#rank(count);
      this.#survivors = count;
      return;
    }
    const draws = random(this.#options.seed, "nsga3", "survival", this.#settled);
    const ranks = this.#rank(count);
    const { rows } = this.#niching.select(this.#losses, this.#violations, count, this.#size, draws, ranks);
    // Who survives stays in place; who is beyond the end moves to where somebody did not.
    const isKept = new Uint8Array(count);
    for (const row of rows) isKept[row] = 1;
    for (let to = 0, from = count - 1; to < this.#size; to++) {
      if (isKept[to] === 1) continue;
      while (isKept[from] === 0) from--;
      this.#losses.copyWithin(to * M, from * M, (from + 1) * M);
      this.#violations[to] = this.#violations[from];
      this.#points[to] = this.#points[from];
      ranks[to] = ranks[from--];
    }
    this.#points.length = this.#size;
    this.#ranks = ranks;
    this.#survivors = this.#size;
  }

  /** (count) fronts; of one new feasible row among feasible ones without ranking all anew. */
  #rank(count: number): Int32Array {
    const M = this.#options.objectives;
    if (count !== this.#survivors + 1 || this.#violations.subarray(0, count).some((one) => one > 0)) {
      return frontRanks(this.#losses, M, this.#violations, count);
    }
    const ranks = new Int32Array(count);
    ranks.set(this.#ranks.subarray(0, count - 1));
    addToFronts(this.#losses, M, ranks, count);
    return ranks;
  }
}

/** Throws UserError where a layer would be more directions than anybody can have trials for. */
function checkDivisions(settings: Settings, M: number): void {
  for (const name of ["divisions", "inner"]) {
    const said = Number(settings[name]), count = countLattice(M, said);
    if (count <= DIRECTIONS_MAX) continue;
    let most = said;
    while (countLattice(M, most) > DIRECTIONS_MAX) most--;
    throw new UserError(`sampler nsga3: ${name} ${said} would be ${count} directions of ${M} objectives`,
      `set ${name} to ${most} or less: ${countLattice(M, most)} directions`);
  }
}
