/**
 * What lies between us and a GPU's driver, against a stub written in C: how structures look from there, what is asked in
 * which order, what is given back, and what is said when something is missing or breaks.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import * as v8 from "node:v8";
import * as vm from "node:vm";
import { describeCuda } from "../src/runtime/cuda/driver/describe.ts";
import { openCuda, type Cuda } from "../src/runtime/cuda/driver/device.ts";
import { DRIVER } from "../src/runtime/cuda/driver/driver.ts";
import { CudaError, errorOf } from "../src/runtime/cuda/driver/error.ts";
import { openLibrary, textAt } from "../src/runtime/cuda/driver/ffi.ts";
import type { Stream } from "../src/runtime/cuda/driver/stream.ts";
import { spinUntil } from "../src/runtime/cuda/driver/wait.ts";
import type { BufferSpec, KernelSource, Launch, LaunchList } from "../src/runtime/cuda/launch.ts";
import { has } from "./cuda-faults.ts";

const FOLDER = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-cuda-"));
after(() => { fs.rmSync(FOLDER, { recursive: true }); });
const source: KernelSource = { name: "made-up", text: "kernel", defines: {} };

/** Whether a word has reached a count, modulo 2^32. */
const reached = (words: Int32Array, index: number, target: number) => (): boolean =>
  ((Atomics.load(words, index) - target) | 0) >= 0;

