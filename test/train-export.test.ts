/** `dmn train-export` as a person runs it: what it writes, how it goes on after Ctrl-C and kill -9, what it refuses. */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import * as path from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { parseGraph, printGraph } from "../src/graph/text.ts";
import { openOnnx } from "../src/runtime/ort/model.ts";
import { readArtifact, readArtifactFile } from "../src/train/artifact.ts";
import { bestSettings, type Finished } from "../src/workflow/train-finish.ts";
import type { Plan } from "../src/workflow/train-plan.ts";
import type { UnitResult } from "../src/workflow/train-unit.ts";
import { DataRoot } from "./features-data.ts";
import { barsOf, cleanBars, closesFrom } from "./market-rows.ts";
import { askPython, NO_PYTHON, python } from "./python.ts";

const DMN = path.join(import.meta.dirname, "..", "bin", "dmn.js");
const data = new DataRoot();
after(() => { data[Symbol.dispose](); });
before(async () => {
  await data.put("market", Array.from({ length: 3 }, (_, k) => cleanBars(k, 900 - 60 * k, `S${k}`)));
  await data.put("young", [cleanBars(1, 360, "Y")]);
  const closes = closesFrom("2010-01-04", 700);
  await data.put("flat", [barsOf("FLAT", closes, { close: new Float64Array(700).fill(100) })]);
  const wild = cleanBars(3, 700, "W"), close = wild.columns.close!.map((price, t) => (t < 450 ? price : price * 1e25));
  await data.put("wild", [barsOf("W", wild.time, { close })]);
  await data.put("bare", [cleanBars(9, 700, "B")]);
  for (const dataset of ["market", "young", "flat", "wild"]) data.features("--dataset", dataset, "--recipe", "dmn");
});

const TINY = ["--dataset", "market", "--set", "hidden=5", "--set", "epochs=4", "--set", "lookback=21", "--seeds", "2"];

/** Runs `dmn train-export ... --json`, which must succeed. */
function train(...args: string[]): { artifact: Record<string, unknown>; fits: number; kept: number } {
  const { code, out, said } = data.dmn(["train-export", ...args, "--json"]);
  assert.equal(code, 0, said);
  return JSON.parse(out) as ReturnType<typeof train>;
}

/** Runs it, which must refuse with exit code 2 and two lines; returns them. */
function refusal(...args: string[]): string {
  const { code, out, said } = data.dmn(["train-export", ...args]);
  assert.equal(code, 2, `${said}${out}`);
  assert.match(said, /^dmn: .+\n {5}.+\n$/);
  return said;
}

const place = (...parts: string[]): string => path.join(data.root, "models", ...parts);
const networks = (name: string): Buffer[] => [0, 1].map((seed) =>
  fs.readFileSync(place(name, "folds", FOLD, `seed-${seed}`, "model.onnx")));
/** The year of the last fifth of the days. */
const FOLD = "2007";

describe("where it writes", () => {
  test("a training begun with --data-dir goes on with it: where the data are is no part of what is trained", () => {
    const begun = train("--name", "elsewhere", ...TINY, "--data-dir", data.root);
    assert.equal(begun.fits, 2);
    assert.deepEqual([train("--name", "elsewhere", "--resume", "--data-dir", data.root).kept], [2]);
  });
});

