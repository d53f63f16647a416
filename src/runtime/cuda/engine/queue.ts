/**
 * Requests, one after the other for each model: the version that is the newest when a request's turn comes
 * answers all of it, in several replays where it is larger than the largest bucket.
 *
 *   enqueue ──> slot.queue ── its turn ──> flight: copy in, replay ── done? ──> copy of the answers
 *                                             └─ poll: looked at once per turn of the event loop
 */
import { assert } from "../../../base/assert.ts";
import type { Tensors } from "../../runtime.ts";
import type { CudaError } from "../driver/error.ts";
import type { Stream } from "../driver/stream.ts";
import { late, WAIT_MAX_MS } from "../driver/wait.ts";
import type { Bucket } from "./bucket.ts";
import type { Answers } from "./models.ts";
import { copyOf, joined, ringRowsOf, rowsOf } from "./request.ts";
import type { Version } from "./version.ts";

/** Requests of one model that wait; a live model answers in microseconds, so more is a mistake. */
const QUEUE_MAX = 10_000;
/** Turns of polling between two questions whether the GPU is still alive. */
const TURNS_PER_LOOK = 256;

interface Request {
  readonly feeds: Tensors;
  readonly isStep: boolean;
  readonly resolve: (answers: Answers) => void;
  readonly reject: (error: unknown) => void;
}

/** A request that is being answered, from row `from` on. */
interface Flight {
  readonly request: Request;
  readonly version: Version;
  readonly bucket: Bucket;
  readonly stream: Stream;
  readonly total: number;
  readonly from: number;
  readonly rows: number;
  /** Answers so far. */
  readonly parts: readonly Answers[];
  /** When its replay began, by performance.now(). */
  readonly startMs: number;
}

/** All that goes by one name. */
export interface Slot {
  readonly name: string;
  readonly stream: Stream;
  current: Version | null;
  readonly queue: Request[];
  flight: Flight | null;
}

/** What a queue needs of the engine around it. */
export interface Around {
  readonly mode: "spin" | "poll";
  /** The bucket for so many rows, captured if need be. Throws CudaError. */
  bucket(slot: Slot, version: Version, rows: number): Bucket;
  stream(slot: Slot): Stream;
  /** Puts a replay into the stream. Throws CudaError. */
  launch(bucket: Bucket, stream: Stream, rows: number): void;
  /** Frees a version that has been replaced, unless it has requests to answer. */
  retire(version: Version): void;
  /** Throws what the GPU died of. */
  checkAlive(): void;
  /** Remembers a fault; what it was given. */
  failed(error: unknown): unknown;
  /** The longest that a replay may take; WAIT_MAX_MS by default. */
  readonly timeoutMs?: number;
}

export class RequestQueue {
  readonly #around: Around;
  readonly #flying = new Set<Slot>();
  #isPolling = false;
  #turns = 0;

  constructor(around: Around) { this.#around = around; }

  /** Answers that are the caller's own. */
  enqueue(slot: Slot, feeds: Tensors, isStep: boolean): Promise<Answers> {
    assert(slot.queue.length < QUEUE_MAX, `${QUEUE_MAX} requests wait for ${slot.name}`);
    return new Promise((resolve, reject) => {
      slot.queue.push({ feeds, isStep, resolve, reject });
      this.#next(slot);
    });
  }

  /** Begins the next request of a name, when it is its turn. */
  #next(slot: Slot): void {
    while (slot.flight === null) {
      const request = slot.queue.shift();
      if (request === undefined) return;
      const version = slot.current!;
      version.users++;
      try {
        this.#around.checkAlive();
        const total = request.isStep ? ringRowsOf(slot.name, version) : rowsOf(request.feeds, version);
        this.#begin(slot, { request, version, total, from: 0, parts: [] });
      } catch (error) { this.#end(slot, version, () => { request.reject(this.#around.failed(error)); }); }
    }
  }

  #begin(slot: Slot, { request, version, total, from, parts }:
  Pick<Flight, "request" | "version" | "total" | "from" | "parts">): void {
    const bucket = this.#around.bucket(slot, version, total - from), rows = Math.min(total - from, bucket.B);
    const stream = this.#around.stream(slot);
    if (request.isStep) version.ring!.begin();
    else bucket.feed(request.feeds, from, rows);
    this.#around.launch(bucket, stream, rows);
    const startMs = performance.now();
    slot.flight = { request, version, bucket, stream, total, from, rows, parts, startMs };
    if (this.#around.mode === "spin") this.#land(slot, bucket.spin(stream));
    else this.#poll(slot);
  }

  /** A replay has ended: with answers, or with an error. */
  #land(slot: Slot, error: CudaError | null): void {
    const flight = slot.flight!, { request, version, bucket, total, from, rows } = flight;
    slot.flight = null;
    if (error !== null) {
      const failure = this.#around.failed(error);
      this.#end(slot, version, () => { request.reject(failure); });
      return;
    }
    if (request.isStep) version.ring!.stage.end();
    const parts = [...flight.parts, copyOf(bucket.answers(rows))];
    if (from + rows === total) this.#end(slot, version, () => { request.resolve(joined(parts)); });
    else {
      try { this.#begin(slot, { request, version, total, from: from + rows, parts }); } catch (another) {
        this.#end(slot, version, () => { request.reject(this.#around.failed(another)); });
      }
    }
  }

  #end(slot: Slot, version: Version, tell: () => void): void {
    slot.flight = null;
    this.#flying.delete(slot);
    version.users--;
    if (version.isRetired) this.#around.retire(version);
    tell();
  }

  /** Why a replay will not end: the GPU died, or it took too long. Null: it may yet. */
  #trouble({ stream, startMs }: Flight): CudaError | null {
    const { timeoutMs = WAIT_MAX_MS } = this.#around;
    return stream.fault() ?? (performance.now() - startMs > timeoutMs ? late(timeoutMs) : null);
  }

  #poll(slot: Slot): void {
    this.#flying.add(slot);
    if (this.#isPolling) return;
    this.#isPolling = true;
    const look = (): void => {
      const isLook = ++this.#turns % TURNS_PER_LOOK === 0;
      for (const one of Array.from(this.#flying)) {
        const flight = one.flight!, { isDone } = flight.bucket;
        const error = isDone || !isLook ? null : this.#trouble(flight);
        if (!isDone && error === null) continue;
        this.#flying.delete(one);
        this.#land(one, error);
        this.#next(one);
      }
      this.#isPolling = this.#flying.size > 0;
      if (this.#isPolling) setImmediate(look);
    };
    setImmediate(look);
  }
}
