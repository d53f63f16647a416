/**
 * How long an exported network takes to answer on the CPU: a batch of windows, one window, and one streamed
 * step with its state carried. One thread, ONNX Runtime, buffers reused; each run is timed by itself.
 */
import { random } from "../../base/random.ts";
import { architectureNamed } from "../../../models/index.ts";
import { collectParameters, initialiseParameters, unflatten } from "../../nn/scope.ts";
import { inferenceGraph } from "../../nn/train-graph.ts";
import { encodeOnnx } from "../../runtime/ort/encode.ts";
import { openOnnx } from "../../runtime/ort/model.ts";
import type { Values } from "../../runtime/runtime.ts";
import { settingsOf } from "../../train/settings.ts";
import type { Bench } from "../bench.ts";
import { askPeer, figureOf } from "./peer.ts";
import { benchRow, type BenchRow } from "./row.ts";

const SUITE = "inference";
const T = 63;
const NETWORKS = [
  { name: "LSTM F8 H64 L1", features: 8, hidden: 64, layers: 1 },
  { name: "LSTM F60 H256 L2", features: 60, hidden: 256, layers: 2 },
] as const;

/** Rows of a run, and steps of each. */
const ASKED = [
  { name: "128 windows", B: 128, T, isCarried: false },
  { name: "one window", B: 1, T, isCarried: false },
  { name: "one streamed step", B: 1, T: 1, isCarried: true },
] as const;

export async function run(bench: Bench): Promise<BenchRow[]> {
  const rows: BenchRow[] = [];
  for (const network of bench.isQuick ? NETWORKS.slice(0, 1) : NETWORKS) {
    for (const asked of ASKED) {
      const runs = (bench.isQuick ? 1 : 10) * (asked.B === 128 ? 20 : 200);
      const values = await timeRuns(network, asked, runs);
      const { name, ...sizes } = network;
      const peer = bench.hasPeers ? figureOf(bench,
        askPeer("torch_inference.py", [JSON.stringify({ ...sizes, ...asked, runs })])) : null;
      rows.push(benchRow({ suite: SUITE, name: `${name}: ${asked.name}, 1 thread`, unit: "ms",
        better: "lower", values, note: `T${asked.T}, float32, ${runs} runs` }, {}, peer));
      bench.context.signal.throwIfAborted();
    }
  }
  return rows;
}

/** Milliseconds of each run. */
async function timeRuns({ features, hidden, layers }: (typeof NETWORKS)[number],
  { B, T: steps, isCarried }: (typeof ASKED)[number], runs: number): Promise<number[]> {
  const architecture = architectureNamed("lstm");
  const settings = settingsOf(architecture, { hidden, layers });
  const size = { features, instruments: 1 };
  const specs = collectParameters(architecture, { ...size, B, T: steps }, settings);
  const bytes = encodeOnnx(inferenceGraph(architecture, size, settings, { carry: isCarried }),
    { precision: "float32", parameters: unflatten(specs, initialiseParameters(specs, 0)) });
  const model = await openOnnx(bytes);
  try {
    const stream = random(2, "bench", "inference");
    const feeds: Record<string, Values> = { features: { shape: [B, steps, features],
      values: Float32Array.from({ length: B * steps * features }, () => stream.normal()) } };
    const states = model.inputs.filter(({ name }) => name.startsWith("state/"));
    for (const { name } of states) feeds[name] = { shape: [B, hidden], values: new Float32Array(B * hidden) };
    const times: number[] = [];
    for (let k = -20; k < runs; k++) {
      const start = performance.now();
      const said = await model.run(feeds);
      if (k >= 0) times.push(performance.now() - start);
      for (const { name } of states) feeds[name] = said[name.replace("state/", "final/")];
    }
    return times;
  } finally { await model.close(); }
}
