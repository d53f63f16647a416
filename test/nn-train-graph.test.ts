/**
 * The whole training step of the LSTM against PyTorch (test/peers/torch_lstm_steps.py), and the
 * graphs among themselves.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, test } from "node:test";
import { ARCHITECTURES } from "../models/index.ts";
import { LOSS_NAMES, type LossName } from "../src/nn/loss.ts";
import type { ParameterSpec } from "../src/nn/model.ts";
import { collectParameters, countParameters, initialiseParameters, unflatten } from "../src/nn/scope.ts";
import { evaluationGraph, inferenceGraph, trainGraph, type TrainGraph } from "../src/nn/train-graph.ts";
import { ortRuntime } from "../src/runtime/ort/program.ts";
import { reference } from "../src/runtime/reference.ts";
import type { Program, Runtime, Tensors, Values } from "../src/runtime/runtime.ts";

const TORCH_NAMES = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "weight", "bias"] as const;
type TorchWeights = Record<(typeof TORCH_NAMES)[number], number[]>;
interface Peer {
  F: number; H: number; B: number; T: number; costBps: number; rate: number; decay: number; clip: number;
  lossWeights: Partial<Record<LossName, number>>;
  start: TorchWeights; gradient: TorchWeights; final: TorchWeights;
  losses: number[]; losses32: number[]; norms: number[]; terms: Record<string, number>[];
}
const PEER = JSON.parse(fs.readFileSync(path.join(import.meta.dirname, "fixtures", "torch-lstm-steps.json"), "utf8")) as Peer;
const { F, H, B, T } = PEER;
const TERMS = Object.keys(PEER.lossWeights) as LossName[];
const SIZE = { B, T, features: F, instruments: 1 };
const SETTINGS = { hidden: H, layers: 1, dropout: 0.3 };
const lstm = ARCHITECTURES["lstm"];

const double = (shape: readonly number[], values: ArrayLike<number>): Values =>
  ({ shape, values: Float64Array.from(values) });
const number = (value: number): Values => double([], [value]);
const fill = (shape: readonly number[], valueAt: (...at: number[]) => number): Values => {
  const values: number[] = [];
  const walk = (at: number[]): void => {
    if (at.length === shape.length) values.push(valueAt(...at));
    else for (let k = 0; k < shape[at.length]; k++) walk([...at, k]);
  };
  walk([]);
  return double(shape, values);
};

/** PyTorch's (4H, K), rows i, f, g, o, to our (K, 4H), columns i, f, o, g. */
function gates(weights: readonly number[], K: number): number[] {
  const order = [0, 1, 3, 2];
  return Array.from({ length: K * 4 * H }, (_, at) => {
    const k = Math.floor(at / (4 * H)), column = at % (4 * H);
    return weights[(order[Math.floor(column / H)] * H + column % H) * K + k];
  });
}

const ours = (torch: TorchWeights): Record<string, number[]> => ({
  "lstm/0/wx": gates(torch.weight_ih_l0, F), "lstm/0/wh": gates(torch.weight_hh_l0, H),
  "lstm/0/b": gates(torch.bias_ih_l0, 1), "head/position/w": torch.weight, "head/position/b": torch.bias,
});
const flatten = (specs: readonly ParameterSpec[], torch: TorchWeights): number[] =>
  specs.flatMap(({ name }) => ours(torch)[name]);

/** The batch of step k: the formulas of the script. */
function feedsOf({ dropouts }: TrainGraph, k: number): Tensors {
  return {
    features: fill([B, T, F], (b, t, f) =>
      Math.sin(1.3 * b + 0.7 * t + 2.1 * f + 0.9 * k) + 0.5 * Math.cos(0.31 * b * t + f)),
    target: fill([B, T], (b, t) => 0.01 * Math.sin(2.7 * b + 1.9 * t + 0.4 * k) + 0.002),
    scale: fill([B, T], (b, t) => 1.2 + Math.cos(0.8 * b + 0.05 * t)),
    weight: fill([B, T], (b, t) => ((b === B - 2 && t >= 13) || (b === B - 1 && t >= 5) ? 0 : 1)),
    [`dropout/${dropouts[0].name}`]: fill([T, B, H], (t, b, h) => ((7 * b + 11 * t + 13 * h + 5 * k) % 10 >= 3 ? 1 / 0.7 : 0)),
    rate: number(PEER.rate), decay: number(PEER.decay), clip: number(PEER.clip), costBps: number(PEER.costBps),
    ...Object.fromEntries(TERMS.map((name) => [`lossWeight/${name}`, number(PEER.lossWeights[name]!)])),
  };
}

