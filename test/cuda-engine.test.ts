/**
 * The engine without a GPU: exported networks read back, buckets, rings, swaps and faults, on the emulator of
 * test/emulator. What it answers is compared with sums in float64 and with ONNX Runtime.
 */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { architectureNamed } from "../models/index.ts";
import { messageOf } from "../src/base/error.ts";
import { random } from "../src/base/random.ts";
import { printGraph } from "../src/graph/text.ts";
import { collectParameters, initialiseParameters, unflatten } from "../src/nn/scope.ts";
import { inferenceGraph } from "../src/nn/train-graph.ts";
import type { Cuda } from "../src/runtime/cuda/driver/device.ts";
import type { Stream } from "../src/runtime/cuda/driver/stream.ts";
import type { Bucket } from "../src/runtime/cuda/engine/bucket.ts";
import { CpuModels } from "../src/runtime/cuda/engine/cpu.ts";
import { openEngine, type Engine, type EngineOptions } from "../src/runtime/cuda/engine/engine.ts";
import { canShare } from "../src/runtime/cuda/engine/lanes.ts";
import { lowerNetwork } from "../src/runtime/cuda/engine/lower-network.ts";
import type { Answers, NetworkFile } from "../src/runtime/cuda/engine/models.ts";
import { readNetwork } from "../src/runtime/cuda/engine/network.ts";
import { BUFFERS, planModel } from "../src/runtime/cuda/engine/plan.ts";
import { nextTurn } from "../src/runtime/cuda/engine/prepare.ts";
import { openPredictor, type Predictor, type PredictorOptions } from "../src/runtime/cuda/engine/predictor.ts";
import { HostRing } from "../src/runtime/cuda/engine/ring.ts";
import { RequestQueue, type Slot } from "../src/runtime/cuda/engine/queue.ts";
import { bucketFor, type Version } from "../src/runtime/cuda/engine/version.ts";
import { H200, printLaunches } from "../src/runtime/cuda/launch.ts";
import { encodeOnnx } from "../src/runtime/ort/encode.ts";
import type { Tensors } from "../src/runtime/runtime.ts";
import { settingsOf } from "../src/train/settings.ts";
import { lowerToy, TOY, toyAnswer, toyFile, toyWindows, type ToyLowering } from "./cuda-toy.ts";
import { has } from "./cuda-faults.ts";
import { emulatedCuda, type EmulatedCuda } from "./emulator/build.ts";
import { openEmulated } from "./emulator/run.ts";
import { heldBy, replayMany, swapUnderLoad } from "./soak-cuda.ts";

const emulated = emulatedCuda();
const skip = typeof emulated === "string" ? emulated : false;
// Tests of faults come after one another in this process; on a GPU each would need one of its own.
process.env["EMULATOR_MENDS"] = "yes";
const { T, F } = TOY, WIDTH = T * F, W = [1, -2, 3] as const;

/** A network of an architecture with new weights, as `dmn train-export` writes it, and its parameters. */
function exported(model: string, said: object, precision: "float32" | "float16" = "float32", carry = false):
{ file: NetworkFile; parameters: Tensors } {
  const architecture = architectureNamed(model), settings = settingsOf(architecture, said as never);
  const size = { features: 6, instruments: 2 }, specs = collectParameters(architecture, { ...size, B: 1, T: 1 }, settings);
  // Biases and scales start as whole numbers: a little more shows whether they come back in order.
  const parameters = unflatten(specs, initialiseParameters(specs, 1).map((value, k) => value + 0.1 * Math.sin(k)));
  const graph = inferenceGraph(architecture, size, settings, { carry });
  return { parameters, file: { name: `${model}.onnx`,
    bytes: encodeOnnx(graph, { precision, parameters, metadata: { "dmn.graph": printGraph(graph) } }) } };
}

const windowsOf = (values: Float32Array): Tensors =>
  ({ features: { shape: [values.length / WIDTH, T, F], values } });
const windowAt = (values: Float32Array, b: number): Float32Array => values.subarray(b * WIDTH, (b + 1) * WIDTH);

/** Largest distance of the toy's answers from float64, both outputs. */
function errorOf({ outputs, rows }: Answers, w: readonly number[], windows: Float32Array): number {
  return Math.max(...Array.from({ length: rows }, (_, b) => {
    const { position, confidence } = toyAnswer(w, windowAt(windows, b));
    return Math.max(Math.abs(outputs.position.values[b] - position), Math.abs(outputs.confidence.values[b] - confidence));
  }));
}

