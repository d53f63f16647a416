/**
 * As much of Thrift's compact protocol as a Parquet footer needs: walk a structure, skip what is of
 * no interest, copy it with a few fields changed. (Apache Thrift, "Thrift compact protocol
 * encoding".)
 *
 *   struct := field* 0x00     field := (id step << 4 | type) value     step 0: a zigzag id follows
 *   list   := (size << 4 | type) value*                                size 15: a varint size follows
 *
 * Reading past the end, or a nonsensical type, throws RangeError: the caller says which file is
 * damaged.
 */
export const Type = {
  true: 1, false: 2, byte: 3, i16: 4, i32: 5, i64: 6, double: 7, binary: 8, list: 9, set: 10, map: 11,
  struct: 12,
} as const;

const DEPTH_MAX = 32;

export class ThriftReader {
  readonly bytes: Uint8Array;
  at: number;
  #lastId = 0;

  constructor(bytes: Uint8Array, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }

  byte(): number {
    if (this.at >= this.bytes.length) throw new RangeError("the structure ends early");
    return this.bytes[this.at++];
  }

  /** Numbers up to 2^53: beyond any size or position in a file. */
  varint(): number {
    let value = 0, scale = 1;
    for (;;) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
      if (scale > 2 ** 63) throw new RangeError("a number is too long");
    }
  }

  zigzag(): number {
    const value = this.varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  binary(): Uint8Array {
    const length = this.varint();
    if (this.at + length > this.bytes.length) throw new RangeError("a text ends early");
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  text(): string { return Buffer.from(this.binary()).toString("utf8"); }

  list(): { type: number; size: number } {
    const head = this.byte(), short = head >> 4;
    return { type: head & 15, size: short === 15 ? this.varint() : short };
  }

  /** Walks one struct: `field` reads each value or leaves it; what it leaves is skipped. */
  struct(field: (id: number, type: number) => void): void {
    const outer = this.#lastId;
    this.#lastId = 0;
    for (let head = this.byte(); head !== 0; head = this.byte()) {
      const id = head >> 4 === 0 ? this.zigzag() : this.#lastId + (head >> 4), start = this.at;
      this.#lastId = id;
      field(id, head & 15);
      if (this.at === start) this.skip(head & 15);
    }
    this.#lastId = outer;
  }

  skip(type: number, depth = 0): void {
    if (depth > DEPTH_MAX) throw new RangeError("nested too deeply");
    switch (type) {
      case Type.true: case Type.false: return;
      case Type.byte: this.byte(); return;
      case Type.i16: case Type.i32: case Type.i64: this.varint(); return;
      case Type.double: for (let k = 0; k < 8; k++) this.byte(); return;
      case Type.binary: this.binary(); return;
      case Type.list: case Type.set: {
        const { type: inner, size } = this.list();
        for (let k = 0; k < size; k++) {
          if (inner === Type.true || inner === Type.false) this.byte();
          else this.skip(inner, depth + 1);
        }
        return;
      }
      case Type.struct:
        for (let head = this.byte(); head !== 0; head = this.byte()) {
          if (head >> 4 === 0) this.varint();
          this.skip(head & 15, depth + 1);
        }
        return;
      default: throw new RangeError(`type ${type} has no place here`);
    }
  }
}

export class ThriftWriter {
  #bytes = Buffer.alloc(1024);
  #length = 0;
  #lastId = 0;

  get length(): number { return this.#length; }

  bytes(): Uint8Array { return this.#bytes.subarray(0, this.#length); }

  raw(bytes: Uint8Array): this {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    return this;
  }

  byte(value: number): this {
    this.#room(1);
    this.#bytes[this.#length++] = value;
    return this;
  }

  varint(value: number): this {
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.byte(rest % 128 + 128);
    return this.byte(rest);
  }

  zigzag(value: number): this { return this.varint(value < 0 ? -2 * value - 1 : 2 * value); }

  text(value: string): this { return this.varint(Buffer.byteLength(value)).raw(Buffer.from(value)); }

  listHead(type: number, size: number): this {
    return size < 15 ? this.byte(size << 4 | type) : this.byte(0xf0 | type).varint(size);
  }

  /** Field ids of one struct must rise. */
  field(id: number, type: number): this {
    const step = id - this.#lastId;
    this.#lastId = id;
    return step > 0 && step < 16 ? this.byte(step << 4 | type) : this.byte(type).zigzag(id);
  }

  struct(fill: () => void): this {
    const outer = this.#lastId;
    this.#lastId = 0;
    fill();
    this.#lastId = outer;
    return this.byte(0);
  }

  #room(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const wider = Buffer.alloc(Math.max(2 * this.#bytes.length, this.#length + more));
    wider.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = wider;
  }
}
