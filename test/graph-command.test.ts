/** `dmn graph` as a person runs it: architectures, model files, and what it refuses. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import { ARCHITECTURES } from "../models/index.ts";
import { UserError } from "../src/base/error.ts";
import { hashOf } from "../src/base/file.ts";
import { parseGraph, printGraph } from "../src/graph/text.ts";
import { collectParameters, countParameters, unflatten } from "../src/nn/scope.ts";
import { inferenceGraph } from "../src/nn/train-graph.ts";
import { encodeOnnx } from "../src/runtime/ort/encode.ts";
import { writeArtifact, type Artifact } from "../src/train/artifact.ts";
import { settingsOf } from "../src/train/settings.ts";
import { describeModel, graphText, type GraphReport, type GraphRequest } from "../src/workflow/graph.ts";
import { testContext } from "./outside.ts";

const held = testContext(), { context } = held, { root } = context;
after(() => { held[Symbol.dispose](); });

const describeAs = (model: string, more: Partial<GraphRequest> = {}): GraphReport =>
  describeModel({ model, as: "ir", set: {}, isTraining: false, ...more }, context);
const DOOR = path.join(import.meta.dirname, "..", "bin", "dmn.js");

/** An exported LSTM of 4 inputs and 5 units. */
const { lstm } = ARCHITECTURES, SIZE = { features: 4, instruments: 2 };
const settings = settingsOf(lstm, { hidden: 5 });
const graph = inferenceGraph(lstm, SIZE, settings);
const specs = collectParameters(lstm, { ...SIZE, B: 1, T: 2 }, settings);
const exportWith = (metadata: Record<string, string>): Uint8Array => encodeOnnx(graph, { precision: "float32", metadata,
  parameters: unflatten(specs, new Float32Array(countParameters(specs))) });
const write = (name: string, bytes: Uint8Array): string => {
  const file = path.join(root, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, bytes);
  return file;
};

