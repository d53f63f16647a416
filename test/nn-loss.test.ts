/**
 * Losses, clip and AdamW against PyTorch in float64 (test/peers/torch_losses.py), and against their
 * definitions.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, test } from "node:test";
import { random } from "../src/base/random.ts";
import { gradient } from "../src/graph/gradient.ts";
import { makeGraph } from "../src/graph/graph.ts";
import { concat, constant, input, mul, sub, tanh, total } from "../src/graph/ops.ts";
import { orderNodes } from "../src/graph/order.ts";
import type { Tensor } from "../src/graph/tensor.ts";
import { zerosInit } from "../src/nn/init.ts";
import { LOSS_NAMES, LOSS_TERMS, lossParts, positionKindOf, type LossName } from "../src/nn/loss.ts";
import type { ParameterSpec } from "../src/nn/model.ts";
import { accumulate, clipGradient, isFinite, updateParameters } from "../src/nn/optimizer.ts";
import { rateAt } from "../src/nn/schedule.ts";
import { sliceParameters } from "../src/nn/scope.ts";
import { reference } from "../src/runtime/reference.ts";
import type { Tensors, Values } from "../src/runtime/runtime.ts";
import { checkGradient } from "./conformance/finite-difference.ts";

interface Peer {
  B: number; T: number; costBps: number;
  inputs: Record<"score" | "target" | "weight" | "scale" | "volatility" | "confidence", number[]>;
  losses: Record<LossName, { value: number; gradient: Record<string, number[]> }>;
  optimizer: { path: number[][]; norms: number[] };
}
const PEER = JSON.parse(fs.readFileSync(path.join(import.meta.dirname, "fixtures", "torch-losses.json"), "utf8")) as Peer;

const double = (shape: readonly number[], values: readonly number[]): Values =>
  ({ shape, values: Float64Array.from(values) });
const number = (value: number): Values => double([], [value]);

/** Every term on inputs (B, T) called as in the fixture. */
function lossOf(name: LossName, B: number, T: number): { inputs: Record<string, Tensor>; loss: Tensor } {
  const rows = (key: string): Tensor => input(key, [B, T]);
  const inputs = { score: rows("score"), target: rows("target"), weight: rows("weight"), scale: rows("scale"),
    volatility: rows("volatility"), confidence: rows("confidence"), costBps: input("costBps", []) };
  return { inputs, loss: LOSS_TERMS[name].of(lossParts({ ...inputs, position: tanh(inputs.score) })) };
}

async function evaluate(outputs: Record<string, Tensor>, feeds: Tensors): Promise<Tensors> {
  const inputs = orderNodes(Object.values(outputs)).flatMap((node) => (node.op === "input" ? node.outputs : []));
  const graph = makeGraph("test", { inputs, outputs });
  await using program = await reference.compile(graph);
  return program.run(Object.fromEntries(graph.inputs.map(({ name }) => [name, feeds[name]])));
}

const feedsOf = (peer: Peer): Tensors => ({ costBps: number(peer.costBps),
  ...Object.fromEntries(Object.entries(peer.inputs).map(([name, values]) => [name, double([peer.B, peer.T], values)])) });

function assertClose(found: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number, what: string): void {
  assert.equal(found.length, expected.length, what);
  for (let k = 0; k < found.length; k++) {
    assert.ok(Math.abs(found[k] - expected[k]) <= tolerance * Math.max(1, Math.abs(expected[k])),
      `${what}[${k}] is ${found[k]}, not ${expected[k]}`);
  }
}

/** Net captured returns of rows that count, by loops. */
function capturedOf({ B, T, costBps, inputs }: Peer): number[] {
  const found: number[] = [];
  const held = (k: number): number => Math.tanh(inputs.score[k]) * inputs.scale[k];
  for (let k = 0; k < B * T; k++) {
    if (inputs.weight[k] === 0) continue;
    const isCharged = k % T > 0 && inputs.weight[k - 1] === 1;
    const cost = isCharged ? costBps * 1e-4 * Math.abs(held(k) - held(k - 1)) : 0;
    found.push(Math.tanh(inputs.score[k]) * inputs.target[k] - cost);
  }
  return found;
}

