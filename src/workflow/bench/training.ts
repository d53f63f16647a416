/**
 * How long a training step takes (forward, backward, clip, Adam): alone with two threads, alone with one,
 * and two trainings side by side with one each, which is how folds and seeds are trained. The peer is
 * PyTorch with the settings that are best for it, in turn with ours in the same run.
 */
import { spawn } from "node:child_process";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { cpuEngine, type CpuEngine } from "../../runtime/cpu.ts";
import type { Settings } from "../../nn/hyperparameter.ts";
import type { Bench } from "../bench.ts";
import { peerCommand, type PeerAnswer } from "./peer.ts";
import { benchRow, quantile, type BenchRow } from "./row.ts";
import type { TrainingFigures } from "./training-worker.ts";

export interface TrainingSize {
  readonly name: string;
  readonly model: "lstm" | "encoder";
  readonly B: number;
  readonly T: number;
  /** F */
  readonly features: number;
  readonly said: Settings;
}

const SUITE = "training";
const lstmSize = (features: number, hidden: number, layers: number): TrainingSize => ({
  name: `LSTM F${features} H${hidden} L${layers}`, model: "lstm", B: 128, T: 63, features,
  said: { hidden, layers } });
const SIZES: readonly TrainingSize[] = [
  lstmSize(8, 64, 1), lstmSize(60, 64, 2), lstmSize(60, 256, 2),
  { name: "Transformer D64, 4 heads, 2 layers", model: "encoder", B: 128, T: 63, features: 8,
    said: { width: 64, attentionHeads: 4, layers: 2, feedForward: 4 } },
];
const QUICK: TrainingSize = { ...lstmSize(8, 8, 1), B: 8 };

/** Threads of a process, and processes at once. */
const WAYS = [
  { name: "2 threads", threads: 2, processes: 1 },
  { name: "1 thread", threads: 1, processes: 1 },
  { name: "two side by side, 1 thread each", threads: 1, processes: 2 },
] as const;
type Way = (typeof WAYS)[number];

/** What is promised. */
const PEAK_MIB_MAX = 250;
const COMPILE_MS_MAX = 100;

export async function run(bench: Bench): Promise<BenchRow[]> {
  const rows: BenchRow[] = [];
  for (const size of bench.isQuick ? [QUICK] : SIZES) {
    for (const way of bench.isQuick ? [WAYS[1]] : WAYS) {
      rows.push(...await compare(bench, size, way));
      bench.context.signal.throwIfAborted();
    }
  }
  return rows;
}

/** Ours, the peer, ours, the peer. */
async function compare(bench: Bench, size: TrainingSize, way: Way): Promise<BenchRow[]> {
  const seconds = bench.isQuick ? 0.2 : 2.5, rounds = bench.isQuick ? 1 : 2;
  const { signal, config } = bench.context, engine = cpuEngine(config.engine);
  const own: TrainingFigures[] = [], others: TrainingFigures[] = [];
  const theirs: { peer: string; values: readonly number[]; peakMib: number }[] = [];
  for (let round = 0; round < rounds; round++) {
    own.push(...await train(size, way, engine, stepsIn(seconds, own), signal));
    if (engine === "native") {
      others.push(...await train(size, way, "ort", stepsIn(seconds, others), signal));
    }
    if (!bench.hasPeers) continue;
    const answers = await Promise.all(Array.from({ length: way.processes },
      () => trainPeer(size, way, seconds, signal)));
    for (const answer of answers) {
      if ("missing" in answer) bench.note(answer.missing);
      else theirs.push(answer);
    }
  }
  const peer = theirs.length === 0 ? null
    : { peer: theirs[0].peer, values: theirs.flatMap(({ values }) => values) };
  const peerMib = theirs.length === 0 ? null
    : { peer: theirs[0].peer, values: theirs.map(({ peakMib }) => peakMib) };
  const facts = { suite: SUITE, better: "lower",
    note: `B${size.B} T${size.T}, a step is forward to Adam` } as const;
  const stepRow = (by: string, figures: readonly TrainingFigures[]): BenchRow => benchRow({
    ...facts, unit: "ms", name: `${size.name}: step, ${way.name}, ${by}`,
    values: figures.flatMap(({ steps }) => steps) }, {}, peer);
  const rows = [stepRow(engine, own), ...(others.length > 0 ? [stepRow("ort", others)] : [])];
  if (way.processes === 1 && way.threads === 1) {
    const isSmall = size.said.hidden === 64;
    rows.push(
      benchRow({ ...facts, name: `${size.name}: peak memory of a training`, unit: "MiB",
        values: own.map(({ peakMib }) => peakMib) }, isSmall ? { maximum: PEAK_MIB_MAX } : {}, peerMib),
      benchRow({ ...facts, name: `${size.name}: session start`, unit: "ms",
        values: own.map(({ compileMs }) => compileMs) }, { maximum: COMPILE_MS_MAX }));
  }
  return rows;
}

