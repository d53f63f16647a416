import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ARCHITECTURES } from "../models/index.ts";
import { random } from "../src/base/random.ts";
import type { Shape } from "../src/graph/dimension.ts";
import { gradient } from "../src/graph/gradient.ts";
import { makeGraph, resultsOf, type Graph, type Named } from "../src/graph/graph.ts";
import { planMemory, type MemoryPlan } from "../src/graph/liveness.ts";
import * as op from "../src/graph/ops.ts";
import { orderNodes } from "../src/graph/order.ts";
import { bindSizes, expandBlocks } from "../src/graph/rewrite.ts";
import { simplify } from "../src/graph/simplify.ts";
import { makeNode, type Tensor } from "../src/graph/tensor.ts";
import { parseGraph, printGraph } from "../src/graph/text.ts";
import { verify } from "../src/graph/verify.ts";
import type { Settings } from "../src/nn/hyperparameter.ts";
import { inferenceGraph, trainGraph } from "../src/nn/train-graph.ts";
import { lossWeights, settingsOf } from "../src/train/settings.ts";
import { reference } from "../src/runtime/reference.ts";
import type { Tensors, Values } from "../src/runtime/runtime.ts";
import { everyOpGraph, lstmGraph, randomGraph } from "./graphs.ts";

/** Sizes at which the oracle takes milliseconds. */
const SMALL: Readonly<Record<string, Settings>> = { lstm: { hidden: 6, layers: 2 }, mlp: { hidden: 6 },
  transformer: { hidden: 8, attentionHeads: 2 }, encoder: { width: 8, attentionHeads: 2 }, meta: { hidden: 6 } };
/** What only makes sense above zero: scales, rates, masks, second moments. */
const POSITIVE = /^(m|v|step|weight|scale|rate|decay|clip|costBps|lossWeight\/.*|dropout\/.*)$/;
const SEEDS = Array.from({ length: 60 }, (_, seed) => seed);
const countNodes = (graph: Graph): number => orderNodes(resultsOf(graph)).length;

/** The lines between inputs and outputs that `y` needs after simplification, and y itself. */
function simplified(y: Tensor, ...inputs: Tensor[]): string {
  const graph = { ...makeGraph("g", { inputs, outputs: { y } }) };
  return printGraph(simplify(graph)).split("\n").filter((line) => /^(%| |output)/.test(line)).join("\n");
}

