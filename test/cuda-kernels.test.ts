/**
 * GPU kernels without a GPU: NVIDIA's compiler takes every one of them and keeps its values in registers (where NVRTC
 * is installed), and on the emulated GPU they give what the mathematics says in float64.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import { architectureOf } from "../src/runtime/cuda/driver/compiler.ts";
import type { Cuda } from "../src/runtime/cuda/driver/device.ts";
import { nvrtcFiles } from "../src/runtime/cuda/driver/library.ts";
import { openNvrtc } from "../src/runtime/cuda/driver/nvrtc.ts";
import { kernelText } from "../src/runtime/cuda/driver/source.ts";
import { planAttention, type Attention } from "../src/runtime/cuda/gemm/attention.ts";
import { planGemm, type Gemm } from "../src/runtime/cuda/gemm/gemm.ts";
import { planMatmul } from "../src/runtime/cuda/gemm/matmul.ts";
import { planLayerNorm, planStatistics } from "../src/runtime/cuda/gemm/norm.ts";
import { H200, type BufferSpec, type CudaPrecision, type DeviceFacts } from "../src/runtime/cuda/launch.ts";
import { planLstmBlock } from "../src/runtime/cuda/lstm/block.ts";
import { planLstmGrid } from "../src/runtime/cuda/lstm/grid.ts";
import type { LstmPlanner, LstmStack, LstmWeights } from "../src/runtime/cuda/lstm/stack.ts";
import { planLstmTile } from "../src/runtime/cuda/lstm/tile.ts";
import { planLstmWave } from "../src/runtime/cuda/lstm/wave.ts";
import { A100, attention, gemm, L4, lstm, networkSources, sourcesFor } from "./cuda-plans.ts";
import { emulatedCuda } from "./emulator/build.ts";
import { lstmReference } from "./emulator/lstm-reference.ts";
import { openEmulated, runLaunches } from "./emulator/run.ts";

const ROOT = path.join(import.meta.dirname, "..");
const emulated = emulatedCuda();
const skip = typeof emulated === "string" ? emulated : false;

describe("NVIDIA's compiler", () => {
  const [file] = nvrtcFiles({ VIRTUAL_ENV: path.join(ROOT, ".tools", "peers"), ...process.env });
  const noNvrtc = file === undefined ? "needs NVRTC: pip install nvidia-cuda-nvrtc, or sh test/peers/setup.sh" : false;

  // Between them every precision and every kernel; the same text in another precision is not compiled again.
  const SOURCES = [[H200, [...sourcesFor(H200, ["float16", "float32"]), ...networkSources(H200)]],
    [A100, sourcesFor(A100, ["bfloat16", "float32"])], [L4, sourcesFor(L4, ["float16"])]] as const;
  // lstm-grid.cu with four sets of groups wants two registers more than its block may start with: stack, stores, loads.
  const GRID_OF_FOUR = [8, 8, 68];
  for (const [device, sources] of SOURCES) {
    const architecture = architectureOf(device.capability);
    test(`takes every kernel for ${architecture} and keeps its values in registers`, { skip: noNvrtc }, () => {
      const nvrtc = openNvrtc(file);
      for (const source of sources) {
        const text = kernelText(source), what = `${source.name} ${JSON.stringify(source.defines)}`;
        const { log, cubin } = nvrtc.compile({ ...text, defines: [...text.defines, "--ptxas-options=-v"] }, architecture);
        const stacks = [...log.matchAll(/(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/g)];
        assert.ok(cubin.length > 0 && stacks.length > 0, `${what}: ${log}`);
        const allowed = source.defines["SETS"] === 4 ? GRID_OF_FOUR : [0, 0, 0];
        for (const [, ...bytes] of stacks) {
          assert.ok(bytes.every((some, k) => Number(some) <= allowed[k]), `${what}: stack, stores, loads ${bytes.join(", ")}`);
        }
      }
    });
  }

  test("no kernel is left out of the plans that it is given", () => {
    const files = fs.readdirSync(path.join(ROOT, "src", "runtime", "cuda", "kernels")).filter((name) => name.endsWith(".cu"));
    const planned = new Set(SOURCES.flatMap(([, sources]) => sources.map(({ name }) => name)));
    assert.deepEqual(files.filter((name) => !planned.has(name)), []);
  });
});

/** Numbers by formula, between -scale and scale, rounded to the precision's storage. */
function numbers(count: number, seed: number, scale: number, precision: CudaPrecision): Float32Array {
  const values = Float32Array.from({ length: count }, (_, k) => scale * Math.sin(seed + k * (0.7 + 0.1 * (k % 11))));
  if (precision === "float16") return Float32Array.from(Float16Array.from(values));
  if (precision === "float32") return values;
  return new Float32Array(new Uint32Array(values.buffer).map((bits) => bits & 0xffff0000).buffer);
}
const stored = (values: Float32Array, precision: CudaPrecision): ArrayBufferView =>
  (precision === "float32" ? values : precision === "float16" ? Float16Array.from(values)
    : Uint16Array.from(new Uint32Array(values.slice().buffer), (bits) => bits >>> 16));