/** Steps that take about so many seconds, once it is known how long one takes. */
function stepsIn(seconds: number, before: readonly TrainingFigures[]): number {
  if (before.length === 0) return 20;
  return Math.max(10, Math.round(seconds * 1000 / quantile(before.flatMap(({ steps }) => steps), 0.5)));
}

const WORKER = fileURLToPath(new URL(`./training-worker${extname(import.meta.filename)}`, import.meta.url));

function train(size: TrainingSize, { threads, processes }: Way, engine: CpuEngine, steps: number,
  signal: AbortSignal): Promise<TrainingFigures[]> {
  const said = JSON.stringify({ size, threads, engine, steps });
  return Promise.all(Array.from({ length: processes }, async () =>
    JSON.parse(await outputOf(process.execPath, [WORKER, said], {}, signal)) as TrainingFigures));
}

/** PyTorch must not give its memory back to the system on every step: 1.4 to 1.9 times faster. */
const PEER_MEMORY = { MALLOC_MMAP_THRESHOLD_: "4294967296", MALLOC_TRIM_THRESHOLD_: "4294967296",
  MALLOC_TOP_PAD_: "268435456" };

async function trainPeer(size: TrainingSize, { threads }: Way, seconds: number, signal: AbortSignal):
Promise<(PeerAnswer & { missing: string }) | { peer: string; values: number[]; peakMib: number }> {
  const command = peerCommand("torch_training.py");
  if ("missing" in command) return command;
  const { model, B, T, features, said } = size;
  const spec = JSON.stringify({ model, B, T, features, ...said, threads, seconds });
  try {
    return JSON.parse(await outputOf(command.python, [command.script, spec], PEER_MEMORY, signal)) as
      { peer: string; values: number[]; peakMib: number };
  } catch (error) {
    signal.throwIfAborted();
    return { missing: `torch_training.py failed: ${String(error)}` };
  }
}

/** The last line that a process prints. Throws what it said when it failed, and the signal's reason. */
function outputOf(file: string, args: readonly string[], environment: Readonly<Record<string, string>>,
  signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args,
      { env: { ...process.env, ...environment }, stdio: ["ignore", "pipe", "pipe"] });
    let out = "", said = "";
    child.stdout.on("data", (chunk: Buffer) => { out += chunk.toString(); });
    child.stderr.on("data", (chunk: Buffer) => { said += chunk.toString(); });
    child.on("error", reject);
    const stop = (): void => { child.kill(); };
    signal.addEventListener("abort", stop, { once: true });
    child.on("close", (code) => {
      signal.removeEventListener("abort", stop);
      if (signal.aborted) reject(signal.reason as Error);
      else if (code === 0) resolve(out.trim().split("\n").at(-1) ?? "");
      else reject(new Error(said.trim().split("\n").at(-1) ?? `exit ${code}`));
    });
  });
}