describe("simplification", () => {
  const a = op.input("a", [4, 6]), b = op.input("b", [4, 6]), open = op.input("open", ["B", 6]);
  const row = op.input("row", [6]), wide = op.input("wide", [4, 1, 6]);
  const cases: readonly (readonly [string, Tensor, string])[] = [
    ["x * 1 + 0 - 0 and / 1 are x", op.div(op.sub(op.add(op.mul(a, 1), 0), 0), 1), "output y = a (4, 6)"],
    ["two minus signs are none", op.neg(op.neg(a)), "output y = a (4, 6)"],
    ["0 - x is -x, and a - -b is a + b", op.sub(a, op.sub(0, b)), "%0 = add(a, b) -> (4, 6)\noutput y = %0 (4, 6)"],
    ["the same twice is computed once, in either order", op.add(op.mul(a, b), op.mul(b, a)),
      "%0 = mul(a, b) -> (4, 6)\n%1 = add(%0, %0) -> (4, 6)\noutput y = %1 (4, 6)"],
    ["subtraction is not commutative", op.mul(op.sub(a, b), op.sub(b, a)),
      "%0 = sub(a, b) -> (4, 6)\n%1 = sub(b, a) -> (4, 6)\n%2 = mul(%0, %1) -> (4, 6)\noutput y = %2 (4, 6)"],
    ["2 * 3 + 1 is 7", op.add(op.mul(op.constant(2), 3), 1), "output y = 7 ()"],
    ["factors gather: -(x * 2 * 3) is x * -6", op.neg(op.mul(op.mul(a, 2), 3)),
      "%0 = mul(a, -6) -> (4, 6)\noutput y = %0 (4, 6)"],
    ["factors stay apart where float32 would lose their product", op.mul(op.mul(a, 1e-20), 1e-20),
      "%0 = mul(a, 1e-20) -> (4, 6)\n%1 = mul(%0, 1e-20) -> (4, 6)\noutput y = %1 (4, 6)"],
    ["x * 0 is zeros where the shape is known", op.mul(a, 0),
      "%0 = broadcast(0) shape=(4, 6) -> (4, 6)\noutput y = %0 (4, 6)"],
    ["x * 0 stays where it is open", op.mul(open, 0), "%0 = mul(open, 0) -> (B, 6)\noutput y = %0 (B, 6)"],
    ["1 / 0 stays the runtime's", op.div(op.constant(1), 0), "%0 = div(1, 0) -> ()\noutput y = %0 ()"],
    ["reshapes collapse", op.reshape(op.reshape(a, [24]), [4, 6]), "output y = a (4, 6)"],
    ["transposes compose: (1 2 0) after (1 2 0) is (2 0 1)",
      op.transpose(op.transpose(op.reshape(a, [2, 2, 6]), [1, 2, 0]), [1, 2, 0]),
      "%0 = reshape(a) shape=(2, 2, 6) -> (2, 2, 6)\n%1 = transpose(%0) permutation=[2, 0, 1] -> (6, 2, 2)\n"
        + "output y = %1 (6, 2, 2)"],
    ["moving an axis of size 1 is a reshape", op.transpose(wide, [1, 0, 2]),
      "%0 = reshape(wide) shape=(1, 4, 6) -> (1, 4, 6)\noutput y = %0 (1, 4, 6)"],
    ["a broadcast that an op does anyway is left out", op.add(a, op.broadcast(row, [4, 6])),
      "%0 = add(a, row) -> (4, 6)\noutput y = %0 (4, 6)"],
    ["a broadcast that makes the shape stays", op.add(op.broadcast(row, [4, 6]), op.broadcast(row, [4, 6])),
      "%0 = broadcast(row) shape=(4, 6) -> (4, 6)\n%1 = add(row, %0) -> (4, 6)\noutput y = %1 (4, 6)"],
    ["a product of repeated matrices is a repeated product",
      op.matmul(op.broadcast(wide, [2, 4, 1, 6]), op.broadcast(wide, [2, 4, 1, 6]), { transposeB: true }),
      "%0 = matmul(wide, wide) transposeA=false transposeB=true -> (4, 1, 1)\n"
        + "%1 = broadcast(%0) shape=(2, 4, 1, 1) -> (2, 4, 1, 1)\noutput y = %1 (2, 4, 1, 1)"],
    ["a repeated row is no repeated matrix", op.matmul(op.broadcast(row, [4, 6]), a, { transposeB: true }),
      "%0 = broadcast(row) shape=(4, 6) -> (4, 6)\n"
        + "%1 = matmul(%0, a) transposeA=false transposeB=true -> (4, 4)\noutput y = %1 (4, 4)"],
    ["a sum over an axis of size 1 is no sum", op.sum(wide, [1]), "output y = wide (4, 1, 6)"],
    ["a sum of repeats is a product", op.sum(op.broadcast(row, [4, 6]), [0]),
      "%0 = broadcast(row) shape=(1, 6) -> (1, 6)\n%1 = mul(%0, 4) -> (1, 6)\noutput y = %1 (1, 6)"],
    ["a slice of a concatenation is a slice of the part", op.slice(op.concat([a, b], 1), 1, 7, 2),
      "%0 = slice(b) axis=1 start=1 length=2 -> (4, 2)\noutput y = %0 (4, 2)"],
    ["a slice across the seam stays", op.slice(op.concat([a, b], 1), 1, 5, 2),
      "%0 = concat(a, b) axis=1 -> (4, 12)\n%1 = slice(%0) axis=1 start=5 length=2 -> (4, 2)\noutput y = %1 (4, 2)"],
    ["a slice of padding is what was padded, or zeros", op.concat(
      [op.slice(op.pad(a, 1, 2, 2), 1, 2, 6), op.slice(op.pad(b, 1, 2, 2), 1, 8, 2)], 1),
    "%0 = broadcast(0) shape=(4, 2) -> (4, 2)\n%1 = concat(a, %0) axis=1 -> (4, 8)\noutput y = %1 (4, 8)"],
    ["a slice of some padding and some of what was padded stays", op.slice(op.pad(a, 1, 2, 2), 1, 1, 2),
      "%0 = pad(a) axis=1 before=2 after=2 -> (4, 10)\n%1 = slice(%0) axis=1 start=1 length=2 -> (4, 2)\noutput y = %1 (4, 2)"],
    ["parts put together again are the whole", op.concat(op.split(a, 1, [2, 3, 1]), 1), "output y = a (4, 6)"],
    ["a slice from the end of a slice", op.slice(op.slice(a, 1, 1, 4), 1, -2, 2),
      "%0 = slice(a) axis=1 start=3 length=2 -> (4, 2)\noutput y = %0 (4, 2)"],
    ["a slice that covers some parts of a concatenation joins those", op.slice(op.concat([a, b, a], 1), 1, 6, 12),
      "%0 = concat(b, a) axis=1 -> (4, 12)\noutput y = %0 (4, 12)"],
    ["1 is not greater than 1", op.greater(1, 1), "output y = 0 ()"],
    ["where(0, 1, 2) is 2", op.where(0, 1, 2), "output y = 2 ()"],
    ["where of a known condition is its branch", op.where(op.greater(1, 2), a, b), "output y = b (4, 6)"],
  ];
  for (const [sentence, y, expected] of cases) {
    test(sentence, () => { assert.equal(simplified(y, a, b, open, row, wide), expected); });
  }

  test("works inside scan bodies, and merges scans that do the same", () => {
    const sums = (factor: number): Tensor => op.scan({ states: [row], sequences: [a], step: ([s], [e]) => {
      const next = op.mul(op.add(s, op.neg(op.neg(e))), factor);
      return { nextStates: [next], emits: [] };
    } }).finals[0];
    assert.equal(simplified(op.add(sums(1), sums(1)), a, row), [
      "%0 = scan(row, a) isReverse=false -> (6)",
      "  state state0 (6)", "  element element0 (6)", "  %0 = add(state0, element0) -> (6)",
      "  next state0 = %0 (6)", "%1 = add(%0, %0) -> (6)", "output y = %1 (6)"].join("\n"));
  });

  test("keeps scans apart that do different things", () => {
    const run = (factor: number): Tensor => op.scan({ states: [row], sequences: [a], step: ([s], [e]) =>
      ({ nextStates: [op.add(op.mul(s, factor), e)], emits: [] }) }).finals[0];
    assert.match(simplified(op.add(run(2), run(3)), a, row), /add\(%0, %1\)/);
  });

  test("keeps state, also where it loses its last reader", () => {
    const state = op.input("s", [2]);
    const graph = simplify(makeGraph("g", { inputs: [], state: [{ tensor: state, next: op.add(op.mul(state, 0), 5) }],
      outputs: { y: op.mul(state, 1) } }));
    assert.equal(graph.outputs[0].tensor, state);
    assert.match(printGraph(graph), /next s = %0 \(2\)/);
  });

  test("changes no value by more than rounding: 60 random graphs in float64, and all are smaller", async () => {
    let before = 0, after = 0;
    for (const seed of SEEDS) {
      const graph = randomGraph(seed), small = simplify(graph);
      verify(small);
      before += countNodes(graph);
      after += countNodes(small);
      await assertSameValues(graph, small, seed);
    }
    assert.ok(after < 0.75 * before, `${before} nodes became ${after}`);
  });

  test("changes no gradient of an LSTM, and finds the same again when it is run again", async () => {
    const graph = expandBlocks(lstmGraph({ B: 2, T: 3 }), () => false);
    const parameters = graph.state.map(({ tensor }) => tensor);
    const found = gradient(op.total(op.mul(graph.outputs[0].tensor, graph.outputs[0].tensor)), parameters);
    const whole = makeGraph("gradients", { inputs: [...graph.inputs.map(({ tensor }) => tensor), ...parameters],
      outputs: Object.fromEntries(found.map((tensor, k) => [`d${k}`, tensor])) });
    const small = simplify(whole);
    verify(small);
    assert.ok(countNodes(small) < countNodes(whole));
    assert.equal(printGraph(simplify(small)), printGraph(small));
    await assertSameValues(whole, small, 1);
  });
});

