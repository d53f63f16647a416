/**
 * From a kernel's text to machine code, with no GPU and no compiler of NVIDIA's: where libraries are looked for, what is
 * included, what is kept on disk, and what is said when nothing can compile.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import os from "node:os";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import { architectureOf, chooseNvrtc, openCompiler } from "../src/runtime/cuda/driver/compiler.ts";
import { cubinCacheFolder, cubinKey, openCubinCache } from "../src/runtime/cuda/driver/cubin-cache.ts";
import { cudaNames, nvrtcFiles } from "../src/runtime/cuda/driver/library.ts";
import { kernelText } from "../src/runtime/cuda/driver/source.ts";
import { has } from "./cuda-faults.ts";

const FOLDER = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-cuda-"));
after(() => { fs.rmSync(FOLDER, { recursive: true }); });
let folders = 0;
const freshFolder = (): string => {
  const folder = path.join(FOLDER, `f${folders++}`);
  fs.mkdirSync(folder);
  return folder;
};
function put(root: string, ...files: readonly string[]): void {
  for (const file of files) {
    const place = path.join(root, file);
    fs.mkdirSync(path.dirname(place), { recursive: true });
    fs.writeFileSync(place, "");
  }
}

describe("where libraries are looked for", () => {
  const triplet = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
  const target = process.arch === "arm64" ? "sbsa-linux" : "x86_64-linux";
  const root = freshFolder();
  put(root, "home/lib64/libnvrtc.so.12", "home/lib64/libnvrtc-builtins.so.12.4",
    "venv/lib/python3.12/site-packages/nvidia/cu13/lib/libnvrtc.so.13",
    "venv/lib/python3.12/site-packages/nvidia/cu13/lib/libnvrtc-builtins.so.13.0",
    "conda/lib/libnvrtc.so.11.2", "conda/lib/libnvrtc-builtins.so.11.8",
    `usr/local/cuda-12.9/targets/${target}/lib/libnvrtc.so.12`, "usr/local/cuda-13.1/lib64/libnvrtc.so.13",
    `usr/lib/${triplet}/libnvrtc.so.12`, `usr/lib/${triplet}/libnvrtc-builtins.so.12.4`, "py/bin/python3",
    "py/lib/python3.11/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12", "usr/local/cuda-13.1/lib64/libnvrtc.so.13.1.80");
  fs.symlinkSync("cuda-13.1", path.join(root, "usr/local/cuda"));
  const at = (name: string): string => path.join(root, name);
  const shorten = (file: string): string => path.relative(root, file);

  test("CUDA_HOME, environments of Python, CUDA of the system (newest first), python3 on PATH; each file once", () => {
    const environment = { CUDA_HOME: at("home"), VIRTUAL_ENV: at("venv"), CONDA_PREFIX: at("conda"),
      PATH: `${at("py/bin")}:/nowhere` };
    assert.deepEqual(nvrtcFiles(environment, root).map(({ file }) => shorten(file)), [
      "home/lib64/libnvrtc.so.12",
      "venv/lib/python3.12/site-packages/nvidia/cu13/lib/libnvrtc.so.13",
      "conda/lib/libnvrtc.so.11.2",
      "usr/local/cuda-13.1/lib64/libnvrtc.so.13",
      `usr/local/cuda-12.9/targets/${target}/lib/libnvrtc.so.12`,
      `usr/lib/${triplet}/libnvrtc.so.12`,
      "py/lib/python3.11/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12",
    ]);
  });

  test("a link to a library that was removed is passed over", () => {
    const folder = freshFolder();
    put(folder, "lib64/libnvrtc.so.12");
    fs.symlinkSync("/nowhere/libnvrtc.so.13", path.join(folder, "lib64/libnvrtc.so.13"));
    assert.deepEqual(nvrtcFiles({ CUDA_HOME: folder }, folder).map(({ file }) => path.relative(folder, file)),
      ["lib64/libnvrtc.so.12"]);
  });

  test("the version is that of the builtins beside it, and those are loaded first: 13.0, 12.4, none", () => {
    const found = nvrtcFiles({ CUDA_HOME: at("home"), VIRTUAL_ENV: at("venv"), PATH: at("py/bin") }, root);
    assert.deepEqual(found.map(({ version }) => version), [[12, 4], [13, 0], null, null, [12, 4], null]);
    assert.equal(found[0].builtins, at("home/lib64/libnvrtc-builtins.so.12.4"));
  });

  test("DMN_NVRTC and DMN_CUDA are the only place then; empty ones are none", () => {
    assert.deepEqual(nvrtcFiles({ DMN_NVRTC: "/x/libnvrtc.so", CUDA_HOME: at("home") }, root),
      [{ file: "/x/libnvrtc.so", version: null, builtins: null }]);
    assert.deepEqual(cudaNames({ DMN_CUDA: "/x/libcuda.so" }), ["/x/libcuda.so"]);
    assert.equal(cudaNames({ DMN_CUDA: "" })[0], "libcuda.so.1");
    assert.deepEqual(nvrtcFiles({ PATH: "" }, freshFolder()), []);
  });

  test("an NVRTC that knows the GPU, not newer than the driver if there is one: 12.4 for driver 12.6, else 13.0", () => {
    const files = [[13, 0], [11, 4], [12, 4], [12, 9]].map(([major, minor]) =>
      ({ file: `${major}.${minor}`, version: [major, minor] as const, builtins: null }));
    const chosen = (capability: number, driver: number, among = files): string | undefined =>
      chooseNvrtc(among, capability, driver)?.file;
    assert.equal(chosen(90, 13_000), "13.0");
    assert.equal(chosen(90, 12_060), "12.4");
    assert.equal(chosen(100, 12_080), "12.9");
    assert.equal(chosen(80, 12_000, [files[1]]), "11.4");
    assert.equal(chosen(89, 12_000, [files[1]]), undefined);
    assert.equal(chosen(90, 12_000, [files[0]]), "13.0");
  });

  test("only 9.0 is compiled for with its own instructions: sm_80, sm_90a, sm_120", () => {
    assert.deepEqual([80, 90, 120].map(architectureOf), ["sm_80", "sm_90a", "sm_120"]);
  });
});

describe("the text of a kernel", () => {
  test("brings the headers that it and they include, each once, and its defines in order", () => {
    const folder = freshFolder();
    fs.writeFileSync(path.join(folder, "a.cuh"), '#pragma once\n#include "b.cuh"\n');
    fs.writeFileSync(path.join(folder, "b.cuh"), '#include "a.cuh"\n');
    fs.writeFileSync(path.join(folder, "k.cu"), ' # include "a.cuh"\n#include "b.cuh"\n// #include-like\n');
    const made = kernelText({ name: "k.cu", text: null, defines: { Z: 1, A: "2u" } }, folder);
    assert.deepEqual([...made.headers], [["a.cuh", '#pragma once\n#include "b.cuh"\n'], ["b.cuh", '#include "a.cuh"\n']]);
    assert.deepEqual(made.defines, ["-DA=2u", "-DZ=1"]);
  });

  test("may not include NVIDIA's headers, or files elsewhere", () => {
    for (const name of ["<cuda_fp16.h>", '"../x.cuh"', "<mma.h>"]) {
      assert.throws(() => kernelText({ name: "k", text: `#include ${name}\n`, defines: {} }), /no headers but our own/);
    }
  });
});

describe("the cache of compiled kernels", () => {
  const NOW = Date.UTC(2030, 0, 1), key = cubinKey(["a"]), code = Uint8Array.of(1, 2, 3);
  const open = (folder: string, bytesMax?: number): ReturnType<typeof openCubinCache> =>
    openCubinCache(folder, { bytesMax, now: () => NOW });
  const only = (folder: string): string => path.join(folder, fs.readdirSync(folder)[0]);

  test("gives back what was stored, under the same compiler only; without a compiler whatever is there", () => {
    const cache = open(path.join(freshFolder(), "made", "later"));
    assert.equal(cache.find(key, "nvrtc13"), null);
    cache.store(key, "nvrtc13", code);
    assert.deepEqual(new Uint8Array(cache.find(key, "nvrtc13") ?? []), code);
    assert.equal(cache.find(key, "nvrtc12"), null);
    assert.deepEqual(new Uint8Array(cache.find(key, null) ?? []), code);
    assert.equal(cache.find(cubinKey(["b"]), null), null);
  });

  test("no damaged file is ever given: each of 43 bytes flipped, each length cut short, is a miss and goes", () => {
    const folder = freshFolder(), cache = open(folder);
    cache.store(key, "c", code);
    const whole = fs.readFileSync(only(folder));
    assert.equal(whole.length, 8 + 32 + 3);
    for (let k = 0; k < whole.length; k++) {
      const flipped = Buffer.from(whole);
      flipped[k] ^= 1;
      for (const content of [flipped, whole.subarray(0, k)]) {
        fs.writeFileSync(path.join(folder, `${key}.c.cubin`), content);
        assert.equal(cache.find(key, "c"), null, `byte ${k}`);
        assert.deepEqual(fs.readdirSync(folder), []);
      }
    }
  });

  test("leaves no temporary file, and removes one that a process left an hour ago", () => {
    const folder = freshFolder(), old = path.join(folder, "x.cubin.1.tmp"), young = path.join(folder, "y.cubin.1.tmp");
    put(folder, "x.cubin.1.tmp", "y.cubin.1.tmp");
    fs.utimesSync(old, NOW / 1000 - 7200, NOW / 1000 - 7200);
    fs.utimesSync(young, NOW / 1000, NOW / 1000);
    open(folder).store(key, "c", code);
    assert.deepEqual(fs.readdirSync(folder).sort(), [`${key}.c.cubin`, "y.cubin.1.tmp"].sort());
  });

  test("over 3 x 1040 bytes, of 4 kernels the one unused longest goes: the second, because the first was used", () => {
    const folder = freshFolder(), cache = open(folder, 3 * 1040);
    ["a", "b", "c", "d"].forEach((name, k) => {
      if (name === "d") assert.ok(cache.find("a", "c") !== null);
      cache.store(name, "c", new Uint8Array(1000));
      const at = NOW / 1000 - 50_000 + k;
      if (name !== "d") fs.utimesSync(path.join(folder, `${name}.c.cubin`), at, at);
    });
    assert.deepEqual(fs.readdirSync(folder).sort(), ["a.c.cubin", "c.c.cubin", "d.c.cubin"]);
  });

  test("a folder that cannot be made is no error: nothing is found, nothing is kept", () => {
    const file = path.join(freshFolder(), "file");
    fs.writeFileSync(file, "");
    const cache = open(path.join(file, "cache"));
    cache.store(key, "c", code);
    assert.equal(cache.find(key, "c"), null);
  });

  test("texts that only differ in where one ends have different keys", () => {
    assert.notEqual(cubinKey(["ab", "c"]), cubinKey(["a", "bc"]));
    assert.notEqual(cubinKey(["ab"]), cubinKey(["ab", ""]));
  });

  test("lies where DMN_CUBIN_CACHE says, in XDG_CACHE_HOME, in ~/.cache, or nowhere (off)", () => {
    assert.equal(cubinCacheFolder({ DMN_CUBIN_CACHE: "/c", XDG_CACHE_HOME: "/x" }), "/c");
    assert.equal(cubinCacheFolder({ XDG_CACHE_HOME: "/x", HOME: "/h" }), "/x/dmn/cubin");
    assert.equal(cubinCacheFolder({ XDG_CACHE_HOME: "relative", HOME: "/h" }), "/h/.cache/dmn/cubin");
    assert.equal(cubinCacheFolder({ DMN_CUBIN_CACHE: "off", HOME: "/h" }), null);
  });

  test("is nowhere for a user without a home, as in a container that runs under a bare number", (t) => {
    t.mock.method(os, "homedir", () => { throw new Error("uv_os_homedir returned ENOENT"); });
    syncBuiltinESMExports();
    try {
      assert.equal(cubinCacheFolder({}), null);
      assert.equal(cubinCacheFolder({ XDG_CACHE_HOME: "/x" }), "/x/dmn/cubin");
    } finally {
      t.mock.restoreAll();
      syncBuiltinESMExports();
    }
  });
});

describe("compiling", () => {
  const compilerOf = (environment: Record<string, string>, folder: string): ReturnType<typeof openCompiler> =>
    openCompiler({ capability: 90, driverVersion: 13_000, cache: openCubinCache(folder, { now: () => 0 }),
      environment: { DMN_NVRTC: "off", ...environment } });
  const text = kernelText({ name: "made-up", text: "kernel", defines: {} });

  test("with no compiler and nothing kept: one sentence, and the command that brings one", () => {
    assert.throws(() => compilerOf({ PATH: "" }, freshFolder()).compile(text),
      has("no-nvrtc", "is not on this machine", "pip install nvidia-cuda-nvrtc", "DMN_NVRTC"));
  });

  test("with no NVRTC nvcc on PATH is asked, once: what it made is kept, also for who has no compiler", async () => {
    const bin = freshFolder(), folder = freshFolder(), log = path.join(bin, "log");
    fs.writeFileSync(path.join(bin, "nvcc"), `#!/bin/sh\necho "$@" >> ${log}\nprintf made > kernel.cubin\n`, { mode: 0o755 });
    for (let k = 0; k < 2; k++) assert.equal(Buffer.from(compilerOf({ PATH: bin }, folder).compile(text)).toString(), "made");
    assert.equal(fs.readFileSync(log, "utf8"),
      "-cubin -std=c++17 -gencode arch=compute_90a,code=sm_90a -o kernel.cubin kernel.cu\n");
    assert.equal(Buffer.from(await compilerOf({ PATH: "" }, folder).compileLater(text)).toString(), "made");
  });

  test("an nvcc that cannot run, says nothing, writes nothing or has no place to write is an error that names it", (t) => {
    const nvcc = (text: string, mode: number): string => {
      const bin = freshFolder();
      fs.writeFileSync(path.join(bin, "nvcc"), text, { mode });
      return bin;
    };
    const broken = (bin: string, reason: string, ...words: string[]): void => {
      assert.throws(() => compilerOf({ PATH: bin }, freshFolder()).compile(text), has(reason, ...words));
    };
    broken(nvcc("", 0o644), "no-nvrtc", "nvcc (", "EACCES", "pip install nvidia-cuda-nvrtc");
    broken(nvcc("#!/bin/sh\nexit 3\n", 0o755), "compile", "nvcc ended with 3 and said nothing");
    broken(nvcc("#!/bin/sh\nkill -9 $$\n", 0o755), "compile", "nvcc ended with SIGKILL and said nothing");
    broken(nvcc("#!/bin/sh\nexit 0\n", 0o755), "no-nvrtc", "cannot be used: ENOENT");
    const { TMPDIR } = process.env;
    t.after(() => { if (TMPDIR === undefined) delete process.env["TMPDIR"]; else process.env["TMPDIR"] = TMPDIR; });
    process.env["TMPDIR"] = path.join(FOLDER, "nowhere");
    broken(nvcc("#!/bin/sh\nprintf made > kernel.cubin\n", 0o755), "no-nvrtc", "cannot be used: ENOENT", "mkdtemp");
  });

  test("a refused kernel is an error that begins with the compiler's first one", () => {
    const bin = freshFolder();
    fs.writeFileSync(path.join(bin, "nvcc"), "#!/bin/sh\necho 'note: x' >&2\necho 'k.cu(3): error: no such thing' >&2\nexit 1\n",
      { mode: 0o755 });
    assert.throws(() => compilerOf({ PATH: bin }, freshFolder()).compile(text),
      has("compile", "the kernel made-up does not compile:\nk.cu(3): error: no such thing"));
  });

  test("a library that is no NVRTC is said to be none, with its path", () => {
    const file = path.join(freshFolder(), "libnvrtc.so.13");
    fs.writeFileSync(file, "not a library");
    assert.throws(() => compilerOf({ DMN_NVRTC: file }, freshFolder()).compile(text),
      has("no-nvrtc", file, "pip install nvidia-cuda-nvrtc"));
    // One that opens and has none of the functions.
    assert.throws(() => compilerOf({ DMN_NVRTC: "libc.so.6" }, freshFolder()).compile(text),
      has("no-nvrtc", "libc.so.6", "nvrtcVersion"));
  });
});
