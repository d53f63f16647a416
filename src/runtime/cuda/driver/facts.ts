/** What a plan must know of a GPU, asked of the driver. */
import type { DeviceFacts, Launch } from "../launch.ts";
import type { Compiler } from "./compiler.ts";
import { DEVICE_ATTRIBUTE, type Driver } from "./driver.ts";
import { encodeLaunches } from "./encode.ts";
import { CudaError } from "./error.ts";
import { loadModule } from "./module.ts";
import { kernelText } from "./source.ts";

const CLUSTERS = [2, 4, 8, 16] as const;
/** Does nothing: how many clusters of it run at once depends only on what it asks for. */
const PROBE = 'extern "C" __global__ void probe() {}\n';

/** The least compute capability that our kernels run on: asynchronous copies, bfloat16. */
export const CAPABILITY_MIN = 80;

/** 90 for 9.0, of a way to ask for attributes. */
export const capabilityOf = (attribute: (which: number) => number): number =>
  10 * attribute(DEVICE_ATTRIBUTE.capabilityMajor) + attribute(DEVICE_ATTRIBUTE.capabilityMinor);

/** For a GPU below it. */
export const tooOld = (name: string, capability: number): CudaError => new CudaError("no-device",
  `${name} has compute capability ${capability / 10}, 8.0 is the least`,
  { hint: "GPUs from 2020 on have it (A100, RTX 30, L4, H100 and later)" });

/** Reads the facts; the GPU's context must be current. Throws CudaError: no-device where it is too old. */
export function readFacts(driver: Driver, device: number, makeCompiler: (capability: number) => Compiler):
  { facts: DeviceFacts; compiler: Compiler } {
  const value = new Int32Array(1), bytes = new BigUint64Array(1);
  const attribute = (which: number): number => {
    driver.check(driver.cuDeviceGetAttribute(value, which, device), "asking about the GPU");
    return value[0];
  };
  driver.check(driver.cuDeviceTotalMem_v2(bytes, device), "asking for the GPU's memory");
  const name = deviceName(driver, device), capability = capabilityOf(attribute);
  if (capability < CAPABILITY_MIN) throw tooOld(name, capability);
  const compiler = makeCompiler(capability), sharedBytesMax = attribute(DEVICE_ATTRIBUTE.sharedBytesMax);
  const hasClusters = attribute(DEVICE_ATTRIBUTE.clusterLaunch) !== 0;
  const facts: DeviceFacts = {
    name, capability, sharedBytesMax,
    multiprocessors: attribute(DEVICE_ATTRIBUTE.multiprocessors),
    l2Bytes: attribute(DEVICE_ATTRIBUTE.l2Bytes),
    memoryBytes: Number(bytes[0]),
    activeClusters: hasClusters ? activeClusters(driver, compiler, sharedBytesMax) : {},
  };
  return { facts, compiler };
}

/** "NVIDIA H200" */
export function deviceName(driver: Driver, device: number): string {
  const text = new Uint8Array(256);
  driver.check(driver.cuDeviceGetName(text, text.length, device), "asking for the GPU's name");
  return new TextDecoder().decode(text.subarray(0, text.indexOf(0)));
}

/** "0000:1B:00.0" */
export function busIdOf(driver: Driver, device: number): string {
  const text = new Uint8Array(32);
  driver.check(driver.cuDeviceGetPCIBusId(text, text.length, device), "asking for the GPU's bus id");
  return new TextDecoder().decode(text.subarray(0, text.indexOf(0)));
}

/** Clusters of each size that run at once when a block takes a whole multiprocessor. */
function activeClusters(driver: Driver, compiler: Compiler, sharedBytes: number):
  DeviceFacts["activeClusters"] {
  const source = { name: "probe.cu", text: PROBE, defines: {} };
  using module = loadModule(driver, compiler.compile(kernelText(source)), source.name);
  const kernel = module.kernel("probe"), count = new Int32Array(1);
  kernel.allow(sharedBytes, Math.max(...CLUSTERS));
  const launches = CLUSTERS.map((cluster): Launch =>
    ({ source, kernel: "probe", grid: [cluster, 1, 1], block: 128, sharedBytes, cluster, arguments: [] }));
  const encoded = encodeLaunches(driver, launches, () => ({ address: 0n, bytes: 0 }));
  try {
    return Object.fromEntries(CLUSTERS.flatMap((cluster, k) => {
      const code = driver.cuOccupancyMaxActiveClusters(count, kernel.handle, encoded.launches[k].config);
      return code === 0 && count[0] > 0 ? [[cluster, count[0]]] : [];
    }));
  } finally { encoded.free(); }
}
