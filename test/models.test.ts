/**
 * Every architecture keeps the contract of src/nn/model.ts; Transformer and encoder equal
 * PyTorch's, to the last gradient (test/fixtures/torch-transformer.json, made by
 * test/peers/torch_transformer.py). All in float64.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, test } from "node:test";
import { architectureNamed, ARCHITECTURES } from "../models/index.ts";
import { metaColumns, updateMixture } from "../models/meta.ts";
import { UserError } from "../src/base/error.ts";
import { random } from "../src/base/random.ts";
import { gradient } from "../src/graph/gradient.ts";
import { makeGraph } from "../src/graph/graph.ts";
import { constant, input, mul, total } from "../src/graph/ops.ts";
import { orderNodes } from "../src/graph/order.ts";
import type { Tensor } from "../src/graph/tensor.ts";
import { chooseSettings } from "../src/nn/hyperparameter.ts";
import { LOSS_TERMS, lossParts } from "../src/nn/loss.ts";
import type { Architecture, ModelSize } from "../src/nn/model.ts";
import { orthogonalInit } from "../src/nn/recurrent.ts";
import { collect, initialiseParameters, unflatten, type Collected } from "../src/nn/scope.ts";
import { inferenceGraph } from "../src/nn/train-graph.ts";
import { reference } from "../src/runtime/reference.ts";
import type { Tensors, Values } from "../src/runtime/runtime.ts";
import { checkGradient, nameOf } from "./conformance/finite-difference.ts";

const SIZE = { B: 3, T: 7, features: 4, instruments: 3 } as const;
/** Small networks, and every kind of layer in them. */
const SMALL: Readonly<Record<string, Readonly<Record<string, number | string>>>> = {
  lstm: { hidden: 5, layers: 2 }, transformer: { hidden: 6, attentionHeads: 2 },
  encoder: { width: 6, attentionHeads: 2, layers: 2 }, mlp: { hidden: 5, rows: 3 }, linear: { rows: 2 },
  meta: { hidden: 5 },
};
const settingsOf = (architecture: Architecture, said: Readonly<Record<string, number | string>> = {}):
Record<string, number | string> =>
  ({ ...chooseSettings(architecture.name, architecture.hyperparameters, { ...SMALL[architecture.name], ...said }) });

const build = (architecture: Architecture, size: ModelSize = SIZE): Collected =>
  collect(architecture, size, { ...settingsOf(architecture), heads: "all" });

/** The number every name stands for: as `formula` in torch_transformer.py. */
function formula(name: string, shape: readonly number[], size = 0.5): Values {
  const phase = Buffer.from(name).reduce((sum, code, k) => sum + (k + 1) * code, 0) % 1000;
  const values = Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) },
    (_, k) => size * Math.sin(phase + 1.7 * k) + (name.endsWith("/scale") ? 1 : 0));
  return { shape, values };
}

/** Weights, features, instruments and targets for a built network, by formula. */
function fedTo({ specs }: Collected, { B, T, features }: { B: number; T: number; features: number } = SIZE): Tensors {
  return {
    ...Object.fromEntries(specs.map(({ name, shape }) => [name, formula(name, shape)])),
    features: formula("features", [B, T, features], 2),
    instrument: { shape: [B], values: Float64Array.from({ length: B }, (_, b) => [0, 2, 1][b % 3]) },
    target: formula("target", [B, T], 0.02),
  };
}

const inputsOf = (results: readonly Tensor[]): Tensor[] =>
  orderNodes(results).flatMap((node) => (node.op === "input" ? node.outputs : []));

/** Outputs at these values; names that nothing reaches are left out. */
async function evaluate(outputs: Readonly<Record<string, Tensor>>, values: Tensors): Promise<Tensors> {
  const graph = makeGraph("test", { inputs: inputsOf(Object.values(outputs)), outputs });
  await using program = await reference.compile(graph);
  const found = await program.run(Object.fromEntries(graph.inputs.map(({ name }) => [name, values[name]])));
  return Object.fromEntries(Object.entries(found).map(([name, { shape, values: out }]) =>
    [name, { shape: [...shape], values: out.slice() }]));
}

const changed = (values: Tensors, name: string, change: (array: Float64Array) => void): Tensors => {
  const array = Float64Array.from(values[name].values);
  change(array);
  return { ...values, [name]: { shape: values[name].shape, values: array } };
};

