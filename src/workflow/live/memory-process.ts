/**
 * A process of the in-memory graph: what it is made of, what it lives in, and what it has said that others
 * who start later are told.
 */
import type { Clock } from "../../base/clock.ts";
import type { Actor, Rim } from "../../live/actor.ts";
import { BAR_FLAGS, type Fact, type Kind } from "../../live/message.ts";

export interface Kinded { readonly kind: string }

/** One actor of a process, with the side of it that touches the world. */
export interface Member {
  readonly actor: Actor<Kinded, Kinded>;
  readonly rim: Rim<Kinded, Kinded> | null;
}

/** What a process is given to live in: it ends with the process. */
export interface Host {
  readonly name: string;
  /** The machine's clock as this process reads it: it may be stepped. */
  readonly clock: Clock;
  /** Aborted when the process is killed. */
  readonly signal: AbortSignal;
  /** Runs something in this process after a while: later if it is frozen, never if it is dead by then. */
  after(delayMs: number, run: () => void): void;
}

export interface MemoryProcess {
  readonly name: string;
  /** A fresh start: actors without memory. Called again after a kill. */
  start(host: Host): readonly Member[];
}

export interface Weather {
  /** Of each hop, ms: uniform in between. */
  readonly delayMs: readonly [number, number];
  /** Share of facts that are lost, or come twice. */
  readonly lostShare: number;
  readonly twiceShare: number;
}
export const CALM: Weather = { delayMs: [0, 0], lostShare: 0, twiceShare: 0 };

/** One line of the record. */
export interface Entry {
  readonly elapsedMs: number;
  readonly process: string;
  readonly what: "said" | "effect" | "outcome" | "started" | "killed" | "crashed" | "frozen" | "gap"
    | "refilled" | "undelivered";
  readonly message: Kinded | null;
  readonly text: string;
}

/** A process as the bus sees it. */
export interface LiveProcess {
  readonly name: string;
  readonly definition: MemoryProcess;
  life: number;
  isAlive: boolean;
  awakeMs: number;
  skewMs: number;
  crashes: number;
  members: readonly Member[];
  /** With the member that alone is meant; null: whoever hears the kind. */
  inbox: { message: Kinded; to: Member | null; done?: () => void }[];
  isPumping: boolean;
  abort: AbortController;
  /** For those who start later. */
  readonly told: Fact[];
  readonly lastWord: Map<string, Fact>;
}

/** Facts kept for those who missed some; older ones cannot be had any more. */
const RETAINED_MAX = 20_000;

export const hears = (process: LiveProcess, kind: Kind): boolean =>
  process.members.some(({ actor }) => actor.hears.includes(kind));

export function retain(from: LiveProcess, fact: Fact): void {
  if (fact.kind === "market" || fact.kind === "features") {
    from.told.push(fact);
    if (from.told.length > RETAINED_MAX) from.told.shift();
  } else if (fact.kind === "account" || fact.kind === "trading-state" || fact.kind === "mixture") {
    from.lastWord.set(fact.kind, fact);
  }
}

/** Nobody decides on what is past. */
export function asHistory(fact: Fact): Fact {
  if (fact.kind !== "market" && fact.kind !== "features") return fact;
  return { ...fact, flags: new Uint8Array(fact.flags.length)
    .fill(BAR_FLAGS.history) };
}