describe("every architecture", () => {
  const size = { features: 4, instruments: 3 }, small = { ...size, B: 2, T: 5 };
  for (const architecture of Object.values(ARCHITECTURES)) {
    test(`${architecture.name}: its graphs are sound, survive the text, and mean the same when simplified`, async () => {
      const settings = settingsOf(architecture, { heads: "all", turnoverWeight: 0.1, ...SMALL[architecture.name] });
      const training = trainGraph(architecture, small, settings, { terms: [...lossWeights(settings).keys()] }).graph;
      for (const simple of [training, inferenceGraph(architecture, size, settings)]) {
        const graph = expandBlocks(simple, () => false);
        verify(simple);
        verify(graph);
        const text = printGraph(graph);
        assert.equal(printGraph(parseGraph(text)), text);
        const less = simplify(graph);
        verify(less);
        assert.ok(countNodes(less) <= countNodes(graph));
        await assertSameValues(bindSizes(graph, small), bindSizes(less, small), 5);
      }
      assertSound(planMemory(training), resultsOf(training), 256);
    });
  }
});

function randomValues(shape: Shape, seed: number, name: string): Values {
  const stream = random(seed, "values", name), count = (shape as number[]).reduce((a, b) => a * b, 1);
  return { shape: shape as number[], values: Float64Array.from({ length: count }, () =>
    (POSITIVE.test(name) ? 0.1 + stream.uniform() : 0.5 * stream.normal())) };
}

