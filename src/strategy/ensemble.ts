/**
 * Several strategies as one: the mean of their positions, or a mixture that learns which of them to follow.
 *
 *   ensemble:A,B,C            equal weights
 *   ensemble:A,B,C+adaptive   at each date, before deciding:
 *
 *     row before   position of each member ─┐
 *     this row     what the bar earned ──────┴─> captured / volatility, mean of instruments ─> weights
 *
 * The mixture starts equal and follows what each member's own positions captured, by exponentiated
 * gradient (models/meta.ts has the step and its sources). Each member is asked with the window and the
 * columns that it reads.
 */
import { updateMixture } from "../../models/meta.ts";
import { UserError } from "../base/error.ts";
import { formatPercent } from "../base/table.ts";
import { featureIndex, selectFeatures, type Batch } from "../dataset/batch.ts";
import { askStrategy } from "./decision.ts";
import type { Decision, Strategy } from "./strategy.ts";

export const ENSEMBLE_PREFIX = "ensemble:";
const ADAPTIVE = "+adaptive";
/**
 * Of the exponentiated gradient, on captured returns in deviations of one bar: of two members at 15 % a
 * year, a lead of 5 % shifts the odds by e in a year of days. And the share dealt out anew at each date:
 * what a member has lost is forgotten over about a year.
 */
const RATE = 0.2;
const SHARE = 1 / 252;
/** What is earned from one row to the next, and the volatility it was sized by. */
const RETURN = "ret_1d", VOLATILITY = "daily_vol";

export interface EnsembleName {
  readonly members: readonly string[];
  readonly isAdaptive: boolean;
}

/** Parses "ensemble:A,B,C" and "ensemble:A,B,C+adaptive". */
export function ensembleName(name: string): EnsembleName {
  const isAdaptive = name.endsWith(ADAPTIVE);
  const members = name.slice(ENSEMBLE_PREFIX.length, isAdaptive ? -ADAPTIVE.length : undefined)
    .split(",").map((one) => one.trim()).filter((one) => one !== "");
  if (members.length > 1 && new Set(members).size === members.length) return { members, isAdaptive };
  throw new UserError(`"${name}" is no ensemble of different strategies`,
    `name two or more, each once: ensemble:model:A,tsmom (or ensemble:model:A,tsmom${ADAPTIVE})`);
}

export interface EnsembleOptions {
  /** Default: what its members are called. */
  readonly name?: string;
  readonly isAdaptive?: boolean;
}

/** Members read one recipe; volatilities and confidences are averaged like positions. */
export function ensembleStrategy(members: readonly Strategy[],
  { isAdaptive = false, name = nameOf(members, isAdaptive) }: EnsembleOptions = {}): Strategy {
  const from = Math.max(...members.map(({ decidesFrom }) => decidesFrom ?? -Infinity));
  const hash = checkRecipes(members);
  const mixture = isAdaptive ? new AdaptiveMixture(members.length) : null;
  const equal = members.map(() => 1 / members.length);
  const own = mixture === null ? [] : [RETURN, VOLATILITY];
  return {
    name, description: `${isAdaptive ? "adaptive mixture" : "mean position"} of ${members.length} strategies`,
    recipe: members[0].recipe, ...(hash === undefined ? {} : { recipeHash: hash }),
    features: [...new Set([...members.flatMap(({ features }) => features), ...own])],
    // The row before says what the bar between earned.
    lookback: Math.max(mixture === null ? 1 : 2, ...members.map(({ lookback }) => lookback)),
    ...(from > -Infinity ? { decidesFrom: from } : {}),
    async decide(batch) {
      const said: Decision[] = [];
      for (const member of members) said.push(await askStrategy(member, partOf(batch, member)));
      return mix(said, mixture?.learn(batch, said) ?? Array.from(batch.time, () => equal));
    },
    notes: (symbols) => [...new Set(members.flatMap((member) => member.notes?.(symbols) ?? [])),
      ...(mixture === null ? [] : [endNote(members, mixture.weights)])],
  };
}

const nameOf = (members: readonly Strategy[], isAdaptive: boolean): string =>
  ENSEMBLE_PREFIX + members.map(({ name }) => name).join(",") + (isAdaptive ? ADAPTIVE : "");

const endNote = (members: readonly Strategy[], weights: readonly number[]): string =>
  `The mixture starts equal and ended with ${members.map(({ name }, m) =>
    `${name} at ${formatPercent(weights[m], 0)}`).join(", ")}.`;

