/**
 * Who moves the simulated clock. Between two steps simulated time runs evenly from the one to the other, so
 * that latencies and expiries fall where they belong:
 *
 *   paced      each step takes 1 / barsPerSecond          recorded   as long as it took, over `speed`
 *   fast       the next step when the last is said        stepped    the next step when somebody asks
 *
 *   simulated   s0 ---------------------- s1
 *   wall        w0 ---------------------- w1     the exchange wakes at the wall time of what is due
 */
import { MS_PER_HOUR, MS_PER_SECOND } from "../base/units.ts";
import type { World } from "./exchange-world.ts";

export type Pace =
  | { readonly kind: "paced"; readonly barsPerSecond: number }
  | { readonly kind: "recorded"; readonly speed: number }
  | { readonly kind: "fast" } | { readonly kind: "stepped" };

/** A pause longer than this in a recording (a night) takes GAP_WALL_MS. */
const GAP_MS = MS_PER_HOUR, GAP_WALL_MS = MS_PER_SECOND;
/** Steps of one turn of the event loop at most, and how long it may take. */
const STEPS_A_TURN = 256, TURN_MS = 4;
/** Further behind than this, the clock is set anew instead of catching up. */
const BEHIND_MS = 2_000;
/** Longest sleep: timers hold 31 bits. */
const SLEEP_MAX_MS = 60_000;

/** A stretch of simulated time (UTC ms) and of the wall's (ms). */
interface Segment {
  readonly fromSim: number;
  readonly toSim: number;
  readonly fromWall: number;
  readonly toWall: number;
}

export class Pacer {
  readonly #world: World;
  readonly #wall: () => number;
  readonly #isCongested: () => boolean;
  #pace: Pace;
  #isPaused: boolean;
  #segment: Segment;
  #timer: NodeJS.Timeout | null = null;
  #immediate: NodeJS.Immediate | null = null;

  /** `wall`: ms, never back. `isCongested`: a fast replay waits while clients are behind. */
  constructor(world: World, pace: Pace, isPaused: boolean, wall: () => number, isCongested: () => boolean) {
    this.#world = world;
    this.#pace = pace;
    this.#isPaused = isPaused;
    this.#wall = wall;
    this.#isCongested = isCongested;
    this.#segment = this.#segmentFrom(wall());
  }

  get pace(): Pace { return this.#pace; }
  get isPaused(): boolean { return this.#isPaused; }

  start(): void { this.#begin(); }
  set(pace: Pace): void { this.catchUp(); this.#pace = pace; this.#begin(); }
  pause(): void { this.catchUp(); this.#isPaused = true; this.stop(); }
  resume(): void { this.#isPaused = false; this.#begin(); }
  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#immediate !== null) clearImmediate(this.#immediate);
    this.#timer = this.#immediate = null;
  }

  /** Steps by hand; how many there were. */
  step(count: number): number {
    let done = 0;
    while (done < count && this.#world.step()) done++;
    if (done > 0) this.#begin();
    return done;
  }

  /** Everything of the next bar of this length (ms) in which anything happens; how many steps there were. */
  stepBar(lengthMs: number): number {
    const from = this.#world.nextAt(), close = (Math.floor(from / lengthMs) + 1) * lengthMs;
    let done = 0;
    while (this.#world.nextAt() < close && this.#world.step()) done++;
    this.#world.pass(close);
    if (done > 0) this.#begin();
    return done;
  }

  /**
   * Before anybody is answered: simulated time is what the wall says it is; where no wall counts, what was
   * asked before has taken effect. So who asks a stepped market hears of nothing that is still on its way.
   */
  catchUp(): void {
    if (!this.#isTimed()) { if (this.#immediate !== null) this.#world.settle(); return; }
    if (!this.#isPaused) this.#world.pass(simOf(this.#segment, this.#wall()));
  }

  /** After something was asked of the exchange: what follows from it happens in due time. */
  touched(): void {
    if (this.#isTimed() && !this.#isPaused) { this.#sleep(); return; }
    this.#immediate ??= setImmediate(() => {
      this.#immediate = null;
      this.#world.settle();
      if (!this.#isPaused && this.#pace.kind === "fast") this.#run();
    });
  }

  #isTimed(): boolean { return this.#pace.kind === "paced" || this.#pace.kind === "recorded"; }

  #begin(): void {
    this.stop();
    this.#segment = this.#segmentFrom(this.#wall());
    if (this.#isPaused || this.#pace.kind === "stepped") { this.touched(); return; }
    if (this.#pace.kind === "fast") this.#run(); else this.#sleep();
  }

  #segmentFrom(wall: number): Segment {
    const fromSim = this.#world.now(), toSim = this.#world.nextAt();
    // After the last step time goes on as it does outside.
    if (toSim === Infinity) {
      return { fromSim, toSim: fromSim + SLEEP_MAX_MS, fromWall: wall, toWall: wall + SLEEP_MAX_MS };
    }
    const length = toSim - fromSim;
    const wallMs = this.#pace.kind === "paced" ? MS_PER_SECOND / this.#pace.barsPerSecond
      : this.#pace.kind === "recorded" ? length > GAP_MS ? GAP_WALL_MS : length / this.#pace.speed : 0;
    return { fromSim, toSim, fromWall: wall, toWall: wall + wallMs };
  }

  /** Until the next step or the next thing that is due at the exchange. */
  #sleep(): void {
    this.stop();
    const due = Math.min(this.#world.exchange.nextDue(), this.#segment.toSim);
    const ms = wallOf(this.#segment, due) - this.#wall();
    this.#timer = setTimeout(() => { this.#wake(); }, Math.max(0, Math.min(SLEEP_MAX_MS, ms)));
  }

  #wake(): void {
    const wall = this.#wall();
    let steps = 0;
    while (this.#segment.toWall <= wall && steps++ < STEPS_A_TURN) {
      const { toWall } = this.#segment;
      if (!this.#world.step()) this.#world.pass(this.#segment.toSim);
      this.#segment = this.#segmentFrom(wall - toWall > BEHIND_MS ? wall : toWall);
    }
    this.catchUp();
    this.#sleep();
  }

  #run(): void {
    this.stop();
    const until = this.#wall() + TURN_MS;
    for (let steps = 0; steps < STEPS_A_TURN && this.#wall() < until; steps++) {
      if (this.#isCongested()) {
        this.#timer = setTimeout(() => { this.#run(); }, 1);
        return;
      }
      this.#world.settle();
      if (!this.#world.step()) return;
    }
    this.#immediate = setImmediate(() => { this.#run(); });
  }
}

function simOf({ fromSim, toSim, fromWall, toWall }: Segment, wall: number): number {
  const share = toWall > fromWall ? Math.min(1, (wall - fromWall) / (toWall - fromWall)) : 1;
  return Math.floor(fromSim + share * (toSim - fromSim));
}

function wallOf({ fromSim, toSim, fromWall, toWall }: Segment, sim: number): number {
  return toSim > fromSim ? fromWall + (sim - fromSim) / (toSim - fromSim) * (toWall - fromWall) : fromWall;
}
