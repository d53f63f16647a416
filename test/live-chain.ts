/** Feature rows through models, mixture and aggregator in one process: who hears what, without sockets. */
import type { Actor } from "../src/live/actor.ts";
import { aggregatorActor, type AggregatorOptions } from "../src/live/actors/aggregator.ts";
import { metaActor } from "../src/live/actors/meta.ts";
import { infer } from "../src/live/actors/model-rim.ts";
import { modelActor, type ModelActor, type ModelEffect } from "../src/live/actors/model.ts";
import { eligibilityOf } from "../src/live/actors/windows.ts";
import type { AlertFact, DecisionFact, Kind, MixtureFact, PredictionFact, Spoken, Tick } from "../src/live/message.ts";
import type { Session } from "../src/live/session.ts";
import type { Strategy } from "../src/strategy/strategy.ts";

export interface ChainOptions extends Omit<AggregatorOptions, "session"> {
  readonly session: Session;
  readonly strategies: readonly Strategy[];
  readonly names: readonly string[];
  /** Changes or drops (null) what is said before others hear it. */
  readonly meddle?: (message: Spoken, now: number) => Spoken | null;
}

export class Chain {
  readonly decisions: DecisionFact[] = [];
  readonly mixtures: MixtureFact[] = [];
  readonly predictions: PredictionFact[] = [];
  readonly alerts: AlertFact[] = [];
  readonly models: readonly ModelActor[];
  readonly #actors: readonly Actor[];
  readonly #meddle: NonNullable<ChainOptions["meddle"]>;

  constructor({ session, strategies, names, meddle = (message) => message, ...rest }: ChainOptions) {
    const isAdaptive = session.mixture === "adaptive", eligibility = eligibilityOf(strategies, isAdaptive);
    this.#meddle = meddle;
    this.models = session.models.map(({ worker }, m) =>
      modelActor({ session, worker, strategy: strategies[m], version: `v${m}`, names, eligibility }));
    this.#actors = [aggregatorActor({ session, ...rest }), ...(isAdaptive ? [metaActor({ session, names, eligibility })] : [])];
  }

  async tell(message: Spoken | Tick, now: number): Promise<void> {
    const heard = message.kind === "tick" ? message : this.#meddle(message, now);
    if (heard === null) return;
    if (heard.kind === "decision") { this.decisions.push(heard); return; }
    if (heard.kind === "alert") { this.alerts.push(heard); return; }
    if (heard.kind === "mixture") this.mixtures.push(heard);
    if (heard.kind === "prediction") this.predictions.push(heard);
    const hears = (actor: { readonly hears: readonly Kind[] }): boolean => heard.kind === "tick"
      || actor.hears.includes(heard.kind);
    for (const actor of this.#actors) {
      if (hears(actor)) for (const said of await actor.handle(heard, now)) await this.tell(said, now);
    }
    for (const model of this.models) if (hears(model)) await this.#carry(await model.handle(heard, now), model, now);
  }

  async #carry(said: readonly (Spoken | ModelEffect)[], model: ModelActor, now: number): Promise<void> {
    for (const one of said) {
      if (one.kind === "infer") await this.#carry(await model.handle(await infer(one), now), model, now);
      else if (one.kind !== "prepare" && one.kind !== "release") await this.tell(one, now);
    }
  }
}
