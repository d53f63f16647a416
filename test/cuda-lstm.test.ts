/** The LSTM for small batches: packed weights, plans, and its kernels on the emulated GPU against float64. */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { random } from "../src/base/random.ts";
import type { Cuda } from "../src/runtime/cuda/driver/device.ts";
import { H200, layoutArguments, printLaunches } from "../src/runtime/cuda/launch.ts";
import type { DeviceFacts } from "../src/runtime/cuda/launch.ts";
import type { LstmPlan, LstmPlanner, LstmStack, LstmWeights } from "../src/runtime/cuda/lstm/stack.ts";
import { round } from "../src/runtime/cuda/gemm/pack.ts";
import { packBias, packFragments, packHead } from "../src/runtime/cuda/lstm/pack.ts";
import type { FragmentLayout } from "../src/runtime/cuda/lstm/pack.ts";
import { planLstmBlock } from "../src/runtime/cuda/lstm/block.ts";
import { gridShapes, planLstmGrid } from "../src/runtime/cuda/lstm/grid.ts";
import { planLstmStack } from "../src/runtime/cuda/lstm/plan.ts";
import { planLstmWave } from "../src/runtime/cuda/lstm/wave.ts";
import { emulatedCuda } from "./emulator/build.ts";
import { assertNear, lstmReference } from "./emulator/lstm-reference.ts";
import { floatsOfHalves, openEmulated, runLaunches } from "./emulator/run.ts";

const stackOf = (sizes: Partial<LstmStack> = {}): LstmStack => ({
  B: 1, T: 60, F: 200, H: 512, L: 2, precision: "float16", x: "x", ringStart: null, states: null, done: "done",
  result: { kind: "head", buffer: "y", columns: 1, activation: "tanh" }, ...sizes,
});
const uniform = (count: number, ...name: string[]): Float32Array => {
  const values = random(3, ...name);
  return Float32Array.from({ length: count }, () => (values.uniform() - 0.5) * 0.8);
};
/** `gain`: how much the recurrence says; at 2 it saturates, and enlarges every error from step to step. */
const weightsOf = ({ F, H, L, result }: LstmStack, gain = 1): LstmWeights => ({
  layers: Array.from({ length: L }, (_, layer) => ({ wx: uniform((layer === 0 ? F : H) * 4 * H, "wx", `${layer}`),
    wh: uniform(H * 4 * H, "wh", `${layer}`).map((value) => gain * value), bias: uniform(4 * H, "b", `${layer}`) })),
  head: result.kind === "head" ? { w: uniform(H * result.columns, "w"), b: uniform(result.columns, "hb") } : null,
});

const floatsOfBfloats = ({ buffer, byteOffset, length }: Uint8Array): Float32Array =>
  new Float32Array(Uint32Array.from(new Uint16Array(buffer, byteOffset, length / 2), (bits) => bits << 16).buffer);

/**
 * Gates (4, units) of w'v by packed fragments, as tensor cores see them: lane (g, q) holds rows g and g + 8 and
 * k = 2q, 2q + 1, 2q + 8, 2q + 9 of A (registers 0 and 2, 1 and 3), and the same k of B (PTX ISA, m16n8k16). Of
 * B, a lane's registers for two k-steps are eight consecutive values of v.
 */
function gatesOf(packed: Uint16Array, v: Float32Array, { units, rows, tiles, warps }: FragmentLayout): Float64Array[] {
  const gates = Array.from({ length: 4 }, () => new Float64Array(units));
  const halves = new Float16Array(packed.buffer), steps = rows / (16 * warps), slices = units / (4 * tiles);
  for (let at = 0; at < halves.length; at++) {
    const value = at % 8, lane = Math.floor(at / 8) % 32, step = Math.floor(at / 256) % steps;
    const tile = Math.floor(at / (256 * steps)) % tiles, warp = Math.floor(at / (256 * steps * tiles)) % warps;
    const slice = Math.floor(at / (256 * steps * tiles * warps));
    const register = value >> 1, row = (lane >> 2) + 8 * (register & 1);
    // B's registers 2s and 2s + 1 of step s: the eight values from 8q of the pair's 32.
    const k = (warp * steps + (step & ~1)) * 16 + (lane & 3) * 8 + ((step & 1) * 2 + (register >> 1)) * 2 + (value & 1);
    const gate = 2 * (tile & 1) + (row >> 3), unit = slice * 4 * tiles + (tile >> 1) * 8 + (row & 7);
    gates[gate][unit] += halves[at] * v[k];
  }
  assert.ok(slices >= 1);
  return gates;
}