describe("what it writes", () => {
  before(() => { train("--name", "whole", ...TINY); });

  test("model.json names every file by its hash, and the fold's test starts after the last label seen", () => {
    const artifact = readArtifact(data.root, "whole"), [fold] = artifact.folds;
    assert.deepEqual(artifact.features, ["norm_1", "norm_21", "norm_63", "norm_126", "norm_252", "macd_8_24",
      "macd_16_48", "macd_32_96"]);
    assert.equal(fold.seeds.length, 2);
    // Weights of an LSTM of 5 units on 8 inputs, 4 (8 + 5 + 1) 5, and of a dense layer, 5 + 1.
    assert.equal(fold.seeds[0].parameters, 4 * 5 * (8 + 5 + 1) + 6);
    assert.ok(fold.trainTo < fold.testFrom, `${fold.trainTo} ${fold.testFrom}`);
    for (const file of Object.keys(artifact.files)) readArtifactFile(data.root, artifact, file);
    assert.deepEqual(Object.keys(artifact.files).filter((file) => !file.includes("/")).sort(),
      ["curves.html", "model-fp16.onnx", "model.onnx", "training.parquet"]);
    assert.equal(fold.importance.length, 8);
  });

  test("the network in the file takes any batch and window, and carries the text of its graph", async () => {
    const model = await openOnnx(place("whole", "model.onnx"));
    const run = async (B: number, T: number): Promise<readonly number[]> => {
      const values = Float32Array.from({ length: B * T * 8 }, (_, k) => Math.sin(k));
      return (await model.run({ features: { shape: [B, T, 8], values } })).position.shape;
    };
    assert.deepEqual([await run(1, 21), await run(5, 3)], [[1, 21], [5, 3]]);
    const text = model.metadata["dmn.graph"];
    assert.match(text, /= lstm\(/);
    assert.equal(printGraph(parseGraph(text)), text);
    assert.equal(model.metadata["dmn.recipeHash"], readArtifact(data.root, "whole").recipe.hash);
    await model.close();
  });

  test("the same command again trains nothing, and writes a damaged network anew", () => {
    const again = train("--name", "whole", ...TINY);
    assert.deepEqual([again.fits, again.kept], [0, 2]);
    const kept = networks("whole"), hurt = place("whole", "folds", FOLD, "seed-1", "model.onnx");
    fs.writeFileSync(hurt, kept[1].subarray(0, 100));
    const mended = train("--name", "whole", "--resume");
    assert.deepEqual([mended.fits, mended.kept], [1, 1]);
    assert.deepEqual(networks("whole"), kept);
  });

  test("Python's checker passes the file, and its onnxruntime answers the same to 1e-6",
    { skip: python() === null ? NO_PYTHON : false }, async () => {
      const features = Array.from({ length: 2 * 21 * 8 }, (_, k) => Math.fround(Math.sin(k)));
      const files = ["model.onnx", "model-fp16.onnx"].map((file) => place("whole", file));
      const answers = askPython(`
import json, sys, numpy as np, onnx, onnxruntime as ort
given = json.load(sys.stdin)
x = np.array(given["features"], dtype=np.float32).reshape(2, 21, 8)
out = []
for file in given["files"]:
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    assert {opset.domain for opset in model.opset_import} == {""}
    out.append(ort.InferenceSession(file).run(["position"], {"features": x})[0].ravel().tolist())
print(json.dumps(out))`, { features, files }) as number[][];
      const model = await openOnnx(files[0]);
      const { position } = await model.run({ features: { shape: [2, 21, 8], values: Float32Array.from(features) } });
      position.values.forEach((value, k) => {
        assert.ok(Math.abs(value - answers[0][k]) <= 1e-6, `${value} ${answers[0][k]}`);
        assert.ok(Math.abs(value - answers[1][k]) <= 2e-3, `${value} ${answers[1][k]} (float16)`);
      });
      await model.close();
    });

  test("training.parquet has a row per fold, seed and epoch, one of each seed's kept",
    { skip: python() === null ? NO_PYTHON : false }, () => {
      const rows = askPython(`
import json, sys, pandas as pd
table = pd.read_parquet(json.load(sys.stdin))
print(json.dumps([len(table), int(table.is_kept.sum()), sorted(table.fold.unique()), sorted(table["index"].unique().tolist())]))`,
      place("whole", "training.parquet"));
      assert.deepEqual(rows, [8, 2, [FOLD], [0, 1]]);
    });

  test("a search tries settings of the papers' grid, and the seeds take the best one's", () => {
    train("--name", "searched", ...TINY, "--set", "batch=16", "--trials", "3", "--windows", "2008");
    const { folds: [fold] } = readArtifact(data.root, "searched");
    assert.equal(new Set(fold.trials.map(({ settings }) => JSON.stringify(settings))).size, 3);
    const best = fold.trials.reduce((a, b) => (b.validationSharpeNet > a.validationSharpeNet ? b : a));
    assert.deepEqual(fold.settings, best.settings);
    // What the user set is not searched.
    assert.ok(fold.trials.every(({ settings }) => settings.hidden === 5 && settings.batch === 16));
    // And the backtest's deflated Sharpe ratio knows how many were tried; of an ensemble, by all its models.
    for (const [strategy, trials] of [["model:searched", 3], ["model:searched/seed-0", 3], ["model:whole", 1],
      ["ensemble:model:searched,long-only", 3]] as const) {
      const { code, out, said } = data.dmn(["backtest", "--dataset", "market", "--strategy", strategy, "--from", "2008-06-01",
        "--json"]);
      assert.equal(code, 0, said);
      assert.equal((JSON.parse(out) as { risk: { trials: number } }).risk.trials, trials, strategy);
    }
  });
});

describe("the best of a fold's trials", () => {
  const plan = { settings: { rate: 0 }, folds: [{ name: "1995" }, { name: "2000" }] } as unknown as Plan;
  const trial = (rate: number, net: number, over: object = {}, fold = 0): Finished =>
    ({ unit: { kind: "trial", fold, index: rate }, result: { settings: { rate }, validationSharpe: -net,
      validationSharpeNet: net, isDiverged: false, notes: [], ...over } as unknown as UnitResult });

  test("is the first with the highest Sharpe ratio net of costs, whatever the gross ones are", () =>
    assert.deepEqual(bestSettings(plan, [trial(1, 0.5), trial(2, 0.9), trial(3, 0.9), trial(4, 2, {}, 1)], 0), { rate: 2 }));
  test("has a ratio where any has, and has not diverged", () => assert.deepEqual(bestSettings(plan, [
    trial(1, NaN, { isDiverged: true }), trial(2, NaN), trial(3, -1), trial(4, 5, { isDiverged: true })], 0), { rate: 3 }));
  test("is one without a ratio before one that diverged", () => assert.deepEqual(
    bestSettings(plan, [trial(1, NaN, { isDiverged: true }), trial(2, NaN)], 0), { rate: 2 }));
  test("is what the user said where nothing was tried", () => assert.deepEqual(bestSettings(plan, [], 0), { rate: 0 }));
});

/** Long enough to be stopped in the middle: epochs of a few milliseconds. */
const LONG = ["--dataset", "market", "--set", "hidden=5", "--set", "epochs=60", "--set", "patience=60",
  "--set", "lookback=21", "--set", "batch=16", "--seeds", "2", "--workers", "1"];

describe("going on", () => {
  before(() => { train("--name", "unbroken", ...LONG); });

  /** Starts it and sends a signal once checkpoints of its third epoch are there. */
  async function stopped(name: string, signal: NodeJS.Signals):
  Promise<{ code: number | null; said: string; workers: number[] }> {
    const child: ChildProcess = spawn(process.execPath, [DMN, "train-export", "--name", name, ...LONG],
      { cwd: data.root, env: { ...process.env, DMN_HOME: data.root, CI: "1" }, stdio: ["ignore", "ignore", "pipe"] });
    const closed = once(child, "close");
    let said = "";
    child.stderr!.on("data", (chunk: Buffer) => { said += chunk.toString(); });
    const wanted = place(name, "folds", FOLD, "seed-0", "checkpoints", "epoch-0003.safetensors");
    while (!fs.existsSync(wanted) && child.exitCode === null) await sleep(2);
    const workers = childrenOf(child.pid!);
    child.kill(signal);
    const [code] = await closed as [number | null];
    return { code, said, workers };
  }

  /** Process ids of a process's children; none where the system does not tell. */
  function childrenOf(pid: number): number[] {
    const list = `/proc/${pid}/task/${pid}/children`;
    return fs.existsSync(list) ? fs.readFileSync(list, "utf8").split(" ").filter(Boolean).map(Number) : [];
  }

  async function assertGone(pids: readonly number[]): Promise<void> {
    const isAlive = (pid: number): boolean => { try { return process.kill(pid, 0); } catch { return false; } };
    for (let tries = 0; tries < 500 && pids.some(isAlive); tries++) await sleep(10);
    assert.deepEqual(pids.filter(isAlive), []);
  }

  test("after Ctrl-C exits with 130, says the command that goes on, and that one makes the same bytes", async () => {
    const { code, said, workers } = await stopped("pressed", "SIGINT");
    assert.equal(code, 130, said);
    assert.match(said, /Go on with: dmn train-export --name pressed --resume/);
    await assertGone(workers);
    assert.throws(() => readArtifact(data.root, "pressed"), /its training is not finished/);
    train("--name", "pressed", "--resume");
    assert.deepEqual(networks("pressed"), networks("unbroken"));
  });

  test("after kill -9 of the parent no worker goes on, and the same command makes the same bytes", async () => {
    const { workers } = await stopped("killed", "SIGKILL");
    await assertGone(workers);
    assert.ok(!fs.existsSync(place("killed", "model.json")));
    train("--name", "killed", ...LONG);
    assert.deepEqual(networks("killed"), networks("unbroken"));
    const strip = (name: string): unknown => {
      const { name: _, command: __, createdAt: ___, files: ____, folds, ...rest } = readArtifact(data.root, name);
      return [rest, folds.map((fold) => ({ ...fold, seeds: fold.seeds.map((seed) => ({ ...seed, seconds: 0 })) }))];
    };
    assert.deepEqual(strip("killed"), strip("unbroken"));
  });

  test("other settings under a name that is taken are refused, and so is a recipe that has changed", () => {
    assert.match(refusal("--name", "unbroken", ...LONG, "--set", "hidden=6"),
      /hidden is 5 there, not 6\n.*dmn train-export --name unbroken --resume/);
    data.write("recipes/mine.json", JSON.stringify({ features: [{ recipe: "dmn" }] }));
    data.features("--dataset", "market", "--recipe", "mine");
    train("--name", "own", ...TINY, "--recipe", "mine", "--set", "epochs=1", "--seeds", "1");
    data.write("recipes/mine.json", JSON.stringify({ features: [{ recipe: "dmn" }, { family: "rsi" }] }));
    data.features("--dataset", "market", "--recipe", "mine");
    assert.match(refusal("--name", "own", "--resume"), /recipe "mine" is not the one that model "own" was begun with/);
  });
});

describe("what it refuses", () => {
  const cases: readonly (readonly [string, readonly string[], RegExp])[] = [
    ["an unknown hyperparameter", [...TINY, "--set", "hiden=5"], /no hyperparameter "hiden"\n.*did you mean "hidden"/],
    ["a value out of range", [...TINY, "--set", "dropout=2"], /dropout is 2; it is a number from 0 to 0.9/],
    ["an unknown architecture", [...TINY, "--model", "lsmt"], /no model architecture "lsmt"\n.*did you mean "lstm"/],
    ["an unknown input", [...TINY, "--features", "norm_2"], /no column "norm_2"\n.*did you mean/],
    ["the target as an input", [...TINY, "--features", "target_vol_scaled_next_return"], /is the target/],
    ["features that were not made yet", ["--dataset", "bare"],
      /no features of recipe "dmn" yet\n.*dmn features --dataset bare --recipe dmn/],
    ["a recipe without a target", [...TINY, "--recipe", "technical"], /no column "target_vol_scaled_next_return"/],
    ["too few bars", ["--dataset", "young"], /fold \d+: too few bars for one sequence of 63/],
    ["constant returns", ["--dataset", "flat"], /returns to train on are constant \(zero variance\)/],
    ["windows outside of the data", [...TINY, "--windows", "2031"], /2031 has no bars; market ends/],
    ["windows with nothing before them", [...TINY, "--windows", "2005"], /too few bars|nothing to train on/],
    ["--resume of nothing", ["--resume"], /no training of model "x" to go on with/],
    ["more trials than there are settings", [...TINY, "--trials", "1000"], /only 180 different settings/],
    ["no dataset", [], /which dataset/],
  ];
  for (const [what, args, expected] of cases) {
    test(`${what}, in one sentence with the next command`, () => {
      assert.match(refusal("--name", "x", ...args), expected);
      assert.ok(!fs.existsSync(place("x")));
    });
  }

  test("a loss that is no longer a number, by epoch, step and batch", () => {
    const said = refusal("--name", "wild", ...TINY, "--dataset", "wild");
    assert.match(said, /the loss is not a number in epoch 1, step \d+; the batch was .*W/);
    assert.match(said, /--set learningRate=0.0001/);
  });

  test("a search whose trials all diverge, each of them on record with its reason", () => {
    const said = refusal("--name", "hopeless", ...TINY, "--dataset", "wild", "--trials", "2", "--workers", "1");
    assert.match(said, /fold 2007: all 2 trials diverged; the last one diverged: the loss is not a number in epoch 1, step/);
    assert.match(said, /--set learningRate=0.001 --set clip=1/);
    for (const trial of ["trial-000", "trial-001"]) {
      const text = fs.readFileSync(place("hopeless", "folds", FOLD, trial, "result.json"), "utf8");
      const { isDiverged, validationSharpe, notes } = JSON.parse(text) as Record<string, unknown>;
      assert.deepEqual([isDiverged, validationSharpe], [true, null]);
      assert.match(String(notes), /^diverged: the loss is not a number in epoch 1, step \d+; the batch was .*W/);
    }
  });

  test("a folder of that name with something else in it", () => {
    fs.mkdirSync(place("taken"), { recursive: true });
    fs.writeFileSync(place("taken", "notes.txt"), "mine");
    assert.match(refusal("--name", "taken", ...TINY), /files that are not of a training\n.*--force/);
  });
});
