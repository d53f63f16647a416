/**
 * Sends notices, one at a time per channel, and goes on trying while a channel is down. Nobody waits for
 * it: at most QUEUE_MAX notices wait per channel, and the oldest make room.
 */
import type { Clock } from "../../base/clock.ts";
import { messageOf } from "../../base/error.ts";
import type { Log } from "../../base/log.ts";
import { redact } from "../../market/sources/keys.ts";
import type { Rim } from "../actor.ts";
import type { AlertsOutcome, Notice, Notify } from "../actors/alerts.ts";
import type { Session } from "../session.ts";
import { openSenders, sentenceOf, type ChannelSettings, type Sender } from "./channel.ts";

export const QUEUE_MAX = 100;
/** Wait after a failure, ms: doubled up to the second. */
const RETRY_MS = 1000, RETRY_MS_MAX = 60_000;

export interface AlertsRimOptions {
  readonly session: Session;
  readonly settings: ChannelSettings;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly log: Log;
}

/** Throws UserError when a channel is set up wrongly. */
export function openAlertsRim(options: AlertsRimOptions): Rim<Notify, AlertsOutcome> {
  const { session, clock, log } = options, stopped = new AbortController();
  let push: (outcome: AlertsOutcome) => void = () => {};
  const surroundings: Surroundings = { session, clock, stopped: stopped.signal,
    push: (outcome) => { push(outcome); } };
  const lines = new Map(openSenders(options.settings, options.environment).map((sender) =>
    [sender.channel, openLine(sender, surroundings)]));
  return {
    start(listen) { push = listen; return Promise.resolve(); },
    carryOut({ channel, notice }) {
      if (channel === "log") tell(log, notice); else lines.get(channel)?.add(notice);
    },
    // What waits is not sent any more: a stop does not wait for a mail server.
    stop() {
      stopped.abort();
      for (const line of lines.values()) line.close();
      return Promise.resolve();
    },
  };
}

function tell(log: Log, notice: Notice): void {
  const { severity, code, process, count, at } = notice;
  const level = severity === "critical" ? "error" : severity === "warning" ? "warn" : "info";
  log[level]({ code, process, count, at: new Date(at).toISOString() }, sentenceOf(notice));
}

interface Surroundings {
  readonly session: Session;
  readonly clock: Clock;
  readonly stopped: AbortSignal;
  readonly push: (outcome: AlertsOutcome) => void;
}

/** One channel's queue. */
function openLine(sender: Sender, { session, clock, stopped, push }: Surroundings) {
  const queue: Notice[] = [];
  let isRunning = false, dropped = 0;

  /** Sends what waits; a failed notice stays at the head. */
  async function run(): Promise<void> {
    isRunning = true;
    for (let failures = 0; queue.length > 0 && !stopped.aborted;) {
      const notice = queue[0];
      try {
        await sender.send(notice, session, stopped);
        if (queue[0] === notice) queue.shift();
        if (failures > 0) push({ kind: "channel-up", channel: sender.channel, dropped });
        failures = dropped = 0;
      } catch (error) {
        if (stopped.aborted) break;
        if (failures === 0) {
          const reason = redact(messageOf(error), sender.secrets);
          push({ kind: "channel-down", channel: sender.channel, reason });
        }
        const waitMs = Math.min(RETRY_MS * 2 ** Math.min(failures++, 10), RETRY_MS_MAX);
        try { await clock.sleep(waitMs, stopped); } catch { break; }
      }
    }
    isRunning = false;
  }
  return {
    add(notice: Notice): void {
      if (queue.length >= QUEUE_MAX) { queue.shift(); dropped++; }
      queue.push(notice);
      if (!isRunning) void run();
    },
    close(): void { sender.close(); },
  };
}
