/**
 * Trained networks as strategies: two tiny models (an LSTM of three seeds, a transformer), each trained in two folds
 * by the command line, asked by the library and by `dmn backtest`.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { after, before, describe, test } from "node:test";
import { architectureNamed } from "../models/index.ts";
import { explainRun } from "../src/backtest/explain.ts";
import { resultSchema } from "../src/backtest/json.ts";
import { FakeClock } from "../src/base/clock.ts";
import { readConfig } from "../src/base/config.ts";
import type { Context } from "../src/base/context.ts";
import { UserError } from "../src/base/error.ts";
import { openLog } from "../src/base/log.ts";
import { silentProgress } from "../src/base/progress.ts";
import { random } from "../src/base/random.ts";
import { MS_PER_DAY, parseDay } from "../src/base/units.ts";
import type { Batch } from "../src/dataset/batch.ts";
import { evaluationGraph } from "../src/nn/train-graph.ts";
import { openOnnx } from "../src/runtime/ort/model.ts";
import { reference } from "../src/runtime/reference.ts";
import { BASELINES, INPUTS } from "../src/strategy/baselines.ts";
import { ensembleName, ensembleStrategy } from "../src/strategy/ensemble.ts";
import { findStrategy } from "../src/strategy/find.ts";
import { GpuNetworks } from "../src/strategy/gpu.ts";
import { networkName, networkStrategy } from "../src/strategy/network.ts";
import type { Strategy } from "../src/strategy/strategy.ts";
import { readArtifact, writeArtifact } from "../src/train/artifact.ts";
import { decodeCheckpoint } from "../src/train/checkpoint-file.ts";
import { openCheckpoints } from "../src/train/checkpoint.ts";
import { backtest as runBacktest, BACKTEST_DEFAULTS, reportText, resultJson, type BacktestOptions }
  from "../src/workflow/backtest.ts";
import { bindTo } from "../src/workflow/feature-pieces.ts";
import { inputOf, smallMarket, years } from "./backtest-market.ts";
import { emulatedCuda } from "./emulator/build.ts";
import { DataRoot } from "./features-data.ts";
import { cleanBars } from "./market-rows.ts";

const data = new DataRoot();
after(() => { data[Symbol.dispose](); });
const FOLDS = ["--windows", "2007,2008", "--set", "lookback=21", "--dataset", "market"];
const T = 21, F = INPUTS.length;
/** Largest difference of float32 from float64 for an instrument that a transformer does not know. */
const STRANGER = 5e-6;

before(async () => {
  await data.put("market", Array.from({ length: 3 }, (_, k) => cleanBars(k, 900 - 60 * k, `S${k}`)));
  await data.put("others", [cleanBars(0, 900, "S0"), cleanBars(7, 900, "NEW")]);
  data.features("--dataset", "market", "--recipe", "dmn");
  train("small", ...FOLDS, "--set", "hidden=5", "--set", "epochs=3", "--seeds", "3");
  train("tft", ...FOLDS, "--model", "transformer", "--set", "hidden=8", "--set", "attentionHeads=2", "--set",
    "epochs=1", "--seeds", "1");
});

function train(name: string, ...args: string[]): void {
  const { code, said } = data.dmn(["train-export", "--name", name, ...args]);
  assert.equal(code, 0, said);
}

type Json = ReturnType<typeof resultSchema.parse>;

const context: Context = { root: data.root, config: readConfig(data.root, {}), log: openLog("silent"),
  progress: silentProgress, clock: new FakeClock(0), signal: new AbortController().signal };

/** The object that `dmn backtest --json` prints. */
async function backtest(strategy: string, options: Partial<BacktestOptions> = {}): Promise<Json> {
  const { result, report } = await runBacktest({ ...BACKTEST_DEFAULTS, dataset: "market", strategy, ...options }, context);
  return resultSchema.parse(resultJson(result, report));
}

/** What a backtest that must be refused says: the problem, and on a line of its own what to do. */
async function refusal(strategy: string, options: Partial<BacktestOptions> = {}): Promise<string> {
  try { await backtest(strategy, options); } catch (error) {
    assert.ok(error instanceof UserError, String(error));
    return `${error.problem}\n${error.hint}`;
  }
  return assert.fail(`${strategy} was not refused`);
}

