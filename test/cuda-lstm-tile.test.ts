/** The tensor-core LSTM: its plans, its packing, and its kernels on the emulated GPU against float64. */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import type { Cuda } from "../src/runtime/cuda/driver/device.ts";
import { H200, layoutArguments } from "../src/runtime/cuda/launch.ts";
import type { LstmStack } from "../src/runtime/cuda/lstm/stack.ts";
import { packTileFragments, packTileRows, planLstmTile, planTileShape, tileShapes, type TileShape }
  from "../src/runtime/cuda/lstm/tile.ts";
import { emulatedCuda } from "./emulator/build.ts";
import { assertNear } from "./emulator/lstm-reference.ts";
import { floats, runStack, SHORT, stackOf, TOLERANCE } from "./emulator/lstm-stack.ts";
import { floatsOfHalves, openEmulated } from "./emulator/run.ts";

/** Shapes small enough to emulate, with every path of the kernel: one or two halves, K split over warpgroups. */
const SMALL: Readonly<Record<"halves" | "single" | "split" | "wide", TileShape>> = {
  halves: { hidden: 64, units: 32, inputs: 64, columns: 8, halves: 2, pair: 2, chunk: 64, slots: 4,
    layers: 2, groups: 1, tiles: 2, sharedBytes: 0, estimateUs: 0 },
  single: { hidden: 64, units: 32, inputs: 64, columns: 16, halves: 1, pair: 1, chunk: 64, slots: 4,
    layers: 1, groups: 2, tiles: 2, sharedBytes: 0, estimateUs: 0 },
  split: { hidden: 128, units: 16, inputs: 128, columns: 16, halves: 2, pair: 2, chunk: 64, slots: 8,
    layers: 2, groups: 1, tiles: 1, sharedBytes: 0, estimateUs: 0 },
  // Two blocks of columns in turn, and a ring that a product's chunks go round twice.
  wide: { hidden: 512, units: 32, inputs: 64, columns: 128, halves: 1, pair: 2, chunk: 64, slots: 4,
    layers: 1, groups: 1, tiles: 2, sharedBytes: 0, estimateUs: 0 },
};

/** Shared memory as the kernel counts it (SHARED_BYTES). */
const sharedBytes = ({ units, hidden, inputs, columns, chunk, slots }: TileShape): number =>
  8 * units * Math.max(inputs, hidden) + slots * (chunk * columns * 2 + 16) + units * columns * 2
  + (units === 16 ? 256 * columns : 0) + 64;

