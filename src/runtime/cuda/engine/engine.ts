/**
 * Models on one GPU, in one process that owns it. A name has a newest version and a queue; a request is
 * answered by the version that was the newest when its turn came, all of it.
 *
 *   run(name) ──> queue of the name ──> version.bucket(rows): copy in, replay ──> copy of the answers
 *   load(name) again: the new version is captured beside the old one, then takes its place; the old one is
 *   freed after its last request
 *
 * Waiting: "spin" reads memory that the GPU writes until it has (the fastest, and takes a core);
 * "poll" looks at it once per turn of the event loop, so that other work goes on.
 */
import { assert } from "../../../base/assert.ts";
import type { Tensors } from "../../runtime.ts";
import { openCuda, type Cuda, type CudaOptions } from "../driver/device.ts";
import { CudaError } from "../driver/error.ts";
import type { PoolStatistics } from "../driver/pool.ts";
import type { Stream } from "../driver/stream.ts";
import type { CudaPrecision } from "../launch.ts";
import type { Bucket } from "./bucket.ts";
import { canShare } from "./lanes.ts";
import type { Answers, LoadOptions, Models, NetworkFile } from "./models.ts";
import type { LowerNetwork, PlanRequest } from "./plan.ts";
import { nextTurn, Preparer, prepareNetwork, type NetworkFacts, type Prepared } from "./prepare.ts";
import { RequestQueue, type Slot } from "./queue.ts";
import { isSameRing, type HostRing } from "./ring.ts";
import { Shelf } from "./shelf.ts";
import { bucketFor, DeviceRing, ringBucket, Version } from "./version.ts";

export const BUCKETS: readonly number[] = [1, 8, 32, 128, 512, 2048, 4096];

export interface EngineOptions extends CudaOptions {
  /** A GPU that is open already, and stays open. */
  readonly cuda?: Cuda;
  readonly precision?: CudaPrecision;
  /** Rows that graphs are captured for, ascending. */
  readonly buckets?: readonly number[];
  /** Buckets above it are captured when they are first asked for. */
  readonly warmRows?: number;
  readonly mode?: "spin" | "poll";
  readonly lower?: LowerNetwork;
}

export interface EngineStatistics {
  readonly models: number;
  /** Captured graphs. */
  readonly graphs: number;
  readonly replays: number;
  /** Versions that took another's place. */
  readonly swaps: number;
  /** Whether models run side by side, or those with persistent kernels take turns (lanes.ts). */
  readonly isTogether: boolean;
  readonly pool: PoolStatistics;
}

/** Opens the engine. Throws CudaError: no-driver, old-driver, no-device, no-nvrtc. */
export function openEngine(options: EngineOptions = {}): Engine { return new Engine(options); }

export class Engine implements Models {
  readonly cuda: Cuda;
  readonly #options: Required<Pick<EngineOptions, "precision" | "buckets" | "warmRows">>
    & Pick<EngineOptions, "lower">;
  readonly #isOwn: boolean;
  readonly #slots = new Map<string, Slot>();
  /** For models with persistent kernels that cannot all be on the GPU at once. */
  readonly #shared: Stream;
  readonly #shelf: Shelf;
  readonly #queue: RequestQueue;
  /** Null: networks are prepared by a function of the caller's, which no thread can be given. */
  readonly #preparer: Preparer | null;
  /** The last of the loads and unloads, which take turns. */
  #turn: Promise<unknown> = Promise.resolve();
  #isTogether = true;
  #replays = 0;
  #swaps = 0;
  /** After a fault nothing works any more. */
  #fault: CudaError | null = null;

  constructor({ cuda, precision = "float16", buckets = BUCKETS, warmRows = 512, mode = "spin", lower,
    ...rest }: EngineOptions) {
    this.#options = { precision, buckets, warmRows, lower };
    this.#preparer = lower === undefined ? new Preparer() : null;
    this.#isOwn = cuda === undefined;
    this.cuda = cuda ?? openCuda(rest);
    this.#shared = this.cuda.stream();
    this.#shelf = new Shelf(this.cuda);
    this.#queue = new RequestQueue({ mode, bucket: (...of) => this.#bucket(...of),
      stream: (slot) => this.#streamOf(slot), launch: (...of) => { this.#launch(...of); },
      retire: (version) => { this.#retire(version); }, checkAlive: () => { this.#checkAlive(); },
      failed: (error) => this.#failed(error) });
  }

  /** One load after the other. */
  load(name: string, file: NetworkFile, options: LoadOptions): Promise<number> {
    return this.#inTurn(() => this.#load(name, file, options));
  }

  async #load(name: string, file: NetworkFile, options: LoadOptions): Promise<number> {
    this.#checkAlive();
    const { lower } = this.#options, request = (B: number): PlanRequest => this.#request(B, options);
    const requests = this.#warmBuckets(options).map(request);
    // Where no model answers yet nobody is disturbed, and a thread would have to be started first.
    const isHere = this.#preparer === null || this.#slots.size === 0;
    const made = isHere ? prepareNetwork(file, requests, lower)
      : await this.#preparer.prepare(file, requests);
    const before = this.#slots.get(name);
    const slot = before ?? { name, stream: this.cuda.stream(), current: null, queue: [], flight: null };
    let version: Version | null = null;
    try {
      version = this.#makeVersion(made.network, slot.current, options,
        (B) => prepareNetwork(file, [request(B)], lower).buckets[0]);
      for (const bucket of made.buckets) {
        await this.cuda.prepare(bucket.plan.list);
        // Other requests are answered while this version is made.
        const pieces = version.upload(bucket);
        while (this.#guard(() => pieces.next().done) !== true) await nextTurn();
        this.#capture(version, bucket.plan.B, slot.stream, bucket);
      }
    } catch (error) {
      version?.close();
      if (before === undefined) slot.stream.close();
      throw error;
    }
    const old = slot.current;
    slot.current = version;
    this.#slots.set(name, slot);
    if (old !== null) {
      this.#swaps++;
      this.#retire(old);
    }
    this.#arrange();
    this.#warm(slot, version);
    return version.number;
  }

