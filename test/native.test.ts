/**
 * The fused CPU runtime: the suite of its contract, whole training steps against the other runtimes, the same bits run
 * after run, and that the committed binary is the one its sources make.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { ARCHITECTURES } from "../models/index.ts";
import { UserError } from "../src/base/error.ts";
import * as ops from "../src/graph/ops.ts";
import { makeGraph } from "../src/graph/graph.ts";
import type { Settings } from "../src/nn/hyperparameter.ts";
import { initialiseParameters } from "../src/nn/scope.ts";
import { trainGraph, type TrainGraph } from "../src/nn/train-graph.ts";
import { isNativeAvailable, openLibrary } from "../src/runtime/native/library.ts";
import { nativeRuntime, nativeSupports } from "../src/runtime/native/program.ts";
import { ortRuntime } from "../src/runtime/ort/program.ts";
import { reference } from "../src/runtime/reference.ts";
import type { Program, Runtime, Tensors, Values } from "../src/runtime/runtime.ts";
import { assertClose } from "./conformance/finite-difference.ts";
import { checkRuntime } from "./conformance/runtime.ts";
import { waveFeeds } from "./wave-feeds.ts";

const ROOT = path.dirname(import.meta.dirname);
const SOURCES = path.join(ROOT, "native");
const skip = isNativeAvailable() ? false : "no native library for this platform, or a processor without AVX2";

/** Sizes that are no multiple of a vector, so that every edge of a kernel is walked. */
const CASES: Readonly<Record<string, { name: string; settings: Settings }>> = {
  "LSTM, 21 units": { name: "lstm", settings: { hidden: 21, layers: 2, dropout: 0.2 } },
  "LSTM, 32 units": { name: "lstm", settings: { hidden: 32, layers: 1, dropout: 0 } },
  "Transformer encoder": { name: "encoder", settings: { width: 20, attentionHeads: 2, layers: 2, feedForward: 4,
    positions: "sinusoidal", dropout: 0.1 } },
};
interface Size { readonly B: number; readonly T: number; readonly F: number }

function built({ name, settings }: { name: string; settings: Settings }, { B, T, F }: Size = { B: 7, T: 11, F: 5 }): TrainGraph {
  return trainGraph(ARCHITECTURES[name], { B, T, features: F, instruments: 1 }, settings, { terms: ["sharpe", "turnover"] });
}

/** LSTMs at the ends of what a graph may be, and how many threads share their batch rows. */
const ENDS: readonly (Size & { hidden: number; threads: number; what: string })[] = [
  { B: 1, T: 1, F: 1, hidden: 1, threads: 4, what: "one of everything, three threads with no row" },
  { B: 2, T: 9, F: 3, hidden: 16, threads: 5, what: "more threads than rows" },
  { B: 3, T: 2, F: 1, hidden: 272, threads: 2, what: "weights beyond the second cache" },
  // 3 rows and 2 (43 and 42, 171 and 170): one thread's rows allow more steps in a chunk than the other's.
  { B: 5, T: 256, F: 3, hidden: 21, threads: 2, what: "uneven rows over many steps" },
  { B: 128, T: 12, F: 5, hidden: 16, threads: 3, what: "uneven rows" },
  { B: 341, T: 4, F: 5, hidden: 8, threads: 2, what: "uneven rows, many" },
];

/** Three steps from the seeded start: losses, and Adam's mean of their gradients. */
async function train(runtime: Runtime, one: TrainGraph): Promise<{ losses: number[]; m: Values }> {
  await using program = await runtime.compile(one.graph);
  await program.write({ parameters: { shape: [one.count], values: initialiseParameters(one.specs, 3) } });
  const losses: number[] = [];
  for (let step = 0; step < 3; step++) losses.push((await program.run(waveFeeds(one, step)))["loss"].values[0]);
  return { losses, m: (await program.read(["m"]))["m"] };
}

/**
 * Losses to 1e-4 (of themselves above 1), mean gradients to 3e-4 of the largest. Not parameters: Adam makes full
 * steps of gradients that are nothing but rounding (softmax does not see the bias of its keys).
 */
function assertSameTraining(found: Awaited<ReturnType<typeof train>>, expected: Awaited<ReturnType<typeof train>>): void {
  found.losses.forEach((loss, k) => {
    assert.ok(Math.abs(loss - expected.losses[k]) < 1e-4 * Math.max(1, Math.abs(loss)), `${k}: ${loss}, ${expected.losses[k]}`);
  });
  assertClose(found.m, expected.m, 3e-4, "m");
}

if (skip === false) {
  // float32: as ONNX Runtime's, 24-bit rounding over the longest chain of ops.
  checkRuntime("native", nativeRuntime(), 1e-5);
  checkRuntime("native with 2 threads", nativeRuntime({ threads: 2 }), 1e-5);
}

