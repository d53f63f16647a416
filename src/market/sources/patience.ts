/**
 * Asking again: which failures of a vendor are worth another try, how long to wait before it, and
 * when to stop.
 *
 *   429            what Retry-After says, else a minute (the window of every plan)
 *   5xx, network   1, 2, 4, 8, 16 s, each times a seeded factor in [0.5, 1]: processes spread out
 *   wrong page     the same: what cannot be right (repeated, unordered, miscounted) is asked again
 *
 * After ATTEMPTS_MAX failures in a row, or when asked to wait longer than RETRY_AFTER_MAX_MS, the
 * last one stands.
 */
import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/error.ts";
import type { Random } from "../../base/random.ts";
import { MS_PER_MINUTE } from "../../base/units.ts";

export type TroubleKind = "rate" | "server" | "network" | "page";

/** A failure that may pass. Its message is half a sentence, without the vendor's name or a key. */
export class Trouble extends Error {
  override readonly name = "Trouble";
  readonly kind: TroubleKind;
  /** What the vendor asked us to wait, or null. */
  readonly retryAfterMs: number | null;
  constructor(kind: TroubleKind, message: string, retryAfterMs: number | null = null) {
    super(message);
    this.kind = kind;
    this.retryAfterMs = retryAfterMs;
  }
}

export const ATTEMPTS_MAX = 6;
const RETRY_AFTER_MAX_MS = 5 * MS_PER_MINUTE;
const FIRST_WAIT_MS = 1_000;

export interface Terms {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly random: Random;
  /** Told of each wait before another try. */
  readonly onWait: (trouble: Trouble, waitMs: number) => void;
}

/** Runs `attempt` until it succeeds. Throws its last Trouble at the limit, anything else at once. */
export async function patiently<T>(attempt: () => Promise<T>, terms: Terms): Promise<T> {
  for (let failures = 1; ; failures++) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof Trouble) || terms.signal.aborted) throw error;
      const wait = waitMs(error, failures, terms.random);
      if (failures >= ATTEMPTS_MAX || wait > RETRY_AFTER_MAX_MS) throw error;
      terms.onWait(error, wait);
      await terms.clock.sleep(wait, terms.signal);
    }
  }
}

function waitMs(trouble: Trouble, failures: number, random: Random): number {
  if (trouble.kind === "rate") return trouble.retryAfterMs ?? MS_PER_MINUTE;
  const backOff = FIRST_WAIT_MS * 2 ** (failures - 1) * (0.5 + 0.5 * random.uniform());
  return Math.max(backOff, trouble.retryAfterMs ?? 0);
}

/** Retry-After (RFC 9110, 10.2.3: seconds or a date) in ms from `now`; null when unreadable. */
export function parseRetryAfter(text: string | null, now: number): number | null {
  if (text === null || text.trim() === "") return null;
  if (/^\s*\d+(\.\d+)?\s*$/.test(text)) return Number(text) * 1_000;
  const at = Date.parse(text);
  return Number.isNaN(at) ? null : Math.max(0, at - now);
}

/** In words, why an exchange of bytes failed: never an address or a header. */
export function networkReason(error: unknown): string {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if (at instanceof SyntaxError) return "an answer that is cut off";
    if (at.name === "TimeoutError") return "no answer in time";
    const code = (at as NodeJS.ErrnoException).code;
    if (typeof code === "string" && code in NETWORK_REASONS) return NETWORK_REASONS[code];
  }
  return messageOf(error);
}

const NETWORK_REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused", ECONNRESET: "connection reset", ENOTFOUND: "host not found",
  EAI_AGAIN: "host not found", ETIMEDOUT: "no answer in time", EHOSTUNREACH: "no route to the host",
  ENETUNREACH: "no network", UND_ERR_SOCKET: "connection closed in the middle of an answer",
  UND_ERR_CONNECT_TIMEOUT: "no answer in time", UND_ERR_HEADERS_TIMEOUT: "no answer in time",
  UND_ERR_BODY_TIMEOUT: "no answer in time",
};
