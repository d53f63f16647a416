/**
 * Whole processes on the GPU: how long from the start of a process to its first answer, with kernels compiled
 * on the way and with kernels found in the cache; and two networks served by one process, which owns the GPU,
 * beside one process for each.
 */
import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { messageOf } from "../../base/error.ts";
import type { Bench } from "../bench.ts";
import { benchModels, exported } from "./inference-models.ts";
import type { WorkerFigures, WorkerReady, WorkerSpec } from "./inference-worker.ts";
import { benchRow, type BenchRow } from "./row.ts";

const WORKER =
  fileURLToPath(new URL(`./inference-worker${path.extname(import.meta.filename)}`, import.meta.url));
/** What is served: the largest that one would ask every bar, and a small one beside it. */
export const SERVED = ["lstm-512x2", "lstm-64x1"] as const;
const SECONDS = 2;

export async function processRows(bench: Pick<Bench, "note">): Promise<BenchRow[]> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "dmn-bench-"));
  try {
    const models = benchModels(SERVED).map((model) => {
      const file = path.join(folder, `${model.name}.onnx`);
      fs.writeFileSync(file, exported(model));
      return { name: model.name, file };
    });
    const base = { B: 1, cacheFolder: path.join(folder, "kernels"), seconds: 0 } as const;
    return [...await startRows({ ...base, models: models.slice(0, 1) }),
      ...await serverRows({ ...base, models })];
  } catch (error) {
    bench.note(`processes on the GPU: ${messageOf(error)}`);
    return [];
  } finally { fs.rmSync(folder, { recursive: true }); }
}

/** Cold, then warm three times; wall time of the parent, start of the program included. */
async function startRows(spec: WorkerSpec): Promise<BenchRow[]> {
  const times: number[] = [];
  for (let round = 0; round < 4; round++) {
    const start = performance.now(), worker = startWorker(spec);
    await worker.next<WorkerReady>();
    times.push(performance.now() - start);
    await worker.end();
  }
  const facts = { suite: "inference", unit: "ms", better: "lower", note: spec.models[0].name } as const;
  const name = "from process start to the first answer on the GPU";
  return [
    benchRow({ ...facts, name: `${name}, kernels compiled`, values: times.slice(0, 1) }),
    benchRow({ ...facts, name: `${name}, kernels cached`, values: times.slice(1) }),
  ];
}

async function serverRows(spec: WorkerSpec): Promise<BenchRow[]> {
  const together = await serve([spec]);
  const apart = await serve(spec.models.map((model) => ({ ...spec, models: [model] })));
  return spec.models.flatMap(({ name }) => [["one process for both", together], ["a process for each", apart]]
    .map(([how, figures]) => benchRow({ suite: "inference", unit: "us", better: "lower",
      name: `${name} of two networks, ${how as string}: host to host`,
      values: (figures as WorkerFigures["microseconds"])[name],
      note: `B1 float16, ${SECONDS} s, as fast as answers come` })));
}

/** Starts processes, lets them serve at the same time, and puts their figures together. */
async function serve(specs: readonly WorkerSpec[]): Promise<WorkerFigures["microseconds"]> {
  const workers = specs.map((spec) => startWorker({ ...spec, seconds: SECONDS }));
  await Promise.all(workers.map((worker) => worker.next<WorkerReady>()));
  for (const worker of workers) worker.go();
  const figures = await Promise.all(workers.map((worker) => worker.next<WorkerFigures>()));
  await Promise.all(workers.map((worker) => worker.end()));
  return Object.fromEntries(figures.flatMap(({ microseconds }) => Object.entries(microseconds)));
}

interface Worker {
  /** The next object that it prints. Throws what it said when it failed. */
  next<What extends WorkerReady | WorkerFigures>(): Promise<What>;
  go(): void;
  end(): Promise<void>;
}

function startWorker(spec: WorkerSpec): Worker {
  const child: ChildProcessWithoutNullStreams =
    spawn(process.execPath, [WORKER, JSON.stringify(spec)], { stdio: ["pipe", "pipe", "pipe"] });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => { said += chunk.toString(); });
  const closed = once(child, "close");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async next<What>() {
      const { value, done } = await lines.next();
      if (done !== true) return JSON.parse(value) as What;
      await closed;
      throw new Error(said.split("\n").find((line) => /^\w*Error\b/.test(line)) ?? `exit ${child.exitCode}`);
    },
    go() { child.stdin.write("go\n"); },
    async end() { await closed; },
  };
}
