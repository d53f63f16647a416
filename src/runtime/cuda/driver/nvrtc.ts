/**
 * NVIDIA's run-time compiler: CUDA C++ in, machine code of one GPU (cubin) out. It needs no GPU, and none
 * of the toolkit's headers, because our kernels include only our own.
 */
import { messageOf } from "../../../base/error.ts";
import { CudaError } from "./error.ts";
import { openLibrary, type Functions, type Table } from "./ffi.ts";
import type { NvrtcFile } from "./library.ts";
import type { KernelText } from "./source.ts";

export const NVRTC = {
  nvrtcVersion: ["out i32", "out i32"],
  // (program, source, name, count of headers, their texts, their names)
  nvrtcCreateProgram: ["out u64", "text", "text", "i32", "texts", "texts"],
  nvrtcDestroyProgram: ["out u64"],
  nvrtcCompileProgram: ["handle", "i32", "texts"],
  nvrtcGetProgramLogSize: ["handle", "out u64"],
  nvrtcGetProgramLog: ["handle", "bytes"],
  nvrtcGetCUBINSize: ["handle", "out u64"],
  nvrtcGetCUBIN: ["handle", "bytes"],
} as const satisfies Table;

/** What to do where no compiler is found, or none that can be loaded. */
export const NVRTC_REMEDY = "install NVRTC: pip install nvidia-cuda-nvrtc (or a CUDA toolkit), or set "
  + "DMN_NVRTC to the path of libnvrtc.so";

/** Of a compiler's log, in an error's message. */
const LOG_LINES = 12;

export interface Nvrtc {
  readonly file: string;
  /** [13, 0] */
  readonly version: readonly [major: number, minor: number];
  /** Throws CudaError "compile" with the beginning of the log. */
  compile(source: KernelText, architecture: string): Compiled;
  /** The same on another thread. */
  compileLater(source: KernelText, architecture: string): Promise<Compiled>;
}
export interface Compiled {
  /** Machine code, as cuModuleLoadData takes it. */
  readonly cubin: Uint8Array;
  /** Warnings, and what `--ptxas-options=-v` says. */
  readonly log: string;
}

/** Opens NVRTC. Throws CudaError "no-nvrtc". */
export function openNvrtc({ file, builtins }: NvrtcFile): Nvrtc {
  let call: Functions<typeof NVRTC>;
  let compileLater: (...values: Parameters<typeof call.nvrtcCompileProgram>) => Promise<number>;
  try {
    if (builtins !== null) openLibrary(builtins, { isGlobal: true });
    const library = openLibrary(file);
    call = library.functions(NVRTC);
    compileLater = library.later(NVRTC, "nvrtcCompileProgram");
  } catch (error) {
    throw new CudaError("no-nvrtc", `NVRTC (${file}) cannot be loaded: ${messageOf(error)}`,
      { hint: NVRTC_REMEDY, cause: error });
  }
  const major = new Int32Array(1), minor = new Int32Array(1);
  call.nvrtcVersion(major, minor);

  const read = (program: bigint, size: "nvrtcGetProgramLogSize" | "nvrtcGetCUBINSize",
    get: "nvrtcGetProgramLog" | "nvrtcGetCUBIN"): Uint8Array => {
    const bytes = new BigUint64Array(1);
    if (call[size](program, bytes) !== 0) return new Uint8Array(0);
    const content = new Uint8Array(Number(bytes[0]));
    return call[get](program, content) === 0 ? content : new Uint8Array(0);
  };
  const create = (source: KernelText): BigUint64Array => {
    const program = new BigUint64Array(1), { headers } = source;
    const code = call.nvrtcCreateProgram(program, source.text, source.name, headers.size,
      headers.size === 0 ? null : [...headers.values()], headers.size === 0 ? null : [...headers.keys()]);
    if (code !== 0) {
      throw new CudaError("compile", `NVRTC refused the source of ${source.name} (${code})`, { code });
    }
    return program;
  };
  const finish = (program: BigUint64Array, source: KernelText, code: number): Compiled => {
    try {
      const log = new TextDecoder().decode(read(program[0], "nvrtcGetProgramLogSize", "nvrtcGetProgramLog"))
        .replace(/\0+$/, "").trim();
      if (code !== 0) throw compileError(source.name, log, code);
      return { log, cubin: read(program[0], "nvrtcGetCUBINSize", "nvrtcGetCUBIN") };
    } finally { call.nvrtcDestroyProgram(program); }
  };
  return {
    file, version: [major[0], minor[0]],
    compile(source, architecture) {
      const program = create(source), options = optionsOf(source, architecture);
      return finish(program, source, call.nvrtcCompileProgram(program[0], options.length, options));
    },
    async compileLater(source, architecture) {
      const program = create(source), options = optionsOf(source, architecture);
      return finish(program, source, await compileLater(program[0], options.length, options));
    },
  };
}

/** The whole command line: also what a cached result is known by. */
export const optionsOf = ({ defines }: KernelText, architecture: string): string[] =>
  [`--gpu-architecture=${architecture}`, "--std=c++17", "-default-device", ...defines];

export function compileError(name: string, log: string, code?: number): CudaError {
  const lines = log.split("\n"), errors = lines.findIndex((line) => /\berror\b/i.test(line));
  const shown = lines.slice(Math.max(0, errors), Math.max(0, errors) + LOG_LINES).join("\n");
  return new CudaError("compile", `the kernel ${name} does not compile:\n${shown}`, { code });
}
