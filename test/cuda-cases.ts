/**
 * Kernels with small inputs and what the mathematics says of them in float64: the emulated GPU runs them in
 * cuda-kernels.test.ts, a real one under a sanitizer in sanitize-cuda.ts.
 */
import assert from "node:assert/strict";
import { planAttention, type Attention } from "../src/runtime/cuda/gemm/attention.ts";
import { planGemm, type Gemm } from "../src/runtime/cuda/gemm/gemm.ts";
import { planMatmul } from "../src/runtime/cuda/gemm/matmul.ts";
import { planConvert, planHead, planLayerNorm, planStatistics } from "../src/runtime/cuda/gemm/norm.ts";
import type { BufferSpec, CudaPrecision, DeviceFacts, Launch } from "../src/runtime/cuda/launch.ts";
import { planLstmBlock } from "../src/runtime/cuda/lstm/block.ts";
import { planLstmGrid } from "../src/runtime/cuda/lstm/grid.ts";
import type { LstmPlanner, LstmStack, LstmWeights } from "../src/runtime/cuda/lstm/stack.ts";
import { planLstmStream } from "../src/runtime/cuda/lstm/stream.ts";
import { planLstmTile } from "../src/runtime/cuda/lstm/tile.ts";
import { planLstmWave } from "../src/runtime/cuda/lstm/wave.ts";
import { BUFFERS, planModel, type Feed } from "../src/runtime/cuda/engine/plan.ts";
import { rowWords } from "../src/runtime/cuda/engine/ring.ts";
import { readNetwork } from "../src/runtime/cuda/engine/network.ts";
import { A100, attention, gemm, lstm } from "./cuda-plans.ts";
import { lowerToy, TOY, toyAnswer, toyFile, toyWindows } from "./cuda-toy.ts";
import { lstmReference } from "./emulator/lstm-reference.ts";
import type { Contents } from "./emulator/run.ts";

/** Runs of a case before its buffers are looked at. */
export const RUNS = 2;

export interface KernelCase {
  readonly name: string;
  /** Plans it; null where the GPU cannot run it. */
  plan(device: DeviceFacts): PlannedCase | null;
}
export interface PlannedCase {
  readonly parts: { readonly buffers: readonly BufferSpec[]; readonly launches: readonly Launch[] };
  readonly contents: Contents;
  /** Compares outputs and states after RUNS runs; throws an AssertionError. */
  check(found: ReadonlyMap<string, Uint8Array>): void;
}

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

const buffer = (name: string, role: BufferSpec["role"], bytes: number): BufferSpec => ({ name, bytes, role });
const gelu = (x: number): number => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

/** A product with a weight, against its sums. */
export function gemmCase(what: string, of: Gemm, only?: DeviceFacts): KernelCase {
  const { M, N, K, precision, epilogue } = of;
  return { name: `${what}: ${M} x ${K} by ${K} x ${N} in ${precision}`, plan(device) {
    const plan = planGemm(of, only ?? device, "p"), a = numbers(M * K, 1, 1, precision), r = numbers(M * N, 4, 1, precision);
    const w = numbers(K * N, 2, 1 / Math.sqrt(K), precision), bias = numbers(N, 3, 1, "float32"), bytes = BYTES[precision];
    return { parts: { launches: plan.launches, buffers: [...plan.buffers, buffer("a", "input", a.length * bytes),
      buffer("r", "input", r.length * bytes), buffer("out", "output", M * N * bytes)] },
    contents: { a: stored(a, precision), r: stored(r, precision), ...Object.fromEntries(plan.pack({ w, bias })) },
    check(found) {
      const expected = Float64Array.from({ length: M * N }, (_, at) => {
        const row = Math.floor(at / N), column = at % N;
        let sum = bias[column];
        for (let k = 0; k < K; k++) sum += a[row * K + k] * w[k * N + column];
        return epilogue.residual === undefined ? sum : gelu(sum) + r[at];
      });
      assertNear(read(found.get("out")!, precision), expected, 2 * TOLERANCE[precision]);
    } };
  } };
}

