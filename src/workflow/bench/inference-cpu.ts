/**
 * How long an exported network takes to answer on the CPU: a batch of windows, one window, and one streamed
 * step with its state carried. One thread, ONNX Runtime, buffers reused; each run is timed by itself.
 */
import { random } from "../../base/random.ts";
import { openOnnx } from "../../runtime/ort/model.ts";
import type { Values } from "../../runtime/runtime.ts";
import type { Bench } from "../bench.ts";
import { benchModels, exported, type BenchModel } from "./inference-models.ts";
import { askPeer, figureOf } from "./peer.ts";
import { benchRow, type BenchRow } from "./row.ts";

/** What runs when no network is named: sizes that a CPU trains in minutes. */
const NETWORKS = [
  { title: "LSTM F8 H64 L1", model: smaller("lstm-64x1", 8, { hidden: 64, layers: 1 }) },
  { title: "LSTM F60 H256 L2", model: smaller("lstm-256x2", 60, { hidden: 256, layers: 2 }) },
] as const;

function smaller(name: string, features: number, said: BenchModel["said"]): BenchModel {
  return { name, architecture: "lstm", said, steps: 63, features, batches: [], maximumUs: {}, atLeast: {} };
}

/** Rows of a run, and whether it is one step of a stream. */
const ASKED = [
  { name: "128 windows", B: 128, isCarried: false },
  { name: "one window", B: 1, isCarried: false },
  { name: "one streamed step", B: 1, isCarried: true },
] as const;

/** A run of a large network on one core takes seconds. */
const SECONDS_MAX = 5;

export async function cpuRows(bench: Bench): Promise<BenchRow[]> {
  const named = bench.models === null ? NETWORKS
    : benchModels(bench.models).map((model) => ({ title: model.name, model }));
  const rows: BenchRow[] = [];
  for (const { title, model } of bench.isQuick ? named.slice(0, 1) : named) {
    for (const asked of ASKED) {
      if (asked.isCarried && model.architecture !== "lstm") continue;
      rows.push(await measure(bench, title, model, asked));
      bench.context.signal.throwIfAborted();
    }
  }
  return rows;
}

async function measure(bench: Bench, title: string, model: BenchModel,
  asked: (typeof ASKED)[number]): Promise<BenchRow> {
  const { B, isCarried } = asked, T = isCarried ? 1 : model.steps, { features, said } = model;
  const runs = (bench.isQuick ? 1 : 10) * (B === 128 ? 20 : 200);
  const values = await timeRuns(model, { B, T, isCarried }, runs);
  const spec = JSON.stringify({ features, hidden: said.hidden, layers: said.layers, B, T, isCarried, runs });
  const peer = bench.hasPeers && model.architecture === "lstm"
    ? figureOf(bench, askPeer("torch_inference.py", [spec])) : null;
  return benchRow({ suite: "inference", name: `${title}: ${asked.name}, 1 thread`, unit: "ms",
    better: "lower", values, note: `T${T}, float32, ${values.length} runs` }, {}, peer);
}

/** Milliseconds of each run. */
async function timeRuns(model: BenchModel, { B, T, isCarried }: { B: number; T: number; isCarried: boolean },
  runs: number): Promise<number[]> {
  const network = await openOnnx(exported(model, { carry: isCarried }));
  try {
    const stream = random(2, "bench", "inference"), { features } = model, hidden = Number(model.said.hidden);
    const feeds: Record<string, Values> = { features: { shape: [B, T, features],
      values: Float32Array.from({ length: B * T * features }, () => stream.normal()) } };
    const states = network.inputs.filter(({ name }) => name.startsWith("state/"));
    for (const { name } of states) feeds[name] = { shape: [B, hidden], values: new Float32Array(B * hidden) };
    const times: number[] = [], begun = performance.now();
    for (let k = -20; k < runs; k++) {
      const start = performance.now();
      const isOver = start - begun > 1000 * SECONDS_MAX;
      if (isOver && times.length > 0) break;
      const said = await network.run(feeds);
      if (k >= 0 || isOver) times.push(performance.now() - start);
      for (const { name } of states) feeds[name] = said[name.replace("state/", "final/")];
    }
    return times;
  } finally { await network.close(); }
}
