/** Training on markets whose answer is known, and what it does with data and numbers that cannot be trained on. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { architectureNamed } from "../models/index.ts";
import { FakeClock } from "../src/base/clock.ts";
import { UserError } from "../src/base/error.ts";
import { dayOf, formatDay } from "../src/base/units.ts";
import { SCALE_MAX, type SequenceSet } from "../src/dataset/sequence.ts";
import { ortRuntime } from "../src/runtime/ort/program.ts";
import { reference } from "../src/runtime/reference.ts";
import type { Runtime } from "../src/runtime/runtime.ts";
import type { HistoryRow } from "../src/train/checkpoint.ts";
import { fillMask, fillMaskFrom } from "../src/train/dropout.ts";
import { dailyReturns, diversifiedSharpe } from "../src/train/evaluate.ts";
import { Diverged, fit, type FitOptions, type FitResult } from "../src/train/fit.ts";
import { keepPrograms } from "../src/train/keep-programs.ts";
import { drawSettings, gridFor, gridSize, lossWeights, PAPER_GRID, settingsOf } from "../src/train/settings.ts";
import { attainableSharpe, toyMarket } from "./toy-market.ts";

const SETTINGS = { hidden: 5, dropout: 0.1, batch: 32, learningRate: 0.02, epochs: 12 };
const EDGE = 0.2, INSTRUMENTS = 4;
const training = toyMarket({ sequences: 48, edge: EDGE }), validation = toyMarket({ sequences: 60, edge: EDGE, seed: 2 });

const train = (over: Partial<FitOptions> = {}): Promise<FitResult> => fit({
  architecture: architectureNamed("mlp"), settings: SETTINGS, training, validation, seed: 1, runtime: reference,
  clock: new FakeClock(0), ...over });

/** Sharpe ratio of always taking the sign of the signal, which nobody beats but by luck. */
function bestOf(set: SequenceSet): number {
  return diversifiedSharpe(set, set.target.map((_, at) => Math.sign(set.features[at * 3]))).gross;
}

describe("what is learned", () => {
  test("where the sign of an input predicts the return, MLP and LSTM get three quarters of the Sharpe that can be had",
    async () => {
    const best = bestOf(validation);
    // 600 days: a standard error of sqrt(252 / 600) = 0.65 around 0.2 sqrt(252 x 4) = 6.35.
    assert.ok(Math.abs(best - attainableSharpe(EDGE, INSTRUMENTS)) < 2 * 0.65, String(best));
    for (const [name, epochs] of [["mlp", 20], ["lstm", 20]] as const) {
      const { validationSharpe, history } = await train({ architecture: architectureNamed(name),
        settings: { ...SETTINGS, epochs } });
      assert.ok(validationSharpe > 0.75 * best && validationSharpe < 1.1 * best, `${name}: ${validationSharpe} of ${best}`);
      assert.ok(history.at(-1)!.loss < history[0].loss - 1, name);
    }
  });

  test("with returns shuffled over rows no epoch's Sharpe is further from 0 than 2.5 standard errors of 0.65", async () => {
    const { history } = await train({ training: toyMarket({ sequences: 48, isShuffled: true }),
      validation: toyMarket({ sequences: 60, seed: 2, isShuffled: true }) });
    for (const { epoch, validationSharpe } of history) assert.ok(Math.abs(validationSharpe) < 2.5 * 0.65,
      `${epoch}: ${validationSharpe}`);
  });

  test("squared error and cross entropy learn the same sign", async () => {
    for (const loss of ["mse", "binary"]) {
      const { validationSharpe, positionKind } = await train({ settings: { ...SETTINGS, loss } });
      assert.equal(positionKind, "sign");
      assert.ok(validationSharpe > 0.7 * bestOf(validation), `${loss}: ${validationSharpe}`);
    }
  });

  test("costs of 20 bps make it trade less: the mean change of position falls by a third at least", async () => {
    const turnover = async (costBps: number): Promise<number> => {
      const { history } = await train({ settings: { ...SETTINGS, costBps, epochs: 15 }, terms: ["turnover"] });
      return history.at(-1)!.terms.turnover;
    };
    const free = await turnover(0), dear = await turnover(20);
    assert.ok(dear < free * 2 / 3, `${free} and ${dear}`);
  });
});

