import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { describe, test } from "node:test";
import { UserError } from "../src/base/error.ts";
import { random } from "../src/base/random.ts";
import type { Shape } from "../src/graph/dimension.ts";
import { gradient } from "../src/graph/gradient.ts";
import { makeGraph, resultsOf, type Graph } from "../src/graph/graph.ts";
import * as ops from "../src/graph/ops.ts";
import { orderNodes } from "../src/graph/order.ts";
import { makeNode, type Tensor } from "../src/graph/tensor.ts";
import { encodeOnnx } from "../src/runtime/ort/encode.ts";
import { openOnnx } from "../src/runtime/ort/model.ts";
import { DATA_TYPE, describeOnnx, readModel } from "../src/runtime/ort/onnx.ts";
import { ortRuntime } from "../src/runtime/ort/program.ts";
import { tileGraph } from "../src/runtime/ort/tile.ts";
import { reference } from "../src/runtime/reference.ts";
import type { Tensors, Values } from "../src/runtime/runtime.ts";
import { checkRuntime } from "./conformance/runtime.ts";
import { askPython, NO_PYTHON, python } from "./python.ts";

// float64 differs from the oracle by the order of its sums; float32 by 24-bit rounding over the longest chain of ops.
checkRuntime("ort in float64", ortRuntime({ precision: "float64" }), 1e-12);
checkRuntime("ort in float32", ortRuntime(), 1e-5);

const F = 3, H = 5;

/** Normal numbers times `scale`, the same for the same name. */
function draw(name: string, shape: readonly number[], scale = 1): Values {
  const generator = random(7, name);
  const count = shape.reduce((product, size) => product * size, 1);
  return { shape, values: Float32Array.from({ length: count }, () => generator.normal() * scale) };
}

const WEIGHTS: Readonly<Record<string, readonly number[]>> = { wx: [F, 4 * H], wh: [H, 4 * H], bias: [4 * H], scale: [H],
  shift: [H], up: [H, 2 * H], upBias: [2 * H], down: [2 * H, 1], downBias: [1] };
const PARAMETERS: Tensors = Object.fromEntries(Object.entries(WEIGHTS).map(([name, shape]) => [name, draw(name, shape, 0.5)]));

/** features (B, T, F), hidden and cell (B, H) -> position (B, T) and the states after the last step. */
function network(): Graph {
  const state = Object.entries(WEIGHTS).map(([name, shape]) => ({ tensor: ops.input(name, shape) }));
  const [wx, wh, bias, scale, shift, up, upBias, down, downBias] = state.map(({ tensor }) => tensor);
  const features = ops.input("features", ["B", "T", F]);
  const h0 = ops.input("state/hidden", ["B", H]), c0 = ops.input("state/cell", ["B", H]);
  const { hidden, lastHidden, lastCell } = ops.lstm(ops.transpose(features, [1, 0, 2]), wx, wh, bias, h0, c0);
  const wide = ops.gelu(ops.linear(ops.layerNorm(ops.transpose(hidden, [1, 0, 2]), scale, shift), up, upBias));
  const position = ops.tanh(ops.reshape(ops.linear(wide, down, downBias), ["B", "T"]));
  return makeGraph("network", { inputs: [features, h0, c0], state,
    outputs: { position, "next/hidden": lastHidden, "next/cell": lastCell } });
}

/** The positions of causal attention over T steps, with open sizes. */
function attentive(): Graph {
  const features = ops.input("features", ["B", "T", F]);
  const { output, weights } = ops.attention(features, features, features);
  return makeGraph("attentive", { inputs: [features], outputs: { position: ops.softmax(output), weights } });
}

const feedsOf = (B: number, T: number): Tensors => ({ features: draw("features", [B, T, F]),
  "state/hidden": draw("hidden", [B, H], 0.3), "state/cell": draw("cell", [B, H], 0.3) });

async function expected(graph: Graph, feeds: Tensors, parameters = PARAMETERS): Promise<Tensors> {
  await using program = await reference.compile(graph);
  if (graph.state.length > 0) await program.write(parameters);
  return program.run(feeds);
}

