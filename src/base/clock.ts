/** Time is a parameter: whoever waits or stamps is handed a Clock, so that tests never sleep. */
import { setTimeout as delay } from "node:timers/promises";
import { timeMs, type TimeMs } from "./units.ts";

export interface Clock {
  now(): TimeMs;
  /** Resolves after `durationMs`; rejects when the signal aborts. */
  sleep(durationMs: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => timeMs(Date.now()),
  sleep: async (durationMs, signal) => { await delay(durationMs, undefined, { signal }); },
};

/** A clock that moves only when somebody sleeps on it. Records each sleep. */
export class FakeClock implements Clock {
  readonly sleptMs: number[] = [];
  #now: number;
  constructor(start: number) { this.#now = start; }
  now(): TimeMs { return timeMs(this.#now); }
  sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.sleptMs.push(durationMs);
    this.#now += durationMs;
    return Promise.resolve();
  }
}