const bits = ({ parameters, history }: FitResult): unknown => ({ parameters: [...parameters], history });

describe("the same and not the same", () => {
  test("a seed gives the same bits twice, another seed gives others", async () => {
    const once = await train();
    assert.deepEqual(bits(await train()), bits(once));
    assert.notDeepEqual([...(await train({ seed: 2 })).parameters], [...once.parameters]);
  });

  test("onnxruntime in float32 gives the same bits twice, and the reference's losses and Sharpe ratios to 1e-4", async () => {
    const settings = { ...SETTINGS, epochs: 4 }, architecture = architectureNamed("lstm");
    const once = await train({ architecture, settings, runtime: ortRuntime() });
    assert.deepEqual(bits(await train({ architecture, settings, runtime: ortRuntime() })), bits(once));
    const { history } = await train({ architecture, settings });
    once.history.forEach((row, k) => {
      assert.ok(Math.abs(row.loss - history[k].loss) < 1e-4, `epoch ${k + 1}: ${row.loss} and ${history[k].loss}`);
      assert.ok(Math.abs(row.validationSharpe - history[k].validationSharpe) < 1e-4, `epoch ${k + 1}`);
    });
  });

  test("40 sequences in batches of 32: what stands in rows of weight 0 changes nothing, but that they are 0 does", async () => {
    const settings = { ...SETTINGS, epochs: 2 }, set = toyMarket({ sequences: 10 });
    const weight = set.weight.slice().fill(0, 0, 5), features = set.features.slice().fill(1e3, 0, 5 * 3);
    const masked = await train({ training: { ...set, weight }, settings });
    assert.deepEqual(bits(await train({ training: { ...set, weight, features }, settings })), bits(masked));
    assert.notEqual((await train({ training: set, settings })).history[0].loss, masked.history[0].loss);
  });

  test("two half batches accumulated are one update: with the mse loss the same parameters to 1e-6", async () => {
    const set = toyMarket({ sequences: 8 }), settings = { ...SETTINGS, dropout: 0, loss: "mse", epochs: 3 };
    const whole = await train({ training: set, settings: { ...settings, batch: 32 } });
    const halves = await train({ training: set, settings: { ...settings, batch: 16, accumulate: 2 } });
    assert.equal(whole.parameters.length, halves.parameters.length);
    whole.parameters.forEach((value, k) => { assert.ok(Math.abs(value - halves.parameters[k]) < 1e-6, String(k)); });
  });
});

