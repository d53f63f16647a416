/**
 * The CUDA driver's functions that we call: ONE table. Names are the versioned symbols of libcuda, so that a
 * newer header's renaming changes nothing. All return a result code; `check` turns it into a CudaError.
 */
import { messageOf } from "../../../base/error.ts";
import { CudaError, errorOf, NOT_READY } from "./error.ts";
import { openLibrary, textAt, type Functions, type OpenedLibrary, type Table } from "./ffi.ts";
import { cudaNames } from "./library.ts";

/** Parameters as cuda.h (13.2) has them; a comment says what they are where the kinds do not. */
export const DRIVER = {
  cuInit: ["u32"],
  cuDriverGetVersion: ["out i32"],
  // (code, text)
  cuGetErrorName: ["i32", "out u64"],
  cuGetErrorString: ["i32", "out u64"],

  cuDeviceGetCount: ["out i32"],
  // (device, ordinal)
  cuDeviceGet: ["out i32", "i32"],
  // (name, its length, device)
  cuDeviceGetName: ["bytes", "i32", "i32"],
  cuDeviceTotalMem_v2: ["out u64", "i32"],
  // (value, attribute, device)
  cuDeviceGetAttribute: ["out i32", "i32", "i32"],
  cuDeviceGetPCIBusId: ["bytes", "i32", "i32"],
  cuDevicePrimaryCtxRetain: ["out u64", "i32"],
  cuDevicePrimaryCtxRelease_v2: ["i32"],
  cuCtxSetCurrent: ["handle"],

  // (module, image)
  cuModuleLoadData: ["out u64", "bytes"],
  cuModuleUnload: ["handle"],
  cuModuleGetFunction: ["out u64", "handle", "text"],
  // (function, attribute, value); (value, attribute, function)
  cuFuncSetAttribute: ["handle", "i32", "i32"],
  cuFuncGetAttribute: ["out i32", "i32", "handle"],
  // (blocks, function, threads, shared bytes)
  cuOccupancyMaxActiveBlocksPerMultiprocessor: ["out i32", "handle", "i32", "size"],
  // (clusters, function, CUlaunchConfig)
  cuOccupancyMaxActiveClusters: ["out i32", "handle", "bytes"],

  cuMemGetInfo_v2: ["out u64", "out u64"],
  cuMemAlloc_v2: ["out u64", "size"],
  cuMemFree_v2: ["address"],
  // (pointer, bytes, flags)
  cuMemHostAlloc: ["out u64", "size", "u32"],
  cuMemFreeHost: ["handle"],
  cuMemHostGetDevicePointer_v2: ["out u64", "handle", "u32"],
  // (to, from, bytes, stream)
  cuMemcpyHtoDAsync_v2: ["address", "bytes", "size", "handle"],
  cuMemcpyDtoHAsync_v2: ["bytes", "address", "size", "handle"],
  // (address, byte, count, stream)
  cuMemsetD8Async: ["address", "u32", "size", "handle"],

  // (stream, flags, priority)
  cuStreamCreateWithPriority: ["out u64", "u32", "i32"],
  cuStreamDestroy_v2: ["handle"],
  cuStreamSynchronize: ["handle"],
  cuStreamQuery: ["handle"],
  cuEventCreate: ["out u64", "u32"],
  cuEventDestroy_v2: ["handle"],
  cuEventRecord: ["handle", "handle"],
  // (milliseconds, start, end)
  cuEventElapsedTime: ["out f32", "handle", "handle"],

  // (CUlaunchConfig, function, pointers to parameters, null)
  cuLaunchKernelEx: ["bytes", "handle", "bytes", "bytes"],
  // (map, element, rank, address, sizes, strides, box, element strides, interleave, swizzle, L2, fill)
  cuTensorMapEncodeTiled: ["bytes", "i32", "u32", "address", "bytes", "bytes", "bytes", "bytes",
    "i32", "i32", "i32", "i32"],

  cuStreamBeginCapture_v2: ["handle", "i32"],
  cuStreamEndCapture: ["handle", "out u64"],
  // (graph, null, count)
  cuGraphGetNodes: ["handle", "bytes", "out u64"],
  cuGraphDestroy: ["handle"],
  // (executable, graph, flags)
  cuGraphInstantiateWithFlags: ["out u64", "handle", "address"],
  cuGraphExecDestroy: ["handle"],
  // (executable, stream)
  cuGraphUpload: ["handle", "handle"],
  cuGraphLaunch: ["handle", "handle"],
} as const satisfies Table;