describe("a training step by native kernels", { skip }, () => {
  for (const [what, one] of Object.entries(CASES)) {
    test(`${what}: 3 steps as the reference (float64) and ONNX Runtime (float32) take them`, async () => {
      const step = built(one);
      assert.ok(nativeSupports(step.graph));
      const found = await train(nativeRuntime(), step);
      assertSameTraining(found, await train(reference, step));
      assertSameTraining(found, await train(ortRuntime(), step));
    });

    test(`${what}: the same bits twice, with 1 thread and with 2; those two agree to rounding`, async () => {
      const step = built(one);
      const runs = [];
      for (const threads of [1, 1, 2, 2]) runs.push(await train(nativeRuntime({ threads }), step));
      assert.deepEqual(runs[0], runs[1]);
      assert.deepEqual(runs[2], runs[3]);
      assertSameTraining(runs[2], runs[0]);
    });
  }

  for (const { hidden, threads, what, ...size } of ENDS) {
    const { B, T, F } = size;
    test(`B ${B}, T ${T}, F ${F}, H ${hidden}, ${threads} threads (${what}): trains as ONNX Runtime does`, async () => {
      const step = built({ name: "lstm", settings: { hidden, layers: 1, dropout: 0 } }, size);
      assertSameTraining(await train(nativeRuntime({ threads }), step), await train(ortRuntime(), step));
    });
  }

  test("a graph with a sort is not covered; the runtime answers by way of ONNX Runtime: 3, 2, 1", async () => {
    const x = ops.input("x", [3]);
    const graph = makeGraph("sorted", { inputs: [x], outputs: { y: ops.sort(x) } });
    assert.equal(nativeSupports(graph), false);
    await using program = await nativeRuntime().compile(graph);
    const { y } = await program.run({ x: { shape: [3], values: Float32Array.of(2, 3, 1) } });
    assert.deepEqual([...y.values], [3, 2, 1]);
  });

  test("the AVX2 half, asked for on a machine that has AVX-512 too, trains as the reference does", async () => {
    const step = built(CASES["LSTM, 21 units"]);
    process.env.DMN_NATIVE_WIDTH = "8";
    try {
      assertSameTraining(await train(nativeRuntime({ threads: 2 }), step), await train(reference, step));
    } finally { delete process.env.DMN_NATIVE_WIDTH; }
  });

  test("the largest of 40 copies of one number is that number, in each of 3 rows", async () => {
    const x = ops.input("x", [1, 1]);
    await using program = await nativeRuntime().compile(makeGraph("repeated",
      { inputs: [x], outputs: { y: ops.reduceMax(ops.broadcast(x, [3, 40]), [1]) } }));
    const { y } = await program.run({ x: { shape: [1, 1], values: Float32Array.of(-2) } });
    assert.deepEqual([...y.values], [-2, -2, -2]);
  });

  test("a feature that is not a number makes the loss one, and the program runs on without it", async () => {
    const step = built(CASES["LSTM, 21 units"]), feeds = waveFeeds(step, 0);
    await using program = await nativeRuntime({ threads: 2 }).compile(step.graph);
    const parameters = { shape: [step.count], values: initialiseParameters(step.specs, 3) };
    const lossOf = async (given: Tensors): Promise<number> => {
      await program.write({ parameters });
      return (await program.run(given))["loss"].values[0];
    };
    const before = await lossOf(feeds);
    const { shape, values } = feeds["features"];
    assert.equal(await lossOf({ ...feeds, features: { shape, values: values.map(() => NaN) } }), NaN);
    assert.equal(await lossOf(feeds), before);
  });

  const doubled = async (size: number | string): Promise<Program> => {
    const x = ops.input("x", [size]);
    return nativeRuntime({ threads: 2 }).compile(makeGraph("doubled", { inputs: [x], outputs: { y: ops.mul(x, 2) } }));
  };
  const one = { x: { shape: [1], values: Float32Array.of(3) } };

  test("two runs in flight are taken in turn: what both return is the second, 8; the next is right", async () => {
    await using program = await doubled(1);
    const both = await Promise.all([program.run(one), program.run({ x: { shape: [1], values: Float32Array.of(4) } })]);
    // Runs are taken one after the other, and outputs are the program's own: both are the last run's.
    assert.deepEqual(both.map(({ y }) => y.values[0]), [8, 8]);
    assert.equal((await program.run(one))["y"].values[0], 6);
  });

  test("a program that was disposed of refuses to run, read and write, and can be disposed of again", async () => {
    const program = await doubled(1);
    await program[Symbol.asyncDispose]();
    await assert.rejects(program.run(one), /the program is closed/);
    await assert.rejects(program.read([]), /the program is closed/);
    await assert.rejects(program.write({}), /the program is closed/);
    await program[Symbol.asyncDispose]();
  });

  test("a program whose output's memory was transferred away refuses to run", async () => {
    await using program = await doubled(1);
    const { y } = await program.run(one);
    structuredClone(y.values, { transfer: [y.values.buffer as ArrayBuffer] });
    await assert.rejects(program.run(one), /was transferred with an output/);
  });

  test("an input of no elements is refused, and the program goes on with others", async () => {
    await using program = await doubled("B");
    await assert.rejects(program.run({ x: { shape: [0], values: new Float32Array(0) } }), /NaN rows|0 rows|0 elements/);
    assert.equal((await program.run(one))["y"].values[0], 6);
  });

  test("64 threads, on a machine of so many cores, are 16: an answer all the same", async () => {
    const x = ops.input("x", [1]);
    await using program = await nativeRuntime({ threads: 64 }).compile(makeGraph("doubled",
      { inputs: [x], outputs: { y: ops.mul(x, 2) } }));
    assert.equal((await program.run(one))["y"].values[0], 6);
  });

  test("a process ends by itself, exit code 0, while a program with threads is still open", () => {
    const program = path.join(ROOT, "src", "runtime", "native", "program.ts");
    const script = `import { nativeRuntime } from ${JSON.stringify(pathToFileURL(program).href)};
      import { makeGraph } from ${JSON.stringify(pathToFileURL(path.join(ROOT, "src", "graph", "graph.ts")).href)};
      const open = await nativeRuntime({ threads: 4 }).compile(makeGraph("nothing", { inputs: [], outputs: {} }));
      await open.run({});`;
    const { status, signal, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script],
      { encoding: "utf8", timeout: 20_000 });
    assert.deepEqual({ status, signal, stderr }, { status: 0, signal: null, stderr: "" });
  });

  test("e^x, tanh and sigmoid are within 3e-7 of float64, relatively, from -80 to 80", async () => {
    const count = 16_001, x = ops.input("x", [count]);
    const numbers = Float32Array.from({ length: count }, (_, k) => (k - 8000) / 100 + 0.00123);
    await using program = await nativeRuntime().compile(makeGraph("functions",
      { inputs: [x], outputs: { exp: ops.exp(x), tanh: ops.tanh(x), sigmoid: ops.sigmoid(x) } }));
    const found = await program.run({ x: { shape: [count], values: numbers } });
    const exact = { exp: Math.exp, tanh: Math.tanh, sigmoid: (v: number) => 1 / (1 + Math.exp(-v)) };
    for (const [name, compute] of Object.entries(exact)) {
      const worst = Math.max(...numbers.map((value, k) => {
        // Sigmoid stops at e^-60, far below what float32 adds to 1.
        if (name === "sigmoid" && value < -59) return 0;
        return Math.abs(found[name].values[k] / compute(value) - 1);
      }));
      assert.ok(worst < 3e-7, `${name}: ${worst}`);
    }
  });

  test("not a number goes through, and infinity where it should: exp 0 and inf, max NaN, row maximum NaN", async () => {
    const x = ops.input("x", [3]);
    await using program = await nativeRuntime().compile(makeGraph("edge",
      { inputs: [x], outputs: { exp: ops.exp(x), max: ops.maximum(x, 0), most: ops.reduceMax(x) } }));
    const { exp, max, most } = await program.run({ x: { shape: [3], values: Float32Array.of(-Infinity, NaN, Infinity) } });
    assert.deepEqual([[...exp.values], [...max.values], [...most.values]], [[0, NaN, Infinity], [0, NaN, Infinity], [NaN]]);
  });
});

