/**
 * The suite of the contract `Runtime`: an implementation joins by one line. Its numbers are those
 * of `reference`, which is held to other people's numbers elsewhere (test/graph-gradient.test.ts:
 * PyTorch, textbook, finite differences).
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { gradient } from "../../src/graph/gradient.ts";
import { makeGraph, type Graph } from "../../src/graph/graph.ts";
import * as ops from "../../src/graph/ops.ts";
import { bindSizes } from "../../src/graph/rewrite.ts";
import { reference } from "../../src/runtime/reference.ts";
import type { Program, Runtime, Tensors, Values } from "../../src/runtime/runtime.ts";
import { assertClose } from "./finite-difference.ts";
import { graphOf, projectionOf, RUNTIME_CASES, SIZES, timedCases, valuesOf, type RuntimeCase } from "./runtime-cases.ts";

/**
 * Declares the tests that hold a runtime to its contract. `tolerance`: of the largest element of
 * each output.
 */
export function checkRuntime(name: string, runtime: Runtime, tolerance: number): void {
  describe(`${name} computes what the reference computes, to ${tolerance}`, () => {
    for (const one of RUNTIME_CASES) test(one.name, async () => { await checkEval(runtime, one, tolerance); });
  });
  describe(`${name} computes gradients that the reference computes, to ${tolerance}`, () => {
    for (const one of RUNTIME_CASES) test(one.name, async () => { await checkGradients(runtime, one, tolerance); });
  });
  // Sums of thousands of terms: rounding grows with the square root of their number.
  describe(`${name} agrees at a larger size, to ${10 * tolerance}`, () => {
    for (const { name: what, graph, feeds } of timedCases({ T: 16, B: 4, H: 32, F: 8 })) {
      test(what, async () => { await compare(runtime, graph, [feeds], 10 * tolerance); });
    }
  });
  describe(`${name} keeps a program's promises`, () => { checkProgram(runtime, tolerance); });
}

/** Runs a graph on both, with each of the feeds in turn (one program: it must take new sizes). */
async function compare(runtime: Runtime, graph: Graph, feedings: readonly Tensors[], tolerance: number): Promise<void> {
  await using program = await runtime.compile(graph);
  await using oracle = await reference.compile(graph);
  for (const feeds of feedings) {
    const found = await program.run(feeds), expected = await oracle.run(feeds);
    assert.deepEqual(Object.keys(found).sort(), Object.keys(expected).sort());
    for (const [output, values] of Object.entries(expected)) assertClose(found[output], values, tolerance, output);
  }
}

async function checkEval(runtime: Runtime, one: RuntimeCase, tolerance: number): Promise<void> {
  const graph = graphOf(one);
  const hasOpenSizes = Object.values(one.inputs).some(({ shape }) => shape.some((size) => typeof size === "string"));
  await compare(runtime, graph, (hasOpenSizes ? SIZES : SIZES.slice(0, 1)).map((sizes) => valuesOf(one, sizes)), tolerance);
}

/** A case's projection and its gradients by all inputs, as one graph of known sizes. */
export function gradientGraphOf(one: RuntimeCase): { graph: Graph; feeds: Tensors } {
  const bound = bindSizes(graphOf(one), SIZES[0]);
  const loss = projectionOf(bound);
  const inputs = bound.inputs.map(({ tensor }) => tensor);
  const slopes = gradient(loss, inputs).map((slope, k) => [`d ${bound.inputs[k].name}`, slope] as const);
  const graph = makeGraph(one.name, { inputs, outputs: { loss, ...Object.fromEntries(slopes) } });
  return { graph, feeds: valuesOf(one, SIZES[0]) };
}

async function checkGradients(runtime: Runtime, one: RuntimeCase, tolerance: number): Promise<void> {
  const { graph, feeds } = gradientGraphOf(one);
  await compare(runtime, graph, [feeds], tolerance);
}

const values = (shape: readonly number[], ...numbers: number[]): Values => ({ shape, values: Float64Array.from(numbers) });
const numbersOf = ({ values: found }: Values): number[] => [...found];

