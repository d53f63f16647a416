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

export const CAP_SHARE = 0.85;

/** A pool over `allocate`; `capShare` of `totalBytes` is the most it takes. */
export function openPool({ totalBytes, capShare = CAP_SHARE, allocate }:
  { totalBytes: number; capShare?: number; allocate: (bytes: number) => DeviceMemory }): TensorPool {
  const capBytes = Math.floor(totalBytes * capShare);
  const held = new Map<PooledTensor, Entry>();
  /** In the order in which they became idle. */
  const idle = new Set<Entry>(), idleByKey = new Map<string, Entry[]>();
  let allocatedBytes = 0, reservedBytes = 0, hits = 0, misses = 0;

  const drop = (entry: Entry): void => {
    idle.delete(entry);
    const same = idleByKey.get(entry.key) ?? [];
    same.splice(same.indexOf(entry), 1);
    if (same.length === 0) idleByKey.delete(entry.key);
    reservedBytes -= entry.tensor.bytes;
    entry.memory.close();
  };
  const trim = (): number => {
    const before = reservedBytes;
    for (const entry of idle) drop(entry);
    return before - reservedBytes;
  };
  const create = (shape: readonly number[], element: PoolElement, key: string): Entry => {
    const bytes = shape.reduce((a, b) => a * b, 1) * ELEMENT_BYTES[element];
    for (const entry of idle) {
      if (reservedBytes + bytes <= capBytes) break;
      drop(entry);
    }
    if (reservedBytes + bytes > capBytes) throw overCap(bytes, reservedBytes, capBytes);
    const memory = allocateOrTrim(allocate, bytes, trim);
    reservedBytes += bytes;
    return { key, memory, tensor: { address: memory.address, bytes, shape: [...shape], element } };
  };
  const rest = (entry: Entry): void => {
    idle.add(entry);
    const same = idleByKey.get(entry.key);
    if (same === undefined) idleByKey.set(entry.key, [entry]); else same.push(entry);
  };
  return {
    capBytes, trim,
    acquire(shape, element) {
      const key = keyOf(shape, element), found = idleByKey.get(key)?.at(-1);
      if (found !== undefined) {
        hits++;
        idle.delete(found);
        const same = idleByKey.get(key) as Entry[];
        same.pop();
        if (same.length === 0) idleByKey.delete(key);
      } else misses++;
      const entry = found ?? create(shape, element, key);
      held.set(entry.tensor, entry);
      allocatedBytes += entry.tensor.bytes;
      return entry.tensor;
    },
    release(tensor) {
      const entry = held.get(tensor);
      assert(entry !== undefined,
        `a tensor of ${tensor.shape.join(" x ")} ${tensor.element} was released twice`);
      held.delete(tensor);
      allocatedBytes -= tensor.bytes;
      rest(entry);
    },
    reserve(shapes, elements) {
      for (const shape of shapes) {
        for (const element of elements) {
          const key = keyOf(shape, element);
          if (!idleByKey.has(key)) rest(create(shape, element, key));
        }
      }
    },
    statistics: () => ({ allocatedBytes, reservedBytes, utilisation: allocatedBytes / capBytes,
      availableBytes: capBytes - allocatedBytes, poolCount: held.size + idle.size, hits, misses }),
    close() {
      trim();
      for (const { memory } of held.values()) memory.close();
      held.clear();
      allocatedBytes = 0;
      reservedBytes = 0;
    },
  };
}

const keyOf = (shape: readonly number[], element: PoolElement): string => `${element}:${shape.join("x")}`;

/** Others may hold the GPU's memory too: when it has no more, idle tensors are given back first. */
function allocateOrTrim(allocate: (bytes: number) => DeviceMemory, bytes: number, trim: () => number):
  DeviceMemory {
  try { return allocate(bytes); } catch (error) {
    const isFull = error instanceof CudaError && error.reason === "out-of-memory";
    if (!isFull || trim() === 0) throw error;
    return allocate(bytes);
  }
}

const overCap = (bytes: number, reserved: number, cap: number): CudaError => new CudaError("out-of-memory",
  `the GPU's memory pool is full: it was asked for ${sizeText(bytes)}, and ${sizeText(reserved)} of at most `
    + `${sizeText(cap)} are in use`, { hint: "close a model, or choose a smaller batch" });