/** Runs both on the same values; equal to 1e-9, relative to 1 or the value. */
async function assertSameValues(a: Graph, b: Graph, seed: number): Promise<void> {
  const valuesOf = (named: readonly Named[]): Tensors =>
    Object.fromEntries(named.map(({ name, tensor }) => [name, randomValues(tensor.shape, seed, name)]));
  const feeds = valuesOf(a.inputs);
  await using one = await reference.compile(a);
  await using other = await reference.compile(b);
  for (const program of [one, other]) await program.write(valuesOf(a.state));
  const expected = await one.run(feeds), found = await other.run(feeds);
  for (const [name, { shape, values }] of Object.entries(expected)) {
    assert.deepEqual(found[name].shape, shape);
    values.forEach((value, k) => {
      const difference = Math.abs(value - found[name].values[k]);
      assert.ok(difference <= 1e-9 * Math.max(1, Math.abs(value)),
        `seed ${seed}, ${name}[${k}]: ${value} became ${found[name].values[k]}`);
    });
  }
}

describe("verification", () => {
  test("passes every graph here, before and after the passes and the text", () => {
    for (const graph of [everyOpGraph(), lstmGraph({ B: "B", T: "T" }), randomGraph(3)]) {
      verify(graph);
      verify(parseGraph(printGraph(simplify(graph))));
    }
  });

  test("a node takes as many inputs as its op, block or primitive: one more or fewer is refused", () => {
    const one = op.input("one", []), row = op.input("row", [3]), square = op.input("square", [3, 3]);
    assert.throws(() => makeNode("add", [one], {}), /^AssertionError: add\(\(\)\) takes 2 inputs$/);
    assert.throws(() => makeNode("transpose", [square, one], { permutation: [1, 0] }), /takes 1 inputs/);
    assert.throws(() => makeNode("softmax", [row, row], {}), /takes 1 inputs/);
    assert.throws(() => makeNode("linear", [square, square, row, row], {}), /takes 3 inputs/);
    assert.throws(() => makeNode("adamw", [row, row, row, row, one, one], { beta1: 0, beta2: 0, epsilon: 0 }),
      /takes 7 inputs/);
    assert.throws(() => makeNode("concat", [], { axis: 0 }), /joins nothing/);
  });

  test("a graph with two inputs of one name is refused when it is made", () => {
    const [one, other] = [op.input("x", [2]), op.input("x", [2])];
    assert.throws(() => makeGraph("g", { inputs: [one, other], outputs: { y: op.add(one, other) } }),
      /two inputs of one name/);
    assert.throws(() => makeGraph("g", { inputs: [one], outputs: { y: op.add(one, other) } }), /input x, which is not declared/);
  });

  const x = op.input("x", [2, 3]), stranger = op.input("stranger", [2, 3]);
  const graphOf = (y: Tensor, extra: Partial<Graph> = {}): Graph =>
    ({ name: "g", inputs: [{ name: "x", tensor: x }], state: [], outputs: [{ name: "y", tensor: y }], ...extra });
  /** A node whose one field was changed after it was made, as a wrong pass would. */
  const forged = (tensor: Tensor, change: object): Tensor => {
    Object.assign(tensor.node, change);
    return tensor;
  };
  const wrongShape = op.neg(x);
  Object.assign(wrongShape, { shape: [3, 2] });
  const cyclic = op.neg(x);
  const placeholder = op.input("state0", [3]);
  const leak = makeNode("scan", [op.slice(op.reshape(x, [6]), 0, 0, 3), x], { isReverse: false, body: {
    states: [placeholder], elements: [op.input("element0", [3])], captured: [],
    nextStates: [op.add(placeholder, op.input("outside", [3]))], emits: [] } })[0];

  const twins = makeNode("scan", [op.slice(op.reshape(x, [6]), 0, 0, 3), x], { isReverse: false, body: {
    states: [placeholder], elements: [op.input("state0", [3])], captured: [], nextStates: [placeholder], emits: [] } })[0];

  const faults: readonly (readonly [string, Graph, RegExp])[] = [
    ["an input that is not declared", graphOf(op.add(x, stranger)), /graph g: an input that is not declared: stranger = input/],
    ["shapes that are not the rule's", graphOf(wrongShape), /gives \(2, 3\): %0 = neg\(x\) -> \(3, 2\)/],
    ["attributes that the rule refuses", graphOf(forged(op.sum(x, [1]), { attributes: { axes: [7] } })),
      /axis 7 of \(2, 3\): %0 = sum/],
    ["a node that uses itself", graphOf(forged(cyclic, { inputs: [cyclic] })), /uses itself: %0 = neg\(%0\)/],
    ["an input too many", graphOf(forged(op.neg(x), { inputs: [x, x] })), /takes 1 inputs: %0 = neg\(x, x\)/],
    ["a tensor that its node does not know", graphOf(forged(op.neg(x), { inputs: [{ ...x }] })), /no output of its node/],
    ["two inputs of one name", graphOf(x, { inputs: [{ name: "x", tensor: x }, { name: "x", tensor: op.input("x", [1]) }] }),
      /two inputs named x/],
    ["two outputs of one name", graphOf(x, { outputs: [{ name: "y", tensor: x }, { name: "y", tensor: x }] }),
      /two outputs named y/],
    ["a name that is another node's", graphOf(x, { inputs: [{ name: "z", tensor: x }] }), /z is not the input node of that name/],
    ["a state that changes its shape", graphOf(x, { inputs: [], state: [{ name: "x", tensor: x, next: op.sum(x, [0]) }] }),
      /state x \(2, 3\) becomes \(1, 3\)/],
    ["a body with two placeholders of one name", graphOf(twins), /two placeholders of one name/],
    ["a body that reaches outside", graphOf(leak), /in %\d = scan.*not declared: outside = input/],
  ];
  for (const [what, graph, expected] of faults) {
    test(`refuses ${what}`, () => { assert.throws(() => { verify(graph); }, expected); });
  }
});

