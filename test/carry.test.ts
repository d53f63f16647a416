/**
 * Recurrent state that is carried: what the training graph keeps from run to run against an LSTM written out here,
 * how sequences are dealt, and a carried model from the command line to its decisions.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { after, before, describe, test } from "node:test";
import { ARCHITECTURES } from "../models/index.ts";
import { FakeClock } from "../src/base/clock.ts";
import { Interrupted } from "../src/base/error.ts";
import { random } from "../src/base/random.ts";
import { MS_PER_DAY, parseDay } from "../src/base/units.ts";
import type { Batch } from "../src/dataset/batch.ts";
import { cutFold, foldRows, type SequenceSet, type SequenceSource } from "../src/dataset/sequence.ts";
import { initialiseParameters, unflatten } from "../src/nn/scope.ts";
import { evaluationGraph, trainGraph } from "../src/nn/train-graph.ts";
import { openOnnx } from "../src/runtime/ort/model.ts";
import { ortRuntime } from "../src/runtime/ort/program.ts";
import { reference } from "../src/runtime/reference.ts";
import type { Runtime, Tensors, Values } from "../src/runtime/runtime.ts";
import { GpuNetworks } from "../src/strategy/gpu.ts";
import { networkStrategy } from "../src/strategy/network.ts";
import { readArtifact, writeArtifact } from "../src/train/artifact.ts";
import { openCheckpoints } from "../src/train/checkpoint.ts";
import { makeEvaluator } from "../src/train/evaluate.ts";
import { fit, type FitOptions, type FitResult } from "../src/train/fit.ts";
import { settingsOf } from "../src/train/settings.ts";
import { chainsOf, dealChains, NO_SEQUENCE } from "../src/train/streams.ts";
import { emulatedCuda } from "./emulator/build.ts";
import { DataRoot } from "./features-data.ts";
import { cleanBars } from "./market-rows.ts";
import { toyMarket } from "./toy-market.ts";

const lstm = ARCHITECTURES["lstm"];
const SMALL = settingsOf(lstm, { hidden: 5, dropout: 0, layers: 1 });
const double = (shape: readonly number[], values: ArrayLike<number>): Values =>
  ({ shape, values: Float64Array.from(values) });
type Weights = ReturnType<typeof unflatten>;
interface State { readonly h: readonly number[]; readonly c: readonly number[] }
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** One row's positions (T) and last state, by the LSTM's equations: gates i, f, o, g; position tanh(w h + b). */
function byHand(weights: Weights, rows: readonly (readonly number[])[], start: State): { positions: number[]; end: State } {
  const of = (name: string): Float32Array => weights[name].values;
  const wx = of("lstm/0/wx"), wh = of("lstm/0/wh"), bias = of("lstm/0/b"), w = of("head/position/w"), H = start.h.length;
  let { h, c } = start;
  const positions = rows.map((x) => {
    const a = Array.from(bias, (b, j) => b + x.reduce((sum, one, f) => sum + one * wx[f * 4 * H + j], 0)
      + h.reduce((sum, one, k) => sum + one * wh[k * 4 * H + j], 0));
    c = c.map((old, k) => sigmoid(a[H + k]) * old + sigmoid(a[k]) * Math.tanh(a[3 * H + k]));
    h = c.map((cell, k) => sigmoid(a[2 * H + k]) * Math.tanh(cell));
    return Math.tanh(h.reduce((sum, one, k) => sum + one * w[k], of("head/position/b")[0]));
  });
  return { positions, end: { h, c } };
}