function largestDifference(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  assert.equal(found.length, expected.length);
  return Math.max(...Array.from(found, (value, k) => Math.abs(value - expected[k])));
}

/** Ten steps from PyTorch's weights: losses, and the program with its last state. */
async function tenLosses(runtime: Runtime, built: TrainGraph, seen: (k: number, outputs: Tensors, program: Program) =>
Promise<void> = () => Promise.resolve()): Promise<number[]> {
  await using program = await runtime.compile(built.graph);
  await program.write({ parameters: double([built.count], flatten(built.specs, PEER.start)) });
  const losses: number[] = [];
  for (let k = 0; k < 10; k++) {
    const outputs = await program.run(feedsOf(built, k));
    losses.push(outputs["loss"].values[0]);
    await seen(k, outputs, program);
  }
  return losses;
}

describe("the LSTM's training step", () => {
  const built = trainGraph(lstm, SIZE, SETTINGS, { terms: TERMS });

  test("in float64 losses, terms, gradients and parameters of ten steps are PyTorch's to 1e-10", async () => {
    const losses = await tenLosses(reference, built, async (k, outputs, program) => {
      for (const name of TERMS) {
        assert.ok(Math.abs(outputs[`term/${name}`].values[0] - PEER.terms[k][name]) < 1e-10, `${name} of step ${k}`);
      }
      assert.ok(Math.abs(outputs["gradientNorm"].values[0] / PEER.norms[k] - 1) < 1e-10, `norm of step ${k}`);
      const { m, parameters } = await program.read(["m", "parameters"]);
      if (k === 0) {
        // The first moment after one step is a tenth of the clipped gradient.
        const clip = PEER.clip / (PEER.norms[0] + 1e-6);
        const wanted = flatten(built.specs, PEER.gradient).map((slope) => 0.1 * slope * clip);
        assert.ok(largestDifference(m.values, wanted) < 1e-12);
      }
      if (k === 9) assert.ok(largestDifference(parameters.values, flatten(built.specs, PEER.final)) < 1e-10);
    });
    assert.ok(largestDifference(losses, PEER.losses) < 1e-10);
  });

  test("in float32 on ort ten losses from one state are PyTorch's to 1e-5", async () => {
    const losses = await tenLosses(ortRuntime(), built);
    // Found 1e-6 from both: half the bar still sees a bias correction rounded in float32 (8e-6).
    assert.ok(largestDifference(losses, PEER.losses32) < 5e-6);
    assert.ok(largestDifference(losses, PEER.losses) < 5e-6);
  });

  test("padded rows change nothing: other targets there, the same losses", async () => {
    await using program = await reference.compile(built.graph);
    await program.write({ parameters: double([built.count], flatten(built.specs, PEER.start)) });
    const feeds = feedsOf(built, 0);
    const spoiled = fill([B, T], (b, t) => (feeds["weight"].values[b * T + t] === 0 ? 9 : feeds["target"].values[b * T + t]));
    const loss = (await program.run({ ...feeds, target: spoiled }))["loss"].values[0];
    assert.ok(Math.abs(loss - PEER.losses[0]) < 1e-12);
  });

  test("a target that is not a number leaves parameters, moments and step as they were", async () => {
    await using program = await reference.compile(built.graph);
    await program.write({ parameters: double([built.count], flatten(built.specs, PEER.start)) });
    await program.run(feedsOf(built, 0));
    const before = await program.read(["parameters", "m", "v", "step"]);
    const feeds = feedsOf(built, 1);
    feeds["target"].values[3] = NaN;
    assert.ok(Number.isNaN((await program.run(feeds))["loss"].values[0]));
    assert.deepEqual(await program.read(["parameters", "m", "v", "step"]), before);
  });

  test("a term of a head that the settings leave out is refused with what to say", () => {
    assert.throws(() => trainGraph(lstm, SIZE, SETTINGS, { terms: ["sharpe", "volatilityHead"] }), /heads=all/);
  });

  test("terms that are not listed are not in the graph: nothing of them is fed", () => {
    const plain = trainGraph(lstm, SIZE, SETTINGS, { terms: ["mse"] });
    const names = plain.graph.inputs.map(({ name }) => name);
    assert.ok(names.includes("lossWeight/mse") && !names.includes("lossWeight/sharpe"));
    assert.ok(!names.includes("scale") && !names.includes("costBps"));
    assert.equal(plain.positionKind, "sign");
  });

  test("two accumulated runs of one batch move as one run does", async () => {
    const start = double([built.count], flatten(built.specs, PEER.start));
    await using once = await reference.compile(built.graph);
    await once.write({ parameters: start });
    await once.run(feedsOf(built, 0));
    const twice = trainGraph(lstm, SIZE, SETTINGS, { terms: TERMS, accumulate: true });
    await using program = await reference.compile(twice.graph);
    await program.write({ parameters: start });
    await program.run({ ...feedsOf(twice, 0), apply: number(0) });
    assert.deepEqual((await program.read(["parameters"])).parameters.values, start.values);
    await program.run({ ...feedsOf(twice, 0), apply: number(1) });
    const [found, wanted] = [await program.read(["parameters", "step"]), await once.read(["parameters", "step"])];
    assert.ok(largestDifference(found.parameters.values, wanted.parameters.values) < 1e-14);
    assert.deepEqual(found.step.values, wanted.step.values);
  });

  test("auxiliary heads learn and leave the position's parameters as they would be, to the bit", async () => {
    const all = trainGraph(lstm, SIZE, { ...SETTINGS, heads: "all" },
      { terms: [...TERMS, "volatilityHead", "confidenceHead"] });
    const flat = initialiseParameters(all.specs, 3);
    await using alone = await reference.compile(built.graph);
    await using together = await reference.compile(all.graph);
    await alone.write({ parameters: double([built.count], flat.subarray(0, built.count)) });
    await together.write({ parameters: double([all.count], flat) });
    const both = { "lossWeight/volatilityHead": number(1), "lossWeight/confidenceHead": number(1) };
    for (let k = 0; k < 5; k++) {
      await alone.run(feedsOf(built, k));
      await together.run({ ...feedsOf(all, k), ...both });
    }
    const [wanted, found] = [(await alone.read(["parameters"])).parameters, (await together.read(["parameters"])).parameters];
    assert.deepEqual([...found.values.subarray(0, built.count)], [...wanted.values]);
    // With the trunk at rest (no other weight, no decay) each head's own loss falls.
    const rest = Object.fromEntries(TERMS.map((name) => [`lossWeight/${name}`, number(0)]));
    const losses: Tensors[] = [];
    await together.write({ m: double([all.count], new Float64Array(all.count)) });
    for (let k = 0; k < 8; k++) {
      losses.push(await together.run({ ...feedsOf(all, 0), ...both, ...rest, decay: number(0) }));
    }
    for (const name of ["term/volatilityHead", "term/confidenceHead"]) {
      assert.ok(losses[7][name].values[0] < losses[0][name].values[0] - 1e-3, name);
    }
  });
});