const place = (...parts: string[]): string => path.join(data.root, "models", ...parts);
const NAMES = [...INPUTS, "daily_vol", "pos_tsmom"];

/** Random windows of three known instruments and a stranger, two rows a day from a day on. */
function windows(from: string, days: number, seed = 1, lookback = T): Batch {
  const stream = random(seed, "windows"), B = 2 * days, width = NAMES.length;
  const start = parseDay(from)! * MS_PER_DAY;
  const features = Float32Array.from({ length: B * lookback * width }, (_, at) =>
    at % width < F ? stream.normal() : at % width === F ? 0.01 + 0.01 * stream.uniform() : Math.sign(stream.normal()));
  return { names: NAMES, symbols: ["S0", "S1", "S2", "NEW"], lookback, features,
    instrument: Int32Array.from({ length: B }, (_, b) => b % 4),
    time: Float64Array.from({ length: B }, (_, b) => start + Math.floor(b / 2) * MS_PER_DAY) };
}

/** What the graph that was trained says at the last step of each window, in float64 and without ONNX. */
async function trained(name: string, fold: number, seed: number, batch: Batch): Promise<number[]> {
  const artifact = readArtifact(data.root, name), { settings, seeds } = artifact.folds[fold];
  const architecture = architectureNamed(artifact.architecture), B = batch.time.length;
  const graph = evaluationGraph(architecture, { B, T, features: F, instruments: 3 }, settings);
  const checkpoint = openCheckpoints(place(name, path.dirname(seeds[seed].file), "checkpoints")).newest()!;
  const decoded = decodeCheckpoint(fs.readFileSync(checkpoint));
  assert.ok(decoded.kind === "good");
  const { values: parameters } = decoded.tensors["best/parameters"];
  const all: Record<string, { shape: number[]; values: Float32Array }> = {
    features: { shape: [B, T, F], values: batch.features.filter((_, at) => at % NAMES.length < F) },
    instrument: { shape: [B], values: Float32Array.from(batch.instrument, (i) => (i < 3 ? i : -1)) },
  };
  await using program = await reference.compile(graph);
  await program.write({ parameters: { shape: [parameters.length], values: parameters } });
  const { position } = await program.run(Object.fromEntries(graph.inputs.map((one) => [one.name, all[one.name]])));
  return Array.from({ length: B }, (_, b) => position.values[(b + 1) * T - 1]);
}

function assertClose(found: ArrayLike<number>, expected: readonly number[], tolerance: number, words = ""): void {
  assert.equal(found.length, expected.length);
  expected.forEach((value, k) => {
    assert.ok(Math.abs(found[k] - value) <= tolerance, `${words} row ${k}: ${found[k]} instead of ${value}`);
  });
}

const strategyOf = (name: string, isTrainedAllowed = false): Strategy =>
  networkStrategy(data.root, networkName(name), { isTrainedAllowed });