describe("losses", () => {
  for (const name of LOSS_NAMES) {
    test(`${name} and its gradient are PyTorch's to 1e-12, with padding, costs and a part of an atom`, async () => {
      const { inputs, loss } = lossOf(name, PEER.B, PEER.T);
      const wanted = PEER.losses[name];
      const keys = Object.keys(wanted.gradient);
      const slopes = gradient(loss, keys.map((key) => inputs[key]));
      const found = await evaluate({ loss, ...Object.fromEntries(keys.map((key, k) => [`d/${key}`, slopes[k]])) },
        feedsOf(PEER));
      assertClose(found["loss"].values, [wanted.value], 1e-12, name);
      for (const key of keys) assertClose(found[`d/${key}`].values, wanted.gradient[key], 1e-12, `d ${name} / d ${key}`);
    });

    test(`the gradient of ${name} is that of finite differences`, async () => {
      const { inputs, loss } = lossOf(name, PEER.B, PEER.T);
      const wrt = Object.keys(PEER.losses[name].gradient).map((key) => inputs[key]);
      await checkGradient(loss, wrt, feedsOf(PEER), { step: 1e-6 });
    });
  }

  test("CVaR is the least value of Rockafellar and Uryasev's function over all thresholds, for any number of rows", async () => {
    const stream = random(5, "cvar");
    for (const [B, T] of [[1, 1], [1, 7], [4, 5], [8, 5], [5, 13]]) {
      const draw = (): number[] => Array.from({ length: B * T }, () => stream.normal());
      const weight = draw().map((x, k) => (k === 0 || x > -1 ? 1 : 0));
      const peer: Peer = { ...PEER, B, T, costBps: 2, inputs: { score: draw(), target: draw().map((x) => x * 0.01), weight,
        scale: draw().map(Math.abs), volatility: draw(), confidence: draw() } };
      const losses = capturedOf(peer).map((x) => -x);
      const tail = 0.05 * losses.length;
      // Piecewise linear and convex: its least value is at one of the sample's points.
      const least = Math.min(...losses.map((c) => c + losses.reduce((sum, l) => sum + Math.max(l - c, 0), 0) / tail));
      const { loss } = lossOf("cvar", B, T);
      assertClose((await evaluate({ loss }, feedsOf(peer)))["loss"].values, [least], 1e-12, `CVaR of ${B} x ${T}`);
    }
  });

  test("constant returns have a finite Sharpe loss and a finite gradient", async () => {
    const { inputs, loss } = lossOf("sharpe", 2, 3);
    const fill = (value: number): Values => double([2, 3], Array<number>(6).fill(value));
    const found = await evaluate({ loss, slope: gradient(loss, [inputs.score])[0] }, { costBps: number(0), weight: fill(1),
      scale: fill(1), score: fill(20), target: fill(0.001) });
    // Deviation sqrt(1e-9): -0.001 / sqrt(1e-9) * sqrt(252).
    assertClose(found["loss"].values, [-0.001 / Math.sqrt(1e-9) * Math.sqrt(252)], 1e-12, "loss");
    assert.ok(found["slope"].values.every(Number.isFinite));
  });

  test("another target of volatility: daily returns of deviation 2 % are 20 % a year of 100 days", async () => {
    const aim = { annual: 0.15, periods: 100 }, row = (name: string): Tensor => input(name, [1, 2]);
    const parts = lossParts({ position: row("position"), score: row("score"), target: row("target"), weight: row("weight"),
      scale: row("scale"), costBps: constant(0), volatility: null, confidence: null }, aim);
    const values = (a: number, b: number): Values => double([1, 2], [a, b]);
    const found = await evaluate({ sharpe: LOSS_TERMS.sharpe.of(parts), mse: LOSS_TERMS.mse.of(parts),
      deviation: LOSS_TERMS.volatilityDeviation.of(parts) }, { position: values(1, 1), target: values(0.03, -0.01),
      weight: values(1, 1), scale: values(1, 1), score: values(3, 0) });
    // Mean 0.01, deviation 0.02: a ratio of 5 a year, 5 % above 15 %; the target is 2 and -2/3
    // deviations of 1.5 %.
    assertClose(found["sharpe"].values, [-5], 1e-5, "Sharpe");
    assertClose(found["deviation"].values, [0.05], 1e-5, "deviation");
    assertClose(found["mse"].values, [(1 + 4 / 9) / 2], 1e-12, "mse");
  });

  test("CVaR of gains only is the least gain with its sign turned, whatever lies in the padding", async () => {
    const { loss } = lossOf("cvar", 1, 4), row = (...values: number[]): Values => double([1, 4], values);
    const found = await evaluate({ loss }, { score: row(20, 20, 20, 20), target: row(0.03, 0.01, 0.02, -9),
      weight: row(1, 1, 1, 0), scale: row(1, 1, 1, 1), costBps: number(0) });
    assertClose(found["loss"].values, [-0.01], 1e-12, "CVaR");
  });

  test("a confidence of exactly 1 in the wrong sign costs -log(1e-7), not infinity", async () => {
    const { inputs, loss } = lossOf("confidenceHead", 1, 2), row = (a: number, b: number): Values => double([1, 2], [a, b]);
    const found = await evaluate({ loss, slope: gradient(loss, [inputs.confidence])[0] }, { score: row(1, 1),
      target: row(-0.1, 0.1), weight: row(1, 1), confidence: row(1, 1), scale: row(1, 1), costBps: number(0) });
    assertClose(found["loss"].values, [-Math.log(1e-7) / 2], 1e-12, "loss");
    assert.ok(found["slope"].values.every(Number.isFinite));
  });

  test("a batch of padding only has losses that are numbers", async () => {
    for (const name of LOSS_NAMES) {
      const feeds = { ...feedsOf(PEER), weight: double([PEER.B, PEER.T], PEER.inputs.weight.map(() => 0)) };
      const value = (await evaluate({ loss: lossOf(name, PEER.B, PEER.T).loss }, feeds))["loss"].values[0];
      assert.ok(Number.isFinite(value), `${name} is ${value}`);
    }
  });

  test("a network trained to forecast holds the sign of its forecast, and tanh as soon as positions are trained", () => {
    assert.equal(positionKindOf(["mse"]), "sign");
    assert.equal(positionKindOf(["binary", "volatilityHead"]), "sign");
    assert.equal(positionKindOf(["mse", "sharpe"]), "tanh");
    assert.equal(positionKindOf(["sharpe", "turnover"]), "tanh");
  });
});

