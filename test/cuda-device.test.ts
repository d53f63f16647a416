/**
 * Launch lists from end to end, on the GPU emulator (test/emulator) and on the GPU where there is one: what was written is
 * read, graphs replay, maps tile, clusters meet, the host is told, and a kernel that stops itself is noticed.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import { openCuda, type Cuda, type CudaOptions } from "../src/runtime/cuda/driver/device.ts";
import { CudaError } from "../src/runtime/cuda/driver/error.ts";
import type { Placed } from "../src/runtime/cuda/driver/memory.ts";
import { spinUntil } from "../src/runtime/cuda/driver/wait.ts";
import type { Argument, BufferSpec, KernelSource, Launch, LaunchList } from "../src/runtime/cuda/launch.ts";
import { emulatedCuda } from "./emulator/build.ts";
import { has } from "./cuda-faults.ts";

const source: KernelSource = { name: "device-test", defines: { STEP: 2 }, text: `#include "ptx.cuh"
struct Add { float* x; u32 count; float by; };
KERNEL(64, add, Add) {
  u32 i = blockIdx.x * 64 + threadIdx.x;
  if (i < a.count) a.x[i] = a.x[i] * STEP + a.by;
}
struct Tell { u32* done; const float* x; float* y; };
KERNEL(32, tell, Tell) {
  a.y[threadIdx.x] = a.x[threadIdx.x] + 1.f;
  __syncthreads();
  if (threadIdx.x == 0) add_release_system(a.done, 1);
}
struct Tile { u32 row; TensorMap map; float* out; };
KERNEL(32, tile, Tile) {
  u32 base = shared_base(), arrived = base + 1024;
  if (threadIdx.x == 0) { barrier_init(arrived, 1); barrier_init_fence(); }
  __syncthreads();
  if (threadIdx.x == 0) { barrier_expect(arrived, 1024); tile_load(base, map_of(a.map), 4, (i32)a.row, arrived); }
  barrier_wait(arrived, 0);
  for (u32 i = threadIdx.x; i < 256; i += 32) a.out[i] = ((float*)shared_pointer())[i];
}
struct Meet { u32* count; u32* out; };
KERNEL(32, meet, Meet) {
  cluster_sync();
  if (threadIdx.x == 0) {
    add_release(a.count, 1);
    for (u32 n = 0; load_acquire(a.count) % gridDim.x != 0; n++) if (n > (1u << 20)) trap();
    a.out[blockIdx.x] = cluster_rank();
  }
  cluster_sync();
}
struct Stop { u32* unused; };
KERNEL(32, stop, Stop) { if (threadIdx.x == 0) trap(); }
` };

const at = (buffer: string, offset = 0): Argument => ({ kind: "address", buffer, offset });
const u32 = (value: number): Argument => ({ kind: "u32", value });
const launch = (kernel: string, blocks: number, block: number, fields: readonly Argument[], more: Partial<Launch> = {}): Launch =>
  ({ source, kernel, grid: [blocks, 1, 1], block, sharedBytes: 0, arguments: fields, ...more });
const floats = (bytes: Uint8Array): number[] => [...new Float32Array(bytes.buffer)];
const bytesOf = (view: ArrayBufferView): Uint8Array => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

const x: BufferSpec = { name: "x", bytes: 400, role: "state", fill: 0 };
/** x <- (x * 2 + 1) * 2 + 3, of 100 floats. */
const twice: LaunchList = { name: "twice", buffers: [x], launches: [
  launch("add", 2, 64, [at("x"), u32(100), { kind: "f32", value: 1 }]),
  launch("add", 2, 64, [at("x"), u32(100), { kind: "f32", value: 3 }], { isDependent: false })] };