/** Asserts that buffers alive at the same time lie apart, and that what is read is still there. */
function assertSound(plan: MemoryPlan, results: readonly Tensor[], alignment: number): void {
  for (const result of results) {
    const home = plan.homes.get(result);
    if (home === undefined) continue;
    const { last } = plan.buffers.find(({ tensor }) => tensor === home)!;
    assert.equal(last, plan.order.length - 1, "a result is gone before the end");
  }
  plan.buffers.forEach((a, k) => {
    assert.equal(a.offset % alignment, 0);
    assert.ok(a.first <= a.last && a.offset + a.bytes <= plan.peakBytes);
    for (const b of plan.buffers.slice(k + 1)) {
      const isApart = a.last < b.first || b.last < a.first || a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset;
      assert.ok(isApart, `buffers overlap: ${JSON.stringify([a, b], ["first", "last", "offset", "bytes"])}`);
    }
  });
  plan.order.forEach((node, step) => {
    for (const input of node.inputs) {
      const home = plan.homes.get(input);
      if (home === undefined) continue;
      const buffer = plan.buffers.find(({ tensor }) => tensor === home)!;
      assert.ok(buffer.first < step && step <= buffer.last, `step ${step} reads what is gone`);
    }
  });
  // Whose value each buffer holds: every read, and every result, finds its own.
  const held = new Map<Tensor, Tensor>();
  const writerOf = (tensor: Tensor): Tensor =>
    (tensor.node.op === "reshape" || tensor.node.op === "stop" ? writerOf(tensor.node.inputs[0]) : tensor);
  const reads = (tensor: Tensor): void => {
    const home = plan.homes.get(tensor);
    if (home !== undefined) assert.equal(held.get(home), writerOf(tensor), `a ${tensor.node.op} was overwritten`);
  };
  for (const { inputs, outputs } of plan.order) {
    inputs.forEach(reads);
    for (const output of outputs) {
      const home = plan.homes.get(output);
      if (home !== undefined && writerOf(output) === output) held.set(home, output);
    }
  }
  results.forEach(reads);
  assert.ok(plan.liveBytes <= plan.peakBytes && plan.peakBytes <= plan.sumBytes);
  for (const [node, body] of plan.bodies) {
    assert.equal(node.op, "scan");
    if (node.op === "scan") assertSound(body, [...node.attributes.body.nextStates, ...node.attributes.body.emits], alignment);
  }
}

