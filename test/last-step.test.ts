/** A graph's last step is what the whole graph says there, from less work. In float64, on the reference runtime. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ARCHITECTURES } from "../models/index.ts";
import { random } from "../src/base/random.ts";
import { divide, multiply } from "../src/graph/dimension.ts";
import { makeGraph, resultsOf, type Graph } from "../src/graph/graph.ts";
import { lastStep, oneQueryOf } from "../src/graph/last-step.ts";
import * as op from "../src/graph/ops.ts";
import { orderNodes } from "../src/graph/order.ts";
import { bindSizes } from "../src/graph/rewrite.ts";
import type { Node } from "../src/graph/tensor.ts";
import { chooseSettings, type Settings } from "../src/nn/hyperparameter.ts";
import { inferenceGraph } from "../src/nn/train-graph.ts";
import { reference } from "../src/runtime/reference.ts";
import type { Tensors } from "../src/runtime/runtime.ts";

const B = 3, T = 7, F = 4;
const SMALL: Readonly<Record<string, Settings>> = {
  lstm: { hidden: 5, layers: 2 }, transformer: { hidden: 6, attentionHeads: 2 },
  encoder: { width: 6, attentionHeads: 2, layers: 2 }, mlp: { hidden: 5, rows: 3 }, linear: { rows: 2 },
  meta: { hidden: 5 },
};

function inference(name: string, said: Settings = {}, options = {}): Graph {
  const architecture = ARCHITECTURES[name];
  const settings = chooseSettings(name, architecture.hyperparameters, { ...SMALL[name], ...said });
  return inferenceGraph(architecture, { features: F, instruments: 3 }, { ...settings, heads: "all" }, options);
}

/** Outputs of a graph fed with noise that depends on a name alone. */
async function run(open: Graph): Promise<Tensors> {
  const graph = bindSizes(open, { B, T });
  const fed: Record<string, { shape: number[]; values: Float64Array }> = {};
  for (const { name, tensor } of [...graph.inputs, ...graph.state]) {
    const shape = tensor.shape as number[], stream = random(3, "last step", name);
    const count = shape.reduce((a, b) => a * b, 1);
    fed[name] = { shape, values: Float64Array.from({ length: count },
      () => (name === "instrument" ? Math.floor(3 * stream.uniform()) : 0.7 * stream.normal())) };
  }
  await using program = await reference.compile(graph);
  await program.write(Object.fromEntries(graph.state.map(({ name }) => [name, fed[name]])));
  return program.run(Object.fromEntries(graph.inputs.map(({ name }) => [name, fed[name]])));
}

async function assertLastStep(graph: Graph, options: Parameters<typeof lastStep>[1] = {}): Promise<void> {
  const narrow = lastStep(graph, options);
  assert.deepEqual(narrow.inputs.map(({ name }) => name), graph.inputs.map(({ name }) => name));
  assert.deepEqual(narrow.outputs.map(({ name }) => name),
    graph.outputs.map(({ name }) => name).filter((name) => !name.startsWith("view/")));
  const all = await run(graph), last = await run(narrow);
  for (const { name, tensor } of graph.outputs.filter((one) => !one.name.startsWith("view/"))) {
    const hasTime = tensor.shape[1] === "T";
    const wanted = hasTime ? Array.from({ length: B }, (_, b) => all[name].values[b * T + T - 1]) : [...all[name].values];
    assert.deepEqual(last[name].shape, hasTime ? [B, 1] : all[name].shape, name);
    wanted.forEach((value, k) => {
      assert.ok(Math.abs(last[name].values[k] - value) < 1e-12, `${name}[${k}] ${last[name].values[k]}, not ${value}`);
    });
    assert.ok(new Set(wanted).size > 1, `${name} tells nothing`);
  }
}

const nodesOf = (graph: Graph): Node[] => orderNodes(resultsOf(graph));

/** Multiplications of all products at B 1, T 7. */
function multiplications(open: Graph): number {
  return nodesOf(bindSizes(open, { B: 1, T })).reduce((sum, { op: name, inputs: [a, b], outputs: [y] }) => {
    const rows = y.shape.reduce<number>((count, size) => count * (size as number), 1);
    if (name === "attention") return sum + 2 * rows * T;
    const inner = name === "matmul" || name === "linear" ? a.shape.at(-1) as number : 0;
    return sum + (b === undefined ? 0 : rows * inner);
  }, 0);
}

