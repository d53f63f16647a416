/** What PyTorch, cuDNN and ONNX Runtime give on the same GPU in the same run: test/peers/torch_cuda.py. */
import { spawnSync } from "node:child_process";
import type { Bench } from "../bench.ts";
import type { BenchModel } from "./inference-models.ts";
import { peerCommand } from "./peer.ts";

/** One network and batch in one way of running it. */
export interface PeerMeasurement {
  readonly model: string;
  readonly B: number;
  /** Name, version and way: "PyTorch 2.11.0 TorchScript, CUDA graph". */
  readonly peer: string;
  readonly deviceUs: number;
  readonly p50Us: number;
  readonly p99Us: number;
}
interface Missing {
  readonly model: string;
  readonly B: number;
  readonly mode: string;
  readonly error: string;
}

/** Longest that a model's peers may take, milliseconds. */
const TIME_MAX_MS = 100_000;

/** A peer's lines: measurements, and a sentence for each way that could not be run. */
export function readPeerLines(text: string): { measured: PeerMeasurement[]; missing: string[] } {
  const lines = text.split("\n").filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as PeerMeasurement | Missing);
  const measured: PeerMeasurement[] = [], batches = new Map<string, number[]>();
  for (const line of lines) {
    if (!("error" in line)) {
      measured.push(line);
      continue;
    }
    const what = `no ${line.mode} peer for ${line.model}: ${line.error}`;
    batches.set(what, [...batches.get(what) ?? [], line.B]);
  }
  return { measured, missing: [...batches].map(([what, all]) => `${what} (B ${all.join(", ")})`) };
}

/** Runs the peers of one network in float16; none, and a note, where they cannot be run. */
export function askCudaPeers(bench: Bench, model: BenchModel, batches: readonly number[],
  onnx: string | null): readonly PeerMeasurement[] {
  if (!bench.hasPeers) return [];
  const command = peerCommand("torch_cuda.py");
  if ("missing" in command) {
    bench.note(command.missing);
    return [];
  }
  const spec = { models: [model.name], batches, ...(onnx === null ? {} : { onnx: { [model.name]: onnx } }) };
  const ran = spawnSync(command.python, [command.script, JSON.stringify(spec)],
    { encoding: "utf8", maxBuffer: 1 << 26, timeout: TIME_MAX_MS });
  const { measured, missing } = readPeerLines(ran.stdout ?? "");
  for (const sentence of missing) bench.note(sentence);
  if (ran.status !== 0) {
    const said = ran.error?.message ?? ran.stderr.trim().split("\n").at(-1) ?? "";
    bench.note(`torch_cuda.py failed: ${said}`);
  }
  return measured;
}
