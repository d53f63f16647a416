/**
 * Every kernel once more, by hand, on a GPU under NVIDIA's sanitizer:
 *
 *   compute-sanitizer --tool memcheck --error-exitcode 2 node test/sanitize-cuda.ts
 *   compute-sanitizer --tool racecheck node test/sanitize-cuda.ts wave grid     plans with these words in their names
 *
 * One line per plan, checked against float64 as in the tests, and `N plans ran`; status 1 where an answer is wrong.
 * Without a GPU, set DMN_CUDA and DMN_NVRTC to the emulator's libraries.
 */
import { ARCHITECTURES } from "../models/index.ts";
import { messageOf } from "../src/base/error.ts";
import { random } from "../src/base/random.ts";
import type { Graph } from "../src/graph/graph.ts";
import type { Settings } from "../src/nn/hyperparameter.ts";
import { trainGraph } from "../src/nn/train-graph.ts";
import { openCuda, type Cuda } from "../src/runtime/cuda/driver/device.ts";
import { CudaError } from "../src/runtime/cuda/driver/error.ts";
import type { CudaPrecision } from "../src/runtime/cuda/launch.ts";
import { planLstmBlock } from "../src/runtime/cuda/lstm/block.ts";
import { planLstmGrid } from "../src/runtime/cuda/lstm/grid.ts";
import type { LstmPlanner } from "../src/runtime/cuda/lstm/stack.ts";
import { planLstmStream } from "../src/runtime/cuda/lstm/stream.ts";
import { planLstmTile, planTileShape, tileShapes } from "../src/runtime/cuda/lstm/tile.ts";
import { planLstmWave } from "../src/runtime/cuda/lstm/wave.ts";
import { cudaRuntime } from "../src/runtime/cuda/program.ts";
import { reference } from "../src/runtime/reference.ts";
import type { Tensors, Values } from "../src/runtime/runtime.ts";
import { assertClose } from "./conformance/finite-difference.ts";
import { feedCase, gemmCase, headCase, LSTM_CASES, lstmCase, PRODUCT_CASES, RUNS, type KernelCase }
  from "./cuda-cases.ts";
import { networkGraph } from "./cuda-networks.ts";
import { gemm, lstm } from "./cuda-plans.ts";
import { runLaunches } from "./emulator/run.ts";
import { everyOpGraph } from "./graphs.ts";

/** Waits are counted: a sanitizer makes everything but their loops slower. */
const DEFINES = { SPIN_MAX: "(1u<<28)", SANITIZED: 1 } as const;

/** Halves in turn, whose h leaves by warps of their own: what the plan takes where there are many steps. */
const planInHalves: LstmPlanner = (stack, device, prefix) => {
  const shape = tileShapes(stack, device).find(({ halves }) => halves === 2);
  return shape === undefined ? null : planTileShape(stack, shape, prefix);
};
const PLANNERS = { block: planLstmBlock, wave: planLstmWave, grid: planLstmGrid, tile: planLstmTile,
  "tile in halves": planInHalves, stream: planLstmStream } as const;
/** B, F, H, L of stacks: each way that the planners' kernels are compiled for on an H200, and few steps. */
const STACKS = [[1, 200, 64, 1], [512, 30, 64, 1], [1, 200, 512, 2], [8, 200, 512, 2], [32, 200, 512, 2],
  [512, 40, 512, 2], [2, 40, 1024, 1]] as const;

function kernelCases(): KernelCase[] {
  const wide = (precision: CudaPrecision): KernelCase[] => [gemmCase("many tiles", gemm(300, 512, 96, precision)),
    gemmCase("few rows", gemm(60, 512, 512, precision))];
  const stacks = STACKS.flatMap(([B, F, H, L]) => (["float16", "bfloat16"] as const).flatMap((precision) =>
    (precision === "bfloat16" && B !== 8 ? [] : Object.entries(PLANNERS).map(([name, planner]) =>
      lstmCase(`lstm-${name} ${precision}`, planner, lstm(B, 3, F, H, L, { precision }))))));
  return [...PRODUCT_CASES, ...wide("float16"), ...wide("float32"), headCase(true), headCase(false),
    feedCase("windows"), feedCase("ring"), ...LSTM_CASES, ...stacks];
}

