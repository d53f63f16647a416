/** Where the buffers of a program lie, and the pool that keeps tensors for reuse: arithmetic, with no GPU. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { random } from "../src/base/random.ts";
import { CudaError } from "../src/runtime/cuda/driver/error.ts";
import { buffersOf, planArena, sizeText, type DeviceMemory } from "../src/runtime/cuda/driver/memory.ts";
import { COMMON_SHAPES, openPool, type PooledTensor } from "../src/runtime/cuda/driver/pool.ts";
import type { BufferSpec, KernelSource, Launch, LaunchList } from "../src/runtime/cuda/launch.ts";
import { has } from "./cuda-faults.ts";

const source: KernelSource = { name: "made-up", text: "kernel", defines: {} };

describe("where buffers lie", () => {
  const L = (...names: readonly string[]): Launch => ({ source, kernel: "k", grid: [1, 1, 1], block: 32, sharedBytes: 0,
    arguments: names.map((buffer) => ({ kind: "address", buffer })) });
  const scratch = (name: string, bytes: number): BufferSpec => ({ name, bytes, role: "scratch" });

  test("a chain a -> b -> c of 1000, 1000 and 1000 bytes takes two places of 1024: c lies where a was", () => {
    const list: LaunchList = { name: "chain", buffers: [scratch("a", 1000), scratch("b", 1000), scratch("c", 1000)],
      launches: [L("a"), L("a", "b"), L("b", "c")] };
    const { bytes, offsets } = planArena(list);
    assert.deepEqual([bytes, ...offsets.values()], [2048, 0, 1024, 0]);
  });

  test("beside a launch that may start early nothing is reused: the same chain then takes 3 x 1024", () => {
    const list: LaunchList = { name: "chain", buffers: [scratch("a", 1000), scratch("b", 1000), scratch("c", 1000)],
      launches: [L("a"), L("a", "b"), { ...L("b", "c"), isDependent: true }] };
    assert.equal(planArena(list).bytes, 3072);
  });

  test("what is kept from run to run shares nothing, and what is given takes nothing", () => {
    const kept: BufferSpec[] = [{ name: "w", bytes: 300, role: "weight" }, { name: "s", bytes: 1, role: "scratch", fill: 0 },
      { name: "o", bytes: 4, role: "output" }, scratch("a", 10)];
    const list: LaunchList = { name: "kept", buffers: kept, launches: [L("w"), L("s"), L("o", "a")] };
    assert.deepEqual([...planArena(list).offsets.values()], [0, 512, 768, 1024]);
    assert.deepEqual([...planArena(list, new Set(["w", "o"])).offsets], [["s", 0], ["a", 256]]);
  });

  test("in 200 drawn lists no two buffers that live at once overlap; all begin at multiples of 256", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const draw = random(seed, "arena"), pick = (n: number): number => Math.floor(draw.uniform() * n);
      const names = Array.from({ length: 2 + pick(12) }, (_, k) => `b${k}`);
      const buffers = names.map((name): BufferSpec => (pick(5) === 0 ? { name, bytes: 1 + pick(3000), role: "state" }
        : scratch(name, 1 + pick(3000))));
      const launches = Array.from({ length: 1 + pick(10) }, () =>
        ({ ...L(...names.filter(() => pick(3) === 0)), isDependent: pick(4) === 0 }));
      const { bytes, offsets } = planArena({ name: "drawn", buffers, launches });
      const life = ({ name, role }: BufferSpec): [number, number] => {
        const used = launches.flatMap((launch, k) => (buffersOf(launch).includes(name)
          ? [k, k + 1 < launches.length && launches[k + 1].isDependent ? k + 1 : k] : []));
        return role === "state" || used.length === 0 ? [-1, 99] : [Math.min(...used), Math.max(...used)];
      };
      for (const [k, a] of buffers.entries()) {
        const start = offsets.get(a.name) as number;
        assert.ok(start % 256 === 0 && start + a.bytes <= bytes);
        for (const b of buffers.slice(k + 1)) {
          const [[a0, a1], [b0, b1]] = [life(a), life(b)], other = offsets.get(b.name) as number;
          const isApart = start + a.bytes <= other || other + b.bytes <= start;
          assert.ok(isApart || a1 < b0 || b1 < a0, `seed ${seed}: ${a.name} and ${b.name}`);
        }
      }
    }
  });
});

describe("the tensor pool", () => {
  /** Memory that counts, of 1000 bytes. */
  const made = (limit = Infinity): { allocate: (bytes: number) => DeviceMemory; live: () => number; calls: () => number } => {
    let live = 0, calls = 0;
    return { live: () => live, calls: () => calls, allocate(bytes) {
      if (live + bytes > limit) throw new CudaError("out-of-memory", "full");
      live += bytes;
      calls++;
      const close = (): void => { live -= bytes; };
      return { address: BigInt(calls) << 20n, bytes, close, [Symbol.dispose]: close };
    } };
  };

  test("the same shape and element is the same memory again: 1 miss, 99 hits, 1 allocation of 24,000 bytes", () => {
    const memory = made(), pool = openPool({ totalBytes: 1e6, allocate: memory.allocate });
    for (let k = 0; k < 100; k++) pool.release(pool.acquire([60, 200], "float16"));
    assert.equal(memory.calls(), 1);
    assert.deepEqual(pool.statistics(), { allocatedBytes: 0, reservedBytes: 24_000, utilisation: 0, availableBytes: 850_000,
      poolCount: 1, hits: 99, misses: 1 });
  });

  test("another element, other sizes, the same count of elements: other memory, each its own", () => {
    const pool = openPool({ totalBytes: 1e6, allocate: made().allocate });
    const tensors = [pool.acquire([6, 4], "float16"), pool.acquire([6, 4], "float32"), pool.acquire([4, 6], "float16"),
      pool.acquire([24], "float16"), pool.acquire([6, 4], "float16")];
    assert.equal(new Set(tensors.map(({ address }) => address)).size, 5);
    assert.deepEqual(tensors.map(({ bytes }) => bytes), [48, 96, 48, 48, 48]);
    assert.equal(pool.statistics().misses, 5);
    for (const tensor of tensors) pool.release(tensor);
    // As many bytes idle as wanted, and still no hit: the key is the shape.
    assert.deepEqual(pool.acquire([8, 3], "float16").shape, [8, 3]);
    assert.deepEqual([pool.acquire([24], "float16").shape, pool.acquire([4, 6], "float16").shape], [[24], [4, 6]]);
    assert.deepEqual([pool.statistics().misses, pool.statistics().hits], [6, 2]);
  });

  test("the common shapes reserved in FP32 and FP16 take 49.7 MB once, and are hits then", () => {
    const memory = made(), pool = openPool({ totalBytes: 1e9, allocate: memory.allocate });
    for (let k = 0; k < 2; k++) pool.reserve(COMMON_SHAPES, ["float32", "float16"]);
    // (1 + 32 + 128 + 512) x 60 x 200 + 1000 x 200 + 1000 x 3 elements of 4 + 2 bytes.
    assert.equal(memory.live(), 49_674_000);
    pool.acquire([32, 60, 200], "float16");
    assert.deepEqual([pool.statistics().poolCount, pool.statistics().hits, pool.statistics().misses], [12, 1, 0]);
  });

  test("never takes over 85 %: the longest idle goes first, and what is held is never taken away", () => {
    const memory = made(), pool = openPool({ totalBytes: 1000, allocate: memory.allocate });
    const held = pool.acquire([400], "uint8");
    for (const bytes of [200, 250]) pool.release(pool.acquire([bytes], "uint8"));
    pool.acquire([100], "uint8");
    assert.equal(memory.live(), 750);
    assert.throws(() => pool.acquire([451], "uint8"), has("out-of-memory", "451 B", "850 B"));
    assert.ok(held.bytes === 400 && memory.live() === 500);
  });

  test("when the GPU itself is full, what is idle is given back and it is asked once more", () => {
    const memory = made(600), pool = openPool({ totalBytes: 1e6, allocate: memory.allocate });
    pool.release(pool.acquire([500], "uint8"));
    assert.equal(pool.acquire([550], "uint8").bytes, 550);
    assert.throws(() => pool.acquire([100], "uint8"), has("out-of-memory", "full"));
  });

  test("a tensor is released once", () => {
    const pool = openPool({ totalBytes: 1e6, allocate: made().allocate }), tensor = pool.acquire([1], "uint8");
    pool.release(tensor);
    assert.throws(() => { pool.release(tensor); }, /released twice/);
  });

  test("2,000 drawn steps: no address is held twice, and the books agree with the memory that is out", () => {
    const memory = made(), pool = openPool({ totalBytes: 10_000, allocate: memory.allocate }), draw = random(7, "pool");
    const held: PooledTensor[] = [];
    let acquired = 0;
    for (let step = 0; step < 2_000; step++) {
      if (held.length > 0 && draw.uniform() < 0.5) pool.release(held.splice(Math.floor(draw.uniform() * held.length), 1)[0]);
      else {
        try { held.push(pool.acquire([1 + Math.floor(draw.uniform() * 20), 10], "float32")); acquired++; } catch (error) {
          has("out-of-memory")(error);
        }
      }
      const { allocatedBytes, reservedBytes, poolCount } = pool.statistics();
      assert.equal(allocatedBytes, held.reduce((sum, { bytes }) => sum + bytes, 0));
      assert.equal(reservedBytes, memory.live());
      assert.ok(reservedBytes <= 8_500 && poolCount >= held.length);
      assert.equal(new Set(held.map(({ address }) => address)).size, held.length);
    }
    const { hits } = pool.statistics();
    assert.ok(hits > 100 && memory.calls() === acquired - hits, `${hits} hits, ${memory.calls()} of ${acquired}`);
    pool.close();
    assert.equal(memory.live(), 0);
  });
});

test("sizes are decimal: 999 B, 1 kB, 1.5 MB, 150 GB, 1 TB", () => {
  assert.deepEqual([999, 1000, 1.5e6, 149.6e9, 1e12].map(sizeText), ["999 B", "1 kB", "1.5 MB", "150 GB", "1 TB"]);
});