describe("the training graph with carried state", () => {
  const B = 2, T = 4, F = 3, H = 5, size = { B, T, features: F, instruments: 1 };
  const train = trainGraph(lstm, size, SMALL, { terms: ["sharpe"], carry: true });
  const flat = initialiseParameters(train.specs, 3), stream = random(1, "carry");
  const features = Array.from({ length: 2 }, () => Array.from({ length: B * T * F }, () => Math.fround(stream.normal())));
  const target = Array.from({ length: 2 }, () => Array.from({ length: B * T }, () => 0.3 * stream.normal()));
  const row = (k: number, b: number): number[][] => Array.from({ length: T }, (_, t) =>
    features[k].slice((b * T + t) * F, (b * T + t + 1) * F));
  const zero: State = { h: Array<number>(H).fill(0), c: Array<number>(H).fill(0) };
  const feeds = (k: number, keep: number[]): Tensors => {
    const all: Tensors = { features: double([B, T, F], features[k]), target: double([B, T], target[k]),
      weight: double([B, T], Array<number>(B * T).fill(1)), keep: double([B, 1], keep), clip: double([], [1e9]),
      rate: double([], [0]), decay: double([], [0]), "lossWeight/sharpe": double([], [1]), costBps: double([], [0]),
      scale: double([B, T], Array<number>(B * T).fill(1)),
      ...Object.fromEntries(train.dropouts.map(({ name }) => [`dropout/${name}`,
        double([T, B, H], Array<number>(T * B * H).fill(1))])) };
    return Object.fromEntries(train.graph.inputs.map(({ name }) => [name, all[name]]));
  };
  const close = (found: ArrayLike<number>, expected: readonly number[], tolerance = 1e-12): void => {
    assert.equal(found.length, expected.length);
    expected.forEach((value, k) => { assert.ok(Math.abs(found[k] - value) <= tolerance, `${k}: ${found[k]}, not ${value}`); });
  };
  const start = { parameters: double([train.count], flat) };

  test("a row that is kept goes on as one window of twice the length, the other begins at zero", async () => {
    await using program = await reference.compile(train.graph);
    await program.write(start);
    await program.run(feeds(0, [0, 0]));
    const { position } = await program.run(feeds(1, [1, 0])), weights = unflatten(train.specs, flat);
    const whole = byHand(weights, [...row(0, 0), ...row(1, 0)], zero);
    close(position.values, [...whole.positions.slice(T), ...byHand(weights, row(1, 1), zero).positions]);
    // What it holds now is the state after both sequences.
    const kept = await program.read(["state/lstm/0/hidden", "state/lstm/0/cell"]);
    close(kept["state/lstm/0/hidden"].values.subarray(0, H), [...whole.end.h]);
    close(kept["state/lstm/0/cell"].values.subarray(0, H), [...whole.end.c]);
  });

  test("its gradient takes the carried state for a constant: central differences of the second sequence alone", async () => {
    await using program = await reference.compile(train.graph);
    await program.write(start);
    await program.run(feeds(0, [0, 0]));
    const first = (await program.read(["m"])).m.values.slice();
    await program.run(feeds(1, [1, 1]));
    const second = (await program.read(["m"])).m.values, weights = unflatten(train.specs, flat);
    const held = [0, 1].map((b) => byHand(weights, row(0, b), zero).end);
    const loss = (at: number, by: number): number => {
      const moved = new Float64Array(flat);
      moved[at] += by;
      let from = 0;
      const doubles = Object.fromEntries(train.specs.map(({ name, shape }) => {
        const length = shape.reduce((a, b) => a * b, 1);
        return [name, { shape, values: moved.subarray(from, from += length) }];
      })) as unknown as Weights;
      const captured = [0, 1].flatMap((b) => byHand(doubles, row(1, b), held[b]).positions
        .map((position, t) => position * target[1][b * T + t]));
      const mean = (of: (one: number) => number): number => captured.reduce((sum, one) => sum + of(one), 0) / (B * T);
      const average = mean((one) => one);
      return -average / Math.sqrt(mean((one) => one * one) - average * average + 1e-9) * Math.sqrt(252);
    };
    for (let at = 0; at < train.count; at += 7) {
      const found = (second[at] - 0.9 * first[at]) / 0.1;
      const expected = (loss(at, 1e-5) - loss(at, -1e-5)) / 2e-5;
      assert.ok(Math.abs(found - expected) < 1e-6 * (1 + Math.abs(expected)), `${at}: ${found}, not ${expected}`);
    }
  });
});

describe("how sequences are dealt to rows", () => {
  test("for 40 random sets and batches: each once, a chain in one row and in unbroken order, rows of about one length", () => {
    const stream = random(2, "chains");
    for (let round = 0; round < 40; round++) {
      const count = 1 + stream.below(60), B = 1 + stream.below(12);
      const follows = Uint8Array.from({ length: count }, (_, s) => Number(s > 0 && stream.uniform() < 0.8));
      const chains = chainsOf({ count, follows }), steps = dealChains(stream.shuffle([...chains]), B);
      const dealt = steps.flat().filter((s) => s !== NO_SEQUENCE);
      assert.deepEqual(dealt.toSorted((a, b) => a - b), Array.from({ length: count }, (_, s) => s));
      steps.forEach((step, k) => {
        assert.equal(step.length, B);
        assert.ok(step.some((s) => s !== NO_SEQUENCE));
        step.forEach((s, b) => { if (follows[s] === 1) assert.equal(steps[k - 1][b], s - 1); });
      });
      const longest = Math.max(...chains.map((chain) => chain.length));
      assert.ok(steps.length <= Math.max(longest, count / B + longest), `${steps.length}`);
    }
  });

  test("three instruments of 4, 2 and 2 sequences on two rows take four steps", () => {
    const chains = chainsOf({ count: 8, follows: Uint8Array.of(0, 1, 1, 1, 0, 1, 0, 1) });
    assert.deepEqual(dealChains(chains, 2), [[0, 4], [1, 5], [2, 6], [3, 7]]);
  });
});