function largestDifference(found: Values, oracle: Values): number {
  assert.deepEqual(found.shape, oracle.shape);
  return Math.max(...oracle.values.map((value, k) => Math.abs(value - found.values[k])));
}

describe("an exported network", () => {
  const bytes = encodeOnnx(network(), { precision: "float32", parameters: PARAMETERS, metadata: { fold: "1995", note: "é" } });

  test("is the reference to 1e-6 at any batch and length, with the LSTM as one op and its weights baked in", async () => {
    const model = await openOnnx(bytes);
    for (const [B, T] of [[1, 1], [4, 7], [2, 63]]) {
      const feeds = feedsOf(B, T), oracle = await expected(network(), feeds), found = await model.run(feeds);
      for (const name of ["position", "next/hidden", "next/cell"]) {
        assert.ok(largestDifference(found[name], oracle[name]) < 1e-6, name);
      }
    }
    await model.close();
    const text = describeOnnx(bytes);
    assert.equal(text.filter((line) => / = (LSTM|LayerNormalization|Gelu)\(/.test(line)).length, 3, text.join("\n"));
    assert.ok(text.every((line) => !/ = (Scan|FusedMatMul)\(|\(wx|, wx/.test(line)), text.join("\n"));
  });

  test("names its ports, its open sizes and its metadata", async () => {
    const model = await openOnnx(bytes);
    assert.deepEqual(model.inputs.map(({ name, shape }) => [name, shape]),
      [["features", ["B", "T", F]], ["state/hidden", ["B", H]], ["state/cell", ["B", H]]]);
    assert.deepEqual(model.outputs.map(({ name }) => name), ["position", "next/hidden", "next/cell"]);
    assert.deepEqual(model.metadata, { fold: "1995", note: "é" });
    await model.close();
  });

  test("step by step with its state fed back is the whole window to 1e-6", async () => {
    const T = 20, model = await openOnnx(bytes), feeds = feedsOf(1, T);
    const whole = Float32Array.from((await model.run(feeds))["position"].values);
    let hidden = feeds["state/hidden"], cell = feeds["state/cell"];
    for (let t = 0; t < T; t++) {
      const step = await model.run({ features: { shape: [1, 1, F], values: feeds["features"].values.slice(t * F, (t + 1) * F) },
        "state/hidden": hidden, "state/cell": cell });
      assert.ok(Math.abs(step["position"].values[0] - whole[t]) < 1e-6, `step ${t}`);
      hidden = step["next/hidden"];
      cell = step["next/cell"];
    }
    await model.close();
  });

  test("in float16 is the network whose weights were rounded, to 1e-6: nothing else is in half precision", async () => {
    const half = encodeOnnx(network(), { precision: "float16", parameters: PARAMETERS });
    const { initializer } = readModel(half, "model").graph;
    const isHalf = ({ dataType }: { dataType: number }): boolean => dataType === DATA_TYPE.float16;
    assert.equal(initializer.filter(isHalf).reduce((sum, { rawData }) => sum + rawData.length, 0),
      2 * Object.values(PARAMETERS).reduce((sum, { values }) => sum + values.length, 0));
    const rounded: Tensors = Object.fromEntries(Object.entries(PARAMETERS).map(([name, { shape, values }]) =>
      [name, { shape, values: Float32Array.from(Float16Array.from(values)) }]));
    const model = await openOnnx(half), feeds = feedsOf(4, 30);
    const found = await model.run(feeds, ["position"]);
    assert.deepEqual(Object.keys(found), ["position"]);
    const oracle = await expected(network(), feeds, rounded), exact = await expected(network(), feeds);
    assert.ok(largestDifference(found["position"], oracle["position"]) < 1e-6);
    const difference = largestDifference(found["position"], exact["position"]);
    assert.ok(difference < 2e-3 && difference > 1e-6, String(difference));
    await model.close();
  });

  test("in float64 is the reference to 1e-13", async () => {
    const model = await openOnnx(encodeOnnx(network(), { precision: "float64", parameters: PARAMETERS }));
    const feeds = feedsOf(2, 9), found = await model.run(feeds), oracle = await expected(network(), feeds);
    assert.ok(largestDifference(found["position"], oracle["position"]) < 1e-13);
    await model.close();
  });

  test("attends causally with open sizes: the causal mask is counted when it is run", async () => {
    const model = await openOnnx(encodeOnnx(attentive(), { precision: "float32" }));
    for (const [B, T] of [[2, 3], [1, 8]]) {
      const feeds = { features: draw("features", [B, T, F]) };
      const found = await model.run(feeds), oracle = await expected(attentive(), feeds);
      for (const name of ["position", "weights"]) assert.ok(largestDifference(found[name], oracle[name]) < 1e-6, name);
    }
    await model.close();
  });

  test("is the same bytes every time", () => {
    const again = encodeOnnx(network(), { precision: "float32", parameters: PARAMETERS, metadata: { fold: "1995", note: "é" } });
    assert.deepEqual(again, bytes);
  });

  test("passes ONNX's own checker, and Python's ONNX Runtime computes the same to 1e-6",
    { skip: python() === null ? NO_PYTHON : false }, async () => {
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-onnx-"));
      const feeds = feedsOf(3, 11), model = await openOnnx(bytes);
      const ours = (await model.run(feeds))["position"].values;
      const open = encodeOnnx(trainedLstm().graph, { precision: "float32" });
      const half = encodeOnnx(network(), { precision: "float16", parameters: PARAMETERS });
      for (const [name, one] of Object.entries({ network: bytes, open, half })) fs.writeFileSync(path.join(folder, name), one);
      const theirs = askPython(`
import json, sys, numpy, onnx, onnxruntime
given = json.load(sys.stdin)
for name in ("network", "open", "half"):
    onnx.checker.check_model(onnx.load(given["folder"] + "/" + name), full_check=True)
session = onnxruntime.InferenceSession(given["folder"] + "/network", providers=["CPUExecutionProvider"])
feeds = {name: numpy.array(one["values"], numpy.float32).reshape(one["shape"]) for name, one in given["feeds"].items()}
print(json.dumps(session.run(["position"], feeds)[0].ravel().tolist()))`, { folder,
        feeds: Object.fromEntries(Object.entries(feeds).map(([name, { shape, values }]) =>
          [name, { shape, values: [...values] }])) });
      fs.rmSync(folder, { recursive: true });
      assert.ok((theirs as number[]).every((value, k) => Math.abs(value - ours[k]) < 1e-6));
      await model.close();
    });
});

describe("a file that is no model is refused with its name", () => {
  const good = encodeOnnx(network(), { precision: "float32", parameters: PARAMETERS });
  const refused = async (bytes: Uint8Array, words: RegExp): Promise<void> => {
    await assert.rejects(openOnnx(bytes, { name: "model.onnx" }),
      (error) => error instanceof UserError && error.problem.startsWith("model.onnx ") && words.test(error.problem));
  };

  test("empty", async () => { await refused(new Uint8Array(0), /empty/); });
  test("text", async () => { await refused(new TextEncoder().encode("date,symbol,close\n"), /damaged|not an ONNX/); });
  test("cut in half", async () => { await refused(good.slice(0, good.length >> 1), /damaged|not an ONNX/); });
  test("zeros", async () => { await refused(new Uint8Array(4096), /damaged|not an ONNX/); });
  test("an op that nobody knows", async () => {
    const wrong = Buffer.from(good);
    const at = wrong.indexOf("LayerNormalization");
    wrong.write("LayerAbnormalizing", at);
    await refused(wrong, /cannot|can be run/);
  });
  test("missing", async () => {
    await assert.rejects(openOnnx("nowhere/model.onnx"), (error) => error instanceof UserError && /nowhere/.test(error.problem));
  });

  test("and so are feeds that do not fit: missing, unknown, of another width, of two batch sizes", async () => {
    const model = await openOnnx(good), feeds = feedsOf(2, 3);
    const wrong = { missing: { features: feeds["features"] }, unknown: { ...feeds, volume: feeds["features"] },
      width: { ...feeds, features: draw("features", [2, 3, F + 1]) }, batch: { ...feeds, "state/cell": draw("cell", [3, H]) } };
    for (const [what, bad] of Object.entries(wrong)) {
      await assert.rejects(model.run(bad),
        (error) => error instanceof UserError && /features \(B, T, 3\)/.test(error.hint), what);
    }
    await assert.rejects(model.run(feeds, ["volatility"]), UserError);
    assert.equal((await model.run(feeds))["position"].values.length, 6);
    await model.close();
  });
});

/** Two layers of LSTM, some of whose final states count, and their gradients: what the runtime rewrites. */
function trainedLstm(): { graph: Graph; feeds: Tensors } {
  const T = 6, B = 4;
  const shapes: Record<string, Shape> = { x: [T, B, F], h0: [B, H], c0: [B, H], wx0: [F, 4 * H], wh0: [H, 4 * H], b0: [4 * H],
    wx1: [H, 4 * H], wh1: [H, 4 * H], b1: [4 * H] };
  const inputs = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, ops.input(name, shape)]));
  const { x, h0, c0, wx0, wh0, b0, wx1, wh1, b1 } = inputs;
  const lower = ops.lstm(x, wx0, wh0, b0, h0, c0);
  const upper = ops.lstm(ops.mul(lower.hidden, 1.1), wx1, wh1, b1, ops.zeros([B, H]), lower.lastCell);
  const loss = ops.add(ops.total(ops.mul(upper.hidden, ops.sin(upper.hidden))),
    ops.total(ops.mul(upper.lastHidden, ops.add(lower.lastHidden, upper.lastCell))));
  const names = Object.keys(inputs);
  const slopes = gradient(loss, names.map((name) => inputs[name])).map((slope, k) => [`d ${names[k]}`, slope] as const);
  return { graph: makeGraph("trained", { inputs: Object.values(inputs), outputs: { loss, ...Object.fromEntries(slopes) } }),
    feeds: Object.fromEntries(names.map((name) => [name, draw(name, shapes[name] as number[], 0.5)])) };
}

