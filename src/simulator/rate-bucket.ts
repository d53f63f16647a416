/** The vendor's limit: so many calls a minute, refilled evenly. Times are wall ms. */
export class RateBucket {
  readonly #perMinute: number;
  #left: number;
  #filledAt = NaN;

  /** Infinity: no limit. */
  constructor(perMinute: number) {
    this.#perMinute = perMinute;
    this.#left = perMinute;
  }

  /** Takes one. False: there was none. */
  take(now: number): boolean {
    if (this.#perMinute === Infinity) return true;
    const elapsed = Number.isNaN(this.#filledAt) ? 0 : Math.max(0, now - this.#filledAt);
    this.#left = Math.min(this.#perMinute, this.#left + elapsed * this.#perMinute / 60_000);
    this.#filledAt = now;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }

  headers(now: number): Record<string, string> {
    if (this.#perMinute === Infinity) return {};
    const waitMs = (this.#perMinute - this.#left) * 60_000 / this.#perMinute;
    return { "x-ratelimit-limit": String(this.#perMinute),
      "x-ratelimit-remaining": String(Math.floor(this.#left)),
      "x-ratelimit-reset": String(Math.ceil((now + waitMs) / 1_000)) };
  }
}
