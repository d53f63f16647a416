/**
 * Ops, blocks and their gradients against numbers that are not ours: PyTorch in float64
 * (test/peers/torch_ops.py), finite differences, backpropagation through time from the textbook,
 * and arithmetic on paper.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { describe, test } from "node:test";
import { random } from "../src/base/random.ts";
import { gradient } from "../src/graph/gradient.ts";
import { makeGraph, type Graph } from "../src/graph/graph.ts";
import * as ops from "../src/graph/ops.ts";
import { orderNodes } from "../src/graph/order.ts";
import { bindSizes, expandBlocks } from "../src/graph/rewrite.ts";
import type { Tensor } from "../src/graph/tensor.ts";
import { reference } from "../src/runtime/reference.ts";
import type { Tensors, Values } from "../src/runtime/runtime.ts";
import { assertClose, checkGradient, nameOf } from "./conformance/finite-difference.ts";
import { BLOCK_CASES, graphOf, PRIMITIVE_CASES, projectionOf, RUNTIME_CASES, SIZES, valuesOf }
  from "./conformance/runtime-cases.ts";

/** Outputs by name; feeds that they do not reach are left aside. */
async function evaluate(outputs: Readonly<Record<string, Tensor>>, values: Tensors = {}): Promise<Tensors> {
  const inputs = orderNodes(Object.values(outputs)).flatMap((node) => (node.op === "input" ? node.outputs : []));
  await using program = await reference.compile(makeGraph("test", { inputs, outputs }));
  return program.run(Object.fromEntries(inputs.map((tensor) => [nameOf(tensor), values[nameOf(tensor)]])));
}

const dense = (shape: readonly number[], ...values: number[]): Values => ({ shape, values: Float64Array.from(values) });
const boundCase = (name: string): Graph => {
  const one = RUNTIME_CASES.find((candidate) => candidate.name === name);
  assert(one !== undefined, `no case is named ${name}`);
  return bindSizes(graphOf(one), SIZES[0]);
};
const tensorsOf = (graph: Graph): Tensor[] => graph.inputs.map(({ tensor }) => tensor);

describe("ops and blocks are PyTorch's, to 1e-12", () => {
  interface Row { inputs: Tensors; outputs: Values[]; gradients?: Tensors }
  const place = path.join(import.meta.dirname, "fixtures", "torch-ops.json");
  const { rows } = JSON.parse(fs.readFileSync(place, "utf8")) as { rows: Record<string, Row> };

  for (const [name, { inputs, outputs, gradients }] of Object.entries(rows)) {
    test(name, async () => {
      const graph = boundCase(name), tensors = tensorsOf(graph);
      const found = await evaluate(Object.fromEntries(graph.outputs.map((one) => [one.name, one.tensor])), inputs);
      assert.equal(graph.outputs.length >= outputs.length, true);
      outputs.forEach((output, k) => { assertClose(found[`y${k}`], output, 1e-12, `output ${k}`); });
      if (gradients === undefined) return;
      assert.deepEqual(Object.keys(gradients), tensors.map(nameOf));
      const slopes = gradient(projectionOf(graph), tensors);
      const slope = await evaluate(Object.fromEntries(slopes.map((one, k) => [nameOf(tensors[k]), one])), inputs);
      for (const [input, expected] of Object.entries(gradients)) assertClose(slope[input], expected, 1e-12, `d ${input}`);
    });
  }

  test("there is a row for every primitive and every block", () => {
    // lstmGradient is what the rows of lstm have as gradients.
    const covered = new Set(["lstmGradient", ...Object.keys(rows).map((name) => name.split(":")[0])]);
    assert.deepEqual(Object.keys({ ...PRIMITIVE_CASES, ...BLOCK_CASES }).filter((op) => !covered.has(op)), []);
  });
});

describe("gradients are those of finite differences, to 1e-6", () => {
  for (const one of RUNTIME_CASES) {
    // What is stopped moves the loss and has no gradient: PyTorch's `detach` above is its oracle.
    if (/^(stop|sort):/.test(one.name)) continue;
    test(one.name, async () => {
      const graph = boundCase(one.name);
      await checkGradient(projectionOf(graph), tensorsOf(graph), valuesOf(one, SIZES[0]));
    });
  }
});