  #inTurn<Result>(act: () => Promise<Result>): Promise<Result> {
    const made = this.#turn.then(act);
    this.#turn = made.catch(() => { /* told to who asked */ });
    return made;
  }

  /** Replays every graph once, because the first time takes longer; not where a request would wait for it. */
  #warm(slot: Slot, version: Version): void {
    if (slot.flight !== null) return;
    this.#still(slot, () => { for (const bucket of version.buckets) this.#replay(slot, bucket, 1); });
  }

  #makeVersion(network: NetworkFacts, before: Version | null, { T, ring, version }: LoadOptions,
    prepare: (B: number) => Prepared): Version {
    const { buckets } = this.#options, number = version ?? (before?.number ?? 0) + 1;
    const make = (own: DeviceRing | null): Version => new Version(this.cuda, this.#shelf,
      { number, T, network, buckets, ring: own, feeds: ring?.feeds ?? {}, prepare });
    if (ring === undefined) return make(null);
    const shape = { rows: ring.rows, T, F: network.F }, old = before?.ring ?? null;
    const B = ringBucket(buckets, ring.rows);
    const isKept = old !== null && old.B === B && isSameRing(old.shape, shape);
    return make(isKept ? old : new DeviceRing(this.#shelf, shape, B));
  }

  #request(B: number, { T, ring }: LoadOptions): PlanRequest {
    return { B, T, precision: this.#options.precision, device: this.cuda.facts,
      feed: ring === undefined ? "windows" : "ring" };
  }

  /** Buckets that are captured before the model answers. */
  #warmBuckets({ ring, buckets: asked }: LoadOptions): readonly number[] {
    const { buckets, warmRows } = this.#options;
    if (ring !== undefined) return [ringBucket(buckets, ring.rows)];
    if (asked === undefined) return buckets.filter((B, k) => k === 0 || B <= warmRows);
    return [...new Set(asked.map((rows) => bucketFor(buckets, rows)))];
  }

  run(name: string, feeds: Tensors): Promise<Answers> {
    return this.#queue.enqueue(this.#slot(name), feeds, false);
  }

  step(name: string): Promise<Answers> {
    this.ring(name).checkFull(name);
    return this.#queue.enqueue(this.#slot(name), {}, true);
  }

  /**
   * The arrays, in mapped memory, that `runStaged` will read: (B, ...) by name, of which the first rows
   * count. Write them and call `runStaged` without waiting for anything in between.
   */
  stage(name: string, rows: number): Readonly<Record<string, Float32Array>> {
    const slot = this.#idle(name);
    return this.#bucket(slot, slot.current!, rows).inputs;
  }

  /** Answers what was staged, blocking; makes no objects. Views, overwritten by this model's next run. */
  runStaged(name: string, rows: number): Answers {
    const slot = this.#idle(name), bucket = this.#bucket(slot, slot.current!, rows);
    return this.#replay(slot, bucket, rows);
  }

  /** As `step`, blocking; views that the next run of this model overwrites. */
  stepStaged(name: string): Answers {
    const slot = this.#idle(name), ring = slot.current!.ring;
    if (ring === null) assert(false, `${name} was loaded without a ring`);
    ring.host.checkFull(name);
    ring.begin();
    const answers = this.#replay(slot, slot.current!.bucket(ring.shape.rows)!, ring.shape.rows);
    ring.stage.end();
    return answers;
  }

  #replay(slot: Slot, bucket: Bucket, rows: number): Answers {
    const stream = this.#streamOf(slot);
    this.#launch(bucket, stream, rows);
    const error = bucket.spin(stream);
    if (error !== null) throw this.#failed(error);
    return bucket.answers(rows);
  }

  push(name: string, row: number, features: Float32Array): void {
    const { host, stage } = this.#ringOf(name);
    host.push(row, features);
    stage.push(row, features);
  }

  fill(name: string, row: number, window: Float32Array): void {
    this.#ringOf(name);
    this.#guard(() => { this.#slot(name).current!.fill(row, window); });
  }

  ring(name: string): HostRing { return this.#ringOf(name).host; }

  /**
   * Replays the graph that answers so many rows `count` times back to back; microseconds of the GPU's clock
   * for one. What it computes is whatever was staged.
   */
  timeReplays(name: string, rows: number, count: number): number {
    const slot = this.#idle(name), bucket = this.#bucket(slot, slot.current!, rows);
    const stream = this.#streamOf(slot);
    using start = this.cuda.event(), end = this.cuda.event();
    return this.#still(slot, () => {
      start.record(stream);
      for (let replay = 0; replay < count; replay++) this.#launch(bucket, stream, Math.min(rows, bucket.B));
      end.record(stream);
      const error = bucket.spin(stream);
      if (error !== null) throw error;
      stream.synchronize();
      return end.microsecondsSince(start) / count;
    });
  }

  statistics(): EngineStatistics {
    const versions = [...this.#slots.values()].flatMap(({ current }) => (current === null ? [] : [current]));
    return { models: versions.length, graphs: versions.reduce((sum, { buckets }) => sum + buckets.length, 0),
      replays: this.#replays, swaps: this.#swaps, isTogether: this.#isTogether,
      pool: this.cuda.pool.statistics() };
  }

  /** The version that answers what is asked now. */
  versionOf(name: string): number { return this.#slot(name).current!.number; }

  /** Replays that answer nobody: they move no ring. */
  #still<Result>(slot: Slot, act: () => Result): Result {
    const ring = slot.current!.ring;
    return this.#guard(() => (ring === null ? act() : ring.stage.still(act)));
  }

  /** What the GPU died of; null: it is alive. */
  get fault(): CudaError | null { return this.#fault; }

  unload(name: string): Promise<void> { return this.#inTurn(() => this.#unload(name)); }

  async #unload(name: string): Promise<void> {
    const slot = this.#slot(name);
    this.#slots.delete(name);
    while (slot.flight !== null || slot.queue.length > 0) await nextTurn();
    if (slot.current !== null) this.#retire(slot.current);
    slot.stream.close();
    if (this.#fault === null) this.#arrange();
  }

  async close(): Promise<void> {
    // A load under way is ended first: it would go on with a GPU that is closed.
    await this.#turn;
    for (const name of this.#slots.keys()) await this.unload(name);
    await this.#preparer?.close();
    this.#shared.close();
    this.#shelf.close();
    if (this.#isOwn) this.cuda.close();
  }

  // --- parts

  #launch(bucket: Bucket, stream: Stream, rows: number): void {
    this.#replays++;
    bucket.launch(stream, rows);
  }

  /** The bucket for so many rows, captured now if nobody asked before. */
  #bucket(slot: Slot, version: Version, rows: number): Bucket {
    const known = version.bucket(rows);
    if (known !== undefined) return known;
    const made = this.#capture(version, rows, slot.stream);
    this.#arrange();
    return made;
  }

  #capture(version: Version, rows: number, stream: Stream, given?: Prepared): Bucket {
    return this.#guard(() => version.capture(rows, stream, given));
  }

  #streamOf(slot: Slot): Stream {
    return this.#isTogether || slot.current!.demands.length === 0 ? slot.stream : this.#shared;
  }

  /** Decides who may run side by side. Nothing runs while that changes. */
  #arrange(): void {
    const demands = [...this.#slots.values()].map(({ current }) => current?.demands ?? []);
    const isTogether = canShare(demands, this.cuda.facts);
    if (isTogether === this.#isTogether) return;
    this.#guard(() => { for (const { stream } of this.#slots.values()) stream.synchronize(); });
    this.#guard(() => { this.#shared.synchronize(); });
    this.#isTogether = isTogether;
  }

  #retire(version: Version): void {
    version.isRetired = true;
    if (version.users === 0) version.close();
  }

  #slot(name: string): Slot {
    const slot = this.#slots.get(name);
    if (slot === undefined) assert(false, `no model ${name} is loaded`);
    return slot;
  }

  /** The slot of a name that nobody waits for: what blocks and what is queued do not mix. */
  #idle(name: string): Slot {
    this.#checkAlive();
    const slot = this.#slot(name);
    if (slot.flight !== null || slot.queue.length > 0) assert(false, `${name} is answering another request`);
    return slot;
  }

  #ringOf(name: string): DeviceRing {
    const ring = this.#slot(name).current?.ring ?? null;
    if (ring === null) assert(false, `${name} was loaded without a ring`);
    return ring;
  }

  #checkAlive(): void { if (this.#fault !== null) throw this.#fault; }

  #guard<Result>(act: () => Result): Result {
    try { return act(); } catch (error) { throw this.#failed(error); }
  }

  /** Remembers a fault: every later request ends with it at once. */
  #failed(error: unknown): unknown {
    if (error instanceof CudaError && (error.isSticky || error.reason === "timeout")) this.#fault ??= error;
    return error;
  }
}
