/**
 * Calls to the broker wait here for their turn: cancels before orders before look-ups before reads, so many
 * at a time, so many a minute, and none while the broker has said "too many".
 *
 *     cancel ─┐
 *     submit ─┤ lanes ──> budget of the last minute? ──> in flight < CALLS_MAX? ──> call
 *     look-up ┤             keeps a reserve for the lanes before
 *     read ───┘
 *
 * The account's budget is shared with whoever else uses its keys: what the broker says is left counts.
 */
import type { Clock } from "../../base/clock.ts";
import { MS_PER_MINUTE } from "../../base/units.ts";

export const LANES = ["cancel", "submit", "look-up", "read"] as const;
export type Lane = (typeof LANES)[number];
/** Share of the minute's calls that a lane must leave to those before it. */
const RESERVE: Readonly<Record<Lane, number>> = { cancel: 0, submit: 0.05, "look-up": 0.15, read: 0.25 };
const CALLS_MAX = 32;
/**
 * Calls begun before the event loop has its turn: putting a request together takes longer than sending it,
 * and of twenty begun at once the first leaves when the last has been put together.
 */
const CALLS_PER_TURN = 2;
/** Waiting calls of one lane; beyond, a call is refused. */
const WAITING_MAX = 10_000;

interface Call {
  /** Requests that it makes. */
  readonly cost: number;
  readonly run: () => Promise<void>;
  readonly drop: () => void;
}

export class CallQueue {
  readonly #clock: Clock;
  readonly #perMinute: number;
  readonly #lanes: Record<Lane, Call[]> = { cancel: [], submit: [], "look-up": [], read: [] };
  /** When the requests of the last minute left, from `#first` on; before it are older ones. */
  #left: number[] = [];
  #first = 0;
  #inFlight = 0;
  /** Calls begun in this turn; the next turn has been asked for. */
  #begun = 0;
  #isTurnDue = false;
  #newest = -Infinity;
  #pausedUntil = -Infinity;
  /** What the broker said is left, less what has left since. */
  #told = { left: Infinity, until: -Infinity };
  #isSleeping = false;
  #isClosed = false;
  readonly #end = new AbortController();

  constructor(clock: Clock, perMinute: number) {
    this.#clock = clock;
    this.#perMinute = perMinute;
  }

  get isIdle(): boolean { return this.#inFlight === 0
    && LANES.every((lane) => this.#lanes[lane].length === 0); }

  /**
   * False: the lane is full, or the queue closed; nothing will happen. `drop` is called if it is withdrawn.
   */
  add(lane: Lane, cost: number, run: () => Promise<void>, drop: () => void = () => {}): boolean {
    if (this.#isClosed || this.#lanes[lane].length >= WAITING_MAX) return false;
    this.#lanes[lane].push({ cost, run, drop });
    this.#pump();
    return true;
  }

  /** Calls of a lane that have not left never will. */
  withdraw(lane: Lane): void {
    for (const call of this.#lanes[lane].splice(0)) call.drop();
  }

  /** The broker wants nobody to call for so long. Cancels obey as well: they would only be refused. */
  pause(durationMs: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#clock.now() + durationMs);
  }

  /** What the broker says of the account's calls. */
  tell(remaining: number, resetAt: number): void { this.#told = { left: remaining, until: resetAt }; }

  close(): void {
    this.#isClosed = true;
    for (const lane of LANES) this.#lanes[lane].length = 0;
    this.#end.abort();
  }

  #pump(): void {
    while (this.#inFlight < CALLS_MAX && !this.#isClosed) {
      const lane = LANES.find((one) => this.#lanes[one].length > 0);
      if (lane === undefined) return;
      const waitMs = this.#waitMs(lane, this.#lanes[lane][0].cost);
      if (waitMs > 0) { void this.#pumpAfter(waitMs); return; }
      if (this.#begun === CALLS_PER_TURN) { this.#turn(); return; }
      const call = this.#lanes[lane].shift()!;
      this.#begun++;
      this.#turn();
      this.#leave(call.cost);
      this.#told.left -= call.cost;
      this.#inFlight++;
      void call.run().finally(() => { this.#inFlight--; this.#pump(); });
    }
  }

  #leave(cost: number): void {
    const now = this.#clock.now();
    for (let k = 0; k < cost; k++) this.#left.push(now);
    while (this.#left[this.#first] <= now - MS_PER_MINUTE) this.#first++;
    if (2 * this.#first < this.#left.length) return;
    this.#left = this.#left.slice(this.#first);
    this.#first = 0;
  }

  /** The clock was set back: by it, waits would last until it has caught up, of cancels as well. */
  #startOver(now: number): void {
    this.#pausedUntil = -Infinity;
    this.#told = { left: Infinity, until: -Infinity };
    this.#left = this.#left.slice(this.#first).map(() => now);
    this.#first = 0;
  }

  #turn(): void {
    if (this.#isTurnDue) return;
    this.#isTurnDue = true;
    setImmediate(() => {
      this.#isTurnDue = false;
      this.#begun = 0;
      this.#pump();
    });
  }

  /** Until `cost` more requests leave the lane's reserve untouched; 0: now. */
  #waitMs(lane: Lane, cost: number): number {
    const now = this.#clock.now();
    if (now < this.#newest) this.#startOver(now);
    this.#newest = now;
    if (now < this.#pausedUntil) return this.#pausedUntil - now;
    const reserve = Math.floor(this.#perMinute * RESERVE[lane]);
    if (now < this.#told.until && this.#told.left < cost + reserve
      && this.#told.left < this.#perMinute - cost) {
      return this.#told.until - now;
    }
    const allowed = Math.max(cost, this.#perMinute - reserve);
    // The request that must be older than a minute before `cost` more are within the allowance.
    const back = allowed - cost + 1;
    if (back > this.#left.length - this.#first) return 0;
    return Math.max(0, this.#left[this.#left.length - back] + MS_PER_MINUTE - now);
  }

  async #pumpAfter(waitMs: number): Promise<void> {
    if (this.#isSleeping) return;
    this.#isSleeping = true;
    // An urgent call may come with an allowance of its own: look again soon.
    try { await this.#clock.sleep(Math.min(waitMs, 1_000), this.#end.signal); } catch { return; }
    finally { this.#isSleeping = false; }
    this.#pump();
  }
}
