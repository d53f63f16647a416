/**
 * The compiled half of this runtime (native/*.c), found and opened. Where there is none for this platform, or
 * the processor is too old for it, nothing is opened and ONNX Runtime does the work.
 *
 *   native/*.c ── native/build.sh ──> PLATFORM.so, committed beside this file with the hash of its sources
 */
import * as fs from "node:fs";
import * as path from "node:path";
import { assert } from "../../base/assert.ts";
import { UserError } from "../../base/error.ts";
import { koffi, type KoffiLibrary } from "../koffi.ts";

/** Of the tape; the library must have been built for the same. */
const VERSION = 2;

/** A native object: only passed back. */
export interface Team { readonly brand: "team" }

/** Functions of native/native.c. */
export interface Library {
  /** Floats of scratch that a tape needs for each thread of a team. */
  scratch(team: Team, tape: Int32Array): number;
  /** Floats to skip to the next cache line. */
  misaligned(floats: Float32Array): number;
  /** Asks for large pages under an array. */
  advise(floats: Float32Array, count: number): void;
  /** Null when a thread cannot be started. */
  open(threads: number): Team | null;
  close(team: Team): void;
  run(team: Team, tape: Int32Array, arena: Float32Array, scratch: Float32Array, scratchFloats: number): void;
}

/** Where the library for this platform lies, if there is one. */
function libraryFile(): string | null {
  const file = path.join(import.meta.dirname, `${process.platform}-${process.arch}.so`);
  return process.platform === "linux" && fs.existsSync(file) ? file : null;
}

type Call = (...values: unknown[]) => unknown;

/** Opens a library file; null when it cannot run on this machine. */
export function openLibrary(file: string): Library | null {
  let opened: KoffiLibrary;
  try {
    opened = koffi().load(file);
  } catch {
    // No koffi for this platform, or a libc that cannot load the file (musl).
    return null;
  }
  const call = (declaration: string): Call => opened.func(declaration);
  const version = call("int dmn_version()")() as number;
  assert(version === VERSION, `${path.basename(file)} has tape version ${version}, not ${VERSION}`);
  if (call("int dmn_width()")() === 0) return null;
  const scratch = call("long dmn_scratch(void *team, const int *tape)");
  return {
    scratch: (team, tape) => Number(scratch(team, tape)),
    misaligned: call("int dmn_misaligned(const float *at)") as Library["misaligned"],
    advise: call("void dmn_advise(float *at, long floats)"),
    open: call("void *dmn_open(int threads)") as Library["open"],
    close: call("void dmn_close(void *team)"),
    run: call("void dmn_run(void *team, const int *tape, float *arena, float *scratch, long floats)"),
  };
}

let found: Library | null | undefined;
/** This platform's library, opened once. */
export function nativeLibrary(): Library | null {
  if (found === undefined) {
    const file = libraryFile();
    found = file === null ? null : openLibrary(file);
  }
  return found;
}

/** For who asked for the native engine by name where there is none. */
export const nativeIsMissing = (): UserError => new UserError(
  "this machine cannot run the native engine: it needs Linux with glibc on x64 with AVX2",
  "train with ONNX Runtime, which runs everywhere: DMN_ENGINE=ort");

/** Whether `nativeRuntime` runs graphs itself on this machine. */
export const isNativeAvailable = (): boolean => nativeLibrary() !== null;
