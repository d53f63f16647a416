/**
 * One version of a model on the GPU: its weights, once, and a CUDA graph for each bucket. A version lives as
 * long as it is the newest of its name or has a request to answer.
 */
import { assert } from "../../../base/assert.ts";
import { UserError } from "../../../base/error.ts";
import type { Given } from "../driver/bind.ts";
import type { Cuda } from "../driver/device.ts";
import type { PooledTensor } from "../driver/pool.ts";
import type { Stream } from "../driver/stream.ts";
import type { Tensors } from "../../runtime.ts";
import { Bucket, floatsAt, placeMapped, wordsAt, type Shared } from "./bucket.ts";
import { demandsOf, type Demand } from "./lanes.ts";
import { BUFFERS } from "./plan.ts";
import { PIECE_BYTES, type NetworkFacts, type Prepared } from "./prepare.ts";
import { HostRing, rowWords, RingStage, type RingShape } from "./ring.ts";
import type { Shelf } from "./shelf.ts";

/** The bucket that answers so many rows: the smallest that holds them; the largest in several goes. */
export function bucketFor(buckets: readonly number[], rows: number): number {
  return buckets.find((B) => B >= rows) ?? buckets[buckets.length - 1];
}

/** A ring in device memory, its mapped stage, and the same windows in host memory. */
export class DeviceRing {
  readonly shape: RingShape;
  readonly B: number;
  readonly host: HostRing;
  readonly stage: RingStage;
  /** The buffer that a plan calls BUFFERS.rows. */
  readonly shared: Readonly<Record<string, Shared>>;
  readonly #values: PooledTensor;
  readonly #start: PooledTensor;
  readonly #close: () => void;
  /** Versions that read it. */
  users = 0;