/** Numbers of cuda.h, under the names that it gives them. */
export const DEVICE_ATTRIBUTE = {
  multiprocessors: 16, l2Bytes: 38, capabilityMajor: 75, capabilityMinor: 76, clockKhz: 13,
  cooperativeLaunch: 95, sharedBytesMax: 97, clusterLaunch: 120, pageableAccess: 88, canMapHost: 19,
} as const;
export const FUNCTION_ATTRIBUTE = {
  threadsMax: 0, sharedBytes: 1, localBytes: 3, registers: 4, dynamicSharedMax: 8, nonPortableCluster: 14,
} as const;
export const LAUNCH_ATTRIBUTE = { cooperative: 2, cluster: 4, programmaticSerialization: 6 } as const;
export const CAPTURE_THREAD_LOCAL = 1;
export const STREAM_NON_BLOCKING = 1;
export const HOST_PORTABLE_MAPPED = 1 | 2;
/** 12.0 brought the last function of the table (cuTensorMapEncodeTiled). */
const VERSION_MIN = 12_000;

export interface Driver extends Functions<typeof DRIVER> {
  readonly file: string;
  /** 13000: CUDA 13.0. */
  readonly version: number;
  /** Throws a CudaError unless the code is 0. `doing` ends the sentence "... while". */
  check(code: number, doing: string): void;
  /** The error of a code; null for success and for "not ready". */
  errorOf(code: number, doing: string): CudaError | null;
}

/** A GPU's context: the driver, and how to make it the thread's (it costs nothing when it is already). */
export interface CudaContext {
  readonly driver: Driver;
  readonly use: () => void;
}

/** "12.4" of 12040. */
export const versionText = (version: number): string =>
  `${Math.floor(version / 1000)}.${Math.floor(version % 1000 / 10)}`;

/**
 * Opens libcuda (`file`, or the first that is found) and starts it. Throws CudaError: no-driver, old-driver,
 * no-device.
 */
export function openDriver(file?: string): Driver {
  const library = openFirst(file === undefined ? cudaNames(process.env) : [file]);
  let first: Functions<Pick<typeof DRIVER, "cuInit" | "cuDriverGetVersion">>;
  try {
    first = library.functions({ cuInit: DRIVER.cuInit, cuDriverGetVersion: DRIVER.cuDriverGetVersion });
  } catch (error) {
    throw new CudaError("no-driver", `${library.file} is no CUDA driver: ${messageOf(error)}`,
      { cause: error });
  }
  const version = new Int32Array(1);
  first.cuDriverGetVersion(version);
  const update = "update the driver (525 or newer): its packages are named nvidia-driver";
  if (version[0] < VERSION_MIN) {
    throw new CudaError("old-driver",
      `the NVIDIA driver is too old: it knows CUDA ${versionText(version[0])}, 12.0 is the least`,
      { hint: update });
  }
  let functions: Functions<typeof DRIVER>;
  try { functions = library.functions(DRIVER); } catch (error) {
    throw new CudaError("old-driver", `the NVIDIA driver lacks a function: ${messageOf(error)}`,
      { hint: update, cause: error });
  }
  const driver = withCheck(functions, library.file, version[0]);
  driver.check(functions.cuInit(0), "starting the driver");
  return driver;
}

function withCheck(functions: Functions<typeof DRIVER>, file: string, version: number): Driver {
  const pointer = new BigUint64Array(1);
  const asked = (ask: (code: number, text: BigUint64Array) => number, code: number): string =>
    (ask(code, pointer) === 0 && pointer[0] !== 0n ? textAt(pointer[0]) : "unknown");
  const explain = (code: number, doing: string): CudaError =>
    errorOf(code, asked(functions.cuGetErrorName, code), asked(functions.cuGetErrorString, code), doing);
  return {
    ...functions, file, version,
    check(code, doing) { if (code !== 0) throw explain(code, doing); },
    errorOf: (code, doing) => (code === 0 || code === NOT_READY ? null : explain(code, doing)),
  };
}

function openFirst(names: readonly string[]): OpenedLibrary {
  const refusals: string[] = [];
  for (const name of names) {
    try { return openLibrary(name); } catch (error) { refusals.push(messageOf(error)); }
  }
  // A library that is there and cannot be opened says more than the places where there is none.
  const refusal = refusals.find((message) => !message.includes("No such file"));
  const what = refusal === undefined ? `there is no NVIDIA driver on this machine (${names[0]})`
    : `the NVIDIA driver (${names[0]}) cannot be opened: ${refusal}`;
  throw new CudaError("no-driver", what, {
    hint: "on a machine with an NVIDIA GPU install its driver (packages named nvidia-driver); "
      + "nvidia-smi shows it",
  });
}