const SPECS: readonly ParameterSpec[] = [
  { name: "a", shape: [3], init: zerosInit },
  { name: "b", shape: [2], init: zerosInit, maxNorm: 0.5 },
];

/** The quadratic of the fixture, as a step with state. */
function quadraticStep(): Parameters<typeof makeGraph>[1] {
  const vector = (name: string): Tensor => input(name, [5]), one = (name: string): Tensor => input(name, []);
  const state = { parameters: vector("parameters"), m: vector("m"), v: vector("v"), step: one("step") };
  const feeds = { rate: one("rate"), decay: one("decay"), clip: one("clip") };
  const [size, a, b] = [one("size"), vector("a"), vector("b")];
  const joined = concat([...sliceParameters(SPECS, state.parameters).values()], 0);
  const error = sub(joined, b);
  const loss = mul(size, total(mul(a, mul(error, error))));
  const { next, gradientNorm } = updateParameters(state, gradient(loss, [joined])[0], feeds, SPECS, isFinite(loss));
  return { inputs: [size, a, b, ...Object.values(feeds)], outputs: { loss, gradientNorm },
    state: (Object.keys(state) as (keyof typeof state)[]).map((key) => ({ tensor: state[key], next: next[key] })) };
}
const QUADRATIC = { a: double([5], [3, 0.5, 20, 1, 0.1]), b: double([5], [1, -2, 0.3, 4, -1]), decay: number(0.05),
  clip: number(1) };
const START = double([5], [0.2, -0.1, 0.7, 0.4, 0.1]);

