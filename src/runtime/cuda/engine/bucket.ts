/**
 * One CUDA graph of a model: B windows at most, with the mapped memory that it reads and writes. All is made
 * once; a replay writes a few words, launches the graph, and reads answers where the GPU wrote them. That
 * they are there it knows by a word that the GPU counts up, or, where they are few, by each of them.
 *
 *   mapped   | header | done | windows ... | other inputs ... | outputs ... |     each at a multiple of 256
 */
import { assert } from "../../../base/assert.ts";
import type { Tensors, Values } from "../../runtime.ts";
import type { Cuda } from "../driver/device.ts";
import type { Bound, CudaGraph, Given } from "../driver/bind.ts";
import type { CudaError } from "../driver/error.ts";
import type { MappedMemory, Placed } from "../driver/memory.ts";
import type { Stream } from "../driver/stream.ts";
import { spinUntil } from "../driver/wait.ts";
import type { Answers } from "./models.ts";
import { BUFFERS } from "./plan.ts";
import type { Prepared } from "./prepare.ts";
import { HEADER } from "./ring.ts";
import type { Shelf } from "./shelf.ts";

/** Memory that the host sees as well, by buffer. */
export interface Shared extends Placed { readonly view: ArrayBuffer; readonly offset: number }

const ALIGNMENT = 256;
/** Bits that no answer has: a float that is not a number, and not the one that GPUs make (0x7fffffff). */
const UNSEEN = -1;

interface Sized { readonly name: string; readonly bytes: number }

/** Places buffers in one piece of mapped memory. */
export function placeMapped(shelf: Shelf, buffers: readonly Sized[]):
{ memory: MappedMemory; places: Record<string, Shared> } {
  let end = 0;
  const offsets = buffers.map(({ bytes }) => {
    const offset = end;
    end += Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
    return offset;
  });
  const memory = shelf.mapped(end), { view } = memory;
  return { memory, places: Object.fromEntries(buffers.map(({ name, bytes }, k) =>
    [name, { address: memory.address + BigInt(offsets[k]), bytes, view, offset: offsets[k] }])) };
}

export const floatsAt = ({ view, offset, bytes }: Shared): Float32Array =>
  new Float32Array(view, offset, bytes / 4);
export const wordsAt = ({ view, offset, bytes }: Shared): Uint32Array =>
  new Uint32Array(view, offset, bytes / 4);

export interface BucketMemory {
  readonly shelf: Shelf;
  /** Where weights and the ring lie. */
  readonly given: Given;
  /** Mapped memory that is not the bucket's own. */
  readonly shared: Readonly<Record<string, Shared>>;
}

export class Bucket {
  readonly B: number;
  /** What is fed, in mapped memory: (B, ...), by name. */
  readonly inputs: Readonly<Record<string, Float32Array>>;
  readonly #plan: Prepared["plan"];
  readonly #version: number;
  readonly #bound: Bound;
  readonly #graph: CudaGraph;
  readonly #memory: MappedMemory;
  readonly #shelf: Shelf;
  readonly #header: Uint32Array;
  readonly #done: Int32Array;
  readonly #outputs: Readonly<Record<string, Values>>;
  /** By rows. */
  readonly #answers = new Map<number, Answers>();
  #target = 0;
  /** Bits of the answers, where the host looks at them themselves, and how many it has seen; else null. */
  readonly #seen: Int32Array | null;
  #count = 0;
  readonly #isDone = (): boolean => this.isDone;

  /** Binds and captures a plan. Throws CudaError. */
  constructor(cuda: Cuda, plan: Prepared["plan"], { version, stream }: { version: number; stream: Stream },
    { shelf, given, shared }: BucketMemory) {
    const { memory, places: own } = placeMapped(shelf, plan.mapped.filter(({ name }) => !(name in shared)));
    const places: Readonly<Record<string, Shared>> = { ...own, ...shared };
    let bound: Bound | null = null;
    try {
      bound = cuda.bind(plan.list, { ...given, ...places });
      this.#graph = bound.capture(stream);
    } catch (error) {
      bound?.close();
      shelf.giveBackMapped(memory);
      throw error;
    }
    this.#bound = bound;
    this.#memory = memory;
    this.#shelf = shelf;
    this.#plan = plan;
    this.#version = version;
    this.B = plan.B;
    this.#header = wordsAt(places[BUFFERS.header]);
    const done = places[BUFFERS.done];
    this.#done = new Int32Array(done.view, done.offset, 1);
    // The memory may have been another's.
    this.#header.fill(0);
    this.#done[0] = 0;
    this.inputs = Object.fromEntries(plan.inputs.map(({ name, buffer }) => [name, floatsAt(places[buffer])]));
    this.#outputs = Object.fromEntries(plan.outputs.map(({ name, buffer, shape }) =>
      [name, { shape, values: floatsAt(places[buffer]) }]));
    const output = places[plan.outputs[0].buffer];
    this.#seen = plan.completions > 0 ? null
      : new Int32Array(output.view, output.offset, this.#outputs[plan.outputs[0].name].values.length);
  }

  /** Copies the rows [from, from + rows) of what was fed into mapped memory. */
  feed(feeds: Tensors, from: number, rows: number): void {
    for (const { name, shape } of this.#plan.inputs) {
      const row = shape.slice(1).reduce((a, b) => a * b, 1), { values } = feeds[name];
      this.inputs[name].set(values.subarray(from * row, (from + rows) * row));
    }
  }

  /** Puts a replay into the stream. */
  launch(stream: Stream, rows: number): void {
    if (!(rows > 0 && rows <= this.B)) assert(false, `${rows} rows in a bucket of ${this.B}`);
    this.#header[HEADER.rows] = rows;
    this.#target = (this.#target + this.#plan.completions) | 0;
    this.#seen?.fill(UNSEEN);
    this.#count = 0;
    this.#graph.launch(stream);
  }

  /** Whether the last replay's answers can be read. */
  get isDone(): boolean {
    const seen = this.#seen;
    if (seen === null) return ((Atomics.load(this.#done, 0) - this.#target) | 0) >= 0;
    while (this.#count < seen.length && Atomics.load(seen, this.#count) !== UNSEEN) this.#count++;
    return this.#count === seen.length;
  }

  /** Waits for the last replay, taking a core. Null, or what went wrong. */
  spin(stream: Stream): CudaError | null { return spinUntil(this.#isDone, stream); }

  /** Views of mapped memory, the same ones each time: valid until the next replay. */
  answers(rows: number): Answers {
    const known = this.#answers.get(rows);
    if (known !== undefined) return known;
    const outputs = Object.fromEntries(this.#plan.outputs.map(({ name }) => {
      const { shape, values } = this.#outputs[name], row = values.length / this.B;
      // (B, 1) of the last step alone is (B) to who asks; final/NAME stays (B, H).
      const own = name.startsWith("final/") ? [rows, ...shape.slice(1)] : [rows];
      return [name, { shape: own, values: values.subarray(0, rows * row) as Float32Array }];
    }));
    const made = { version: this.#version, rows, outputs };
    this.#answers.set(rows, made);
    return made;
  }

  /** Writes into a buffer of the graph, once the GPU is idle. */
  write(buffer: string, bytes: Uint8Array, offset: number): void { this.#bound.write(buffer, bytes, offset); }

  close(): void {
    this.#answers.clear();
    this.#graph.close();
    this.#bound.close();
    this.#shelf.giveBackMapped(this.#memory);
  }
}