const NORM_CASE: KernelCase = {
  name: "a layer norm by algebra within a product: as the norm's own pass and then the product",
  plan(device) {
    const M = 40, D = 64, N = 48, x = Float16Array.from(numbers(M * D, 1, 2, "float32"), (v) => v + 1);
    const w = numbers(D * N, 2, 0.125, "float32"), scale = numbers(D, 5, 1, "float32"), shift = numbers(D, 6, 0.5, "float32");
    const statistics = planStatistics({ rows: M, D, precision: "float16", x: { buffer: "a", stride: D } }, device, "s");
    const plan = planGemm(gemm(M, N, D, "float16", { epilogue: { hasBias: false },
      normalise: { statistics: statistics.statistics, epsilon: 1e-5 } }), device, "p");
    const norm = planLayerNorm({ rows: M, D, precision: "float16", epsilon: 1e-5, x: { buffer: "a", stride: D },
      out: { buffer: "normed", stride: D } }, device, "n");
    const parts = { launches: [...statistics.launches, ...plan.launches, ...norm.launches], buffers: [
      ...statistics.buffers, ...plan.buffers, ...norm.buffers, buffer("a", "input", 2 * M * D),
      buffer("out", "output", 2 * M * N), buffer("normed", "output", 2 * M * D)] };
    const weights = [...plan.pack({ w, norm: { scale, shift } }), ...norm.pack({ scale, shift })];
    const contents = { a: x, ...Object.fromEntries(weights) };
    const normed = Float64Array.from(x, (value, at) => {
      const row = Float64Array.from(x.subarray(at - at % D, at - at % D + D)), mean = row.reduce((sum, v) => sum + v, 0) / D;
      const variance = row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / D;
      return (value - mean) / Math.sqrt(variance + 1e-5) * scale[at % D] + shift[at % D];
    });
    return { parts, contents, check(found) {
      assertNear(read(found.get("normed")!, "float16"), normed, 2e-3);
      assertNear(read(found.get("out")!, "float16"), Float64Array.from({ length: M * N }, (_, at) => {
        let sum = 0;
        for (let k = 0; k < D; k++) sum += normed[Math.floor(at / N) * D + k] * w[k * N + at % N];
        return sum;
      }), 4e-3);
    } };
  },
};

const matmulCase = (precision: "float16" | "float32", transposeA: boolean): KernelCase => ({
  name: `a batched product, b${transposeA ? " and a" : ""} stored transposed, in ${precision}`,
  plan(device) {
    const [batch, M, N, K] = [3, 20, 24, 36], bytes = BYTES[precision];
    const a = numbers(batch * M * K, 1, 0.5, precision), b = numbers(K * N, 2, 0.5, precision);
    const launch = planMatmul({ aShape: transposeA ? [batch, K, M] : [batch, M, K], bShape: [N, K], transposeA,
      transposeB: true, precision, a: "a", b: "b", out: "out" }, device);
    const parts = { launches: [launch], buffers: [buffer("a", "input", a.length * bytes),
      buffer("b", "input", b.length * bytes), buffer("out", "output", batch * M * N * bytes)] };
    return { parts, contents: { a: stored(a, precision), b: stored(b, precision) }, check(found) {
      assertNear(read(found.get("out")!, precision), Float64Array.from({ length: batch * M * N }, (_, at) => {
        const n = at % N, m = Math.floor(at / N) % M, start = Math.floor(at / (M * N)) * M * K;
        let sum = 0;
        for (let k = 0; k < K; k++) sum += a[start + (transposeA ? k * M + m : m * K + k)] * b[n * K + k];
        return sum;
      }), 4 * TOLERANCE[precision]);
    } };
  },
});

