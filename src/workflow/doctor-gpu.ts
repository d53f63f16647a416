/** What `dmn doctor` says of GPUs: a row for each thing that stands between a network and a GPU. */
import type { CudaFindings, FoundGpu } from "../runtime/cuda/driver/describe.ts";
import type { Finding } from "./doctor.ts";

const ON_CPU = "networks run on the CPU";
const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(bytes < 10e9 ? 1 : 0)} GB`;

/** One row without a driver; else the driver, each GPU, the compiler and the cache of compiled kernels. */
export function gpuFindings({ driver, gpus, compiler, cache, missing }: CudaFindings): Finding[] {
  if (driver === null) {
    return missing === null || missing.reason === "no-driver"
      ? [{ what: "GPU", state: "absent", found: `no NVIDIA driver here; ${ON_CPU}`, remedy: "" }]
      : [missingFinding(missing)];
  }
  const { version, cudaVersion } = driver;
  const name = version === null ? "" : `${version}, `;
  return [
    { what: "NVIDIA driver", state: "ok", found: `${name}CUDA ${cudaVersion}`, remedy: "" },
    ...gpus.map(gpuFinding),
    ...(missing === null ? [] : [missingFinding(missing)]),
    ...(compiler === null ? [] : [{ what: compiler.name, state: "ok" as const, remedy: "",
      found: `${compiler.version === null ? "" : `${compiler.version} at `}${compiler.file}` }]),
    cacheFinding(cache),
  ];
}

function missingFinding({ reason, what, remedy }: NonNullable<CudaFindings["missing"]>): Finding {
  const found = `${what}; ${ON_CPU}`;
  return { what: reason === "no-nvrtc" ? "NVRTC" : "GPU", state: "missing", found, remedy };
}

function gpuFinding(gpu: FoundGpu): Finding {
  const { ordinal, name, capability, multiprocessors, memoryBytes, isSupported, health } = gpu;
  const used = health?.memoryUsedBytes ?? null;
  const inUse = used === null ? "" : ` (${gigabytes(used)} in use)`;
  const found = `${name}, compute capability ${(capability / 10).toFixed(1)}, ${multiprocessors} `
    + `multiprocessors, ${gigabytes(memoryBytes)}${inUse}${isSupported ? "" : ", too old for our kernels"}`;
  return { what: `GPU ${ordinal}`, state: isSupported ? "ok" : "absent", found, remedy: "" };
}

function cacheFinding(cache: CudaFindings["cache"]): Finding {
  if (cache === null) {
    return { what: "GPU kernels", state: "absent", remedy: "unset DMN_CUBIN_CACHE",
      found: "not kept: each process compiles them again" };
  }
  // Who has no HOME has no short name for it either.
  const { HOME = "" } = process.env, isBelow = HOME !== "" && cache.folder.startsWith(`${HOME}/`);
  const folder = isBelow ? `~${cache.folder.slice(HOME.length)}` : cache.folder;
  const megabytes = (cache.bytes / 1e6).toFixed(1);
  const found = cache.kernels === 0 ? `none compiled yet; they will be kept in ${folder}`
    : `${cache.kernels} compiled, ${megabytes} MB in ${folder}`;
  return { what: "GPU kernels", state: "ok", found, remedy: "" };
}
