/** What a model worker's actor asks of the world: answers of its strategy, and other strategies by name. */
import { messageOf } from "../../base/error.ts";
import { askStrategy } from "../../strategy/decision.ts";
import type { Decision, Strategy } from "../../strategy/strategy.ts";
import type { Rim } from "../actor.ts";
import type { Infer, ModelEffect, ModelOutcome } from "./model.ts";

export interface ModelRimOptions {
  /** Finds a strategy by name, loads it and asks it once, so that it is warm. Throws UserError. */
  readonly find?: (name: string) => Promise<{ readonly strategy: Strategy; readonly version: string }>;
}

/** Asks a strategy, as the backtest does; what it may not say is a reason. */
export async function infer({ at, strategy, batch }: Infer): Promise<ModelOutcome> {
  try {
    const decision = await askStrategy(strategy, batch);
    const { confidence = new Float32Array(batch.time.length).fill(1) } = decision as Partial<Decision>;
    const odd = confidence.find((one) => !(one >= 0 && one <= 1));
    if (odd !== undefined) throw new Error(`strategy ${strategy.name} gave the confidence ${odd}`);
    return { kind: "inferred", at, decision: { ...decision, confidence } };
  } catch (error) {
    return { kind: "not-inferred", at, reason: messageOf(error).split("\n")[0] };
  }
}

/** One question at a time is the actor's promise; a strategy is loaded beside the one that works. */
export function modelRim({ find }: ModelRimOptions = {}): Rim<ModelEffect, ModelOutcome> {
  let push: (outcome: ModelOutcome) => void = () => {};
  async function prepare(name: string): Promise<ModelOutcome> {
    if (find === undefined) return { kind: "not-prepared", name, reason: "this worker loads no other model" };
    try { return { kind: "prepared", ...await find(name) }; } catch (error) {
      return { kind: "not-prepared", name, reason: messageOf(error).split("\n")[0] };
    }
  }
  return {
    async start(to) { push = to; },
    carryOut(effect) {
      if (effect.kind === "release") {
        // What cannot be freed is nobody's any more: a GPU that was lost, say.
        effect.strategy.close?.().catch(() => {});
        return;
      }
      const outcome = effect.kind === "infer" ? infer(effect) : prepare(effect.name);
      void outcome.then((one) => { push(one); });
    },
    async stop() { push = () => {}; },
  };
}
