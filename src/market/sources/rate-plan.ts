/**
 * A vendor's rate plan: at most N calls in any 60 seconds. It remembers when the last N were made.
 *
 *   calls   x x x x x . . . . . . . . | x        N = 5: the sixth waits until the first is 60 s old
 *           0 s                       60 s
 */
import type { Clock } from "../../base/clock.ts";
import { MS_PER_MINUTE } from "../../base/units.ts";

export class RatePlan {
  readonly callsPerMinute: number;
  readonly #clock: Clock;
  /** Times of the last calls, oldest first, at most `callsPerMinute` of them. */
  readonly #made: number[] = [];

  constructor(callsPerMinute: number, clock: Clock) {
    this.callsPerMinute = callsPerMinute;
    this.#clock = clock;
  }

  /** Resolves when one more call may be made, and counts it. Rejects when the signal aborts. */
  async turn(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#made.length >= this.callsPerMinute) {
      const freeAt = this.#made[0] + MS_PER_MINUTE;
      const wait = freeAt - this.#clock.now();
      if (wait > 0) await this.#clock.sleep(wait, signal);
      this.#made.shift();
    }
    this.#made.push(this.#clock.now());
  }

  /** How long `calls` take by the plan alone, from an idle start: whole minutes of waiting. */
  durationMs(calls: number): number {
    return Math.max(0, Math.floor((calls - 1) / this.callsPerMinute)) * MS_PER_MINUTE;
  }
}
