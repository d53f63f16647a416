/**
 * The emulated GPU that other tests run kernels on (test/emulator): instructions do what NVIDIA's documents say, and
 * what would hang, race or break on a GPU is reported.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import { openCuda, type Cuda } from "../src/runtime/cuda/driver/device.ts";
import { CudaError } from "../src/runtime/cuda/driver/error.ts";
import type { Argument, BufferSpec, Launch, TensorMapSpec } from "../src/runtime/cuda/launch.ts";
import { emulatedCuda } from "./emulator/build.ts";
import { openEmulated, runLaunches } from "./emulator/run.ts";

const KERNELS = path.join(import.meta.dirname, "..", "src", "runtime", "cuda", "kernels");
const emulated = emulatedCuda();
const skip = typeof emulated === "string" ? emulated : false;
// Tests of faults come after one another in this process; on a GPU each would need one of its own.
process.env["EMULATOR_MENDS"] = "yes";

let opened: Cuda | null = null;
/** One GPU for all tests that do not break it. */
const gpu = (): Cuda => opened ??= openEmulated();

/** Numbers between -1 and 1 by formula, that float16 and bfloat16 hold: multiples of 1/64. */
const waves = (count: number, seed: number): Float32Array =>
  Float32Array.from({ length: count }, (_, k) => Math.round(64 * Math.sin(1.7 * k + seed)) / 64);
const halves = (values: Float32Array): Float16Array => Float16Array.from(values);
const bfloats = (values: Float32Array): Uint16Array =>
  Uint16Array.from(new Uint32Array(values.slice().buffer), (bits) => bits >>> 16);
const floats = (bytes: Uint8Array | undefined): Float32Array => new Float32Array((bytes as Uint8Array).slice().buffer);
const words = (bytes: Uint8Array | undefined): Uint32Array => new Uint32Array((bytes as Uint8Array).slice().buffer);

/** (M, N) = a (M, K) b, b (K, N) or (N, K), in float64. */
function product(a: Float32Array, b: Float32Array, M: number, N: number, K: number, isTransposed: boolean): Float64Array {
  return Float64Array.from({ length: M * N }, (_, at) => {
    const row = Math.floor(at / N), column = at % N;
    let sum = 0;
    for (let k = 0; k < K; k++) sum += a[row * K + k] * b[isTransposed ? column * K + k : k * N + column];
    return sum;
  });
}

const at = (buffer: string): Argument => ({ kind: "address", buffer });
const u32 = (value: number): Argument => ({ kind: "u32", value });
const inputs = (sizes: Readonly<Record<string, number>>): BufferSpec[] =>
  Object.entries(sizes).map(([name, bytes]) => ({ name, bytes, role: "input" }));
const output = (name: string, bytes: number, fill?: number): BufferSpec => ({ name, bytes, role: "output", fill });
/** A launch of a kernel of these tests. */
function launch(text: string, fields: readonly Argument[], shape: Partial<Launch> = {}): Launch {
  return { source: { name: "test.cu", text: `#include "wgmma.cuh"\n${text}`, defines: {} }, kernel: "kernel",
    grid: [1, 1, 1], block: 32, sharedBytes: 0, arguments: fields, ...shape };
}

