/**
 * GPU kernels without a GPU: NVIDIA's compiler takes every one of them and keeps its values in registers (where NVRTC
 * is installed), and on the emulated GPU they give what the mathematics says in float64.
 */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import * as path from "node:path";
import { after, describe, test } from "node:test";
import { architectureOf } from "../src/runtime/cuda/driver/compiler.ts";
import type { Cuda } from "../src/runtime/cuda/driver/device.ts";
import { nvrtcFiles } from "../src/runtime/cuda/driver/library.ts";
import { openNvrtc } from "../src/runtime/cuda/driver/nvrtc.ts";
import { kernelText } from "../src/runtime/cuda/driver/source.ts";
import { H200 } from "../src/runtime/cuda/launch.ts";
import { gridShapes, planGridShape } from "../src/runtime/cuda/lstm/grid.ts";
import type { LstmPlanner } from "../src/runtime/cuda/lstm/stack.ts";
import { planTileShape, tileShapes } from "../src/runtime/cuda/lstm/tile.ts";
import { LSTM_CASES, lstmCase, PRODUCT_CASES, RUNS, type KernelCase } from "./cuda-cases.ts";
import { A100, L4, lstm, networkSources, sourcesFor } from "./cuda-plans.ts";
import { emulatedCuda } from "./emulator/build.ts";
import { openEmulated, runLaunches } from "./emulator/run.ts";

const ROOT = path.join(import.meta.dirname, "..");
const emulated = emulatedCuda();
const skip = typeof emulated === "string" ? emulated : false;