/** The Sharpe loss of a position against the fed target, at no cost. */
function sharpeOf({ heads }: Collected): Tensor {
  const { B, T } = SIZE;
  return LOSS_TERMS.sharpe.of(lossParts({ ...heads, target: input("target", [B, T]), weight: input("weight", [B, T]),
    scale: input("scale", [B, T]), costBps: constant(0) }));
}
const ROWS = { weight: { shape: [SIZE.B, SIZE.T], values: new Float64Array(SIZE.B * SIZE.T).fill(1) },
  scale: { shape: [SIZE.B, SIZE.T], values: new Float64Array(SIZE.B * SIZE.T).fill(1) } };

for (const architecture of Object.values(ARCHITECTURES)) {
  describe(architecture.name, () => {
    const built = build(architecture);
    const { position, volatility, confidence, views } = built.heads;
    assert(volatility !== null && confidence !== null);
    const outputs = { position, volatility, confidence };
    const values = fedTo(built);

    test("heads are (B, T), in range, for fixed and open sizes", async () => {
      const open = build(architecture, { ...SIZE, B: "B", T: "T" }).heads;
      for (const head of [open.position, open.score, open.volatility!, open.confidence!]) {
        assert.deepEqual(head.shape, ["B", "T"]);
      }
      assert.deepEqual(Object.keys(open.views), Object.keys(views));
      const found = await evaluate(outputs, values);
      for (const { shape } of Object.values(found)) assert.deepEqual(shape, [SIZE.B, SIZE.T]);
      // By the formula a model without a tanh (meta) is given positions up to 2.
      const limit = architecture.name === "meta" ? 2 : 1;
      assert(found["position"].values.every((value) => Math.abs(value) <= limit));
      assert(found["volatility"].values.every((value) => value > 0));
      assert(found["confidence"].values.every((value) => value > 0 && value < 1));
      // The open graph means the same.
      const { position: same } = await evaluate({ position: open.position }, values);
      assert.deepEqual(same.values, found["position"].values);
    });

    test("rows after t change nothing up to t", async () => {
      const { B, T, features } = SIZE;
      const everything = { ...outputs, ...views };
      const before = await evaluate(everything, values);
      for (const t of [0, 3, 5]) {
        const after = await evaluate(everything, changed(values, "features", (array) => {
          for (let b = 0; b < B; b++) array.fill(7, (b * T + t + 1) * features, (b + 1) * T * features);
        }));
        for (const [name, { shape, values: found }] of Object.entries(after)) {
          const width = shape.slice(2).reduce((a, b) => a * b, 1);
          let later = 0;
          found.forEach((value, k) => {
            const row = Math.floor(k / width) % T;
            if (row <= t) assert.equal(value, before[name].values[k], `${name} at row ${row}, changed after ${t}`);
            else later += Math.abs(value - before[name].values[k]);
          });
          assert(later > 0, `${name} does not depend on the features of later rows either`);
        }
      }
    });

    test("a sequence's answers do not depend on the others in its batch", async () => {
      const { T, features } = SIZE;
      const before = await evaluate(outputs, values);
      const after = await evaluate(outputs, changed(values, "features", (array) => { array.fill(3, T * features); }));
      for (const name of Object.keys(outputs)) {
        assert.deepEqual(after[name].values.slice(0, T), before[name].values.slice(0, T), name);
        assert.notDeepEqual(after[name].values.slice(T), before[name].values.slice(T), name);
      }
    });

    test("gradients of the Sharpe loss equal central finite differences in float64 to 1e-6", async () => {
      const wrt = inputsOf([position]).filter((tensor) => nameOf(tensor) !== "instrument");
      await checkGradient(sharpeOf(built), wrt, { ...values, ...ROWS }, { coordinates: 4 });
    });

    test("auxiliary heads pass nothing back to what the position is made of", async () => {
      const own = built.specs.filter(({ name }) => !name.startsWith("head/"));
      const tensors = inputsOf([position]).filter((tensor) => own.some(({ name }) => name === nameOf(tensor)));
      const slopes = gradient(total(mul(volatility, confidence)), tensors);
      const found = await evaluate(Object.fromEntries(slopes.map((slope, k) => [String(k), slope])), values);
      for (const { values: slope } of Object.values(found)) assert(slope.every((value) => value === 0));
    });

    test("a seed gives the same parameters every time, another seed others", () => {
      const first = initialiseParameters(built.specs, 1);
      assert.deepEqual(initialiseParameters(built.specs, 1), first);
      assert(first.every(Number.isFinite));
      assert.notDeepEqual(initialiseParameters(built.specs, 2), first);
    });
  });
}

/** Elements of all parameters at default heads, for 8 features and 30 instruments. */
const countOf = (name: string, said: Readonly<Record<string, number | string>>): number =>
  collect(ARCHITECTURES[name], { B: 2, T: 5, features: 8, instruments: 30 },
    { ...chooseSettings(name, ARCHITECTURES[name].hyperparameters, said) })
    .specs.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);