describe("the emulated GPU", { skip }, () => {
  after(() => { opened?.close(); opened = null; });

  test("has every function of ptx.cuh and wgmma.cuh", () => {
    const names = (file: string): string[] =>
      [...fs.readFileSync(file, "utf8").matchAll(/(?:^|> )DEVICE \w+ (\w+)\(|^(?:#define )?(KERNEL\w*|WGMMA)\((\w*)/gm)]
        .map(([, name, macro, first]) => name ?? (macro === "WGMMA" ? first : macro)).filter((name) => name !== "");
    for (const file of ["ptx.cuh", "wgmma.cuh"]) {
      const own = new Set(names(path.join(import.meta.dirname, "emulator", file)));
      assert.ok(own.size > 10);
      const missing = names(path.join(KERNELS, file)).filter((name) => name !== "name" && !own.has(name));
      assert.deepEqual(missing, [], `${file} has more`);
    }
  });

  test("runs 300 threads in 3 blocks: 2.5 x of each of 300 numbers, none beyond", () => {
    const scale = launch(`struct A { const float* x; float* y; u32 count; float factor; };
      KERNEL(128, kernel, A) {
        const u32 i = blockIdx.x * 128 + threadIdx.x;
        if (i < a.count) a.y[i] = a.factor * a.x[i];
      }`, [at("x"), at("y"), u32(300), { kind: "f32", value: 2.5 }], { grid: [3, 1, 1], block: 128 });
    const x = waves(300, 1), y = floats(runLaunches(gpu(),
      { buffers: [...inputs({ x: 1200 }), output("y", 1280)], launches: [scale] }, { x }).get("y"));
    assert.deepEqual(y.subarray(0, 300), x.map((v) => 2.5 * v));
    assert.ok([...new Uint8Array(y.buffer, 1200)].every((byte) => byte === 0x7f));
  });

  test("shuffles, votes and sums over a warp: 496, lane 31's neighbour, ballot of odd lanes", () => {
    const warp = launch(`struct A { u32* out; };
      KERNEL(32, kernel, A) {
        const u32 lane = lane_of();
        const float sum = warp_sum((float)lane), most = warp_max((float)lane);
        const u32 up = __shfl_up_sync(~0u, lane, 1), odd = __ballot_sync(~0u, lane & 1);
        if (lane == 31) { a.out[0] = sum; a.out[1] = most; a.out[2] = up; a.out[3] = odd; }
        // Half of a warp alone: 0 + 1 + ... + 15.
        u32 half = lane;
        if (lane < 16) for (int m = 8; m; m >>= 1) half += __shfl_xor_sync(0xffffu, half, m);
        if (lane == 3) a.out[4] = half;
      }`, [at("out")]);
    const found = runLaunches(gpu(), { buffers: [output("out", 20)], launches: [warp] }, {});
    assert.deepEqual([...words(found.get("out"))], [496, 31, 30, 0xaaaaaaaa, 120]);
  });

  const fragments = (type: string): Launch => launch(`struct A { const u8* a; const u8* b; float* out; };
    KERNEL(32, kernel, A) {
      const u32 base = shared_base(), lane = lane_of(), g = lane >> 2, q = 2 * (lane & 3);
      store_shared4(base + lane * 16, load_global4(a.a + lane * 16));
      if (lane < 16) store_shared4(base + 512 + lane * 16, load_global4(a.b + lane * 16));
      __syncwarp();
      // A row-major: tiles (0, 0), (8, 0), (0, 8), (8, 8). B (16, 8) row-major, read transposed.
      const uint4 x = load_matrix(base + (lane % 16) * 32 + lane / 16 * 16);
      const uint4 y = load_matrix_transposed(base + 512 + (lane % 16) * 16);
      const u32 A[4] = { x.x, x.y, x.z, x.w };
      float d[4] = { 1, 1, 1, 1 };
      mma_${type}(d, A, y.x, y.y);
      for (int k = 0; k < 4; k++) a.out[(g + 8 * (k >> 1)) * 8 + q + (k & 1)] = d[k];
    }`, [at("a"), at("b"), at("out")], { sharedBytes: 768 });
  for (const [type, encode] of [["half", halves], ["bfloat", bfloats]] as const) {
    test(`mma_${type} of fragments by load_matrix is the product of 16 x 16 and 16 x 8, plus 1`, () => {
      const a = waves(256, 1), b = waves(128, 2);
      const found = runLaunches(gpu(), { buffers: [...inputs({ a: 512, b: 256 }), output("out", 512)],
        launches: [fragments(type)] }, { a: encode(a), b: encode(b) });
      assert.deepEqual([...floats(found.get("out"))], [...product(a, b, 16, 8, 16, false)].map((v) => v + 1));
    });
  }

  const map = (buffer: string, rows: number): Argument => {
    const spec: TensorMapSpec = { buffer, element: "f16", sizes: [64, rows], strides: [128], box: [64, rows], swizzle: 128 };
    return { kind: "tensorMap", map: spec };
  };
  /** a (64, 64), b (24, 64) or, transposed, (64, 64): tiles by the copy engine, result 64 x 24 or 64 x 64. */
  const tiles = (N: number, rows: number, body: string): Launch => launch(`
    struct A { TensorMap a, b; const u8* plain; float* out; };
    KERNEL(128, kernel, A) {
      const u32 base = shared_base(), bar = base + 24576;
      if (threadIdx.x == 0) {
        barrier_init(bar, 1); barrier_init_fence();
        barrier_expect(bar, 8192 + ${rows} * 128 + 3072);
        tile_load(base, map_of(a.a), 0, 0, bar);
        tile_load(base + 8192, map_of(a.b), 0, 0, bar);
        bulk_load(base + 16384, a.plain, 3072, bar);
      }
      __syncthreads();
      barrier_wait(bar, 0);
      float d[${N / 2}];
      const u32 row = threadIdx.x / 32 * 16 + lane_of() / 4, column = 2 * (lane_of() & 3);
      wgmma_fence();
      for (u32 k = 0; k < 4; k++) { ${body} }
      wgmma_commit();
      wgmma_wait<0>();
      for (u32 i = 0; i < ${N / 2}; i++) a.out[(row + 8 * (i / 2 % 2)) * ${N} + i / 4 * 8 + column + i % 2] = d[i];
    }`, [map("a", 64), map("b", rows), at("plain"), at("out")], { block: 128, sharedBytes: 24592 });
  const products: readonly [what: string, N: number, rows: number, body: string][] = [
    ["both swizzled by the copy engine", 24, 24,
      "wgmma_half(d, tile_swizzled(base) + 2 * k, tile_swizzled(base + 8192) + 2 * k, k > 0);"],
    ["B in plain core matrices", 24, 24,
      "wgmma_half(d, tile_swizzled(base) + 2 * k, tile_plain(base + 16384, 128, 1024) + 16 * k, k > 0);"],
    ["A in registers", 24, 24, `u32 f[4]; for (u32 i = 0; i < 4; i++) {
        const u32 r = row + 8 * (i & 1), c = 32 * k + 2 * column + 16 * (i >> 1);
        f[i] = load_shared(base + r * 128 + (c ^ (r % 8 * 16))); }
      wgmma_half(d, f, tile_swizzled(base + 8192) + 2 * k, k > 0);`],
    ["B stored by rows of k", 64, 64,
      "wgmma_half<1>(d, tile_swizzled(base) + 2 * k, tile_swizzled(base + 8192 + 2048 * k), k > 0);"],
  ];
  for (const [what, N, rows, body] of products) {
    test(`wgmma, ${what}: the product of 64 x 64 and 64 x ${N}`, () => {
      const a = waves(4096, 1), b = waves(rows * 64, 2), isTransposed = rows === 24;
      // Core matrices of 8 columns x 8 values of k, one after the other along k.
      const plain = Float32Array.from({ length: 1536 }, (_, i) => b[(Math.floor(i / 512) * 8 + Math.floor(i / 8) % 8) * 64
        + Math.floor(i / 64) % 8 * 8 + i % 8]);
      const buffers = [...inputs({ a: 8192, b: rows * 128, plain: 3072 }), output("out", 256 * N)];
      const found = runLaunches(gpu(), { buffers, launches: [tiles(N, rows, body)] },
        { a: halves(a), b: halves(b), plain: halves(plain) });
      assert.deepEqual([...floats(found.get("out"))], [...product(a, b, 64, N, 64, isTransposed)]);
    });
  }

  test("a cluster of 4 gathers by messages and by a multicast copy: each block sums 0 + 16 + 32 + 48, and 7 x 4", () => {
    const gather = launch(`struct A { const u32* x; u32* out; };
      KERNEL(64, kernel, A) {
        const u32 base = shared_base(), rank = cluster_rank(), bar = base + 256;
        if (threadIdx.x == 0) { barrier_init(bar, 1); barrier_init_fence(); barrier_expect(bar, 4 * 16 + 16 + 4 * 4); }
        cluster_sync();
        if (threadIdx.x < 4) {
          send4(map_shared(base + rank * 16, threadIdx.x), make_uint4(16 * rank, 0, 0, 0), map_shared(bar, threadIdx.x));
          send1(map_shared(base + 128 + rank * 4, threadIdx.x), 1, map_shared(bar, threadIdx.x));
        }
        if (rank == 2 && threadIdx.x == 0) bulk_load_multicast(base + 64, a.x, 16, bar, 0xf);
        barrier_wait(bar, 0);
        u32 sum = 0, ones = 0;
        for (u32 k = 0; k < 4; k++) { sum += load_shared4(base + k * 16).x; ones += load_shared(base + 128 + k * 4); }
        const uint4 x = load_shared4(base + 64);
        u32* out = a.out + blockIdx.x * 3;
        if (threadIdx.x == 63) { out[0] = sum; out[1] = x.x + x.y + x.z + x.w; out[2] = ones; }
        cluster_sync();
      }`, [at("x"), at("out")], { grid: [8, 1, 1], block: 64, cluster: 4, sharedBytes: 264 });
    const found = runLaunches(gpu(), { buffers: [...inputs({ x: 16 }), output("out", 96)], launches: [gather] },
      { x: Uint32Array.of(7, 7, 7, 7) });
    assert.deepEqual([...words(found.get("out"))], Array.from({ length: 8 }, () => [96, 28, 4]).flat());
  });

  const exchange = `struct A { u8* slots; u32* out; };
    KERNEL(32, kernel, A) {
      // Every block writes one number and reads all the others', which are there when they are not all ones.
      if (threadIdx.x == 0) store_relaxed4(a.slots + blockIdx.x * 16, make_uint4(blockIdx.x, 0, 0, 0));
      u32 sum = 0;
      for (u32 k = 0; k < gridDim.x; k++) {
        uint4 v = load_relaxed4(a.slots + k * 16);
        for (u32 n = 0; v.x == ~0u; n++) { if (n > SPIN_MAX) trap(); v = load_relaxed4(a.slots + k * 16); }
        sum += v.x;
      }
      if (threadIdx.x == 0) a.out[blockIdx.x] = sum;
    }`;
  for (const isCooperative of [true, false]) {
    test(`20 blocks exchange numbers through memory${isCooperative ? "" : ", room permitting"}: each sums to 190`, () => {
      const found = runLaunches(gpu(), { buffers: [output("slots", 320, 0xff), output("out", 80)],
        launches: [launch(exchange, [at("slots"), at("out")], { grid: [20, 1, 1], isCooperative })] }, {});
      assert.deepEqual([...words(found.get("out"))], Array.from({ length: 20 }, () => 190));
    });
  }

  for (const waits of [true, false]) {
    const sees = waits ? "that waits sees this replay's word" : "that does not wait sees the last replay's";
    test(`in a graph a dependent kernel ${sees}`, () => {
      const writer = launch(`struct A { u32* word; u32* out; };
        KERNEL(32, kernel, A) { let_dependents_start(); a.word[0] += 1; }`, [at("word"), at("out")], { grid: [1, 1, 1] });
      const reader = launch(`struct A { u32* word; u32* out; };
        KERNEL(1, kernel, A) { ${waits ? "wait_for_prior_kernel();" : ""} a.out[0] = a.word[0]; }`, [at("word"), at("out")],
      { block: 1, isDependent: true });
      using stream = gpu().stream();
      using bound = gpu().bind({ name: "pair", buffers: [output("word", 4, 0), output("out", 4)],
        launches: [{ ...writer, block: 1 }, reader] });
      using graph = bound.capture(stream);
      graph.launch(stream);
      graph.launch(stream);
      assert.deepEqual([...words(bound.read("word")), ...words(bound.read("out"))], [2, waits ? 2 : 1]);
    });
  }

  test("what a copy brings is not there before it is waited for, and a product not before its wait", () => {
    const early = launch(`struct A { const u8* x; u32* out; };
      KERNEL(128, kernel, A) {
        const u32 base = shared_base(), lane = threadIdx.x;
        for (u32 k = lane; k < 320; k += 128) store_shared4(base + 16 + k * 16, make_uint4(0, 0, 0, 0));
        fence_async_shared();
        if (lane == 0) copy_async(base, a.x);
        copy_async_commit();
        const u32 before = load_shared(base);
        copy_async_wait<0>();
        __syncthreads();
        float d[4] = { 5, 5, 5, 5 };
        wgmma_half(d, tile_plain(base + 16, 128, 256), tile_plain(base + 2064, 128, 256), false);
        wgmma_commit();
        const u32 old = bits_of(d[0]);
        wgmma_wait<0>();
        if (lane == 0) { a.out[0] = before; a.out[1] = load_shared(base); a.out[2] = old; a.out[3] = bits_of(d[0]); }
      }`, [at("x"), at("out")], { block: 128, sharedBytes: 5136 });
    const found = runLaunches(gpu(), { buffers: [...inputs({ x: 16 }), output("out", 16)], launches: [early] },
      { x: Uint32Array.of(3, 3, 3, 3) });
    assert.deepEqual([...words(found.get("out"))], [0x7fe57fe5, 3, words(new Uint8Array(Float32Array.of(5).buffer))[0], 0]);
  });
});

describe("the emulated GPU reports what would hang or break a real one", { skip }, () => {
  /** The error that a kernel without arguments but `out` ends in, on a GPU of its own. */
  function faultOf(body: string, shape: Partial<Launch> = {}): CudaError {
    using cuda = openEmulated();
    try {
      runLaunches(cuda, { buffers: [output("out", 256)], launches:
        [launch(`struct A { u32* out; }; KERNEL(64, kernel, A) { const u32 base = shared_base(); ${body} }`, [at("out")],
          { sharedBytes: 256, ...shape })] }, {});
    } catch (error) { if (error instanceof CudaError) return error; throw error; }
    throw new Error("nothing was reported");
  }
  const FAULTS: readonly [what: string, body: string, sentence: RegExp, shape?: Partial<Launch>][] = [
    ["a wait for a message that nobody sends",
      "if (threadIdx.x == 0) barrier_init(base, 1); __syncthreads(); barrier_wait(base, 0);", /deadlock: every thread waits/],
    ["a poll of memory that nobody writes",
      "a.out[0] = 0; for (u32 n = 0; load_acquire(a.out) == 0; n++) if (n > SPIN_MAX) trap();", /deadlock/],
    ["a trap", "if (threadIdx.x == 7) trap();", /trap \(block 0,0,0 thread 7\)/],
    ["half a warp at a barrier, half in a shuffle", "if (lane_of() < 16) __syncthreads(); else __syncwarp();", /deadlock/],
    ["a barrier that was never made", "barrier_arrive(base);", /no barrier was made there/],
    ["a store beyond the block's shared memory", "store_shared(base + 256, 1);", /beyond the block's shared memory/],
    ["an address that is no multiple of its access", "load_shared4(base + 8);", /no multiple of what is accessed/],
    ["a store far behind a buffer", "a.out[1 << 20] = 1;", /illegal address/],
    ["a message to a block that has ended", `cluster_sync(); if (cluster_rank() == 1) return;
      for (u32 n = 0; n < 100; n++) load_acquire(a.out); send1(map_shared(base, 1), 1, map_shared(base + 8, 1));`,
    /block that has ended/, { grid: [2, 1, 1], cluster: 2 }],
    ["bulk stores that nobody waited for", "if (threadIdx.x == 0) { bulk_store(a.out, base, 16); bulk_commit(); }", /under way/],
    ["a bulk store of what ordinary stores wrote", `store_shared(base + 4 * threadIdx.x, 1); __syncthreads();
      if (threadIdx.x == 0) { bulk_store(a.out, base, 256); bulk_commit(); bulk_wait<0>(); }`, /without a fence/],
  ];
  for (const [what, body, sentence, shape] of FAULTS) {
    test(`${what}: ${sentence.source}`, () => {
      const error = faultOf(body, shape);
      assert.equal(error.reason, "fault");
      assert.match(error.message, sentence);
    });
  }

  for (const ids of [1, 2]) {
    const what = ids === 1 ? "one barrier twice: a fast warp stands in for a slow one, as some of 20 random orders find"
      : "two barriers in turn: all of 20 random orders read what the slow warp wrote";
    test(what, () => {
      const text = `struct A { u32* out; };
        KERNEL(96, kernel, A) {
          const u32 base = shared_base();
          store_shared(base + 4 * threadIdx.x, 0);
          __syncthreads();
          if (warp_of() > 0) store_shared(base + 4 * threadIdx.x, 7);
          for (u32 t = 0; t < 2; t++) {
            if (warp_of() > 0) { block_barrier_arrive(1 + t % ${ids}, 96); continue; }
            block_barrier_sync(1 + t % ${ids}, 96);
            if (t == 0 && lane_of() == 0) a.out[0] = min(load_shared(base + 128), load_shared(base + 256));
          }
        }`;
      const parts = { buffers: [output("out", 4)], launches: [launch(text, [at("out")], { block: 96, sharedBytes: 384 })] };
      const readsSeven = (order: string): boolean => {
        using cuda = openEmulated();
        process.env["EMULATOR_ORDER"] = order;
        try { return words(runLaunches(cuda, parts, {}).get("out"))[0] === 7; } catch (error) {
          assert.match(String(error), /deadlock/);
          return false;
        } finally { delete process.env["EMULATOR_ORDER"]; }
      };
      const orders = Array.from({ length: 20 }, (_, seed) => `random:${seed}`);
      assert.deepEqual(new Set(orders.map(readsSeven)), new Set(ids === 1 ? [false, true] : [true]));
    });
  }

  test("EMULATOR_CAPABILITY=80: a GPU without clusters, for which kernels are compiled as sm_80", () => {
    process.env["EMULATOR_CAPABILITY"] = "80";
    try {
      using cuda = openEmulated();
      assert.deepEqual([cuda.facts.capability, cuda.facts.multiprocessors, cuda.facts.activeClusters, cuda.compiler.architecture],
        [80, 108, {}, "sm_80"]);
      const arch = launch("struct A { u32* out; }; KERNEL(32, kernel, A) { a.out[0] = __CUDA_ARCH__; }", [at("out")]);
      assert.equal(words(runLaunches(cuda, { buffers: [output("out", 4)], launches: [arch] }, {}).get("out"))[0], 800);
    } finally { delete process.env["EMULATOR_CAPABILITY"]; }
  });

  /** What happens to a GPU under EMULATOR_FAULT. */
  function under(fault: string, act: () => void): CudaError | null {
    process.env["EMULATOR_FAULT"] = fault;
    try { act(); return null; } catch (error) {
      assert.ok(error instanceof CudaError, String(error));
      return error;
    } finally { delete process.env["EMULATOR_FAULT"]; }
  }
  test("EMULATOR_FAULT: no device, an old driver, no memory, and the second launch dying", () => {
    assert.ok(typeof emulated !== "string");
    const open = (): void => { openCuda({ libraries: emulated, cacheFolder: null }).close(); };
    assert.equal(under("no-device", open)?.reason, "no-device");
    assert.equal(under("old-driver", open)?.reason, "old-driver");
    const nothing = launch("struct A { u32* out; }; KERNEL(32, kernel, A) {}", [at("out")]);
    const run = (): void => {
      using cuda = openEmulated();
      runLaunches(cuda, { buffers: [output("out", 256)], launches: [nothing] }, {}, 2);
    };
    assert.equal(under("out-of-memory", run)?.reason, "out-of-memory");
    assert.equal(under("trap-after=2", run), null);
    assert.equal(under("trap-after=1", run)?.reason, "fault");
    assert.equal(under("", run), null, "with EMULATOR_MENDS, closed and opened again it works");
  });

  test("a GPU that a kernel broke stays broken until the process ends: opening it again answers 719", () => {
    const module = (name: string): string => JSON.stringify(path.join(import.meta.dirname, name));
    const script = `const { openEmulated, runLaunches } = await import(${module("emulator/run.ts")});
      const stop = ${JSON.stringify(launch("struct A { u32* out; }; KERNEL(32, kernel, A) { trap(); }", [at("out")]))};
      for (const attempt of ["ran", "opened"]) {
        try {
          using cuda = openEmulated();
          runLaunches(cuda, { buffers: [{ name: "out", bytes: 4, role: "output" }], launches: [stop] }, {});
        } catch (error) { process.stdout.write(attempt + " " + error.reason + " " + error.code + " "); }
      }`;
    const { EMULATOR_MENDS: _, ...env } = process.env;
    const run = spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8", env, timeout: 30_000 });
    assert.deepEqual([run.stdout, run.status], ["ran fault 719 opened fault 719 ", 0], run.stderr);
  });
});
