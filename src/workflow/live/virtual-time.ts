/**
 * Time that passes only when somebody waits for it: events in the order of their moments, those of one moment
 * in the order in which they were asked for. Real promises between two events (a rim that awaits its broker)
 * are let run to their end first, so a run is a function of its inputs and its seed.
 *
 *     at(elapsedMs, run) ──> heap ──> run() ... await what it returns ... next
 */
import { assert } from "../../base/assert.ts";

interface Event { readonly at: number; readonly order: number; readonly run: () => void | Promise<void> }

/** Events of one run; a run that needs more is one that goes in circles. */
const EVENTS_MAX = 50_000_000;

export class VirtualTime {
  /** UTC ms of the start. */
  readonly start: number;
  #elapsedMs = 0;
  #count = 0;
  #ran = 0;
  #hasPromises = false;
  readonly #held = new Set<Promise<void>>();
  readonly #heap: Event[] = [];

  constructor(start: number) { this.start = start; }

  /** Since the start, ms: exact also below a microsecond, which UTC ms are not. */
  get elapsedMs(): number { return this.#elapsedMs; }
  now(): number { return this.start + this.#elapsedMs; }
  /** Events run so far. */
  get ran(): number { return this.#ran; }
  /** When the next event is due, ms since the start; Infinity: nothing is left. */
  get nextMs(): number { return this.#heap.length === 0 ? Infinity : this.#heap[0].at; }

  /** Runs something at a moment (ms since the start), never in the past. */
  at(elapsedMs: number, run: Event["run"]): void {
    assert(!Number.isNaN(elapsedMs), "an event has a moment");
    const event = { at: Math.max(elapsedMs, this.#elapsedMs), order: this.#count++, run };
    const heap = this.#heap;
    let k = heap.push(event) - 1;
    while (k > 0) {
      const parent = (k - 1) >> 1;
      if (!isBefore(event, heap[parent])) break;
      heap[k] = heap[parent];
      k = parent;
    }
    heap[k] = event;
  }

  after(delayMs: number, run: Event["run"]): void { this.at(this.#elapsedMs + delayMs, run); }

  /** Something outside was set in motion: its promises are waited for before the next event. */
  settle(): void { this.#hasPromises = true; }

  /** Time stands still until this is done, however long that takes outside. It must not wait for time. */
  hold(work: Promise<void>): void {
    this.#held.add(work);
    void work.finally(() => { this.#held.delete(work); });
  }

  /** Runs all events up to `untilMs` (since the start); time then stands there, or at the last event. */
  async run(untilMs = Infinity): Promise<void> {
    for (;;) {
      if (this.#hasPromises) {
        this.#hasPromises = false;
        await new Promise<void>((resolve) => { setImmediate(resolve); });
        continue;
      }
      if (this.#held.size > 0) { await Promise.all(this.#held); this.#hasPromises = true; continue; }
      if (this.nextMs > untilMs) break;
      const event = this.#pop();
      if (event === null) break;
      this.#elapsedMs = event.at;
      assert(++this.#ran <= EVENTS_MAX, "a simulation ends");
      const done = event.run();
      if (done !== undefined) await done;
    }
    if (untilMs < Infinity) this.#elapsedMs = Math.max(this.#elapsedMs, untilMs);
  }

  #pop(): Event | null {
    const heap = this.#heap;
    if (heap.length === 0) return null;
    const first = heap[0], last = heap.pop()!;
    const size = heap.length;
    if (size === 0) return first;
    let k = 0;
    for (;;) {
      let child = 2 * k + 1;
      if (child >= size) break;
      if (child + 1 < size && isBefore(heap[child + 1], heap[child])) child++;
      if (!isBefore(heap[child], last)) break;
      heap[k] = heap[child];
      k = child;
    }
    heap[k] = last;
    return first;
  }
}

const isBefore = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);
