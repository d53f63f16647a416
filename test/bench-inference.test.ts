/**
 * What `dmn bench inference` says of a GPU, without one: floors against the bounds that were computed by hand for an
 * H200, rows out of made-up measurements, and what a peer's lines become.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as path from "node:path";
import { describe, test } from "node:test";
import { readPeerLines } from "../src/workflow/bench/cuda-peers.ts";
import { floorOf, type Floor } from "../src/workflow/bench/floor.ts";
import { benchModels, exported, graphOf, type BenchModel } from "../src/workflow/bench/inference-models.ts";
import { cudaRows } from "../src/workflow/bench/inference-rows.ts";
import { peerPython } from "../src/workflow/bench/peer.ts";
import { lastStep } from "../src/graph/last-step.ts";
import { bindSizes } from "../src/graph/rewrite.ts";
import type { CudaPrecision } from "../src/runtime/cuda/launch.ts";
import { readNetwork } from "../src/runtime/cuda/engine/network.ts";
import { processRows } from "../src/workflow/bench/inference-start.ts";
import { openSubjects } from "../src/workflow/bench/inference-subject.ts";
import { lowerToy, TOY, toyFile } from "./cuda-toy.ts";
import { emulatedCuda } from "./emulator/build.ts";
import { openEmulated } from "./emulator/run.ts";

const modelNamed = (name: string): BenchModel => benchModels([name])[0];
function floor(name: string, B: number,
  { isLast = false, precision = "float16" }: { isLast?: boolean; precision?: CudaPrecision } = {}): Floor {
  const graph = graphOf(modelNamed(name));
  return floorOf(bindSizes(isLast ? lastStep(graph) : graph, { B, T: 60 }), precision);
}
const round = (value: number, digits: number): number => Number(value.toPrecision(digits));

describe("the floor", () => {
  test("of LSTM 512 x 2: 0.427 GFLOP a window; 12 us at batch 1 by its 61 steps, 17, 69 and 277 us by arithmetic", () => {
    assert.equal(round(floor("lstm-512x2", 1).flops / 1e9, 3), 0.427);
    assert.deepEqual([1, 32, 128, 512].map((B) => round(floor("lstm-512x2", B).us, B < 128 ? 2 : 3)), [12, 17, 69.1, 277]);
    assert.equal(floor("lstm-512x2", 1).why, "61 steps within a cluster of 16");
    assert.equal(floor("lstm-512x2", 512).why, "218 GFLOP");
  });

  test("of LSTM 1024 x 4: weights of 60 MB take 14 us, 63 steps through L2 23 us; 587 us and 2.35 ms by arithmetic", () => {
    const one = floor("lstm-1024x4", 1);
    assert.deepEqual([round(one.memoryUs, 2), round(one.us, 2), one.why], [14, 23, "63 steps through L2"]);
    assert.deepEqual([128, 512].map((B) => round(floor("lstm-1024x4", B).us, 3)), [587, 2350]);
  });

  test("of LSTM 64 x 1 at batch 4096: 4096 windows of 48 kB of features, 46 us at 4.3 TB/s", () => {
    const { us, memoryUs, why, bytes } = floor("lstm-64x1", 4096);
    assert.equal(us, memoryUs);
    assert.equal(round(us, 2), 46);
    assert.match(why, /^19\d MB$/);
    // Features, answers of all steps, and 67,905 weights in 16 bits.
    assert.equal(bytes, 4 * 4096 * (60 * 200 + 60) + 2 * (256 * (200 + 64 + 1) + 65));
  });

  test("of the encoder: 1.55 GFLOP a window, 63, 251 and 1006 us; its last step alone needs 18 % less", () => {
    assert.equal(round(floor("encoder-512x4", 1).flops / 1e9, 3), 1.55);
    assert.deepEqual([32, 128, 512].map((B) => round(floor("encoder-512x4", B).us, 4)), [62.86, 251.4, 1006]);
    const share = floor("encoder-512x4", 1, { isLast: true }).flops / floor("encoder-512x4", 1).flops;
    assert.equal(round(1 - share, 2), 0.18);
    assert.equal(floor("encoder-512x4", 1, { isLast: true }).why, "23 products one after the other");
  });

  test("in float32 arithmetic is twice as slow and weights twice as large", () => {
    const half = floor("lstm-1024x4", 128), single = floor("lstm-1024x4", 128, { precision: "float32" });
    assert.equal(round(single.arithmeticUs / half.arithmeticUs, 6), 2);
    assert.ok(single.bytes - half.bytes > 60e6);
  });
});

describe("rows of the GPU", () => {
  const model = modelNamed("lstm-512x2"), floorOfOne = floor("lstm-512x2", 1);
  const measured = { gpu: "NVIDIA H200, CUDA 13.0", model, B: 1, precision: "float16" as const, floor: floorOfOne,
    deviceUs: [40, 42, 41], windowsUs: [55, 56, 57, 95], ringUs: [45, 46, 47, 90] };
  const peers = [
    { model: "lstm-512x2", B: 1, peer: "PyTorch TorchScript", deviceUs: 410, p50Us: 430, p99Us: 440 },
    { model: "lstm-512x2", B: 1, peer: "cuDNN", deviceUs: 205, p50Us: 230, p99Us: 240 },
  ];

  test("41 us of the device keep the promise of 45, are 10 and 5 times ahead of two peers, and 3.36 floors of 12.2 us", () => {
    const rows = cudaRows(measured, peers);
    const device = rows.filter(({ name }) => name === "lstm-512x2 B1 fp16: device");
    assert.deepEqual(device.map(({ value, maximum, pass, ratio, peer }) => [value, maximum, pass, ratio, peer]),
      [[41, 45, true, 10, "PyTorch TorchScript"], [41, 45, true, 5, "cuDNN"]]);
    const over = rows.find(({ name }) => name.endsWith(": over the floor"));
    assert.equal(round(over?.value ?? 0, 3), 3.36);
    assert.match(over?.machine ?? "", /^NVIDIA H200, CUDA 13\.0, \d+ x /);
    assert.equal(over?.note, "floor 12.2 us: 61 steps within a cluster of 16");
  });

  test("from host to host: the median 46 is within 41 + 6, the slowest percent 90 stands beside it", () => {
    const [row] = cudaRows(measured, []).filter(({ name }) => name.endsWith("host, new rows"));
    assert.deepEqual([row.value, row.p99, row.maximum, row.pass, row.peer], [46, 90, 47, true, null]);
    assert.match(row.note, /99\.9 of 100: 90 us/);
    const [wide] = cudaRows({ ...measured, B: 128 }, []).filter(({ name }) => name.endsWith("host, new rows"));
    assert.equal(wide.maximum, null);
    const whole = cudaRows(measured, peers).filter(({ name }) => name.endsWith("host, windows"));
    assert.deepEqual(whole.map(({ value, peerValue }) => [value, peerValue]), [[56, 430], [56, 230]]);
  });

  test("512 windows in 430 us are 1.19 M predictions/s of 1.1 M promised, 0.84 us each", () => {
    const rows = cudaRows({ ...measured, B: 512, deviceUs: [430] }, []);
    const [speed] = rows.filter(({ name }) => name === "lstm-512x2 B512 fp16: throughput");
    assert.deepEqual([Math.round(speed.value), speed.target, speed.pass], [1_190_698, 1.1e6, true]);
    const [each] = rows.filter(({ name }) => name.endsWith("per prediction"));
    assert.equal(round(each.value, 2), 0.84);
  });

  test("the table of batches has latency, throughput and time of a sample as the caller sees them", () => {
    const rows = cudaRows({ ...measured, B: 32, windowsUs: [64, 64, 64] }, []).filter(({ name }) => name.startsWith("table"));
    assert.deepEqual(rows.map(({ name, value, unit }) => [name, value, unit]), [["table, batch 32: latency", 0.064, "ms"],
      ["table, batch 32: throughput", 500_000, "predictions/s"], ["table, batch 32: per sample", 2, "us"]]);
    assert.equal(cudaRows({ ...measured, precision: "bfloat16" }, []).some(({ name }) => name.startsWith("table")), false);
  });

  test("nothing is promised of bfloat16", () => {
    assert.ok(cudaRows({ ...measured, precision: "bfloat16" }, []).every(({ pass }) => pass === null));
  });
});

describe("peers of the GPU", () => {
  test("lines become measurements; equal errors become one sentence with their batches", () => {
    const text = ['{"model": "lstm-64x1", "B": 1, "mode": "script", "peer": "p", "deviceUs": 48, "p50Us": 67, "p99Us": 70}',
      "a warning", '{"model": "lstm-64x1", "B": 1, "mode": "ort", "error": "none here"}',
      '{"model": "lstm-64x1", "B": 128, "mode": "ort", "error": "none here"}'].join("\n");
    const { measured, missing } = readPeerLines(text);
    assert.deepEqual(measured.map(({ peer, deviceUs }) => [peer, deviceUs]), [["p", 48]]);
    assert.deepEqual(missing, ["no ort peer for lstm-64x1: none here (B 1, 128)"]);
  });
});

describe("the peers' Python", () => {
  test("is a command such as python3, or a file that is there", () => {
    const before = process.env["DMN_BENCH_PYTHON"];
    try {
      for (const [said, found] of [["python3", "python3"], [process.execPath, process.execPath],
        ["/nowhere/python", null]] as const) {
        process.env["DMN_BENCH_PYTHON"] = said;
        assert.equal(peerPython(), found);
      }
    } finally {
      if (before === undefined) delete process.env["DMN_BENCH_PYTHON"]; else process.env["DMN_BENCH_PYTHON"] = before;
    }
  });
});

describe("a network on the GPU as the bench sees it", () => {
  const emulated = emulatedCuda();
  for (const isWhole of [false, true]) {
    const how = isWhole ? "says itself when it is done and reads a ring" : "is told of by the engine";
    test(`a network that ${how} is replayed, asked with windows and with rows`,
      { skip: typeof emulated === "string" && emulated }, async () => {
        const toy: BenchModel = { ...modelNamed("lstm-64x1"), name: "toy", steps: TOY.T, features: TOY.F };
        using cuda = openEmulated();
        const subjects = openSubjects({ cuda, precision: "float32", lower: lowerToy({ isWhole }) });
        const subject = await subjects.load(toy, toyFile([1, -2, 3]).bytes, 8);
        for (const times of [subject.replays(3), subject.windows(3), subject.rows(3)]) {
          assert.equal(times.length, 3);
          assert.ok(times.every((us) => us > 0 && us < 1e6), times.join(", "));
        }
        await subjects.close();
      });
  }
});

describe("bench models", () => {
  test("their files are exported networks: the engine reads back the graph and all 67,905 weights of LSTM 64 x 1", () => {
    const { graph, parameters } = readNetwork(exported(modelNamed("lstm-64x1")), "bench");
    assert.deepEqual(graph.outputs.map(({ name }) => name), ["position"]);
    const count = Object.values(parameters).reduce((sum, { values }) => sum + values.length, 0);
    assert.equal(count, 4 * 64 * (200 + 64 + 1) + 64 + 1);
  });

  const DMN = path.join(import.meta.dirname, "..", "bin", "dmn.js");
  const dmn = (...args: string[]): ReturnType<typeof spawnSync> =>
    spawnSync(process.execPath, [DMN, ...args], { encoding: "utf8" });
  test("a misspelt model gets exit 2 and the nearest one; the flags of another suite are refused", () => {
    const misspelt = dmn("bench", "inference", "--models", "lstm-512x1");
    assert.equal(misspelt.status, 2);
    assert.match(String(misspelt.stderr), /knows no model "lstm-512x1"\n\s+did you mean "lstm-512x2"\?/);
    for (const flags of [["--device", "cuda"], ["--models", "lstm-64x1"]]) {
      const refused = dmn("bench", "store", ...flags);
      assert.equal(refused.status, 2);
      assert.match(String(refused.stderr), /belong to the inference suite/);
    }
  });
});

describe("whole processes on the GPU", () => {
  test("where a process finds no GPU, there are no rows and one note with the driver's sentence", async () => {
    const notes: string[] = [], before = process.env["DMN_CUDA"];
    process.env["DMN_CUDA"] = "/nowhere/libcuda.so";
    try {
      assert.deepEqual(await processRows({ note: (sentence) => { notes.push(sentence); } }), []);
    } finally {
      if (before === undefined) delete process.env["DMN_CUDA"]; else process.env["DMN_CUDA"] = before;
    }
    assert.equal(notes.length, 1);
    assert.match(notes[0], /^processes on the GPU: CudaError: .*no NVIDIA driver.*nowhere/);
  });
});