describe("which network answers, and what", () => {
  // The stranger's embedding is zero, and layer norm enlarges what rounding makes of it.
  for (const [model, seeds, tolerance] of [["small", 3, 1e-6], ["tft", 1, STRANGER]] as const) {
    test(`${model}: on both sides of a new year the fold's own network, as its training graph in float64 to ${tolerance}`,
      async () => {
        const batch = windows("2007-12-28", 8);
        // Four days, two rows each, are of 2007.
        for (let seed = 0; seed < seeds; seed++) {
          const { position, volatility, confidence } = await strategyOf(`model:${model}/seed-${seed}`).decide(batch);
          const [old, young] = await Promise.all([0, 1].map((fold) => trained(model, fold, seed, batch)));
          assertClose(position, [...old.slice(0, 8), ...young.slice(8)], tolerance, `seed ${seed}`);
          const known = [...batch.instrument.keys()].filter((b) => batch.instrument[b] < 3);
          const ofKnown = (all: ArrayLike<number>): number[] => known.map((b) => all[b]);
          assertClose(ofKnown(position), ofKnown([...old.slice(0, 8), ...young.slice(8)]), 1e-6, `seed ${seed}`);
          assert.ok(old.some((value, b) => Math.abs(value - young[b]) > 1e-3), "the folds' networks differ");
          assertClose(volatility, Array.from(position, (_, b) => batch.features[(b * T + T - 1) * NAMES.length + F]), 0);
          assert.deepEqual([...confidence], [...confidence].fill(1));
        }
      });
  }

  test("years after the last fold are answered by its network, at the first fold's first day by the first", async () => {
    const late = windows("2030-01-01", 2), first = windows("2007-01-01", 1);
    assertClose((await strategyOf("model:small").decide(late)).position, await trained("small", 1, 0, late), 1e-6);
    assertClose((await strategyOf("model:small").decide(first)).position, await trained("small", 0, 0, first), 1e-6);
  });

  test("the day before the first fold is refused, and answered by its network when that is allowed", async () => {
    const before = windows("2006-12-31", 1);
    await assert.rejects(strategyOf("model:small").decide(before), /was trained on 2006-12-31.*\n?.*/);
    assertClose((await strategyOf("model:small", true).decide(before)).position,
      await trained("small", 0, 0, before), 1e-6);
  });

  test("changing rows after a day changes no decision up to it, to the bit", async () => {
    const batch = windows("2007-12-28", 8), strategy = strategyOf("model:tft");
    const features = batch.features.slice().fill(3, 6 * T * NAMES.length);
    const [as, changed] = [await strategy.decide(batch), await strategy.decide({ ...batch, features })];
    assert.deepEqual(changed.position.subarray(0, 6), as.position.subarray(0, 6));
    assert.notDeepEqual(changed.position.subarray(6), as.position.subarray(6));
  });

  test("long windows, whose views are large, are asked about in pieces and answered the same", async () => {
    // 2^22 numbers hold 66 views of (252, 252); 80 rows take two runs.
    const batch = windows("2007-01-01", 40, 1, 252), strategy = strategyOf("model:tft");
    const last = { ...batch, instrument: batch.instrument.slice(66), time: batch.time.slice(66),
      features: batch.features.slice(66 * 252 * NAMES.length) };
    const [all, alone] = [await strategy.decide(batch), await strategy.decide(last)];
    assertClose(all.position.subarray(66), [...alone.position], 1e-6);
  });

  test("what it looked at is what its file says at the window's last step: inputs, and attention from now backwards",
    async () => {
      const batch = windows("2007-06-01", 3), said = await strategyOf("model:tft").explain!(batch);
      const [fold] = readArtifact(data.root, "tft").folds;
      const model = await openOnnx(place("tft", fold.seeds[0].file));
      const raw = await model.run({
        features: { shape: [6, T, F], values: batch.features.filter((_, at) => at % NAMES.length < F) },
        instrument: { shape: [6], values: Float32Array.of(0, 1, 2, -1, 0, 1) } });
      for (let b = 0; b < 6; b++) {
        const at = b * T + T - 1, { values: selection } = raw["view/selection"], { values } = raw["view/attention"];
        assertClose(said.selection!.subarray(b * F, b * F + F), [...selection.subarray(at * F, at * F + F)], 1e-6);
        assertClose(said.attention!.subarray(b * T, b * T + T), [...values.subarray(at * T, at * T + T)].reverse(), 1e-6);
      }
      await model.close();
      assert.deepEqual(said.importance!.folds, ["2007", "2008"]);
      const lstm = await strategyOf("model:small").explain!(batch);
      assert.deepEqual([lstm.selection, lstm.attention, lstm.importance!.byFold[0].length], [null, null, 8]);
    });
});