describe("a block's own gradient is its decomposition's, to 1e-12", () => {
  for (const [op, cases] of Object.entries(BLOCK_CASES)) {
    for (const { name } of cases) {
      test(`${op}: ${name}, from all outputs and from each alone`, async () => {
        const one = RUNTIME_CASES.find((candidate) => candidate.name === `${op}: ${name}`)!;
        const whole = boundCase(one.name), values = valuesOf(one, SIZES[0]);
        for (const outputs of [whole.outputs, ...whole.outputs.map((output) => [output])]) {
          const graph = { ...whole, outputs };
          const expanded = expandBlocks(graph, () => false);
          assert(orderNodes(expanded.outputs.map(({ tensor }) => tensor)).every((node) => node.op !== op));
          const [found, expected] = await Promise.all([graph, expanded].map(async (each) => {
            const slopes = gradient(projectionOf(each), tensorsOf(each));
            return evaluate(Object.fromEntries(slopes.map((slope, k) => [each.inputs[k].name, slope])), values);
          }));
          for (const [input, slope] of Object.entries(expected)) assertClose(found[input], slope, 1e-12, `d ${input}`);
        }
      });
    }
  }
});

/**
 * One LSTM layer and its gradients, one number at a time: forward as Graves (2013, equations 7-11
 * without peepholes), backward as Greff et al. (2017, section II.B). Gates lie in the order i, f,
 * o, g. `weights` are d loss / d hidden (T, B, H).
 */
function lstmByHand(size: { T: number; B: number; F: number; H: number }, x: Float64Array, wx: Float64Array,
  wh: Float64Array, bias: Float64Array, h0: Float64Array, c0: Float64Array, weights: Float64Array,
  lastH: Float64Array, lastC: Float64Array): Record<"x" | "wx" | "wh" | "bias" | "h0" | "c0", Float64Array> & { loss: number } {
  const { T, B, F, H } = size;
  const logistic = (a: number): number => 1 / (1 + Math.exp(-a));
  const d = { x: new Float64Array(x.length), wx: new Float64Array(wx.length), wh: new Float64Array(wh.length),
    bias: new Float64Array(bias.length), h0: new Float64Array(h0.length), c0: new Float64Array(c0.length), loss: 0 };
  for (let b = 0; b < B; b++) {
    const h = [Array.from(h0.subarray(b * H, (b + 1) * H))], c = [Array.from(c0.subarray(b * H, (b + 1) * H))];
    const gates: { i: number; f: number; o: number; g: number }[][] = [];
    for (let t = 0; t < T; t++) {
      const pre = (n: number): number => {
        let a = bias[n];
        for (let f = 0; f < F; f++) a += x[(t * B + b) * F + f] * wx[f * 4 * H + n];
        for (let k = 0; k < H; k++) a += h[t][k] * wh[k * 4 * H + n];
        return a;
      };
      gates.push(Array.from({ length: H }, (_, k) => ({
        i: logistic(pre(k)), f: logistic(pre(H + k)), o: logistic(pre(2 * H + k)), g: Math.tanh(pre(3 * H + k)) })));
      c.push(gates[t].map(({ i, f, g }, k) => f * c[t][k] + i * g));
      h.push(gates[t].map(({ o }, k) => o * Math.tanh(c[t + 1][k])));
      for (let k = 0; k < H; k++) d.loss += weights[(t * B + b) * H + k] * h[t + 1][k];
    }
    for (let k = 0; k < H; k++) d.loss += lastH[b * H + k] * h[T][k] + lastC[b * H + k] * c[T][k];

    let dh = lastH.slice(b * H, (b + 1) * H), dc = lastC.slice(b * H, (b + 1) * H);
    for (let t = T - 1; t >= 0; t--) {
      const da = new Float64Array(4 * H);
      const dhBefore = new Float64Array(H), dcBefore = new Float64Array(H);
      for (let k = 0; k < H; k++) {
        const { i, f, o, g } = gates[t][k];
        const squashed = Math.tanh(c[t + 1][k]);
        const dy = dh[k] + weights[(t * B + b) * H + k];
        const dCell = dc[k] + dy * o * (1 - squashed ** 2);
        da[k] = dCell * g * i * (1 - i);
        da[H + k] = dCell * c[t][k] * f * (1 - f);
        da[2 * H + k] = dy * squashed * o * (1 - o);
        da[3 * H + k] = dCell * i * (1 - g ** 2);
        dcBefore[k] = dCell * f;
      }
      for (let n = 0; n < 4 * H; n++) {
        d.bias[n] += da[n];
        for (let f = 0; f < F; f++) {
          d.wx[f * 4 * H + n] += x[(t * B + b) * F + f] * da[n];
          d.x[(t * B + b) * F + f] += wx[f * 4 * H + n] * da[n];
        }
        for (let k = 0; k < H; k++) {
          d.wh[k * 4 * H + n] += h[t][k] * da[n];
          dhBefore[k] += wh[k * 4 * H + n] * da[n];
        }
      }
      dh = dhBefore;
      dc = dcBefore;
    }
    d.h0.set(dh, b * H);
    d.c0.set(dc, b * H);
  }
  return d;
}

