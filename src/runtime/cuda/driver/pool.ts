/**
 * Tensors that are kept instead of given back: whoever needs one of a shape and element that was used
 * before gets that memory again, so that in steady state nothing is allocated.
 *
 *   acquire [32, 60, 200] float16 ── one idle? ── yes: hit
 *                                              └─ no: miss, allocate; over the cap drop the longest idle
 *   release ── idle
 *
 * The key is what is looked up: element and every size. Memory comes as it was left.
 */
import { assert } from "../../../base/assert.ts";
import { CudaError } from "./error.ts";
import { sizeText, type DeviceMemory, type Placed } from "./memory.ts";

export type PoolElement = "float32" | "float16" | "bfloat16" | "uint8";
const ELEMENT_BYTES: Readonly<Record<PoolElement, number>> =
  { float32: 4, float16: 2, bfloat16: 2, uint8: 1 };

/** (B, T, F) of the batches a live system meets, and caches of (rows, features) and (rows, heads). */
export const COMMON_SHAPES: readonly (readonly number[])[] =
  [[1, 60, 200], [32, 60, 200], [128, 60, 200], [512, 60, 200], [1000, 200], [1000, 3]];

export interface PooledTensor extends Placed {
  readonly shape: readonly number[];
  readonly element: PoolElement;
}

export interface PoolStatistics {
  /** Held by somebody. */
  readonly allocatedBytes: number;
  /** Taken from the GPU: allocated or idle. */
  readonly reservedBytes: number;
  /** Allocated as a fraction of the cap. */
  readonly utilisation: number;
  /** What may still be allocated: the cap less what is. */
  readonly availableBytes: number;
  /** Tensors, held or idle. */
  readonly poolCount: number;
  /** Acquisitions that an idle tensor answered, and those that had to allocate. */
  readonly hits: number;
  readonly misses: number;
}

export interface TensorPool {
  /** The most that may be reserved, bytes. */
  readonly capBytes: number;
  /** Throws CudaError "out-of-memory": over the cap, or the GPU has no more. */
  acquire(shape: readonly number[], element: PoolElement): PooledTensor;
  /** Gives one back. A tensor is given back once. */
  release(tensor: PooledTensor): void;
  /** Allocates one idle tensor of each shape and element that has none yet. */
  reserve(shapes: readonly (readonly number[])[], elements: readonly PoolElement[]): void;
  /** Gives idle tensors back to the GPU; returns their bytes. */
  trim(): number;
  statistics(): PoolStatistics;
  /** Frees everything, held or idle. */
  close(): void;
}

interface Entry { readonly tensor: PooledTensor; readonly memory: DeviceMemory; readonly key: string }

const CAP_SHARE = 0.85;

/** A pool over `allocate`; `capShare` of `totalBytes` is the most it takes. */
export function openPool({ totalBytes, capShare = CAP_SHARE, allocate }:
  { totalBytes: number; capShare?: number; allocate: (bytes: number) => DeviceMemory }): TensorPool {
  return new Pool(Math.floor(totalBytes * capShare), allocate);
}

class Pool implements TensorPool {
  readonly capBytes: number;
  readonly #allocate: (bytes: number) => DeviceMemory;
  readonly #held = new Map<PooledTensor, Entry>();
  /** In the order in which they became idle. */
  readonly #idle = new Set<Entry>();
  readonly #idleByKey = new Map<string, Entry[]>();
  #allocatedBytes = 0;
  #reservedBytes = 0;
  #hits = 0;
  #misses = 0;

  constructor(capBytes: number, allocate: (bytes: number) => DeviceMemory) {
    this.capBytes = capBytes;
    this.#allocate = allocate;
  }

  acquire(shape: readonly number[], element: PoolElement): PooledTensor {
    const key = keyOf(shape, element), found = this.#idleByKey.get(key)?.at(-1);
    if (found !== undefined) this.#takeFromIdle(found);
    const entry = found ?? this.#create(shape, element, key);
    if (found === undefined) this.#misses++; else this.#hits++;
    this.#held.set(entry.tensor, entry);
    this.#allocatedBytes += entry.tensor.bytes;
    return entry.tensor;
  }

  release(tensor: PooledTensor): void {
    const entry = this.#held.get(tensor);
    assert(entry !== undefined,
      `a tensor of ${tensor.shape.join(" x ")} ${tensor.element} was released twice`);
    this.#held.delete(tensor);
    this.#allocatedBytes -= tensor.bytes;
    this.#putToIdle(entry);
  }

  reserve(shapes: readonly (readonly number[])[], elements: readonly PoolElement[]): void {
    for (const shape of shapes) {
      for (const element of elements) {
        const key = keyOf(shape, element);
        if (!this.#idleByKey.has(key)) this.#putToIdle(this.#create(shape, element, key));
      }
    }
  }

  trim(): number {
    const before = this.#reservedBytes;
    for (const entry of this.#idle) this.#drop(entry);
    return before - this.#reservedBytes;
  }

  statistics(): PoolStatistics {
    const allocatedBytes = this.#allocatedBytes;
    return { allocatedBytes, reservedBytes: this.#reservedBytes, utilisation: allocatedBytes / this.capBytes,
      availableBytes: this.capBytes - allocatedBytes, poolCount: this.#held.size + this.#idle.size,
      hits: this.#hits, misses: this.#misses };
  }

  close(): void {
    this.trim();
    for (const { memory } of this.#held.values()) memory.close();
    this.#held.clear();
    this.#allocatedBytes = 0;
    this.#reservedBytes = 0;
  }

  #create(shape: readonly number[], element: PoolElement, key: string): Entry {
    const bytes = shape.reduce((a, b) => a * b, 1) * ELEMENT_BYTES[element];
    for (const entry of this.#idle) {
      if (this.#reservedBytes + bytes <= this.capBytes) break;
      this.#drop(entry);
    }
    if (this.#reservedBytes + bytes > this.capBytes) throw overCap(bytes, this.#reservedBytes, this.capBytes);
    const memory = this.#allocateOrTrim(bytes);
    this.#reservedBytes += bytes;
    return { key, memory, tensor: { address: memory.address, bytes, shape: [...shape], element } };
  }

  /** Others may hold the GPU's memory too: when it has no more, idle tensors are given back first. */
  #allocateOrTrim(bytes: number): DeviceMemory {
    try { return this.#allocate(bytes); } catch (error) {
      const isFull = error instanceof CudaError && error.reason === "out-of-memory";
      if (!isFull || this.trim() === 0) throw error;
      return this.#allocate(bytes);
    }
  }

  #putToIdle(entry: Entry): void {
    this.#idle.add(entry);
    const same = this.#idleByKey.get(entry.key);
    if (same === undefined) this.#idleByKey.set(entry.key, [entry]); else same.push(entry);
  }

  #takeFromIdle(entry: Entry): void {
    this.#idle.delete(entry);
    const same = this.#idleByKey.get(entry.key) ?? [];
    same.splice(same.indexOf(entry), 1);
    if (same.length === 0) this.#idleByKey.delete(entry.key);
  }

  #drop(entry: Entry): void {
    this.#takeFromIdle(entry);
    this.#reservedBytes -= entry.tensor.bytes;
    entry.memory.close();
  }
}

const keyOf = (shape: readonly number[], element: PoolElement): string => `${element}:${shape.join("x")}`;

const overCap = (bytes: number, reserved: number, cap: number): CudaError => new CudaError("out-of-memory",
  `the GPU's memory pool is full: it was asked for ${sizeText(bytes)}, and ${sizeText(reserved)} of at most `
    + `${sizeText(cap)} are in use`, { hint: "close a model, or choose a smaller batch" });
