/**
 * An actor is a state machine over messages: it owns its state and nothing else. Time reaches it as an
 * argument, the world as messages from its rim. The same actors run in processes joined by sockets
 * (process.ts) and in one process under a seeded clock (simulation/).
 *
 *   heard ──> handle(message, now) ──> said: facts and commands for others, effects for the rim
 *                    ^                        │
 *                    └── outcome of effects <─┘  persist -> persisted, submit -> submitted, ...
 */
import type { Kind, Spoken, Tick } from "./message.ts";

export type Said<Effect> = readonly (Spoken | Effect)[];

export interface Actor<Effect = never, Outcome = never> {
  readonly name: string;
  /** Kinds of messages that it wants; outcomes of its own effects and ticks come unasked. */
  readonly hears: readonly Kind[];
  /**
   * Takes one message in and says what follows, in order. `now`: UTC ms by the session's clock. Never called
   * again before it has returned (or its promise has settled).
   */
  handle(message: Spoken | Tick | Outcome, now: number): Said<Effect> | Promise<Said<Effect>>;
}

/**
 * The side of an actor that touches the world: it carries out effects and pushes what came of them, and
 * what comes by itself (a vendor's bar, a fill), as messages to its actor. It never throws for what the
 * world may do.
 */
export interface Rim<Effect, Outcome> {
  /** Opens what it needs; the first outcomes tell what was recovered from files. */
  start(push: (outcome: Outcome) => void): Promise<void>;
  carryOut(effect: Effect): void;
  stop(): Promise<void>;
}