describe("the LSTM", () => {
  test("is backpropagation through time written by hand, to 1e-12 (T 9, B 3, F 4, H 5)", async () => {
    const size = { T: 9, B: 3, F: 4, H: 5 }, { T, B, F, H } = size;
    const shapes = { x: [T, B, F], wx: [F, 4 * H], wh: [H, 4 * H], bias: [4 * H], h0: [B, H], c0: [B, H],
      weights: [T, B, H], lastH: [B, H], lastC: [B, H] };
    const values = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => {
      const stream = random(11, "lstm", name);
      return [name, { shape, values: Float64Array.from({ length: shape.reduce((a, b) => a * b) }, () => stream.normal()) }];
    })) as Record<keyof typeof shapes, { shape: number[]; values: Float64Array }>;
    const [x, wx, wh, bias, h0, c0, ...outer] = Object.entries(shapes).map(([name, shape]) => ops.input(name, shape));
    const { hidden, lastHidden, lastCell } = ops.lstm(x, wx, wh, bias, h0, c0);
    const loss = [hidden, lastHidden, lastCell].map((output, k) => ops.total(ops.mul(output, outer[k])))
      .reduce((a, b) => ops.add(a, b));
    const wrt = [x, wx, wh, bias, h0, c0];
    const found = await evaluate({ loss, ...Object.fromEntries(gradient(loss, wrt).map((slope, k) => [nameOf(wrt[k]), slope])) },
      values);
    const v = values;
    const { loss: lossByHand, ...expected } = lstmByHand(size, v.x.values, v.wx.values, v.wh.values, v.bias.values,
      v.h0.values, v.c0.values, v.weights.values, v.lastH.values, v.lastC.values);
    assert(Math.abs(found["loss"].values[0] - lossByHand) <= 1e-12 * Math.abs(lossByHand));
    for (const [name, slope] of Object.entries(expected)) {
      assertClose(found[name], { shape: found[name].shape, values: slope }, 1e-12, `d ${name}`);
    }
  });
});

/** d loss / d x at these values of x. */
async function slopeOf(loss: (x: Tensor) => Tensor, ...values: number[]): Promise<number[]> {
  const x = ops.input("x", [values.length]);
  const [slope] = gradient(loss(x), [x]);
  return [...(await evaluate({ slope }, { x: dense([values.length], ...values) }))["slope"].values];
}