describe("an exported network, read back", () => {
  const ALL = { lstm: { hidden: 12, layers: 3, heads: "all" }, encoder: { width: 16 }, transformer: { hidden: 8 }, meta: {},
    mlp: {}, linear: {} };

  test("has the parameters that were exported, to the bit, gates in their order", () => {
    for (const [model, said] of Object.entries(ALL)) {
      const { file, parameters } = exported(model, said), found = readNetwork(file.bytes, model).parameters;
      assert.deepEqual(Object.keys(found).sort(), Object.keys(parameters).sort());
      for (const [name, { shape, values }] of Object.entries(parameters)) {
        assert.deepEqual(found[name], { shape: [...shape], values }, `${model} ${name}`);
      }
      // As fs.readFileSync returns them.
      assert.deepEqual(readNetwork(Buffer.from(file.bytes), model).parameters, found);
    }
  });

  test("of the float16 file has them rounded to half precision", () => {
    const { file, parameters } = exported("lstm", ALL.lstm, "float16");
    for (const [name, { values }] of Object.entries(readNetwork(file.bytes, "it").parameters)) {
      assert.deepEqual(values, Float32Array.from(parameters[name].values, (value) => new Float16Array([value])[0]));
    }
  });

  test("is refused with a sentence when it is somebody else's, damaged, or of other weights than its graph", () => {
    const graph = inferenceGraph(architectureNamed("linear"), { features: 3, instruments: 1 },
      settingsOf(architectureNamed("linear"), {}));
    const encode = (metadata: Record<string, string>, columns = 3): Uint8Array => encodeOnnx(graph, { precision: "float32",
      metadata, parameters: { "head/position/w": { shape: [columns, 1], values: new Float32Array(columns) },
        "head/position/b": { shape: [1], values: new Float32Array(1) } } });
    const text = printGraph(graph), read = (bytes: Uint8Array) => () => readNetwork(bytes, "it");
    readNetwork(encode({ "dmn.graph": text }), "it");
    assert.throws(read(encode({})), { problem: "it was not exported by dmn: it does not carry its graph",
      hint: "run it with --device cpu, or export a network with `dmn train-export`." });
    assert.throws(read(encode({ "dmn.graph": text.replaceAll("head/position/w (3, 1)", "head/position/w (3, 2)") })),
      /it carries a damaged graph: line \d+ of the graph's text/);
    const other = text.replaceAll("features (B, T, 3)", "features (B, T, 4)").replaceAll("(3, 1)", "(4, 1)")
      .replaceAll("*T, 3)", "*T, 4)");
    assert.throws(read(encode({ "dmn.graph": other })), { problem: "it has head/position/w of shape (3, 1), and its graph "
      + "says (4, 1)" });
    assert.throws(read(encode({ "dmn.graph": text.replaceAll("head/position/w", "head/position/v") })),
      { problem: "it has no weights for head/position/v" });
  });
});

describe("buckets", () => {
  test("the smallest that holds all rows answers; the largest in several goes", () => {
    const buckets = [1, 8, 32, 128, 512, 2048, 4096];
    assert.deepEqual([1, 2, 8, 9, 33, 513, 4096, 5000].map((rows) => bucketFor(buckets, rows)),
      [1, 8, 8, 32, 128, 2048, 4096, 4096]);
  });

  test("a plan is data: what is copied, what is computed, who says that it is done", () => {
    const network = readNetwork(toyFile(W).bytes, "toy");
    const text = (feed: "windows" | "ring", lowering: ToyLowering): string[] => printLaunches(planModel(network,
      { B: 8, T, precision: "float32", device: H200, feed }, lowerToy(lowering)).list).split("\n").filter((line) => line !== "");
    assert.deepEqual(text("windows", {}), [
      "list toy B 8 T 5 float32 windows", "buffer engine/header input 16", "buffer engine/done output 4",
      "buffer engine/windows input 480", "buffer x scratch 480 fill 0", "buffer w weight 12", "buffer position output 32",
      "buffer confidence output 32", "buffer engine/runs scratch 4 fill 0",
      "launch feed.cu:copy_rows grid 1x1x1 block 256 shared 0 (x, engine/windows, engine/header, 15)",
      "launch toy.cu:toy grid 8x1x1 block 32 shared 0 (x, x, w, position, confidence, engine/done, 0, 0, 5, 3)",
      "launch feed.cu:tell_done grid 1x1x1 block 32 shared 0 dependent (engine/done, engine/runs)"]);
    assert.deepEqual(text("ring", {}).filter((line) => line.startsWith("launch")), [
      "launch feed.cu:ring_step grid 8x1x1 block 256 shared 16 (engine/ring, engine/start, engine/rows, 5, 3, 32)",
      "launch feed.cu:unroll_ring grid 5x8x1 block 256 shared 0 dependent (x, engine/ring, engine/start, 5, 3)",
      "launch toy.cu:toy grid 8x1x1 block 32 shared 0 (x, x, w, position, confidence, engine/done, 0, 0, 5, 3)",
      "launch feed.cu:tell_done grid 1x1x1 block 32 shared 0 dependent (engine/done, engine/runs)"]);
    assert.deepEqual(text("ring", { isWhole: true }).filter((line) => line.startsWith("launch")), [
      "launch feed.cu:ring_step grid 8x1x1 block 256 shared 16 (x, engine/start, engine/rows, 5, 3, 32)",
      "launch toy.cu:toy grid 8x1x1 block 32 shared 0 (x, engine/start, w, position, confidence, engine/done, 1, 1, 5, 3)"]);
  });

  test("a last LSTM's answers are looked at one by one up to 512; above, and with others beside them, it counts", () => {
    const kernelsOf = (B: number, said: object): readonly unknown[] => {
      const network = readNetwork(exported("lstm", { hidden: 12, ...said }).file.bytes, "lstm");
      const { list, completions } = planModel(network, { B, T, precision: "float16", device: H200, feed: "ring" },
        lowerNetwork);
      return [completions, ...list.launches.map(({ kernel, arguments: fields }) =>
        kernel + (fields.some((field) => field.kind === "address" && field.buffer === BUFFERS.done) ? " counts" : ""))];
    };
    assert.deepEqual(kernelsOf(512, {}), [0, "ring_step", "lstm_block"]);
    assert.deepEqual(kernelsOf(513, {}), [1, "ring_step", "lstm_block counts"]);
    assert.equal(kernelsOf(8, { heads: "all" })[0], 1);
    assert.equal(kernelsOf(8, { heads: "all" }).at(-1), "tell_done counts");
  });

  test("persistent kernels run side by side only where all of their blocks fit at once", () => {
    const on = (...models: readonly (readonly [cluster: number, blocks: number])[]): boolean =>
      canShare(models.map(([cluster, blocks]) => (blocks === 0 ? [] : [{ cluster, blocks }])), H200);
    assert.deepEqual([on([16, 64], [16, 48]), on([16, 64], [16, 64]), on([8, 64], [8, 56]), on([8, 64], [8, 64]),
      on([1, 100], [1, 32]), on([1, 100], [1, 33]), on([16, 16], [8, 8]), on([16, 112], [1, 0]), on([1, 0], [1, 0])],
    [true, false, true, false, true, false, false, true, true]);
  });
});

describe("a ring in host memory", () => {
  test("gives rows in order of time, corrects a row that is pushed twice, and keeps a window without a new one", () => {
    const ring = new HostRing({ rows: 2, T: 3, F: 1 }), seen = (): number[] => [...ring.windows()];
    ring.fill(0, Float32Array.of(1, 2, 3));
    ring.push(0, Float32Array.of(4));
    ring.push(0, Float32Array.of(5));
    assert.deepEqual(seen(), [2, 3, 5, 0, 0, 0]);
    ring.step();
    ring.push(0, Float32Array.of(6));
    ring.push(1, Float32Array.of(7));
    assert.deepEqual(seen(), [3, 5, 6, 0, 0, 7]);
    assert.throws(() => { ring.checkFull("lstm"); }, /window 1 of lstm has 1 of 3 rows/);
  });
});

describe("the engine on the emulated GPU", { skip }, () => {
  let opened: Cuda | null = null;
  after(() => { opened?.close(); opened = null; });

  const open = (options: EngineOptions & { toy?: ToyLowering | null } = {}): Engine => {
    const { toy = {}, ...rest } = options;
    return openEngine({ cuda: opened ??= openEmulated(), precision: "float32", buckets: [1, 8, 32],
      ...(toy === null ? {} : { lower: lowerToy(toy) }), ...rest });
  };

  test("answers any number of rows, in both modes, whoever says that it is done", async () => {
    for (const mode of ["spin", "poll"] as const) {
      for (const isWhole of [false, true]) {
        const engine = open({ mode, toy: { isWhole } });
        assert.equal(await engine.load("toy", toyFile(W), { T }), 1);
        for (const rows of [1, 2, 8, 9, 32, 33, 70]) {
          const windows = toyWindows(rows, rows), answers = await engine.run("toy", windowsOf(windows));
          assert.deepEqual([answers.version, answers.rows, ...answers.outputs.position.shape], [1, rows, rows]);
          assert.ok(errorOf(answers, W, windows) < 1e-6, `${mode} ${rows} ${errorOf(answers, W, windows)}`);
        }
        await engine.close();
      }
    }
  });

  test("rows that nobody asks about change nothing: 5 of 8 answer to the bit as after 8 others, and as new", async () => {
    const engine = open();
    await engine.load("toy", toyFile(W), { T });
    const windows = toyWindows(5, 1), first = await engine.run("toy", windowsOf(windows));
    await engine.run("toy", windowsOf(toyWindows(8, 2).fill(NaN)));
    assert.deepEqual(await engine.run("toy", windowsOf(windows)), first);
    await engine.close();
  });

  test("staged windows are answered in place, 500 times without taking memory", async () => {
    const engine = open();
    await engine.load("toy", toyFile(W), { T });
    const windows = toyWindows(8, 3), before = engine.statistics();
    let views: Answers | null = null;
    for (let replay = 0; replay < 500; replay++) {
      engine.stage("toy", 8).features.set(windows);
      const answers = engine.runStaged("toy", 8);
      assert.ok(views === null || views === answers, "the same views each time");
      views = answers;
    }
    assert.ok(errorOf(views!, W, windows) < 1e-6);
    const { pool, graphs, replays } = engine.statistics();
    assert.deepEqual([pool, graphs, replays - before.replays], [before.pool, before.graphs, 500]);
    assert.ok(engine.timeReplays("toy", 8, 3) >= 0);
    await engine.close();
  });

  test("buckets above the warm ones are captured when they are first asked for", async () => {
    const engine = open({ warmRows: 8 });
    await engine.load("toy", toyFile(W), { T });
    assert.equal(engine.statistics().graphs, 2);
    const windows = toyWindows(20, 4);
    assert.ok(errorOf(await engine.run("toy", windowsOf(windows)), W, windows) < 1e-6);
    assert.equal(engine.statistics().graphs, 3);
    await engine.load("small", toyFile(W), { T, buckets: [1] });
    assert.equal(engine.statistics().graphs, 4);
    await engine.close();
  });

  test("a ring answers what its windows answer, whatever is pushed and filled when (6 seeds x 40 steps)", async () => {
    for (let seed = 0; seed < 6; seed++) {
      const engine = open({ mode: seed % 2 === 0 ? "spin" : "poll", toy: { isWhole: seed % 3 === 0 } });
      const stream = random(seed, "ring"), rows = 3, plain: number[][] = [];
      await engine.load("toy", toyFile(W), { T, ring: { rows } });
      const fill = (row: number): void => {
        const window = Float32Array.from({ length: WIDTH }, () => stream.normal());
        plain[row] = [...window];
        engine.fill("toy", row, window);
      };
      for (let row = 0; row < rows; row++) fill(row);
      for (let step = 0; step < 40; step++) {
        const fresh = new Set<number>();
        for (let k = Math.floor(stream.uniform() * 5); k > 0; k--) {
          const row = Math.floor(stream.uniform() * rows);
          if (stream.uniform() < 0.1) { fill(row); fresh.delete(row); continue; }
          const features = Float32Array.from({ length: F }, () => stream.normal());
          if (fresh.has(row)) plain[row].splice(WIDTH - F, F);
          else plain[row].splice(0, F);
          plain[row].push(...features);
          fresh.add(row);
          engine.push("toy", row, features);
        }
        const windows = Float32Array.from(plain.flat());
        const answers = step % 2 === 0 ? engine.stepStaged("toy") : await engine.step("toy");
        assert.ok(errorOf(answers, W, windows) < 1e-6, `seed ${seed} step ${step}`);
        assert.deepEqual(engine.ring("toy").windows(), windows);
      }
      await engine.close();
    }
  });

  test("rows that are pushed while a step is under way belong to the next one", async () => {
    const engine = open({ mode: "poll" });
    await engine.load("toy", toyFile(W), { T, ring: { rows: 2 } });
    const windows = toyWindows(2, 5), next = windows.slice();
    for (let row = 0; row < 2; row++) engine.fill("toy", row, windowAt(windows, row));
    const asked = engine.step("toy");
    engine.push("toy", 1, Float32Array.of(7, 8, 9));
    next.set(windows.subarray(WIDTH + F), WIDTH);
    next.set([7, 8, 9], 2 * WIDTH - F);
    assert.ok(errorOf(await asked, W, windows) < 1e-6);
    assert.ok(errorOf(await engine.step("toy"), W, next) < 1e-6);
    await engine.close();
  });

  test("a ring with a window that is not full, or larger than every bucket, is refused", async () => {
    const engine = open();
    await engine.load("toy", toyFile(W), { T, ring: { rows: 2 } });
    engine.fill("toy", 0, toyWindows(1, 1));
    assert.throws(() => engine.stepStaged("toy"), /window 1 of toy has 0 of 5 rows/);
    await assert.rejects(engine.load("big", toyFile(W), { T, ring: { rows: 33 } }),
      { problem: "a ring of 33 instruments is larger than the largest bucket, 32" });
    await engine.close();
  });

  test("a ring for which there is too little memory takes none of it, and closing waits for a load under way", async () => {
    // 480 bytes of windows fit into 482, and the 4 of their start do not.
    const own = { libraries: emulated as EmulatedCuda, cacheFolder: null, buckets: [1, 8], lower: lowerToy() };
    const small = openEngine({ ...own, poolShare: 482 / 141e9 });
    await assert.rejects(small.load("toy", toyFile(W), { T, ring: { rows: 8 } }), has("out-of-memory"));
    assert.equal(small.statistics().pool.allocatedBytes, 0);
    await small.close();
    const engine = openEngine(own), loading = engine.load("toy", toyFile(W), { T });
    await engine.close();
    assert.equal(await loading, 1);
  });

  test("a replay that never ends is given up in poll mode too, with a sentence", async () => {
    const failed: unknown[] = [], stuck = { B: 1, isDone: false, feed: () => { /* no memory */ } } as unknown as Bucket;
    const stream = { fault: () => null } as Stream;
    const version = { users: 0, isRetired: false, T, network: { name: "toy", F, inputs: [] } } as unknown as Version;
    const queue = new RequestQueue({ mode: "poll", timeoutMs: 5, bucket: () => stuck, stream: () => stream,
      launch: () => { /* it hangs */ }, retire: () => { /* it is the newest */ }, checkAlive: () => { /* it is */ },
      failed: (error) => { failed.push(error); return error; } });
    const slot: Slot = { name: "toy", stream, current: version, queue: [], flight: null };
    await assert.rejects(queue.enqueue(slot, windowsOf(toyWindows(1, 1)), false), has("timeout", "within 0.005 s"));
    assert.deepEqual([failed.length, slot.flight, version.users], [1, null, 0]);
  });

  test("each request is answered by one version, the newest when its turn came: 40 swaps under 400 requests", async () => {
    const engine = open({ mode: "poll" }), stream = random(1, "swaps");
    const weights = Array.from({ length: 41 }, (_, version) => [version + 1, -1, 0.5]);
    await engine.load("toy", toyFile(weights[0]), { T });
    const asked: Promise<number>[] = [];
    const ask = async (rows: number, seed: number): Promise<number> => {
      const windows = toyWindows(rows, seed), least = engine.versionOf("toy");
      const answers = await engine.run("toy", windowsOf(windows));
      assert.ok(answers.version >= least && answers.version <= engine.versionOf("toy"));
      assert.ok(errorOf(answers, weights[answers.version - 1], windows) < 1e-6, `version ${answers.version}`);
      return answers.version;
    };
    for (let swap = 1; swap <= 40; swap++) {
      // Seventy rows are three replays of the largest bucket, of one version all the same.
      for (let k = 0; k < 10; k++) asked.push(ask([1, 5, 30, 70][Math.floor(stream.uniform() * 4)], swap * 10 + k));
      assert.equal(await engine.load("toy", toyFile(weights[swap]), { T }), swap + 1);
    }
    const versions = await Promise.all(asked);
    assert.equal(versions.length, 400);
    assert.ok(new Set(versions).size > 20, `${new Set(versions).size} versions answered`);
    assert.equal(engine.statistics().swaps, 40);
    await engine.close();
  });

  test("a step whose turn comes after a swap to empty windows, or to none, is refused rather than made up", async () => {
    const engine = open({ mode: "poll" }), asked: Promise<string>[] = [];
    await engine.load("toy", toyFile(W), { T, ring: { rows: 2 } });
    for (let row = 0; row < 2; row++) engine.fill("toy", row, toyWindows(1, row));
    // A step that is under way, and others that wait for it when the versions change places.
    const slot = { isOver: false }, step = async (): Promise<string> => {
      try {
        const { version, rows } = await engine.step("toy");
        return `${version}: ${rows}`;
      } catch (error) { return messageOf(error); }
    };
    const keepAsking = async (): Promise<void> => {
      for (; !slot.isOver; await nextTurn()) asked.push(step(), step(), step());
    };
    const asking = keepAsking();
    await engine.load("toy", toyFile(W), { T, ring: { rows: 3 } });
    for (let turn = 0; turn < 5; turn++) await nextTurn();
    const first = new Set(await Promise.all(asked.splice(0)));
    for (let row = 0; row < 3; row++) engine.fill("toy", row, toyWindows(1, row));
    await engine.load("toy", toyFile(W), { T });
    for (let turn = 0; turn < 5; turn++) await nextTurn();
    slot.isOver = true;
    await asking;
    assert.deepEqual([...first].sort(), ["1: 2", "window 0 of toy has 0 of 5 rows"]);
    const second = new Set(await Promise.all(asked));
    second.delete("window 0 of toy has 0 of 5 rows");
    assert.deepEqual([...second].sort(), ["2: 3", "toy was loaded without a ring"]);
    await engine.close();
  });

  test("a swap keeps the ring's windows, and rows that wait in it", async () => {
    const engine = open();
    await engine.load("toy", toyFile(W), { T, ring: { rows: 2 } });
    for (let row = 0; row < 2; row++) engine.fill("toy", row, toyWindows(1, row));
    engine.push("toy", 0, Float32Array.of(1, 2, 3));
    const other = [3, 2, 1];
    await engine.load("toy", toyFile(other), { T, ring: { rows: 2 } });
    const answers = await engine.step("toy");
    assert.equal(answers.version, 2);
    assert.ok(errorOf(answers, other, engine.ring("toy").windows()) < 1e-6);
    await engine.close();
  });

  test("memory after 30 swaps is what it was after two, and all of it comes back at the end", async () => {
    const engine = open(), held = (): number => engine.statistics().pool.allocatedBytes, before = held();
    await engine.load("toy", toyFile(W), { T });
    await engine.load("toy", toyFile([2, 2, 2]), { T });
    const two = engine.statistics().pool;
    for (let swap = 0; swap < 30; swap++) await engine.load("toy", toyFile([swap, 1, 2]), { T });
    const { pool } = engine.statistics();
    assert.deepEqual([pool.allocatedBytes, pool.reservedBytes, pool.misses], [two.allocatedBytes, two.reservedBytes, two.misses]);
    await engine.close();
    assert.equal(opened!.pool.statistics().allocatedBytes, before);
  });

  test("two models with kernels that fill the GPU take turns, and answer as alone", async () => {
    const engine = open({ mode: "poll", buckets: [1, 100], toy: { isCooperative: true } });
    await engine.load("a", toyFile(W), { T });
    assert.equal(engine.statistics().isTogether, true);
    await engine.load("b", toyFile([3, 2, 1]), { T });
    assert.equal(engine.statistics().isTogether, false);
    const windows = toyWindows(90, 6);
    const [a, b] = await Promise.all([engine.run("a", windowsOf(windows)), engine.run("b", windowsOf(windows))]);
    assert.ok(errorOf(a, W, windows) < 1e-6 && errorOf(b, [3, 2, 1], windows) < 1e-6);
    await engine.unload("a");
    assert.equal(engine.statistics().isTogether, true);
    await engine.close();
  });

  test("300 replays are the same bits; 30 swaps under load lose no request, mix no versions, hold no more memory", async () => {
    const engine = open({ mode: "poll", toy: { isWhole: true } });
    await engine.load("toy", toyFile(W), { T });
    engine.stage("toy", 8).features.set(toyWindows(8, 1));
    assert.equal(replayMany(engine, "toy", 8, 300), true);
    await swapUnderLoad(engine, 3, 3);
    const { pooled, gpuFree } = heldBy(engine), { requests, right, versions } = await swapUnderLoad(engine, 30, 3);
    assert.ok(requests > 30 && right === requests, `${right} of ${requests}`);
    assert.ok(versions > 20, String(versions));
    const end = heldBy(engine);
    assert.deepEqual([end.pooled, end.gpuFree], [pooled, gpuFree]);
    await engine.close();
  });

  test("an LSTM reads a ring as it reads windows, to the bit, wherever the ring begins", async () => {
    const { file } = exported("lstm", { hidden: 12, layers: 2 }), rows = 3, steps = 5, stream = random(2, "lstm ring");
    const engine = open({ toy: null, precision: "float16" });
    await engine.load("ring", file, { T: steps, ring: { rows } });
    await engine.load("windows", file, { T: steps, buckets: [8] });
    const normal = (count: number): Float32Array => Float32Array.from({ length: count }, () => stream.normal());
    for (let row = 0; row < rows; row++) engine.fill("ring", row, normal(steps * 6));
    for (let step = 0; step < 7; step++) {
      for (let row = 0; row < rows; row++) if (stream.uniform() < 0.7) engine.push("ring", row, normal(6));
      const found = await engine.step("ring");
      const feeds = { features: { shape: [rows, steps, 6], values: engine.ring("ring").windows() } };
      assert.deepEqual(found, await engine.run("windows", feeds), `step ${step}`);
    }
    await engine.close();
  });

  test("a row that is not a number costs its own answer and no other's, then or later", async () => {
    for (const hidden of [12, 128]) {
      const { file } = exported("lstm", { hidden }), rows = 8, steps = 3, stream = random(3, "not numbers");
      const engine = open({ toy: null, precision: "float16" }), width = steps * 6;
      await engine.load("it", file, { T: steps, buckets: [rows] });
      const values = Float32Array.from({ length: rows * width }, () => stream.normal()), bad = values.slice().fill(NaN, 0, width);
      const ask = async (of: Float32Array): Promise<number[]> =>
        [...(await engine.run("it", { features: { shape: [rows, steps, 6], values: of } })).outputs.position.values];
      const first = await ask(values);
      assert.deepEqual(await ask(bad), [NaN, ...first.slice(1)]);
      assert.deepEqual(await ask(values), first);
      await engine.close();
    }
  });

  test("carried states go in and come out: three steps of one row answer as three rows from zeros", async () => {
    const { file } = exported("lstm", { hidden: 12, layers: 2 }, "float32", true), rows = 2, engine = open({ toy: null });
    await engine.load("one", file, { T: 1, buckets: [8] });
    await engine.load("three", file, { T: 3, buckets: [8] });
    const names = ["lstm/0/hidden", "lstm/0/cell", "lstm/1/hidden", "lstm/1/cell"], values = new Float32Array(rows * 12);
    const zeros = Object.fromEntries(names.map((name) => [`state/${name}`, { shape: [rows, 12], values }]));
    const row = (b: number, t: number): number[] => Array.from({ length: 6 }, (_, f) => Math.sin(7 * b + 3 * t + f));
    let states: Tensors = zeros, last: Answers | null = null;
    for (let t = 0; t < 3; t++) {
      const features = { shape: [rows, 1, 6], values: Float32Array.from([...row(0, t), ...row(1, t)]) };
      last = await engine.run("one", { ...states, features });
      states = Object.fromEntries(names.map((name) => [`state/${name}`, last!.outputs[`final/${name}`]]));
    }
    const all = Float32Array.from([0, 1].flatMap((b) => [0, 1, 2].flatMap((t) => row(b, t))));
    const whole = await engine.run("three", { ...zeros, features: { shape: [rows, 3, 6], values: all } });
    assert.deepEqual(last!.outputs.position.shape, [rows]);
    for (const [name, { shape, values: expected }] of Object.entries(whole.outputs)) {
      assert.deepEqual(last!.outputs[name].shape, shape);
      expected.forEach((value, k) => { assert.ok(Math.abs(value - last!.outputs[name].values[k]) < 1e-6, name); });
    }
    await engine.close();
  });

  test("a model beside others is read in a thread, and refused with the same sentence", async () => {
    const { file } = exported("lstm", { hidden: 12 }), engine = open({ toy: null });
    await engine.load("it", file, { T: 3, buckets: [1] });
    await assert.rejects(engine.load("it", { name: "it.onnx", bytes: file.bytes.subarray(0, 500) }, { T: 3 }),
      { name: "UserError", problem: "it.onnx is damaged or is not an ONNX model." });
    assert.equal(engine.versionOf("it"), 1);
    assert.equal(await engine.load("it", file, { T: 3, buckets: [1] }), 2);
    await engine.close();
  });

  test("architectures answer as ONNX Runtime does: float32 to 1e-5, float16 and bfloat16 to 2e-3 and 1e-2", async () => {
    const rows = 5, steps = 9, stream = random(1, "architectures");
    const values = Float32Array.from({ length: rows * steps * 6 }, () => stream.normal());
    const models = { lstm: { hidden: 12, layers: 2, heads: "all" }, encoder: { width: 16 }, transformer: { hidden: 8 },
      meta: {} };
    for (const [model, said] of Object.entries(models)) {
      const { file } = exported(model, said), cpu = new CpuModels();
      await cpu.load("it", file, { T: steps });
      const feeds: Tensors = { features: { shape: [rows, steps, 6], values },
        ...(model === "transformer" ? { instrument: { shape: [rows], values: Float32Array.of(0, 1, 1, 0, -1) } } : {}) };
      const expected = await cpu.run("it", feeds);
      for (const [precision, tolerance] of [["float32", 1e-5], ["float16", 2e-3], ["bfloat16", 1e-2]] as const) {
        if (model !== "lstm" && precision === "bfloat16") continue;
        const engine = open({ toy: null, precision });
        await engine.load("it", file, { T: steps, buckets: [rows] });
        const found = await engine.run("it", feeds);
        assert.deepEqual(Object.keys(found.outputs).sort(), Object.keys(expected.outputs).sort());
        for (const [name, { shape, values: own }] of Object.entries(expected.outputs)) {
          assert.deepEqual(found.outputs[name].shape, shape);
          const error = Math.max(...[...own].map((value, k) => Math.abs(value - found.outputs[name].values[k])));
          assert.ok(error < tolerance, `${model} ${precision} ${name} ${error}`);
        }
        await engine.close();
      }
      await cpu.close();
    }
  });
});

describe("the predictor", { skip }, () => {
  const libraries = typeof emulated === "string" ? {} : emulated;
  /** Opens it with a fault of the emulator's (emulator/libcuda.cpp), and everything that it said. */
  function open(options: PredictorOptions = {}): { predictor: Predictor; said: string[] } {
    const said: string[] = [];
    const predictor = openPredictor({ libraries, cacheFolder: null, precision: "float32", buckets: [1, 8], lower: lowerToy(),
      say: (sentence) => said.push(sentence), ...options });
    return { predictor, said };
  }
  async function faulty<Result>(fault: string, act: () => Promise<Result>): Promise<Result> {
    process.env["EMULATOR_FAULT"] = fault;
    try { return await act(); } finally { delete process.env["EMULATOR_FAULT"]; }
  }
  const END = "it goes on with ONNX Runtime on the CPU";
  const windows = toyWindows(6, 7);

  test("without a driver, with an old one, without a GPU or compiler says one sentence, and answers on the CPU", async () => {
    const cases: readonly (readonly [PredictorOptions, string, RegExp])[] = [
      [{ libraries: { cuda: "no-such-libcuda.so" } }, "", /^there is no NVIDIA driver on this machine/],
      [{}, "old-driver", /^the NVIDIA driver is too old: it knows CUDA/],
      [{}, "no-device", /^there is no GPU that can be used/],
      [{ libraries: { ...libraries, nvrtc: "no-such-nvrtc.so" } }, "", /no-such-nvrtc\.so/],
    ];
    for (const [options, fault, sentence] of cases) {
      await faulty(fault, async () => {
        const { predictor, said } = open(options);
        assert.equal(said.length, 1);
        assert.match(said[0], sentence);
        assert.ok(said[0].endsWith(`; ${END}`), said[0]);
        assert.equal(await predictor.load("toy", toyFile(W), { T }), 1);
        assert.equal(predictor.deviceOf("toy"), "cpu");
        assert.ok(errorOf(await predictor.run("toy", windowsOf(windows)), W, windows) < 1e-6);
        await predictor.close();
        assert.throws(() => open({ ...options, device: "cuda" }), { name: "UserError", hint: /run it with --device cpu\.$/ });
        assert.equal(open({ ...options, device: "cpu" }).said.length, 0);
      });
    }
  });

  test("answers on the GPU where there is one, and says nothing", async () => {
    const { predictor, said } = open();
    await predictor.load("toy", toyFile(W), { T });
    assert.equal(predictor.deviceOf("toy"), "cuda");
    assert.ok(errorOf(await predictor.run("toy", windowsOf(windows)), W, windows) < 1e-6);
    assert.deepEqual(said, []);
    await predictor.unload("toy");
    await predictor.close();
  });

  /** Another program's file. */
  function foreignFile(): NetworkFile {
    const graph = inferenceGraph(architectureNamed("linear"), { features: F, instruments: 1 },
      settingsOf(architectureNamed("linear"), {}));
    const parameters = { "head/position/w": { shape: [F, 1], values: Float32Array.of(1, 2, 3) },
      "head/position/b": { shape: [1], values: Float32Array.of(0.5) } };
    return { name: "theirs.onnx", bytes: encodeOnnx(graph, { precision: "float32", parameters }) };
  }

  test("a model that comes back from the CPU brings its windows with it", async () => {
    const { predictor } = open();
    await predictor.load("ring", foreignFile(), { T, ring: { rows: 2 } });
    for (let row = 0; row < 2; row++) predictor.fill("ring", row, windowAt(windows, row));
    await predictor.step("ring");
    predictor.push("ring", 0, Float32Array.of(1, 2, 3));
    const expected = predictor.ring("ring").windows();
    assert.equal(await predictor.load("ring", toyFile(W), { T, ring: { rows: 2 } }), 2);
    assert.equal(predictor.deviceOf("ring"), "cuda");
    assert.ok(errorOf(await predictor.step("ring"), W, expected) < 1e-6);
    await predictor.close();
  });

  test("a model that the GPU cannot take goes on on the CPU, alone: another program's file, or too little memory", async () => {
    const foreign = foreignFile();
    const { predictor, said } = open({ poolShare: 1500 / 141e9, buckets: [1, 32] });
    await predictor.load("theirs", foreign, { T });
    await predictor.load("toy", toyFile(W), { T, buckets: [1] });
    await predictor.load("large", toyFile(W), { T, ring: { rows: 8 } });
    assert.deepEqual(["theirs", "toy", "large"].map((name) => predictor.deviceOf(name)), ["cpu", "cuda", "cpu"]);
    assert.equal(said.length, 2);
    assert.equal(said[0], `theirs.onnx was not exported by dmn: it does not carry its graph; theirs: ${END}`);
    assert.match(said[1], /^the GPU's memory pool is full: .*; large: it goes on with ONNX Runtime on the CPU$/);
    for (let row = 0; row < 8; row++) predictor.fill("large", row, windowAt(toyWindows(8, 8), row));
    assert.ok(errorOf(await predictor.step("large"), W, toyWindows(8, 8)) < 1e-6);
    assert.ok(errorOf(await predictor.run("toy", windowsOf(windowAt(windows, 0))), W, windows) < 1e-6);
    // A bucket that is captured when it is asked for: the request is answered all the same.
    const eight = toyWindows(8, 9);
    assert.ok(errorOf(await predictor.run("toy", windowsOf(eight)), W, eight) < 1e-6);
    assert.equal(predictor.deviceOf("toy"), "cpu");
    assert.equal(said.length, 3);
    await predictor.close();
  });

  test("a version that is loaded while the one before it leaves the GPU is the one that stays, whoever is first", async () => {
    const eight = toyWindows(8, 9), one = windowAt(windows, 0), next = [3, 2, 1];
    for (const isLoadFirst of [false, true]) {
      const { predictor, said } = open({ poolShare: 1500 / 141e9, buckets: [1, 32], mode: "poll" });
      await predictor.load("toy", toyFile(W), { T, buckets: [1] });
      // There is no memory for the bucket of eight rows: they are answered on the CPU.
      const ask = (): Promise<Answers> => predictor.run("toy", windowsOf(eight));
      const load = (): Promise<number> => predictor.load("toy", toyFile(next), { T, buckets: [1] });
      const [answers, version] = isLoadFirst ? await Promise.all([load(), ask()]).then(([a, b]) => [b, a] as const)
        : await Promise.all([ask(), nextTurn().then(load)]);
      assert.equal(version, 2);
      assert.ok(errorOf(answers, answers.version === 1 ? W : next, eight) < 1e-6);
      const later = await predictor.run("toy", windowsOf(one));
      assert.equal(later.version, 2);
      assert.ok(errorOf(later, next, one) < 1e-6);
      assert.equal(said.length, 1, said.join("\n"));
      assert.equal(predictor.engine?.statistics().models, predictor.deviceOf("toy") === "cuda" ? 1 : 0);
      await predictor.close();
      await assert.rejects(load(), /the predictor is closed/);
    }
  });

  test("the same requests are refused on the GPU and on the CPU, with the same words", async () => {
    const refused: readonly (readonly [Tensors, RegExp])[] = [
      [windowsOf(new Float32Array(0)), /^toy\.onnx is asked about no windows$/],
      [{}, /^toy\.onnx is asked about no windows$/],
      [{ features: { shape: [2, 3, F], values: new Float32Array(6 * F) } },
        /^toy\.onnx takes features as \(2, 5, 3\), not \(2, 3, 3\) of 18 numbers$/],
      [{ features: { shape: [2, T, F], values: new Float32Array(7) } },
        /^toy\.onnx takes features as \(2, 5, 3\), not \(2, 5, 3\) of 7 numbers$/],
    ];
    for (const device of ["cpu", "cuda"] as const) {
      const { predictor } = open({ device });
      await predictor.load("toy", toyFile(W), { T });
      for (const [feeds, message] of refused) await assert.rejects(predictor.run("toy", feeds), { message });
      const more = { other: { shape: [1], values: Float32Array.of(1) } };
      const { outputs } = await predictor.run("toy", { ...windowsOf(windows.slice().fill(NaN, 0, 1)), ...more });
      assert.deepEqual([outputs.position.values[0], Number.isFinite(outputs.position.values[1])], [NaN, true]);
      await predictor.close();
    }
  });

  test("a GPU that dies under requests of two models costs none of them an answer, a row or more than one sentence", async () => {
    for (const mode of ["poll", "spin"] as const) {
      const { predictor, said } = open({ mode });
      await predictor.load("windows", toyFile(W), { T });
      await predictor.load("ring", toyFile([3, 2, 1]), { T, ring: { rows: 2 } });
      for (let row = 0; row < 2; row++) predictor.fill("ring", row, windowAt(windows, row));
      await predictor.step("ring");
      predictor.push("ring", 0, Float32Array.of(1, 2, 3));
      const expected = predictor.ring("ring").windows();
      await faulty("trap-after=0", async () => {
        const asked = [1, 2, 3].map((rows) => predictor.run("windows", windowsOf(windows.subarray(0, rows * WIDTH))));
        const stepped = predictor.step("ring");
        for (const [k, answers] of (await Promise.all(asked)).entries()) {
          assert.deepEqual([answers.rows, answers.version], [k + 1, 1]);
          assert.ok(errorOf(answers, W, windows) < 1e-6);
        }
        assert.ok(errorOf(await stepped, [3, 2, 1], expected) < 1e-6);
      });
      assert.equal(said.length, 1, said.join("\n"));
      assert.match(said[0], /^the GPU stopped at .*; it goes on with ONNX Runtime on the CPU until this process is started/);
      assert.equal(predictor.device, "cpu");
      predictor.push("ring", 1, Float32Array.of(4, 5, 6));
      assert.ok(errorOf(await predictor.step("ring"), [3, 2, 1], predictor.ring("ring").windows()) < 1e-6);
      assert.equal(await predictor.load("windows", toyFile([1, 1, 1]), { T }), 2);
      assert.ok(errorOf(await predictor.run("windows", windowsOf(windows)), [1, 1, 1], windows) < 1e-6);
      assert.equal(said.length, 1);
      await predictor.close();
    }
  });

  test("a kernel that stops itself is such a death: its request is answered by the CPU", async () => {
    const { predictor, said } = open({ mode: "poll" });
    await predictor.load("toy", toyFile(W), { T });
    const poisoned = windows.slice(0, WIDTH).fill(1e30, 0, 1);
    const answers = await predictor.run("toy", windowsOf(poisoned));
    assert.deepEqual([...answers.outputs.position.values], [1]);
    assert.match(said.join("\n"), /^the GPU stopped at a kernel that stopped itself/);
    await predictor.close();
  });
});
