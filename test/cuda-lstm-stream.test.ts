/** The tensor-core LSTM whose weights stream: its plans, and its kernel on the emulated GPU against float64. */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { random } from "../src/base/random.ts";
import type { Cuda } from "../src/runtime/cuda/driver/device.ts";
import { H200, layoutArguments, type CudaPrecision } from "../src/runtime/cuda/launch.ts";
import type { LstmStack, LstmWeights } from "../src/runtime/cuda/lstm/stack.ts";
import { planLstmStack } from "../src/runtime/cuda/lstm/plan.ts";
import { planLstmStream, planStreamShape, streamShapes, type StreamShape } from "../src/runtime/cuda/lstm/stream.ts";
import { emulatedCuda } from "./emulator/build.ts";
import { assertNear, lstmReference } from "./emulator/lstm-reference.ts";
import { floatsOfHalves, openEmulated, runLaunches } from "./emulator/run.ts";

const stackOf = (sizes: Partial<LstmStack>): LstmStack => ({ B: 512, T: 60, F: 200, H: 512, L: 2, precision: "float16",
  x: "x", ringStart: null, states: null, result: { kind: "head", buffer: "out", columns: 1, activation: "tanh" },
  done: null, ...sizes });

/** Numbers that float16 holds nearly, small enough for gates that are not saturated. */
function weightsOf({ F, H, L, result }: LstmStack, seed: number): LstmWeights {
  const chance = random(seed, "stream"), columns = result.kind === "head" ? result.columns : 0;
  const values = (count: number, scale: number): Float32Array =>
    Float32Array.from({ length: count }, () => (2 * chance.uniform() - 1) * scale);
  const layers = Array.from({ length: L }, (_, layer) => ({ wx: values((layer === 0 ? F : H) * 4 * H, 0.3),
    wh: values(H * 4 * H, 0.2), bias: values(4 * H, 0.5) }));
  return { layers, head: columns === 0 ? null : { w: values(H * columns, 0.3), b: values(columns, 0.3) } };
}

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
    { out: Uint8Array; expected: ReturnType<typeof lstmReference> } {
    const shape = { ...streamShapes(stack, H200).find((one) => one.columns === columns)!, slots: 3, ...more };
    const plan = planStreamShape(stack, { ...shape, sharedBytes: sharedBytes(shape) }, "p");
    const weights = weightsOf(stack, 5), chance = random(6, "x"), { B, T, F, H, result } = stack;
    const x = Float32Array.from({ length: B * T * F }, () => 2 * chance.uniform() - 1);
    const bytes = { head: B * 4 * (result.kind === "head" ? result.columns : 0), last: B * H * 4, all: T * B * H * 2 };
    const outputs = runLaunches(gpu(), { launches: plan.launches, buffers: [...plan.buffers,
      { name: "x", bytes: x.byteLength, role: "input" }, { name: "start", bytes: 4, role: "input" },
      { name: "out", bytes: bytes[result.kind], role: "output" }, { name: "done", bytes: 4, role: "state" }] },
    { x, start: Uint32Array.of(ringStart), done: Uint32Array.of(0), ...Object.fromEntries(plan.pack(weights)) }, times);
    const done = new Uint32Array((outputs.get("done") as Uint8Array).slice().buffer);
    assert.deepEqual([...done], [times * plan.completions]);
    return { out: outputs.get("out") as Uint8Array, expected: lstmReference(stack, weights, x, { ringStart }) };
  }

  const floats = (bytes: Uint8Array): Float32Array => new Float32Array(bytes.slice().buffer);
  const base = stackOf({ T: 3, F: 10, L: 2, ringStart: "start", done: "done" });
  // Tolerances: the issue's, relative over the batch (float16 2e-3, bfloat16 1e-2).
  const near = { float16: 2e-3, bfloat16: 1e-2, float32: 0 } satisfies Record<CudaPrecision, number>;

  for (const precision of ["float16", "bfloat16"] as const) {
    test(`a head on 70 sequences of 60 units, features in a chunk and a rest, ${precision}, twice the same`, () => {
      const { out, expected } = run({ ...base, B: 70, F: 70, H: 60, precision }, {}, 2, 2);
      assertNear(floats(out), expected.head as Float64Array, near[precision]);
    });
  }

  test("all steps of 70 sequences through 3 layers, of which pairs take others' cells from wave to wave", () => {
    const stack = { ...base, B: 70, H: 128, L: 3, result: { kind: "all", buffer: "out" } } as const;
    const { out, expected } = run(stack, { pairs: 5 }, 0, 1);
    assertNear(floatsOfHalves(out), expected.all, near.float16);
  });

  // As wide as on a GPU; the last block of columns is not full, 81 features are a chunk and two steps of 16.
  for (const [columns, B] of [[128, 129], [256, 130]] as const) {
    test(`${columns} sequences at a time, of ${B}, in two layers of 40 units`, () => {
      const { out, expected } = run({ ...base, B, F: 81, H: 40, result: { kind: "last", buffer: "out" } }, { columns }, 1, 2);
      assertNear(floats(out), expected.all.subarray(2 * B * 40), near.float16);
    });
  }

  test("8 layers of one step each, of one feature", () => {
    const stack = { ...base, B: 3, T: 1, F: 1, H: 40, L: 8, result: { kind: "last", buffer: "out" } } as const;
    const { out, expected } = run(stack, { pairs: 3 }, 0, 1);
    assertNear(floats(out), expected.all, near.float16);
  });

  test("the last state, one pair for all, the smallest ring", () => {
    const B = 20, H = 100, { out, expected } = run({ ...base, B, H, T: 2, result: { kind: "last", buffer: "out" } },
      { pairs: 1, slots: 2 }, 1, 1);
    assertNear(floats(out), expected.all.subarray(B * H), near.float16);
  });
});