function checkDevice(where: string, options: CudaOptions, skip: string | false): void {
  describe(`launch lists on ${where}`, { skip }, () => {
    let opened: Cuda | undefined;
    const cuda = (): Cuda => (opened ??= openCuda({ ...options, cacheFolder: null }));
    after(() => { opened?.close(); });

    test("from what was written, by hand and by graph, in two streams: 5, 25, 105", () => {
      using bound = cuda().bind(twice);
      using first = cuda().stream();
      using second = cuda().stream(-1);
      bound.launch(first);
      assert.deepEqual(new Set(floats(bound.read("x"))), new Set([5]));
      using graph = bound.capture(first);
      assert.equal(graph.nodes, 2);
      graph.launch(second);
      assert.deepEqual(new Set(floats(bound.read("x"))), new Set([25]));
      bound.write("x", bytesOf(Float32Array.of(100)), 8);
      graph.launch(first);
      assert.deepEqual(floats(bound.read("x")).slice(0, 4), [105, 105, 405, 105]);
      bound.refill();
      assert.deepEqual(new Set(floats(bound.read("x"))), new Set([0]));
    });

    test("two lists share memory that they are given, and neither fills it: 5, then 25", () => {
      using memory = cuda().allocate(400);
      using one = cuda().bind({ ...twice, name: "first" }, { x: memory });
      using other = cuda().bind({ ...twice, name: "second" }, { x: one.place("x") });
      using stream = cuda().stream();
      one.write("x", new Uint8Array(400));
      for (const bound of [one, other]) bound.launch(stream);
      stream.synchronize();
      assert.deepEqual([one.arenaBytes, new Set(floats(other.read("x")))], [0, new Set([25])]);
    });

    test("inputs and answers in mapped memory, and a word that is counted up: 1 for who spins, then 2", () => {
      using mapped = cuda().allocateMapped(1024);
      const words = new Int32Array(mapped.view, 0, 1), given = new Float32Array(mapped.view, 256, 32);
      const answers = new Float32Array(mapped.view, 512, 32);
      const part = (offset: number, bytes: number): Placed => ({ address: mapped.address + BigInt(offset), bytes });
      given.forEach((_, k) => { given[k] = k; });
      const buffers = [["done", 4], ["x", 128], ["y", 128]].map(([name, bytes]): BufferSpec =>
        ({ name: String(name), bytes: Number(bytes), role: "state" }));
      using bound = cuda().bind({ name: "told", buffers, launches: [launch("tell", 1, 32, [at("done"), at("x"), at("y")])] },
        { done: part(0, 4), x: part(256, 128), y: part(512, 128) });
      using stream = cuda().stream();
      using graph = bound.capture(stream);
      graph.launch(stream);
      assert.equal(spinUntil(() => Atomics.load(words, 0) >= 1, stream), null);
      assert.deepEqual([...answers], [...given].map((value) => value + 1));
      graph.launch(stream);
      stream.synchronize();
      assert.equal(words[0], 2);
    });

    test("a tensor map gives the box at column 4, row 3: 32 columns of 8 rows of 96 columns", () => {
      const buffers: BufferSpec[] = [{ name: "m", bytes: 4 * 96 * 40, role: "weight" },
        { name: "out", bytes: 1024, role: "output" }];
      using bound = cuda().bind({ name: "tiled", buffers, launches: [launch("tile", 1, 32, [u32(3), { kind: "tensorMap",
        map: { buffer: "m", element: "f32", sizes: [96, 40], strides: [384], box: [32, 8], swizzle: 0 } }, at("out")],
      { sharedBytes: 2048 })] }, {}, { poison: 0xff });
      bound.write("m", bytesOf(Float32Array.from({ length: 96 * 40 }, (_, k) => k)));
      using stream = cuda().stream();
      bound.launch(stream);
      assert.deepEqual(floats(bound.read("out")), Array.from({ length: 256 }, (_, k) => (3 + (k >> 5)) * 96 + 4 + k % 32));
    });

    test("blocks of clusters of 4 that must all be there meet, and know their rank: 0, 1, 2, 3, 0, ...", (context) => {
      if (cuda().facts.activeClusters[4] === undefined) { context.skip("needs a GPU with clusters"); return; }
      const buffers: BufferSpec[] = [{ name: "count", bytes: 4, role: "state", fill: 0 },
        { name: "out", bytes: 32, role: "output", fill: 9 }];
      using bound = cuda().bind({ name: "met", buffers, launches: [launch("meet", 8, 32, [at("count"), at("out")],
        { cluster: 4, isCooperative: true })] });
      using stream = cuda().stream();
      using graph = bound.capture(stream);
      for (let k = 0; k < 3; k++) graph.launch(stream);
      assert.deepEqual([...new Uint32Array(bound.read("out").buffer)], [0, 1, 2, 3, 0, 1, 2, 3]);
      assert.equal(new Uint32Array(bound.read("count").buffer)[0], 24);
    });

    test("kernels are compiled ahead without blocking; one that is refused says where, and opens nothing", async () => {
      let turns = 0;
      const counting = setInterval(() => { turns++; }, 1);
      const other = { ...source, defines: { STEP: 3 } };
      await cuda().prepare({ ...twice, launches: twice.launches.map((one) => ({ ...one, source: other })) });
      clearInterval(counting);
      assert.ok(turns > 0);
      const bad = { ...source, name: "refused", text: "KERNEL nothing\n" };
      const refused = { ...twice, launches: [{ ...twice.launches[0], source: bad }] };
      await assert.rejects(cuda().prepare(refused), has("compile", "refused"));
      assert.throws(() => cuda().bind(refused), has("compile", "refused"));
      assert.throws(() => cuda().bind({ ...twice, launches: [launch("absent", 1, 32, [])] }),
        (error) => error instanceof CudaError && error.message.includes("absent"));
    });

    test("a kernel that stops itself is a fault, code 719, for who waits and for all who come after", () => {
      const folder = path.join(import.meta.dirname, "..", "src", "runtime", "cuda", "driver");
      const list: LaunchList = { name: "stopped", buffers: [x], launches: [launch("stop", 1, 32, [at("x")])] };
      // In a process of its own: after a fault it has lost the GPU.
      const script = `const { openCuda } = await import(${JSON.stringify(path.join(folder, "device.ts"))});
        const { spinUntil } = await import(${JSON.stringify(path.join(folder, "wait.ts"))});
        const cuda = openCuda({ ...${JSON.stringify(options)}, cacheFolder: null }), stream = cuda.stream();
        const bound = cuda.bind(${JSON.stringify(list)}), said = [];
        try { bound.launch(stream); } catch (error) { said.push(error.code); }
        const error = spinUntil(() => false, stream);
        said.push(error.reason, error.code, error.isSticky);
        try { cuda.allocate(64); } catch (later) { said.push(later.reason); }
        bound.close(); stream.close(); cuda.close();
        process.stdout.write(said.join(" "));`;
      const run = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8", timeout: 30_000 });
      assert.deepEqual([run.stdout, run.status], ["fault 719 true fault", 0], run.stderr);
    });
  });
}

const emulated = emulatedCuda();
checkDevice("the emulator", typeof emulated === "string" ? {} : { libraries: emulated },
  typeof emulated === "string" ? emulated : false);

/** Why there is no GPU to run on, in the driver's own words; false: there is one. */
function whyNoGpu(): string | false {
  try { openCuda({ cacheFolder: null }).close(); return false; } catch (error) {
    if (error instanceof CudaError) return error.message;
    throw error;
  }
}
checkDevice("the GPU", {}, whyNoGpu());
