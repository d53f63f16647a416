/** An actor with its rim, whatever their effects are called: what a process holds. */
import type { Actor, Rim } from "./actor.ts";
import type { Kind, Spoken, Tick } from "./message.ts";

/** What may lie on an actor's desk: something said, a tick, or an outcome of its rim. */
export type Inbound = Spoken | Tick | { readonly kind: string };

export interface Hosted {
  readonly name: string;
  readonly hears: readonly Kind[];
  handle(message: Inbound, now: number): readonly { readonly kind: string }[]
    | Promise<readonly { readonly kind: string }[]>;
  start(push: (outcome: { readonly kind: string }) => void): Promise<void>;
  carryOut(effect: { readonly kind: string }): void;
  stop(): Promise<void>;
  /** Nothing that it carries out is under way. */
  isIdle(): boolean;
}

type Named = { readonly kind: string };

/** Pairs an actor with the rim that carries out its effects and brings their outcomes. */
export function host<Effect extends Named, Outcome extends Named>(actor: Actor<Effect, Outcome>,
  rim?: Rim<Effect, Outcome> & { isIdle?(): boolean }): Hosted {
  return {
    name: actor.name, hears: actor.hears,
    // Outcomes come from this rim only, so the kinds match; the pair is checked where it is put together.
    handle: (message, now) => actor.handle(message as Spoken | Tick | Outcome, now),
    start: async (push) => { await rim?.start(push); },
    carryOut(effect) {
      if (rim === undefined) throw new Error(`${actor.name} asked for "${effect.kind}" and has no rim`);
      rim.carryOut(effect as Effect);
    },
    stop: async () => { await rim?.stop(); },
    isIdle: () => rim?.isIdle?.() ?? true,
  };
}