describe("architectures", () => {
  test("lstm has 4 * 40 * (8 + 40 + 1) + 41 = 7,881 parameters and is one block and its head", () => {
    const report = describeAs("lstm");
    assert.equal(report.parameters, 7881);
    assert.equal(report.text.match(/= lstm\(/g)?.length, 1);
    assert.deepEqual(report.sizes, { B: 128, T: 63 });
    assert.match(graphText(report), /\n\n\d+ nodes, 7,881 parameters; intermediate values take \d\.\d MB at B = 128, T = 63/);
  });

  test("settings count: 4 * 16 * (8 + 16 + 1) + 17 = 1,617 with 16 hidden units", () => {
    assert.equal(describeAs("lstm", { set: { hidden: 16 } }).parameters, 1617);
    assert.throws(() => describeAs("lstm", { set: { hiden: 16 } }), /did you mean "hidden"/);
  });

  for (const model of Object.keys(ARCHITECTURES)) {
    test(`${model}: its text is a graph, of the network and of the training step, and it has ONNX nodes`, () => {
      for (const isTraining of [false, true]) {
        const { text } = describeAs(model, { isTraining, set: { lookback: 21, batch: 4 } });
        assert.equal(printGraph(parseGraph(`${text}\n`)).trimEnd(), text);
      }
      assert.match(describeAs(model, { as: "onnx" }).text, /^position = |\nposition = /);
    });
  }

  test("a training step keeps parameters, moments and the step, and is as large as its batch", () => {
    const of = (batch: number): GraphReport => describeAs("linear", { isTraining: true, set: { batch } });
    for (const name of ["parameters", "m", "v", "step"]) assert.match(of(4).text, new RegExp(`\nnext ${name} = `));
    assert.deepEqual(of(4).sizes, {});
    assert.ok(of(64).sumBytes > of(4).sumBytes);
  });
});

describe("model files", () => {
  const file = write("network.onnx", exportWith({ "dmn.graph": printGraph(graph) }));

  test("a file gives back the graph that was exported, with 4 * 5 * (4 + 5 + 1) + 6 = 206 parameters", () => {
    const report = describeAs(file);
    assert.equal(`${report.text}\n`, printGraph(graph));
    assert.equal(report.parameters, 206);
  });

  test("its ONNX nodes are its own: one LSTM, and no line of ours", () => {
    const { text } = describeAs(file, { as: "onnx" });
    assert.equal(text.match(/ = LSTM\(/g)?.length, 1);
    assert.doesNotMatch(text, /%/);
  });

  test("an artifact is known by its name", async () => {
    const bytes = fs.readFileSync(file);
    write("models/first/model.onnx", bytes);
    await writeArtifact(root, artifactOf("first", { "model.onnx": hashOf(bytes) }));
    assert.equal(`${describeAs("first").text}\n`, printGraph(graph));
    assert.deepEqual(describeAs("first").sizes, { B: 128, T: 21 });
    assert.throws(() => describeAs("frist"), /did you mean "first"/);
  });

  const refusals: readonly (readonly [string, () => string, Partial<GraphRequest>, RegExp])[] = [
    ["a file that is not there", () => path.join(root, "none.onnx"), {}, /there is no file .*none\.onnx/],
    ["a file cut short", () => write("cut.onnx", fs.readFileSync(file).subarray(0, 700)), {}, /cut\.onnx is damaged/],
    ["a file of somebody else", () => write("other.onnx", exportWith({})), {}, /was not exported by dmn/],
    ["a graph whose text is damaged",
      () => write("text.onnx", exportWith({ "dmn.graph": printGraph(graph).replace("lstm(", "lstn(") })), {},
      /line \d+ of the graph's text has no op: lstn/],
    ["settings of a trained model", () => file, { set: { hidden: 3 } }, /is trained: hidden cannot be changed/],
    ["the training step of a trained model", () => file, { isTraining: true }, /is trained: its file holds no training step/],
    ["a model that nobody knows", () => "zebra", {}, /no architecture or trained model "zebra"/],
  ];
  for (const [what, make, more, expected] of refusals) {
    test(`refuses ${what} in one sentence`, () => {
      assert.throws(() => describeAs(make(), more), (error) => {
        assert.ok(error instanceof UserError, String(error));
        assert.match(error.problem, expected);
        return true;
      });
    });
  }
});

function artifactOf(name: string, files: Record<string, string>): Artifact {
  const seed = { seed: 0, file: "model.onnx", float16: "model.onnx", epochs: 1, bestEpoch: 1, validationSharpe: 1,
    validationSharpeNet: 1, float32Error: 0, float16Error: 0, unrounded: [], loss: 1,
    seconds: 1, parameters: 206 };
  const days = { trainFrom: "2000-01-03", trainTo: "2004-12-31", testFrom: "2005-01-03", testTo: "2009-12-31" };
  return { version: 1, name, architecture: "lstm", settings: {}, lookback: 21, mode: "replay",
    dataset: { name: "market", fingerprint: "0", isSynthetic: true }, recipe: { name: "dmn", hash: "0" },
    features: ["a", "b", "c", "d"], symbols: ["A", "B"], timeframe: "1d", calendar: "us-equity", periodsPerYear: 252,
    volatilityTarget: 0.15, folds: [{ name: "2005", ...days, trainDays: 1, trainRows: 1, validationRows: 1, settings: {},
      seeds: [seed], trials: [], importance: [] }],
    importanceStability: null, files, opset: 22, codeVersion: "0", command: "dmn train-export",
    createdAt: "2020-01-01T00:00:00Z" };
}

describe("on the command line", () => {
  const dmn = (...args: string[]): ReturnType<typeof spawnSync> =>
    spawnSync(process.execPath, [DOOR, "graph", ...args], { encoding: "utf8" });

  test("--set may be repeated, before and after the model, and --json holds the report", () => {
    const ran = dmn("--set", "width=16", "encoder", "--set", "attentionHeads=2", "--set", "layers=1", "--json");
    const report = JSON.parse(String(ran.stdout)) as GraphReport;
    assert.equal(report.text.match(/= attention\(/g)?.length, 1);
    assert.ok(report.peakBytes > 0);
  });

  test("a setting without a value, and no model at all, are one sentence", () => {
    const unset = dmn("lstm", "--set", "hidden");
    assert.equal(unset.status, 2);
    assert.match(String(unset.stderr), /a setting such as hidden=40/);
    const nameless = dmn();
    assert.equal(nameless.status, 2);
    assert.match(String(nameless.stderr), /needs a model to print\n +name an architecture, as in: dmn graph lstm/);
  });
});