/**
 * total <- total + x; the output is the total before this run, and a parameter that never changes
 * scales x.
 */
const accumulator = (): Graph => {
  const total = ops.input("total", [2]), factor = ops.input("factor", []), x = ops.input("x", [2]);
  return makeGraph("accumulator", { inputs: [x], outputs: { before: total },
    state: [{ tensor: total, next: ops.add(total, ops.mul(x, factor)) }, { tensor: factor }] });
};

function checkProgram(runtime: Runtime, tolerance: number): void {
  const x = values([2], 1, 2);
  const started = async (): Promise<Program> => {
    const program = await runtime.compile(accumulator());
    await program.write({ factor: values([], 3) });
    return program;
  };

  test("state that was never written is zero", async () => {
    await using program = await runtime.compile(accumulator());
    assert.deepEqual(numbersOf((await program.read(["total"]))["total"]), [0, 0]);
    assert.deepEqual(numbersOf((await program.run({ x }))["before"]), [0, 0]);
    assert.deepEqual(numbersOf((await program.read(["total"]))["total"]), [0, 0]);
  });

  test("each run sees the state the run before it left", async () => {
    await using program = await started();
    const seen: number[][] = [];
    for (let k = 0; k < 3; k++) seen.push(numbersOf((await program.run({ x }))["before"]));
    assert.deepEqual(seen, [[0, 0], [3, 6], [6, 12]]);
    const { total, factor } = await program.read(["total", "factor"]);
    assert.deepEqual([numbersOf(total), numbersOf(factor)], [[9, 18], [3]]);
  });

  test("state that is read is a copy, and so is state that is written", async () => {
    await using program = await started();
    const mine = values([2], 5, 7);
    await program.write({ total: mine });
    mine.values[0] = 100;
    (await program.read(["total"]))["total"].values[1] = 100;
    assert.deepEqual(numbersOf((await program.run({ x }))["before"]), [5, 7]);
  });

  test("two programs of one graph share nothing", async () => {
    await using first = await started();
    await using second = await started();
    await first.run({ x });
    assert.deepEqual(numbersOf((await first.read(["total"]))["total"]), [3, 6]);
    assert.deepEqual(numbersOf((await second.read(["total"]))["total"]), [0, 0]);
  });

  test("states that swap do not overwrite each other", async () => {
    const [a, b] = [ops.input("a", [1]), ops.input("b", [1])];
    await using program = await runtime.compile(makeGraph("swap", { inputs: [], outputs: { a: ops.add(a, 0) },
      state: [{ tensor: a, next: b }, { tensor: b, next: a }] }));
    await program.write({ a: values([1], 1), b: values([1], 2) });
    const seen: number[] = [];
    for (let k = 0; k < 3; k++) seen.push((await program.run({}))["a"].values[0]);
    assert.deepEqual(seen, [1, 2, 1]);
  });

  test("float32 and float64 feeds are the same to it", async () => {
    await using program = await started();
    await program.run({ x });
    await program.run({ x: { shape: [2], values: Float32Array.of(1, 2) } });
    assertClose((await program.read(["total"]))["total"], values([2], 6, 12), tolerance, "total");
  });

  for (const [what, feeds] of Object.entries<Tensors>({
    "a missing feed": {},
    "a feed of another name": { x, y: x },
    "a feed of another shape": { x: values([3], 1, 2, 3) },
    "a feed of another rank": { x: values([1, 2], 1, 2) },
    "a feed with too few values": { x: values([2], 1) },
  })) {
    test(`${what} is refused`, async () => {
      await using program = await started();
      await assert.rejects(async () => program.run(feeds));
      // And the program still works.
      assert.deepEqual(numbersOf((await program.run({ x }))["before"]), [0, 0]);
    });
  }

  test("state of another name or shape is refused", async () => {
    await using program = await started();
    await assert.rejects(async () => program.write({ sum: values([2], 1, 2) }));
    await assert.rejects(async () => program.write({ total: values([3], 1, 2, 3) }));
    await assert.rejects(async () => program.read(["sum"]));
  });
}