const attentionCase = (what: string, of: Attention): KernelCase => ({
  name: `causal attention, ${what}: softmax(q k / sqrt d) v`,
  plan(device) {
    const { B, T, heads, d, precision, isLastOnly } = of, rows = isLastOnly ? 1 : T, width = heads * d;
    const qkv = numbers(B * T * 3 * width, 1, 1.5, precision), bytes = BYTES[precision];
    // One query per sequence is read from its own row, the last.
    const asked = !isLastOnly ? of
      : { ...of, q: { ...of.q, offset: (T - 1) * 3 * width }, out: { ...of.out, batchStride: width } };
    const parts = { launches: [planAttention(asked, device)], buffers: [buffer("qkv", "input", qkv.length * bytes),
      buffer("out", "output", B * rows * width * bytes)] };
    return { parts, contents: { qkv: stored(qkv, precision) }, check(found) {
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
    } };
  },
});

const more = { residual: { epilogue: { hasBias: true, activation: "gelu", residual: { buffer: "r", stride: 72 } } } } as const;
const GEMMS: readonly Parameters<typeof gemmCase>[] = [
  ["wgmma, K divided over a cluster", gemm(70, 72, 200, "float16")],
  ["wgmma in bfloat16, many tiles", gemm(2048, 128, 64, "bfloat16")],
  ["wgmma, gelu and a residual", gemm(70, 72, 136, "float16", more.residual)],
  ["mma.sync for an A100, gelu and a residual", gemm(70, 72, 136, "float16", more.residual), A100],
  ["float32, sizes of no multiple", gemm(33, 21, 19, "float32")],
];
const ATTENTIONS: readonly Parameters<typeof attentionCase>[] = [
  ["tiles, float16", attention(2, 37, 2, 16, "float16")],
  ["tiles, bfloat16, two tiles of queries", attention(1, 70, 1, 24, "bfloat16")],
  ["rows, float32", attention(2, 13, 3, 10, "float32")],
  ["the last step alone", { ...attention(2, 21, 2, 16, "float16"), isLastOnly: true }],
];

export const PRODUCT_CASES: readonly KernelCase[] = [...GEMMS.map((of) => gemmCase(...of)), NORM_CASE,
  ...(["float16", "float32"] as const).flatMap((precision) => [false, true].map((both) => matmulCase(precision, both))),
  ...ATTENTIONS.map((of) => attentionCase(...of))];

/** Sequences at each end of a larger batch that are compared: none sees another. */
const ENDS = 4;

/** A stack with random weights, against float64; `done` counts on. */
export function lstmCase(what: string, planner: LstmPlanner, stack: LstmStack): KernelCase {
  const { B, T, F, H, L, precision, result } = stack;
  return { name: `${what}: B ${B}, T ${T}, F ${F}, H ${H}, L ${L} as in float64, and \`done\` counts on`, plan(device) {
    const plan = planner({ ...stack, done: "done" }, device, "p");
    if (plan === null) return null;
    const weights = lstmWeights(stack), x = numbers(B * T * F, 7, 1, precision), start = Uint32Array.of(2);
    const h0 = numbers(L * B * H, 8, 0.5, precision), c0 = numbers(L * B * H, 6, 1, "float32");
    const outBytes = result.kind === "head" ? 4 * B : result.kind === "last" ? 4 * B * H : T * B * H * BYTES[precision];
    return { parts: { launches: plan.launches, buffers: [...plan.buffers, buffer("x", "input", x.byteLength),
      buffer("start", "input", 4), { ...buffer("done", "output", 4), fill: 0 }, buffer("out", "output", outBytes),
      ...["h0", "c0"].map((name) => buffer(name, "input", 4 * L * B * H)),
      ...["hn", "cn"].map((name) => buffer(name, "output", 4 * L * B * H))] },
    contents: { x, start, h0, c0, ...Object.fromEntries(plan.pack(weights)) },
    check(found) {
      assert.deepEqual(new Uint32Array(found.get("done")!.slice().buffer), Uint32Array.of(RUNS * plan.completions));
      const out = read(found.get("out")!, result.kind === "all" ? precision : "float32"), tolerance = TOLERANCE[precision];
      if (B > 2 * ENDS) {
        assert.ok(result.kind !== "all" && stack.states === null);
        assert.ok(out.every((value) => Math.abs(value) <= 1), "an answer is no number, or was never written");
        const width = out.length / B, both = { ...stack, B: 2 * ENDS };
        const exact = lstmReference(both, weights, endsOf(x, T * F));
        assertNear(endsOf(out, width), exact.head ?? exact.all.subarray((T - 1) * both.B * H), tolerance);
        return;
      }
      const exact = lstmReference(stack, weights, x,
        { ringStart: stack.ringStart === null ? 0 : start[0], ...(stack.states === null ? {} : { h0, c0 }) });
      assertNear(out, result.kind === "head" ? exact.head! : result.kind === "all" ? exact.all
        : exact.all.subarray((T - 1) * B * H), tolerance);
      if (stack.states === null) return;
      assertNear(read(found.get("hn")!, "float32"), exact.hn, tolerance);
      assertNear(read(found.get("cn")!, "float32"), exact.cn, 2 * tolerance);
    } };
  } };
}
const endsOf = (values: Float32Array, width: number): Float32Array =>
  Float32Array.from([...values.subarray(0, ENDS * width), ...values.subarray(-ENDS * width)]);

