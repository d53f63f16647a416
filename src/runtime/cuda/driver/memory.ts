/**
 * Memory of the GPU, memory of the host that the GPU sees, and where the buffers of one program lie:
 *
 *   one allocation   | weights | state | outputs | filled scratch |  scratch ................. |
 *                                                                   a, until launch 3 | c
 *                                                                   b ......... until launch 7
 *
 * Scratch of which one is last used before the other is first used shares memory.
 */
import { assert } from "../../../base/assert.ts";
import type { BufferSpec, Launch, LaunchList } from "../launch.ts";
import { HOST_PORTABLE_MAPPED, type Driver } from "./driver.ts";
import { CudaError } from "./error.ts";
import { detach, viewHost } from "./ffi.ts";

/** Something that lies where kernels can reach it. */
export interface Placed {
  readonly address: bigint;
  readonly bytes: number;
}
export interface DeviceMemory extends Placed, Disposable { close(): void }
export interface MappedMemory extends DeviceMemory {
  /** The same bytes for us. Empty once the memory is closed. */
  readonly view: ArrayBuffer;
}

/** 3 MB, 1.2 GB: decimal, as GPUs are sold. */
export function sizeText(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let size = bytes, unit = 0;
  for (; size >= 1000 && unit < units.length - 1; unit++) size /= 1000;
  return `${size >= 100 || Number.isInteger(size) ? Math.round(size) : size.toFixed(1)} ${units[unit]}`;
}

/** Free and total bytes of the GPU. */
export function deviceMemory(driver: Driver): { freeBytes: number; totalBytes: number } {
  const free = new BigUint64Array(1), total = new BigUint64Array(1);
  driver.check(driver.cuMemGetInfo_v2(free, total), "asking for the GPU's memory");
  return { freeBytes: Number(free[0]), totalBytes: Number(total[0]) };
}

/** Bytes are whatever was there. Throws CudaError "out-of-memory". */
export function allocateDevice(driver: Driver, bytes: number): DeviceMemory {
  const created = new BigUint64Array(1);
  const code = driver.cuMemAlloc_v2(created, Math.max(1, bytes));
  if (code === 2) throw outOfMemory(driver, bytes);
  driver.check(code, `allocating ${sizeText(bytes)}`);
  const [address] = created;
  const close = onceOnly(() => { driver.cuMemFree_v2(address); });
  return { address, bytes, close, [Symbol.dispose]: close };
}

function outOfMemory(driver: Driver, bytes: number): CudaError {
  const { freeBytes, totalBytes } = deviceMemory(driver);
  return new CudaError("out-of-memory", "the GPU has too little free memory: "
    + `it was asked for ${sizeText(bytes)}, and ${sizeText(freeBytes)} of ${sizeText(totalBytes)} are free`,
  { code: 2, hint: "close what else uses it (nvidia-smi shows who), or choose a smaller batch" });
}

/** The driver's code is the same, and the GPU has nothing to do with it. */
const outOfHostMemory = (bytes: number): CudaError => new CudaError("out-of-memory",
  `this machine has too little memory that can be pinned: it was asked for ${sizeText(bytes)}`,
  { code: 2, hint: "close what else uses its memory, or choose a smaller batch" });

/** Pinned host memory, zeroed, which kernels read and write in place. */
export function allocateMapped(driver: Driver, bytes: number): MappedMemory {
  const created = new BigUint64Array(1), doing = `pinning ${sizeText(bytes)} of host memory`;
  const taken = driver.cuMemHostAlloc(created, Math.max(1, bytes), HOST_PORTABLE_MAPPED);
  if (taken === 2) throw outOfHostMemory(bytes);
  driver.check(taken, doing);
  const [pointer] = created;
  const code = driver.cuMemHostGetDevicePointer_v2(created, pointer, 0);
  if (code !== 0) driver.cuMemFreeHost(pointer);
  driver.check(code, doing);
  const view = viewHost(pointer, Math.max(1, bytes));
  new Uint8Array(view).fill(0);
  const close = onceOnly(() => {
    detach(view);
    driver.cuMemFreeHost(pointer);
  });
  return { address: created[0], bytes, view, close, [Symbol.dispose]: close };
}

function onceOnly(act: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) act();
    isDone = true;
  };
}

/** Every buffer begins at a multiple of it: whole cache lines, and what tensor maps ask for. */
const ALIGNMENT_BYTES = 256;

/** Memory of one buffer, from its first launch to its last. */
interface Block {
  readonly start: number;
  readonly end: number;
  readonly first: number;
  readonly last: number;
}

interface ArenaPlan {
  readonly bytes: number;
  readonly offsets: ReadonlyMap<string, number>;
}

const aligned = (bytes: number): number => Math.ceil(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;

/** Names of the buffers that a launch reaches. */
export const buffersOf = ({ arguments: fields }: Launch): string[] => fields.flatMap((field) => {
  if (field.kind === "address") return [field.buffer];
  return field.kind === "tensorMap" ? [field.map.buffer] : [];
});

/**
 * Where each buffer that is not `given` lies. A launch that may start before the one ahead has ended counts
 * as running beside it.
 */
export function planArena({ buffers, launches }: LaunchList, given: ReadonlySet<string> = new Set()):
  ArenaPlan {
  const uses = new Map<string, { first: number; last: number }>();
  launches.forEach((launch, k) => {
    const end = launches[k + 1]?.isDependent === true ? k + 1 : k;
    for (const name of buffersOf(launch)) {
      const use = uses.get(name);
      uses.set(name, { first: use?.first ?? k, last: end });
    }
  });
  const own = buffers.filter(({ name }) => !given.has(name));
  const offsets = new Map<string, number>();
  let end = 0;
  for (const { name, bytes } of own.filter((buffer) => !isShared(buffer))) {
    offsets.set(name, end);
    end += aligned(bytes);
  }
  // The largest first: small ones fit into what they leave.
  const shared = own.filter(isShared).sort((a, b) => b.bytes - a.bytes || (a.name < b.name ? -1 : 1));
  const placed: Block[] = [];
  let most = end;
  for (const { name, bytes } of shared) {
    const { first, last } = uses.get(name) ?? { first: 0, last: launches.length };
    const size = aligned(bytes);
    let at = end;
    for (const block of placed.filter((other) => other.first <= last && first <= other.last)
      .sort((a, b) => a.start - b.start)) {
      if (at + size <= block.start) break;
      at = Math.max(at, block.end);
    }
    placed.push({ start: at, end: at + size, first, last });
    offsets.set(name, at);
    most = Math.max(most, at + size);
  }
  assert(offsets.size === own.length, "two buffers have the same name");
  return { bytes: most, offsets };
}

const isShared = ({ role, fill }: BufferSpec): boolean => role === "scratch" && fill === undefined;