describe("parameter counts by hand, F = 8, 30 instruments", () => {
  test("lstm: 4H(F + H + 1) + H + 1; a second layer adds 4H(2H + 1)", () => {
    assert.equal(countOf("lstm", { hidden: 40 }), 4 * 40 * 49 + 41);
    assert.equal(countOf("lstm", { hidden: 40, layers: 2 }), 4 * 40 * 49 + 4 * 40 * 81 + 41);
  });
  test("linear: F + 1; mlp: H(F + 1) + H + 1", () => {
    assert.equal(countOf("linear", {}), 9);
    assert.equal(countOf("mlp", { hidden: 40 }), 401);
  });
  test("encoder: D(F + 1), per layer 12 D^2 + 13 D, norm 2D, head D + 1", () => {
    assert.equal(countOf("encoder", { width: 64, layers: 2 }), 64 * 9 + 2 * (12 * 64 ** 2 + 13 * 64) + 128 + 65);
  });
  test("transformer: a GRN has 4 D^2 + 6 D; sums over its parts", () => {
    const D = 16, F = 8, grn = 4 * D * D + 6 * D;
    const skip = (width: number): number => 2 * D * width + 2 * width + 2 * width;
    const weights = F * D * D + D + D * D + D * D + D + (F * D * F + F) + skip(F);
    const attention = 2 * D * D + 2 * D * (D / 4);
    assert.equal(countOf("transformer", { hidden: D }), 30 * D + grn + 4 * grn + 2 * F * D + F * grn + weights
      + (8 * D * D + 4 * D) + skip(D) + (grn + D * D) + attention + skip(D) + grn + skip(D) + D + 1);
  });
  test("meta over four models: H(8 + 1) + 4(H + 1)", () => {
    assert.equal(countOf("meta", { hidden: 16 }), 16 * 9 + 4 * 17);
  });
});

interface TorchStep {
  readonly loss: number;
  readonly position: number[];
  readonly views: Readonly<Record<string, number[]>>;
  readonly gradients: Readonly<Record<string, number[]>>;
}
const torch = JSON.parse(fs.readFileSync(path.join(import.meta.dirname, "fixtures", "torch-transformer.json"), "utf8")) as
  Readonly<Record<"transformer" | "encoder", TorchStep>>;

/** Largest difference, of the largest expected magnitude (at least 1e-3). */
function distance(found: Values, expected: readonly number[]): number {
  assert.equal(found.values.length, expected.length);
  const size = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-3);
  return expected.reduce((most, value, k) => Math.max(most, Math.abs(found.values[k] - value)), 0) / size;
}

describe("against PyTorch in float64: forward, Sharpe loss and every gradient within 1e-6", () => {
  for (const name of ["transformer", "encoder"] as const) {
    test(name, async () => {
      const architecture = ARCHITECTURES[name], expected = torch[name];
      const built = collect(architecture, SIZE, settingsOf(architecture));
      assert.deepEqual(built.specs.map((spec) => spec.name).sort(), Object.keys(expected.gradients).sort());
      const loss = sharpeOf(built);
      const parameters = inputsOf([loss]).filter((tensor) => Object.hasOwn(expected.gradients, nameOf(tensor)));
      const names = parameters.map(nameOf);
      const slopes = gradient(loss, parameters);
      const found = await evaluate({ loss, position: built.heads.position, ...built.heads.views,
        ...Object.fromEntries(slopes.map((slope, k) => [`d ${names[k]}`, slope])) }, { ...fedTo(built), ...ROWS });
      assert(distance(found["loss"], [expected.loss]) < 1e-6, `loss ${found["loss"].values[0]}, not ${expected.loss}`);
      assert(distance(found["position"], expected.position) < 1e-6, "position");
      for (const [view, values] of Object.entries(expected.views)) assert(distance(found[view], values) < 1e-6, view);
      for (const [parameter, values] of Object.entries(expected.gradients)) {
        const far = distance(found[`d ${parameter}`], values);
        assert(far < 1e-6, `the gradient of ${parameter} is ${far} away`);
      }
    });
  }
});