describe("in a backtest", () => {
  test("of three seeds the median is shown, with mean, deviation and p-value in JSON and text", async () => {
    const whole = await backtest("model:small", { costBps: 2 });
    const alone = await Promise.all([0, 1, 2].map((seed) => backtest(`model:small/seed-${seed}`, { costBps: 2 })));
    const sharpes = alone.map(({ average }) => average.sharpe!), { seeds } = whole;
    assert.deepEqual(seeds!.rows.map((row) => row.average.sharpe), sharpes);
    const [, middle] = [...sharpes].sort((a, b) => a - b), shown = alone[sharpes.indexOf(middle)];
    assert.equal(whole.strategy, shown.strategy);
    assert.deepEqual(whole.windows, shown.windows);
    assert.equal(seeds!.pValue, shown.seeds!.pValue);
    assert.ok(seeds!.pValue! > 0 && seeds!.pValue! < 1);
    assert.equal(whole.benchmark!.name, "tsmom");
    const mean = (sharpes[0] + sharpes[1] + sharpes[2]) / 3;
    const deviation = Math.sqrt(sharpes.reduce((sum, one) => sum + (one - mean) ** 2, 0) / 2);
    assert.ok(Math.abs(seeds!.sharpeMean! - mean) < 1e-12 && Math.abs(seeds!.sharpeDeviation! - deviation) < 1e-12);
    assert.equal(shown.seeds!.sharpeDeviation, null);
    const { result } = await runBacktest({ ...BACKTEST_DEFAULTS, dataset: "market", strategy: "model:small",
      costBps: 2 }, context), text = reportText(result);
    assert.ok(text.includes(`${whole.strategy} (shown)`));
    assert.ok(text.includes(`Sharpe over 3 seeds: ${mean.toFixed(3)}, standard deviation ${deviation.toFixed(3)}`), text);
    assert.ok(text.includes(`p-value ${seeds!.pValue!.toFixed(3)}`));
  });

  test("begins with the first day that was not trained on; earlier ones want --in-sample", async () => {
    assert.equal((await backtest("model:tft")).windows[0].from, "2007-01-03");
    const early = { from: "2006-12-01" };
    assert.match(await refusal("model:tft", early),
      /trained on days before 2007-01-01: .*2006-12-01.*\n.*--from.*--in-sample/);
    assert.equal((await backtest("model:tft", { ...early, isInSample: true })).windows[0].from, "2006-12-01");
    assert.match(await refusal("tsmom", { ...early, benchmark: "model:small" }),
      /model:small was trained on days before 2007-01-01/);
    const { code, said } = data.dmn(["backtest", "--dataset", "market", "--strategy", "model:tft", "--from", "2006-12-01"]);
    assert.equal(code, 2);
    assert.match(said, /^dmn: .+\n {5}.+\n$/);
  });

  test("instruments that it does not know are decided about, and the notes say so", async () => {
    const { notes, instruments } = await backtest("model:tft", { dataset: "others" });
    assert.deepEqual(instruments.map(({ name }) => name).sort(), ["NEW", "S0"]);
    assert.ok(notes.some((note) => /Model tft was not trained on NEW: /.test(note)), notes.join("\n"));
    assert.ok(!(await backtest("model:tft")).notes.some((note) => /not trained on/.test(note)));
  });

  test("the event engine asks the same network, and says the same of it", async () => {
    const [vector, event] = [await backtest("model:tft"), await backtest("model:tft", { engine: "event" })];
    assert.equal(event.engine, "event");
    assert.ok(Math.abs(event.average.sharpe! - vector.average.sharpe!) < 0.1);
    assert.equal(event.seeds!.rows.length, 1);
  });

  test("the report says what the network looked at, and the JSON has the numbers", async () => {
    const page = path.join(data.root, "tft.html");
    const { views } = await backtest("model:tft", { report: page });
    const sum = (values: readonly (number | null)[]): number => values.reduce<number>((a, b) => a + b!, 0);
    assert.deepEqual(views!.features, INPUTS);
    assert.ok(views!.rows > 500 && views!.rows <= 2000);
    assert.ok(Math.abs(sum(views!.selection!.mean) - 1) < 1e-5);
    assert.deepEqual(views!.selection!.byYear.map(({ year }) => year), [2007, 2008]);
    assert.equal(sum(views!.selection!.byYear.map(({ rows }) => rows)), views!.rows);
    assert.equal(views!.attention!.length, T);
    assert.ok(Math.abs(sum(views!.attention!) - 1) < 1e-5);
    const text = fs.readFileSync(page, "utf8");
    for (const id of ["views", "selection-picture", "attention-picture", "importance-picture"]) {
      assert.ok(text.includes(`id="${id}"`), id);
    }
    assert.equal((await backtest("model:tft")).views, undefined);
  });

  const cases: readonly (readonly [string, string, RegExp])[] = [
    ["an unknown model", "model:smal", /no model "smal".*\n.*did you mean "small"/],
    ["an unknown seed", "model:small/seed-3", /model "small" has no seed 3\n.*seed-[012]/],
    ["half a name", "model:small/sed-1", /names no model\n.*model:NAME\/seed-0/],
    ["an ensemble of one", "ensemble:model:small", /no ensemble of different strategies\n/],
    ["an ensemble with an unknown member", "ensemble:model:small,tsmon", /no strategy "tsmon"\n.*did you mean "tsmom"/],
  ];
  for (const [what, name, expected] of cases) {
    test(`refuses ${what}`, async () => { assert.match(await refusal(name), expected); });
  }

  test("refuses a damaged and a missing file by its name, and a model.json that was changed", async () => {
    const hurt = place("small", "folds", "2008", "seed-2", "model.onnx"), whole = fs.readFileSync(hurt);
    fs.writeFileSync(hurt, whole.subarray(0, 100));
    const asked = "model:small/seed-2";
    assert.match(await refusal(asked), /folds\/2008\/seed-2\/model\.onnx is damaged: .*\n.*train-export/);
    fs.rmSync(hurt);
    assert.match(await refusal(asked), /folds\/2008\/seed-2\/model\.onnx is missing\n.*train-export/);
    fs.writeFileSync(hurt, whole);
    const said = fs.readFileSync(place("small", "model.json"), "utf8");
    fs.writeFileSync(place("small", "model.json"), said.replace("norm_21", "norm_22"));
    assert.match(await refusal(asked), /model\.json is damaged: its checksum/);
    fs.writeFileSync(place("small", "model.json"), said);
  });

  test("refuses features of a recipe that changed since training, by both hashes", async () => {
    data.write("recipes/mine.json", JSON.stringify({ features: [{ recipe: "dmn" }] }));
    const artifact = readArtifact(data.root, "tft"), manifest = data.manifest("market");
    const { hash } = await bindTo(data.root, manifest, "mine");
    fs.cpSync(place("tft"), place("own"), { recursive: true });
    await writeArtifact(data.root, { ...artifact, name: "own", recipe: { name: "mine", hash } });
    assert.equal((await backtest("model:own")).strategy, "model:own/seed-0");
    data.write("recipes/mine.json", JSON.stringify({ features: [{ recipe: "dmn" }, { family: "rsi" }] }));
    const said = await refusal("model:own"), now = (await bindTo(data.root, manifest, "mine")).hash;
    assert.ok(said.includes(`(hash ${hash.slice(0, 12)}, here ${now.slice(0, 12)})`), said);
    assert.match(said, /train-export --dataset market --recipe mine/);
    // The benchmark is held to the same.
    assert.match(await refusal("tsmom", { benchmark: "model:own" }), /model:own\/seed-0 was trained on other features/);
    assert.match(await refusal("ensemble:model:own,tsmom"), /recipe mine and tsmom recipe dmn/);
  });
});

