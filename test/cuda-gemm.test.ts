/** Plans of products, attention and norms: what they launch, what they pack. No GPU; the kernels' numbers are in cuda-kernels. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { planAttention } from "../src/runtime/cuda/gemm/attention.ts";
import { planGemm, type Gemm } from "../src/runtime/cuda/gemm/gemm.ts";
import { planMatmul } from "../src/runtime/cuda/gemm/matmul.ts";
import { planConvert, planHead, planLayerNorm, planStatistics } from "../src/runtime/cuda/gemm/norm.ts";
import { round, toBfloat16Bits } from "../src/runtime/cuda/gemm/pack.ts";
import { H200, layoutArguments, type Argument, type Launch } from "../src/runtime/cuda/launch.ts";
import { A100, attention, gemm } from "./cuda-plans.ts";

const values = (length: number, seed: number): Float32Array =>
  Float32Array.from({ length }, (_, k) => Math.sin(seed + k * 1.7) + 0.3 * Math.cos(k * k * 0.01 + seed));
const maps = (launch: Launch): Extract<Argument, { kind: "tensorMap" }>["map"][] =>
  launch.arguments.flatMap((argument) => (argument.kind === "tensorMap" ? [argument.map] : []));
const u32s = (launch: Launch): number[] =>
  launch.arguments.flatMap((argument) => (argument.kind === "u32" ? [argument.value] : []));

describe("products", () => {
  test("every shape of an encoder fits the GPU: shared memory, clusters that divide the grid, all columns covered", () => {
    for (const M of [1, 60, 64, 480, 1920, 7680, 30_720]) {
      for (const [N, K] of [[1536, 512], [512, 512], [2048, 512], [512, 2048], [8, 8], [200, 72]]) {
        const { launches: [launch, ...others] } = planGemm(gemm(M, N, K, "float16"), H200, "p");
        const { COLUMNS, GROUPS = 1, DOWN = 1, ACROSS = 1, SPLIT = 1, BLOCKS } = launch.source.defines as Record<string, number>;
        const name = `${M} x ${N} x ${K}`;
        assert.equal(others.length, 0, name);
        assert.ok((launch.sharedBytes + 1024) * BLOCKS <= 233_472, `${name}: ${BLOCKS} blocks of ${launch.sharedBytes}`);
        assert.equal(launch.grid[0] % (launch.cluster ?? 1), 0, name);
        assert.equal(launch.cluster ?? 1, DOWN * ACROSS * SPLIT, name);
        assert.equal(launch.block, GROUPS * 128 + 32, name);
        if (SPLIT > 1) assert.equal(launch.grid[0], Math.ceil(N / COLUMNS) * SPLIT, name);
        else assert.ok(launch.grid[0] <= 132 * BLOCKS, `${name}: all blocks run at once`);
        const [a, w] = maps(launch);
        assert.deepEqual([a.sizes, w.sizes], [[K, M], [K, N]], name);
        assert.ok([...a.box, ...w.box].every((size) => size >= 8 && size <= 256), name);
      }
    }
  });

  test("the last step of windows of 60 rows: rows 59, 119, ... of a and residual, 60 x 512 halves apart", () => {
    const end = { stride: 512, first: 59, step: 60 };
    const { launches: [launch] } = planGemm(gemm(8, 512, 512, "float16", { a: { buffer: "h", ...end },
      epilogue: { hasBias: true, residual: { buffer: "h", ...end } } }), H200, "p");
    const [a] = maps(launch);
    assert.equal(a.offset, 59 * 512 * 2);
    assert.deepEqual([a.sizes, a.strides], [[512, 8], [60 * 512 * 2]]);
    assert.deepEqual(u32s(launch).slice(6, 9), [59, 60, 512]);
  });

  test("where there is no wgmma, or rows do not start on 16 bytes, matmul.cu takes it; statistics get a pass", () => {
    const cases: [Gemm, typeof H200][] = [[gemm(60, 512, 512, "float16"), A100], [gemm(60, 512, 512, "float32"), H200],
      [gemm(60, 21, 512, "float16"), H200], [gemm(60, 512, 19, "bfloat16"), H200]];
    for (const [asked, device] of cases) {
      const { launches, statistics } = planGemm({ ...asked, wantsStatistics: true }, device, "p");
      assert.deepEqual(launches.map(({ source }) => source.name), ["matmul.cu", "norm.cu"]);
      assert.equal(statistics?.tiles, 1);
    }
  });

  test("a packed weight with its norm: rstd (x w' - mean sums) + bias' is LN(x) w + bias, to a half's rounding", () => {
    const K = 40, N = 24, w = values(K * N, 1), bias = values(N, 2);
    const norm = { scale: values(K, 3).map((value) => 1 + value / 4), shift: values(K, 4) };
    const statistics = { buffer: "s", rows: 1, columns: K, tiles: 1 };
    const plan = planGemm(gemm(1, N, K, "float16", { normalise: { statistics, epsilon: 1e-5 } }), H200, "p");
    const packed = plan.pack({ w, bias, norm });
    const floats = (name: string): Float32Array => new Float32Array(packed.get(name)!.buffer);
    const turned = new Float16Array(packed.get("p.w")!.buffer);
    const x = Float64Array.from(values(K, 5), (value) => 3 + value);
    const mean = x.reduce((sum, value) => sum + value, 0) / K;
    const rstd = 1 / Math.sqrt(x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / K + 1e-5);
    for (let n = 0; n < N; n++) {
      let expected = bias[n], product = 0;
      for (let k = 0; k < K; k++) {
        expected += ((x[k] - mean) * rstd * norm.scale[k] + norm.shift[k]) * w[k * N + n];
        product += x[k] * turned[n * K + k];
      }
      const actual = rstd * (product - mean * floats("p.sums")[n]) + floats("p.bias")[n];
      assert.ok(Math.abs(actual - expected) < 0.01, `column ${n}: ${actual} for ${expected}`);
    }
  });

  test("weights whose rows are no multiple of 8 long get zeros behind: 19 of K in rows of 24", () => {
    const plan = planGemm(gemm(4, 8, 19, "float16", { a: { buffer: "a", stride: 24 } }), H200, "p");
    const packed = new Float16Array(plan.pack({ w: values(19 * 8, 1), bias: values(8, 2) }).get("p.w")!.buffer);
    assert.equal(plan.buffers.find(({ name }) => name === "p.w")!.bytes, packed.byteLength);
    assert.deepEqual([...packed.subarray(19, 24), ...packed.subarray(43, 48)], Array.from({ length: 10 }, () => 0));
    assert.equal(maps(plan.launches[0])[1].strides[0], 48);
  });

  test("bfloat16 rounds to nearest, ties to even: 1 + 2^-8 to 1, 1 + 3 2^-8 to 1 + 2^-6, -pi to -3.140625", () => {
    const bits = toBfloat16Bits(Float32Array.of(1 + 2 ** -8, 1 + 3 * 2 ** -8, -Math.PI, 0));
    assert.deepEqual([...bits], [0x3f80, 0x3f82, 0xc049, 0]);
    assert.deepEqual([...round(Float32Array.of(-Math.PI), "bfloat16").values], [-3.140625]);
  });
});

describe("products of two tensors", () => {
  const plan = (aShape: number[], bShape: number[], transposeA = false, transposeB = false): Launch =>
    planMatmul({ aShape, bShape, transposeA, transposeB, precision: "float32", a: "a", b: "b", out: "out" }, H200);

  test("a weight for all leading axes makes them rows: (5, 7, 33) (33, 9) is one product of 35 rows", () => {
    const numbers = u32s(plan([5, 7, 33], [33, 9]));
    assert.deepEqual(numbers.slice(0, 3), [35, 9, 33]);
    assert.deepEqual(numbers.slice(-12), [1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0]);
  });

  test("(3, 1, 20, 31) (4, 31, 11): twelve products, a repeats along the second axis, b along the first", () => {
    const launch = plan([3, 1, 20, 31], [4, 31, 11]);
    assert.deepEqual(u32s(launch).slice(-6), [3, 620, 0, 4, 0, 341]);
    assert.equal(launch.grid[0], 12);
  });

  test("axes that both sides walk evenly are joined: (2, 3, 60, 16) twice is six products", () => {
    assert.deepEqual(u32s(plan([2, 3, 60, 16], [2, 3, 60, 16], false, true)).slice(-3), [6, 960, 960]);
  });

  test("stored transposed: sizes turn, lines stay as they lie", () => {
    const launch = plan([64, 200], [136, 64], true, true), numbers = u32s(launch);
    assert.deepEqual(numbers.slice(0, 3), [200, 136, 64]);
    assert.deepEqual(numbers.slice(-14, -12), [200, 64]);
    assert.deepEqual([launch.source.defines.A_ACROSS, launch.source.defines.B_ACROSS], [1, 0]);
  });
});

describe("attention and norms", () => {
  test("16 bits and heads on 16 bytes: tiles of 64 queries; other sizes and float32: a warp per query", () => {
    const tiled = planAttention(attention(3, 130, 8, 64, "float16"), H200);
    assert.deepEqual([tiled.kernel, tiled.grid], ["attention_tile", [8, 3, 3]]);
    const rows = planAttention(attention(3, 130, 4, 10, "float16"), H200);
    assert.deepEqual([rows.kernel, rows.grid], ["attention_row", [390, 1, 1]]);
    assert.equal(planAttention(attention(3, 60, 8, 64, "float32"), H200).kernel, "attention_row");
  });

  test("the last step alone: one tile per head, and it sees all keys", () => {
    const launch = planAttention({ ...attention(5, 252, 8, 64, "float16"), isLastOnly: true }, H200);
    assert.deepEqual([launch.grid, launch.source.defines.CAUSAL], [[8, 5, 1], 0]);
  });

  test("a head folds its norm: (x - mean) rstd scale w + shift w + bias, in float32", () => {
    const D = 12, w = values(D * 2, 1), bias = values(2, 2), norm = { scale: values(D, 3), shift: values(D, 4) };
    const packed = planHead({ rows: 3, D, columns: 2, precision: "float16", x: { buffer: "x", stride: D },
      normalise: { epsilon: 1e-5 }, activation: "tanh", out: "out" }, H200, "h").pack({ w, bias, norm });
    const turned = new Float32Array(packed.get("h.w")!.buffer), shifted = new Float32Array(packed.get("h.bias")!.buffer);
    assert.equal(turned[D + 5], Math.fround(w[5 * 2 + 1] * norm.scale[5]));
    const expected = bias[1] + norm.shift.reduce((sum, shift, k) => sum + shift * w[k * 2 + 1], 0);
    assert.ok(Math.abs(shifted[1] - expected) < 1e-6);
  });

  test("rows are read in pieces of 16 bytes where they start on 16 bytes, else one by one", () => {
    const of = (D: number, stride: number): Launch => planLayerNorm({ rows: 7, D, precision: "float16", epsilon: 1e-5,
      x: { buffer: "x", stride }, out: { buffer: "out", stride } }, H200, "n").launches[0];
    assert.deepEqual([of(512, 512), of(40, 40), of(40, 44), of(10, 10)].map(({ source }) => source.defines.VECTOR),
      [1, 1, 0, 0]);
    assert.equal(of(512, 512).grid[0], 2);
    assert.throws(() => of(5000, 5000), /4096 at most/);
  });

  test("a conversion rounds columns up to 8 and may unroll a ring: 30 rows of 19 in 90 pieces", () => {
    const launch = planConvert({ rows: 30, columns: 19, precision: "bfloat16", from: { buffer: "x", stride: 19 },
      to: { buffer: "half", stride: 24 }, ring: { start: "start", T: 15 } }, H200);
    assert.deepEqual(u32s(launch).slice(-4), [30, 19, 24, 15]);
    assert.deepEqual([launch.grid[0], launch.source.defines.RING, launch.source.defines.VECTOR], [1, 1, 0]);
    assert.equal(layoutArguments(launch.arguments).bytes, 64);
  });

  test("statistics of 300 rows are a sum and a sum of squares each: 2400 bytes, one tile", () => {
    const plan = planStatistics({ rows: 300, D: 512, precision: "float16", x: { buffer: "x", stride: 512 } }, H200, "s");
    assert.deepEqual(plan.statistics, { buffer: "s.statistics", rows: 300, columns: 512, tiles: 1 });
    assert.deepEqual(plan.buffers, [{ name: "s.statistics", bytes: 2400, role: "scratch" }]);
  });
});
