/**
 * Rows of numbers in blocks of typed arrays: a long study grows without being copied, and is written to a
 * snapshot and read back block by block.
 */
type Numbers = Float64Array | Int32Array | Uint32Array | Uint8Array;
type Make = new (length: number) => Numbers;

const SHIFT = 10, ROWS = 1 << SHIFT, MASK = ROWS - 1;

export class Column {
  readonly #make: Make;
  readonly #width: number;
  readonly #fill: number;
  readonly #blocks: Numbers[] = [];

  /** `width` numbers a row; `fill` where nothing has been set. */
  constructor(make: Make, width = 1, fill = 0) {
    this.#make = make;
    this.#width = width;
    this.#fill = fill;
  }

  get(row: number, k = 0): number {
    return (this.#blocks[row >> SHIFT] ?? this.#grow(row))[(row & MASK) * this.#width + k];
  }

  set(row: number, value: number, k = 0): void {
    const block = this.#blocks[row >> SHIFT] ?? this.#grow(row);
    block[(row & MASK) * this.#width + k] = value;
  }

  /** Rows that there is memory for. */
  get rows(): number { return this.#blocks.length << SHIFT; }

  /** (width) a view of the row. */
  row(row: number): Numbers {
    const start = (row & MASK) * this.#width;
    return (this.#blocks[row >> SHIFT] ?? this.#grow(row)).subarray(start, start + this.#width);
  }

  #grow(row: number): Numbers {
    while (this.#blocks.length <= row >> SHIFT) {
      const block = new this.#make(ROWS * this.#width);
      this.#blocks.push(this.#fill === 0 ? block : block.fill(this.#fill));
    }
    return this.#blocks[row >> SHIFT];
  }

  /** Memory of the first `rows` rows, in order; made where there is none yet. */
  *bytes(rows: number): Generator<Uint8Array> {
    for (let row = 0; row < rows; row += ROWS) {
      const block = this.#blocks[row >> SHIFT] ?? this.#grow(row), count = Math.min(ROWS, rows - row);
      yield new Uint8Array(block.buffer, 0, count * this.#width * block.BYTES_PER_ELEMENT);
    }
  }
}