/** Parameters and feeds by seed, all of them about 1. */
function valuesOf(named: Graph["inputs"], seed: number): Tensors {
  const stream = random(seed, "sanitize");
  return Object.fromEntries(named.map(({ name, tensor }): [string, Values] => {
    const shape = tensor.shape as readonly number[], count = shape.reduce((a, b) => a * b, 1);
    const scale = shape.length > 1 ? 1 / Math.sqrt(shape.at(-2) ?? 1) : 0.1;
    return [name, { shape, values: Float32Array.from({ length: count }, (_, k) =>
      (name === "instrument" ? k % 5 : 0.5 + scale * stream.uniform())) }];
  }));
}

/** A graph by the runtime against the reference: generated kernels between the others. */
async function checkGraph(cuda: Cuda, graph: Graph, precision: CudaPrecision, tolerance: number): Promise<void> {
  const parameters = valuesOf(graph.state, 1), feeds = valuesOf(graph.inputs, 2);
  await using program = await cudaRuntime({ cuda, precision }).compile(graph);
  await using oracle = await reference.compile(graph);
  for (const one of [program, oracle]) await one.write(parameters);
  const ours = await program.run(feeds), exact = await oracle.run(feeds);
  for (const [name, values] of Object.entries(exact)) assertClose(ours[name], values, tolerance, name);
}

function graphs(): [name: string, graph: Graph, precision: CudaPrecision, tolerance: number][] {
  const network = (name: string, settings: Settings): Graph => networkGraph({ name, settings, F: 8 }, 3, 7);
  const networks: Readonly<Record<string, Graph>> = {
    "network lstm": network("lstm", { hidden: 32, layers: 2, dropout: 0 }),
    "network encoder": network("encoder",
      { width: 64, attentionHeads: 4, layers: 2, feedForward: 4, positions: "sinusoidal", dropout: 0 }),
    "network transformer": network("transformer", { hidden: 16, attentionHeads: 2, dropout: 0 }),
    "network meta": network("meta", { hidden: 16, dropout: 0 }),
  };
  const step = trainGraph(ARCHITECTURES["lstm"], { B: 5, T: 6, features: 4, instruments: 1 },
    { hidden: 9, layers: 2, dropout: 0.2 }, { terms: ["sharpe", "turnover"] });
  return [...Object.entries(networks).flatMap(([name, graph]): ReturnType<typeof graphs> =>
    [[`${name} float16`, graph, "float16", 3e-3], [`${name} float32`, graph, "float32", 1e-5]]),
  ["every op", everyOpGraph(), "float32", 1e-4], ["training step", step.graph, "float32", 1e-3]];
}

const words = process.argv.slice(2);
const isAsked = (name: string): boolean => words.length === 0 || words.some((word) => name.includes(word));
const cuda = openCuda({ defines: DEFINES });
let ran = 0, failed = 0;
/** Runs a plan and says how it went; false: this GPU has no such plan. */
async function report(name: string, act: () => boolean | Promise<boolean>): Promise<void> {
  const start = performance.now();
  const said = (how: string): void => {
    process.stdout.write(`${how} ${name} (${Math.round(performance.now() - start)} ms)\n`);
  };
  try {
    const isRun = await act();
    ran += Number(isRun);
    said(isRun ? "ok  " : "none");
  } catch (error) {
    failed++;
    said("FAIL");
    process.stdout.write(`     ${messageOf(error)}\n`);
    // This process has lost the GPU: what comes after would only say so again.
    if (error instanceof CudaError && error.isSticky) process.exit(1);
  }
}

process.stdout.write(`${cuda.facts.name}, SPIN_MAX ${DEFINES.SPIN_MAX}\n`);
const cases = kernelCases().filter(({ name }) => isAsked(name))
  .map((one) => ({ name: one.name, planned: one.plan(cuda.facts) }));
// Compiled side by side, which takes a core each; a second run finds them on the disk.
await cuda.prepare({ name: "all", buffers: [], launches: cases.flatMap(({ planned }) => planned?.parts.launches ?? []) });
for (const { name, planned } of cases) {
  await report(name, () => {
    planned?.check(runLaunches(cuda, planned.parts, planned.contents, RUNS));
    return planned !== null;
  });
}
for (const [name, graph, precision, tolerance] of graphs().filter(([name]) => isAsked(name))) {
  await report(name, async () => { await checkGraph(cuda, graph, precision, tolerance); return true; });
}
cuda.close();
process.stdout.write(`${ran} plans ran${failed === 0 ? "" : `, ${failed} failed`}\n`);
process.exitCode = failed === 0 && ran > 0 ? 0 : 1;
