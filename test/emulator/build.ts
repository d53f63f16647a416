/**
 * Builds the emulated CUDA of this folder, once per state of its sources: a libcuda and a libnvrtc for machines
 * without a GPU. emulator.h says what it is.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";

/** Paths for openCuda({ libraries }), or for DMN_CUDA and DMN_NVRTC. */
export interface EmulatedCuda {
  readonly cuda: string;
  readonly nvrtc: string;
}

const SOURCES = ["emulator.h", "machine.h", "ptx.cuh", "wgmma.cuh", "machine.cpp", "libcuda.cpp", "libnvrtc.cpp"];
const ROOT = path.join(import.meta.dirname, "..", "..", ".tools", "emulator");
/** Builds of earlier sources, which a running test may still use, go after a day. */
const KEPT_MS = 86_400_000;
const NO_COMPILER = "needs a C++17 compiler (g++ or clang++; CXX names another)";

/** The libraries' paths; a string: why there are none on this machine, which is the reason to skip. */
export function emulatedCuda(): EmulatedCuda | string {
  if (process.platform !== "linux") return "the GPU emulator is for Linux";
  const compiler = [process.env["CXX"] ?? "g++", "g++", "clang++"]
    .find((name) => spawnSync(name, ["--version"]).status === 0);
  if (compiler === undefined) return NO_COMPILER;
  const hash = createHash("sha256").update(compiler).update(spawnSync(compiler, ["--version"]).stdout)
    .update(os.cpus()[0]?.model ?? "").update(fs.readFileSync(import.meta.filename));
  for (const name of SOURCES) hash.update(fs.readFileSync(path.join(import.meta.dirname, name)));
  const id = hash.digest("hex").slice(0, 12), folder = path.join(ROOT, id);
  if (!fs.existsSync(folder)) build(compiler, id, folder);
  return { cuda: path.join(folder, "libcuda.so"), nvrtc: path.join(folder, "libnvrtc.so") };
}

function build(compiler: string, id: string, folder: string): void {
  fs.mkdirSync(ROOT, { recursive: true });
  const made = fs.mkdtempSync(path.join(ROOT, "build-"));
  const source = (name: string): string => path.join(import.meta.dirname, name);
  const compile = (...words: string[]): void => {
    const run = spawnSync(compiler, ["-std=c++17", "-Wall", "-Wextra", "-shared", "-fPIC", "-fvisibility=hidden",
      ...words], { encoding: "utf8" });
    if (run.status !== 0) throw new Error(`the GPU emulator does not build:\n${run.stderr}`);
  };
  // Sums are rounded after every product, so that every processor gives the same bits.
  compile("-O3", ...(process.arch === "x64" ? ["-march=native"] : []), "-ffp-contract=off",
    "-o", path.join(made, "libcuda.so"), source("libcuda.cpp"), source("machine.cpp"), "-ldl");
  compile("-O1", `-DCOMPILER="${compiler}"`, `-DBUILD=${parseInt(id.slice(0, 6), 16)}`,
    "-o", path.join(made, "libnvrtc.so"), source("libnvrtc.cpp"), "-ldl");
  fs.mkdirSync(path.join(made, "include"));
  for (const name of SOURCES.filter((file) => file.endsWith("h"))) {
    fs.copyFileSync(source(name), path.join(made, "include", name));
  }
  // Two test files may build at once: the first to finish is used.
  try { fs.renameSync(made, folder); } catch { fs.rmSync(made, { recursive: true }); }
  const now = fs.statSync(folder).mtimeMs;
  for (const name of fs.readdirSync(ROOT)) {
    const status = fs.statSync(path.join(ROOT, name), { throwIfNoEntry: false });
    if (status === undefined || now - status.mtimeMs < KEPT_MS) continue;
    fs.rmSync(path.join(ROOT, name), { recursive: true, force: true });
  }
}
