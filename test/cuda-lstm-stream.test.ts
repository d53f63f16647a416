/** The tensor-core LSTM whose weights stream: its plans, and its kernel on the emulated GPU against float64. */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import type { Cuda } from "../src/runtime/cuda/driver/device.ts";
import { H200, layoutArguments } from "../src/runtime/cuda/launch.ts";
import type { LstmStack } from "../src/runtime/cuda/lstm/stack.ts";
import { planLstmStack } from "../src/runtime/cuda/lstm/plan.ts";
import { planLstmStream, planStreamShape, streamShapes, type StreamShape } from "../src/runtime/cuda/lstm/stream.ts";
import { emulatedCuda } from "./emulator/build.ts";
import { assertNear } from "./emulator/lstm-reference.ts";
import { floats, runStack, SHORT, stackOf, TOLERANCE } from "./emulator/lstm-stack.ts";
import { floatsOfHalves, openEmulated } from "./emulator/run.ts";

/** Shared memory as the kernel counts it: slots, a stage, barriers. */
const sharedBytes = ({ columns, slots }: StreamShape): number =>
  slots * (64 * (128 + columns) * 2 + 16) + 64 * columns + 32;

describe("plans of the LSTM whose weights stream", () => {
  test("512 x 2 at 4096 sequences: 256 at a time, on all 66 pairs of multiprocessors", () => {
    const [{ columns, tiles, pairs, slots, inputs }] = streamShapes(stackOf({ B: 4096 }), H200);
    assert.deepEqual({ columns, tiles, pairs, slots, inputs }, { columns: 256, tiles: 16, pairs: 66, slots: 4, inputs: 208 });
  });

  test("every shape fits the GPU, whatever the stack", () => {
    for (const H of [8, 64, 100, 512, 600, 1024]) for (const L of [1, 2, 3, 8]) for (const B of [1, 300, 4096]) {
      const stack = stackOf({ H, L, B, F: 37 });
      for (const shape of streamShapes(stack, H200)) {
        const { hidden, inputs, pairs, slots, tiles, columns } = shape;
        assert.ok(2 * pairs <= 132 && shape.sharedBytes <= 232_448, `${pairs} pairs of ${shape.sharedBytes} bytes`);
        assert.equal(shape.sharedBytes, sharedBytes(shape));
        assert.ok(hidden % 64 === 0 && hidden >= H && inputs >= 64 && tiles * columns >= B && slots >= 2);
        // A pair of blocks takes two slices of one layer: in a wave no pair has more than it can reach.
        assert.ok(pairs <= L * hidden / 64 * tiles);
      }
      assert.notEqual(planLstmStream(stack, H200, "p"), null);
    }
  });

  test("refuses float32, given states, other GPUs, more than 1024 units and more than 8 layers", () => {
    const states = { h0: "h0", c0: "c0", hn: "hn", cn: "cn" };
    for (const sizes of [{ precision: "float32" as const }, { states }, { H: 1025 }, { L: 9 }]) {
      assert.equal(planLstmStream(stackOf(sizes), H200, "p"), null);
    }
    assert.equal(planLstmStream(stackOf({}), { ...H200, capability: 100 }, "p"), null);
  });

  test("is chosen where weights cannot stay or work is plenty", () => {
    const kernels = (sizes: Partial<LstmStack>): string | undefined =>
      planLstmStack(stackOf(sizes), H200, "p")?.launches.find(({ isCooperative }) => isCooperative)?.kernel;
    assert.equal(kernels({ B: 4096 }), "lstm_stream");
    assert.equal(kernels({ B: 128, H: 1024, L: 4 }), "lstm_stream");
    assert.equal(kernels({ B: 512, H: 1024, L: 4 }), "lstm_stream");
    assert.equal(kernels({ B: 512 }), "lstm_tile");
    assert.equal(kernels({ B: 64, H: 1024, L: 4 }), "lstm_tile");
  });

  test("arguments are laid out as the kernel's struct: 8 layers of 40 bytes, 3 pointers, 4 words", () => {
    const plan = planLstmStream(stackOf({ H: 1024, L: 4 }), H200, "p");
    assert.deepEqual(plan?.launches.map(({ kernel }) => kernel), ["lstm_tile_input", "lstm_stream", "lstm_tile_head"]);
    assert.deepEqual(plan?.launches.map((launch) => layoutArguments(launch.arguments).bytes), [56, 360, 72]);
  });
});

const emulated = emulatedCuda();
describe("the kernel of the LSTM whose weights stream", { skip: typeof emulated === "string" ? emulated : false }, () => {
  let opened: Cuda | null = null;
  const gpu = (): Cuda => opened ??= openEmulated();
  after(() => opened?.close());

  function run(stack: LstmStack, { columns = 64, ...more }: Partial<StreamShape>, ringStart: number, times: number):
    ReturnType<typeof runStack> {
    const shape = { ...streamShapes(stack, H200).find((one) => one.columns === columns)!, slots: 3, ...more };
    const plan = planStreamShape(stack, { ...shape, sharedBytes: sharedBytes(shape) }, "p");
    return runStack(gpu(), stack, plan, ringStart, times);
  }

  for (const precision of ["float16", "bfloat16"] as const) {
    test(`a head on 70 sequences of 60 units, features in a chunk and a rest, ${precision}, twice the same`, () => {
      const { out, expected } = run({ ...SHORT, B: 70, F: 70, H: 60, precision }, {}, 2, 2);
      assertNear(floats(out), expected.head as Float64Array, TOLERANCE[precision]);
    });
  }

  test("all steps of 70 sequences through 3 layers, of which pairs take others' cells from wave to wave", () => {
    const stack = { ...SHORT, B: 70, H: 128, L: 3, result: { kind: "all", buffer: "out" } } as const;
    const { out, expected } = run(stack, { pairs: 5 }, 0, 1);
    assertNear(floatsOfHalves(out), expected.all, TOLERANCE.float16);
  });

  // As wide as on a GPU; the last block of columns is not full, 81 features are a chunk and two steps of 16.
  for (const [columns, B] of [[128, 129], [256, 130]] as const) {
    test(`${columns} sequences at a time, of ${B}, in two layers of 40 units`, () => {
      const { out, expected } = run({ ...SHORT, B, F: 81, H: 40, result: { kind: "last", buffer: "out" } }, { columns }, 1, 2);
      assertNear(floats(out), expected.all.subarray(2 * B * 40), TOLERANCE.float16);
    });
  }

  test("8 layers of one step each, of one feature", () => {
    const stack = { ...SHORT, B: 3, T: 1, F: 1, H: 40, L: 8, result: { kind: "last", buffer: "out" } } as const;
    const { out, expected } = run(stack, { pairs: 3 }, 0, 1);
    assertNear(floats(out), expected.all, TOLERANCE.float16);
  });

  test("the last state, one pair for all, the smallest ring", () => {
    const B = 20, H = 100, { out, expected } = run({ ...SHORT, B, H, T: 2, result: { kind: "last", buffer: "out" } },
      { pairs: 1, slots: 2 }, 1, 1);
    assertNear(floats(out), expected.all.subarray(B * H), TOLERANCE.float16);
  });
});
