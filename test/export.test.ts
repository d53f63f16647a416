/** Exports are held to what was trained: rounding may grow, a wrong weight may not hide in it. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { architectureNamed } from "../models/index.ts";
import { random } from "../src/base/random.ts";
import type { SequenceSet } from "../src/dataset/sequence.ts";
import type { Settings } from "../src/nn/hyperparameter.ts";
import { collectParameters, initialiseParameters } from "../src/nn/scope.ts";
import type { Tensors } from "../src/runtime/runtime.ts";
import { checkAnswers, checkExport, exportNetwork, type ExportedNetwork, type ExportOptions } from "../src/train/export.ts";
import { settingsOf } from "../src/train/settings.ts";
import { toyMarket } from "./toy-market.ts";

const F = 6, T = 40;
/** Standard normal inputs of 4 sequences. */
function normalRows(): SequenceSet {
  const stream = random(3, "rows"), count = 4;
  return { ...toyMarket(), names: Array.from({ length: F }, (_, k) => `f${k}`), lookback: T, count,
    features: Float32Array.from({ length: count * T * F }, () => stream.normal()), instrument: new Int32Array(count) };
}

/** A network of new weights times `growth`. */
function network(model: string, said: Settings, growth: number): ExportOptions {
  const architecture = architectureNamed(model), settings = settingsOf(architecture, said);
  const size = { features: F, instruments: 2 };
  const specs = collectParameters(architecture, { ...size, B: 1, T: 1 }, settings);
  const parameters = initialiseParameters(specs, 1).map((weight) => weight * growth);
  return { architecture, settings, size, specs, parameters, positionKind: "tanh", sample: normalRows(),
    isCarried: false, metadata: {} };
}
const exported = (...of: Parameters<typeof network>): Promise<ExportedNetwork> => exportNetwork(network(...of));

describe("an export", () => {
  test("of new networks differs by less than 4e-6 from what was trained, in float16 by 2e-3", async () => {
    const networks = { lstm: { hidden: 16 }, transformer: { hidden: 16 }, encoder: { width: 16 } };
    for (const [model, said] of Object.entries(networks)) {
      const { float32Error, float16Error, unrounded } = await exported(model, said, 1);
      assert.ok(float32Error < 4e-6, `${model} ${float32Error}`);
      assert.ok(float16Error < 2e-3 && float16Error > 1e-6, `${model} ${float16Error}`);
      if (model === "lstm") assert.deepEqual(unrounded, []);
    }
  });

  test("of weights 20 times as large stays within 2e-3 in float16, because what costs most is left as it was", async () => {
    const { float16Error, unrounded, float16, float32 } = await exported("lstm", { hidden: 64 }, 20);
    assert.ok(float16Error <= 2e-3, String(float16Error));
    assert.ok(unrounded.length > 0 && unrounded.length < 5, unrounded.join());
    assert.ok(float16.length < float32.length);
  });

  test("of an LSTM of 256 units and 2 layers with weights 8 times as large passes, though rounding is past 1e-6", async () => {
    const { float32Error } = await exported("lstm", { hidden: 256, layers: 2 }, 8);
    assert.ok(float32Error > 1e-6 && float32Error < 1e-2, String(float32Error));
  });
});

describe("the check of an export", () => {
  /** Answers of one sequence whose rounding grows from 1e-7 by a fifth a step, to 1.2e-4. */
  const answers = (of: (t: number) => number): Tensors =>
    ({ position: { shape: [1, T], values: Float64Array.from({ length: T }, (_, t) => of(t)) } });
  const exact = (t: number): number => Math.sin(t), noise = (t: number): number => 1e-7 * 1.2 ** t;
  const check = (found: (t: number) => number): void => { checkAnswers({ exact: answers(exact),
    trained: answers((t) => exact(t) + noise(t)), found: answers(found) }); };

  test("passes rounding to the other side, ten times as large", () => { check((t) => exact(t) - 10 * noise(t)); });
  test("refuses 1e-5 in the first step, which in the last one is rounding", () => {
    check((t) => exact(t) + (t === T - 1 ? 1e-5 : 0));
    assert.throws(() => { check((t) => exact(t) + (t === 0 ? 1e-5 : 0)); },
      /position differs .* in step 1, where rounding makes/);
  });
  test("refuses what is not a number", () => {
    assert.throws(() => { check((t) => (t === 5 ? NaN : exact(t))); }, /Infinity in step 6/);
  });
  test("refuses a file with one weight of half a million off by 0.1, in a network whose rounding is past 1e-6", async () => {
    const options = network("lstm", { hidden: 256, layers: 2 }, 3), files = await exportNetwork(options);
    const parameters = options.parameters.slice();
    parameters[100_000] += 0.1;
    await assert.rejects(checkExport(files.float32, { ...options, parameters }), /position differs from the trained one's by/);
  });
});
