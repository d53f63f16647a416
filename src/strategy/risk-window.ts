/**
 * The latest returns of N instruments, for value at risk and covariances. A ring of rows, in blocks of eight:
 *
 *     block 0: instrument 0 [row 0 .. 7], instrument 1 [row 0 .. 7], ...   block 1: [row 8 .. 15] ...
 *
 * so that who combines instruments reads eight rows at a time, and memory from front to back. The row that
 * comes next is `observed % WINDOW_ROWS`; no user minds the order of rows.
 */
export const WINDOW_ROWS = 250;
export const BLOCK_ROWS = 8;
/** WINDOW_ROWS in whole blocks. */
export const WINDOW_ROWS_PADDED = Math.ceil(WINDOW_ROWS / BLOCK_ROWS) * BLOCK_ROWS;

export class ReturnWindow {
  /** (blocks, N, BLOCK_ROWS); empty until the first row. */
  values = new Float64Array(0);
  /** Rows ever observed; the ring holds the last WINDOW_ROWS of them. */
  observed = 0;
  readonly count: number;

  constructor(instruments: number) { this.count = instruments; }

  get rows(): number { return Math.min(this.observed, WINDOW_ROWS); }

  /** (N) one period's returns; an instrument without one has 0. */
  add(returns: Float64Array): void {
    if (this.values.length === 0) this.values = new Float64Array(this.count * WINDOW_ROWS_PADDED);
    let at = this.#place(0, this.observed % WINDOW_ROWS);
    for (let i = 0; i < this.count; i++, at += BLOCK_ROWS) this.values[at] = returns[i];
    this.observed++;
  }

  /** (rows) returns of one instrument. */
  column(i: number): Float64Array {
    return Float64Array.from({ length: this.rows }, (_, row) => this.values[this.#place(i, row)]);
  }

  #place(i: number, row: number): number {
    return (Math.floor(row / BLOCK_ROWS) * this.count + i) * BLOCK_ROWS + row % BLOCK_ROWS;
  }
}