describe("NVIDIA's compiler", () => {
  const [file] = nvrtcFiles({ VIRTUAL_ENV: path.join(ROOT, ".tools", "peers"), ...process.env });
  const noNvrtc = file === undefined ? "needs NVRTC: pip install nvidia-cuda-nvrtc, or sh test/peers/setup.sh" : false;

  // Between them every precision and every kernel; the same text in another precision is not compiled again.
  const SOURCES = [[H200, [...sourcesFor(H200, ["float16", "float32"]), ...networkSources(H200)]],
    [A100, sourcesFor(A100, ["bfloat16", "float32"])], [L4, sourcesFor(L4, ["float16"])]] as const;
  // lstm-grid.cu with four sets of groups wants two registers more than its block may start with: stack, stores, loads.
  const GRID_OF_FOUR = [8, 8, 68];
  // lstm-tile.cu with warps that publish leaves its loading warps 32 registers, a few addresses too few.
  const TILE_THAT_PUBLISHES = [32, 32, 48];
  for (const [device, sources] of SOURCES) {
    const architecture = architectureOf(device.capability);
    test(`takes every kernel for ${architecture} and keeps its values in registers`, { skip: noNvrtc }, (t) => {
      const nvrtc = openNvrtc(file), unsaid = new Set<string>();
      for (const source of sources) {
        const text = kernelText(source), what = `${source.name} ${JSON.stringify(source.defines)}`;
        // NVRTC keeps what it has compiled, and says nothing of what it then finds there.
        const fresh = ["--ptxas-options=-v", `-DCOMPILED_AT=${Date.now()}`];
        const { log, cubin } = nvrtc.compile({ ...text, defines: [...text.defines, ...fresh] }, architecture);
        const stacks = [...log.matchAll(/(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/g)];
        assert.ok(cubin.length > 0, `${what}: ${log}`);
        // On a machine with CUDA 13.0, NVRTC compiled some kernels without a word.
        if (log.trim() === "") unsaid.add(what); else assert.ok(stacks.length > 0, `${what}: ${log}`);
        const allowed = source.defines["SETS"] === 4 ? GRID_OF_FOUR
          : source.defines["COLUMNS"] === 64 && source.defines["PUBLISH"] === 1 ? TILE_THAT_PUBLISHES : [0, 0, 0];
        for (const [, ...bytes] of stacks) {
          assert.ok(bytes.every((some, k) => Number(some) <= allowed[k]), `${what}: stack, stores, loads ${bytes.join(", ")}`);
        }
      }
      for (const what of unsaid) t.diagnostic(`nothing was said of ${what}`);
      assert.ok(unsaid.size < sources.length / 2, `nothing was said of ${unsaid.size} kernels`);
    });
  }

  test("no kernel is left out of the plans that it is given", () => {
    const files = fs.readdirSync(path.join(ROOT, "src", "runtime", "cuda", "kernels")).filter((name) => name.endsWith(".cu"));
    const planned = new Set(SOURCES.flatMap(([, sources]) => sources.map(({ name }) => name)));
    assert.deepEqual(files.filter((name) => !planned.has(name)), []);
  });
});

let opened: Cuda | null = null;
/** RUNS runs, and as many with every turn taken backwards: the same bits, which are compared with the mathematics. */
function checkBothWays(one: KernelCase): void {
  opened ??= openEmulated();
  const planned = one.plan(H200);
  assert.ok(planned !== null);
  const forwards = runLaunches(opened, planned.parts, planned.contents, RUNS);
  process.env["EMULATOR_ORDER"] = "backwards";
  try { assert.deepEqual(runLaunches(opened, planned.parts, planned.contents, RUNS), forwards); } finally {
    delete process.env["EMULATOR_ORDER"];
  }
  planned.check(forwards);
}

for (const [what, cases] of [["products", PRODUCT_CASES], ["LSTM kernels", LSTM_CASES]] as const) {
  describe(`${what} on the emulated GPU`, { skip }, () => {
    after(() => { opened?.close(); opened = null; });
    for (const one of cases) test(one.name, () => { checkBothWays(one); });
  });
}

// Buffers of two steps and rings of chunks go round several times; the other ways to be compiled than LSTM_CASES.
const inSets: LstmPlanner = (stack, device, prefix) =>
  planGridShape(stack, gridShapes(stack, device).find(({ sets, tiles }) => sets === 2 && tiles === 8)!, prefix);
const inHalves: LstmPlanner = (stack, device, prefix) => {
  const shape = tileShapes(stack, device).find(({ halves, columns }) => halves === 2 && columns === 8)!;
  return planTileShape(stack, { ...shape, slots: 4 }, prefix);
};
// Between the last step of a group of sequences and the first of the next, no h goes round that would order a stage.
const inTurn: LstmPlanner = (stack, device, prefix) => {
  const shape = tileShapes(stack, device).find(({ halves, columns }) => halves === 1 && columns === 8)!;
  return planTileShape(stack, { ...shape, groups: 1 }, prefix);
};
// Two loading warps share every product's chunks, two blocks of columns go through the same stages in turn.
const inWidth: LstmPlanner = (stack, device, prefix) => {
  const shape = tileShapes(stack, device).find(({ columns }) => columns === 128)!;
  return planTileShape(stack, { ...shape, groups: 1, slots: 4 }, prefix);
};
const LONGER = [lstmCase("warpgroup products, three groups in turn", inTurn, lstm(24, 2, 12, 64, 1, { result:
  { kind: "last", buffer: "out" } })),
  lstmCase("a grid that works on two sets of groups", inSets, lstm(16, 6, 20, 128, 1)),
  lstmCase("warpgroup products of two halves", inHalves, lstm(16, 6, 12, 40, 1)),
  lstmCase("warpgroup products of 128 columns", inWidth, lstm(130, 3, 72, 128, 2, { result:
    { kind: "last", buffer: "out" } }))];
const SEEDS = [1, 2, 3];

describe("LSTM kernels under random orders of turns", { skip }, () => {
  after(() => { opened?.close(); opened = null; });
  for (const one of [...LSTM_CASES, ...LONGER]) {
    test(`the same bits: ${one.name}`, () => {
      opened ??= openEmulated();
      const planned = one.plan(H200);
      assert.ok(planned !== null);
      const forwards = runLaunches(opened, planned.parts, planned.contents, RUNS);
      planned.check(forwards);
      for (const seed of SEEDS) {
        process.env["EMULATOR_ORDER"] = `random:${seed}`;
        try {
          assert.deepEqual(runLaunches(opened, planned.parts, planned.contents, RUNS), forwards, `random:${seed}`);
        } finally { delete process.env["EMULATOR_ORDER"]; }
      }
    });
  }
});