describe("last step", () => {
  for (const name of Object.keys(ARCHITECTURES)) {
    test(`of ${name}: all heads are what they are at step 7 of 7`, () => assertLastStep(inference(name)));
  }
  test("of an encoder with learned positions", () => assertLastStep(inference("encoder", { positions: "learned" })));
  test("of an LSTM that carries its state, which comes out as before",
    () => assertLastStep(inference("lstm", {}, { carry: true })));
  test("of an encoder and a transformer whose attention stays whole", async () => {
    for (const name of ["encoder", "transformer"]) await assertLastStep(inference(name), { attention: "whole" });
  });

  test("of an LSTM stack the head sees one row: 5 multiplications, not 35", () => {
    const graph = inference("lstm", {}), head = (of: Graph): number => multiplications(of);
    // Three heads; the LSTM block's own products are not counted here.
    assert.deepEqual([head(graph), head(lastStep(graph))], [3 * 35, 3 * 5]);
  });

  test("of one encoder layer of width 8: 2,280 multiplications of 6,552", () => {
    const graph = inference("encoder", { width: 8, attentionHeads: 2, layers: 1 });
    // 7 rows of 4 x 8 and 8 x 24, 7 x 7 x 8 twice, 7 rows of 8 x 8, 8 x 32 and 32 x 8, three heads of 8:
    const before = 7 * (4 * 8 + 8 * 24) + 2 * 7 * 7 * 8 + 7 * (8 * 8 + 2 * 8 * 32 + 3 * 8);
    const after = 7 * (4 * 8 + 8 * 24) + 2 * 7 * 8 + (8 * 8 + 2 * 8 * 32 + 3 * 8);
    assert.deepEqual([multiplications(graph), multiplications(lastStep(graph))], [before, after]);
    assert.ok(after < before / 2);
  });

  test("attention of the last of three layers becomes one query, which is recognised with its scale 1 / sqrt(3)", () => {
    const graph = lastStep(inference("encoder", { layers: 3 }));
    assert.equal(nodesOf(graph).filter((node) => node.op === "attention").length, 2);
    const found = nodesOf(graph).map(oneQueryOf).filter((one) => one !== null);
    assert.equal(found.length, 1);
    assert.deepEqual([found[0].q.shape, found[0].k.shape, found[0].v.shape],
      [["B", 2, 1, 3], ["B", 2, "T", 3], ["B", 2, "T", 3]]);
    assert.equal(found[0].scale, 1 / Math.sqrt(3));
    assert.equal(nodesOf(inference("encoder")).some((node) => oneQueryOf(node) !== null), false);
  });

  test("rows that are needed in full are computed once: their last step is cut out of them", async () => {
    const x = op.input("x", ["B", "T", 4]), w = op.input("w", [4, 2]);
    const rows = op.tanh(op.matmul(op.reshape(x, ["B*T", 4]), w));
    const graph = makeGraph("both", { inputs: [x], state: [{ tensor: w }], outputs: {
      one: op.reshape(op.sum(rows, [1]), ["B", "T"]), total: op.total(rows) } });
    const narrow = lastStep(graph);
    assert.equal(nodesOf(narrow).filter((node) => node.op === "matmul").length, 1);
    const all = await run(graph), last = await run(narrow);
    assert.deepEqual([...last.one.values], [6, 13, 20].map((at) => all.one.values[at]));
    assert.deepEqual(last.total, all.total);
  });

  test("rows in time-major order, (T, B, 4) as (T*B, 4), keep their places", async () => {
    const x = op.input("x", ["B", "T", 4]), w = op.input("w", [4, 3]);
    const rows = op.matmul(op.reshape(op.transpose(x, [1, 0, 2]), ["B*T", 4]), w);
    const y = op.transpose(op.reshape(op.sum(rows, [1]), ["T", "B"]), [1, 0]);
    await assertLastStep(makeGraph("time major", { inputs: [x], state: [{ tensor: w }], outputs: { y } }));
  });

  test("a graph whose T is bound is refused", () => {
    assert.throws(() => lastStep(bindSizes(inference("linear"), { B: 1, T: 60 })), /no open T/);
  });
});

describe("division of dimensions", () => {
  test("4*B*T by 2*B is 2*T; B by T and 3*B by 2 are nothing", () => {
    assert.equal(divide(multiply(4, "B", "T"), multiply(2, "B")), "2*T");
    assert.deepEqual([divide("B", "B"), divide(6, 3), divide("B*B", "B")], [1, 2, "B"]);
    assert.deepEqual([divide("B", "T"), divide("3*B", 2), divide(5, "B")], [null, null, null]);
  });
});