describe("recurrent state", () => {
  test("two half windows with carried state equal one window", async () => {
    const graph = inferenceGraph(ARCHITECTURES["lstm"], SIZE, settingsOf(ARCHITECTURES["lstm"]), { carry: true });
    const built = collect(ARCHITECTURES["lstm"], SIZE, settingsOf(ARCHITECTURES["lstm"]));
    const values = fedTo(built);
    await using program = await reference.compile(graph);
    await program.write(Object.fromEntries(built.specs.map(({ name }) => [name, values[name]])));
    const { B, T, features } = SIZE, H = 5;
    const run = (from: number, to: number, state: Tensors): Promise<Tensors> => {
      const rows = Float64Array.from({ length: B * (to - from) * features }, (_, k) => {
        const perSequence = (to - from) * features, b = Math.floor(k / perSequence);
        return values["features"].values[(b * T + from) * features + k % perSequence];
      });
      return program.run({ features: { shape: [B, to - from, features], values: rows }, ...state });
    };
    const named = (given: (name: string) => Values): Tensors => Object.fromEntries([0, 1].flatMap((layer) =>
      ["hidden", "cell"].map((kind) => `lstm/${layer}/${kind}`)).map((name) => [`state/${name}`, given(name)]));
    const start = named(() => ({ shape: [B, H], values: new Float64Array(B * H) }));
    const whole = (await run(0, T, start))["position"].values.slice();
    const first = await run(0, 3, start);
    const kept = Object.fromEntries(Object.entries(first).map(([name, one]) => [name, { ...one, values: one.values.slice() }]));
    const second = await run(3, T, named((name) => kept[`final/${name}`]));
    for (let b = 0; b < B; b++) {
      for (let t = 0; t < T; t++) {
        const found = t < 3 ? kept["position"].values[b * 3 + t] : second["position"].values[b * (T - 3) + t - 3];
        assert(Math.abs(found - whole[b * T + t]) < 1e-14, `sequence ${b}, row ${t}`);
      }
    }
  });

  test("a new LSTM remembers: biases are 1 for the forget gates, the second of i, f, o, g", () => {
    const { specs } = collect(ARCHITECTURES["lstm"], SIZE, settingsOf(ARCHITECTURES["lstm"], { hidden: 5, layers: 1 }));
    const bias = unflatten(specs, initialiseParameters(specs, 1))["lstm/0/b"].values;
    assert.deepEqual([...bias], [0, 1, 0, 0].flatMap((value) => Array<number>(5).fill(value)));
  });

  test("the Transformer drops before each gate but the last, the features with one mask for all rows", () => {
    const { dropouts } = build(ARCHITECTURES["transformer"]), D = 6, { B, T, features: F } = SIZE;
    assert.deepEqual(Object.fromEntries(dropouts.map(({ name, shape }) => [name, shape])), {
      "static/gated/dropout": [B, D], "contexts/dropout": [4, B, D],
      "selection/weights/gated/dropout": [T * B, D], "selection/features/dropout": [F, 1, B, D],
      "temporal/dropout": [T, B, D], "enrichment/gated/dropout": [T, B, D], "attentive/dropout": [T, B, D],
      "decoder/gated/dropout": [T, B, D] });
  });

  test("orthogonal rows: their products are the identity to float32's precision", () => {
    const rows = 40, columns = 160, values = new Float32Array(rows * columns);
    orthogonalInit(values, [rows, columns], random(3, "orthogonal"));
    for (let a = 0; a < rows; a++) {
      for (let b = 0; b < rows; b++) {
        let product = 0;
        for (let k = 0; k < columns; k++) product += values[a * columns + k] * values[b * columns + k];
        assert(Math.abs(product - (a === b ? 1 : 0)) < 2e-7, `rows ${a} and ${b}: ${product}`);
      }
    }
  });
});

describe("positions and lags", () => {
  test("a learned table that holds sines and cosines is the sinusoidal encoder", async () => {
    const encoder = ARCHITECTURES["encoder"];
    const fixed = collect(encoder, SIZE, settingsOf(encoder));
    const learned = collect(encoder, { ...SIZE, B: "B", T: "T" }, settingsOf(encoder, { positions: "learned" }));
    const { position: expected } = await evaluate({ position: fixed.heads.position }, fedTo(fixed));
    const values = changed(fedTo(learned), "positions", (table) => {
      table.forEach((_, k) => {
        const row = Math.floor(k / 6), column = k % 6, angle = row / 10_000 ** (2 * Math.floor(column / 2) / 6);
        table[k] = column % 2 === 0 ? Math.sin(angle) : Math.cos(angle);
      });
    });
    const { position: found } = await evaluate({ position: learned.heads.position }, values);
    assert(distance(found, [...expected.values]) < 1e-12);
  });

  test("linear with two rows: tanh(w . [x_t, x_t-1] + b), zeros before the window", async () => {
    const { specs, heads } = collect(ARCHITECTURES["linear"], SIZE, { rows: 2 });
    const values = fedTo({ specs, heads, dropouts: [], states: [] }), { T, features: F } = SIZE;
    const x = values["features"].values, w = values["head/position/w"].values, bias = values["head/position/b"].values[0];
    const { position } = await evaluate({ position: heads.position }, values);
    position.values.forEach((value, row) => {
      let score = bias;
      for (let j = 0; j < F; j++) {
        score += w[j] * x[row * F + j] + (row % T === 0 ? 0 : w[F + j] * x[(row - 1) * F + j]);
      }
      assert(Math.abs(value - Math.tanh(score)) < 1e-12, `row ${row}`);
    });
  });
});

