/**
 * A GPU, opened: what it is, its memory, its streams, and launch lists bound to it. One Cuda per GPU and
 * process owns the device; several models share it.
 */
import { assert } from "../../../base/assert.ts";
import type { DeviceFacts, KernelSource, LaunchList } from "../launch.ts";
import { bindLaunches, type BindOptions, type Binding, type Bound, type Given } from "./bind.ts";
import { openCompiler, type Compiler } from "./compiler.ts";
import { cubinCacheFolder, openCubinCache } from "./cubin-cache.ts";
import { openDriver, type Driver } from "./driver.ts";
import { CudaError } from "./error.ts";
import { readFacts } from "./facts.ts";
import { allocateDevice, allocateMapped, deviceMemory, type DeviceMemory, type MappedMemory }
  from "./memory.ts";
import { loadModule, type Module } from "./module.ts";
import { moduleShelf } from "./shelf.ts";
import { openPool, type TensorPool } from "./pool.ts";
import { kernelText } from "./source.ts";
import { openEvent, openStream, type CudaEvent, type Stream } from "./stream.ts";

export interface CudaOptions {
  /** The GPU's number, as CUDA_VISIBLE_DEVICES leaves them; 0 by default. */
  readonly device?: number;
  /** Paths of libraries, instead of looking for them. */
  readonly libraries?: { readonly cuda?: string; readonly nvrtc?: string };
  /** Where compiled kernels are kept; null: nowhere; absent: as DMN_CUBIN_CACHE says, or the user's cache. */
  readonly cacheFolder?: string | null;
  /** The most that the pool takes, as a share of the GPU's memory; 0.85 by default. */
  readonly poolShare?: number;
  /** For every kernel, besides its own: { SPIN_MAX: "(1u<<28)" } gives waits time under a sanitizer. */
  readonly defines?: KernelSource["defines"];
}

export interface Cuda extends Disposable {
  readonly facts: DeviceFacts;
  readonly ordinal: number;
  readonly driver: Driver;
  readonly compiler: Compiler;
  /** Makes this GPU the thread's. Every function below does it; only a direct use of `driver` needs it. */
  use(): void;
  /** Compiles (or finds compiled) and loads. Throws CudaError. */
  compile(source: KernelSource): Module;
  /** Compiles all that a list needs, without blocking and side by side; `bind` then finds it. */
  prepare(list: LaunchList): Promise<void>;
  allocate(bytes: number): DeviceMemory;
  /** Pinned host memory that kernels read and write in place. */
  allocateMapped(bytes: number): MappedMemory;
  memory(): { freeBytes: number; totalBytes: number };
  /** Tensors that are kept for reuse; what `bind` allocates comes from it. */
  readonly pool: TensorPool;
  stream(priority?: number): Stream;
  event(isTimed?: boolean): CudaEvent;
  /** Binds a list; buffers that are not given are allocated. Throws CudaError. */
  bind(list: LaunchList, given?: Given, options?: BindOptions): Bound;
  /** After a fault everything is lost, and for this process the GPU too: only another process can use it. */
  close(): void;
}

/** The context that is current in this thread, so that naming it again costs nothing. */
let current: bigint | null = null;

/** Of files' times: the cache must know which was used last. */
const wallMs = (): number => performance.timeOrigin + performance.now();

/** Opens a GPU. Throws CudaError: no-driver, old-driver, no-device, no-nvrtc. */
export function openCuda(options: CudaOptions = {}): Cuda {
  const { device: ordinal = 0, libraries = {}, cacheFolder, poolShare, defines } = options;
  const driver = openDriver(libraries.cuda);
  const device = deviceAt(driver, ordinal);
  const retained = new BigUint64Array(1);
  driver.check(driver.cuDevicePrimaryCtxRetain(retained, device), `opening GPU ${ordinal}`);
  const [context] = retained;
  const use = (): void => {
    if (current === context) return;
    driver.check(driver.cuCtxSetCurrent(context), `turning to GPU ${ordinal}`);
    current = context;
  };
  try {
    use();
    const folder = cacheFolder === undefined ? cubinCacheFolder(process.env) : cacheFolder;
    const cache = folder === null ? null : openCubinCache(folder, { now: wallMs });
    const { facts, compiler } = readFacts(driver, device, (capability) =>
      openCompiler({ capability, driverVersion: driver.version, cache, nvrtc: libraries.nvrtc, defines }));
    return cudaOf({ driver, device, ordinal, compiler, facts, use, context, poolShare });
  } catch (error) {
    driver.cuDevicePrimaryCtxRelease_v2(device);
    current = null;
    throw error;
  }
}

function deviceAt(driver: Driver, ordinal: number): number {
  const value = new Int32Array(1);
  driver.check(driver.cuDeviceGetCount(value), "counting GPUs");
  if (!(Number.isInteger(ordinal) && ordinal >= 0 && ordinal < value[0])) {
    throw new CudaError("no-device", value[0] === 0 ? "the NVIDIA driver sees no GPU"
      : `there is no GPU ${ordinal}: this machine has ${value[0]}`,
    { hint: "see what nvidia-smi says; CUDA_VISIBLE_DEVICES hides GPUs" });
  }
  driver.check(driver.cuDeviceGet(value, ordinal), `opening GPU ${ordinal}`);
  return value[0];
}

interface Opened {
  readonly driver: Driver;
  readonly device: number;
  readonly ordinal: number;
  readonly compiler: Compiler;
  readonly facts: DeviceFacts;
  readonly context: bigint;
  readonly poolShare: number | undefined;
  readonly use: () => void;
}

function cudaOf({ driver, device, ordinal, compiler, facts, context, use, poolShare }: Opened): Cuda {
  const pool = openPool({ totalBytes: facts.memoryBytes, capShare: poolShare,
    allocate: (bytes) => { use(); return allocateDevice(driver, bytes); } });
  const modules = moduleShelf({ driver, use }, compiler);
  const own = openStream({ driver, use });
  let isOpen = true;
  const binding: Binding = {
    driver, use, stream: own, multiprocessors: facts.multiprocessors,
    allocate: (bytes) => {
      const tensor = pool.acquire([bytes], "uint8");
      const close = (): void => { pool.release(tensor); };
      return { ...tensor, close, [Symbol.dispose]: close };
    },
    acquire: (source) => modules.acquire(source), release: (source) => { modules.release(source); },
  };
  const shut = (): void => {
    if (!isOpen) return;
    isOpen = false;
    own.close();
    modules.close();
    pool.close();
    driver.cuDevicePrimaryCtxRelease_v2(device);
    if (current === context) current = null;
  };
  return {
    facts, ordinal, driver, compiler, use, pool,
    compile(source) { use(); return loadModule(driver, compiler.compile(kernelText(source)), source.name); },
    prepare: (list) => modules.prepare(list),
    allocate(bytes) { use(); return allocateDevice(driver, bytes); },
    allocateMapped(bytes) { use(); return allocateMapped(driver, bytes); },
    memory() { use(); return deviceMemory(driver); },
    stream: (priority) => openStream({ driver, use }, priority),
    event: (isTimed) => openEvent({ driver, use }, isTimed),
    bind(list, given = {}, options = {}) {
      assert(isOpen, `GPU ${ordinal} is closed`);
      return bindLaunches(binding, list, given, options);
    },
    close: shut,
    [Symbol.dispose]: shut,
  };
}
