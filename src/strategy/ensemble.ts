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
 * gradient (combine.ts; models/meta.ts has the step and its sources). Each member is asked with the window
 * and the columns that it reads. Live, the aggregator does the same sums on the same numbers.
 */
import { UserError } from "../base/error.ts";
import { formatPercent } from "../base/table.ts";
import { featureIndex, selectFeatures, type Batch } from "../dataset/batch.ts";
import { AdaptiveMixture, combineDecisions, MIXTURE_FEATURES } from "./combine.ts";
import { askStrategy } from "./decision.ts";
import type { Decision, Strategy } from "./strategy.ts";

export const ENSEMBLE_PREFIX = "ensemble:";
const ADAPTIVE = "+adaptive";

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
  const learner = isAdaptive ? new Learner(members.length) : null;
  const equal = members.map(() => 1 / members.length);
  const own = learner === null ? [] : Object.values(MIXTURE_FEATURES);
  return {
    name, description: `${isAdaptive ? "adaptive mixture" : "mean position"} of ${members.length} strategies`,
    recipe: members[0].recipe, ...(hash === undefined ? {} : { recipeHash: hash }),
    features: [...new Set([...members.flatMap(({ features }) => features), ...own])],
    // The row before says what the bar between earned.
    lookback: Math.max(learner === null ? 1 : 2, ...members.map(({ lookback }) => lookback)),
    ...(from > -Infinity ? { decidesFrom: from } : {}),
    async decide(batch) {
      const said: Decision[] = [];
      for (const member of members) said.push(await askStrategy(member, partOf(batch, member)));
      const weights = learner?.learn(batch, said);
      return combineDecisions(said, (b) => weights?.[b] ?? equal);
    },
    notes: (symbols) => [...new Set(members.flatMap((member) => member.notes?.(symbols) ?? [])),
      ...(learner === null ? [] : [endNote(members, learner.mixture.weights)])],
    isForGpu: members.some((member) => member.isForGpu === true),
    ...(members.every((member) => member.close === undefined) ? {}
      : { close: async () => { for (const member of members) await member.close?.(); } }),
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

/** (B, M) the weights at each row, learned from what was captured up to its close and nothing later. */
class Learner {
  readonly mixture: AdaptiveMixture;
  #time = Infinity;

  constructor(M: number) { this.mixture = new AdaptiveMixture(M); }

  /** Dates in order; a batch that does not follow the last begins a new run. */
  learn(batch: Batch, said: readonly Decision[]): (readonly number[])[] {
    const { mixture } = this, { earned, volatility } = MIXTURE_FEATURES;
    if (!(batch.time[0] > this.#time)) mixture.restart();
    const out: (readonly number[])[] = [];
    const nameOf = (b: number): string => batch.symbols[batch.instrument[b]];
    for (let from = 0, to = 0; from < batch.time.length; from = to) {
      while (to < batch.time.length && batch.time[to] === batch.time[from]) to++;
      for (let b = from; b < to; b++) {
        mixture.earn(nameOf(b), valueAt(batch, b, 1, earned), valueAt(batch, b, 2, volatility));
      }
      const weights = mixture.learn();
      for (let b = from; b < to; b++) {
        out.push(weights);
        mixture.hold(nameOf(b), (m) => said[m].position[b], valueAt(batch, b, 1, volatility));
      }
    }
    this.#time = batch.time.at(-1) ?? this.#time;
    return out;
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
