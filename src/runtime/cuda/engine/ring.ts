/**
 * Windows that slide: of each window only the newest row travels. The same rows are kept twice, so that
 * the host can go on when the GPU cannot:
 *
 *              push(row b, F numbers)                    step
 *   HostRing   slot oldest[b] <- the row, oldest[b] + 1  window(b): T rows in order of time
 *   RingStage  rows (B, head and F), mapped ───────────> ring_step (feed.cu): ring (B, T, F), one start
 *
 * A row that is pushed twice before a step is corrected, not followed. A window without a new row at a step
 * says what it said before.
 */
import { assert } from "../../../base/assert.ts";

/** What copy_rows reads: words of `header` (feed.cu). */
export const HEADER = { rows: 0 } as const;
export const HEADER_BYTES = 16;

/** What ring_step reads: words of each row (feed.cu). */
const ROW = { broughtBy: 0, step: 1, oldest: 2, features: 4 } as const;
/** Words of a row of F features in mapped memory: whole lines of 128 bytes. */
export const rowWords = (F: number): number => Math.ceil((ROW.features + F) / 32) * 32;

export interface RingShape {
  /** Windows, one for each instrument. */
  readonly rows: number;
  readonly T: number;
  readonly F: number;
}

export const isSameRing = (a: RingShape, b: RingShape): boolean =>
  a.rows === b.rows && a.T === b.T && a.F === b.F;

/** The windows in host memory. */
export class HostRing {
  readonly shape: RingShape;
  /** (rows, T, F) */
  readonly #values: Float32Array;
  /** (rows) slot of the oldest row. */
  readonly #oldest: Int32Array;
  /** (rows) rows that were ever given, up to T. */
  readonly #given: Int32Array;
  /** (rows) 1: the newest row came since the last step. */
  readonly #fresh: Uint8Array;
  /** Every window was given T rows: so it stays. */
  #isFull = false;

  constructor(shape: RingShape) {
    this.shape = shape;
    this.#values = new Float32Array(shape.rows * shape.T * shape.F);
    this.#oldest = new Int32Array(shape.rows);
    this.#given = new Int32Array(shape.rows);
    this.#fresh = new Uint8Array(shape.rows);
  }