  /** `B` windows in device memory, of which the first `shape.rows` stand for instruments. */
  constructor(shelf: Shelf, shape: RingShape, B: number) {
    const { T, F } = shape;
    const { memory, places } = placeMapped(shelf, [{ name: BUFFERS.rows, bytes: 4 * B * rowWords(F) }]);
    const taken: PooledTensor[] = [];
    const giveBack = (): void => {
      shelf.giveBackMapped(memory);
      for (const one of taken) shelf.giveBack(one);
    };
    try {
      for (const bytes of [4 * B * T * F, 4]) {
        taken.push(shelf.device(bytes));
        shelf.fill(taken.at(-1)!, 0);
      }
    } catch (error) { giveBack(); throw error; }
    [this.#values, this.#start] = taken;
    for (const { view, offset, bytes } of Object.values(places)) new Uint8Array(view, offset, bytes).fill(0);
    this.shape = shape;
    this.B = B;
    this.shared = places;
    this.host = new HostRing(shape);
    const rows = places[BUFFERS.rows];
    this.stage = new RingStage(shape, { words: wordsAt(rows), floats: floatsAt(rows) });
    this.#close = giveBack;
  }

  /** A replay is about to read what was pushed. */
  begin(): void {
    this.host.step();
    this.stage.begin();
  }

  given(ringBuffer: string): Given { return { [ringBuffer]: this.#values, [BUFFERS.start]: this.#start }; }

  /** A version no longer reads it; the last one frees it. */
  leave(): void { if (--this.users === 0) this.#close(); }
}

export interface VersionOptions {
  readonly number: number;
  readonly T: number;
  readonly network: NetworkFacts;
  /** Ascending. */
  readonly buckets: readonly number[];
  readonly ring: DeviceRing | null;
  /** What a ring's model takes besides features: the same at every step. */
  readonly feeds: Tensors;
  /** Plans a bucket that is asked for later, here and now. */
  readonly prepare: (B: number) => Prepared;
}

export class Version {
  readonly number: number;
  readonly network: NetworkFacts;
  readonly ring: DeviceRing | null;
  /** Requests that it has begun to answer. */
  users = 0;
  isRetired = false;
  readonly #cuda: Cuda;
  readonly #shelf: Shelf;
  readonly #options: VersionOptions;
  readonly #buckets = new Map<number, Bucket>();
  #ringBuffer = "";
  readonly #demands = new Map<number, readonly Demand[]>();
  /** By hash: buckets whose kernels read the same bytes share them. */
  readonly #weights = new Map<string, PooledTensor>();

  constructor(cuda: Cuda, shelf: Shelf, options: VersionOptions) {
    this.#cuda = cuda;
    this.#shelf = shelf;
    this.#options = options;
    this.network = options.network;
    this.number = options.number;
    this.ring = options.ring;
    if (this.ring !== null) this.ring.users++;
  }

  /** What its launches need at once, of the buckets that are captured. */
  get demands(): readonly Demand[] { return [...this.#demands.values()].flat(); }
  get buckets(): readonly Bucket[] { return [...this.#buckets.values()]; }
  get T(): number { return this.#options.T; }

  /** The bucket that answers so many rows, if it is captured. */
  bucket(rows: number): Bucket | undefined {
    return this.#buckets.get(this.#bucketFor(rows));
  }

  /** Brings weights that are not there yet to the GPU, a piece at a time; bytes of each. Throws CudaError. */
  *upload({ weights }: Prepared): Generator<number> {
    for (const { hash, bytes } of weights.values()) {
      if (this.#weights.has(hash)) continue;
      const memory = this.#shelf.device(bytes.length);
      this.#weights.set(hash, memory);
      for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
        const piece = bytes.subarray(at, at + PIECE_BYTES);
        this.#shelf.write(memory, piece, at);
        yield piece.length;
      }
    }
  }

  /** The bucket for so many rows; captured now, if it is not yet. Throws CudaError. */
  capture(rows: number, stream: Stream, given?: Prepared): Bucket {
    const { ring } = this, known = this.bucket(rows);
    if (known !== undefined) return known;
    const prepared = given ?? this.#options.prepare(this.#bucketFor(rows)), { plan } = prepared;
    assert((plan.ring === null) === (ring === null), "a ring is planned where there is one");
    for (const piece of this.upload(prepared)) assert(piece > 0, "a piece has bytes");
    const weights: Given = Object.fromEntries([...prepared.weights].map(([buffer, { hash }]) =>
      [buffer, this.#weights.get(hash)!]));
    const places = ring === null ? weights : { ...weights, ...ring.given(plan.ring!) };
    const bucket = new Bucket(this.#cuda, plan, { version: this.number, stream },
      { shelf: this.#shelf, given: places, shared: ring?.shared ?? {} });
    if (ring !== null) bucket.feed(this.#options.feeds, 0, ring.shape.rows);
    this.#buckets.set(plan.B, bucket);
    this.#ringBuffer = plan.ring ?? "";
    this.#demands.set(plan.B, demandsOf(plan.list));
    return bucket;
  }

  /** A whole window of the ring, after the last replay: two pieces, because a ring has no beginning. */
  fill(row: number, window: Float32Array): void {
    const ring = this.ring!, { T, F } = ring.shape, bucket = this.bucket(ring.shape.rows)!;
    ring.host.fill(row, window);
    ring.stage.clear(row);
    const split = (T - ring.stage.oldest) * F, start = row * T * F;
    const bytes = (from: number, to: number): Uint8Array =>
      new Uint8Array(window.buffer, window.byteOffset + 4 * from, 4 * (to - from));
    bucket.write(this.#ringBuffer, bytes(0, split), 4 * (start + T * F - split));
    if (split < T * F) bucket.write(this.#ringBuffer, bytes(split, T * F), 4 * start);
  }

  #bucketFor(rows: number): number { return this.ring?.B ?? bucketFor(this.#options.buckets, rows); }

  close(): void {
    for (const bucket of this.#buckets.values()) bucket.close();
    this.#buckets.clear();
    for (const memory of this.#weights.values()) this.#shelf.giveBack(memory);
    this.#weights.clear();
    this.ring?.leave();
  }
}

/** The bucket of a ring. UserError when no bucket has room for it. */
export function ringBucket(buckets: readonly number[], rows: number): number {
  const B = buckets.find((one) => one >= rows);
  if (B !== undefined) return B;
  throw new UserError(`a ring of ${rows} instruments is larger than the largest bucket, ${buckets.at(-1)}`,
    "share the instruments among several models.");
}
