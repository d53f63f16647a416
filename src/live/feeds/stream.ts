/**
 * A vendor's stream, kept up for as long as the process lives.
 *
 *   connect ── connected ──> auth ── authenticated ──> subscribe ── acknowledged: every channel ──> up
 *      ^          └─────────── each within answerMs ──────────────────┘                             │
 *      └── wait 0.1 s x 1.5^n, jittered (connection limit: 5 s and more) <── closed, mute, slow, refused
 *
 * There is one connection at a time: vendors allow no more, and two would say everything twice.
 */
import type { Clock } from "../../base/clock.ts";
import type { Random } from "../../base/random.ts";
import { backoffMs } from "../../wire/backoff.ts";
import { Connection, type Dialect, type End, type StreamLimits } from "./connection.ts";
import type { Frame } from "./frame.ts";

export const STREAM_LIMITS: StreamLimits =
  { answerMs: 10_000, heartbeatMs: 15_000, framesMax: 8_192, bytesMax: 32 << 20 };
/** Least wait while another program holds the connection, and after a refusal. */
const LIMITED_MS = 5_000, REFUSED_MS = 60_000;

export interface StreamOptions {
  readonly url: string;
  readonly dialect: Dialect;
  readonly makeFrame: () => Frame;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits?: Partial<StreamLimits>;
  /** Subscribed, and told so. */
  readonly up: () => void;
  /** Not, or no longer. `waitMs`: until the next try; `failures`: tries in a row that came to nothing. */
  readonly down: (end: End, waitMs: number, failures: number) => void;
  readonly heard: (frame: Frame) => void;
}

export class FeedStream {
  /** Connections that were subscribed; frames heard; frames thrown away because the queue was full. */
  connections = 0;
  frames = 0;
  overrun = 0;
  readonly #options: StreamOptions;
  #connection: Connection | null = null;

  constructor(options: StreamOptions) { this.#options = options; }

  /** Connects, again and again, until the signal aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, down, limits, up } = this.#options;
    const abort = (): void => { this.#connection?.end({ is: "failed", reason: "stopped" }); };
    signal.addEventListener("abort", abort, { once: true });
    for (let failures = 0; !signal.aborted; failures++) {
      const connection = new Connection({ ...this.#options, limits: { ...STREAM_LIMITS, ...limits },
        up: () => { failures = 0; this.connections++; up(); } });
      this.#connection = connection;
      const end = await connection.run();
      this.#connection = null;
      this.frames += connection.frames;
      this.overrun += connection.overrun;
      if (signal.aborted) return;
      const least = end.is === "limited" ? LIMITED_MS : end.is === "refused" ? REFUSED_MS : 0;
      const waitMs = Math.max(least * (1 + random.uniform() / 2), backoffMs(failures, random.uniform()));
      down(end, waitMs, failures + 1);
      try { await clock.sleep(waitMs, signal); } catch { return; }
    }
  }

  /** Gives the connection up; another one is made. */
  drop(reason: string): void { this.#connection?.end({ is: "failed", reason }); }
}