  /** The newest row of a window (F); a second one before the step replaces it. */
  push(row: number, features: Float32Array): void {
    const { T, F } = this.shape;
    this.#check(row, features, F);
    if (this.#fresh[row] === 0) {
      this.#oldest[row] = (this.#oldest[row] + 1) % T;
      this.#given[row] = Math.min(T, this.#given[row] + 1);
      this.#fresh[row] = 1;
    }
    const newest = (this.#oldest[row] + T - 1) % T;
    this.#values.set(features, (row * T + newest) * F);
  }

  /** All T rows of a window at once (T, F), the oldest first. */
  fill(row: number, window: Float32Array): void {
    const { T, F } = this.shape;
    this.#check(row, window, T * F);
    this.#values.set(window, row * T * F);
    this.#oldest[row] = 0;
    this.#given[row] = T;
    this.#fresh[row] = 0;
  }

  /** What was pushed so far has been answered: the next push follows it. */
  step(): void { this.#fresh.fill(0); }

  /** Writes the T rows of a window in order of time to `into`, from element `at` on. */
  window(row: number, into: Float32Array, at = 0): void {
    const { T, F } = this.shape, start = row * T * F, split = this.#oldest[row] * F;
    into.set(this.#values.subarray(start + split, start + T * F), at);
    into.set(this.#values.subarray(start, start + split), at + T * F - split);
  }

  /** All windows (rows, T, F). */
  windows(): Float32Array {
    const { rows, T, F } = this.shape, all = new Float32Array(rows * T * F);
    for (let row = 0; row < rows; row++) this.window(row, all, row * T * F);
    return all;
  }

  /** Whether a window was given T rows. */
  isFull(row: number): boolean { return this.#given[row] === this.shape.T; }

  /** Asserts that every window was given T rows: a network is not asked about rows that never were. */
  checkFull(model: string): void {
    if (this.#isFull) return;
    const { T } = this.shape, row = this.#given.findIndex((given) => given < T);
    this.#isFull = row < 0;
    if (!this.#isFull) assert(false, `window ${row} of ${model} has ${this.#given[row]} of ${T} rows`);
  }

  /** Asserts; on the way of every row, so the sentence is made only when it is needed. */
  #check(row: number, given: Float32Array, count: number): void {
    const { rows } = this.shape;
    if (given.length === count && Number.isInteger(row) && row >= 0 && row < rows) return;
    assert(false, `${given.length} numbers, not ${count}, or window ${row} of a ring of ${rows}`);
  }
}

/** Mapped memory that ring_step reads: (B, rowWords(F)), twice; B may be more than instruments. */
export interface StageMemory {
  readonly words: Uint32Array;
  readonly floats: Float32Array;
}

/**
 * New rows on their way to the ring in device memory. Steps that bring rows are numbered from 1: a row that
 * says the number of the step is new, so that nothing need be cleared.
 *
 *   push ──> rows ── begin: a replay reads them ── push ──> waiting ── end ──> rows
 */
export class RingStage {
  readonly #shape: RingShape;
  readonly #memory: StageMemory;
  readonly #stride: number;
  /** (rows, F) that were pushed while a replay was reading, and by whom (rows). */
  readonly #waiting: Float32Array;
  readonly #isWaiting: Uint8Array;
  #hasWaiting = false;
  #oldest = 0;
  /** Of the step that brings what is pushed now. */
  #step = 1;
  #hasNew = false;
  #isRead = false;

  constructor(shape: RingShape, memory: StageMemory) {
    this.#shape = shape;
    this.#memory = memory;
    this.#stride = rowWords(shape.F);
    this.#waiting = new Float32Array(shape.rows * shape.F);
    this.#isWaiting = new Uint8Array(shape.rows);
  }

  /** The newest row of a window. */
  push(row: number, features: Float32Array): void {
    if (this.#isRead) {
      this.#waiting.set(features, row * this.#shape.F);
      this.#isWaiting[row] = 1;
      this.#hasWaiting = true;
      return;
    }
    const { words, floats } = this.#memory, at = row * this.#stride;
    floats.set(features, at + ROW.features);
    words[at + ROW.broughtBy] = this.#step;
    this.#hasNew = true;
  }

  /** The window of a row was written whole: what was pushed before does not count any more. */
  clear(row: number): void {
    this.#isWaiting[row] = 0;
    if (!this.#isRead) this.#memory.words[row * this.#stride + ROW.broughtBy] = 0;
  }

  /** Slot of the oldest row in device memory, once the replay that was begun last has ended. */
  get oldest(): number {
    return this.#isRead && this.#hasNew ? (this.#oldest + 1) % this.#shape.T : this.#oldest;
  }

  /** A replay is about to read what was pushed. */
  begin(): void {
    this.#tell(this.#hasNew ? this.#step : 0);
    this.#isRead = true;
  }

  /** Does something that replays the graph and must change no window. */
  still<Result>(act: () => Result): Result {
    this.#tell(0);
    return act();
  }

  #tell(step: number): void {
    const { words } = this.#memory, oldest = this.#oldest, end = this.#shape.rows * this.#stride;
    for (let at = 0; at < end; at += this.#stride) {
      words[at + ROW.step] = step;
      words[at + ROW.oldest] = oldest;
    }
  }

  /** It has. */
  end(): void {
    const { T, F } = this.#shape;
    this.#isRead = false;
    if (this.#hasNew) {
      this.#oldest = this.#oldest + 1 === T ? 0 : this.#oldest + 1;
      this.#step = this.#step === 0xffff_ffff ? 1 : this.#step + 1;
      this.#hasNew = false;
    }
    if (!this.#hasWaiting) return;
    for (let row = this.#isWaiting.indexOf(1); row >= 0; row = this.#isWaiting.indexOf(1, row + 1)) {
      this.push(row, this.#waiting.subarray(row * F, (row + 1) * F));
    }
    this.#isWaiting.fill(0);
    this.#hasWaiting = false;
  }
}
