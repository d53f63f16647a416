/**
 * What a trial of a network is worth, and on which rows: every objective by hand, the parts before the first test
 * window, pruning, and going on after a worker was lost.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import { systemClock } from "../src/base/clock.ts";
import { random } from "../src/base/random.ts";
import { formatDay, dayOf } from "../src/base/units.ts";
import type { SequenceSource } from "../src/dataset/sequence.ts";
import { checkSpace, type Space } from "../src/tune/space.ts";
import type { Outcome, TrialWork } from "../src/tune/worker.ts";
import { TRAIN_DEFAULTS } from "../src/workflow/train-export.ts";
import { ARCHITECTURES, architectureNamed } from "../models/index.ts";
import { boxed } from "../src/workflow/tune/measure-inference.ts";
import { beforeTest, chooseInputs, cutter, partEnds, type NetworkWork } from "../src/workflow/tune/network-work.ts";
import { chooseObjectives, OBJECTIVES, OBJECTIVE_NAMES, valuesOf, violationsOf, type Measured, type ObjectiveName }
  from "../src/workflow/tune/objectives.ts";
import { chooseSpace, dividingHeads, parseRange, spaceOf } from "../src/workflow/tune/spaces.ts";
import { SPACE_NOTES } from "../src/workflow/tune/space-notes.ts";
import { judgedOf, networkTrial, type NetworkTrialOptions } from "../src/workflow/tune/trial.ts";
import { readReturns, writeOutcome } from "../src/workflow/tune/trial-files.ts";
import { luckOf } from "../src/workflow/tune/overfitting.ts";
import type { StudyView } from "../src/tune/study.ts";
import type { Finished, FinishedState } from "../src/tune/trial.ts";
import { closesFrom } from "./market-rows.ts";

const root = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-tune-"));
after(() => { fs.rmSync(root, { recursive: true, force: true }); });

const close = (value: number, expected: number): void => {
  assert.ok(Math.abs(value - expected) <= 1e-12 * Math.max(1, Math.abs(expected)), `${value} is not ${expected}`);
};

describe("the eleven objectives, by hand", () => {
  // Four days, a year of four days. Mean 0.005; squares about it sum to (225 + 225 + 25 + 25) 1e-6 = 5e-4.
  const measured: Measured = {
    returns: Float64Array.of(0.02, -0.01, 0.01, 0), benchmark: Float64Array.of(0.01, -0.01, 0, 0.02),
    periodsPerYear: 4, hits: 6, asked: 8,
    importance: [[3, 2, 1, 0], [3, 2, 0, 1]], inference: { latencyMs: 0.5, windowsPerSecond: 9000 },
  };
  const deviation = Math.sqrt(5e-4 / 3), wealth = 1.02 * 0.99 * 1.01;
  // Against the benchmark: 0.01 0 0.01 -0.02, mean 0, so no information; the fall is one day's 1 %.
  const answers: Readonly<Record<ObjectiveName, number>> = {
    sharpe: 0.005 / deviation * 2, calmar: (wealth - 1) / 0.01, sortino: 0.005 * 4 / (Math.sqrt(1e-4 / 4) * 2),
    informationRatio: 0, maxDrawdown: 0.01,
    // Linear quantile of -0.01 0 0.01 0.02 at 0.05: 0.15 of the way from the first to the second.
    var95: 0.0085, volatility: deviation * 2, latency: 0.5, throughput: 9000, accuracy: 0.75,
    // Ranks 4 3 2 1 and 4 3 1 2 correlate by 1 - 6 * 2 / (4 * 15) = 0.8; the better half is the same: 1. Their mean.
    importanceStability: 0.9,
  };
  for (const name of OBJECTIVE_NAMES) {
    test(`${name} is ${answers[name].toPrecision(4)}`, () => { close(OBJECTIVES[name].of(measured), answers[name]); });
  }

  test("a network that never trades has no returns to judge: seven of eight are undefined, none is zero", () => {
    const idle = { ...measured, returns: new Float64Array(4), hits: 0, asked: 0 };
    const names = OBJECTIVE_NAMES.filter((name) => OBJECTIVES[name].needs === "returns");
    const values = valuesOf(names, idle);
    assert.deepEqual(names.filter((_, k) => !Number.isNaN(values[k])), ["informationRatio"]);
  });
  test("a Sortino ratio without a loss is infinite, and therefore undefined", () => {
    assert.deepEqual(valuesOf(["sortino"], { ...measured, returns: Float64Array.of(0.01, 0.02) }), [NaN]);
  });
  test("what was not measured is undefined", () => {
    assert.deepEqual(valuesOf(["latency", "throughput", "importanceStability"],
      { ...measured, inference: null, importance: null }), [NaN, NaN, NaN]);
  });
  test("limits are violated by how much a value is beyond them, in the objective's direction", () => {
    const { maxDrawdown, accuracy, ...rest } = violationsOf({ maxDrawdown: 0.004, accuracy: 0.8, volatility: 1 }, measured);
    close(maxDrawdown, 0.006);
    close(accuracy, 0.05);
    assert.deepEqual(rest, {});
  });
  test("an unknown objective, one twice and none are refused with a sentence", () => {
    assert.throws(() => chooseObjectives(["sharp"]), /there is no objective "sharp"\ndid you mean "sharpe"\?/);
    assert.throws(() => chooseObjectives(["sharpe", "sharpe"]), /named twice/);
    assert.throws(() => chooseObjectives([]), /needs an objective/);
  });
  test("boxes of 10 %: 1.00 and 1.04 are equally fast, 1.00 and 1.06 are not; the middle is half a box away at most", () => {
    assert.equal(boxed(1.04), boxed(1));
    assert.notEqual(boxed(1.06), boxed(1));
    const half = Math.log(1.1) / 2 * (1 + 1e-9);
    for (let value = 0.01; value < 100; value *= 1.013) assert.ok(Math.abs(Math.log(boxed(value) / value)) <= half);
  });
  test("accuracy counts rows where both have a sign; the benchmark holds 1 of everything", () => {
    const set = { names: ["x"], lookback: 4, count: 1, symbols: ["A"], features: new Float32Array(4),
      target: Float32Array.of(0.5, -0.25, 0, 0.125), weight: Float32Array.of(1, 1, 1, 0), scale: new Float32Array(4).fill(2),
      instrument: Int32Array.of(0), follows: Uint8Array.of(0), time: Float64Array.of(1, 2, 3, NaN) };
    // Rows: right; wrong; nothing came; padding.
    const judged = judgedOf(set, [1, 1, 1, 1], 10);
    assert.deepEqual([judged.hits, judged.asked, [...judged.benchmark]], [1, 2, [0.5, -0.25, 0]]);
    // From 2 x 1 to 2 x -1 is a trade of 4 weights at 10 bps.
    const turned = judgedOf(set, [1, -1, -1, -1], 10);
    assert.deepEqual([...turned.returns], [0.5, 0.25 - 4 * 10 * 1e-4, -0]);
  });
});

describe("search spaces", () => {
  for (const model of Object.keys(ARCHITECTURES)) {
    test(`the default space of ${model} is sound, alone and as a population's`, () => {
      for (const isPopulation of [false, true]) checkSpace(spaceOf(architectureNamed(model), { isPopulation }));
    });
  }
  test("heads divide the width: of 256 512 768 1024 only 768 takes 12", () => {
    assert.deepEqual(dividingHeads("hidden", [256, 512, 768, 1024], [4, 8, 12, 16]), {
      hidden: { kind: "choice", choices: [256, 512, 768, 1024] },
      attentionHeads_256_512_1024: { kind: "choice", choices: [4, 8, 16], setting: "attentionHeads",
        when: { parameter: "hidden", is: [256, 512, 1024] } },
      attentionHeads_768: { kind: "choice", choices: [4, 8, 12, 16], setting: "attentionHeads",
        when: { parameter: "hidden", is: [768] } },
    });
  });
  test("ranges are read as they are written", () => {
    assert.deepEqual(parseRange("learningRate=1e-4..1e-2:log"), ["learningRate", { kind: "float", low: 1e-4, high: 0.01,
      isLog: true }]);
    assert.deepEqual(parseRange("layers=1..3:integer"), ["layers", { kind: "integer", low: 1, high: 3 }]);
    assert.deepEqual(parseRange("dropout=0..0.5:step=0.1"), ["dropout", { kind: "float", low: 0, high: 0.5, step: 0.1 }]);
    assert.deepEqual(parseRange("loss=sharpe,mse"), ["loss", { kind: "choice", choices: ["sharpe", "mse"] }]);
    for (const bad of ["x=1..", "x=1..2:lgo", "x=a..b"]) assert.throws(() => parseRange(bad), /neither a range nor a file/);
  });
  const space = (more: Partial<Parameters<typeof chooseSpace>[0]>): Space =>
    chooseSpace({ model: "transformer", set: {}, said: [], isPopulation: false, ...more });
  test("a width of one's own brings its heads along, and a fixed one takes them away", () => {
    assert.deepEqual(Object.keys(space({ said: ["hidden=6,8"] })).filter((name) => name.startsWith("attention")),
      ["attentionHeads_6", "attentionHeads_8"]);
    assert.ok(Object.keys(space({ set: { hidden: 40 } })).every((name) => !name.startsWith("attention")));
  });
  test("unknown names, values that the model refuses, and a population of other shapes are refused", () => {
    assert.throws(() => space({ said: ["hiden=20,40"] }), /no hyperparameter "hiden"\ndid you mean "hidden"\?/);
    assert.throws(() => space({ said: ["dropout=0..1.5"] }), /takes no dropout of 1.5\ndropout is from 0 to 0.9/);
    assert.throws(() => space({ said: ["lookback=10..20"] }), /lookback is a whole number/);
    assert.throws(() => space({ said: ["hidden=20,40"], isPopulation: true }), /a population cannot change hidden/);
  });
  test("each of the 25 keys of the founding space is accounted for once", () => {
    assert.equal(new Set(SPACE_NOTES.map(({ key }) => key)).size, 25);
  });
});

/** Two instruments of 700 days and 3 inputs, of which the first knows a little of what comes. */
function market(rows = 700): SequenceSource {
  const names = ["norm_1", "norm_21", "macd_8_24", "target_vol_scaled_next_return", "daily_vol"];
  const time = closesFrom("2010-01-04", rows);
  const panels = ["A", "B"].map((symbol) => {
    const draw = random(5, "tune", symbol), values = new Float32Array(rows * names.length);
    for (let t = 0; t < rows; t++) {
      const next = 0.01 * draw.normal();
      values.set([next * 40 + draw.normal(), draw.normal(), draw.normal(), next, 0.01], t * names.length);
    }
    return { names, time, values, warmup: 0 };
  });
  return { symbols: ["A", "B"], panels, names: names.slice(0, 3), volatilityTarget: 0.15, periodsPerYear: 252 };
}
const whole = market(), testFrom = formatDay(dayOf(whole.panels[0].time[600]));

