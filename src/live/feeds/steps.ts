/**
 * Bars by close, until each close is whole.
 *
 *   10:00 | AAA BBB CCC |  whole      taken as one `market` message, instruments ascending
 *   10:01 | AAA         |  open
 */
import { BAR_FLAGS, type MarketFact } from "../message.ts";
import { WIDTH } from "./bar-store.ts";

interface Open {
  readonly at: number;
  /** When its first bar came. */
  readonly openedAt: number;
  /** (N, WIDTH) and (N): ABSENT where there is none. */
  readonly rows: Float64Array;
  readonly flags: Uint8Array;
  count: number;
  isWhole: boolean;
}
const ABSENT = 255;

export class Steps {
  readonly #instruments: number;
  readonly #everybody: Int32Array;
  readonly #open = new Map<number, Open>();
  /** Newest close ever put. */
  last = -Infinity;

  constructor(instruments: number) {
    this.#instruments = instruments;
    this.#everybody = Int32Array.from({ length: instruments }, (_, i) => i);
  }

  get size(): number { return this.#open.size; }

  has(at: number, instrument: number): boolean {
    const step = this.#open.get(at);
    return step !== undefined && step.flags[instrument] !== ABSENT;
  }

  /** Adds a bar to its close; one that is there already is replaced. */
  put(at: number, instrument: number, rows: Float64Array, from: number, flag: number, now: number): void {
    let step = this.#open.get(at);
    if (step === undefined) {
      step = { at, openedAt: now, count: 0, isWhole: false, rows: new Float64Array(this.#instruments * WIDTH),
        flags: new Uint8Array(this.#instruments).fill(ABSENT) };
      this.#open.set(at, step);
      this.last = Math.max(this.last, at);
    }
    if (step.flags[instrument] === ABSENT) {
      step.count++;
      step.flags[instrument] = flag;
    }
    step.rows.set(rows.subarray(from, from + WIDTH), instrument * WIDTH);
    if (step.count === this.#instruments) step.isWhole = true;
  }

  /** The vendor has said all of this close. */
  complete(at: number): void {
    const step = this.#open.get(at);
    if (step !== undefined) step.isWhole = true;
  }

  /** Steps not yet taken, ascending. */
  open(): readonly Open[] {
    return this.#open.size < 2 ? [...this.#open.values()]
      : [...this.#open.values()].sort((a, b) => a.at - b.at);
  }

  /** Takes a step out; `flag` replaces the flags of its fresh bars. */
  take(at: number, flag: number | null = null): MarketFact {
    const { rows, flags, count } = this.#open.get(at)!;
    this.#open.delete(at);
    if (flag !== null) flags.forEach((one, i) => { if (one === BAR_FLAGS.fresh) flags[i] = flag; });
    const isWhole = count === this.#instruments;
    if (isWhole) return { kind: "market", at, instrument: this.#everybody, bars: rows, flags };
    const instrument = this.#everybody.filter((i) => flags[i] !== ABSENT),
      bars = new Float64Array(count * WIDTH);
    instrument.forEach((i, k) => { bars.set(rows.subarray(i * WIDTH, (i + 1) * WIDTH), k * WIDTH); });
    return { kind: "market", at, instrument, bars, flags: Uint8Array.from(instrument, (i) => flags[i]) };
  }
}
