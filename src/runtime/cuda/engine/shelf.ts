/**
 * The engine's memory, taken once and used again: a version that takes another's place finds what the one
 * before it left, so that swapping models of the same shapes allocates nothing and pins nothing.
 *
 *   device   the GPU's tensor pool, by size     mapped   pinned pieces, by size, MAPPED_IDLE_MAX idle of each
 */
import type { Cuda } from "../driver/device.ts";
import type { MappedMemory, Placed } from "../driver/memory.ts";
import type { PooledTensor } from "../driver/pool.ts";
import type { Stream } from "../driver/stream.ts";

/** Idle pinned pieces of one size: the old version's and one more. */
const MAPPED_IDLE_MAX = 2;

export class Shelf {
  readonly #cuda: Cuda;
  readonly #mapped = new Map<number, MappedMemory[]>();

  readonly #stream: Stream;

  constructor(cuda: Cuda) {
    this.#cuda = cuda;
    this.#stream = cuda.stream();
  }

  /** Device memory; bytes are whatever was there. Throws CudaError "out-of-memory". */
  device(bytes: number): PooledTensor { return this.#cuda.pool.acquire([Math.max(1, bytes)], "uint8"); }
  giveBack(memory: PooledTensor): void { this.#cuda.pool.release(memory); }

  /** Sets every byte; returns when they are set. */
  fill({ address, bytes }: Placed, value: number): void {
    const { driver } = this.#cuda;
    this.#cuda.use();
    driver.check(driver.cuMemsetD8Async(address, value, bytes, this.#stream.handle), "filling memory");
    this.#stream.synchronize();
  }

  /** Copies bytes to device memory; returns when they are there. */
  write({ address }: Placed, bytes: Uint8Array, offset: number): void {
    const { driver } = this.#cuda, { handle } = this.#stream;
    this.#cuda.use();
    driver.check(driver.cuMemcpyHtoDAsync_v2(address + BigInt(offset), bytes, bytes.length, handle),
      "writing weights");
    this.#stream.synchronize();
  }

  /** Pinned host memory that kernels see; bytes are whatever was there. */
  mapped(bytes: number): MappedMemory {
    return this.#mapped.get(bytes)?.pop() ?? this.#cuda.allocateMapped(bytes);
  }

  giveBackMapped(memory: MappedMemory): void {
    const idle = this.#mapped.get(memory.bytes) ?? [];
    this.#mapped.set(memory.bytes, idle);
    if (idle.length < MAPPED_IDLE_MAX) idle.push(memory);
    else memory.close();
  }

  close(): void {
    for (const idle of this.#mapped.values()) for (const memory of idle) memory.close();
    this.#mapped.clear();
    this.#stream.close();
  }
}