describe("on a GPU", () => {
  const emulated = emulatedCuda(), skip = typeof emulated === "string" ? emulated : false;
  const libraries: Record<string, string> = typeof emulated === "string" ? {}
    : { DMN_CUDA: emulated.cuda, DMN_NVRTC: emulated.nvrtc };

  /** Acts in an environment with other libraries, and with no kernels kept from before. */
  async function within<Result>(given: Readonly<Record<string, string>>, act: () => Promise<Result>): Promise<Result> {
    const all = { DMN_CUBIN_CACHE: "off", ...given }, names = Object.keys(all);
    const before = names.map((name) => [name, process.env[name]] as const);
    Object.assign(process.env, all);
    try { return await act(); } finally {
      for (const [name, value] of before) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
    }
  }
  const withoutNotes = (one: Json): Json => ({ ...one, notes: [] });

  test("(emulated) networks of both folds decide as on the CPU, to 1e-5", { skip }, async () => {
    const batch = windows("2007-12-28", 8), { position: expected } = await strategyOf("model:small").decide(batch);
    await within(libraries, async () => {
      await using gpu = new GpuNetworks();
      const { position, confidence } = await networkStrategy(data.root, networkName("model:small"), { gpu }).decide(batch);
      assertClose(position, [...expected], 1e-5);
      assert.notDeepEqual(position, expected, "another engine rounds elsewhere");
      assert.deepEqual([...confidence], [...confidence].fill(1));
      assert.match(gpu.notes().join(), /^Networks answered on the GPU \(.+\), in float32\.$/);
    });
  });

  test("(emulated) in float16 it answers otherwise than in float32, to 2e-3, and says so; the CPU has no such numbers", { skip },
    async () => {
      const dates = { from: "2007-12-20", to: "2008-01-10", precision: "float16" } as const;
      assert.deepEqual([strategyOf("model:small").isForGpu, strategyOf("model:small/seed-0").isForGpu], [true, true]);
      const expected = await strategyOf("model:small").decide(windows("2007-12-28", 8));
      await within(libraries, async () => {
        await using gpu = new GpuNetworks({ precision: "float16" });
        const found = await networkStrategy(data.root, networkName("model:small"), { gpu }).decide(windows("2007-12-28", 8));
        assertClose(found.position, [...expected.position], 2e-3);
        assert.ok(found.position.some((one, b) => Math.abs(one - expected.position[b]) > 1e-5), "float16 rounds");
        const { notes } = await backtest("model:small/seed-0", { ...dates, device: "cuda" });
        assert.match(notes.at(-1)!, /^Networks answered on the GPU \(.+\), in float16\.$/);
      });
      await assert.rejects(backtest("model:small/seed-0", dates),
        { problem: "on the CPU networks compute in float32, not in float16", hint: /--device cuda --precision float16/ });
    });

  test("(emulated) strategies that take each other's place leave nothing on the GPU, ten times", { skip }, async () => {
    const batch = windows("2007-12-28", 2);
    await within(libraries, async () => {
      await using gpu = new GpuNetworks();
      const held: (string | null)[] = [];
      for (let swap = 0; swap < 10; swap++) {
        // As in live: the next one answers before the one before it goes.
        const strategy = networkStrategy(data.root, networkName("model:small"), { gpu }), next = networkStrategy(data.root,
          networkName("model:small/seed-0"), { gpu });
        for (const one of [strategy, next]) await one.decide(batch);
        for (const one of [strategy, next]) await one.close!();
        held.push(gpu.place);
      }
      for (const one of held) assert.match(one!, / holding 0 B of its memory$/);
    });
  });

  test("(emulated) what a network looked at is still asked on the CPU", { skip }, async () => {
    const batch = windows("2007-06-01", 3), views = await strategyOf("model:tft").explain!(batch);
    await within(libraries, async () => {
      await using gpu = new GpuNetworks();
      const strategy = networkStrategy(data.root, networkName("model:tft"), { gpu });
      assert.deepEqual(await strategy.explain!(batch), views);
      assert.match(gpu.notes().join(), /^Networks answered on the CPU: /);
    });
  });

  test("(emulated) a backtest asks it, and the notes say so; an ensemble may name a network twice", { skip }, async () => {
    const name = "ensemble:model:small,model:small/seed-0,tsmom", dates = { from: "2007-12-20", to: "2008-01-10" };
    const expected = await backtest(name, dates);
    const found = await within(libraries, () => backtest(name, { ...dates, device: "auto" }));
    assert.ok(found.notes.some((note) => note.startsWith("Networks answered on the GPU (")), found.notes.join("\n"));
    assertClose([found.average.sharpe!], [expected.average.sharpe!], 1e-3);
    assert.deepEqual(found.notes.slice(0, -1), expected.notes);
  });

  test("without one, cuda warns in one sentence, auto only notes it, and every number is the CPU's", async () => {
    const expected = await backtest("model:small/seed-0");
    for (const [device, warnings] of [["cuda", 1], ["auto", 0]] as const) {
      const lines: string[] = [];
      const { result } = await within({ DMN_CUDA: "no-such-libcuda.so" }, () => runBacktest({ ...BACKTEST_DEFAULTS,
        dataset: "market", strategy: "model:small/seed-0", device },
      { ...context, log: openLog("warn", (line) => { lines.push(line); }) }));
      const found = resultSchema.parse(resultJson(result, null));
      assert.deepEqual(withoutNotes(found), withoutNotes(expected));
      assert.deepEqual(found.notes.slice(0, -1), expected.notes);
      assert.match(found.notes.at(-1)!, /^There is no NVIDIA driver .*; it goes on with ONNX Runtime on the CPU\.$/);
      assert.equal(lines.length, warnings);
      assert.ok(lines.every((line) => line.includes("there is no NVIDIA driver on this machine")), lines.join("\n"));
    }
  });
});