const WORK: NetworkWork = {
  kind: "network", features: whole.names, fingerprint: "", recipeHash: "", testFrom, parts: 3, limits: {}, reportEvery: 1,
  isPopulation: false, engine: "ort", threads: 1, calibrationMs: 1,
  request: { ...TRAIN_DEFAULTS, dataset: "toy", model: "linear", set: { epochs: 4, lookback: 20, batch: 8 }, seeds: 1 },
};
const SPACE: Space = { learningRate: { kind: "float", low: 1e-3, high: 1, isLog: true } };
let folders = 0;

interface Ran { readonly outcome: Outcome; readonly reports: readonly (readonly number[])[]; readonly folder: string }
/** Runs one trial in a folder of its own. */
async function run(more: Partial<NetworkTrialOptions> & { source?: SequenceSource } = {},
  said: Partial<TrialWork> = {}): Promise<Ran> {
  const { source = whole, ...options } = more, work = options.work ?? WORK, own = path.join(root, String(folders++));
  await using trials = networkTrial({ work, space: SPACE, objectives: ["sharpe", "maxDrawdown", "accuracy"],
    data: cutter(beforeTest(source, work.testFrom), work), folder: (k) => path.join(own, String(k)), clock: systemClock,
    ...options });
  const reports: number[][] = [];
  const outcome = await trials({ number: 0, attempt: 0, point: { learningRate: 0.1 }, parent: null, seed: 7,
    signal: new AbortController().signal,
    report: (step, values) => { reports.push([step, ...Array.from(values)]); return Promise.resolve(true); }, ...said });
  return { outcome, reports, folder: own };
}