describe("gradient", () => {
  test("adds up what the uses of a tensor say: x^2 + 3x + x[1] has 2x + 3 + (0, 1)", async () => {
    assert.deepEqual(await slopeOf((x) => ops.total(ops.add(ops.add(ops.mul(x, x), ops.mul(3, x)),
      ops.mul(ops.slice(x, 0, 1, 1), 0.5))), 2, -1), [7, 2]);
  });

  test("is zero, of the right shape, where the loss does not look", async () => {
    const x = ops.input("x", [2]), y = ops.input("y", [3, 1]);
    const slopes = gradient(ops.total(ops.mul(x, ops.floor(x))), [x, y, ops.stop(x)]);
    const found = await evaluate({ x: slopes[0], y: slopes[1] }, { x: dense([2], 1.5, -0.5) });
    assert.deepEqual([...found["x"].values], [1, -1]);
    assert.deepEqual(found["y"], dense([3, 1], 0, 0, 0));
  });

  test("at a kink: |x| is flat at 0, max(x, 0) too, and where follows its condition", async () => {
    assert.deepEqual(await slopeOf((x) => ops.total(ops.abs(x)), -2, 0, 3), [-1, 0, 1]);
    assert.deepEqual(await slopeOf((x) => ops.total(ops.maximum(x, 0)), -2, 0, 3), [0, 0, 1]);
    assert.deepEqual(await slopeOf((x) => ops.total(ops.minimum(x, 1)), -2, 1, 3), [1, 0, 0]);
    // Of two that are equal one has it, and only one.
    assert.deepEqual(await slopeOf((x) => ops.total(ops.maximum(0, x)), -2, 0, 3), [0, 1, 1]);
    assert.deepEqual(await slopeOf((x) => ops.total(ops.maximum(x, x)), 4), [1]);
    assert.deepEqual(await slopeOf((x) => ops.total(ops.where(ops.greater(x, 1), ops.mul(x, 5), ops.neg(x))), 1, 2),
      [-1, 5]);
  });

  test("of softplus at 0 is 1/2, and far away it is 0 and 1, with no overflow", async () => {
    const slopes = await slopeOf((x) => ops.total(ops.softplus(x)), 0, Math.log(3), -1000, 1000);
    // e^x / (1 + e^x): 1/2 and 3/4.
    [0.5, 0.75, 0, 1].forEach((expected, k) => { assert(Math.abs(slopes[k] - expected) < 1e-15); });
  });

  test("of a block that is given one tensor twice counts it twice, not four times", async () => {
    // The sum of x x over all entries: by x[i, j] it is the sum of row j and of column i.
    const x = ops.input("x", [2, 2]);
    const [slope] = gradient(ops.total(ops.linear(x, x, ops.zeros([2]))), [x]);
    const found = await evaluate({ slope }, { x: dense([2, 2], 1, 2, 3, 4) });
    assert.deepEqual([...found["slope"].values], [7, 11, 9, 13]);
  });

  test("is shared by ties of reduceMax", async () => {
    assert.deepEqual(await slopeOf((x) => ops.mul(ops.reshape(ops.reduceMax(x), []), 6), 4, 1, 4), [3, 0, 3]);
  });

  test("does not pass stop, nor what stop hides: a threshold found by sorting is a constant", async () => {
    // The mean of what is at least the second largest: 0.5 for each of the two.
    const tail = (x: Tensor): Tensor => {
      const threshold = ops.stop(ops.slice(ops.sort(x), 0, 1, 1));
      return ops.total(ops.mul(ops.where(ops.greater(threshold, x), 0, x), 0.5));
    };
    assert.deepEqual(await slopeOf(tail, 3, 9, -1, 5), [0, 0.5, 0, 0.5]);
    assert.throws(() => { const x = ops.input("x", [2]); gradient(ops.total(ops.sort(x)), [x]); }, /sort has no gradient/);
  });

  test("of a loop by what every step sees: h w^T has T h w^(T-1) by w and w^T by h", async () => {
    const h = ops.input("h", []), w = ops.input("w", []), clock = ops.input("clock", [5]);
    const { finals: [last], stacked: [products] } = ops.scan({ states: [h], sequences: [clock], captured: [w],
      step: ([state], _, [factor]) => {
        const next = ops.mul(state, factor);
        return { nextStates: [next], emits: [next] };
      } });
    const [byW, byH] = gradient(last, [w, h]);
    const [sumByW] = gradient(ops.total(products), [w]);
    const found = await evaluate({ byW, byH, sumByW }, { h: dense([], 3), w: dense([], 2), clock: dense([5], 0, 0, 0, 0, 0) });
    assert.equal(found["byW"].values[0], 5 * 3 * 2 ** 4);
    assert.equal(found["byH"].values[0], 2 ** 5);
    // 3 (1 + 2 w + 3 w^2 + 4 w^3 + 5 w^4) at 2
    assert.equal(found["sumByW"].values[0], 3 * (1 + 4 + 12 + 32 + 80));
  });

  test("can be differentiated again: sum x^3 has 6x, and a loop's gradient is a loop that has one", async () => {
    const twice = (loss: (x: Tensor) => Tensor) => (x: Tensor): Tensor => ops.total(gradient(loss(x), [x])[0]);
    assert.deepEqual(await slopeOf(twice((x) => ops.total(ops.mul(ops.mul(x, x), x))), 2, -3), [12, -18]);
    // The product of the elements: d2/dxi dxj = the product of the others.
    const product = (x: Tensor): Tensor => ops.scan({ states: [ops.constant(1)], sequences: [x],
      step: ([state], [element]) => ({ nextStates: [ops.mul(state, element)], emits: [] }) }).finals[0];
    assert.deepEqual(await slopeOf(twice(product), 2, 3, 5), [8, 7, 5]);
  });

  test("wants a scalar loss", () => {
    const x = ops.input("x", [1]);
    assert.throws(() => gradient(x, [x]), /the loss is a scalar/);
  });
});