describe("a fit that starts from another's end", () => {
  const settings = { ...SETTINGS, accumulate: 2, schedule: "cosine", epochs: 8 };
  /** 4 of the 8 epochs. */
  async function half(): Promise<FitResult["end"]> {
    const { end } = await train({ settings: { ...SETTINGS, epochs: 4 } });
    return end;
  }

  test("with the same settings goes on as if it had never been stopped: epochs 6 to 12 are those of a whole run, to the bit",
    async () => {
    const whole = await train(), { end: start, history } = await train({ settings: { ...SETTINGS, epochs: 5 } });
    const rest = await train({ start });
    assert.deepEqual([...history, ...rest.history], whole.history);
    assert.deepEqual(rest.end, whole.end);
    assert.ok(rest.bestEpoch > 5);
  });

  test("with another batch, rate, dropout, clip and weights: epoch 5 of the new ones starts from those parameters",
    async () => {
    const start = await half(), steps: number[] = [];
    const idle = await train({ settings: { ...settings, learningRate: 0 }, start });
    // A rate of 0 moves nothing; the output's norm of at most 3 is not reached.
    assert.deepEqual([...idle.end.state.parameters.values], [...start.state.parameters.values]);
    assert.deepEqual(idle.history.map(({ epoch }) => epoch), [5, 6, 7, 8]);
    const others: Record<string, number>[] =
      [{ batch: 128 }, { learningRate: 0.1 }, { dropout: 0.4 }, { clip: 0.01 }, { riskWeight: 2 }];
    for (const over of others) {
      const { end, history } = await train({ settings: { ...settings, ...over }, start });
      steps.push(end.state.step.values[0] - start.state.step.values[0]);
      // A new network that has seen one epoch gets less than half of it.
assert.ok(history[0].validationSharpe > 0.75 * bestOf(validation), `${Object.keys(over)[0]}: ${history[0].validationSharpe}`);
    }
    // 192 sequences in 6 batches are 3 updates an epoch, in 2 batches one.
    assert.deepEqual(steps, [4, 12, 12, 12, 12]);
  });

  test("one of another network, and one that is past the last epoch, are refused", async () => {
    const start = await half();
    await assert.rejects(train({ settings: { ...settings, hidden: 6 }, start }), (error: unknown) =>
      error instanceof UserError && error.problem.endsWith("is of another network: 26 numbers as its parameters, not 31"));
    await assert.rejects(train({ settings: { ...settings, epochs: 4 }, start }), (error: unknown) =>
      error instanceof UserError && error.problem.endsWith("has done 4 epochs of 4: nothing is left to train"));
  });

  test("a term kept at weight 0 is measured and changes nothing; four fits of other weights and rates compile two programs",
    async () => {
    let compiled = 0;
    const counting: Runtime = { ...reference, compile: (graph) => { compiled++; return reference.compile(graph); } };
    await using runtime = keepPrograms(counting);
    const terms = ["sharpe", "turnover", "cvar"] as const, short = { ...SETTINGS, epochs: 2 };
    const plain = await train({ settings: short }), kept = await train({ settings: short, terms, runtime });
    kept.parameters.forEach((value, k) => { assert.ok(Math.abs(value - plain.parameters[k]) < 1e-6); });
    assert.ok(kept.history[1].terms.turnover > 0.1 && plain.history[1].terms.turnover === undefined);
    const weighted = await train({ settings: { ...short, turnoverWeight: 2 }, terms, runtime });
    assert.ok(weighted.history[1].terms.turnover < kept.history[1].terms.turnover);
    await train({ settings: { ...short, learningRate: 0.1, dropout: 0.4, riskWeight: 1, epochs: 3 }, terms, runtime,
      start: weighted.end });
    // A program that was used before makes the bits of a new one.
    assert.deepEqual(bits(await train({ settings: short, terms, runtime })), bits(kept));
    assert.equal(compiled, 2);
  });

  test("onnxruntime's programs are as good as new when they are used again, with other moments and gradients left in them",
    async () => {
    await using runtime = keepPrograms(ortRuntime());
    const given = { settings: { ...SETTINGS, accumulate: 4, epochs: 2 }, architecture: architectureNamed("lstm") };
    const once = await train({ ...given, runtime: ortRuntime() });
    for (let k = 0; k < 2; k++) assert.deepEqual(bits(await train({ ...given, runtime })), bits(once), String(k));
  });
});

