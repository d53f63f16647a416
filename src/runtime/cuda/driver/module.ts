/** Machine code on the GPU, and the kernels in it. */
import { FUNCTION_ATTRIBUTE, versionText, type Driver } from "./driver.ts";
import { CudaError } from "./error.ts";

export interface Kernel {
  readonly handle: bigint;
  readonly name: string;
  readonly registers: number;
  /** Bytes of a thread's stack in memory: spills, mostly. */
  readonly localBytes: number;
  /** Allows so much dynamic shared memory (never less than before) and clusters over 8. */
  allow(sharedBytes: number, cluster: number): void;
}
export interface Module extends Disposable {
  readonly handle: bigint;
  kernel(name: string): Kernel;
  close(): void;
}

/** Above it a cluster is not portable to every GPU that has clusters. */
const PORTABLE_CLUSTER = 8;
const SHARED_WITHOUT_ASKING = 48 << 10;

/** Machine code that the driver does not understand: CUDA_ERROR_INVALID_IMAGE, ..._NO_BINARY_FOR_GPU. */
const FOREIGN: ReadonlySet<number> = new Set([200, 209]);

const foreign = (name: string, version: number, code: number): CudaError => new CudaError("old-driver",
  `the driver (CUDA ${versionText(version)}) does not understand ${name}: a newer compiler made it`,
  { code, hint: "update the driver, or point DMN_NVRTC at an NVRTC of the driver's CUDA version" });

/** Loads machine code (a cubin). `name` is for messages. */
export function loadModule(driver: Driver, cubin: Uint8Array, name: string): Module {
  const created = new BigUint64Array(1);
  // The driver is told no length; text (PTX) would end at a zero.
  const image = new Uint8Array(cubin.length + 1);
  image.set(cubin);
  const code = driver.cuModuleLoadData(created, image);
  if (FOREIGN.has(code)) throw foreign(name, driver.version, code);
  driver.check(code, `loading ${name}`);
  const [handle] = created;
  const kernels = new Map<string, Kernel>();
  let isOpen = true;
  const close = (): void => {
    if (isOpen) driver.cuModuleUnload(handle);
    isOpen = false;
  };
  return {
    handle, close, [Symbol.dispose]: close,
    kernel(wanted) {
      const known = kernels.get(wanted);
      if (known !== undefined) return known;
      const made = openKernel(driver, handle, wanted, name);
      kernels.set(wanted, made);
      return made;
    },
  };
}

function openKernel(driver: Driver, module: bigint, name: string, file: string): Kernel {
  const created = new BigUint64Array(1), value = new Int32Array(1);
  driver.check(driver.cuModuleGetFunction(created, module, name),
    `looking for the kernel ${name} in ${file}`);
  const [handle] = created;
  const attribute = (which: number): number => {
    driver.check(driver.cuFuncGetAttribute(value, which, handle), `asking about the kernel ${name}`);
    return value[0];
  };
  let allowed = SHARED_WITHOUT_ASKING, isLarge = false;
  return {
    handle, name,
    registers: attribute(FUNCTION_ATTRIBUTE.registers),
    localBytes: attribute(FUNCTION_ATTRIBUTE.localBytes),
    allow(sharedBytes, cluster) {
      const doing = `giving ${name} ${sharedBytes} bytes of shared memory and clusters of ${cluster}`;
      if (sharedBytes > allowed) {
        driver.check(driver.cuFuncSetAttribute(handle, FUNCTION_ATTRIBUTE.dynamicSharedMax, sharedBytes),
          doing);
        allowed = sharedBytes;
      }
      if (cluster > PORTABLE_CLUSTER && !isLarge) {
        driver.check(driver.cuFuncSetAttribute(handle, FUNCTION_ATTRIBUTE.nonPortableCluster, 1), doing);
        isLarge = true;
      }
    },
  };
}