describe("ensembles", () => {
  test("two models and a classical strategy: the mean of the models' seeds and of it", async () => {
    const batch = windows("2008-02-01", 5);
    const whole = await findStrategy(data.root, "ensemble:model:small,model:tft,tsmom");
    const seeds = await Promise.all([0, 1, 2].map((seed) => trained("small", 1, seed, batch)));
    const tft = await trained("tft", 1, 0, batch);
    const expected = tft.map((own, b) => {
      const tsmom = batch.features[(b * T + T - 1) * NAMES.length + F + 1];
      return (seeds.reduce((sum, one) => sum + one[b], 0) / 3 + own + tsmom) / 3;
    });
    assertClose((await whole.decide(batch)).position, expected, STRANGER);
    assert.equal(whole.decidesFrom, parseDay("2007-01-01")! * MS_PER_DAY);
    assert.equal(whole.lookback, T);
    assert.deepEqual(whole.notes!(["S0", "X"]).length, 2);
    assert.equal((await backtest("ensemble:model:small,model:tft,tsmom")).seeds!.rows.length, 1);
  });

  test("members that were trained on other versions of a recipe are refused", () => {
    const member = (name: string, recipeHash: string): Strategy => ({ ...BASELINES.tsmom, name, recipeHash });
    assert.throws(() => ensembleStrategy([member("a", "1"), member("b", "2")]), /a and b were trained on different versions/);
    assert.equal(ensembleStrategy([member("a", "1"), BASELINES.macd]).recipeHash, "1");
  });

  test("are for a GPU where one member is", () => {
    const onGpu: Strategy = { ...BASELINES.tsmom, isForGpu: true };
    assert.equal(ensembleStrategy([onGpu, BASELINES.macd]).isForGpu, true);
    assert.equal(ensembleStrategy([BASELINES.macd, BASELINES.tsmom]).isForGpu, false);
  });

  test("names: adaptive or not, members once", () => {
    assert.deepEqual(ensembleName("ensemble:a, b+adaptive"), { members: ["a", "b"], isAdaptive: true });
    assert.deepEqual(ensembleName("ensemble:a,b"), { members: ["a", "b"], isAdaptive: false });
    assert.throws(() => ensembleName("ensemble:a,a"), /no ensemble/);
  });
});