describe("graphs of one architecture", () => {
  const size = { B: 3, T: 6, features: F, instruments: 1 };
  const settings = { ...SETTINGS, layers: 2, heads: "all" };
  const specs = collectParameters(lstm, size, settings);
  const flat = initialiseParameters(specs, 11);
  const features = fill([3, 6, F], (b, t, f) => Math.sin(b + 2 * t + 3 * f));

  test("training with open masks, evaluation and inference give one position", async () => {
    const built = trainGraph(lstm, size, settings, { terms: LOSS_NAMES });
    await using training = await reference.compile(built.graph);
    await training.write({ parameters: double([built.count], flat) });
    const feeds = Object.fromEntries(built.graph.inputs.map(({ name, tensor }) =>
      [name, fill(tensor.shape as number[], () => (name === "rate" ? 0 : 1))]));
    const { position: trained } = await training.run({ ...feeds, features });
    await using evaluation = await reference.compile(evaluationGraph(lstm, size, settings));
    await evaluation.write(await training.read(["parameters"]));
    const evaluated = await evaluation.run({ features });
    await using inference = await reference.compile(inferenceGraph(lstm, size, settings));
    await inference.write(unflatten(specs, flat));
    const inferred = await inference.run({ features });
    assert.deepEqual(evaluated["position"].values, trained.values);
    assert.deepEqual(inferred, evaluated);
    assert.ok(inferred["volatility"].values.every((x) => x > 0));
    assert.ok(inferred["confidence"].values.every((x) => x > 0 && x < 1));
  });

  test("a network that forecasts holds full positions, in training and after it", async () => {
    const built = trainGraph(lstm, size, settings, { terms: ["mse"] });
    await using program = await reference.compile(inferenceGraph(lstm, size, settings, { positionKind: built.positionKind }));
    await program.write(unflatten(specs, flat));
    const { position } = await program.run({ features });
    assert.ok(position.values.every((x) => Math.abs(x) === 1) && new Set(position.values).size === 2);
  });

  test("a volatility is never less than a thousandth of 15 % a year, however sure the network is", async () => {
    await using program = await reference.compile(inferenceGraph(lstm, size, settings));
    await program.write({ ...unflatten(specs, flat), "head/volatility/b": double([1], [-1e4]) });
    const { volatility } = await program.run({ features });
    volatility.values.forEach((x) => { assert.ok(Math.abs(x / (0.15e-3 / Math.sqrt(252)) - 1) < 1e-12); });
  });

  test("settings say the target of volatility: 10 % a year of 100 rows is 1 % a row, in heads and losses", async () => {
    const aimed = { rows: 1, heads: "all", volatilityTarget: 0.1, periods: 100 };
    const built = trainGraph(ARCHITECTURES["linear"], size, aimed, { terms: ["mse"] });
    await using program = await reference.compile(built.graph);
    const feeds = Object.fromEntries(built.graph.inputs.map(({ name, tensor }) =>
      [name, fill(tensor.shape as number[], () => (name === "target" ? 0.02 : 1))]));
    assert.ok(Math.abs((await program.run(feeds))["term/mse"].values[0] - 4) < 1e-12);
    await using inference = await reference.compile(evaluationGraph(ARCHITECTURES["linear"], size, aimed));
    const { volatility } = await inference.run({ features });
    assert.ok(volatility.values.every((x) => Math.abs(x / 0.01 - 1.001) < 1e-12));
  });

  test("two halves with carried state are the whole window", async () => {
    await using whole = await reference.compile(inferenceGraph(lstm, size, settings));
    await using carried = await reference.compile(inferenceGraph(lstm, size, settings, { carry: true }));
    for (const program of [whole, carried]) await program.write(unflatten(specs, flat));
    const wanted = (await whole.run({ features }))["position"].values;
    const half = (from: number): Values => fill([3, 3, F], (b, t, f) => Math.sin(b + 2 * (t + from) + 3 * f));
    const zero = double([3, H], new Float64Array(3 * H));
    let state: Tensors = Object.fromEntries(["lstm/0/hidden", "lstm/0/cell", "lstm/1/hidden", "lstm/1/cell"]
      .map((name) => [`state/${name}`, zero]));
    const found: Values[] = [];
    for (const from of [0, 3]) {
      const outputs = await carried.run({ features: half(from), ...state });
      found.push(outputs["position"]);
      state = Object.fromEntries(Object.keys(state).map((name) => [name, outputs[name.replace("state/", "final/")]]));
    }
    const joined = fill([3, 6], (b, t) => found[t < 3 ? 0 : 1].values[b * 3 + t % 3]);
    assert.ok(largestDifference(joined.values, wanted) < 1e-15);
  });

  test("initial values depend on seed and name only", () => {
    assert.deepEqual(initialiseParameters(specs, 11), flat);
    assert.notDeepEqual(initialiseParameters(specs, 12), flat);
    const fewer = collectParameters(lstm, size, { ...settings, heads: "position" });
    const shared = unflatten(specs, flat), alone = unflatten(fewer, initialiseParameters(fewer, 11));
    for (const { name } of fewer) assert.deepEqual(alone[name], shared[name]);
    assert.equal(countParameters(specs) - countParameters(fewer), 2 * (H + 1));
  });
});