describe("errors", () => {
  test("codes of the driver, their reasons, and which cost the process its GPU", () => {
    const reasons = Object.fromEntries([2, 36, 100, 101, 222, 700, 715, 716, 719, 214, 720, 1, 999].map((code) => {
      const { reason, isSticky } = errorOf(code, "NAME", "text", "doing this");
      return [code, `${reason}${isSticky ? " sticky" : ""}`];
    }));
    assert.deepEqual(reasons, { 2: "out-of-memory", 36: "old-driver", 100: "no-device", 101: "no-device", 222: "old-driver",
      700: "fault sticky", 715: "fault sticky", 716: "fault sticky", 719: "fault sticky", 214: "fault sticky", 720: "too-large",
      1: "failed", 999: "failed" });
  });

  test("each is one sentence that says what was being done", () => {
    assert.equal(errorOf(719, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure", "running kernels").message,
      "the GPU stopped at a kernel that stopped itself (a wait that never ended), or a hardware fault "
      + "(CUDA_ERROR_LAUNCH_FAILED, 719) while running kernels");
    assert.equal(errorOf(1, "CUDA_ERROR_INVALID_VALUE", "invalid argument", "filling x").message,
      "the GPU's driver refused: CUDA_ERROR_INVALID_VALUE (1): invalid argument while filling x");
  });

  test("no library at that place: no driver, and where to get one", () => {
    assert.throws(() => openCuda({ libraries: { cuda: "/nowhere/libcuda.so.1" } }),
      has("no-driver", "there is no NVIDIA driver on this machine (/nowhere/libcuda.so.1)", "nvidia-driver"));
  });
});

const hasCompiler = spawnSync("cc", ["--version"]).status === 0;
const NO_COMPILER = "needs a C compiler (cc) for a stub of the driver";

/** The stub of fixtures/cuda-stub.c, completed from the table of functions; as a driver and as a library of its own. */
function buildStub(): string {
  const text = fs.readFileSync(path.join(import.meta.dirname, "fixtures", "cuda-stub.c"), "utf8");
  const rest = Object.keys(DRIVER).filter((name) => !text.includes(`int ${name}(`));
  const file = path.join(FOLDER, "libcuda.so");
  const made = rest.map((name) => `int ${name}(void) { return stub_code("${name}"); }`);
  fs.writeFileSync(`${file}.c`, [text, ...made, ""].join("\n"));
  const { status, stderr } = spawnSync("cc", ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-o", file, `${file}.c`],
    { encoding: "utf8" });
  assert.equal(`${status}${stderr}`, "0");
  return file;
}

/** What the stub is told and asked besides CUDA. */
const STUB = {
  // Zeroes all counts; forgets what was noted.
  stub_start: [], stub_forget: [],
  // Where the notes are, a C string.
  stub_said_at: ["out u64"],
  // Objects that were made and not given back.
  stub_live: [],
  // The function that fails from now on, and its code.
  stub_fail: ["text", "i32"],
  // Driver version, GPUs, compute capability, clusters that run at once.
  stub_set: ["i32", "i32", "i32", "i32"],
  stub_sizes: [],
} as const;

describe("from TypeScript to C", { skip: hasCompiler ? false : NO_COMPILER }, () => {
  const file = hasCompiler ? buildStub() : "";
  const stub = hasCompiler ? openLibrary(file).functions(STUB) : null as never;
  // A C compiler is all that is there: nvcc is a script that makes something.
  const bin = path.join(FOLDER, "bin");
  fs.mkdirSync(bin);
  fs.writeFileSync(path.join(bin, "nvcc"), "#!/bin/sh\nprintf made > kernel.cubin\n", { mode: 0o755 });

  const pointer = new BigUint64Array(1);
  /** What the stub was asked since the last time. */
  const said = (): string => {
    stub.stub_said_at(pointer);
    const text = textAt(pointer[0]);
    stub.stub_forget();
    return text;
  };
  const withStub = (act: (cuda: Cuda) => void, device = 0): void => {
    const { PATH, DMN_NVRTC } = process.env;
    Object.assign(process.env, { PATH: bin, DMN_NVRTC: "off" });
    stub.stub_set(13_000, 2, 90, 7);
    stub.stub_start();
    try {
      const cuda = openCuda({ device, libraries: { cuda: file }, cacheFolder: path.join(FOLDER, "kept") });
      stub.stub_forget();
      try { act(cuda); } finally { stub.stub_fail("", 0); cuda.close(); }
    } finally {
      process.env["PATH"] = PATH;
      if (DMN_NVRTC === undefined) delete process.env["DMN_NVRTC"];
      else process.env["DMN_NVRTC"] = DMN_NVRTC;
    }
    assert.equal(stub.stub_live(), 0, "something was not given back");
  };
  /** A stream as the stub notes it. */
  const idOf = ({ handle }: Stream): number => Number(handle % 65_536n);
  const buffers: BufferSpec[] = [{ name: "x", bytes: 4096 * 64, role: "state", fill: 3 },
    { name: "y", bytes: 512, role: "scratch" }];
  const launch: Launch = { source, kernel: "k", grid: [32, 1, 1], block: 256, sharedBytes: 100_000, cluster: 16,
    isCooperative: true, arguments: [{ kind: "u32", value: 4_000_000_000 }, { kind: "address", buffer: "y", offset: 8 },
      { kind: "i32", value: -7 },
      { kind: "tensorMap", map: { buffer: "x", offset: 256, element: "bf16", sizes: [64, 100], strides: [128],
        box: [32, 8], swizzle: 64 } },
      { kind: "f32", value: 0.5 }, { kind: "address", buffer: "x" }] };
  const plain: Launch = { source, kernel: "k", grid: [3, 2, 1], block: 64, sharedBytes: 0, isDependent: true, arguments: [] };
  const list: LaunchList = { name: "both", buffers, launches: [launch, plain] };

  test("C's structures have the sizes that are written: arguments 256, configuration 56, attribute 72", () => {
    assert.equal(stub.stub_sizes(), 256_056_072);
  });

  test("a launch as C reads it: grid, cluster 16, cooperative, every kind of argument; a plain dependent one", () => {
    withStub((cuda) => {
      const bound = cuda.bind(list), stream = cuda.stream();
      // Filled, and waited for: a run in another stream would not see it otherwise.
      assert.match(said(), new RegExp("^attribute 8 100000\nattribute 14 1\n"
        + "map aligned 0 element 9 rank 2 offset 256 sizes 64,100 stride 128 box 32,8 steps 1,1 0 2 3 0\n"
        + "fill 3 262144\nwait \\d+\n$"));
      bound.launch(stream);
      assert.equal(said(), `launch 32,1,1 x 256,1,1 shared 100000 stream ${idOf(stream)} extra 0\n  attribute 4: 16,1,1\n`
        + "  attribute 2: 1,0,0\n  a 4000000000 b 8 c -7 map 5a..5a d 0.5 e 0\n"
        + `launch 3,2,1 x 64,1,1 shared 0 stream ${idOf(stream)} extra 0\n  attribute 6: 1,0,0\n`);
      stream.close();
    });
  });

  test("memory is given on only after every stream that a list ran in: closing waits for both, ending a stream for it", () => {
    withStub((cuda) => {
      const first = cuda.stream(), second = cuda.stream(), flat: LaunchList = { ...list, launches: [plain] };
      const bound = cuda.bind(flat), graph = bound.capture(first);
      said();
      bound.launch(second);
      graph.launch(first);
      bound.launch(first);
      assert.deepEqual([...said().matchAll(/stream (\d+)/g)].map(([, id]) => Number(id)), [idOf(second), idOf(first)]);
      bound.close();
      const waits = [...said().matchAll(/wait (\d+)/g)].map(([, id]) => Number(id));
      assert.ok(waits.includes(idOf(first)) && waits.includes(idOf(second)), String(waits));
      first.close();
      assert.equal(said(), `wait ${idOf(first)}\nstream ended\n`);
      second.close();
    });
  });

  test("of 70 kernels that nobody uses any more 64 stay loaded, the last ones; one in use stays in any case", () => {
    withStub((cuda) => {
      const flat = (name: string): LaunchList =>
        ({ name, buffers: [], launches: [{ ...plain, source: { name, text: name, defines: {} } }] });
      using used = cuda.bind(flat("used"));
      const before = stub.stub_live();
      for (let k = 0; k < 70; k++) cuda.bind(flat(`k${k}`)).close();
      assert.equal(stub.stub_live() - before, 64);
      cuda.bind(flat("k6")).close();
      assert.equal(stub.stub_live() - before, 64);
      cuda.bind(flat("k70")).close();
      // k6 was used since, so that k7 went: to have k6 again loads nothing.
      const kept = stub.stub_live();
      using again = cuda.bind(flat("k6"));
      assert.deepEqual([stub.stub_live() - kept, again.list.name, used.list.name], [0, "k6", "used"]);
    });
  });

  test("capture is of the thread (mode 1), and what a bound list and its graphs took is given back with it", () => {
    withStub((cuda) => {
      const stream = cuda.stream(), before = stub.stub_live(), bound = cuda.bind(list);
      bound.capture(stream);
      assert.match(said(), /capture 1\nlaunch 32[^]*captured\n$/);
      const graph = bound.capture(stream);
      bound.close();
      // The module and the arena stay for whoever comes next.
      assert.equal(stub.stub_live(), before + 2);
      assert.throws(() => { graph.launch(stream); }, /both is closed/);
      assert.throws(() => { bound.launch(stream); }, /both is closed/);
      stream.close();
    });
  });

  test("1,000 bindings after each other take no memory: 1 miss and 999 hits of the pool, one module", () => {
    withStub((cuda) => {
      using stream = cuda.stream();
      for (let k = 0; k < 1_000; k++) { using bound = cuda.bind(list); bound.capture(stream); }
      const { hits, misses, allocatedBytes } = cuda.pool.statistics();
      assert.deepEqual([hits, misses, allocatedBytes], [999, 1, 0]);
    });
  });

  for (const [where, code] of [["cuMemAlloc_v2", 2], ["cuModuleLoadData", 218], ["cuModuleGetFunction", 500],
    ["cuMemsetD8Async", 719], ["cuTensorMapEncodeTiled", 1]] as const) {
    test(`when ${where} answers ${code}, binding throws and keeps nothing`, () => {
      withStub((cuda) => {
        const live = stub.stub_live();
        stub.stub_fail(where, code);
        assert.throws(() => cuda.bind(list), (error) => error instanceof CudaError && error.code === code);
        const kept = stub.stub_live() - live;
        assert.ok(kept <= 2, `${kept} things were kept`);
        assert.equal(cuda.pool.statistics().allocatedBytes, 0);
      });
    });
  }

  test("when a launch or the graph's making fails, the capture is ended all the same and its graph destroyed", () => {
    for (const where of ["cuLaunchKernelEx", "cuGraphInstantiateWithFlags"]) {
      withStub((cuda) => {
        using stream = cuda.stream();
        using bound = cuda.bind(list);
        const live = stub.stub_live();
        stub.stub_fail(where, 1);
        assert.throws(() => bound.capture(stream), has("failed"));
        assert.ok(said().endsWith("captured\n"));
        assert.equal(stub.stub_live(), live);
      });
    }
  });

  test("blocks that cannot run at once are refused before they would wait for ever: 32 of clusters of 16, 1 runs", () => {
    withStub((cuda) => {
      stub.stub_set(13_000, 1, 90, 1);
      assert.throws(() => cuda.bind(list), has("too-large", "k needs 32 blocks at once in clusters of 16", "this GPU runs 16"));
      const flat: LaunchList = { name: "flat", buffers: [], launches: [{ ...plain, grid: [101, 1, 1], isCooperative: true }] };
      assert.throws(() => cuda.bind(flat), has("too-large", "needs 101 blocks at once", "this GPU runs 100"));
    });
  });

  test("our own mistakes are assertions: half a cluster, an offset or a map beyond its buffer, a gift too small", () => {
    withStub((cuda) => {
      const bind = (one: Partial<Launch>): void => { cuda.bind({ name: "bad", buffers, launches: [{ ...launch, ...one }] }); };
      assert.throws(() => { bind({ grid: [24, 1, 1] }); }, /24 blocks are not whole clusters of 16/);
      assert.throws(() => { bind({ arguments: [{ kind: "address", buffer: "y", offset: 513 }] }); }, /513 bytes into y/);
      assert.throws(() => { bind({ arguments: [{ kind: "tensorMap", map: { buffer: "y", element: "f32", sizes: [32, 5],
        strides: [128], box: [32, 1], swizzle: 0 } }] }); }, /tensor map of y leaves it/);
      assert.throws(() => { bind({ arguments: [{ kind: "address", buffer: "z" }] }); }, /no buffer z/);
      assert.throws(() => cuda.bind(list, { y: { address: 1n, bytes: 511 } }), /y of both needs 512 bytes and was given 511/);
    });
  });

  test("poison fills what has no fill, for tests: 127 over y's 512 bytes, 3 over x's 262,144", () => {
    withStub((cuda) => {
      using bound = cuda.bind(list, {}, { poison: 127 });
      assert.equal(bound.arenaBytes, 262_144 + 512);
      assert.match(said(), /fill 3 262144\nfill 127 512\nwait \d+\n$/);
    });
  });

  test("mapped memory is zeroed and seen by us; closed, its view is empty and nothing of it can be read", () => {
    withStub((cuda) => {
      const mapped = cuda.allocateMapped(64), floats = new Float32Array(mapped.view);
      assert.deepEqual([...floats], Array.from({ length: 16 }, () => 0));
      mapped.close();
      assert.deepEqual([mapped.view.byteLength, floats.length, floats[0]], [0, 0, undefined]);
    });
  });

  test("mapped memory that the GPU cannot see is unpinned again, and a graph that was closed is not launched", () => {
    withStub((cuda) => {
      using stream = cuda.stream();
      using bound = cuda.bind(list);
      const graph = bound.capture(stream), live = stub.stub_live();
      stub.stub_fail("cuMemHostGetDevicePointer_v2", 1);
      assert.throws(() => cuda.allocateMapped(64), has("failed", "pinning 64 B"));
      assert.equal(stub.stub_live(), live);
      graph.close();
      assert.throws(() => { graph.launch(stream); }, /the graph of both is closed/);
    });
  });

  test("an old driver, no GPU, too few, too old a GPU: each says what is there and what is the least", () => {
    stub.stub_start();
    const open = (version: number, gpus: number, capability: number, device = 0): void => {
      stub.stub_set(version, gpus, capability, 1);
      openCuda({ device, libraries: { cuda: file }, cacheFolder: null }).close();
    };
    assert.throws(() => { open(11_040, 1, 90); }, has("old-driver", "CUDA 11.4", "12.0 is the least"));
    assert.throws(() => { open(13_000, 0, 90); }, has("no-device", "sees no GPU", "CUDA_VISIBLE_DEVICES"));
    for (const device of [2, -1, 0.5, NaN]) {
      assert.throws(() => { open(13_000, 2, 90, device); }, has("no-device", `no GPU ${device}: this machine has 2`));
    }
    assert.throws(() => { open(13_000, 1, 75); }, has("no-device", "Stub 0 has compute capability 7.5, 8.0 is the least"));
    assert.equal(stub.stub_live(), 0);
  });

  test("too much memory: what was asked for, and what is free of how much", () => {
    withStub((cuda) => {
      stub.stub_fail("cuMemAlloc_v2", 2);
      assert.throws(() => cuda.allocate(5e9), has("out-of-memory", "asked for 5 GB, and 3 GB of 80 GB are free"));
      assert.throws(() => cuda.allocate(1), CudaError);
      stub.stub_fail("cuMemHostAlloc", 2);
      assert.throws(() => cuda.allocateMapped(5e9), has("out-of-memory", "this machine", "can be pinned", "asked for 5 GB"));
    });
  });

  test("machine code that the driver does not understand: a newer compiler made it, and what to do", () => {
    withStub((cuda) => {
      stub.stub_fail("cuModuleLoadData", 200);
      assert.throws(() => cuda.bind(list), has("old-driver", "CUDA 13.0", "does not understand made-up", "DMN_NVRTC"));
    });
  });

  test("a library without our functions is no driver", () => {
    const empty = path.join(FOLDER, "empty.so");
    fs.writeFileSync(`${empty}.c`, "int nothing;");
    assert.equal(spawnSync("cc", ["-shared", "-fPIC", "-o", empty, `${empty}.c`]).status, 0);
    assert.throws(() => openCuda({ libraries: { cuda: empty } }), has("no-driver", empty));
  });

  test("waiting: a word that has come, one that wrapped past 2^31, a fault, a GPU that is merely slow", () => {
    withStub((cuda) => {
      using stream = cuda.stream();
      const words = Int32Array.of(5, -2_147_483_647);
      assert.equal(spinUntil(reached(words, 0, 5), stream), null);
      assert.equal(spinUntil(reached(words, 1, 2_147_483_647), stream), null);
      stub.stub_fail("cuStreamQuery", 600);
      assert.equal(spinUntil(reached(words, 0, 6), stream, { timeoutMs: 10 })?.reason, "timeout");
      stub.stub_fail("cuStreamQuery", 700);
      assert.deepEqual([spinUntil(reached(words, 0, 6), stream)?.code, stream.fault()?.isSticky], [700, true]);
    });
  });

  test("200,000 launches and waits leave nothing behind: under 64 KiB of heap, no driver object, no pool miss", () => {
    v8.setFlagsFromString("--expose-gc");
    const gc = vm.runInNewContext("gc") as () => void;
    withStub((cuda) => {
      using stream = cuda.stream();
      using bound = cuda.bind(list);
      const graph = bound.capture(stream), isThere = reached(Int32Array.of(0), 0, 0);
      const run = (count: number): void => {
        for (let k = 0; k < count; k++) { graph.launch(stream); bound.launch(stream); spinUntil(isThere, stream); }
      };
      run(10_000);
      gc();
      const before = process.memoryUsage().heapUsed, live = stub.stub_live(), { misses } = cuda.pool.statistics();
      run(200_000);
      gc();
      const grown = process.memoryUsage().heapUsed - before;
      assert.ok(grown < 65_536, `${grown} bytes`);
      assert.deepEqual([stub.stub_live(), cuda.pool.statistics().misses], [live, misses]);
    });
  });

  test("what a machine has is described without opening a GPU: two GPUs, a compiler, kernels that are kept", () => {
    stub.stub_set(13_000, 2, 90, 1);
    stub.stub_start();
    const found = describeCuda({ PATH: bin, DMN_NVRTC: "off", DMN_CUBIN_CACHE: path.join(FOLDER, "kept") },
      { cuda: file, nvml: "/nowhere" });
    assert.equal(stub.stub_live(), 0);
    assert.deepEqual(found.driver, { cudaVersion: "13.0", version: null, file });
    assert.deepEqual(found.gpus.map(({ ordinal, name, capability, busId }) => [ordinal, name, capability, busId]),
      [[0, "Stub 0", 90, "0000:00:00.0"], [1, "Stub 1", 90, "0000:01:00.0"]]);
    assert.deepEqual([found.compiler?.name, found.missing, (found.cache?.kernels ?? 0) > 0], ["nvcc", null, true]);
    const without = describeCuda({ PATH: "", DMN_NVRTC: "off" }, { cuda: file, nvml: "/nowhere" });
    assert.equal(without.missing?.reason, "no-nvrtc");
    stub.stub_set(13_000, 0, 90, 1);
    const none = describeCuda({ PATH: bin, DMN_NVRTC: "off" }, { cuda: file, nvml: "/nowhere" });
    assert.equal(none.missing?.what, "the NVIDIA driver sees no GPU");
  });
});

test("without a driver the description says so and never throws", () => {
  const { driver, gpus, missing } = describeCuda({ PATH: "" }, { cuda: "/nowhere/libcuda.so" });
  assert.deepEqual([driver, gpus, missing?.reason], [null, [], "no-driver"]);
});