describe("LSTM weights for tensor cores", () => {
  const layouts: { name: string; K: number; H: number; layout: FragmentLayout }[] = [
    { name: "8 warps share k", K: 200, H: 64, layout: { units: 64, rows: 256, tiles: 2, warps: 8 } },
    { name: "a warp has all k", K: 40, H: 30, layout: { units: 32, rows: 64, tiles: 2, warps: 1 } },
    { name: "8 tiles a slice", K: 256, H: 256, layout: { units: 256, rows: 256, tiles: 8, warps: 8 } },
  ];
  for (const { name, K, H, layout } of layouts) {
    test(`products by lanes are the products of (${K}, 4 x ${H}): ${name}`, () => {
      // Multiples of 1/8 below 4: float16 holds them, and sums of products are exact.
      const w = uniform(K * 4 * H, name).map((value) => Math.round(value * 50) / 8);
      const v = new Float32Array(layout.rows);
      v.set(uniform(K, name, "v").map((value) => Math.round(value * 50) / 8));
      const gates = gatesOf(packFragments(w, H, layout, "float16"), v, layout);
      for (let gate = 0; gate < 4; gate++) {
        for (let unit = 0; unit < layout.units; unit++) {
          let sum = 0;
          for (let k = 0; k < (unit < H ? K : 0); k++) sum += w[k * 4 * H + gate * H + unit] * v[k];
          assert.equal(gates[gate][unit], sum, `gate ${gate} unit ${unit}`);
        }
      }
    });
  }

  test("bfloat16 rounds ties to even: 1 + 2^-8 is 1, 1 + 3 2^-8 is 1 + 2^-6", () => {
    const w = new Float32Array(32 * 128);
    w[0] = 1 + 2 ** -8;          // k 0, gate i, unit 0: lane 0, value 0
    w[128] = 1 + 3 * 2 ** -8;    // k 1: value 1
    const packed = packFragments(w, 32, { units: 32, rows: 32, tiles: 2, warps: 1 }, "bfloat16");
    assert.deepEqual([...packed.subarray(0, 2)], [0x3f80, 0x3f82]);
  });

  test("biases lie by unit, heads by column, both padded with zeros", () => {
    assert.deepEqual([...packBias(Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8), 3)], [1, 3, 5, 7, 2, 4, 6, 8, 0, 0, 0, 0]);
    assert.deepEqual([...packHead(Float32Array.of(1, 2, 3, 4), 2, 3)], [1, 3, 0, 2, 4, 0]);
  });
});

/** Words of the kernels' argument structs: pointers of two words, then integers. */
const STRUCT_BYTES = { lstm_block: 16 * 8 + 6 * 4, lstm_grid: 17 * 8 + 12 * 4, lstm_wave: 18 * 8 + 8 * 4 };

function checkPlan(plan: LstmPlan, stack: LstmStack, device: DeviceFacts): void {
  const sizes = new Map(plan.buffers.map(({ name, bytes }) => [name, bytes]));
  const packed = plan.pack(weightsOf(stack));
  for (const { name, bytes, role } of plan.buffers) {
    assert.equal(packed.get(name)?.byteLength, role === "weight" ? bytes : undefined, name);
  }
  for (const launch of plan.launches) {
    const { kernel, grid, cluster = 1, isCooperative = false, sharedBytes } = launch;
    const { bytes } = layoutArguments(launch.arguments);
    assert.equal(Math.ceil(bytes / 8) * 8, STRUCT_BYTES[kernel as keyof typeof STRUCT_BYTES], kernel);
    assert.ok(sharedBytes <= device.sharedBytesMax);
    if (isCooperative) assert.ok(grid[0] <= device.multiprocessors, `${grid[0]} blocks`);
    assert.equal(grid[0] % cluster, 0);
    for (const argument of launch.arguments) {
      if (argument.kind !== "address" || ["x", "y", "done"].includes(argument.buffer)) continue;
      assert.ok((argument.offset ?? 0) < (sizes.get(argument.buffer) ?? 0), argument.buffer);
    }
  }
}