describe("the optimizer", () => {
  test("ten steps equal PyTorch's AdamW, clip and a cut norm to 1e-12", async () => {
    await using program = await reference.compile(makeGraph("quadratic", quadraticStep()));
    await program.write({ parameters: START });
    for (let step = 0; step < 10; step++) {
      const { gradientNorm } = await program.run({ ...QUADRATIC, rate: number(0.1 / (1 + step)),
        size: number(step % 2 === 0 ? 1 : 0.01) });
      assertClose(gradientNorm.values, [PEER.optimizer.norms[step]], 1e-12, "norm");
      const { parameters } = await program.read(["parameters"]);
      assertClose(parameters.values, PEER.optimizer.path[step], 1e-12, `parameters after ${step + 1} steps`);
    }
  });

  test("a loss that is not a number, and an infinite gradient, leave every state as it was", async () => {
    await using program = await reference.compile(makeGraph("quadratic", quadraticStep()));
    const names = ["parameters", "m", "v", "step"];
    await program.write({ parameters: START });
    await program.run({ ...QUADRATIC, rate: number(0.1), size: number(1) });
    const before = await program.read(names);
    for (const size of [NaN, Infinity, 1e200]) {
      const { gradientNorm } = await program.run({ ...QUADRATIC, rate: number(0.1), size: number(size) });
      assert.ok(!(gradientNorm.values[0] < 1e38));
      assert.deepEqual(await program.read(names), before);
    }
    // A finite loss whose gradient is not: 1e60 (p - 1e-20)^2 at p = 0 is 1e20, its slope -2e40.
    await program.write({ parameters: double([5], [0, -0.1, 0.7, 0.4, 0.1]) });
    const steep = { a: double([5], [1e60, 0.5, 20, 1, 0.1]), b: double([5], [1e-20, -2, 0.3, 4, -1]) };
    const found = await program.run({ ...QUADRATIC, ...steep, rate: number(0.1), size: number(1) });
    assert.ok(found["loss"].values[0] < 1e21);
    assert.deepEqual([...(await program.read(["m"])).m.values], [...before["m"].values]);
    assert.equal((await program.read(["step"])).step.values[0], 1);
    await program.run({ ...QUADRATIC, rate: number(0.1), size: number(1) });
    assert.equal((await program.read(["step"])).step.values[0], 2);
  });

  test("accumulated gradients are averaged over the runs that were finite, and start anew after an update", async () => {
    const held = { sum: input("sum", [2]), count: input("count", []) };
    const slope = input("slope", [2]), apply = input("apply", []);
    const { next, mean, shouldUpdate } = accumulate(held, slope, constant(1), apply);
    await using program = await reference.compile(makeGraph("accumulate", { inputs: [slope, apply],
      state: [{ tensor: held.sum, next: next.sum }, { tensor: held.count, next: next.count }],
      outputs: { mean, shouldUpdate } }));
    const run = async (values: number[], now: number): Promise<Tensors> =>
      program.run({ slope: double([2], values), apply: number(now) });
    assert.equal((await run([1, 2], 0)).shouldUpdate.values[0], 0);
    await run([NaN, 7], 0);
    const found = await run([3, 6], 1);
    assert.deepEqual([...found.mean.values], [2, 4]);
    assert.equal(found.shouldUpdate.values[0], 1);
    assert.deepEqual([...(await run([5, 5], 1)).mean.values], [5, 5]);
    assert.equal((await run([NaN, 5], 1)).shouldUpdate.values[0], 0);
  });

  test("auxiliary heads are clipped by their own norm, and an infinity of theirs stops the update too", async () => {
    const specs = [...SPECS, { name: "head/volatility/w", shape: [2], init: zerosInit }];
    const slope = input("slope", [7]), { clipped, norm, isSound } = clipGradient(slope, specs, constant(1));
    const run = async (...values: number[]): Promise<Tensors> =>
      evaluate({ clipped, norm, isSound }, { slope: double([7], values) });
    const found = await run(3, 0, 0, 4, 0, 0.6, 0.8e-3);
    assertClose(found["clipped"].values, [0.6, 0, 0, 0.8, 0, 0.6, 0.8e-3], 1e-6, "clipped");
    assert.deepEqual([found["norm"].values[0], found["isSound"].values[0]], [5, 1]);
    assert.equal((await run(3, 0, 0, 4, 0, Infinity, 0))["isSound"].values[0], 0);
    assert.equal((await run(3, 0, NaN, 4, 0, 0, 0))["isSound"].values[0], 0);
  });

  test("weight norms within the limit are not touched, to the bit", async () => {
    await using program = await reference.compile(makeGraph("quadratic", quadraticStep()));
    await program.write({ parameters: START });
    await program.run({ ...QUADRATIC, rate: number(0), size: number(1) });
    const found = (await program.read(["parameters"])).parameters.values;
    // Norm of (0.4, 0.1) is 0.412 < 0.5; at rate 0 nothing moves.
    assert.deepEqual([...found], [...START.values]);
  });
});

describe("schedules", () => {
  test("warm-up grows to the base rate, the cosine ends at 0, half way it is half", () => {
    const shape = { steps: 110, warmupSteps: 10 };
    assert.deepEqual([0, 4, 9, 10].map((k) => rateAt("cosine", 1, k, shape)), [0.1, 0.5, 1, 1]);
    assertClose([60, 110, 500].map((k) => rateAt("cosine", 1, k, shape)), [0.5, 0, 0], 1e-12, "cosine");
  });
  test("a step decay halves at each of its steps, a constant stays", () => {
    const shape = { steps: 100, dropEvery: 10, dropFactor: 0.5 };
    assert.deepEqual([0, 9, 10, 25].map((k) => rateAt("step", 8, k, shape)), [8, 8, 4, 2]);
    assert.deepEqual([0, 99].map((k) => rateAt("constant", 0.3, k, shape)), [0.3, 0.3]);
  });
});
