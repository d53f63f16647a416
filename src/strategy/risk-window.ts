/**
 * The latest returns of N instruments, for value at risk and covariances. A ring of rows, kept by columns:
 *
 *     column i   r r r r r r r r r r ... (ROWS) . . (padding to STRIDE)     row `observed % ROWS` is the next
 *
 * so that what combines instruments reads eight neighbouring rows at a time. No user minds the order of rows.
 */
export const WINDOW_ROWS = 250;
/** Next multiple of 8. */
export const WINDOW_STRIDE = 256;

export class ReturnWindow {
  /** (N, WINDOW_STRIDE); empty until the first row. */
  values = new Float64Array(0);
  /** Rows ever observed; the ring holds the last WINDOW_ROWS of them. */
  observed = 0;
  readonly #count: number;

  constructor(instruments: number) { this.#count = instruments; }

  get rows(): number { return Math.min(this.observed, WINDOW_ROWS); }

  /** (N) one period's returns; an instrument without one has 0. */
  add(returns: Float64Array): void {
    if (this.values.length === 0) this.values = new Float64Array(this.#count * WINDOW_STRIDE);
    for (let i = 0, at = this.observed % WINDOW_ROWS; i < returns.length; i++, at += WINDOW_STRIDE) {
      this.values[at] = returns[i];
    }
    this.observed++;
  }
}