/** The hash that members were trained on, if any. UserError when they read different recipes. */
function checkRecipes(members: readonly Strategy[]): string | undefined {
  const [first] = members, hint = "an ensemble reads one recipe: choose members that agree";
  const other = members.find(({ recipe }) => recipe !== first.recipe);
  if (other !== undefined) {
    throw new UserError(
      `${first.name} reads recipe ${first.recipe} and ${other.name} recipe ${other.recipe}`, hint);
  }
  const trained = members.filter(({ recipeHash }) => recipeHash !== undefined);
  const odd = trained.find(({ recipeHash }) => recipeHash !== trained[0].recipeHash);
  if (odd === undefined) return trained[0]?.recipeHash;
  throw new UserError(
    `${trained[0].name} and ${odd.name} were trained on different versions of recipe ${first.recipe}`, hint);
}

/** Sums of what members said, each row with its own weights (B, M). */
function mix(said: readonly Decision[], weights: readonly (readonly number[])[]): Decision {
  const sums = (of: (one: Decision, b: number) => number): Float32Array =>
    Float32Array.from(weights, (own, b) => said.reduce((sum, one, m) => sum + own[m] * of(one, b), 0));
  return {
    position: sums(({ position }, b) => position[b]),
    volatility: sums(({ volatility }, b) => volatility[b]),
    // A strategy of the user's may have none.
    confidence: sums((one, b) => (one as Partial<Decision>).confidence?.[b] ?? 1),
  };
}

/** What members said of an instrument's last row, which is known by its volatility. */
interface Held {
  /** (M) */
  readonly positions: readonly number[];
  readonly volatility: number;
}

/** The weights of M members over a run; keeps state from batch to batch. */
class AdaptiveMixture {
  weights: readonly number[];
  #time = Infinity;
  readonly #start: readonly number[];
  readonly #held = new Map<string, Held>();

  constructor(M: number) {
    this.#start = Array.from({ length: M }, () => 1 / M);
    this.weights = this.#start;
  }

  /** (B, M) the weights at each row, learned from what was captured up to its close and nothing later. */
  learn(batch: Batch, said: readonly Decision[]): (readonly number[])[] {
    if (!(batch.time[0] > this.#time)) { this.weights = this.#start; this.#held.clear(); }
    const out: (readonly number[])[] = [];
    for (let from = 0, to = 0; from < batch.time.length; from = to) {
      while (to < batch.time.length && batch.time[to] === batch.time[from]) to++;
      this.#update(batch, from, to);
      for (let b = from; b < to; b++) {
        out.push(this.weights);
        this.#held.set(batch.symbols[batch.instrument[b]],
          { positions: said.map(({ position }) => position[b]),
            volatility: valueAt(batch, b, 1, VOLATILITY) });
      }
    }
    this.#time = batch.time.at(-1) ?? this.#time;
    return out;
  }

  /** One step on what the bar before rows [from, to), all of one date, earned. */
  #update(batch: Batch, from: number, to: number): void {
    const captured = this.#start.map(() => 0);
    let count = 0;
    for (let b = from; b < to; b++) {
      const last = this.#held.get(batch.symbols[batch.instrument[b]]);
      const sigma = valueAt(batch, b, 2, VOLATILITY);
      // The last row decided on may not be the row before: after a hole in the data it is not.
      if (last === undefined || last.volatility !== sigma || sigma === 0) continue;
      const score = valueAt(batch, b, 1, RETURN) / sigma;
      last.positions.forEach((position, m) => { captured[m] += position * score; });
      count++;
    }
    if (count === 0) return;
    const means = captured.map((sum) => sum / count);
    this.weights = updateMixture(this.weights, means, { rate: RATE, share: SHARE });
  }
}

/** A feature of a window, in its last row (1) or the one before (2). */
function valueAt(batch: Batch, b: number, back: number, name: string): number {
  return batch.features[((b + 1) * batch.lookback - back) * batch.names.length + featureIndex(batch, name)];
}

/** The batch as one member would have been given it: its columns, its last rows. */
function partOf(batch: Batch, { features: names, lookback }: Strategy): Batch {
  if (batch.lookback === lookback && batch.names.length === names.length
    && names.every((name, f) => batch.names[f] === name)) return batch;
  const features = selectFeatures(batch, names, lookback, 0, batch.time.length);
  return { ...batch, names, features, lookback };
}