/** Windows of two rows and two instruments with these returns (days, 2) in units of a constant volatility. */
function told(scores: readonly (readonly number[])[], first = 0): Batch {
  const sigma = Math.fround(0.01), score = (day: number, i: number): number => Math.fround((scores[day]?.[i] ?? 0) * sigma);
  const days = scores.length;
  return { names: ["ret_1d", "daily_vol"], symbols: ["A", "B"], lookback: 2,
    instrument: Int32Array.from({ length: 2 * days }, (_, b) => b % 2),
    time: Float64Array.from({ length: 2 * days }, (_, b) => (first + Math.floor(b / 2)) * MS_PER_DAY),
    features: Float32Array.from({ length: 2 * days * 4 }, (_, k) => {
      const b = Math.floor(k / 4), day = Math.floor(b / 2) - (k % 4 < 2 ? 1 : 0);
      return k % 2 === 1 ? sigma : score(day, b % 2);
    }) };
}

const constant = (name: string, position: number): Strategy => ({
  name, description: name, recipe: "dmn", features: ["daily_vol"], lookback: 1,
  decide: ({ time }) => Promise.resolve({ position: new Float32Array(time.length).fill(position),
    volatility: new Float32Array(time.length).fill(0.01), confidence: new Float32Array(time.length).fill(1) }),
});

