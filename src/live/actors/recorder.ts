/**
 * The recorder hears everything and forgets nothing it was not told to: messages are gathered for FLUSH_MS or
 * ROWS_MAX rows, then given to its rim as one `persist`, which is one transaction.
 *
 *   anything said ──> rows (recorder/rows.ts) ──persist──> rim ──persisted | stuck | dropped──> alert
 */
import type { Actor } from "../actor.ts";
import { BAR_FLAGS, SPOKEN_CODES, type AlertFact, type Kind, type Spoken } from "../message.ts";
import type { Session } from "../session.ts";
import { repeatFilter } from "../recorder/repeats.ts";
import { rowsOf, startRows } from "../recorder/rows.ts";
import type { Row } from "../recorder/schema.ts";

/**
 * Longest that a message waits to be written, ms, and most rows or messages of a flush. Each flush makes the
 * disk busy, and the next order's intent must be on it before the order leaves: not too often.
 */
export const FLUSH_MS = 500, ROWS_MAX = 1000;
/** Alerts of one code are at least so far apart, ms. */
const QUIET_MS = 60_000;

export interface Heard { readonly heardAt: number; readonly message: Spoken }
/** Write these, in this order. */
export interface Persist {
  readonly kind: "persist";
  readonly batch: number;
  /** For the journal. */
  readonly heard: readonly Heard[];
  /** For the databases. */
  readonly rows: readonly Row[];
}
export type RecorderOutcome =
  /** What was found damaged at the start and mended, as sentences. */
  | { readonly kind: "recovered"; readonly found: readonly string[] }
  | { readonly kind: "persisted"; readonly batch: number;
    /** Rows that the schemas did not take, so far. */
    readonly refused: number; readonly wasStuck: boolean }
  | { readonly kind: "stuck"; readonly reason: string }
  | { readonly kind: "died"; readonly reason: string }
  /** The queue was full. */
  | { readonly kind: "dropped"; readonly batch: number; readonly rows: number; readonly messages: number };

/** Features of the history follow from its bars, which are kept; nobody decided on them. */
const isOfHistory = (message: Spoken): boolean =>
  message.kind === "features" && message.flags.every((flag) => flag === BAR_FLAGS.history);

const HEARS = Object.keys(SPOKEN_CODES) as Kind[];

export interface RecorderOptions {
  readonly session: Session;
  /** Real ms, never back. Default: the session's clock, by which a replay of days flushes at every tick. */
  readonly elapsedMs?: () => number;
}

export function recorderActor({ session, elapsedMs }: RecorderOptions): Actor<Persist, RecorderOutcome> {
  const state = startRows(session), isRepeat = repeatFilter(), saidAt = new Map<string, number>();
  let heard: Heard[] = [], rows: Row[] = [], since = NaN, batch = 0, dropped = 0, refused = 0;

  function take(message: Spoken, now: number): Persist[] {
    if (isRepeat(message) || isOfHistory(message)) return [];
    if (heard.length === 0) since = elapsedMs?.() ?? now;
    const made = rowsOf(state, message);
    // Heartbeats between the samples that are kept would fill the journal with nothing.
    if (message.kind === "heartbeat" && made.length === 0) return [];
    heard.push({ heardAt: now, message });
    for (const row of made) rows.push(row);
    return heard.length >= ROWS_MAX || rows.length >= ROWS_MAX ? flush() : [];
  }
  function flush(): Persist[] {
    if (heard.length === 0) return [];
    const effect: Persist = { kind: "persist", batch: batch++, heard, rows };
    heard = [];
    rows = [];
    return [effect];
  }
  /** Says it and, since nobody hears himself, records it. */
  function alert(now: number, severity: AlertFact["severity"], code: string,
    text: string): (AlertFact | Persist)[] {
    if (now - (saidAt.get(code) ?? -Infinity) < QUIET_MS) return [];
    saidAt.set(code, now);
    const fact: AlertFact = { kind: "alert", at: now, severity, code, text, process: "recorder" };
    return [fact, ...take(fact, now)];
  }
  /** What came of an effect, as alerts; the rim has counted already. */
  function outcome(message: RecorderOutcome, now: number): (AlertFact | Persist)[] {
    if (message.kind === "recovered") {
      return message.found.length === 0 ? []
        : alert(now, "warning", "recordings-recovered", message.found.join("; "));
    }
    if (message.kind === "stuck") {
      return alert(now, "critical", "recorder-stuck", `recording waits for the disk: ${message.reason}`);
    }
    if (message.kind === "died") {
      return alert(now, "critical", "recorder-died", `the recorder's writer died: ${message.reason}`);
    }
    if (message.kind === "dropped") {
      dropped += message.messages;
      return alert(now, "critical", "recorder-dropped",
        `the disk is too slow: ${dropped} messages so far were not recorded; trading goes on`);
    }
    const said = message.wasStuck ? alert(now, "info", "recorder-resumed", "recording goes on") : [];
    if (message.refused <= refused) return said;
    ({ refused } = message);
    return [...said, ...alert(now, "warning", "rows-refused", `a database refused ${refused} rows so far`)];
  }
  return {
    name: "recorder", hears: HEARS,
    handle(message, now) {
      switch (message.kind) {
        case "tick": {
          const elapsed = elapsedMs?.() ?? now;
          return elapsed - since >= FLUSH_MS || elapsed < since ? flush() : [];
        }
        case "recovered": case "stuck": case "died": case "dropped": case "persisted":
          return outcome(message, now);
        // The process is about to end: what is in hand goes to the rim now.
        case "control":
          return [...take(message, now), ...(message.action === "stop" ? flush() : [])];
        default: return take(message, now);
      }
    },
  };
}