function read(bytes: Uint8Array, precision: CudaPrecision): Float32Array {
  const { buffer } = bytes.slice();
  if (precision === "float32") return new Float32Array(buffer);
  if (precision === "float16") return Float32Array.from(new Float16Array(buffer));
  return new Float32Array(Uint32Array.from(new Uint16Array(buffer), (bits) => bits << 16).buffer);
}
const BYTES = { float16: 2, bfloat16: 2, float32: 4 } as const;
/** Of sums of about 1: storage of the result, and of what stands between. */
const TOLERANCE = { float16: 1.5e-3, bfloat16: 1.2e-2, float32: 3e-6 } as const;

function assertNear(found: Float32Array, expected: ArrayLike<number>, tolerance: number): void {
  assert.equal(found.length, expected.length);
  const distance = (value: number, k: number): number => (Number.isNaN(value) ? Infinity : Math.abs(value - expected[k]));
  const worst = found.reduce((most, value, k) => Math.max(most, distance(value, k)), 0);
  assert.ok(worst <= tolerance, `off by ${worst}, ${tolerance} allowed`);
}

interface Parts { readonly buffers: readonly BufferSpec[]; readonly launches: Parameters<typeof runLaunches>[1]["launches"] }
let opened: Cuda | null = null;
/** Two runs, and two with every turn taken backwards: the same bits, which are returned by buffer. */
function runBothWays(parts: Parts, contents: Readonly<Record<string, ArrayBufferView>>): Map<string, Uint8Array> {
  opened ??= openEmulated();
  const forwards = runLaunches(opened, parts, contents, 2);
  process.env["EMULATOR_ORDER"] = "backwards";
  try { assert.deepEqual(runLaunches(opened, parts, contents, 2), forwards); } finally { delete process.env["EMULATOR_ORDER"]; }
  return forwards;
}
const buffer = (name: string, role: BufferSpec["role"], bytes: number): BufferSpec => ({ name, bytes, role });
const gelu = (x: number): number => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