describe("the native library", () => {
  test("where there is none, asking for it by name is the user's error, with what to do instead", () => {
    assert.throws(() => nativeRuntime({ library: null }),
      (error) => error instanceof UserError && error.hint.includes("DMN_ENGINE=ort"));
  });

  test("a file that cannot be loaded (another libc, another processor) is no library, and no crash", () => {
    assert.equal(openLibrary(import.meta.filename), null);
  });

  test("is built from the sources beside it: their SHA-256 is the one that was written with it", () => {
    const headers = fs.readdirSync(SOURCES).filter((name) => name.endsWith(".h")).sort();
    const hash = createHash("sha256");
    for (const name of ["build.sh", "native.c", "engine.c", ...headers]) hash.update(fs.readFileSync(path.join(SOURCES, name)));
    const noted = fs.readFileSync(path.join(ROOT, "src", "runtime", "native", "linux-x64.sha256"), "utf8").trim();
    assert.equal(hash.digest("hex"), noted, "run sh native/build.sh");
  });

  test("is small: under 200 kB", () => {
    assert.ok(fs.statSync(path.join(ROOT, "src", "runtime", "native", "linux-x64.so")).size < 200_000);
  });

  const hasGcc = spawnSync("gcc", ["--version"]).status === 0;
  test("built afresh by gcc it trains as the committed one does", { skip: skip || (hasGcc ? false : "no gcc") }, async () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-native-"));
    try {
      const file = path.join(folder, "fresh.so");
      const build = spawnSync("sh", [path.join(SOURCES, "build.sh"), file], { encoding: "utf8" });
      assert.equal(build.status, 0, build.stderr);
      assert.equal(build.stderr, "");
      const library = openLibrary(file);
      assert.ok(library !== null);
      for (const one of Object.values(CASES)) {
        const step = built(one);
        assertSameTraining(await train(nativeRuntime({ library }), step), await train(nativeRuntime(), step));
      }
    } finally { fs.rmSync(folder, { recursive: true }); }
  });
});