/** Attention, layer normalisation, GELU and a gated sum, with the gradients of all of it; 6 rows. */
function tileable(): { graph: Graph; feeds: Tensors } {
  const shapes: Record<string, number[]> = { x: [6, 4, 8], mask: [4, 1], w: [8, 8], bias: [8], scale: [8], shift: [8] };
  const inputs = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, ops.input(name, shape)]));
  const { x, mask, w, bias, scale, shift } = inputs;
  const heads = ops.transpose(ops.reshape(ops.linear(x, w, bias), [6, 4, 2, 4]), [0, 2, 1, 3]);
  const { output } = ops.attention(heads, ops.mul(heads, 2), heads);
  const joined = ops.reshape(ops.transpose(output, [0, 2, 1, 3]), [6, 4, 8]);
  const normal = ops.layerNorm(ops.add(ops.mul(joined, mask), x), scale, shift);
  const [left, right] = ops.split(ops.gelu(ops.concat([normal, x], 2)), 2, [8, 8]);
  const y = ops.mul(left, ops.sub(right, ops.mean(normal, [0])));
  const names = Object.keys(inputs);
  const slopes = gradient(ops.total(ops.mul(y, ops.sin(y))), names.map((name) => inputs[name]));
  return { graph: makeGraph("tileable", { inputs: Object.values(inputs),
    outputs: { y, ...Object.fromEntries(slopes.map((slope, k) => [`d ${names[k]}`, slope])) } }),
  feeds: Object.fromEntries(names.map((name) => [name, draw(name, shapes[name], 0.5)])) };
}