describe("validation that is warmed up", () => {
  const NAMES = ["a", "daily_vol", "target_vol_scaled_next_return"], ROWS = 41;
  const values = new Float32Array(ROWS * 3);
  for (let r = 0; r < ROWS; r++) values.set([r === 17 ? NaN : r, 0.01, r / 1000], r * 3);
  const panel = { names: NAMES, values, warmup: 0, time: Float64Array.from({ length: ROWS }, (_, r) => r * MS_PER_DAY) };
  const source: SequenceSource = { symbols: ["S"], panels: [panel], names: ["a"] };

  test("begins at the first row of training and weighs the rows of validation only; a hole breaks what follows", () => {
    const choice = { testFrom: 40 * MS_PER_DAY, share: 0.2 }, { validation: [rows] } = foldRows(source, choice);
    const { training, validation } = cutFold(source, choice, { lookback: 5, isWarmed: true });
    const plain = cutFold(source, choice, { lookback: 5 });
    assert.deepEqual(training, plain.training);
    const weighed = (set: SequenceSet): number[] => [...set.time].filter((_, at) => set.weight[at] === 1);
    assert.deepEqual(weighed(validation), weighed(plain.validation));
    assert.equal(weighed(validation)[0], rows.from * MS_PER_DAY);
    // Rows 0 to 16 are four sequences, the last of two rows; 18 to 38 are five, the last of one.
    assert.deepEqual([...validation.follows], [0, 1, 1, 1, 0, 1, 1, 1, 1]);
    assert.deepEqual([...validation.time].filter((time) => time >= 0).length, 38);
  });
});

/** The toy market with each return decided by the signal two rows before: the first rows of a window cannot know. */
function delayedMarket(seed: number): SequenceSet {
  const set = toyMarket({ sequences: 48, lookback: 4, edge: 0, seed });
  const sign = (at: number): number => Math.sign(set.features[Math.max(0, at) * 3]);
  return { ...set, target: set.target.map((noise, at) => 0.4 * noise + 0.006 * sign(at - 2)) };
}

const FIT = { hidden: 8, dropout: 0, batch: 4, learningRate: 0.02, epochs: 12 };
const base: FitOptions = { architecture: lstm, settings: FIT, training: delayedMarket(1), validation: delayedMarket(2),
  seed: 5, runtime: ortRuntime(), clock: new FakeClock(0), carry: true };
const bits = ({ parameters, history, bestEpoch }: FitResult): unknown => ({ parameters: [...parameters], history, bestEpoch });

describe("training with carried state", () => {
  test("learns what lies before a sequence's first row: of windows of four rows, replay cannot see it in half", async () => {
    const carried = await fit(base), replayed = await fit({ ...base, carry: false });
    assert.ok(carried.validationSharpe > 1.3 * replayed.validationSharpe && replayed.validationSharpe > 1,
      `${carried.validationSharpe} and ${replayed.validationSharpe}`);
  });

  test("stopped in the middle of an epoch and gone on with, its state comes back too: the same bits", async () => {
    const root = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-carry-"));
    try {
      const options = { ...base, settings: { ...FIT, epochs: 3, dropout: 0.3 } }, whole = bits(await fit(options));
      for (const stopAt of [1, 7, 48, 61]) {
        const controller = new AbortController(), store = openCheckpoints(path.join(root, String(stopAt)));
        let runs = 0;
        const runtime: Runtime = { ...base.runtime, async compile(graph) {
          const program = await base.runtime.compile(graph);
          if (!graph.name.endsWith("training")) return program;
          return { ...program, run: (feeds) => { if (++runs === stopAt) controller.abort(); return program.run(feeds); },
            [Symbol.asyncDispose]: () => program[Symbol.asyncDispose]() };
        } };
        await assert.rejects(fit({ ...options, runtime, store, signal: controller.signal }), Interrupted);
        assert.deepEqual(bits(await fit({ ...options, store })), whole, `after ${stopAt} steps`);
      }
    } finally { fs.rmSync(root, { recursive: true, force: true }); }
  });

  test("validation walks each instrument from end to end: the positions of one window over all of its rows", async () => {
    const set = toyMarket({ sequences: 5, instruments: 40 }), specs = trainGraph(lstm,
      { B: 1, T: 1, features: 3, instruments: 40 }, SMALL, { terms: ["mse"] }).specs;
    const values = initialiseParameters(specs, 1), parameters = { shape: [values.length], values };
    await using evaluator = await makeEvaluator(reference, lstm, SMALL, set, { positionKind: "tanh", carry: true });
    await evaluator.load(parameters);
    const found = await evaluator.positions(set);
    // Twice, because the first walk leaves its states behind.
    assert.deepEqual(await evaluator.positions(set), found);
    await using whole = await reference.compile(evaluationGraph(lstm, { B: 40, T: 50, features: 3, instruments: 40 }, SMALL));
    await whole.write({ parameters });
    const { position } = await whole.run({ features: { shape: [40, 50, 3], values: set.features } });
    found.forEach((value, at) => { assert.ok(Math.abs(value - position.values[at]) < 1e-6, String(at)); });
  });
});