describe("products on the emulated GPU", { skip }, () => {
  after(() => { opened?.close(); opened = null; });

  const more = { residual: { epilogue: { hasBias: true, activation: "gelu", residual: { buffer: "r", stride: 72 } } } } as const;
  const GEMMS: readonly [what: string, of: Gemm, device?: DeviceFacts][] = [
    ["wgmma, K divided over a cluster", gemm(70, 72, 200, "float16")],
    ["wgmma in bfloat16, many tiles", gemm(2048, 128, 64, "bfloat16")],
    ["wgmma, gelu and a residual", gemm(70, 72, 136, "float16", more.residual)],
    ["mma.sync for an A100, gelu and a residual", gemm(70, 72, 136, "float16", more.residual), A100],
    ["float32, sizes of no multiple", gemm(33, 21, 19, "float32")],
  ];
  for (const [what, of, device = H200] of GEMMS) {
    const { M, N, K, precision, epilogue } = of;
    test(`${what}: ${M} x ${K} by ${K} x ${N} in ${precision}`, () => {
      const plan = planGemm(of, device, "p"), a = numbers(M * K, 1, 1, precision), r = numbers(M * N, 4, 1, precision);
      const w = numbers(K * N, 2, 1 / Math.sqrt(K), precision), bias = numbers(N, 3, 1, "float32");
      const bytes = BYTES[precision], found = runBothWays({ launches: plan.launches, buffers: [...plan.buffers,
        buffer("a", "input", a.length * bytes), buffer("r", "input", r.length * bytes), buffer("out", "output", M * N * bytes)] },
      { a: stored(a, precision), r: stored(r, precision), ...Object.fromEntries(plan.pack({ w, bias })) });
      const expected = Float64Array.from({ length: M * N }, (_, at) => {
        const row = Math.floor(at / N), column = at % N;
        let sum = bias[column];
        for (let k = 0; k < K; k++) sum += a[row * K + k] * w[k * N + column];
        return epilogue.residual === undefined ? sum : gelu(sum) + r[at];
      });
      assertNear(read(found.get("out")!, precision), expected, 2 * TOLERANCE[precision]);
    });
  }

  test("a layer norm by algebra within a product: as the norm's own pass and then the product", () => {
    const M = 40, D = 64, N = 48, x = Float16Array.from(numbers(M * D, 1, 2, "float32"), (v) => v + 1);
    const w = numbers(D * N, 2, 0.125, "float32"), scale = numbers(D, 5, 1, "float32"), shift = numbers(D, 6, 0.5, "float32");
    const statistics = planStatistics({ rows: M, D, precision: "float16", x: { buffer: "a", stride: D } }, H200, "s");
    const plan = planGemm(gemm(M, N, D, "float16", { epilogue: { hasBias: false },
      normalise: { statistics: statistics.statistics, epsilon: 1e-5 } }), H200, "p");
    const norm = planLayerNorm({ rows: M, D, precision: "float16", epsilon: 1e-5, x: { buffer: "a", stride: D },
      out: { buffer: "normed", stride: D } }, H200, "n");
    const found = runBothWays({ launches: [...statistics.launches, ...plan.launches, ...norm.launches], buffers: [
      ...statistics.buffers, ...plan.buffers, ...norm.buffers, buffer("a", "input", 2 * M * D),
      buffer("out", "output", 2 * M * N), buffer("normed", "output", 2 * M * D)] }, { a: x,
      ...Object.fromEntries([...plan.pack({ w, norm: { scale, shift } }), ...norm.pack({ scale, shift })]) });
    const normed = Float64Array.from(x, (value, at) => {
      const row = Float64Array.from(x.subarray(at - at % D, at - at % D + D)), mean = row.reduce((sum, v) => sum + v, 0) / D;
      const variance = row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / D;
      return (value - mean) / Math.sqrt(variance + 1e-5) * scale[at % D] + shift[at % D];
    });
    assertNear(read(found.get("normed")!, "float16"), normed, 2e-3);
    assertNear(read(found.get("out")!, "float16"), Float64Array.from({ length: M * N }, (_, at) => {
      let sum = 0;
      for (let k = 0; k < D; k++) sum += normed[Math.floor(at / N) * D + k] * w[k * N + at % N];
      return sum;
    }), 4e-3);
  });

  test("batched products with either side stored transposed, in float16 and float32", () => {
    for (const precision of ["float16", "float32"] as const) for (const transposeA of [false, true]) {
      const [batch, M, N, K] = [3, 20, 24, 36], bytes = BYTES[precision];
      const a = numbers(batch * M * K, 1, 0.5, precision), b = numbers(K * N, 2, 0.5, precision);
      const launch = planMatmul({ aShape: transposeA ? [batch, K, M] : [batch, M, K], bShape: [N, K], transposeA,
        transposeB: true, precision, a: "a", b: "b", out: "out" }, H200);
      const found = runBothWays({ launches: [launch], buffers: [buffer("a", "input", a.length * bytes),
        buffer("b", "input", b.length * bytes), buffer("out", "output", batch * M * N * bytes)] },
      { a: stored(a, precision), b: stored(b, precision) });
      assertNear(read(found.get("out")!, precision), Float64Array.from({ length: batch * M * N }, (_, at) => {
        const n = at % N, m = Math.floor(at / N) % M, start = Math.floor(at / (M * N)) * M * K;
        let sum = 0;
        for (let k = 0; k < K; k++) sum += a[start + (transposeA ? k * M + m : m * K + k)] * b[n * K + k];
        return sum;
      }), 4 * TOLERANCE[precision]);
    }
  });

  const ATTENTIONS: readonly [what: string, of: Attention][] = [
    ["tiles, float16", attention(2, 37, 2, 16, "float16")],
    ["tiles, bfloat16, two tiles of queries", attention(1, 70, 1, 24, "bfloat16")],
    ["rows, float32", attention(2, 13, 3, 10, "float32")],
    ["the last step alone", { ...attention(2, 21, 2, 16, "float16"), isLastOnly: true }],
  ];
  for (const [what, of] of ATTENTIONS) {
    test(`causal attention, ${what}: softmax(q k / sqrt d) v`, () => {
      const { B, T, heads, d, precision, isLastOnly } = of, rows = isLastOnly ? 1 : T, width = heads * d;
      const qkv = numbers(B * T * 3 * width, 1, 1.5, precision), bytes = BYTES[precision];
      // One query per sequence is read from its own row, the last.
      const asked = !isLastOnly ? of
        : { ...of, q: { ...of.q, offset: (T - 1) * 3 * width }, out: { ...of.out, batchStride: width } };
      const found = runBothWays({ launches: [planAttention(asked, H200)], buffers: [buffer("qkv", "input", qkv.length * bytes),
        buffer("out", "output", B * rows * width * bytes)] }, { qkv: stored(qkv, precision) });
      const part = (which: number, b: number, head: number, t: number, c: number): number =>
        qkv[(b * T + t) * 3 * width + which * width + head * d + c];
      const expected = Float64Array.from({ length: B * rows * width }, (_, at) => {
        const c = at % d, head = Math.floor(at / d) % heads, b = Math.floor(at / (rows * width));
        const t = isLastOnly ? T - 1 : Math.floor(at / width) % T;
        const weights = Array.from({ length: t + 1 }, (__, other) => {
          let sum = 0;
          for (let k = 0; k < d; k++) sum += part(0, b, head, t, k) * part(1, b, head, other, k);
          return Math.exp(sum / Math.sqrt(d));
        });
        const total = weights.reduce((sum, v) => sum + v, 0);
        return weights.reduce((sum, v, other) => sum + v / total * part(2, b, head, other, c), 0);
      });
      assertNear(read(found.get("out")!, precision), expected, 2 * TOLERANCE[precision]);
    });
  }
});