describe("transformer", () => {
  test("an instrument it was never shown is answered without an embedding, not with another's", async () => {
    const architecture = ARCHITECTURES["transformer"], built = build(architecture);
    const { position } = built.heads, values = fedTo(built);
    const stranger = changed(values, "instrument", (array) => { array.fill(99); });
    const nobody = changed(values, "embedding", (array) => { array.fill(0); });
    const [a, b] = [await evaluate({ position }, stranger), await evaluate({ position }, nobody)];
    assert.deepEqual(a["position"].values, b["position"].values);
  });

  test("attention rows and selection rows sum to 1", async () => {
    const built = build(ARCHITECTURES["transformer"]);
    const { selection, attention } = await evaluate({ ...built.heads.views }, fedTo(built));
    for (const { shape, values } of [selection, attention]) {
      const width = shape.at(-1)!;
      for (let row = 0; row < values.length / width; row++) {
        const sum = Float64Array.from(values.slice(row * width, (row + 1) * width)).reduce((a, b) => a + b, 0);
        assert(Math.abs(sum - 1) < 1e-12);
      }
    }
  });

  test("heads that do not divide the width are refused with a number that does", () => {
    assert.throws(() => collect(ARCHITECTURES["transformer"], SIZE,
      { ...settingsOf(ARCHITECTURES["transformer"], { hidden: 6, attentionHeads: 4 }) }),
    (error: unknown) => error instanceof UserError && /hidden 6 .* 4 heads/.test(error.problem)
      && error.hint === "--set attentionHeads=2");
  });
});

describe("meta", () => {
  test("an untrained gate is the average of its models", async () => {
    const built = build(ARCHITECTURES["meta"]), flat = initialiseParameters(built.specs, 4);
    const values = { ...fedTo(built), ...unflatten(built.specs, flat) };
    const { position } = await evaluate({ position: built.heads.position }, values);
    const features = values["features"].values;
    position.values.forEach((value, row) => {
      assert(Math.abs(value - (features[row * 4] + features[row * 4 + 1]) / 2) < 1e-12);
    });
  });

  test("its columns are positions first, then performances, in one order", () => {
    assert.deepEqual(metaColumns(["a", "b"]), ["position:a", "position:b", "performance:a", "performance:b"]);
  });

  test("exponentiated gradient: 1/2, 1/2 with returns ln 3, 0 at rate 1 become 3/4, 1/4; a share is dealt out", () => {
    const close = (found: number[], expected: number[]): void => {
      expected.forEach((value, m) => { assert(Math.abs(found[m] - value) < 1e-15); });
    };
    close(updateMixture([0.5, 0.5], [Math.log(3), 0], { rate: 1 }), [0.75, 0.25]);
    close(updateMixture([0.5, 0.5], [Math.log(3), 0], { rate: 1, share: 0.2 }), [0.7, 0.3]);
    close(updateMixture([1, 0], [0, 5], { rate: 100, share: 0.1 }), [0.95, 0.05]);
    close(updateMixture([0.2, 0.8], [1000, 1000], { rate: 1000 }), [0.2, 0.8]);
  });
});

test("a setting that is empty, a fraction where a whole number belongs, or out of range is refused", () => {
  const declared = { hidden: { kind: "integer", default: 5, min: 0, max: 9, describe: "" } } as const;
  assert.deepEqual(chooseSettings("x", declared, { hidden: "7" }), { hidden: 7 });
  for (const hidden of ["", "7.5", 10, -1, NaN, "many"]) {
    assert.throws(() => chooseSettings("x", declared, { hidden }), /x: hidden is .*; it is a whole number from 0 to 9/);
  }
});

test("an unknown architecture is one sentence with the nearest name", () => {
  assert.equal(architectureNamed("lstm"), ARCHITECTURES["lstm"]);
  assert.throws(() => architectureNamed("lsmt"), (error: unknown) => error instanceof UserError
    && error.problem === 'there is no model architecture "lsmt"' && error.hint === 'did you mean "lstm"?');
});