describe("the memory plan", () => {
  test("of a chain of five ops on 1,000 floats: one buffer of 4,096 bytes instead of five", () => {
    const x = op.input("x", [1000]);
    let y = x;
    for (let k = 0; k < 5; k++) y = op.tanh(y);
    const plan = planMemory(makeGraph("chain", { inputs: [x], outputs: { y } }));
    assert.deepEqual([plan.peakBytes, plan.liveBytes, plan.sumBytes], [4096, 4096, 5 * 4096]);
  });

  test("writes over no operand that is read again, returned, fed, or of another shape", () => {
    const x = op.input("x", [1000]), row = op.input("row", [1, 1000]);
    const bytes = (...outputs: Tensor[]): number => planMemory(makeGraph("g", { inputs: [x, row],
      outputs: Object.fromEntries(outputs.map((output, k) => [`y${k}`, output])) })).peakBytes;
    const y = op.exp(x), z = op.tanh(y);
    assert.equal(bytes(op.add(z, y)), 2 * 4096);
    assert.equal(bytes(y, z), 2 * 4096);
    assert.equal(bytes(y), 4096);
    assert.equal(bytes(op.add(op.exp(row), op.broadcast(1, [2, 1]))), 4096 + 8192 + 256);
  });

  test("takes the bytes of an element and the sizes of open dimensions", () => {
    const x = op.input("x", ["B", 8]);
    const graph = makeGraph("g", { inputs: [x], outputs: { y: op.exp(x) } });
    assert.equal(planMemory(graph, { B: 100 }).peakBytes, 3328);
    assert.equal(planMemory(graph, { B: 100 }, { elementBytes: 8, alignment: 64 }).peakBytes, 6400);
    assert.throws(() => planMemory(graph), /B has no size/);
  });

  test("gives inputs, states, constants, reshapes and outputs that nobody reads no bytes of their own", () => {
    const graph = lstmGraph({ B: 4, T: 8 });
    const plan = planMemory(graph);
    const [hidden, ...others] = graph.outputs[0].tensor.node.outputs;
    assert.deepEqual(plan.buffers.map(({ tensor }) => tensor), [hidden]);
    assert.deepEqual(others.filter((output) => plan.used.has(output)), []);
    const x = op.input("x", [64]), y = op.exp(x);
    const flat = planMemory(makeGraph("g", { inputs: [x], outputs: { y: op.reshape(y, [8, 8]), z: op.reshape(x, [8, 8]) } }));
    assert.deepEqual(flat.buffers.map(({ tensor }) => tensor), [y]);
  });

  test("counts the scratch of a scan's body at the scan's step", () => {
    const plan = planMemory(expandBlocks(lstmGraph({ B: 64, T: 8 }), () => false));
    const [body] = plan.bodies.values();
    const scratch = plan.buffers.find(({ tensor }) => tensor === null)!;
    assert.ok(body.peakBytes > 0);
    assert.equal(scratch.bytes, body.peakBytes);
    assert.equal(plan.order[scratch.first].op, "scan");
  });

  test("never lays two tensors that live at the same time over each other: 60 random graphs", () => {
    let peak = 0, live = 0;
    for (const seed of SEEDS) {
      const graph = randomGraph(seed, 60), plan = planMemory(graph, {}, { alignment: 64 });
      assertSound(plan, resultsOf(graph), 64);
      peak += plan.peakBytes;
      live += plan.liveBytes;
    }
    // Best fit wastes a little; the bound is what cannot be beaten.
    assert.ok(peak <= 1.15 * live, `${peak} against ${live}`);
  });

  test("of every op, with nested scans, is sound", () => {
    const graph = everyOpGraph();
    assertSound(planMemory(graph), resultsOf(graph), 256);
  });
});