function lstmWeights({ F, H, L, precision }: LstmStack): LstmWeights {
  const scale = (inputs: number, most: number): number => Math.min(most, 1.5 / Math.sqrt(inputs));
  return { layers: Array.from({ length: L }, (_, layer) => {
    const inputs = layer === 0 ? F : H;
    return { wx: numbers(inputs * 4 * H, layer, scale(inputs, 0.3), precision),
      wh: numbers(H * 4 * H, layer + 0.5, scale(H, 0.1), precision), bias: numbers(4 * H, layer, 0.5, "float32") };
  }), head: { w: numbers(H, 9, scale(H, 0.2), "float32"), b: Float32Array.of(0.1) } };
}

const states = { h0: "h0", c0: "c0", hn: "hn", cn: "cn" }, ring = { ringStart: "start" };
const last = { result: { kind: "last", buffer: "out" } } as const, all = { result: { kind: "all", buffer: "out" } } as const;
const STACKS: readonly Parameters<typeof lstmCase>[] = [
  ["one block per few sequences, 40 of 64 units", planLstmBlock, lstm(3, 5, 6, 40, 1)],
  ["a grid, 2 layers, a ring's oldest row at 2", planLstmGrid, lstm(3, 4, 30, 128, 2, ring)],
  ["a grid in bfloat16, states in and out, all steps", planLstmGrid,
    lstm(2, 3, 20, 96, 2, { precision: "bfloat16", states, ...all })],
  ["clusters, a wavefront of 2 layers", planLstmWave, lstm(1, 5, 20, 200, 2, last)],
  ["warpgroup products, 20 sequences", planLstmTile, lstm(20, 3, 12, 40, 2, last)],
  ["warpgroup products of weights that stream, 70 sequences", planLstmStream, lstm(70, 3, 72, 40, 2, last)],
];

export const LSTM_CASES: readonly KernelCase[] = STACKS.map((of) => lstmCase(...of));

