/** The float64 runtimes, by the suite of their contract, and what the reference alone promises. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { makeGraph } from "../src/graph/graph.ts";
import * as ops from "../src/graph/ops.ts";
import { reference } from "../src/runtime/reference.ts";
import type { Values } from "../src/runtime/runtime.ts";
import { checkRuntime } from "./conformance/runtime.ts";

// Against itself: what it keeps between runs and sizes must not show.
checkRuntime("reference", reference, 0);

const dense = (shape: readonly number[], ...values: number[]): Values => ({ shape, values: Float64Array.from(values) });

describe("the reference runtime", () => {
  test("sizes open state by the feeds, and refuses feeds that contradict it", async () => {
    const x = ops.input("x", ["B", 1]), h = ops.input("h", ["B", 1]);
    await using program = await reference.compile(makeGraph("carry",
      { inputs: [x], state: [{ tensor: h, next: ops.add(h, x) }], outputs: { h: ops.add(h, x) } }));
    await assert.rejects(async () => program.read(["h"]), /dimension B has no size/);
    await program.run({ x: dense([2, 1], 1, 2) });
    assert.deepEqual((await program.read(["h"]))["h"], dense([2, 1], 1, 2));
    await assert.rejects(async () => program.run({ x: dense([3, 1], 1, 2, 3) }),
      /\(B, 1\) is \(3, 1\), but the other inputs make it \(2, 1\)|\(B, 1\) is \(2, 1\), but the other inputs make it \(3, 1\)/);
    await program.write({ h: dense([3, 1], 0, 0, 0) });
    assert.deepEqual((await program.run({ x: dense([3, 1], 1, 2, 3) }))["h"], dense([3, 1], 1, 2, 3));
  });

  test("says what is wrong with a feed", async () => {
    const x = ops.input("x", ["T", 2]), y = ops.input("y", ["T", 1]);
    await using program = await reference.compile(makeGraph("pair", { inputs: [x, y], outputs: { sum: ops.add(x, y) } }));
    const good = dense([1, 1], 0);
    await assert.rejects(async () => program.run({ y: good }), /graph pair is run without its input x/);
    await assert.rejects(async () => program.run({ x: dense([1, 2], 1, 2), y: good, z: good }), /graph pair has no input z/);
    await assert.rejects(async () => program.run({ x: dense([1, 3], 1, 2, 3), y: good }), /x is \(T, 2\), not \(1, 3\)/);
    await assert.rejects(async () => program.run({ x: dense([1, 2], 1), y: good }), /x \(1, 2\) has 1 values, not 2/);
    await assert.rejects(async () => program.run({ x: dense([2, 2], 1, 2, 3, 4), y: good }),
      /y \(T, 1\) is \(1, 1\), but the other inputs make it \(2, 1\)/);
  });

  test("not a number stays not a number, and an infinity an infinity", async () => {
    const x = ops.input("x", [3]);
    await using program = await reference.compile(makeGraph("edge",
      { inputs: [x], outputs: { max: ops.maximum(x, 0), most: ops.reduceMax(x), sigmoid: ops.sigmoid(x) } }));
    const { max, most, sigmoid } = await program.run({ x: dense([3], NaN, -Infinity, 800) });
    assert.deepEqual([...max.values], [NaN, 0, 800]);
    assert.deepEqual([...most.values], [NaN]);
    assert.deepEqual([...sigmoid.values], [NaN, 0, 1]);
  });
});
