/**
 * Who is alive: heartbeats of all processes, twice a second each.
 *
 *   heartbeat ──> healthy ──3 missed──> late (warning) ──30 s──> lost (critical) ──heartbeat──> healthy
 *
 * Silence is measured by the machine (`elapsedMs`), because a session's clock may run with the market's time.
 */
import type { Actor } from "../actor.ts";
import type { AlertFact, HeartbeatFact } from "../message.ts";
import type { Session } from "../session.ts";

export const HEARTBEAT_MS = 500, MISSED_MAX = 3, LOST_MS = 30_000;

export interface HealthLimits {
  /** Resident memory of one process, bytes, and longest block of an event loop, ms: above it, a warning. */
  readonly memoryMaxBytes: number;
  readonly loopDelayMaxMs: number;
}
export const HEALTH_LIMITS: HealthLimits = { memoryMaxBytes: 2 * 2 ** 30, loopDelayMaxMs: 500 };
/** A breached limit is said again after this long, ms. */
const QUIET_MS = 300_000;

export type Health = "expected" | "healthy" | "late" | "lost" | "stopped";
export interface ProcessHealth {
  readonly process: string;
  readonly health: Health;
  readonly silentMs: number;
  /** Null before the first. */
  readonly heartbeat: HeartbeatFact | null;
  /** Times that it was seen with a new process id. */
  readonly restarts: number;
}
export interface HealthActor extends Actor { readonly processes: () => ProcessHealth[] }

export interface HealthOptions {
  readonly session: Session;
  /** Processes that must say something; others are watched from their first heartbeat on. */
  readonly expected: readonly string[];
  /** Monotonic, ms. */
  readonly elapsedMs: () => number;
  readonly limits?: HealthLimits;
}

interface Watched { heardMs: number; health: Health; heartbeat: HeartbeatFact | null; restarts: number;
  readonly saidMs: Map<string, number> }

export function healthActor({ expected, elapsedMs, limits = HEALTH_LIMITS }: HealthOptions): HealthActor {
  const watched = new Map<string, Watched>();
  const watch = (process: string): Watched => {
    const fresh: Watched = {
      heardMs: elapsedMs(), health: "expected", heartbeat: null, restarts: 0, saidMs: new Map() };
    watched.set(process, fresh);
    return fresh;
  };
  for (const process of expected) watch(process);

  function hear(beat: HeartbeatFact, now: number): AlertFact[] {
    const one = watched.get(beat.process) ?? watch(beat.process), was = one.health;
    if (one.heartbeat !== null && one.heartbeat.pid !== beat.pid) one.restarts++;
    one.heardMs = elapsedMs();
    one.heartbeat = beat;
    one.health = beat.state === "stopped" ? "stopped" : "healthy";
    const said: AlertFact[] = [];
    if (was === "late" || was === "lost") {
      said.push(alert(now, "info", "process-back", beat.process, `${beat.process} is heard again`));
    }
    const breach = (code: string, isBreached: boolean, text: () => string): void => {
      const last = one.saidMs.get(code) ?? -Infinity;
      if (!isBreached || one.heardMs - last < QUIET_MS) return;
      one.saidMs.set(code, one.heardMs);
      said.push(alert(now, "warning", code, beat.process, text()));
    };
    breach("memory-high", beat.memoryBytes > limits.memoryMaxBytes, () =>
      `${beat.process} holds ${mebibytes(beat.memoryBytes)} of memory, `
      + `above ${mebibytes(limits.memoryMaxBytes)}`);
    // A process that starts takes in its history and may be busy.
    breach("loop-blocked", beat.state === "running" && beat.loopDelayMs > limits.loopDelayMaxMs, () =>
      `the event loop of ${beat.process} was blocked for ${Math.round(beat.loopDelayMs)} ms, `
      + `above ${limits.loopDelayMaxMs} ms`);
    return said;
  }
  function look(now: number): AlertFact[] {
    const said: AlertFact[] = [], ms = elapsedMs();
    for (const [process, one] of watched) {
      const silentMs = ms - one.heardMs;
      if (one.health === "stopped" || one.health === "lost") continue;
      if (silentMs > LOST_MS) {
        one.health = "lost";
        said.push(alert(now, "critical", "process-lost", process,
          `${process} was not heard for ${LOST_MS / 1000} s`));
      } else if (one.health === "healthy" && silentMs > MISSED_MAX * HEARTBEAT_MS) {
        one.health = "late";
        said.push(alert(now, "warning", "process-late", process,
          `${process} missed ${MISSED_MAX} heartbeats`));
      }
    }
    return said;
  }
  return {
    name: "health", hears: ["heartbeat", "tick"],
    processes: () => [...watched].map(([process, { heardMs, health, heartbeat, restarts }]) =>
      ({ process, health, heartbeat, restarts, silentMs: elapsedMs() - heardMs })),
    handle: (message, now) => message.kind === "heartbeat" ? hear(message, now)
      : message.kind === "tick" ? look(now) : [],
  };
}

/** `process` is the one that it is about. */
function alert(at: number, severity: AlertFact["severity"], code: string, process: string,
  text: string): AlertFact {
  return { kind: "alert", at, severity, code, text, process };
}
const mebibytes = (bytes: number): string => `${Math.round(bytes / 2 ** 20)} MiB`;