/** A float32 input converted, then a head of it in float32, its norm folded in or none. */
export const headCase = (isNormed: boolean): KernelCase => ({
  name: `a head of 3 columns of converted rows${isNormed ? ", its norm folded in" : ""}`,
  plan(device) {
    const rows = 20, D = 64, columns = 3, precision = "float16";
    const x = numbers(rows * D, 1, 2, precision), w = numbers(D * columns, 2, 0.125, "float32");
    const bias = numbers(columns, 3, 0.5, "float32"), scale = numbers(D, 4, 1, "float32"), shift = numbers(D, 5, 0.5, "float32");
    const to = { buffer: "half", stride: D };
    const plan = planHead({ rows, D, columns, precision, x: to, normalise: isNormed ? { epsilon: 1e-5 } : null,
      activation: "tanh", out: "out" }, device, "p");
    const convert = planConvert({ rows, columns: D, precision, from: { buffer: "x", stride: D }, to }, device);
    return { parts: { launches: [convert, ...plan.launches], buffers: [...plan.buffers, buffer("x", "input", 4 * rows * D),
      buffer("half", "output", 2 * rows * D), buffer("out", "output", 4 * rows * columns)] },
    contents: { x, ...Object.fromEntries(plan.pack({ w, bias, ...(isNormed ? { norm: { scale, shift } } : {}) })) },
    check(found) {
      assertNear(read(found.get("half")!, precision), x, 0);
      assertNear(read(found.get("out")!, "float32"), Float64Array.from({ length: rows * columns }, (_, at) => {
        const row = Float64Array.from(x.subarray(Math.floor(at / columns) * D, (Math.floor(at / columns) + 1) * D));
        const mean = row.reduce((sum, v) => sum + v, 0) / D, variance = row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / D;
        const normed = !isNormed ? row
          : row.map((v, k) => (v - mean) / Math.sqrt(variance + 1e-5) * scale[k] + shift[k]);
        return Math.tanh(normed.reduce((sum, v, k) => sum + v * w[k * columns + at % columns], bias[at % columns]));
      }), 1e-5);
    } };
  },
});

/** What an engine puts around a network, here the toy: windows copied, or a ring's new rows; and `done`. */
export const feedCase = (feed: Feed): KernelCase => ({
  name: `feed ${feed}: 5 of 8 rows asked about, and \`done\` counts runs`,
  plan(device) {
    const { T, F } = TOY, B = 8, asked = 5, oldest = 1, w = [1, -2, 3], windows = toyWindows(B, 3), fresh = toyWindows(1, 4);
    const { list } = planModel(readNetwork(toyFile(w).bytes, "toy"), { B, T, precision: "float32", device, feed }, lowerToy());
    // Window 1 has no new row: the same row in each of its slots, so that a move of them is not seen.
    for (let at = 0; at < T * F; at++) windows[T * F + at] = at % F;
    const rows = Float32Array.from({ length: B * F }, (_, at) => fresh[at % fresh.length] + at);
    // Words of a row: the step that brought it, this step, the oldest slot, none; features; zeros to whole lines.
    const words = rowWords(F), staged = new Float32Array(B * words);
    for (let b = 0; b < B; b++) {
      new Uint32Array(staged.buffer).set([b === 1 ? 6 : 7, 7, oldest], b * words);
      staged.set(rows.subarray(b * F, (b + 1) * F), b * words + 4);
    }
    const ring = { [BUFFERS.rows]: staged, [BUFFERS.ring]: windows };
    return { parts: list, contents: { w: Float32Array.from(w), [BUFFERS.header]: Uint32Array.of(asked, 0, 0, 0),
      [BUFFERS.done]: Uint32Array.of(0), ...(feed === "ring" ? ring : { [BUFFERS.windows]: windows }) },
    check(found) {
      assert.deepEqual(new Uint32Array(found.get(BUFFERS.done)!.slice().buffer), Uint32Array.of(RUNS));
      const position = read(found.get("position")!, "float32").subarray(0, asked);
      assertNear(position, Float64Array.from({ length: asked }, (_, b) => {
        const window = windows.slice(b * T * F, (b + 1) * T * F);
        if (feed === "windows") return toyAnswer(w, window).position;
        if (b !== 1) window.set(rows.subarray(b * F, (b + 1) * F), oldest * F);
        return toyAnswer(w, Float32Array.from(window, (_v, at) =>
          window[(Math.floor(at / F) + oldest + 1) % T * F + at % F])).position;
      }), 1e-5);
    } };
  },
});
