/** What this machine has for our kernels and what it lacks, without opening a GPU. Never throws. */
import * as fs from "node:fs";
import * as path from "node:path";
import { messageOf } from "../../../base/error.ts";
import { chooseNvrtc, nvccOn } from "./compiler.ts";
import { cubinCacheFolder } from "./cubin-cache.ts";
import { DEVICE_ATTRIBUTE, openDriver, versionText, type Driver } from "./driver.ts";
import { CudaError, type CudaReason } from "./error.ts";
import { busIdOf, CAPABILITY_MIN, capabilityOf, deviceName, tooOld } from "./facts.ts";
import { nvrtcFiles, type Environment } from "./library.ts";
import { openNvml, type GpuHealth, type Nvml } from "./nvml.ts";
import { NVRTC_REMEDY } from "./nvrtc.ts";

export interface FoundGpu {
  readonly ordinal: number;
  readonly name: string;
  /** 90 for compute capability 9.0. */
  readonly capability: number;
  readonly multiprocessors: number;
  readonly memoryBytes: number;
  readonly busId: string;
  /** Whether our kernels run on it. */
  readonly isSupported: boolean;
  readonly health: GpuHealth | null;
}

export interface CudaFindings {
  /**
   * CUDA version that the driver knows ("13.0") and its own ("580.95.05"); null: no driver that we can use.
   */
  readonly driver:
    { readonly cudaVersion: string; readonly version: string | null; readonly file: string } | null;
  readonly compiler:
    { readonly name: "NVRTC" | "nvcc"; readonly version: string | null; readonly file: string } | null;
  readonly gpus: readonly FoundGpu[];
  /** Compiled kernels that are kept; null: they are not kept. */
  readonly cache: { readonly folder: string; readonly kernels: number; readonly bytes: number } | null;
  /** What stands in the way of running on a GPU, and the command or step that brings it; null: nothing. */
  readonly missing: { readonly reason: CudaReason; readonly what: string; readonly remedy: string } | null;
}

/** Looks for a driver, GPUs and a compiler. */
export function describeCuda(environment: Environment = process.env,
  libraries: { readonly cuda?: string; readonly nvrtc?: string; readonly nvml?: string } = {}): CudaFindings {
  const cache = describeCache(cubinCacheFolder(environment));
  let driver: Driver;
  try { driver = openDriver(libraries.cuda); } catch (error) {
    const compiler = describeCompiler(environment, libraries.nvrtc, 90, Infinity);
    return { driver: null, compiler, gpus: [], cache, missing: missingOf(error) };
  }
  const nvml = openNvml(libraries.nvml);
  try {
    const gpus = listGpus(driver, nvml), [first] = gpus.filter(({ isSupported }) => isSupported);
    const compiler = describeCompiler(environment, libraries.nvrtc, first?.capability ?? 90, driver.version);
    const { file } = driver, version = nvml?.driverVersion ?? null;
    return { driver: { cudaVersion: versionText(driver.version), version, file }, compiler, gpus, cache,
      missing: whatIsMissing(gpus, compiler) };
  } catch (error) {
    return { driver: null, compiler: null, gpus: [], cache, missing: missingOf(error) };
  } finally { nvml?.close(); }
}

function whatIsMissing(gpus: readonly FoundGpu[], compiler: CudaFindings["compiler"]):
  CudaFindings["missing"] {
  if (gpus.length === 0) {
    return { reason: "no-device", what: "the NVIDIA driver sees no GPU",
      remedy: "see what nvidia-smi says; CUDA_VISIBLE_DEVICES hides GPUs" };
  }
  if (!gpus.some(({ isSupported }) => isSupported)) {
    const error = tooOld(gpus[0].name, gpus[0].capability);
    return { reason: error.reason, what: error.message, remedy: error.hint };
  }
  if (compiler !== null) return null;
  return { reason: "no-nvrtc", remedy: NVRTC_REMEDY,
    what: "NVIDIA's run-time compiler (NVRTC) is not on this machine" };
}

const missingOf = (error: unknown): CudaFindings["missing"] => (error instanceof CudaError
  ? { reason: error.reason, what: error.message, remedy: error.hint }
  : { reason: "failed", what: messageOf(error), remedy: "" });

function listGpus(driver: Driver, nvml: Nvml | null): FoundGpu[] {
  const value = new Int32Array(1), bytes = new BigUint64Array(1);
  const code = driver.cuDeviceGetCount(value);
  // 100: the driver's own way to say none.
  if (code !== 0) return [];
  return Array.from({ length: value[0] }, (_, ordinal) => {
    driver.check(driver.cuDeviceGet(value, ordinal), "asking about a GPU");
    const [device] = value;
    const attribute = (which: number): number => {
      driver.check(driver.cuDeviceGetAttribute(value, which, device), "asking about a GPU");
      return value[0];
    };
    driver.check(driver.cuDeviceTotalMem_v2(bytes, device), "asking for a GPU's memory");
    const capability = capabilityOf(attribute);
    const busId = busIdOf(driver, device);
    return { ordinal, capability, busId, name: deviceName(driver, device), memoryBytes: Number(bytes[0]),
      multiprocessors: attribute(DEVICE_ATTRIBUTE.multiprocessors), isSupported: capability >= CAPABILITY_MIN,
      health: nvml?.health(busId) ?? null };
  });
}

function describeCompiler(environment: Environment, nvrtc: string | undefined, capability: number,
  driverVersion: number): CudaFindings["compiler"] {
  const files = nvrtcFiles(nvrtc === undefined ? environment : { DMN_NVRTC: nvrtc });
  const chosen = chooseNvrtc(files, capability, driverVersion);
  if (chosen !== null && fs.existsSync(chosen.file)) {
    return { name: "NVRTC", version: chosen.version?.join(".") ?? null, file: chosen.file };
  }
  const nvcc = nvccOn(environment);
  return nvcc === null ? null : { name: "nvcc", version: null, file: nvcc };
}

function describeCache(folder: string | null): CudaFindings["cache"] {
  if (folder === null) return null;
  let names: string[] = [];
  try {
    names = fs.readdirSync(folder).filter((name) => name.endsWith(".cubin"));
  } catch { /* nothing was kept yet */ }
  const sizes = names.map((name) =>
    fs.statSync(path.join(folder, name), { throwIfNoEntry: false })?.size ?? 0);
  return { folder, kernels: names.length, bytes: sizes.reduce((a, b) => a + b, 0) };
}
