/**
 * From a kernel's source to machine code for one GPU:
 *
 *   disk cache ──miss──> NVRTC ──none──> nvcc on PATH ──none──> a CudaError that says what to install
 *
 * NVRTC is a library of 100 MB: it is loaded when something must be compiled, not before.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { messageOf } from "../../../base/error.ts";
import type { KernelSource } from "../launch.ts";
import { cubinKey, type CubinCache } from "./cubin-cache.ts";
import { CudaError } from "./error.ts";
import { nvrtcFiles, type Environment, type NvrtcFile } from "./library.ts";
import { compileError, NVRTC_REMEDY, openNvrtc, optionsOf, type Nvrtc } from "./nvrtc.ts";
import { definesOf, type KernelText } from "./source.ts";

export interface Compiler {
  /** "sm_90a" */
  readonly architecture: string;
  /** Machine code. Throws CudaError: no-nvrtc, compile. */
  compile(source: KernelText): Uint8Array;
  /** The same, without blocking while NVRTC works (nvcc blocks). */
  compileLater(source: KernelText): Promise<Uint8Array>;
}

/** What NVRTC calls a GPU: with "a" its own instructions (wgmma of 9.0) are allowed. */
export const architectureOf = (capability: number): string =>
  `sm_${capability}${capability === 90 ? "a" : ""}`;

/** The first NVRTC that can compile for such a GPU, for such a driver; null: none. */
export function chooseNvrtc(files: readonly NvrtcFile[], capability: number, driverVersion: number):
  NvrtcFile | null {
  const driverMajor = Math.floor(driverVersion / 1000);
  const least = order(firstFor(capability));
  const knows = files.filter(({ version }) => version === null || order(version) >= least);
  // Machine code of a later major version than the driver's may be refused: such a compiler is the last
  // choice.
  return knows.find(({ version }) => version === null || version[0] <= driverMajor) ?? knows[0] ?? null;
}
const order = ([first, second]: readonly [number, number]): number => first * 100 + second;
/** The first CUDA version whose compiler knows a capability. */
function firstFor(capability: number): readonly [number, number] {
  if (capability >= 100) return [12, 8];
  return capability > 86 ? [11, 8] : [11, 1];
}

interface Options {
  readonly capability: number;
  readonly driverVersion: number;
  readonly cache: CubinCache | null;
  /** Instead of looking for it. */
  readonly nvrtc?: string;
  readonly environment?: Environment;
  /** For every source, after its own. */
  readonly defines?: KernelSource["defines"];
}

export function openCompiler(options: Options): Compiler {
  const { capability, driverVersion, cache, nvrtc, environment = process.env, defines = {} } = options;
  const architecture = architectureOf(capability);
  const files = nvrtcFiles(nvrtc === undefined ? environment : { DMN_NVRTC: nvrtc });
  const chosen = chooseNvrtc(files, capability, driverVersion);
  const nvcc = chosen === null ? nvccOn(environment) : null;
  let opened: Nvrtc | undefined;
  const stamp = chosen === null ? nvcc === null ? null : `nvcc-${stampOf(nvcc)}`
    : `nvrtc${chosen.version?.join(".") ?? ""}-${stampOf(chosen.file)}`;

  const more = definesOf(defines);
  const whole = (source: KernelText): KernelText => ({ ...source, defines: [...source.defines, ...more] });
  const find = (source: KernelText): { key: string; cubin: Uint8Array | null } => {
    const key = cubinKey([source.text, ...[...source.headers].flat(), ...optionsOf(source, architecture)]);
    return { key, cubin: cache?.find(key, stamp) ?? null };
  };
  const keep = (key: string, cubin: Uint8Array): Uint8Array => {
    if (stamp !== null) cache?.store(key, stamp, cubin);
    return cubin;
  };
  const ready = (): Nvrtc => {
    if (chosen === null) throw missing(architecture, files.length > 0);
    opened ??= openNvrtc(chosen);
    return opened;
  };
  return {
    architecture,
    compile(given) {
      const source = whole(given);
      const { key, cubin } = find(source);
      if (cubin !== null) return cubin;
      if (nvcc !== null) return keep(key, compileByNvcc(nvcc, source, architecture));
      return keep(key, ready().compile(source, architecture).cubin);
    },
    async compileLater(given) {
      const source = whole(given);
      const { key, cubin } = find(source);
      if (cubin !== null) return cubin;
      if (nvcc !== null) return keep(key, compileByNvcc(nvcc, source, architecture));
      return keep(key, (await ready().compileLater(source, architecture)).cubin);
    },
  };
}

const missing = (architecture: string, hasOld: boolean): CudaError => new CudaError("no-nvrtc",
  hasOld ? `the NVRTC that was found is too old to compile for this GPU (${architecture})`
    : "NVIDIA's run-time compiler (NVRTC) is not on this machine, and this kernel was never compiled before",
  { hint: NVRTC_REMEDY });

/** Tells two builds of the same version apart without reading them. */
function stampOf(file: string): string {
  const status = fs.statSync(file, { throwIfNoEntry: false });
  return createHash("sha256").update(`${status?.size} ${status?.mtimeMs}`).digest("hex").slice(0, 12);
}

/** nvcc on PATH; null: none. */
export function nvccOn({ PATH = "" }: Environment): string | null {
  return PATH.split(":").filter((folder) => folder !== "").map((folder) => path.join(folder, "nvcc"))
    .find((file) => fs.existsSync(file)) ?? null;
}

function compileByNvcc(nvcc: string, source: KernelText, architecture: string): Uint8Array {
  try { return runNvcc(nvcc, source, architecture); } catch (error) {
    if (error instanceof CudaError) throw error;
    // No place for its files, no right to run it, or something else of that name.
    throw new CudaError("no-nvrtc", `nvcc (${nvcc}) cannot be used: ${messageOf(error)}`,
      { hint: NVRTC_REMEDY, cause: error });
  }
}

function runNvcc(nvcc: string, source: KernelText, architecture: string): Uint8Array {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-nvcc-"));
  try {
    for (const [name, text] of source.headers) fs.writeFileSync(path.join(folder, name), text);
    fs.writeFileSync(path.join(folder, "kernel.cu"), source.text);
    const compute = architecture.replace("sm_", "compute_");
    const target = `arch=${compute},code=${architecture}`;
    const words = ["-cubin", "-std=c++17", "-gencode", target, ...source.defines,
      "-o", "kernel.cubin", "kernel.cu"];
    const { status, signal, stderr, error } = spawnSync(nvcc, words, { cwd: folder, encoding: "utf8" });
    if (error !== undefined) throw error;
    const said = stderr.trim() === "" ? `nvcc ended with ${status ?? signal} and said nothing` : stderr;
    if (status !== 0) throw compileError(source.name, said);
    return fs.readFileSync(path.join(folder, "kernel.cubin"));
  } finally { fs.rmSync(folder, { recursive: true }); }
}