describe("an adaptive ensemble", () => {
  const make = (): Strategy => ensembleStrategy([constant("right", 1), constant("wrong", -1)], { isAdaptive: true });
  const scores = Array.from({ length: 300 }, (_, day) => [0.3 + Math.sin(day), 0.1 + Math.cos(3 * day)]);

  test("where the first member is right its weight rises from a half, by Kivinen and Warmuth's step to 1e-6", async () => {
    const { position } = await make().decide(told(scores));
    // Position = w - (1 - w). Odds grow by exp(0.2 * 2 * mean score); then 1/252 is dealt out evenly.
    let w = 0.5;
    const expected = scores.flatMap(([a, b], day) => {
      if (day > 0) {
        const odds = w / (1 - w) * Math.exp(0.4 * (a + b) / 2);
        w = (1 - 1 / 252) * odds / (1 + odds) + 0.5 / 252;
      }
      return [2 * w - 1, 2 * w - 1];
    });
    assertClose(position, expected, 1e-6);
    assert.equal(position[0], 0);
    assert.ok(position.at(-1)! > 0.9, String(position.at(-1)));
  });

  test("asked day by day or all at once it says the same; asked from the start again, it starts anew", async () => {
    const strategy = make(), { position } = await strategy.decide(told(scores));
    const again: number[] = [];
    for (let day = 0; day < scores.length; day++) {
      const { features, ...rest } = told(scores);
      const batch = { ...rest, instrument: rest.instrument.slice(2 * day, 2 * day + 2),
        time: rest.time.slice(2 * day, 2 * day + 2), features: features.slice(8 * day, 8 * day + 8) };
      again.push(...(await strategy.decide(batch)).position);
    }
    assert.deepEqual(again, [...position]);
    assert.match(strategy.notes!([])[0], /ended with right at 9\d%, wrong at \d%/);
  });

  test("what is earned after a day changes no weight up to it", async () => {
    const changed = scores.map((row, day) => day <= 100 ? row : [-9, 9]);
    const [a, b] = [await make().decide(told(scores)), await make().decide(told(changed))];
    assert.deepEqual(a.position.subarray(0, 202), b.position.subarray(0, 202));
    assert.notEqual(a.position[202], b.position[202]);
  });

  test("after a hole in an instrument's rows its bar is of no decision, and nothing is learned from it", async () => {
    const batch = told(scores.slice(0, 2)), features = batch.features.slice();
    // Both instruments' rows before now are not those that were decided on: another volatility.
    features[2 * 4 + 1] = features[3 * 4 + 1] = 0.02;
    assert.equal((await make().decide({ ...batch, features })).position[2], 0);
  });
});

describe("what a run looked at", () => {
  test("is averaged over a seeded sample of the windows, by input and year and by bars before", async () => {
    const asked: number[] = [];
    // In even years all weight is on the first input; of two rows the one before has a quarter of the attention.
    const strategy: Strategy = { ...BASELINES.tsmom, lookback: 2, explain: ({ time }) => {
      asked.push(...time);
      const isEven = [...time].map((moment) => 1 - new Date(moment).getUTCFullYear() % 2);
      return Promise.resolve({ names: ["x", "y"], importance: null,
        selection: Float32Array.from(isEven.flatMap((one) => [one, 1 - one])),
        attention: Float32Array.from(isEven.flatMap(() => [0.75, 0.25])) });
    } };
    const input = inputOf(smallMarket(), strategy, { windows: [years(2001, 2002)] });
    const views = await explainRun(input, 300);
    assert.equal(views!.rows, 300);
    assert.deepEqual(views!.attention, [0.75, 0.25]);
    const { mean, byYear: [odd, even] } = views!.selection!;
    assert.deepEqual([odd.year, odd.mean, even.year, even.mean], [2001, [0, 1], 2002, [1, 0]]);
    assert.equal(mean[0], even.rows / 300);
    assert.ok(even.rows > 100 && odd.rows > 100 && even.rows + odd.rows === 300);
    assert.deepEqual(asked, asked.toSorted((a, b) => a - b));
    assert.deepEqual(await explainRun(input, 300), views);
    assert.ok((await explainRun(input))!.rows > 300);
    assert.equal(await explainRun(inputOf(smallMarket(), BASELINES.tsmom)), null);
  });
});
