/** What an attempt costs: processor time, memory, wall time. */
import type { Clock } from "../../base/clock.ts";

export class Usage {
  readonly #clock: Clock;
  readonly #startedAt: number;
  readonly #cpu = process.cpuUsage();
  #memoryBytes = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startedAt = clock.now();
  }

  /** Looks at the memory; call now and then. */
  sample(): void { this.#memoryBytes = Math.max(this.#memoryBytes, process.memoryUsage.rss()); }

  read(): { seconds: number; cpuSeconds: number; memoryBytes: number } {
    this.sample();
    const { user, system } = process.cpuUsage(this.#cpu);
    return { seconds: (this.#clock.now() - this.#startedAt) / 1000, cpuSeconds: (user + system) / 1e6,
      memoryBytes: this.#memoryBytes };
  }
}