describe("LSTM plans", () => {
  const cases: { name: string; stack: LstmStack; planner: typeof planLstmGrid }[] = [
    { name: "block, one sequence", stack: stackOf({ H: 64, L: 1 }), planner: planLstmBlock },
    { name: "block, 300 sequences of 3 layers", stack: stackOf({ H: 40, L: 3, B: 300, F: 7 }), planner: planLstmBlock },
    { name: "grid, 8 of 512", stack: stackOf({ B: 8 }), planner: planLstmGrid },
    { name: "grid, 32 of 512", stack: stackOf({ B: 32 }), planner: planLstmGrid },
    { name: "grid, padded units", stack: stackOf({ B: 3, H: 200, F: 31, precision: "bfloat16" }), planner: planLstmGrid },
    { name: "grid, pairs of layers", stack: stackOf({ H: 1024, L: 4, F: 40 }), planner: planLstmGrid },
    { name: "wave, 512 in 2", stack: stackOf(), planner: planLstmWave },
    { name: "wave, 130 in 3", stack: stackOf({ H: 130, L: 3 }), planner: planLstmWave },
    { name: "wave, 8 of 512", stack: stackOf({ B: 8 }), planner: planLstmWave },
  ];
  for (const { name, stack, planner } of cases) {
    test(`${name}: weights fill their buffers, arguments lie as the kernel's struct, blocks fit the GPU`, () => {
      const plan = planner(stack, H200, "lstm");
      assert.ok(plan !== null);
      checkPlan(plan, stack, H200);
    });
  }

  test("1024 units and 4 layers run in two launches of 2 layers x 64 blocks", () => {
    const plan = planLstmGrid(stackOf({ H: 1024, L: 4 }), H200, "lstm");
    assert.deepEqual(plan?.launches.map(({ grid }) => grid[0]), [128, 128]);
  });

  test("no plan shares a group's blocks: every shape has layers x slices x blocks within the GPU", () => {
    for (const B of [1, 2, 5, 16, 33, 64]) {
      for (const H of [70, 128, 384, 512, 768, 1024]) {
        for (const L of [1, 2, 3, 8]) {
          for (const { layers, slices, blocks, tiles, units } of gridShapes(stackOf({ B, H, L }), H200)) {
            assert.ok(layers * slices * blocks <= 132 && slices * tiles * 4 === units, `${B} ${H} ${L}`);
          }
        }
      }
    }
  });

  test("float32 and stacks that no kernel holds are nobody's", () => {
    assert.equal(planLstmStack(stackOf({ precision: "float32" }), H200, "lstm"), null);
    assert.equal(planLstmStack(stackOf({ H: 4096 }), H200, "lstm"), null);
    assert.equal(planLstmWave(stackOf({ B: 9 }), H200, "lstm"), null, "more than X0 keeps up with");
    assert.equal(planLstmWave(stackOf({ B: 5, L: 3 }), H200, "lstm"), null, "11 clusters of 16, of 7");
    assert.equal(planLstmWave(stackOf(), { ...H200, activeClusters: {} }, "lstm"), null, "no clusters");
    assert.equal(planLstmBlock(stackOf({ H: 65 }), H200, "lstm"), null);
  });

  test("8 sequences of 512 units are two groups of 4: 7 clusters of 16, all that an H200 has at once", () => {
    const plan = planLstmStack(stackOf({ B: 8 }), H200, "lstm");
    assert.deepEqual(plan?.launches.map(({ kernel, grid, cluster }) => ({ kernel, grid: grid[0], cluster })),
      [{ kernel: "lstm_wave", grid: 112, cluster: 16 }]);
  });

  // An H100 on PCIe, one with 78 multiprocessors, a slice of one, an A100, and a GPU whose clusters stop at 8.
  const others: readonly DeviceFacts[] = [
    { ...H200, multiprocessors: 114, activeClusters: { 2: 57, 4: 26, 8: 12, 16: 5 } },
    { ...H200, multiprocessors: 78, activeClusters: { 2: 39, 4: 18, 8: 8, 16: 3 } },
    { ...H200, multiprocessors: 16, activeClusters: { 2: 8, 4: 4, 8: 2, 16: 1 } },
    { ...H200, capability: 80, multiprocessors: 108, sharedBytesMax: 166_912, activeClusters: {} },
    { ...H200, capability: 120, multiprocessors: 188, sharedBytesMax: 101_376, activeClusters: { 2: 94, 4: 46, 8: 22 } }];
  for (const device of others) {
    const { capability, multiprocessors, activeClusters, sharedBytesMax } = device;
    test(`blocks that wait for each other fit a GPU of ${multiprocessors} multiprocessors (sm_${capability})`, () => {
      const kernels = new Set<string>();
      for (const B of [1, 5, 8, 33, 128, 512, 4096]) for (const H of [40, 200, 512, 768]) for (const L of [1, 2, 8]) {
        for (const { kernel, grid, cluster = 1, ...launch } of
          planLstmStack(stackOf({ B, H, L }), device, "p")?.launches ?? []) {
          assert.ok(launch.sharedBytes <= sharedBytesMax, `${B} ${H} ${L}`);
          if (launch.isCooperative !== true) continue;
          kernels.add(kernel);
          const room = cluster === 1 ? multiprocessors : activeClusters[cluster as 2 | 8 | 16] ?? 0;
          assert.ok(grid[0] / cluster <= room, `${B} ${H} ${L}: ${grid[0]} blocks of ${kernel} in clusters of ${cluster}`);
        }
      }
      assert.deepEqual([...kernels].sort(), capability === 90 ? ["lstm_grid", "lstm_stream", "lstm_tile", "lstm_wave"]
        : capability > 90 ? ["lstm_grid", "lstm_wave"] : ["lstm_grid"]);
    });
  }

  test("the same stack is planned the same twice", () => {
    const text = (): string => {
      const plan = planLstmStack(stackOf({ B: 8 }), H200, "lstm");
      assert.ok(plan !== null);
      return printLaunches({ name: "lstm", ...plan });
    };
    assert.equal(text(), text());
  });
});