describe("what a step is fed", () => {
  test("each of 40 sequences once an epoch, 32 and 8, in another order and with other masks in every epoch", async () => {
    const set = toyMarket({ sequences: 10 }), width = 30, starts = Array.from({ length: 40 }, (_, s) => set.features[s * width]);
    const epochs: { order: number[]; rows: number[]; masks: string[] }[] = [];
    let step = 0;
    const runtime: Runtime = { ...reference, async compile(graph) {
      const program = await reference.compile(graph);
      if (!graph.name.endsWith("training")) return program;
      return { read: (names) => program.read(names), write: (state) => program.write(state),
        [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
        run(feeds) {
          if (step++ % 2 === 0) epochs.push({ order: [], rows: [], masks: [] });
          const { order, rows, masks } = epochs.at(-1)!, { weight, features } = feeds;
          rows.push(Float64Array.from(weight.values).reduce((a, b) => a + b, 0));
          for (let b = 0; b < 32; b++) if (weight.values[b * 10] === 1) order.push(starts.indexOf(features.values[b * width]));
          masks.push(feeds["dropout/dropout"].values.join());
          if (rows.length === 2) assert.ok(features.values.subarray(8 * width).every((x) => x === 0));
          return program.run(feeds);
        } };
    } };
    await train({ training: set, runtime, settings: { ...SETTINGS, epochs: 3 } });
    const all = Array.from({ length: 40 }, (_, s) => s);
    for (const { order, rows } of epochs) {
      assert.deepEqual(rows, [320, 80]);
      assert.deepEqual(order.toSorted((a, b) => a - b), all);
    }
    assert.equal(new Set(epochs.map(({ order }) => order.join())).size, 3);
    assert.equal(new Set(epochs.flatMap(({ masks }) => masks)).size, 6);
  });
});

describe("when it ends", () => {
  test("after `patience` epochs without a better Sharpe, with the parameters of the best one", async () => {
    const shuffled = { training: toyMarket({ sequences: 12, isShuffled: true }),
      validation: toyMarket({ seed: 5, isShuffled: true }) };
    const rows: HistoryRow[] = [];
    const settings = { ...SETTINGS, epochs: 60, patience: 6 };
    const stopped = await train({ ...shuffled, settings, onEpoch: (row) => { rows.push(row); } });
    assert.equal(stopped.history.length, stopped.bestEpoch + 6);
    assert.deepEqual(rows, stopped.history);
    const best = Math.max(...stopped.history.map((row) => row.validationSharpeNet));
    assert.equal(stopped.validationSharpe, best);
    const short = await train({ ...shuffled, settings: { ...settings, epochs: stopped.bestEpoch } });
    assert.deepEqual([...short.parameters], [...stopped.parameters]);
  });

  test("the learning rate warms up and follows half a cosine: first step 1/8 of it, last epoch near 0", async () => {
    const { history } = await train({ settings: { ...SETTINGS, schedule: "cosine", warmup: 2, epochs: 10, batch: 48,
      patience: 99 } });
    // 4 steps an epoch: after epochs 1 and 2 the rate is 4/8 and 8/8; the last of 32 cosine steps is 0.5 (1 + cos(31 pi / 32)).
    assert.deepEqual(history.slice(0, 2).map(({ rate }) => rate), [0.01, 0.02]);
    assert.ok(Math.abs(history[9].rate - 0.02 * 0.0024076367) < 1e-10, String(history[9].rate));
  });
});

describe("what cannot be trained on is refused with one sentence", () => {
  const refused = (pattern: RegExp, over: Partial<FitOptions>): Promise<void> =>
    assert.rejects(train(over), (error: unknown) => error instanceof UserError && pattern.test(error.problem));
  test("returns that never vary", () =>
    refused(/^the returns of the training set are constant, so there is nothing to learn from its 1920 rows: TOY0, .*/,
      { training: { ...training, target: new Float32Array(training.target.length).fill(0.001) } }));
  test("returns that vary by rounding alone, in every row", () =>
    refused(/^the returns of the validation set hardly vary \(volatility under 0.6 % a year\), so there is nothing to learn/,
      { validation: { ...validation, scale: validation.scale.map(() => SCALE_MAX) } }));
  test("a set without a row", () =>
    refused(/nothing in the validation set: too few bars for one sequence of 10/,
      { validation: { ...validation, weight: new Float32Array(validation.weight.length) } }));
  test("an unknown hyperparameter, with the one that was meant", () => assert.rejects(train({ settings: { hiden: 5 } }),
    /mlp has no hyperparameter "hiden"\ndid you mean "hidden"\?/));
  test("a loss that is not a number names the instruments and the days of its batch", async () => {
    const features = training.features.slice();
    features[10 * 3 * 48 * 2] = NaN;      // the first sequence of TOY2
    const first = formatDay(dayOf(Math.min(...training.time))), last = formatDay(dayOf(Math.max(...training.time)));
    const batch = `TOY0, TOY1, TOY2, TOY3, ${first} to ${last}`;
    const problem = `the loss is not a number in epoch 1, step 1; the batch was ${batch}`;
    const refusal = async (over: Partial<FitOptions>): Promise<UserError> => {
      try { await train(over); } catch (error) { if (error instanceof UserError) return error; throw error; }
      throw new Error("it was trained");
    };
    const bad = await refusal({ training: { ...training, features }, settings: { ...SETTINGS, batch: 192 } });
    assert.deepEqual([bad.problem, bad.hint], [problem, `look at the prices: signal of TOY2 on ${first} is NaN`]);
    const wild = await refusal({ settings: { ...SETTINGS, batch: 192, learningRate: 0.07, loss: "mse" }, runtime: ortRuntime(),
      training: { ...training, target: training.target.map((one) => one * 1e30) } });
    assert.deepEqual([wild.problem, wild.hint],
      [problem, "train more carefully: --set learningRate=0.007 --set clip=1"]);
  });
});

/** Says of some steps that their gradient overflowed, and keeps the state as the optimizer then does. */
function overflowing(isAt: (step: number) => boolean): Runtime {
  return { name: "reference", async compile(graph) {
    const program = await reference.compile(graph), names = graph.state.map(({ name }) => name);
    let step = 0;
    return { ...program, [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
      async run(feeds) {
        if (!Object.hasOwn(feeds, "rate") || !isAt(++step)) return program.run(feeds);
        const before = await program.read(names), outputs = await program.run(feeds);
        await program.write(before);
        return { ...outputs, gradientNorm: { shape: [], values: Float64Array.of(Infinity) } };
      } };
  } };
}

describe("a gradient that is not finite, of a loss that is a number", () => {
  // 192 sequences in batches of 32: 6 steps an epoch.
  const settings = { ...SETTINGS, epochs: 3 };

  test("skips its step and is counted: steps 2 and 3 of 6 in epoch 1, and the mean norm is that of the other four", async () => {
    const norms: number[] = [];
    const watched: Runtime = { name: "reference", async compile(graph) {
      const program = await overflowing((step) => step === 2 || step === 3).compile(graph);
      return { ...program, [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](), async run(feeds) {
        const outputs = await program.run(feeds);
        if (Object.hasOwn(feeds, "rate")) norms.push(outputs.gradientNorm.values[0]);
        return outputs;
      } };
    } };
    const { history, end } = await train({ settings, runtime: watched });
    assert.deepEqual(history.map(({ skippedSteps }) => skippedSteps), [2, 0, 0]);
    assert.ok(Math.abs(history[0].gradientNorm - (norms[0] + norms[3] + norms[4] + norms[5]) / 4) < 1e-12);
    assert.deepEqual([...end.state.step.values], [16]);
  });

  test("ends the fit when an epoch has no other, with a sentence of its own and the epochs before", async () => {
    await assert.rejects(train({ settings, runtime: overflowing((step) => step > 6) }), (error: unknown) => {
      assert.ok(error instanceof Diverged);
      assert.match(error.problem, new RegExp("^the gradient is not finite in any of the 6 steps up to epoch 2, step 6, "
        + "though the loss is a number; the batch was TOY0, "));
      assert.equal(error.hint, "train more carefully: --set learningRate=0.002 --set clip=1");
      assert.deepEqual(error.history.map(({ epoch }) => epoch), [1]);
      return true;
    });
  });
});

describe("validation Sharpe", () => {
  test("two instruments, three days: means over those present, costs on every change but the first", () => {
    const set: SequenceSet = {
      names: ["x"], lookback: 2, count: 3, symbols: ["A", "B"], features: new Float32Array(6),
      instrument: Int32Array.of(0, 0, 1), follows: Uint8Array.of(0, 1, 0),
      target: Float32Array.of(0.01, 0.02, -0.01, 9, 0.03, 0.01), weight: Float32Array.of(1, 1, 1, 0, 1, 1),
      scale: Float32Array.of(1, 2, 2, 1, 1, 1), time: Float64Array.of(1, 2, 3, NaN, 2, 3) };
    const { time, gross, net } = dailyReturns(set, Float32Array.of(1, -0.5, 1, 1, 1, -1), 100);
    assert.deepEqual([...time], [1, 2, 3]);
    const near = (found: Float64Array, expected: number[]): void =>
      { found.forEach((value, k) => { assert.ok(Math.abs(value - expected[k]) < 1e-9, `${k}: ${value}`); }); };
    near(gross, [0.01, (-0.01 + 0.03) / 2, (-0.01 - 0.01) / 2]);
    // Changes: A from 1 to -1 and to 2, B from 1 to -1, each at 1 %.
    near(net, [0.01, (-0.01 - 0.02 + 0.03) / 2, (-0.01 - 0.03 - 0.01 - 0.02) / 2]);
  });
});

describe("dropout masks", () => {
  // xoshiro128++ from state 1, 2, 3, 4: the key of its reference implementation, as Rust's rand_xoshiro quotes it.
  const WORDS = [641, 1573767, 3222811527, 3517856514, 836907274, 4247214768, 3867114732, 1355841295, 495546011, 621204420];
  test("the generator behind them gives the published words, 16 bits at a time", () => {
    const halves = WORDS.flatMap((word) => [word & 0xffff, word >>> 16]);
    const mask = new Float32Array(20);
    halves.forEach((half, k) => {
      fillMaskFrom(mask, half / 65536, [1, 2, 3, 4]);
      assert.ok(mask[k] > 0, `value ${k} is kept at a rate of ${half}/65536`);
      if (half === 65535) return;
      fillMaskFrom(mask, (half + 1) / 65536, [1, 2, 3, 4]);
      assert.equal(mask[k], 0, `value ${k} is dropped at a rate of ${half + 1}/65536`);
    });
  });

  test("of 999,999 values at 0.3 a share of 0.3 +- 4 standard errors is 0, the rest 1 / 0.7; odd lengths are filled", () => {
    const mask = new Float32Array(999_999).fill(NaN);
    fillMask(mask, 0.3, 7, 3, 11, "dropout/lstm");
    const kept = mask.filter((value) => value !== 0);
    assert.ok(Math.abs(1 - kept.length / mask.length - 0.3) < 4 * Math.sqrt(0.21 / mask.length));
    assert.ok(kept.every((value) => Math.abs(value - 1 / 0.7) < 2e-5));
  });

  test("each of seed, epoch, step and name makes another mask, and the same four the same", () => {
    const of = (...[seed, epoch, step, name]: [number, number, number, string]): string => {
      const mask = new Float32Array(64);
      fillMask(mask, 0.5, seed, epoch, step, name);
      return mask.join("");
    };
    const masks = [of(1, 1, 1, "a"), of(2, 1, 1, "a"), of(1, 2, 1, "a"), of(1, 1, 2, "a"), of(1, 1, 1, "b")];
    assert.equal(new Set(masks).size, 5);
    assert.equal(of(1, 1, 1, "a"), masks[0]);
  });
});

describe("settings", () => {
  const lstm = architectureNamed("lstm");
  test("the papers' grid has 6 x 5 x 3 x 4 x 3 = 1080 settings; 1080 trials draw each once, in another order by seed", () => {
    const grid = gridFor(lstm);
    assert.equal(gridSize(grid), 1080);
    const draws = (seed: number): string[] => Array.from({ length: 1080 },
      (_, trial) => JSON.stringify(drawSettings(grid, seed, trial)));
    const one = draws(1), two = draws(2);
    assert.equal(new Set(one).size, 1080);
    assert.notDeepEqual(one.slice(0, 5), two.slice(0, 5));
    // Each value of each setting has its share among the first 108 trials: 18 +- 12 for each of the six hidden sizes.
    for (const hidden of PAPER_GRID.hidden) {
      const share = one.slice(0, 108).filter((text) => text.includes(`"hidden":${hidden},`)).length;
      assert.ok(Math.abs(share - 18) <= 12, `hidden ${hidden}: ${share}`);
    }
    for (const text of one) settingsOf(lstm, JSON.parse(text) as Record<string, number>);
  });

  test("a term of weight 0 is not in the loss; heads bring their own", () => {
    assert.deepEqual([...lossWeights(settingsOf(lstm, {}))], [["sharpe", 1]]);
    assert.deepEqual([...lossWeights(settingsOf(lstm, { riskWeight: 0.5, heads: "all", loss: "mse" }))],
      [["cvar", 0.5], ["mse", 1], ["volatilityHead", 1], ["confidenceHead", 1]]);
    assert.deepEqual([...lossWeights(settingsOf(lstm, {}), ["turnover", "sharpe"])], [["sharpe", 1], ["turnover", 0]]);
  });
});
