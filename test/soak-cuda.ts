/**
 * Hours of serving in a minute, on a GPU (or, where DMN_CUDA names one, an emulated one):
 *
 *   node --expose-gc test/soak-cuda.ts [replays = 1000000] [swaps = 1000]
 *
 * Replays of one model and hot swaps under load; prints memory before and after, of the host, of the GPU and of its
 * pool. The same with small numbers is a test (cuda-engine.test.ts).
 */
import { pathToFileURL } from "node:url";
import { openEngine, type Engine } from "../src/runtime/cuda/engine/engine.ts";
import type { Answers } from "../src/runtime/cuda/engine/models.ts";
import { lowerToy, TOY, toyAnswer, toyFile, toyWindows } from "./cuda-toy.ts";

const WIDTH = TOY.T * TOY.F;
const { T, F } = TOY;
const windowsOf = (values: Float32Array) => ({ features: { shape: [values.length / WIDTH, T, F], values } });

export interface Held {
  /** Bytes of JavaScript objects, and of everything that JavaScript holds outside. */
  readonly heap: number;
  readonly external: number;
  readonly gpuFree: number;
  readonly pooled: number;
}
/** Memory now, after a collection where one can be asked for. */
export function heldBy(engine: Engine): Held {
  (globalThis as { gc?: () => void }).gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return { heap: heapUsed, external, gpuFree: engine.cuda.memory().freeBytes,
    pooled: engine.statistics().pool.reservedBytes };
}

/** Replays a model so often; whether all answers were the same bits as the first. */
export function replayMany(engine: Engine, name: string, rows: number, count: number): boolean {
  const first = engine.runStaged(name, rows), views = Object.values(first.outputs).map(({ values }) => values);
  const bits = views.map((values) => new Uint32Array(values.buffer, values.byteOffset, values.length));
  const expected = bits.map((words) => words.slice());
  for (let replay = 1; replay < count; replay++) {
    engine.runStaged(name, rows);
    for (let k = 0; k < bits.length; k++) {
      for (let row = 0; row < bits[k].length; row++) if (bits[k][row] !== expected[k][row]) return false;
    }
  }
  return true;
}

export interface SwapReport {
  readonly requests: number;
  /** Answered by one version, and by no other. */
  readonly right: number;
  readonly versions: number;
  readonly longestMs: number;
}
/** Swaps the toy `count` times while `clients` ask it one request after the other. The engine lowers the toy. */
export async function swapUnderLoad(engine: Engine, count: number, clients: number): Promise<SwapReport> {
  const weights = (version: number): number[] => [1 + version % 7, -2, 3 - version % 3];
  await engine.load("swapped", toyFile(weights(1)), { T });
  const load = { isOver: false };
  let requests = 0, right = 0, longestMs = 0;
  const versions = new Set<number>();
  const isRight = ({ version, outputs }: Answers, windows: Float32Array): boolean =>
    outputs.position.values.every((value, b) =>
      Math.abs(value - toyAnswer(weights(version), windows.subarray(b * WIDTH, (b + 1) * WIDTH)).position) < 1e-5);
  const client = async (rows: number): Promise<void> => {
    const windows = toyWindows(rows, rows);
    while (!load.isOver) {
      requests++;
      const start = performance.now(), least = engine.versionOf("swapped");
      const answers = await engine.run("swapped", windowsOf(windows));
      longestMs = Math.max(longestMs, performance.now() - start);
      versions.add(answers.version);
      if (answers.version >= least && isRight(answers, windows)) right++;
    }
  };
  const asked = Array.from({ length: clients }, (_, k) => client(1 + 3 * k));
  for (let swap = 2; swap <= count + 1; swap++) await engine.load("swapped", toyFile(weights(swap)), { T });
  load.isOver = true;
  await Promise.all(asked);
  await engine.unload("swapped");
  return { requests, right, versions: versions.size, longestMs };
}

const kilobytes = (bytes: number): string => `${(bytes / 1000).toFixed(1)} kB`;

async function main(replays: number, swaps: number): Promise<void> {
  const say = (line: string): void => { process.stdout.write(`${line}\n`); };
  const engine = openEngine({ precision: "float32", mode: "poll", buckets: [1, 8, 32], lower: lowerToy() });
  await engine.load("toy", toyFile([1, -2, 3]), { T });
  engine.stage("toy", 32).features.set(toyWindows(32, 1));
  replayMany(engine, "toy", 32, 1000);
  const before = heldBy(engine), start = performance.now();
  const isSame = replayMany(engine, "toy", 32, replays), after = heldBy(engine);
  const us = (performance.now() - start) * 1000 / replays;
  say(`${replays} replays, ${us.toFixed(2)} us each, bits ${isSame ? "the same" : "DIFFER"}: heap `
    + `${kilobytes(after.heap - before.heap)}, external ${kilobytes(after.external - before.external)}, `
    + `GPU ${kilobytes(before.gpuFree - after.gpuFree)}, pool ${kilobytes(after.pooled - before.pooled)} more`);
  // Code is compiled, and kept, for a few hundred swaps; what each of them would leave behind comes after.
  await swapUnderLoad(engine, Math.min(swaps, 500), 3);
  const calm = heldBy(engine), report = await swapUnderLoad(engine, swaps, 3), end = heldBy(engine);
  say(`${swaps} swaps under ${report.requests} requests: ${report.right} answered by exactly one version, of ${report.versions}; `
    + `longest ${report.longestMs.toFixed(1)} ms; heap ${kilobytes(end.heap - calm.heap)}, external `
    + `${kilobytes(end.external - calm.external)}, GPU ${kilobytes(calm.gpuFree - end.gpuFree)}, pool `
    + `${kilobytes(end.pooled - calm.pooled)} more`);
  await engine.close();
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await main(Number(process.argv[2] ?? 1e6), Number(process.argv[3] ?? 1000));
}