describe("the rows that a search sees", () => {
  test("three parts end at the test and a tenth of the days earlier each: rows 480, 540 and 600", () => {
    assert.deepEqual(partEnds(beforeTest(whole, testFrom), testFrom, 3),
      [480, 540, 600].map((row) => formatDay(dayOf(whole.panels[0].time[row]))));
  });
  test("validation rows of a part are its last tenth but the last row, whose label is the next part's or the test's", () => {
    const { time } = whole.panels[0], parts = cutter(beforeTest(whole, testFrom), WORK).cut({ lookback: 20 });
    const rows = parts.map(({ validation }) => [...validation.time].filter((at) => !Number.isNaN(at))
      .map((at) => time.indexOf(at)));
    // 480 rows, the last of which is purged: 479, of which the last tenth is 48.
    assert.deepEqual(rows.map((one) => [Math.min(...one), Math.max(...one)]), [[431, 478], [485, 538], [539, 598]]);
  });
  test("other rows from the first test day on give the same trial, bit for bit", async () => {
    const other = market();
    for (const { values, time, names } of other.panels) {
      for (let at = 600 * names.length; at < time.length * names.length; at++) values[at] = -3 * values[at] + 1;
      // The label of the last row before the test is the test's first return.
      values[599 * names.length + 3] = 5;
    }
    const [one, two] = [await run(), await run({ source: other })];
    assert.deepEqual(two.outcome.values, one.outcome.values);
    assert.deepEqual(two.reports, one.reports);
    assert.ok(Array.from(one.outcome.values).every((value) => Number.isFinite(value)));
    const read = (ran: Ran): Buffer => fs.readFileSync(path.join(ran.folder, "0", "returns.f64"));
    assert.ok(read(one).equals(read(two)));
  });
  test("other rows before it give another one", async () => {
    const other = market();
    other.panels[0].values[100 * 5] += 1;
    assert.notDeepEqual((await run({ source: other })).outcome.values, (await run()).outcome.values);
  });
  test("inputs are chosen by how their names begin", () => {
    assert.deepEqual(chooseInputs(whole.names, "norm"), ["norm_1", "norm_21"]);
    assert.deepEqual(chooseInputs(whole.names, "macd+norm_2"), ["norm_21", "macd_8_24"]);
    assert.throws(() => chooseInputs(whole.names, "rsi"), /no input's name begins with "rsi"/);
  });
});

describe("a trial", () => {
  test("reports each epoch before its last, and leaves its returns and what it told: 3 x 48..60 validated days", async () => {
    const { outcome, reports, folder } = await run();
    assert.deepEqual(reports.map(([step]) => step), [1, 2, 3, 4].slice(0, reports.length));
    const { time, returns } = readReturns(path.join(folder, "0"))!;
    assert.deepEqual([time.length, returns.length], [162, 162]);
    assert.ok(time.every((at, k) => k === 0 || at > time[k - 1]));
    assert.deepEqual(fs.readdirSync(path.join(folder, "0")).sort(), ["outcome.json", "returns.f64"]);
    for (const name of ["seconds", "cpuSeconds", "memoryBytes", "stepsPerSecond", "epochs", "parameters"]) {
      assert.ok(outcome.statistics[name] > 0, name);
    }
  });
  test("ends where it is pruned, with the values it had reported", async () => {
    const seen: number[][] = [];
    const { outcome } = await run({}, { report: (step, values) => {
      seen.push(Array.from(values));
      return Promise.resolve(step < 2);
    } });
    assert.equal(seen.length, 2);
    assert.deepEqual(Array.from(outcome.values), seen[1]);
    assert.equal(outcome.statistics["epochs"], 2);
  });
  test("that was stopped goes on from its checkpoints, and ends in the same bits", async () => {
    const straight = await run(), stopping = new AbortController(), own = path.join(root, "stopped");
    const folder = (): string => path.join(own, "0");
    await assert.rejects(run({ folder }, { signal: stopping.signal, report: (step) => {
      if (step === 2) stopping.abort(new Error("the worker has to go"));
      return Promise.resolve(true);
    } }), /the worker has to go/);
    assert.ok(fs.existsSync(path.join(own, "0", "part-2", "epoch-0002.safetensors")));
    const again = await run({ folder }, { attempt: 1 });
    assert.deepEqual(again.outcome.values, straight.outcome.values);
    assert.deepEqual(again.reports, straight.reports.slice(2));
    // Told twice, run once.
    assert.deepEqual((await run({ folder }, { attempt: 2 })).reports, []);
  });
  test("of a population goes on from its parent's end: two intervals of 2 epochs are 4 epochs, and are not 2", async () => {
    const work = { ...WORK, isPopulation: true, request: { ...WORK.request, set: { ...WORK.request.set, epochs: 2 } } };
    const own = path.join(root, "population"), folder = (k: number): string => path.join(own, String(k));
    await run({ work, folder });
    const child = await run({ work, folder }, { number: 1, parent: 0 });
    assert.equal(child.outcome.statistics["epochs"], 2);
    const four = { ...WORK, isPopulation: true };
    assert.deepEqual(child.outcome.values, (await run({ work: four })).outcome.values);
    await assert.rejects(run({ work, folder }, { number: 3, parent: 2 }), /trial 3 goes on from trial 2/);
  });
  test("whose numbers leave the range of floats is a result: every value undefined, one violation", async () => {
    const wild = market();
    for (const { values, names } of wild.panels) for (let k = 3; k < values.length; k += names.length) values[k] *= 1e38;
    const diverged = await run({ source: wild }, { point: { learningRate: 1 } });
    assert.deepEqual(Array.from(diverged.outcome.values), [NaN, NaN, NaN]);
    assert.equal(diverged.outcome.violations["diverged"], 1);
  });
  test("measures latency, throughput and stability where they are asked for, in a machine's own units", async () => {
    const objectives = ["latency", "throughput", "importanceStability"];
    const { outcome: { values, statistics }, reports } = await run({ objectives });
    assert.ok(values[0] > 0 && values[1] > 0 && values[2] <= 1, Array.from(values).join(" "));
    assert.ok(reports.every(([, latency, , stability]) => latency === values[0] && Number.isNaN(stability)));
    assert.ok(statistics["latencyLeastMs"] <= statistics["latencyMedianMs"]);
    assert.ok(statistics["calibrationMs"] > 0);
  });
});

describe("how much is luck", () => {
  /** 40 days from `from` on, of a mean and a wave. */
  const series = (from: number, mean: number): { time: Float64Array; returns: Float64Array } => ({
    time: Float64Array.from({ length: 40 }, (_, t) => (from + t) * 86_400_000),
    returns: Float64Array.from({ length: 40 }, (_, t) => mean + 0.01 * Math.sin(2.4 * (from + t))) });
  const leave = async (states: readonly FinishedState[], all: readonly ReturnType<typeof series>[]):
  Promise<{ view: StudyView; folder: (trial: number) => string }> => {
    const own = path.join(root, `luck-${folders++}`), folder = (trial: number): string => path.join(own, String(trial));
    for (const [k, dated] of all.entries()) {
      await writeOutcome(folder(k), { values: [0], violations: {}, statistics: {} }, dated);
    }
    const finished = states.map((state, number): Finished => ({ number, state, point: {}, losses: Float64Array.of(0),
      violation: 0, step: 1, parent: null }));
    return { view: { finished: () => finished } as unknown as StudyView, folder };
  };

  test("the best complete trial is deflated by all that were tried, also those that were pruned", async () => {
    const { view, folder } = await leave(["complete", "pruned", "complete"], [series(0, 0.002), series(0, 0.004), series(0, 0)]);
    const found = luckOf(view, folder)!;
    assert.deepEqual([found.trial, found.tried], [0, 3]);
    const alone = luckOf((await leave(["complete"], [series(0, 0.002)])).view, folder)!;
    // With one try nothing is deflated: P(Sharpe > 0) alone; two more tries make it less.
    assert.ok(alone.deflatedSharpe > 0.5 && found.deflatedSharpe < alone.deflatedSharpe);
    assert.ok(Number.isNaN(alone.overfitting));
  });
  test("a trial that is better on every day is never overfitted, whatever days the other one lacks: 0", async () => {
    const { view, folder } = await leave(["complete", "complete"], [series(0, 0.02), series(5, -0.02)]);
    assert.equal(luckOf(view, folder)!.overfitting, 0);
  });
  test("where no trial left returns nothing is said", async () => {
    assert.equal(luckOf((await leave(["failed"], [])).view, (trial) => path.join(root, "nowhere", String(trial))), null);
  });
});
