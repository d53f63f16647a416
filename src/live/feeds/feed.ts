/**
 * What a feed's rim tells its actor, and what the actor asks of it. The rim queues and translates; whatever
 * is decided about a bar is decided by the actor (actors/feed.ts), so that it can be played again by seed.
 *
 *   listing ... listing   ready    heard heard heard   lost   heard   caught-up   heard
 *   └─ history of each ─┘          └── streamed ──┘         (gap filled by REST)
 *                         bars streamed before `ready`, or while lost, are held back until then
 */
import type { Bars, CorporateAction } from "../../market/bars.ts";
import type { Adjustment } from "../../market/sources/source.ts";
import type { AlertFact, BAR_FLAGS, NoticeFact } from "../message.ts";

export type FeedEffect =
  /** Let the simulator play the next step (stepped clock). */
  | { readonly kind: "step" }
  /** Let the simulator go on by itself, at its pace. */
  | { readonly kind: "resume" }
  /** Call `wake` in so many ms: a step may have waited long enough then. */
  | { readonly kind: "wake"; readonly afterMs: number }
  /** The stream is mute: connect anew. */
  | { readonly kind: "reconnect"; readonly reason: string };

/** History of one instrument, as traded. */
export interface Listing {
  readonly bars: Bars;
  readonly actions: readonly CorporateAction[];
  readonly adjustment: Adjustment;
}

export type FeedOutcome =
  | { readonly kind: "listing"; readonly instrument: number; readonly listing: Listing }
  /** History is complete, the stream is up and subscribed. */
  | { readonly kind: "ready" }
  | Heard
  | Parts
  | { readonly kind: "quoted"; readonly at: number; readonly instrument: Int32Array;
    readonly quotes: Float64Array }
  | { readonly kind: "noticed"; readonly notice: NoticeFact }
  /** Nothing is traded on until `caught-up`. */
  | { readonly kind: "lost"; readonly reason: string }
  | { readonly kind: "caught-up" }
  | { readonly kind: "woken" }
  /** A step of trades has been played up to this close: this many are on the stream. */
  | { readonly kind: "played"; readonly close: number; readonly trades: number }
  /** A replay is over. */
  | { readonly kind: "ended" }
  | { readonly kind: "trouble"; readonly severity: AlertFact["severity"]; readonly code: string;
    readonly text: string };

/** Trades, or bars shorter than the session's, of one message: the actor makes bars of them. */
export interface Parts {
  readonly kind: "parts";
  /** (n) moments, of shorter bars their starts, UTC ms. */
  readonly time: Float64Array;
  readonly instrument: Int32Array;
  /** (n, BAR_FIELDS.length) */
  readonly bars: Float64Array;
}

/** Bars of one message or answer of a vendor, of any closes. */
export interface Heard {
  readonly kind: "heard";
  readonly how: Exclude<keyof typeof BAR_FLAGS, "history">;
  /** (n) closes, UTC ms. */
  readonly time: Float64Array;
  /** (n) */
  readonly instrument: Int32Array;
  /** (n, BAR_FIELDS.length) as traded. */
  readonly bars: Float64Array;
  /** All bars of its closes are in it. */
  readonly isWhole: boolean;
  /** Monotonic ns at which their bytes came, if by the stream: latencies count from there. */
  readonly originNs?: number;
}