describe("LSTM kernels on the emulated GPU", { skip }, () => {
  after(() => { opened?.close(); opened = null; });

  const states = { h0: "h0", c0: "c0", hn: "hn", cn: "cn" }, ring = { ringStart: "start" };
  const last = { result: { kind: "last", buffer: "out" } } as const, all = { result: { kind: "all", buffer: "out" } } as const;
  const STACKS: readonly [what: string, planner: LstmPlanner, stack: LstmStack][] = [
    ["one block per few sequences, 40 of 64 units", planLstmBlock, lstm(3, 5, 6, 40, 1)],
    ["a grid, 2 layers, a ring's oldest row at 2", planLstmGrid, lstm(3, 4, 30, 128, 2, ring)],
    ["a grid in bfloat16, states in and out, all steps", planLstmGrid,
      lstm(2, 3, 20, 96, 2, { precision: "bfloat16", states, ...all })],
    ["clusters, a wavefront of 2 layers", planLstmWave, lstm(1, 5, 20, 200, 2, last)],
    ["warpgroup products, 20 sequences", planLstmTile, lstm(20, 3, 12, 40, 2, last)],
  ];
  for (const [what, planner, stack] of STACKS) {
    const { B, T, F, H, L, precision, result } = stack;
    test(`${what}: B ${B}, T ${T}, F ${F}, H ${H}, L ${L} as in float64, and \`done\` counts on`, () => {
      const weights: LstmWeights = { layers: Array.from({ length: L }, (_, layer) => ({
        wx: numbers((layer === 0 ? F : H) * 4 * H, layer, 0.3, precision), wh: numbers(H * 4 * H, layer + 0.5, 0.1, precision),
        bias: numbers(4 * H, layer, 0.5, "float32") })), head: { w: numbers(H, 9, 0.2, "float32"), b: Float32Array.of(0.1) } };
      const x = numbers(B * T * F, 7, 1, precision), start = Uint32Array.of(2);
      const h0 = numbers(L * B * H, 8, 0.5, precision), c0 = numbers(L * B * H, 6, 1, "float32");
      const plan = planner({ ...stack, done: "done" }, H200, "p");
      assert.ok(plan !== null);
      const outBytes = result.kind === "head" ? 4 * B : result.kind === "last" ? 4 * B * H : T * B * H * BYTES[precision];
      const found = runBothWays({ launches: plan.launches, buffers: [...plan.buffers, buffer("x", "input", x.byteLength),
        buffer("start", "input", 4), { ...buffer("done", "output", 4), fill: 0 }, buffer("out", "output", outBytes),
        ...["h0", "c0"].map((name) => buffer(name, "input", 4 * L * B * H)),
        ...["hn", "cn"].map((name) => buffer(name, "output", 4 * L * B * H))] },
      { x, start, h0, c0, ...Object.fromEntries(plan.pack(weights)) });
      assert.deepEqual(new Uint32Array(found.get("done")!.slice().buffer), Uint32Array.of(2 * plan.completions));
      const exact = lstmReference(stack, weights, x,
        { ringStart: stack.ringStart === null ? 0 : start[0], ...(stack.states === null ? {} : { h0, c0 }) });
      const tolerance = TOLERANCE[precision], lastStep = exact.all.subarray((T - 1) * B * H);
      assertNear(read(found.get("out")!, result.kind === "all" ? precision : "float32"),
        result.kind === "head" ? exact.head! : result.kind === "all" ? exact.all : lastStep, tolerance);
      if (stack.states === null) return;
      assertNear(read(found.get("hn")!, "float32"), exact.hn, tolerance);
      assertNear(read(found.get("cn")!, "float32"), exact.cn, 2 * tolerance);
    });
  }
});