describe("a carried model", () => {
  const data = new DataRoot();
  after(() => { data[Symbol.dispose](); });
  const NAME = "on", W = 4 * 21, DAYS = 160;
  const ARGS = ["train-export", "--dataset", "market", "--name", NAME, "--mode", "carry", "--seeds", "1", "--windows",
    "2007,2008", "--window-years", "1", "--set", "hidden=5", "--set", "epochs=6", "--set", "lookback=21", "--set",
    "learningRate=0.02"];
  before(async () => {
    await data.put("market", Array.from({ length: 3 }, (_, k) => cleanBars(k, 900 - 60 * k, `S${k}`)));
    data.features("--dataset", "market", "--recipe", "dmn");
    const { code, said } = data.dmn(ARGS);
    assert.equal(code, 0, said);
  });

  /** Random rows of three instruments from 2008 on; S1 has none on `hole`. */
  const stream = random(1, "rows"), F = 8, start = parseDay("2008-01-02")! * MS_PER_DAY;
  const rows = Array.from({ length: 3 }, () => Float32Array.from({ length: (W + DAYS) * F }, () => stream.normal()));
  /** The batch of decision days [from, to): each row the W rows up to its day. */
  function batchOf(from: number, to: number, isAsked: (i: number, day: number) => boolean = () => true): Batch {
    const { features: names } = readArtifact(data.root, NAME), asked: { i: number; day: number }[] = [];
    for (let day = from; day < to; day++) for (let i = 0; i < 3; i++) if (isAsked(i, day)) asked.push({ i, day });
    const width = F + 1, features = new Float32Array(asked.length * W * width).fill(0.01);
    asked.forEach(({ i, day }, b) => {
      for (let t = 0; t < W; t++) features.set(rows[i].subarray((day + t) * F, (day + t + 1) * F), (b * W + t) * width);
    });
    return { names: [...names, "daily_vol"], symbols: ["S0", "S1", "S2"], lookback: W, features,
      instrument: Int32Array.from(asked, ({ i }) => i), time: Float64Array.from(asked, ({ day }) => start + day * MS_PER_DAY) };
  }
  const strategy = () => networkStrategy(data.root, { artifact: NAME, seed: null });

  const emulated = emulatedCuda(), noGpu = typeof emulated === "string" ? emulated : false;
  test("(emulated) where there is a GPU it answers on the CPU all the same, to the bit", { skip: noGpu }, async () => {
    const before = process.env["DMN_CUDA"], batch = batchOf(0, 3);
    if (typeof emulated !== "string") process.env["DMN_CUDA"] = emulated.cuda;
    try {
      await using gpu = new GpuNetworks();
      const asked = networkStrategy(data.root, { artifact: NAME, seed: null }, { gpu });
      assert.equal(asked.isForGpu, false);
      assert.deepEqual(await asked.decide(batch), await strategy().decide(batch));
      assert.match(gpu.notes().join(), /^Networks answered on the CPU: those that carry their state/);
    } finally {
      if (before === undefined) delete process.env["DMN_CUDA"];
      else process.env["DMN_CUDA"] = before;
    }
  });

  test("model.json and the network say so: mode, rows of warm-up, state/ in and final/ out", async () => {
    const artifact = readArtifact(data.root, NAME);
    assert.deepEqual([artifact.mode, artifact.warmup, artifact.lookback, strategy().lookback], ["carry", W, 21, W]);
    const model = await openOnnx(path.join(data.root, "models", NAME, "model.onnx"));
    assert.deepEqual(model.inputs.map(({ name }) => name), ["features", "state/lstm/0/hidden", "state/lstm/0/cell"]);
    assert.deepEqual(model.outputs.map(({ name }) => name).filter((name) => name.startsWith("final/")),
      ["final/lstm/0/hidden", "final/lstm/0/cell"]);
    assert.equal(model.metadata["dmn.mode"], "carry");
    await model.close();
  });

  test("decides a whole batch, day by day, and again from the start with the same bits", async () => {
    const one = strategy(), { position } = await one.decide(batchOf(0, DAYS)), daily = strategy(), said: number[] = [];
    for (let day = 0; day < DAYS; day++) said.push(...(await daily.decide(batchOf(day, day + 1))).position);
    assert.deepEqual(said, [...position]);
    // A day that does not follow begins a new run.
    assert.deepEqual((await one.decide(batchOf(0, 9))).position, position.slice(0, 27));
  });

  test("from its first decision on it is the network over the whole history to 1e-5, after W rows of warm-up", async () => {
    const { folds } = readArtifact(data.root, NAME), T = W + DAYS - 1, EARLIER = 40;
    const model = await openOnnx(path.join(data.root, "models", NAME, folds[1].seeds[0].file));
    const zero = { shape: [3, 5], values: new Float32Array(15) };
    const features = { shape: [3, T, F], values: Float32Array.from(rows.flatMap((one) => [...one.subarray(0, T * F)])) };
    const whole = (await model.run({ features, "state/lstm/0/hidden": zero, "state/lstm/0/cell": zero })).position.values;
    const { position } = await strategy().decide(batchOf(EARLIER, DAYS));
    position.forEach((value, b) => {
      const expected = whole[(b % 3) * T + W - 1 + EARLIER + Math.floor(b / 3)];
      assert.ok(Math.abs(value - expected) < 1e-5, `${b}: ${value}, not ${expected}`);
    });
    await model.close();
  });

  test("an instrument that was not asked for a day starts again from W rows; the others go on", async () => {
    const holed = (i: number, day: number): boolean => i !== 1 || day !== 10;
    const { position } = await strategy().decide(batchOf(0, 12, holed));
    const whole = await strategy().decide(batchOf(0, 12)), anew = await strategy().decide(batchOf(11, 12));
    const at = (said: Float32Array, back: number): number => said.at(-back)!;
    for (const back of [1, 3]) assert.ok(Math.abs(at(position, back) - at(whole.position, back)) < 1e-6);
    assert.ok(Math.abs(at(position, 2) - at(anew.position, 2)) < 1e-6);
  });

  test("state is what it decides by: without that of the days before, the same row gets another position", async () => {
    const artifact = readArtifact(data.root, NAME);
    await writeArtifact(data.root, { ...artifact, warmup: 1 });
    try {
      const short = (batch: Batch): Batch => {
        const width = F + 1, B = batch.time.length, features = new Float32Array(B * width);
        for (let b = 0, end = W * width; b < B; b++, end += W * width) {
          features.set(batch.features.subarray(end - width, end), b * width);
        }
        return { ...batch, lookback: 1, features };
      };
      const forgetful = await strategy().decide(short(batchOf(0, 5)));
      await writeArtifact(data.root, artifact);
      const { position } = await strategy().decide(batchOf(0, 5));
      assert.ok(position.some((value, b) => Math.abs(value - forgetful.position[b]) > 1e-3));
    } finally { await writeArtifact(data.root, artifact); }
  });

  test("is backtested over both of its folds, twice the same", () => {
    const average = (): Record<string, number> => {
      const { code, out, said } = data.dmn(["backtest", "--dataset", "market", "--strategy", `model:${NAME}`, "--windows",
        "2007,2008", "--window-years", "1", "--json"]);
      assert.equal(code, 0, said);
      return (JSON.parse(out) as { average: Record<string, number> }).average;
    };
    const once = average();
    assert.ok(Number.isFinite(once["sharpe"]) && once["sharpe"] !== 0);
    assert.deepEqual(average(), once);
  });

  test("models without state, and sequences that overlap, are refused", () => {
    const refusal = (...args: string[]): string => {
      const { code, said } = data.dmn(["train-export", "--dataset", "market", "--name", "x", "--mode", "carry", ...args]);
      assert.equal(code, 2, said);
      return said;
    };
    for (const model of ["mlp", "transformer"]) {
      assert.match(refusal("--model", model), new RegExp(`model ${model} has no state to carry from bar to bar\n +leave out `
        + "--mode carry, or choose --model lstm"));
    }
    assert.match(refusal("--set", "stride=10"), /a state is not carried between sequences that overlap \(stride 10\)/);
  });
});