describe("plans of the tensor-core LSTM", () => {
  test("512 x 2 at 512 sequences: 4 groups of 128 on 128 of 132 multiprocessors", () => {
    const [{ columns, halves, groups, layers, hidden, units }] = tileShapes(stackOf({}), H200);
    assert.deepEqual({ columns, halves, groups, layers, hidden, units },
      { columns: 128, halves: 1, groups: 4, layers: 2, hidden: 512, units: 32 });
  });

  test("128 columns at a time for two rounds of all layers at most, and never split over K", () => {
    const most = (sizes: Partial<LstmStack>): number =>
      Math.max(...tileShapes(stackOf(sizes), H200).map(({ columns }) => columns));
    assert.deepEqual([512, 1024, 1025, 4096].map((B) => most({ B })), [128, 128, 64, 64]);
    assert.deepEqual([most({ L: 4 }), most({ L: 9 }), most({ H: 640 })], [128, 64, 64]);
  });

  test("every shape fits the GPU, whatever the stack", () => {
    for (const H of [8, 64, 100, 256, 512, 600, 1024]) for (const L of [1, 2, 3, 8]) for (const B of [1, 33, 512, 4096]) {
      for (const shape of tileShapes(stackOf({ H, L, B, F: 37 }), H200)) {
        const blocks = shape.groups * Math.min(shape.layers, L) * shape.hidden / shape.units;
        assert.ok(blocks <= 132 && shape.sharedBytes <= 232_448, `${blocks} blocks of ${shape.sharedBytes} bytes`);
        assert.equal(shape.sharedBytes, sharedBytes({ ...shape, hidden: L > 1 ? shape.hidden : 0 }));
        assert.ok(shape.hidden >= H && shape.inputs >= 37 && shape.tiles * shape.columns * shape.halves >= B);
        const least = shape.columns === 128 ? 4 : 6;
        assert.ok(shape.slots >= least && (shape.units === 32 || shape.slots % 2 === 0), "the ring cannot stall");
      }
      assert.notEqual(planLstmTile(stackOf({ H, L, B, F: 37 }), H200, "p"), null);
    }
  });

  test("a pass has eight layers at most, and no more blocks than the GPU runs at once in pairs", () => {
    const few = { ...H200, multiprocessors: 16, activeClusters: { 2: 7 } };
    for (const [L, passes] of [[8, 8], [9, 5], [20, 7]]) {
      const all = tileShapes(stackOf({ H: 72, L, B: 33 }), H200);
      assert.deepEqual([all.length > 0, Math.max(...all.map(({ layers }) => layers))], [true, passes]);
    }
    for (const { groups, layers } of tileShapes(stackOf({ H: 72, L: 4 }), few)) assert.ok(groups * layers * 4 <= 14);
    assert.deepEqual(tileShapes(stackOf({ H: 72 }), { ...H200, activeClusters: {} }), []);
  });

  test("refuses float32, given states, other GPUs, and features that leave no room for a ring", () => {
    const states = { h0: "h0", c0: "c0", hn: "hn", cn: "cn" };
    for (const sizes of [{ precision: "float32" as const }, { states }, { F: 5000 }, { H: 1025 }]) {
      assert.equal(planLstmTile(stackOf(sizes), H200, "p"), null);
    }
    assert.equal(planLstmTile(stackOf({}), { ...H200, capability: 100 }, "p"), null);
  });

  test("a pass' arguments are laid out as the kernel's struct: 8 layers of 40 bytes, 3 pointers, 4 words", () => {
    const plan = planLstmTile(stackOf({ H: 1024, L: 4 }), H200, "p");
    assert.ok(plan !== null);
    assert.deepEqual(plan.launches.map(({ kernel }) => kernel),
      ["lstm_tile_input", "lstm_tile", "lstm_tile", "lstm_tile_head"]);
    assert.deepEqual(plan.launches.map((launch) => layoutArguments(launch.arguments).bytes), [56, 360, 360, 72]);
  });

  test("packs each weight once, where the row and the thread that multiply it look", () => {
    // w[k, gate, unit] = its own index: the packed arrays then name what lies where.
    const H = 128, w = Float32Array.from({ length: H * 4 * H }, (_, k) => k);
    for (const shape of [{ ...SMALL.halves, hidden: 128 }, SMALL.split]) {
      for (const packed of [packTileRows(w, H, H, shape), packTileFragments(w, H, shape)]) {
        assert.deepEqual(packed.toSorted(), w);
      }
      // Slice 1, warp 2, lane 13 (row 3: odd, so o; k 2 and 3), second register (row + 8: g), of k step 0.
      const at = (((1 * 2 + 0) * (H / (shape.units === 16 ? 32 : 16)) + 0) * 128 + 2 * 32 + 13) * 8;
      const unit = shape.units + 4 * 2 + 1;
      assert.deepEqual([...packTileFragments(w, H, shape).subarray(at, at + 4)],
        [(2 * 4 + 2) * H + unit, (3 * 4 + 2) * H + unit, (2 * 4 + 3) * H + unit, (3 * 4 + 3) * H + unit]);
    }
  });
});

const emulated = emulatedCuda();
describe("the tensor-core LSTM's kernels", { skip: typeof emulated === "string" ? emulated : false }, () => {
  let opened: Cuda | null = null;
  const gpu = (): Cuda => opened ??= openEmulated();
  after(() => opened?.close());

  function run(stack: LstmStack, shape: TileShape, ringStart: number, times: number):
    ReturnType<typeof runStack> {
    const plan = planTileShape(stack, { ...shape, sharedBytes: sharedBytes(shape) }, "p");
    return runStack(gpu(), stack, plan, ringStart, times);
  }

  for (const precision of ["float16", "bfloat16"] as const) {
    test(`a head on 27 sequences of 60 units in two halves, ${precision}, twice the same`, () => {
      const { out, expected } = run({ ...SHORT, B: 27, H: 60, precision }, SMALL.halves, 2, 2);
      assertNear(floats(out), expected.head as Float64Array, TOLERANCE[precision]);
    });
  }

  test("all steps of 20 sequences, a layer a pass, two groups, blocks alone", () => {
    const { out, expected } = run({ ...SHORT, B: 20, H: 64, result: { kind: "all", buffer: "out" } }, SMALL.single, 0, 1);
    assertNear(floatsOfHalves(out), expected.all, TOLERANCE.float16);
  });

  test("the last state of 140 sequences, 128 of them at a time", () => {
    const B = 140, H = 500;
    const { out, expected } = run({ ...SHORT, B, H, T: 2, result: { kind: "last", buffer: "out" } }, SMALL.wide, 1, 1);
    assertNear(floats(out), expected.all.subarray(B * H), TOLERANCE.float16);
  });

  test("the last state of 32 sequences, products split over the warpgroups", () => {
    const B = 32, H = 100;
    const { out, expected } = run({ ...SHORT, B, H, T: 2, result: { kind: "last", buffer: "out" } }, SMALL.split, 1, 1);
    assertNear(floats(out), expected.all.subarray(B * H), TOLERANCE.float16);
  });
});
