/**
 * From alerts to notices: each code of each process is told at once, then at most once a quiet period, with
 * the number of times that it came again; a graver one breaks the quiet. What a channel is too unimportant
 * for never reaches it.
 *
 *   alert, trading-state ──> told before? ──no, graver, or quiet over──> notify(channel) ──> rim
 *                                └──yes──> counted ──quiet over (tick)──┘
 */
import type { Actor } from "../actor.ts";
import { SEVERITIES, type AlertFact, type TradingStateFact } from "../message.ts";
import type { Session } from "../session.ts";
import { MS_PER_DAY, MS_PER_MINUTE } from "../../base/units.ts";

export const CHANNELS = ["log", "webhook", "email"] as const;
export type Channel = (typeof CHANNELS)[number];
export type Severity = AlertFact["severity"];

export interface AlertSettings {
  /** Least severe alert that a channel is told; null: never. */
  readonly severity: Readonly<Record<Channel, Severity | null>>;
  readonly quietMinutes: number;
  /** Age at which a key is old. */
  readonly keyDaysMax: number;
}
export const ALERT_SETTINGS: AlertSettings = {
  severity: { log: "info", webhook: "warning", email: "critical" }, quietMinutes: 15, keyDaysMax: 30,
};
/** Distinct codes that are remembered; beyond it the longest silent is forgotten. */
const CODES_MAX = 1000;

export interface Notice {
  readonly at: number;
  readonly severity: Severity;
  readonly code: string;
  readonly text: string;
  readonly process: string;
  /** How often it came since it was last told; 1: the first. */
  readonly count: number;
}
export interface Notify { readonly kind: "notify"; readonly channel: Channel; readonly notice: Notice }
export type AlertsOutcome =
  /** Said once, at the first failure; the rim goes on trying. */
  | { readonly kind: "channel-down"; readonly channel: Channel; readonly reason: string }
  | { readonly kind: "channel-up"; readonly channel: Channel; readonly dropped: number };

/** A key in use, and since when. */
export interface KeyAge { readonly name: string; readonly since: number }

export interface AlertsOptions {
  readonly session: Session;
  readonly settings?: AlertSettings;
  readonly keys?: readonly KeyAge[];
}
interface Told { readonly notice: Notice; at: number; waiting: Notice | null }

export function alertsActor({ session, settings = ALERT_SETTINGS, keys = [] }: AlertsOptions):
  Actor<Notify, AlertsOutcome> {
  const told = new Map<string, Told>(), quietMs = settings.quietMinutes * MS_PER_MINUTE;
  let keysSaidAt = -Infinity;

  function take(notice: Notice, now: number): Notify[] {
    const id = `${notice.code} ${notice.process}`, before = told.get(id);
    if (before !== undefined && now - before.at < quietMs && rankOf(notice) <= rankOf(before.notice)) {
      before.waiting = { ...notice, count: (before.waiting?.count ?? 0) + notice.count };
      return [];
    }
    return tell(id, { ...notice, count: (before?.waiting?.count ?? 0) + notice.count }, now);
  }
  function tell(id: string, notice: Notice, now: number): Notify[] {
    told.delete(id);
    told.set(id, { notice, at: now, waiting: null });
    // Maps keep the order of insertion: the first is the longest silent.
    if (told.size > CODES_MAX) told.delete(told.keys().next().value ?? "");
    return CHANNELS.filter((channel) => isFor(channel, notice))
      .map((channel) => ({ kind: "notify", channel, notice }));
  }
  const isFor = (channel: Channel, notice: Notice): boolean => {
    const least = settings.severity[channel];
    return least !== null && rankOf(notice) >= SEVERITIES.indexOf(least);
  };
  /** What waited out its quiet is told now. */
  function look(now: number): Notify[] {
    const due = [...told].filter(([, one]) => one.waiting !== null && now - one.at >= quietMs);
    return due.flatMap(([id, one]) => one.waiting === null ? [] : tell(id, one.waiting, now));
  }
  const alert = (now: number, severity: Severity, code: string, text: string): AlertFact =>
    ({ kind: "alert", at: now, severity, code, text, process: "alerts" });
  /** An old key is an alert of its own, once a day. */
  function lookAtKeys(now: number): AlertFact[] {
    if (now - keysSaidAt < MS_PER_DAY) return [];
    keysSaidAt = now;
    return keys.filter(({ since }) => now - since >= settings.keyDaysMax * MS_PER_DAY)
      .map(({ name, since }) => alert(now, "warning", `key-old-${name}`,
        `the key of ${name} is ${Math.floor((now - since) / MS_PER_DAY)} days old: dmn live rotate-keys`));
  }

  return {
    name: "alerts", hears: ["alert", "trading-state", "tick"],
    handle(message, now) {
      switch (message.kind) {
        case "alert": return take({ ...message, count: 1 }, now);
        case "trading-state": return take(noticeOf(message, session), now);
        case "tick": {
          const old = lookAtKeys(now);
          return [...old, ...old.flatMap((fact) => take({ ...fact, count: 1 }, now)), ...look(now)];
        }
        // Nobody hears himself: these are told to the other channels here, and to all others as a fact.
        case "channel-down": {
          const fact = alert(now, "warning", `alerts-${message.channel}-down`,
            `alerts cannot be sent by ${message.channel}: ${message.reason}`);
          return [fact, ...take({ ...fact, count: 1 }, now)];
        }
        case "channel-up": {
          const lost = message.dropped === 0 ? "" : `; ${message.dropped} were dropped meanwhile`;
          const fact = alert(now, "info", `alerts-${message.channel}-up`,
            `alerts go by ${message.channel} again${lost}`);
          return [fact, ...take({ ...fact, count: 1 }, now)];
        }
        default: return [];
      }
    },
  };
}

const rankOf = (notice: Notice): number => SEVERITIES.indexOf(notice.severity);

function noticeOf({ at, state, reason, by }: TradingStateFact, session: Session): Notice {
  return { at, severity: state === "ACTIVE" ? "info" : state === "REDUCING" ? "warning" : "critical",
    code: `trading-${state.toLowerCase()}`, process: "execution", count: 1,
    text: `trading of ${session.strategyName} is ${state}: ${reason} (by ${by})` };
}