describe("training", () => {
  test("in tiles computes what it computed whole, to 1e-14", async () => {
    const { graph, feeds } = tileable(), tiled = tileGraph(graph, 1);
    const loops = orderNodes(resultsOf(tiled)).filter(({ op }) => op === "scan").length;
    // Forward and backward, each cut where rows meet (the mean over rows, the weights' gradients).
    assert.ok(loops >= 2 && loops <= 8, String(loops));
    const found = await expected(tiled, feeds), oracle = await expected(graph, feeds);
    for (const [name, values] of Object.entries(oracle)) assert.ok(largestDifference(found[name], values) < 1e-14, name);
    await using program = await ortRuntime({ precision: "float64" }).compile(tiled);
    const run = await program.run(feeds);
    for (const [name, values] of Object.entries(oracle)) assert.ok(largestDifference(run[name], values) < 1e-12, name);
  });

  test("leaves small graphs whole", () => {
    const { graph } = tileable();
    assert.equal(tileGraph(graph), graph);
  });

  test("runs two LSTM layers and their gradients as the reference does, to 1e-12 in float64", async () => {
    const { graph, feeds } = trainedLstm();
    await using program = await ortRuntime({ precision: "float64" }).compile(graph);
    const found = await program.run(feeds), oracle = await expected(graph, feeds);
    for (const [name, values] of Object.entries(oracle)) assert.ok(largestDifference(found[name], values) < 1e-12, name);
  });

  test("keeps only what backpropagation needs: no cells and no gates of every step are stored", () => {
    const text = describeOnnx(encodeOnnx(trainedLstm().graph, { precision: "float32" }));
    assert.equal(text.filter((line) => line.includes(" = Scan(")).length, 4, text.join("\n"));
    // The backward loop sums the weights' gradient itself: dW + dz u^T, one Gemm per layer with u transposed.
    assert.equal(text.filter((line) => /^ .* = Gemm\(.* transB=1/.test(line)).length, 2, text.join("\n"));
  });

  test("50 steps of AdamW on a line: the loss falls a hundredfold, and every step is the reference's to 1e-12", async () => {
    const graph = regression();
    const points = draw("points", [64, 2]), noise = draw("noise", [64], 0.01);
    const target = { shape: [64], values: Float32Array.from(noise.values, (e, k) =>
      0.7 * points.values[2 * k] - 0.2 * points.values[2 * k + 1] + e) };
    const feeds = { points, target, rate: { shape: [], values: Float32Array.of(0.05) } };
    await using program = await ortRuntime({ precision: "float64" }).compile(graph);
    await using oracle = await reference.compile(graph);
    const losses: number[] = [];
    for (let step = 0; step < 50; step++) {
      const [{ loss }, { loss: wanted }] = [await program.run(feeds), await oracle.run(feeds)];
      losses.push(loss.values[0]);
      assert.ok(Math.abs(loss.values[0] - wanted.values[0]) < 1e-12, `step ${step}`);
    }
    assert.ok(losses[49] < losses[0] / 100, losses.join());
    const { parameters } = await program.read(["parameters"]);
    const [first, second] = parameters.values;
    assert.ok(Math.abs(first - 0.7) < 0.05 && Math.abs(second + 0.2) < 0.05, parameters.values.join());
  });
});

/** points (64, 2) -> target (64) by a line, least squares: a whole training step as one graph. */
function regression(): Graph {
  const [points, target, rate] = [ops.input("points", [64, 2]), ops.input("target", [64]), ops.input("rate", [])];
  const [parameters, m, v] = ["parameters", "m", "v"].map((name) => ops.input(name, [2]));
  const step = ops.input("step", []), count = ops.add(step, 1);
  const residual: Tensor = ops.sub(ops.reshape(ops.matmul(points, ops.reshape(parameters, [2, 1])), [64]), target);
  const loss = ops.reshape(ops.mean(ops.mul(residual, residual)), []);
  const [slope] = gradient(loss, [parameters]);
  const [next, nextM, nextV] = makeNode("adamw", [parameters, slope, m, v, count, rate, ops.constant(0)],
    { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 });
  return makeGraph("regression", { inputs: [points, target, rate], outputs: { loss }, state: [
    { tensor: parameters, next }, { tensor: m, next: nextM }, { tensor: v, next: nextV }, { tensor: step, next: count }] });
}
