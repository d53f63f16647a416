/**
 * The meta-learner: which members to follow, learned from what their own positions earned. The same mixture
 * as the backtest's `ensemble:A,B+adaptive` (strategy/combine.ts), on the same rows.
 *
 *   predictions of step t-1 ─┐
 *   features of step t ──────┴─> captured by each member ─> weights ─> mixture of step t
 *
 * So it speaks before the members have answered step t. It waits for the predictions of the step before, at
 * most session.deadlineMs; what a member did not say in time earned nothing.
 */
import { AdaptiveMixture, MIXTURE_FEATURES } from "../../strategy/combine.ts";
import type { Actor } from "../actor.ts";
import { BAR_FLAGS, type FeaturesFact, type MixtureFact, type PredictionFact, type Spoken, type Tick }
  from "../message.ts";
import type { Session } from "../session.ts";
import { columnsIn, placeOf, takeRows, WindowRows, type Eligibility } from "./windows.ts";

/** Steps waiting for predictions; beyond it the oldest goes on without them. */
const STEPS_MAX = 64;
/** Rows that are read: this one and the one before. */
const LOOKBACK = 2;

export interface MetaOptions {
  readonly session: Session;
  /** Columns of a features row: the panel's names. */
  readonly names: readonly string[];
  /** What all members need (eligibilityOf): rows that are decided on, and learned from. */
  readonly eligibility: Eligibility;
  /** Senders of `features`; default 1. */
  readonly shards?: number;
}

interface Step {
  readonly at: number;
  readonly heardAt: number;
  readonly instruments: number[];
  heard: number;
}

/** The last step that was learned at: who is held, and what members said. */
interface Deciding {
  readonly at: number;
  readonly instrument: readonly number[];
  /** (M) null: nothing yet. */
  readonly said: (PredictionFact | null)[];
}

/** Says one `mixture` for each live step, in order. UserError when the recipe lacks what it learns from. */
export function metaActor(options: MetaOptions): Actor { return new Learner(options); }

class Learner implements Actor {
  readonly name = "meta";
  readonly hears = ["features", "prediction", "mixture"] as const;
  readonly #options: MetaOptions;
  readonly #models: readonly string[];
  readonly #windows: readonly WindowRows[];
  /** (N) close of the last fresh row. */
  readonly #freshAt: Float64Array;
  readonly #earned: number;
  readonly #volatility: number;
  readonly #steps: Step[] = [];
  /** What members said, by step: they may be faster than the features of their step on their way to here. */
  readonly #said = new Map<number, (PredictionFact | null)[]>();
  #mixture: AdaptiveMixture;
  #deciding: Deciding | null = null;

  constructor(options: MetaOptions) {
    const { session, names, eligibility } = options;
    this.#options = options;
    this.#models = session.models.map(({ worker }) => worker);
    [this.#earned, this.#volatility] = columnsIn(names,
      [MIXTURE_FEATURES.earned, MIXTURE_FEATURES.volatility], "the adaptive mixture");
    const needed = columnsIn(names, eligibility.features, "the ensemble");
    this.#freshAt = new Float64Array(session.symbols.length).fill(NaN);
    this.#windows = session.symbols.map(() => new WindowRows(names.length, needed, LOOKBACK));
    this.#mixture = new AdaptiveMixture(this.#models.length);
  }

  handle(message: Spoken | Tick, now: number): readonly Spoken[] {
    if (message.kind === "features") this.#take(message, now);
    if (message.kind === "prediction") this.#hear(message);
    if (message.kind === "mixture") this.#recover(message);
    return this.#learn(now);
  }

  /** Its own last words, when it was restarted. */
  #recover({ models, weights }: MixtureFact): void {
    if (this.#deciding !== null || models.join() !== this.#models.join()) return;
    this.#mixture = new AdaptiveMixture(models.length, weights);
  }

  #take(message: FeaturesFact, now: number): void {
    const { at, flags } = message;
    const isFresh = flags.length === 0 || flags.includes(BAR_FLAGS.fresh);
    let step = this.#steps.find((one) => one.at === at);
    const newest = this.#steps.at(-1)?.at ?? this.#deciding?.at ?? -Infinity;
    if (step === undefined && isFresh && at > newest) {
      step = { at, heardAt: now, instruments: [], heard: 0 };
      this.#steps.push(step);
    }
    if (step !== undefined && isFresh) step.heard++;
    takeRows(message, this.#windows, this.#freshAt, step?.instruments ?? null);
  }

  #hear(prediction: PredictionFact): void {
    const m = this.#models.indexOf(prediction.model);
    if (m < 0 || prediction.at < (this.#deciding?.at ?? -Infinity)) return;
    this.#saidAt(prediction.at)[m] ??= prediction;
  }

  /** (M) of a step; beyond STEPS_MAX steps the oldest is forgotten. */
  #saidAt(at: number): (PredictionFact | null)[] {
    const known = this.#said.get(at);
    if (known !== undefined) return known;
    const said = this.#models.map(() => null);
    this.#said.set(at, said);
    if (this.#said.size > STEPS_MAX) this.#said.delete(Math.min(...this.#said.keys()));
    return said;
  }

  #learn(now: number): readonly MixtureFact[] {
    const { session: { deadlineMs }, shards = 1, eligibility } = this.#options, said: MixtureFact[] = [];
    for (;;) {
      const [step] = this.#steps;
      if (step === undefined) return said;
      const isAnswered = this.#deciding?.said.includes(null) !== true && step.heard >= shards;
      if (!isAnswered && now < step.heardAt + deadlineMs && this.#steps.length <= STEPS_MAX) return said;
      this.#hold();
      this.#steps.shift();
      const { at } = step, instrument = step.instruments.sort((a, b) => a - b)
        .filter((i) => this.#windows[i].runAt(at) >= eligibility.lookback);
      for (const i of instrument) {
        const window = this.#windows[i];
        this.#mixture.earn(i, window.valueAt(at, 0, this.#earned), window.valueAt(at, 1, this.#volatility));
      }
      said.push({ kind: "mixture", at, models: this.#models, weights: this.#mixture.learn() });
      this.#deciding = { at, instrument, said: this.#saidAt(at) };
      for (const old of this.#said.keys()) if (old < at) this.#said.delete(old);
    }
  }

  /** What members said of the last step is held until the next. */
  #hold(): void {
    if (this.#deciding === null || this.#deciding.said.every((one) => one === null)) return;
    const { at, instrument, said } = this.#deciding;
    for (const i of instrument) {
      const positionOf = (m: number): number => {
        const one = said[m], position = one?.position[placeOf(one.instrument, i)] ?? 0;
        return Math.abs(position) <= 1 ? position : 0;
      };
      this.#mixture.hold(i, positionOf, this.#windows[i].valueAt(at, 0, this.#volatility));
    }
  }
}
