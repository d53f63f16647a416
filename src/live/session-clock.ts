/**
 * A session's time. Wall: the machine's. Market: what the bars say, moving on with real time in between, so
 * that deadlines of milliseconds run out although the next bar is a day away:
 *
 *   now = newest event time heard + real ms since it was heard
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Clock } from "../base/clock.ts";
import { timeMs, type TimeMs } from "../base/units.ts";

export class SessionClock implements Clock {
  readonly #wall: Clock;
  readonly #isMarket: boolean;
  #at = NaN;
  #heardMs = 0;

  constructor(wall: Clock, kind: "wall" | "market") {
    this.#wall = wall;
    this.#isMarket = kind === "market";
  }

  /** Event time of something that comes from the market; an older one changes nothing. */
  hear(at: number): void {
    if (!this.#isMarket || !(at > this.#at || Number.isNaN(this.#at)) || Number.isNaN(at)) return;
    this.#at = at;
    this.#heardMs = performance.now();
  }

  /** UTC ms. Before the first bar of a market clock: the machine's. */
  now(): TimeMs {
    if (!this.#isMarket || Number.isNaN(this.#at)) return this.#wall.now();
    return timeMs(this.#at + performance.now() - this.#heardMs);
  }

  /** Real ms, whatever the session's time does. */
  async sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
    await delay(durationMs, undefined, { signal });
  }
}