const emulated = emulatedCuda();
describe("the small-batch LSTM's kernels", { skip: typeof emulated === "string" ? emulated : false }, () => {
  let opened: Cuda | null = null;
  const gpu = (): Cuda => opened ??= openEmulated();
  after(() => opened?.close());

  /** Runs a plan twice (the second run must find what the first left as new) and compares with float64. */
  function check(planner: LstmPlanner, stack: LstmStack, multiprocessors: number, tolerance: number, gain = 1): void {
    const plan = planner(stack, { ...H200, multiprocessors }, "p"), { B, T, F, H, L, result } = stack;
    assert.ok(plan !== null);
    const weights = weightsOf(stack, gain), x = uniform(B * T * F, "x").map((value) => 2 * value);
    const h0 = uniform(L * B * H, "h0"), c0 = uniform(L * B * H, "c0"), ringStart = T - 2;
    const bytes = { head: B * 4 * (result.kind === "head" ? result.columns : 0), last: B * H * 4, all: T * B * H * 2 };
    const states = stack.states === null ? [] : (["h0", "c0", "hn", "cn"] as const).map((name) =>
      ({ name, bytes: L * B * H * 4, role: name.endsWith("0") ? "input" as const : "output" as const }));
    const outputs = runLaunches(gpu(), { launches: plan.launches, buffers: [...plan.buffers, ...states,
      { name: "x", bytes: x.byteLength, role: "input" }, { name: "start", bytes: 4, role: "input" },
      { name: "y", bytes: bytes[result.kind], role: "output" }, { name: "done", bytes: 4, role: "state" }] },
    { x, start: Uint32Array.of(ringStart), done: Uint32Array.of(0), ...Object.fromEntries(plan.pack(weights)),
      ...(stack.states === null ? {} : { h0, c0 }) }, 2);
    const bytesOf = (name: string): Uint8Array => outputs.get(name) as Uint8Array;
    const floats = (name: string): Float32Array => new Float32Array(bytesOf(name).slice().buffer);
    assert.deepEqual([...new Uint32Array(bytesOf("done").slice().buffer)], [2 * plan.completions]);
    const expected = lstmReference(stack, weights, x, stack.states === null ? { ringStart } : { ringStart, h0, c0 });
    const wanted = { head: expected.head ?? expected.all, last: expected.all.subarray((T - 1) * B * H), all: expected.all };
    const steps = stack.precision === "bfloat16" ? floatsOfBfloats : floatsOfHalves;
    assertNear(result.kind === "all" ? steps(bytesOf("y")) : floats("y"), wanted[result.kind], tolerance);
    if (stack.states === null) return;
    assertNear(floats("hn"), expected.hn, tolerance);
    assertNear(floats("cn"), expected.cn, tolerance);
  }

  const states = { h0: "h0", c0: "c0", hn: "hn", cn: "cn" };
  const last = { kind: "last", buffer: "y" } as const, all = { kind: "all", buffer: "y" } as const;
  const base = stackOf({ ringStart: "start", F: 37,
    result: { kind: "head", buffer: "y", columns: 3, activation: "none" } });
  // Tolerances: the issue's, relative over the batch (float16 2e-3, bfloat16 1e-2).
  const cases: { name: string; planner: LstmPlanner; sizes: Partial<LstmStack>; multiprocessors?: number;
    tolerance?: number }[] = [
    { name: "one block: 2 sequences of 60 units, 2 layers, states", planner: planLstmBlock,
      sizes: { B: 2, T: 11, H: 60, states } },
    { name: "one block: 11 sequences, eight a block, last state", planner: planLstmBlock, multiprocessors: 4,
      sizes: { B: 11, T: 3, F: 40, H: 30, L: 1, states, result: last } },
    { name: "one block: all steps of 33 units", planner: planLstmBlock, sizes: { B: 2, T: 9, H: 33, L: 1, result: all } },
    { name: "one block: all steps of 33 units, in bfloat16", planner: planLstmBlock, tolerance: 5e-3,
      sizes: { B: 2, T: 9, H: 33, L: 1, result: all, precision: "bfloat16" } },
    { name: "one block: 2 sequences of 60 units, 2 layers, states, in bfloat16", planner: planLstmBlock, tolerance: 5e-3,
      sizes: { B: 2, T: 11, F: 200, H: 60, states, precision: "bfloat16" } },
    { name: "one block: 11 sequences, eight a block, 2 layers, in bfloat16", planner: planLstmBlock, multiprocessors: 4,
      tolerance: 5e-3, sizes: { B: 11, T: 3, F: 40, H: 30, states, result: last, precision: "bfloat16" } },
    { name: "grid: one sequence of 100 units, states", planner: planLstmGrid, sizes: { T: 3, H: 100, states } },
    { name: "grid: 11 sequences in two groups, one after the other", planner: planLstmGrid, multiprocessors: 16,
      sizes: { B: 11, T: 4, H: 128, states } },
    { name: "grid: all steps of 3 sequences, 3 layers, a pair and one", planner: planLstmGrid, multiprocessors: 8,
      sizes: { B: 3, T: 3, F: 40, H: 70, L: 3, result: all } },
    { name: "grid: 20 sequences, a block works on several groups, last state", planner: planLstmGrid,
      multiprocessors: 8, sizes: { B: 20, T: 4, H: 128, L: 1, result: last } },
    { name: "grid: 20 sequences in bfloat16", planner: planLstmGrid, multiprocessors: 16,
      sizes: { B: 20, T: 3, H: 128, precision: "bfloat16" } },
    { name: "clusters: one sequence of 200 units, 2 layers, states", planner: planLstmWave,
      sizes: { T: 10, H: 200, states } },
    { name: "clusters: five sequences in two groups of 4, 2 layers, states", planner: planLstmWave,
      sizes: { B: 5, T: 10, H: 200, states } },
    { name: "clusters: all steps of 8 sequences of 512 units", planner: planLstmWave,
      sizes: { B: 8, T: 5, F: 40, H: 512, L: 1, result: all } },
    { name: "clusters: three groups of one, 7 steps in bfloat16", planner: planLstmWave,
      sizes: { B: 3, T: 7, H: 100, precision: "bfloat16" } },
    { name: "clusters: two sequences, last state", planner: planLstmWave,
      sizes: { B: 2, T: 9, F: 40, H: 256, L: 1, result: last } },
  ];
  for (const { name, planner, sizes, multiprocessors = 132, tolerance } of cases) {
    test(`${name}: twice the float64 answer`, () => {
      check(planner, { ...base, ...sizes }, multiprocessors,
        tolerance ?? (sizes.precision === "bfloat16" ? 1e-2 : 2e-3));
    });
  }

  // As trained networks of few units are. What a step adds to an error is mostly its recurrent weights'.
  const sharp = stackOf({ B: 5, T: 40, F: 4, H: 40, L: 1, precision: "bfloat16", ringStart: "start" }), gain = 2;
  test("a recurrence that saturates loses over 1e-2 to weights and features in bfloat16; our kernel under 2e-3", () => {
    const weights = weightsOf(sharp, gain), x = uniform(5 * 40 * 4, "x").map((value) => 2 * value);
    const short = (values: Float32Array): Float32Array => round(values, "bfloat16").values;
    const [{ wx, wh, bias }] = weights.layers, rounded = { ...weights, layers: [{ wx: short(wx), wh: short(wh), bias }] };
    const exact = lstmReference(sharp, weights, x, { ringStart: 38 }).head!;
    const lost = lstmReference(sharp, rounded, short(x), { ringStart: 38 }).head!;
    assert.throws(() => { assertNear(lost, exact, 1e-2); }, /relative error/);
    check(planLstmBlock, sharp, 132, 2e-3, gain);
    check(planLstmBlock, sharp, 2, 2e-3, gain);
  });
});
