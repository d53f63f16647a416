/**
 * The one latency that is about all of it: from the vendor's bytes to the first order that followed from them
 * leaving this machine. The process notes what causes orders, the broker's client when one has left.
 */
import { monotonicNs } from "../wire/codec.ts";
import type { Meters } from "../wire/meter.ts";

export class TickToOrder {
  readonly #meters: Meters;
  /** Monotonic ns of the newest cause of an order, and of the order that is on its way to leaving; 0 none. */
  #causeNs = 0;
  #leavingNs = 0;

  constructor(meters: Meters) { this.#meters = meters; }

  /** An order that was caused at `originNs` is handed to the broker's client: the first of a cause counts. */
  submit(originNs: number): void {
    if (originNs <= this.#causeNs) return;
    this.#causeNs = this.#leavingNs = originNs;
  }

  left(): void {
    if (this.#leavingNs === 0) return;
    this.#meters.of("tick to order").record((monotonicNs() - this.#leavingNs) / 1_000);
    this.#leavingNs = 0;
  }
}
